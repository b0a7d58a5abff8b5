//! The types of the HTTP API `/v1`, shared by server and client.
//!
//! `schemas/openapi.json` describes the same, and a test keeps the two in agreement. Members are only ever added.

mod adoptions;
mod certificates;
mod checks;
mod enrolments;
mod peers;
pub mod problem;

use std::collections::BTreeMap;

pub use ics_core::evidence::{Evidence, ProvenEntry};
use ics_core::identity::Kind;
use ics_core::log::note::VerifierKey;
use ics_core::log::receipt::Receipt;
use ics_core::record::{Assessment, Given, GivenLabel, Heard, Listed, Record};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::wire;
use serde::{Deserialize, Serialize};

pub use self::adoptions::{AdoptionRequest, AdoptionResult, FollowInfo};
pub use self::certificates::{
    CertificateInfo, CertificatePage, CertificateQuery, CertificateRevocation, CertificateState, CertificateTotals,
    DEFAULT_PROFILE, RenewalWindow, X509Index, X509Issuer,
};
pub use self::checks::{
    AcmeAccount, AcmeAccountPage, AcmeCredential, AcmeRevoked, Challenge, ChallengeAnswer, ChallengeRequest, Check,
    CheckAnswer, CheckAnswers, CheckQuestion, CheckQuestions, credential_message,
};
pub use self::enrolments::{Enrolment, EnrolmentAnswer, EnrolmentPage, EnrolmentRequest, PageQuery};
pub use self::peers::{
    Acknowledged, Acknowledgement, Alarm, Asks, Cosigns, FollowedBy, ForkNotes, MirrorInfo, PeerInfo, Pulled,
    SIGNER_REVOKED, Served, is_quiet,
};
pub use self::problem::Problem;

/// The header that names the peer on whose behalf an operator reads.
pub const READER: &str = "ics-reader";

/// `GET /v1/node`: the node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node's name, as its cosignatures carry it.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The verifier key of its checkpoints and cosignatures: raw Ed25519, base64.
    pub key: String,
    /// The domains that it holds.
    pub domains: Vec<DomainName>,
    /// Present if the machine's clock is behind a verified time, or was set back while the node ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockInfo>,
}

/// A clock that is behind; the newest known time counts instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockInfo {
    /// What the machine's clock shows.
    pub shows: Timestamp,
    /// The time that counts.
    pub time: Timestamp,
    /// The domain whose home cosigned the newest time; this node itself may be that home. Absent if the clock was set
    /// back while the node ran: then the node's time stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led_by: Option<DomainName>,
    /// The cosigned time, from which the time that counts has advanced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Whether a node sequences a domain or holds a copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// It sequences the domain's log.
    Home,
    /// It holds a verified copy.
    Mirror,
}

/// `GET /v1/domains/{domain}`: a domain as this node holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainInfo {
    /// What another node needs to mirror it.
    #[serde(flatten)]
    pub info: wire::Info,
    /// Whether this node is its home or a mirror.
    pub position: Position,
    /// What the domain is for, in its owners' words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The root over the entries held, hex.
    pub root: String,
    /// The part of the log that answers rest on; absent while this node shows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<ShownLog>,
    /// Seconds after which the domain's descriptor calls an answer stale.
    pub fresh_for_seconds: u64,
    /// The keys of the witnesses that the descriptor in force names, as verifier keys of C2SP signed-note.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness_keys: Vec<VerifierKey>,
    /// Entries that this node's own reading of the policy would not have admitted, forks and other alarms.
    pub alarms: Vec<Alarm>,
    /// The first forks that were seen; shown to the operator only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forks: Vec<ForkNotes>,
    /// The state of the copy; absent at the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorInfo>,
    /// What the domain follows in others; shown to the operator only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<FollowInfo>,
}

/// The part of a log that a node shows: what its last checkpoint with all required cosignatures covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownLog {
    /// The number of entries under that checkpoint.
    pub size: u64,
    /// The root over them, hex.
    pub root: String,
}

/// How complete and how fresh an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The number of log entries that the answer rests on.
    pub size: u64,
    /// The root over them, hex.
    pub root: String,
    /// The home's newest cosigned time for that size; absent if it has not cosigned yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Seconds from that time to this answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Seconds after which the domain's descriptor calls an answer stale.
    pub fresh_for_seconds: u64,
}

impl AsOf {
    /// Whether the answer is young enough to be relied on.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age_seconds.is_some_and(|age| age <= self.fresh_for_seconds)
    }
}

/// `GET /v1/explain`: how an answer is arrived at, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The answer in a sentence.
    pub answer: String,
    /// What it rests on, what contradicts it, what was ignored, how fresh it is; empty sections are left out.
    pub sections: Vec<Section>,
}

/// A part of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// The sentences under it.
    pub points: Vec<Point>,
}

/// A sentence, and the log entry that supports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The sentence.
    pub text: String,
    /// The domain of that log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainName>,
    /// The index of that entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// The outcome of a submission, with one result per statement, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionResults {
    /// One for each statement.
    pub results: Vec<SubmissionResult>,
}

/// The outcome for one statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionResult {
    /// It is on disk and in the log; a duplicate gets its first receipt again.
    Receipt(Box<Receipt>),
    /// It was refused, and nothing was stored.
    Problem(Problem),
    /// It is on disk here and waits for the home of its domain, which is another node.
    Pending(Pending),
}

/// A statement that waits for the home of its domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number in the outbox of the node that was asked.
    pub id: u64,
    /// When that node took it in.
    pub since: Timestamp,
    /// How often sending it has failed.
    pub attempts: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How many statements of a domain `GET /v1/outbox` shows at most of those that wait, and of those that do not.
pub const OUTBOX_SHOWN: usize = 500;

/// `GET /v1/outbox`: a statement for a domain whose home is another node, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// Increases with every statement that is taken in.
    pub id: u64,
    /// The domain.
    pub domain: DomainName,
    /// When it was taken in.
    pub at: Timestamp,
    /// How often sending it has failed.
    pub attempts: u32,
    /// When the home answered; absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// The outcome.
    #[serde(flatten)]
    pub result: SubmissionResult,
}

/// `GET /v1/domains/{domain}/outbox`: what waits for the home of a domain, to be carried there by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxBatch {
    /// The bodies, in the order of their arrival; one batch at most.
    pub statements: Vec<wire::Base64>,
    /// The number of the last one; the next batch is asked for with it as `after`.
    pub last: u64,
}

/// `GET /v1/domains/{domain}/identities/{id}`: a record with its as-of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordAnswer {
    /// How complete and fresh it is.
    pub as_of: AsOf,
    /// What the domain says.
    pub record: Record,
    /// The successors that the domain names for an identity that is blocked or for which nobody vouches any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub succeeded_by: Vec<Given<String>>,
}

/// What the answers about one identity amount to, given the domains that should have been heard and were not.
#[must_use]
pub fn assessment<'a>(answers: impl IntoIterator<Item = &'a RecordAnswer>, unheard: &[DomainName]) -> Assessment {
    let heard = answers.into_iter().map(|it| Heard { record: &it.record, is_fresh: it.as_of.is_fresh() });
    Assessment::of(&heard.collect::<Vec<_>>(), unheard)
}

/// `GET /v1/identities/{id or name}`: what every domain held here says, side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewAnswer {
    /// What was asked for.
    pub query: String,
    /// The identities that the query fits; if there is more than one, the answer is ambiguous and has no records.
    pub identities: Vec<String>,
    /// One for each domain that knows the identity.
    pub records: Vec<RecordAnswer>,
    /// The domains that the node should have heard but cannot speak for now: what they say may block.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<DomainName>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitySummary {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// What people call it.
    pub title: String,
    /// Its status now, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The effect of its status: none, permits, blocks or blocks-for-ever.
    pub effect: String,
    /// Whether something said about it was erased and what is left of that, perhaps a block, is not shown yet.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub cut_short: bool,
    /// The labels that stand, in a listing by label only that one: the first [`ics_core::limits::LABELS_LISTED`]. The
    /// record has all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<GivenLabel>,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// `GET /v1/domains/{domain}/identities`: a page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityPage {
    /// How complete and fresh it is.
    pub as_of: AsOf,
    /// First the identities introduced in the domain, then others mentioned there; each in the order of its first
    /// statement.
    pub items: Vec<IdentitySummary>,
    /// `after` for the next page; absent on the last. A page may be short or empty and still have a next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Whether something was erased and what is left of it is not shown yet: things that fit by it may be missing.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub cut_short: bool,
}

/// A summary of a record: `?view=summary`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSummary {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// What people call it.
    pub title: String,
    /// The domain whose record it is.
    pub domain: DomainName,
    /// Its status now, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The effect of its status: none, permits, blocks or blocks-for-ever.
    pub effect: String,
    /// Whether something said about it was erased and what is left of that, perhaps a block, is not shown yet.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub cut_short: bool,
    /// When it got that status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Who gave it that status, by the name in the signer's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The roles in which entitled signers vouch for it.
    pub vouched: Vec<String>,
    /// When the first of its statements begins or ends, if no others come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_at: Option<Timestamp>,
}

impl From<&Record> for RecordSummary {
    fn from(record: &Record) -> Self {
        let status = record.status.as_ref().map(|status| &status.decides);
        let signer =
            |it: &ics_core::record::GivenStatus| it.by.name.clone().unwrap_or_else(|| it.by.signer.to_string());
        let mut vouched: Vec<String> = record.vouched.iter().map(|by| by.role.to_string()).collect();
        vouched.sort_unstable();
        vouched.dedup();
        Self {
            id: record.identity.id.to_string(),
            kind: record.identity.kind,
            title: record.title.clone(),
            domain: record.domain.clone(),
            status: status.map(|status| status.name.to_string()),
            effect: record.effect().to_string(),
            cut_short: record.cut_short,
            since: status.map(|status| status.since),
            by: status.map(signer),
            vouched,
            changes_at: record.changes_at,
        }
    }
}

/// Says that the holder of the key has signed a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// The identity.
    pub id: String,
    /// When it was proven.
    pub at: Timestamp,
}

/// The filters of a listing, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListQuery {
    /// By kind of identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// By attribute `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// By attribute `lot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    /// By current status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// By a label that stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// By the fingerprint of a signer who has said something about the thing; with `label`, of one who gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// By software installed on the thing (`sha256:…`), or by the status of any such software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// Members of this group (`sha256:…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A part of the title, ignoring case; for software, of its name and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Items per page: 100 by default, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A proof of `GET /v1/domains/{domain}/proof/…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofAnswer {
    /// The size that it leads to.
    pub size: u64,
    /// The root at that size, hex.
    pub root: String,
    /// The hashes, base64.
    pub proof: Vec<String>,
}

/// `GET /v1/domains/{domain}/identities/{id}/history`: everything ever said, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// How complete and fresh it is.
    pub as_of: AsOf,
    /// The identity.
    pub id: String,
    /// Every statement, whether it still stands or not.
    pub items: Vec<Listed>,
}

#[cfg(test)]
impl DomainInfo {
    /// A domain with `size` entries held and `shown` entries shown.
    pub(crate) fn held(size: u64, shown: Option<u64>) -> Self {
        use base64::Engine as _;

        let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes();
        let domain: DomainName = "devices.acme.example".parse().expect("a name");
        let origin = ics_core::log::checkpoint::Origin { domain: domain.clone(), entry0: [1; 32] };
        let home = ics_core::descriptor::NodeKey {
            name: "ics.acme.example".to_owned(),
            key: base64::engine::general_purpose::STANDARD.encode(key),
        };
        let verifier_key = origin.key(&key).expect("a key");
        Self {
            info: wire::Info { domain, origin, home, verifier_key, descriptor: 1, size, as_of: None },
            position: Position::Home,
            description: String::new(),
            root: format!("root of {size}"),
            shown: shown.map(|size| ShownLog { size, root: format!("root of {size}") }),
            fresh_for_seconds: 60,
            witness_keys: Vec::new(),
            alarms: Vec::new(),
            forks: Vec::new(),
            mirror: None,
            follows: Vec::new(),
        }
    }
}
