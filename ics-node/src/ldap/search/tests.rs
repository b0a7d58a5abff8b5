//! What a search looks through is counted, and it does not seem complete if things may be missing.

use ics_core::statement::make::sign_descriptor;
use ldap3_proto::proto::LdapDerefAliases;

use super::super::tree::Suffix;
use super::*;
use crate::fixture::{Party, SALT, device, owner};

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

/// The erasure is committed, and cannot be shown. What is found all the same is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_ends_as_unavailable_while_things_may_be_missing() {
    let (party, app) = Party::opened();
    let index = party.publish(&app, &device(1), "Pump", "1").await.index;
    party.publish(&app, &device(2), "Pump", "2").await;
    let erasure = app.erasure(Reader::Operator, &party.domain, index).expect("it can be erased");
    let (json, now) = (erasure.to_json().expect("JSON"), app.clock().now());
    let body = sign_descriptor(&[&owner(&party.domain)], &json, now, &SALT).expect("signed");
    let place = Place { app, tree: Tree::new(Suffix::default()), has_tls: false, in_step: Room::new(2, 2) };
    let ended = || {
        let request = LdapSearchRequest {
            base: format!("icsDomain={},o=ics", party.domain),
            scope: LdapSearchScope::Subtree,
            aliases: LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: 0,
            typesonly: false,
            filter: LdapFilter::Equality("icsAct".to_owned(), "identity".to_owned()),
            attrs: Vec::new(),
        };
        let (mut search, mut found) = (Search::new(&place, Reader::Anonymous, request).expect("a search"), Vec::new());
        let ended = search.go_on(&place, &mut 10, &mut found).map_err(|failure| failure.code);
        (ended, found.len())
    };
    assert_eq!(ended(), (Ok(Progress::Done), 2));
    // The new checkpoint cannot take its place.
    let head = party.data().join("heads").join(party.domain.as_str());
    std::fs::remove_file(&head).expect("is there");
    std::fs::create_dir(&head).expect("made");
    drop(place.app.submit(&party.domain, vec![body]).await);
    assert_eq!(ended(), (Err(LdapResultCode::Unavailable), 1));
}
