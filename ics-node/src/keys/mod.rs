//! Secret keys at rest and in use: of owners, signers and nodes alike.
//!
//! Each key is one armored file with an OpenPGP transferable secret key (RFC 9580, 10.2), `keys/<name>.asc` in the home
//! directory, mode 0600, its secrets always encrypted with a passphrase. `gpg --import` and `sq` read it. The secret of
//! a key may also be in a [`token`]; its file is then a certificate that says where.

mod error;
pub mod file;
mod import;
mod p256;
mod passphrase;
mod prompt;
mod secret;
mod store;
pub mod token;
mod transferable;
mod unlocked;

pub use self::error::KeyError;
pub use self::import::ImportSource;
pub use self::passphrase::{CREDENTIAL, FILE_NAME as PASSPHRASE_FILE, Passphrase, PassphraseError, PassphraseSource};
pub use self::secret::{Algorithm, KeyVersion, in_memory};
pub use self::store::{DIRECTORY, KeyName, KeyStore, StoredKey, TokenCertificate};
pub use self::transferable::{armor_certificate, canonical, primary_key};
pub use self::unlocked::UnlockedKey;

#[cfg(test)]
mod tests;
