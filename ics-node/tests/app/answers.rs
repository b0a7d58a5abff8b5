//! Answers from memory equal those from the store.

use ics_core::identity::Kind;
use ics_core::statement::make::{certify, sign_document};
use ics_core::statement::{Claims, Group, Subject};
use ics_core::vocabulary::{Act, Attribute};
use ics_node::app::{App, Depth, Extent, Query, Reader};
use serde_json::Value;

use crate::fixture::{Party, SALT, claims, device, word};

/// The records of a view without the members that only say how old they are.
fn timeless(mut view: Value) -> Value {
    for answer in view["records"].as_array_mut().into_iter().flatten() {
        answer["as_of"]["age_seconds"] = Value::Null;
        answer["as_of"]["time"] = Value::Null;
        answer["record"]["at"] = Value::Null;
    }
    view
}

fn asked(app: &App, reader: Reader, text: &str, depth: Depth) -> Option<Value> {
    let query = Query::parse(text).expect("a query");
    match app.answer_view(reader, &query, Extent::Whole, depth) {
        Ok(Some(encoded)) => Some(timeless(serde_json::from_slice(&encoded.json).expect("JSON"))),
        Ok(None) => None,
        Err(error) => Some(Value::from(error.to_string())),
    }
}

/// Asks for everything, from memory before and after asking the store, and compares the answers with those of the use
/// case that does not use memory's encoding.
fn compare(app: &App, queries: &[String], what: &str) {
    for query in queries {
        for reader in [Reader::Anonymous, Reader::Operator] {
            let plain = match app.view(reader, query) {
                Ok(view) => timeless(serde_json::to_value(view).expect("JSON")),
                Err(error) => Value::from(error.to_string()),
            };
            if let Some(remembered) = asked(app, reader, query, Depth::Memory) {
                assert_eq!(remembered, plain, "{what}: {query}: what was remembered");
            }
            assert_eq!(asked(app, reader, query, Depth::Store), Some(plain), "{what}: {query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_ends_with_what_it_rests_on() {
    for maker in
        [Party::found("devices.acme.example"), Party::found_private("devices.acme.example", "principal has node")]
    {
        let app = maker.open();
        let mut queries: Vec<String> = (1..=4).map(|number| device(number).fingerprint().to_string()).collect();
        queries.extend(["serial:SN-L1", "serial:SN-L2", "serial:SN-L9", "urn:dev:os:32473-1"].map(str::to_owned));
        let said = |act| claims(&maker, act);
        let about = |number: u8, claims: &Claims| {
            let at = app.clock().now();
            let (key, blocks) = (device(number), claims.status.as_ref().is_some_and(|s| s.as_str() == "stolen"));
            certify(&maker.signer, &key, "x", None, Kind::Device, claims, blocks, at, &SALT).expect("made")
        };
        let lot = |name: &str| {
            let attributes = [(Attribute::Lot, name.to_owned())].into();
            Subject::Group(Group { kind: Kind::Group, name: format!("lot {name}"), attributes })
        };
        let recall = |name: &str| {
            let recall = Claims { status: Some(word("withdrawn")), ..said(Act::Status) };
            sign_document(&maker.signer, &lot(name), &recall, app.clock().now(), &SALT).expect("made")
        };
        let named = |number: u8, serial: &str| {
            let claims = Claims { names: vec![word(serial)], ..said(Act::Identity) };
            about(number, &claims)
        };
        let status =
            |number: u8, status: &str| about(number, &Claims { status: Some(word(status)), ..said(Act::Status) });
        compare(&app, &queries, "nothing");
        for (what, body) in [
            ("introduced", maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1")),
            ("another, of another lot", maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2")),
            ("stolen", status(1, "stolen")),
            ("the other lot is recalled", recall("L2")),
            ("its own lot is recalled", recall("L1")),
            ("a second with the same serial", named(3, "serial:SN-L2")),
            ("the name of nobody is given", named(4, "serial:SN-L9")),
            ("in use", status(4, "in-use")),
        ] {
            maker.submit_one(&app, body).await.unwrap_or_else(|problem| panic!("{what}: {problem:?}"));
            compare(&app, &queries, what);
            compare(&app, &queries, what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_question_needs_no_store() {
    let (maker, app) = Party::with_a_device().await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    for query in ["serial:SN-L1".to_owned(), device(1).fingerprint().to_string()] {
        assert_eq!(asked(&app, Reader::Anonymous, "serial:SN-L2", Depth::Memory), None);
        assert!(asked(&app, Reader::Anonymous, &query, Depth::Store).is_some());
        assert!(asked(&app, Reader::Anonymous, &query, Depth::Memory).is_some(), "{query}");
    }
    maker.publish(&app, &device(3), "urn:dev:os:32473-3", "L3").await;
    assert!(asked(&app, Reader::Anonymous, "serial:SN-L1", Depth::Memory).is_some(), "others do not end it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_ready_is_answered_from_memory_at_once() {
    for (maker, hides) in [
        (Party::found("devices.acme.example"), false),
        (Party::found_private("devices.acme.example", "principal has node"), true),
    ] {
        let app = maker.open();
        for (number, lot) in [(1, "L1"), (2, "L2")] {
            let urn = format!("urn:dev:os:32473-{number}");
            maker.publish(&app, &device(number), &urn, lot).await;
        }
        drop(app);
        let app = maker.open();
        let queries = ["serial:SN-L1", "urn:dev:os:32473-2"].map(str::to_owned);
        let ids = [1, 2].map(|number| device(number).fingerprint().to_string());
        let all: Vec<String> = queries.into_iter().chain(ids).collect();
        for query in &all {
            assert_eq!(asked(&app, Reader::Operator, query, Depth::Memory), None, "{query}: nothing is ready");
        }
        tokio::task::block_in_place(|| app.make_ready());
        for query in &all {
            let answer = asked(&app, Reader::Operator, query, Depth::Memory).expect("is ready");
            assert_eq!(answer["records"].as_array().map(Vec::len), Some(1), "{query}: {answer}");
            let strangers = asked(&app, Reader::Anonymous, query, Depth::Memory).expect("is ready as well");
            assert_eq!(strangers.is_string(), hides, "{query}: {strangers}");
        }
        compare(&app, &all, "made ready");
        // News invalidates what is cached about its things, which is then made ready again.
        maker.publish(&app, &device(3), "urn:dev:os:32473-3", "L3").await;
        assert_eq!(asked(&app, Reader::Operator, "serial:SN-L3", Depth::Memory), None);
        tokio::task::block_in_place(|| app.make_ready());
        assert!(asked(&app, Reader::Operator, "serial:SN-L3", Depth::Memory).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_makes_itself_ready_until_it_is_told_to_stop() {
    let (maker, app) = Party::opened();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(app.clone().stay_ready(stopped));
    for number in [1, 2] {
        let urn = format!("urn:dev:os:32473-{number}");
        maker.publish(&app, &device(number), &urn, "L1").await;
        let is_ready = async {
            while asked(&app, Reader::Anonymous, &urn, Depth::Memory).is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), is_ready).await.expect("in time");
    }
    stop.send_replace(true);
    running.await.expect("ends");
}
