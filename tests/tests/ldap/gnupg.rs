//! The distribution's unmodified gpg and dirmngr, with a node as their LDAP key server.

use std::process::Output;

use tempfile::TempDir;
use tokio::process::Command;

use crate::slapd::{Consumer, PERSIST};
use crate::support::{Directory, device, introduced, maker_fingerprint, name_signers, submit};
use crate::world::{self, DOMAIN, domain, stolen};

/// A person with gpg and a home directory of their own.
struct Person {
    home: TempDir,
}

impl Person {
    /// `options` go into gpg.conf; dirmngr trusts the certificate.
    async fn new(node: &Directory, server: &str, options: &str) -> Self {
        let home = TempDir::new().expect("a directory");
        let write = |file: &str, text: &str| std::fs::write(home.path().join(file), text).expect("written");
        write("gpg.conf", &format!("batch\nno-tty\nkeyserver {server}\n{options}\n"));
        write("dirmngr.conf", "allow-version-check\n");
        std::os::unix::fs::symlink(&node.files.certificate, home.path().join("trusted.pem")).expect("linked");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(home.path(), mode).expect("private");
        Self { home }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", self.home.path()).env("LC_ALL", "C").env("LDAPCONF", "/dev/null");
        command.env("LDAPTLS_CACERT", self.home.path().join("trusted.pem")).kill_on_drop(true);
        command
    }

    async fn gpg(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = self.command("gpg");
        command.args(["--status-fd", "1", "--pinentry-mode", "loopback", "--passphrase", ""]).args(arguments);
        let output = tokio::time::timeout(std::time::Duration::from_secs(90), command.output());
        let Output { status, stdout, stderr } = output.await.expect("in time").expect("gpg starts");
        (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    #[track_caller]
    fn assert_has(&self, text: &str, wanted: &str) {
        assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
    }

    /// Stops the daemons that gpg has started for this home directory.
    async fn leave(self) {
        let ended = self.command("gpgconf").args(["--kill", "all"]).status().await.expect("gpgconf starts");
        assert!(ended.success());
    }
}

fn plain(node: &Directory) -> String {
    format!("ldap://{}", node.plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_received_searched_and_located() {
    let node = Directory::start().await;
    let person = Person::new(&node, &plain(&node), "allow-non-selfsigned-uid").await;
    let fingerprint = device(13);
    for id in [fingerprint.as_str(), &fingerprint[24..], &fingerprint[32..]] {
        let (received, said) = person.gpg(&["--recv-keys", id]).await;
        assert!(received, "{id}: {said}");
        person.assert_has(&said, &format!("IMPORT_OK 1 {}", fingerprint.to_uppercase()));
        let (deleted, said) = person.gpg(&["--yes", "--delete-keys", &fingerprint]).await;
        assert!(deleted, "{said}");
    }
    // The manufacturer's own key, then all that the manufacturer says of the device: the introduction and the block.
    let (received, said) = person.gpg(&["--recv-keys", &maker_fingerprint(), &fingerprint]).await;
    assert!(received, "{said}");
    let (_, signatures) =
        person.gpg(&["--with-colons", "--list-options", "show-notations", "--check-sigs", &fingerprint]).await;
    assert_eq!(
        signatures.lines().filter(|line| line.starts_with("sig:!:") || line.starts_with("rev:!:")).count(),
        2,
        "{signatures}"
    );
    let (refreshed, said) = person.gpg(&["--refresh-keys", &fingerprint]).await;
    assert!(refreshed, "{said}");

    let (found, said) = person.gpg(&["--with-colons", "--search-keys", "keys@acme.example"]).await;
    assert!(found, "{said}");
    person.assert_has(&said, "Acme");
    let (_, said) = person.gpg(&["--with-colons", "--search-keys", "Acme <keys@acme.example>"]).await;
    person.assert_has(&said, "Acme");
    let (located, said) =
        person.gpg(&["--auto-key-locate", "clear,keyserver", "--locate-external-keys", "keys@acme.example"]).await;
    assert!(located, "{said}");
    let (found, _) = person.gpg(&["--recv-keys", &"12".repeat(20)]).await;
    assert!(!found, "nobody's key");
    person.leave().await;
    node.stop().await;
}

/// A key with a subkey is found by everything that identifies either of them.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_received_by_their_subkeys() {
    let node = Directory::start().await;
    let maker = Person::new(&node, &plain(&node), "").await;
    let key = make_key(&maker, "Second Factory <second@acme.example>").await;
    let (added, said) = maker.gpg(&["--quick-add-key", &key, "ed25519", "sign", "never"]).await;
    assert!(added, "{said}");
    let (_, listed) = maker.gpg(&["--with-colons", "--list-keys", &key]).await;
    let subkey = listed.lines().filter_map(|line| line.strip_prefix("fpr:::::::::")).nth(1).expect("a subkey");
    let subkey = subkey.trim_end_matches(':');
    name_signers(&node.app, &[&key]).await;
    let (sent, said) = maker.gpg(&["--send-keys", &key]).await;
    assert!(sent, "{said}");
    for id in [subkey, &subkey[24..], &key, &key[24..], &key[32..]] {
        let person = Person::new(&node, &plain(&node), "").await;
        let (received, said) = person.gpg(&["--recv-keys", id]).await;
        assert!(received, "{id}: {said}");
        person.assert_has(&said, &format!("IMPORT_OK 1 {key}"));
        person.leave().await;
    }
    maker.leave().await;
    node.stop().await;
}

/// A slapd that keeps a copy serves gpg as a key server like the node, and receives everything new.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_slapd_serves_gpg() {
    let node = Directory::start().await;
    let mut slapd = Consumer::new(node.plain, PERSIST).await;
    slapd.until("(objectClass=pgpKeyInfo)", 11).await;
    let copy = format!("ldap://{}", slapd.address);
    let person = Person::new(&node, &copy, "allow-non-selfsigned-uid").await;
    let device = device(13);
    for id in [device.as_str(), &device[24..], &device[32..], &maker_fingerprint()] {
        let (received, said) = person.gpg(&["--recv-keys", id]).await;
        assert!(received, "{id}: {said}");
    }
    let (_, signatures) = person.gpg(&["--with-colons", "--check-sigs", &device]).await;
    let good = signatures.lines().filter(|line| line.starts_with("sig:!:") || line.starts_with("rev:!:"));
    assert_eq!(good.count(), 2, "introduction and block: {signatures}");
    let (found, said) = person.gpg(&["--with-colons", "--search-keys", "keys@acme.example"]).await;
    assert!(found, "{said}");
    person.assert_has(&said, "Acme");

    // What is said later about a known key, by a new one.
    let maker = Person::new(&node, &plain(&node), "").await;
    let key = make_key(&maker, "Second Factory <second@acme.example>").await;
    name_signers(&node.app, &[&key]).await;
    let (sent, said) = maker.gpg(&["--send-keys", &key]).await;
    assert!(sent, "{said}");
    slapd.until(&format!("(gpgFingerprint={key})"), 1).await;
    slapd.until("(&(objectClass=pgpKeyInfo)(pgpDisabled=1))", 1).await;
    submit(&node.app, &domain(), vec![stolen(&world::maker(), 14)]).await;
    slapd.until("(&(objectClass=pgpKeyInfo)(pgpDisabled=1))", 2).await;
    submit(&node.app, &domain(), vec![introduced(13, Some("L2"))]).await;
    let began = std::time::Instant::now();
    loop {
        let (received, said) = person.gpg(&["--recv-keys", &device]).await;
        assert!(received, "{said}");
        let (_, signatures) = person.gpg(&["--with-colons", "--check-sigs", &device]).await;
        if signatures.lines().filter(|line| line.starts_with("sig:!:") || line.starts_with("rev:!:")).count() == 3 {
            break;
        }
        assert!(
            began.elapsed() < std::time::Duration::from_secs(40),
            "the second introduction does not come: {signatures}"
        );
    }
    for person in [person, maker] {
        person.leave().await;
    }
    slapd.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_received_over_tls() {
    let node = Directory::start().await;
    let start_tls = format!("ldaps://{}", node.plain);
    let opaque = format!("ldap:127.0.0.1:{}::::ldaptls:", node.tls.port());
    for server in [start_tls, opaque] {
        let person = Person::new(&node, &server, "allow-non-selfsigned-uid").await;
        let (received, said) = person.gpg(&["--recv-keys", &device(10)]).await;
        assert!(received, "{server}: {said}");
        person.leave().await;
    }
    node.stop().await;
}

/// Makes a key without subkeys; returns its fingerprint.
async fn make_key(person: &Person, user_id: &str) -> String {
    let (made, said) = person.gpg(&["--quick-generate-key", user_id, "ed25519", "cert", "never"]).await;
    assert!(made, "{said}");
    let (_, listed) = person.gpg(&["--with-colons", "--list-keys", &format!("={user_id}")]).await;
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).expect("a key");
    fingerprint.trim_end_matches(':').to_owned()
}

/// Makes a statement about a device in OpenPGP: a certification with notations.
async fn certify(person: &Person, act: &str, device: &str) {
    let notation = |name: &str, value: &str| format!("--cert-notation={name}@cm4it.example={value}");
    let notations =
        [("act", act), ("kind", "device"), ("role", "manufacturer"), ("domain", DOMAIN)].map(|(n, v)| notation(n, v));
    let mut arguments: Vec<&str> = notations.iter().map(String::as_str).collect();
    arguments.extend(["--yes", "--quick-sign-key", device]);
    let (signed, said) = person.gpg(&arguments).await;
    assert!(signed, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_merged() {
    let node = Directory::start().await;
    let maker = Person::new(&node, &plain(&node), "").await;
    let key = make_key(&maker, "Second Factory <second@acme.example>").await;
    let (sent, said) = maker.gpg(&["--send-keys", &key]).await;
    assert!(!sent, "nobody has named the holder: {said}");
    name_signers(&node.app, &[&key]).await;
    let (sent, said) = maker.gpg(&["--send-keys", &key]).await;
    assert!(sent, "a new key: {said}");

    // A device that can sign, introduced by one signer and approved by another, who gets its key from the server.
    let device = make_key(&maker, "Pump 7").await;
    let with_key = maker.gpg(&["--default-key", &key, "--list-secret-keys"]).await;
    assert!(with_key.0);
    std::fs::write(
        maker.home.path().join("gpg.conf"),
        format!("batch\nno-tty\nkeyserver {}\ndefault-key {key}\n", plain(&node)),
    )
    .expect("written");
    certify(&maker, "identity", &device).await;
    let (sent, said) = maker.gpg(&["--send-keys", &device]).await;
    assert!(sent, "{said}");

    let other = Person::new(&node, &plain(&node), "").await;
    let other_key = make_key(&other, "Test House <test@house.example>").await;
    name_signers(&node.app, &[&key, &other_key]).await;
    let (received, said) = other.gpg(&["--recv-keys", &device, &key]).await;
    assert!(received, "{said}");
    certify(&other, "approval", &device).await;
    for key in [&other_key, &device, &device] {
        let (sent, said) = other.gpg(&["--send-keys", key]).await;
        assert!(sent, "{said}");
    }

    let third = Person::new(&node, &plain(&node), "").await;
    let (received, said) = third.gpg(&["--recv-keys", &device, &key, &other_key]).await;
    assert!(received, "{said}");
    let (_, signatures) = third.gpg(&["--with-colons", "--check-sigs", &device]).await;
    let good = signatures.lines().filter(|line| line.starts_with("sig:!:")).count();
    assert_eq!(good, 3, "its own, and of both: {signatures}");
    for person in [maker, other, third] {
        person.leave().await;
    }
    node.stop().await;
}
