//! `ics import` of Debian's keyring into a node, both as processes, compared with `gpg --import` of the same file.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::report::Report;
use crate::{Error, Options, Outcome};

/// 905 certificates and 48,788 signatures in the version of 2022-12-24.
const KEYRING: &str = "/usr/share/keyrings/debian-keyring.gpg";
/// How many times faster than gpg it should be.
const WANTED: f64 = 5.0;

pub(crate) fn run(report: &mut Report, _: &Options) -> Outcome {
    let directory = TempDir::new()?;
    let node = Node::start(directory.path())?;
    let started = Instant::now();
    let tally = node.ics(&["--json", "import", KEYRING])?;
    let ours = started.elapsed();
    let count = |name: &str| tally.get(name).and_then(Value::as_u64).unwrap_or_default();
    let kept = format!("{} of {}, {} of them certificates", count("in_log"), count("found"), count("certificates"));
    report.figure("ics import, verified, durable, in the log", &format!("{:.1} s: {kept}", ours.as_secs_f64()));
    drop(node);

    let theirs = gpg(directory.path())?;
    report.figure("gpg --import, which verifies self-signatures only", &format!("{:.1} s", theirs.as_secs_f64()));
    report.ratio("ics import to gpg --import", 1.0 / ours.as_secs_f64(), 1.0 / theirs.as_secs_f64(), WANTED);
    Ok(())
}

/// Imports with gpg into a fresh home directory on the same disk.
fn gpg(directory: &Path) -> Result<Duration, Error> {
    let home = directory.join("gpg");
    std::fs::create_dir(&home)?;
    let mut command = Command::new("gpg");
    command.env("GNUPGHOME", &home).args(["--batch", "--quiet", "--import", KEYRING]);
    let started = Instant::now();
    // gpg refuses some keys of the keyring, which is no failure of the measurement.
    command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(started.elapsed())
}

/// A developer's node whose descriptor names everybody in the keyring.
struct Node<'a> {
    home: &'a Path,
    url: String,
    process: Child,
}

impl<'a> Node<'a> {
    fn start(home: &'a Path) -> Result<Self, Error> {
        let ics = home.join("ics");
        let run = |args: &[&str]| -> Result<Vec<u8>, Error> { output(&mut command(&ics, args)) };
        let listens = ["--listen", "127.0.0.1:0", "--generate-passphrase"];
        run(&[&["init", "--role", "developer", "--domain", "code.soft.example"][..], &listens].concat())?;
        let signers = format!("developer={KEYRING}");
        run(&["domain", "update", "--add-signer", &signers, "--certificate-bytes", "1048576"])?;
        let mut serving = command(&ics, &["--json", "serve"]);
        let mut process = serving.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let listening: Value = serde_json::from_str(&line)?;
        let url = listening.get("listening").and_then(Value::as_str).ok_or("no address")?.to_owned();
        let node = Self { home, url, process };
        let config = ics.join("ics.toml");
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, text.replace("[client]", &format!("[client]\nnode = \"{}\"", node.url)))?;
        node.ics(&["--json", "domain", "submit"])?;
        Ok(node)
    }

    /// Runs a command that prints JSON.
    fn ics(&self, args: &[&str]) -> Result<Value, Error> {
        Ok(serde_json::from_slice(&output(&mut command(&self.home.join("ics"), args))?)?)
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ics-measured"));
    command.env_clear().env("ICS_HOME", home).args(args).stdin(Stdio::null());
    command
}

/// The output of a command; an import with refusals has a non-zero exit code.
fn output(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output = command.output()?;
    match output.status.code() {
        Some(0 | 1) if !output.stdout.is_empty() => Ok(output.stdout),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}
