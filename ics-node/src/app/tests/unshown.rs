//! What has been said but is not shown yet, because witnesses are missing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, NodeKey, Witnesses};
use ics_core::identity::{IdentityId, Kind};
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer as _;
use ics_core::record::{Outlook, Posting};
use ics_core::statement::Claims;
use ics_core::statement::make::{certify, sign_descriptor};
use ics_core::trust::{Outcome, Reason};
use ics_core::vocabulary::Act;
use ics_sync::wire::{Again, Entry, Watch};

use super::{PERMITS, check, node};
use crate::api::problem::Code;
use crate::api::{AdoptionRequest, ListQuery, SubmissionResult, assessment};
use crate::app::admit::submit::Taken;
use crate::app::keys::KeySearch;
use crate::app::{App, CertifyError, Depth, Extent, Query, Reader};
use crate::fixture::{Party, SALT, claims, device, devices, owner, word};

/// The template's rule by which anybody may read everything.
const ALL: &str = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";

/// Submits what is in the log when this returns, and would not be acknowledged before a witness has cosigned it. Nobody
/// waits here until that is given up.
fn is_not_cosigned(app: &App, maker: &Party, body: Vec<u8>) {
    let hosted = app.hosted(&maker.domain).expect("here");
    let taken = tokio::task::block_in_place(|| app.submit_home(&hosted, vec![body])).expect("is in the log");
    assert!(matches!(taken, Taken::Waits(_)), "nobody has cosigned it");
}

/// The same with a document that the domain's owner signs.
fn owner_is_not_cosigned(app: &App, maker: &Party, json: &[u8]) {
    let signed = sign_descriptor(&[&owner(&maker.domain)], json, app.clock().now(), &SALT).expect("signed");
    is_not_cosigned(app, maker, signed);
}

/// Makes a domain wait for a witness that never answers, beginning with a descriptor that is not shown for that reason.
fn waits_for_witnesses(app: &App, maker: &Party) {
    let json = app.descriptor(&maker.domain, None).expect("in force").json;
    let previous = Descriptor::parse(&json).expect("a descriptor");
    let key = STANDARD.encode(SigningKey::from_bytes(&[5; 32]).verifying_key().as_bytes());
    let witnesses = Some(Witnesses { quorum: 1, keys: vec![NodeKey { name: "nobody.example".to_owned(), key }] });
    let (version, hash, description) = (previous.version + 1, previous.hash(), "Not shown yet".to_owned());
    let next = Descriptor { version, previous: Some(hash), description, witnesses, ..previous };
    owner_is_not_cosigned(app, maker, &next.to_json());
}

/// What its owners say of a domain is shown on the first page.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_is_for_is_told_as_it_was_while_a_change_waits_for_witnesses() {
    let maker = Party::found("devices.acme.example");
    let app = node(&maker, &[], PERMITS, 1 << 24).await;
    let told = app.purposes();
    assert_eq!(told, [(maker.domain.clone(), Some(String::new()))]);
    waits_for_witnesses(&app, &maker);
    assert_eq!(app.purposes(), told);
}

/// What a signer adds to their certificate is shown with the next cosignature; until then the former state is shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_as_it_was_while_its_next_state_waits_for_witnesses() {
    let maker = Party::found("devices.acme.example");
    let app = node(&maker, &devices(1), PERMITS, 1 << 24).await;
    let search = KeySearch::Fingerprint(maker.signer.public_key().fingerprint());
    let user_ids = || {
        let found = app.keys(Reader::Anonymous, &search, None, 1).expect("read");
        found.first().map(|key| key.about.user_ids.len())
    };
    assert_eq!(user_ids(), Some(1));
    waits_for_witnesses(&app, &maker);
    is_not_cosigned(&app, &maker, maker.renewed(app.clock().now()));
    assert_eq!(user_ids(), Some(1));
}

/// The index of a statement that a pump is stolen.
async fn stolen(app: &App, maker: &Party, key: &PublicKey) -> u64 {
    let said = Claims { status: Some(word("stolen")), ..claims(maker, Act::Status) };
    let now = app.clock().now();
    let stolen = certify(&maker.signer, key, "Pump", None, Kind::Device, &said, true, now, &SALT);
    maker.submit_one(app, stolen.expect("made")).await.expect("admitted").index
}

/// How many record heads somebody gets who watches a thing from the beginning.
async fn heads(app: &App, maker: &Party, id: &IdentityId) -> usize {
    let watch = Watch { ids: vec![id.to_string()], ..Watch::default() };
    let mut watcher = app.watch(Reader::Operator, &maker.domain, watch).expect("watches");
    watcher.next(Duration::ZERO).await.expect("is told").heads.len()
}

/// An erasure deletes at once, while what it restates is shown with the next cosignature.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_not_unblocked_while_its_erasure_waits_for_witnesses() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &known, PERMITS, 1 << 24).await;
    let index = stolen(&app, &maker, &known[0]).await;
    let id = IdentityId::Key(known[0].fingerprint());
    let is_withheld = || {
        let hosted = app.hosted(&maker.domain).expect("here");
        app.kept(&app.sight(&hosted).expect("readable"), &id).expect("readable").withheld
    };
    assert_eq!(check(&app, 0, Depth::Store).map(|it| it.verdict), Some(Outcome::Deny));
    let attested = || {
        let query = Query::parse(&id.to_string()).expect("an id");
        let attested = tokio::task::block_in_place(|| app.attest(Reader::Operator, &maker.domain, &query, 0));
        attested.map(|it| it.is_some()).map_err(|error| error.code())
    };
    assert_eq!((attested(), heads(&app, &maker, &id).await), (Ok(true), 1));

    let erasure = app.erasure(Reader::Operator, &maker.domain, index).expect("it can be erased");
    waits_for_witnesses(&app, &maker);
    let stamp = app.stamp();
    assert!(!is_withheld(), "the block is shown");
    let blocked = check(&app, 0, Depth::Store).map(|it| (it.verdict, it.reason));
    assert_eq!(blocked, Some((Outcome::Deny, Reason::Blocked)), "and the checker has its proof");
    owner_is_not_cosigned(&app, &maker, &erasure.to_json().expect("JSON"));

    let hosted = app.hosted(&maker.domain).expect("here");
    assert_eq!(app.store().entry(hosted.number, index).expect("an entry").content, None, "it is gone");
    assert!(is_withheld(), "what it restates is not shown yet");
    assert_ne!(app.stamp(), stamp, "and answers that have it are not given again");
    let withheld = check(&app, 0, Depth::Store).map(|it| (it.verdict, it.reason));
    assert_eq!(withheld, Some((Outcome::Unknown, Reason::Withheld)), "and not because the checker rejects the answer");
    let told = (attested(), heads(&app, &maker, &id).await);
    assert_eq!(told, (Err(Code::Behind), 0), "nodes without a copy are not told that the rest is everything");
    let (info, as_of) = (app.domain(&maker.domain).expect("here"), app.as_of_domain(hosted.number).expect("shown"));
    let shown = info.shown.expect("something is");
    assert_eq!((shown.size, &shown.root), (as_of.size, &as_of.root), "how far answers go");
    assert!(info.info.size > shown.size, "the erasure waits");
    let moment = app.moment(&maker.domain).expect("here").expect("settled");
    let then = app.thing_then(Reader::Operator, &moment, &id.to_string()).expect("read").expect("is spoken of");
    assert!(then.record().expect("readable").effect().blocks(), "for copies of the directory it is blocked");
}

/// Has entries erased by erasures that wait for a witness.
fn erased_unshown<const N: usize>(app: &App, maker: &Party, indices: [u64; N]) {
    let erasure = |index| app.erasure(Reader::Operator, &maker.domain, index).expect("it can be erased");
    let erasures = indices.map(erasure);
    waits_for_witnesses(app, maker);
    for erasure in erasures {
        owner_is_not_cosigned(app, maker, &erasure.to_json().expect("JSON"));
    }
}

/// The record alone would say that nothing blocks the thing, or that there is no such thing.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_is_told_that_what_is_left_of_an_erased_block_waits() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(3));
    let (app, of) = (node(&maker, &known[..2], PERMITS, 1 << 24).await, &maker.domain);
    let indices = [stolen(&app, &maker, &known[0]).await, stolen(&app, &maker, &known[2]).await];
    erased_unshown(&app, &maker, indices);

    let [id, gone] = [&known[0], &known[2]].map(|key| key.fingerprint().to_string());
    let query = |id: &str| Query::parse(id).expect("an id");
    let record = app.record(Reader::Anonymous, of, &id).expect("known").record;
    assert!(record.cut_short && record.status.is_none(), "{record:?}");
    let view = app.view(Reader::Anonymous, &id).expect("known");
    let assessment = assessment(&view.records, &view.unheard);
    assert_eq!((assessment.outlook, assessment.cut_short), (Outlook::Unknown, vec![of.clone()]));
    for (extent, member) in [(Extent::Whole, "record"), (Extent::Summary, "summary")] {
        let encoded = app.answer(Reader::Anonymous, of, &query(&id), extent, Depth::Store).expect("known");
        let encoded = encoded.expect("the store was asked");
        let json: serde_json::Value = serde_json::from_slice(&encoded.json).expect("JSON");
        assert_eq!(json[member]["cut_short"], true, "{json}");
    }
    let page = app.list(Reader::Anonymous, of, &ListQuery::default()).expect("a page");
    assert_eq!(page.items.iter().map(|item| item.cut_short).collect::<Vec<_>>(), [true, false]);

    let told = [
        app.thing(Reader::Anonymous, of, &id).map(drop),
        app.thing(Reader::Anonymous, of, &gone).map(drop),
        app.record(Reader::Anonymous, of, &gone).map(drop),
        app.view(Reader::Anonymous, &gone).map(drop),
        app.answer_view(Reader::Anonymous, &query(&gone), Extent::Whole, Depth::Store).map(drop),
    ];
    assert!(told.iter().all(|it| it.as_ref().is_err_and(|error| error.code() == Code::Behind)), "{told:?}");

    // What another domain says about it is told, and that this one was not heard.
    let other = Party::found("readers.acme.example");
    other.found_at(&app);
    other.publish(&app, &known[2], "Pump", "L9").await;
    let view = app.view(Reader::Anonymous, &gone).expect("known");
    assert_eq!((view.records.len(), &view.unheard), (1, &vec![of.clone()]));
    let encoded = app.answer_view(Reader::Anonymous, &query(&gone), Extent::Whole, Depth::Store).expect("known");
    let json: serde_json::Value = serde_json::from_slice(&encoded.expect("the store was asked").json).expect("JSON");
    assert_eq!(json["unheard"][0], of.as_str(), "{json}");
}

/// Nothing in the index leads to a thing by a block that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_says_that_things_may_be_missing_while_what_is_left_of_something_erased_waits() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(2));
    let (app, of) = (node(&maker, &known, PERMITS, 1 << 24).await, &maker.domain);
    let index = stolen(&app, &maker, &known[0]).await;
    let query = ListQuery { status: Some("stolen".to_owned()), ..ListQuery::default() };
    let by = [Posting::Status(word("stolen"))];
    let listed = || {
        let page = app.list(Reader::Anonymous, of, &query).expect("a page");
        let found = app.things(Reader::Anonymous, of, &by, None, 10).expect("a page");
        let register = app.register(Reader::Anonymous, of, &query).expect("a page");
        let for_people = (register.things.len(), register.cut_short);
        [(page.items.len(), page.cut_short), (found.things.len(), found.cut_short), for_people]
    };
    assert_eq!(listed(), [(1, false); 3]);
    erased_unshown(&app, &maker, [index]);
    assert_eq!(listed(), [(0, true); 3]);
}

/// The status may have been given by any domain here.
#[tokio::test(flavor = "multi_thread")]
async fn nor_are_all_devices_listed_by_the_status_of_what_they_run_while_something_erased_elsewhere_waits() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(2));
    let app = node(&maker, &known, PERMITS, 1 << 24).await;
    let other = Party::found("modules.acme.example");
    other.found_at(&app);
    other.publish(&app, &known[0], "Pump", "L9").await;
    let index = stolen(&app, &other, &known[0]).await;
    let is_cut_short = |runs: Option<&str>| {
        let query = ListQuery { runs: runs.map(str::to_owned), ..ListQuery::default() };
        app.list(Reader::Anonymous, &maker.domain, &query).expect("a page").cut_short
    };
    let digest = format!("sha256:{}", "07".repeat(32));
    let asked = [None, Some(digest.as_str()), Some("stolen")];
    assert_eq!(asked.map(is_cut_short), [false; 3]);
    erased_unshown(&app, &other, [index]);
    assert_eq!(asked.map(is_cut_short), [false, false, true], "of one piece of software only this domain is asked");
}

/// A home that strangers may read but not mirror, so that they copy a part, and the block of a device there.
async fn stolen_where_parts_are_copied() -> (Party, App, u64) {
    let maker = Party::found_with("devices.acme.example", |descriptor| {
        let rule = "permit (principal, action == Action::\"read\", resource);";
        descriptor.access = descriptor.access.replace(ALL, rule);
    });
    let home = maker.open();
    maker.publish(&home, &device(1), "Pump", "L1").await;
    let index = stolen(&home, &maker, &device(1)).await;
    (maker, home, index)
}

/// A copy of a part could not tell that the erasure is still to come, and would show the thing without its block.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_copies_a_part_is_told_what_is_left_of_a_block_together_with_its_erasure() {
    let (maker, home, index) = stolen_where_parts_are_copied().await;
    let of = &maker.domain;
    let of_it = Again { question: 1, hidden: vec![index], held: Vec::new(), until: None };
    let told = |reader, from| {
        let page = home.entries(reader, of, from, 100, None);
        page.map(|page| page.entries.len() as u64).map_err(|error| error.code())
    };
    let again = || home.entries_again(Reader::Anonymous, of, &of_it).map(drop).map_err(|error| error.code());
    assert_eq!((told(Reader::Anonymous, 0), again()), (Ok(index + 1), Ok(())));
    erased_unshown(&home, &maker, [index]);
    assert_eq!(told(Reader::Anonymous, 0), Ok(index), "what comes before it");
    assert_eq!((told(Reader::Anonymous, index), again()), (Err(Code::Behind), Err(Code::Behind)));
    assert_eq!(told(Reader::Operator, 0), Ok(index + 1), "a copy of everything waits for the erasure itself");
}

/// What was asked for ends before the erasure, which is shown by now.
#[tokio::test(flavor = "multi_thread")]
async fn nor_is_a_copy_of_a_part_told_of_it_that_asks_for_less_than_the_erasure() {
    let (maker, home, index) = stolen_where_parts_are_copied().await;
    let of = &maker.domain;
    maker.erase(&home, index).await;
    let told = |until| {
        let page = home.entries(Reader::Anonymous, of, index, 1, Some(until));
        page.map(|page| page.entries.len()).map_err(|error| error.code())
    };
    assert_eq!([told(index + 1), told(index + 2)], [Err(Code::Behind), Ok(1)]);
    // Nor when it looks again at what it holds, before it takes as much.
    let again = |until| {
        let of_it = Again { question: 1, hidden: vec![index], held: Vec::new(), until };
        let shown = home.entries_again(Reader::Anonymous, of, &of_it);
        shown.map(|shown| shown.entries.len()).map_err(|error| error.code())
    };
    let told = [Some(index + 1), Some(index + 2), None].map(again);
    assert_eq!(told, [Err(Code::Behind), Ok(1), Ok(1)]);
}

/// Otherwise nobody would hear of a block that can no longer be taken over. Whoever follows hears of it later.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_erased_block_is_waited_for_before_its_thing_is_adopted() {
    let (plant, known) = (Party::found("factory.acme.example"), devices(2));
    let maker = Party::found_with("devices.acme.example", |descriptor| {
        let rule = "permit (principal, action in [Action::\"read\", Action::\"follow\"], resource) \
                    unless { resource has lot && resource.lot == \"secret\" };";
        descriptor.access = descriptor.access.replace(ALL, rule);
    });
    let app = node(&maker, &known[..1], PERMITS, 1 << 24).await;
    plant.found_at(&app);
    let indices = [stolen(&app, &maker, &known[0]).await, stolen(&app, &maker, &known[1]).await];
    erased_unshown(&app, &maker, indices);
    for key in &known {
        for (follow, barred) in [(None, Err(Code::Behind)), (Some(true), Ok(0))] {
            let (source, ids) = (maker.domain.to_string(), vec![key.fingerprint().to_string()]);
            let request = AdoptionRequest { source, ids, follow, ..AdoptionRequest::default() };
            let adopted = app.adopt(&plant.domain, request).await;
            assert_eq!(adopted.map(|it| it.barred).map_err(|error| error.code()), barred, "{follow:?}");
        }
    }
}

/// Nothing in the index leads to a thing of the lot if the only statement that says so is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_anything_erased_is_waited_for_before_a_lot_is_adopted() {
    let (plant, maker) = (Party::found("factory.acme.example"), Party::found("devices.acme.example"));
    let known = devices(2);
    let app = node(&maker, &known[..1], PERMITS, 1 << 24).await;
    plant.found_at(&app);
    let index = maker.publish(&app, &known[1], "Pump", "L9").await.index;
    erased_unshown(&app, &maker, [index]);
    for (follow, adopted) in [(None, Err(Code::Behind)), (Some(true), Ok(0))] {
        let (source, lot) = (maker.domain.to_string(), Some("L9".to_owned()));
        let request = AdoptionRequest { source, lot, follow, ..AdoptionRequest::default() };
        let taken = app.adopt(&plant.domain, request).await;
        assert_eq!(taken.map(|it| it.identities.len()).map_err(|error| error.code()), adopted, "{follow:?}");
    }
}

/// Whoever has stolen it has its key.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_asks_for_nothing_while_what_is_left_of_the_block_waits() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &known, PERMITS, 1 << 24).await;
    let hosted = app.hosted(&maker.domain).expect("here");
    let speaks = || {
        let sight = app.sight(&hosted).expect("readable");
        tokio::task::block_in_place(|| app.check_speaks(&sight, &IdentityId::Key(known[0].fingerprint())))
    };
    speaks().expect("it is in order");
    let index = stolen(&app, &maker, &known[0]).await;
    assert!(matches!(speaks(), Err(CertifyError::Record(_))));
    erased_unshown(&app, &maker, [index]);
    match speaks().expect_err("it is stolen") {
        CertifyError::App(error) => assert_eq!(error.code(), Code::Behind, "{error}"),
        other => panic!("{other}"),
    }
}

/// Rules hide it by what is gone, and the erasure that says so is not shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_hidden_by_what_was_erased_stays_hidden_while_the_rest_waits() {
    let unless = "permit (principal, action == Action::\"read\", resource) \
                  unless { resource has lot && resource.lot == \"0\" };";
    let maker = Party::found_with("devices.acme.example", |descriptor| {
        assert!(descriptor.access.contains(ALL), "the template's rule");
        descriptor.access = descriptor.access.replace(ALL, unless);
    });
    let (known, of) = (devices(2), &maker.domain);
    let app = node(&maker, &known[..1], PERMITS, 1 << 24).await;
    let [id, unknown] = [&known[0], &known[1]].map(|key| key.fingerprint().to_string());
    let record = |reader| app.record(reader, of, &id).map(|it| it.record).map_err(|error| error.code());
    let attested = |reader, id: &str| {
        let query = Query::parse(id).expect("an id");
        let attested = tokio::task::block_in_place(|| app.attest(reader, of, &query, 0));
        attested.map(|it| it.is_some()).map_err(|error| error.code())
    };
    let blocked = stolen(&app, &maker, &known[0]).await;
    assert_eq!(record(Reader::Anonymous), Err(Code::UnknownIdentity));
    let introduced = record(Reader::Operator).expect("known").vouched[0].index;
    let is_hidden = |index: u64| {
        let page = app.entries(Reader::Anonymous, of, 0, 100, None).expect("a page");
        matches!(page.entries[usize::try_from(index).expect("a few")], Entry::Hidden(_))
    };
    assert_eq!([introduced, blocked].map(is_hidden), [true, true]);
    assert_eq!([&id, &unknown].map(|id| attested(Reader::Anonymous, id)), [Ok(true), Ok(true)]);
    erased_unshown(&app, &maker, [introduced]);
    let left = record(Reader::Operator).expect("known");
    assert!(left.cut_short && left.attributes.is_empty(), "{left:?}");
    assert_eq!(record(Reader::Anonymous), Err(Code::UnknownIdentity));
    assert_eq!([introduced, blocked].map(is_hidden), [true, true], "a mirror of a part is not shown it either");
    // A node without a copy that has heard of the block must not hear now that nothing is said about the thing; and a
    // stranger must not hear of it something else than of what nobody knows.
    let told = [&id, &unknown].map(|id| attested(Reader::Anonymous, id));
    assert_eq!(told, [Err(Code::Behind), Err(Code::Behind)]);
    assert_eq!(attested(Reader::Operator, &unknown), Ok(true), "whoever is shown everything may be told that");
}

/// It is gone once it is committed, while what the erasure restates is shown once that is durable; and whoever has
/// begun to read before reads on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_while_it_is_read_is_not_unblocked() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &known, PERMITS, 1 << 24).await;
    let index = stolen(&app, &maker, &known[0]).await;
    let (id, hosted) = (IdentityId::Key(known[0].fingerprint()), app.hosted(&maker.domain).expect("here"));
    let sight = || app.sight(&hosted).expect("readable");
    let begun = sight();
    maker.erase(&app, index).await;
    assert!(app.kept(&begun, &id).expect("readable").withheld, "what it restates stands behind what is read");
    assert!(!app.kept(&sight(), &id).expect("readable").withheld, "that was not kept");
    let blocked = check(&app, 0, Depth::Store).map(|it| (it.verdict, it.reason));
    assert_eq!(blocked, Some((Outcome::Deny, Reason::Blocked)));
}

/// A directory is brought to a moment, and reads until then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_after_a_moment_blocks_at_that_moment() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &known, PERMITS, 1 << 24).await;
    let index = stolen(&app, &maker, &known[0]).await;
    let moment = app.moment(&maker.domain).expect("here").expect("settled");
    maker.erase(&app, index).await;
    let id = known[0].fingerprint().to_string();
    let then = app.thing_then(Reader::Operator, &moment, &id).expect("read").expect("is spoken of");
    assert!(then.record().expect("readable").effect().blocks());
}

/// The erasure is committed, and cannot be shown.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_erased_while_the_disk_fails_a_directory_is_told_nothing() {
    let (maker, known) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &known, PERMITS, 1 << 24).await;
    let index = stolen(&app, &maker, &known[0]).await;
    let erasure = app.erasure(Reader::Operator, &maker.domain, index).expect("it can be erased");
    let (json, now) = (erasure.to_json().expect("JSON"), app.clock().now());
    let body = sign_descriptor(&[&owner(&maker.domain)], &json, now, &SALT).expect("signed");
    // The new checkpoint cannot take its place.
    let head = maker.data().join("heads").join(maker.domain.as_str());
    std::fs::remove_file(&head).expect("is there");
    std::fs::create_dir(&head).expect("made");
    let moment = app.moment(&maker.domain).expect("here").expect("settled");
    let results = app.submit(&maker.domain, vec![body]).await.map(|done| done.results);
    let is_acknowledged = |result: &SubmissionResult| matches!(result, SubmissionResult::Receipt(_));
    assert!(!results.is_ok_and(|results| results.iter().any(is_acknowledged)), "it is not durable");
    let hosted = app.hosted(&maker.domain).expect("here");
    assert_eq!(app.store().entry(hosted.number, index).expect("an entry").content, None, "it is gone");
    let then = app.thing_then(Reader::Operator, &moment, &known[0].fingerprint().to_string());
    assert!(then.is_err_and(|error| error.code() == Code::Behind));
}
