//! Keys as key servers find and accept them.

use ics_core::identity::Fingerprint;
use ics_core::statement::split;
use ics_node::app::keys::{Change, KeySearch, Merged};
use ics_node::app::{App, AppError, Reader, Sender};

use crate::fixture::{Party, device};

fn found(app: &App, search: &KeySearch) -> Vec<Fingerprint> {
    let keys = app.keys(Reader::Anonymous, search, None, 10).expect("read");
    keys.into_iter().map(|key| key.fingerprint).collect()
}

async fn merge(app: &App, reader: Reader, bytes: Vec<u8>) -> Result<Merged, AppError> {
    app.merge_keys(&mut Sender::own(), app.read_keys(reader, bytes).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_devices_are_found_in_every_way() {
    let (maker, app) = Party::with_a_device().await;
    let certificate = ics_core::statement::openpgp_key_of(&maker.certificate).expect("a key");
    let key = device(1).fingerprint();
    for fingerprint in [certificate, key] {
        let id = fingerprint.key_id();
        let text = fingerprint.to_string();
        for digits in [text.as_str(), &text[24..], &text[32..], &format!("0x{}", text.to_uppercase())] {
            let search = KeySearch::hex(digits).expect("hex");
            assert_eq!(found(&app, &search), [fingerprint], "{digits}");
        }
        assert_eq!(found(&app, &KeySearch::KeyId(id)), [fingerprint]);
        let [a, b, c, d, ..] = id;
        assert_eq!(found(&app, &KeySearch::KeyId([a, b, c, d, 0, 0, 0, 0])), []);
    }
    for text in ["urn:dev:os:32473-1", "serial:SN-L1"] {
        assert_eq!(found(&app, &KeySearch::UserId(text.to_owned())), [key], "{text}");
        assert_eq!(found(&app, &KeySearch::Text(text.to_owned())), [key], "{text}");
    }
    let user_id = app.keys(Reader::Anonymous, &KeySearch::Fingerprint(certificate), None, 1).expect("read");
    let user_id = user_id[0].about.user_ids[0].text.clone();
    assert_eq!(found(&app, &KeySearch::UserId(user_id.to_uppercase())), [certificate]);
    assert_eq!(found(&app, &KeySearch::Text(user_id[1..3].to_owned())), [certificate]);
    for nothing in ["", "0x", "0x12", "xyz"] {
        assert_eq!(KeySearch::hex(nothing), None, "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_absent_keys_look_alike() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let search = KeySearch::Fingerprint(device(1).fingerprint());
    assert_eq!(found(&app, &search), []);
    assert_eq!(found(&app, &KeySearch::Fingerprint(device(2).fingerprint())), []);
    assert_eq!(app.keys(Reader::Operator, &search, None, 10).expect("read").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_is_merged_and_never_replaces() {
    let (maker, app) = Party::opened();
    let body = maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let upload = [maker.certificate.clone(), body.clone()].concat();
    let merged = merge(&app, Reader::Anonymous, upload.clone()).await.expect("taken");
    assert_eq!((merged.appended, merged.problems), (2, Vec::new()));
    assert_eq!(merged.keys.values().collect::<Vec<_>>(), [&Change::Inserted; 2]);
    let again = merge(&app, Reader::Anonymous, upload).await.expect("taken");
    assert_eq!((again.appended, again.problems), (0, Vec::new()));
    assert_eq!(again.keys.values().collect::<Vec<_>>(), [&Change::Unchanged; 2]);

    let second = maker.introduce(&app, &device(1), "urn:dev:os:32473-1", "L2");
    let merged = merge(&app, Reader::Anonymous, second).await.expect("taken");
    assert_eq!(merged.keys.get(&device(1).fingerprint()), Some(&Change::Updated));
    let key = app.keys(Reader::Anonymous, &KeySearch::Fingerprint(device(1).fingerprint()), Some(4), 1).expect("read");
    assert_eq!(split(&key[0].openpgp).expect("legal").bodies.len(), 2, "both statements, in one key");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_garbage_are_refused() {
    let maker = Party::found("devices.acme.example");
    let stranger = Party::found("devices.other.example");
    let app = maker.open();
    let merged = merge(&app, Reader::Anonymous, stranger.certificate.clone()).await.expect("heard");
    assert_eq!(merged.appended, 0);
    assert_eq!(merged.keys.values().collect::<Vec<_>>(), [&Change::Refused]);
    assert_eq!(merged.problems[0].code(), "certificate-not-named");
    let elsewhere = stranger.introduce(&app, &device(1), "urn:dev:os:32473-1", "L1");
    let merged = merge(&app, Reader::Anonymous, elsewhere).await.expect("heard");
    assert_eq!(merged.problems[0].code(), "unknown-domain");
    assert!(merge(&app, Reader::Anonymous, b"garbage".to_vec()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_does_not_tell_what_is_hidden() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let stranger = Party::found("devices.other.example");
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    for reader in [Reader::Operator, Reader::Anonymous] {
        for number in [1, 2] {
            let body = stranger.introduce(&app, &device(number), "urn:dev:os:32473-1", "L1");
            let merged = merge(&app, reader, body).await.expect("heard");
            assert_eq!(merged.keys.get(&device(number).fingerprint()), Some(&Change::Refused), "{reader:?}: {number}");
        }
    }
    for (reader, known, lot) in [(Reader::Operator, Change::Updated, "L2"), (Reader::Anonymous, Change::Inserted, "L3")]
    {
        let body = maker.introduce(&app, &device(1), "urn:dev:os:32473-1", lot);
        let merged = merge(&app, reader, body).await.expect("taken");
        assert_eq!(merged.keys.get(&device(1).fingerprint()), Some(&known), "{reader:?}");
    }
}
