//! Keys in PKCS#11 tokens: smart cards, USB tokens, hardware security modules.
//!
//! The secret never leaves the token. Only its OpenPGP certificate and the `pkcs11:` URI (RFC 7512) of the key are
//! stored here.

mod error;
mod key;
mod module;
mod pin;
mod signer;
#[cfg(test)]
mod tests;
mod uri;

use std::path::PathBuf;

use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::spki::BARE_KEY_CREATED;
use ics_core::time::Timestamp;

pub use self::error::TokenError;
pub use self::key::Listed;
pub use self::module::{Module, Token};
pub use self::pin::{PIN_CREDENTIAL, PIN_VARIABLE, Pin, PinSource};
pub use self::signer::TokenSigner;
pub use self::uri::{TokenUri, UriError};
use super::{Algorithm, KeyVersion};

/// How tokens are reached: which library talks to them, and where their PINs come from.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// The module for URIs that name none.
    pub module: Option<PathBuf>,
    /// Where PINs come from.
    pub pins: PinSource,
}

impl Tokens {
    /// Loads the module that a URI names, or else the default one.
    ///
    /// # Errors
    /// When none is named, or it does not load.
    pub fn module(&self, uri: &TokenUri) -> Result<Module, TokenError> {
        Module::load(uri.module.as_ref().or(self.module.as_ref()).ok_or(TokenError::NoModule)?)
    }

    /// The PIN for the token that a URI names; `None` if the token takes no PIN from programs.
    ///
    /// # Errors
    /// When the token is absent, or there is no PIN.
    pub fn pin(&self, module: &Module, uri: &TokenUri) -> Result<Option<Pin>, TokenError> {
        let token = {
            let _start = module.hold();
            module.token(uri)?
        };
        let ask = || self.pins.get(&token, uri.pin_source.as_deref());
        token.takes_pin().then(ask).transpose()
    }

    /// Opens a key whose certificate is at hand.
    ///
    /// # Errors
    /// When the token, the key or the PIN is missing, or the certificate has no such key.
    pub fn open(&self, uri: &TokenUri, certificate: &Certificate) -> Result<TokenSigner, TokenError> {
        let module = self.module(uri)?;
        let pin = self.pin(&module, uri)?;
        TokenSigner::open(module, uri, pin, |numbers, uri| of_certificate(numbers, uri, certificate))
    }

    /// Opens a key that has no certificate yet. Its creation time is always that of bare keys, so that its fingerprint
    /// is always the same.
    ///
    /// # Errors
    /// When the token, the key or the PIN is missing, or keys of this kind cannot sign here.
    pub fn open_bare(&self, uri: &TokenUri, version: KeyVersion) -> Result<TokenSigner, TokenError> {
        let module = self.module(uri)?;
        let pin = self.pin(&module, uri)?;
        TokenSigner::open(module, uri, pin, |numbers, uri| to_key(numbers, uri, version, BARE_KEY_CREATED))
    }

    /// Makes a key in a token.
    ///
    /// # Errors
    /// When the token cannot make such a key, or refuses the PIN.
    pub fn make(&self, uri: &TokenUri, label: &str, algorithm: Algorithm) -> Result<TokenUri, TokenError> {
        let module = self.module(uri)?;
        let pin = self.pin(&module, uri)?;
        let token = module.token(uri)?;
        let made = token.make(&token.session(pin.as_ref(), true)?, label, algorithm)?;
        Ok(TokenUri { module: uri.module.clone(), pin_source: uri.pin_source.clone(), ..made })
    }
}

fn to_key(
    numbers: &key::Public,
    uri: &TokenUri,
    version: KeyVersion,
    created: Timestamp,
) -> Result<PublicKey, TokenError> {
    numbers.to_key(version, created).map_err(|found| TokenError::Kind { key: uri.to_string(), found })
}

/// The key with these numbers in the certificate, which supplies creation time and version.
fn of_certificate(numbers: &key::Public, uri: &TokenUri, certificate: &Certificate) -> Result<PublicKey, TokenError> {
    let same = |key: &&PublicKey| {
        let version = if key.version() == 6 { KeyVersion::V6 } else { KeyVersion::V4 };
        numbers.to_key(version, key.created()).is_ok_and(|own| own.fingerprint() == key.fingerprint())
    };
    certificate.public_keys().find(same).cloned().ok_or_else(|| TokenError::OtherKey(uri.to_string()))
}
