//! Signing with a key in a token.

use core::fmt;
use std::sync::Mutex;

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use ics_core::log::note::NoteKey;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Signer, SignerError, verified};
use sequoia_openpgp::types::HashAlgorithm;

use super::key::Public;
use super::module::words;
use super::{Module, Pin, TokenError, TokenUri};
use crate::locked::Locked as _;

/// A key in a token, as a signer. It keeps one session, and calls take turns.
pub struct TokenSigner {
    module: Module,
    uri: TokenUri,
    pin: Option<Pin>,
    key: PublicKey,
    numbers: Public,
    /// The session in which the key was last used, unless it broke.
    open: Mutex<Option<Opened>>,
}

/// A session in which a key is used.
struct Opened {
    session: Option<Session>,
    handle: ObjectHandle,
    module: Module,
    /// The start of the module in which the session was opened.
    start: u64,
}

impl Drop for Opened {
    /// A session is closed by its number, which after a restart of the module may belong to another session.
    fn drop(&mut self) {
        let start = self.module.hold();
        let session = self.session.take();
        if start.number == self.start { drop(session) } else { core::mem::forget(session) }
    }
}

impl TokenSigner {
    /// Opens the key; `to_key` makes an OpenPGP key of it.
    pub(super) fn open(
        module: Module,
        wanted: &TokenUri,
        pin: Option<Pin>,
        to_key: impl FnOnce(&Public, &TokenUri) -> Result<PublicKey, TokenError>,
    ) -> Result<Self, TokenError> {
        let (session, (handle, uri, numbers), start) = {
            let start = module.hold();
            let token = module.token(wanted)?;
            let session = token.session(pin.as_ref(), false)?;
            let found = token.key(&session, wanted)?;
            (session, found, start.number)
        };
        let opened = Opened { session: Some(session), handle, module: module.clone(), start };
        // The module and the source of the PIN stay as given.
        let uri = TokenUri { module: wanted.module.clone(), pin_source: wanted.pin_source.clone(), ..uri };
        let key = to_key(&numbers, &uri)?;
        Ok(Self { module, uri, pin, key, numbers, open: Mutex::new(Some(opened)) })
    }

    /// The URI that names it.
    #[must_use]
    pub const fn uri(&self) -> &TokenUri {
        &self.uri
    }

    fn reopen(&self) -> Result<(Session, ObjectHandle), TokenError> {
        let token = self.module.token(&self.uri)?;
        let session = token.session(self.pin.as_ref(), false)?;
        let (handle, uri, numbers) = token.key(&session, &self.uri)?;
        if numbers == self.numbers { Ok((session, handle)) } else { Err(TokenError::OtherKey(uri.to_string())) }
    }

    /// Has the token sign. A session that broke (the token was pulled out, its box restarted) is reopened once, and
    /// once more after a restart of the module if that no longer sees the token.
    fn raw(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut open = self.open.locked();
        if let Some(signature) = open.as_ref().and_then(|opened| self.sign_in(opened, message)) {
            return Ok(signature);
        }
        *open = None;
        let (start, mut made) = self.sign_anew(message);
        if made.as_ref().is_err_and(TokenError::is_gone) {
            self.module.start_anew(start)?;
            made = self.sign_anew(message).1;
        }
        let (opened, signature) = made?;
        *open = Some(opened);
        Ok(signature)
    }

    /// Signs in an open session; `None` if it broke.
    fn sign_in(&self, opened: &Opened, message: &[u8]) -> Option<Vec<u8>> {
        let start = self.module.hold();
        let session = opened.session.as_ref().filter(|_| start.number == opened.start)?;
        let signed = session.sign(&self.mechanism(), opened.handle, message);
        signed
            .inspect_err(|error| tracing::warn!(key = %self.uri, reason = words(error), "the token's session broke"))
            .ok()
    }

    /// Signs in a new session; also returns the start of the module in which that was tried.
    fn sign_anew(&self, message: &[u8]) -> (u64, Result<(Opened, Vec<u8>), TokenError>) {
        let start = self.module.hold();
        let made = self.reopen().and_then(|(session, handle)| {
            let signature = session.sign(&self.mechanism(), handle, message).map_err(|error| self.failed(&error))?;
            let module = self.module.clone();
            Ok((Opened { session: Some(session), handle, module, start: start.number }, signature))
        });
        (start.number, made)
    }

    /// Lets a test use the open session.
    #[cfg(test)]
    pub(super) fn meddle(&self, with: impl FnOnce(&Session)) {
        let open = self.open.lock().expect("no test panicked");
        if let Some(session) = open.as_ref().and_then(|opened| opened.session.as_ref()) {
            with(session);
        }
    }

    fn failed(&self, error: &Error) -> TokenError {
        let token = self.uri.token.clone().unwrap_or_default();
        TokenError::Failed { token, purpose: "sign", reason: words(error) }
    }

    fn mechanism(&self) -> Mechanism<'static> {
        match &self.numbers {
            Public::Ed25519(_) => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            Public::P256(_) => Mechanism::Ecdsa,
            Public::Rsa { .. } => Mechanism::RsaPkcs,
        }
    }

    fn ed25519(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let made = self.raw(message).map_err(|e| SignerError::Refused(e.to_string()))?;
        made.try_into().map_err(|_| SignerError::Number)
    }

    /// The token's signature over a digest, unverified.
    fn made(&self, digest: &[u8]) -> Result<RawSignature, SignerError> {
        let refused = |e: TokenError| SignerError::Refused(e.to_string());
        match &self.numbers {
            Public::Ed25519(_) => self.ed25519(digest).map(RawSignature::Ed25519),
            Public::P256(_) => {
                let made = self.raw(digest).map_err(refused)?;
                let (r, s) = made.split_at_checked(32).filter(|(_, s)| s.len() == 32).ok_or(SignerError::Number)?;
                Ok(RawSignature::Ecdsa { r: r.to_vec(), s: s.to_vec() })
            }
            Public::Rsa { .. } => {
                // RFC 8017, 9.2: `CKM_RSA_PKCS` does the padding, but the caller must provide the DigestInfo.
                let hash = HashAlgorithm::from(self.key.algorithm().preferred_hash().id());
                let info = hash.oid().map_err(|e| SignerError::Refused(e.to_string()))?;
                Ok(RawSignature::Rsa(self.raw(&[info, digest].concat()).map_err(refused)?))
            }
        }
    }
}

impl Signer for TokenSigner {
    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, digest: &[u8]) -> Result<RawSignature, SignerError> {
        verified(self.made(digest)?, &self.key, digest)
    }
}

impl NoteKey for TokenSigner {
    fn public(&self) -> [u8; 32] {
        self.key.ed25519_point().copied().unwrap_or_default()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        let made = self.ed25519(message).map_err(|e| e.to_string())?;
        // A faulty token must not make the log publish a head that nobody can verify.
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.public()).map_err(|e| e.to_string())?;
        let verified = key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&made));
        verified.map(|()| made).map_err(|_| "the token made a signature that does not verify".to_owned())
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSigner({})", self.uri)
    }
}
