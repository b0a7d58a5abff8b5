//! The examples do what they say: each is run as a person runs it.
#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The first of so many ports that nobody listens on: each example has its own; below those that the system gives to
/// outgoing connections.
fn ports() -> u16 {
    const COUNT: u16 = 22;
    let first = u16::try_from(std::process::id() % 500).expect("below 500");
    let candidates = (0..500).map(|step| 21_000 + (first + step) % 500 * 22);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    static PORTS: OnceLock<u16> = OnceLock::new();
    *PORTS.get_or_init(|| candidates.clone().find(|port| (*port..port + COUNT).all(is_free)).expect("free ports"))
}

/// Runs an example; what it printed. It leaves nothing behind.
fn run(name: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join("run.sh");
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("bash");
    command.arg(&script).env("ICS", env!("CARGO_BIN_EXE_ics-under-test")).env("TMPDIR", directory.path());
    command.env("FACTORY_LINE", env!("CARGO_BIN_EXE_factory-line"));
    command.env("EMBEDDED_GATEWAY", env!("CARGO_BIN_EXE_embedded-gateway"));
    command.env("PORT", ports().to_string());
    command.env_remove("ICS_HOME").env_remove("KEEP").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    // Where nobody listens: an example asks for nothing but what is on this machine.
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env(name, "http://127.0.0.1:9").env(name.to_uppercase(), "http://127.0.0.1:9");
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = command.output().expect("bash must be installed");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {}\n{said}", script.display(), output.status);
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert!(left.is_empty(), "{name} leaves {left:?}");
    said
}

/// Asserts that these lines, or parts of lines, stand in the text in this order.
fn in_order(said: &str, expected: &[&str]) {
    let mut rest = said;
    for line in expected {
        let place = rest.find(line).unwrap_or_else(|| panic!("`{line}` is missing, or not in its place:\n{said}"));
        rest = rest.get(place + line.len()..).expect("a boundary");
    }
}

#[test]
fn federation() {
    let said = run("federation");
    in_order(
        &said,
        &[
            "== 4.",
            "✓ plant.integrator.example, version 2",
            "== 6.",
            "✓ 3 published",
            "== 9.",
            "✓ ALLOW serial:SN-0001: connect",
            "== 11.",
            "✗ DENY serial:SN-0001: connect",
            "`stolen`",
            "exit code 1",
            "== 12.",
            "✗ DENY serial:SN-0002: connect",
            "`suspended`",
            "exit code 1",
            "== 13.",
            "✓ current",
            "== Done",
        ],
    );
    assert_eq!(said.matches("has the log of the home").count(), 3, "{said}");
}

#[test]
fn offline_verification() {
    let said = run("offline-verification");
    in_order(
        &said,
        &["== 4.", "the evidence holds", "== 5.", "exit code 1", "== 6.", "exit code 1", "== 7.", "2 good signatures"],
    );
    in_order(&said, &["act@cm4it.example=identity", "act@cm4it.example=approval", "== 9.", "== Done"]);
    in_order(&said, &["== 9.", "✓ entry 2 is in the log of devices.acme.example/", "exit code 1", "== Done"]);
    assert!(said.contains("✗ entry 2 is not what the checkpoint has"), "{said}");
    assert!(said.contains("Good signature from \"Manufacturer of devices.acme.example\""), "{said}");
    assert_eq!(said.matches("the evidence is refused").count(), 2, "{said}");
}

#[test]
fn zero_trust() {
    let said = run("zero-trust");
    in_order(
        &said,
        &[
            "== 3.",
            "✓ ALLOW serial:SN-0001: connect",
            "== 4.",
            "97 %  serial:SN-0001",
            "✓",
            "== 5.",
            "✗ DENY serial:SN-0001: connect",
            "exit code 1",
            "Denied: serial:SN-0001, to connect",
            "Plant monitor (key ",
            "as security-controller, named so by version 2 of the descriptor of plant.example",
            "✓ ALLOW serial:SN-0002: connect",
            "== 6.",
            "the page of serial:SN-0001 says: Do not use: suspended",
            "the page of serial:SN-0002 says: Genuine, in use",
            "== 7.",
            "exit code",
            "== 8.",
            "✓ ALLOW serial:SN-0001: connect",
            "the page of serial:SN-0001 says: Genuine, in use",
            "without effect: a later statement replaces it",
            "== Done",
        ],
    );
    assert_eq!(said.matches("monitor$ ics status suspended").count(), 1, "once, not for every anomaly: {said}");
}

#[test]
fn usb_stick() {
    let said = run("usb-stick");
    in_order(
        &said,
        &[
            "== 3.",
            "plant.example: entries 0 to",
            "== 4.",
            "✓ plant.example",
            "✓ ALLOW serial:SN-0001: connect",
            "== 5.",
            "waits in this node for the home of the domain",
            "== 6.",
            "2 statements, in the log",
            "== 7.",
            "2 own statements in the log by now",
            "✗ DENY serial:SN-0001: connect",
            "✓ ALLOW serial:SN-0002: connect",
            "== 8.",
            "exit code 1",
            "== Done",
        ],
    );
    assert!(said.contains("the bundle is cut off after"), "{said}");
}

#[test]
fn nginx() {
    let said = run("nginx");
    in_order(
        &said,
        &[
            "== 3.",
            "SN-0001: 200 permitted",
            "SN-0002: 200 permitted",
            "stranger: 503",
            "nobody: 403",
            "== 4.",
            "SN-0001: 403 blocked",
            "SN-0002: 200 permitted",
            "== 5.",
            "SN-0001: 200 permitted",
            "== 6.",
            "SN-0002: 503",
            "== Done",
        ],
    );
}

#[test]
fn mosquitto() {
    let said = run("mosquitto");
    in_order(
        &said,
        &[
            "== 4.",
            "watching 2 of the broker's clients",
            "let in SN-0001: permitted",
            "let in SN-0002: permitted",
            "== 5.",
            "open",
            "== 6.",
            "ended SN-0001: deny, blocked",
            "the broker denies it what it asks for",
            "and tells it nothing",
            "== 7.",
            "open again",
            "== 8.",
            "trouble the node at",
            "== Done",
        ],
    );
}

#[test]
fn update_gate() {
    let said = run("update-gate");
    in_order(
        &said,
        &[
            "== 3.",
            "✗ valve_1.0_all.deb: deny, not-permitted",
            "apt refuses",
            "nothing is installed",
            "== 4.",
            "✗ valve_1.0_all.deb: deny, not-permitted",
            "apt refuses",
            "nothing is installed",
            "== 5.",
            "✓ valve_1.0_all.deb",
            "version 1.0",
            "✓ valve_2.0_all.deb",
            "version 2.0",
            "== 6.",
            "✓ valve_1.0_all.deb (back to an older version)",
            "version 1.0",
            "✗ valve_1.0_all.deb: deny, not-permitted",
            "apt refuses",
            "✓ valve_2.0_all.deb",
            "version 2.0",
            "== 7.",
            "✗ valve_1.0_all.deb (back to an older version): deny, blocked",
            "apt refuses",
            "version 2.0",
            "version 1 of the protocol:",
            "✓ valve_2.0_all.deb",
            "✗ valve_1.0_all.deb: deny, blocked",
            "apt refuses",
            "version 2 of the protocol:",
            "✓ valve_2.0_all.deb",
            "✗ valve_1.0_all.deb (back to an older version): deny, blocked",
            "apt refuses",
            "== 8.",
            "SWUpdate refuses",
            "SWUpdate has installed it: the firmware of the pump",
            "== 9.",
            "SWUpdate refuses",
            "SWUpdate refuses",
            "== 10.",
            "SN-0001",
            "== Done",
        ],
    );
    let (_, lists) = said.rsplit_once("with deprecated code:").expect("a list");
    let (deprecated, current) = lists.split_once("with version 2.0:").expect("another");
    assert!(deprecated.contains("SN-0001") && !deprecated.contains("SN-0002"), "{deprecated}");
    let (current, _) = current.split_once("== Done").expect("the end");
    assert!(current.contains("SN-0002") && !current.contains("SN-0001"), "{current}");
}

#[test]
fn embedded_gateway() {
    let said = run("embedded-gateway");
    in_order(
        &said,
        &[
            "== 4.",
            "serial:SN-0001: allow, permitted",
            "serial:SN-0002: allow, permitted",
            "serial:SN-0003: unknown, unknown-identity",
            "serial:SN-0001: deny, blocked",
            "serial:SN-0001: allow, permitted",
            "== Done",
        ],
    );
}

#[test]
fn factory_line() {
    let said = run("factory-line");
    in_order(
        &said,
        &["== 1.", ",urn:dev:mac:", "fffe000000\n", "== 3.", "✓ 3000 published", "== 4.", "urn:dev:mac:", "== Done"],
    );
}

/// Beyond as many devices as IEEE's list has OUIs, of which it lists some twice: a name that two rows of a file have is
/// refused.
#[test]
fn no_two_devices_of_the_factory_line_have_one_address() {
    let mut line = Command::new(env!("CARGO_BIN_EXE_factory-line"));
    let output = line.args(["--devices", "70000"]).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let addresses: Vec<&str> = said.lines().skip(1).filter_map(|row| row.split(',').nth(2)).collect();
    assert_eq!(addresses.len(), 70_000);
    assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), addresses.len(), "an address occurs twice");
}
