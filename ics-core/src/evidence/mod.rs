//! Offline evidence: everything that a verifier without a network needs to build a record independently.
//!
//! It is what `GET /v1/domains/{domain}/identities/{id}/evidence` returns, `ics export` writes and `ics verify
//! --document` reads.
//!
//! What [`verify()`] proves, given that the origin is the right one (pinned, or compared by a person), that the
//! domain's owners keep their threshold, and that its home does not sign two histories:
//!
//! - Every entry in it stands in the log of that domain at its index, under the one checkpoint that the home signed,
//!   and was admitted when it says.
//! - The descriptors in it were put in force by the owners, one after the other.
//! - Every statement was signed by its signer, and what it does in the record follows from the policy and the
//!   statements before it, by the same rules that the home and every mirror apply.
//! - As of the time of the home's cosignature, if there is one, that checkpoint was the domain's newest.
//!
//! - With a record head ([`crate::log::record_head`]), that the home has signed, at that time and over exactly that
//!   checkpoint, that these are all entries on which the record rests.
//!
//! What it does not prove without one: **that nothing was left out.** Inclusion proofs show what is in a log, never
//! what else is in it: whoever makes the evidence can withhold a statement (also a block), a newer state of a
//! certificate, or the newest descriptors. The as-of time bounds what may be missing only as far as the maker of the
//! evidence is trusted to have included everything; so take it from the home or a mirror, not from the party whose
//! thing it speaks for. A home includes its record head in what it gives out. Then only the home itself can have left
//! anything out, and it has signed that it did not. Only a mirror, which holds the whole log, proves completeness
//! without believing anybody.

mod attested;
mod complete;
mod head;
mod open;
mod reach;
mod refusal;
mod replay;
mod verified;

use serde::{Deserialize, Serialize};

pub use self::attested::{Attested, attested};
pub(crate) use self::open::Opened;
pub use self::refusal::{EntryFault, EvidenceRefusal};
pub use self::verified::{Cosigned, Line, Refused, Verified, verify};
pub(crate) use self::verified::{Proved, proved};
use crate::descriptor::fields::read;
use crate::identity::excerpt;
use crate::limits;
use crate::log::receipt::Receipt;
use crate::log::text;
use crate::time::Timestamp;
use crate::vocabulary::DomainName;

/// The version of the format that this code writes and reads.
pub const VERSION: u32 = 1;

/// What a domain says of an identity, with everything that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The version of this format: [`VERSION`].
    pub version: u32,
    /// The text of the identity's id.
    pub id: String,
    /// The domain.
    pub domain: DomainName,
    /// The checkpoint under which all receipts are proven: a signed note, with its cosignatures.
    pub checkpoint: String,
    /// The home's signed record head, if the evidence comes from the home: then nothing that it names is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// In the order of the log: all descriptors of the domain, entry 0 first; the certificates of all signers, each in
    /// every state that it had; all statements about the identity and about the groups that may concern it.
    pub entries: Vec<ProvenEntry>,
}

/// One entry of a log with everything that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenEntry {
    /// The word for the kind in the header, for readers of the JSON: see [`crate::log::entry::EntryKind::as_str`].
    pub kind: String,
    /// When the home admitted it, from the header, for readers of the JSON.
    pub admitted_at: Timestamp,
    /// The body in its canonical form; in JSON base64.
    #[serde(with = "text::base64")]
    pub body: Vec<u8>,
    /// Its place in the log, and the proof of it.
    pub receipt: Receipt,
}

impl Evidence {
    /// Reads evidence from its JSON. Nothing is verified; that is done by [`verify()`].
    ///
    /// # Errors
    /// When it is longer than [`limits::EVIDENCE_BYTES`], or not the JSON of evidence; the field is named.
    pub fn parse(json: &[u8]) -> Result<Self, EvidenceRefusal> {
        if json.len() > limits::EVIDENCE_BYTES {
            return Err(EvidenceRefusal::TooLong(json.len()));
        }
        read(json).map_err(|error| EvidenceRefusal::Json(excerpt(&error)))
    }

    /// Bytes of all parts of variable size.
    fn bytes(&self) -> usize {
        let of_entry = |entry: &ProvenEntry| {
            let receipt = &entry.receipt;
            entry.body.len() + receipt.header.len() + receipt.checkpoint.len() + 32 * receipt.proof.len()
        };
        let head = self.head.as_ref().map_or(0, String::len);
        self.id.len() + self.checkpoint.len() + head + self.entries.iter().map(of_entry).sum::<usize>()
    }

    fn check_bounds(&self) -> Result<(), EvidenceRefusal> {
        if self.version != VERSION {
            return Err(EvidenceRefusal::Version(self.version));
        }
        if self.entries.len() > limits::EVIDENCE_ENTRIES {
            return Err(EvidenceRefusal::Entries(self.entries.len()));
        }
        match self.bytes() {
            bytes if bytes > limits::EVIDENCE_BYTES => Err(EvidenceRefusal::TooLong(bytes)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
