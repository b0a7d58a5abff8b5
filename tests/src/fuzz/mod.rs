//! Decoders of outside bytes, each as a function that takes any input and must neither panic nor break its promise.
//!
//! `tests/fuzz` has libFuzzer drive them; the tests here run them on any toolchain over what is stored in
//! `tests/fuzz/corpus`, over seeds made from the vectors, and over simple mutations of both.

mod acme;
mod carried;
mod case;
mod ldap;
mod log;
mod mutate;
mod openpgp;
mod outer;
mod seeds;
mod words;
mod x509;

pub use self::mutate::Mutator;
pub use self::seeds::seeds;

/// One decoder.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its directory and of its binary.
    pub name: &'static str,
    /// Runs the decoder; panics if it breaks a promise.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("acme", acme::request),
    target("batch", carried::batch),
    target("body", openpgp::body),
    target("bundle", outer::bundle),
    target("case", case::case),
    target("certificate", openpgp::certificate),
    target("cmp", x509::cmp),
    target("cms", x509::cms),
    target("crl", x509::list),
    target("csr", x509::csr),
    target("csv", outer::csv),
    target("descriptor", openpgp::descriptor),
    target("document", openpgp::document),
    target("entry", log::entry),
    target("evidence", outer::evidence),
    target("feed", outer::feed),
    target("http", outer::http),
    target("ldap_answer", ldap::answer),
    target("ldap_cookie", ldap::cookie),
    target("ldap_filter", ldap::filter),
    target("ldap_message", ldap::message),
    target("ldap_name", ldap::name),
    target("ndjson", outer::ndjson),
    target("note", log::note),
    target("ocsp", x509::ocsp),
    target("packed", outer::packed),
    target("proof", log::proof),
    target("record_head", log::record_head),
    target("spki", openpgp::spki),
    target("sw_description", carried::description),
    target("tls_alpn", acme::shown),
    target("trust", outer::trust),
    target("upload", openpgp::upload),
    target("words", words::words),
    target("x509", x509::certificate),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// The target with this name.
#[must_use]
pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// Runs one target, for the libFuzzer binaries.
///
/// # Panics
/// When there is no target of this name, or it finds a broken promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = named(name);
    assert!(target.is_some(), "there is no target `{name}`");
    if let Some(target) = target {
        (target.run)(bytes);
    }
}

#[cfg(test)]
mod tests;
