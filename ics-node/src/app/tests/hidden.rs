//! What is hidden from a reader and must not even be looked up.

use std::time::Duration;

use ics_core::identity::{IdentityId, Kind};
use ics_core::openpgp::signer::Signer as _;
use ics_core::record::Digest;
use ics_core::statement::make::sign_document;
use ics_core::statement::{Claims, Group, Subject};
use ics_core::vocabulary::{Act, Attribute};
use ics_sync::wire::Watch;

use super::{PERMITS, amended, node};
use crate::api::ListQuery;
use crate::api::problem::{Code, Problem};
use crate::app::keys::KeySearch;
use crate::app::{App, AppError, Asker, Depth, Extent, Query, Reader};
use crate::fixture::{Party, SALT, claims, devices, word};

/// What a reader is told about a thing, through every interface.
fn told(app: &App, maker: &Party, reader: Reader, text: &str) -> Vec<(&'static str, Result<(), AppError>)> {
    let (domain, query) = (&maker.domain, Query::parse(text).expect("an id or a name"));
    vec![
        ("record", app.record(reader, domain, text).map(drop)),
        ("answer", app.answer(reader, domain, &query, Extent::Whole, Depth::Store).map(drop)),
        ("OpenPGP", app.record_openpgp(reader, domain, text, 4).map(drop)),
        ("history", app.history(reader, domain, text).map(drop)),
        ("evidence", app.evidence(reader, domain, text).map(drop)),
        ("view", app.view(reader, text).map(drop)),
        ("answer of all domains", app.answer_view(reader, &query, Extent::Whole, Depth::Store).map(drop)),
        ("OpenPGP of all domains", app.view_openpgp(reader, text, 4).map(drop)),
        ("challenge", app.challenge(reader, Asker::Own, &query).map(drop)),
    ]
}

/// The problem with the query removed from its text.
fn without(error: AppError, text: &str) -> (Code, String) {
    let code = error.code();
    let Problem { detail, .. } = error.problem();
    (code, detail.replace(text, "…"))
}

/// Makes the entry that stands this many places before the last one unreadable.
fn damage(app: &App, before: u32) {
    let damage = || {
        let sql = "UPDATE entry SET body = substr(body, 1, length(body) - 1) \
                   WHERE position = (SELECT max(position) FROM entry) - ?1";
        app.store().with_writer(move |writer| Ok(writer.log.execute(sql, [before])?))
    };
    assert_eq!(tokio::task::block_in_place(damage).expect("damaged"), 1);
}

/// A look-up takes longer if there is something, so none may be made for a reader to whom the rules show nothing: such
/// a reader must not notice that an entry has become unreadable, and nothing about it is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_for_a_reader_to_whom_the_rules_show_nothing() {
    let (maker, pumps) = (Party::found_private("devices.acme.example", "principal has node"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    damage(&app, 0);
    let before = app.memory().identities();
    let fingerprint = pumps[0].fingerprint();
    let (id, absent) = (fingerprint.to_string(), "serial:SN-9");
    for hidden in ["serial:SN-0", id.as_str()] {
        let there = told(&app, &maker, Reader::Anonymous, hidden);
        for ((door, there), (_, nowhere)) in there.into_iter().zip(told(&app, &maker, Reader::Anonymous, absent)) {
            let there = without(there.expect_err(door), hidden);
            assert_eq!(there.0, Code::UnknownIdentity, "{door}: {hidden}");
            assert_eq!(there, without(nowhere.expect_err(door), absent), "{door}: {hidden}");
        }
    }
    let (all, signer) = (ListQuery::default(), maker.signer.public_key().fingerprint().to_string());
    let lists = [
        all.clone(),
        ListQuery { lot: Some("0".to_owned()), ..all.clone() },
        ListQuery { kind: Some("device".to_owned()), ..all.clone() },
        ListQuery { signer: Some(signer), ..all },
    ];
    for query in &lists {
        let page = app.list(Reader::Anonymous, &maker.domain, query).expect("a page");
        assert_eq!((page.items.len(), page.next), (0, None), "{query:?}");
    }
    let search = KeySearch::Fingerprint(fingerprint);
    assert_eq!(app.keys(Reader::Anonymous, &search, None, 10).expect("read"), []);
    assert!(app.thing(Reader::Anonymous, &maker.domain, &id).expect("read").thing.is_none());
    assert_eq!(app.memory().identities(), before, "nothing was resolved");
    for query in &lists {
        assert!(
            app.list(Reader::Operator, &maker.domain, query).is_err(),
            "{query:?}: it is looked up for the operator"
        );
    }
    assert_eq!(app.record(Reader::Operator, &maker.domain, &id).expect_err("damaged").problem().status, 500);
}

/// Nor is a group's selection read for a listing of its members.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_selects_is_not_read_where_the_rules_show_nothing() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let app = node(&maker, &devices(1), PERMITS, 1 << 20).await;
    let attributes = [(Attribute::Lot, "0".to_owned())].into();
    let group = Group { kind: Kind::Group, name: "lot 0".to_owned(), attributes };
    let Ok(IdentityId::Group(id)) = group.id() else { panic!("a group has an id") };
    let recall = Claims { status: Some(word("withdrawn")), ..claims(&maker, Act::Status) };
    let now = app.clock().now();
    let recall = sign_document(&maker.signer, &Subject::Group(group), &recall, now, &SALT).expect("made");
    maker.submit_one(&app, recall).await.expect("admitted");
    damage(&app, 0);
    let query = ListQuery { group: Some(Digest(id).to_string()), ..ListQuery::default() };
    assert_eq!(app.list(Reader::Anonymous, &maker.domain, &query).expect("a page").items, []);
    assert!(app.list(Reader::Operator, &maker.domain, &query).is_err(), "it is read for the operator");
}

/// Nor is what somebody watches read, who is told nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_is_not_read_where_the_rules_show_nothing() {
    let (maker, pumps) = (Party::found_private("devices.acme.example", "principal has node"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let more = maker.submit_one(&app, maker.introduce(&app, &pumps[0], "Pump", "more")).await.expect("admitted");
    damage(&app, 1);
    let watch = Watch { ids: vec![pumps[0].fingerprint().to_string()], from: more.index, ..Watch::default() };
    let mut watcher = app.watch(Reader::Anonymous, &maker.domain, watch.clone()).expect("watches");
    let told = watcher.next(Duration::ZERO).await.expect("nothing is read");
    assert_eq!((told.upto, told.heads.len()), (more.index + 1, 0));
    let mut watcher = app.watch(Reader::Operator, &maker.domain, watch).expect("watches");
    watcher.next(Duration::ZERO).await.expect_err("it is read for the operator");
}

/// An answer is remembered for as long as what it rests on: here, the rules.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_remembered_that_rules_show_nothing_until_there_are_others() {
    let (maker, pumps) = (Party::found_private("devices.acme.example", "principal has node"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let look = || app.thing(Reader::Anonymous, &maker.domain, &pumps[0].fingerprint().to_string()).expect("read");
    let looked = look();
    let [mark] = looked.marks.as_slice() else { panic!("{looked:?}") };
    assert!(looked.thing.is_none() && app.stands(mark));
    let shows = " when { principal has node }";
    let rules = amended(&app, &maker.domain, |next| next.access = next.access.replace(shows, ""));
    maker.submit_one(&app, rules).await.expect("admitted");
    assert!(!app.stands(mark));
    assert!(look().thing.is_some(), "anybody may read now");
}
