//! Nodes as processes of this very program: started, awaited, killed, restarted. None outlives the demo.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::error::{DemoError, Result};
use crate::client::node::Node;

/// The time limit in seconds for a node to answer after its start.
const START_SECONDS: u64 = 30;
/// How often it is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// How many lines of a node's log are shown when it fails.
const LOG_LINES: usize = 12;

/// A running node.
#[derive(Debug)]
pub(super) struct Process {
    who: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs `ics serve` with a home directory and waits until the node answers.
    pub(super) async fn start(who: &'static str, home: &Path, node: &Node) -> Result<Self> {
        let log = home.join("node.log");
        let program = std::env::current_exe().map_err(|error| DemoError::System(error.to_string()))?;
        let failed = |source| DemoError::File { path: log.clone(), source };
        let output = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let child = Command::new(&program)
            .arg("--home")
            .arg(home)
            .arg("serve")
            .env_remove("ICS_HOME")
            .env_remove("ICS_PASSPHRASE_FILE")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| DemoError::File { path: program.clone(), source })?;
        let mut process = Self { who, child, log };
        process.answers(node).await?;
        Ok(process)
    }

    async fn answers(&mut self, node: &Node) -> Result<()> {
        let begun = Instant::now();
        while node.info().await.is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(format!("ended with {status}")));
            }
            if begun.elapsed() > Duration::from_secs(START_SECONDS) {
                return Err(self.failed(format!("gave no answer in {START_SECONDS} seconds")));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Ok(())
    }

    /// Sends SIGKILL: the process gets no chance to write anything.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.map_err(|error| self.failed(format!("cannot be killed: {error}")))
    }

    /// Its process id, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    fn failed(&self, what: String) -> DemoError {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let log = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n");
        DemoError::Process { who: self.who, what, log }
    }
}
