//! Evidence used outside the network, and software checked with it.

use std::path::Path;
use std::process::{Command, Output};

use crate::between::{stands_before, stands_in};
use crate::reading::{publish, with_a_device};
use crate::stage::{DOMAIN, Stage};

/// A developer's domain.
const CODE: &str = "code.soft.example";

/// Writes evidence to a file; returns its path, and the origin of the domain.
fn exported(stage: &Stage, thing: &str, name: &str) -> (String, String) {
    let path = stage.path(name).to_str().expect("UTF-8").to_owned();
    let origin = stage.ok(&["export", thing, "-o", &path])["origin"].as_str().expect("an origin").to_owned();
    (path, origin)
}

#[test]
fn evidence_is_checked_without_a_node() {
    let mut stage = Stage::started();
    let id = publish(&stage, 1, "SN-1");
    stage.ok(&["status", "stolen", "serial:SN-1", "--yes"]);
    let (path, origin) = exported(&stage, "serial:SN-1", "pump.json");
    stage.kill();

    let nobody = stage.run_alone("nobody", &["verify", "--document", &path]);
    assert_eq!(nobody.code, 0, "{nobody:?}");
    let verified = nobody.json();
    assert_eq!(
        (&verified["pinned"], &verified["fresh"], &verified["record"]["id"]),
        (&false.into(), &true.into(), &id.clone().into())
    );
    assert_eq!(verified["record"]["status"]["name"], "stolen");
    assert_eq!((&verified["complete"], verified["not_proven"].as_array().map(Vec::len)), (&true.into(), Some(2)));
    assert_eq!((&verified["checked"], verified.get("artifact")), (&"document".into(), None));
    let shown = stage.words_alone("nobody", &["verify", "--document", &path]);
    assert!(shown.starts_with("! the evidence holds, of a domain that nobody has pinned\n"), "{shown}");
    let pinned = stage.ok(&["verify", "--document", &path, "--pin", &origin]);
    let others = format!("no other domain has blocked it: no node was asked, and this is the word of {DOMAIN} alone, ");
    let others = format!("that {others}with what it has taken over from others");
    assert_eq!((&pinned["pinned"], &pinned["not_proven"]), (&true.into(), &serde_json::json!([others])));
    let shown = stage.words_alone("home", &["verify", "--document", &path, "--pin", &origin]);
    let doubts: Vec<&str> = shown.lines().filter(|line| line.starts_with("  not proven ")).collect();
    assert!(shown.contains("\n  proven ") && doubts.len() == 1 && doubts[0].ends_with(&others), "{shown}");
    let later = stage.ok(&["verify", "--document", &path, "--at", "2099-01-01T00:00:00Z"]);
    assert_eq!(later["fresh"], false);
    let shown = stage.words_alone("home", &["verify", "--document", &path]);
    assert!(shown.starts_with("✓ the evidence holds\n"), "{shown}");
    let before = stage.ok(&["verify", "--document", &path, "--pin", &origin, "--at", "2026-01-01T00:00:00Z"]);
    let said = before["not_proven"][0].as_str().unwrap_or_default();
    assert!(said.starts_with("what was known then") && before["made_later"].is_string(), "{before:#}");
    let shown = stage.words_alone("home", &["verify", "--document", &path, "--at", "2026-01-01T00:00:00Z"]);
    assert!(shown.contains("(later than the time by which it is judged)") && !shown.contains("never"), "{shown}");
    let genuine = shown.lines().find(|line| line.contains(" vouches for it")).unwrap_or_default();
    assert!(genuine.ends_with(", not yet stated at that time") && !genuine.contains('✓'), "{shown}");

    let other = format!("{DOMAIN}/{}", "07".repeat(32));
    let refused = stage.run(&["verify", "--document", &path, "--pin", &other]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.failure().0.contains("the pinned domain is"), "{refused:?}");
    let text = std::fs::read_to_string(&path).expect("read");
    let forged = stage.write("forged.json", text.replacen("\"admitted_at\": \"2", "\"admitted_at\": \"3", 1));
    assert_eq!(stage.run(&["verify", "--document", &forged]).code, 1);
}

/// A record counts what is said about the thing, evidence also what defines a group.
#[test]
fn statements_about_groups_are_counted_apart() {
    let stage = with_a_device();
    let (path, _) = exported(&stage, "serial:SN-1", "alone.json");
    let shown = stage.words_alone("home", &["verify", "--document", &path]);
    assert!(shown.contains(" 1 statement, each signed by its signer, "), "{shown}");
    stage.ok(&["publish", "--group", "Lot 1", "--select", "lot=1"]);
    stage.ok(&["status", "suspended", "--group", "Lot 1", "--yes"]);
    let (path, _) = exported(&stage, "serial:SN-1", "grouped.json");
    let shown = stage.words_alone("home", &["verify", "--document", &path]);
    assert!(shown.contains(" 3 statements, 2 of them about groups that may hold it and what these are, "), "{shown}");
}

#[test]
fn a_mirror_in_the_configuration_pins_its_domain() {
    let stage = with_a_device();
    let (path, origin) = exported(&stage, "serial:SN-1", "pump.json");
    let verify = |pin: &str| {
        std::fs::create_dir_all(stage.path("verifier")).expect("made");
        let peer = "[[peer]]\nname = \"p\"\nurl = \"http://127.0.0.1:1\"\n";
        stage.write("verifier/ics.toml", format!("{peer}mirror = [\"{pin}\"]\n"));
        stage.run_in("verifier", &["verify", "--document", &path])
    };
    assert_eq!(verify(&origin).json()["pinned"], true);
    assert_eq!(verify(&format!("{DOMAIN}/{}", "07".repeat(32))).code, 1);
}

#[test]
fn a_file_is_used_only_while_it_is_permitted() {
    let mut stage = Stage::of("developer", CODE);
    stage.start();
    let file = stage.write("firmware.bin", "firmware");
    let other = stage.write("other.bin", "other firmware");
    let published = stage.ok(&["publish", "--file", &file, "--name", "firmware", "--version", "1"]);
    let id = published["id"].as_str().expect("an id").to_owned();
    let online = |file: &str| stage.run(&["verify", file, "--domain", CODE]);
    let why = |ended: &crate::stage::Ended| ended.json()["artifact"]["because"].as_str().unwrap_or_default().to_owned();
    let unreleased = online(&file);
    assert_eq!((unreleased.code, why(&unreleased).as_str()), (1, "no status permits its use"));

    stage.ok(&["status", "released", &id, "--yes"]);
    let (pack, _) = exported(&stage, &id, "firmware.json");
    assert_eq!(online(&file).code, 0);
    assert_eq!(stage.run(&["verify", &file, "--evidence", &pack]).code, 0);
    let refused = online(&other);
    assert_eq!(refused.code, 1);
    assert!(refused.failure().0.contains("says nothing of"), "{refused:?}");
    let refused = stage.run(&["verify", &other, "--evidence", &pack]);
    assert_eq!((refused.code, why(&refused).as_str()), (1, "it is not what the evidence is about"));
    let stale = stage.run(&["verify", &file, "--evidence", &pack, "--at", "2099-01-01T00:00:00Z"]);
    assert_eq!((stale.code, &stale.json()["artifact"]["verdict"]), (1, &"unknown".into()), "old news is no news");
    assert!(why(&stale).starts_with("the news is too old: it is of 20"), "{stale:?}");
    let early = stage.run(&["verify", &file, "--evidence", &pack, "--at", "2026-01-01T00:00:00Z"]);
    assert_eq!((early.code, &early.json()["artifact"]["verdict"]), (1, &"unknown".into()), "{early:?}");
    assert!(why(&early).starts_with("its home confirmed it at 20"), "{early:?}");

    stage.ok(&["status", "withdrawn", &id, "--yes"]);
    let withdrawn = online(&file);
    assert_eq!((withdrawn.code, why(&withdrawn).as_str()), (1, "its status is `withdrawn`, which blocks its use"));
}

/// A developer's node with a released file, and the file's id.
fn released() -> (Stage, String, String) {
    let mut stage = Stage::of("developer", CODE);
    stage.start();
    let file = stage.write("firmware.bin", "firmware");
    let published = stage.ok(&["publish", "--file", &file, "--name", "firmware", "--version", "1"]);
    let id = published["id"].as_str().expect("an id").to_owned();
    stage.ok(&["status", "released", &id, "--yes"]);
    (stage, file, id)
}

/// Whoever carries evidence may have founded a domain of that name, or left out what blocks.
#[test]
fn what_was_carried_permits_a_file_only_by_a_domain_that_is_meant_and_with_nothing_left_out() {
    let (stage, file, id) = released();
    let (pack, origin) = exported(&stage, &id, "firmware.json");
    let verify = |home: &str, pack: &str, more: &[&str]| {
        let ended = stage.run_alone(home, &[&["verify", &file, "--evidence", pack][..], more].concat());
        let artifact = ended.json()["artifact"].take();
        let text = |name: &str| artifact[name].as_str().unwrap_or_default().to_owned();
        (ended.code, text("verdict"), text("because"))
    };
    let allowed = (0, "allow".to_owned(), String::new());
    assert_eq!(verify("home", &pack, &[]), allowed, "its home knows it");
    assert_eq!(verify("nobody", &pack, &["--pin", &origin]), allowed);
    let (code, verdict, because) = verify("nobody", &pack, &[]);
    assert_eq!((code, verdict.as_str()), (1, "unknown"), "{because}");
    assert!(because.ends_with(&format!("add --pin {origin}")), "{because}");
    let shown = stage.for_people("nobody", &["verify", &file, "--evidence", &pack]);
    assert!(shown.stdout.starts_with(&format!("? {file}: not known whether it may be used: ")), "{shown:?}");

    stage.ok(&["status", "withdrawn", &id, "--yes"]);
    let (pack, _) = exported(&stage, &id, "withdrawn.json");
    let (code, verdict, _) = verify("nobody", &pack, &[]);
    assert_eq!((code, verdict.as_str()), (1, "deny"), "whoever says so, it is not to be used");
    let text = std::fs::read_to_string(&pack).expect("read");
    let mut cut: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    cut["entries"].as_array_mut().expect("entries").pop();
    cut.as_object_mut().expect("an object").remove("head").expect("the home's word");
    let cut = stage.write("cut.json", cut.to_string());
    let (code, verdict, because) = verify("nobody", &cut, &["--pin", &origin]);
    assert_eq!((code, verdict.as_str()), (1, "unknown"), "{because}");
    assert!(because.contains("nothing was left out") && because.contains("ics export"), "{because}");
    assert_eq!(verify("nobody", &cut, &["--pin", &origin, "--incomplete"]), allowed);
}

/// Over plain HTTP to another machine, anybody on the network path may answer in place of the node.
#[test]
fn what_another_machine_says_over_plain_http_permits_a_file_only_by_a_pin() {
    let (mut stage, file, id) = released();
    let (_, origin) = exported(&stage, &id, "firmware.json");
    // Whoever sends a request through it, the node answers.
    let proxy = stands_before(stage.url(), |head| Ok(head.replacen("http://ics.soft.example/", "/", 1)));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        stage.set(name, &proxy);
    }
    let ask = |more: &[&str]| {
        let asked = ["--node", "http://ics.soft.example", "verify", &file, "--domain", CODE];
        let ended = stage.run_alone("nobody", &[&asked[..], more].concat());
        (ended.code, ended.json()["artifact"]["verdict"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask(&[]), (1, "unknown".to_owned()));
    assert_eq!(ask(&["--pin", &origin]), (0, "allow".to_owned()));
}

/// The attacker is where the proxy is, which is never used for a node on this machine.
#[test]
fn what_another_machine_allows_over_plain_http_lets_nothing_happen() {
    let mut stage = Stage::new();
    let verdict = serde_json::json!({
        "outcome": "allow", "reason": "permitted", "use": "connect", "at": "2026-11-20T08:10:00Z", "reasons": [],
        "rules": [], "derivation": [], "as_of": [],
    });
    let check = serde_json::json!({
        "answers": [{"verdict": "allow", "reason": "permitted", "view": ""}], "time": "2026-11-20T08:10:00Z",
    });
    let allows = stands_in(move |head| {
        let answer = if head.contains("/v1/check") { &check } else { &verdict };
        answer.to_string()
    });
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        stage.set(name, &allows);
    }
    let description = stage.write("sw-description", "software = {}");
    let asked_of = |node: &str, words: &[&str]| stage.run_alone("nobody", &[&["--node", node][..], words].concat());
    let agent = ["agent", "mosquitto", "--user", "a", "--password-file", "t/nix"];
    for (words, code) in [
        (&["gate", "swupdate", &description][..], 0),
        (&["lookup", "serial:SN-1", "--use", "connect"][..], 0),
        // It gets as far as asking for the password.
        (&agent[..], 5),
    ] {
        let here = asked_of(&allows, words);
        assert_eq!(here.code, code, "{here:?}");
        let elsewhere = asked_of("http://ics.plant.example", words);
        assert_eq!((elsewhere.code, elsewhere.failure().1.contains("https")), (1, true), "{elsewhere:?}");
    }
}

/// SWUpdate logs only what a gate complains of.
#[test]
fn what_a_gate_complains_of_names_what_it_refuses() {
    let stage = Stage::new();
    let verdict = serde_json::json!({
        "outcome": "deny", "reason": "blocked", "use": "install", "at": "2026-11-20T08:10:00Z", "reasons": [],
        "rules": [], "derivation": [], "as_of": [],
    });
    let check = serde_json::json!({
        "answers": [{"verdict": "deny", "reason": "blocked", "view": ""}], "time": "2026-11-20T08:10:00Z",
    });
    let denies = stands_in(move |head| {
        let answer = if head.contains("/v1/check") { &check } else { &verdict };
        answer.to_string()
    });
    let description = stage.write("sw-description", "software = {}");
    let ended = stage.run_alone("nobody", &["--node", &denies, "gate", "swupdate", &description]);
    let (message, hint) = ended.failure();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(message.starts_with("1 of 1 ") && message.ends_with("sw-description: deny, blocked"), "{message}");
    let digest = "095ae42809eefa1da635d0adfbdd2aae3341ad7aaf582b003b0832691654fd3d";
    assert!(hint.contains(&format!("`ics --node {denies} explain sha256:{digest} --use install`")), "{hint}");
}

/// Without the node's time nobody can tell how long its answer is good.
#[test]
fn a_node_that_is_older_than_its_gateway_is_to_be_upgraded() {
    let stage = Stage::new();
    let check = serde_json::json!({"answers": [{"verdict": "allow", "reason": "permitted", "view": ""}]});
    let older = stands_in(move |_| check.to_string());
    let description = stage.write("sw-description", "software = {}");
    let ended = stage.run_alone("nobody", &["--node", &older, "gate", "swupdate", &description]);
    let (message, _) = ended.failure();
    assert!(ended.code != 0 && message.contains("missing field `time`"), "{ended:?}");
    assert!(message.contains("upgrade the node"), "{message}");
}

/// Whoever serves a file chooses its bytes, which must not decide what is asked about it.
#[test]
fn a_document_in_the_place_of_software_is_refused_with_the_command_that_checks_it() {
    let (stage, _, id) = released();
    let (evidence, _) = exported(&stage, &id, "update.sh");
    let verdict = stage.write("$(touch x) it's.sh", r#"{"verdict":{}}"#);
    let proof = stage.write("proof.sh", "c2sp.org/tlog-proof@v1\n");
    for (file, what) in [(&evidence, "evidence"), (&verdict, "a verdict"), (&proof, "a proof")] {
        let refused = stage.run(&["verify", file]);
        let (why, advice) = refused.failure();
        assert_eq!((refused.code, why.contains(" says nothing of ")), (1, true), "{refused:?}");
        assert!(advice.starts_with(&format!("it looks like {what}: `ics verify --document ")), "{advice}");
        let command = advice.split('`').nth(1).expect("a command");
        let words = shlex::split(command).unwrap_or_default();
        assert_eq!(words, ["ics", "verify", "--document", file.as_str()], "{advice}");
        let alone = stage.run_alone("nobody", &["verify", file]);
        assert_eq!((alone.code, alone.failure().1), (2, advice), "{alone:?}");
        let asked = stage.run(&["verify", file, "--domain", CODE]);
        assert_eq!(asked.code, 1, "{asked:?}");
    }
    assert_eq!(stage.ok(&["verify", "--document", &evidence])["checked"], "document");
    let both = stage.run(&["verify", "--document", &evidence, "--evidence", &evidence]);
    assert_eq!(both.code, 2, "one thing is asked at a time: {both:?}");
}

/// A pipe can be read only once: opening it again, for a hint, would wait for ever.
#[test]
fn what_comes_through_a_pipe_is_judged_by_its_hash() {
    let stage = Stage::new();
    let pipe = stage.path("firmware.bin");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, "firmware")
    });
    let ended = stage.run_alone("nobody", &["verify", pipe.to_str().expect("UTF-8")]);
    assert_eq!((ended.code, ended.failure().0.as_str()), (2, "no node is named"), "{ended:?}");
    writer.join().expect("it has ended").expect("somebody has read it");
}

#[test]
fn software_is_judged_whatever_it_holds() {
    let mut stage = Stage::of("developer", CODE);
    stage.start();
    for (name, content) in [
        ("sbom", r#"{"schemaVersion": 2}"#),
        ("blank", " \n"),
        ("empty", ""),
        ("evidence", r#"{"checkpoint": "", "entries": []}"#),
    ] {
        let file = stage.write(name, content);
        let unknown = stage.run(&["verify", &file]);
        assert_eq!(unknown.code, 1, "{unknown:?}");
        let published = stage.ok(&["publish", "--file", &file, "--name", name, "--version", "1"]);
        let unreleased = stage.run(&["verify", &file]);
        assert_eq!((unreleased.code, &unreleased.json()["checked"]), (1, &"artifact".into()), "{unreleased:?}");
        stage.ok(&["status", "released", published["id"].as_str().expect("an id"), "--yes"]);
        assert_eq!(stage.ok(&["verify", &file])["artifact"]["verdict"], "allow");
    }
}

/// A domain other than [`CODE`] at the same node.
const OTHER: &str = "code.acme.example";

/// A developer whose node is the home of two domains.
fn at_home_in_two_domains() -> Stage {
    let mut stage = Stage::of("developer", CODE);
    let node = format!("ics.{CODE}=node");
    let create = ["domain", "create", OTHER, "--template", "developer", "--owner", "owner", "--home-node", &node];
    stage.ok(&[&create[..], &["--signer", "developer=signer", "--names", "developer=urn:dev:*"]].concat());
    let text = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let home = format!("\n[[home]]\ndomain = \"{OTHER}\"\ndescriptor = \"domains/{OTHER}.v1.pgp\"\n");
    stage.write("home/ics.toml", text + &home);
    stage.start();
    stage
}

#[test]
fn what_any_domain_at_the_node_blocks_is_refused() {
    let stage = at_home_in_two_domains();
    let file = stage.write("firmware.bin", "firmware");
    let publish = |domain: &str| {
        let words = ["publish", "--file", &file, "--name", "firmware", "--version", "1", "--domain", domain];
        stage.ok(&words)["id"].as_str().expect("an id").to_owned()
    };
    let id = publish(CODE);
    assert_eq!(publish(OTHER), id);
    let say = |status: &str, domain: &str| stage.ok(&["status", status, &id, "--domain", domain, "--yes"]);
    say("released", CODE);
    let permitted = stage.ok(&["verify", &file, "--domain", CODE]);
    assert!(permitted["not_proven"].to_string().contains("of those that the node knows none does"), "{permitted}");
    say("withdrawn", OTHER);
    let refused = stage.run(&["verify", &file, "--domain", CODE]);
    let artifact = refused.json()["artifact"].take();
    let because = format!("{OTHER} says that it is `withdrawn`, which blocks its use");
    assert_eq!((refused.code, &artifact["because"]), (1, &because.as_str().into()), "{refused:?}");
    assert_eq!(artifact["verdict"], "deny");
    let shown = stage.for_people("home", &["verify", &file, "--domain", CODE]).stdout;
    assert!(shown.starts_with(&format!("✗ {file} must not be used: {OTHER} says ")), "{shown}");
    assert!(!shown.contains("that no other domain has blocked it"), "{shown}");

    // Also if the domain that is asked does not permit the file itself: the user must learn of the block elsewhere.
    stage.ok(&["withdraw", &id, "--act", "status", "--domain", CODE, "--yes"]);
    let unreleased = stage.run(&["verify", &file, "--domain", CODE]).json();
    assert_eq!(unreleased["artifact"]["because"], because.as_str(), "{unreleased:#}");
    assert!(!unreleased["not_proven"].to_string().contains("no other domain has blocked it"), "{unreleased:#}");

    let unnamed = stage.run_in("nobody", &["verify", &file]);
    assert_eq!((unnamed.code, unnamed.failure().1.contains(&format!("`--domain {OTHER}`"))), (2, true), "{unnamed:?}");
}

#[test]
fn the_domain_that_speaks_of_a_file_is_named_when_another_one_is_asked() {
    let stage = at_home_in_two_domains();
    let file = stage.write("firmware.bin", "firmware");
    let asked = || stage.run(&["verify", &file, "--domain", OTHER]);
    let unknown = asked();
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.failure().1.starts_with("it is another version"), "nobody knows it: {unknown:?}");
    stage.ok(&["publish", "--file", &file, "--name", "firmware", "--version", "1"]);
    let elsewhere = asked();
    assert_eq!(elsewhere.code, 1, "{elsewhere:?}");
    assert!(elsewhere.failure().1.ends_with(&format!("`--domain {CODE}`")), "{elsewhere:?}");
}

/// The domain of an integrator speaks about software, but vouches for none; it is the one in ics.toml.
#[test]
fn the_domain_that_vouches_for_a_file_is_named_when_the_own_one_does_not() {
    let stage = at_home_in_two_domains();
    let file = stage.write("firmware.bin", "firmware");
    let words = ["publish", "--file", &file, "--name", "firmware", "--version", "1", "--domain", OTHER];
    let id = stage.ok(&words)["id"].as_str().expect("an id").to_owned();
    stage.ok(&["status", "released", &id, "--domain", CODE, "--yes"]);
    let told = stage.for_people("home", &["verify", &file]);
    assert!(told.code == 1 && told.stdout.contains("nobody who is entitled to do so vouches for it"), "{told:?}");
    assert!(told.stderr.contains(&format!("somebody vouches for the file elsewhere: `--domain {OTHER}`")), "{told:?}");
    let named = stage.for_people("home", &["verify", &file, "--domain", CODE]);
    assert!(named.code == 1 && !named.stderr.contains("elsewhere"), "that one was meant: {named:?}");
}

/// Whoever looks a file up under one name must see that somebody gives it another.
#[test]
fn a_file_that_two_domains_call_differently_is_shown_with_both_names() {
    let stage = at_home_in_two_domains();
    let file = stage.write("firmware.bin", "firmware");
    let publish = |name: &str, domain: &str| {
        let words = ["publish", "--file", &file, "--name", name, "--version", "1", "--domain", domain];
        stage.ok(&words)["id"].as_str().expect("an id").to_owned()
    };
    let id = publish("firmware", CODE);
    publish("valve", OTHER);
    let shown = stage.words_alone("home", &["lookup", &id]);
    // The node decides which domain comes first.
    let others = [format!("{OTHER} calls it valve 1\n"), format!("{CODE} calls it firmware 1\n")];
    assert_eq!(others.iter().filter(|it| shown.contains(it.as_str())).count(), 1, "{shown}");
}

fn gpg(home: &Path, words: &[&str]) -> Output {
    let output = Command::new("gpg").env("GNUPGHOME", home).arg("--batch").args(words).output().expect("gpg is there");
    assert!(output.status.success(), "gpg {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn gpg_checks_what_is_exported_and_what_it_exports_is_taken_in() {
    use std::os::unix::fs::DirBuilderExt as _;
    let stage = Stage::started();
    let id = publish(&stage, 1, "SN-1");
    stage.ok(&["status", "in-use", "serial:SN-1", "--yes"]);
    stage.ok(&["publish", "--group", "Lot 1", "--select", "lot=1"]);
    let home = stage.path("gnupg");
    std::fs::DirBuilder::new().mode(0o700).create(&home).expect("made");

    let armored = stage.run(&["export", "serial:SN-1", "--openpgp", "--armor"]).stdout;
    assert!(armored.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"), "{armored}");
    let file = stage.write("pump.asc", &armored);
    gpg(&home, &["--allow-non-selfsigned-uid", "--import", &file]);
    let checked = gpg(&home, &["--with-colons", "--check-sigs", &id]).stdout;
    let checked = String::from_utf8_lossy(&checked).into_owned();
    let good = checked.lines().filter(|line| line.starts_with("sig:!:")).count();
    assert!(good >= 1, "{checked}");

    let group = stage.ok(&["list", "--kind", "group"])["items"][0]["id"].as_str().expect("an id").to_owned();
    stage.ok(&["status", "suspended", "--group", "Lot 1", "--yes"]);
    let refused = stage.run(&["export", &group, "--openpgp"]);
    assert_eq!(refused.code, 2, "there are two messages: {refused:?}");
    let lot = stage.path("lot.pgp");
    let exported = stage.ok(&["export", &group, "--openpgp", "-o", lot.to_str().expect("UTF-8")]);
    assert_eq!(exported["files"].as_array().map(Vec::len), Some(3), "two messages, and their signers: {exported}");
    for name in ["lot.pgp", "lot.2.pgp"] {
        gpg(&home, &["--verify", stage.path(name).to_str().expect("UTF-8")]);
    }
    let signers = std::fs::read(stage.path("lot.signers.pgp")).expect("written");
    assert!(!signers.is_empty());
    // The same as what is signed, and its signature.
    let lot = stage.path("apart.json");
    assert_eq!(stage.run(&["export", &group, "--openpgp", "-o", lot.to_str().expect("UTF-8")]).code, 0);
    for name in ["apart", "apart.2"] {
        let [document, signature] = ["json", "sig"].map(|end| stage.path(&format!("{name}.{end}")));
        gpg(&home, &["--verify", signature.to_str().expect("UTF-8"), document.to_str().expect("UTF-8")]);
        let document = std::fs::read(document).expect("written");
        let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
        assert_eq!(document["subject"]["name"], "Lot 1", "{document}");
    }
    assert_eq!(std::fs::read(stage.path("apart.signers.pgp")).expect("written"), signers);

    let keyring = stage.path("keyring.pgp");
    let keyring = keyring.to_str().expect("UTF-8");
    gpg(&home, &["--output", keyring, "--export"]);
    let before = stage.size("serial:SN-1");
    let imported = stage.ok(&["import", keyring]);
    assert!(imported["found"].as_u64() >= Some(2) && imported["found"] == imported["in_log"], "{imported}");
    assert_eq!(stage.size("serial:SN-1"), before, "what is there gets its first receipt again");

    let elsewhere = Stage::started();
    let refused = elsewhere.run(&["import", keyring]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let reasons = refused.json()["refused"].as_object().expect("reasons").keys().cloned().collect::<Vec<_>>();
    assert_eq!(reasons, ["certificate-not-named", "unknown-signer"]);
}
