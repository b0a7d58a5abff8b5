//! PKCS#11 modules: the libraries that talk to tokens, and the tokens that they see.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::{Pin, TokenError, TokenUri};
use crate::locked::{Locked as _, Shared as _};

/// The modules that this process has loaded. A module is initialised once (`C_Initialize`), and all threads share it.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Running>>> = Mutex::new(BTreeMap::new());

/// How tokens have refused their PIN, by module, label and serial number. That PIN is not tried again in this process
/// for any key of the token; otherwise a token with many keys would lock itself at the first signature of each.
static REFUSED: Mutex<BTreeMap<(PathBuf, String), TokenError>> = Mutex::new(BTreeMap::new());

/// The least time between two starts of a module: a restart reopens all keys of all of its tokens.
const REST: Duration = Duration::from_secs(2);
/// The operation that fails on a token that was pulled out, whatever error its module gives.
const OPEN_SESSION: &str = "open a session";

/// A module, ready for use.
#[derive(Clone)]
pub struct Module {
    running: Arc<Running>,
    path: PathBuf,
}

/// A module as it runs in this process.
struct Running {
    pkcs11: Pkcs11,
    /// Held for reading while using the module, so that it is not restarted meanwhile.
    start: RwLock<Start>,
}

/// The number and time of a start of the module. Sessions do not survive a restart, after which their numbers may
/// belong to others.
pub(super) struct Start {
    pub(super) number: u64,
    at: Instant,
}

/// A token that is present.
pub struct Token {
    pkcs11: Pkcs11,
    path: PathBuf,
    slot: Slot,
    info: TokenInfo,
}

impl Module {
    /// Loads a module, unless this process already has it.
    ///
    /// # Errors
    /// When the file is not a PKCS#11 module, or does not start.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let mut loaded = LOADED.locked();
        if let Some(running) = loaded.get(path) {
            return Ok(Self { running: Arc::clone(running), path: path.to_owned() });
        }
        let failed = |reason: Error| TokenError::Module { path: path.to_owned(), reason: words(&reason) };
        let pkcs11 = Pkcs11::new(path).map_err(failed)?;
        initialize(&pkcs11).map_err(failed)?;
        let start = RwLock::new(Start { number: 0, at: Instant::now() });
        let running = Arc::new(Running { pkcs11, start });
        loaded.insert(path.to_owned(), Arc::clone(&running));
        Ok(Self { running, path: path.to_owned() })
    }

    /// Keeps the module from being restarted while it is in use. A thread must take this only once at a time: if
    /// another thread waits to restart the module, a second call would wait for ever.
    pub(super) fn hold(&self) -> RwLockReadGuard<'_, Start> {
        self.running.start.read_locked()
    }

    /// Restarts the module, unless it was restarted since the start `seen`, or just before: many modules only then see
    /// a token that was plugged in again. Every open key is opened again when it is next used.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start_anew(&self, seen: u64) -> Result<(), TokenError> {
        let mut start = self.running.start.write_locked();
        if start.number != seen || start.at.elapsed() < REST {
            return Ok(());
        }
        tracing::warn!(module = %self.path.display(), "a token is gone: its module is started anew");
        *start = Start { number: seen + 1, at: Instant::now() };
        if let Err(error) = self.running.pkcs11.clone().finalize() {
            tracing::debug!(reason = words(&error), "the module had ended already");
        }
        let failed = |reason: Error| TokenError::Module { path: self.path.clone(), reason: words(&reason) };
        initialize(&self.running.pkcs11).map_err(failed)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All initialised tokens that are present now.
    ///
    /// # Errors
    /// When the module fails.
    pub fn tokens(&self) -> Result<Vec<Token>, TokenError> {
        let failed = |reason: Error| TokenError::Module { path: self.path.clone(), reason: words(&reason) };
        let mut tokens = Vec::new();
        let pkcs11 = &self.running.pkcs11;
        for slot in pkcs11.get_slots_with_initialized_token().map_err(failed)? {
            // A token that is pulled out meanwhile counts as absent.
            if let Ok(info) = pkcs11.get_token_info(slot) {
                tokens.push(Token { pkcs11: pkcs11.clone(), path: self.path.clone(), slot, info });
            }
        }
        Ok(tokens)
    }

    /// The one token that a URI names.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn token(&self, uri: &TokenUri) -> Result<Token, TokenError> {
        let tokens = self.tokens()?;
        let present = tokens.iter().map(Token::label).collect();
        let mut fitting: Vec<Token> = tokens.into_iter().filter(|token| token.is_named_by(uri)).collect();
        match (fitting.pop(), fitting.is_empty()) {
            (None, _) => Err(TokenError::NoToken { wanted: uri.to_string(), present }),
            (Some(one), true) => Ok(one),
            (Some(last), false) => {
                let tokens = fitting.iter().chain([&last]).map(|token| token.uri().to_string()).collect();
                Err(TokenError::ManyTokens { wanted: uri.to_string(), tokens })
            }
        }
    }
}

impl Token {
    /// Its label.
    #[must_use]
    pub fn label(&self) -> String {
        self.info.label().to_owned()
    }

    /// Its manufacturer and model.
    #[must_use]
    pub fn made_by(&self) -> String {
        format!("{} {}", self.info.manufacturer_id(), self.info.model()).trim().to_owned()
    }

    /// The state of its PIN, in a few words.
    #[must_use]
    pub fn pin_state(&self) -> &'static str {
        if self.info.user_pin_locked() {
            "PIN locked"
        } else if self.info.user_pin_final_try() {
            "one PIN try left"
        } else if !self.info.user_pin_initialized() {
            "no PIN set"
        } else {
            "ready"
        }
    }

    /// The URI that names it, whichever slot it is in.
    #[must_use]
    pub fn uri(&self) -> TokenUri {
        TokenUri {
            token: Some(self.label()),
            serial: Some(self.info.serial_number().to_owned()),
            ..TokenUri::default()
        }
    }

    /// Whether it takes a PIN from programs; it may have a PIN pad of its own, or need no PIN.
    #[must_use]
    pub fn takes_pin(&self) -> bool {
        self.info.login_required() && !self.info.protected_authentication_path()
    }

    /// Whether it supports a mechanism.
    ///
    /// # Errors
    /// When the token fails.
    pub(super) fn has(&self, mechanism: MechanismType) -> Result<bool, TokenError> {
        let listed = self.pkcs11.get_mechanism_list(self.slot);
        Ok(listed.map_err(|e| self.failed("list its mechanisms", &e))?.contains(&mechanism))
    }

    /// Opens a session in which its private keys can be used.
    ///
    /// # Errors
    /// When the PIN is wrong or was refused before, is locked or missing, or the token fails.
    pub(super) fn session(&self, pin: Option<&Pin>, writes: bool) -> Result<Session, TokenError> {
        let session = self.look(writes)?;
        if !self.info.login_required() {
            return Ok(session);
        }
        let pin = match pin {
            _ if self.info.protected_authentication_path() => None,
            None => return Err(TokenError::NoPin(self.label())),
            Some(pin) => Some(AuthPin::from(pin.expose().to_owned())),
        };
        // Held until the token has answered, so that keys that sign concurrently make one attempt together.
        let mut refused = REFUSED.locked();
        let own = (self.path.clone(), self.uri().to_string());
        if let Some(error) = refused.get(&own) {
            return Err(error.clone());
        }
        let answer = self.log_in(&session, pin.as_ref());
        if let Err(error @ (TokenError::WrongPin { .. } | TokenError::PinLocked(_))) = &answer {
            refused.insert(own, error.clone());
        }
        answer.map(|()| session)
    }

    /// Tries the PIN once.
    fn log_in(&self, session: &Session, pin: Option<&AuthPin>) -> Result<(), TokenError> {
        match session.login(UserType::User, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                let now = self.pkcs11.get_token_info(self.slot);
                if now.as_ref().is_ok_and(TokenInfo::user_pin_locked) {
                    return Err(TokenError::PinLocked(self.label()));
                }
                let last_try = now.is_ok_and(|info| info.user_pin_final_try());
                Err(TokenError::WrongPin { token: self.label(), last_try })
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinLocked(self.label())),
            Err(Error::Pkcs11(RvError::UserPinNotInitialized, _)) => Err(TokenError::PinNotSet(self.label())),
            Err(error) => Err(self.failed("take the PIN", &error)),
        }
    }

    /// Opens a session without a PIN, which sees public objects.
    pub(super) fn look(&self, writes: bool) -> Result<Session, TokenError> {
        let opened =
            if writes { self.pkcs11.open_rw_session(self.slot) } else { self.pkcs11.open_ro_session(self.slot) };
        opened.map_err(|e| self.failed(OPEN_SESSION, &e))
    }

    pub(super) fn failed(&self, purpose: &'static str, error: &Error) -> TokenError {
        TokenError::Failed { token: self.label(), purpose, reason: words(error) }
    }

    fn is_named_by(&self, uri: &TokenUri) -> bool {
        let own = TokenUri {
            manufacturer: Some(self.info.manufacturer_id().to_owned()),
            model: Some(self.info.model().to_owned()),
            ..self.uri()
        };
        let about_token = TokenUri { object: None, id: None, ..uri.clone() };
        about_token.fits(&own) && uri.slot_id.is_none_or(|number| number == self.slot.id())
    }
}

fn initialize(pkcs11: &Pkcs11) -> Result<(), Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        initialized => initialized,
    }
}

impl TokenError {
    /// Whether the module no longer sees the token. In that case no PIN was tried.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::NoToken { .. } | Self::Module { .. } => true,
            Self::Failed { purpose, .. } => *purpose == OPEN_SESSION,
            _ => false,
        }
    }
}

/// A short form of a module's error: its code has a name, and the crate's explanation takes many lines.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{code:?} from C_{function}"),
        other => other.to_string(),
    }
}
