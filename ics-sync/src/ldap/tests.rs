//! A directory that answers with more than was asked for, or with less.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::ber;

/// Bytes of one entry's body.
const BODY: usize = 256 * 1024;

/// A message of the directory about the first thing that was asked.
fn message(operation: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    ber::element(&mut out, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, 1);
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
    message(0x65, |out| {
        ber::integer(out, ber::ENUMERATED, code);
        ber::primitive(out, ber::OCTETS, b"");
        ber::primitive(out, ber::OCTETS, b"");
    })
}

/// What a client makes of these messages, when it asks for the descriptors from the first on.
async fn descriptors(messages: Vec<Vec<u8>>) -> Result<Descriptors, PeerError> {
    descriptors_and(messages, Vec::new()).await
}

/// The same where something comes behind them byte by byte.
async fn descriptors_and(messages: Vec<Vec<u8>>, dripped: Vec<u8>) -> Result<Descriptors, PeerError> {
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
    let tls =
        ClientConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
    let peer = LdapPeer::new(&url, tls).expect("an address");
    peer.descriptors(&"devices.acme.example".parse().expect("a name"), 1).await
}

#[tokio::test]
async fn more_bytes_than_a_page_has_are_refused() {
    let entries = (1..=1 + PAGE_JSON_BYTES / BODY).map(|version| entry(version, BODY));
    let answer = descriptors(entries.chain([done(0)]).collect()).await;
    assert_eq!(answer.err(), Some(WireError::TooLong(PAGE_JSON_BYTES).into()));
}

/// Whoever gives the next peer a turn only once an answer has taken two minutes would hold up for hours who asks for many.
#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_given_up() {
    let began = Instant::now();
    let answer = descriptors_and(vec![entry(1, 9)], entry(2, 9_999)).await;
    assert!(matches!(&answer, Err(PeerError::Transport(why)) if why.contains("too slowly")), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Who asks without TLS where nothing else is spoken would look for the fault in the directory.
#[tokio::test]
async fn a_port_that_takes_tls_alone_is_told_as_such() {
    let answer = descriptors(vec![vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32]]).await;
    assert!(matches!(&answer, Err(PeerError::Malformed(what)) if what.contains("ldaps://")), "{answer:?}");
}

/// A directory gives no more than so many entries in one answer, however many there are. The mirror asks on behind them.
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
