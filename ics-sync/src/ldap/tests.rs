//! A directory that answers with more than was asked for.

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

fn entry(version: usize) -> Vec<u8> {
    message(0x64, |out| {
        ber::primitive(out, ber::OCTETS, b"cn=x");
        ber::element(out, ber::SEQUENCE, |out| {
            let version = version.to_string();
            for (name, value) in [("icsDescriptorVersion", version.as_bytes()), ("icsBody", &[7; BODY])] {
                ber::element(out, ber::SEQUENCE, |out| {
                    ber::primitive(out, ber::OCTETS, name.as_bytes());
                    ber::element(out, ber::SET, |out| ber::primitive(out, ber::OCTETS, value));
                });
            }
        });
    })
}

#[tokio::test]
async fn more_bytes_than_a_page_has_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("ldap://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1024]).await;
        for version in 1..=1 + PAGE_JSON_BYTES / BODY {
            if stream.write_all(&entry(version)).await.is_err() {
                return;
            }
        }
        let done = message(0x65, |out| {
            ber::integer(out, ber::ENUMERATED, 0);
            ber::primitive(out, ber::OCTETS, b"");
            ber::primitive(out, ber::OCTETS, b"");
        });
        let _ = stream.write_all(&done).await;
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let tls =
        ClientConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
    let peer = LdapPeer::new(&url, tls).expect("an address");
    let answer = peer.descriptors(&"devices.acme.example".parse().expect("a name"), 1).await;
    assert_eq!(answer.err(), Some(WireError::TooLong(PAGE_JSON_BYTES).into()));
}
