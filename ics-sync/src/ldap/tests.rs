//! Directories that answer with more or less than was asked for.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::connection::{IDLE_SECONDS, STRANGER_TIMES, stranger_time};
use super::*;
use crate::ber;
use crate::driver::listen;
use crate::mirror::Way;
use crate::peer::{Peer, Stream};

/// Bytes of one entry's body.
const BODY: usize = 256 * 1024;

/// A message of the directory in answer to the first request.
fn message(operation: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    message_to(1, operation, write)
}

/// A message of the directory in answer to the request with that id.
fn message_to(id: i64, operation: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    ber::element(&mut out, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, id);
        ber::element(out, operation, write);
    });
    out
}

fn entry(version: usize, body: usize) -> Vec<u8> {
    message(0x64, |out| {
        ber::primitive(out, ber::OCTETS, b"cn=x");
        ber::element(out, ber::SEQUENCE, |out| {
            let (version, body) = (version.to_string(), vec![7; body]);
            let attributes: [(&str, &[u8]); 4] = [
                ("icsDescriptorVersion", version.as_bytes()),
                ("icsHeader", b"header"),
                ("icsSalt", &[1; 16]),
                ("icsBody", &body),
            ];
            for (name, value) in attributes {
                ber::element(out, ber::SEQUENCE, |out| {
                    ber::primitive(out, ber::OCTETS, name.as_bytes());
                    ber::element(out, ber::SET, |out| ber::primitive(out, ber::OCTETS, value));
                });
            }
        });
    })
}

fn done(code: i64) -> Vec<u8> {
    done_to(1, code)
}

fn done_to(id: i64, code: i64) -> Vec<u8> {
    message_to(id, 0x65, |out| {
        ber::integer(out, ber::ENUMERATED, code);
        ber::primitive(out, ber::OCTETS, b"");
        ber::primitive(out, ber::OCTETS, b"");
    })
}

/// What a client gets from these messages when it asks for the descriptors from version 1 on.
async fn descriptors(messages: Vec<Vec<u8>>) -> Result<Descriptors, PeerError> {
    descriptors_and(messages, Vec::new()).await
}

/// The same if something follows them byte by byte.
async fn descriptors_and(messages: Vec<Vec<u8>>, dripped: Vec<u8>) -> Result<Descriptors, PeerError> {
    sends(messages, dripped).await.descriptors(&domain(), 1).await
}

/// A peer that answers whatever it is asked first with these messages.
async fn sends(messages: Vec<Vec<u8>>, dripped: Vec<u8>) -> LdapPeer {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("ldap://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1024]).await;
        for message in messages {
            if stream.write_all(&message).await.is_err() {
                return;
            }
        }
        for byte in dripped {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        let _ = stream.read(&mut [0; 1024]).await;
    });
    peer_at(&url)
}

fn peer_at(url: &str) -> LdapPeer {
    let tls =
        ClientConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
    LdapPeer::new(url, tls).expect("an address")
}

fn domain() -> DomainName {
    "devices.acme.example".parse().expect("a name")
}

/// While a page is applied, nobody reads what the peer sends meanwhile.
#[tokio::test]
async fn a_peer_sends_no_more_than_is_taken() {
    const MOST: u64 = 16 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("ldap://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1024]).await;
        let entry = entry(1, BODY);
        while stream.write_all(&entry).await.is_ok() {}
    });
    let peer = peer_at(&url);
    peer.origins.lock().expect("a lock").insert(domain(), format!("{}/00", domain()));
    let mut news = peer.stream(&domain(), 0).await.expect("a stream");
    let (mut received, mut quiet) = (0, 0);
    while quiet < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = peer.received();
        assert!(now < MOST, "{now} bytes have come, and nobody has taken any");
        quiet = if now > 0 && now == received { quiet + 1 } else { 0 };
        received = now;
    }
    news.next().await.expect_err("what has come is still looked at, and is no log");
}

/// An operator whose mirror only polls learns why.
#[tokio::test]
async fn why_there_is_no_news_is_told() {
    let peer = sends(vec![done(51)], Vec::new()).await;
    peer.origins.lock().expect("a lock").insert(domain(), format!("{}/00", domain()));
    let mut news = peer.stream(&domain(), 0).await.expect("a stream");
    let refused = news.next().await.expect_err("no news");
    assert!(matches!(&refused, PeerError::Refused { code: 51, detail } if detail.contains("busy")), "{refused:?}");
}

/// What is taken makes room: an answer may be longer than what may lie untaken.
#[tokio::test]
async fn a_long_answer_passes() {
    let entries = (1..=20).map(|version| entry(version, BODY / 2));
    let answer = descriptors(entries.chain([done(0)]).collect()).await.expect("an answer");
    assert_eq!(answer.entries.len(), 20);
}

#[tokio::test]
async fn more_bytes_than_a_page_has_are_refused() {
    let entries = (1..=1 + PAGE_JSON_BYTES / BODY).map(|version| entry(version, BODY));
    let answer = descriptors(entries.chain([done(0)]).collect()).await;
    assert_eq!(answer.err(), Some(WireError::TooLong(PAGE_JSON_BYTES).into()));
}

/// If the next peer got its turn only after an answer had taken two minutes, a mirror with many questions would be held
/// up for hours.
#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_given_up() {
    let began = Instant::now();
    let answer = descriptors_and(vec![entry(1, 9)], entry(2, 9_999)).await;
    assert!(matches!(&answer, Err(PeerError::Transport(why)) if why.contains("too slowly")), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// An operator who configures no TLS for a port that speaks nothing else would look for the fault in the directory.
#[tokio::test]
async fn a_port_that_takes_tls_alone_is_told_as_such() {
    let answer = descriptors(vec![vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32]]).await;
    assert!(matches!(&answer, Err(PeerError::Malformed(what)) if what.contains("ldaps://")), "{answer:?}");
}

/// The library logs a line for each such message, and keeps reading as long as they come.
#[tokio::test]
async fn an_answer_to_what_was_not_asked_ends_the_connection() {
    for id in [2, 4, 255] {
        let answer = descriptors(vec![done_to(id, 0), done(0)]).await;
        assert!(matches!(&answer, Err(PeerError::Malformed(what)) if what.contains("not made")), "{id}: {answer:?}");
    }
}

/// They would keep the turn, and occupy the line, until the time for an answer is over.
#[tokio::test]
async fn intermediate_messages_without_an_entry_among_them_end_the_connection() {
    let began = Instant::now();
    let intermediate = message(0x79, |out| ber::primitive(out, 0x81, &b"x".repeat(60_000)));
    let answer = descriptors(vec![intermediate.clone(); 99]).await;
    assert!(matches!(&answer, Err(PeerError::Malformed(what)) if what.contains("no entries")), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let honest = descriptors(vec![entry(1, 9), intermediate.clone(), entry(2, 9), intermediate, done(0)]).await;
    assert_eq!(honest.expect("an answer").entries.len(), 2);
}

/// RFC 4511, 4.1.10: a referral names at least one other directory.
#[tokio::test]
async fn a_referral_is_told_as_one() {
    let referral = message(0x65, |out| {
        ber::integer(out, ber::ENUMERATED, 10);
        ber::primitive(out, ber::OCTETS, b"");
        ber::primitive(out, ber::OCTETS, b"ask there");
        ber::element(out, 0xa3, |out| ber::primitive(out, ber::OCTETS, b"ldap://other.example"));
    });
    let told = descriptors(vec![referral]).await.expect_err("another has it").to_string();
    assert!(told.contains("another directory has it") && told.contains("ask there"), "{told}");
}

/// A directory returns only a limited number of entries in one answer, however many there are. The mirror continues
/// after them.
#[tokio::test]
async fn a_part_of_the_descriptors_is_taken_for_what_it_is() {
    let answer = descriptors(vec![entry(1, 9), entry(2, 9), done(4)]).await.expect("a part");
    assert_eq!((answer.from, answer.entries.len()), (1, 2));
    let nothing = descriptors(vec![done(4)]).await;
    assert!(
        matches!(nothing, Err(PeerError::Refused { code: 4, .. })),
        "it would be asked for again and again: {nothing:?}"
    );
    let other = descriptors(vec![done(32)]).await.expect_err("nothing is there").to_string();
    assert!(other.contains("noSuchObject") && other.contains("icsDomain=devices.acme.example,cn=Log"), "{other}");
    let busy = descriptors(vec![entry(1, 9), done(51)]).await;
    assert!(matches!(busy, Err(PeerError::Refused { code: 51, .. })), "{busy:?}");
}

/// It takes the question for the cookie of another log.
#[tokio::test]
async fn a_node_that_does_not_know_how_much_is_taken_is_asked_without_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("ldap://{}", listener.local_addr().expect("an address"));
    let asked = tokio::spawn(async move {
        let (mut asked, mut open) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.expect("a question");
            asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(&done(REFRESH_REQUIRED.into())).await.expect("an answer");
            open.push(stream);
        }
        (asked, open)
    });
    let peer = peer_at(&url);
    peer.origins.lock().expect("a lock").insert(domain(), format!("{}/00", domain()));
    let again = Again { question: 7, hidden: vec![1], held: vec![2], until: Some(17) };
    let refused = peer.again(&domain(), &again).await.expect_err("it refuses both");
    assert!(matches!(refused, PeerError::Refused { code: REFRESH_REQUIRED, .. }), "{refused:?}");
    let (asked, _open) = asked.await.expect("it was asked twice");
    for (asked, until) in asked.iter().zip(["17 ", ""]) {
        let question = format!("/00 {until}{{\"question\":7,\"hidden\":[1],\"held\":[2]}}");
        assert!(asked.contains(&question), "{asked}");
    }
}

/// Where the link has changed meanwhile, the question would wait for two minutes.
#[tokio::test]
async fn a_connection_that_nobody_has_used_for_long_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("ldap://{}", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut request).await {
                    // The message's number, an INTEGER of one byte.
                    let id = request[..length].windows(3).find(|it| it[..2] == [2, 1]).expect("a number")[2];
                    stream.write_all(&done_to(id.into(), 0)).await.expect("an answer");
                }
            });
        }
    });
    let peer = peer_at(&url);
    for _ in 0..2 {
        peer.ask(&domain(), Scope::Base, ALL, 0, None).await.expect("an answer");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    if let Some(waiting) = &mut *peer.waiting.lock().expect("a lock") {
        waiting.used = waiting.used.checked_sub(Duration::from_secs(IDLE_SECONDS + 1)).expect("after the start");
    }
    peer.ask(&domain(), Scope::Base, ALL, 0, None).await.expect("an answer");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn who_is_silent_is_given_up() {
    let (silence, asked) = (Duration::from_millis(1), Cell::new(0));
    let is_sending = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let answer = first(core::future::pending::<()>(), silence, is_sending).await;
    assert!(matches!(&answer, Err(PeerError::Transport(why)) if why.contains("silent")), "{answer:?}");
    assert_eq!(asked.get(), 3);
    assert_eq!(first(core::future::ready(7), silence, || false).await, Ok(7));
}

/// Over a slow line, a large descriptor takes longer than a peer may be silent, and would else never come. The pauses
/// that a budget makes are not the peer's.
#[test]
fn whose_entry_is_not_whole_yet_is_not_silent() {
    let (peer, mut seen) = (peer_at("ldap://127.0.0.1"), 0);
    assert!(!peer.meter.is_sending(&mut seen));
    peer.meter.note(1);
    assert!(peer.meter.is_sending(&mut seen));
    assert!(!peer.meter.is_sending(&mut seen), "no more has come");
    let peer = peer.with_budget(1);
    peer.meter.note(1_000);
    assert!(peer.meter.is_sending(&mut seen) && peer.meter.is_sending(&mut seen), "no more may come for now");
}

/// A large entry that is pushed over a slow line would be a failure of the peer each time.
#[tokio::test]
async fn news_that_is_not_whole_yet_is_waited_for() {
    // It takes two seconds to come.
    let intermediate = message(0x79, |out| ber::primitive(out, 0x81, &b"x".repeat(90)));
    let peer = sends(Vec::new(), [intermediate, done(51)].concat()).await;
    peer.origins.lock().expect("a lock").insert(domain(), format!("{}/00", domain()));
    let mut news = peer.stream(&domain(), 0).await.expect("a stream");
    news.silence = Duration::from_secs(1);
    let refused = news.next().await.expect_err("no news");
    assert!(matches!(&refused, PeerError::Refused { code: 51, .. }), "{refused:?}");
}

/// Whoever copies what anybody may copy would be told several times a minute that the peer has ended its stream.
#[tokio::test]
async fn where_the_key_is_shown_again_news_is_heard_from_a_new_connection() {
    let peer = sends(vec![done(51)], Vec::new()).await;
    peer.origins.lock().expect("a lock").insert(domain(), format!("{}/00", domain()));
    let mut news = peer.stream(&domain(), 0).await.expect("a stream");
    news.connection.stale_after = Some(Duration::ZERO);
    assert!(news.is_stale());
    let busy = news.next().await.expect_err("no news");
    assert!(matches!(busy, PeerError::Refused { code: 51, .. }), "that it is stale is no fault of the peer: {busy:?}");

    let mut stream = Some(Stream::Ldap(Box::new(news)));
    let other = sends(vec![done(53)], Vec::new()).await;
    other.origins.lock().expect("a lock").insert(domain(), format!("{}/00", domain()));
    let heard = listen(&Peer::Ldap(other), &domain(), &mut stream, 0, Way::Stream).await;
    assert!(matches!(heard, Err(PeerError::Refused { code: 53, .. })), "a new one is opened: {heard:?}");
}

#[test]
fn to_whom_the_key_is_unknown_it_is_shown_ever_more_rarely() {
    let seconds = [0, 12, 13, 16, 17, u32::MAX].map(|before| stranger_time(before).as_secs());
    assert_eq!(seconds, [10, 10, 20, 160, 160, 160]);
    // The copies of many domains are not shown to be unknown sooner because there are many.
    let peer = peer_at("ldap://127.0.0.1");
    peer.unknown.store(STRANGER_TIMES, Ordering::Relaxed);
    assert_eq!(peer.counted_apart().unknown.load(Ordering::Relaxed), 0);
}
