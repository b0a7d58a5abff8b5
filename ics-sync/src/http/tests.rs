//! A peer that answers with useless data.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

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
