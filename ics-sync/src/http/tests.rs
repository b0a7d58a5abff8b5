//! A peer that answers with useless data.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::driver::listen;
use crate::mirror::Way;
use crate::peer::{Peer, Stream};

/// Bytes of its answer, and the bytes per second that it may send.
const JUNK: usize = 64 * 1024;
const BUDGET: u64 = 1_000;

/// A pause of minutes after each useless page would keep the peer that has the entries from its turn.
#[tokio::test]
async fn what_is_of_no_use_is_found_out_before_the_budget_has_it_paid_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {JUNK}\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &[b'x'; JUNK]].concat()).await;
        }
    });
    let client = client_builder(&url).build().expect("a client");
    let peer = HttpPeer::new(&url, client).expect("an address").with_budget(BUDGET);
    let (domain, began) = ("devices.acme.example".parse().expect("a name"), Instant::now());
    let answer = peer.page(&domain, 0, 10, 10).await;
    assert!(matches!(answer, Err(PeerError::Wire(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(peer.received(), JUNK as u64);
    // The sender is asked again only once that much may have come.
    let again = tokio::time::timeout(Duration::from_secs(1), peer.checkpoint(&domain)).await;
    assert!(again.is_err(), "{again:?}");
}

/// They refuse more members than they know, and ignore what stands in the query.
#[tokio::test]
async fn nodes_that_do_not_know_how_much_is_taken_are_asked_in_the_form_that_they_know() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut request).await.expect("a question"), 0, "it breaks off");
        }
        String::from_utf8(request).expect("text")
    });
    let client = client_builder(&url).build().expect("a client");
    let peer = HttpPeer::new(&url, client).expect("an address");
    let again = Again { question: 7, hidden: vec![1], held: vec![2], until: Some(17) };
    let domain = "devices.acme.example".parse().expect("a name");
    peer.again(&domain, &again).await.expect_err("nothing is answered");
    let request = asked.await.expect("it was asked");
    assert!(request.starts_with("POST /v1/domains/devices.acme.example/entries/again?until=17 "), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"question\":7,\"hidden\":[1],\"held\":[2]}"), "{request}");
}

/// Much may be said about one thing, and little about the next one that is asked about.
#[tokio::test]
async fn an_answer_that_begins_and_is_not_complete_in_time_is_told_from_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 4096]).await;
        let begun = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
        let _ = stream.write_all(begun.as_bytes()).await;
        core::future::pending::<()>().await;
    });
    let client = client_builder(&url).build().expect("a client");
    let peer = HttpPeer::new(&url, client).expect("an address");
    let domain = "devices.acme.example".parse().expect("a name");
    let answer = peer.attestation(&domain, "serial:1", 1, 0).await;
    assert!(matches!(answer, Err(PeerError::Late)), "{answer:?}");
}

/// Less at once may get through: whoever submits must know that.
#[tokio::test]
async fn a_submission_that_is_not_taken_in_time_is_told_from_one_that_reaches_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let domain = "devices.acme.example".parse().expect("a name");
    let submit = async |url: &str| {
        let client = client_builder(url).read_timeout(Duration::from_millis(300)).build().expect("a client");
        let peer = HttpPeer::new(url, client).expect("an address");
        peer.submit(&domain, vec![vec![1; 1_000]]).await.expect_err("nothing is answered")
    };
    let error = submit(&url).await;
    assert!(matches!(error, PeerError::Late), "{error:?}");
    drop(listener);
    let error = submit(&url).await;
    assert!(matches!(error, PeerError::Transport(_)), "{error:?}");
}

/// Otherwise a copy with one peer would be told each day that nothing can be copied.
#[tokio::test]
async fn a_stream_is_opened_anew_before_its_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let number = open.len();
            let event = format!("event: checkpoint\ndata: \"note {number}\"\n\n");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let _ = stream.write_all([head, &event].concat().as_bytes()).await;
            open.push(stream);
        }
    });
    let client = client_builder(&url).build().expect("a client");
    let peer = Peer::Http(HttpPeer::new(&url, client).expect("an address"));
    let (domain, mut stream) = ("devices.acme.example".parse().expect("a name"), None);
    for number in 0..2 {
        let heard = listen(&peer, &domain, &mut stream, 0, Way::Stream).await;
        assert_eq!(heard, Ok(News::Checkpoint(format!("note {number}"))));
        let Some(Stream::Http(open)) = &mut stream else { panic!("it is not kept open") };
        assert!(!open.is_stale());
        open.until = Instant::now();
    }
}
