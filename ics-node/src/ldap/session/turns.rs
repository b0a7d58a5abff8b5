//! A search runs in parts, whatever it finds: between them it can be ended, and others have their turn.

use std::sync::Arc;

use ics_core::limits;
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapCompareRequest, LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapResultCode,
    LdapSearchRequest, LdapSearchScope, SaslCredentials, SyncRequestMode,
};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::super::hot::Hot;
use super::super::search::Place;
use super::super::tree::{Suffix, Tree};
use super::{Next, Session};
use crate::config::PeerConfig;
use crate::fixture::{Party, devices};
use crate::room::Room;
use crate::tls::PeerKey;

/// How many things the domain has: more than are looked at in one go.
pub(super) const THINGS: u16 = 120;

pub(super) async fn place(party: &Party) -> Arc<Place> {
    let app = party.open();
    let things = devices(THINGS);
    let introduced = things.iter().map(|key| party.introduce(&app, key, "Pump", "L1"));
    let bodies = core::iter::once(party.certificate.clone()).chain(introduced).collect();
    app.submit(&party.domain, bodies).await.expect("a batch");
    let in_step = Room::new(2, 2);
    Arc::new(Place { app, tree: Tree::new(Suffix::default()), has_tls: true, in_step })
}

pub(super) fn receive(session: &mut Session, msgid: i32, op: LdapOp, ctrl: Vec<LdapControl>) {
    let mut bytes = Default::default();
    LdapCodec::new(Some(1 << 24), None).encode(LdapMsg { msgid, op, ctrl }, &mut bytes).expect("encodes");
    session.receive(&bytes);
}

fn search(party: &Party, scope: LdapSearchScope) -> LdapSearchRequest {
    LdapSearchRequest {
        base: format!("icsDomain={},o=ics", party.domain),
        scope,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::Equality("icsLot".to_owned(), "nobody's".to_owned()),
        attrs: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_finds_nothing_can_be_ended() {
    let party = Party::found("devices.acme.example");
    let place = place(&party).await;
    let all = search(&party, LdapSearchScope::Subtree);
    let equal = |name: &str, value: &str| LdapFilter::Equality(name.to_owned(), value.to_owned());
    let filter = LdapFilter::And(vec![equal("icsAct", "identity"), equal("icsReason", "nobody's")]);
    let narrow = LdapSearchRequest { filter, ..all.clone() };
    let mode = SyncRequestMode::RefreshOnly;
    let sync = LdapControl::SyncRequest { criticality: true, mode, cookie: None, reload_hint: false };
    for (what, asked, controls) in [("kept in step", all, vec![sync]), ("asked once", narrow, Vec::new())] {
        let is_kept = !controls.is_empty();
        let mut session = Session::new(Arc::clone(&place), Arc::new(Hot::new(0)), false, None);
        receive(&mut session, 7, LdapOp::SearchRequest(asked), controls);
        for part in ["the first", "another"] {
            let Next::Job(job) = session.next() else { panic!("{what}: {part} part is work") };
            assert_eq!(job.is_long(), is_kept || part == "another", "{what}: {part} part");
            let has_more = !is_kept && part == "another";
            assert_eq!(job.held() > 0, has_more, "{what}: what is found counts");
            session.done(job.block(&place));
        }
        receive(&mut session, 8, LdapOp::AbandonRequest(7), Vec::new());
        assert!(matches!(session.next(), Next::Wait), "{what}: nothing of it goes on");
        assert!(session.output().is_empty(), "{what}: and nobody is told");
    }
}

/// What a client sends during a search is held until its turn comes, and no more of it than is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_takes_little_memory() {
    const LONG: usize = 50 * 1024;
    let party = Party::found("devices.acme.example");
    let place = place(&party).await;
    let mut session = Session::new(Arc::clone(&place), Arc::new(Hot::new(0)), false, None);
    let mode = SyncRequestMode::RefreshOnly;
    let sync = LdapControl::SyncRequest { criticality: true, mode, cookie: None, reload_hint: false };
    receive(&mut session, 1, LdapOp::SearchRequest(search(&party, LdapSearchScope::Subtree)), vec![sync]);
    let Next::Job(job) = session.next() else { panic!("the first part is work") };
    let dn = format!("icsDomain={},o=ics", party.domain);
    let compare = LdapCompareRequest { dn, atype: "icsDomain".to_owned(), val: vec![b'x'; LONG] };
    let (most, sent) = (limits::LDAP_WAITING_BYTES / LONG + 1, 9);
    for id in 2..2 + sent {
        receive(&mut session, id, LdapOp::CompareRequest(compare.clone()), Vec::new());
    }
    session.done(job.block(&place));
    let Next::Job(job) = session.next() else { panic!("another part is work") };
    assert_eq!(session.waiting.len(), most, "the last one is beyond the bound");
    assert!(!session.takes_more() && session.unread() > LONG);
    let parsed = most * (LONG + super::ELEMENT_BYTES * limits::LDAP_ELEMENTS);
    assert!(session.held() > parsed, "and all of it is counted");
    session.done(job.block(&place));
    to_the_end(&mut session, &place);
    let (mut bytes, mut codec) = (BytesMut::from(session.output().as_slice()), LdapCodec::new(Some(1 << 24), None));
    let answers = core::iter::from_fn(|| codec.decode(&mut bytes).expect("is LDAP"));
    let compared = answers.filter(|answer| matches!(answer.op, LdapOp::CompareResult(_))).count();
    assert_eq!(Ok(compared), usize::try_from(sent), "and all are answered");
}

/// Whoever takes a page of a log slowly could ask for others over other connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_log_keeps_its_place_until_it_is_taken() {
    let party = Party::found("devices.acme.example");
    let app = party.open();
    let long = "x".repeat(1_000);
    let introduced = devices(250).into_iter().map(|key| party.introduce(&app, &key, &long, "L1"));
    let bodies = core::iter::once(party.certificate.clone()).chain(introduced).collect();
    app.submit(&party.domain, bodies).await.expect("a batch");
    // One of them for strangers.
    let in_step = Room::new(2, 2);
    let place = Arc::new(Place { app, tree: Tree::new(Suffix::default()), has_tls: true, in_step });
    let ask = |session: &mut Session, id| {
        let base = format!("icsDomain={},cn=Log", party.domain);
        let filter = LdapFilter::Present("objectClass".to_owned());
        let attrs = vec!["*".to_owned(), "+".to_owned()];
        let asked = LdapSearchRequest { base, filter, attrs, ..search(&party, LdapSearchScope::Subtree) };
        let mode = SyncRequestMode::RefreshOnly;
        let sync = LdapControl::SyncRequest { criticality: true, mode, cookie: None, reload_hint: false };
        receive(session, id, LdapOp::SearchRequest(asked), vec![sync]);
    };
    let [mut slow, mut other] = [(); 2].map(|()| Session::new(Arc::clone(&place), Arc::new(Hot::new(0)), false, None));
    ask(&mut slow, 1);
    let Next::Job(job) = slow.next() else { panic!("the page is work") };
    slow.done(job.block(&place));
    assert!(matches!(slow.next(), Next::Flush), "it is long");
    ask(&mut other, 1);
    assert!(matches!(other.next(), Next::Wait), "there is no place for another");
    slow.output().clear();
    assert!(matches!(slow.next(), Next::Wait), "it is sent");
    ask(&mut other, 2);
    assert!(matches!(other.next(), Next::Job(_)), "there is a place again");
}

/// Lets the session work until it waits for its client.
pub(super) fn to_the_end(session: &mut Session, place: &Place) {
    loop {
        match session.next() {
            Next::Job(job) => session.done(job.block(place)),
            Next::Wait => break,
            _ => panic!("the session goes on"),
        }
    }
}

/// Works the next request off; returns its result code.
fn code(session: &mut Session, place: &Place) -> LdapResultCode {
    to_the_end(session, place);
    let (mut bytes, mut codec) = (BytesMut::from(session.output().as_slice()), LdapCodec::new(Some(1 << 24), None));
    session.output().clear();
    let answers = core::iter::from_fn(|| codec.decode(&mut bytes).expect("is LDAP"));
    let mut results = answers.filter_map(|answer| match answer.op {
        LdapOp::SearchResultDone(result) | LdapOp::CompareResult(result) => Some(result.code),
        LdapOp::BindResponse(response) => Some(response.res.code),
        _ => None,
    });
    results.next().expect("a result")
}

/// A peer with a key of its own that may ask once a minute.
pub(in crate::ldap) fn frugal_peer() -> PeerConfig {
    let key = PeerKey::of_node(&ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key());
    let peer = PeerConfig::new("shop.example".parse().expect("a name"));
    PeerConfig { key: Some(key), requests_per_minute: Some(1), ..peer }
}

/// A peer's budget of requests per minute holds for the directory as for everything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_has_his_budget_over_ldap_as_well() {
    let peer = frugal_peer();
    let pin = peer.pin();
    let party = Party::found("devices.acme.example");
    let app = party.open_for(vec![peer]);
    let place = Arc::new(Place { app, tree: Tree::new(Suffix::default()), has_tls: true, in_step: Room::new(2, 2) });
    let mut session = Session::new(Arc::clone(&place), Arc::new(Hot::new(0)), true, pin);
    let cred = LdapBindCred::SASL(SaslCredentials { mechanism: "EXTERNAL".to_owned(), credentials: Vec::new() });
    receive(&mut session, 1, LdapOp::BindRequest(LdapBindRequest { dn: String::new(), cred, version: 3 }), Vec::new());
    assert_eq!(code(&mut session, &place), LdapResultCode::Success);
    let dn = format!("icsDomain={},o=ics", party.domain);
    let compare = LdapCompareRequest { dn, atype: "icsDomain".to_owned(), val: party.domain.to_string().into_bytes() };
    let questions = [
        (LdapOp::SearchRequest(search(&party, LdapSearchScope::Base)), LdapResultCode::Success),
        (LdapOp::CompareRequest(compare.clone()), LdapResultCode::CompareTrue),
        (LdapOp::CompareRequest(compare), LdapResultCode::Busy),
        (LdapOp::SearchRequest(search(&party, LdapSearchScope::Base)), LdapResultCode::Busy),
    ];
    for (id, (question, expected)) in (2..).zip(questions) {
        receive(&mut session, id, question, Vec::new());
        assert_eq!(code(&mut session, &place), expected, "question {id}");
    }
    let filter = LdapFilter::Present("objectClass".to_owned());
    let base = format!("icsDomain={},cn=Log", party.domain);
    let log = LdapSearchRequest { base, filter, ..search(&party, LdapSearchScope::Subtree) };
    for mode in [SyncRequestMode::RefreshOnly, SyncRequestMode::RefreshAndPersist] {
        let sync = LdapControl::SyncRequest { criticality: true, mode, cookie: None, reload_hint: false };
        receive(&mut session, 9, LdapOp::SearchRequest(log.clone()), vec![sync]);
        assert_eq!(code(&mut session, &place), LdapResultCode::Busy, "the log, and its news");
    }
}
