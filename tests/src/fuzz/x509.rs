//! What strangers send as DER: requests for certificates and questions of OCSP; and the certificates that are read.

use ics_core::limits;
use ics_node::x509::{Csr, Questions, read_certificate};

/// A request that is read is proven, asks for few names, and its key is read back as it was.
pub(super) fn csr(bytes: &[u8]) {
    let Ok(csr) = Csr::parse(bytes) else { return };
    assert!(csr.wanted.len() <= limits::CSR_NAMES, "too many names are let in");
    assert!(csr.key.to_spki_der().as_ref() == Some(&csr.spki), "the key is not read back as it was written");
}

/// What is asked is about one certificate at least, and a bounded number of them.
pub(super) fn ocsp(bytes: &[u8]) {
    let Ok(questions) = Questions::parse(bytes) else { return };
    assert!((1..=limits::OCSP_QUESTIONS).contains(&questions.questions.len()), "an unbounded number of questions");
    assert!(questions.questions.iter().all(|question| !question.key().is_empty()), "a question cannot be repeated");
}

/// A certificate, DER or PEM.
pub(super) fn certificate(bytes: &[u8]) {
    if let Ok((_, der)) = read_certificate(bytes) {
        assert!(read_certificate(&der).is_ok(), "a certificate is not read back");
    }
}
