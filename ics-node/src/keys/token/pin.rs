//! The PIN of a token, and where it comes from: never from the command line.

use core::fmt;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::{Token, TokenError};
use crate::keys::{file, prompt};
use crate::locked::Locked as _;
use crate::words::shell_path;

/// The environment variable that may hold the PIN.
pub const PIN_VARIABLE: &str = "ICS_PIN";
/// The name of the systemd credential that may hold the PIN.
pub const PIN_CREDENTIAL: &str = "ics-pin";
/// The maximum length of a PIN, in bytes.
const BYTES: usize = 256;

/// A PIN; wiped when dropped, and never printed.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

impl Pin {
    /// Makes a PIN from text.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Reads a PIN from the first line of a file, or of standard input for `-`.
    ///
    /// # Errors
    /// When the file cannot be read, everybody may read it, or it is not one line of text.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let failed = |reason: String| TokenError::PinFile { path: path.to_owned(), reason };
        // A systemd credential belongs to root and a group of its own, so only access by everybody is refused.
        if !file::is_standard(path) && file::open_to_all(path).map_err(|e| failed(e.to_string()))?.is_some() {
            return Err(failed(format!("everybody may read it: chmod 600 {}", shell_path(path))));
        }
        let content = file::read_secret(path, BYTES + 2).map_err(|e| failed(e.to_string()))?;
        let text = core::str::from_utf8(&content).map_err(|_| failed("it is not text".to_owned()))?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() || line.contains(['\n', '\r', '\0']) {
            return Err(failed("it is not one line".to_owned()));
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// The sources of a PIN, in this order: a file that was named, the `pin-source` of the key's URI, the variable
/// [`PIN_VARIABLE`], the systemd credential [`PIN_CREDENTIAL`], the terminal.
///
/// What was got for a token is kept, also for copies of this value: nobody types a PIN again for each key and each step,
/// and a pipe has it only once.
#[derive(Debug, Clone, Default)]
pub struct PinSource {
    named: Option<PathBuf>,
    credentials: Option<PathBuf>,
    known: Arc<Mutex<BTreeMap<String, Pin>>>,
}

impl PinSource {
    /// The sources; `named` is a file that takes precedence.
    #[must_use]
    pub fn new(named: Option<PathBuf>) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { named, credentials, known: Arc::default() }
    }

    /// The PIN of a token; `source` is the file that the key's URI names.
    ///
    /// # Errors
    /// When a file cannot be used, or there is no PIN anywhere and nobody can be asked.
    pub(super) fn get(&self, token: &Token, source: Option<&Path>) -> Result<Pin, TokenError> {
        let name = token.uri().to_string();
        let mut known = self.known.locked();
        if let Some(pin) = known.get(&name) {
            return Ok(pin.clone());
        }
        let pin = self.ask(&token.label(), source)?;
        known.insert(name, pin.clone());
        Ok(pin)
    }

    /// An empty PIN counts as none: a token would count it as a wrong one.
    fn ask(&self, token: &str, source: Option<&Path>) -> Result<Pin, TokenError> {
        if let Some(path) = self.named.as_deref().or(source) {
            return if file::is_typed(path) { typed(token) } else { Pin::from_file(path) };
        }
        let variable = std::env::var_os(PIN_VARIABLE).and_then(|value| value.into_string().ok());
        if let Some(text) = variable.filter(|text| !text.is_empty()) {
            return Ok(Pin(Zeroizing::new(text)));
        }
        let credential = self.credentials.as_ref().map(|directory| directory.join(PIN_CREDENTIAL));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return Pin::from_file(&path);
        }
        typed(token)
    }
}

/// The PIN that a person types at the terminal.
fn typed(token: &str) -> Result<Pin, TokenError> {
    let nobody = || TokenError::NoPin(token.to_owned());
    if !std::io::stdin().is_terminal() {
        return Err(nobody());
    }
    let asked = prompt::ask(&format!("PIN of the token `{token}`: "));
    let failed = |reason: std::io::Error| TokenError::Failed {
        token: token.to_owned(),
        purpose: "ask for its PIN",
        reason: reason.to_string(),
    };
    let typed = asked.map_err(failed)?;
    if typed.is_empty() { Err(nobody()) } else { Ok(Pin(typed)) }
}
