//! DER from strangers: certificate requests and OCSP requests; and certificates and revocation lists that are read.

use std::sync::LazyLock;

use ics_core::descriptor::Issuer;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_node::client::signature::check;
use ics_node::cmp::{Answer, Message, Protection, Protector, Reply, Request};
use ics_node::x509::{
    Authority, Csr, Questions, ReadList, Shown, read_certificate, read_certificates, read_list, read_revoked,
};

/// A request that can be read is proven and asks for few names, and its key survives reading.
pub(super) fn csr(bytes: &[u8]) {
    let Ok(csr) = Csr::parse(bytes) else { return };
    assert!(csr.wanted.len() <= limits::CSR_NAMES, "too many names are let in");
    assert!(csr.key.to_spki_der().as_ref() == Some(&csr.spki), "the key is not read back as it was written");
}

/// The secret that protects the CMP seeds.
const SECRET: &[u8] = b"s";

/// The answer to a message that can be read can itself be read and is of the same transaction; protection covers only
/// the message's own bytes.
pub(super) fn cmp(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let request = Request::of(&message);
    if let Ok(Request::Enrolment(asked)) = &request {
        assert!(asked.csr.wanted.len() <= limits::CSR_NAMES, "too many names are let in");
    }
    if let Ok(Some(profile)) = message.header.profile() {
        assert!(profile.len() < bytes.len(), "a profile is longer than what names it");
    }
    let protection = message.protection(Some(SECRET));
    if let Ok(Protection::Secret) = protection {
        assert!(message.protection(Some(b"other")).is_err(), "it is protected by every secret");
    }
    let answer = request.map_or_else(Answer::Refused, |_| Answer::Confirmed);
    let Some(authority) = &*AUTHORITY else { return };
    let (to, from) = (&message, &authority.name);
    let reply = Reply { to, from, answer, chain: &[], nonce: [7; 16], now: AT };
    let by = if matches!(protection, Ok(Protection::Secret)) { Protector::Secret(SECRET) } else { Protector::None };
    let Ok(reply) = reply.to_der(&by) else { return };
    let read = Message::parse(&reply);
    assert!(read.is_ok_and(|it| it.header.transaction() == message.header.transaction()), "the answer is not read");
}

/// Whether the decoder accepts a seed and its protection is valid.
#[cfg(test)]
pub(super) fn is_good_message(bytes: &[u8]) -> bool {
    let shown = Message::parse(bytes).and_then(|message| message.protection(Some(SECRET)));
    matches!(shown, Ok(Protection::Key(_) | Protection::Secret))
}

/// What a seed asks for.
#[cfg(test)]
pub(super) fn kind_of_message(bytes: &[u8]) -> Option<&'static str> {
    Some(match Request::of(&Message::parse(bytes).ok()?).ok()? {
        Request::Enrolment(_) => "enrolment",
        Request::Revocation(_) => "revocation",
        Request::Confirmation(_) => "confirmation",
        Request::Error => "error",
        Request::Question(_) => "question",
    })
}

/// A request is about at least one certificate, and a bounded number of them.
pub(super) fn ocsp(bytes: &[u8]) {
    let Ok(questions) = Questions::parse(bytes) else { return };
    assert!((1..=limits::OCSP_QUESTIONS).contains(&questions.questions.len()), "an unbounded number of questions");
    assert!(questions.questions.iter().all(|question| !question.key().is_empty()), "a question cannot be repeated");
}

/// The software of the seeds, and the signers whose signatures over it count: by CMS, minisign and signify.
const ARTIFACT: &[u8] = b"firmware";
const SIGNERS: [&str; 3] = [
    CERTIFICATE,
    "RWRi19ng4G88yFFV/83B6aTojrHBBQhWaSE2Cbbl9lNYONwvNtthLwpB",
    "RWTIu55ho5eKEOKjfyKmvcOmmBel/IEoA8UVhjfMh1gHKgK+qxNyFL1e",
];
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBbjCCARWgAwIBAgIUbLU/3tovJ92JpBgNi+T/5tlvrgEwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0yNjExMjYxMDA4MTNaGA8yMTI2MTEwMjEwMDgxM1owDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHUe639GrfrCv4CCiC+3FxqmwPVGho2sM03zCk9Ca9pnS7VjL7RzkJKMr9scrQZ3jwta20f9bQLUWdxkG4j76p6jUzBRMB0GA1UdDgQWBBQNrLFJZsliPUhjl3dnORqh/zztkzAfBgNVHSMEGDAWgBQNrLFJZsliPUhjl3dnORqh/zztkzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIBbWzjmzavLlIS4+/hnVJ9lk7Izc2G5p1Yp8w5jOl8u+AiBurc6Ops03qXEYvk42Aon7jKi+EY5eulAh1OUcWyFrrA==\n\
    -----END CERTIFICATE-----\n";
/// 2026-12-01.
const AT: Timestamp = Timestamp::from_seconds(1_796_083_200);

/// A valid signature is valid for exactly these bytes and these signers, and what is kept of it is valid too.
pub(super) fn cms(bytes: &[u8]) {
    let signers = SIGNERS.map(|signer| signer.as_bytes().to_vec());
    let Ok(kept) = check(ARTIFACT, bytes, &signers, AT) else { return };
    let again = check(ARTIFACT, &kept.bytes, &signers, AT).ok();
    assert!(again.as_ref() == Some(&kept), "what is kept is not as good");
    assert!(check(b"firmwarf", bytes, &signers, AT).is_err(), "it is good for other software as well");
    assert!(check(ARTIFACT, bytes, &[], AT).is_err(), "it is good whoever has made it");
}

/// Whether the decoder accepts a seed.
#[cfg(test)]
pub(super) fn is_good_cms(bytes: &[u8]) -> bool {
    check(ARTIFACT, bytes, &SIGNERS.map(|signer| signer.as_bytes().to_vec()), AT).is_ok()
}

/// A certificate, DER or PEM, or several; and one that somebody shows to have it revoked.
pub(super) fn certificate(bytes: &[u8]) {
    if let Ok((_, der)) = read_certificate(bytes) {
        assert!(read_certificate(&der).is_ok(), "a certificate is not read back");
    }
    if let Ok(shown) = Shown::read(bytes) {
        assert!(read_certificate(bytes).is_ok() && !shown.spki.is_empty(), "what is no certificate is read as one");
    }
    if let Ok(all) = read_certificates(bytes) {
        assert!(all.iter().all(|der| read_certificate(der).is_ok()), "a certificate of several is not read back");
    }
}

/// The issuer of the lists among the seeds, and the address of the lists.
static AUTHORITY: LazyLock<Option<Authority>> =
    LazyLock::new(|| Authority::read(&Issuer { certificate: ISSUER.to_owned(), chain: Vec::new() }).ok());
const ISSUER: &str = "MIIBbTCCAROgAwIBAgIKQQIDBAUGBwgJCjAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxBY21lIElzc3VpbmcwIBcNMjYxMTI2MDAwMDAwWhgPMjEyNjExMDIwMDAwMDBaMBcxFTATBgNVBAMMDEFjbWUgSXNzdWluZzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDKPrmwninBYbKfqNZJQPpBj9yi3DFdP7GejrB88NZb0CyAUY3afObHid5IQjnvBm4X8FGlKzLk7mVHUj8M0swmjRTBDMBIGA1UdEwEB/wQIMAYBAf8CAQAwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBRLdqzYbex7v9Q2u4R46YJioEMS0jAKBggqhkjOPQQDAgNIADBFAiAFXnapCJwwuW4QXhH3J9HjaWx4fQGtt8LeAWMFbw8FHAIhALL/QGwmTB8GqNgnYrh/oMzT3pjHxFXAxPLTQc2Jb0mT";
const PLACE: &str = "http://pki.acme.example/x509/devices.acme.example/crl/1";

/// Reads a list from a peer, if it is the issuer's and belongs to this address.
fn read(bytes: &[u8], place: &str) -> Option<ReadList> {
    read_list(bytes, AUTHORITY.as_ref()?, place).ok()
}

/// A list that can be read belongs to one address, and is valid until some time.
pub(super) fn list(bytes: &[u8]) {
    drop(AUTHORITY.as_ref().map(|authority| read_revoked(bytes, authority)));
    let Some(list) = read(bytes, PLACE) else { return };
    assert!(list.next_update > Timestamp::default(), "it holds until no time");
    assert!(read(bytes, "http://pki.acme.example/x509/devices.acme.example/crl/2").is_none(), "it is two lists");
}

/// Whether the decoder accepts a seed.
#[cfg(test)]
pub(super) fn is_good_list(bytes: &[u8]) -> bool {
    read(bytes, PLACE).is_some_and(|list| list.number == 7)
}
