//! Transactions that are under way or were lately: so that no message counts twice, and who got a certificate can say that
//! he takes it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use der::asn1::ObjectIdentifier;
use ics_core::limits;
use ics_core::time::Timestamp;
use subtle::ConstantTimeEq as _;

use super::message::TIME_MILLIS;
use super::{Confirmation, Failure, FailureInfo};
use crate::x509::{SerialNumber, sha256};

/// For how many milliseconds a transaction is known: for as long as its message could be sent again, which is taken from
/// [`TIME_MILLIS`] before its time to [`TIME_MILLIS`] after it, both included.
const KNOWN_MILLIS: u64 = 2 * TIME_MILLIS + 1;

/// Somebody who begins transactions: the digest of his key, by which his messages are told from those of others, or of his
/// id, by which they are counted whatever his keys. Whoever has the registrar's secret has no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party(pub [u8; 32]);

impl Party {
    /// Whoever has the registrar's secret.
    pub const REGISTRAR: Self = Self([0; 32]);
}

/// A certificate of which its holder has not said yet whether he takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The nonce of the message that brought it.
    pub nonce: [u8; 16],
    /// Its digest, as its holder makes it.
    pub hash: Vec<u8>,
    /// With which algorithm.
    pub algorithm: ObjectIdentifier,
    /// Its number.
    pub serial: SerialNumber,
}

impl Waiting {
    /// Whether its holder takes it. What is not the certificate that was sent he has not got: it is as if he took none.
    ///
    /// # Errors
    /// When what he names is not this one, or by another algorithm, which says nothing of it.
    pub fn is_taken(&self, said: Option<&Confirmation>) -> Result<bool, Failure> {
        let Some(said) = said.filter(|said| said.is_accepted) else { return Ok(false) };
        if said.algorithm.is_some_and(|named| named != self.algorithm) {
            let text = "the digest must use the hash of the certificate's signature, and hashAlg must be left out";
            return Err(Failure::new(FailureInfo::BadAlg, text));
        }
        if said.hash != self.hash {
            let text = "the digest is not that of the certificate that was sent, which is now revoked: request another";
            return Err(Failure::new(FailureInfo::BadCertId, text));
        }
        Ok(true)
    }
}

/// Transactions, so many at most.
#[derive(Default)]
pub struct Transactions(Mutex<HashMap<(Party, [u8; 32]), Known>>);

/// A transaction; it is found by the key that has begun it and the digest of its id.
struct Known {
    /// For whom it counts, whatever his keys.
    whose: Party,
    /// When it is forgotten.
    until: Timestamp,
    /// The certificate of which its holder has not said yet whether he takes it.
    waiting: Option<Waiting>,
    /// What he has said last.
    heard: Option<Heard>,
}

/// What a holder has said, and which message he answered with it.
#[derive(PartialEq, Eq)]
struct Heard {
    nonce: Vec<u8>,
    said: Option<Confirmation>,
}

impl Transactions {
    /// Begins one by a key. `whose` that is, and how many he may have begun lately by all of his keys together (`most`), the
    /// caller knows.
    ///
    /// # Errors
    /// When it has begun before, or too many have lately.
    pub fn begin(&self, by: Party, id: &[u8], (whose, most): (Party, usize), now: Timestamp) -> Result<(), Failure> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= limits::CMP_TRANSACTIONS {
            all.retain(|_, known| known.until > now);
        }
        if all.len() >= limits::CMP_TRANSACTIONS {
            let text = "this node has had too many new transactions in the last minutes: try again in ten minutes";
            return Err(Failure::new(FailureInfo::SystemUnavail, text));
        }
        // One does not use up what all may have begun.
        let its = all.values().filter(|known| known.whose == whose && known.until > now).count();
        if its >= most {
            let text = format!("you have begun {its} transactions in the last minutes: try again in ten minutes");
            return Err(Failure::new(FailureInfo::SystemUnavail, text));
        }
        let known = Known { whose, until: now.plus_millis(KNOWN_MILLIS), waiting: None, heard: None };
        match all.insert((by, sha256(id)), known) {
            Some(before) if before.until > now => {
                // What waits there goes on to wait.
                all.insert((by, sha256(id)), before);
                let text = "a transaction with this id has already begun: each request needs a new id";
                Err(Failure::new(FailureInfo::TransactionIdInUse, text))
            }
            _ => Ok(()),
        }
    }

    /// Waits until the holder says whether he takes what he got; how long at most. None: nothing is known of the
    /// transaction any more.
    pub fn wait(&self, by: Party, id: &[u8], waiting: Waiting) -> Option<Timestamp> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(&(by, sha256(id)))?;
        known.waiting = Some(waiting);
        Some(known.until)
    }

    /// Notes what the holder has said in answer to the message with this nonce.
    pub fn hear(&self, by: Party, id: &[u8], nonce: &[u8], said: Option<Confirmation>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(&(by, sha256(id))) {
            known.heard = Some(Heard { nonce: nonce.to_vec(), said });
        }
    }

    /// Whether the holder was heard saying the very same: he says it again when our answer has not reached him.
    pub fn is_heard(&self, by: Party, id: &[u8], nonce: &[u8], said: Option<&Confirmation>, now: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&(by, sha256(id))).filter(|known| known.until > now);
        let heard = known.and_then(|known| known.heard.as_ref());
        heard.is_some_and(|heard| heard.nonce == nonce && heard.said.as_ref() == said)
    }

    /// Whether a certificate waits there.
    pub fn is_waiting(&self, by: Party, id: &[u8], now: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(by, sha256(id))).is_some_and(|known| known.until > now && known.waiting.is_some())
    }

    /// The certificate about which its holder speaks, who has got our last message (he repeats its nonce). From then on it
    /// waits no more.
    ///
    /// # Errors
    /// When nothing waits there, or he answers another message.
    pub fn confirm(&self, by: Party, id: &[u8], nonce: &[u8], now: Timestamp) -> Result<Waiting, Failure> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(&(by, sha256(id))).filter(|known| known.until > now);
        let unknown = "no certificate waits for a confirmation by this key in this transaction";
        let known = known.ok_or_else(|| Failure::new(FailureInfo::BadRequest, unknown))?;
        let waiting = known.waiting.take().ok_or_else(|| Failure::new(FailureInfo::BadRequest, unknown))?;
        if !bool::from(waiting.nonce[..].ct_eq(nonce)) {
            known.waiting = Some(waiting);
            let text = "the recipNonce is not the senderNonce of the message that brought the certificate";
            return Err(Failure::new(FailureInfo::BadRecipientNonce, text));
        }
        Ok(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Party = Party([1; 32]);
    const MINE: (Party, usize) = (Party([3; 32]), limits::CMP_TRANSACTIONS_OF_ONE);
    const OTHER: (Party, usize) = (Party([4; 32]), limits::CMP_TRANSACTIONS_OF_ONE);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn waiting() -> Waiting {
        Waiting {
            nonce: [7; 16],
            hash: vec![1],
            algorithm: crate::x509::oid::SHA256,
            serial: SerialNumber::new([0; 20]),
        }
    }

    #[test]
    fn an_id_begins_once_while_its_message_counts() {
        let transactions = Transactions::default();
        assert_eq!(transactions.begin(ME, b"one", MINE, at(0)), Ok(()));
        let again = transactions.begin(ME, b"one", MINE, at(KNOWN_MILLIS - 1)).expect_err("known");
        assert_eq!(again.info, FailureInfo::TransactionIdInUse);
        let last = transactions.begin(ME, b"one", MINE, at(2 * TIME_MILLIS)).expect_err("its message is still taken");
        assert_eq!(last.info, FailureInfo::TransactionIdInUse);
        assert_eq!(transactions.begin(Party([2; 32]), b"one", OTHER, at(0)), Ok(()), "another's is another");
        assert_eq!(transactions.begin(ME, b"one", MINE, at(KNOWN_MILLIS)), Ok(()));
    }

    #[test]
    fn who_got_a_certificate_confirms_it_once() {
        let transactions = Transactions::default();
        transactions.begin(ME, b"one", MINE, at(0)).expect("begins");
        let confirm = |by, nonce: &[u8]| transactions.confirm(by, b"one", nonce, at(1));
        assert_eq!(confirm(ME, &[7; 16]).expect_err("nothing waits").info, FailureInfo::BadRequest);
        assert_eq!(transactions.wait(ME, b"one", waiting()), Some(at(KNOWN_MILLIS)));
        assert_eq!(transactions.wait(ME, b"two", waiting()), None, "it has not begun");
        assert_eq!(
            transactions.begin(ME, b"one", MINE, at(1)).map_err(|it| it.info),
            Err(FailureInfo::TransactionIdInUse)
        );
        assert_eq!(confirm(Party([2; 32]), &[7; 16]).expect_err("another").info, FailureInfo::BadRequest);
        assert_eq!(confirm(ME, &[8; 16]).expect_err("guesses").info, FailureInfo::BadRecipientNonce);
        assert_eq!(confirm(ME, &[7; 16]), Ok(waiting()));
        assert!(confirm(ME, &[7; 16]).is_err());
    }

    #[test]
    fn who_says_the_same_again_was_heard() {
        let transactions = Transactions::default();
        let takes = |hash| Confirmation { hash: vec![hash], algorithm: None, is_accepted: true };
        let heard = |by, nonce: &[u8], said: Option<&Confirmation>, millis| {
            transactions.is_heard(by, b"one", nonce, said, at(millis))
        };
        transactions.begin(ME, b"one", MINE, at(0)).expect("begins");
        assert!(!heard(ME, &[7; 16], Some(&takes(1)), 1) && !heard(ME, &[7; 16], None, 1), "he has said nothing yet");
        transactions.hear(ME, b"one", &[7; 16], Some(takes(1)));
        assert!(heard(ME, &[7; 16], Some(&takes(1)), KNOWN_MILLIS - 1));
        assert!(!heard(ME, &[7; 16], Some(&takes(2)), 1) && !heard(ME, &[7; 16], None, 1), "it is another word");
        assert!(!heard(ME, &[8; 16], Some(&takes(1)), 1), "it answers another message");
        assert!(!heard(Party([2; 32]), &[7; 16], Some(&takes(1)), 1), "it is another's");
        assert!(!heard(ME, &[7; 16], Some(&takes(1)), KNOWN_MILLIS), "nothing is known any more");
    }

    #[test]
    fn a_certificate_is_taken_by_its_own_digest() {
        let said = |hash: u8, algorithm, is_accepted| Confirmation { hash: vec![hash], algorithm, is_accepted };
        let taken = |said: Option<&Confirmation>| waiting().is_taken(said).map_err(|failure| failure.info);
        let (own, other) = (Some(crate::x509::oid::SHA256), Some(crate::x509::oid::SHA512));
        assert_eq!(taken(None), Ok(false));
        for (said, expected) in [
            (said(1, None, true), Ok(true)),
            (said(1, own, true), Ok(true)),
            (said(2, None, true), Err(FailureInfo::BadCertId)),
            (said(1, other, true), Err(FailureInfo::BadAlg)),
            (said(2, other, false), Ok(false)),
        ] {
            assert_eq!(taken(Some(&said)), expected, "{said:?}");
        }
    }

    #[test]
    fn they_are_bounded() {
        let transactions = Transactions::default();
        for number in 0..limits::CMP_TRANSACTIONS_OF_ONE {
            transactions.begin(ME, &number.to_be_bytes(), MINE, at(0)).expect("has room");
        }
        for key in [ME, Party([2; 32])] {
            let much = transactions.begin(key, b"one more", MINE, at(1)).expect_err("he has no more by another key");
            assert_eq!(much.info, FailureInfo::SystemUnavail);
        }
        for number in limits::CMP_TRANSACTIONS_OF_ONE..limits::CMP_TRANSACTIONS {
            let most = (Party::REGISTRAR, limits::CMP_TRANSACTIONS);
            transactions.begin(Party::REGISTRAR, &number.to_be_bytes(), most, at(0)).expect("has room");
        }
        let full = transactions.begin(Party([2; 32]), b"one more", OTHER, at(1)).expect_err("is full");
        assert_eq!(full.info, FailureInfo::SystemUnavail);
        assert_eq!(transactions.begin(ME, b"one more", MINE, at(KNOWN_MILLIS)), Ok(()), "room comes back");
    }
}
