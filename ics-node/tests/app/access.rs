//! Who may read what, by the descriptor's rules and the key that a reader has proved.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ics_core::descriptor::Freshness;
use ics_core::identity::{Fingerprint, Kind};
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::make::certify;
use ics_core::statement::{Claims, Grant};
use ics_core::trust::{TrustDocument, TrustPolicy};
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_node::api::{IdentityPage, ListQuery, SubmissionResult};
use ics_node::app::{App, AppError, Asker, Depth, Extent, Query, Reader};
use ics_node::config::{Direction, PeerConfig};
use ics_node::tls::PeerKey;

use crate::fixture::{Party, SALT, claims, device, devices, word};

fn node_key(name: &str) -> PeerKey {
    let mut seed = [1; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(byte, letter)| *byte ^= letter);
    PeerKey::of_node(&SigningKey::from_bytes(&seed).verifying_key())
}

fn peer(name: &str, signer: Option<Fingerprint>) -> PeerConfig {
    PeerConfig { key: Some(node_key(name)), signer, ..PeerConfig::new(name.parse().expect("a name")) }
}

fn key(name: &str) -> Reader {
    Reader::Key(node_key(name).pin())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_by_its_name() {
    let maker =
        Party::found_private("devices.acme.example", "principal has node && principal.node != \"other.example\"");
    let pulled = PeerConfig { direction: Direction::Pull, ..peer("pulled.example", None) };
    let app = maker.open_for(vec![peer("shop.example", None), peer("other.example", None), pulled]);
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    for (reader, may) in [
        (Reader::Operator, true),
        (key("shop.example"), true),
        (key("other.example"), false),
        (key("unknown.example"), false),
        (key("pulled.example"), false),
        (Reader::Anonymous, false),
    ] {
        assert_eq!(app.record(reader, &maker.domain, "serial:SN-L1").is_ok(), may, "{reader:?}");
        assert_eq!(app.entry(reader, &maker.domain, 2).is_ok(), may, "{reader:?}");
    }
}

/// The home may have to get back from a copy what it has lost, and the rules need not provide for that.
#[tokio::test(flavor = "multi_thread")]
async fn the_home_reads_all_of_its_domain_by_the_key_that_the_descriptor_names() {
    let maker =
        Party::found_private("devices.acme.example", "principal has node && principal.node == \"shop.example\"");
    let other = Party::found("labels.example");
    let app = maker.open_for(vec![peer("other.example", None)]);
    let index = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await.index;
    let home_of = |app: &App| Reader::Key(word::<PeerKey>(&app.node().key).pin());
    for (reader, may) in [(home_of(&app), true), (home_of(&other.open()), false), (key("other.example"), false)] {
        assert_eq!(app.record(reader, &maker.domain, "serial:SN-L1").is_ok(), may, "{reader:?}");
        let page = app.entries(reader, &maker.domain, index, 1, None).expect("a page");
        assert_eq!(page.sight.is_none(), may, "{reader:?}: all of it is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_reads_in_the_roles_that_the_domain_gives() {
    let maker = Party::found_private("devices.acme.example", "principal in Role::\"owner\"");
    let buyer = Party::found("buyer.example").signer.public_key().fingerprint();
    let maker_signer = maker.signer.public_key().fingerprint();
    let app = maker.open_for(vec![peer("buyer", Some(buyer)), peer("maker", Some(maker_signer)), peer("nobody", None)]);
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    let reads = |reader, lot: &str| app.record(reader, &maker.domain, &format!("serial:SN-{lot}")).is_ok();
    assert!(!reads(key("buyer"), "L1"), "nothing is granted yet");

    let grant = Claims { grant: Some(Grant { grantee: buyer, role: word("owner") }), ..claims(&maker, Act::Grant) };
    let (now, user_id) = (app.clock().now(), "urn:dev:os:32473-1");
    let grant = certify(&maker.signer, &device(1), user_id, None, Kind::Device, &grant, false, now, &SALT);
    maker.submit_one(&app, grant.expect("made")).await.expect("granted");
    assert!(reads(key("buyer"), "L1"), "the buyer's device");
    assert!(!reads(key("buyer"), "L2"), "another one");
    assert!(!reads(key("maker"), "L1"), "another role");
    assert!(!reads(key("nobody"), "L1"), "no signer at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_change_while_the_node_runs() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let reads = || app.record(key("shop.example"), &maker.domain, "serial:SN-L1").is_ok();
    assert!(!reads(), "a stranger's key");
    app.put_peer(peer("shop.example", None)).expect("added");
    assert!(reads(), "at once");
    let twice = app.put_peer(PeerConfig { name: word("other.example"), ..peer("shop.example", None) });
    assert_eq!(twice.expect_err("one key, one peer").code().as_str(), "peer-refused");
    let hungry = PeerConfig { requests_per_minute: Some(1), ..peer("shop.example", None) };
    app.put_peer(hungry).expect("changed");
    app.admit(key("shop.example")).expect("one request");
    app.admit(key("shop.example")).expect("and one that it may make in advance");
    assert_eq!(app.admit(key("shop.example")).expect_err("no more").code().as_str(), "over-budget");
    app.admit(Reader::Anonymous).expect("others have no such budget");
    app.remove_peer(&word("shop.example")).expect("removed");
    assert!(!reads(), "a stranger again");
    assert_eq!(app.remove_peer(&word("shop.example")).expect_err("gone").code().as_str(), "unknown-peer");
    let own = PeerConfig {
        url: Some("https://x.example".parse().expect("a URL")),
        mirror: vec![app.domain(&maker.domain).expect("here").info.origin],
        ..PeerConfig::new(word("x.example"))
    };
    assert_eq!(app.put_peer(own).expect_err("its home is here").code().as_str(), "peer-refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_which_nothing_arrives_is_waited_for_only_if_it_is_relied_on() {
    let (maker, other) = (Party::found("devices.acme.example"), Party::found("code.soft.example"));
    let origin = other.open().domain(&other.domain).expect("here").info.origin;
    let nowhere = PeerConfig {
        url: Some("http://127.0.0.1:1".parse().expect("a URL")),
        mirror: vec![origin.clone()],
        ..PeerConfig::new(word("soft.example"))
    };
    let app = maker.open();
    app.put_peer(nowhere.clone()).expect("added");
    assert_eq!(app.ready(), Ok(()), "nothing asks it");
    app.remove_peer(&word("soft.example")).expect("removed");
    assert_eq!(app.ready(), Ok(()));
    drop(app);
    assert_eq!(maker.open().ready(), Ok(()), "nor after a restart");

    let rules = "@id(\"made\") permit (principal, action, resource) \
                 when { principal.vouching_roles.contains(\"manufacturer\") };";
    let freshness = Freshness { default: 3_600, uses: [].into() };
    let trust = TrustDocument {
        domains: vec![origin],
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness,
        rules: rules.to_owned(),
    };
    let trust = Arc::new(TrustPolicy::compile(trust).expect("a policy"));
    let relying = |peers| maker.open_with(|setup| (setup.trust, setup.peers) = (Some(Arc::clone(&trust)), peers));
    assert_eq!(relying(Vec::new()).ready(), Ok(()), "it is not copied any more");
    let waiting = "nothing of `code.soft.example` has arrived yet".to_owned();
    assert_eq!(relying(vec![nowhere]).ready(), Err(waiting));
}

/// Otherwise the next start would find a domain pinned to an origin that is configured nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_cannot_be_written_down_pins_nothing() {
    let (maker, other) = (Party::found("devices.acme.example"), Party::found("code.soft.example"));
    let origin = other.open().domain(&other.domain).expect("here").info.origin;
    let mistyped = Origin { entry0: [7; 32], ..origin.clone() };
    let new = Origin { domain: word("labels.example"), ..origin.clone() };
    let nowhere = |mirror: &[&Origin]| PeerConfig {
        url: Some("http://127.0.0.1:1".parse().expect("a URL")),
        mirror: mirror.iter().copied().cloned().collect(),
        ..PeerConfig::new(word("soft.example"))
    };
    let file = maker.data().with_file_name("ics.toml");
    std::fs::write(&file, "").expect("written");
    let app = maker.open_with(|setup| setup.config_file = Some(file.clone()));
    let pinned = |domain: &DomainName| {
        let held = ics_node::store::held(&maker.data(), domain).expect("readable");
        held.and_then(|(info, _)| info.entry0)
    };
    app.put_peer(nowhere(&[&mistyped])).expect("written");
    assert_eq!(pinned(&origin.domain), Some(mistyped.entry0));

    let own = app.domain(&maker.domain).expect("here").info.origin;
    let refused = app.put_peer(nowhere(&[&new, &origin, &own])).expect_err("one of them is at home here");
    assert_eq!(refused.code().as_str(), "peer-refused");
    let written = std::fs::read_to_string(&file).expect("there");
    std::fs::remove_file(&file).expect("removed");
    app.put_peer(nowhere(&[&new, &origin])).expect_err("there is no file");
    assert_eq!((pinned(&origin.domain), pinned(&new.domain)), (Some(mistyped.entry0), None), "as before");

    std::fs::write(&file, written).expect("back");
    app.put_peer(nowhere(&[&new, &origin])).expect("written");
    assert_eq!((pinned(&origin.domain), pinned(&new.domain)), (Some(origin.entry0), Some(new.entry0)));
}

/// Introduces a device of a lot under a name that other things may have too.
async fn introduce_as(maker: &Party, app: &App, number: u8, (name, lot): (&str, &str)) {
    let attributes = [(Attribute::Lot, lot.to_owned())].into();
    let said = Claims { names: vec![word(name)], attributes, ..claims(maker, Act::Identity) };
    let (key, now) = (device(number), app.clock().now());
    let body = certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, false, now, &SALT).expect("made");
    maker.submit_one(app, body).await.expect("admitted");
}

/// The answers to a look-up by name through each way in.
fn told(app: &App, maker: &Party, reader: Reader, name: &str) -> Vec<(&'static str, Result<(), AppError>)> {
    let query = Query::parse(name).expect("a name");
    vec![
        ("record", app.record(reader, &maker.domain, name).map(drop)),
        ("answer", app.answer(reader, &maker.domain, &query, Extent::Whole, Depth::Store).map(drop)),
        ("OpenPGP", app.record_openpgp(reader, &maker.domain, name, 4).map(drop)),
        ("OpenPGP of all domains", app.view_openpgp(reader, name, 4).map(drop)),
        ("evidence", app.evidence(reader, &maker.domain, name).map(drop)),
        ("challenge", app.challenge(reader, Asker::Own, &query).map(drop)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_fits_what_its_reader_may_read() {
    let maker = Party::found_private("devices.acme.example", "resource has lot && resource.lot == \"OPEN\"");
    let app = maker.open();
    for (number, about) in [
        (1, ("serial:SN-ONE", "OPEN")),
        (2, ("serial:SN-ONE", "HIDDEN")),
        (3, ("serial:SN-NONE", "HIDDEN")),
        (4, ("serial:SN-NONE", "HIDDEN")),
    ] {
        introduce_as(&maker, &app, number, about).await;
    }
    for name in ["serial:SN-ONE", "serial:SN-NONE"] {
        for (door, told) in told(&app, &maker, Reader::Operator, name) {
            assert_eq!(told.expect_err(door).code().as_str(), "ambiguous-name", "{door}: {name}");
        }
    }
    for (door, told) in told(&app, &maker, Reader::Anonymous, "serial:SN-ONE") {
        assert!(told.is_ok(), "{door}: the one that the reader may read: {told:?}");
    }
    for (door, told) in told(&app, &maker, Reader::Anonymous, "serial:SN-NONE") {
        assert_eq!(told.expect_err(door).code().as_str(), "unknown-identity", "{door}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_page_does_not_tell_of_what_is_hidden() {
    let maker = Party::found_private("devices.acme.example", "resource has lot && resource.lot == \"OPEN\"");
    let app = maker.open();
    for (number, lot) in [(1, "OPEN"), (2, "OPEN"), (3, "HIDDEN")] {
        introduce_as(&maker, &app, number, (&format!("serial:SN-{number}"), lot)).await;
    }
    let page = |reader, after| -> IdentityPage {
        let query = ListQuery { after, limit: Some(2), ..ListQuery::default() };
        app.list(reader, &maker.domain, &query).expect("a page")
    };
    let ends = |page: &IdentityPage| (page.items.len(), page.next.is_none());
    assert_eq!(ends(&page(Reader::Anonymous, None)), (2, true), "there is nothing more for a stranger");
    assert_eq!(ends(&page(Reader::Operator, None)), (2, false));

    introduce_as(&maker, &app, 4, ("serial:SN-4", "OPEN")).await;
    let first = page(Reader::Anonymous, None);
    assert_eq!(ends(&first), (2, false));
    let second = page(Reader::Anonymous, first.next);
    assert_eq!((ends(&second), second.items[0].id.clone()), ((1, true), device(4).fingerprint().to_string()));
}

/// A look-up breaks off after a thousand or two entries that it finds, hidden ones included: if a page ended there, an
/// empty one with a next page would tell a stranger how much is hidden, and where.
#[tokio::test(flavor = "multi_thread")]
async fn empty_pages_do_not_tell_how_much_is_hidden() {
    let maker = Party::found_private("devices.acme.example", "resource has lot && resource.lot == \"OPEN\"");
    let app = maker.open();
    let hidden = devices(2_010);
    maker.submit_one(&app, maker.certificate.clone()).await.expect("admitted");
    for some in hidden.chunks(250) {
        let said = some.iter().map(|key| maker.introduce(&app, key, "Pump", "HIDDEN")).collect();
        let results = app.submit(&maker.domain, said).await.expect("a batch").results;
        assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{:?}", results[0]);
    }
    introduce_as(&maker, &app, 1, ("serial:SN-OPEN", "OPEN")).await;
    let pages = |reader, query: &ListQuery| {
        let (mut pages, mut query) = (Vec::new(), query.clone());
        loop {
            let page = app.list(reader, &maker.domain, &query).expect("a page");
            pages.push((page.items.len(), page.next));
            query.after = page.next;
            if query.after.is_none() {
                return pages;
            }
        }
    };
    let of = |lot: &str| ListQuery { lot: Some(lot.to_owned()), ..ListQuery::default() };
    let (there, nowhere) = (pages(Reader::Anonymous, &of("HIDDEN")), pages(Reader::Anonymous, &of("NOWHERE")));
    assert_eq!(there, nowhere);
    let found = |pages: Vec<(usize, Option<u64>)>| pages.into_iter().map(|(items, _)| items).sum::<usize>();
    for (reader, query, count) in [
        (Reader::Anonymous, of("HIDDEN"), 0),
        (Reader::Anonymous, of("OPEN"), 1),
        (Reader::Anonymous, ListQuery::default(), 1),
        (Reader::Operator, of("HIDDEN"), hidden.len()),
    ] {
        assert_eq!(found(pages(reader, &query)), count, "{reader:?}, {query:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stranger_does_not_use_up_all_challenges() {
    let (_maker, app) = Party::with_a_device().await;
    let query = Query::parse("serial:SN-L1").expect("a name");
    let ask = |asker| app.challenge(Reader::Anonymous, asker, &query).map(drop).map_err(|error| error.code().as_str());
    let refused = (0..limits::CHALLENGES_WAITING).find_map(|_| ask(Asker::Address(Some(1))).err());
    assert_eq!(refused, Some("too-many-requests"));
    for other in [Asker::Address(Some(2)), Asker::Key(node_key("gateway.example").pin()), Asker::Own] {
        assert_eq!(ask(other), Ok(()), "{other:?}");
    }
}
