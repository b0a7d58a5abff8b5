//! A domain that cannot answer, one that was added, or one too many; and too much news of one thing: what searches find
//! and directories hear that are kept in step.

use std::collections::BTreeMap;
use std::sync::Arc;

use ics_core::identity::Kind;
use ics_core::statement::Claims;
use ics_core::statement::make::certify;
use ics_core::vocabulary::Act;
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapDerefAliases, LdapFilter, LdapOp, LdapResultCode, LdapSearchRequest, LdapSearchResultEntry, LdapSearchScope,
    SyncRequestMode, SyncStateValue,
};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use super::super::hot::Hot;
use super::super::search::Place;
use super::super::tree::{Suffix, Tree};
use super::super::{ber, keyspace, message};
use super::Session;
use super::turns::{receive, to_the_end};
use crate::api::SubmissionResult;
use crate::app::App;
use crate::fixture::{Party, SALT, claims, device, word};
use crate::room::Room;

/// Milliseconds.
const HOUR: u64 = 3_600_000;

/// What a search finds, or what a directory is told that asks once.
#[derive(Debug)]
struct Told {
    code: LdapResultCode,
    names: Vec<String>,
    /// The change sequence numbers of these entries, if it is kept in step.
    numbers: BTreeMap<String, String>,
    gone: Vec<String>,
    cookie: Vec<u8>,
    /// Whether what is not mentioned still exists.
    deletes: bool,
}

/// A node with two domains; each has introduced one device.
async fn two() -> (Party, Party, App) {
    let ((party, app), other) = (Party::opened(), Party::found("boilers.acme.example"));
    other.found_at(&app);
    party.publish(&app, &device(1), "Pump", "L1").await;
    other.publish(&app, &device(2), "Boiler", "L2").await;
    (party, other, app)
}

fn place_of(app: &App) -> Arc<Place> {
    let (tree, in_step) = (Tree::new(Suffix::default()), Room::new(8, 8));
    Arc::new(Place { app: app.clone(), tree, has_tls: false, in_step })
}

/// A search of the whole tree.
fn search(filter: LdapFilter) -> LdapOp {
    LdapOp::SearchRequest(LdapSearchRequest {
        base: "o=ics".to_owned(),
        scope: LdapSearchScope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter,
        attrs: ["*", "entryCSN"].map(str::to_owned).into(),
    })
}

fn equal(name: &str, value: &str) -> LdapFilter {
    LdapFilter::Equality(name.to_owned(), value.to_owned())
}

fn everything() -> LdapFilter {
    LdapFilter::Present("objectClass".to_owned())
}

fn new_session(place: &Arc<Place>) -> Session {
    Session::new(Arc::clone(place), Arc::new(Hot::new(0)), false, None)
}

/// Asks to be kept in step.
fn ask(session: &mut Session, filter: LdapFilter, mode: SyncRequestMode, cookie: Option<&[u8]>, reload_hint: bool) {
    let cookie = cookie.map(<[u8]>::to_vec);
    let sync = LdapControl::SyncRequest { criticality: true, mode, cookie, reload_hint };
    receive(session, 1, search(filter), vec![sync]);
}

fn told(place: &Arc<Place>, cookie: Option<&[u8]>, reload_hint: bool) -> Told {
    told_of(place, everything(), cookie, reload_hint)
}

fn told_of(place: &Arc<Place>, filter: LdapFilter, cookie: Option<&[u8]>, reload_hint: bool) -> Told {
    let mut session = new_session(place);
    ask(&mut session, filter, SyncRequestMode::RefreshOnly, cookie, reload_hint);
    answered(&mut session, place)
}

/// What an ordinary search finds.
fn found(place: &Arc<Place>, filter: LdapFilter) -> Told {
    let mut session = new_session(place);
    receive(&mut session, 1, search(filter), Vec::new());
    answered(&mut session, place)
}

fn answered(session: &mut Session, place: &Place) -> Told {
    to_the_end(session, place);
    let (mut bytes, mut codec) = (BytesMut::from(session.output().as_slice()), LdapCodec::new(Some(1 << 24), None));
    let (mut names, mut numbers, mut gone) = (Vec::new(), BTreeMap::new(), Vec::new());
    let (mut cookie, mut deletes) = (Vec::new(), false);
    while let Some(answer) = codec.decode(&mut bytes).expect("is LDAP") {
        let mut is_gone = false;
        for control in answer.ctrl {
            match control {
                LdapControl::SyncState { state, .. } => is_gone = state == SyncStateValue::Delete,
                LdapControl::SyncDone { cookie: new, refresh_deletes } => {
                    (cookie, deletes) = (new.unwrap_or_default(), refresh_deletes);
                }
                other => panic!("{other:?}"),
            }
        }
        match answer.op {
            LdapOp::SearchResultEntry(entry) if is_gone => gone.push(entry.dn),
            LdapOp::SearchResultEntry(entry) => {
                numbers.extend(number(&entry).map(|number| (entry.dn.clone(), number)));
                names.push(entry.dn);
            }
            LdapOp::SearchResultDone(result) => {
                return Told { code: result.code, names, numbers, gone, cookie, deletes };
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("there is no result")
}

fn number(entry: &LdapSearchResultEntry) -> Option<String> {
    let held = entry.attributes.iter().find(|attribute| attribute.atype == "entryCSN")?;
    held.vals.first().map(|value| String::from_utf8_lossy(value).into_owned())
}

/// A directory that stays, once its refresh is over.
fn stays(place: &Arc<Place>, cookie: Option<&[u8]>) -> Session {
    let mut session = new_session(place);
    ask(&mut session, everything(), SyncRequestMode::RefreshAndPersist, cookie, true);
    to_the_end(&mut session, place);
    assert!(session.persists());
    session.output().clear();
    session
}

/// How many entries such a directory is sent now, and the result code if that is the end.
fn hears(session: &mut Session, place: &Place) -> (usize, Option<u8>) {
    session.wake();
    to_the_end(session, place);
    let (mut rest, mut entries, mut code) = (session.output().as_slice(), 0, None);
    while !rest.is_empty() {
        let (_, content, behind) = ber::split(rest).expect("a message");
        let (_, _, operation) = ber::split(content).expect("its id");
        let (head, result, _) = ber::split(operation).expect("its operation");
        if head.tag == message::SEARCH_DONE {
            code = ber::split(result).expect("a code").1.first().copied();
        }
        entries += usize::from(head.tag == message::SEARCH_DONE - 1);
        rest = behind;
    }
    session.output().clear();
    (entries, code)
}

fn thing(party: &Party, number: u8) -> String {
    format!("icsIdentity={},icsDomain={},o=ics", device(number).fingerprint(), party.domain)
}

fn key(place: &Place, number: u8) -> String {
    keyspace::dn(&place.tree, &device(number).fingerprint())
}

/// Silences a domain, as after a restore, or ends that.
fn silence(app: &App, party: &Party, is_silent: bool) {
    let number = app.hosted(&party.domain).expect("here").number;
    let change = || if is_silent { app.store().hold(number) } else { app.store().release(number) };
    tokio::task::block_in_place(change).expect("changed");
}

/// A block of one device, with more that is said about it.
fn block(party: &Party, app: &App, more: impl FnOnce(&mut Claims)) -> Vec<u8> {
    let mut said = Claims { status: Some(word("stolen")), ..claims(party, Act::Status) };
    more(&mut said);
    let at = app.clock().now();
    certify(&party.signer, &device(1), "Pump", None, Kind::Device, &said, true, at, &SALT).expect("made")
}

/// Blocks one device and introduces another.
async fn goes_on(party: &Party, app: &App) {
    party.submit_one(app, block(party, app, |_| ())).await.expect("admitted");
    party.publish(app, &device(3), "Pump", "L3").await;
}

/// Checks what is told while the other domain is silent; returns the cookie of a directory that is new.
fn check_meanwhile(place: &Arc<Place>, party: &Party, other: &Party, whole: &Told) -> Vec<u8> {
    let more = told(place, Some(&whole.cookie), true);
    assert_eq!(more.code, LdapResultCode::Success, "{more:?}");
    assert!(more.deletes && more.gone.is_empty(), "nothing is gone: {more:?}");
    assert!(more.names.contains(&thing(party, 1)) && more.names.contains(&thing(party, 3)), "{more:?}");
    let keys: Vec<&String> = more.names.iter().filter(|name| name.ends_with("ou=PGP Keys,o=ics")).collect();
    assert_eq!(keys, [&key(place, 1)], "keys wait for both, unless one has blocked them");
    assert_eq!(more.cookie, whole.cookie);
    let new = told(place, None, true);
    assert_eq!(new.code, LdapResultCode::Success, "{new:?}");
    assert!(new.names.contains(&thing(party, 3)) && new.names.contains(&key(place, 3)), "{new:?}");
    assert!(!new.names.iter().any(|name| name.contains(other.domain.as_str())), "{new:?}");
    for reload_hint in [false, true] {
        // Whoever begins anew is told everything that there is, and forgets the rest.
        let refused = told(place, Some(b"colour=red"), reload_hint);
        assert_eq!((refused.code, refused.names.len()), (LdapResultCode::Unavailable, 0));
    }
    let one = equal("icsIdentity", &device(1).fingerprint().to_string());
    for filter in [one, everything()] {
        // What the others say is found, and nobody is told that this is all.
        let rest = found(place, filter);
        assert_eq!(rest.code, LdapResultCode::Unavailable, "{rest:?}");
        assert!(rest.names.contains(&thing(party, 1)), "{rest:?}");
    }
    new.cookie
}

/// Checks what is told once it answers again.
fn check_afterwards(place: &Arc<Place>, party: &Party, other: &Party, whole: &Told, new: &[u8]) {
    let back = told(place, Some(&whole.cookie), true);
    assert_eq!(back.code, LdapResultCode::Success, "{back:?}");
    assert!(back.deletes && back.gone.is_empty(), "{back:?}");
    assert!(back.names.contains(&thing(party, 3)) && back.names.contains(&key(place, 3)), "{back:?}");
    assert_ne!(back.cookie, whole.cookie);
    let rest = told(place, Some(new), true);
    assert_eq!(rest.code, LdapResultCode::Success, "{rest:?}");
    assert!(rest.deletes && rest.gone.is_empty(), "{rest:?}");
    assert!(rest.names.contains(&thing(other, 2)) && rest.names.contains(&key(place, 2)), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_has_of_a_silent_domain_stays() {
    let (party, other, app) = two().await;
    let place = place_of(&app);
    let whole = told(&place, None, true);
    assert!(whole.names.contains(&thing(&other, 2)) && whole.names.contains(&key(&place, 2)), "{whole:?}");
    silence(&app, &other, true);
    goes_on(&party, &app).await;
    let new = check_meanwhile(&place, &party, &other, &whole);
    silence(&app, &other, false);
    check_afterwards(&place, &party, &other, &whole, &new);
}

/// New rules or certificates of another domain may have changed anything, so everything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn nor_is_anything_called_gone_when_everything_may_have_changed() {
    let (party, other, app) = two().await;
    let place = place_of(&app);
    let whole = told(&place, None, true);
    silence(&app, &other, true);
    party.submit_one(&app, party.renewed(app.clock().now())).await.expect("admitted");
    goes_on(&party, &app).await;
    let more = told(&place, Some(&whole.cookie), true);
    assert_eq!(more.code, LdapResultCode::Success, "{more:?}");
    assert!(more.deletes && more.gone.is_empty(), "{more:?}");
    assert!(more.names.contains(&thing(&party, 1)) && more.names.contains(&thing(&party, 3)), "{more:?}");
    assert_eq!(more.cookie, whole.cookie);
}

/// After a restart such a domain is not known at all: not even its rules can be read.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_has_of_a_damaged_domain_stays() {
    let (party, other, app) = two().await;
    let whole = told(&place_of(&app), None, true);
    drop(app);
    let set_effective = |effective: u8| {
        let log = rusqlite::Connection::open(party.data().join("ics.db")).expect("open");
        let sql = "UPDATE entry SET effective = ?1 WHERE position = (SELECT max(position) FROM entry)";
        assert_eq!(log.execute(sql, [effective]).expect("written"), 1);
    };
    set_effective(0);
    let app = party.open();
    goes_on(&party, &app).await;
    let new = check_meanwhile(&place_of(&app), &party, &other, &whole);
    drop(app);
    set_effective(1);
    check_afterwards(&place_of(&party.open()), &party, &other, &whole, &new);
}

/// Restored from a copy that was made before its first checkpoint: it has been shown since all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_has_of_a_domain_without_its_checkpoint_stays() {
    let (party, other, app) = two().await;
    let whole = told(&place_of(&app), None, true);
    let number = app.hosted(&other.domain).expect("here").number;
    silence(&app, &other, true);
    drop(app);
    let log = rusqlite::Connection::open(party.data().join("ics.db")).expect("open");
    let sql = "UPDATE head SET seal_size = NULL, seal_root = NULL, note = NULL, cosigned_at = NULL WHERE domain = ?1";
    assert_eq!(log.execute(sql, [number.get()]).expect("written"), 1);
    drop(log);
    let app = party.open();
    goes_on(&party, &app).await;
    check_meanwhile(&place_of(&app), &party, &other, &whole);
}

/// slapd takes only what is newer than what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_begins_meanwhile_is_newer_than_what_a_directory_has() {
    let (party, other, app) = two().await;
    let later = app.clock().now().plus_millis(HOUR);
    let block = block(&party, &app, |said| said.from = Some(later));
    party.submit_one(&app, block).await.expect("admitted");
    // The last entry is one of the silent domain.
    other.publish(&app, &device(4), "Boiler", "L4").await;
    let place = place_of(&app);
    let whole = told(&place, None, true);
    silence(&app, &other, true);
    app.clock().pass(2 * HOUR);
    let more = told(&place, Some(&whole.cookie), true);
    let (key, had) = (key(&place, 1), String::from_utf8(whole.cookie).expect("text"));
    let had = had.split([',', ';', '=']).find(|number| number.contains("#7ff#")).expect("the place of the key space");
    assert!(more.numbers.get(&key).is_some_and(|number| number.as_str() > had), "{more:?}");
}

/// Or a copy of the keys that may be used would keep it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_block_goes_if_the_filter_leaves_it_out() {
    let (party, other, app) = two().await;
    let place = place_of(&app);
    let usable = || LdapFilter::And(vec![equal("objectClass", "pgpKeyInfo"), equal("pgpDisabled", "0")]);
    let whole = told_of(&place, usable(), None, true);
    assert!([1, 2].iter().all(|number| whole.names.contains(&key(&place, *number))), "{whole:?}");
    silence(&app, &other, true);
    goes_on(&party, &app).await;
    for may_be_anything in [false, true] {
        if may_be_anything {
            party.submit_one(&app, party.renewed(app.clock().now())).await.expect("admitted");
        }
        let more = told_of(&place, usable(), Some(&whole.cookie), true);
        assert_eq!(more.code, LdapResultCode::Success, "{more:?}");
        assert!(more.deletes && more.gone.contains(&key(&place, 1)), "{more:?}");
        assert!(!more.gone.contains(&key(&place, 2)) && !more.names.contains(&key(&place, 3)), "{more:?}");
    }
}

/// slapd would ask with the same cookie for ever if it were told to begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_missed_too_much_of_one_thing_gets_everything() {
    let (party, other, app) = two().await;
    let place = place_of(&app);
    let whole = told(&place, None, true);
    app.clock().pass(HOUR);
    let report = |number: u32| block(&party, &app, |said| said.reason = Some(format!("report {number}")));
    let taken = app.submit(&party.domain, (0..130).map(report).collect()).await.expect("a batch").results;
    assert!(taken.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{taken:?}");
    for is_silent in [false, true] {
        silence(&app, &other, is_silent);
        let more = told(&place, Some(&whole.cookie), true);
        assert_eq!((more.code.clone(), more.deletes), (LdapResultCode::Success, is_silent), "{more:?}");
        assert!(more.names.contains(&thing(&party, 1)) && more.gone.is_empty(), "{more:?}");
        assert_eq!(more.names.contains(&thing(&other, 2)), !is_silent, "{more:?}");
    }
}

/// It does not fit when something else is asked for, when other rights are given, and perhaps after an upgrade.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_cookie_that_does_not_fit_keep_anybody_from_the_others() {
    let (party, other, app) = two().await;
    let place = place_of(&app);
    let whole = told(&place, None, true);
    silence(&app, &other, true);
    goes_on(&party, &app).await;
    let things = || equal("objectClass", "icsIdentityEntry");
    for reload_hint in [false, true] {
        let more = told_of(&place, things(), Some(&whole.cookie), reload_hint);
        assert_eq!(more.code, LdapResultCode::Success, "{more:?}");
        assert!(more.names.contains(&thing(&party, 1)) && more.names.contains(&thing(&party, 3)), "{more:?}");
        assert!(more.deletes && !more.gone.iter().any(|name| name.contains(other.domain.as_str())), "{more:?}");
        assert_eq!(more.cookie, whole.cookie);
    }
    silence(&app, &other, false);
    let back = told_of(&place, things(), Some(&whole.cookie), true);
    assert_eq!(back.code, LdapResultCode::Success, "{back:?}");
    assert!(!back.deletes && back.names.contains(&thing(&other, 2)), "{back:?}");
    assert_ne!(back.cookie, whole.cookie);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_falls_silent_ends_no_search_that_persists() {
    let (party, other, app) = two().await;
    let place = place_of(&app);
    let cookie = told(&place, None, true).cookie;
    let mut before = stays(&place, None);
    silence(&app, &other, true);
    let mut since = stays(&place, Some(&cookie));
    party.publish(&app, &device(3), "Pump", "L3").await;
    for session in [&mut before, &mut since] {
        let (entries, code) = hears(session, &place);
        assert!(entries > 0 && code.is_none(), "{entries} {code:?}");
    }
    silence(&app, &other, false);
    party.publish(&app, &device(4), "Pump", "L4").await;
    let (entries, code) = hears(&mut before, &place);
    assert!(entries > 0 && code.is_none(), "{entries} {code:?}");
    assert_eq!(hears(&mut since, &place), (0, Some(51)), "from its cookie on it is told what it has missed");
}

/// slapd deletes what is not mentioned only if the new cookie has as many places as its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_was_added_comes_once_the_rest_was_refreshed() {
    let (party, app) = Party::opened();
    party.publish(&app, &device(1), "Pump", "L1").await;
    let place = place_of(&app);
    let whole = told(&place, None, true);
    let other = Party::found("boilers.acme.example");
    other.found_at(&app);
    other.publish(&app, &device(2), "Boiler", "L2").await;
    // Everything may have changed.
    party.submit_one(&app, party.renewed(app.clock().now())).await.expect("admitted");
    let more = told(&place, Some(&whole.cookie), true);
    assert_eq!(more.code, LdapResultCode::Success, "{more:?}");
    assert!(!more.deletes && more.names.contains(&thing(&party, 1)), "{more:?}");
    let places = |told: &Told| String::from_utf8_lossy(&told.cookie).split(';').count();
    assert_eq!(places(&more), places(&whole), "{more:?}");
    let rest = told(&place, Some(&more.cookie), true);
    assert!(rest.deletes && rest.names.contains(&thing(&other, 2)), "{rest:?}");
    assert!(places(&rest) > places(&whole), "{rest:?}");
    let (mut session, boiler) = (new_session(&place), thing(&other, 2));
    ask(&mut session, everything(), SyncRequestMode::RefreshAndPersist, Some(&whole.cookie), true);
    to_the_end(&mut session, &place);
    let is_told = session.output().windows(boiler.len()).any(|part| part == boiler.as_bytes());
    assert!(is_told, "whoever stays is told at once");
}

/// A cookie has no room for it, and without it nobody could tell what the directory has.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_too_many_ends_a_search_that_persists() {
    let (party, other) = (Party::found("devices.acme.example"), Party::found("boilers.acme.example"));
    drop(party.open());
    let log = rusqlite::Connection::open(party.data().join("ics.db")).expect("open");
    // The last number that a cookie can name.
    let sql = "INSERT INTO domain (number, name, part) VALUES (?1, 'far.example', 'mirror')";
    assert_eq!(log.execute(sql, [0x7fe]).expect("written"), 1);
    drop(log);
    let app = party.open();
    let place = place_of(&app);
    let mut session = stays(&place, None);
    other.found_at(&app);
    assert_eq!(hears(&mut session, &place), (0, Some(53)));
}
