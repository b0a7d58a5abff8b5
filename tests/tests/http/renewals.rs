//! Signers who extend and revoke their keys with Debian's unmodified GnuPG, which discards former self-signatures.

use std::collections::BTreeSet;

use ics_core::descriptor::{Descriptor, Template};
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer as _;

use crate::hkp::{ACME, Gpg, text};
use crate::support::{Node, settings};
use crate::world::{CREATED, DOMAIN, World, certificate, changed_descriptor, maker, revoked_certificate};

/// A node that is the home of a domain with a changed descriptor.
async fn node_with(change: impl FnOnce(&mut Descriptor) + Send + 'static) -> Node {
    let founded = move || {
        let world = World::empty();
        world.app.found(&changed_descriptor(Template::Manufacturer, DOMAIN, Vec::new(), change)).expect("founds");
        world
    };
    Node::with(tokio::task::spawn_blocking(founded).await.expect("a world"), &settings())
}

/// A signer's gpg with a key that is valid for a year, and the node of a domain that names the signer.
async fn signer() -> (Gpg, String, Node) {
    let mut gpg = Gpg::of_nobody("pinentry-mode loopback\n");
    let make = ["--passphrase", "", "--quick-generate-key", "Factory 2 <second@acme.example>", "ed25519", "cert", "1y"];
    Gpg::good(&gpg.run(&make).await);
    let listed = Gpg::good(&gpg.run(&["--with-colons", "--list-keys"]).await);
    let key = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).expect("a key");
    let key = key.trim_end_matches(':').to_owned();
    let fingerprint: Fingerprint = key.parse().expect("a fingerprint");
    let node = node_with(move |descriptor| {
        let role = descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("is there");
        role.signers.insert(fingerprint);
    })
    .await;
    gpg.ask(&node);
    (gpg, key, node)
}

/// Whether a key is revoked, and when it expires, according to gpg.
async fn listed(gpg: &Gpg, key: &str) -> (bool, String) {
    let listed = Gpg::good(&gpg.run(&["--with-colons", "--list-keys", key]).await);
    let line = listed.lines().find(|line| line.starts_with("pub:")).expect("a key");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[1] == "r", fields[6].to_owned())
}

/// The same for someone who gets the key from the node.
async fn served(node: &Node, key: &str) -> (bool, String) {
    let reader = Gpg::of(node, "");
    Gpg::good(&reader.run(&["--recv-keys", key]).await);
    listed(&reader, key).await
}

/// Submits what gpg exports with this option, as `ics submit` does.
async fn submit_exported(gpg: &Gpg, key: &str, option: &str, node: &Node) {
    let path = gpg.path(option);
    let export = ["--export-options", option, "--output", text(&path), "--export", key];
    Gpg::good(&gpg.run(&export).await);
    let exported = std::fs::read(&path).expect("read");
    let answer = node.post(&format!("/v1/domains/{DOMAIN}/statements"), "application/octet-stream", exported).await;
    assert!(answer.status == 200 && answer.text().contains("\"checkpoint\""), "{option}: {}", answer.text());
}

#[tokio::test]
async fn an_extension_of_a_key_with_gpg_is_accepted() {
    let (gpg, key, node) = signer().await;
    Gpg::good(&gpg.run(&["--send-keys", &key]).await);
    let mut ends = BTreeSet::from([served(&node, &key).await.1]);
    for (years, option) in [("2y", None), ("3y", Some("export-clean")), ("4y", Some("export-minimal")), ("5y", None)] {
        Gpg::good(&gpg.run(&["--passphrase", "", "--quick-set-expire", &key, years]).await);
        match option {
            None => drop(Gpg::good(&gpg.run(&["--send-keys", &key]).await)),
            Some(option) => submit_exported(&gpg, &key, option, &node).await,
        }
        let (is_revoked, end) = served(&node, &key).await;
        assert_eq!((is_revoked, &end), (false, &listed(&gpg, &key).await.1), "{years}");
        ends.insert(end);
    }
    assert_eq!(ends.len(), 5, "{ends:?}");
    // Everything is there: sending it once more is nothing new, and no error.
    Gpg::good(&gpg.run(&["--send-keys", &key]).await);
}

#[tokio::test]
async fn a_revocation_of_a_key_with_gpg_is_accepted() {
    let (gpg, key, node) = signer().await;
    Gpg::good(&gpg.run(&["--send-keys", &key]).await);
    Gpg::good(&gpg.run(&["--passphrase", "", "--quick-set-expire", &key, "2y"]).await);
    // A colon keeps the revocation that gpg made in advance from being imported by mistake.
    let made = std::fs::read_to_string(gpg.path(&format!("openpgp-revocs.d/{key}.rev"))).expect("read");
    let revocation = gpg.file("revocation", made.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    Gpg::good(&gpg.run(&["--import", text(&revocation)]).await);
    Gpg::good(&gpg.run(&["--send-keys", &key]).await);
    assert!(served(&node, &key).await.0, "it is revoked");
}

/// What is refused for good must be an error for the sender, although the key is known.
#[tokio::test]
async fn a_refused_certificate_of_a_known_key_is_an_error() {
    let own = certificate(&maker(), ACME);
    let limit = own.len() + 10;
    let node = node_with(move |descriptor| descriptor.limits.certificate_bytes = Some(limit)).await;
    assert_eq!(node.post("/pks/v2/certs", "application/pgp-keys", own.clone()).await.status, 200);
    let later = CREATED.plus_millis(24 * 3_600_000);
    let later = Certificate::make(&maker(), ACME, later, &[2; 32]).expect("made");
    let answer = node.post("/pks/v2/certs", "application/pgp-keys", later.clone()).await;
    answer.is_problem("one self-signature more", (422, "certificate-too-long"));
    assert!(answer.text().contains("`certificate_bytes`"), "{}", answer.text());

    let key = maker().public_key().fingerprint().to_string();
    for (state, is_taken) in [(own, true), (later, false)] {
        let gpg = Gpg::of(&node, "");
        let file = gpg.file("own", &state);
        Gpg::good(&gpg.run(&["--import", text(&file)]).await);
        let sent = gpg.run(&["--send-keys", &key]).await;
        assert_eq!(sent.status.success(), is_taken, "{}", Gpg::text(&sent));
    }
    // Revoking the key needs no room.
    let revoked = revoked_certificate(&maker(), ACME);
    let answer = node.post("/pks/v2/certs", "application/pgp-keys", revoked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let index = node.get(&format!("/pks/lookup?op=index&search=0x{key}")).await;
    assert!(index.text().contains("::r\n"), "{}", index.text());
}
