//! Publishing files of rows.

use serde_json::Value;

use crate::stage::{Stage, spki};

fn csv(rows: core::ops::Range<u64>) -> String {
    let row = |number: u64| format!("{},SN-{number:05}\n", spki(number));
    format!("spki,serial\n{}", rows.map(row).collect::<String>())
}

#[test]
fn goes_on_where_it_stopped_and_publishes_nothing_twice() {
    let mut stage = Stage::started();
    let input = stage.write("devices.csv", csv(0..40));
    let words = ["publish", "--from", &input, "--model", "P7"];
    let outcome = stage.ok(&words);
    assert_eq!((outcome["published"].as_u64(), outcome["already"].as_u64()), (Some(40), Some(0)));
    let size = stage.size("serial:SN-00039");

    // More rows in the same file, and the node is killed.
    stage.write("devices.csv", csv(0..60));
    stage.kill();
    assert_eq!(stage.run(&words).code, 4);
    stage.start();
    let outcome = stage.ok(&words);
    assert_eq!((outcome["published"].as_u64(), outcome["already"].as_u64()), (Some(20), Some(40)));
    assert_eq!(stage.size("serial:SN-00059"), size + 20);

    // The acknowledgements of twenty rows were lost: they are signed into the same statements again.
    let journal = stage.path("devices.csv.journal");
    let text = std::fs::read_to_string(&journal).expect("a journal");
    let kept: Vec<&str> = text.lines().take(41).collect();
    std::fs::write(&journal, kept.join("\n") + "\n").expect("cut");
    let outcome = stage.ok(&words);
    assert_eq!((outcome["published"].as_u64(), outcome["already"].as_u64()), (Some(20), Some(40)));
    assert_eq!(stage.size("serial:SN-00059"), size + 20, "the log has grown by nothing");
}

#[test]
fn bad_rows_are_reported_and_the_others_published() {
    let stage = Stage::started();
    let mut rows: Vec<String> = csv(0..5).lines().map(str::to_owned).collect();
    rows[2] = "AAAA,SN-00001".to_owned();
    rows[3] = format!("{},SN\u{7}", spki(2));
    rows.push(format!("{},SN-6,surplus", spki(6)));
    let input = stage.write("devices.csv", rows.join("\n") + "\n");
    let ended = stage.run(&["publish", "--from", &input]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let outcome = ended.json();
    assert_eq!((outcome["published"].as_u64(), outcome["refused"].as_u64()), (Some(3), Some(3)));
    let report = std::fs::read_to_string(outcome["report"].as_str().expect("a report")).expect("read");
    let refused: Vec<(u64, String)> = report
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| (line["row"].as_u64().unwrap_or(0), line["detail"].as_str().unwrap_or_default().to_owned()))
        .collect();
    let rows: Vec<u64> = refused.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, [2, 3, 6], "{refused:?}");
    assert!(refused[0].1.contains("column `spki`"), "{refused:?}");
    assert!(refused[1].1.contains("control character"), "{refused:?}");
    assert!(refused[2].1.contains("3 columns"), "{refused:?}");

    // Once corrected, only the refused rows are published.
    stage.write("devices.csv", csv(0..5));
    let outcome = stage.ok(&["publish", "--from", &input]);
    assert_eq!((outcome["published"].as_u64(), outcome["already"].as_u64()), (Some(2), Some(3)));
    assert!(!stage.path("devices.csv.refused.ndjson").exists(), "none is refused any more");
}

#[test]
fn ndjson_and_what_a_node_refuses() {
    let stage = Stage::started();
    let good = format!("{{\"spki\":\"{}\",\"serial\":\"SN-1\",\"kind\":\"gateway\"}}", spki(1));
    let foreign = format!("{{\"spki\":\"{}\",\"host\":\"pump.other.example\"}}", spki(2));
    let input = stage.write("devices.ndjson", format!("{good}\n{foreign}\n"));
    let ended = stage.run(&["publish", "--from", &input]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let report = std::fs::read_to_string(stage.path("devices.ndjson.refused.ndjson")).expect("a report");
    let refused: Value = serde_json::from_str(report.trim()).expect("one line");
    assert_eq!((refused["row"].as_u64(), refused["problem"]["status"].as_u64()), (Some(2), Some(403)));
    assert_eq!(stage.record("serial:SN-1")["kind"], "gateway");
}

#[test]
fn a_journal_belongs_to_its_signer() {
    let stage = Stage::started();
    let input = stage.write("devices.csv", csv(0..2));
    stage.ok(&["publish", "--from", &input]);
    let other = stage.run(&["publish", "--from", &input, "--role", "integrator"]);
    assert_eq!(other.code, 5, "{other:?}");
    assert_eq!(other.failure().1, "move it away to publish all rows anew");
}

#[test]
fn a_journal_belongs_to_what_was_said_of_all_rows() {
    let stage = Stage::started();
    let input = stage.write("devices.csv", csv(0..2));
    stage.ok(&["publish", "--from", &input, "--manu", "Acme"]);
    let other = stage.run(&["publish", "--from", &input, "--manu", "Acmee"]);
    assert_eq!(other.code, 5, "no row would say so, and none be published: {other:?}");
    assert!(other.failure().0.ends_with("said manu = Acme of all rows, and this one says manu = Acmee"), "{other:?}");
    assert_eq!(stage.ok(&["publish", "--from", &input, "--manu", "Acme"])["already"], 2);
}

#[test]
fn a_journal_begun_while_the_clock_was_ahead_is_moved_away_by_hand() {
    let stage = Stage::started();
    let input = stage.write("devices.csv", csv(0..2));
    stage.ok(&["publish", "--from", &input]);
    let journal = stage.path("devices.csv.journal");
    let text = std::fs::read_to_string(&journal).expect("a journal");
    let (head, rows) = text.split_once('\n').expect("a head");
    let mut head: Value = serde_json::from_str(head).expect("JSON");
    head["signed_at"] = "2999-01-01T00:00:00Z".into();
    std::fs::write(&journal, format!("{head}\n{rows}")).expect("written");
    let ahead = stage.run(&["publish", "--from", &input]);
    assert_eq!(ahead.code, 5, "{ahead:?}");
    assert!(ahead.failure().0.contains("signed as of 2999-01-01"), "{ahead:?}");
    assert!(ahead.failure().1.starts_with("set the clock right"), "{ahead:?}");

    // Also if no row is known to be in the log: rows may wait at a mirror.
    let more = stage.write("more.csv", csv(2..4));
    let journal = stage.path("more.csv.journal");
    std::fs::write(&journal, format!("{head}\n")).expect("written");
    let ahead = stage.run(&["publish", "--from", &more]);
    assert_eq!((ahead.code, ahead.failure().1.contains("move the journal away")), (5, true), "{ahead:?}");
    std::fs::rename(&journal, stage.path("former.journal")).expect("moved away");
    let outcome = stage.ok(&["publish", "--from", &more]);
    assert_eq!((outcome["published"].as_u64(), outcome["refused"].as_u64()), (Some(2), Some(0)));
}

#[test]
fn rows_that_share_a_key_or_a_name_are_refused() {
    let stage = Stage::started();
    let row = |key: u64, serial: &str| format!("{},{serial}\n", spki(key));
    let rows = [row(1, "SN-1"), row(2, "SN-1"), row(1, "SN-3"), row(4, "SN 4"), row(5, "SN-5")].concat();
    let input = stage.write("devices.csv", format!("spki,serial\n{rows}"));
    let ended = stage.run(&["publish", "--from", &input]);
    assert_eq!(
        (ended.code, ended.json()["published"].as_u64(), ended.json()["refused"].as_u64()),
        (1, Some(2), Some(3))
    );
    let report = std::fs::read_to_string(stage.path("devices.csv.refused.ndjson")).expect("a report");
    for expected in ["the name `serial:SN-1` stands in another row", "the key `", "the name `serial:SN 4` contains"] {
        assert!(report.contains(expected), "{expected}: {report}");
    }

    // In a repeated run they are refused again: rows that are already in the log still count as rows of the file.
    let again = stage.run(&["publish", "--from", &input]);
    let outcome = again.json();
    assert_eq!(
        (again.code, outcome["published"].as_u64(), outcome["already"].as_u64(), outcome["refused"].as_u64()),
        (1, Some(0), Some(2), Some(3))
    );
    let unsigned =
        stage.run(&["publish", "--from", &input, "--unsigned", stage.path("batch.ics").to_str().expect("text")]);
    assert_eq!(unsigned.code, 5, "the file is wrong, and not the command line: {unsigned:?}");
    assert_eq!(unsigned.failure().0, "row 2: the name `serial:SN-1` stands in another row of this file");
}

#[test]
fn a_quote_that_is_not_closed_lets_no_row_drop() {
    let stage = Stage::started();
    let input = stage.write("devices.csv", csv(1..6).replace(",SN-00002", ",\"SN-00002"));
    let batch = stage.path("batch.ics");
    for more in [&[][..], &["--unsigned", batch.to_str().expect("UTF-8")]] {
        let ended = stage.run(&[&["publish", "--from", &input][..], more].concat());
        assert_eq!(ended.code, 5, "{ended:?}");
        let (message, hint) = ended.failure();
        assert!(message.starts_with("row 2: ") && message.ends_with("nothing behind this row was read"), "{message}");
        assert!(hint.starts_with("close the quote"), "{hint}");
    }
    stage.write("devices.csv", csv(1..6));
    let outcome = stage.ok(&["publish", "--from", &input]);
    let count = |name: &str| outcome[name].as_u64().expect("a number");
    assert_eq!(count("published") + count("already"), 5, "{outcome}");
}

#[test]
fn files_that_are_not_rows() {
    let stage = Stage::started();
    for (name, content, code) in [("a.txt", "x", 2), ("a.csv", "spki,colour\n", 5)] {
        let input = stage.write(name, content);
        assert_eq!(stage.run(&["publish", "--from", &input]).code, code, "{name}");
    }
    let empty = stage.write("empty.csv", "spki,serial\n");
    let shown = stage.words_alone("home", &["publish", "--from", &empty]);
    assert!(shown.contains("the file has no rows"), "{shown}");
    assert_eq!(stage.run(&["publish", "--from", "none.csv"]).code, 5);
    assert!(!stage.path("a.csv.journal").exists(), "nothing was begun");
}

/// Software is published file by file, and after an interruption the same commands are run again.
#[test]
fn what_was_published_in_the_same_words_is_told_and_not_signed_again() {
    let mut stage = Stage::of("developer", "code.soft.example");
    stage.start();
    let file = stage.write("firmware.bin", "firmware");
    let publish = |version: &str, more: &[&str]| {
        let words = ["publish", "--file", &file, "--name", "firmware", "--model", "P7", "--version", version];
        stage.run(&[&words[..], more].concat())
    };
    let first = publish("1", &[]).json();
    assert_eq!(first["already"], Value::Null);
    let again = publish("1", &[]);
    assert_eq!((again.code, &again.json()["already"]), (0, &true.into()), "{again:?}");
    for member in ["id", "statement", "index"] {
        assert_eq!(again.json()[member], first[member], "{member}");
    }
    let differing: [(&str, &[&str]); 2] = [("2", &[]), ("1", &["--lot", "7"])];
    for (version, more) in differing {
        let other = publish(version, more);
        let why = other.failure().0;
        assert_eq!((other.code, why.starts_with("it is published already: software firmware 1")), (1, true), "{why}");
    }
    let record = stage.record(first["id"].as_str().expect("an id"));
    assert_eq!(record["statements"].as_array().map(Vec::len), Some(1), "{record:#}");
}
