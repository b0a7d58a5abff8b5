//! Searches end when their time is up; the client may shorten that time but not extend it.

use std::sync::Arc;

use ics_core::limits;
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapResultCode, LdapSearchRequest, LdapSearchScope, SyncRequestMode,
};
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::super::hot::Hot;
use super::super::search::Place;
use super::super::tree::{Suffix, Tree};
use super::super::work::Job;
use super::turns::to_the_end;
use super::{Next, Session};
use crate::fixture::Party;
use crate::room::Room;

/// Begins a search for a domain's entry with this time limit; returns its job.
fn begin(session: &mut Session, domain: &str, seconds: i32, kept_in_step: bool) -> Job {
    let request = LdapSearchRequest {
        base: format!("icsDomain={domain},o=ics"),
        scope: LdapSearchScope::Base,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: seconds,
        typesonly: false,
        filter: LdapFilter::Present("objectClass".to_owned()),
        attrs: Vec::new(),
    };
    let mut bytes = Default::default();
    let mut codec = LdapCodec::new(Some(1 << 24), None);
    let sync = LdapControl::SyncRequest {
        criticality: true,
        mode: SyncRequestMode::RefreshOnly,
        cookie: None,
        reload_hint: false,
    };
    let ctrl = kept_in_step.then_some(sync).into_iter().collect();
    codec.encode(LdapMsg { msgid: 7, op: LdapOp::SearchRequest(request), ctrl }, &mut bytes).expect("encodes");
    session.receive(&bytes);
    match session.next() {
        Next::Job(job) => job,
        _ => panic!("a search is work"),
    }
}

/// Runs the job to the end; returns the number of entries and the result.
fn end(session: &mut Session, place: &Place, job: Job) -> (usize, LdapResultCode) {
    session.done(job.block(place));
    to_the_end(session, place);
    let mut bytes = Default::default();
    let mut codec = LdapCodec::new(Some(1 << 24), None);
    tokio_util::bytes::BufMut::put_slice(&mut bytes, session.output());
    session.output().clear();
    let mut entries = 0;
    loop {
        match codec.decode(&mut bytes).expect("is LDAP").expect("a result").op {
            LdapOp::SearchResultEntry(_) => entries += 1,
            LdapOp::SearchResultDone(result) => return (entries, result.code),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_end_in_time() {
    let party = Party::found_private("devices.acme.example", "true");
    let app = party.open();
    let in_step = Room::new(2, 2);
    let place = Arc::new(Place { app: app.clone(), tree: Tree::new(Suffix::default()), has_tls: true, in_step });
    let mut session = Session::new(Arc::clone(&place), Arc::new(Hot::new(0)), true, None);
    let domain = party.domain.as_str();
    let server = limits::LDAP_SEARCH_SECONDS * 1000;
    for (asked, later, kept_in_step, code) in [
        (1, 900, false, LdapResultCode::Success),
        (1, 60_000, false, LdapResultCode::TimeLimitExceeded),
        (0, server / 2, false, LdapResultCode::Success),
        (0, 2 * server, false, LdapResultCode::TimeLimitExceeded),
        (i32::MAX, 2 * server, false, LdapResultCode::TimeLimitExceeded),
        // A refresh may take as long as there is something to send, unless the client sets a limit.
        (1, 900, true, LdapResultCode::Success),
        (1, 60_000, true, LdapResultCode::TimeLimitExceeded),
        (0, 2 * server, true, LdapResultCode::Success),
    ] {
        let job = begin(&mut session, domain, asked, kept_in_step);
        app.clock().pass(later);
        let (entries, ended) = end(&mut session, &place, job);
        assert_eq!(ended, code, "{asked} seconds, {later} ms later");
        assert_eq!(entries, usize::from(code == LdapResultCode::Success), "{asked} seconds, {later} ms later");
    }
}
