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

/// A witness answers with lines; those of other keys do not concern the asker.
#[test]
fn of_lines_that_are_answered_only_those_of_the_key_are_taken() {
    let (log, key) = (ExampleLog::new(3), cosigner("w.example", 2));
    let note = log.checkpoint();
    let by = |name: &str, seed| line(&note, name, &signing_key(seed), AT).unwrap() + "\n";
    let (mine, namesake, renamed) = (by("w.example", 2), by("w.example", 3), by("v.example", 2));
    let cosigned = cosign(&note, "w.example", &signing_key(2), AT).unwrap();
    assert_eq!(cosigned, format!("{note}{mine}"));
    for lines in [mine.clone(), format!("{namesake}{mine}{renamed}")] {
        assert_eq!(take(&note, &lines, &key).as_ref(), Ok(&cosigned));
    }
    let unsigned = || CheckpointError::from(NoteError::Unsigned("w.example".into()));
    let late = format!("{}{mine}", renamed.repeat(limits::NOTE_SIGNATURES));
    for lines in ["", namesake.as_str(), renamed.as_str(), late.as_str()] {
        assert_eq!(take(&note, lines, &key), Err(unsigned()), "{lines}");
        assert_eq!(take(&cosigned, lines, &key), Err(unsigned()), "it was there before: {lines}");
    }
    let of_another = line(&ExampleLog::new(4).checkpoint(), "w.example", &signing_key(2), AT).unwrap();
    let bad = NoteError::BadSignature("w.example".into());
    assert_eq!(take(&note, &of_another, &key), Err(bad.into()));
    assert!(matches!(take(&note, "no line\n", &key), Err(CheckpointError::Note(NoteError::SignatureLine(_)))));
}

/// Whoever passes a note on may have left several cosignatures of one key in it, in any order.
#[test]
fn of_several_cosignatures_of_one_key_the_latest_is_merged() {
    let (log, key) = (ExampleLog::new(3), cosigner("w.example", 2));
    let note = log.checkpoint();
    let by = |seconds| line(&note, "w.example", &signing_key(2), Timestamp::from_seconds(seconds)).unwrap() + "\n";
    let (into, expected) = (format!("{note}{}", by(100)), format!("{note}{}", by(200)));
    for (first, second) in [(50, 200), (200, 50)] {
        let from = format!("{note}{}{}", by(first), by(second));
        assert_eq!(merge(&into, &from, core::slice::from_ref(&key)).as_ref(), Ok(&expected), "{first}, {second}");
    }
}

#[test]
fn the_later_cosignature_of_each_known_key_is_merged() {
    let (log, seconds) = (ExampleLog::new(3), Timestamp::from_seconds);
    let cosigned = |note: &str, by: &[(&str, u8, u64)]| {
        by.iter().fold(note.to_owned(), |note, (name, seed, at)| {
            cosign(&note, name, &signing_key(*seed), seconds(*at)).unwrap()
        })
    };
    let (home, first, second) = (cosigner("home.example", 1), cosigner("w1.example", 2), cosigner("w2.example", 3));
    let (namesake, stranger) = (cosigner("home.example", 4), cosigner("w3.example", 5));
    let keys = [home.clone(), first.clone(), second.clone()];
    let into = cosigned(&log.checkpoint(), &[("home.example", 1, 100), ("w1.example", 2, 200)]);
    let news = [("home.example", 1, 160), ("w1.example", 2, 150), ("w2.example", 3, 300)];
    let others = [("home.example", 4, 400), ("w3.example", 5, 500)];
    let from = cosigned(&log.checkpoint(), &[&news[..], &others].concat());
    let merged = merge(&into, &from, &keys).unwrap();
    let found = times(&merged, [&home, &first, &second, &namesake, &stranger]);
    assert_eq!(found, Ok(vec![(&home, seconds(160)), (&first, seconds(200)), (&second, seconds(300))]));
    assert_eq!(merge(&merged, &from, &keys).as_ref(), Ok(&merged), "nothing is news twice");
    let backwards = [second.clone(), first.clone(), home.clone()];
    assert_eq!(merge(&merged, &merged, &backwards).as_ref(), Ok(&merged), "nor is what it has itself");
    let of_another = cosigned(&ExampleLog::new(4).checkpoint(), &news);
    assert_eq!(merge(&into, &of_another, &keys).as_ref(), Ok(&into), "it says nothing of this checkpoint");
    let last = from.lines().last().unwrap().to_owned() + "\n";
    let spoilt = format!("{}{last}", log.checkpoint().replace("\n3\n", "\n4\n"));
    let bad = NoteError::BadSignature("w3.example".into());
    assert_eq!(merge(&spoilt, &spoilt, &[stranger]), Err(bad.into()));
}
