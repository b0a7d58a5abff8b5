//! A node that copies another node's domain, page by page.

use ics_core::log::Hash;
use ics_core::log::checkpoint::Checkpoint;
use ics_core::record::Outlook;
use ics_node::api::{SubmissionResult, ViewAnswer};
use ics_node::app::keys::KeySearch;
use ics_node::app::{App, Depth, Extent, Found, Query, Reader};
use ics_node::config::PeerConfig;
use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::fixture::{Party, catches_up, copy, device, devices, served, word};

/// Enough devices for their introductions to fill more than three pages.
const DEVICES: u16 = 3_300;

/// Submits bodies in batches, all of which must be admitted.
async fn submit(app: &App, maker: &Party, bodies: Vec<Vec<u8>>) {
    for batch in bodies.chunks(500) {
        let results = app.submit(&maker.domain, batch.to_vec()).await.expect("a batch").results;
        let refused = results.iter().find(|result| !matches!(result, SubmissionResult::Receipt(_)));
        assert!(refused.is_none(), "{refused:?}");
    }
}

/// The address of a peer that shows the descriptors of a domain, and a checkpoint signed by a stranger.
async fn liar(app: &App, of: &Party) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let origin = app.domain(&of.domain).expect("here").info.origin;
    let stranger = ed25519_dalek::SigningKey::from_bytes(&[66; 32]);
    let note = Checkpoint { origin, size: 9, root: Hash([1; 32]) }.sign(&stranger).expect("signs");
    let (app, domain) = (app.clone(), of.domain.clone());
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let count = caller.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..count]);
            let (status, body) = match request.split_once("/descriptors?from=") {
                Some((_, from)) => {
                    let from = from.split(' ').next().and_then(|from| from.parse().ok()).expect("a version");
                    let descriptors = app.descriptors(&domain, from).expect("here");
                    ("200 OK", serde_json::to_string(&descriptors).expect("JSON"))
                }
                None if request.contains("/checkpoint") => ("200 OK", note.clone()),
                None => ("404 Not Found", String::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = caller.write_all([head, body].concat().as_bytes()).await;
        }
    });
    url
}

/// Nobody knows what a copy would say that is configured and has not arrived.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_the_domains_that_it_lacks() {
    let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
    let (origin, app) = (maker.open().domain(&maker.domain).expect("here").info.origin, site.open());
    site.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let unheard = |app: &App| {
        let query = Query::parse("urn:dev:os:32473-1").expect("a name");
        let encoded = app.answer_view(Reader::Anonymous, &query, Extent::Whole, Depth::Store).expect("an answer");
        let encoded = encoded.expect("the store was asked");
        let view: ViewAnswer = serde_json::from_slice(&encoded.json).expect("JSON");
        assert_eq!(view.unheard, app.view(Reader::Anonymous, "urn:dev:os:32473-1").expect("an answer").unheard);
        (view.unheard, encoded.tag)
    };
    // The headline, on the page and in the explanation.
    let told = |app: &App| {
        let found = app.public_thing(Reader::Anonymous, "urn:dev:os:32473-1").expect("known");
        let Found::Thing(thing) = found else { panic!("one thing has that name") };
        let why = app.explain(Reader::Anonymous, "urn:dev:os:32473-1", None, None).expect("an explanation");
        assert_eq!(thing.explanation.answer, why.answer);
        (thing.assessment.outlook, why.answer)
    };
    let (none, tag) = unheard(&app);
    assert_eq!(none, []);
    assert_ne!(told(&app).0, Outlook::Unknown);
    drop(app);
    let peer = PeerConfig {
        url: Some("http://127.0.0.1:1".parse().expect("a URL")),
        mirror: vec![origin],
        ..PeerConfig::new(word("acme"))
    };
    let app = site.open_with(|setup| setup.peers = vec![peer]);
    let (lacks, other) = unheard(&app);
    assert_eq!(lacks, core::slice::from_ref(&maker.domain));
    assert_ne!(tag, other, "it is another answer");
    let (outlook, why) = told(&app);
    assert_eq!(outlook, Outlook::Unknown, "it may be blocked there");
    assert!(why.ends_with("devices.acme.example was not heard, and what it says may block its use"), "{why}");

    let (unknown, search) = ("urn:dev:os:32473-9", KeySearch::Text("32473-9".to_owned()));
    let query = Query::parse(unknown).expect("a name");
    for code in [
        app.view(Reader::Anonymous, unknown).err().map(|error| error.code()),
        app.answer_view(Reader::Anonymous, &query, Extent::Whole, Depth::Store).err().map(|error| error.code()),
        app.view_openpgp(Reader::Anonymous, unknown, 4).err().map(|error| error.code()),
        app.keys(Reader::Anonymous, &search, None, 10).err().map(|error| error.code()),
    ] {
        assert_eq!(code.map(|code| code.as_str()), Some("behind"), "what has not arrived may know it");
    }
    assert_eq!(app.ready(), Ok(()), "nobody may ever be where the peer is said to be");
    app.remove_peer(&word("acme")).expect("is removed");
    assert_eq!(unheard(&app).0, none, "nothing of it will ever come");
    assert_ne!(told(&app).0, Outlook::Unknown);
    drop(app);
    let gone = site.open().view(Reader::Anonymous, unknown).expect_err("nobody knows it");
    assert_eq!(gone.code().as_str(), "unknown-identity", "nothing is awaited any more");
}

/// One damaged entry of a copy prevents neither the start of the node nor the operation of its own domain.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_silent_alone() {
    let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let peer = PeerConfig {
        url: Some(served(&home).parse().expect("a URL")),
        mirror: vec![home.domain(&maker.domain).expect("here").info.origin],
        ..PeerConfig::new(word("acme"))
    };
    let app = site.open_for(vec![peer.clone()]);
    site.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(app.clone().replicate(stopped));
    catches_up(&app, &home, &maker.domain).await;
    stop.send_replace(true);
    replicating.await.expect("ends");
    drop(app);
    let log = Connection::open(site.data().join("ics.db")).expect("opens");
    let number = "(SELECT number FROM domain WHERE name = 'devices.acme.example')";
    let sql = format!(
        "UPDATE entry SET body = substr(body, 1, length(body) - 1) \
         WHERE position = (SELECT max(position) FROM entry WHERE position >> 40 = {number})"
    );
    assert_eq!(log.execute(&sql, []).expect("damaged"), 1);
    drop(log);

    let app = site.open_for(vec![peer]);
    let view = app.view(Reader::Anonymous, "urn:dev:os:32473-1").expect("the site answers");
    assert_eq!((view.records.len(), view.unheard), (1, vec![maker.domain.clone()]));
    let told = app.ready().expect_err("a domain is silent");
    assert!(told.contains("of `devices.acme.example` is damaged"), "{told}");
    site.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_shows_what_a_stranger_signed_does_not_keep_a_copy_from_other_peers() {
    let (maker, app) = Party::with_a_device().await;
    let (liar, home) = (liar(&app, &maker).await, served(&app));
    let dir = tempfile::tempdir().expect("directory");
    let copy = copy(dir.path(), &app, &maker.domain, &[("liar", &liar), ("home", &home)]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copy.clone().replicate(stopped));
    catches_up(&copy, &app, &maker.domain).await;
    let alarms = copy.domain(&maker.domain).expect("copied").alarms;
    let told: Vec<_> = alarms.iter().map(|alarm| alarm.kind.as_str()).collect();
    assert_eq!(told, ["peer-left-out"], "{alarms:?}");
    assert!(alarms[0].text.starts_with("`liar` is left out, and asked again"), "{alarms:?}");
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
    catches_up(&copy, &app, &maker.domain).await;
    stop.send_replace(true);
    replicating.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_verified_ahead_counts_under_the_same_certificates_only() {
    let (maker, app) = Party::opened();
    let keys = devices(DEVICES);
    let said = |(number, key)| maker.introduce(&app, key, &format!("urn:dev:os:32473-{number}"), "L1");
    let mut bodies: Vec<_> = keys.iter().enumerate().map(said).collect();
    // The second page changes the state of the signer's certificate: what was verified of the third page under the
    // former state, while the second was written, is no longer valid.
    bodies.insert(1_500, maker.renewed(app.clock().now()));
    bodies.insert(0, maker.certificate.clone());
    submit(&app, &maker, bodies).await;

    let url = served(&app);
    let dir = tempfile::tempdir().expect("directory");
    let copy = copy(dir.path(), &app, &maker.domain, &[("home", &url)]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copy.clone().replicate(stopped));
    catches_up(&copy, &app, &maker.domain).await;
    for key in &keys {
        let id = key.fingerprint().to_string();
        let there = copy.record(Reader::Anonymous, &maker.domain, &id).expect("it is there").record;
        assert_eq!(there.vouched.len(), 1, "{id}: what is said of it has effect");
    }
    stop.send_replace(true);
    replicating.await.expect("ends");
}
