//! Offline evidence: everything that a verifier without a network needs to make a record himself.
//!
//! It is what `GET /v1/domains/{domain}/identities/{id}/evidence` answers, `ics export` writes and `ics verify` reads.

use serde::{Deserialize, Serialize};

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
    /// In the order of the log: all descriptors of the domain, entry 0 first; the certificates of all signers, each in
    /// every state that it had; all statements about the identity and about the groups that may concern it.
    pub entries: Vec<ProvenEntry>,
}

/// One entry of a log with everything that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenEntry {
    /// The word for the header's kind, for readers of the JSON: see [`crate::log::entry::EntryKind::as_str`].
    pub kind: String,
    /// When the home admitted it: what the header says, for readers of the JSON.
    pub admitted_at: Timestamp,
    /// The body in its canonical form; in JSON base64.
    #[serde(with = "text::base64")]
    pub body: Vec<u8>,
    /// Its place in the log, and the proof of it.
    pub receipt: Receipt,
}
