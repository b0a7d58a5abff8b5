//! Certificates that are not confirmed at once (RFC 9810, 5.1.1.2).

use ics_core::descriptor::Compromise;
use ics_node::app::IssuerKey;

use super::{CMP, IDEVID, NEW, Site, first, is_confirmed, part, sent, tlv};
use crate::node::Node;
use crate::revocation::{lift, suspend};
use crate::rotation::issuer_key;
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

    /// The same after a restart of the node.
    fn restarted(self) -> Self {
        let key = self.world.key.clone();
        self.restarted_with(key)
    }

    /// The same with another key instead of the issuer's.
    fn restarted_with(self, key: IssuerKey) -> Self {
        let Self { world, bench, node } = self;
        drop(node);
        let world = world.with_key(key);
        Self { node: Node::start(&world.app), world, bench }
    }

    /// Obtains a certificate that is not confirmed yet; returns the confirmation.
    fn unconfirmed(&self) -> Vec<u8> {
        let more = ["-disable_confirm", "-reqout", "request.der", "-rspout", "response.der"];
        self.gets("", IDEVID, &[&["-cmd", "ir"], NEW, &more[..]].concat());
        self.bench.openssl("x509 -in answer.pem -outform DER -out answer.der");
        self.bench.openssl("dgst -sha256 -binary -out digest answer.der");
        self.confirmation(0)
    }

    /// The confirmation of that certificate, for a request with this id.
    fn confirmation(&self, number: u8) -> Vec<u8> {
        let (request, response) = (self.bench.read("request.der"), self.bench.read("response.der"));
        // CertStatus: the digest, and the number of the request.
        let taken = [tlv(4, &self.bench.read("digest")), vec![2, 1, number]].concat();
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

/// RFC 9483, 4.1.1: it says nothing about this one.
#[test]
fn a_confirmation_of_another_request_changes_nothing() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let (code, answer) = sent(&site, CMP, &site.confirmation(1));
    assert!(code == "200" && answer.contains("the certReqId is not that of the request"), "{answer}");
    assert_eq!(site.revoked(), Vec::<String>::new(), "it still waits");
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
}

/// Its message is still in time, and nothing else tells that it has come before.
#[test]
fn what_needs_no_confirmation_is_issued_once_even_after_a_restart() {
    let site = Site::new();
    site.gets("", IDEVID, &[&["-cmd", "ir", "-implicit_confirm", "-reqout", "request.der"], NEW].concat());
    let (request, size) = (site.bench.read("request.der"), site.world.size());
    let site = site.restarted();
    let (code, answer) = sent(&site, CMP, &request);
    assert!(code == "200" && answer.contains("a transaction with this id has already begun"), "{answer}");
    site.look_in(LATE);
    assert_eq!((site.world.size(), site.revoked()), (size, Vec::new()), "it is in force");
}

/// It might be granted by then, or what it asks to revoke be another's.
#[test]
fn what_was_refused_is_not_granted_after_a_restart() {
    let site = Site::new();
    let suspended = suspend(&site.world);
    let asks = [&["-cmd", "ir", "-reqout", "request.der"], NEW].concat();
    site.is_refused("", IDEVID, &asks, "notAuthorized");
    let request = site.bench.read("request.der");
    lift(&site.world, &suspended);
    let site = site.restarted();
    let size = site.world.size();
    let (code, answer) = sent(&site, CMP, &request);
    assert!(code == "200" && answer.contains("a transaction with this id has already begun"), "{answer}");
    site.look_in(LATE);
    assert_eq!((site.world.size(), site.revoked()), (size, Vec::new()), "there is nothing to revoke");
    site.gets("", IDEVID, &[&["-cmd", "ir"], NEW].concat());
}

#[test]
fn a_restart_lets_none_stay_in_force() {
    let site = Site::new();
    site.unconfirmed();
    let site = site.restarted();
    site.look_in(EARLY);
    assert_eq!(site.revoked(), Vec::<String>::new(), "there is time left");
    site.look_in(LATE);
    assert_eq!(site.revoked(), ["unspecified"]);
}

/// With the same checks as before, since all that they need is kept with the certificate.
#[test]
fn whoever_confirms_one_after_a_restart_keeps_it() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let request = site.bench.read("request.der");
    let site = site.restarted();
    let (code, answer) = sent(&site, CMP, &request);
    assert!(code == "200" && answer.contains("a transaction with this id has already begun"), "{answer}");
    let body = first(first(first(&confirmation).0).2).1;
    let guess = site.changed(&request, &tlv(0xa6, &tlv(4, &[7; 16])), body);
    let (code, answer) = sent(&site, CMP, &guess);
    assert!(code == "200" && answer.contains("is not the senderNonce of the message"), "{answer}");
    // The key that signed the request is known as well.
    for message in [&bare(&confirmation), &confirmation] {
        let (code, answer) = sent(&site, CMP, message);
        assert!(code == "200" && is_confirmed(&site), "{answer}");
    }
    // Whoever got no answer to that, since the node has stopped, repeats it.
    let site = site.restarted();
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
    site.look_in(LATE);
    assert_eq!(site.revoked(), Vec::<String>::new());
}

#[test]
fn whoever_has_rejected_one_cannot_confirm_it_after_a_restart() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let (request, response) = (site.bench.read("request.der"), site.bench.read("response.der"));
    let error = tlv(0xb7, &tlv(0x30, &tlv(0x30, &[2, 1, 2])));
    let rejection = site.changed(&request, &tlv(0xa6, &part(&response, 0xa5)), &error);
    let (code, answer) = sent(&site, CMP, &rejection);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
    assert_eq!(site.revoked(), ["unspecified"]);
    let site = site.restarted();
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && answer.contains("no certificate waits for a confirmation"), "{answer}");
}

/// Keys come with a start: before that, nothing is tried again.
#[test]
fn they_are_revoked_once_the_key_that_issued_them_is_back() {
    let site = Site::new();
    site.unconfirmed();
    let (key, size) = (site.world.key.clone(), site.world.size());
    let site = site.restarted_with(issuer_key());
    for _ in 0..2 {
        site.look_in(LATE);
        assert_eq!(site.world.size(), size, "nobody else can take it back");
    }
    let site = site.restarted_with(key);
    site.look_in(LATE);
    assert_eq!(site.revoked(), ["unspecified"]);
}

/// The owners may name the next issuer before its key has come to the node, while devices are renewing. Who issued
/// until then is still here, and answers for the domain.
#[test]
fn they_are_confirmed_and_revoked_before_the_key_of_the_next_issuer_has_come() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let Site { world, bench, node } = site;
    drop(node);
    let former = world.key.clone();
    let world = world.rotated(issuer_key()).with_key(former);
    let site = Site { node: Node::start(&world.app), world, bench };
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
    site.look_in(LATE);
    assert_eq!(site.revoked(), Vec::<String>::new(), "it is confirmed");
    site.gets("", IDEVID, &["-cmd", "rr", "-oldcert", "answer.pem", "-revreason", "4"]);
    assert_eq!(site.revoked(), ["superseded"]);
    site.is_refused("", IDEVID, &[&["-cmd", "ir"], NEW].concat(), "systemUnavail");
}

/// Whoever has stolen that key can sign such answers, too.
#[test]
fn nothing_is_answered_with_a_former_key_that_is_declared_compromised() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let Site { world, bench, node } = site;
    drop(node);
    let former = world.key.clone();
    let signer = former.signer.public_key().fingerprint();
    let mut world = world.rotated(issuer_key()).with_key(former);
    let from_index = world.size();
    world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    assert_eq!(world.app.only_issuing().expect("no other is meant meanwhile"), domain());
    let site = Site { node: Node::start(&world.app), world, bench };
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert_ne!(code, "200", "{answer}");
}

#[test]
fn nothing_is_answered_with_the_present_key_once_that_is_declared_compromised() {
    let mut site = Site::new();
    let confirmation = site.unconfirmed();
    let (signer, from_index) = (site.world.key.signer.public_key().fingerprint(), site.world.size());
    site.world.change(|descriptor| {
        descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }];
    });
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert_eq!(code, "503", "{answer}");
}

/// The log has no certificate of a key that has issued nothing yet.
#[test]
fn nothing_is_answered_with_a_key_that_was_stolen_before_it_was_used() {
    let site = Site::new();
    let message = site.written(&[&["-cmd", "ir"], NEW].concat());
    let Site { world, bench, node } = site;
    drop(node);
    let next = issuer_key();
    let signer = next.signer.public_key().fingerprint();
    let mut world = world.rotated(next.clone()).with_key(next);
    let from_index = world.size();
    world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    let site = Site { node: Node::start(&world.app), world, bench };
    let (code, answer) = sent(&site, CMP, &message);
    assert_eq!(code, "503", "{answer}");
}

/// No client would accept such an answer.
#[test]
fn nothing_is_answered_with_a_certificate_that_has_not_begun() {
    const HOUR: u64 = 3_600_000;
    let mut site = Site::new();
    let confirmation = site.unconfirmed();
    let former = site.world.descriptor.certificates.clone().expect("it issues").issuers;
    site.world.begin_at(site.world.app.clock().now().plus_millis(HOUR));
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert_eq!(code, "503", "{answer}");
    site.world.change(|descriptor| descriptor.certificates.as_mut().expect("it issues").issuers.extend(former));
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "the former one answers: {code} {answer}");
    site.gets("", IDEVID, &["-cmd", "rr", "-oldcert", "answer.pem", "-revreason", "4"]);
}

/// It may issue again, and then its lists must have them.
#[test]
fn they_are_revoked_although_their_domain_issues_no_more() {
    let mut site = Site::new();
    site.unconfirmed();
    let certificates = site.world.descriptor.certificates.clone();
    site.world.change(|descriptor| descriptor.certificates = None);
    let size = site.world.size();
    for _ in 0..2 {
        site.look_in(LATE);
        assert_eq!(site.world.size(), size + 1, "it is taken back once");
    }
    site.world.change(|descriptor| descriptor.certificates = certificates);
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

/// It stays in force, so whoever confirms it must not be told that it is revoked.
#[test]
fn whoever_confirms_one_after_a_restore_keeps_it() {
    let site = Site::new();
    let confirmation = site.unconfirmed();
    let app = &site.world.app;
    app.hold().expect("it is silent");
    app.go_on(&domain()).expect("it goes on");
    let (code, answer) = sent(&site, CMP, &confirmation);
    assert!(code == "200" && is_confirmed(&site), "{answer}");
    site.look_in(LATE);
    assert_eq!(site.revoked(), Vec::<String>::new());
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
    // error, with badMessageCheck (RFC 9483, 3.5).
    let (answer, named) = (site.bench.read("answer"), [3, 2, 6, 0x40]);
    assert!(first(first(first(&answer).0).2).1[0] == 0xb7 && answer.windows(4).any(|part| part == named));
}
