//! In which body a request is refused (RFC 9483, 3.6.2).

use super::{CMP, NEW, Site, first, sent, sent_to, tlv};

/// The body of the last answer.
fn came(site: &Site) -> Vec<u8> {
    let answer = site.bench.read("answer");
    first(first(first(&answer).0).2).1.to_vec()
}

/// The content of the value at this depth.
fn inside(der: &[u8], depth: usize) -> &[u8] {
    (0..depth).fold(der, |der, _| first(der).0)
}

/// PKIStatus: rejection.
const REJECTION: [u8; 3] = [2, 1, 2];

#[test]
fn in_the_one_that_answers_it() {
    let site = Site::new();
    site.bench.request("signed", &[]);
    // ip, cp and kup. A PKCS #10 request has the number -1.
    for (arguments, tag, number) in [
        ([&["-cmd", "ir"], NEW].concat(), 0xa1, 0_u8),
        ([&["-cmd", "cr"], NEW].concat(), 0xa3, 0),
        ([&["-cmd", "kur"], NEW].concat(), 0xa8, 0),
        (vec!["-cmd", "p10cr", "-csr", "signed.csr"], 0xa3, 0xff),
    ] {
        let (code, answer) = sent_to(&site, ":none", CMP, &site.written(&arguments));
        let body = came(&site);
        assert!(code == "200" && body[0] == tag, "{arguments:?}: {answer}");
        let (_, named, rest) = first(inside(&body, 4));
        assert_eq!(named, tlv(2, &[number]), "{arguments:?}");
        assert!(inside(rest, 1).starts_with(&REJECTION), "{arguments:?}: {answer}");
    }
    // rp: nobody has issued the root here.
    let ends = ["-cmd", "rr", "-oldcert", "root.pem", "-revreason", "5"];
    let (code, answer) = sent(&site, CMP, &site.written(&ends));
    let body = came(&site);
    assert!(code == "200" && body[0] == 0xac && inside(&body, 4).starts_with(&REJECTION), "{answer}");
}

#[test]
fn in_an_error_message_for_what_is_wrong_with_the_message_itself() {
    let site = Site::new();
    let (code, answer) = sent(&site, CMP, &site.written(&[&["-cmd", "ir", "-unprotected_requests"], NEW].concat()));
    let body = came(&site);
    assert!(code == "200" && body[0] == 0xb7 && inside(&body, 3).starts_with(&REJECTION), "{answer}");
}
