use super::*;
use proptest::prelude::*;

fn page(entries: Vec<Entry>) -> Page {
    Page {
        from: 7,
        size: 7 + entries.len() as u64,
        entries,
        checkpoint: None,
        proof: vec![Base64([1; 32])],
        sight: None,
    }
}

fn whole(header: usize, body: usize) -> Entry {
    Entry::Whole(log::entry::Entry { header: vec![1; header], salt: [0; 16], body: vec![2; body] })
}

fn decoded(page: &Page) -> Result<Page, WireError> {
    Page::decode(&serde_json::to_vec(page).expect("json"))
}

#[test]
fn the_form_of_a_page() {
    let json = r#"{"from":0,"entries":[{"header":"AQ==","salt":"AAAAAAAAAAAAAAAAAAAAAA==","body":"Ag=="},
        {"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"size":2,"proof":[]}"#;
    let page = Page::decode(json.as_bytes()).expect("page");
    assert_eq!(page.entries, [whole(1, 1), Entry::Hidden([0; 32])]);
    assert_eq!(page.checkpoint, None);
}

#[test]
fn refuses_what_is_no_page() {
    for (from, to) in [
        (r#""from":7"#, r#""from":-7"#),
        (r#""from":7"#, r#""from":7,"colour":"red""#),
        (r#""from":7,"#, ""),
        (r#""header":"AQ==""#, r#""header":"AQ""#),
        (r#""header":"AQ==""#, r#""header":"AR==""#),
        (r#""header":"AQ==""#, r#""header":"AQ==","leaf":"AQ==""#),
        (r#""body":"Ag==""#, r#""body":"Ag==","colour":"red""#),
        (r#""header":"AQ==","#, ""),
        (r#""salt":"AAAA"#, r#""salt":""#),
        (r#""proof":["AQEB"#, r#""proof":[""#),
    ] {
        let json = serde_json::to_string(&page(vec![whole(1, 1)])).expect("json");
        assert!(Page::decode(json.as_bytes()).is_ok() && json.contains(from), "{from}");
        let spoilt = json.replacen(from, to, 1);
        assert!(matches!(Page::decode(spoilt.as_bytes()), Err(WireError::Json(_))), "{spoilt}");
    }
}

#[test]
fn each_bound_of_a_page() {
    let most = limits::PERSON_CERTIFICATE_BYTES;
    let named = |earlier, ended| Sight { rights: Base64([0; 16]), earlier: vec![1; earlier], ended: vec![1; ended] };
    let seeing = |sight| decoded(&Page { sight: Some(sight), ..page(vec![]) }).map(|_| ());
    assert_eq!(seeing(named(limits::SIGHT_INDICES, 0)), Ok(()));
    assert_eq!(seeing(named(limits::SIGHT_INDICES, 1)), Err(WireError::Indices(limits::SIGHT_INDICES + 1)));
    for (entries, expected) in [
        (vec![whole(0, 0); limits::FEED_ENTRIES], Ok(())),
        (vec![whole(0, 0); limits::FEED_ENTRIES + 1], Err(WireError::Entries(limits::FEED_ENTRIES + 1))),
        (vec![whole(0, most); limits::FEED_BYTES / most], Ok(())),
        (
            [vec![whole(0, most); limits::FEED_BYTES / most], vec![whole(1, 0)]].concat(),
            Err(WireError::Bytes(limits::FEED_BYTES + 1)),
        ),
        (vec![whole(limits::HEADER_BYTES, most)], Ok(())),
        (
            vec![whole(limits::HEADER_BYTES + 1, 0)],
            Err(WireError::Header { position: 0, bytes: limits::HEADER_BYTES + 1 }),
        ),
        (vec![whole(0, most + 1)], Err(WireError::Body { position: 0, bytes: most + 1 })),
    ] {
        assert_eq!(decoded(&page(entries)).map(|_| ()), expected);
    }
}

#[test]
fn bounds_of_proof_and_checkpoint() {
    let with = |hashes: usize, note: usize| {
        let proof = vec![Base64([0; 32]); hashes];
        decoded(&Page { proof, checkpoint: Some("x".repeat(note)), ..page(vec![]) }).map(|_| ())
    };
    assert_eq!(with(limits::PROOF_HASHES, limits::NOTE_BYTES), Ok(()));
    assert_eq!(with(limits::PROOF_HASHES + 1, 0), Err(WireError::Proof(limits::PROOF_HASHES + 1)));
    assert_eq!(with(0, limits::NOTE_BYTES + 1), Err(WireError::Checkpoint(limits::NOTE_BYTES + 1)));
    assert_eq!(Page::decode(&vec![b' '; PAGE_JSON_BYTES + 1]), Err(WireError::TooLong(PAGE_JSON_BYTES)));
}

#[test]
fn the_greatest_page_fits_its_bound() {
    let entries = limits::FEED_ENTRIES;
    let body = limits::FEED_BYTES / entries;
    let page = Page {
        from: u64::MAX,
        size: u64::MAX,
        entries: vec![whole(1, body - 1); entries],
        checkpoint: Some("\n".repeat(limits::NOTE_BYTES)),
        proof: vec![Base64([0; 32]); limits::PROOF_HASHES],
        sight: Some(Sight {
            rights: Base64([0; 16]),
            earlier: vec![u64::MAX; limits::SIGHT_INDICES],
            ended: Vec::new(),
        }),
    };
    assert!(serde_json::to_vec(&page).expect("json").len() <= PAGE_JSON_BYTES);
}

#[test]
fn results_of_a_submission() {
    let json = br#"{"results":[{"receipt":{"index":1}},{"problem":{"status":422}}]}"#;
    let submitted = Submitted::decode(json, 2).expect("results");
    assert!(matches!(submitted.results[..], [Outcome::Receipt(_), Outcome::Problem(_)]));
    assert_eq!(Submitted::decode(json, 3), Err(WireError::Results { results: 2, statements: 3 }));
    assert!(Submitted::decode(br#"{"results":[{"surprise":{}}]}"#, 1).is_err());
}

/// A home that answers a single statement must not have megabytes parsed.
#[test]
fn results_of_a_submission_are_as_long_as_it_may_make_them() {
    let padded = |bytes: usize| {
        let mut json = br#"{"results":[{"receipt":{}}]}"#.to_vec();
        json.resize(bytes, b' ');
        json
    };
    let most = Submitted::most_bytes(1);
    assert!(Submitted::decode(&padded(most), 1).is_ok());
    assert_eq!(Submitted::decode(&padded(most + 1), 1), Err(WireError::TooLong(most)));
    assert!(Submitted::most_bytes(2) > most);
}

proptest! {
    #[test]
    fn a_page_is_read_as_written(header in prop::collection::vec(any::<u8>(), 0..40), salt: [u8; 16], leaf: [u8; 32],
                                 body in prop::collection::vec(any::<u8>(), 0..200)) {
        let entry = log::entry::Entry { header, salt, body };
        let page = page(vec![Entry::Whole(entry), Entry::Hidden(leaf)]);
        prop_assert_eq!(decoded(&page), Ok(page));
    }
}
