//! What an end and a withdrawal leave of earlier statements.

use ics_core::evidence::Evidence;
use serde_json::Value;

use crate::reading::{publish, with_a_device};
use crate::stage::{DOMAIN, Stage, spki};

const EARLIER: &str = "2029-01-01T00:00:00Z";
const LATER: &str = "2030-01-01T00:00:00Z";
const AFTER: &str = "2031-01-01T00:00:00Z";

/// What the domain will say about a thing at that time, if nothing more is said.
fn record_then(stage: &Stage, thing: &str) -> Value {
    let path = stage.path("then.json").to_str().expect("UTF-8").to_owned();
    stage.ok(&["export", thing, "-o", &path]);
    stage.ok(&["verify", "--document", &path, "--at", AFTER])["record"].take()
}

fn counted(record: &Value, what: &str) -> usize {
    record[what].as_array().map_or(0, Vec::len)
}

/// An expired statement no longer replaces anything: the one without an end would stand again, and permit for ever.
#[test]
fn what_permits_until_a_time_permits_nothing_after_it() {
    for (party, words) in [
        ("manufacturer", ["approve", "serial:SN-1", "--yes"].as_slice()),
        ("manufacturer", ["status", "in-use", "serial:SN-1", "--yes"].as_slice()),
        ("certification", ["label", "checked", "serial:SN-1", "--yes"].as_slice()),
    ] {
        let mut stage = Stage::of(party, DOMAIN);
        stage.start();
        publish(&stage, 1, "SN-1");
        let given = |record: &Value| {
            let status = usize::from(!record["status"].is_null());
            counted(record, "approvals") + counted(record, "labels") + status
        };
        stage.ok(words);
        assert_eq!(given(&record_then(&stage, "serial:SN-1")), 1, "{words:?} has no end");
        // Also if an end is postponed.
        for until in [EARLIER, LATER] {
            stage.ok(&[words, &["--until", until]].concat());
            assert_eq!(given(&stage.record("serial:SN-1")), 1, "{words:?}");
        }
        let record = record_then(&stage, "serial:SN-1");
        assert_eq!(given(&record), 0, "{words:?}: {record}");
    }
}

/// The end is what people look for on a certificate.
#[test]
fn the_end_of_a_label_is_shown() {
    let mut stage = Stage::of("certification", DOMAIN);
    stage.start();
    publish(&stage, 1, "SN-1");
    stage.ok(&["label", "checked", "serial:SN-1", "--until", LATER, "--yes"]);
    assert_eq!(stage.record("serial:SN-1")["labels"][0]["until"], LATER);
    let shown = stage.for_people("home", &["lookup", "serial:SN-1"]);
    assert!(shown.stdout.contains("checked, until 2030-01-01 00:00:00 UTC"), "{shown:?}");
}

/// A renewed label has another name; the former label must not count on any day, not even after the end of the new one.
#[test]
fn a_label_takes_the_place_of_a_former_one() {
    let mut stage = Stage::of("certification", DOMAIN);
    stage.start();
    publish(&stage, 1, "SN-1");
    let labels = |record: &Value| {
        let labels = record["labels"].as_array().into_iter().flatten();
        labels.map(|label| label["value"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let label = |words: &[&str]| stage.run(&[&["label"][..], words, &["serial:SN-1", "--yes"]].concat());
    let said = |words: &[&str]| label(words).json()[0]["statement"].as_str().expect("a statement").to_owned();
    let first = said(&["iso-2017"]);
    let second = said(&["iso-2022", "--supersedes", &first]);
    assert_eq!(labels(&stage.record("serial:SN-1")), ["iso-2022"]);
    said(&["iso-2027", "--until", LATER, "--supersedes", &second]);
    assert_eq!(labels(&stage.record("serial:SN-1")), ["iso-2027"]);
    assert!(labels(&record_then(&stage, "serial:SN-1")).is_empty(), "nor does one come back");

    let gone = label(&["iso-2032", "--supersedes", &first]);
    let (message, _) = gone.failure();
    assert!(gone.code == 3 && message.contains("(label iso-2027, until 2030-01-01"), "{gone:?}");
    assert!(message.contains("`ics label iso-2032 ") && message.contains(" --supersedes "), "{message}");
}

/// A new signer repeats what the former one says, no more and no longer.
#[test]
fn a_label_is_given_again_to_what_has_it() {
    let mut stage = Stage::of("certification", DOMAIN);
    stage.start();
    publish(&stage, 1, "SN-1");
    publish(&stage, 2, "SN-2");
    stage.ok(&["label", "checked", "serial:SN-1", "--until", LATER, "--yes"]);
    stage.ok(&["label", "seen", "serial:SN-2", "--yes"]);
    stage.ok(&["key", "make", "second", "--user-id", "Second"]);
    stage.ok(&["domain", "update", "--add-signer", "certification-body=second"]);
    stage.ok(&["domain", "submit"]);
    let words = ["label", "checked", "--all", "--signer", "second"];
    let told = stage.for_people("home", &[&words[..], &["--dry-run"]].concat());
    let left_out = "1 thing left out: nobody in this role labels them so now; name them to label them";
    assert!(told.stderr.contains(left_out), "{told:?}");
    let after = stage.ok(&[&words[..], &["--from", AFTER, "--dry-run"]].concat());
    assert_eq!(after, serde_json::json!([]), "what is over by then is not said again");
    let again = || stage.ok(&[&words[..], &["--yes"]].concat());
    assert_eq!(again().as_array().map(Vec::len), Some(1));
    let labels = stage.record("serial:SN-1")["labels"].clone();
    let second = labels.as_array().expect("labels").iter().find(|it| it["by"]["name"] == "Second");
    assert_eq!(second.expect("it is given")["until"], LATER, "{labels}");
    assert_eq!(counted(&stage.record("serial:SN-2"), "labels"), 1);
    assert_eq!(again(), serde_json::json!([]), "done again there is nothing left");
}

#[test]
fn taking_back_one_of_several_labels_takes_its_name() {
    let mut stage = Stage::of("certification", DOMAIN);
    stage.start();
    publish(&stage, 1, "SN-1");
    for label in ["ce", "iec", "ul"] {
        stage.ok(&["label", label, "serial:SN-1", "--yes"]);
    }
    let withdraw = |words: &[&str]| stage.run(&[&["withdraw", "serial:SN-1", "--yes"][..], words].concat());
    let several = withdraw(&["--act", "label"]);
    let (message, hint) = several.failure();
    assert!(
        several.code == 1 && message.contains("has several labels") && hint.contains("--label NAME"),
        "{several:?}"
    );
    for label in ["ce", "iec", "ul"] {
        assert!(message.contains(&format!("(label {label}): `ics withdraw ")), "{label}: {message}");
    }
    let unknown = withdraw(&["--label", "ecc"]);
    assert!(unknown.code == 3 && unknown.failure().0.contains("(label iec): `ics withdraw "), "{unknown:?}");
    let left = || counted(&stage.record("serial:SN-1"), "labels");
    assert_eq!(left(), 3, "nothing was taken back");

    assert_eq!((withdraw(&["--label", "iec"]).code, left()), (0, 2));
    assert_eq!((withdraw(&["--label", "ce", "--label", "ul"]).code, left()), (0, 0));
    stage.ok(&["label", "ce", "serial:SN-1", "--yes"]);
    assert_eq!((withdraw(&["--act", "label"]).code, left()), (0, 0), "of one it is clear which");
}

#[test]
fn what_ends_with_a_time_is_told_and_signed_elsewhere_together() {
    let stage = with_a_device();
    stage.ok(&["approve", "serial:SN-1", "--yes"]);
    let limited = ["approve", "serial:SN-1", "--until", LATER];
    let planned = stage.ok(&[&limited[..], &["--dry-run"]].concat());
    let says = |place: usize| planned[place]["says"].as_str().unwrap_or_default();
    assert!(says(0).starts_with("approval, until"), "{planned}");
    assert_eq!((says(1), planned.as_array().map(Vec::len)), ("withdrawal, takes back 1 statement", Some(2)));
    let shown = stage.for_people("home", &[&limited[..], &["--dry-run"]].concat());
    assert!(shown.stderr.contains("(approval) ends for good"), "{shown:?}");

    stage.ok(&[&limited[..], &["--unsigned", "limited.ics"]].concat());
    stage.ok(&["sign", "limited.ics", "--yes"]);
    stage.ok(&["submit", "limited.signed.ics"]);
    assert_eq!(counted(&stage.record("serial:SN-1"), "approvals"), 1);
    assert_eq!(counted(&record_then(&stage, "serial:SN-1"), "approvals"), 0);
}

/// After a temporary block everything is as it was, and a temporary permit ends no block for good.
#[test]
fn a_block_returns_after_what_permits_and_what_was_permitted_after_a_block() {
    let stage = with_a_device();
    publish(&stage, 2, "SN-2");
    stage.ok(&["status", "in-use", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "suspended", "serial:SN-1", "--until", LATER, "--yes"]);
    assert_eq!(stage.status("serial:SN-1"), "suspended");
    assert_eq!(record_then(&stage, "serial:SN-1")["status"]["name"], "in-use");

    stage.ok(&["status", "lost", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "in-use", "serial:SN-1", "--until", LATER, "--yes"]);
    assert_eq!(stage.status("serial:SN-1"), "in-use");
    assert_eq!(record_then(&stage, "serial:SN-1")["status"]["name"], "lost");

    // Nor does what permitted before a block with an end come back after it.
    stage.ok(&["status", "in-use", "serial:SN-2", "--yes"]);
    for (status, until) in [("suspended", EARLIER), ("in-use", LATER)] {
        stage.ok(&["status", status, "serial:SN-2", "--until", until, "--yes"]);
    }
    assert_eq!(stage.status("serial:SN-2"), "in-use");
    assert!(record_then(&stage, "serial:SN-2")["status"].is_null());

    // What was lifted without an end stays lifted.
    stage.ok(&["status", "in-use", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "in-use", "serial:SN-1", "--until", LATER, "--yes"]);
    assert_eq!(stage.status("serial:SN-1"), "in-use");
    assert!(record_then(&stage, "serial:SN-1")["status"].is_null());
}

/// A withdrawn statement no longer replaces anything.
#[test]
fn nothing_comes_back_of_an_act_that_is_taken_back() {
    let stage = with_a_device();
    let withdraw = ["withdraw", "serial:SN-1", "--act", "status", "--yes"];
    for statuses in [["in-use", "in-use", "in-use"], ["lost", "stolen", "retired"]] {
        for status in statuses {
            stage.ok(&["status", status, "serial:SN-1", "--yes"]);
        }
        stage.ok(&withdraw);
        assert_eq!(stage.status("serial:SN-1"), "none", "{statuses:?}");
        assert_eq!(stage.run(&withdraw).code, 3, "nothing is left");
    }
    for until in [EARLIER, LATER] {
        stage.ok(&["approve", "serial:SN-1", "--until", until, "--yes"]);
    }
    stage.ok(&["withdraw", "serial:SN-1", "--act", "approval", "--yes"]);
    assert_eq!(counted(&stage.record("serial:SN-1"), "approvals"), 0);
}

/// Planned statements come into force by themselves, so withdrawing the act includes them.
#[test]
fn what_comes_into_force_later_is_taken_back_with_its_act() {
    let stage = with_a_device();
    let later = ["approve", "serial:SN-1", "--from", EARLIER, "--yes"];
    let withdraw = ["withdraw", "serial:SN-1", "--act", "approval"];
    let approvals = || counted(&record_then(&stage, "serial:SN-1"), "approvals");
    stage.ok(&["approve", "serial:SN-1", "--yes"]);
    stage.ok(&later);
    let shown = stage.for_people("home", &[&withdraw[..], &["--dry-run"]].concat());
    let told = "(approval, from 2029-01-01T00:00:00Z) is taken back before it comes into force";
    assert!(shown.stderr.contains(told), "{shown:?}");
    let asked = stage.at_a_terminal(&[&["--quiet"][..], &withdraw].concat(), "n\n");
    assert!(asked.code == 1 && asked.stdout.contains(told), "whoever is asked sees it: {asked:?}");
    assert_eq!(approvals(), 2);
    stage.ok(&[&withdraw[..], &["--yes"]].concat());
    assert_eq!(approvals(), 0);

    // Also if there is nothing else.
    let alone = stage.ok(&later)[0]["statement"].as_str().expect("a statement").to_owned();
    assert_eq!(approvals(), 1);
    stage.ok(&["withdraw", "serial:SN-1", "--statement", &alone, "--yes"]);
    assert_eq!(approvals(), 0);
    stage.ok(&later);
    stage.ok(&[&withdraw[..], &["--yes"]].concat());
    assert_eq!(approvals(), 0);
    let again = stage.run(&[&withdraw[..], &["--yes"]].concat());
    assert_eq!(again.code, 3, "nothing is left: {again:?}");
}

/// A planned block is still meant when another one is lifted, so whoever lifts that must be told.
#[test]
fn what_is_to_block_later_is_told_and_lifted_by_its_name_alone() {
    let stage = with_a_device();
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    stage.ok(&["grant", "owner", "--to", "buyer", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "lost", "serial:SN-1", "--yes"]);
    let planned = stage.ok(&["status", "lost", "serial:SN-1", "--from", EARLIER, "--yes"]);
    let planned = planned[0]["statement"].as_str().expect("a statement").to_owned();
    let lift = ["status", "in-use", "serial:SN-1", "--lift", "--signer", "buyer", "--role", "owner", "--yes"];
    let lifted = |more: &[&str]| {
        let ended = stage.for_people("home", &[&lift[..], more].concat());
        assert_eq!((ended.code, stage.status("serial:SN-1").as_str()), (0, "in-use"), "{ended:?}");
        (ended.stderr, record_then(&stage, "serial:SN-1")["status"]["name"].clone())
    };
    let (told, then) = lifted(&[]);
    assert!(told.contains("1 block to come, not lifted\ndevice SN-1 ("), "{told}");
    assert!(told.contains(&format!("(status lost, from {EARLIER}): `--supersedes {planned}` lifts it")), "{told}");
    assert_eq!(then, "lost");
    for more in [&["--supersedes", planned.as_str()][..], &[]] {
        let (told, then) = lifted(more);
        assert!(!told.contains("to come"), "{told}");
        assert_eq!(then, "in-use");
    }
}

/// It speaks for the same signer, in the same role and domain.
#[test]
fn a_command_that_is_told_can_be_run_as_it_stands() {
    let stage = with_a_device();
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    let granted = stage.ok(&["grant", "owner", "--to", "buyer", "serial:SN-1", "--yes"]);
    let granted = granted[0]["statement"].as_str().expect("a statement");
    let as_buyer = ["--domain", DOMAIN, "--signer", "buyer", "--role", "owner"];
    stage.ok(&[&["status", "in-use", "serial:SN-1", "--yes"][..], &as_buyer].concat());
    let withdraw = ["withdraw", "serial:SN-1", "--statement", granted, "--yes"];
    let of_another = stage.run(&[&withdraw[..], &as_buyer].concat());
    let (message, _) = of_another.failure();
    assert_eq!(of_another.code, 3, "{of_another:?}");
    let words: Vec<&str> = message.split('`').rfind(|it| it.starts_with("ics ")).expect(&message).split(' ').collect();
    stage.ok(&[&words[1..], &["--yes"]].concat());
    assert_eq!(stage.status("serial:SN-1"), "none");
}

/// A command about the thing, run as the seller.
fn as_seller<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["serial:SN-1", "--signer", "seller", "--role", "owner"]].concat()
}

/// A grant outlives its giver's role, and no later holder of the role could end it: a buyer must see what is to come.
#[test]
fn what_a_seller_gave_for_later_ends_with_the_sale() {
    let stage = with_a_device();
    for name in ["seller", "buyer", "friend"] {
        stage.ok(&["key", "make", name, "--user-id", name]);
    }
    stage.ok(&["grant", "owner", "--to", "seller", "serial:SN-1", "--yes"]);
    stage.ok(&as_seller(&["grant", "owner", "--to", "friend", "--from", EARLIER, "--yes"]));
    let shown = || stage.words_alone("home", &["lookup", "serial:SN-1"]);
    assert!(shown().contains("friend as owner, from 2029-01-01 00:00:00 UTC"), "{}", shown());
    let page = stage.page("serial:SN-1");
    assert!(page.contains("owner</span> to be</dt>") && page.contains("does not count yet: "), "{page}");

    let sale = ["grant", "owner", "--to", "buyer", "--transfer"];
    let asked = stage.for_people("home", &as_seller(&[&sale[..], &["--dry-run"]].concat()));
    let is_told = |line: &str| {
        line.starts_with("friend, ") && line.ends_with(" as owner from 2029-01-01 00:00:00 UTC over 1 thing")
    };
    assert!(asked.stderr.lines().any(is_told), "{asked:?}");
    stage.ok(&as_seller(&[&sale[..], &["--yes"]].concat()));
    assert!(!shown().contains("friend"), "{}", shown());
    let record = record_then(&stage, "serial:SN-1");
    let grants = record["grants"].as_array().expect("grants");
    let holders: Vec<&str> = grants.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(holders, ["buyer"], "{record}");
}

/// What others have said comes back, and whoever withdraws what had lifted it is told.
#[test]
fn what_stands_again_is_told() {
    let stage = with_a_device();
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    stage.ok(&["grant", "owner", "--to", "buyer", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "lost", "serial:SN-1", "--yes"]);
    let as_buyer = ["--signer", "buyer", "--role", "owner"];
    stage.ok(&[&["status", "in-use", "serial:SN-1", "--lift", "--yes"][..], &as_buyer].concat());
    let withdraw = [&["withdraw", "serial:SN-1", "--act", "status"][..], &as_buyer].concat();
    let shown = stage.for_people("home", &[&withdraw[..], &["--dry-run"]].concat());
    assert!(shown.stderr.contains("(status lost)") && shown.stderr.contains("stands again then"), "{shown:?}");
    stage.ok(&[&withdraw[..], &["--yes"]].concat());
    assert_eq!(stage.status("serial:SN-1"), "lost");
}

/// With the last entry about it, the key over which a block is signed is lost. Copies elsewhere still vouch for it.
#[test]
fn a_thing_of_which_all_was_erased_is_blocked_by_its_key_from_a_file() {
    let stage = Stage::started();
    let published = stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1", "--lot", "L1"]);
    let (id, index) = (published["id"].as_str().expect("an id"), published["index"].to_string());
    stage.ok(&["erase", "--entry", &index, "--yes"]);
    let block = |more: &[&str]| stage.run(&[&["status", "stolen", id, "--yes"][..], more].concat());
    let without = block(&[]);
    assert_eq!(without.code, 3, "{without:?}");
    let (message, hint) = without.failure();
    assert!(message.contains("is erased") && hint.contains("--thing-key FILE"), "{without:?}");
    let [of_other, its] = [("other.key", 2), ("its.key", 1)].map(|(file, number)| stage.write(file, spki(number)));
    let other = block(&["--thing-key", &of_other]);
    assert!(other.code == 2 && other.failure().0.contains("is not that of"), "{other:?}");
    let blocked = block(&["--thing-key", &its]);
    assert_eq!(blocked.code, 0, "{blocked:?}");
    assert_eq!(stage.status(id), "stolen");
    assert_eq!(stage.record(id)["vouched"], serde_json::json!([]), "nothing vouches for it again");
}

/// What cannot be erased does not name things that may have to be; only what OpenPGP revokes by name does.
#[test]
fn what_stays_for_ever_does_not_say_what_a_thing_is_called() {
    let stage = with_a_device();
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    stage.ok(&["approve", "serial:SN-1", "--yes"]);
    let said = |words: &[&str]| stage.ok(&[words, &["serial:SN-1", "--yes"]].concat())[0]["index"].clone();
    let granted = said(&["grant", "owner", "--to", "buyer"]);
    let ended = said(&["withdraw", "--act", "grant"]);
    let disapproved = said(&["withdraw", "--act", "approval"]);

    let path = stage.path("pump.json").to_str().expect("UTF-8").to_owned();
    stage.ok(&["export", "serial:SN-1", "-o", &path]);
    let pack = std::fs::read(&path).expect("read");
    let pack = Evidence::parse(&pack).expect("evidence");
    let names_it = |index: &Value| {
        let entry = pack.entries.iter().find(|it| Some(it.receipt.index) == index.as_u64()).expect("it is there");
        entry.body.windows(4).any(|text| text == b"SN-1")
    };
    assert_eq!([&granted, &ended, &disapproved].map(names_it), [false, false, true]);
    assert_eq!(stage.record("serial:SN-1")["title"], "device SN-1");
}

#[test]
fn a_reason_that_cannot_be_erased_is_told_before_it_is_signed() {
    let stage = with_a_device();
    stage.ok(&["status", "suspended", "serial:SN-1", "--yes"]);
    let shown = |words: &[&str]| {
        let words = [words, &["serial:SN-1", "--reason", "the patient left", "--dry-run"]].concat();
        let shown = stage.for_people("home", &words);
        assert_eq!(shown.code, 0, "{shown:?}");
        shown.stderr
    };
    assert!(!shown(&["status", "lost"]).contains("cannot be erased"));
    let withdrawal = shown(&["withdraw", "--act", "status"]);
    assert!(withdrawal.contains("the reason") && !withdrawal.contains("the name"), "{withdrawal}");
    let revocation = shown(&["withdraw", "--act", "identity"]);
    assert!(revocation.contains("the name and the reason"), "{revocation}");
}
