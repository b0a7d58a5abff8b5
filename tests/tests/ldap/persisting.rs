//! Searches that persist (RFC 4533): how they end, who they belong to, and what they hear of.

use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::time::Timestamp;
use tokio::io::AsyncReadExt as _;

use crate::raw::{
    CANCEL, Client, Got, START_TLS, WHO_AM_I, bind, control, extended, message, present, search, text, tlv,
};
use crate::support::{Directory, access_rules, identity_dn, introduced, stolen_from, submit};
use crate::world::{DOMAIN, domain, maker, stolen};

/// A search of a whole subtree that goes on after the refresh.
fn persisting(id: u8, base: &str) -> Vec<u8> {
    persisting_from(id, base, &[])
}

/// The same by a consumer who has come with this cookie.
fn persisting_from(id: u8, base: &str, cookie: &[u8]) -> Vec<u8> {
    let value = tlv(0x30, &[&tlv(10, &[3])[..], cookie].concat());
    message(id, &search(base.as_bytes(), 2, &present()), &control("1.3.6.1.4.1.4203.1.9.1.1", true, Some(&value)))
}

fn who_am_i(id: u8) -> Vec<u8> {
    message(id, &extended(WHO_AM_I, None), &[])
}

/// Reads until the refresh is over; returns the number of entries.
async fn refreshed(client: &mut Client, id: i32) -> usize {
    let mut entries = 0;
    loop {
        match client.next().await {
            Some((of, 0x64, _)) if of == id => entries += 1,
            Some((of, 0x79, _)) if of == id => return entries,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads up to the result of an operation; returns what came before it, except for cookies, which may come at any time,
/// and the result code.
async fn ended(client: &mut Client, id: i32) -> (Vec<Got>, Option<u16>) {
    let mut before = Vec::new();
    loop {
        match client.next().await {
            Some((of, 0x65 | 0x61 | 0x78, code)) if of == id => return (before, code),
            Some((_, 0x79, _)) => {}
            Some(got) => before.push(got),
            None => panic!("the session has ended: {before:?}"),
        }
    }
}

/// The cookie after the refresh of a log's consumer who has come with this one, and stays.
async fn cookie_after(node: &Directory, cookie: &str) -> String {
    let base = format!("icsDomain={DOMAIN},cn=Log");
    let mut client = Client::connect(node).await;
    client.send(&persisting_from(1, &base, &text(cookie))).await;
    let (mut got, begins) = (Vec::new(), format!("ics {DOMAIN}/"));
    loop {
        let at = got.windows(begins.len()).position(|it| it == begins.as_bytes());
        // It is shorter than 128 bytes, so its length is the byte before it.
        if let Some(cookie) = at.and_then(|at| got.get(at..at + usize::from(got[at - 1]))) {
            return String::from_utf8(cookie.to_vec()).expect("text");
        }
        let read = tokio::time::timeout(Duration::from_secs(60), client.stream.read_buf(&mut got));
        assert!(read.await.expect("in time").expect("is read") > 0, "the session has ended");
    }
}

/// With its cookie (RFC 4533) a consumer comes back for whatever it has not been sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_news_is_not_said_to_have_been_sent() {
    let node = Directory::start().await;
    let info = || node.app.domain(&domain()).expect("here").info;
    let before = info().size;
    let more = u8::try_from(limits::NEWS_ENTRIES).expect("few") + 1;
    submit(&node.app, &domain(), (100..100 + more).map(|seed| introduced(seed, None)).collect()).await;
    let (origin, size) = (info().origin, info().size);
    for (cookie, after) in [
        (format!("{before}"), before),
        (format!("{before} {before}"), before),
        (format!("{}", size - 3), size),
        (format!("{size}"), size),
    ] {
        let told = cookie_after(&node, &format!("ics {origin} {cookie}")).await;
        assert_eq!(told, format!("ics {origin} {after}"), "{cookie}");
    }
    node.stop().await;
}

/// RFC 4533, 3.7; RFC 3909; RFC 4511, 4.11.
#[tokio::test(flavor = "multi_thread")]
async fn they_are_cancelled_and_abandoned() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    client.send(&persisting(1, &identity_dn(13))).await;
    assert_eq!(refreshed(&mut client, 1).await, 3);
    client.send(&persisting(2, &identity_dn(14))).await;
    assert_eq!(refreshed(&mut client, 2).await, 2);

    client.send(&message(3, &extended(CANCEL, Some(&tlv(0x30, &tlv(2, &[1])))), &[])).await;
    assert_eq!(ended(&mut client, 1).await, (Vec::new(), Some(118)), "canceled");
    assert_eq!(ended(&mut client, 3).await, (Vec::new(), Some(0)));
    client.send(&message(4, &extended(CANCEL, Some(&tlv(0x30, &tlv(2, &[1])))), &[])).await;
    assert_eq!(ended(&mut client, 4).await, (Vec::new(), Some(119)), "there is none any more");

    // There is news about both things; the client hears of the one whose search still runs, and not of the other.
    submit(&node.app, &domain(), vec![stolen(&maker(), 14)]).await;
    let mut entries = 0;
    while entries < 2 {
        match client.next().await {
            Some((2, tag @ (0x64 | 0x79), _)) => entries += usize::from(tag == 0x64),
            other => panic!("the thing, and one more statement, and nothing else: {other:?}"),
        }
    }
    client.send(&message(5, &tlv(0x50, &[2]), &[])).await;
    client.send(&who_am_i(6)).await;
    assert_eq!(ended(&mut client, 6).await, (Vec::new(), Some(0)), "abandon has no answer");
    submit(&node.app, &domain(), vec![introduced(14, None)]).await;
    client.send(&persisting(7, &identity_dn(14))).await;
    assert_eq!(refreshed(&mut client, 7).await, 4, "and nothing came of what was abandoned");
    node.stop().await;
}

/// Each of them looks again after all that comes in.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    let most = u8::try_from(limits::LDAP_PERSISTING).expect("few");
    for id in 1..=most {
        client.send(&persisting(id, &identity_dn(14))).await;
        // Those before it may tell of the time.
        while !matches!(client.next().await.expect("an answer"), (of, 0x79, _) if of == i32::from(id)) {}
    }
    client.send(&persisting(most + 1, &identity_dn(14))).await;
    assert_eq!(ended(&mut client, i32::from(most + 1)).await.1, Some(11), "one too many");
    client.send(&message(most + 2, &tlv(0x50, &[1]), &[])).await;
    client.send(&persisting(most + 3, &identity_dn(14))).await;
    while !matches!(client.next().await.expect("an answer"), (of, 0x79, _) if of == i32::from(most + 3)) {}
    node.stop().await;
}

/// Things that the domain mentions but others have introduced are included.
#[tokio::test(flavor = "multi_thread")]
async fn they_have_what_the_domain_has_not_introduced() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    let base = format!("icsDomain={DOMAIN},o=ics");
    client.send(&persisting(1, &base)).await;
    let before = refreshed(&mut client, 1).await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 20)]).await;
    let mut other = Client::connect(&node).await;
    other.send(&persisting(2, &base)).await;
    assert_eq!(refreshed(&mut other, 2).await, before + 2, "the thing, and what is said of it");
    node.stop().await;
}

/// A client that binds again is another: what ran for the former identity ends (RFC 4511, 4.2.1). TLS cannot begin
/// before (RFC 4513, 3.1.1).
#[tokio::test(flavor = "multi_thread")]
async fn they_end_with_who_asked() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    client.send(&persisting(1, &identity_dn(14))).await;
    assert_eq!(refreshed(&mut client, 1).await, 2);
    client.send(&message(2, &bind(3, b"", &tlv(0x80, b"")), &[])).await;
    assert_eq!(ended(&mut client, 2).await.1, Some(0));
    submit(&node.app, &domain(), vec![stolen(&maker(), 14)]).await;
    client.send(&who_am_i(3)).await;
    assert_eq!(ended(&mut client, 3).await, (Vec::new(), Some(0)), "nothing of the first search comes any more");

    client.send(&persisting(4, &identity_dn(14))).await;
    assert_eq!(refreshed(&mut client, 4).await, 3);
    client.send(&message(5, &extended(START_TLS, None), &[])).await;
    assert_eq!(ended(&mut client, 5).await.1, Some(1), "not while operations are outstanding");
    client.send(&who_am_i(6)).await;
    assert_eq!(ended(&mut client, 6).await, (Vec::new(), Some(0)), "and all goes on");
    node.stop().await;
}

/// What begins with time alone, without an entry, is told to a client that keeps asking for other things meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn they_hear_of_time_whatever_else_is_asked() {
    let node = Directory::start().await;
    let soon = Timestamp::from_seconds(node.app.clock().now().as_seconds() + 12);
    submit(&node.app, &domain(), vec![stolen_from(14, soon)]).await;
    let mut client = Client::connect(&node).await;
    client.send(&persisting(1, &identity_dn(14))).await;
    assert!(refreshed(&mut client, 1).await > 0);
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(40), "nobody has told it");
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send(&who_am_i(2)).await;
        let (before, code) = ended(&mut client, 2).await;
        assert_eq!(code, Some(0));
        if before.iter().any(|got| (got.0, got.1) == (1, 0x64)) {
            return node.stop().await;
        }
    }
}

/// A search whose base may no longer be read ends, once its client has been told what to forget (RFC 4533, 3.5.1).
#[tokio::test(flavor = "multi_thread")]
async fn they_end_with_their_base() {
    let node = Directory::start().await;
    submit(&node.app, &domain(), vec![introduced(21, Some("S"))]).await;
    let mut client = Client::connect(&node).await;
    let all = format!("icsDomain={DOMAIN},o=ics");
    client.send(&persisting(1, &identity_dn(21))).await;
    assert_eq!(refreshed(&mut client, 1).await, 2);
    client.send(&persisting(2, &all)).await;
    assert_eq!(refreshed(&mut client, 2).await, 1 + 11 + 12);
    let rule = "@id(\"secret-lot\") forbid (principal, action == Action::\"read\", resource) when { resource has lot && resource.lot == \"S\" };";
    access_rules(&node.app, rule).await;
    let (before, code) = ended(&mut client, 1).await;
    assert_eq!(code, Some(32), "{before:?}");
    assert_eq!(before.iter().filter(|got| (got.0, got.1) == (1, 0x64)).count(), 2, "both entries are gone: {before:?}");
    client.send(&who_am_i(9)).await;
    assert_eq!(ended(&mut client, 9).await.1, Some(0), "and the session goes on");
    node.stop().await;
}
