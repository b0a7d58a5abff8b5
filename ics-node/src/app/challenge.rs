//! Challenges: how a device shows that it holds the key of its record.
//!
//! The node makes a message that nobody has seen before, the device signs it, and the node checks the signature against
//! the key that its domains know. A message can be used once, for one identity, within a minute.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::possession;
use ics_core::record::Logged;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;

use super::answer::answers::{Depth, Query};
use super::answer::read::only;
use super::hosted::Hosted;
use super::{App, AppError, Asker, Reader, random};
use crate::api::problem::Code;
use crate::api::{Challenge, ChallengeAnswer, Proven};
use crate::locked::Locked as _;
use crate::shares::Shares;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;

/// The challenges waiting for their answers, and how many each asker may request, so that nobody can use up all of
/// them.
pub(crate) struct Challenges {
    waiting: Mutex<Table>,
    shares: Shares,
}

impl Default for Challenges {
    fn default() -> Self {
        let shares = Shares::of_askers(limits::CHALLENGES_PER_ASKER, limits::CHALLENGES_PER_ASKER_AT_ONCE);
        Self { waiting: Mutex::default(), shares }
    }
}

/// Challenges by nonce; those requested by strangers are kept apart.
#[derive(Debug, Default)]
struct Table {
    known: HashMap<String, Waiting>,
    strangers: HashMap<String, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: IdentityId,
    expires: Timestamp,
}

impl Table {
    /// Whether there is room for one more. Strangers may take only half of the places; the rest is kept for parties
    /// that this node knows.
    fn has_room(&self, is_stranger: bool) -> bool {
        let is_half_taken = self.strangers.len() >= limits::CHALLENGES_WAITING / 2;
        self.len() < limits::CHALLENGES_WAITING && !(is_stranger && is_half_taken)
    }

    fn len(&self) -> usize {
        self.known.len() + self.strangers.len()
    }

    fn add(&mut self, is_stranger: bool, nonce: String, waiting: Waiting, now: Timestamp) -> Result<(), AppError> {
        if !self.has_room(is_stranger) {
            self.known.retain(|_, waiting| waiting.expires > now);
            self.strangers.retain(|_, waiting| waiting.expires > now);
        }
        if !self.has_room(is_stranger) {
            let whom = if is_stranger { " for those who are not known here" } else { "" };
            let detail = format!("{} challenges wait for their answer, so no more are made{whom}", self.len());
            return Err(AppError::new(Code::Busy, detail));
        }
        let table = if is_stranger { &mut self.strangers } else { &mut self.known };
        table.insert(nonce, waiting);
        Ok(())
    }
}

impl Challenges {
    /// Makes a challenge for the holder of an identity's key; `message` gives the text to be signed.
    pub(crate) fn make(
        &self,
        asker: Asker,
        id: IdentityId,
        now: Timestamp,
        message: impl Fn(&IdentityId, &str) -> String,
    ) -> Result<Challenge, AppError> {
        asker.take_share(&self.shares)?;
        let expires = now.plus_millis(limits::CHALLENGE_SECONDS * 1000);
        let nonce = URL_SAFE_NO_PAD.encode(random::<NONCE_BYTES>()?);
        let mut all = self.waiting.locked();
        all.add(asker.is_stranger(), nonce.clone(), Waiting { id, expires }, now)?;
        drop(all);
        Ok(Challenge { message: message(&id, &nonce), id: id.to_string(), nonce, expires })
    }

    /// The identity for which an answered challenge was made. Each challenge can be used once.
    pub(crate) fn answered(&self, nonce: &str, now: Timestamp) -> Result<IdentityId, AppError> {
        self.take(nonce, now).ok_or_else(|| {
            let detail = format!("there is no such challenge: it serves once, within {} s", limits::CHALLENGE_SECONDS);
            AppError::new(Code::UnknownChallenge, detail)
        })
    }

    /// Removes a challenge: after a wrong answer a new one is needed.
    fn take(&self, nonce: &str, now: Timestamp) -> Option<IdentityId> {
        let mut all = self.waiting.locked();
        let waiting = all.known.remove(nonce).or_else(|| all.strangers.remove(nonce))?;
        (waiting.expires > now).then_some(waiting.id)
    }
}

impl App {
    /// A message for the holder of an identity's key to sign.
    ///
    /// # Errors
    /// When nothing that the reader may read is known about the identity, it has no key, the asker has used up their
    /// budget, or too many challenges are waiting.
    pub fn challenge(&self, reader: Reader, asker: Asker, query: &Query) -> Result<Challenge, AppError> {
        let sources = self.open_to(reader, self.sources(self.all_hosted())?);
        let gathered = self.gather(query, &sources, (Depth::Store, self.clock().now()))?.unwrap_or_default();
        let (known, _) = self.readable_of(reader, gathered)?;
        let id = only(query.text(), known.iter().map(|(id, _)| *id).collect())?;
        if !matches!(id, IdentityId::Key(_)) {
            return Err(AppError::new(Code::NoKey, format!("{id} has no key that could sign")));
        }
        self.0.challenges.make(asker, id, self.clock().now(), |id, nonce| self.message(id, nonce))
    }

    /// What is signed. It names the purpose and the node, so that a signature made for another purpose or another node
    /// is useless.
    fn message(&self, id: &IdentityId, nonce: &str) -> String {
        format!("ICS challenge\n{}\n{id}\n{nonce}\n", self.0.keys.name)
    }

    /// Whether the answer to a challenge proves that the device holds the identity's key.
    ///
    /// # Errors
    /// When there is no such challenge or it has expired, the signature is not good, or the store fails.
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

    /// The key of an identity, from any statement about it. The id is the key's fingerprint, so it does not matter
    /// whose statement that is.
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
        let Some(known) = self.resolve_again(&sight, id, &[])? else { return Ok(None) };
        Ok(key_among(&known.1).map(|(key, _)| key.clone()))
    }
}

/// The key of an identity, and the statement it is taken from, among all those about it: preferably an introduction
/// that counts.
pub(super) fn key_among(about: &[Logged]) -> Option<(&PublicKey, &Logged)> {
    let rank = |it: &&Logged| (it.is_refused(), it.claims().act != Act::Identity);
    let said = about.iter().filter(|it| !it.is_erased()).min_by_key(rank)?;
    said.key().map(|key| (key, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

    fn make(challenges: &Challenges, asker: Asker, now: Timestamp) -> Result<Challenge, Code> {
        let id = IdentityId::Software([7; 32]);
        challenges.make(asker, id, now, |_, nonce| nonce.to_owned()).map_err(|error| error.code())
    }

    #[test]
    fn strangers_leave_half_of_the_places_to_whoever_is_known() {
        let challenges = Challenges::default();
        let half = limits::CHALLENGES_WAITING as u64 / 2;
        let made = (0..half).map(|number| make(&challenges, Asker::Address(Some(number)), NOW).expect("their half"));
        let made: Vec<Challenge> = made.collect();
        let stranger = Asker::Address(Some(half));
        assert_eq!(make(&challenges, stranger, NOW).map(drop), Err(Code::Busy));
        for _ in 0..half {
            make(&challenges, Asker::Own, NOW).expect("the other half");
        }
        assert_eq!(make(&challenges, Asker::Own, NOW).map(drop), Err(Code::Busy), "all are taken");
        let nonce = &made.last().expect("some").nonce;
        assert!(challenges.answered(nonce, NOW).is_ok());
        assert_eq!(make(&challenges, stranger, NOW).map(drop), Ok(()), "one was answered");
        let later = NOW.plus_millis(limits::CHALLENGE_SECONDS * 1000);
        assert_eq!(make(&challenges, stranger, later).map(drop), Ok(()), "none waits for ever");
    }

    #[test]
    fn one_stranger_does_not_use_up_what_all_have() {
        let challenges = Challenges::default();
        let (one, other) = (Asker::Address(Some(1)), Asker::Address(Some(2)));
        // Some budget is earned back meanwhile, so whether the next request succeeds is not certain.
        let refused = (0..limits::CHALLENGES_WAITING).find_map(|_| make(&challenges, one, NOW).err());
        assert_eq!(refused, Some(Code::TooManyRequests));
        assert_eq!(make(&challenges, other, NOW).map(drop), Ok(()));
        assert_eq!(make(&challenges, Asker::Own, NOW).map(drop), Ok(()));
    }
}
