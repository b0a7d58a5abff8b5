//! What anyone may ask (`genm`).

use ics_node::x509::issuer_id;

use super::{CMP, Site, first, sent, tlv};
use crate::world::{DOMAIN, authority};

/// The subject of a certificate in DER.
fn subject(certificate: &[u8]) -> &[u8] {
    let mut rest = first(first(certificate).0).0;
    // Version, serial number, algorithm, issuer, validity.
    for _ in 0..5 {
        rest = first(rest).2;
    }
    first(rest).1
}

/// The answer to a question with this number (`id-it`) and value: the HTTP status, and the whole message.
fn told(site: &Site, number: u8, value: &[u8]) -> (String, Vec<u8>) {
    let question = site.written(&["-cmd", "genm", "-unprotected_requests"]);
    let (_, header, _) = first(first(&question).0);
    let asked = [tlv(6, &[0x2b, 6, 1, 5, 5, 7, 4, number]), value.to_vec()].concat();
    let body = tlv(0xb5, &tlv(0x30, &tlv(0x30, &asked)));
    let (code, _) = sent(site, CMP, &tlv(0x30, &[header, &body].concat()));
    (code, site.bench.read("answer"))
}

#[test]
fn a_root_has_no_newer_certificate() {
    let site = Site::new();
    // The end of genp: rootCaKeyUpdate (1.3.6.1.5.5.7.4.18) without a value.
    let expected = tlv(0xb6, &tlv(0x30, &tlv(0x30, &tlv(6, &[0x2b, 6, 1, 5, 5, 7, 4, 18]))));
    for root in [&site.world.root[..], &[][..]] {
        let (code, answer) = told(&site, 20, root);
        assert!(code == "200" && answer.windows(expected.len()).any(|part| part == expected), "{root:?}");
    }
}

#[test]
fn revocation_lists_are_told_by_place_and_issuer() {
    let site = Site::new();
    let authority = authority(&[&site.world.issuer, &site.world.root]);
    let lists: Vec<_> = (0..4).map(|shard| site.world.list(&issuer_id(&authority), shard).expect("a list")).collect();
    let has = |answer: &[u8], list: &[u8]| answer.windows(list.len()).any(|part| part == list);
    // CRLSource: [0] { fullName { a URI } }, or [1] { { a directoryName } }.
    let url = format!("http://pki.acme.example/x509/{DOMAIN}/crl/{}/1.crl", issuer_id(&authority));
    let place = tlv(0xa0, &tlv(0xa0, &tlv(0x86, url.as_bytes())));
    let issuer = tlv(0xa1, &tlv(0x30, &tlv(0xa4, subject(&site.world.issuer))));
    let elsewhere = tlv(0xa0, &tlv(0xa0, &tlv(0x86, b"http://pki.acme.example/none.crl")));
    // 2026-01-01T00:00:00Z is written as 260101000000Z.
    let made = lists[1].this_update.whole_seconds().to_string();
    let own: String = made.chars().filter(char::is_ascii_digit).skip(2).chain(['Z']).collect();
    let [old, own, new] = ["260101000000Z", own.as_str(), "490101000000Z"].map(|time| tlv(0x17, time.as_bytes()));
    for (source, known, expected) in [
        (&place, &[][..], &[1][..]),
        (&place, &old[..], &[1][..]),
        (&place, &own[..], &[][..]),
        (&place, &new[..], &[][..]),
        (&issuer, &old[..], &[0, 1, 2, 3][..]),
        (&elsewhere, &[][..], &[][..]),
    ] {
        let status = tlv(0x30, &[&source[..], known].concat());
        let (code, answer) = told(&site, 22, &tlv(0x30, &status));
        // crls, 1.3.6.1.5.5.7.4.23.
        assert!(code == "200" && has(&answer, &[0x2b, 6, 1, 5, 5, 7, 4, 23]), "{known:?}");
        let came: Vec<usize> = (0..4).filter(|shard| has(&answer, &lists[*shard].der)).collect();
        assert_eq!(came, expected, "{known:?}");
    }
}
