//! Look-ups, listings, histories, verdicts.

use serde_json::{Value, json};

use crate::stage::{DOMAIN, Stage, spki};

/// Publishes a device of lot 1 or 2, depending on its number; returns its id.
pub(crate) fn publish(stage: &Stage, number: u64, serial: &str) -> String {
    let lot = if number.is_multiple_of(2) { "2" } else { "1" };
    let words = ["publish", "--spki", &spki(number), "--serial", serial, "--model", "P7", "--lot", lot];
    stage.ok(&words)["id"].as_str().expect("an id").to_owned()
}

/// A running node with a device in its log.
pub(crate) fn with_a_device() -> Stage {
    let stage = Stage::started();
    publish(&stage, 1, "SN-1");
    stage
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("an id")).collect()
}

#[test]
fn a_thing_is_found_by_all_that_it_is_called() {
    let stage = Stage::started();
    let id = publish(&stage, 1, "SN-1");
    let names = stage.record("serial:SN-1")["names"].clone();
    let spki = names.as_array().expect("names").iter().find_map(|name| name["value"].as_str()?.strip_prefix("spki:"));
    let spki = format!("spki:{}", spki.expect("the hash of its key"));
    for query in [id.as_str(), "serial:SN-1", &format!("openpgp4fpr:{}", id.to_uppercase()), &spki] {
        assert_eq!(stage.record(query)["id"], id.as_str(), "{query}");
        let one = stage.ok(&["lookup", query, "--domain", DOMAIN]);
        assert_eq!((one["identities"][0].as_str(), one["records"].as_array().map(Vec::len)), (Some(&*id), Some(1)));
    }
    assert_eq!(stage.run(&["lookup", "serial:SN-2"]).code, 3);
    let kindless = stage.run(&["lookup", "SN-1"]);
    let (why, advice) = kindless.failure();
    assert_eq!((kindless.code, why.contains("is not a name")), (2, true), "{kindless:?}");
    assert!(advice.contains("`serial:") && !advice.contains("urn:"), "{advice}");
    for (text, rule) in [
        ("serial:", "`serial:` is not a name: it takes a serial number"),
        ("host:bad host", "the name `host:bad host` contains a control character or white space"),
    ] {
        let (why, advice) = stage.run(&["lookup", text]).failure();
        assert!(why.starts_with(rule) && advice.starts_with("`ics lookup --help`"), "{text}: {why}, {advice}");
    }
    let nothing = stage.run(&["lookup", ""]);
    assert!(nothing.code == 2 && nothing.failure().0.contains("<QUERY>"), "{nothing:?}");
    assert_eq!(stage.run(&["lookup", &id, "--domain", "other.example"]).code, 3);
}

#[test]
fn an_ambiguous_name_is_listed_and_is_no_answer() {
    let stage = Stage::started();
    let key = spki(2);
    let second = ["publish", "--spki", &key, "--serial", "SN-1"];
    let first = publish(&stage, 1, "SN-1");
    assert_eq!(publish(&stage, 1, "SN-1"), first, "in the same words");
    let refused = stage.run(&second);
    assert_eq!((refused.code, refused.failure().0.starts_with("`serial:SN-1` is the name of another")), (1, true));
    let known = stage.run(&["publish", "--spki", &spki(1), "--serial", "SN-9"]);
    assert_eq!((known.code, known.failure().0.starts_with("it is published already: device SN-1")), (1, true));
    let again = stage.ok(&[&second[..], &["--again"]].concat());
    let both = [first, again["id"].as_str().expect("an id").to_owned()];
    let ended = stage.run(&["lookup", "serial:SN-1"]);
    assert_eq!((ended.code, ended.failure().0.as_str()), (1, "`serial:SN-1` fits 2 identities"));
    let candidates = ended.json();
    let candidates = candidates.as_array().expect("a list");
    assert!(candidates.iter().all(|it| both.iter().any(|id| it["id"] == id.as_str()) && it["kind"] == "device"));
    assert_eq!(candidates.len(), 2);
    assert_eq!(stage.run(&["history", "serial:SN-1"]).code, 1);
    assert_eq!(stage.run(&["export", "serial:SN-1"]).code, 1);
}

#[test]
fn listings_are_filtered_and_come_in_pages() {
    let stage = Stage::started();
    let all: Vec<String> = (1..=5).map(|number| publish(&stage, number, &format!("SN-{number}"))).collect();
    stage.ok(&["status", "stolen", "serial:SN-2", "serial:SN-3", "--yes"]);
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    for (filter, expected) in [
        (&["--kind", "device"][..], &all[..]),
        (&["--kind", "gateway"], &[]),
        (&["--model", "P7", "--signer", &signer], &all),
        (&["--status", "stolen"], &all[1..3]),
        (&["--status", "stolen", "--lot", "2"], &all[1..2]),
        (&["--lot", "3"], &[]),
    ] {
        let page = stage.ok(&[&["list"], filter].concat());
        assert_eq!(ids(&page), expected, "{filter:?}");
    }

    let first = stage.ok(&["search", "--limit", "2"]);
    assert_eq!(ids(&first), all[..2]);
    let after = first["next"].to_string();
    // A page may have a next one with nothing on it.
    let told = stage.for_people("home", &["list", "--limit", "2"]).stderr;
    assert!(told.contains(&format!("there may be more: --after {after}, or --all")), "{told}");
    assert_eq!(ids(&stage.ok(&["list", "--limit", "2", "--after", &after])), all[2..4]);
    let whole = stage.ok(&["list", "--limit", "2", "--all"]);
    assert_eq!(ids(&whole), all, "three pages are one value");
    assert!(whole.get("next").is_none() && whole["as_of"]["size"].is_u64(), "{whole}");
    assert_eq!(ids(&stage.ok(&["list", "--lot", "3", "--all"])), Vec::<String>::new());
}

/// The public register of a body that certifies: what has its label now, and until when.
#[test]
fn what_has_a_label_is_listed_with_its_end() {
    const END: &str = "2040-01-01T00:00:00Z";
    let mut stage = Stage::of("certification", DOMAIN);
    stage.start();
    let all: Vec<String> = (1..=4).map(|number| publish(&stage, number, &format!("SN-{number}"))).collect();
    stage.ok(&["label", "ce", "serial:SN-1", "serial:SN-2", "--until", END, "--yes"]);
    stage.ok(&["label", "iec 62443", "serial:SN-3", "--yes"]);
    stage.ok(&["label", "ce", "serial:SN-4", "--yes"]);
    stage.ok(&["withdraw", "serial:SN-4", "--label", "ce", "--yes"]);
    let signer = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    for (filter, expected) in [
        (&["--label", "ce"][..], &all[..2]),
        (&["--label", "ce", "--signer", &signer], &all[..2]),
        (&["--label", "ce", "--lot", "2"], &all[1..2]),
        (&["--label", "iec 62443"], &all[2..3]),
        (&["--label", "iec"], &[]),
    ] {
        let page = stage.ok(&[&["list"], filter].concat());
        assert_eq!(ids(&page), expected, "{filter:?}");
    }
    let first = stage.ok(&["list", "--label", "ce", "--limit", "1"]);
    assert_eq!((ids(&first), &first["items"][0]["labels"][0]["until"]), (vec![all[0].as_str()], &END.into()));
    let after = first["next"].to_string();
    assert_eq!(ids(&stage.ok(&["list", "--label", "ce", "--limit", "1", "--after", &after])), all[1..2]);

    let listing = stage.for_people("home", &["list", "--label", "ce"]);
    let (shown, hint) = (listing.stdout, format!("the status is what {DOMAIN} says"));
    assert_eq!((listing.code, listing.stderr.matches(&hint).count()), (0, 1), "{}", listing.stderr);
    let heads: Vec<&str> = shown.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(heads, ["kind", "title", "status", "until", "by", "model", "lot", "id"]);
    assert_eq!(shown.matches(" 2040-01-01 00:00:00 UTC ").count(), 2, "{shown}");
    let none = stage.for_people("home", &["list", "--label", "iec"]);
    assert_eq!((none.code, none.stderr.contains(&format!("nothing in {DOMAIN} fits"))), (0, true), "{none:?}");
}

#[test]
fn a_history_says_what_became_of_each_statement() {
    let stage = with_a_device();
    stage.ok(&["status", "in-use", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "stolen", "serial:SN-1", "--reason", "lorry", "--yes"]);
    let history = stage.ok(&["history", "serial:SN-1"]);
    let items = history["items"].as_array().expect("items");
    let shown = |item: &Value| format!("{} {} {}", item["act"], item["status"], item["standing"]).replace('"', "");
    assert_eq!(
        items.iter().map(shown).collect::<Vec<_>>(),
        ["identity null stands", "status in-use replaced", "status stolen stands"]
    );
    assert_eq!(items[1]["ended_by"], items[2]["statement"]);
}

#[test]
fn software_of_two_names_is_called_alike_when_it_is_looked_up_and_when_it_is_signed() {
    let mut stage = Stage::of("developer", "code.soft.example");
    stage.start();
    let file = stage.write("jq.bin", "jq");
    let publish = |version: &str, more: &[&str]| {
        let words = ["publish", "--file", &file, "--name", "jq", "--version", version];
        stage.ok(&[&words[..], more].concat())["id"].as_str().expect("an id").to_owned()
    };
    let id = publish("1.6", &[]);
    assert_eq!(publish("1.7", &["--again"]), id);
    let record = stage.record(&id);
    assert_eq!((&record["title"], &record["also_called"][0]["value"]), (&"jq 1.6".into(), &"jq 1.7".into()));
    assert_eq!(stage.ok(&["status", "released", &id, "--dry-run"])[0]["title"], "jq 1.6");
    let shown = stage.words_alone("home", &["lookup", &id]);
    assert!(shown.contains("  also called  jq 1.7\n"), "{shown}");
    let page = stage.page(&id);
    assert!(page.contains("<dt>Also called</dt><dd><bdi>jq 1.7</bdi></dd>"), "{page}");
    let explained = stage.ok(&["explain", &id]).to_string();
    assert!(explained.contains("calls it `jq 1.7`, and not `jq 1.6`"), "{explained}");
    let listed = stage.ok(&["list", "--title", "1.7"]);
    assert_eq!(listed["items"][0]["id"], id.as_str(), "{listed}");
}

/// Gives the node a trust policy in which this domain counts, and restarts it.
fn trust(stage: &mut Stage) {
    let evidence = stage.path("pump.json");
    let origin = stage.ok(&["export", "serial:SN-1", "-o", evidence.to_str().expect("UTF-8")])["origin"].clone();
    let rules = r#"@id("in-use") permit (principal, action in Action::"use", resource)
        when { principal.vouching_roles.contains("manufacturer") && principal.effect == Effect::"permits" };"#;
    let policy = json!({"domains": [origin], "freshness": {"default": 3600}, "rules": rules});
    stage.write("home/trust.json", policy.to_string());
    let config = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    stage.write("home/ics.toml", config + "[trust]\npolicy = \"trust.json\"\n");
    stage.kill();
    stage.start();
}

#[test]
fn only_allow_is_a_yes() {
    let mut stage = Stage::started();
    (1..=3).for_each(|number| drop(publish(&stage, number, &format!("SN-{number}"))));
    let ask = |stage: &Stage, thing: &str| stage.run(&["lookup", thing, "--use", "operate", "--peer", "serial:SN-1"]);
    let without = ask(&stage, "serial:SN-1");
    assert_eq!((without.code, &without.json()["reason"]), (1, &"no-policy".into()), "the node has no trust policy");
    let told = without.json()["reasons"].to_string();
    assert!(told.contains("`ics trust init` makes one"), "{told}");
    trust(&mut stage);
    stage.ok(&["status", "in-use", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "lost", "serial:SN-2", "--yes"]);
    for (thing, code, outcome) in [
        ("serial:SN-1", 0, "allow"),
        ("serial:SN-2", 1, "deny"),
        ("serial:SN-3", 1, "deny"),
        ("serial:SN-4", 1, "unknown"),
    ] {
        let ended = ask(&stage, thing);
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (code, Some(outcome)), "{ended:?}");
    }
}

#[test]
fn a_saved_verdict_is_checked_without_the_node() {
    let mut stage = Stage::started();
    (1..=2).for_each(|number| drop(publish(&stage, number, &format!("SN-{number}"))));
    trust(&mut stage);
    stage.ok(&["status", "in-use", "serial:SN-1", "--yes"]);
    stage.ok(&["status", "lost", "serial:SN-2", "--yes"]);
    let path = |name: &str| stage.path(name).to_str().expect("UTF-8").to_owned();
    let (file, policy) = (path("case.json"), path("home/trust.json"));
    for (thing, outcome) in [("serial:SN-1", "allow"), ("serial:SN-2", "deny"), ("serial:SN-9", "unknown")] {
        let saved = stage.ok(&["explain", thing, "--use", "operate", "--peer", "serial:SN-1", "--save", &file]);
        assert_eq!(saved["outcome"], outcome, "{saved}");
        let checked = stage.ok(&["verify", "--document", &file, "--trust", &policy]);
        assert_eq!((&checked["trusted"], &checked["verdict"]["outcome"]), (&true.into(), &outcome.into()), "{checked}");
        assert_eq!(checked["fresh"], outcome != "unknown", "{checked}");
    }
    stage.ok(&["explain", "serial:SN-2", "--use", "operate", "--save", &file]);
    let good = std::fs::read_to_string(&file).expect("read");
    stage.kill();
    let checked = stage.run_in("verifier", &["verify", "--document", &file]);
    assert_eq!((checked.code, &checked.json()["trusted"]), (0, &false.into()), "{checked:?}");
    let shown = stage.words_alone("verifier", &["verify", "--document", &file]);
    assert!(shown.starts_with("! the verdict holds by a trust policy that nobody has named: "), "{shown}");
    let shown = stage.words_alone("home", &["verify", "--document", &file, "--trust", &policy]);
    assert!(shown.contains("  holds until  2"), "{shown}");
    let undecided = stage.run(&["verify", &file, "--trust", &policy]);
    assert_eq!((undecided.code, undecided.failure().0.contains("--document")), (2, true), "{undecided:?}");
    let pin = format!("{DOMAIN}/{}", "07".repeat(32));
    for (flag, value) in [("--pin", pin.as_str()), ("--at", "2026-01-01T00:00:00Z")] {
        let refused = stage.run(&["verify", "--document", &file, flag, value]);
        assert_eq!(refused.code, 2, "nothing is held against it: {refused:?}");
        assert!(refused.failure().0.contains(flag), "{refused:?}");
    }
    let evidence = stage.write("evidence.json", "{}");
    let proof = stage.write("entry.tlog-proof", "c2sp.org/tlog-proof@v1\n");
    for (file, flag, value) in [
        (&evidence, "--trust", policy.as_str()),
        (&proof, "--trust", policy.as_str()),
        (&proof, "--at", "2026-01-01T00:00:00Z"),
    ] {
        let refused = stage.run(&["verify", "--document", file, flag, value]);
        assert_eq!((refused.code, refused.failure().0.contains(flag)), (2, true), "{refused:?}");
    }
    for (what, from, to) in [
        ("another outcome", "\"outcome\":\"deny\"", "\"outcome\":\"allow\""),
        ("another status", "\"status\":\"lost\"", "\"status\":\"in-use\""),
        ("another rule", "\"rule\":\"block\"", "\"rule\":\"lapsed\""),
    ] {
        assert!(good.contains(from), "{what}: {good}");
        let forged = stage.write("forged.json", good.replace(from, to));
        let refused = stage.run(&["verify", "--document", &forged]);
        assert_eq!(refused.code, 1, "{what}: {refused:?}");
    }
    let damaged = stage.write("damaged.json", good.replacen("\"outcome\"", "'outcome\"", 1));
    let refused = stage.run(&["verify", "--document", &damaged, "--trust", &policy]);
    assert_eq!((refused.code, refused.failure().0.contains("it is damaged")), (1, true), "{refused:?}");
    let other = std::fs::read_to_string(&policy).expect("read").replace("in-use", "all");
    let other = stage.write("other.json", other);
    let refused = stage.run(&["verify", "--document", &file, "--trust", &other]);
    assert_eq!(refused.code, 1, "it was decided by another policy: {refused:?}");
}

#[test]
fn a_refusal_by_the_node_has_its_code_for_programs() {
    let stage = Stage::started();
    for (domain, code) in [(DOMAIN, "unknown-identity"), ("other.example", "unknown-domain")] {
        let refused = stage.run(&["export", "--domain", domain, "serial:SN-1"]);
        let told: Value = serde_json::from_str(&refused.stderr).expect("JSON");
        assert_eq!((refused.code, &told["error"]["code"]), (3, &Value::from(code)), "{refused:?}");
    }
}

#[test]
fn a_report_that_fails_leaves_the_former_one() {
    let mut stage = Stage::started();
    let out = stage.write("certificates.html", "the former one");
    stage.kill();
    let failed = stage.run(&["report", "--out", &out]);
    assert_eq!(failed.code, 4, "{failed:?}");
    assert_eq!(std::fs::read_to_string(&out).expect("read"), "the former one");
}

/// A picture of a code, eight pixels for each module, in the simplest format that scanners read.
fn picture(svg: &str) -> Vec<u8> {
    const POINTS: usize = 8;
    let size: usize = svg
        .split("viewBox=\"0 0 ")
        .nth(1)
        .and_then(|it| it.split(' ').next())
        .expect("a size")
        .parse()
        .expect("a number");
    let mut dark = vec![false; size * size];
    let path = svg.rsplit(" d=\"").next().and_then(|it| it.split('"').next()).expect("a path");
    // `M` column row `h` width `v1h-` width `z`, for each run of dark modules.
    for run in path.split('M').filter(|run| !run.is_empty()) {
        let (place, width) = run.split_once('h').expect("a width");
        let (column, row) = place.split_once(' ').expect("a place");
        let (column, row): (usize, usize) = (column.parse().expect("a column"), row.parse().expect("a row"));
        let width: usize = width.split('v').next().expect("a width").parse().expect("a number");
        dark[row * size + column..][..width].fill(true);
    }
    let mut picture = format!("P5 {side} {side} 255\n", side = size * POINTS).into_bytes();
    for row in 0..size * POINTS {
        let line = (0..size * POINTS).map(|column| if dark[row / POINTS * size + column / POINTS] { 0 } else { 255 });
        picture.extend(line);
    }
    picture
}

#[test]
fn scanners_read_the_code_on_the_label() {
    let stage = with_a_device();
    let file = stage.write("code.svg", "");
    let said = stage.ok(&["qr", "serial:SN-1", "--at", "https://id.acme.example", "-o", &file]);
    let svg = std::fs::read_to_string(&file).expect("a picture");
    let scanned = stage.write("code.pgm", picture(&svg));
    let read = std::process::Command::new("zbarimg").args(["--quiet", "--raw", &scanned]).output().expect("zbarimg");
    assert_eq!(String::from_utf8_lossy(&read.stdout), "https://id.acme.example/id/serial:SN-1\n", "{said:?}");
    let other = stage.run(&["qr", "serial:SN-1", "-o", &stage.path("code.png").display().to_string()]);
    assert_eq!((other.code, stage.path("code.png").exists()), (2, false), "it would be no PNG: {other:?}");
}
