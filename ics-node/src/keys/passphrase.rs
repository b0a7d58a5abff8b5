//! Passphrases: what encrypts secret keys at rest, and where it comes from.

use core::fmt;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sequoia_openpgp::crypto::Password;
use zeroize::Zeroizing;

use super::{KeyError, file, prompt};
use crate::locked::Locked as _;

/// The file in the home directory that holds a generated passphrase.
pub const FILE_NAME: &str = "passphrase";
/// The name of the systemd credential that holds the passphrase.
pub const CREDENTIAL: &str = "ics-passphrase";
/// The maximum length of a passphrase, in bytes.
const BYTES: usize = 1024;
/// The minimum length of a passphrase for new keys, in characters.
const CHARACTERS: usize = 8;

/// A passphrase; wiped when dropped, and never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file that should hold it cannot be read.
    #[error("cannot read the passphrase from `{path}`: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not one line of text.
    #[error("the passphrase in `{path}` is not one line of text", path = .0.display())]
    NotText(PathBuf),
    /// Others may read the file.
    #[error("others may read the passphrase in `{path}`", path = .0.display())]
    OpenToOthers(PathBuf),
    /// No file has it, and nobody can be asked.
    #[error("the secret keys are encrypted, and there is no passphrase and no terminal to ask for it")]
    Nowhere,
    /// It is empty, or too short for a new key.
    #[error("a passphrase for new keys takes {CHARACTERS} characters at least")]
    TooShort,
    /// It is too long.
    #[error("a passphrase takes {BYTES} bytes at most")]
    TooLong,
    /// The one in a file cannot be used.
    #[error("`{path}`: {reason}", path = path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<Self>,
    },
    /// It was typed differently the second time.
    #[error("the two passphrases differ")]
    Differ,
    /// The terminal failed, or the system has no randomness.
    #[error("{0}")]
    System(String),
}

impl PassphraseError {
    fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), reason: Box::new(self) }
    }
}

impl Passphrase {
    /// A passphrase of at least 8 characters, as a person chooses it for new keys.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        Self::existing(text)?.for_new_keys()
    }

    /// The passphrase of an existing key, whose minimum length was decided by others.
    fn existing(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.len() > BYTES { Err(PassphraseError::TooLong) } else { Ok(Self(text)) }
    }

    fn for_new_keys(self) -> Result<Self, PassphraseError> {
        if self.0.chars().count() < CHARACTERS { Err(PassphraseError::TooShort) } else { Ok(self) }
    }

    /// Generates 160 random bits in base 32, in groups of four.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, PassphraseError> {
        let mut bits = Zeroizing::new([0_u8; 20]);
        getrandom::fill(bits.as_mut()).map_err(|e| PassphraseError::System(e.to_string()))?;
        let letters = Zeroizing::new(data_encoding::BASE32_NOPAD.encode(bits.as_ref()).to_ascii_lowercase());
        let mut text = Zeroizing::new(String::with_capacity(letters.len() * 2));
        for (position, letter) in letters.chars().enumerate() {
            if position > 0 && position.is_multiple_of(4) {
                text.push('-');
            }
            text.push(letter);
        }
        Ok(Self(text))
    }

    /// Reads the passphrase of an existing key from the first line of a file.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no passphrase.
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let content = file::read_secret(path, BYTES + 2)
            .map_err(|source| PassphraseError::Unreadable { path: path.to_owned(), source })?;
        let not_text = || PassphraseError::NotText(path.to_owned());
        let text = core::str::from_utf8(&content).map_err(|_| not_text())?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if line.contains(['\n', '\r', '\0']) {
            return Err(not_text());
        }
        Self::existing(Zeroizing::new(line.to_owned())).map_err(|reason| reason.in_file(path))
    }

    /// Asks at the terminal for the passphrase of an existing key, without echoing it.
    ///
    /// # Errors
    /// When there is no terminal, or the input is too long.
    pub fn ask(text: &str) -> Result<Self, PassphraseError> {
        if !io::stdin().is_terminal() {
            return Err(PassphraseError::Nowhere);
        }
        Self::existing(prompt::ask(text).map_err(|e| PassphraseError::System(e.to_string()))?)
    }

    /// Writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// The system's error.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut content = Zeroizing::new(String::with_capacity(self.0.len() + 1));
        content.push_str(&self.0);
        content.push('\n');
        file::create_private(path, content.as_bytes())
    }

    /// The passphrase as sequoia takes it, which keeps its own copy encrypted in memory.
    pub(super) fn to_password(&self) -> Password {
        Password::from(self.0.as_str())
    }
}

/// The sources of a passphrase, in this order: a file that was named, the systemd credential [`CREDENTIAL`], the file
/// [`FILE_NAME`] in the home directory, the terminal.
///
/// What was read from a file is kept, also for copies of this value: a pipe has it only once, for all keys. So is what
/// a person has typed and has opened a key: it is tried on the next key before they are asked again.
#[derive(Debug, Clone)]
pub struct PassphraseSource {
    named: Option<PathBuf>,
    credentials: Option<PathBuf>,
    home: PathBuf,
    known: Arc<Mutex<Option<(PathBuf, Passphrase)>>>,
    typed: Arc<Mutex<Vec<Passphrase>>>,
}

impl PassphraseSource {
    /// The sources for this home directory; `named` is a file that takes precedence.
    #[must_use]
    pub fn new(home: &Path, named: Option<PathBuf>) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { named, credentials, home: home.to_owned(), known: Arc::default(), typed: Arc::default() }
    }

    /// The passphrase from a file, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or the one in the home directory is open to others.
    pub fn from_files(&self) -> Result<Option<Passphrase>, PassphraseError> {
        self.found()?.map(|path| self.read(&path)).transpose()
    }

    /// The passphrase for new keys from a file, if there is one.
    ///
    /// # Errors
    /// As [`Self::from_files`], and when it is too short for new keys.
    pub fn from_files_for_new_keys(&self) -> Result<Option<Passphrase>, PassphraseError> {
        let Some(path) = self.found()? else { return Ok(None) };
        self.read(&path)?.for_new_keys().map(Some).map_err(|reason| reason.in_file(&path))
    }

    fn read(&self, path: &Path) -> Result<Passphrase, PassphraseError> {
        let mut known = self.known.locked();
        if let Some((from, passphrase)) = known.as_ref()
            && from == path
        {
            return Ok(passphrase.clone());
        }
        let passphrase = Passphrase::from_file(path)?;
        *known = Some((path.to_owned(), passphrase.clone()));
        Ok(passphrase)
    }

    /// The file that it is from; `None` if it is asked for, or the file cannot be used.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.found().ok().flatten()
    }

    /// The file that holds it, if there is one.
    fn found(&self) -> Result<Option<PathBuf>, PassphraseError> {
        if let Some(path) = &self.named {
            return Ok((!file::is_typed(path)).then(|| path.clone()));
        }
        let credential = self.credentials.as_ref().map(|directory| directory.join(CREDENTIAL));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return Ok(Some(path));
        }
        let path = self.home.join(FILE_NAME);
        match file::is_open_to_others(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PassphraseError::Unreadable { path, source }),
            Ok(true) => Err(PassphraseError::OpenToOthers(path)),
            Ok(false) => Ok(Some(path)),
        }
    }

    /// Opens an existing key, which `what` names in the prompt.
    ///
    /// # Errors
    /// When no file has the passphrase and there is no terminal, or `open` fails.
    pub fn open<T>(&self, what: &str, open: impl Fn(&Passphrase) -> Result<T, KeyError>) -> Result<T, KeyError> {
        if let Some(passphrase) = self.from_files()? {
            return open(&passphrase);
        }
        let mut typed = self.typed.locked();
        for passphrase in typed.iter() {
            match open(passphrase) {
                Err(KeyError::WrongPassphrase(_)) => {}
                ended => return ended,
            }
        }
        let passphrase = Passphrase::ask(&format!("Passphrase for {what}: "))?;
        let opened = open(&passphrase)?;
        typed.push(passphrase);
        Ok(opened)
    }

    /// Forgets what was read and typed, for a process that goes on without opening more keys: others may have the same
    /// passphrase.
    pub fn forget(&self) {
        *self.known.locked() = None;
        self.typed.locked().clear();
    }

    /// A passphrase for new keys: from a file, or asked for twice.
    ///
    /// # Errors
    /// When no file has it and there is no terminal, or it is too short or typed differently the second time.
    pub fn choose(&self) -> Result<Passphrase, PassphraseError> {
        if let Some(passphrase) = self.from_files_for_new_keys()? {
            return Ok(passphrase);
        }
        let first = Passphrase::ask("New passphrase for the secret keys: ")?.for_new_keys()?;
        let second = Passphrase::ask("Once more: ")?;
        if *first.0 == *second.0 { Ok(first) } else { Err(PassphraseError::Differ) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn text(passphrase: &Passphrase) -> &str {
        &passphrase.0
    }

    /// The passphrase with which a key is opened that any opens.
    fn opening(source: &PassphraseSource) -> Result<Passphrase, KeyError> {
        source.open("a key", |passphrase| Ok(passphrase.clone()))
    }

    fn private(path: &Path, content: &str) {
        fs::write(path, content).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("mode");
    }

    #[test]
    fn generated_ones_are_long_and_differ() {
        let (one, two) = (Passphrase::generate().expect("random"), Passphrase::generate().expect("random"));
        assert_ne!(text(&one), text(&two));
        assert_eq!(text(&one).len(), 32 + 7);
        assert_eq!(format!("{one:?}"), "Passphrase(…)");
    }

    #[test]
    fn a_file_holds_one_line() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("p");
        for (content, expected) in [
            ("correct horse\n", Ok("correct horse")),
            ("correct horse\r\n", Ok("correct horse")),
            (" spaces count ", Ok(" spaces count ")),
            ("two\nlines here", Err("is not one line of text")),
            ("short\n", Ok("short")),
            ("", Ok("")),
        ] {
            fs::write(&path, content).expect("written");
            match (Passphrase::from_file(&path), expected) {
                (Ok(passphrase), Ok(expected)) => assert_eq!(text(&passphrase), expected),
                (Err(e), Err(expected)) => assert!(e.to_string().ends_with(expected), "{e}"),
                (got, _) => panic!("{content:?} gave {got:?}"),
            }
        }
        fs::write(&path, "x".repeat(BYTES + 1)).expect("written");
        let long = Passphrase::from_file(&path).expect_err("too long").to_string();
        assert_eq!(long, format!("`{}`: a passphrase takes {BYTES} bytes at most", path.display()));
        fs::write(&path, b"\xff\xfe12345678").expect("written");
        assert!(matches!(Passphrase::from_file(&path), Err(PassphraseError::NotText(_))));
    }

    #[test]
    fn new_keys_take_none_that_is_short() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("named");
        for (content, is_for_new_keys) in [("seven77\n", false), ("\n", false), ("eight888\n", true)] {
            fs::write(&path, content).expect("written");
            let source = PassphraseSource::new(home.path(), Some(path.clone()));
            assert_eq!(text(&opening(&source).expect("of a key that there is")), content.trim_end());
            let refused = source.choose().err().map(|error| error.to_string());
            let short =
                format!("`{}`: a passphrase for new keys takes {CHARACTERS} characters at least", path.display());
            assert_eq!(refused, (!is_for_new_keys).then_some(short), "{content:?}");
        }
    }

    #[test]
    fn sources_in_their_order() {
        let home = tempfile::tempdir().expect("directory");
        let named = home.path().join("named");
        let credentials = home.path().join("credentials");
        fs::create_dir(&credentials).expect("directory");
        let mut source = PassphraseSource { credentials: None, ..PassphraseSource::new(home.path(), None) };
        assert!(source.from_files().expect("none").is_none());

        private(&home.path().join(FILE_NAME), "from the home\n");
        assert_eq!(text(&source.from_files().expect("read").expect("there")), "from the home");

        source.credentials = Some(credentials.clone());
        assert_eq!(text(&source.from_files().expect("read").expect("there")), "from the home");
        private(&credentials.join(CREDENTIAL), "from systemd\n");
        assert_eq!(text(&source.from_files().expect("read").expect("there")), "from systemd");

        source.named = Some(named.clone());
        assert!(matches!(source.from_files(), Err(PassphraseError::Unreadable { .. })), "what is named must be there");
        private(&named, "from the file\n");
        assert_eq!(text(&source.from_files().expect("read").expect("there")), "from the file");
    }

    #[test]
    fn what_was_typed_for_one_key_is_tried_on_the_next() {
        let home = tempfile::tempdir().expect("directory");
        let source = PassphraseSource { credentials: None, ..PassphraseSource::new(home.path(), None) };
        let typed = ["of another key", "of this key"].map(|text| Passphrase(Zeroizing::new(text.to_owned())));
        source.typed.lock().expect("no panic").extend(typed);
        let opened = source.clone().open("a key", |passphrase| match text(passphrase) {
            "of this key" => Ok(passphrase.clone()),
            _ => Err(KeyError::WrongPassphrase("a key".to_owned())),
        });
        assert_eq!(text(&opened.expect("it opens")), "of this key");
    }

    #[test]
    fn what_is_forgotten_is_in_no_copy_either() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("named");
        private(&path, "from a pipe\n");
        let source = PassphraseSource::new(home.path(), Some(path.clone()));
        assert_eq!(text(&opening(&source).expect("read")), "from a pipe");
        source.typed.locked().push(Passphrase(Zeroizing::new("typed".to_owned())));
        fs::remove_file(&path).expect("removed");
        source.clone().forget();
        assert!(source.typed.locked().is_empty() && opening(&source).is_err());
    }

    /// As a pipe has it.
    #[test]
    fn what_can_be_read_only_once_is_there_for_every_key() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("named");
        private(&path, "from a pipe\n");
        let source = PassphraseSource::new(home.path(), Some(path.clone()));
        assert_eq!(text(&opening(&source.clone()).expect("read")), "from a pipe");
        fs::remove_file(&path).expect("removed");
        assert_eq!(text(&opening(&source).expect("known")), "from a pipe");
    }

    #[test]
    fn the_home_file_must_be_private() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join(FILE_NAME);
        private(&path, "from the home\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
        let source = PassphraseSource { credentials: None, ..PassphraseSource::new(home.path(), None) };
        assert!(matches!(source.from_files(), Err(PassphraseError::OpenToOthers(_))));
    }

    #[test]
    fn written_and_read_back() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join(FILE_NAME);
        let passphrase = Passphrase::generate().expect("random");
        passphrase.write_to(&path).expect("written");
        assert_eq!(text(&Passphrase::from_file(&path).expect("read")), text(&passphrase));
        assert!(!file::is_open_to_others(&path).expect("metadata"));
    }
}
