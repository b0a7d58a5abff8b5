//! `ics backup`.

use std::path::PathBuf;

use clap::Args;
use console::style;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::counted_entries;
use crate::client::backup::{self, Backup as Made, BackupError, LeftOut};
use crate::config::Config;
use crate::store::StoreError;
use crate::words::path_text;

/// What `ics backup` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics backup /backup/ics-2026-11-20
  $ ics --home /var/lib/ics backup /mnt/safe/ics --with-keys")]
pub(crate) struct Backup {
    /// The directory to make for the copy.
    directory: PathBuf,
    /// Also copy the secret keys, encrypted as they are, the operator's token and the key for TLS; never the
    /// passphrase.
    #[arg(long)]
    with_keys: bool,
}

/// What to do about a copy that does not hold together.
const DAMAGED: &str = "keep the earlier copies, and do not rely on this one; `ics fsck` says whether the store is \
                       damaged, and what to do then";

impl Backup {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = Config::load(&context.home)?;
        context.output.note("copying and reading the copy …");
        let made = backup::make(&context.home, &config, &self.directory, self.with_keys)?;
        let findings = &made.report.findings;
        let files: Vec<String> = made.files.iter().map(|path| path_text(path)).collect();
        let shown = json!({ "directory": path_text(&self.directory), "files": files, "entries": made.report.entries,
            "left_out": made.left_out, "without_content": made.report.without_content, "findings": findings });
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
            true => "copied, encrypted; keep their passphrase in another place, and keep the copy as safe as the node",
            false => "not copied: --with-keys does",
        };
        let mut rows = vec![
            ("store", counted_entries(made.report.entries)),
            ("checked", checked),
            ("files", made.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")),
            ("keys", keys.to_owned()),
        ];
        if !findings.is_empty() {
            rows.push(("what to do", DAMAGED.to_owned()));
        }
        if !made.left_out.is_empty() {
            let line = |it: &LeftOut| format!("{}: {}", it.path.display(), it.why);
            let lines = made.left_out.iter().map(line).collect::<Vec<_>>().join("\n");
            rows.push((
                "left out",
                style(format!("{lines}\nkeep what the node needs of it yourself")).yellow().to_string(),
            ));
        }
        card(&format!("{mark} backup in {}", self.directory.display()), &rows)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let failure = Self::new(Exit::Local, &error);
        match error {
            BackupError::NoNode => failure.hint("--home names another one"),
            BackupError::Exists(_) => failure.hint(
                "nothing is ever overwritten: name another directory; one without data/ics.db is an interrupted \
                 attempt and holds no backup",
            ),
            BackupError::Store(StoreError::NotFound { .. }) => failure.hint("the node has not been started yet"),
            _ => failure,
        }
    }
}
