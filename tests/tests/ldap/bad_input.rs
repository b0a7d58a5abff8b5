//! What is not LDAP, or cannot be done, gets the result code that the RFCs prescribe, and nothing else.

use std::time::Duration;

use ics_core::limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::raw::{
    CANCEL, Client, NOTICE, START_TLS, WHO_AM_I, bind, control, equality, extended, message, nested, paged, present,
    search, text, tlv,
};
use crate::support::{Directory, identity_dn};
use crate::world::DOMAIN;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ldap_ends_the_session() {
    let node = Directory::start().await;
    let good = message(1, &search(b"o=ics", 0, &present()), &[]);
    let mut lying = good.clone();
    // Makes the base's length longer than the input.
    let at = lying.windows(2).position(|pair| pair == [4, 5]).expect("the base") + 1;
    lying[at] = 200;
    let elements = tlv(0x66, &[text("o=ics"), tlv(0x30, &[4, 0].repeat(5_000))].concat());
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("not a sequence", tlv(0x31, &[2, 1, 1])),
        ("indefinite length", b"\x30\x80\x02\x01\x01\x42\x00\x00\x00".to_vec()),
        ("a length of eight octets", b"\x30\x88\x00\x00\x00\x00\x00\x00\x00\x05\x02\x01\x01\x42\x00".to_vec()),
        ("a gigabyte announced", b"\x30\x84\x40\x00\x00\x00\x02\x01\x01\x63".to_vec()),
        ("a long search", [&b"\x30\x83\x10\x00\x10\x02\x01\x01\x63"[..], &[0; 100]].concat()),
        ("no id", tlv(0x30, &tlv(0x42, &[]))),
        ("a negative id", tlv(0x30, &[tlv(2, &[0xff, 0xff, 0xff, 0xff]), tlv(0x42, &[])].concat())),
        ("id 0", message(0, &search(b"o=ics", 0, &present()), &[])),
        ("an answer", message(1, &tlv(0x65, &[10, 1, 0, 4, 0, 4, 0]), &[])),
        ("an operation that is none", message(1, &tlv(0x7e, &[]), &[])),
        ("nothing behind the id", tlv(0x30, &tlv(2, &[1]))),
        ("a length that lies", lying),
        ("a search without filter", message(1, &tlv(0x63, &text("o=ics")), &[])),
        ("a scope that is none", message(1, &search(b"o=ics", 9, &present()), &[])),
        ("a filter that is none", message(1, &search(b"o=ics", 0, &tlv(0xab, b"")), &[])),
        ("controls that are none", message(1, &search(b"o=ics", 0, &present()), &tlv(0xa0, &tlv(4, b"x")))),
        ("something behind the controls", message(1, &search(b"o=ics", 0, &present()), &[4, 0, 4, 0])),
    ];
    for (name, bytes) in rows {
        let mut client = Client::connect(&node).await;
        assert_eq!(client.ask(&bytes).await, Some(NOTICE(2)), "{name}");
        assert_eq!(client.next().await, None, "{name}: the session ends");
    }
    let mut client = Client::connect(&node).await;
    assert_eq!(client.ask(&message(1, &elements, &[])).await, Some((1, 0x67, Some(11))), "too many elements");
    assert!(client.is_alive().await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_gets_its_code() {
    let node = Directory::start().await;
    let dn = identity_dn(13);
    let base = format!("icsDomain={DOMAIN},o=ics");
    let of = |operation: Vec<u8>| message(1, &operation, &[]);
    let sasl = |mechanism: &str| tlv(0xa3, &text(mechanism));
    let simple = |password: &[u8]| tlv(0x80, password);
    let wide = tlv(0xa1, &present().repeat(64));
    // A request to be kept in step, and what nobody reads of it.
    let swollen = tlv(0x30, &[tlv(10, &[1]), [4, 0].repeat(5_000)].concat());
    let rows: Vec<(&str, Vec<u8>, u8, u16)> = vec![
        ("a filter of depth 16", of(search(b"o=ics", 0, &nested(16))), 0x65, 0),
        ("a filter of depth 17", of(search(b"o=ics", 0, &nested(17))), 0x65, 11),
        ("a filter of depth 1000", of(search(b"o=ics", 0, &nested(1000))), 0x65, 11),
        ("a filter of 65 terms", of(search(b"o=ics", 0, &wide)), 0x65, 11),
        ("a name that is none", of(search(b"o", 0, &present())), 0x65, 34),
        ("a name that is not UTF-8", of(search(b"o=\xff", 0, &present())), 0x65, 34),
        ("an escaped name that is not UTF-8", of(search(b"o=\\ff", 0, &present())), 0x65, 34),
        ("a name of 3,000 bytes", of(search(&[b"o=".to_vec(), vec![b'x'; 3000]].concat(), 0, &present())), 0x65, 34),
        ("a value that is not UTF-8", of(search(base.as_bytes(), 2, &equality("icsKind", b"\xff\xfe"))), 0x65, 0),
        ("a name outside of the tree", of(search(b"dc=example", 2, &present())), 0x65, 32),
        ("nothing indexed", of(search(base.as_bytes(), 2, &equality("cn", b"x"))), 0x65, 11),
        ("a critical control", message(1, &search(b"o=ics", 0, &present()), &control("1.2.3", true, None)), 0x65, 12),
        (
            "a control that is not",
            message(1, &search(b"o=ics", 0, &present()), &control("1.2.3", false, None)),
            0x65,
            0,
        ),
        (
            "paging of a comparison",
            message(
                1,
                &tlv(0x6e, &[text(&dn), tlv(0x30, &[text("icsKind"), text("x")].concat())].concat()),
                &paged(b""),
            ),
            0x6f,
            12,
        ),
        (
            "a malformed control",
            message(1, &search(b"o=ics", 0, &present()), &control("1.2.840.113556.1.4.319", false, Some(b"x"))),
            0x65,
            2,
        ),
        (
            "a control of too many elements",
            message(1, &search(b"o=ics", 0, &present()), &control("1.3.6.1.4.1.4203.1.9.1.1", true, Some(&swollen))),
            0x65,
            2,
        ),
        ("a cookie of nobody", message(1, &search(b"o=ics", 0, &present()), &paged(b"\0\0\0\0\0\0\0\x01")), 0x65, 53),
        ("version 2", of(bind(2, b"", &simple(b""))), 0x61, 2),
        ("a name without a password", of(bind(3, b"cn=operator,o=ics", &simple(b""))), 0x61, 53),
        ("a password without TLS", of(bind(3, b"cn=operator,o=ics", &simple(b"x"))), 0x61, 13),
        ("a password that is not UTF-8", of(bind(3, b"cn=operator,o=ics", &simple(b"\xff"))), 0x61, 49),
        ("CRAM-MD5", of(bind(3, b"", &sasl("CRAM-MD5"))), 0x61, 7),
        ("EXTERNAL without a certificate", of(bind(3, b"", &sasl("EXTERNAL"))), 0x61, 48),
        ("Kerberos of version 2", of(bind(3, b"", &tlv(0x81, b"x"))), 0x61, 7),
        ("an extended operation that is none", of(extended("1.2.3", None)), 0x78, 2),
        ("who am I with a value", of(extended(WHO_AM_I, Some(b"x"))), 0x78, 2),
        ("StartTLS with a value", of(extended(START_TLS, Some(b"x"))), 0x78, 2),
        ("cancelling nothing", of(extended(CANCEL, Some(&tlv(0x30, &tlv(2, &[7]))))), 0x78, 119),
        ("cancelling without saying what", of(extended(CANCEL, None)), 0x78, 2),
        ("adding to a domain", of(tlv(0x68, &[text(&base), tlv(0x30, b"")].concat())), 0x69, 50),
        ("adding outside of the tree", of(tlv(0x68, &[text("o=x"), tlv(0x30, b"")].concat())), 0x69, 32),
        ("deleting", of(tlv(0x4a, dn.as_bytes())), 0x6b, 50),
        ("deleting what is no name", of(tlv(0x4a, b"x")), 0x6b, 34),
        ("deleting a name that is not UTF-8", of(tlv(0x4a, b"o=\xff")), 0x6b, 34),
        ("moving", of(tlv(0x6c, &[text(&dn), text("icsIdentity=x"), tlv(1, &[0])].concat())), 0x6d, 53),
    ];
    for (name, bytes, tag, code) in rows {
        let mut client = Client::connect(&node).await;
        client.send(&bytes).await;
        let mut got = client.next().await;
        while matches!(got, Some((1, 0x64, _))) {
            got = client.next().await;
        }
        assert_eq!(got, Some((1, tag, Some(code))), "{name}");
        assert!(client.is_alive().await, "{name}: the session goes on");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_passwords_is_sent_away() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    let guess = |id| message(id, &bind(3, b"cn=operator,o=ics", &tlv(0x80, b"\xff")), &[]);
    for id in 1..=20 {
        let got = client.ask(&guess(id)).await;
        if got == Some(NOTICE(53)) || got.is_none() {
            assert!(id > 3);
            return node.stop().await;
        }
        assert_eq!(got, Some((i32::from(id), 0x61, Some(49))));
    }
    panic!("nobody was sent away");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_abandon_and_cancel() {
    let node = Directory::start().await;
    let base = format!("icsDomain={DOMAIN},o=ics");
    let all = |id| message(id, &search(base.as_bytes(), 2, &present()), &[]);
    let mut client = Client::connect(&node).await;
    // A bind during a search waits for its turn; abandoning a finished search does nothing; the third never begins.
    let bytes = [
        all(1),
        message(2, &bind(3, b"", &tlv(0x80, b"")), &[]),
        all(3),
        message(4, &tlv(0x50, &[3]), &[]),
        all(5),
        message(6, &extended(CANCEL, Some(&tlv(0x30, &tlv(2, &[5])))), &[]),
        message(7, &extended(WHO_AM_I, None), &[]),
    ];
    client.send(&bytes.concat()).await;
    let mut answers = Vec::new();
    while answers.last() != Some(&(7, 0x78, Some(0))) {
        let got = client.next().await.expect("an answer");
        if got.1 != 0x64 {
            answers.push(got);
        }
    }
    let of = |id| answers.iter().find(|answer| answer.0 == id).copied();
    assert_eq!(of(1), Some((1, 0x65, Some(0))));
    assert_eq!(of(2), Some((2, 0x61, Some(0))));
    assert_eq!(of(3), None, "abandoned: {answers:?}");
    assert_eq!(of(5), Some((5, 0x65, Some(118))), "cancelled: {answers:?}");
    assert_eq!(of(6), Some((6, 0x78, Some(0))));
    // Unbind ends the session without an answer.
    assert_eq!(client.ask(&message(8, &tlv(0x42, &[]), &[])).await, None);
    node.stop().await;
}

/// A request for a page of the domain's things.
fn page(id: u8, cookie: &[u8], filter: &[u8]) -> Vec<u8> {
    let base = format!("icsDomain={DOMAIN},o=ics");
    message(id, &search(base.as_bytes(), 2, filter), &paged(cookie))
}

/// Reads up to the result of a search; returns its code.
async fn done(client: &mut Client) -> Option<u16> {
    loop {
        let got = client.next().await.expect("an answer");
        if got.1 != 0x64 {
            return got.2;
        }
    }
}

/// The oldest of them is given up for another.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_searches_of_a_connection_wait_for_their_next_page() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    let more = u8::try_from(limits::LDAP_PAGED_SEARCHES).expect("few") + 1;
    for id in 1..=more {
        client.send(&page(id, b"", &present())).await;
        assert_eq!(done(&mut client).await, Some(0));
    }
    for (cookie, code) in [(1_u64, 53), (2, 0)] {
        client.send(&page(more + 1, &cookie.to_be_bytes(), &present())).await;
        assert_eq!(done(&mut client).await, Some(code), "{cookie}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_belong_to_their_connection() {
    let node = Directory::start().await;
    let mut one = Client::connect(&node).await;
    one.send(&page(1, b"", &present())).await;
    assert_eq!(done(&mut one).await, Some(0));
    let cookie = 1_u64.to_be_bytes();
    let mut other = Client::connect(&node).await;
    other.send(&page(1, &cookie, &present())).await;
    assert_eq!(done(&mut other).await, Some(53), "a cookie of another connection");
    one.send(&page(2, &cookie, &present())).await;
    assert_eq!(done(&mut one).await, Some(0), "its own");
    one.send(&page(3, &cookie, &present())).await;
    assert_eq!(done(&mut one).await, Some(53), "a cookie is good once");
    one.send(&page(4, &2_u64.to_be_bytes(), &equality("icsKind", b"device"))).await;
    assert_eq!(done(&mut one).await, Some(53), "the cookie of another search");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slow_are_cut_and_the_idle_are_told() {
    let node = Directory::with(|settings| {
        settings.patience = Duration::from_millis(300);
        // A client on a busy machine may take a moment to ask.
        settings.idle = Duration::from_secs(6);
    })
    .await;
    let mut slow = Client::connect(&node).await;
    slow.send(&message(1, &search(b"o=ics", 0, &present()), &[])[..9]).await;
    assert_eq!(slow.next().await, Some(NOTICE(2)), "half a message");
    assert_eq!(slow.next().await, None);
    let mut idle = Client::connect(&node).await;
    assert_eq!(idle.next().await, Some(NOTICE(52)), "nothing asked for");
    assert_eq!(idle.next().await, None);
    // A handshake that never comes, and bytes that are not one.
    for bytes in [&b""[..], b"\x30\x05\x02\x01\x01\x42\x00"] {
        let mut half = Client::connect(&node).await;
        assert_eq!(half.ask(&message(1, &extended(START_TLS, None), &[])).await, Some((1, 0x78, Some(0))));
        half.send(bytes).await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), half.stream.read_to_end(&mut rest));
        let _ = read.await.expect("is closed in time");
        assert!(rest.first().is_none_or(|first| *first == 0x15), "nothing but an alert of TLS: {rest:x?}");
    }
    // What is sent in the clear after StartTLS is never taken as if it had come over TLS.
    let mut injected = Client::connect(&node).await;
    let bytes = [message(1, &extended(START_TLS, None), &[]), message(2, &extended(WHO_AM_I, None), &[])].concat();
    assert_eq!(injected.ask(&bytes).await, Some(NOTICE(2)));
    assert_eq!(injected.next().await, None);
    node.stop().await;
}

/// Each of the client's messages comes in two pieces, and each piece begins the next message.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_asking_is_not_slow() {
    let node = Directory::with(|settings| settings.patience = Duration::from_secs(4)).await;
    let mut steady = Client::connect(&node).await;
    let question = message(1, &extended(WHO_AM_I, None), &[]);
    let (first, rest) = question.split_at(9);
    steady.send(first).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(steady.ask(&[rest, first].concat()).await, Some((1, 0x78, Some(0))));
    }
    node.stop().await;
}

/// A search for the schema, whose answer takes some 20 kB.
fn for_schema() -> Vec<u8> {
    let parts = [
        tlv(4, b"cn=Subschema"),
        tlv(10, &[0]),
        tlv(10, &[0]),
        tlv(2, &[0]),
        tlv(2, &[0]),
        tlv(1, &[0]),
        present(),
        tlv(0x30, &text("+")),
    ];
    message(1, &tlv(0x63, &parts.concat()), &[])
}

/// Otherwise all connections together could have what fits into no memory.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_all_clients_is_bounded() {
    const ASKED: usize = 20;
    for (held_bytes, is_answered) in [(0, false), (1 << 24, true)] {
        let node = Directory::with(|settings| settings.held_bytes = held_bytes).await;
        let mut client = Client::connect(&node).await;
        client.send(&for_schema().repeat(ASKED)).await;
        let (mut answered, mut last) = (0, None);
        while answered < ASKED
            && let Some(got) = client.next().await
        {
            answered += usize::from(got.1 == 0x65);
            last = Some(got);
        }
        assert_eq!(answered == ASKED, is_answered, "{answered} answers within {held_bytes} bytes");
        assert!(is_answered || last == Some(NOTICE(51)), "it is told why: {last:?}");
        assert!(Client::connect(&node).await.is_alive().await, "others are answered");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_nothing_is_cut_and_fills_no_memory() {
    let node = Directory::with(|settings| settings.patience = Duration::from_millis(300)).await;
    let mut greedy = Client::connect(&node).await;
    // The requests after the answers fill the sockets until the server gives up.
    let many = for_schema().repeat(1000);
    let cut = async { while greedy.stream.write_all(&many).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), cut).await.expect("the server closes in time");
    node.stop().await;
}

/// Strangers hold no place that someone else needs.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_finds_a_place() {
    let node = Directory::with(|settings| settings.max_connections = 3).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&node).await;
        assert!(client.is_alive().await, "there is a place for number {}", clients.len() + 1);
        clients.push(client);
    }
    let [first, rest @ ..] = clients.as_mut_slice() else { panic!("four") };
    assert_eq!(first.next().await, Some(NOTICE(51)), "the oldest has to leave, and is told");
    assert_eq!(first.next().await, None);
    for client in rest {
        assert!(client.is_alive().await, "the others go on");
    }
    node.stop().await;
}

/// Otherwise it could not tell that from a network that fails (RFC 4511, 4.4.1).
#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_place_is_told() {
    let node = Directory::with(|settings| settings.max_connections = 1).await;
    let answer = node.python(include_str!("full.py")).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.has("told True").has("operator dn:cn=operator,o=ics");
    node.stop().await;
}

/// A client that has identified itself keeps its place, however many strangers come.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_known_keeps_his_place() {
    let node = Directory::with(|settings| settings.max_connections = 2).await;
    let answer = node.python(include_str!("crowd.py")).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.has("operator dn:cn=operator,o=ics");
    node.stop().await;
}

/// Half of the places for long messages are left to those who are known, even if no message of a stranger ever ends.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_have_all_places_for_long_messages() {
    let node = Directory::with(|settings| settings.patience = Duration::from_secs(40)).await;
    let whole = message(1, &tlv(0x68, &vec![0; 3 * limits::LDAP_REQUEST_BYTES]), &[]);
    let mut clients = JoinSet::new();
    for _ in 0..=limits::LDAP_LONG_MESSAGES / 2 {
        let mut client = Client::connect(&node).await;
        client.send(&whole[..=limits::LDAP_REQUEST_BYTES]).await;
        clients.spawn(async move { client.next().await });
    }
    let refused = clients.join_next().await.expect("one of them").expect("is told");
    assert_eq!(refused, Some(NOTICE(51)), "there was a place for all but one");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_when_the_server_stops() {
    let node = Directory::start().await;
    let mut client = Client::connect(&node).await;
    assert!(client.is_alive().await);
    let stopped = tokio::spawn(node.stop());
    assert_eq!(client.next().await, Some(NOTICE(52)));
    assert_eq!(client.next().await, None);
    stopped.await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_changed_at_random_never_stop_the_server() {
    let node = Directory::start().await;
    let seeds = [
        message(
            1,
            &search(
                b"icsDomain=devices.acme.example,o=ics",
                2,
                &tlv(0xa0, &[present(), equality("icsLot", b"L1")].concat()),
            ),
            &paged(b""),
        ),
        message(2, &bind(3, b"cn=operator,o=ics", &tlv(0x80, b"x")), &[]),
        message(3, &extended(CANCEL, Some(&tlv(0x30, &tlv(2, &[5])))), &[]),
        message(
            4,
            &tlv(
                0x68,
                &[
                    text("pgpCertID=0123456789ABCDEF,ou=PGP Keys,o=ics"),
                    tlv(0x30, &tlv(0x30, &[text("pgpKey"), tlv(0x31, &text("x"))].concat())),
                ]
                .concat(),
            ),
            &[],
        ),
    ];
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..400 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        let mut client = Client::connect(&node).await;
        client.send(&bytes).await;
        client.stream.shutdown().await.expect("half closed");
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), client.stream.read_to_end(&mut rest));
        let _ = read.await.expect("the server answers or closes");
    }
    assert!(Client::connect(&node).await.is_alive().await);
    node.stop().await;
}
