//! Signed notes (C2SP signed-note): a text and signature lines.

use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;

use crate::identity::excerpt;
use crate::limits;
use crate::log::text::from_base64;
pub use crate::log::verifier_key::{Algorithm, KeyError, VerifierKey};
use crate::log::verifier_key::{check_name, key_id};

/// A note: a text that ends in a newline, and signatures over it, by known and unknown keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line: `— <key name> base64(key id ‖ signature)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// Why a note was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than allowed.
    #[error("the note has {0} bytes; at most {max} are allowed", max = limits::NOTE_BYTES)]
    TooLong(usize),
    /// Control characters, no newline at the end, or no signatures after an empty line.
    #[error("the note is malformed: {0}")]
    Form(&'static str),
    /// A line that is no signature line.
    #[error("`{0}` is not a signature line")]
    SignatureLine(String),
    /// More signatures than allowed.
    #[error("the note has more than {max} signatures", max = limits::NOTE_SIGNATURES)]
    TooManySignatures,
    /// A signature line has the key's name and id, but its signature is not good.
    #[error("the signature of `{0}` is wrong")]
    BadSignature(String),
    /// No signature of the key.
    #[error("the note is not signed by `{0}`")]
    Unsigned(String),
    /// The key is known, but for another type of signature.
    #[error("the key of `{0}` is for another type of signature")]
    Algorithm(String),
    /// A name that signature lines cannot contain.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// The device that holds the key refuses.
    #[error("the key cannot sign: {0}")]
    Refused(String),
}

/// An Ed25519 key that signs notes: in memory, or in a device that never reveals it.
pub trait NoteKey {
    /// The 32 bytes of its public key.
    fn public(&self) -> [u8; 32];

    /// Signs a message with pure Ed25519 (RFC 8032, 5.1.6).
    ///
    /// # Errors
    /// What the device says, in words.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String>;
}

impl NoteKey for SigningKey {
    fn public(&self) -> [u8; 32] {
        self.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        Ok(ed25519_dalek::Signer::sign(self, message).to_bytes())
    }
}

impl Note {
    /// Reads a note with at least one signature. Nothing is verified.
    ///
    /// # Errors
    /// When it is too long, has too many signatures, or is malformed.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        Self::read(note, limits::NOTE_BYTES)
    }

    /// The same, for a note of up to `bytes` bytes.
    pub(super) fn read(note: &str, bytes: usize) -> Result<Self, NoteError> {
        check_text(note, bytes)?;
        // The last empty line separates text and signatures; there may be others in the text.
        let divide = || note.rsplit_once("\n\n");
        let (text, lines) = divide().ok_or(NoteError::Form("no empty line divides text and signatures"))?;
        let (text, _) = note.split_at_checked(text.len() + 1).unwrap_or((note, ""));
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("no signatures"))?;
        if lines.split('\n').count() > limits::NOTE_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text that was signed, including its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, verified or not, in order.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature at the end, replacing one with the same name and key id.
    ///
    /// # Errors
    /// When the note would have too many signatures or bytes; it is then unchanged.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let mut signed = self.clone();
        signed.signatures.retain(|known| known.name != signature.name || known.id != signature.id);
        signed.signatures.push(signature);
        if signed.signatures.len() > limits::NOTE_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        match signed.to_string().len() {
            length if length > limits::NOTE_BYTES => Err(NoteError::TooLong(length)),
            _ => {
                *self = signed;
                Ok(())
            }
        }
    }

    /// Checks that a key of type 1 signed the text; signatures of other keys are ignored.
    ///
    /// # Errors
    /// When there is no signature of the key, any that claims to be one is wrong, or the key is of another type.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(NoteError::Algorithm(key.name().to_owned()));
        }
        let mut signed = false;
        for signature in self.signatures_of(key) {
            let good = signature.try_into().is_ok_and(|bytes| key.is_signature(self.text.as_bytes(), bytes));
            if !good {
                return Err(NoteError::BadSignature(key.name().to_owned()));
            }
            signed = true;
        }
        if signed { Ok(()) } else { Err(NoteError::Unsigned(key.name().to_owned())) }
    }

    /// The bytes of the signatures that have the key's name and id.
    pub(super) fn signatures_of(&self, key: &VerifierKey) -> impl Iterator<Item = &[u8]> {
        let of_key = self.signatures.iter().filter(move |signature| signature.is_of(key));
        of_key.map(|signature| signature.bytes.as_slice())
    }

    /// A note whose parts are known to be well formed and short.
    pub(super) const fn from_parts(text: String, signatures: Vec<NoteSignature>) -> Self {
        Self { text, signatures }
    }
}

fn check_text(text: &str, bytes: usize) -> Result<(), NoteError> {
    if text.len() > bytes {
        return Err(NoteError::TooLong(text.len()));
    }
    if text.contains(|c: char| c < ' ' && c != '\n') {
        return Err(NoteError::Form("it has control characters"));
    }
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::Form("no newline at the end")) }
}

impl NoteSignature {
    /// Whether it claims to be by this key.
    pub(super) fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.id == key.id()
    }

    pub(super) fn ed25519(name: &str, key: &dyn NoteKey, text: &str) -> Result<Self, NoteError> {
        let id = key_id(name, Algorithm::Ed25519, &key.public());
        let signature = key.sign(text.as_bytes()).map_err(NoteError::Refused)?;
        Ok(Self { name: name.to_owned(), id, bytes: signature.to_vec() })
    }

    pub(super) fn cosignature(name: &str, key: &dyn NoteKey, timestamped: Vec<u8>) -> Self {
        let id = key_id(name, Algorithm::Cosignature, &key.public());
        Self { name: name.to_owned(), id, bytes: timestamped }
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Reads a signature line without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        parse_line(line).ok_or_else(|| NoteError::SignatureLine(excerpt(line)))
    }
}

fn parse_line(line: &str) -> Option<NoteSignature> {
    let (name, base64) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    check_name(name).ok()?;
    let blob = from_base64(base64).ok()?;
    let (id, bytes) = blob.split_first_chunk()?;
    if bytes.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.as_slice(), &self.bytes].concat();
        write!(f, "\u{2014} {} {}", self.name, BASE64.encode(&blob))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests;
