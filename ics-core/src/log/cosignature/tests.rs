use ed25519_zebra::{Signature, VerificationKey};

use super::*;
use crate::log::fixtures::{ExampleLog, cosigner, signing_key};

const AT: Timestamp = Timestamp::from_millis(1_795_162_200_999);

#[test]
fn the_signed_bytes_are_those_of_the_specification() {
    let log = ExampleLog::new(3);
    let note = Note::parse(&cosign(&log.checkpoint(), "w.example", &signing_key(2), AT).unwrap()).unwrap();
    let key = cosigner("w.example", 2);
    let bytes = note.signatures_of(&key).next().unwrap();
    let (time, signature) = bytes.split_at(8);
    assert_eq!(time, 1_795_162_200_u64.to_be_bytes());
    let root = log.tree.root().to_base64();
    let message = format!("cosignature/v1\ntime 1795162200\n{}\n3\n{root}\n", log.origin);
    let verifier = VerificationKey::try_from(key.key()).unwrap();
    let signature = Signature::try_from(signature).unwrap();
    assert_eq!(verifier.verify(&signature, message.as_bytes()), Ok(()));
}

#[test]
fn each_key_tells_its_own_time() {
    let log = ExampleLog::new(3);
    let mut note = log.checkpoint();
    for (name, seed, seconds) in [("home.example", 1, 100), ("w1.example", 2, 200), ("w2.example", 3, 300)] {
        note = cosign(&note, name, &signing_key(seed), Timestamp::from_seconds(seconds)).unwrap();
    }
    let (home, first, second) = (cosigner("home.example", 1), cosigner("w1.example", 2), cosigner("w2.example", 3));
    let (stranger, namesake) = (cosigner("w3.example", 4), cosigner("w1.example", 4));
    let seconds = Timestamp::from_seconds;
    let found = times(&note, [&home, &stranger, &second, &namesake, &first]);
    assert_eq!(found, Ok(vec![(&home, seconds(100)), (&second, seconds(300)), (&first, seconds(200))]));
    assert_eq!(Checkpoint::open(&note, &log.key()), Ok(log.head()), "the home's own signature still stands");
    assert_eq!(times(&log.checkpoint(), [&home]), Ok(vec![]), "a plain checkpoint has no time");
}

#[test]
fn a_later_cosignature_takes_the_place_of_the_earlier_one() {
    let (log, key) = (ExampleLog::new(3), cosigner("home.example", 1));
    let at =
        |note: &str, seconds| cosign(note, "home.example", &signing_key(1), Timestamp::from_seconds(seconds)).unwrap();
    let (once, twice) = (at(&log.checkpoint(), 100), at(&at(&log.checkpoint(), 100), 160));
    assert_eq!(once.len(), twice.len());
    assert_eq!(times(&twice, [&key]), Ok(vec![(&key, Timestamp::from_seconds(160))]));
    let earlier = once.lines().last().unwrap();
    let both = format!("{twice}{earlier}\n");
    assert_eq!(times(&both, [&key]), Ok(vec![(&key, Timestamp::from_seconds(160))]), "the latest counts");
}

#[test]
fn a_wrong_cosignature_spoils_the_note() {
    let (log, key) = (ExampleLog::new(3), cosigner("w.example", 2));
    let bad = || CheckpointError::from(NoteError::BadSignature("w.example".into()));
    let with = |bytes: Vec<u8>| {
        let mut note = Note::parse(&log.checkpoint()).unwrap();
        note.add(NoteSignature::cosignature("w.example", &signing_key(2), bytes)).unwrap();
        note.to_string()
    };
    let signed = |seconds: u64, text: &str| {
        let signature = signing_key(2).sign(message(seconds, text).as_bytes()).unwrap();
        [seconds.to_be_bytes().as_slice(), &signature].concat()
    };
    let text = log.head().text();
    let good = signed(100, &text);
    assert!(times(&with(good.clone()), [&key]).is_ok());
    for place in 0..good.len() {
        let mut wrong = good.clone();
        wrong[place] ^= 1;
        assert_eq!(times(&with(wrong), [&key]), Err(bad()), "byte {place}");
    }
    let plain = NoteKey::sign(&signing_key(2), text.as_bytes()).unwrap();
    for wrong in [
        good[..71].to_vec(),
        [good.as_slice(), &[0]].concat(),
        good[..7].to_vec(),
        plain.to_vec(),
        signed(100, &ExampleLog::new(4).head().text()),
        signed(253_402_207_201, &text),
        signed(u64::MAX, &text),
    ] {
        assert_eq!(times(&with(wrong), [&key]), Err(bad()));
    }
    assert!(times(&with(signed(253_402_207_200, &text)), [&key]).is_ok());
}

#[test]
fn only_checkpoints_are_cosigned_and_only_by_keys_for_it() {
    let log = ExampleLog::new(3);
    let mut note = Note::new("no checkpoint\n").unwrap();
    note.sign("a", &signing_key(1)).unwrap();
    let note = note.to_string();
    assert_eq!(cosign(&note, "w.example", &signing_key(2), AT), Err(CheckpointError::Lines));
    assert_eq!(times(&note, []), Err(CheckpointError::Lines));
    let algorithm = NoteError::Algorithm(log.origin.to_string());
    assert_eq!(times(&log.checkpoint(), [&log.key()]), Err(algorithm.into()));
    let spaced = cosign(&log.checkpoint(), "w example", &signing_key(2), AT);
    assert!(matches!(spaced, Err(CheckpointError::Note(NoteError::Name(_)))));
}
