use proptest::prelude::*;

use super::*;
use crate::log::fixtures::signing_key;

/// The example of C2SP signed-note and its key.
const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const TEXT: &str = "a text\n\nof two parts\n";

impl Note {
    /// A note without signatures yet.
    pub(in crate::log) fn new(text: &str) -> Result<Self, NoteError> {
        check_text(text, limits::NOTE_BYTES)?;
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Signs the text with Ed25519.
    pub(in crate::log) fn sign(&mut self, name: &str, key: &dyn NoteKey) -> Result<(), NoteError> {
        check_name(name)?;
        self.add(NoteSignature::ed25519(name, key, &self.text)?)
    }
}

fn key(name: &str, seed: u8) -> VerifierKey {
    VerifierKey::new(name, Algorithm::Ed25519, &signing_key(seed).verifying_key().to_bytes()).unwrap()
}

fn signed(names: &[(&str, u8)]) -> Note {
    let mut note = Note::new(TEXT).unwrap();
    names.iter().for_each(|(name, seed)| note.sign(name, &signing_key(*seed)).unwrap());
    note
}

#[test]
fn the_example_of_the_specification_verifies() {
    let note = Note::parse(EXAMPLE).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify(&EXAMPLE_KEY.parse().unwrap()), Ok(()));
    assert_eq!(note.to_string(), EXAMPLE);
}

#[test]
fn notes_are_read_back() {
    for note in [signed(&[("a", 1)]), signed(&[("a", 1), ("b", 2), ("\u{e4}/\u{3b2}", 3)])] {
        assert_eq!(Note::parse(&note.to_string()), Ok(note));
    }
    for text in ["\n", "a\n\n", "\n\na\n"] {
        let mut note = Note::new(text).unwrap();
        note.sign("a", &signing_key(1)).unwrap();
        assert_eq!(Note::parse(&note.to_string()), Ok(note), "{text:?}");
    }
}

#[test]
fn every_form_that_is_refused() {
    let good = signed(&[("a", 1)]).to_string();
    let line = good.lines().last().unwrap();
    let wrong_line = |line: &str| (format!("text\n\n{line}\n"), NoteError::SignatureLine(excerpt(line)));
    for (note, error) in [
        (String::new(), NoteError::Form("no newline at the end")),
        ("text".into(), NoteError::Form("no newline at the end")),
        ("text\n".into(), NoteError::Form("no empty line divides text and signatures")),
        (format!("text\n{line}\n"), NoteError::Form("no empty line divides text and signatures")),
        (format!("{good}\n"), NoteError::Form("no signatures")),
        (format!("tab\t\n\n{line}\n"), NoteError::Form("it has control characters")),
        (good.replace('\n', "\r\n"), NoteError::Form("it has control characters")),
        wrong_line("a line"),
        wrong_line(&line.replace('\u{2014}', "-")),
        wrong_line(&line.replace(" a ", " ")),
        wrong_line(&line.replace(" a ", " a+b ")),
        wrong_line(&line.replace(" a ", " a  ")),
        wrong_line(&line.replace(" a ", "  ")),
        wrong_line(&format!("{line} ")),
        wrong_line(line.trim_end_matches('=')),
        wrong_line("\u{2014} a AAAAAA=="),
        // Two concatenated texts in base64.
        wrong_line("\u{2014} a AAAAAA==AAA="),
        wrong_line("\u{2014} a "),
    ] {
        assert_eq!(Note::parse(&note), Err(error), "{note:?}");
    }
    for text in ["", "text", "\0\n"] {
        assert!(matches!(Note::new(text), Err(NoteError::Form(_))), "{text:?}");
    }
}

#[test]
fn notes_have_a_length_and_a_number_of_signatures() {
    let around = signed(&[("a", 1)]).to_string().len() - TEXT.len();
    let long = |length: usize| {
        let mut note = Note::new(&("x".repeat(length - around - 1) + "\n")).unwrap();
        note.sign("a", &signing_key(1)).map(|()| note.to_string())
    };
    let longest = long(limits::NOTE_BYTES).unwrap();
    assert_eq!(longest.len(), limits::NOTE_BYTES);
    assert!(Note::parse(&longest).is_ok());
    let too_long = limits::NOTE_BYTES + 1;
    assert_eq!(long(too_long), Err(NoteError::TooLong(too_long)));
    assert_eq!(Note::parse(&format!("x{longest}")), Err(NoteError::TooLong(too_long)));
    assert_eq!(Note::new(&"x".repeat(too_long)), Err(NoteError::TooLong(too_long)));

    let names: Vec<String> = (0..limits::NOTE_SIGNATURES).map(|number| format!("key{number}")).collect();
    let mut full = signed(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
    let text = full.to_string();
    assert!(Note::parse(&text).is_ok());
    let line = text.lines().last().unwrap();
    assert_eq!(Note::parse(&format!("{text}{line}\n")), Err(NoteError::TooManySignatures));
    assert_eq!(full.sign("one more", &signing_key(1)), Err(KeyError::Name("one more".into()).into()));
    assert_eq!(full.sign("more", &signing_key(1)), Err(NoteError::TooManySignatures));
    assert_eq!(full.sign("key0", &signing_key(1)), Ok(()), "one that gives way makes room");
}

#[test]
fn only_the_key_itself_counts() {
    let note = signed(&[("a", 1), ("b", 2)]);
    assert_eq!(note.verify(&key("a", 1)), Ok(()));
    assert_eq!(note.verify(&key("b", 2)), Ok(()));
    for other in [key("a", 2), key("b", 1), key("c", 1)] {
        assert_eq!(note.verify(&other), Err(NoteError::Unsigned(other.name().into())));
    }
    let cosigner = VerifierKey::new("a", Algorithm::Cosignature, &key("a", 1).key()).unwrap();
    assert_eq!(note.verify(&cosigner), Err(NoteError::Algorithm("a".into())));
}

#[test]
fn a_wrong_signature_of_a_known_key_spoils_the_note() {
    let good = signed(&[("a", 1), ("b", 2)]).to_string();
    let mut wrong = NoteSignature::ed25519("a", &signing_key(1), "another text\n").unwrap();
    let bad_line = format!("{wrong}\n");
    let note = Note::parse(&format!("{good}{bad_line}")).unwrap();
    assert_eq!(note.verify(&key("a", 1)), Err(NoteError::BadSignature("a".into())));
    assert_eq!(note.verify(&key("b", 2)), Ok(()), "it is unknown to who knows only the other key");
    wrong.bytes.push(0);
    let note = Note::parse(&format!("{TEXT}\n{wrong}\n")).unwrap();
    assert_eq!(note.verify(&key("a", 1)), Err(NoteError::BadSignature("a".into())));
}

#[test]
fn a_new_signature_of_the_same_key_takes_the_place_of_the_old_one() {
    let mut note = signed(&[("a", 1), ("b", 2)]);
    note.sign("a", &signing_key(1)).unwrap();
    let names: Vec<&str> = note.signatures().iter().map(|signature| signature.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    note.sign("a", &signing_key(3)).unwrap();
    assert_eq!(note.signatures().len(), 3, "another key of the same name is another key");
}

proptest! {
    #[test]
    fn a_changed_note_is_refused(place: prop::sample::Index, new: char) {
        let mut chars: Vec<char> = EXAMPLE.chars().collect();
        let place = place.index(chars.len());
        prop_assume!(chars[place] != new);
        chars[place] = new;
        let changed: String = chars.into_iter().collect();
        let key = EXAMPLE_KEY.parse().unwrap();
        prop_assert!(Note::parse(&changed).and_then(|note| note.verify(&key)).is_err());
    }

    #[test]
    fn no_text_makes_trouble(text in "[a\n \u{2014}+=A]{0,60}") {
        if let Ok(note) = Note::parse(&text) {
            prop_assert_eq!(note.to_string(), text);
        }
    }
}
