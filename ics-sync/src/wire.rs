//! What travels between nodes over HTTP: the types of the feed, for the server that writes them and the client that
//! reads them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/domains/{domain}` | [`Info`] |
//! | `GET /v1/domains/{domain}/checkpoint` | a signed note with its cosignatures, as text |
//! | `GET /v1/domains/{domain}/descriptors?from=VERSION` | [`Descriptors`] from that version on |
//! | `GET /v1/domains/{domain}/entries?from=N&limit=M&until=SIZE` | [`Page`] of the entries from index N on |
//! | `POST /v1/domains/{domain}/entries/again?until=SIZE` with [`Again`] | [`Shown`]: entries that were hidden before |
//! | `GET /v1/domains/{domain}/identities/{id}/attestation?hops=N&seen=SIZE` | [`Attestation`] |
//! | `POST /v1/domains/{domain}/watch` with [`Watch`] | [`Heads`] of watched things that were spoken of |
//! | `POST /v1/domains/{domain}/statements` with [`Submission`] | [`Submitted`] |
//!
//! Bytes are base64 (RFC 4648, section 4, with padding). Unknown members are refused: what a newer node must tell older
//! ones goes into the descriptor's rules version, not into fields that are silently lost. What they need not heed goes
//! into the query.

mod attestation;
mod bytes;
mod refusals;
mod sight;
mod watch;

pub use attestation::Attestation;
pub(crate) use attestation::decode_proof;
pub use bytes::Base64;
use ics_core::descriptor::NodeKey;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::note::VerifierKey;
use ics_core::log::{self, LeafData, Salt};
use ics_core::statement::Remnant;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
pub use refusals::{Refusal, Refusals};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
pub use sight::{Rights, Sight};
pub use watch::{Choice, HEADS_BYTES, Heads, Watch};

/// Bytes of one page as JSON: base64 takes four characters for three bytes, and every entry and hash has a frame.
pub const PAGE_JSON_BYTES: usize = limits::FEED_BYTES / 3 * 4
    + 128 * limits::FEED_ENTRIES
    + 64 * limits::PROOF_HASHES
    + 2 * limits::NOTE_BYTES
    + 24 * limits::SIGHT_INDICES;
/// Bytes of the result for one statement: a receipt with its proof, header and checkpoint.
const OUTCOME_JSON_BYTES: usize = 3 * limits::NOTE_BYTES;
/// Bytes of any other answer, including problem documents.
pub const ANSWER_BYTES: usize = 2 * limits::NOTE_BYTES;

/// What a node says about a domain that it serves. For people and for the first look at a peer; a mirror believes only
/// what it verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The domain's name.
    pub domain: DomainName,
    /// Name and leaf data of entry 0: `<domain>/<64 hex digits>`. This is what to pin.
    pub origin: Origin,
    /// The home node's name and key, from the descriptor in force.
    pub home: NodeKey,
    /// The home's key for checkpoints as C2SP signed-note writes verifier keys: `<origin>+<key id>+<key>`.
    pub verifier_key: VerifierKey,
    /// Version of the descriptor in force.
    pub descriptor: u64,
    /// Entries that this node holds, including those that it does not show yet because too few witnesses have cosigned
    /// them or the rest of a copy is missing. Answers rest on the checkpoint that it shows.
    pub size: u64,
    /// When the home last vouched that there were no more entries than under that checkpoint; absent if it has not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// One entry of the log: `{"header": …, "salt": …, "body": …}`, `{"leaf": …}`, or
/// `{"leaf": …, "erased": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EntryMembers", into = "EntryMembers")]
pub enum Entry {
    /// An entry that the reader may see.
    Whole(log::entry::Entry),
    /// An entry that the reader may not see: its leaf data.
    Hidden(LeafData),
    /// An entry whose body was erased: its leaf data, and what it was about. The owners' erasure, later in the log,
    /// says the same; without it here, a mirror that comes late could not judge what was said in between as others did.
    Erased {
        /// Its leaf data.
        leaf: LeafData,
        /// The statement that it held, and what that was about.
        remnant: Remnant,
    },
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryMembers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<Base64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<Base64<Salt>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Base64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<Base64<LeafData>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erased: Option<Base64>,
}

impl TryFrom<EntryMembers> for Entry {
    type Error = &'static str;

    fn try_from(members: EntryMembers) -> Result<Self, &'static str> {
        match members {
            EntryMembers { header: Some(header), salt: Some(salt), body: Some(body), leaf: None, erased: None } => {
                Ok(Self::Whole(log::entry::Entry { header: header.0, salt: salt.0, body: body.0 }))
            }
            EntryMembers { header: None, salt: None, body: None, leaf: Some(leaf), erased: None } => {
                Ok(Self::Hidden(leaf.0))
            }
            EntryMembers { header: None, salt: None, body: None, leaf: Some(leaf), erased: Some(remnant) } => {
                let remnant = Remnant::from_bytes(&remnant.0).ok_or("what an erasure has left is not understood")?;
                Ok(Self::Erased { leaf: leaf.0, remnant })
            }
            _ => Err("an entry has header, salt and body, or a leaf, alone or with what an erasure left"),
        }
    }
}

impl From<Entry> for EntryMembers {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Whole(log::entry::Entry { header, salt, body }) => {
                let (header, salt, body) = (Some(Base64(header)), Some(Base64(salt)), Some(Base64(body)));
                Self { header, salt, body, ..Self::default() }
            }
            Entry::Erased { leaf, remnant } => {
                Self { leaf: Some(Base64(leaf)), erased: Some(Base64(remnant.to_bytes())), ..Self::default() }
            }
            Entry::Hidden(leaf) => Self { leaf: Some(Base64(leaf)), ..Self::default() },
        }
    }
}

impl Entry {
    /// The entry's leaf data.
    #[must_use]
    pub fn leaf_data(&self) -> LeafData {
        match self {
            Self::Whole(entry) => entry.leaf_data(),
            Self::Hidden(leaf) | Self::Erased { leaf, .. } => *leaf,
        }
    }

    /// Bytes that the entry counts towards [`limits::FEED_BYTES`]: header and body.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Whole(entry) => entry.header.len() + entry.body.len(),
            Self::Hidden(_) | Self::Erased { .. } => 0,
        }
    }
}

/// A page of a domain's feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Index of the first entry, as asked for.
    pub from: u64,
    /// The entries from there on: as many as asked for, or as the server's bounds allow, but at least one if there is
    /// one; none if `from` is `size` or more.
    pub entries: Vec<Entry>,
    /// Size of the tree that the proof leads to: `until` if that was asked for, else that of the newest checkpoint.
    pub size: u64,
    /// The checkpoint of that size. Absent if `until` was asked for and this node no longer holds its note; whoever
    /// asked for it had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Consistency proof (RFC 9162, section 2.1.4) from `from` + number of entries to `size`.
    pub proof: Vec<Base64<[u8; 32]>>,
    /// What the reader may read. Absent if that is all of the domain: then no entry is a bare leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sight: Option<Sight>,
}

/// What a reader whose rights may have changed asks for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// Any number; the answer repeats it, so that a late answer to another question is not taken for this one's.
    pub question: u64,
    /// Indices of entries that were hidden from the reader, in ascending order.
    pub hidden: Vec<u64>,
    /// Indices of entries that the reader holds, in ascending order: whether they may still be read. Both lists
    /// together are at most [`limits::FEED_ENTRIES`].
    pub held: Vec<u64>,
    /// How many entries the reader will have with what is shown: what is left of an erased statement is not told if its
    /// erasure comes later than these. Absent if that is all that the peer has. It travels beside the JSON, since nodes
    /// that do not know it refuse other members.
    #[serde(skip)]
    pub until: Option<u64>,
}

/// What the reader may read of these now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// As in the question.
    pub question: u64,
    /// As in [`Sight`]; absent if the reader may read all of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
    /// The entries at the hidden indices, in the same order: as many as [`limits::FEED_BYTES`] allows, but at least one
    /// if there is one.
    pub entries: Vec<Entry>,
    /// Indices of all entries on which what these show rests.
    pub earlier: Vec<u64>,
    /// Those of the held entries that the reader may no longer read.
    pub lost: Vec<u64>,
}

/// The descriptors of a domain in the order of their versions, as whole entries of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptors {
    /// Version of the first, as asked for.
    pub from: u64,
    /// As many as [`limits::FEED_BYTES`] allows, but at least one if there is one.
    pub entries: Vec<Entry>,
}

/// Bodies for a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Up to [`limits::BATCH_STATEMENTS`] of them.
    pub statements: Vec<Base64>,
}

/// The results of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// One for each statement, in the same order.
    pub results: Vec<Outcome>,
}

/// The result for one statement: `{"receipt": …}`, `{"problem": …}` or `{"pending": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is in the log: the receipt as JSON.
    Receipt(serde_json::Value),
    /// It is not in the log: a problem document (RFC 9457).
    Problem(serde_json::Value),
    /// It waits at the node that was asked, for the home of its domain.
    Pending(serde_json::Value),
}

/// Why an answer was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than its bound.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// Not a packed page.
    #[error("the page is not understood: {0}")]
    Packed(String),
    /// Not the JSON that was expected.
    #[error("the answer is not as expected: {0}")]
    Json(String),
    /// More entries than a page may have.
    #[error("the page has {0} entries, {max} at most", max = limits::FEED_ENTRIES)]
    Entries(usize),
    /// More bytes of headers and bodies than a page may have.
    #[error("the page has {0} bytes of headers and bodies, {max} at most", max = limits::FEED_BYTES)]
    Bytes(usize),
    /// A header that is too long.
    #[error("the header of entry {position} of the page has {bytes} bytes, {max} at most", max = limits::HEADER_BYTES)]
    Header {
        /// Counted from 0 within the page.
        position: usize,
        /// Its length.
        bytes: usize,
    },
    /// A body longer than the longest that any domain admits.
    #[error(
        "the body of entry {position} of the page has {bytes} bytes, {max} at most",
        max = limits::PERSON_CERTIFICATE_BYTES
    )]
    Body {
        /// Counted from 0 within the page.
        position: usize,
        /// Its length.
        bytes: usize,
    },
    /// More indices than a page may have.
    #[error("the page names {0} indices, {max} at most", max = limits::SIGHT_INDICES)]
    Indices(usize),
    /// A proof longer than any tree needs.
    #[error("the proof has {0} hashes, {max} at most", max = limits::PROOF_HASHES)]
    Proof(usize),
    /// A checkpoint that is too long.
    #[error("the checkpoint has {0} bytes, {max} at most", max = limits::NOTE_BYTES)]
    Checkpoint(usize),
    /// More statements, or more bytes, than one batch may have.
    #[error(
        "{statements} statements of {bytes} bytes are more than a batch may have: {} of {} bytes",
        limits::BATCH_STATEMENTS,
        limits::BATCH_BYTES
    )]
    Batch {
        /// Statements.
        statements: usize,
        /// Bytes of all of them.
        bytes: usize,
    },
    /// The number of results differs from the number of statements.
    #[error("there are {results} results for {statements} statements")]
    Results {
        /// Results received.
        results: usize,
        /// Statements sent.
        statements: usize,
    },
}

impl Page {
    /// Reads a page and checks its bounds.
    ///
    /// # Errors
    /// When it is not a page, or exceeds a bound.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        parse::<Self>(json, PAGE_JSON_BYTES)?.checked()
    }

    /// Whether it shows bare leaves to a reader who, according to the page, may read all of the domain.
    pub(crate) fn hides_and_denies_it(&self) -> bool {
        self.sight.is_none() && self.entries.iter().any(|entry| matches!(entry, Entry::Hidden(_)))
    }

    /// Whether it is the start of a log but does not show the descriptor with which every log begins, and which is
    /// never hidden or erased.
    pub(crate) fn lacks_entry_0(&self) -> bool {
        self.from == 0 && !matches!(self.entries.first(), Some(Entry::Whole(_)))
    }

    /// Checks the bounds of a page, however it came.
    pub(crate) fn checked(self) -> Result<Self, WireError> {
        check_entries(&self.entries)?;
        if self.proof.len() > limits::PROOF_HASHES {
            return Err(WireError::Proof(self.proof.len()));
        }
        if let Some(sight) = &self.sight {
            check_indices(sight.earlier.len() + sight.ended.len())?;
        }
        match &self.checkpoint {
            Some(note) if note.len() > limits::NOTE_BYTES => Err(WireError::Checkpoint(note.len())),
            _ => Ok(self),
        }
    }

    /// Checks that a page may have this many entries, with this many bytes of headers and bodies.
    pub(crate) const fn check_size(entries: usize, bytes: usize) -> Result<(), WireError> {
        match (entries > limits::FEED_ENTRIES, bytes > limits::FEED_BYTES) {
            (true, _) => Err(WireError::Entries(entries)),
            (false, true) => Err(WireError::Bytes(bytes)),
            (false, false) => Ok(()),
        }
    }
}

impl Shown {
    /// Reads what is shown again, and checks the bounds of a page.
    ///
    /// # Errors
    /// When it is not such an answer, or exceeds a bound.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        parse::<Self>(json, PAGE_JSON_BYTES)?.checked()
    }

    /// Checks its bounds, however it came.
    pub(crate) fn checked(self) -> Result<Self, WireError> {
        check_indices(self.earlier.len().max(self.lost.len()))?;
        check_entries(&self.entries).map(|()| self)
    }
}

impl Submission {
    /// Reads a submission and checks the bounds of a batch.
    ///
    /// # Errors
    /// When it is not a submission, or exceeds a bound.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        let submission: Self = parse(json, PAGE_JSON_BYTES)?;
        let bytes = submission.statements.iter().map(|body| body.0.len()).sum();
        if submission.statements.len() > limits::BATCH_STATEMENTS || bytes > limits::BATCH_BYTES {
            return Err(WireError::Batch { statements: submission.statements.len(), bytes });
        }
        Ok(submission)
    }
}

impl Descriptors {
    /// Reads descriptors and checks the bounds of a page.
    ///
    /// # Errors
    /// When it is not such an answer, or exceeds a bound.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        parse::<Self>(json, PAGE_JSON_BYTES)?.checked()
    }

    /// Checks their bounds, however they came.
    pub(crate) fn checked(self) -> Result<Self, WireError> {
        check_entries(&self.entries).map(|()| self)
    }
}

impl Submitted {
    /// Bytes of the answer to a submission of this many statements, at most.
    #[must_use]
    pub const fn most_bytes(statements: usize) -> usize {
        ANSWER_BYTES.saturating_add(statements.saturating_mul(OUTCOME_JSON_BYTES))
    }

    /// Reads the results of a submission of this many statements.
    ///
    /// # Errors
    /// When it is not such an answer, is too long, or does not have exactly one result for each statement.
    pub fn decode(json: &[u8], statements: usize) -> Result<Self, WireError> {
        let submitted: Self = parse(json, Self::most_bytes(statements))?;
        let results = submitted.results.len();
        if results == statements { Ok(submitted) } else { Err(WireError::Results { results, statements }) }
    }
}

impl Info {
    /// Reads what a node says about a domain.
    ///
    /// # Errors
    /// When it is not such an answer, or too long.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        parse(json, ANSWER_BYTES)
    }
}

fn parse<T: DeserializeOwned>(json: &[u8], bound: usize) -> Result<T, WireError> {
    if json.len() > bound {
        return Err(WireError::TooLong(bound));
    }
    serde_json::from_slice(json).map_err(|error| WireError::Json(error.to_string().chars().take(160).collect()))
}

fn check_indices(count: usize) -> Result<(), WireError> {
    if count > limits::SIGHT_INDICES { Err(WireError::Indices(count)) } else { Ok(()) }
}

fn check_entries(entries: &[Entry]) -> Result<(), WireError> {
    Page::check_size(entries.len(), entries.iter().map(Entry::bytes).sum())?;
    entries.iter().enumerate().try_for_each(|(index, entry)| check_entry(index, entry))
}

fn check_entry(position: usize, entry: &Entry) -> Result<(), WireError> {
    let Entry::Whole(log::entry::Entry { header, body, .. }) = entry else { return Ok(()) };
    let (header, body) = (header.len(), body.len());
    if header > limits::HEADER_BYTES {
        Err(WireError::Header { position, bytes: header })
    } else if body > limits::PERSON_CERTIFICATE_BYTES {
        Err(WireError::Body { position, bytes: body })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
