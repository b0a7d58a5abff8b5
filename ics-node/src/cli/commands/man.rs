//! `ics man`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::Context;
use crate::cli::definition;
use crate::cli::exit::{Exit, Failure};

/// What `ics man` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// The directory to write to.
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let failed = |e: std::io::Error| Failure::new(Exit::Local, format!("`{}`: {e}", self.directory.display()));
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let mut command = definition();
        command.build();
        let pages = write_pages(&command, &self.directory).map_err(failed)?;
        context.output.result(&serde_json::json!({ "pages": pages }), || {
            format!("{} manual pages in {}", pages.len(), self.directory.display())
        })?;
        Ok(Exit::Ok)
    }
}

/// Writes the pages of a command and its subcommands; returns their file names.
fn write_pages(command: &clap::Command, directory: &Path) -> std::io::Result<Vec<String>> {
    let page = clap_mangen::Man::new(command.clone());
    let name = page.get_filename();
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(directory.join(&name), text)?;
    let mut names = vec![name];
    for inner in command.get_subcommands() {
        names.extend(write_pages(inner, directory)?);
    }
    Ok(names)
}
