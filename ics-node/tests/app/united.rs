//! Certificates that lack parts that the log has: their senders use programs that drop former self-signatures.

use std::time::Duration;

use ics_core::descriptor::Source;
use ics_core::log::Hash;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer as _;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Role;
use ics_node::api::{AdoptionRequest, SubmissionResult};
use ics_node::app::keys::Change;
use ics_node::app::{App, Reader, Sender};
use ics_sync::wire;
use tokio::sync::watch;

use crate::fixture::{Party, SALT, catches_up, copy, device, served, word};

/// The party's certificate with only its newest self-signature, made this many days after the first.
fn forgetful(party: &Party, days: u64) -> Vec<u8> {
    // Counted from 2026-01-01.
    let at = Timestamp::from_seconds(1_767_225_600 + days * 24 * 3600);
    Certificate::make(&party.signer, party.domain.as_str(), at, &SALT).expect("a certificate")
}

fn certificate(body: &[u8]) -> Certificate {
    Certificate::parse(body).expect("a certificate")
}

/// The certificate at an index of the log.
fn logged(app: &App, party: &Party, index: u64) -> Certificate {
    let page = app.entries(Reader::Operator, &party.domain, index, 1, None).expect("a page");
    match page.entries.as_slice() {
        [wire::Entry::Whole(entry)] => certificate(&entry.body),
        other => panic!("{other:?}"),
    }
}

/// The index of each body of a batch, or why it was refused.
async fn stood(app: &App, party: &Party, bodies: Vec<Vec<u8>>) -> Vec<Result<u64, String>> {
    let stands = |result| match result {
        SubmissionResult::Receipt(receipt) => Ok(receipt.index),
        SubmissionResult::Problem(problem) => Err(format!("{}: {}", problem.code(), problem.detail)),
        SubmissionResult::Pending(pending) => Err(format!("{pending:?}")),
    };
    app.submit(&party.domain, bodies).await.expect("batch").results.into_iter().map(stands).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_goes_in_with_all_that_the_log_has_of_it() {
    let (maker, app) = Party::with_a_device().await;
    let (second, third) = (forgetful(&maker, 1), forgetful(&maker, 2));
    let introduced = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2");
    let bodies = vec![second.clone(), introduced, third.clone()];
    assert_eq!(stood(&app, &maker, bodies).await, [Ok(3), Ok(4), Ok(5)]);
    let (first, both, all) = (logged(&app, &maker, 1), logged(&app, &maker, 3), logged(&app, &maker, 5));
    assert!(both.extends(&first) && both.covers(&certificate(&second)));
    assert!(all.extends(&both) && all.covers(&certificate(&third)));
    // What is sent again is already there; what is itself in the log keeps its index.
    let again = vec![third, second, maker.certificate.clone()];
    assert_eq!(stood(&app, &maker, again).await, [Ok(5), Ok(5), Ok(1)]);
    drop(app);
    let app = maker.open();
    assert_eq!(logged(&app, &maker, 5), all, "the log is read again by the same rules");
    assert_eq!(stood(&app, &maker, vec![forgetful(&maker, 3)]).await, [Ok(6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_too_long_is_refused_with_the_reason() {
    let length = Party::found("devices.acme.example").certificate.len();
    let maker = Party::found_with("devices.acme.example", |descriptor| {
        descriptor.limits.certificate_bytes = Some(length + 10);
    });
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let introduced = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2");
    let results = stood(&app, &maker, vec![forgetful(&maker, 1), introduced]).await;
    let [Err(refusal), Ok(3)] = results.as_slice() else { panic!("{results:?}") };
    for part in ["certificate-too-long", "already has of it", &format!("is {}", length + 10), "`certificate_bytes`"] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    let uploaded = app.read_keys(Reader::Anonymous, forgetful(&maker, 1)).await.expect("read");
    let merged = app.merge_keys(&mut Sender::own(), uploaded).await.expect("heard");
    assert_eq!(merged.keys.get(&maker.signer.public_key().fingerprint()), Some(&Change::Refused), "{merged:?}");
}

/// What the log admitted before still counts. Owners who believe that the revocation is enough are told once what is
/// left to do.
#[tokio::test(flavor = "multi_thread")]
async fn the_owners_are_told_of_a_signer_who_revokes_their_key() {
    for (reason, way) in [(2, "--compromised SIGNER@INDEX`"), (3, "--remove-signer manufacturer=SIGNER`")] {
        let (maker, app) = Party::with_a_device().await;
        let alarms = || app.domain(&maker.domain).expect("domain").alarms;
        assert_eq!(alarms(), []);
        let revoked = maker.revoked(&maker.certificate, reason);
        for _ in 0..2 {
            assert_eq!(stood(&app, &maker, vec![revoked.clone()]).await, [Ok(3)]);
        }
        let alarms = alarms();
        let [alarm] = alarms.as_slice() else { panic!("one warning: {alarms:?}") };
        assert_eq!(alarm.kind, "signer-revoked");
        let way = way.replace("SIGNER", &maker.signer.public_key().fingerprint().to_string());
        assert!(alarm.text.ends_with(&way), "{}", alarm.text);
    }
    // The owners have nothing to decide about a signer to whom they have given no role.
    let (maker, stranger) = (Party::found("devices.acme.example"), Party::found("other.example"));
    let app = maker.open();
    stood(&app, &maker, vec![stranger.revoked(&stranger.certificate, 2)]).await;
    assert_eq!(app.domain(&maker.domain).expect("domain").alarms, []);
}

/// Programs send renewed self-signatures along. If the rules keep those out, the key is revoked all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_can_revoke_a_key_even_with_what_the_rules_keep_out() {
    let length = Party::found("devices.acme.example").certificate.len();
    for is_whole in [false, true] {
        let maker = Party::found_with("devices.acme.example", |descriptor| {
            descriptor.limits.certificate_bytes = Some(length + 10);
        });
        let app = maker.open();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        let renewed = if is_whole { maker.renewed(app.clock().now()) } else { forgetful(&maker, 1) };
        let sent = maker.revoked(&renewed, 3);
        assert_eq!(stood(&app, &maker, vec![sent.clone()]).await, [Ok(3)], "{is_whole}");
        let (first, ended, sent_state) = (logged(&app, &maker, 1), logged(&app, &maker, 3), certificate(&sent));
        assert!(ended.ends(&first) && ended.is_revoked_as(&sent_state) && !first.is_revoked_as(&sent_state));
        assert!(!ended.covers(&sent_state), "the rest is left out");
        let again = stood(&app, &maker, vec![sent]).await;
        let [Err(refusal)] = again.as_slice() else { panic!("{again:?}") };
        assert!(refusal.contains("certificate-too-long"), "once it is revoked there is only the rest: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_come_at_once_all_go_in() {
    let (maker, app) = Party::with_a_device().await;
    let states: Vec<Vec<u8>> = (1..=8).map(|days| forgetful(&maker, days)).collect();
    let sent = states.iter().map(|state| {
        let (app, domain, bodies) = (app.clone(), maker.domain.clone(), vec![state.clone()]);
        tokio::spawn(async move { app.submit(&domain, bodies).await })
    });
    let mut last = 0;
    for sending in sent.collect::<Vec<_>>() {
        let results = sending.await.expect("ends").expect("batch").results;
        let [SubmissionResult::Receipt(receipt)] = results.as_slice() else { panic!("{results:?}") };
        last = last.max(receipt.index);
    }
    let all = logged(&app, &maker, last);
    assert!(states.iter().all(|state| all.covers(&certificate(state))));
}

/// A domain at the same node that adopts from a party's domain, whose signer also speaks in it.
fn adopter(app: &App, source: &Party) -> Party {
    let origin = app.domain(&source.domain).expect("here").info.origin;
    let party = Party::found_with("carebox.acme.example", |descriptor| {
        let home = descriptor.home.clone();
        descriptor.sources = vec![Source { domain: origin.domain.clone(), entry0: Hash(origin.entry0), home }];
        let spec = descriptor.roles.get_mut(&word::<Role>("manufacturer")).expect("the template's role");
        spec.signers.insert(source.signer.public_key().fingerprint());
        descriptor.access += "\n@id(\"takes-over\") permit (principal, action in Action::\"append\", resource) when { context.adopted };\n";
    });
    party.found_at(app);
    party
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopter_makes_one_of_its_state_of_a_certificate_and_that_of_its_source() {
    let (maker, app) = Party::with_a_device().await;
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L2").await;
    let care = adopter(&app, &maker);
    let view = || app.view_openpgp(Reader::Anonymous, &device(1).fingerprint().to_string(), 4).expect("a view");
    let before = view();
    let held = forgetful(&maker, 1);
    assert_eq!(stood(&app, &care, vec![held.clone()]).await, [Ok(1)]);
    let adopt = || AdoptionRequest {
        source: maker.domain.to_string(),
        ids: vec![device(1).fingerprint().to_string()],
        model: None,
        lot: None,
        follow: None,
    };
    let result = app.adopt(&care.domain, adopt()).await.expect("adopts");
    assert_eq!((result.adopted, result.present, result.refused.len()), (3, 0, 0), "{result:?}");
    assert_eq!(view(), before, "what two domains hold stands in it once");
    let both = logged(&app, &care, 2);
    assert!(both.extends(&certificate(&held)) && both.covers(&certificate(&maker.certificate)));
    let again = app.adopt(&care.domain, adopt()).await.expect("adopts");
    assert_eq!((again.adopted, again.present, again.refused.len()), (0, 3, 0), "{again:?}");
    drop(app);
    assert_eq!(logged(&maker.open(), &care, 2), both, "the log is read again by the same rules");
}

/// A receipt for more than was sent is accepted once the copy has the entry that it is for.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_passes_a_certificate_on() {
    let (maker, app) = Party::with_a_device().await;
    let dir = tempfile::tempdir().expect("directory");
    let copy = copy(dir.path(), &app, &maker.domain, &[("home", &served(&app))]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copy.clone().replicate(stopped));
    catches_up(&copy, &app, &maker.domain).await;
    let began = std::time::Instant::now();
    loop {
        let results = copy.submit(&maker.domain, vec![forgetful(&maker, 1)]).await.expect("taken in").results;
        match results.as_slice() {
            [SubmissionResult::Receipt(receipt)] => break assert_eq!(receipt.index, 3),
            [SubmissionResult::Pending(_)] if began.elapsed() < Duration::from_secs(60) => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.send_replace(true);
    replicating.await.expect("ends");
}
