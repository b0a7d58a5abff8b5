//! Statements about lots, found by their members.

use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::statement::make::sign_document;
use ics_core::statement::{Claims, Group, Subject};
use ics_core::vocabulary::{Act, Attribute};
use ics_node::api::ListQuery;
use ics_node::app::{App, Reader};
use ics_sync::wire;

use crate::fixture::{Party, SALT, claims, device, devices, word};

/// By how many statements a listing by status looks up the members of groups.
const LOOKED_UP: usize = 1_000;

fn recall(maker: &Party, app: &App, lot: usize) -> Vec<u8> {
    let attributes = [(Attribute::Lot, format!("L{lot}"))].into();
    let group = Subject::Group(Group { kind: Kind::Group, name: format!("lot L{lot}"), attributes });
    let said = Claims { status: Some(word("withdrawn")), ..claims(maker, Act::Status) };
    sign_document(&maker.signer, &group, &said, app.clock().now(), &SALT).expect("made")
}

/// The recall of the last of many lots is found like that of the first, and if there are more than are looked up,
/// nothing is left out silently.
#[tokio::test(flavor = "multi_thread")]
async fn a_recalled_thing_is_listed_however_many_lots_were_recalled_before() {
    let (maker, app) = Party::opened();
    let last = LOOKED_UP - 1;
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", &format!("L{last}")).await;
    for lots in (0..LOOKED_UP).collect::<Vec<_>>().chunks(250) {
        maker.submit(&app, lots.iter().map(|lot| recall(&maker, &app, *lot)).collect()).await;
    }
    let query = ListQuery { status: Some("withdrawn".to_owned()), limit: Some(1), ..ListQuery::default() };
    let listed = |query: &ListQuery| app.list(Reader::Anonymous, &maker.domain, query);
    let page = listed(&query).expect("a page");
    assert_eq!(page.items[0].id, device(1).fingerprint().to_string());
    assert!(page.next.is_some(), "the groups themselves come behind it");

    maker.submit(&app, vec![recall(&maker, &app, LOOKED_UP)]).await;
    let refused = listed(&query).expect_err("more than are looked up");
    assert_eq!(refused.code().as_str(), "out-of-range");
    assert!(refused.to_string().contains("ask for a lot"), "{refused}");
    let page = listed(&ListQuery { lot: Some(format!("L{last}")), ..query }).expect("a page");
    assert_eq!(page.items[0].id, device(1).fingerprint().to_string());
}

/// What is said about a lot with more members than are examined is shown to readers who may read one of them, but not
/// to those whom the rules show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn statements_on_a_large_lot_are_hidden_from_readers_to_whom_the_rules_show_nothing() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let members = devices(u16::try_from(limits::GROUP_MEMBERS_SOUGHT).expect("few"));
    for some in members.chunks(250) {
        maker.submit(&app, some.iter().map(|key| maker.introduce(&app, key, "Pump", "L1")).collect()).await;
    }
    maker.submit(&app, vec![recall(&maker, &app, 1)]).await;
    let last = app.domain(&maker.domain).expect("here").info.size - 1;
    let is_shown = |reader| {
        let page = app.entries(reader, &maker.domain, last, 1, None).expect("a page");
        matches!(page.entries.as_slice(), [wire::Entry::Whole(_)])
    };
    assert!(is_shown(Reader::Operator));
    assert!(!is_shown(Reader::Anonymous));
}
