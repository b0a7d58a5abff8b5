//! Everything that a search looks through is counted.

use ldap3_proto::proto::LdapDerefAliases;

use super::super::tree::Suffix;
use super::*;
use crate::fixture::{Party, device};

/// The statements of things that do not match are looked through as well: a thing may have thousands.
#[tokio::test(flavor = "multi_thread")]
async fn statements_count_as_things_do() {
    let (party, app) = Party::opened();
    for number in 1..=3 {
        party.publish(&app, &device(number), "Pump", &number.to_string()).await;
    }
    let place = Place { app, tree: Tree::new(Suffix::default()), has_tls: false, in_step: Room::new(2, 2) };
    let equal = |name: &str, value: &str| LdapFilter::Equality(name.to_owned(), value.to_owned());
    let request = || LdapSearchRequest {
        base: format!("icsDomain={},o=ics", party.domain),
        scope: LdapSearchScope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::And(vec![equal("icsAct", "identity"), equal("icsReason", "nobody's")]),
        attrs: Vec::new(),
    };
    // The domain, three things, and one statement about each.
    for (before, expected) in [
        (limits::LDAP_LOOK_THROUGH - 7, Ok(Progress::Done)),
        (limits::LDAP_LOOK_THROUGH - 6, Err(LdapResultCode::AdminLimitExceeded)),
    ] {
        let mut search = Search::new(&place, Reader::Anonymous, request()).expect("a search");
        search.looked = Looked::bounded(before, limits::LDAP_LOOK_THROUGH);
        let ended = search.go_on(&place, &mut 10, &mut Vec::new());
        assert_eq!(ended.map_err(|failure| failure.code), expected);
    }
}
