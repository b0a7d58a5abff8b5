use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;
use crate::limits;
use crate::log::checkpoint::CheckpointError;
use crate::log::entry::{Entry, EntryKind, Header, HeaderError};
use crate::log::fixtures::{ExampleLog, entry, signing_key};
use crate::log::hash::HashError;
use crate::log::merkle::{ProofError, Tree};
use crate::log::note::{Note, NoteError};
use crate::time::Timestamp;

fn body(index: u64) -> Vec<u8> {
    entry(index).body
}

#[test]
fn every_entry_has_a_receipt_that_verifies_with_its_body() {
    for size in [1, 2, 3, 7, 8, 20] {
        let log = ExampleLog::new(size);
        for index in 0..size {
            let receipt = log.receipt(index);
            assert_eq!(receipt.verify(&body(index), &log.key()), Ok(log.head()), "{index} of {size}");
            assert_eq!(receipt.source().verify_leaf(&receipt.leaf, &log.key()), Ok(log.head()));
            assert_eq!(receipt.verify(&body(index + 1), &log.key()), Err(EvidenceError::Leaf));
        }
    }
}

#[test]
fn json_is_read_back_and_closed() {
    let receipt = ExampleLog::new(5).receipt(3);
    let json = serde_json::to_value(&receipt).unwrap();
    assert_eq!(json["header"], BASE64.encode(&receipt.header));
    assert_eq!(json["salt"], BASE64.encode(&receipt.salt));
    assert_eq!(json["leaf"], Hash(receipt.leaf).to_string());
    assert_eq!(json["proof"][0], receipt.proof[0].to_base64());
    assert_eq!(serde_json::from_value::<Receipt>(json.clone()).unwrap(), receipt);
    for (member, value) in [
        ("salt", BASE64.encode(&[0; 15])),
        ("salt", "no base64".into()),
        ("leaf", "00".into()),
        ("origin", "acme.example".into()),
        ("proof", "AAAA".into()),
        ("more", String::new()),
    ] {
        let mut wrong = json.clone();
        wrong[member] = value.into();
        assert!(serde_json::from_value::<Receipt>(wrong).is_err(), "{member}");
    }
    let mut wrong = json;
    wrong["proof"][0] = "AAAA".into();
    assert!(serde_json::from_value::<Receipt>(wrong).is_err());
}

#[test]
fn whatever_is_changed_is_refused() {
    let log = ExampleLog::new(20);
    let other = ExampleLog { home: signing_key(2), ..ExampleLog::new(20) };
    let good = log.receipt(5);
    let name = log.origin.to_string();
    let elsewhere = Origin { domain: "other.example".parse().unwrap(), ..log.origin.clone() };
    let of_other = Checkpoint { origin: elsewhere.clone(), ..log.head() }.sign(&log.home).unwrap();
    let longer = |count| [good.proof.as_slice(), &vec![Hash([0; 32]); count]].concat();
    let proof_length = |length| EvidenceError::Proof(ProofError::Length(length));
    type Change<'a> = Box<dyn Fn(&mut Receipt) + 'a>;
    let cases: Vec<(Change<'_>, EvidenceError)> = vec![
        (Box::new(|r| r.index = 4), EvidenceError::Proof(ProofError::Root)),
        (Box::new(|r| r.index = 0), EvidenceError::Entry0),
        (Box::new(|r| r.index = 20), EvidenceError::Proof(ProofError::OutsideTree { index: 20, size: 20 })),
        (Box::new(|r| r.salt[0] ^= 1), EvidenceError::Leaf),
        (Box::new(|r| r.header[5] ^= 1), EvidenceError::Leaf),
        (Box::new(|r| r.leaf[31] ^= 1), EvidenceError::Leaf),
        (Box::new(|r| r.proof[2].0[0] ^= 1), EvidenceError::Proof(ProofError::Root)),
        (Box::new(|r| r.proof.swap(0, 1)), EvidenceError::Proof(ProofError::Root)),
        (Box::new(|r| r.proof.truncate(4)), proof_length(4)),
        (Box::new(|r| r.proof = longer(1)), proof_length(good.proof.len() + 1)),
        (Box::new(|r| r.proof = longer(59)), proof_length(64)),
        (Box::new(|r| r.proof = longer(60)), EvidenceError::ProofHashes(65)),
        (Box::new(|r| r.checkpoint = ExampleLog::new(19).checkpoint()), EvidenceError::Proof(ProofError::Root)),
        (
            Box::new(|r| r.checkpoint = other.checkpoint()),
            CheckpointError::from(NoteError::Unsigned(name.clone())).into(),
        ),
        (
            Box::new(|r| r.checkpoint = of_other.clone()),
            CheckpointError::OtherOrigin { expected: name.clone(), found: elsewhere.to_string() }.into(),
        ),
        (
            Box::new(|r| r.origin = elsewhere.clone()),
            EvidenceError::Origin { expected: elsewhere.to_string(), found: name.clone() },
        ),
    ];
    for (number, (change, error)) in cases.into_iter().enumerate() {
        let mut receipt = good.clone();
        change(&mut receipt);
        assert_eq!(receipt.verify(&body(5), &log.key()), Err(error), "case {number}");
    }
}

#[test]
fn a_header_that_is_none_is_refused_although_the_log_has_it() {
    let mut log = ExampleLog::new(1);
    let entry = Entry { header: vec![7], salt: [0; 16], body: vec![] };
    log.tree.push(entry.leaf_hash());
    log.entries.push(entry);
    assert_eq!(log.receipt(1).verify(&[], &log.key()), Err(HeaderError::Version(7).into()));
}

#[test]
fn a_receipt_is_the_source_of_an_adopted_entry() {
    let (log, adopter) = (ExampleLog::new(9), ExampleLog::new(3));
    let source = Some(log.receipt(4).source());
    let header = Header { kind: EntryKind::Statement, admitted_at: Timestamp::from_seconds(1), source };
    let entry = Entry { header: header.encode().unwrap(), salt: [3; 16], body: body(4) };
    let mut tree: Tree = adopter.tree.clone();
    tree.push(entry.leaf_hash());
    assert_eq!(adopter.tree.size() + 1, tree.size(), "the batch was tried on a clone");
    let adopted = entry.header().unwrap().source.unwrap();
    assert_eq!(adopted.verify(&entry.body, &log.key()), Ok(log.head()));
    assert!(adopted.verify(&body(5), &log.key()).is_err());
}

#[test]
fn a_tlog_proof_has_the_lines_of_the_specification() {
    let log = ExampleLog::new(5);
    let receipt = log.receipt(4);
    let extra = BASE64.encode(&[receipt.salt.as_slice(), &receipt.header].concat());
    let [hash] = receipt.proof.as_slice() else { panic!("the last of five has one hash") };
    let expected =
        format!("c2sp.org/tlog-proof@v1\nextra {extra}\nindex 4\n{}\n\n{}", hash.to_base64(), log.checkpoint());
    assert_eq!(receipt.to_tlog_proof(), expected);
}

#[test]
fn a_tlog_proof_is_read_back_and_verifies() {
    for size in [1, 5, 20] {
        let log = ExampleLog::new(size);
        for index in 0..size {
            let source = Source::from_tlog_proof(&log.receipt(index).to_tlog_proof()).unwrap();
            assert_eq!(source, log.receipt(index).source());
            assert_eq!(source.verify(&body(index), &log.key()), Ok(log.head()));
        }
    }
}

/// The bound excludes nothing that can be written, and admits little else.
#[test]
fn the_longest_tlog_proof_is_read() {
    let log = ExampleLog::new(1);
    let mut note = Note::parse(&log.checkpoint()).unwrap();
    let name = |number: usize| format!("{}{number:02}", "n".repeat(limits::NAME_BYTES - 2));
    while let Ok(()) = note.sign(&name(note.signatures().len()), &signing_key(1)) {}
    let source = Source {
        index: u64::MAX,
        header: vec![0; limits::HEADER_BYTES],
        proof: vec![Hash([7; 32]); limits::PROOF_HASHES],
        checkpoint: note.to_string(),
        ..log.receipt(0).source()
    };
    let text = source.to_tlog_proof();
    let shorter_note = limits::NOTE_BYTES - source.checkpoint.len();
    assert!((PROOF_BYTES - 128..=PROOF_BYTES).contains(&(text.len() + shorter_note)), "{}", text.len());
    assert_eq!(Source::from_tlog_proof(&text), Ok(source));
    let bare = "x".repeat(PROOF_BYTES);
    assert_eq!(Source::from_tlog_proof(&bare), Err(TlogProofError::Lacks("an empty line")));
    assert_eq!(Source::from_tlog_proof(&format!("{bare}x")), Err(TlogProofError::TooLong(PROOF_BYTES + 1)));
}

#[test]
fn a_tlog_proof_is_told_by_its_first_line() {
    let proof = ExampleLog::new(1).receipt(0).to_tlog_proof();
    assert!(Source::is_tlog_proof(proof.as_bytes()));
    for other in ["", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v12\n", "{}", &format!("\n{proof}")] {
        assert!(!Source::is_tlog_proof(other.as_bytes()), "{other}");
    }
}

#[test]
fn every_tlog_proof_that_is_refused() {
    let log = ExampleLog::new(5);
    let good = log.receipt(2).to_tlog_proof();
    let hash = log.receipt(2).proof[0].to_base64();
    let extra_line = good.lines().nth(1).unwrap();
    let lacks_extra = || TlogProofError::Lacks("an extra line with salt and header");
    let many = |count: usize| good.replacen(&hash, &vec![hash.as_str(); count].join("\n"), 1);
    let given = log.receipt(2).proof.len();
    assert!(Source::from_tlog_proof(&many(limits::PROOF_HASHES - given + 1)).is_ok());
    let padded = good.replace("index 2\n", &format!("index 2\n{}", "x".repeat(100_000)));
    for (text, error) in [
        (String::new(), TlogProofError::Lacks("an empty line")),
        (good.replace("\n\n", "\n"), TlogProofError::Lacks("an empty line")),
        (good.replace("@v1", "@v2"), TlogProofError::Lacks("the first line")),
        (good.replace("c2sp", " c2sp"), TlogProofError::Lacks("the first line")),
        (good.replace(&format!("{extra_line}\n"), ""), lacks_extra()),
        (good.replace(extra_line, "extra "), lacks_extra()),
        (good.replace(extra_line, "extra AAAA"), lacks_extra()),
        (good.replace(extra_line, "extra ????"), lacks_extra()),
        (good.replace("index 2", "Index 2"), TlogProofError::Lacks("an index line")),
        (good.replace("index 2", "index 02"), TlogProofError::Index("02".into())),
        (good.replace("index 2", "index"), TlogProofError::Lacks("an index line")),
        (good.replacen(&hash, "AAAA", 1), HashError::Base64("AAAA".into()).into()),
        (many(limits::PROOF_HASHES - given + 2), TlogProofError::ProofHashes),
        (padded.clone(), TlogProofError::TooLong(padded.len())),
        (good.replace("\n\n\u{2014}", "\nextension\n\n\u{2014}"), TlogProofError::Checkpoint(CheckpointError::Lines)),
        (good.clone() + "more\n", CheckpointError::from(NoteError::SignatureLine("more".into())).into()),
    ] {
        assert_eq!(Source::from_tlog_proof(&text), Err(error), "{text:.200}");
    }
}

proptest! {
    #[test]
    fn a_changed_tlog_proof_is_refused(index in 0_u64..7, place: prop::sample::Index, new in any::<char>()) {
        let log = ExampleLog::new(7);
        let mut chars: Vec<char> = log.receipt(index).to_tlog_proof().chars().collect();
        let place = place.index(chars.len());
        prop_assume!(chars[place] != new);
        chars[place] = new;
        let changed: String = chars.into_iter().collect();
        let verified = Source::from_tlog_proof(&changed).map(|source| source.verify(&body(index), &log.key()));
        prop_assert!(!matches!(verified, Ok(Ok(_))));
    }
}
