//! What every command is given: the home directory, the output, the time, and the flags that all commands have.

use std::path::PathBuf;

use ics_core::time::Timestamp;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::{Color, Global};
use crate::app::clock::Clock;
use crate::config::{Config, Url};
use crate::keys::{KeyStore, PassphraseSource};

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    /// The ICS home directory; it need not exist.
    pub(crate) home: PathBuf,
    /// Where results go.
    pub(crate) output: Output,
    /// The node that `--node` names.
    pub(crate) node: Option<Url>,
    passphrase_file: Option<PathBuf>,
    clock: Clock,
}

impl Context {
    /// From the flags of the command line.
    ///
    /// # Errors
    /// When there is no home directory to assume.
    pub(crate) fn new(global: Global) -> Result<Self, Failure> {
        match global.color {
            Color::Auto => (),
            Color::Always => set_colors(true),
            Color::Never => set_colors(false),
        }
        let home = global.home.or_else(|| std::env::home_dir().map(|home| home.join(".ics"))).ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no home directory to keep things in").hint("name one with --home DIR")
        })?;
        Ok(Self {
            home,
            output: Output { json: global.json, quiet: global.quiet },
            node: global.node,
            passphrase_file: global.passphrase_file,
            clock: Clock::default(),
        })
    }

    /// The time now.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The configuration; everything takes its default where there is none.
    ///
    /// # Errors
    /// When it is unreadable or doubtful.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::load_or_default(&self.home)?)
    }

    /// The secret keys of the home directory.
    #[must_use]
    pub(crate) fn keys(&self) -> KeyStore {
        KeyStore::new(&self.home)
    }

    /// Where the passphrase of the secret keys comes from.
    #[must_use]
    pub(crate) fn passphrases(&self) -> PassphraseSource {
        PassphraseSource::new(&self.home, self.passphrase_file.clone())
    }
}

fn set_colors(enabled: bool) {
    console::set_colors_enabled(enabled);
    console::set_colors_enabled_stderr(enabled);
}
