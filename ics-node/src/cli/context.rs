//! What every command is given: the home directory, the output, the time, and the global flags.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use ics_core::time::Timestamp;
use rustix::process::geteuid;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::{Color, Global, HOME_VARIABLE};
use crate::app::clock::Clock;
use crate::config::{Config, Url};
use crate::keys::token::{PinSource, Tokens};
use crate::keys::{KeyError, KeyStore, PassphraseSource, StoredKey, UnlockedKey};
use crate::words::{shell_path, shell_word};

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    /// The ICS home directory; it need not exist.
    pub(crate) home: PathBuf,
    /// Where results go.
    pub(crate) output: Output,
    /// The node that `--node` names.
    pub(crate) node: Option<Url>,
    passphrases: PassphraseSource,
    pins: PinSource,
    pkcs11_module: Option<PathBuf>,
    clock: Clock,
}

impl Context {
    /// Builds it from the flags of the command line.
    ///
    /// # Errors
    /// When there is no default home directory.
    pub(crate) fn new(global: Global) -> Result<Self, Failure> {
        match global.color {
            Color::Auto => (),
            Color::Always => set_colors(true),
            Color::Never => set_colors(false),
        }
        let home = global.home.or_else(default_home).ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no home directory to keep things in").hint("name one with --home DIR")
        })?;
        Ok(Self {
            passphrases: PassphraseSource::new(&home, global.passphrase_file),
            home,
            output: Output { json: global.json, quiet: global.quiet },
            node: global.node,
            pins: PinSource::new(global.pin_file),
            pkcs11_module: global.pkcs11_module,
            clock: Clock::default(),
        })
    }

    /// The flags by which the user has named another home directory than the usual one, or a node: a command that
    /// people are to copy takes them too.
    #[must_use]
    pub(crate) fn named_flags(&self) -> String {
        let named = std::env::var_os(HOME_VARIABLE).filter(|value| !value.is_empty());
        let usual = named.map(PathBuf::from).or_else(default_home);
        let home = (usual.as_ref() != Some(&self.home)).then(|| format!("--home {}", shell_path(&self.home)));
        let node = self.node.as_ref().map(|node| format!("--node {}", shell_word(&node.to_string())));
        home.into_iter().chain(node).collect::<Vec<_>>().join(" ")
    }

    /// The time now.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Refuses to have root make files in the home directory of another user, who could not use them: a node that runs
    /// as that user would not start any more.
    ///
    /// # Errors
    /// When root runs this, and the directory belongs to somebody else.
    pub(crate) fn refuse_foreign_home(&self) -> Result<(), Failure> {
        let owner = std::fs::metadata(&self.home).map_or(0, |found| found.uid());
        if owner == 0 || !geteuid().is_root() {
            return Ok(());
        }
        let home = self.home.display();
        let text = format!("`{home}` belongs to the user {owner}, who could not use what root would make in it");
        Err(Failure::new(Exit::Local, text).hint(format!("give the command as that user: sudo -u '#{owner}' ics …")))
    }

    /// Reads the configuration; everything takes its default if there is none.
    ///
    /// # Errors
    /// When it is unreadable or invalid.
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
        self.passphrases.clone()
    }

    /// How tokens are reached.
    ///
    /// # Errors
    /// When the configuration is unreadable or invalid.
    pub(crate) fn tokens(&self) -> Result<Tokens, Failure> {
        let module = match &self.pkcs11_module {
            Some(path) => Some(path.clone()),
            None => self.config()?.pkcs11.module,
        };
        Ok(Tokens { module, pins: self.pins.clone() })
    }

    /// Unlocks the secret of a key: asks for its passphrase, unless that has opened another one, or for the PIN of its
    /// token.
    ///
    /// # Errors
    /// When the passphrase or PIN is missing or wrong.
    pub(crate) fn unlock(&self, key: &StoredKey) -> Result<UnlockedKey, Failure> {
        if key.token().is_some() {
            return Ok(key.open(&self.tokens()?)?);
        }
        let what = format!("the key `{}`", key.name());
        self.passphrases.open(&what, |passphrase| key.unlock(passphrase)).map_err(|error| {
            // It may be from another file than its user thinks.
            let file = self.passphrases.file().filter(|_| matches!(error, KeyError::WrongPassphrase(_)));
            let failure = Failure::from(error);
            match file {
                Some(path) => {
                    failure.hint(format!("it is from `{}`: --passphrase-file FILE names another one", path.display()))
                }
                None => failure,
            }
        })
    }
}

/// The home directory that is meant if none is named.
fn default_home() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".ics"))
}

fn set_colors(enabled: bool) {
    console::set_colors_enabled(enabled);
    console::set_colors_enabled_stderr(enabled);
}
