//! TLS as a stock client sees it, and what keeps a node from serving it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_node::config::{PeerConfig, TlsConfig};
use ics_node::http::{self, ServeError, Settings};
use ics_node::tls::{ClientTls, NodeCertificate, PeerKey, ShownCertificate, TlsError};
use ics_sync::http::client_builder;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Node, settings};
use crate::world::{self, DOMAIN, GATEWAY, MIRROR, World, introduction, maker};

async fn run(command: &mut Command) -> Output {
    command.output().await.expect("the program starts")
}

/// A certificate for localhost and its key, as an operator makes them.
pub(crate) async fn certificate(directory: &Path, name: &str) -> TlsConfig {
    let files =
        TlsConfig { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    // Also with a dot at the end: GnuPG's client does not accept a server name without a dot.
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:localhost."]);
    let made = run(command.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate)).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files
}

/// Asks with curl, which trusts only this certificate; prints HTTP version and status after the body.
async fn curl(node: &Node, files: &TlsConfig, more: &[&str]) -> String {
    let url = format!("https://localhost:{}/livez", node.addresses[0].port());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--ipv4"]);
    command.args(["--write-out", "%{http_version} %{http_code}"]).arg("--cacert").arg(&files.certificate);
    let output = run(command.args(more).arg(url)).await;
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn curl_speaks_tls_with_a_node() {
    let directory = TempDir::new().expect("directory");
    let files = certificate(directory.path(), "node").await;
    let node = Node::start(&Settings { tls: Some(files.clone()), ..settings() });
    // HTTP/2 is not supported: the limits on headers, slow clients and connections are those of HTTP/1.1.
    assert_eq!(curl(&node, &files, &["--http2"]).await, "ok\n1.1 200");
    assert_eq!(curl(&node, &files, &["--tls-max", "1.2"]).await, "ok\n1.1 200");
    assert!(curl(&node, &files, &["--tls-max", "1.1"]).await.contains("000"));
    let other = certificate(directory.path(), "other").await;
    assert!(curl(&node, &other, &[]).await.contains("000"), "another certificate is not trusted");
}

/// Neither if all places are taken, nor if as many have begun a handshake as actix would wait for.
#[tokio::test]
async fn who_begins_no_handshake_keeps_nobody_out() {
    let directory = TempDir::new().expect("directory");
    let files = certificate(directory.path(), "node").await;
    for (max_connections, idle) in [(4, 12), (4096, 300)] {
        let node = Node::start(&Settings { max_connections, tls: Some(files.clone()), ..settings() });
        let mut silent = Vec::new();
        for _ in 0..idle {
            silent.push(TcpStream::connect(node.addresses[0]).await.expect("connects"));
        }
        assert_eq!(curl(&node, &files, &[]).await, "ok\n1.1 200", "beside {idle}");
    }
}

/// A client that is cut off without it may take that for a truncation by somebody else (RFC 9112, section 9.8).
#[tokio::test]
async fn an_idle_connection_ends_with_a_closure_alert() {
    let directory = TempDir::new().expect("directory");
    let files = certificate(directory.path(), "node").await;
    let times = (Duration::from_millis(500), Duration::from_secs(3));
    let hurried = Settings { keep_alive: times.0, request_timeout: times.1, ..settings() };
    let node = Node::start(&Settings { tls: Some(files), ..hurried });
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect"]).arg(node.addresses[0].to_string()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().expect("the program starts");
    let mut asks = client.stdin.take().expect("a pipe");
    asks.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
    let ended = tokio::time::timeout(Duration::from_secs(60), client.wait_with_output()).await;
    let output = ended.expect("in time").expect("ends");
    let [answer, told] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}{told}");
    assert!(output.status.success() && !told.contains("unexpected eof"), "{told}");
}

/// The certificate's key, as an operator extracts it for pinning.
pub(crate) async fn key_of(files: &TlsConfig) -> PeerKey {
    let mut command = Command::new("openssl");
    let made = run(command.args(["pkey", "-pubout", "-outform", "der", "-in"]).arg(&files.key)).await;
    STANDARD.encode(made.stdout).parse().expect("a key")
}

/// Reads the device as a client with this certificate; returns the HTTP status.
async fn read(node: &Node, server: &TlsConfig, own: Option<&TlsConfig>) -> String {
    read_at(&format!("/v1/domains/{DOMAIN}/identities/serial:SN-7"), node, server, own).await
}

/// The same for another path.
async fn read_at(path: &str, node: &Node, server: &TlsConfig, own: Option<&TlsConfig>) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "20", "--ipv4", "--output", "/dev/null", "--write-out", "%{http_code}"]);
    command.arg("--cacert").arg(&server.certificate);
    if let Some(own) = own {
        command.arg("--cert").arg(&own.certificate).arg("--key").arg(&own.key);
    }
    let url = format!("https://localhost:{}{path}", node.addresses[0].port());
    String::from_utf8(run(command.arg(url)).await.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_told_apart_by_their_keys() {
    let directory = TempDir::new().expect("directory");
    let server = certificate(directory.path(), "server").await;
    let (gateway, shop, stranger) = (
        certificate(directory.path(), "gateway").await,
        certificate(directory.path(), "shop").await,
        certificate(directory.path(), "stranger").await,
    );
    let mirror_key = SigningKey::from_bytes(&[5; 32]);
    let known = [
        (key_of(&gateway).await, GATEWAY),
        (key_of(&shop).await, "shop.example"),
        (PeerKey::of_node(&mirror_key.verifying_key()), MIRROR),
    ];
    let peer =
        |(key, name): (PeerKey, &str)| PeerConfig { key: Some(key), ..PeerConfig::new(name.parse().expect("a name")) };
    let peers = known.map(peer).to_vec();
    let world = tokio::task::spawn_blocking(move || World::private(peers)).await.expect("a world");
    let bodies = vec![world::certificate(&maker(), "Acme"), introduction(&maker(), 7)];
    world.app.submit(&world::domain(), bodies).await.expect("is published");
    let node = Node::with(world, &Settings { tls: Some(server.clone()), ..settings() });
    assert_eq!(read(&node, &server, None).await, "404", "nobody in particular");
    assert_eq!(read(&node, &server, Some(&stranger)).await, "404", "a key that stands nowhere");
    assert_eq!(read(&node, &server, Some(&shop)).await, "404", "another node's key");
    assert_eq!(read(&node, &server, Some(&gateway)).await, "200", "a key that the configuration knows");
    for (page, found) in [("/id/serial:SN-7", "200"), ("/?q=serial:SN-7", "303")] {
        assert_eq!(read_at(page, &node, &server, Some(&shop)).await, "404", "{page}: another node's key");
        assert_eq!(read_at(page, &node, &server, Some(&gateway)).await, found, "{page}: as by the API");
    }

    let tls = ClientTls::new(NodeCertificate::make(MIRROR, std::sync::Arc::new(mirror_key)).expect("a certificate"));
    let url = format!("https://localhost:{}/v1/domains/{DOMAIN}/identities/serial:SN-7", node.addresses[0].port());
    let ask = |pin| {
        let tls = tls.for_peer(pin).expect("TLS");
        client_builder(&url).tls_backend_preconfigured(tls).build().expect("a client").get(&url).send()
    };
    let answer = ask(Some(key_of(&server).await.pin())).await.expect("the server is known by its key");
    assert_eq!(answer.status(), 200, "the node's own key");
    assert!(ask(Some(key_of(&shop).await.pin())).await.is_err(), "a server with another key is nobody's");
    assert!(ask(None).await.is_err(), "no authority vouches for it");
}

/// The advice that commands give depends on the difference.
#[tokio::test]
async fn a_client_tells_what_it_does_not_trust_from_what_is_away() {
    let directory = TempDir::new().expect("directory");
    let files = certificate(directory.path(), "node").await;
    let node = Node::start(&Settings { tls: Some(files), ..settings() });
    let port = node.addresses[0].port();
    for (url, is_untrusted) in [(format!("https://localhost:{port}"), true), ("http://127.0.0.1:1".to_owned(), false)] {
        let asked = ics_node::client::node::Node::new(&url).expect("an address").info().await;
        let error = asked.expect_err("no answer");
        assert_eq!(error.is_untrusted(), is_untrusted, "{error}");
    }
}

/// A user who gave a key, and is told that a certificate is not trusted, would look for the fault elsewhere.
#[tokio::test]
async fn a_server_of_another_key_than_was_given_is_told_with_both() {
    let directory = TempDir::new().expect("directory");
    let files = certificate(directory.path(), "node").await;
    let shown = key_of(&files).await.pin();
    let given = key_of(&certificate(directory.path(), "other").await).await.pin();
    let node = Node::start(&Settings { tls: Some(files), ..settings() });
    let url = format!("https://localhost:{}", node.addresses[0].port());
    let ask = async |pin| ics_node::client::node::Node::of_peer(&url, Some(pin)).expect("an address").info().await;
    assert!(ask(shown).await.is_ok(), "its own key");
    let error = ask(given).await.expect_err("is refused");
    let told = error.to_string();
    assert!(error.is_untrusted() && told.contains(&shown.to_string()) && told.contains(&given.to_string()), "{told}");
}

#[tokio::test]
async fn nobody_serves_tls_with_bad_files() {
    let directory = TempDir::new().expect("directory");
    let good = certificate(directory.path(), "node").await;
    let other = certificate(directory.path(), "other").await;
    let missing = directory.path().join("missing.pem");
    let refused = |certificate: &Path, key: &Path| {
        let tls = Some(TlsConfig { certificate: certificate.to_owned(), key: key.to_owned() });
        match http::serve(World::empty().app.clone(), &Settings { tls, ..settings() }) {
            Err(ServeError::Tls(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refused(&missing, &good.key), TlsError::Unreadable { path, .. } if path == missing));
    assert!(matches!(refused(&good.certificate, &missing), TlsError::Unreadable { path, .. } if path == missing));
    assert!(matches!(refused(&good.key, &good.key), TlsError::NoCertificate(path) if path == good.key));
    assert!(matches!(refused(&good.certificate, &other.key), TlsError::Unusable(_)));

    let shown = ShownCertificate::read(&good).expect("good files");
    let allow = |mode| std::fs::set_permissions(&good.key, Permissions::from_mode(mode)).expect("is set");
    allow(0o640);
    shown.read_again().expect("a group may have it");
    allow(0o644);
    let open = refused(&good.certificate, &good.key);
    assert!(matches!(&open, TlsError::OpenToAll { path, mode: 0o644 } if *path == good.key));
    assert!(open.to_string().contains("whose mode is 644: use `chmod 600`"), "{open}");
    assert!(matches!(shown.read_again(), Err(TlsError::OpenToAll { .. })), "the former goes on being shown");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let node = Node::start(&settings());
    let taken = node.addresses[0];
    let again = http::serve(World::empty().app.clone(), &Settings { listen: vec![taken], ..settings() });
    assert!(matches!(again, Err(ServeError::Listen { member: "[node] listen", address, .. }) if address == taken));
    assert!(matches!(http::serve(World::empty().app.clone(), &Settings::default()), Err(ServeError::NoAddress)));
}
