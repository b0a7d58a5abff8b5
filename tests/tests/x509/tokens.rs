//! Real processes: a node whose issuing key never leaves a PKCS#11 token (SoftHSM).

use crate::mirrors::{list, path_of};
use crate::town::Town;

#[test]
fn a_node_issues_and_revokes_with_a_key_in_a_token() {
    let mut town = Town::with_token();
    town.device("7");
    let (code, answer) = town.est("SN-7", "7");
    assert_eq!(code, "200", "{answer}");
    town.bench.openssl("verify -x509_strict -CAfile root.pem -untrusted issuer.pem 7.pem");
    let listed = |town: &Town| list(town, &town.url, &path_of(town, "7")).expect("a list");
    assert!(town.ocsp("7").contains("7.pem: good"));
    assert!(listed(&town).contains("No Revoked Certificates"));
    town.ok(&["status", "suspended", "serial:SN-7", "--signer", "monitor", "--role", "security-controller", "--yes"]);
    let is_held = |town: &Town| {
        let (answer, list) = (town.ocsp("7"), listed(town));
        answer.contains("7.pem: revoked") && answer.contains("certificateHold") && list.contains("Certificate Hold")
    };
    assert!(is_held(&town));
    // With the PIN alone it goes on after a power cut.
    town.kill();
    town.start();
    assert!(is_held(&town));
}

/// The credential of an ACME account is given to whoever has the key, wherever that is.
#[test]
fn a_signer_in_a_token_gets_a_credential_for_acme() {
    let town = Town::with_token();
    town.ok(&["key", "make", "factory", "--token", "pkcs11:token=acme"]);
    town.ok(&["domain", "update", "--add-signer", "manufacturer=factory"]);
    town.ok(&["domain", "submit"]);
    town.key("7");
    town.ok(&["publish", "--key", "7.pub", "--serial", "SN-7", "--signer", "factory"]);
    let credential = town.ok(&["acme", "eab", "--key", "factory"]);
    let key = town.ok(&["key", "show", "factory"]);
    let holder = format!("the signer {}", key["fingerprint"].as_str().expect("a fingerprint"));
    assert_eq!(credential["holder"], holder, "{credential}");
    assert!(credential["kid"].is_string() && credential["hmac_key"].is_string(), "{credential}");
}
