//! How a command ends: its exit code, and what it says when it fails.

use core::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::{say, with_named};
use super::words::clean;
use crate::config::ConfigError;
use crate::keys::token::TokenError;
use crate::keys::{KeyError, PassphraseError};
use crate::observe;
use crate::words::shell_path;

/// The exit codes. They never change their meaning; `ics --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done, or the answer is yes.
    Ok = 0,
    /// A node or a rule refused it, or the answer is no: not verified, denied.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// The node cannot be reached, or failed.
    Network = 4,
    /// A local file or a key is missing, unreadable or wrong.
    Local = 5,
    /// A token refused its PIN. This program must not be restarted automatically: tokens lock themselves.
    Pin = 6,
    /// A defect of this program.
    Internal = 70,
    /// `ics.toml` is wrong. This program must not be restarted automatically: only a person can correct that.
    Config = 78,
}

/// The section of `ics --help` about exit codes; indented so far, its lines are taken for those of a table.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done, or the answer is yes
    1  refused by a node or a rule, or the answer is no (not verified, denied)
    2  the command line is wrong
    3  what was asked for does not exist
    4  the node cannot be reached, or failed
    5  a local file or a key is missing, unreadable or wrong
    6  a token refused the PIN: do not retry automatically, or the token may lock itself
   70  a defect of this program
   78  ics.toml is wrong: do not retry automatically, it stays so until somebody corrects it";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, for the person who ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    /// The code of a node's refusal, which unlike the message never changes.
    code: Option<String>,
}

impl Failure {
    /// Makes a failure that ends with this code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None, code: None }
    }

    /// Adds a hint on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the code of a node's refusal, for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds what the command had already done, which the reader of the failure must know.
    #[must_use]
    pub fn after(mut self, done: impl fmt::Display) -> Self {
        self.message = format!("{}; {done}", self.message);
        self
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes the failure to standard error: two lines for people, or one JSON object.
    pub fn print(&self, as_json: bool) {
        let text = if as_json { self.for_programs().to_string() } else { self.for_people() };
        let mark = observe::error_mark();
        say(&text.lines().map(|line| format!("{mark}{line}\n")).collect::<String>());
    }

    fn for_programs(&self) -> Value {
        let (message, hint) = (with_named(&self.message), self.hint.as_deref().map(with_named));
        let mut error = json!({ "exit": self.exit as u8, "message": message, "hint": hint });
        if let (Some(members), Some(code)) = (error.as_object_mut(), &self.code) {
            members.insert("code".to_owned(), json!(code));
        }
        json!({ "error": error })
    }

    /// Formats the failure for people. The message and the hint may contain text by others, which must not move the
    /// cursor.
    fn for_people(&self) -> String {
        let error = console::style("error:").red().bold().for_stderr();
        let hint = console::style("hint:").cyan().bold().for_stderr();
        let advice = self.hint.as_ref().map(|advice| format!("\n {hint} {}", lines_cleaned(advice)));
        format!("{error} {}{}", lines_cleaned(&self.message), advice.unwrap_or_default())
    }
}

fn lines_cleaned(text: &str) -> String {
    with_named(text).lines().map(clean).collect::<Vec<_>>().join("\n")
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Missing(_) => {
                Self::new(Exit::Local, error).hint("`ics init` makes a home directory; --home names another one")
            }
            ConfigError::Unreadable { ref source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Self::new(Exit::Local, error).hint("it is another user's: give the command as that user (sudo -u USER)")
            }
            ConfigError::Unreadable { .. } => Self::new(Exit::Local, error),
            ConfigError::Refused { .. } => Self::new(Exit::Config, error),
        }
    }
}

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        let failure = Self::new(Exit::Local, &error);
        match error {
            PassphraseError::Nowhere => {
                failure.hint("give it with --passphrase-file FILE, or as the systemd credential `ics-passphrase`")
            }
            PassphraseError::OpenToOthers(path) => failure.hint(format!("chmod 600 {}", shell_path(&path))),
            _ => failure,
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let exit = match error {
            TokenError::Uri { .. } | TokenError::NoModule => Exit::Usage,
            TokenError::WrongPin { .. } | TokenError::PinLocked(_) => Exit::Pin,
            _ => Exit::Local,
        };
        let failure = Self::new(exit, &error);
        match error.advice() {
            Some(advice) => failure.hint(advice),
            None => failure,
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Passphrase(error) => error.into(),
            KeyError::Token(error) => error.into(),
            KeyError::NotAdopted(ref uri) => Self::new(Exit::Local, &error)
                .hint(format!("`ics key adopt NAME '{uri}'` makes its certificate and takes it in")),
            KeyError::Missing { .. } => Self::new(Exit::Local, &error)
                .hint("`ics key list` shows the keys of this home directory; --home names another one"),
            KeyError::Name(_) => Self::new(Exit::Usage, &error),
            KeyError::Exists(_) => {
                Self::new(Exit::Local, &error).hint("keys are never overwritten: choose another name")
            }
            KeyError::HeldAs(ref name) => Self::new(Exit::Local, &error).hint(format!(
                "use it by that name; for an OpenPGP key, `ics key import {name} FILE` adds what is new in the file"
            )),
            KeyError::OpenToOthers(ref path) => {
                Self::new(Exit::Local, &error).hint(format!("chmod 600 {}", shell_path(path)))
            }
            _ => Self::new(Exit::Local, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code() {
        use Exit::{Config, Internal, Local, Network, NotFound, Ok, Pin, Refused, Usage};
        let all = [Ok, Refused, Usage, NotFound, Network, Local, Pin, Internal, Config];
        let listed: Vec<u8> =
            EXIT_CODES.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        assert_eq!(listed, all.map(|exit| exit as u8));
    }

    /// An administrator who looks after a node is rarely the user as whom it runs.
    #[test]
    fn whoever_may_not_read_a_configuration_is_told_as_whom_to_ask() {
        for (kind, is_told) in [(ErrorKind::PermissionDenied, true), (ErrorKind::InvalidData, false)] {
            let error = ConfigError::Unreadable { path: "/var/lib/ics/ics.toml".into(), source: kind.into() };
            let told = Failure::from(error).for_people();
            assert_eq!(told.contains("sudo -u USER"), is_told, "{told}");
        }
    }

    #[test]
    fn neither_message_nor_hint_moves_the_cursor() {
        let failure = Failure::new(Exit::Refused, "no\x1b[2J").hint("ask\x1b[2J\nagain\u{9b}2J");
        let shown = console::strip_ansi_codes(&failure.for_people()).into_owned();
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(!failure.for_people().contains("\x1b[2J"), "{failure:?}");
        assert_eq!(shown.lines().count(), 3, "{shown}");
    }
}
