//! Who reads what: by the descriptor's rules, by the key that a reader has proved.

use ics_core::identity::{Fingerprint, Kind};
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::make::certify;
use ics_core::statement::{Claims, Grant};
use ics_core::vocabulary::Act;
use ics_node::app::{self, Parties, Reader};
use ics_node::tls::KeyPin;

use crate::fixture::{Party, SALT, claims, device, word};

fn parties(known: &[(&str, Option<Fingerprint>)]) -> Parties {
    let party = |(name, signer): &(&str, Option<Fingerprint>)| {
        (KeyPin::of(name.as_bytes()), app::Party { node: (*name).to_owned(), signer: *signer })
    };
    known.iter().map(party).collect()
}

fn key(name: &str) -> Reader {
    Reader::Key(KeyPin::of(name.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_by_its_name() {
    let maker =
        Party::found_private("devices.acme.example", "principal has node && principal.node == \"shop.example\"");
    let app = maker.open_for(parties(&[("shop.example", None), ("other.example", None)]));
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    for (reader, may) in [
        (Reader::Operator, true),
        (key("shop.example"), true),
        (key("other.example"), false),
        (key("unknown.example"), false),
        (Reader::Anonymous, false),
    ] {
        assert_eq!(app.record(reader, &maker.domain, "serial:SN-L1").is_ok(), may, "{reader:?}");
        assert_eq!(app.entry(reader, &maker.domain, 2).is_ok(), may, "{reader:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_reads_in_the_roles_that_the_domain_gives_him() {
    let maker = Party::found_private("devices.acme.example", "principal in Role::\"owner\"");
    let buyer = Party::found("buyer.example").signer.public_key().fingerprint();
    let maker_signer = maker.signer.public_key().fingerprint();
    let app = maker.open_for(parties(&[("buyer", Some(buyer)), ("maker", Some(maker_signer)), ("nobody", None)]));
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    let reads = |reader, lot: &str| app.record(reader, &maker.domain, &format!("serial:SN-{lot}")).is_ok();
    assert!(!reads(key("buyer"), "L1"), "nothing is granted yet");

    let grant = Claims { grant: Some(Grant { grantee: buyer, role: word("owner") }), ..claims(&maker, Act::Grant) };
    let (now, user_id) = (app.clock().now(), "urn:dev:os:32473-1");
    let grant = certify(&maker.signer, &device(1), user_id, None, Kind::Device, &grant, false, now, &SALT);
    maker.submit_one(&app, grant.expect("made")).await.expect("granted");
    assert!(reads(key("buyer"), "L1"), "his device");
    assert!(!reads(key("buyer"), "L2"), "another one");
    assert!(!reads(key("maker"), "L1"), "another role");
    assert!(!reads(key("nobody"), "L1"), "no signer at all");
}
