//! From now on another key issues. What the former key has issued is revoked with the former key, since the log accepts
//! that from no other.

use std::sync::Arc;

use ics_core::descriptor::{Compromise, Issuer};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer;
use ics_node::api::problem::Code;
use ics_node::app::{AppError, CertifyFault, Clock, Issued, IssuerKey, Requester, Revoker};
use ics_node::x509::{Reason, issuer_id};

use crate::tools::Bench;
use crate::world::{World, authority, controller, domain, id, owner, p256, status};

pub(crate) fn issuer_key() -> IssuerKey {
    issuing_with(p256())
}

/// A key with which a node issues.
pub(crate) fn issuing_with(signer: Arc<dyn Signer + Send + Sync>) -> IssuerKey {
    // Signed after the key was made: a new second may have begun meanwhile.
    let certificate = Certificate::make(&*signer, "Acme Issuing", Clock::default().now(), &[4; 32]).expect("OpenPGP");
    IssuerKey { signer, certificate: certificate.into(), answers_by: None }
}

fn issue(world: &World, bench: &Bench, name: &str) -> Issued {
    world.certify(7, "ldevid", &bench.request(name, &[])).expect(name)
}

/// Whether a certificate is on this issuer's list.
fn is_listed(world: &World, issuer: &[u8], issued: &Issued) -> bool {
    let issuer = issuer_id(&authority(&[issuer, &world.root]));
    let list = world.list(&issuer, issued.serial.bucket() % 4).expect("a list");
    list.der.windows(20).any(|octets| octets == issued.serial.as_bytes())
}

#[test]
fn a_right_to_revoke_survives_a_rotation() {
    let (world, bench) = (World::new(), Bench::new());
    let former = world.issuer.clone();
    let own = ["key", "holder", "names", "controller"].map(|name| issue(&world, &bench, name));
    let world = world.rotated(issuer_key());
    let next = issue(&world, &bench, "next");
    let holder = Revoker::Requester(Requester::Identity(id(7)));
    world.revoke(&next.serial, holder, Reason::Superseded).expect("of the issuer of now");
    assert!(is_listed(&world, &world.issuer, &next));
    let watcher = Revoker::Requester(Requester::Signer(controller().public_key().fingerprint()));
    let revokers = [
        (Revoker::Key, Reason::KeyCompromise),
        (holder, Reason::Superseded),
        (Revoker::Names, Reason::CessationOfOperation),
        (watcher, Reason::PrivilegeWithdrawn),
    ];
    for ((revoker, reason), issued) in revokers.into_iter().zip(&own) {
        assert!(!is_listed(&world, &former, issued));
        let index =
            world.revoke(&issued.serial, revoker, reason).unwrap_or_else(|error| panic!("{revoker:?}: {error}"));
        assert!(is_listed(&world, &former, issued), "by entry {index}");
        let again = world.revoke(&issued.serial, revoker, reason).expect_err("once");
        assert_eq!(again.fault(), CertifyFault::Already, "{again}");
    }
}

/// Asserts which authority the node reports as lacking its key.
fn assert_away(world: &World, name: &str) {
    let away = world.app.issuers_away();
    let [(of, authority)] = away.as_slice() else { panic!("one is: {away:?}") };
    assert!(*of == domain() && authority.contains(name), "{away:?}");
}

#[test]
fn it_takes_the_key_that_has_issued_and_no_other() {
    let (world, bench) = (World::new(), Bench::new());
    let (former, next) = (world.key.clone(), issuer_key());
    let own = ["first", "second"].map(|name| issue(&world, &bench, name));
    let revoke = |world: &World, issued: &Issued| world.revoke(&issued.serial, Revoker::Key, Reason::KeyCompromise);

    // The descriptor names the next key, which the node does not have yet.
    let world = world.rotated(next.clone());
    assert!(world.app.issuers_away().is_empty());
    let world = world.with_key(former);
    assert_away(&world, "Acme Issuing 2");
    let refused = world.certify(7, "ldevid", &bench.request("early", &[])).expect_err("who issues is not here");
    assert_eq!(refused.fault(), CertifyFault::Node, "{refused}");
    assert_eq!(AppError::from(refused).code(), Code::Behind, "nobody who asks can change that");
    revoke(&world, &own[0]).expect("who has issued it is");

    // The node has the next key instead of the former one.
    let world = world.with_key(next);
    assert_away(&world, "Acme Issuing 1");
    let size = world.size();
    let refused = revoke(&world, &own[1]).expect_err("who has issued it is gone");
    assert_eq!((refused.fault(), world.size()), (CertifyFault::Node, size), "{refused}");
    assert!(refused.to_string().contains("[node] issuers"), "it says what to do: {refused}");
    revoke(&world, &issue(&world, &bench, "third")).expect("who issues now is here");
}

/// What an issuer revoked before its key was declared compromised stays revoked, although the issuer's statements no
/// longer count; only what is on hold comes back (RFC 5280, 5.3.1).
#[test]
fn a_compromised_issuer_brings_no_certificate_back() {
    let watcher = Revoker::Requester(Requester::Signer(controller().public_key().fingerprint()));
    for (revoker, reason, fault) in [
        (Revoker::Key, Reason::KeyCompromise, CertifyFault::Key),
        (watcher, Reason::PrivilegeWithdrawn, CertifyFault::Denied),
    ] {
        let (world, bench) = (World::new(), Bench::new());
        let former = world.issuer.clone();
        let [ended, left] = ["ended", "left"].map(|name| issue(&world, &bench, name));
        let stolen_from = world.size();
        world.revoke(&ended.serial, revoker, reason).expect("may");
        let signer = world.key.signer.public_key().fingerprint();
        let mut world = world.rotated(issuer_key());
        let stays = |world: &World| {
            assert!(is_listed(world, &former, &ended), "{reason}");
            let again = world.certify(7, "ldevid", &bench.request_again("ended", &[])).expect_err("not of that key");
            assert_eq!(again.fault(), fault, "{again}");
        };
        stays(&world);
        world.change(|descriptor| {
            descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index: stolen_from }];
        });
        stays(&world);
        assert!(!is_listed(&world, &former, &left));
        let refused = world.revoke(&left.serial, Revoker::Key, Reason::KeyCompromise).expect_err("it counts no longer");
        assert!(refused.to_string().contains("a status that blocks the thing"), "it says what to do: {refused}");
    }
}

/// The thief of an issuer's key may have certified a key of their own for a thing, but did not choose the key that is
/// the thing's identity.
#[test]
fn a_thing_gets_certificates_of_its_own_key_after_its_issuer_was_compromised() {
    let (world, bench) = (World::new(), Bench::new());
    let from_index = world.size();
    world.certify(7, "ldevid", &bench.request_of(7)).expect("a certificate of its own key");
    issue(&world, &bench, "chosen");
    let signer = world.key.signer.public_key().fingerprint();
    let mut world = world.rotated(issuer_key());
    world.change(|descriptor| {
        descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }];
    });

    for _ in 0..2 {
        world.certify(7, "ldevid", &bench.request_of(7)).expect("it is its own");
    }
    let refused = world.certify(7, "ldevid", &bench.request_again("chosen", &[])).expect_err("it may be the thief's");
    assert_eq!(refused.fault(), CertifyFault::Key, "{refused}");
    assert!(refused.to_string().contains("an issuer that is declared compromised"), "it says why: {refused}");
    issue(&world, &bench, "new");
}

/// The log takes nothing from it, which is not the fault of who asks.
#[test]
fn an_issuer_that_is_declared_compromised_issues_nothing_until_another_does() {
    let (mut world, bench) = (World::new(), Bench::new());
    issue(&world, &bench, "before");
    let told = |world: &World| {
        let index = world.app.x509_index(&domain(), "https://ics.acme.example").expect("it names issuers");
        index.issuers.iter().map(|issuer| (issuer.issues, issuer.compromised)).collect::<Vec<_>>()
    };
    assert_eq!(told(&world), [(true, false)]);
    let (signer, from_index) = (world.key.signer.public_key().fingerprint(), world.size());
    world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    assert_eq!(told(&world), [(false, true)]);
    let size = world.size();
    let refused = world.certify(7, "ldevid", &bench.request("after", &[])).expect_err("anybody may sign with it");
    assert_eq!((refused.fault(), world.size()), (CertifyFault::Node, size), "{refused}");
    assert!(refused.to_string().contains("declared compromised"), "it says why: {refused}");
    let world = world.rotated(issuer_key());
    issue(&world, &bench, "new");
    assert_eq!(told(&world), [(true, false), (false, true)]);
}

/// Nor does a compromised signer who blocked a thing for ever, since the revocation was published.
#[test]
fn a_compromised_signer_of_a_block_brings_no_certificate_back() {
    let (mut world, bench) = (World::new(), Bench::new());
    let (issuer, ended) = (world.issuer.clone(), issue(&world, &bench, "ended"));
    let from_index = world.size();
    world.submit(vec![status(7, &owner(), "owner", "destroyed", &[])]);
    assert!(is_listed(&world, &issuer, &ended));
    let signer = owner().public_key().fingerprint();
    world.change(|descriptor| {
        descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }];
    });
    assert!(is_listed(&world, &issuer, &ended), "only a hold ends");
    let new = issue(&world, &bench, "new");
    assert!(!is_listed(&world, &issuer, &new), "it was issued after that");
}

/// Devices' clocks may be behind, so certificates begin a moment before they are made; but not before what vouches for
/// them does.
#[test]
fn nothing_begins_before_its_issuer() {
    let (world, bench) = (World::new(), Bench::new());
    let begins = |issued: &Issued| issued.not_before;
    let before = issue(&world, &bench, "before");
    let now = world.app.clock().now();
    assert!(now.millis_since(begins(&before)) >= 60_000, "{now}: {}", begins(&before));
    let world = world.rotated(issuer_key());
    let authority = authority(&[&world.issuer, &world.root]);
    assert!(authority.not_before.plus_millis(60_000) > now, "it is new");
    assert_eq!(begins(&issue(&world, &bench, "after")), authority.not_before);
}

/// Its owners may have pasted it there, since the log knows nothing of X.509.
#[test]
fn an_authority_that_cannot_be_read_keeps_no_other_from_its_work() {
    let (mut world, bench) = (World::new(), Bench::new());
    let issued = issue(&world, &bench, "key");
    world.change(|descriptor| {
        let issuers = &mut descriptor.certificates.as_mut().expect("it issues").issuers;
        issuers.push(Issuer { certificate: "AAAA".to_owned(), chain: Vec::new() });
    });
    let all = world.app.est_certificates(&domain()).expect("those of the others");
    assert!(all.windows(world.issuer.len()).any(|part| part == world.issuer));
    let own = issuer_id(&authority(&[&world.issuer, &world.root]));
    assert_eq!(world.app.issuer_certificate(&domain(), &own).expect("its own"), world.issuer);
    assert!(!is_listed(&world, &world.issuer, &issued));
}
