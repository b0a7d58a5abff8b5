use super::*;
use crate::log::checkpoint::Checkpoint;
use crate::log::fixtures::{ExampleLog, signing_key};

fn head(log: &ExampleLog) -> RecordHead {
    let Checkpoint { origin, size, root } = log.head();
    RecordHead {
        origin,
        asked: "serial:SN-1".to_owned(),
        finding: Finding::Identity("ab".repeat(20)),
        at: Timestamp::from_seconds(1_767_225_700),
        size,
        root,
        indices: vec![0, 1, 7, 19],
    }
}

#[test]
fn what_was_signed_is_opened_as_it_was() {
    let log = ExampleLog::new(20);
    let findings = [
        Finding::Identity(format!("sha256:{}", "cd".repeat(32))),
        Finding::Nothing(None),
        Finding::Nothing(Some([7; 32])),
    ];
    for finding in findings {
        let head = RecordHead { finding, ..head(&log) };
        assert_eq!(RecordHead::open(&head.sign(&log.home).unwrap(), &log.key()), Ok(head));
    }
}

#[test]
fn it_is_no_checkpoint_and_a_checkpoint_is_none() {
    let log = ExampleLog::new(20);
    let note = head(&log).sign(&log.home).unwrap();
    assert!(Checkpoint::open(&note, &log.key()).is_err());
    let refused = RecordHead::open(&log.checkpoint(), &log.key());
    assert!(matches!(refused, Err(RecordHeadError::Line(_))), "{refused:?}");
}

#[test]
fn other_keys_and_other_texts_are_refused() {
    let log = ExampleLog::new(20);
    let note = head(&log).sign(&log.home).unwrap();
    let by_another = head(&log).sign(&signing_key(2)).unwrap();
    let unsigned = NoteError::Unsigned(log.origin.to_string());
    assert_eq!(RecordHead::open(&by_another, &log.key()), Err(unsigned.into()));
    let elsewhere = RecordHead { origin: Origin { entry0: [9; 32], ..log.origin.clone() }, ..head(&log) };
    let refused = RecordHead::open(&elsewhere.sign(&log.home).unwrap(), &log.key());
    assert!(matches!(refused, Err(RecordHeadError::OtherOrigin { .. })), "{refused:?}");
    for (from, to) in [
        ("SN-1", "SN-2"),
        ("identity ab", "identity ba"),
        ("time 1767225700", "time 1767225701"),
        ("\n7\n", "\n8\n"),
        ("\n7\n", "\n"),
    ] {
        let refused = RecordHead::open(&note.replacen(from, to, 1), &log.key());
        assert_eq!(refused, Err(NoteError::BadSignature(log.origin.to_string()).into()), "{to}");
    }
}

#[test]
fn there_is_one_text_for_each() {
    let log = ExampleLog::new(20);
    let text = head(&log).text();
    assert_eq!(RecordHead::parse(&text).map(|head| head.text()), Ok(text.clone()));
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        RecordHead::parse(&text.replacen(from, to, 1)).expect_err(to)
    };
    for (from, to) in [
        ("record-head/v1", "record-head/v2"),
        ("devices.acme.example/", "devices.acme.example"),
        ("asked serial", "ask serial"),
        ("asked serial:SN-1", "asked "),
        ("asked serial:SN-1", "asked serial:\u{7f}"),
        ("identity ab", "identity AB"),
        ("identity ab", "identity xy"),
        ("identity ab", "nothing for me ab"),
        ("time 1767225700", "time 01767225700"),
        ("time 1767225700", "time 999999999999999"),
        ("\n20\n", "\n+20\n"),
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n\n"),
    ] {
        let why = refused(from, to);
        assert!(matches!(why, RecordHeadError::Line(_)), "{to}: {why:?}");
    }
    assert_eq!(refused("\n7\n", "\n1\n"), RecordHeadError::Index(1));
    assert_eq!(refused("\n19\n", "\n20\n"), RecordHeadError::Index(20));
    for cut in 0..7 {
        let lines: Vec<&str> = text.lines().take(cut).collect();
        let short = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(RecordHead::parse(&short), Err(RecordHeadError::Cut), "{cut} lines");
    }
}

#[test]
fn more_than_the_bounds_is_not_read() {
    let log = ExampleLog::new(20);
    let all = (limits::EVIDENCE_ENTRIES + 1) as u64;
    let full = RecordHead { size: u64::MAX, indices: (0..all - 1).collect(), ..head(&log) };
    assert!(full.sign(&log.home).is_ok());
    let one_more = RecordHead { size: u64::MAX, indices: (0..all).collect(), ..head(&log) };
    assert_eq!(one_more.sign(&log.home), Err(RecordHeadError::TooMany));
    let long = "x".repeat(limits::RECORD_HEAD_BYTES + 1);
    assert_eq!(RecordHead::open(&long, &log.key()), Err(RecordHeadError::TooLong(long.len())));
    assert_eq!(RecordHead::parse(&long), Err(RecordHeadError::TooLong(long.len())));
    let longest = "x".repeat(limits::RECORD_HEAD_BYTES);
    assert_eq!(RecordHead::parse(&longest), Err(RecordHeadError::Cut));
    assert!(matches!(RecordHead::open(&longest, &log.key()), Err(RecordHeadError::Note(NoteError::Form(_)))));
}
