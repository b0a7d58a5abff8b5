use proptest::prelude::*;

use super::*;
use crate::log::fixtures::{ExampleLog, cosigner, signing_key};
use crate::log::merkle::empty_root;

#[test]
fn a_signed_checkpoint_is_opened_by_its_key_alone() {
    let log = ExampleLog::new(5);
    let note = log.checkpoint();
    assert_eq!(Checkpoint::open(&note, &log.key()), Ok(log.head()));
    let root = log.tree.root().to_base64();
    assert!(note.starts_with(&format!("{}\n5\n{root}\n\n\u{2014} {} ", log.origin, log.origin)));

    let (name, other) = (log.origin.to_string(), signing_key(2).verifying_key().to_bytes());
    let impostor = log.origin.key(&other).unwrap();
    assert_eq!(Checkpoint::open(&note, &impostor), Err(NoteError::Unsigned(name.clone()).into()));
    let cosigner = cosigner(&name, 1);
    assert_eq!(Checkpoint::open(&note, &cosigner), Err(NoteError::Algorithm(name.clone()).into()));
    let elsewhere = Origin { entry0: [9; 32], ..log.origin.clone() };
    let other_domain = elsewhere.key(&log.home.verifying_key().to_bytes()).unwrap();
    let expected = elsewhere.to_string();
    assert_eq!(Checkpoint::open(&note, &other_domain), Err(CheckpointError::OtherOrigin { expected, found: name }));
}

#[test]
fn origins_are_read_back_and_others_refused() {
    let origin = ExampleLog::new(1).origin;
    let text = origin.to_string();
    assert_eq!(text.parse(), Ok(origin));
    let hex = "0".repeat(64);
    for bad in [
        "",
        "devices.acme.example",
        "devices.acme.example/",
        &format!("devices.acme.example/{}", "0".repeat(63)),
        &format!("devices.acme.example/{}", "A".repeat(64)),
        &format!("Devices.acme.example/{hex}"),
        &format!("/{hex}"),
        &format!("a/b/{hex}"),
        &format!("a b/{hex}"),
        &format!("a.example/{hex}\n"),
    ] {
        assert_eq!(bad.parse::<Origin>(), Err(CheckpointError::Origin(excerpt(bad))), "{bad}");
    }
}

#[test]
fn every_text_that_is_refused() {
    let origin = ExampleLog::new(1).origin;
    let (root, empty) = (Hash([7; 32]).to_base64(), empty_root().to_base64());
    let text = |size: &str, root: &str| format!("{origin}\n{size}\n{root}\n");
    assert!(Checkpoint::parse(&text("18446744073709551615", &root)).is_ok());
    assert!(Checkpoint::parse(&text("0", &empty)).is_ok());
    for (text, error) in [
        (String::new(), CheckpointError::Lines),
        ("\n".into(), CheckpointError::Lines),
        (format!("{origin}\n5\n"), CheckpointError::Lines),
        (format!("{origin}\n5\n{root}"), CheckpointError::Lines),
        (text("5", &root) + "extension\n", CheckpointError::Lines),
        (text("5", &root) + "\n", CheckpointError::Lines),
        (format!("acme.example\n5\n{root}\n"), CheckpointError::Origin("acme.example".into())),
        (text("", &root), CheckpointError::Size(String::new())),
        (text("05", &root), CheckpointError::Size("05".into())),
        (text("+5", &root), CheckpointError::Size("+5".into())),
        (text("-5", &root), CheckpointError::Size("-5".into())),
        (text("18446744073709551616", &root), CheckpointError::Size("18446744073709551616".into())),
        (text("5", ""), CheckpointError::Root(String::new())),
        (text("5", "BwcH"), CheckpointError::Root("BwcH".into())),
        (text("5", &Hash([7; 32]).to_string()), CheckpointError::Root(Hash([7; 32]).to_string())),
        (text("0", &root), CheckpointError::Root(root.clone())),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_changed_checkpoint_is_refused(place: prop::sample::Index, new: char) {
        let log = ExampleLog::new(3);
        let mut chars: Vec<char> = log.checkpoint().chars().collect();
        let place = place.index(chars.len());
        prop_assume!(chars[place] != new);
        chars[place] = new;
        let changed: String = chars.into_iter().collect();
        prop_assert!(Checkpoint::open(&changed, &log.key()).is_err());
    }
}
