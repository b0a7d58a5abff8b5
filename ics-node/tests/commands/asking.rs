//! What commands ask at a terminal, provided by script(1).

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::stage::{ICS, Stage};

const OTHER: &str = "correct horse battery\n";

#[test]
fn a_passphrase_is_typed_once_for_all_keys_that_it_opens() {
    let stage = Stage::new();
    stage.ok(&["key", "make", "second", "--user-id", "Second"]);
    let other = stage.write("other", OTHER);
    stage.ok(&["--passphrase-file", &other, "key", "make", "third", "--user-id", "Third"]);
    let passphrase = std::fs::read_to_string(stage.path("home/passphrase")).expect("read");
    std::fs::remove_file(stage.path("home/passphrase")).expect("removed");
    let template = ["domain", "create", "d.example", "--template", "developer", "--signer", "developer=signer"];
    let owners = ["--owner", "owner", "--owner", "second", "--owner", "third", "--threshold", "2"];
    let rest = ["--names", "developer=urn:dev:*", "--home-node", "ics.d.example=node"];
    let create = [&template[..], &owners, &rest].concat();
    let asked = stage.at_a_terminal(&create, &format!("{passphrase}{OTHER}"));
    assert_eq!((asked.code, asked.stdout.matches("Passphrase for").count()), (0, 2), "{asked:?}");
}

/// Whoever stands beside a terminal must not read it there; and a new one is typed twice.
#[test]
fn a_passphrase_from_standard_input_is_asked_for_where_that_is_a_terminal() {
    let stage = Stage::new();
    let passphrase = std::fs::read_to_string(stage.path("home/passphrase")).expect("read");
    let make = ["--passphrase-file", "-", "key", "make", "second", "--user-id", "Second"];
    let asked = stage.at_a_terminal(&make, &passphrase.repeat(2));
    assert_eq!((asked.code, asked.stdout.contains("New passphrase for the secret keys")), (0, true), "{asked:?}");
    let create = ["--passphrase-file", "-", "domain", "create", "d.example", "--template", "developer"];
    let roles = ["--signer", "developer=signer", "--owner", "owner", "--names", "developer=urn:dev:*"];
    let asked =
        stage.at_a_terminal(&[&create[..], &roles, &["--home-node", "ics.d.example=node"]].concat(), &passphrase);
    assert_eq!((asked.code, asked.stdout.contains("Passphrase for the key `owner`")), (0, true), "{asked:?}");
}

#[test]
fn a_command_that_reads_what_is_typed_says_how_to_end_it() {
    let read = Stage::new().at_a_terminal(&["sign", "-"], "\u{4}");
    assert!(read.code != 0 && read.stdout.contains("until Ctrl-D"), "{read:?}");
}

/// Otherwise nobody sees what they type into that terminal from then on.
#[test]
fn a_terminal_is_as_before_when_somebody_breaks_off_at_a_prompt() {
    let stage = Stage::new();
    std::fs::remove_file(stage.path("home/passphrase")).expect("removed");
    let line = format!("'{ICS}' key make other; echo ended $?; stty -a");
    // A shell has what it starts in the background ignore the signal, perhaps this test, too.
    let mut command = Command::new("env");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ICS_HOME", stage.path("home"));
    command.args(["--default-signal=INT", "script", "--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut terminal = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script is there");
    let (mut typed, mut shown) = (terminal.stdin.take().expect("piped"), terminal.stdout.take().expect("piped"));
    let (mut seen, mut octet) = (String::new(), [0]);
    while !seen.ends_with("secret keys: ") {
        shown.read_exact(&mut octet).unwrap_or_else(|error| panic!("{error}: {seen}"));
        seen.push(char::from(octet[0]));
    }
    typed.write_all(b"\x03").expect("typed");
    shown.read_to_string(&mut seen).expect("shown");
    terminal.wait().expect("ended");
    assert!(seen.contains("ended 130"), "{seen}");
    let modes: Vec<&str> = seen.split_whitespace().collect();
    assert!(["echo", "icanon", "isig"].iter().all(|mode| modes.contains(mode)), "{seen}");
}
