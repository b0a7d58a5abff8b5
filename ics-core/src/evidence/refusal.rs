//! Why evidence is refused.

use crate::descriptor::DescriptorError;
use crate::domain::Refusal;
use crate::identity::{Fingerprint, IdentityError};
use crate::limits;
use crate::log::checkpoint::{CheckpointError, Origin};
use crate::log::entry::HeaderError;
use crate::log::receipt::EvidenceError;
use crate::log::record_head::RecordHeadError;
use crate::policy::PolicyError;
use crate::statement::{BodyError, StatementId, VerifyError};
use crate::time::Timestamp;
use crate::vocabulary::DomainName;

/// Why evidence proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceRefusal {
    /// More bytes than evidence may have.
    #[error("the evidence has {0} bytes, {max} at most are read", max = limits::EVIDENCE_BYTES)]
    TooLong(usize),
    /// Not the JSON of evidence.
    #[error("this is not evidence: {0}")]
    Json(String),
    /// A format version that this program does not know.
    #[error("the evidence has version {0}; this program knows version {known}", known = super::VERSION)]
    Version(u32),
    /// More entries than evidence may have.
    #[error("the evidence has {0} entries, {max} at most are read", max = limits::EVIDENCE_ENTRIES)]
    Entries(usize),
    /// Not the id of an identity.
    #[error(transparent)]
    Id(#[from] IdentityError),
    /// The first entry is not entry 0 of the log, which identifies the domain.
    #[error("entry 0, the first descriptor of the domain, is missing at the start")]
    NoEntry0,
    /// The entries are not in the order of the log, or one occurs twice.
    #[error("entry {index} follows entry {after}: entries stand in the order of the log, each once")]
    Order {
        /// The index of the entry.
        index: u64,
        /// The index of the one before it.
        after: u64,
    },
    /// The descriptors are those of another domain than the evidence names.
    #[error("the evidence says that it is about the domain `{said}`, but its entry 0 is that of `{found}`")]
    Domain {
        /// The domain that the evidence names.
        said: DomainName,
        /// The domain of its entry 0.
        found: DomainName,
    },
    /// Another domain than the one that was pinned; it may have the same name.
    #[error("the evidence is that of `{found}`, the pinned domain is `{expected}`")]
    Pin {
        /// The origin that was pinned.
        expected: Origin,
        /// The origin of the evidence.
        found: Origin,
    },
    /// The checkpoint is malformed, or not signed by the home that the newest descriptor names.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Fewer witnesses than the descriptor demands.
    #[error("the checkpoint is cosigned by {cosigned} witnesses, the descriptor asks for {quorum}")]
    Witnesses {
        /// Witnesses whose cosignature is good.
        cosigned: usize,
        /// How many are needed.
        quorum: usize,
    },
    /// The record head is malformed, or not signed by the home.
    #[error("the record head: {0}")]
    RecordHead(#[from] RecordHeadError),
    /// The record head is over another log than the checkpoint.
    #[error("the record head is over {found} entries, the checkpoint over {expected}, or they have different roots")]
    OtherHead {
        /// The size of the checkpoint.
        expected: u64,
        /// The size of the record head.
        found: u64,
    },
    /// The record head is about another thing.
    #[error("the record head is that of `{found}`, the evidence that of `{said}`")]
    HeadOf {
        /// What the evidence says.
        said: String,
        /// What the record head says.
        found: String,
    },
    /// The home names an entry that is not in the evidence.
    #[error("the home's record head names entry {0}, which is left out")]
    LeftOut(u64),
    /// An entry that the home does not name.
    #[error("entry {0} is not in the home's record head")]
    NotInHead(u64),
    /// There is no record head, so nothing shows that this is all.
    #[error("there is no record head of the home, so nothing says that this is all")]
    NoRecordHead,
    /// The record head told another reader that there is nothing.
    #[error("the home told another reader, not this one, that it has nothing about this")]
    OtherReader,
    /// An answer about something that does not have the name asked for.
    #[error("`{0}` is neither the id nor a name of what the evidence is about")]
    NotNamed(String),
    /// An answer to another question.
    #[error("the record head answers to `{found}`, what was asked is `{expected}`")]
    OtherQuestion {
        /// What was asked.
        expected: String,
        /// What was answered.
        found: String,
    },
    /// An entry is not what it must be.
    #[error("entry {index}: {fault}")]
    Entry {
        /// The index that its receipt says.
        index: u64,
        /// What is wrong.
        fault: Box<EntryFault>,
    },
    /// No statement about the identity.
    #[error("the evidence holds no statement about `{0}`")]
    Nothing(String),
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Its receipt leads to another checkpoint than the one of the evidence.
    #[error("its receipt has another checkpoint than the evidence")]
    OtherCheckpoint,
    /// The header is malformed.
    #[error("its header: {0}")]
    Header(#[from] HeaderError),
    /// The body is not in canonical form, or not a body at all.
    #[error("its body: {0}")]
    Body(#[from] BodyError),
    /// A kind, in the header or beside it, that is not that of the body.
    #[error("it says that it is a {said}, but its body is a {found}")]
    Kind {
        /// What the header or the evidence says.
        said: String,
        /// What the body is.
        found: &'static str,
    },
    /// A time of admission that is not the header's.
    #[error("it says that it was admitted at {said}, but its header says {found}")]
    AdmittedAt {
        /// What the evidence says.
        said: Timestamp,
        /// What the header says.
        found: Timestamp,
    },
    /// Admitted earlier than the preceding entry.
    #[error("it was admitted at {admitted_at}, but the entry before it at {last}: the time of a log never goes back")]
    TimeGoesBack {
        /// The time of its admission.
        admitted_at: Timestamp,
        /// The time of the preceding entry.
        last: Timestamp,
    },
    /// An id in the receipt that is not the body's.
    #[error("its receipt is that of `{said}`, but the id of its body is `{found}`")]
    Id {
        /// What the receipt says.
        said: StatementId,
        /// What the body has.
        found: StatementId,
    },
    /// A kind of entry that evidence does not hold.
    #[error("evidence holds descriptors, certificates and statements, not an {0}")]
    NotEvidence(&'static str),
    /// It is not proven to be in the log.
    #[error("{0}")]
    Unproven(EvidenceError),
    /// It was adopted, and is not proven to be in the log of its source.
    #[error("its source: {0}")]
    Source(EvidenceError),
    /// The descriptor does not follow the one before it, or too few owners signed it.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The descriptor's access rules cannot be compiled.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The certificate is not admissible after those before it.
    #[error(transparent)]
    Certificate(Refusal),
    /// The erasure was made for another domain, or signed or admitted at an impossible time.
    #[error("it is no erasure of this domain: {0}")]
    Erasure(Refusal),
    /// An erasure that claims to come from another domain.
    #[error("an erasure is of its own domain and cannot be adopted")]
    ErasureAdopted,
    /// No certificate of the signer precedes it.
    #[error("no certificate that holds the key `{0}` stands before it, so its signature cannot be verified")]
    UnknownSigner(Fingerprint),
    /// Its signature is not good.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// It is about something unrelated to the identity.
    #[error("it is about `{0}`, which is neither the identity nor a group that may concern it")]
    Stranger(String),
}

impl EntryFault {
    /// This fault as that of the entry at an index.
    pub(crate) fn at(self, index: u64) -> EvidenceRefusal {
        EvidenceRefusal::Entry { index, fault: Box::new(self) }
    }
}
