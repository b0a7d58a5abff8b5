//! In which body a request is refused (RFC 9483, 3.6.2).

use super::{CMP, NEW, Site, first, part, sent, sent_to, tlv};

impl Site {
    /// A message with this sender (a GeneralName in DER), signed with the key of the IDevID.
    fn by(&self, sender: &[u8], message: &[u8]) -> Vec<u8> {
        let (header, _, rest) = first(first(message).0);
        let (_, version, after) = first(header);
        let header = tlv(0x30, &[version, sender, first(after).2].concat());
        self.changed(&tlv(0x30, &[&header[..], rest].concat()), &[], first(rest).1)
    }

    /// A message that names this key (senderKID), signed with the key of the IDevID.
    fn naming(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let (mut left, _, rest) = first(first(message).0);
        let mut header = Vec::new();
        while !left.is_empty() {
            let (_, whole, after) = first(left);
            header.extend(if whole.first() == Some(&0xa2) { tlv(0xa2, &tlv(4, key)) } else { whole.to_vec() });
            left = after;
        }
        self.changed(&tlv(0x30, &[&tlv(0x30, &header)[..], rest].concat()), &[], first(rest).1)
    }
}

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

/// RFC 9483, 3.1. A sender that does not know its name is known by its key alone.
#[test]
fn a_sender_that_is_not_the_one_of_its_certificate() {
    let site = Site::new();
    let (size, new) = (site.world.size(), [&["-cmd", "ir"], NEW].concat());
    let common_name = tlv(0x30, &[tlv(6, &[0x55, 4, 3]), tlv(12, b"another")].concat());
    let another = tlv(0xa4, &tlv(0x30, &tlv(0x31, &common_name)));
    for sender in [another, tlv(0x81, b"pump@acme.example")] {
        let (code, answer) = sent(&site, CMP, &site.by(&sender, &site.written(&new)));
        assert!(code == "200" && answer.contains("the sender must be the subject of the first"), "{answer}");
        // error, with badMessageCheck (RFC 9483, 3.5).
        let named = [3, 2, 6, 0x40];
        assert!(came(&site)[0] == 0xb7 && came(&site).windows(4).any(|part| part == named), "{answer}");
    }
    assert_eq!(site.world.size(), size, "nothing is stored");
    let (code, answer) = sent(&site, CMP, &site.by(&tlv(0xa4, &tlv(0x30, &[])), &site.written(&new)));
    assert_eq!((code.as_str(), site.world.size()), ("200", size + 1), "{answer}");
}

/// RFC 9483, 3.1.
#[test]
fn a_key_that_is_not_the_one_of_its_certificate() {
    let site = Site::new();
    let size = site.world.size();
    let written = site.written(&[&["-cmd", "ir"], NEW].concat());
    let (code, answer) = sent(&site, CMP, &site.naming(&[7; 20], &written));
    assert!(code == "200" && answer.contains("the senderKID must be the subjectKeyIdentifier"), "{answer}");
    assert_eq!(site.world.size(), size, "nothing is stored");
    let named = part(&written, 0xa2);
    let (code, answer) = sent(&site, CMP, &site.naming(first(&named).0, &written));
    assert_eq!((code.as_str(), site.world.size()), ("200", size + 1), "{answer}");
}
