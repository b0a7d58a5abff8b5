//! Things that are replaced by others.

use ics_core::identity::{IdentityId, Kind};
use ics_core::statement::Claims;
use ics_core::statement::make::certify;
use ics_core::vocabulary::Act;
use ics_node::app::{App, Depth, Extent, Query, Reader};
use serde_json::Value;

use crate::fixture::{Party, SALT, claims, device, word};

const NAME: &str = "serial:SN-ONE";

fn id(number: u8) -> String {
    device(number).fingerprint().to_string()
}

/// Has the signer make a statement about a device.
async fn says(maker: &Party, app: &App, number: u8, said: Claims) {
    let (key, now) = (device(number), app.clock().now());
    let blocks = said.status.is_some();
    let body = certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, blocks, now, &SALT).expect("made");
    maker.submit_one(app, body).await.expect("admitted");
}

/// The claims that introduce a device under the name, as the successor of `old` if given.
fn introduced(maker: &Party, old: Option<u8>) -> Claims {
    let replaces = old.map(|old| IdentityId::Key(device(old).fingerprint()));
    Claims { names: vec![word(NAME)], replaces, ..claims(maker, Act::Identity) }
}

fn whole(app: &App, reader: Reader, query: &str) -> Value {
    let query = Query::parse(query).expect("a query");
    let encoded = app.answer_view(reader, &query, Extent::Whole, Depth::Store).expect("an answer");
    serde_json::from_slice(&encoded.expect("there is nothing deeper").json).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_the_successors_where_the_taking_back_never_arrived() {
    let (maker, app) = Party::opened();
    says(&maker, &app, 1, introduced(&maker, None)).await;
    says(&maker, &app, 2, introduced(&maker, None)).await;
    assert_eq!(app.view(Reader::Anonymous, NAME).expect("a view").identities.len(), 2, "nobody says which is meant");
    says(&maker, &app, 2, introduced(&maker, Some(1))).await;
    assert_eq!(app.view(Reader::Anonymous, NAME).expect("a view").identities, [id(2)]);
    assert_eq!(app.record(Reader::Anonymous, &maker.domain, NAME).expect("one").record.identity.id.to_string(), id(2));
    assert_eq!(whole(&app, Reader::Anonymous, NAME)["identities"], serde_json::json!([id(2)]));
    says(&maker, &app, 3, introduced(&maker, Some(2))).await;
    assert_eq!(app.view(Reader::Anonymous, NAME).expect("a view").identities, [id(3)], "and so on");
    assert!(app.record(Reader::Anonymous, &maker.domain, &id(1)).is_ok(), "by its id it is found as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_names_its_successor() {
    let (maker, app) = Party::opened();
    says(&maker, &app, 1, introduced(&maker, None)).await;
    says(&maker, &app, 2, introduced(&maker, Some(1))).await;
    let successor = || whole(&app, Reader::Anonymous, &id(1))["records"][0]["succeeded_by"][0]["value"].clone();
    assert_eq!(successor(), Value::Null, "it is in use");
    says(&maker, &app, 1, Claims { status: Some(word("destroyed")), ..claims(&maker, Act::Status) }).await;
    assert_eq!(successor(), id(2).as_str());
    assert_eq!(successor(), id(2).as_str(), "nor does memory leave it out");
    let query = Query::parse(&id(1)).expect("an id");
    let answer = |extent, depth| app.answer(Reader::Anonymous, &maker.domain, &query, extent, depth).expect("known");
    assert_eq!(answer(Extent::Whole, Depth::Memory), None, "the store knows");
    assert!(answer(Extent::Summary, Depth::Memory).is_some());
    let before = answer(Extent::Whole, Depth::Store).expect("an answer").tag;
    let named = app.record(Reader::Anonymous, &maker.domain, &id(1)).expect("known").succeeded_by;
    assert_eq!(named.iter().map(|given| given.value.clone()).collect::<Vec<_>>(), [id(2)]);

    // A statement about the successor ends it, without a word about the old one.
    let withdrawal = Claims { supersedes: vec![named[0].by.statement], ..claims(&maker, Act::Withdrawal) };
    says(&maker, &app, 2, withdrawal).await;
    assert_eq!(successor(), Value::Null);
    assert_ne!(answer(Extent::Whole, Depth::Store).expect("an answer").tag, before);
}
