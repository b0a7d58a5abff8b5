use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::Ia5String;
use openpgp::packet::key::{Key4, UnspecifiedRole};
use openpgp::types::Curve;
use sequoia_openpgp as openpgp;

use super::*;

type Key = Arc<dyn Signer + Send + Sync>;

fn key() -> Key {
    let key = Key4::<_, UnspecifiedRole>::generate_ecc(true, Curve::NistP256).expect("a key");
    crate::keys::in_memory(key.into()).expect("a signer")
}

fn day(number: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + number * 86_400)
}

/// What one certificate of a chain is made from.
struct Link {
    constraints: Constraints,
    path_length: u8,
    ends: Timestamp,
}

fn link(constraints: Constraints, path_length: u8, ends: Timestamp) -> Link {
    Link { constraints, path_length, ends }
}

fn free() -> Constraints {
    Constraints::default()
}

fn read(chain: &[Vec<u8>]) -> Result<Authority, AuthorityError> {
    let mut texts = chain.iter().map(|der| STANDARD.encode(der));
    Authority::read(&Issuer { certificate: texts.next().expect("one at least"), chain: texts.collect() })
}

/// A root and authorities one below the other; the last first, as chains are sent.
fn chain(links: &[Link]) -> Vec<Vec<u8>> {
    let mut above: Option<(Key, Authority)> = None;
    let mut chain: Vec<Vec<u8>> = Vec::new();
    for (number, link) in links.iter().enumerate() {
        let new = NewAuthority {
            common_name: format!("Authority {number}"),
            organization: Some("Acme".to_owned()),
            path_length: link.path_length,
            constraints: link.constraints.clone(),
            validity: (day(0), link.ends),
            crl_url: None,
        };
        let own = key();
        let request = ca_request(&*own, &new.common_name, Some("Acme")).expect("a request");
        let serial = SerialNumber::new([number.try_into().expect("few"); 20]);
        let made = match &above {
            None => issue_authority(&*own, None, None, &new, &serial),
            Some((key, authority)) => issue_authority(&**key, Some(authority), Some(&request), &new, &serial),
        };
        let made = made.expect("is made");
        let alone = read(core::slice::from_ref(&made)).expect("an authority");
        chain.insert(0, made);
        above = Some((own, alone));
    }
    chain
}

fn dns(name: &str) -> GeneralName {
    GeneralName::DnsName(Ia5String::new(name).expect("a name"))
}

fn directory(text: &str) -> GeneralName {
    GeneralName::DirectoryName(text.parse().expect("a name"))
}

fn permitted(names: &[GeneralName]) -> Constraints {
    Constraints { permitted: names.to_vec(), ..free() }
}

#[test]
fn what_any_of_a_chain_forbids_is_forbidden() {
    let middle = Constraints {
        excluded: vec![dns("secret.acme.example")],
        uses: Some(vec![CertificateUse::Client, CertificateUse::Server]),
        ..permitted(&[dns("acme.example")])
    };
    let links = [link(free(), 1, day(3)), link(middle, 1, day(1)), link(permitted(&[dns("example")]), 0, day(2))];
    let authority = read(&chain(&links)).expect("an authority");
    for (name, may) in [("pump.acme.example", true), ("pump.evil.example", false), ("x.secret.acme.example", false)] {
        assert_eq!(authority.may_certify(&dns(name)), may, "{name}");
    }
    for (usage, may) in [(CertificateUse::Client, true), (CertificateUse::Ocsp, false)] {
        assert_eq!(authority.may_certify_for(&BTreeSet::from([usage])), may, "{usage}");
    }
    assert_eq!(authority.not_before, day(0));
    assert_eq!(authority.not_after, day(1), "nothing outlives any above it");
}

#[test]
fn distinguished_names_are_compared_by_their_characters() {
    let only = |base: &str| Constraints { excluded: vec![directory("OU=Lab,O=Acme")], ..permitted(&[directory(base)]) };
    let authority = read(&chain(&[link(free(), 0, day(1)), link(only("O=Acme"), 0, day(1))])).expect("an authority");
    for (name, may) in [
        ("CN=pump,O=Acme", true),
        ("CN=pump,O=ACME", true),
        ("CN=pump,O=Evil", false),
        ("CN=pump", false),
        ("CN=pump,OU=lab,O=acme", false),
    ] {
        assert_eq!(authority.may_certify(&directory(name)), may, "{name}");
    }
}

#[test]
fn an_authority_has_no_more_below_it_than_it_may() {
    let links = |path_length| [link(free(), 0, day(1)), link(free(), path_length, day(1)), link(free(), 0, day(1))];
    read(&chain(&links(1))).expect("one may be below it");
    assert_eq!(read(&chain(&links(0))).expect_err("none may be below it"), AuthorityError::Above(1));
}

#[test]
fn any_use_is_no_constraint() {
    let own = chain(&[link(free(), 0, day(1))]).remove(0);
    let mut tbs = Certificate::from_der(&own).expect("a certificate").tbs_certificate;
    let uses =
        |all: &[der::asn1::ObjectIdentifier]| extension(oid::EXT_KEY_USAGE, false, &ExtendedKeyUsage(all.into()));
    for (all, may) in [(&[oid::ANY_EXT_KEY_USAGE, oid::SERVER_AUTH][..], true), (&[oid::SERVER_AUTH][..], false)] {
        tbs.extensions = Some(vec![uses(all).expect("an extension")]);
        let constraints = Constraints::of(&tbs).expect("constraints");
        assert_eq!(constraints.admit_uses(&BTreeSet::from([CertificateUse::Client])), may, "{all:?}");
    }
}

#[test]
fn an_authority_for_some_names_certifies_none_of_another_kind() {
    let address = |octets: &[u8]| GeneralName::IpAddress(OctetString::new(octets).expect("an address"));
    let (near, far) = (address(&[10, 0, 0, 9]), address(&[192, 0, 2, 9]));
    let (long, host) = (address(&[0x20; 16]), dns("pump.acme.example"));
    for (permit, may) in [
        (&["acme.example"][..], [true, false, false, false]),
        (&["10.0.0.0/8"][..], [false, true, false, false]),
        (&["acme.example", "10.0.0.0/8"][..], [true, true, false, false]),
        (&["acme.example", "0.0.0.0/0", "::/0"][..], [true, true, true, true]),
        (&[][..], [true, true, true, true]),
    ] {
        let texts: Vec<String> = permit.iter().map(|text| (*text).to_owned()).collect();
        let constraints = Constraints::parse(&texts, &[], None).expect("constraints");
        let authority = read(&chain(&[link(free(), 0, day(1)), link(constraints, 0, day(1))])).expect("an authority");
        let found = [&host, &near, &far, &long].map(|name| authority.may_certify(name));
        assert_eq!(found, may, "{permit:?}");
        assert!(authority.may_certify(&directory("CN=pump")), "subjects are of no such kind: {permit:?}");
    }
}

/// Certificates made by others may have such constraints.
#[test]
fn a_dot_before_a_host_leaves_it_open_whether_that_is_meant() {
    let hosts = ["acme.example", "pump.acme.example", "otheracme.example"];
    let admitted = |constraints: &Constraints| hosts.map(|host| constraints.admit(&dns(host)));
    let excluded = |base: &str| Constraints { excluded: vec![dns(base)], ..free() };
    assert_eq!(admitted(&permitted(&[dns("acme.example")])), [true, true, false]);
    assert_eq!(admitted(&permitted(&[dns(".acme.example")])), [false, true, false]);
    assert_eq!(admitted(&excluded("acme.example")), [false, false, true]);
    assert_eq!(admitted(&excluded(".acme.example")), [false, false, true]);
}
