//! Publishing, approving, statuses, labels, grants, withdrawals.

use crate::between::answers_submissions;
use crate::stage::{DOMAIN, Stage, spki};

const EARLIER: &str = "2029-01-01T00:00:00Z";
const LATER: &str = "2030-01-01T00:00:00Z";

fn publish(stage: &Stage, number: u64, serial: &str) -> String {
    let published =
        stage.ok(&["publish", "--spki", &spki(number), "--serial", serial, "--model", "P7", "--lot", "2026-11"]);
    published["id"].as_str().expect("an id").to_owned()
}

fn with_a_device() -> Stage {
    let stage = Stage::started();
    publish(&stage, 1, "SN-1");
    stage
}

const LOT: &str = "Lot 2026-11";

/// Two devices of a lot, and the group of it.
fn with_a_lot() -> Stage {
    let stage = with_a_device();
    publish(&stage, 2, "SN-2");
    stage.ok(&["publish", "--group", LOT, "--select", "model=P7", "--select", "lot=2026-11"]);
    stage
}

#[test]
fn a_thing_is_introduced_approved_and_used() {
    let stage = Stage::started();
    let id = publish(&stage, 1, "SN-1");
    stage.ok(&["approve", "serial:SN-1", "--yes", "--reason", "tested"]);
    stage.ok(&["status", "in-use", &id, "--yes"]);
    let record = stage.record("serial:SN-1");
    assert_eq!(record["id"], id.as_str());
    assert_eq!(record["title"], "device SN-1");
    assert_eq!(record["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(record["status"]["name"], "in-use");
    assert_eq!(record["attributes"]["model"][0]["value"], "P7");
}

#[test]
fn a_status_replaces_the_signers_own_and_nothing_is_signed_unasked() {
    let stage = with_a_device();
    for status in ["in-use", "suspended", "in-use", "stolen"] {
        stage.ok(&["status", status, "serial:SN-1", "--yes"]);
        assert_eq!(stage.status("serial:SN-1"), status);
    }
    let before = stage.size("serial:SN-1");
    let asked = stage.run(&["status", "in-use", "serial:SN-1"]);
    assert_eq!((asked.code, asked.failure().0.as_str()), (2, "there is nobody to ask"));
    assert_eq!(stage.size("serial:SN-1"), before);
}

/// Otherwise the earlier statement without an end would still hold, and the time limit would limit nothing.
#[test]
fn an_approval_with_an_end_takes_the_place_of_the_signers_own_without_one() {
    let stage = with_a_device();
    let approve = |words: &[&str]| stage.ok(&[&["approve", "serial:SN-1", "--yes"][..], words].concat());
    let first = approve(&[])[0]["statement"].as_str().expect("an id").to_owned();
    let standing = |statement: &str| {
        let record = stage.record("serial:SN-1");
        let listed = record["statements"].as_array().expect("statements").clone();
        let one = listed.into_iter().find(|it| it["statement"] == statement).expect("it is listed");
        one["standing"].as_str().expect("a word").to_owned()
    };
    let night = approve(&["--from", EARLIER, "--until", LATER])[0]["statement"].as_str().expect("an id").to_owned();
    assert_eq!(
        (standing(&first).as_str(), standing(&night).as_str()),
        ("stands", "not-yet"),
        "windows stand beside it"
    );
    let limited = approve(&["--until", LATER])[0]["statement"].as_str().expect("an id").to_owned();
    assert_eq!(standing(&limited), "stands");
    assert_eq!(standing(&first), "withdrawn", "replaced it would stand again when the other one is over");
    assert_eq!(standing(&night), "not-yet");
}

#[test]
fn a_question_shows_what_it_is_about() {
    let stage = with_a_device();
    let before = stage.size("serial:SN-1");
    let approve = ["approve", "serial:SN-1", "--reason", "tested"];
    let add = ["peer", "add", "maker", "--url", stage.url(), DOMAIN];
    for flag in ["--quiet", "--json"] {
        for (words, shown) in [(&approve[..], ["device SN-1", "tested"]), (&add[..], ["origin", "fresh for"])] {
            let asked = stage.at_a_terminal(&[&[flag][..], words].concat(), "n\n");
            assert_eq!(asked.code, 1, "{flag} {words:?}: {asked:?}");
            let seen = asked.stdout.split("[y/N]").next().unwrap_or_default();
            assert!(seen.len() < asked.stdout.len(), "nobody was asked: {asked:?}");
            assert!(shown.iter().all(|it| seen.contains(it)), "{flag} {words:?}: {asked:?}");
        }
    }
    // There is no question, so only the result is printed.
    let said = stage.at_a_terminal(&["--json", "approve", "serial:SN-1", "--yes"], "");
    assert_eq!((said.code, said.json()[0]["index"].as_u64()), (0, Some(before)), "{said:?}");
    let planned = stage.at_a_terminal(&["--json", "approve", "serial:SN-1", "--dry-run"], "");
    assert_eq!((planned.code, planned.json().as_array().map(Vec::len)), (0, Some(1)), "{planned:?}");
}

#[test]
fn one_signature_recalls_a_lot() {
    let stage = with_a_lot();
    let before = stage.size("serial:SN-1");
    stage.ok(&["status", "suspended", "--group", LOT, "--reason", "battery may overheat", "--yes"]);
    // One statement; the signer's certificate is already in the log.
    assert_eq!(stage.size("serial:SN-1"), before + 1);
    for thing in ["serial:SN-1", "serial:SN-2"] {
        let record = stage.record(thing);
        assert_eq!(
            (record["status"]["name"].as_str(), record["status"]["reason"].as_str()),
            (Some("suspended"), Some("battery may overheat"))
        );
        assert!(record["status"]["by"]["group"].is_string(), "{record}");
    }
}

#[test]
fn a_list_is_taken_from_a_file_or_by_lot_and_each_thing_once() {
    let stage = with_a_device();
    let id = publish(&stage, 2, "SN-2");
    let list = stage.write("list.txt", format!("serial:SN-1\n\n{id}\nserial:SN-2\n"));
    let said = stage.ok(&["approve", "--from-file", &list, "--yes"]);
    assert_eq!(said.as_array().map(Vec::len), Some(2), "{said}");
    let said = stage.ok(&["status", "in-use", "--lot", "2026-11", "--model", "P7", "--yes"]);
    assert_eq!(said.as_array().map(Vec::len), Some(2), "{said}");
    assert_eq!(stage.status("serial:SN-2"), "in-use");
}

#[test]
fn what_was_said_is_taken_back() {
    let stage = with_a_device();
    stage.ok(&["approve", "serial:SN-1", "--yes"]);
    stage.ok(&["withdraw", "serial:SN-1", "--act", "approval", "--yes"]);
    let record = stage.record("serial:SN-1");
    assert_eq!(record["approvals"].as_array().map(Vec::len), Some(0));
    assert_eq!(record["vouched"].as_array().map(Vec::len), Some(1), "the identity itself stands");
    let again = stage.run(&["withdraw", "serial:SN-1", "--act", "approval", "--yes"]);
    assert_eq!(again.code, 3, "{again:?}");
}

#[test]
fn what_is_not_taken_back_is_told() {
    let stage = with_a_lot();
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    stage.ok(&["grant", "owner", "--to", "buyer", "--group", LOT, "--yes"]);
    stage.ok(&["grant", "owner", "--to", "buyer", "serial:SN-1", "--yes"]);
    let said = ["status", "suspended", "serial:SN-1", "--signer", "buyer", "--role", "owner", "--yes"];
    let foreign = stage.ok(&said)[0]["statement"].as_str().expect("a statement").to_owned();
    let size = stage.size("serial:SN-1");

    // A statement by another signer is an error, even if there is something else to withdraw.
    let withdraw = ["withdraw", "serial:SN-1", "serial:SN-2", "--act", "grant"];
    let refused = stage.run(&[&withdraw[..], &["--statement", &foreign, "--yes"]].concat());
    assert_eq!((refused.code, refused.failure().0.contains(&foreign)), (3, true), "{refused:?}");
    assert!(refused.failure().1.ends_with("taken back with --group, or its id"), "{refused:?}");
    assert_eq!(stage.size("serial:SN-1"), size, "nothing was signed");

    // What nobody named is shown, and is no failure.
    let of_lot = ["withdraw", "--lot", "2026-11", "--model", "P7", "--act", "grant", "--dry-run"];
    assert!(stage.ok(&of_lot).to_string().contains("SN-1"));
    let shown = stage.for_people("home", &of_lot);
    assert_eq!((shown.code, shown.stderr.contains("1 thing left out\ndevice SN-2 (")), (0, true), "{shown:?}");

    for (last, grown) in [("--dry-run", 0), ("--yes", 1)] {
        let ended = stage.run(&[&withdraw[..], &[last]].concat());
        assert_eq!((ended.code, ended.json().as_array().map(Vec::len)), (1, Some(1)), "{ended:?}");
        let (message, _) = ended.failure();
        assert!(message.starts_with("1 thing left out\ndevice SN-2 ("), "{message}");
        assert!(message.contains("it is said of its group sha256:"), "{message}");
        assert_eq!(stage.size("serial:SN-1"), size + grown, "{last}");
    }
    // A statement about a group alone leaves nothing out.
    stage.ok(&["withdraw", "--group", LOT, "--act", "grant", "--yes"]);
}

#[test]
fn a_role_is_granted_and_used() {
    let stage = with_a_device();
    publish(&stage, 2, "SN-2");
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    stage.ok(&["grant", "owner", "--to", "buyer", "serial:SN-1", "--yes"]);
    let as_buyer = |status: &str, thing: &str| {
        stage.run(&["status", status, thing, "--signer", "buyer", "--role", "owner", "--yes"])
    };
    assert_eq!(as_buyer("suspended", "serial:SN-1").code, 0);
    let refused = as_buyer("suspended", "serial:SN-2");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.json()[0]["problem"]["detail"].as_str().is_some_and(|it| it.contains("does not have the role `owner`"))
    );

    // A block by the manufacturer can be lifted by the owner, whom the descriptor entitles, but only on request.
    stage.ok(&["status", "lost", "serial:SN-1", "--yes"]);
    assert_eq!(as_buyer("in-use", "serial:SN-1").code, 0);
    assert_eq!(stage.status("serial:SN-1"), "lost");
    let lifted =
        stage.run(&["status", "in-use", "serial:SN-1", "--signer", "buyer", "--role", "owner", "--lift", "--yes"]);
    assert_eq!(lifted.code, 0, "{lifted:?}");
    assert_eq!(stage.status("serial:SN-1"), "in-use");
}

/// Two devices of a lot that was sold to a seller, who has appointed an observer.
fn sold_lot() -> Stage {
    let stage = with_a_lot();
    for name in ["seller", "buyer", "watch"] {
        stage.ok(&["key", "make", name, "--user-id", name]);
    }
    stage.ok(&["grant", "owner", "--to", "seller", "--group", LOT, "--yes"]);
    said(&stage, "seller", "owner", &["grant", "security-controller", "--to", "watch", "--group", LOT]);
    stage
}

/// Makes a statement as a signer in a role; returns the statement.
fn said(stage: &Stage, signer: &str, role: &str, words: &[&str]) -> String {
    let said = stage.ok(&[words, &["--signer", signer, "--role", role, "--yes"]].concat());
    said[0]["statement"].as_str().expect("a statement").to_owned()
}

const SALE: [&str; 6] = ["grant", "owner", "--to", "buyer", "--transfer", "serial:SN-1"];

/// A grant outlives its giver's role: a seller's appointments would otherwise remain valid for what was sold.
#[test]
fn selling_a_thing_ends_the_grants_that_the_seller_gave() {
    let stage = sold_lot();
    let as_seller = ["--signer", "seller", "--role", "owner", "--dry-run"];
    let shown = stage.for_people("home", &[&SALE[..], &as_seller].concat());
    assert_eq!(shown.code, 0, "{shown:?}");
    let ends = |line: &str| line.starts_with("watch, ") && line.ends_with(" as security-controller over 1 thing");
    assert!(shown.stderr.lines().any(ends), "{shown:?}");

    said(&stage, "seller", "owner", &SALE);
    let watching = ["--signer", "watch", "--role", "security-controller", "--yes"];
    let refused = stage.run(&[&["status", "suspended", "serial:SN-1"][..], &watching].concat());
    assert_eq!(refused.code, 1, "{refused:?}");
    let detail = refused.json()[0]["problem"]["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("does not have the role `security-controller`"), "{detail}");
    said(&stage, "watch", "security-controller", &["status", "suspended", "--group", LOT]);
    assert_eq!(["serial:SN-1", "serial:SN-2"].map(|thing| stage.status(thing)), ["none", "suspended"]);
}

/// Whoever lifts a status of a group lifts it for their own things only.
#[test]
fn what_somebody_else_has_lifted_of_a_group_is_taken_back_for_the_rest() {
    let stage = sold_lot();
    let suspended = said(&stage, "watch", "security-controller", &["status", "suspended", "--group", LOT]);
    said(&stage, "seller", "owner", &SALE);
    said(&stage, "seller", "owner", &["status", "in-use", "--group", LOT, "--lift"]);
    let statuses = || ["serial:SN-1", "serial:SN-2"].map(|thing| stage.status(thing));
    assert_eq!(statuses(), ["suspended", "in-use"]);
    let watching = ["--signer", "watch", "--role", "security-controller", "--yes"];
    let unnamed = stage.run(&[&["withdraw", "--group", LOT, "--act", "status"][..], &watching].concat());
    assert_eq!((unnamed.code, unnamed.failure().1.contains("--statement")), (3, true), "{unnamed:?}");
    said(&stage, "watch", "security-controller", &["withdraw", "--group", LOT, "--statement", &suspended]);
    assert_eq!(statuses(), ["none", "in-use"]);
    said(&stage, "buyer", "owner", &["status", "in-use", "serial:SN-1"]);
    assert_eq!(statuses(), ["in-use", "in-use"]);
}

#[test]
fn what_goes_on_to_block_is_told_with_who_may_lift_it() {
    let stage = with_a_lot();
    stage.ok(&["status", "suspended", "--group", LOT, "--yes"]);
    let lift = ["status", "in-use", "serial:SN-1", "--lift", "--yes"];
    let blocked = stage.run(&lift);
    let (message, _) = blocked.failure();
    assert_eq!((blocked.code, blocked.json()[0]["index"].is_u64()), (1, true), "it is said all the same: {blocked:?}");
    assert!(message.contains("still `suspended`") && message.contains("of its group"), "{message}");
    let told = stage.for_people("home", &lift).stderr;
    assert_eq!(told.matches("still in force").count(), 1, "nobody was asked before: {told}");
    let words: Vec<&str> = message.split('`').rfind(|it| it.starts_with("ics ")).expect(&message).split(' ').collect();
    stage.ok(&[&words[1..], &["--yes"]].concat());
    stage.ok(&lift);
    assert_eq!(stage.status("serial:SN-1"), "in-use");

    // The owners lift what blocks for ever.
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    stage.ok(&["grant", "owner", "--to", "buyer", "serial:SN-2", "--yes"]);
    stage.ok(&["status", "destroyed", "serial:SN-2", "--yes"]);
    let lift = ["status", "in-use", "serial:SN-2", "--signer", "buyer", "--role", "owner", "--lift", "--yes"];
    let blocked = stage.run(&lift);
    let (message, _) = blocked.failure();
    assert!(blocked.code == 1 && message.contains("the domain's owners"), "{blocked:?}");
    let words: Vec<&str> = message.split('`').rfind(|it| it.starts_with("ics ")).expect(&message).split(' ').collect();
    stage.ok(&words[1..]);
    stage.ok(&["domain", "submit"]);
    assert_eq!(stage.status("serial:SN-2"), "in-use");
}

#[test]
fn a_grant_that_is_only_shown_brings_nothing_into_the_log() {
    let stage = with_a_device();
    stage.ok(&["key", "make", "buyer", "--user-id", "Buyer"]);
    let size = stage.size("serial:SN-1");
    let grant = ["grant", "owner", "--to", "buyer", "serial:SN-1"];
    let planned = stage.ok(&[&grant[..], &["--dry-run"]].concat());
    assert!(planned[0]["says"].as_str().is_some_and(|says| says.starts_with("grant owner to ")), "{planned}");
    assert_eq!(stage.ok(&[&grant[..], &["--dry-run", "--unsigned", "grant.ics"]].concat()), planned);

    // What is to be signed elsewhere is checked as well.
    let over = stage.run(&[&grant[..], &["--until", "2020-01-01T00:00:00Z", "--unsigned", "grant.ics"]].concat());
    assert_eq!((over.code, over.failure().0.starts_with("it would have ended before")), (2, true), "{over:?}");
    let role = stage.run(&["grant", "onwer", "--to", "buyer", "serial:SN-1", "--unsigned", "grant.ics"]);
    assert_eq!((role.code, role.failure().0.ends_with("has no role `onwer`")), (1, true), "{role:?}");
    assert!(!stage.path("grant.ics").exists(), "nothing was written");
    assert_eq!(stage.size("serial:SN-1"), size, "and nothing submitted, the buyer's certificate neither");
    stage.ok(&[&grant[..], &["--unsigned", "grant.ics"]].concat());
    assert!(stage.path("grant.ics").exists());
}

#[test]
fn what_is_in_the_log_when_something_goes_wrong_is_told() {
    let stage = Stage::started();
    let rows = (0..201).map(|number| format!("{},SN-{number}\n", spki(number))).collect::<String>();
    let list = stage.write("devices.csv", format!("spki,serial\n{rows}"));
    assert_eq!(stage.ok(&["publish", "--from", &list, "--model", "P7"])["published"], 201);
    let size = stage.size("serial:SN-0");
    // The signer's certificate, a node that is briefly busy, the first two hundred, and a failure.
    let url = answers_submissions(stage.url(), &[200, 503, 200, 500]);
    let ended = stage.run(&["approve", "--model", "P7", "--yes", "--node", &url]);
    assert_eq!((ended.code, ended.failure().0.as_str()), (4, "the node says 500"), "{ended:?}");
    assert!(
        ended.failure().1.starts_with("200 of 201 statements are answered, as listed; of the other 1 "),
        "{ended:?}"
    );
    let said = ended.json();
    let said = said.as_array().expect("those that are in the log");
    assert!(said.iter().all(|it| it["id"].is_string() && it["statement"].is_string() && it["index"].is_u64()));
    assert_eq!((said.len(), stage.size("serial:SN-0")), (200, size + 200));

    // If nothing was said, there is nothing to list.
    let url = answers_submissions(stage.url(), &[200, 500]);
    let ended = stage.run(&["approve", "serial:SN-0", "--yes", "--node", &url]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.failure().0.as_str()), (4, "", "the node says 500"));
    assert!(ended.failure().1.contains("look with `ics --node "), "it may be there all the same: {ended:?}");
}

/// A gateway on a line of a few kilobits.
#[test]
fn what_does_not_arrive_in_time_is_sent_in_halves() {
    let stage = Stage::started();
    let rows = (0..5).map(|number| format!("{},SN-{number}\n", spki(number))).collect::<String>();
    let list = stage.write("devices.csv", format!("spki,serial\n{rows}"));
    // The signer's certificate; five; two, and one of these.
    let url = answers_submissions(stage.url(), &[200, 408, 413, 200]);
    let published = stage.ok(&["publish", "--from", &list, "--model", "P7", "--node", &url]);
    assert_eq!(published["published"], 5, "{published}");
    for number in 0..5 {
        assert_eq!(stage.record(&format!("serial:SN-{number}"))["kind"], "device");
    }

    // If something goes wrong later, the halves that came before are told: nobody says them again.
    let url = answers_submissions(stage.url(), &[200, 408, 200, 500]);
    let ended = stage.run(&["approve", "--model", "P7", "--yes", "--node", &url]);
    assert_eq!((ended.code, ended.json().as_array().map(Vec::len)), (4, Some(2)), "{ended:?}");
    let hint = ended.failure().1;
    assert!(hint.starts_with("2 of 5 statements are answered, as listed; of the other 3 "), "{ended:?}");

    // What cannot be halved is told with what to do.
    let url = answers_submissions(stage.url(), &[200, 408]);
    let late = stage.run(&["approve", "serial:SN-0", "--yes", "--node", &url]);
    assert_eq!((late.code, late.failure().0.as_str()), (4, "the node says 408"), "{late:?}");
}

#[test]
fn refusals_say_why_and_end_with_1() {
    let stage = with_a_device();
    for (words, expected) in [
        (
            vec!["label", "ce", "serial:SN-1", "--yes"],
            "no rule permits `label` in the role `manufacturer` for the kind `device`",
        ),
        (vec!["approve", "serial:SN-1", "--yes", "--role", "issuer"], "does not have the role `issuer`"),
    ] {
        let refused = stage.run(&words);
        assert_eq!(refused.code, 1, "{words:?}: {refused:?}");
        let detail = refused.json()[0]["problem"]["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(expected), "{words:?}: {detail}");
    }
    let role = stage.run(&["approve", "serial:SN-1", "--yes", "--role", "developer"]);
    assert_eq!(role.code, 1, "{role:?}");
    assert!(role.failure().0.contains("has no role `developer`"), "{role:?}");
    let period = stage.run(&["approve", "serial:SN-1", "--yes", "--from", LATER, "--until", EARLIER]);
    assert_eq!(period.code, 1, "{period:?}");
    assert!(period.failure().0.contains("`until` is not after `from`"), "{period:?}");
    let name = stage.run(&["publish", "--spki", &spki(2), "--host", "pump.other.example"]);
    assert_eq!(name.code, 1, "{name:?}");
    assert!(name.failure().0.contains("may not give the name `host:pump.other.example`"), "{name:?}");
    let kind = stage.run(&["publish", "--spki", &spki(2), "--kind", "node", "--serial", "SITE-4"]);
    assert_eq!(kind.code, 1, "{kind:?}");
    let why = "no rule permits `identity` in the role `manufacturer` for the kind `node`";
    assert!(kind.failure().0.contains(why), "{kind:?}");
    let status = stage.run(&["status", "on-fire", "serial:SN-1", "--yes"]);
    assert_eq!(status.code, 1, "{status:?}");
    let (why, advice) = status.failure();
    assert!(why.contains("`on-fire` is not a status of a device"), "{status:?}");
    assert!(
        advice.contains("in-use, suspended") && !advice.contains("released"),
        "only what a device may have: {advice}"
    );
    let unknown = stage.run(&["approve", "serial:SN-9", "--yes"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    let keyless = stage.run(&["approve", "serial:SN-9", "--signer", "nobody", "--yes"]);
    assert_eq!(keyless.code, 5, "not to be taken for an unknown thing: {keyless:?}");
}

#[test]
fn software_is_published_by_its_developer() {
    let stage = Stage::started();
    let file = stage.write("firmware.bin", "firmware");
    stage.ok(&["key", "make", "developer"]);
    let template = ["domain", "create", "code.acme.example", "--template", "developer", "--owner", "owner"];
    let rest = ["--signer", "developer=developer", "--home-node", "ics.devices.acme.example=node"];
    stage.ok(&[&template[..], &rest[..]].concat());
    let publish = ["publish", "--file", &file, "--name", "p7", "--version", "1", "--role", "developer"];
    let publish = [&publish[..], &["--signer", "developer"]].concat();
    let refused = stage.run(&publish);
    assert_eq!(refused.code, 1, "this is a domain of devices: {refused:?}");
    let elsewhere = stage.run(&[&publish[..], &["--domain", "code.acme.example"]].concat());
    assert_eq!(elsewhere.code, 3, "this node does not hold that domain: {elsewhere:?}");
}

#[test]
fn what_could_have_no_effect_is_not_signed() {
    let stage = Stage::started();
    stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    let size = stage.size("serial:SN-1");
    let key = stage.write("buyer.asc", "no certificate");
    for (words, code, expected) in [
        (&["status", "inuse", "serial:SN-1", "--dry-run"][..], 1, "`inuse` is not a status of a device"),
        (
            &["status", "in-use", "serial:SN-1", "--until", "2020-01-01T00:00:00Z", "--yes"],
            2,
            "it would have ended before",
        ),
        (&["approve", "serial:SN-1", "--role", "onwer", "--dry-run"], 1, "`devices.acme.example` has no role `onwer`"),
        (&["status", "suspended", "--lot", "2099", "--yes"], 3, "`devices.acme.example` knows nothing of that lot"),
        (
            &["domain", "update", "--add-signer", &format!("manufacturrer={key}")],
            2,
            "`devices.acme.example` has no role",
        ),
        (&["publish", "--spki", &spki(2), "--valid-until", "2020-01-01T00:00:00Z"], 2, "it would have ended before"),
        (&["publish", "--group", "Lot 11", "--valid-until", "2020-01-01T00:00:00Z"], 2, "it would have ended before"),
        (&["publish", "--group", "Lot 11", "--model", "P7", "--lot", "11"], 2, "a group has no `model`"),
    ] {
        let ended = stage.run(words);
        assert_eq!(ended.code, code, "{words:?}: {ended:?}");
        assert!(ended.failure().0.starts_with(expected), "{words:?}: {ended:?}");
    }
    assert_eq!(stage.size("serial:SN-1"), size);
}

#[test]
fn nothing_that_is_told_of_a_document_is_dropped() {
    let mut stage = Stage::of("developer", "code.acme.example");
    stage.start();
    let file = stage.write("firmware.bin", "firmware");
    let list = stage.write("devices.csv", format!("spki,serial\n{},SN-1\n", spki(1)));
    let until = "2099-12-31T00:00:00Z";
    let software = ["publish", "--file", &file, "--name", "p7", "--version", "1", "--valid-until", until];
    let published = stage.ok(&[&software[..], &["--urn", "urn:dev:os:32473-7", "--model", "P7"]].concat());
    let record = stage.record(published["id"].as_str().expect("an id"));
    assert_eq!(record["statements"][0]["until"], until, "{record}");
    assert!(record["names"].to_string().contains("urn:dev:os:32473-7"), "{record}");
    assert!(record["attributes"].to_string().contains("P7"), "{record}");

    let digest = published["id"].as_str().expect("an id");
    let next = stage.write("next.bin", "next firmware");
    let next = ["publish", "--file", &next, "--name", "p7", "--version", "2", "--replaces", digest];
    let next = stage.ok(&next)["id"].as_str().expect("an id").to_owned();
    assert!(stage.record(&next)["replaces"].to_string().contains(digest));
    for words in [
        &["publish", "--from", &list, "--name", "T"][..],
        &["publish", "--file", &file, "--name", "p7", "--version", "1", "--kind", "device"],
        &["publish", "--group", "Lot 11", "--name", "T", "--select", "lot=11"],
        &["publish", "--group", "Lots", "--select", "lot=11", "--select", "lot=12"],
    ] {
        let refused = stage.run(words);
        assert_eq!(refused.code, 2, "{words:?}: {refused:?}");
    }
}
