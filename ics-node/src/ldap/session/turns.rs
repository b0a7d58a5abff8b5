//! A search goes on in parts, whatever it finds: between them it can be ended, and others have their turn.

use std::sync::Arc;

use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapSearchRequest, LdapSearchScope, SyncRequestMode,
};
use tokio_util::codec::Encoder as _;

use super::super::hot::Hot;
use super::super::search::Place;
use super::super::sync::Room;
use super::super::tree::{Suffix, Tree};
use super::{Next, Session};
use crate::fixture::{Party, devices};

/// Things of a domain, more than are looked at in one go.
const THINGS: u16 = 120;

async fn place(party: &Party) -> Arc<Place> {
    let app = party.open();
    let things = devices(THINGS);
    let introduced = things.iter().map(|key| party.introduce(&app, key, "Pump", "L1"));
    let bodies = core::iter::once(party.certificate.clone()).chain(introduced).collect();
    app.submit(&party.domain, bodies).await.expect("a batch");
    let in_step = Room::new(2);
    Arc::new(Place { app, tree: Tree::new(Suffix::default()), has_tls: true, in_step })
}

fn receive(session: &mut Session, msgid: i32, op: LdapOp, ctrl: Vec<LdapControl>) {
    let mut bytes = Default::default();
    LdapCodec::new(Some(1 << 24), None).encode(LdapMsg { msgid, op, ctrl }, &mut bytes).expect("encodes");
    session.receive(&bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_finds_nothing_can_be_ended() {
    let party = Party::found("devices.acme.example");
    let place = place(&party).await;
    let mut session = Session::new(Arc::clone(&place), Arc::new(Hot::new(0)), false, None);
    let search = LdapOp::SearchRequest(LdapSearchRequest {
        base: format!("icsDomain={},o=ics", party.domain),
        scope: LdapSearchScope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::Equality("icsLot".to_owned(), "nobody's".to_owned()),
        attrs: Vec::new(),
    });
    let mode = SyncRequestMode::RefreshOnly;
    let sync = LdapControl::SyncRequest { criticality: true, mode, cookie: None, reload_hint: false };
    receive(&mut session, 7, search, vec![sync]);
    for part in ["the first", "another"] {
        let Next::Job(job) = session.next() else { panic!("{part} part is work") };
        session.done(job.block(&place));
    }
    receive(&mut session, 8, LdapOp::AbandonRequest(7), Vec::new());
    assert!(matches!(session.next(), Next::Wait), "nothing of it goes on");
    assert!(session.output().is_empty(), "and nobody is told");
}
