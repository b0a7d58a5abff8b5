//! `ics backup`.

use std::path::PathBuf;

use clap::Args;
use console::style;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::client::backup::{self, Backup as Made, BackupError};
use crate::config::Config;
use crate::store::StoreError;

/// What `ics backup` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics backup /backup/ics-2026-11-20
  $ ics --home /var/lib/ics backup /mnt/safe/ics --with-keys")]
pub(crate) struct Backup {
    /// A new directory.
    directory: PathBuf,
    /// Copy the secret keys, encrypted as they are, and the operator's token too; never the passphrase.
    #[arg(long)]
    with_keys: bool,
}

impl Backup {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = Config::load(&context.home)?;
        let node = config.node.as_ref().ok_or_else(|| {
            Failure::new(Exit::Local, "this home directory is not that of a node").hint("--home names another one")
        })?;
        context.output.note("copying and reading the copy …");
        let made = backup::make(&context.home, node, &self.directory, self.with_keys)?;
        let findings = &made.report.findings;
        let shown = json!({ "directory": self.directory, "files": made.files, "entries": made.report.entries,
            "without_content": made.report.without_content, "findings": findings });
        context.output.result(&shown, || self.text(&made))?;
        Ok(if findings.is_empty() { Exit::Ok } else { Exit::Local })
    }

    fn text(&self, made: &Made) -> String {
        let findings = &made.report.findings;
        let (mark, checked) = match findings.as_slice() {
            [] => (style("✓").green(), "every entry was read and leads to the root".to_owned()),
            _ => (style("✗").red(), style(findings.join("\n")).red().to_string()),
        };
        let keys = match self.with_keys {
            true => "copied, encrypted; keep their passphrase in another place",
            false => "not copied: --with-keys does",
        };
        let rows = [
            ("store", format!("{} entries", made.report.entries)),
            ("checked", checked),
            ("files", made.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")),
            ("keys", keys.to_owned()),
        ];
        card(&format!("{mark} backup in {}", self.directory.display()), &rows)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let failure = Self::new(Exit::Local, &error);
        match error {
            BackupError::Exists(_) => failure.hint("nothing is ever overwritten: name another directory"),
            BackupError::Store(StoreError::NotFound { .. }) => failure.hint("the node has not been started yet"),
            _ => failure,
        }
    }
}
