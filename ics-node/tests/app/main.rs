//! The use cases of a node, on a store in a temporary directory.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod answers;
mod brought;
mod by_hand;
mod copies;
mod erased;
mod fixture;
mod keys;
mod labels;
mod lots;
mod outbox;
mod recovery;
mod rolled_back;
mod spoken;
mod succession;
mod united;

use fixture::{Party, device, devices, status_of};
use ics_core::evidence;
use ics_core::identity::{Fingerprint, Kind};
use ics_core::log::merkle::{Tree, leaf_hash};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::make::{certify, certify_user_id};
use ics_core::statement::{Claims, Grant, Group, Subject, body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute};
use ics_node::api::{ListQuery, SubmissionResult};
use ics_node::app::keys::KeySearch;
use ics_node::app::{App, Depth, Extent, Query, Reader};
use ics_sync::wire;

use crate::fixture::{SALT, claims, word};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_published_found_and_proven() {
    let (maker, app) = Party::opened();
    let key = device(1);
    let receipt = maker.publish(&app, &key, "urn:dev:os:32473-1", "L1").await;
    assert_eq!(receipt.index, 2, "entry 0 is the descriptor, entry 1 the signer's certificate");

    for query in [key.fingerprint().to_string(), "urn:dev:os:32473-1".to_owned(), "serial:SN-L1".to_owned()] {
        let answer = app.record(Reader::Anonymous, &maker.domain, &query).expect(&query);
        assert_eq!(answer.record.title, "urn:dev:os:32473-1");
        assert_eq!(answer.as_of.size, 3);
        assert_eq!(answer.record.vouched.len(), 1);
    }
    let view = app.view(Reader::Anonymous, "serial:SN-L1").expect("view");
    assert_eq!(view.identities, [key.fingerprint().to_string()]);

    let pack = app.evidence(Reader::Anonymous, &maker.domain, "serial:SN-L1").expect("evidence");
    let verified = evidence::verify(&pack, None, app.clock().now()).expect("verifies offline");
    assert_eq!(verified.record.title, "urn:dev:os:32473-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_gets_its_first_receipt_again() {
    let (maker, app) = Party::opened();
    let body = maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let first = maker.submit_one(&app, body.clone()).await.expect("admitted");
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
    let again = maker.submit_one(&app, body).await.expect("known");
    assert_eq!((first.index, first.id, first.leaf), (again.index, again.id, again.leaf));
    assert_eq!(app.domain(&maker.domain).expect("domain").info.size, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_of_a_batch_has_its_own_result() {
    let (maker, app) = Party::opened();
    let mut bad = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L1");
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let bodies = vec![
        maker.certificate.clone(),
        maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1"),
        bad,
        maker.introduce(&app, &device(3), "urn:dev:os:32473-3", "L1"),
    ];
    let results = app.submit(&maker.domain, bodies).await.expect("batch").results;
    assert!(matches!(&results[1], SubmissionResult::Receipt(receipt) if receipt.index == 2));
    assert!(matches!(&results[2], SubmissionResult::Problem(problem) if problem.code() == "bad-signature"));
    assert!(matches!(&results[3], SubmissionResult::Receipt(receipt) if receipt.index == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_serves_only_the_statements_behind_it() {
    let (maker, app) = Party::opened();
    let early = maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let late = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L1");
    let results = app.submit(&maker.domain, vec![early, maker.certificate.clone(), late]).await.expect("batch").results;
    assert!(matches!(&results[0], SubmissionResult::Problem(problem) if problem.code() == "unknown-signer"));
    assert!(matches!(&results[2], SubmissionResult::Receipt(receipt) if receipt.index == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_certificate_serves_no_statement() {
    let maker = Party::found("devices.acme.example");
    let stranger = Party::found("devices.other.example");
    let app = maker.open();
    let statement = stranger.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let bodies = vec![stranger.certificate.clone(), statement];
    let results = app.submit(&maker.domain, bodies).await.expect("batch").results;
    assert!(matches!(&results[0], SubmissionResult::Problem(problem) if problem.code() == "certificate-not-named"));
    assert!(matches!(&results[1], SubmissionResult::Problem(problem) if problem.code() == "unknown-signer"));
    assert_eq!(app.domain(&maker.domain).expect("domain").info.size, 1);
}

/// Whoever submits a keyring submits whatever state of a certificate it has.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_of_a_certificate_serves_nothing() {
    let (maker, buyer) = (Party::found("devices.acme.example"), Party::found("buyer.example"));
    let app = maker.open();
    let (key, user_id, now) = (device(1), "urn:dev:os:32473-1", app.clock().now());
    maker.publish(&app, &key, user_id, "L1").await;
    let grant = Grant { grantee: buyer.signer.public_key().fingerprint(), role: word("owner") };
    let grant = Claims { grant: Some(grant), ..claims(&maker, Act::Grant) };
    let grant = certify(&maker.signer, &key, user_id, None, Kind::Device, &grant, false, now, &SALT).expect("made");
    let news = vec![grant, buyer.certificate.clone(), maker.renewed(now)];
    assert_eq!(stood(&app, &maker, news).await, [Ok(3), Ok(4), Ok(5)]);

    let introduced = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2");
    let certified = certify_user_id(&maker.signer, buyer.signer.public_key(), "buyer.example", now, &SALT);
    let keyring = vec![maker.certificate.clone(), introduced, certified.expect("made")];
    assert_eq!(stood(&app, &maker, keyring).await, [Ok(1), Ok(6), Ok(7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_states_of_a_certificate_in_a_batch_the_later_one_serves() {
    let (maker, app) = Party::opened();
    let introduced = maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let keyring = vec![maker.renewed(app.clock().now()), maker.certificate.clone(), introduced];
    assert_eq!(stood(&app, &maker, keyring).await, [Ok(1), Ok(1), Ok(2)], "of the earlier one all is there");
}

/// The index of each body of a batch, or the code of its refusal.
async fn stood(app: &App, maker: &Party, bodies: Vec<Vec<u8>>) -> Vec<Result<u64, String>> {
    let stands = |result| match result {
        SubmissionResult::Receipt(receipt) => Ok(receipt.index),
        SubmissionResult::Problem(problem) => Err(problem.code().to_owned()),
        SubmissionResult::Pending(_) => Err("pending".to_owned()),
    };
    app.submit(&maker.domain, bodies).await.expect("batch").results.into_iter().map(stands).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_foreign_statements_are_refused_and_nothing_is_stored() {
    let maker = Party::found("devices.acme.example");
    let stranger = Party::found("devices.other.example");
    let app = maker.open();
    let foreign = stranger.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let problem = maker.submit_one(&app, foreign).await.expect_err("refused");
    assert_eq!(problem.code(), "unknown-signer");
    let elsewhere = Claims { domain: stranger.domain.clone(), ..claims(&maker, Act::Identity) };
    let body = certify(&maker.signer, &device(1), "x", None, Kind::Device, &elsewhere, false, app.clock().now(), &SALT)
        .expect("made");
    let problem = maker.submit_one(&app, body).await.expect_err("refused");
    assert_eq!(problem.code(), "foreign-domain");
    assert_eq!(app.domain(&maker.domain).expect("domain").info.size, 2, "descriptor and certificate, nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_about_a_lot_recalls_its_members() {
    let (maker, app) = Party::opened();
    for (number, lot) in [(1, "L1"), (2, "L1"), (3, "L2")] {
        maker.publish(&app, &device(number), &format!("urn:dev:os:32473-{number}"), lot).await;
    }
    let lot = Subject::Group(Group {
        kind: Kind::Group,
        name: "lot L1".to_owned(),
        attributes: [(Attribute::Lot, "L1".to_owned())].into(),
    });
    let recall = Claims { status: Some(word("withdrawn")), ..claims(&maker, Act::Status) };
    let body = ics_core::statement::make::sign_document(&maker.signer, &lot, &recall, app.clock().now(), &SALT);
    maker.submit_one(&app, body.expect("made")).await.expect("admitted");
    assert_eq!(status_of(&app, &maker, 1).as_deref(), Some("withdrawn"));
    assert_eq!(status_of(&app, &maker, 2).as_deref(), Some("withdrawn"));
    assert_eq!(status_of(&app, &maker, 3), None);
    let query = ListQuery { lot: Some("L1".to_owned()), kind: Some("device".to_owned()), ..ListQuery::default() };
    let page = app.list(Reader::Anonymous, &maker.domain, &query).expect("page");
    assert_eq!(page.items.len(), 2);
    assert!(page.items.iter().all(|item| item.effect == "blocks"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_page_by_page_without_gaps_or_repetitions() {
    let (maker, app) = Party::opened();
    for number in 1..=7 {
        maker.publish(&app, &device(number), &format!("urn:dev:os:32473-{number}"), "L1").await;
    }
    let mut query = ListQuery { limit: Some(3), ..ListQuery::default() };
    let mut titles = Vec::new();
    loop {
        let page = app.list(Reader::Anonymous, &maker.domain, &query).expect("page");
        titles.extend(page.items.into_iter().map(|item| item.title));
        match page.next {
            Some(after) => query.after = Some(after),
            None => break,
        }
    }
    let expected: Vec<String> = (1..=7).map(|number| format!("urn:dev:os:32473-{number}")).collect();
    assert_eq!(titles, expected);
}

/// Look-ups read the newest entries in parts, and a part may have no matches.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_behind_what_has_nothing_of_it() {
    let (maker, app) = Party::opened();
    let introduce = |key, lot| maker.introduce(&app, key, "urn:dev:os:32473-1", lot);
    let (many, last) = (devices(1100), device(1));
    let bodies: Vec<_> = many.iter().map(|key| introduce(key, "L1")).chain([introduce(&last, "rare")]).collect();
    for bodies in bodies.chunks(100) {
        app.submit(&maker.domain, [core::slice::from_ref(&maker.certificate), bodies].concat())
            .await
            .expect("admitted");
    }
    assert_eq!(app.domain(&maker.domain).expect("domain").info.size, 2 + 1101, "all are admitted");
    let (kind, lot) = (Some("device".to_owned()), Some("rare".to_owned()));
    let mut query = ListQuery { kind, lot, ..ListQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = app.list(Reader::Anonymous, &maker.domain, &query).expect("page");
        found.extend(page.items.into_iter().map(|item| item.id));
        match page.next {
            Some(after) => query.after = Some(after),
            None => break,
        }
    }
    assert_eq!(found, [last.fingerprint().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_knows_everything_again_after_a_restart() {
    let (maker, app) = Party::opened();
    let before = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    drop(app);
    let app = maker.open();
    assert_eq!(app.domain(&maker.domain).expect("domain").info.size, 3);
    let after = maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
    assert_eq!(after.index, before.index + 1);
    assert!(app.record(Reader::Anonymous, &maker.domain, "serial:SN-L1").is_err(), "two devices have this serial now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_restored_from_a_copy_stays_silent() {
    let (maker, app) = Party::with_a_device().await;
    drop(app);
    let copy = std::fs::read(maker.data().join("ics.db")).expect("copied");
    let app = maker.open();
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
    assert!(app.purposes().iter().all(|(_, purpose)| purpose.is_some()), "{:?}", app.purposes());
    drop(app);
    std::fs::write(maker.data().join("ics.db"), copy).expect("put back");

    let restored = maker.open();
    assert_eq!(restored.purposes(), [(maker.domain.clone(), None::<String>)], "no page can be shown of it");
    let answer = restored.record(Reader::Anonymous, &maker.domain, "urn:dev:os:32473-1");
    assert_eq!(answer.expect_err("silent").code().as_str(), "behind");
    let known = restored.view(Reader::Anonymous, "urn:dev:os:32473-1");
    assert_eq!(known.expect_err("silent").code().as_str(), "behind", "not: nothing is known of it");
    let query = Query::parse("urn:dev:os:32473-1").expect("a name");
    let known = restored.answer_view(Reader::Anonymous, &query, Extent::Whole, Depth::Store);
    assert_eq!(known.err().map(|error| error.code().as_str()), Some("behind"), "by no other way either");
    assert_eq!(
        restored.view_openpgp(Reader::Anonymous, "urn:dev:os:32473-1", 4).expect_err("silent").code().as_str(),
        "behind"
    );
    let keys = restored.keys(Reader::Anonymous, &KeySearch::Text("pump".to_owned()), None, 10);
    assert_eq!(keys.expect_err("silent").code().as_str(), "behind");
    let body = maker.introduce(&restored, &device(3), "urn:dev:os:32473-3", "L1");
    assert_eq!(restored.submit(&maker.domain, vec![body]).await.expect_err("silent").code().as_str(), "behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_looks_absent_and_the_log_still_proves_itself() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let hidden = app.record(Reader::Anonymous, &maker.domain, "serial:SN-L1").expect_err("hidden").problem();
    let absent = app.record(Reader::Anonymous, &maker.domain, "serial:SN-L2").expect_err("absent").problem();
    assert_eq!(hidden.detail.replace("L1", "L2"), absent.detail);
    assert_eq!((hidden.status, hidden.kind), (absent.status, absent.kind));
    assert!(app.record(Reader::Operator, &maker.domain, "serial:SN-L1").is_ok());
    let all = ListQuery::default();
    assert_eq!(app.list(Reader::Anonymous, &maker.domain, &all).expect("page").items, []);
    assert_eq!(app.list(Reader::Operator, &maker.domain, &all).expect("page").items.len(), 1);
    assert!(app.entry(Reader::Anonymous, &maker.domain, 2).is_err());

    let page = app.entries(Reader::Anonymous, &maker.domain, 0, 10, None).expect("page");
    let shown: Vec<bool> = page.entries.iter().map(|entry| matches!(entry, wire::Entry::Whole(_))).collect();
    assert_eq!(shown, [true, true, false], "descriptor and certificate are for all, the device is a leaf");
    let mut tree = Tree::new();
    for entry in &page.entries {
        let leaf = match entry {
            wire::Entry::Whole(entry) => entry.leaf_data(),
            wire::Entry::Hidden(leaf) | wire::Entry::Erased { leaf, .. } => *leaf,
        };
        tree.push(leaf_hash(&leaf));
    }
    assert_eq!(tree.root().to_string(), app.domain(&maker.domain).expect("domain").root);
}

/// A domain may speak about things without naming them, and come before the domain that does.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_by_a_name_has_what_is_said_by_domains_that_do_not_give_it() {
    let (maker, watch) = (Party::found("devices.acme.example"), Party::found("approvals.ac.example"));
    let app = maker.open();
    watch.found_at(&app);
    let key = device(1);
    maker.publish(&app, &key, "urn:dev:os:32473-1", "L1").await;
    let stolen = Claims { status: Some(word("stolen")), ..claims(&watch, Act::Status) };
    let (now, user_id) = (app.clock().now(), "urn:dev:os:32473-1");
    let body = certify(&watch.signer, &key, user_id, None, Kind::Device, &stolen, true, now, &SALT).expect("made");
    watch.submit_one(&app, body).await.expect("admitted");
    let view = |query: &str| app.view_openpgp(Reader::Anonymous, query, 4).expect("a view");
    let by_id = view(&key.fingerprint().to_string());
    assert_eq!(ics_core::statement::split(&by_id).expect("legal").bodies.len(), 2, "the introduction and the block");
    assert_eq!(view("serial:SN-L1"), by_id);
}

/// A party's certificate with an additional self-signature.
fn extended(party: &Party) -> Vec<u8> {
    // 2026-01-02, one day after the first.
    let at = Timestamp::from_seconds(1_767_312_000);
    let other = Certificate::make(&party.signer, party.domain.as_str(), at, &SALT).expect("a certificate");
    // Key and User ID are the same bytes, followed by the self-signature.
    let common = party.certificate.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let mut both = (0..common).rev().map(|start| [&party.certificate[..], &other[start..]].concat());
    both.find(|both| Certificate::parse(both).is_ok()).expect("a boundary")
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_has_all_states_of_the_certificates_that_it_rests_on_and_no_others() {
    let (maker, buyer) = (Party::found("devices.acme.example"), Party::found("buyer.example"));
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let grantee: Fingerprint = buyer.signer.public_key().fingerprint();
    let grant = Claims { grant: Some(Grant { grantee, role: word("owner") }), ..claims(&maker, Act::Grant) };
    let (now, user_id) = (app.clock().now(), "urn:dev:os:32473-2");
    let grant = certify(&maker.signer, &device(2), user_id, None, Kind::Device, &grant, false, now, &SALT);
    let bodies = vec![
        extended(&maker),
        maker.introduce(&app, &device(2), user_id, "L2"),
        grant.expect("made"),
        buyer.certificate.clone(),
    ];
    let results = app.submit(&maker.domain, bodies).await.expect("batch").results;
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
    let rests_on_these = |app: &ics_node::app::App| {
        for (query, expected) in [("serial:SN-L1", &[0, 1, 2, 3][..]), ("serial:SN-L2", &[0, 1, 3, 4, 5, 6])] {
            let pack = app.evidence(Reader::Anonymous, &maker.domain, query).expect("evidence");
            let indices: Vec<u64> = pack.entries.iter().map(|entry| entry.receipt.index).collect();
            assert_eq!(indices, expected, "{query}");
            evidence::verify(&pack, None, app.clock().now()).expect("verifies offline");
        }
    };
    rests_on_these(&app);
    drop(app);
    rests_on_these(&maker.open());
}

/// A signer who repeatedly blocks a thing and withdraws it uses up the quota, and could then no longer block it.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_warns_before_a_signer_can_block_a_thing_no_more() {
    const QUOTA: usize = 40;
    let maker = Party::found_with("devices.acme.example", |descriptor| {
        descriptor.limits.statements_per_signer_and_identity = Some(QUOTA);
    });
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let say = |claims: Claims, revokes| {
        let (now, user_id) = (app.clock().now(), "urn:dev:os:32473-1");
        certify(&maker.signer, &device(1), user_id, None, Kind::Device, &claims, revokes, now, &SALT).expect("made")
    };
    let mut bodies = Vec::new();
    for number in 0..QUOTA / 2 {
        let (status, reason) = (Some(word("suspended")), Some(number.to_string()));
        let block = say(Claims { status, reason, ..claims(&maker, Act::Status) }, true);
        let supersedes = vec![body::parse(&block).expect("a statement").id()];
        bodies.extend([block, say(Claims { supersedes, ..claims(&maker, Act::Withdrawal) }, false)]);
    }
    let mut results = app.submit(&maker.domain, bodies).await.expect("batch").results;
    let last = results.pop().expect("a result");
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
    let SubmissionResult::Problem(problem) = last else { panic!("one more than the quota: {last:?}") };
    assert_eq!(problem.code(), "quota");
    assert!(problem.hint.is_some_and(|hint| hint.contains("statements_per_signer_and_identity")));
    let alarms = app.domain(&maker.domain).expect("domain").alarms;
    let [alarm] = alarms.as_slice() else { panic!("one warning: {alarms:?}") };
    assert_eq!(alarm.kind, "quota");
    let (signer, thing) = (maker.signer.public_key().fingerprint(), device(1).fingerprint());
    assert!(alarm.text.contains(&signer.to_string()) && !alarm.text.contains(&thing.to_string()), "{}", alarm.text);
}

/// For gpg, a revocation that is older than the same signer's certification of the same User ID revokes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_warns_of_a_block_that_gpg_gives_no_heed_to() {
    let (maker, app) = Party::opened();
    let (now, user_id) = (app.clock().now(), "urn:dev:os:32473-1");
    maker.publish(&app, &device(1), user_id, "L1").await;
    let block = |reason: &str, at| {
        let (status, reason) = (Some(word("suspended")), Some(reason.to_owned()));
        let says = Claims { status, reason, ..claims(&maker, Act::Status) };
        certify(&maker.signer, &device(1), user_id, None, Kind::Device, &says, true, at, &SALT).expect("made")
    };
    let alarms = || app.domain(&maker.domain).expect("domain").alarms;
    maker.submit_one(&app, block("in order", app.clock().now())).await.expect("admitted");
    assert_eq!(alarms(), [], "it is not the older one");
    let eight_minutes_ago = Timestamp::from_millis(now.as_millis() - 480_000);
    maker.submit_one(&app, block("behind", eight_minutes_ago)).await.expect("it blocks here");
    let alarms = alarms();
    let [alarm] = alarms.as_slice() else { panic!("one warning: {alarms:?}") };
    assert_eq!(alarm.kind, "signer-clock");
    let (signer, thing) = (maker.signer.public_key().fingerprint(), device(1).fingerprint());
    assert!(alarm.text.contains(&signer.to_string()) && !alarm.text.contains(&thing.to_string()), "{}", alarm.text);
}
