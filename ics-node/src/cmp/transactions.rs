//! Transactions that are or recently were under way, kept so that no message counts twice, and so that the holder of a
//! certificate can confirm it.

use std::collections::HashMap;
use std::sync::Mutex;

use der::asn1::ObjectIdentifier;
use ics_core::limits;
use ics_core::time::Timestamp;
use subtle::ConstantTimeEq as _;

use super::message::TIME_MILLIS;
use super::{Confirmation, Failure, FailureInfo};
use crate::locked::Locked as _;
use crate::x509::{SerialNumber, oid, sha256};

/// How many milliseconds a transaction is remembered: for as long as its message could be replayed, since a message is
/// accepted from [`TIME_MILLIS`] before its time to [`TIME_MILLIS`] after it, both inclusive.
const KNOWN_MILLIS: u64 = 2 * TIME_MILLIS + 1;

/// Bytes of a digest by SHA-384; all others are by SHA-256.
const SHA384_BYTES: usize = 48;

/// A party that begins transactions: the digest of its key, which tells its messages from those of others, or of its
/// id, under which they are counted whatever its keys. Holders of the registrar's secret have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party(pub [u8; 32]);

impl Party {
    /// Any holder of the registrar's secret.
    pub const REGISTRAR: Self = Self([0; 32]);
}

/// A certificate that its holder has not confirmed or rejected yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The id of the request (`certReqId`), an INTEGER in DER; `None` if it had none, or after a restart: then the
    /// digest alone tells which certificate its holder means.
    pub number: Option<Vec<u8>>,
    /// The nonce of the message that carried it.
    pub nonce: [u8; 16],
    /// Its digest, as its holder computes it: with the algorithm of its signature.
    pub hash: Vec<u8>,
    /// Its serial number.
    pub serial: SerialNumber,
}

impl Waiting {
    /// The algorithm of its digest.
    const fn algorithm(&self) -> ObjectIdentifier {
        if self.hash.len() == SHA384_BYTES { oid::SHA384 } else { oid::SHA256 }
    }

    /// Whether its holder accepts it. A holder that names something other than the certificate sent has not got it,
    /// which counts as a rejection.
    ///
    /// # Errors
    /// When its holder speaks of another request, or names another digest, or one by another algorithm, which tells
    /// nothing about it.
    pub fn is_taken(&self, said: Option<&Confirmation>) -> Result<bool, Failure> {
        let Some(said) = said else { return Ok(false) };
        if self.number.as_ref().is_some_and(|number| *number != said.number) {
            let text = "the certReqId is not that of the request for the certificate, which still waits";
            return Err(Failure::new(FailureInfo::BadRequest, text));
        }
        if !said.is_accepted {
            return Ok(false);
        }
        if said.algorithm.is_some_and(|named| named != self.algorithm()) {
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

/// Transactions, up to a bound.
#[derive(Default)]
pub struct Transactions(Mutex<HashMap<(Party, [u8; 32]), Known>>);

/// A transaction; it is found by the party that began it and the digest of its id.
struct Known {
    /// The party that it is counted for, whatever its keys.
    whose: Party,
    /// When it is forgotten.
    until: Timestamp,
    /// The key that signed its first message (SubjectPublicKeyInfo, DER), if one did.
    key: Option<Vec<u8>>,
    /// The certificate that its holder has not confirmed or rejected yet.
    waiting: Option<Waiting>,
    /// What the holder said last.
    heard: Option<Heard>,
}

/// What a holder said, and the nonce of the message that it answered.
#[derive(PartialEq, Eq)]
struct Heard {
    nonce: Vec<u8>,
    said: Option<Confirmation>,
}

impl Transactions {
    /// Begins a transaction of the party `by`; returns until when it is remembered. The caller knows for whom it counts
    /// (`whose`), and how many that one may have begun recently with all keys together (`most`).
    ///
    /// # Errors
    /// When it has begun before, or too many have begun recently.
    pub fn begin(
        &self,
        by: Party,
        id: &[u8],
        (whose, most): (Party, usize),
        now: Timestamp,
    ) -> Result<Timestamp, Failure> {
        let mut all = self.0.locked();
        if all.len() >= limits::CMP_TRANSACTIONS {
            all.retain(|_, known| known.until > now);
        }
        if all.len() >= limits::CMP_TRANSACTIONS {
            let text = "this node has had too many new transactions in the last minutes: try again in ten minutes";
            return Err(Failure::new(FailureInfo::SystemUnavail, text));
        }
        // No single party may use up what all may begin.
        let its = all.values().filter(|known| known.whose == whose && known.until > now).count();
        if its >= most {
            let text = format!("you have begun {its} transactions in the last minutes: try again in ten minutes");
            return Err(Failure::new(FailureInfo::SystemUnavail, text));
        }
        let until = now.plus_millis(KNOWN_MILLIS);
        let known = Known { whose, until, key: None, waiting: None, heard: None };
        match all.insert((by, sha256(id)), known) {
            Some(before) if before.until > now => {
                // The certificate that waits there keeps waiting.
                all.insert((by, sha256(id)), before);
                let text = "a transaction with this id has already begun: each request needs a new id";
                Err(Failure::new(FailureInfo::TransactionIdInUse, text))
            }
            _ => Ok(until),
        }
    }

    /// Goes on with a transaction that had begun before the node was restarted; `key` signed its first message, if one
    /// did. Nothing is known any more of the party that it was counted for, so it counts for the one that began it.
    pub fn resume(&self, id: &[u8], key: Option<Vec<u8>>, until: Timestamp, waiting: Waiting) {
        let by = key.as_deref().map_or(Party::REGISTRAR, |key| Party(sha256(key)));
        let known = Known { whose: by, until, key, waiting: Some(waiting), heard: None };
        let mut all = self.0.locked();
        all.insert((by, sha256(id)), known);
    }

    /// Remembers the key that signed the first message of a transaction.
    pub fn know(&self, by: Party, id: &[u8], key: Vec<u8>) {
        let mut all = self.0.locked();
        if let Some(known) = all.get_mut(&(by, sha256(id))) {
            known.key = Some(key);
        }
    }

    /// The key of whoever began the transaction with this id; `None` if several parties have chosen the id.
    pub fn key_of(&self, id: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        let all = self.0.locked();
        let id = sha256(id);
        let its = all.iter().filter(|((_, its), known)| *its == id && known.until > now);
        let mut keys = its.filter_map(|(_, known)| known.key.as_ref());
        let (first, another) = (keys.next(), keys.next());
        first.filter(|_| another.is_none()).cloned()
    }

    /// Waits for the holder to confirm or reject a certificate; returns until when. `None` if the transaction is no
    /// longer known.
    pub fn wait(&self, by: Party, id: &[u8], waiting: Waiting) -> Option<Timestamp> {
        let mut all = self.0.locked();
        let known = all.get_mut(&(by, sha256(id)))?;
        known.waiting = Some(waiting);
        Some(known.until)
    }

    /// Notes what the holder said in answer to the message with this nonce.
    pub fn hear(&self, by: Party, id: &[u8], nonce: &[u8], said: Option<Confirmation>) {
        let mut all = self.0.locked();
        if let Some(known) = all.get_mut(&(by, sha256(id))) {
            known.heard = Some(Heard { nonce: nonce.to_vec(), said });
        }
    }

    /// Whether the holder has said the very same before: it repeats itself if this node's answer did not arrive.
    pub fn is_heard(&self, by: Party, id: &[u8], nonce: &[u8], said: Option<&Confirmation>, now: Timestamp) -> bool {
        let all = self.0.locked();
        let known = all.get(&(by, sha256(id))).filter(|known| known.until > now);
        let heard = known.and_then(|known| known.heard.as_ref());
        heard.is_some_and(|heard| heard.nonce == nonce && heard.said.as_ref() == said)
    }

    /// Whether a certificate awaits confirmation.
    pub fn is_waiting(&self, by: Party, id: &[u8], now: Timestamp) -> bool {
        let all = self.0.locked();
        all.get(&(by, sha256(id))).is_some_and(|known| known.until > now && known.waiting.is_some())
    }

    /// Takes out the certificate that its holder speaks about; the holder has got this node's last message, since it
    /// repeats the nonce. The certificate then no longer waits.
    ///
    /// # Errors
    /// When nothing waits there, or the holder answers another message.
    pub fn confirm(&self, by: Party, id: &[u8], nonce: &[u8], now: Timestamp) -> Result<Waiting, Failure> {
        let mut all = self.0.locked();
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
        Waiting { number: Some(vec![2, 1, 0]), nonce: [7; 16], hash: vec![1], serial: SerialNumber::new([0; 20]) }
    }

    fn takes(hash: &[u8]) -> Confirmation {
        Confirmation { number: vec![2, 1, 0], hash: hash.to_vec(), algorithm: None, is_accepted: true }
    }

    #[test]
    fn an_id_begins_once_while_its_message_counts() {
        let transactions = Transactions::default();
        assert_eq!(transactions.begin(ME, b"one", MINE, at(0)), Ok(at(KNOWN_MILLIS)));
        let again = transactions.begin(ME, b"one", MINE, at(KNOWN_MILLIS - 1)).expect_err("known");
        assert_eq!(again.info, FailureInfo::TransactionIdInUse);
        let last = transactions.begin(ME, b"one", MINE, at(2 * TIME_MILLIS)).expect_err("its message is still taken");
        assert_eq!(last.info, FailureInfo::TransactionIdInUse);
        assert!(transactions.begin(Party([2; 32]), b"one", OTHER, at(0)).is_ok(), "another's is another");
        assert_eq!(transactions.begin(ME, b"one", MINE, at(KNOWN_MILLIS)), Ok(at(2 * KNOWN_MILLIS)));
    }

    #[test]
    fn a_holder_confirms_a_certificate_once() {
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

    /// What was noted of it has all that tells its holder from others.
    #[test]
    fn a_transaction_goes_on_after_a_restart() {
        for key in [Some(b"mine".to_vec()), None] {
            let transactions = Transactions::default();
            let by = key.as_deref().map_or(Party::REGISTRAR, |key| Party(sha256(key)));
            transactions.resume(b"one", key.clone(), at(100), waiting());
            assert_eq!(transactions.key_of(b"one", at(99)), key);
            let again = transactions.begin(by, b"one", MINE, at(99)).expect_err("it has begun");
            assert_eq!(again.info, FailureInfo::TransactionIdInUse);
            let confirm = |by, nonce: &[u8], millis| transactions.confirm(by, b"one", nonce, at(millis));
            assert!(confirm(ME, &[7; 16], 1).is_err() && confirm(by, &[8; 16], 1).is_err());
            assert!(confirm(by, &[7; 16], 100).is_err(), "it is too late");
            assert_eq!(confirm(by, &[7; 16], 99), Ok(waiting()));
        }
    }

    #[test]
    fn the_sender_is_known_by_a_key_unless_others_chose_the_same_id() {
        let transactions = Transactions::default();
        let key_of = |id: &[u8], millis| transactions.key_of(id, at(millis));
        let (other, theirs) = (Party([2; 32]), b"theirs".to_vec());
        transactions.begin(ME, b"one", MINE, at(0)).expect("begins");
        assert_eq!(key_of(b"one", 1), None, "no key signed it");
        transactions.know(ME, b"one", b"mine".to_vec());
        transactions.know(ME, b"two", b"mine".to_vec());
        assert_eq!(key_of(b"one", KNOWN_MILLIS - 1), Some(b"mine".to_vec()));
        assert_eq!((key_of(b"two", 1), key_of(b"one", KNOWN_MILLIS)), (None, None), "nothing is known of it");
        transactions.begin(other, b"one", OTHER, at(0)).expect("begins");
        transactions.know(other, b"one", theirs);
        assert_eq!(key_of(b"one", 1), None);
    }

    #[test]
    fn a_repeated_confirmation_counts_as_heard() {
        let transactions = Transactions::default();
        let takes = |hash| takes(&[hash]);
        let heard = |by, nonce: &[u8], said: Option<&Confirmation>, millis| {
            transactions.is_heard(by, b"one", nonce, said, at(millis))
        };
        transactions.begin(ME, b"one", MINE, at(0)).expect("begins");
        assert!(!heard(ME, &[7; 16], Some(&takes(1)), 1) && !heard(ME, &[7; 16], None, 1), "nothing is said yet");
        transactions.hear(ME, b"one", &[7; 16], Some(takes(1)));
        assert!(heard(ME, &[7; 16], Some(&takes(1)), KNOWN_MILLIS - 1));
        assert!(!heard(ME, &[7; 16], Some(&takes(2)), 1) && !heard(ME, &[7; 16], None, 1), "it is another word");
        assert!(!heard(ME, &[8; 16], Some(&takes(1)), 1), "it answers another message");
        assert!(!heard(Party([2; 32]), &[7; 16], Some(&takes(1)), 1), "it is another's");
        assert!(!heard(ME, &[7; 16], Some(&takes(1)), KNOWN_MILLIS), "nothing is known any more");
    }

    #[test]
    fn a_certificate_is_taken_by_its_own_digest() {
        let said = |hash: u8, algorithm, is_accepted| Confirmation { algorithm, is_accepted, ..takes(&[hash]) };
        let taken = |said: Option<&Confirmation>| waiting().is_taken(said).map_err(|failure| failure.info);
        let (own, other) = (Some(oid::SHA256), Some(oid::SHA512));
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
        let long = Waiting { hash: vec![1; SHA384_BYTES], ..waiting() };
        let said = |named| Confirmation { algorithm: Some(named), ..takes(&[1; SHA384_BYTES]) };
        assert!(long.is_taken(Some(&said(oid::SHA384))).is_ok() && long.is_taken(Some(&said(oid::SHA256))).is_err());
    }

    #[test]
    fn a_certificate_is_confirmed_or_rejected_by_the_id_of_its_request() {
        let (other, restarted) = (vec![2, 1, 0xff], Waiting { number: None, ..waiting() });
        for is_accepted in [true, false] {
            let own = Confirmation { is_accepted, ..takes(&[1]) };
            let said = Confirmation { number: other.clone(), ..own.clone() };
            let info = waiting().is_taken(Some(&said)).map_err(|failure| failure.info);
            assert_eq!(info, Err(FailureInfo::BadRequest));
            assert_eq!(waiting().is_taken(Some(&own)), Ok(is_accepted));
            assert_eq!(restarted.is_taken(Some(&said)), Ok(is_accepted), "the digest is the certificate's");
        }
    }

    #[test]
    fn they_are_bounded() {
        let transactions = Transactions::default();
        for number in 0..limits::CMP_TRANSACTIONS_OF_ONE {
            transactions.begin(ME, &number.to_be_bytes(), MINE, at(0)).expect("has room");
        }
        for key in [ME, Party([2; 32])] {
            let much = transactions.begin(key, b"one more", MINE, at(1)).expect_err("another key does not bring more");
            assert_eq!(much.info, FailureInfo::SystemUnavail);
        }
        for number in limits::CMP_TRANSACTIONS_OF_ONE..limits::CMP_TRANSACTIONS {
            let most = (Party::REGISTRAR, limits::CMP_TRANSACTIONS);
            transactions.begin(Party::REGISTRAR, &number.to_be_bytes(), most, at(0)).expect("has room");
        }
        let full = transactions.begin(Party([2; 32]), b"one more", OTHER, at(1)).expect_err("is full");
        assert_eq!(full.info, FailureInfo::SystemUnavail);
        assert!(transactions.begin(ME, b"one more", MINE, at(KNOWN_MILLIS)).is_ok(), "room comes back");
    }
}
