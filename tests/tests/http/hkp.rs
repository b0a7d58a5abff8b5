//! The key server protocol: its answers, and unmodified GnuPG and sq of Debian against a running node.

use std::path::{Path, PathBuf};
use std::process::Output;

use ics_core::identity::Kind;
use ics_core::limits::{KEYS_FOUND, STATEMENTS_PER_SIGNER_AND_IDENTITY};
use ics_core::openpgp::signer::Signer;
use ics_core::statement::{Claims, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use ics_node::http::Settings;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Answer, Node, settings};
use crate::tls::certificate as tls_certificate;
use crate::world::{
    DOMAIN, World, certificate, introduction, introduction_as, maker, revoked_certificate, signer, stolen,
};

pub(crate) const ACME: &str = "Acme: Zoë <acme@acme.example>";

/// Sends bodies to the domain; all must be admitted.
async fn admitted(node: &Node, bodies: &[Vec<u8>]) {
    let answer =
        node.post(&format!("/v1/domains/{DOMAIN}/statements"), "application/octet-stream", bodies.concat()).await;
    assert_eq!(
        (answer.status, answer.text().matches("\"checkpoint\"").count()),
        (200, bodies.len()),
        "{}",
        answer.text()
    );
}

async fn founded(settings: &Settings) -> Node {
    let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    Node::with(world, settings)
}

fn hex(by: &dyn Signer) -> String {
    by.public_key().fingerprint().to_string()
}

/// A client with a home directory of its own, whose dirmngr ends with it.
pub(crate) struct Gpg {
    home: TempDir,
    server: String,
}

impl Gpg {
    pub(crate) fn of(node: &Node, options: &str) -> Self {
        let mut this = Self::of_nobody(options);
        this.ask(node);
        this
    }

    /// A client without a key server yet.
    pub(crate) fn of_nobody(options: &str) -> Self {
        let home = TempDir::new().expect("a directory");
        std::fs::write(home.path().join("gpg.conf"), options).expect("written");
        std::fs::write(home.path().join("dirmngr.conf"), "no-use-tor\n").expect("written");
        Self { home, server: "hkp://127.0.0.1:1".to_owned() }
    }

    pub(crate) fn ask(&mut self, node: &Node) {
        self.server = format!("hkp://127.0.0.1:{}", node.addresses[0].port());
    }

    /// A client over TLS that trusts this certificate.
    ///
    /// dirmngr turns loopback addresses into the name that they have, and does not accept a name without a dot. With a
    /// dot at its end, this one is accepted, and its own resolver finds it in /etc/hosts.
    fn over_tls(node: &Node, certificate: &Path) -> Self {
        let mut this = Self::of(node, "");
        this.server = format!("hkps://localhost.:{}", node.addresses[0].port());
        let trusted = format!("no-use-tor\nhkp-cacert {}\n", text(certificate));
        std::fs::write(this.home.path().join("dirmngr.conf"), trusted).expect("written");
        this
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", self.home.path()).args(["--batch", "--no-tty", "--keyserver", &self.server]);
        command.args(args).output().await.expect("gpg starts")
    }

    /// What it prints on both streams; it must succeed.
    #[track_caller]
    pub(crate) fn good(output: &Output) -> String {
        let text = Self::text(output);
        assert!(output.status.success(), "{text}");
        text
    }

    pub(crate) fn text(output: &Output) -> String {
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ =
            std::process::Command::new("gpgconf").env("GNUPGHOME", self.home.path()).args(["--kill", "all"]).status();
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn answers_of_version_1() {
    let node = Node::founded().await;
    let own = certificate(&maker(), ACME);
    admitted(&node, &[own, introduction(&maker(), 3), introduction(&maker(), 4), stolen(&maker(), 4)]).await;
    let key = hex(&maker());

    let got = node.get(&format!("/pks/lookup?op=get&options=mr&search=0x{}", key.to_uppercase())).await;
    assert_eq!((got.status, got.header("content-type")), (200, "application/pgp-keys"));
    assert!(got.text().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n") && got.text().ends_with('\n'));
    assert_eq!(got.header("access-control-allow-origin"), "*");
    let index = node.get(&format!("/pks/lookup?op=index&options=mr&fingerprint=on&search=0x{}", &key[24..])).await;
    let expected = format!(
        "info:1:1\npub:{}:22:255:1767225600::\nuid:Acme%3A Zo%C3%AB <acme@acme.example>:1767225600::\n",
        key.to_uppercase()
    );
    assert_eq!((index.header("content-type"), index.text()), ("text/plain; charset=utf-8", expected));
    for search in ["acme", "ACME%40acme.example", "%3Cacme@acme.example%3E", "Zo%C3%AB"] {
        assert_eq!(node.get(&format!("/pks/lookup?op=vindex&search={search}")).await.status, 200, "{search}");
    }
    let blocked = node.get("/pks/lookup?op=index&exact=on&search=serial:SN-4").await;
    assert!(blocked.text().contains("::d\n"), "what is stolen is disabled: {}", blocked.text());

    for (path, expected) in [
        ("/pks/lookup?op=get&search=0x0123456789abcdef", (404, "unknown-identity")),
        ("/pks/lookup?op=get&search=nobody@acme.example", (404, "unknown-identity")),
        ("/pks/lookup?op=get&search=0x123", (400, "malformed-query")),
        ("/pks/lookup?op=get", (400, "malformed-query")),
        ("/pks/lookup?search=x", (400, "malformed-query")),
        ("/pks/lookup?op=hget&search=x", (501, "not-implemented")),
        ("/pks/lookup?op=x-private&search=x", (501, "not-implemented")),
        ("/pks/stats", (501, "not-implemented")),
    ] {
        let answer = node.get(path).await;
        answer.is_problem(path, expected);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
}

#[tokio::test]
async fn an_answer_has_so_many_keys() {
    let node = Node::founded().await;
    let seeds = (0..=KEYS_FOUND).map(|number| u8::try_from(100 + number).expect("few"));
    let own = certificate(&maker(), ACME);
    let bodies: Vec<_> = core::iter::once(own).chain(seeds.map(|seed| introduction_as(&maker(), seed, 9))).collect();
    admitted(&node, &bodies).await;
    let listed = node.get("/pks/lookup?op=index&search=serial:SN-9").await.text();
    assert_eq!(listed.lines().next(), Some(format!("info:1:{KEYS_FOUND}").as_str()));
}

#[tokio::test]
async fn answers_of_version_2() {
    let node = Node::founded().await;
    let own = certificate(&maker(), ACME);
    let key = hex(&maker());
    let submitted = node.post("/pks/v2/certs", "application/pgp-keys", own.clone()).await;
    assert_eq!(submitted.json()["inserted"][0]["fingerprint"], key.as_str(), "{}", submitted.text());
    assert_eq!(submitted.header("access-control-allow-origin"), "*");
    let metrics = node.metrics().await;
    assert!(metrics.contains("ics_submitted_statements_total{outcome=\"accepted\"} 1\n"), "{metrics}");
    let again = node.post("/pks/v2/certs", "application/octet-stream", own.clone()).await;
    assert_eq!(
        (again.json()["ignored"][0]["version"].as_u64(), again.json()["inserted"].as_array().map(Vec::len)),
        (Some(4), Some(0))
    );
    admitted(&node, &[introduction(&maker(), 3)]).await;

    for path in [
        format!("by-vfingerprint/04{}", key.to_uppercase()),
        format!("by-keyid/{}", &key[24..]),
        "by-identity/acme@acme.example".to_owned(),
    ] {
        let answer = node.get(&format!("/pks/v2/certs/{path}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/pgp-keys;armor=no"), "{path}");
        assert_eq!(answer.body, own, "{path}");
    }
    let index = node.get("/pks/v2/index/Thermometer%203").await.json();
    assert_eq!(index[0]["fingerprint"], hex(&signer(3)).as_str());
    assert_eq!(
        (&index[0]["userIDs"][0]["uidString"], &index[0]["isRevoked"]),
        (&"Thermometer 3".into(), &false.into())
    );

    for (path, expected) in [
        ("/pks/v2/certs/by-vfingerprint/06".to_owned() + &key, (400, "malformed-id")),
        ("/pks/v2/certs/by-keyid/0123".to_owned(), (400, "malformed-id")),
        ("/pks/v2/certs/by-keyid/0123456789abcdef".to_owned(), (404, "unknown-identity")),
        ("/pks/v2/certs/by-keyid".to_owned(), (403, "identifier-missing")),
        ("/pks/v2/index".to_owned(), (403, "identifier-missing")),
        ("/pks/v2/canonical/acme@acme.example".to_owned(), (501, "not-implemented")),
        ("/pks/v2/prefixlog/2026-11-20".to_owned(), (501, "not-implemented")),
    ] {
        let answer = node.get(&path).await;
        answer.is_problem(&path, expected);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    let options = node.call("OPTIONS", "/pks/v2/certs", |request| request).await;
    assert_eq!((options.status, options.header("access-control-allow-origin")), (200, "*"));
    assert!(options.header("allow").contains("POST"), "{}", options.header("allow"));
}

#[tokio::test]
async fn uploads_that_bring_nothing_are_refused() {
    let node = Node::founded().await;
    let stranger = certificate(&signer(7), "Stranger <s@other.example>");
    for (path, media_type, body, expected) in [
        ("/pks/v2/certs", "application/pgp-keys", stranger.clone(), (403, "certificate-not-named")),
        ("/pks/v2/certs", "application/pgp-keys", b"garbage".to_vec(), (422, "malformed-statement")),
        ("/pks/v2/certs", "text/plain", stranger.clone(), (415, "unsupported-media-type")),
        ("/pks/v2/certs", "application/pgp-keys", vec![b' '; 5 << 20], (413, "body-too-large")),
        ("/pks/add", "application/x-www-form-urlencoded", b"keytext=garbage".to_vec(), (422, "malformed-statement")),
        ("/pks/add", "application/x-www-form-urlencoded", b"nothing=1".to_vec(), (400, "malformed-request")),
    ] {
        let answer: Answer = node.post(path, media_type, body).await;
        answer.is_problem(path, expected);
    }
}

/// GnuPG looks only at the status: a client whose revocation does not count must not believe that it was accepted.
#[tokio::test]
async fn a_revocation_that_does_not_count_is_an_error() {
    let node = Node::founded().await;
    let own = certificate(&maker(), ACME);
    admitted(&node, std::slice::from_ref(&own)).await;
    // Made by another key, as designated revokers do.
    let (ours, theirs) = (maker().public_key().to_packet().len(), signer(2).public_key().to_packet().len());
    let other = revoked_certificate(&signer(2), ACME);
    let revocation = &other[theirs..][..2 + usize::from(other[theirs + 1])];
    let designated = [&own[..ours], revocation, &own[ours..]].concat();
    // It only claims to be made with SHA-1, which is all that is checked.
    let mut weak = revoked_certificate(&maker(), ACME);
    weak[ours + 5] = 2;
    for (sent, why) in [(designated, "designated revokers"), (weak, "SHA-1")] {
        let answer = node.post("/pks/v2/certs", "application/pgp-keys", sent).await;
        answer.is_problem(why, (422, "malformed-statement"));
        assert!(answer.text().contains(why) && answer.text().contains("NOT accepted"), "{}", answer.text());
    }
    let again = node.post("/pks/v2/certs", "application/pgp-keys", own).await;
    assert_eq!(again.status, 200, "without it nothing is wrong: {}", again.text());
}

/// A client for version 4 sees neither keys nor signatures of version 6, but everything else.
#[tokio::test]
async fn version_6_is_hidden_from_old_clients() {
    let node = founded(&settings()).await;
    let six = ics_core::openpgp::signer::Ed25519Signer::from_seed(
        &[1; 32],
        6,
        ics_core::time::Timestamp::from_seconds(1_767_225_600),
    )
    .expect("a key");
    admitted(&node, &[certificate(&maker(), ACME)]).await;
    let answer = node.post("/pks/v2/certs", "application/pgp-keys", certificate(&six, ACME)).await;
    answer.is_problem("version 6 is nobody here", (403, "certificate-not-named"));
    let search = format!("/pks/lookup?op=get&search=0x{}", hex(&six));
    node.get(&search).await.is_problem("version 6", (404, "unknown-identity"));
    let index = node.get("/pks/lookup?op=index&search=acme").await;
    assert!(index.text().starts_with("info:1:1\n"), "{}", index.text());
}

#[tokio::test]
async fn gpg_searches_receives_sends_and_refreshes() {
    let node = Node::founded().await;
    let key = hex(&maker());
    let sender = Gpg::of(&node, "");
    let own = sender.file("own", &certificate(&maker(), ACME));
    Gpg::good(&sender.run(&["--import", text(&own)]).await);
    Gpg::good(&sender.run(&["--send-keys", &key]).await);
    admitted(&node, &[introduction(&maker(), 3)]).await;

    let gpg = Gpg::of(&node, "");
    let searched = Gpg::good(&gpg.run(&["--with-colons", "--search-keys", "acme@acme.example"]).await);
    assert!(searched.contains(&format!("pub:{}:22:255:1767225600::", key.to_uppercase())), "{searched}");
    for wanted in [&key, &key[24..], &key[32..]] {
        let gpg = Gpg::of(&node, "");
        let received = Gpg::good(&gpg.run(&["--recv-keys", wanted]).await);
        assert!(received.contains("imported: 1"), "{wanted}: {received}");
    }
    Gpg::good(&gpg.run(&["--recv-keys", &key]).await);
    let refreshed = Gpg::good(&gpg.run(&["--refresh-keys"]).await);
    assert!(refreshed.contains("unchanged: 1"), "{refreshed}");
    assert!(!gpg.run(&["--recv-keys", &hex(&signer(9))]).await.status.success(), "what is not there is not received");

    let gpg = Gpg::of(&node, "");
    let locate = ["--auto-key-locate", "clear,keyserver", "--locate-external-keys", "acme@acme.example"];
    let located = Gpg::good(&gpg.run(&locate).await);
    assert!(located.contains(&key.to_uppercase()), "{located}");
}

#[tokio::test]
async fn gpg_speaks_hkps() {
    let directory = TempDir::new().expect("a directory");
    let files = tls_certificate(directory.path(), "node").await;
    let node = founded(&Settings { tls: Some(files.clone()), ..settings() }).await;
    let key = hex(&maker());
    let sender = Gpg::over_tls(&node, &files.certificate);
    let own = sender.file("own", &certificate(&maker(), ACME));
    Gpg::good(&sender.run(&["--import", text(&own)]).await);
    Gpg::good(&sender.run(&["--send-keys", &key]).await);
    let gpg = Gpg::over_tls(&node, &files.certificate);
    let received = Gpg::good(&gpg.run(&["--recv-keys", &key]).await);
    assert!(received.contains("imported: 1"), "{received}");
    let searched = Gpg::good(&gpg.run(&["--with-colons", "--search-keys", "acme@acme.example"]).await);
    assert!(searched.contains(&key.to_uppercase()), "{searched}");
    let refreshed = Gpg::good(&gpg.run(&["--refresh-keys"]).await);
    assert!(refreshed.contains("unchanged: 1"), "{refreshed}");

    // A server with another certificate is not trusted.
    let other = tls_certificate(directory.path(), "other").await;
    let distrusting = Gpg::over_tls(&node, &other.certificate);
    assert!(!distrusting.run(&["--recv-keys", &key]).await.status.success());
}

/// A key in a secure element cannot certify itself: gpg accepts it, with what others say of it, if told to.
#[tokio::test]
async fn bare_device_keys_come_whole_to_gpg() {
    let node = Node::founded().await;
    admitted(&node, &[certificate(&maker(), ACME), introduction(&maker(), 3)]).await;
    let (maker_key, device) = (hex(&maker()), hex(&signer(3)));
    let gpg = Gpg::of(&node, "allow-non-selfsigned-uid\nkeyserver-options no-self-sigs-only\n");
    Gpg::good(&gpg.run(&["--recv-keys", &maker_key]).await);
    Gpg::good(&gpg.run(&["--recv-keys", &device]).await);
    let checked = Gpg::good(&gpg.run(&["--check-sigs", "--list-options", "show-notations", &device]).await);
    assert!(checked.contains("sig!") && checked.contains("role@cm4it.example=manufacturer"), "{checked}");

    admitted(&node, &[stolen(&maker(), 3)]).await;
    Gpg::good(&gpg.run(&["--refresh-keys", &device]).await);
    let checked = Gpg::good(&gpg.run(&["--check-sigs", "--list-options", "show-notations", &device]).await);
    assert!(checked.contains("rev!") && checked.contains("status@cm4it.example=stolen"), "{checked}");
}

#[tokio::test]
async fn sq_speaks_hkps() {
    let directory = TempDir::new().expect("a directory");
    let files = tls_certificate(directory.path(), "node").await;
    let node = founded(&Settings { tls: Some(files.clone()), ..settings() }).await;
    let server = format!("hkps://localhost:{}", node.addresses[0].port());
    let own = directory.path().join("own");
    std::fs::write(&own, certificate(&maker(), ACME)).expect("written");
    for args in [["send", text(&own)], ["get", &hex(&maker())]] {
        let mut command = Command::new("sq");
        command.env("SSL_CERT_FILE", &files.certificate).args(["keyserver", "--server", &server]).args(args);
        let output = command.output().await.expect("sq starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn sq_gets_and_sends() {
    let node = Node::founded().await;
    let directory = TempDir::new().expect("a directory");
    let (own, got) = (directory.path().join("own"), directory.path().join("got"));
    std::fs::write(&own, certificate(&maker(), ACME)).expect("written");
    let server = format!("hkp://127.0.0.1:{}", node.addresses[0].port());
    let sq = |args: &[&str]| {
        let mut command = Command::new("sq");
        command.args(["keyserver", "--policy", "insecure", "--server", &server]).args(args);
        command
    };
    let sent = sq(&["send", text(&own)]).output().await.expect("sq starts");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    for query in [hex(&maker()), hex(&maker())[24..].to_owned(), "acme@acme.example".to_owned()] {
        let output = sq(&["get", "--binary", "--output", text(&got), &query]).output().await.expect("sq starts");
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read(&got).expect("read"), certificate(&maker(), ACME), "{query}");
        std::fs::remove_file(&got).expect("removed");
    }
}

/// The program that `tests/run` has built from crates.io.
fn newest_sq(home: &Path, server: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/sq/bin/sq"));
    command.env("SEQUOIA_HOME", home).args(["--batch", "network", "keyserver", "--server", server]);
    command
}

/// sequoia-sq from crates.io, which is several versions ahead of Debian's and has other commands.
#[tokio::test]
async fn sq_of_crates_io_publishes_and_searches() {
    let directory = TempDir::new().expect("a directory");
    let (own, got) = (directory.path().join("own"), directory.path().join("got"));
    std::fs::write(&own, certificate(&maker(), ACME)).expect("written");
    let files = tls_certificate(directory.path(), "node").await;
    let node = founded(&Settings { tls: Some(files.clone()), ..settings() }).await;
    let server = format!("hkps://localhost:{}", node.addresses[0].port());
    let sq = async |home: &str, args: &[&str]| {
        let mut command = newest_sq(&directory.path().join(home), &server);
        let output = command.env("SSL_CERT_FILE", &files.certificate).args(args).output().await;
        let output = output.expect("sq of crates.io starts: `tests/run` builds it");
        (output.status.success(), Gpg::text(&output))
    };
    let (published, said) = sq("maker", &["publish", "--cert-file", text(&own)]).await;
    assert!(published, "{said}");
    for query in [hex(&maker()), hex(&maker())[24..].to_owned(), "acme@acme.example".to_owned()] {
        let (found, said) = sq("reader", &["search", "--output", text(&got), &query]).await;
        assert!(found, "{query}: {said}");
        let whole = std::fs::read(&got).expect("read");
        assert!(String::from_utf8_lossy(&whole).starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"), "{query}");
        std::fs::remove_file(&got).expect("removed");
    }
    // Into its own store, and then for everything there.
    let (found, said) = sq("reader", &["search", &hex(&maker())]).await;
    assert!(found && said.to_uppercase().contains(&hex(&maker()).to_uppercase()), "{said}");
    let (found, said) = sq("reader", &["search", "--all"]).await;
    assert!(found, "{said}");
    let (found, said) = sq("reader", &["search", &hex(&signer(9))]).await;
    assert!(!found, "what is not there is not found: {said}");
}

/// Another approval by the manufacturer of the device with this seed.
fn approval(number: u64, seed: u8) -> Vec<u8> {
    let claims = Claims::new(Act::Approval, "manufacturer".parse().expect("a role"), DOMAIN.parse().expect("a name"));
    let at = Timestamp::from_seconds(1_767_225_600 + number);
    let (device, user_id) = (signer(seed), format!("Thermometer {seed}"));
    make::certify(&maker(), device.public_key(), &user_id, None, Kind::Device, &claims, false, at, &[3; 32])
        .expect("a statement")
}

/// Flooding keys with signatures puts nothing into the log: only signers whom the descriptor names can speak here, and
/// they are bounded.
#[tokio::test]
async fn floods_are_refused() {
    let node = Node::founded().await;
    admitted(&node, &[certificate(&maker(), ACME)]).await;
    let before = node.get(&format!("/v1/domains/{DOMAIN}")).await.json()["size"].clone();
    let flood: Vec<u8> = (10..=209).flat_map(|seed| introduction(&signer(seed), 3)).collect();
    let answer = node.post("/pks/v2/certs", "application/pgp-keys", flood).await;
    answer.is_problem("statements of 200 strangers about one key", (403, "unknown-signer"));
    let flood: Vec<u8> = (10..=209).flat_map(|seed| certificate(&signer(seed), ACME)).collect();
    let answer = node.post("/pks/v2/certs", "application/pgp-keys", flood).await;
    answer.is_problem("200 certificates of one name", (403, "certificate-not-named"));
    assert_eq!(node.get(&format!("/v1/domains/{DOMAIN}")).await.json()["size"], before, "not one entry more");

    // A named signer can say this much about one thing, and no more; but blocks are accepted all the same.
    let said: Vec<Vec<u8>> = (0..300).map(|number| approval(number, 3)).collect();
    admitted(&node, &[introduction(&maker(), 3)]).await;
    for part in said.chunks(100) {
        let answer = node.post("/pks/v2/certs", "application/pgp-keys", part.concat()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let size = || async { node.get(&format!("/v1/domains/{DOMAIN}")).await.json()["size"].as_u64().expect("a size") };
    let limit = u64::try_from(STATEMENTS_PER_SIGNER_AND_IDENTITY).expect("a number");
    assert_eq!(size().await, before.as_u64().expect("a size") + limit, "300 statements were sent");
    let path = format!("/v1/domains/{DOMAIN}/statements");
    let refused = node.post(&path, "application/octet-stream", said[299].clone()).await.text();
    assert!(refused.contains(&format!("the signer has made {limit} statements about this identity")), "{refused}");
    admitted(&node, &[stolen(&maker(), 3)]).await;
    assert_eq!(size().await, before.as_u64().expect("a size") + limit + 1);
}
