//! Statements about groups of another domain.

use crate::stage::{DOMAIN, Stage, spki};

const LABELS: &str = "labels.acme.example";
const LOT: &str = "Lot 2026-11";

/// An examining body that labels what others make, at a manufacturer's node.
fn with_examiner() -> Stage {
    let mut stage = Stage::new();
    let node = format!("ics.{DOMAIN}=node");
    let create = ["domain", "create", LABELS, "--template", "certification", "--owner", "owner", "--home-node", &node];
    stage.ok(&[&create[..], &["--signer", "certification-body=signer"]].concat());
    let text = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let home = format!("\n[[home]]\ndomain = \"{LABELS}\"\ndescriptor = \"domains/{LABELS}.v1.pgp\"\n");
    stage.write("home/ics.toml", text + &home);
    stage.start();
    stage
}

fn as_examiner<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--domain", LABELS, "--role", "certification-body", "--dry-run"]].concat()
}

/// The body labels groups published by others, since it has none of its own.
#[test]
fn a_group_of_another_domain_is_found_by_its_name_too() {
    let stage = with_examiner();
    let label = |group: &str| stage.run(&as_examiner(&["label", "iec-62443-4-2", "--group", group]));
    let unknown = label(LOT);
    assert_eq!((unknown.code, unknown.failure().0.starts_with("no domain of the node has a group")), (3, true));
    let group = stage.ok(&["publish", "--group", LOT, "--select", "lot=2026-11"]);
    for named in [LOT, group["id"].as_str().expect("an id")] {
        let found = label(named);
        assert_eq!(found.code, 0, "{named}: {found:?}");
    }
}

/// Membership is judged in each domain: a recall in one that has none of the members recalls nothing.
#[test]
fn what_would_hold_for_no_member_is_told_and_a_block_is_refused() {
    let stage = with_examiner();
    let group = stage.ok(&["publish", "--group", LOT, "--select", "lot=2026-11"]);
    let suspend = ["status", "suspended", "--group", LOT];
    stage.ok(&[&suspend[..], &["--dry-run"]].concat());
    let none = stage.run(&as_examiner(&suspend)).failure().0;
    let nothing = format!("no thing of group {LOT} is known in `{LABELS}`: it will hold for none");
    assert!(none.starts_with(&nothing), "{none}");

    for (number, serial) in [(1, "SN-1"), (2, "SN-2")] {
        stage.ok(&["publish", "--spki", &spki(number), "--serial", serial, "--lot", "2026-11"]);
    }
    stage.ok(&["publish", "--spki", &spki(3), "--serial", "SN-3", "--lot", "2026-12"]);
    let members = stage.ok(&["list", "--group", group["id"].as_str().expect("an id")]);
    assert_eq!(members["items"].as_array().map(Vec::len), Some(2), "{members}");

    let known = format!("of group {LOT}, 2 things are known in `{DOMAIN}`, and none in `{LABELS}`");
    let refused = stage.run(&as_examiner(&suspend));
    let (message, hint) = refused.failure();
    assert_eq!((refused.code, message.starts_with(&known)), (1, true), "{refused:?}");
    assert!(hint.contains("ics adopt") && hint.contains("--without-members"), "{hint}");
    stage.ok(&as_examiner(&[&suspend[..], &["--without-members"]].concat()));
    let told = stage.for_people("home", &as_examiner(&["label", "iec-62443-4-2", "--group", LOT]));
    assert_eq!((told.code, told.stderr.contains(&known)), (0, true), "{told:?}");
    stage.ok(&[&suspend[..], &["--dry-run"]].concat());
}
