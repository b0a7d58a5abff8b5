//! Remnants of erased statements are found like the statements themselves.

use core::time::Duration;
use std::collections::BTreeSet;

use ics_core::identity::Kind;
use ics_core::openpgp::possession;
use ics_core::statement::Claims;
use ics_core::statement::make::certify;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use ics_node::api::{ChallengeAnswer, ListQuery};
use ics_node::app::{App, Asker, Moment, Query, Reader, Touched};
use ics_sync::wire::Base64;

use crate::fixture::{Party, SALT, claims, device, signer, word};

pub(crate) fn id(number: u8) -> String {
    device(number).fingerprint().to_string()
}

/// The manufacturer's statement that a device must no longer be used, from a given time on.
pub(crate) fn blocked(maker: &Party, app: &App, number: u8, status: &str, from: Option<Timestamp>) -> Vec<u8> {
    let said = Claims { status: Some(word(status)), from, ..claims(maker, Act::Status) };
    let (key, now) = (device(number), app.clock().now());
    certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, true, now, &SALT).expect("made")
}

fn listed(app: &App, maker: &Party, query: &ListQuery) -> BTreeSet<String> {
    let page = app.list(Reader::Anonymous, &maker.domain, query).expect("a page");
    page.items.into_iter().map(|item| item.id).collect()
}

/// The present state of the domain, shortly after a commit.
pub(crate) async fn moment(app: &App, maker: &Party) -> Moment {
    loop {
        if let Some(moment) = app.moment(&maker.domain).expect("it is here") {
            return moment;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_thing_is_listed_as_the_thing_was() {
    let (maker, app) = Party::opened();
    let introduced = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    let stolen = maker.submit_one(&app, blocked(&maker, &app, 1, "stolen", None)).await.expect("admitted");
    let all = ListQuery::default();
    let devices = ListQuery { kind: Some("device".to_owned()), ..ListQuery::default() };
    let of_status = ListQuery { status: Some("stolen".to_owned()), ..ListQuery::default() };
    for erased in [None, Some(introduced.index), Some(stolen.index)] {
        if let Some(index) = erased {
            maker.erase(&app, index).await;
        }
        assert_eq!(listed(&app, &maker, &all), [id(1), id(2)].into(), "{erased:?}");
        assert_eq!(listed(&app, &maker, &devices), [id(1), id(2)].into(), "{erased:?}");
        assert_eq!(listed(&app, &maker, &of_status), [id(1)].into(), "{erased:?}");
    }
    let mentions = app.mentions(&moment(&app, &maker).await, 0, 50).expect("found");
    assert!(mentions.found.iter().any(|(_, found)| *found == id(1)), "{mentions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_restated_begins_for_copies_too() {
    let (maker, app) = Party::with_a_device().await;
    let begins = app.clock().now().as_seconds() - 600;
    let body = blocked(&maker, &app, 1, "suspended", Some(Timestamp::from_seconds(begins)));
    let suspended = maker.submit_one(&app, body).await.expect("admitted");
    let touched = async || {
        let now = moment(&app, &maker).await;
        // As if there had been no news since, and only time had passed.
        let was = app.earlier(&now, now.size(), Timestamp::from_seconds(begins - 60), 0).expect("it had that size");
        app.touched(&was, &now).expect("found")
    };
    assert_eq!(touched().await, Touched::These([id(1)].into()));
    maker.erase(&app, suspended.index).await;
    assert_eq!(touched().await, Touched::These([id(1)].into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_known_of_whom_something_was_erased() {
    let (maker, app) = Party::opened();
    let first = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    let was = moment(&app, &maker).await;
    maker.erase(&app, first.index).await;
    let now = moment(&app, &maker).await;
    assert_eq!(app.erased(&was, &now).expect("found"), [id(1)].into());
    assert_eq!(app.erased(&now, &now).expect("found"), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_that_was_introduced_anew_shows_its_key() {
    let (maker, app) = Party::opened();
    let first = maker.publish(&app, &device(1), "Jo's pump", "L1").await;
    maker.erase(&app, first.index).await;
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let query = Query::parse(&id(1)).expect("an id");
    let challenge = app.challenge(Reader::Anonymous, Asker::Own, &query).expect("a challenge");
    let (own, now) = (signer("device", 1), app.clock().now());
    let signature = possession::sign(&own, challenge.message.as_bytes(), now, &SALT).expect("signs");
    let answer = ChallengeAnswer { nonce: challenge.nonce, signature: Base64(signature) };
    assert_eq!(app.prove_possession(&answer).expect("it has the key").id, id(1));
}
