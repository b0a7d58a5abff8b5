//! Searches read in pages, and what is kept of them between pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapDerefAliases, LdapFilter, LdapOp, LdapResultCode, LdapSearchRequest, LdapSearchScope};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use super::super::hot::Hot;
use super::super::search::Place;
use super::Session;
use super::turns::{THINGS, place, receive, to_the_end};
use crate::fixture::{Party, devices};

/// The most characters that the debug output of all that is kept may take: it holds names and numbers, no entries.
const KEPT: usize = 32 * 1024;

fn equal(name: &str, value: &str) -> LdapFilter {
    LdapFilter::Equality(name.to_owned(), value.to_owned())
}

/// Reads a search in pages of this size; returns the names of all entries and the last result code.
fn read(place: &Arc<Place>, request: &LdapSearchRequest, size: i64) -> (Vec<String>, LdapResultCode) {
    let mut session = Session::new(Arc::clone(place), Arc::new(Hot::new(0)), false, None);
    let (mut names, mut cookie) = (Vec::new(), Vec::new());
    for id in 1.. {
        let paged = LdapControl::SimplePagedResults { size, cookie: core::mem::take(&mut cookie) };
        receive(&mut session, id, LdapOp::SearchRequest(request.clone()), vec![paged]);
        to_the_end(&mut session, place);
        let (mut bytes, mut codec) = (BytesMut::from(session.output().as_slice()), LdapCodec::new(Some(1 << 24), None));
        session.output().clear();
        let mut code = None;
        while let Some(answer) = codec.decode(&mut bytes).expect("is LDAP") {
            match answer.op {
                LdapOp::SearchResultEntry(entry) => names.push(entry.dn),
                LdapOp::SearchResultDone(result) => code = Some(result.code),
                other => panic!("{other:?}"),
            }
            for control in answer.ctrl {
                if let LdapControl::SimplePagedResults { cookie: next, .. } = control {
                    cookie = next;
                }
            }
        }
        let kept = format!("{:?}", session.paging).len();
        assert!(kept <= KEPT, "{kept} characters are kept of {request:?}");
        if cookie.is_empty() {
            return (names, code.expect("a result"));
        }
    }
    panic!("it comes to no end")
}

/// A client that asks for one entry of many makes the node hold none of the others, and gets each of them once.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_next_page_is_a_place() {
    let party = Party::found("devices.acme.example");
    let place = place(&party).await;
    let things = usize::from(THINGS);
    let (domain, log) = (format!("icsDomain={},o=ics", party.domain), format!("icsDomain={},cn=Log", party.domain));
    let all = || LdapFilter::Present("objectClass".to_owned());
    let three = devices(3).iter().map(|key| equal("icsIdentity", &key.fingerprint().to_string())).collect();
    let newer = LdapFilter::GreaterOrEqual("icsDescriptorVersion".to_owned(), "0".to_owned());
    let (one, sub) = (LdapSearchScope::OneLevel, LdapSearchScope::Subtree);
    let done = LdapResultCode::Success;
    for (what, base, scope, filter, size, expected) in [
        // The descriptor, the certificate, and a statement about each thing.
        ("a log", &log, &one, all(), 1, (things + 2, done.clone())),
        ("its descriptors", &log, &one, newer, 1, (1, done.clone())),
        ("things and statements", &domain, &sub, all(), 7, (1 + 2 * things, done.clone())),
        ("statements alone", &domain, &sub, equal("icsAct", "identity"), 1, (things, done.clone())),
        ("three things", &domain, &sub, LdapFilter::Or(three), 1, (3, done)),
        (
            "keys, of which there are too many",
            &"ou=PGP Keys,o=ics".to_owned(),
            &sub,
            equal("pgpUserID", "Pump"),
            3,
            (100, LdapResultCode::SizeLimitExceeded),
        ),
    ] {
        let request = LdapSearchRequest {
            base: base.clone(),
            scope: scope.clone(),
            aliases: LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: 0,
            typesonly: false,
            filter,
            attrs: vec!["1.1".to_owned()],
        };
        let (names, code) = tokio::task::block_in_place(|| read(&place, &request, size));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{what}: each once");
        assert_eq!((names.len(), code), expected, "{what}");
    }
}
