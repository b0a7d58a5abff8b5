//! The node as a process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The program under test.
pub(crate) const ICS: &str = env!("CARGO_BIN_EXE_ics-under-test");

/// A running node; killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
}

impl Process {
    /// Starts `ics serve` with additional environment variables, and waits until it says where it listens; `None` if it
    /// ends before that.
    pub(crate) fn start(home: &Path, environment: &[(&str, &str)]) -> Option<Self> {
        let log = std::fs::File::options().create(true).append(true).open(home.join("node.log")).expect("a log");
        let mut command = Command::new(ICS);
        command.arg("--home").arg(home).args(["--json", "serve"]).envs(environment.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("the node starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        let Ok(listening) = serde_json::from_str::<Value>(&line) else {
            child.wait().expect("has ended");
            return None;
        };
        Some(Self { child, url: listening["listening"].as_str().expect("an address").to_owned() })
    }

    /// Sends SIGTERM, on which the node ends in order.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(asked.success());
        assert!(self.child.wait().expect("has ended").success());
    }

    /// Sends SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("is killed");
        self.child.wait().expect("has ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
