//! Certificates that are not confirmed at once (RFC 9810, 5.1.1.2).

use super::{CMP, IDEVID, NEW, Site, first, is_confirmed, part, sent, tlv};
use crate::node::Node;
use crate::world::{domain, wait};

/// Milliseconds for which every certificate can still be confirmed, and after which none can.
const EARLY: u64 = 9 * 60_000;
const LATE: u64 = 11 * 60_000;

impl Site {
    /// Has the node look, in so many milliseconds, for certificates whose time is over.
    fn look_in(&self, millis: u64) {
        let app = &self.world.app;
        wait(app.revoke_unconfirmed(app.clock().now().plus_millis(millis)));
    }

    /// Obtains a certificate that is not confirmed yet; returns the confirmation.
    fn unconfirmed(&self) -> Vec<u8> {
        let more = ["-disable_confirm", "-reqout", "request.der", "-rspout", "response.der"];
        self.gets("", IDEVID, &[&["-cmd", "ir"], NEW, &more[..]].concat());
        self.bench.openssl("x509 -in answer.pem -outform DER -out answer.der");
        self.bench.openssl("dgst -sha256 -binary -out digest answer.der");
        let (request, response) = (self.bench.read("request.der"), self.bench.read("response.der"));
        // CertStatus: the digest, and the number of the request.
        let taken = [tlv(4, &self.bench.read("digest")), vec![2, 1, 0]].concat();
        let body = tlv(0xb8, &tlv(0x30, &tlv(0x30, &taken)));
        self.changed(&request, &tlv(0xa6, &part(&response, 0xa5)), &body)
    }
}

/// A message without the certificates that it brings, which its signature does not cover.
fn bare(message: &[u8]) -> Vec<u8> {
    let (_, header, rest) = first(first(message).0);
    let (_, body, rest) = first(rest);
    tlv(0x30, &[header, body, first(rest).1].concat())
}

#[test]
fn they_are_revoked_when_the_announced_time_is_over() {
    let site = Site::new();
    site.gets("", IDEVID, &[&["-cmd", "ir"], NEW].concat());
    site.gets("", IDEVID, &[&["-cmd", "ir", "-implicit_confirm"], NEW].concat());
    let late = site.unconfirmed();
    site.look_in(EARLY);
    assert_eq!(site.revoked(), Vec::<String>::new(), "there is time left");
    site.look_in(LATE);
    assert_eq!(site.revoked(), ["unspecified"], "what is confirmed, or need not be, stays");
    let size = site.world.size();
    site.look_in(LATE);
    let (code, answer) = sent(&site, CMP, &late);
    assert!(code == "200" && answer.contains("the time to confirm the certificate is over"), "{answer}");
    assert_eq!(site.world.size(), size, "nothing is said twice");
}

#[test]
fn whoever_confirms_one_in_time_keeps_it() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
    site.look_in(LATE);
    assert_eq!(site.revoked(), Vec::<String>::new());
}

#[test]
fn a_restart_lets_none_stay_in_force() {
    let site = Site::new();
    site.unconfirmed();
    let Site { world, bench, node } = site;
    drop(node);
    let key = world.key.clone();
    let world = world.with_key(key);
    let site = Site { node: Node::start(&world.app), world, bench };
    site.look_in(EARLY);
    assert_eq!(site.revoked(), Vec::<String>::new(), "there is time left");
    site.look_in(LATE);
    assert_eq!(site.revoked(), ["unspecified"]);
}

/// Whoever has confirmed a certificate since the backup keeps it, and nobody can tell who has.
#[test]
fn a_restored_backup_takes_none_back() {
    let site = Site::new();
    site.unconfirmed();
    let (app, size) = (&site.world.app, site.world.size());
    app.hold().expect("it is silent");
    site.look_in(LATE);
    app.go_on(&domain()).expect("it goes on");
    site.look_in(LATE);
    assert_eq!((site.revoked(), site.world.size()), (Vec::new(), size));
    site.unconfirmed();
    site.look_in(LATE);
    assert_eq!(site.revoked(), ["unspecified"], "only what was issued since then");
}

/// Only the first message of a transaction has to bring the certificate of its signer (RFC 9483, 3.3).
#[test]
fn whoever_showed_a_certificate_at_first_confirms_without_it() {
    let site = Site::new();
    let confirmation = bare(&site.unconfirmed());
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
    site.look_in(LATE);
    assert_eq!(site.revoked(), Vec::<String>::new());
    let begins = bare(&site.written(&[&["-cmd", "ir"], NEW].concat()));
    let (code, answer) = sent(&site, CMP, &begins);
    assert!(code == "200" && answer.contains("must be that of the key that signed the message"), "{answer}");
}
