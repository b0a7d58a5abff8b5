//! TLS as a stock client sees it, and what keeps a node from serving it.

use std::path::Path;
use std::process::Output;

use ics_node::config::TlsConfig;
use ics_node::http::{self, ServeError, Settings, TlsError};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Node, settings};
use crate::world::World;

async fn run(command: &mut Command) -> Output {
    command.output().await.expect("the program starts")
}

/// A certificate for localhost and its key, as an operator makes them.
async fn certificate(directory: &Path, name: &str) -> TlsConfig {
    let files =
        TlsConfig { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    let made = run(command.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate)).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files
}

/// Asks with curl, which trusts that certificate only; prints HTTP and status behind the body.
async fn curl(node: &Node, files: &TlsConfig, more: &[&str]) -> String {
    let url = format!("https://localhost:{}/livez", node.addresses[0].port());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--ipv4"]);
    command.args(["--write-out", "%{http_version} %{http_code}"]).arg("--cacert").arg(&files.certificate);
    let output = run(command.args(more).arg(url)).await;
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn curl_speaks_tls_with_a_node() {
    let directory = TempDir::new().expect("directory");
    let files = certificate(directory.path(), "node").await;
    let node = Node::start(&Settings { tls: Some(files.clone()), ..settings() });
    assert_eq!(curl(&node, &files, &[]).await, "ok\n2 200");
    assert_eq!(curl(&node, &files, &["--http1.1"]).await, "ok\n1.1 200");
    assert_eq!(curl(&node, &files, &["--tls-max", "1.2"]).await, "ok\n2 200");
    assert!(curl(&node, &files, &["--tls-max", "1.1"]).await.contains("000"));
    let other = certificate(directory.path(), "other").await;
    assert!(curl(&node, &other, &[]).await.contains("000"), "another certificate is not trusted");
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
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let node = Node::start(&settings());
    let taken = node.addresses[0];
    let again = http::serve(World::empty().app.clone(), &Settings { listen: vec![taken], ..settings() });
    assert!(matches!(again, Err(ServeError::Listen { address, .. }) if address == taken));
    assert!(matches!(http::serve(World::empty().app.clone(), &Settings::default()), Err(ServeError::NoAddress)));
}
