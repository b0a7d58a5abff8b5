//! Changes to the rules of a domain.

use crate::reading::{publish, with_a_device};
use crate::stage::{DOMAIN, Stage, spki};

#[test]
fn a_new_signer_speaks_only_after_being_named_in_the_rules() {
    let stage = Stage::started();
    stage.ok(&["key", "make", "factory-2"]);
    let publish =
        |number| stage.run(&["publish", "--spki", &spki(number), "--serial", "SN-1", "--signer", "factory-2"]);
    assert_eq!(publish(1).code, 1, "the signer has no role yet");
    stage.ok(&["domain", "update", "--add-signer", "manufacturer=factory-2"]);
    stage.ok(&["domain", "submit"]);
    let published = publish(1);
    assert_eq!(published.code, 0, "{published:?}");
    assert_eq!(stage.ok(&["domain", "show"])["version"], 2);
}

/// Otherwise the version is in force, and nothing for which it was made works.
#[test]
fn what_a_version_still_lacks_is_told_to_its_maker() {
    let stage = Stage::started();
    stage.ok(&["key", "make", "watcher-1"]);
    let told = |words: &[&str]| {
        let ended = stage.for_people("home", &[&["domain"][..], words].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        ["no access rule names the role `watcher`", "is new among the signers"].map(|text| ended.stderr.contains(text))
    };
    assert_eq!(told(&["update", "--new-role", "--add-signer", "watcher=watcher-1"]), [true, true]);
    assert_eq!(told(&["submit"]), [false, true]);
    assert_eq!(told(&["update", "--add-signer", "manufacturer=watcher-1"]), [false, false], "nobody is new");
    assert_eq!(told(&["submit"]), [false, false]);
}

/// A reader must not take a pending version for the one in force.
#[test]
fn a_version_that_is_not_in_force_is_shown_as_such() {
    let stage = Stage::started();
    let made = stage.for_people("home", &["domain", "update", "--description", "Pumps"]);
    assert!(made.code == 0 && made.stderr.contains("submit` puts it into force\n"), "its owner has signed: {made:?}");
    let shown = stage.ok(&["domain", "show"]);
    assert_eq!((shown["version"].as_u64(), shown["in_force"].as_u64()), (Some(2), Some(1)));
    let told = stage.for_people("home", &["domain", "show"]).stdout;
    assert!(told.contains("no: version 1 is; `ics domain submit` puts this one into force"), "{told}");
    stage.ok(&["domain", "submit"]);
    assert_eq!(stage.ok(&["domain", "show"]).get("in_force"), None);
    assert!(!stage.for_people("home", &["domain", "show"]).stdout.contains("no: version"));
}

/// Rules that need a role that nobody has permit nothing, and no verdict explains that.
#[test]
fn a_policy_that_waits_for_a_role_which_nobody_has_is_told_of() {
    let stage = Stage::started();
    let told = |words: &[&str]| {
        let ended = stage.for_people("home", &[&["trust", "init", "--force", "--permit"], words].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        ["manufacturer", "integrator", "maintainer"].map(|role| ended.stderr.contains(&format!("the role `{role}`")))
    };
    assert_eq!(told(&["devices"]), [false, true, false], "the manufacturer is there");
    assert_eq!(told(&["anything-vouched", "--approved", "maintainer"]), [false, false, true]);
    assert_eq!(told(&["anything-vouched", "--vouched", "manufacturer"]), [false, false, false]);
}

/// The policy says in which roles labels count; it is reported who may fill these roles, and if nobody has one.
#[test]
fn a_policy_says_in_which_roles_labels_count() {
    let stage = Stage::started();
    let init = |words: &[&str]| {
        let first = ["trust", "init", "--force", "--permit", "anything-vouched", "--label", "ISO 13485"];
        let ended = stage.for_people("home", &[&first[..], words].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stderr
    };
    let path = stage.path("home/trust.json");
    let path = path.to_str().expect("UTF-8");
    let shown = || stage.for_people("home", &["trust", "show", path]).stdout;
    let told = init(&[]);
    assert!(told.contains("the role `certification-body`, but labels count only in it"), "{told}");
    let text = shown();
    assert!(text.contains("count in the role `certification-body`") && text.contains("\"ISO 13485\""), "{text}");
    let checked = stage.for_people("home", &["trust", "check", path]).stdout;
    assert!(checked.contains("labels count in the role `certification-body`"), "{checked}");
    let told = init(&["--labelled-by", "manufacturer", "--labelled-by", "owner"]);
    assert!(!told.contains("labels count"), "somebody has one of them: {told}");
    assert!(shown().contains("count in the role `manufacturer` or `owner`"));
    let origins = ["plant.example", "tuv.example"].map(|domain| format!("{domain}/{}", "07".repeat(32)));
    let two = |words: &[&str]| init(&[&["--domain", &origins[0], "--domain", &origins[1]][..], words].concat());
    assert!(two(&[]).contains("can fill these roles alone: `certification-body`;"));
    assert!(two(&["--labelled-by", "owner"]).contains("can fill these roles alone: `owner`;"));
    assert!(!two(&["--role-of", "certification-body=tuv.example"]).contains("can fill"));
}

/// A policy that omitted a copy that has not begun yet would decide without it for ever.
#[test]
fn a_policy_counts_the_copies_that_are_to_come() {
    let stage = Stage::started();
    let origin = |domain: &str| format!("{domain}/{}", "07".repeat(32));
    let (copied, asked) = (origin("code.soft.example"), origin("care.plant.example"));
    stage.ok(&["peer", "add", "ics.soft.example", &copied, "--roam", &asked, "--url", "http://127.0.0.1:1"]);
    let told = stage.for_people("home", &["trust", "init", "--permit", "anything-vouched"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("for 2 domains"), "{told:?}");
    for expected in [format!("`{copied}` counts, "), format!("`{asked}` does not count")] {
        assert!(told.stderr.contains(&expected), "`{expected}` is missing: {told:?}");
    }
    let policy = std::fs::read(stage.path("home/trust.json")).expect("written");
    let policy: serde_json::Value = serde_json::from_slice(&policy).expect("JSON");
    assert_eq!(policy["domains"][1], copied.as_str());

    // The policy bounds how late a block may arrive from a domain that is asked and not copied.
    let of_asked =
        ["trust", "init", "--force", "--permit", "anything-vouched", "--domain", &asked, "--output", "late.json"];
    let told = stage.for_people("home", &of_asked);
    assert_eq!(told.code, 0, "{told:?}");
    let late = "an answer is kept for 24 h";
    assert!(told.stderr.contains(late) && told.stderr.contains("with a healthy link as well"), "{told:?}");

    // A check of the policy names the domains that are asked and not copied, by whether they count.
    let checked = |file: &str| {
        let shown = stage.for_people("home", &["trust", "check", file]);
        assert_eq!(shown.code, 0, "{shown:?}");
        shown.stdout
    };
    let path = stage.path("home/trust.json");
    let told = checked(path.to_str().expect("UTF-8"));
    assert!(told.contains("care.plant.example does not count: it is asked about single things"), "{told}");
    let mut with = policy;
    with["domains"].as_array_mut().expect("a list").push(asked.as_str().into());
    let told = checked(&stage.write("with.json", with.to_string()));
    assert!(told.contains("care.plant.example counts, and is not copied here: its home is asked"), "{told}");
    assert!(!told.contains("does not count") && !told.contains("neither mirrors it"), "{told}");
}

/// Look-ups do not ask peers about single things, and a user who reads that nothing is known is told what does.
#[test]
fn what_only_decisions_ask_for_is_said_where_nothing_is_known() {
    let stage = Stage::started();
    let unknown = |words: &[&str]| {
        let told = stage.for_people("home", words);
        assert!(told.code == 3 && told.stderr.contains("serial:NONE"), "{told:?}");
        told.stderr
    };
    let is_hinted = |text: &str| text.contains("only for decisions: use --use");
    let told = unknown(&["lookup", "serial:NONE"]);
    assert!(!is_hinted(&told) && told.contains("every domain that this node holds was asked"), "{told}");
    let told = unknown(&["lookup", "serial:NONE", "--domain", DOMAIN]);
    assert!(!is_hinted(&told) && told.contains("by `ics lookup` without --domain"), "{told}");
    let origin = format!("care.plant.example/{}", "07".repeat(32));
    stage.ok(&["peer", "add", "ics.plant.example", "--roam", &origin, "--url", "http://127.0.0.1:1"]);
    for words in [["lookup", "serial:NONE"], ["explain", "serial:NONE"]] {
        let told = unknown(&words);
        assert!(is_hinted(&told) && told.contains(&format!("--domain {origin}")), "{told}");
    }
}

/// Two logs of one name differ in their first entry, and a policy that names the other one decides nothing.
#[test]
fn a_policy_of_another_log_of_the_same_name_is_told() {
    let stage = Stage::started();
    stage.ok(&["trust", "init", "--permit", "anything-vouched"]);
    let path = stage.path("home/trust.json");
    let path = path.to_str().expect("UTF-8");
    let good = stage.ok(&["trust", "check", path]);
    assert_eq!((&good["mistaken"], &good["short"]), (&serde_json::json!([]), &serde_json::json!({})), "{good}");
    let hasty = ["trust", "init", "--force", "--permit", "anything-vouched", "--fresh-for", "connect=120"];
    let told = stage.for_people("home", &hasty);
    assert!(told.stderr.contains("connect: news may be 120 s old"), "a home confirms every minute: {told:?}");
    assert_eq!(stage.ok(&["trust", "check", path])["short"], serde_json::json!({"connect": 120}));
    let own = stage.ok(&["trust", "show", path])["domains"][0].as_str().expect("an origin").to_owned();
    let other = format!("{DOMAIN}/{}", "07".repeat(32));
    let text = std::fs::read_to_string(path).expect("read").replace(&own, &other);
    std::fs::write(path, text).expect("written");
    let told = stage.for_people("home", &["trust", "check", path]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.stdout.contains(&own) && told.stdout.contains(&other), "{told:?}");
}

#[test]
fn a_policy_without_a_node_needs_its_domains() {
    let mut stage = Stage::started();
    stage.kill();
    let told = stage.run(&["trust", "init", "--permit", "anything-vouched"]);
    assert_eq!(told.code, 4, "{told:?}");
    assert!(told.failure().1.contains("--domain ORIGIN"), "{told:?}");
    let origin = format!("{DOMAIN}/{}", "07".repeat(32));
    stage.ok(&["trust", "init", "--permit", "anything-vouched", "--domain", &origin]);
}

/// A descriptor contains raw keys; other tools verify cosignatures with keys in the form of C2SP signed-note.
#[test]
fn witnesses_are_shown_by_the_keys_that_other_tools_take() {
    let stage = Stage::started();
    let witness = "w.example=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    stage.ok(&["domain", "update", "--add-witness", witness, "--quorum", "1"]);
    let mut shown = stage.ok(&["domain", "show"]);
    let key = shown["witness_keys"][0].as_str().expect("a key").to_owned();
    assert!(key.starts_with("w.example+"), "{key}");
    assert!(stage.words_alone("home", &["domain", "show"]).contains(&key));
    // The displayed form can be edited.
    shown["description"] = "Pumps of Acme".into();
    let next = stage.write("next.json", shown.to_string());
    assert_eq!(stage.ok(&["domain", "update", "--from-file", &next])["witness_keys"][0], key.as_str());
}

/// Whoever copies the domain or adopts from it must be given both; a script finds them where a person does.
#[test]
fn a_node_tells_scripts_too_the_origin_and_the_key_of_a_log() {
    let stage = Stage::started();
    let at_node = ["domain", "show", "--node", stage.url()];
    let (told, mut shown) = (stage.words_alone("home", &at_node), stage.ok(&at_node));
    for member in ["origin", "log_key"] {
        let value = shown[member].as_str().expect("it is there");
        assert!(value.starts_with(DOMAIN) && told.contains(value), "{member}: {value}: {told}");
    }
    // So does how the domain is doing there, with its alarms.
    assert!(told.contains("the home of the domain") && told.contains("1 entry in the log"), "{told}");
    let held = &shown["held"];
    assert_eq!((&held["position"], &held["size"]), (&"home".into(), &1.into()), "{shown}");
    assert!(held["alarms"].is_array(), "{shown}");
    // The displayed form can be edited.
    shown["description"] = "Pumps of Acme".into();
    let next = stage.write("next.json", shown.to_string());
    assert_eq!(stage.ok(&["domain", "update", "--from-file", &next])["description"], "Pumps of Acme");
}

/// Witnessing takes two: the setting here has no effect until the other side has made its own.
#[test]
fn adding_a_witness_says_what_the_other_side_has_to_do() {
    let stage = Stage::started();
    let origin = |byte: &str| format!("labels.cert.example/{}", byte.repeat(32));
    let key = ["--key", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="];
    let add = ["peer", "add", "ics.cert.example", "--url", "http://127.0.0.1:1"];
    let misnamed = ["peer", "add", "cert", "--url", stage.url(), key[0], key[1], "--witness"];
    let misnamed = stage.run(&misnamed);
    assert_eq!(misnamed.code, 1, "{misnamed:?}");
    assert!(misnamed.failure().0.contains(&format!("is `ics.{DOMAIN}`")), "its cosignatures say it: {misnamed:?}");
    let without = stage.run(&["peer", "add", "ics.cert.example", "--cosign", &origin("07")]);
    assert_eq!(without.code, 2, "{without:?}");
    assert!(without.failure().0.contains("signs what is to be cosigned"), "{without:?}");
    let both = ["--witness", "--cosign", &origin("07")];
    let told = stage.for_people("home", &[&add[..], &key, &both].concat());
    assert_eq!(told.code, 0, "{told:?}");
    let in_rules = format!("`ics domain update --add-witness ics.cert.example={}`", key[1]);
    for expected in ["--key KEY --cosign ORIGIN", "--url URL --key KEY --witness", in_rules.as_str()] {
        assert!(told.stdout.contains(expected), "`{expected}` is missing: {told:?}");
    }
    let again = stage.ok(&["peer", "add", "ics.cert.example", "--cosign", &origin("08")]);
    assert_eq!(again["cosign"], serde_json::json!([origin("08")]), "the first one was mistyped");
    let nobody = stage.run(&["domain", "update", "--quorum", "1"]);
    assert!(nobody.code == 2 && nobody.failure().0.contains("--add-witness names one"), "{nobody:?}");
}

/// A backup may be older than the rules: a version made from the older ones would undo later changes.
#[test]
fn the_rules_are_changed_from_the_version_in_force_after_a_restore_of_an_older_copy() {
    let mut stage = Stage::started();
    for text in ["Pumps", "Pumps and valves"] {
        stage.ok(&["domain", "update", "--description", text]);
        stage.ok(&["domain", "submit"]);
    }
    let file = |version: u64| stage.path(&format!("home/domains/{DOMAIN}.v{version}.pgp"));
    let files = [2, 3].map(file);
    let read = |path: &std::path::PathBuf| std::fs::read(path).expect("read");
    let kept = files.each_ref().map(read);
    let lose = || files.iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    lose();
    let next = stage.ok(&["domain", "update", "--certificate-bytes", "131072"]);
    assert_eq!(next["version"], 4, "{next}");
    assert_eq!(next["description"], "Pumps and valves", "{next}");
    assert_eq!(files.each_ref().map(read), kept, "what is in force is here again");
    stage.ok(&["domain", "submit"]);

    // Without the node nobody knows; with it, a version made from too old a one is recognised.
    lose();
    std::fs::remove_file(stage.path(&format!("home/domains/{DOMAIN}.v4.pgp"))).expect("removed");
    stage.kill();
    assert_eq!(stage.ok(&["domain", "update", "--description", "Valves"])["version"], 2);
    stage.start();
    let late = stage.run(&["domain", "submit"]);
    assert!(late.code == 1 && late.failure().1.starts_with("version 4 is in force"), "{late:?}");
    let other = stage.run(&["domain", "update", "--description", "Valves"]);
    assert!(other.code == 1 && other.failure().0.contains(&format!("{DOMAIN}.v2.pgp")), "{other:?}");
    std::fs::remove_file(stage.path(&format!("home/domains/{DOMAIN}.v2.pgp"))).expect("moved away");
    assert_eq!(stage.ok(&["domain", "update", "--description", "Valves"])["version"], 5);
    stage.ok(&["domain", "submit"]);
}

#[test]
fn too_few_owners_and_skipped_versions_are_refused() {
    let stage = Stage::started();
    stage.ok(&["key", "make", "owner-b"]);
    stage.ok(&["domain", "update", "--add-owner", "owner-b", "--threshold", "2"]);
    stage.ok(&["domain", "submit"]);
    stage.ok(&["domain", "update", "--description", "Pumps of Acme"]);
    let below = stage.run(&["domain", "submit"]);
    assert_eq!(below.code, 1, "{below:?}");
    let file = stage.path(&format!("home/domains/{DOMAIN}.v3.pgp"));
    let file = file.to_str().expect("UTF-8");

    stage.ok(&["domain", "update", "--add-names", "manufacturer=cert:*"]);
    let skipped = stage.run(&["domain", "submit"]);
    assert_eq!(skipped.code, 1, "version 4 before version 3: {skipped:?}");
    let (_, hint) = skipped.failure();
    assert!(hint.starts_with("version 3 comes first") && hint.contains(file), "{hint}");

    // Each missing version is named, and how to discard them.
    let more = stage.for_people("home", &["domain", "update", "--add-names", "manufacturer=spki:*"]);
    assert!(more.code == 0 && more.stderr.contains("version 4 of"), "whoever goes on from it is told: {more:?}");
    let (_, hint) = stage.run(&["domain", "submit"]).failure();
    assert!(hint.contains("then version 4, then this one") && hint.contains("move its file away"), "{hint}");
    std::fs::remove_file(stage.path(&format!("home/domains/{DOMAIN}.v5.pgp"))).expect("dropped");

    stage.ok(&["domain", "sign", file, "--owner", "owner-b"]);
    stage.ok(&["domain", "submit", file]);
    let stranger = stage.run(&["domain", "sign", file, "--owner", "signer"]);
    assert_eq!(stranger.code, 1, "{stranger:?}");
}

#[test]
fn a_compromise_that_takes_nothing_back_is_told() {
    let stage = Stage::started();
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    for (index, beyond) in [(99_999, 1), (2, 0)] {
        let words = ["domain", "update", "--compromised", &format!("{signer}@{index}")];
        let updated = stage.for_people("home", &words);
        let is_told = updated.stderr.contains("all that this signer has said goes on counting");
        assert_eq!((updated.code, is_told), (0, beyond == 1), "the owner is told before signing: {updated:?}");
        let told = stage.ok(&["domain", "submit"])["beyond_the_log"].clone();
        assert_eq!(told.as_array().map(Vec::len), Some(beyond), "from {index} on: {told}");
    }
}

/// Otherwise stolen things could be used again without anybody having been told.
#[test]
fn the_blocks_that_fall_with_a_compromise_are_told_before_it_is_in_force() {
    let stage = Stage::started();
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let [stolen, ..] = [1, 2, 3].map(|number| publish(&stage, number, &format!("SN-{number}")));
    stage.ok(&["status", "in-use", "serial:SN-2", "--yes"]);
    let size = stage.size("serial:SN-1");
    stage.ok(&["status", "stolen", "serial:SN-1", "--yes"]);
    let declared = format!("{signer}@{size}");
    let expected = serde_json::json!({
        "blocks": [{ "index": size, "id": stolen, "title": title(&stage), "status": "stolen", "signer": signer }],
        "complete": true,
    });
    let words = ["domain", "update", "--compromised", &declared];
    let unsigned = stage.ok(&[&words[..], &["--unsigned", "declared.ics"]].concat());
    assert_eq!(unsigned["blocks_that_fall"], expected, "also where the owner's key is on another machine: {unsigned}");
    assert_eq!(stage.ok(&words)["blocks_that_fall"], expected);
    assert_eq!(stage.ok(&["domain", "submit"])["blocks_that_fall"], expected);

    // Nobody else is declared compromised, so nothing more falls.
    let next = stage.ok(&["domain", "update", "--description", "Pumps"]);
    assert_eq!(next.get("blocks_that_fall"), None, "{next}");
}

/// The erased block still says whose it was.
#[test]
fn an_erased_block_falls_with_its_signer_and_that_is_reported() {
    let stage = Stage::started();
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let [stolen, ..] = [1, 2].map(|number| publish(&stage, number, &format!("SN-{number}")));
    let size = stage.size("serial:SN-1");
    stage.ok(&["status", "stolen", "serial:SN-1", "--yes"]);
    // The only owner signs first, and submits later what is signed already.
    stage.ok(&["erase", "--entry", &size.to_string(), "--output", "erasure.pgp", "--yes"]);
    stage.ok(&["erase", "--from", "erasure.pgp", "--yes"]);
    let is_blocked = || stage.record("serial:SN-1")["status"]["effect"] == "blocks";
    assert!(is_blocked());
    let fallen = stage.ok(&["domain", "update", "--compromised", &format!("{signer}@{size}")]);
    let expected = serde_json::json!({
        "blocks": [{ "index": size + 1, "id": stolen, "title": title(&stage), "status": "stolen", "signer": signer }],
        "complete": true,
    });
    assert_eq!(fallen["blocks_that_fall"], expected);
    stage.ok(&["domain", "submit"]);
    assert!(!is_blocked(), "as it would have, had it not been erased");
}

/// For one thing the words of the lift are erased, for the other those of the block.
#[test]
fn what_a_thief_has_lifted_is_blocked_again_whatever_was_erased_before() {
    let stage = Stage::started();
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let things = ["serial:SN-1", "serial:SN-2"];
    for number in [1, 2] {
        publish(&stage, number, &format!("SN-{number}"));
    }
    for thing in things {
        stage.ok(&["status", "suspended", thing, "--yes"]);
    }
    let lifted = stage.size(things[0]);
    for thing in things {
        stage.ok(&["status", "in-use", thing, "--yes"]);
    }
    let (lift, block) = (lifted, lifted - 1);
    for index in [lift, block] {
        stage.ok(&["erase", "--entry", &index.to_string(), "--yes"]);
    }
    assert_eq!(things.map(|thing| stage.status(thing)), ["none", "in-use"]);
    stage.ok(&["domain", "update", "--compromised", &format!("{signer}@{lifted}")]);
    stage.ok(&["domain", "submit"]);
    assert_eq!(things.map(|thing| stage.status(thing)), ["suspended", "suspended"]);
}

fn title(stage: &Stage) -> String {
    stage.record("serial:SN-1")["title"].as_str().expect("a title").to_owned()
}

#[test]
fn people_are_told_which_blocks_fall_and_what_to_do() {
    let mut stage = Stage::started();
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    publish(&stage, 1, "SN-1");
    let size = stage.size("serial:SN-1");
    stage.ok(&["status", "stolen", "serial:SN-1", "--yes"]);
    let later = stage.for_people("home", &["domain", "update", "--compromised", &format!("{signer}@{}", size + 1)]);
    assert!(later.code == 0 && !later.stderr.contains("no longer count"), "it was said before that: {later:?}");
    let words = ["domain", "update", "--compromised", &format!("{signer}@{size}")];
    let told = stage.for_people("home", &words);
    assert_eq!(told.code, 0, "{told:?}");
    let entry = format!("entry {size}: stolen of");
    for expected in ["1 block will no longer count", entry.as_str(), "must repeat whatever is to stay blocked"] {
        assert!(told.stderr.contains(expected), "`{expected}` is missing: {told:?}");
    }
    stage.kill();
    let alone = stage.for_people("home", &["domain", "update", "--compromised", &format!("{signer}@0")]);
    assert!(
        alone.code == 0 && alone.stderr.contains("not all blocks that will no longer count are known"),
        "{alone:?}"
    );
}

/// A replaced signer's statements cease to count, unless the successor has repeated them before.
#[test]
fn people_are_told_what_counts_no_longer_once_its_signer_has_no_role() {
    let stage = with_a_device();
    stage.ok(&["approve", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "stolen", "serial:SN-1", "--yes"]);
    stage.ok(&["key", "make", "factory-2"]);
    stage.ok(&["domain", "update", "--add-signer", "manufacturer=factory-2"]);
    stage.ok(&["domain", "submit"]);
    let told = |file: &str| {
        let remove = ["domain", "update", "--remove-signer", "manufacturer=signer", "--unsigned", file];
        let told = stage.for_people("home", &remove);
        assert_eq!(told.code, 0, "{told:?}");
        told.stderr
    };
    let both = told("both.ics");
    assert!(both.contains("1 approval, 1 introduction will no longer count"), "the block stays: {both}");
    assert!(both.contains("a new signer must say it again first"), "{both}");
    stage.ok(&["approve", "serial:SN-1", "--signer", "factory-2", "--yes"]);
    let one = told("one.ics");
    assert!(one.contains("1 introduction will no longer count") && !one.contains("approval,"), "{one}");
    let remove = ["domain", "update", "--remove-signer", "manufacturer=signer"];
    for words in [[&remove[..], &["--unsigned", "last.ics"]].concat(), remove.to_vec()] {
        let json = stage.ok(&words);
        let expected = serde_json::json!({"statements": {"identity": 1}, "complete": true});
        assert_eq!(json["statements_that_fall"], expected, "{json}");
    }
}

/// What the source itself declares does not count here.
#[test]
fn a_signer_of_a_source_is_declared_compromised_with_the_name_of_the_source() {
    let stage = Stage::started();
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let declared = format!("devices.bolt.example/{signer}@16");
    let told = stage.for_people("home", &["domain", "update", "--compromised", &declared]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("from entry 16 of devices.bolt.example on"), "{told:?}");
    assert!(told.stderr.contains("`devices.bolt.example` is not a source"), "it may be mistyped: {told:?}");
    let shown = stage.ok(&["domain", "show"])["compromised"].clone();
    let expected = serde_json::json!([{ "signer": signer, "domain": "devices.bolt.example", "from_index": 16 }]);
    assert_eq!(shown, expected);
    for mistyped in ["/0123@1", "devices.bolt.example/0123", "Bolt!/0123@1"] {
        let refused = stage.run(&["domain", "update", "--compromised", mistyped]);
        assert_eq!(refused.code, 2, "{mistyped}: {refused:?}");
    }
}

#[test]
fn a_version_that_changes_nothing_is_not_made() {
    let stage = Stage::started();
    for words in [&["domain", "update"][..], &["domain", "update", "--threshold", "1"]] {
        let refused = stage.run(words);
        assert!(refused.code == 2 && refused.failure().0.starts_with("nothing is to change"), "{refused:?}");
    }
    assert!(!stage.path(&format!("home/domains/{DOMAIN}.v2.pgp")).exists());
}
