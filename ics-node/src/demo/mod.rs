//! `ics demo`: five parties with a node each on this machine, and one story with real keys, signatures, logs and
//! proofs. Each step is asserted; the first that does not go as told ends the demo.

mod acme;
mod authority;
mod cast;
mod ending;
mod error;
mod gate;
mod party;
mod props;
mod show;
mod stage;
mod story;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

pub use self::error::DemoError;
use self::show::Show;

/// Options of the demo.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory for the home directories, kept at the end. If absent, a temporary directory.
    pub directory: Option<PathBuf>,
    /// Whether to keep the temporary directory.
    pub keep: bool,
    /// Whether to end after the story, instead of leaving the nodes up.
    pub exit: bool,
    /// Whether to print one JSON object for each step, instead of text for people.
    pub json: bool,
}

/// How often removing the temporary directory is tried, and the pause between attempts: a node that was just killed may
/// still hold a file.
const REMOVALS: usize = 100;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(20);

/// Plays the story, then waits for `stop` unless told to exit. The nodes end with it, however it ends.
///
/// # Errors
/// When a step does not go as told, or `stop` is ready before the last step.
pub async fn run(options: &Options, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let (directory, temporary) = directory(options)?;
    let ended = tell(options, &directory, stop).await;
    if temporary.is_some() {
        remove(&directory).await;
    }
    ended
}

async fn tell(options: &Options, directory: &Path, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let mut stop = std::pin::pin!(stop);
    let mut show = Show::new(options.json);
    show.title(
        "CM4IT: what is this thing, who vouches for it, and what is its status now?",
        "Five parties, five nodes, one story. Keys, signatures, logs and proofs are real, and made now.",
    );
    let story = tokio::select! {
        played = story::play(directory, &mut show) => played?,
        () = &mut stop => return Err(DemoError::Stopped),
    };
    let kept = is_kept(options);
    show.ending(&ending::rows(&story, !options.exit, kept), &ending::value(&story));
    if kept {
        show.note(&format!("Everything is kept in {}.", directory.display()));
    }
    if !options.exit {
        show.note(if kept { "Ctrl-C ends the nodes." } else { "Ctrl-C ends the nodes and removes everything." });
        stop.await;
    }
    Ok(())
}

const fn is_kept(options: &Options) -> bool {
    options.keep || options.directory.is_some()
}

/// The given directory, or a temporary one with the guard that removes it unless it is to be kept; absolute, since
/// suggested commands may be run from elsewhere.
fn directory(options: &Options) -> Result<(PathBuf, Option<TempDir>), DemoError> {
    if let Some(path) = &options.directory {
        let failed = |source| DemoError::File { path: path.clone(), source };
        fs::create_dir_all(path).map_err(failed)?;
        return Ok((fs::canonicalize(path).map_err(failed)?, None));
    }
    let temporary = tempfile::Builder::new().prefix("ics-demo-").tempdir();
    let temporary =
        temporary.map_err(|error| DemoError::System(format!("there is no temporary directory: {error}")))?;
    if options.keep {
        return Ok((temporary.keep(), None));
    }
    Ok((temporary.path().to_owned(), Some(temporary)))
}

async fn remove(directory: &Path) {
    for _ in 0..REMOVALS {
        if fs::remove_dir_all(directory).is_ok() || !directory.exists() {
            return;
        }
        tokio::time::sleep(BETWEEN_REMOVALS).await;
    }
}
