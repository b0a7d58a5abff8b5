//! Challenges: a device shows that it holds the key of its record.
//!
//! The node makes a message that nobody has seen before, the device signs it, and the node checks the signature against
//! the key that its domains know. A message serves once, for one identity, for a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::possession::{self, subject_key};
use ics_core::record::Logged;
use ics_core::time::Timestamp;

use super::answers::{Depth, Query};
use super::hosted::Hosted;
use super::problem::Code;
use super::read::only;
use super::{App, AppError, Reader, random};
use crate::api::{Challenge, ChallengeAnswer, Proven};

/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;

/// The challenges that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, Waiting>>);

#[derive(Debug)]
struct Waiting {
    id: IdentityId,
    expires: Timestamp,
}

impl Challenges {
    fn add(&self, nonce: String, waiting: Waiting, now: Timestamp) -> Result<(), AppError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= limits::CHALLENGES_WAITING {
            all.retain(|_, waiting| waiting.expires > now);
        }
        if all.len() >= limits::CHALLENGES_WAITING {
            let detail = format!("{} challenges wait for their answer, no more are made", all.len());
            return Err(AppError::new(Code::Busy, detail));
        }
        all.insert(nonce, waiting);
        Ok(())
    }

    /// A challenge for the holder of an identity's key; `message` says what he is to sign.
    pub(crate) fn make(
        &self,
        id: IdentityId,
        now: Timestamp,
        message: impl Fn(&IdentityId, &str) -> String,
    ) -> Result<Challenge, AppError> {
        let expires = now.plus_millis(limits::CHALLENGE_SECONDS * 1000);
        let nonce = URL_SAFE_NO_PAD.encode(random::<NONCE_BYTES>()?);
        self.add(nonce.clone(), Waiting { id, expires }, now)?;
        Ok(Challenge { message: message(&id, &nonce), id: id.to_string(), nonce, expires })
    }

    /// Whose challenge it is that somebody answers; it serves once.
    pub(crate) fn answered(&self, nonce: &str, now: Timestamp) -> Result<IdentityId, AppError> {
        self.take(nonce, now).ok_or_else(|| {
            let detail = format!("there is no such challenge: it serves once, within {} s", limits::CHALLENGE_SECONDS);
            AppError::new(Code::UnknownChallenge, detail)
        })
    }

    /// Takes a challenge out: whoever guesses wrongly needs a new one.
    fn take(&self, nonce: &str, now: Timestamp) -> Option<IdentityId> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(nonce)?;
        (waiting.expires > now).then_some(waiting.id)
    }
}

impl App {
    /// A message for the holder of an identity's key to sign.
    ///
    /// # Errors
    /// When nothing that the reader may read is known of the identity, it has no key, or too many challenges wait.
    pub fn challenge(&self, reader: Reader, query: &Query) -> Result<Challenge, AppError> {
        let gathered = self
            .gather(query, &self.sources(self.all_hosted())?, (Depth::Store, self.clock().now()))?
            .unwrap_or_default();
        let known = self.readable_of(reader, gathered)?;
        let id = only(query.text(), known.iter().map(|(id, _)| *id).collect())?;
        if !matches!(id, IdentityId::Key(_)) {
            return Err(AppError::new(Code::NoKey, format!("{id} has no key that could sign")));
        }
        self.0.challenges.make(id, self.clock().now(), |id, nonce| self.message(id, nonce))
    }

    /// What is signed: it names the purpose and the node, so that no signature for something else, or for another node,
    /// serves.
    fn message(&self, id: &IdentityId, nonce: &str) -> String {
        format!("ICS challenge\n{}\n{id}\n{nonce}\n", self.0.keys.name)
    }

    /// Whether the answer to a challenge proves that the device holds the identity's key.
    ///
    /// # Errors
    /// When there is no such challenge (any more), the signature is not good, or the store fails.
    pub fn prove_possession(&self, answer: &ChallengeAnswer) -> Result<Proven, AppError> {
        let unproven = |detail: String| AppError::new(Code::NotProven, detail);
        let now = self.clock().now();
        let id = self.0.challenges.answered(&answer.nonce, now)?;
        let key = self.key_of(&id)?.ok_or_else(|| unproven(format!("no domain here has the key of {id}")))?;
        let message = self.message(&id, &answer.nonce);
        possession::verify(&key, message.as_bytes(), &answer.signature.0)
            .map_err(|error| unproven(error.to_string()))?;
        Ok(Proven { id: id.to_string(), at: now })
    }

    /// The key of an identity, from any statement about it: its fingerprint is the id, so it does not matter whose.
    fn key_of(&self, id: &IdentityId) -> Result<Option<PublicKey>, AppError> {
        for hosted in self.all_hosted() {
            if let Some(key) = self.key_in(&hosted, id)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// The key of an identity, from any statement about it in one domain.
    pub(crate) fn key_in(&self, hosted: &Hosted, id: &IdentityId) -> Result<Option<PublicKey>, AppError> {
        let Ok(sight) = self.sight(hosted) else { return Ok(None) };
        let Some((_, said)) = self.resolve(&sight, id)? else { return Ok(None) };
        let indices: Vec<u64> = said.about.first().map(Logged::index).into_iter().collect();
        let entries = self.store().entries_at(hosted.number, &indices)?;
        let bodies = entries.into_iter().filter_map(|entry| entry.content).map(|content| content.body);
        let mut keys = bodies.filter_map(|body| subject_key(&body));
        Ok(keys.find(|key| IdentityId::Key(key.fingerprint()) == *id))
    }
}
