use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use ics_core::log::source::Source;
use ics_node::api;
use ics_node::client::gate::swupdate::pieces;
use ics_node::client::publish::{Form, Rows};
use ics_node::config::PeerConfig;
use ics_node::ldap::decode::Message;
use ics_sync::carried::Carried;
use ics_sync::news::{Events, News};
use ics_sync::wire::{Again, Heads, Watch};
use ics_sync::witness::AddCheckpoint;

use super::{Mutator, TARGETS, Target, seeds};

/// Mutated copies of each input; as many as fit into a minute of continuous integration for all targets.
const CHANGES: usize = 24;
/// The maximum number of mutated copies for one target: if there are many inputs, each gets fewer.
const CHANGES_IN_ALL: usize = 12_000;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The stored findings of fuzzing, including crashes of earlier versions.
fn kept(target: &Target) -> Vec<Vec<u8>> {
    let files = ["corpus", "crashes"].map(|kind| fs::read_dir(directory().join(kind).join(target.name)));
    let paths = files.into_iter().flatten().flatten().map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Runs a target on one input; on failure, reports the input.
fn run(target: &Target, input: &[u8]) -> Result<(), String> {
    let run = target.run;
    catch_unwind(|| run(input)).map_err(|_| format!("{}: {}", target.name, data_encoding::BASE64.encode(input)))
}

#[test]
fn every_decoder_keeps_its_promises_over_corpus_and_seeds() {
    for target in TARGETS {
        let inputs = [seeds(target.name), kept(target)].concat();
        assert!(!inputs.is_empty(), "{} has nothing to begin with", target.name);
        for input in &inputs {
            assert_eq!(run(target, input), Ok(()));
        }
    }
}

#[test]
fn every_decoder_keeps_its_promises_over_changed_input() {
    for (seed, target) in (0..).zip(TARGETS) {
        let inputs = [seeds(target.name), kept(target)].concat();
        let mut mutator = Mutator::new(seed);
        let changes = CHANGES.min(CHANGES_IN_ALL / inputs.len().max(1)).max(1);
        for (input, other) in inputs.iter().zip(inputs.iter().cycle().skip(inputs.len() / 2)) {
            for _ in 0..changes {
                assert_eq!(run(target, &mutator.change(input, other)), Ok(()));
            }
        }
    }
}

/// Seeds that no decoder accepts lead nowhere: for each format some must be valid.
#[test]
fn seeds_are_accepted() {
    use ics_core::log::entry::Header;
    use ics_core::openpgp::key::PublicKey;
    let accepted = |target: &str, accepts: fn(&[u8]) -> bool| seeds(target).iter().any(|seed| accepts(seed));
    let all = |target: &str, accepts: fn(&[u8]) -> bool| {
        let seeds = seeds(target);
        !seeds.is_empty() && seeds.iter().all(|seed| accepts(seed))
    };
    assert!(accepted("acme", |seed| ics_node::acme::jws::Signed::parse(seed).is_ok()));
    let signed = |seed: &Vec<u8>| ics_node::acme::jws::Signed::parse(seed).ok();
    let proves = |signed: &ics_node::acme::jws::Signed| match &signed.header.by {
        ics_node::acme::jws::By::Key(key) => signed.verify(key).is_ok(),
        ics_node::acme::jws::By::Kid(_) => false,
    };
    let requests: Vec<_> = seeds("acme").iter().filter_map(signed).collect();
    assert_eq!(requests.iter().filter(|signed| proves(signed)).count(), 2, "signed by the key in them, EC and RSA");
    let told = requests.iter().filter_map(super::acme::bound_or_changed).collect::<Vec<_>>();
    assert_eq!(told.len(), 2, "one binds an account, one changes a key: {told:?}");
    let carried: BTreeSet<_> = seeds("batch").iter().filter_map(|seed| super::carried::kind_of_batch(seed)).collect();
    assert_eq!(carried.len(), 3, "each kind of batch: {carried:?}");
    assert!(accepted("body", |seed| ics_core::statement::parse(seed).is_ok()));
    assert!(accepted("bundle", |seed| {
        let digest = <sha2::Sha256 as sha2::Digest>::digest(seed);
        let sealed = [seed, &[0, 32], digest.as_slice()].concat();
        ics_sync::bundle::Bundle::open(std::io::Cursor::new(sealed)).is_ok()
    }));
    assert!(all("case", |seed| ics_core::checker::Case::parse(seed).is_ok_and(|case| case.check().is_ok())));
    assert!(accepted("certificate", |seed| ics_core::openpgp::certificate::Certificate::parse(seed).is_ok()));
    assert!(all("cmp", super::x509::is_good_message));
    let asked: Vec<_> = seeds("cmp").iter().filter_map(|seed| super::x509::kind_of_message(seed)).collect();
    assert_eq!(asked.len(), seeds("cmp").len(), "each can be read: {asked:?}");
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 5, "each kind of message: {asked:?}");
    assert!(all("cms", super::x509::is_good_cms));
    assert!(all("crl", super::x509::is_good_list));
    assert!(all("csr", |seed| ics_node::x509::Csr::parse(seed).is_ok()));
    assert!(all("ocsp", |seed| ics_node::x509::Questions::parse(seed).is_ok()));
    assert!(all("x509", |seed| ics_node::x509::read_certificate(seed).is_ok()));
    assert!(accepted("x509", |seed| ics_node::x509::read_certificates(seed).is_ok_and(|all| all.len() == 2)));
    assert!(accepted("descriptor", |seed| ics_core::descriptor::Descriptor::parse(seed).is_ok()));
    assert!(accepted("entry", |seed| Header::decode(seed).is_ok()));
    assert!(accepted("evidence", |seed| ics_core::evidence::Evidence::parse(seed).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Page::decode(seed).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Page::decode(seed).is_ok_and(|page| page.sight.is_some())));
    assert!(accepted("feed", |seed| ics_sync::wire::Shown::decode(seed).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Heads::decode(seed).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Attestation::decode(seed).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Refusals::decode(seed).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Submitted::decode(seed, 1).is_ok()));
    assert!(accepted("feed", |seed| ics_sync::wire::Info::decode(seed).is_ok()));
    assert!(accepted("feed", |seed| Events::<News>::default().take(seed).is_ok_and(|news| !news.is_empty())));
    assert!(accepted("feed", |seed| Events::<Heads>::default().take(seed).is_ok_and(|heads| !heads.is_empty())));
    assert!(accepted("packed", |seed| ics_sync::packed::unpack(seed).is_ok()));
    assert!(accepted("spki", |seed| PublicKey::from_spki_der(seed).is_ok()));
    assert!(accepted("spki", |seed| core::str::from_utf8(seed).is_ok_and(|pem| PublicKey::from_spki_pem(pem).is_ok())));
    assert!(all("sw_description", |seed| pieces(Path::new("sw-description"), seed).is_ok_and(|all| all.len() == 2)));
    assert!(all("tls_alpn", super::acme::is_good_answer));
    assert!(accepted("trust", |seed| ics_core::trust::TrustPolicy::parse(seed).is_ok()));
    assert!(accepted("ldap_answer", ics_sync::ldap::passes));
    assert!(accepted("ldap_cookie", |seed| ics_node::ldap::decode::cookie(seed).is_some()));
    assert!(accepted("ldap_filter", |seed| {
        matches!(ics_node::ldap::decode::message(&super::ldap::search(seed)), Message::Request(_))
    }));
    assert!(all("ldap_message", |seed| matches!(ics_node::ldap::decode::message(seed), Message::Request(_))));
    let is_name = |seed: &[u8]| ics_node::ldap::decode::name(core::str::from_utf8(seed).expect("text")).is_some();
    assert!(all("ldap_name", is_name));
    let note =
        |seed: &[u8]| core::str::from_utf8(seed).is_ok_and(|text| ics_core::log::note::Note::parse(text).is_ok());
    assert!(accepted("note", note));
    let head = |seed: &[u8]| {
        let text = core::str::from_utf8(seed).ok().and_then(|text| text.rsplit_once("\n\n"));
        text.is_some_and(|(text, _)| ics_core::log::record_head::RecordHead::parse(&format!("{text}\n")).is_ok())
    };
    assert!(all("record_head", head));
    let asks = |seed: &[u8]| {
        let text = core::str::from_utf8(seed).ok();
        text.is_some_and(|text| text.parse::<AddCheckpoint>().is_ok_and(|it| !it.proof.is_empty()))
    };
    assert!(accepted("note", asks));
    assert!(accepted("proof", super::log::is_included) && accepted("proof", super::log::is_consistent));
    let is_source = |seed: &[u8]| core::str::from_utf8(seed).is_ok_and(|text| Source::from_tlog_proof(text).is_ok());
    assert!(accepted("proof", is_source));
    assert!(accepted("upload", |seed| ics_core::statement::split(seed).is_ok()));
    assert!(accepted("document", |seed| {
        serde_json::from_slice::<serde_json::Value>(seed).is_ok_and(|json| json.get("erasure").is_some())
    }));
    for (target, form) in [("csv", Form::Csv), ("ndjson", Form::Ndjson)] {
        let read = |seed: Vec<u8>| Rows::read(form, seed).is_ok_and(|mut rows| rows.all(|row| row.is_ok()));
        assert!(seeds(target).into_iter().any(read), "{target}");
    }
}

/// Each request body of the API has a seed.
#[test]
fn every_request_has_a_seed() {
    fn has_one<T: serde::de::DeserializeOwned>() -> bool {
        seeds("http").iter().any(|seed| serde_json::from_slice::<T>(seed).is_ok())
    }
    assert!(seeds("http").iter().any(|seed| ics_sync::wire::Submission::decode(seed).is_ok()));
    assert!(has_one::<api::EnrolmentRequest>() && has_one::<api::AdoptionRequest>());
    assert!(has_one::<api::Acknowledgement>() && has_one::<api::CheckQuestions>());
    assert!(has_one::<api::ChallengeRequest>() && has_one::<api::ChallengeAnswer>());
    assert!(has_one::<Watch>() && has_one::<Again>() && has_one::<PeerConfig>());
    let carried: Vec<Carried> =
        seeds("http").iter().filter_map(|seed| serde_json::from_slice::<Carried>(seed).ok()?.checked().ok()).collect();
    let kinds: HashSet<_> = carried.iter().map(core::mem::discriminant).collect();
    assert_eq!(kinds.len(), 7, "each answer that is carried, {carried:?}");
}

/// Each target has its libFuzzer binary, and each binary has a target.
#[test]
fn every_target_has_its_binary() {
    let manifest = fs::read_to_string(directory().join("Cargo.toml")).expect("a manifest");
    for target in TARGETS {
        let path = directory().join("targets").join(target.name).with_extension("rs");
        let source = fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(&format!("run(\"{}\", ", target.name)), "{} does not run its target", path.display());
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} is not in the manifest", target.name);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
