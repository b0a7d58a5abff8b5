//! The demo: the real program, five real nodes, and what each step must show.

#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A proxy address at which nobody listens: nodes on this machine must be asked without the environment's proxy.
const PROXY: &str = "http://127.0.0.1:9";

fn behind_a_proxy(command: &mut Command) -> &mut Command {
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env(name, PROXY).env(name.to_uppercase(), PROXY);
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY")
}

fn demo(arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ics"));
    behind_a_proxy(&mut command).args(["demo", "--exit"]).args(arguments).env("TMPDIR", temporary);
    command
}

fn play(arguments: &[&str], temporary: &Path) -> Output {
    demo(arguments, temporary).output().expect("the demo runs")
}

/// Asserts that no node answers any more, and that the temporary directory is gone.
fn nothing_is_left<'a>(addresses: impl IntoIterator<Item = &'a Value>, temporary: &Path) {
    for url in addresses {
        let address = url.as_str().expect("an address").trim_start_matches("http://");
        // A killed process may take a moment to close its socket.
        let is_gone = || {
            let gone = TcpStream::connect(address).is_err();
            if !gone {
                std::thread::sleep(Duration::from_millis(50));
            }
            gone
        };
        assert!((0..600).any(|_| is_gone()), "a node outlived the demo at {address}");
    }
    let left = std::fs::read_dir(temporary).expect("the directory").count();
    assert_eq!(left, 0, "the demo left something behind");
}

/// What the step about the enrolment says when everything is played once more.
fn enrolled_again() -> Value {
    let temporary = tempfile::tempdir().expect("a directory");
    let output = play(&["--json"], temporary.path());
    let text = String::from_utf8_lossy(&output.stdout);
    let mut steps = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    steps.find(|step| step["name"] == "enrol").expect("the step").get("data").expect("its data").clone()
}

#[test]
fn every_step_goes_as_told_and_nothing_is_left() {
    let temporary = tempfile::tempdir().expect("a directory");
    let output = play(&["--json"], temporary.path());
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");

    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (ready, steps) = lines.split_last().expect("lines");
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a name")).collect();
    assert_eq!(
        names,
        [
            "nodes", "publish", "release", "mirror", "adopt", "decide", "enrol", "crash", "stolen", "recall", "refuse",
            "evidence"
        ]
    );
    for step in steps {
        assert_eq!(step["ok"], true, "{step}");
        let has_proof = step["evidence"].as_array().expect("evidence").iter().any(|fact| fact["checked"] == true);
        assert!(has_proof || step["name"] == "nodes", "{step}");
    }
    let data: BTreeMap<_, _> = names.iter().zip(steps).map(|(name, step)| (*name, &step["data"])).collect();

    assert_eq!(data["publish"]["pumps"], 6);
    for outcome in ["allow", "deny", "unknown"] {
        assert_eq!(data["decide"][outcome]["outcome"], outcome);
        assert!(data["decide"][outcome]["reasons"][0].is_string());
    }
    // On a busy machine one of several times is enough.
    let millis = |enrol: &Value| enrol["millis"].as_u64().expect("a number");
    let mut refused = core::iter::once(millis(data["enrol"])).chain((0..3).map(|_| millis(&enrolled_again())));
    assert!(refused.any(|millis| millis < 1000), "refused within a second: {}", data["enrol"]);
    assert!(data["enrol"]["refused"].as_str().expect("words").contains("suspended"));
    let acknowledged = data["crash"]["acknowledged"].as_u64().expect("a number");
    assert!((1..160).contains(&acknowledged), "killed at work, not after it: {acknowledged}");
    for (step, status) in [("stolen", "stolen"), ("recall", "withdrawn")] {
        let reason = data[step]["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("\"{status}\"")), "{reason}");
    }
    assert_eq!(data["recall"]["denied"], 4);
    let codes = ["unknown-signer", "role-not-held", "bad-signature", "foreign-domain"];
    assert_eq!(data["refuse"]["codes"], json!(codes.map(|code| format!("urn:ics:problem:{code}"))));
    assert_eq!(data["evidence"]["status"], "withdrawn", "it is of the domain that has recalled the pump");

    let nodes = ready["nodes"].as_object().expect("nodes");
    assert_eq!(nodes.len(), 5);
    nothing_is_left(nodes.values(), temporary.path());
}

#[test]
fn stopped_in_the_middle_it_ends_its_nodes() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut running = demo(&["--json"], temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the demo runs");
    let mut first = String::new();
    let mut output = BufReader::new(running.stdout.take().expect("piped"));
    output.read_line(&mut first).expect("a line");
    let opened: Value = serde_json::from_str(&first).expect("JSON");
    let addresses = opened["data"]["addresses"].as_array().expect("addresses").clone();
    assert_eq!(addresses.len(), 5);

    let killed = Command::new("kill").arg(running.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(running.wait().expect("it ends").code(), Some(1), "a story without its end is none");
    nothing_is_left(&addresses, temporary.path());
}

/// The pages that are suggested to visitors: of a stolen pump, and of all that a certification body labels.
const PAGES: [&str; 2] = ["in a browser", "a register"];

/// Every command that is suggested to visitors works, and every address leads to its page.
#[test]
fn what_it_offers_to_try_works() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ics"));
    behind_a_proxy(&mut command).arg("demo").env("TMPDIR", temporary.path());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = command.spawn().expect("the demo runs");
    let output = BufReader::new(running.stdout.take().expect("piped"));
    let lines = output.lines().map(|line| line.expect("text")).skip_while(|line| !line.contains("went as told"));
    let offered: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
    let programs = [env!("CARGO_BIN_EXE_ics"), "curl ", "gpg "];
    let commands =
        offered.iter().filter_map(|line| line.split_at_checked(programs.iter().find_map(|it| line.find(it))?));
    let run = |command: &str| behind_a_proxy(Command::new("sh").args(["-c", command])).output().expect("sh runs");
    let pages = offered.iter().filter_map(|line| line.split_at_checked(line.find("http://")?));
    let pages = pages.filter(|(what, _)| PAGES.contains(&what.trim()));
    let opened: Vec<_> = pages.map(|(_, url)| run(&format!("curl --noproxy '*' -sSf {url}"))).collect();
    let tried: Vec<_> = commands.map(|(what, command)| (what.trim(), command, run(command))).collect();
    // Before any assertion: a failing test must not leave nodes running.
    let killed = Command::new("kill").arg(running.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    running.wait().expect("it ends");
    assert_eq!(opened.len(), PAGES.len(), "{offered:?}");
    for (shown, expected) in opened.iter().zip(["stolen", "medical device, class IIb"]) {
        let page = String::from_utf8_lossy(&shown.stdout);
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let expected = ["look it up", "its history", "may it run?", "the same", "log head", "offline", "with GnuPG", ""];
    assert_eq!(tried.iter().map(|(what, ..)| *what).collect::<Vec<_>>(), expected);
    for (what, command, shown) in &tried {
        let (out, errors) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
        assert!(shown.status.success(), "{command}: {errors}");
        assert!(!["may it run?", "offline"].contains(what) || out.contains("withdrawn"), "it was recalled: {out}");
    }
    nothing_is_left([], temporary.path());
}

#[test]
fn a_directory_in_use_is_refused() {
    let taken = tempfile::tempdir().expect("a directory");
    let home = taken.path().join("manufacturer");
    std::fs::create_dir(&home).expect("created");
    std::fs::write(home.join("precious"), "data").expect("written");
    let output = play(&["--dir", taken.path().to_str().expect("text")], taken.path());
    assert_eq!(output.status.code(), Some(5));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("exists and is not empty") && errors.contains("--dir"), "{errors}");
    assert_eq!(std::fs::read(home.join("precious")).expect("still there"), b"data");
}
