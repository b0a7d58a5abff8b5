//! Why an entry is not admitted.

use crate::identity::{Fingerprint, Kind};
use crate::limits;
use crate::name::Name;
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Role, StatusName};

/// Why an entry is not admitted; each has a stable [`Refusal::code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The same statement is already in the log.
    #[error("the statement is already in the log, at index {0}")]
    Duplicate(u64),
    /// Said before and erased: it is never admitted again, and can be neither replaced nor taken back.
    #[error("the statement was erased by the domain's owners, at index {0}")]
    Erased(u64),
    /// Something that stays for as long as the domain exists.
    #[error(
        "an entry of the kind `{0}` cannot be erased: descriptors, signers' certificates, statements about X.509 \
         certificates (`issued`), grants, withdrawals and statements about groups stay in the log"
    )]
    NotErasable(&'static str),
    /// The erasure names nothing in the log.
    #[error("no entry of this domain holds the statement `{0}` that is to be erased")]
    ErasesUnknown(StatementId),
    /// The erasure does not restate exactly what it must.
    #[error("the erasure of entry {0} does not restate what must stay: make it again from what the node proposes")]
    ErasureDiffers(u64),
    /// A status that formerly blocked for ever: what it revoked depends on it, and no erasure can restate that it held.
    #[error(
        "the status in entry {0} blocked for ever until a new descriptor weakened it, and the certificates that it \
         revoked would become valid again: it can be erased once the descriptor lets the status block for ever again; \
         after that, the descriptor may weaken it again"
    )]
    ErasesFormer(u64),
    /// A statement that put a thing into a group that formerly was blocked for ever: that the block held for the thing
    /// rests on it, and what the erasure restates comes later in the log.
    #[error(
        "the status in entry {block}, which once blocked the thing for ever, did so because of entry {index}, and the \
         certificates that it revoked would become valid again: that entry can be erased once the descriptor lets the \
         status block for ever again and does not lift it; after that, the descriptor may weaken or lift it again"
    )]
    ErasesJoining {
        /// The index of the statement.
        index: u64,
        /// The index of the block.
        block: u64,
    },
    /// Too few owners have signed, or somebody else has.
    #[error("an erasure must be signed by the domain's owners: {0}")]
    NotTheOwners(String),
    /// Made for another domain, and not adopted from it.
    #[error("the statement was made for the domain `{claimed}`, this is `{domain}`")]
    ForeignDomain {
        /// The domain that the statement names.
        claimed: DomainName,
        /// The domain that it was submitted to.
        domain: DomainName,
    },
    /// Adopted from a domain that the descriptor does not pin.
    #[error("the descriptor lists no source `{0}` with this entry 0, so nothing can be adopted from it")]
    UnknownSource(DomainName),
    /// Adopted from another domain than the one it claims to have been made for.
    #[error("the statement was made for the domain `{claimed}`, but was adopted from `{source_domain}`")]
    SourceMismatch {
        /// The domain that the statement names.
        claimed: DomainName,
        /// The domain that the source says it was made in.
        source_domain: DomainName,
    },
    /// This domain's own statement, coming back through another.
    #[error("the statement was made for this very domain and cannot be adopted into it")]
    AdoptedOwn,
    /// No certificate of the signer is known.
    #[error("the signer `{0}` is unknown: their certificate is not in this domain's log")]
    UnknownSigner(Fingerprint),
    /// Declared compromised.
    #[error("the signer `{0}` is declared compromised: their statements no longer count")]
    SignerCompromised(Fingerprint),
    /// Signed in the future.
    #[error("the signature claims the time {signed_at}, more than {skew} s after {admitted_at}",
        skew = limits::CLOCK_SKEW_MILLIS / 1000)]
    FutureTime {
        /// The time that the signature claims.
        signed_at: Timestamp,
        /// The time of admission.
        admitted_at: Timestamp,
    },
    /// Admitted earlier than the preceding entry.
    #[error("the entry is admitted at {admitted_at}, earlier than the entry before it ({last})")]
    TimeGoesBack {
        /// The time of admission.
        admitted_at: Timestamp,
        /// The time of the preceding entry.
        last: Timestamp,
    },
    /// The thing is known here as another kind.
    #[error("the statement calls the identity a {claimed}, but this domain knows it as a {known}")]
    KindDiffers {
        /// The kind that the statement says.
        claimed: Kind,
        /// The kind that standing statements say.
        known: Kind,
    },
    /// No such status for things of this kind.
    #[error("`{status}` is not a status of a {kind} in this domain")]
    UnknownStatus {
        /// The status.
        status: StatusName,
        /// The kind of thing.
        kind: Kind,
    },
    /// A block for ever with an end.
    #[error("the status `{0}` holds for ever, so it cannot have an `until`")]
    ForEverUntil(StatusName),
    /// A vouching statement signed as a revocation, or a blocking one as a certification.
    #[error("{}", if *.expected {
        "a blocking status must be signed as a certification revocation (0x30), so that stock tools stop trusting the \
         key"
    } else {
        "a statement that does not block must be signed as a certification (0x10), not as a revocation (0x30)"
    })]
    RevocationMismatch {
        /// Whether it had to be a revocation.
        expected: bool,
    },
    /// A certificate for something that a status blocks.
    #[error("a status blocks the identity: no certificate is issued to it until that is lifted")]
    IssuedToBlocked,
    /// A grant of a role that the descriptor does not define.
    #[error("the descriptor defines no role `{0}`, so it cannot be granted")]
    UnknownRole(Role),
    /// The signer does not have the role claimed.
    #[error("the signer `{signer}` does not have the role `{role}` over this identity{}", list(.held))]
    RoleNotHeld {
        /// The signer.
        signer: Fingerprint,
        /// The role claimed.
        role: Role,
        /// The roles that the signer has.
        held: Vec<Role>,
    },
    /// A name that the role may not give.
    #[error("the role `{role}` may not give the name `{name}`")]
    NameNotPermitted {
        /// The role.
        role: Role,
        /// The name.
        name: Name,
    },
    /// No statement with that id about this identity.
    #[error("`supersedes` names `{0}`, which is no statement about this identity in this domain")]
    SupersedesUnknown(StatementId),
    /// A statement of another act.
    #[error("`supersedes` names `{id}`, whose act is {found}: a statement replaces only statements with the same act")]
    SupersedesOtherAct {
        /// The statement named.
        id: StatementId,
        /// Its act.
        found: Act,
    },
    /// A withdrawal, which cannot be ended.
    #[error("`supersedes` names `{0}`, a withdrawal, which cannot be taken back: make the withdrawn statement again")]
    SupersedesWithdrawal(StatementId),
    /// Another signer's statement, which the signer's role may not lift.
    #[error("`supersedes` names `{id}` by another signer, which the role `{role}` may not end")]
    SupersedesOthers {
        /// The statement named.
        id: StatementId,
        /// The role that was claimed.
        role: Role,
    },
    /// A block for ever, which only the owners lift.
    #[error("`supersedes` names `{0}`, which blocks for ever: only the domain's owners lift it, in the descriptor")]
    BlockedForEver(StatementId),
    /// Too many groups.
    #[error("statements about the identity already name {max} groups in this domain", max = limits::GROUPS_NAMED)]
    Groups,
    /// Too many values of an attribute by which groups select.
    #[error("the identity already has {max} values of `{0}` in this domain", max = limits::SELECTING_VALUES)]
    AttributeValues(Attribute),
    /// The signer has made too many statements about the identity.
    #[error("the signer has made {0} statements about this identity, which is the quota of one signer in this domain")]
    Quota(usize),
    /// All signers together have made too many.
    #[error("there are {max} statements or more about this identity in this domain: only first blocks are admitted, for a \
        while withdrawals too, and from {granted} on only blocks by signers whom the descriptor names",
        max = limits::RECORD_STATEMENTS_OPEN, granted = limits::RECORD_STATEMENTS_GRANTED)]
    RecordFull,
    /// The access rules do not permit it.
    #[error("the domain's access rules do not permit it{}", because(.said, .rules, .errors))]
    NotPermitted {
        /// The act, the status that it gives, the role of its signer, and the kind of thing; `None` for a certificate.
        said: Option<(Act, Option<StatusName>, Role, Kind)>,
        /// The rules that forbid it; empty if there is merely none that permits it.
        rules: Vec<String>,
        /// Rules that failed, which denies as well.
        errors: Vec<String>,
    },
    /// A certificate of somebody who has no part in this domain.
    #[error("neither the descriptor nor a grant names the holder of the certificate `{0}`")]
    CertificateNotNamed(Fingerprint),
    /// A certificate with less in it than its earlier state: anybody could send in a state without revocations.
    #[error("the certificate `{0}` lacks a self-signature, perhaps a revocation, that its version in the log has")]
    CertificateShrinks(Fingerprint),
    /// A key of the certificate already belongs to another certificate.
    #[error("the key `{key}` already belongs to the certificate `{holder}`")]
    CertificateKeyTaken {
        /// The key.
        key: Fingerprint,
        /// The primary fingerprint of the certificate that has it.
        holder: Fingerprint,
    },
    /// A certification of a key or User ID that no certificate here has.
    #[error("no certificate of this domain has the key `{0}` with the certified User ID")]
    CertifiesUnknown(Fingerprint),
    /// A certificate over the domain's limit, with the certifications on it.
    #[error("the certificate has {length} bytes, the limit of this domain is {limit}")]
    CertificateTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

fn list(roles: &[Role]) -> String {
    match roles {
        [] => String::from("; they have none"),
        roles => format!("; they have {}", roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn because(said: &Option<(Act, Option<StatusName>, Role, Kind)>, rules: &[String], errors: &[String]) -> String {
    match (rules, errors) {
        // Everything that rules distinguish by: a reader who is told only a part looks for the fault there, though a
        // rule may permit that part.
        ([], []) => match said {
            Some((_, Some(status), role, kind)) => {
                format!(": no rule permits the status `{status}` in the role `{role}` for the kind `{kind}`")
            }
            Some((act, None, role, kind)) => {
                format!(": no rule permits `{act}` in the role `{role}` for the kind `{kind}`")
            }
            None => String::from(": no rule permits the certificate"),
        },
        (rules, []) => format!(": {}", rules.join(", ")),
        (_, errors) => format!(": {}", errors.join("; ")),
    }
}

impl Refusal {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate(_) => "duplicate",
            Self::Erased(_) => "statement-erased",
            Self::NotErasable(_) => "not-erasable",
            Self::ErasesUnknown(_) => "erases-unknown",
            Self::ErasureDiffers(_) => "erasure-differs",
            Self::ErasesFormer(_) | Self::ErasesJoining { .. } => "erases-former",
            Self::NotTheOwners(_) => "not-the-owners",
            Self::ForeignDomain { .. } => "foreign-domain",
            Self::UnknownSource(_) => "unknown-source",
            Self::SourceMismatch { .. } => "source-mismatch",
            Self::AdoptedOwn => "adopted-own",
            Self::UnknownSigner(_) => "unknown-signer",
            Self::SignerCompromised(_) => "signer-compromised",
            Self::FutureTime { .. } => "future-time",
            Self::TimeGoesBack { .. } => "time-goes-back",
            Self::KindDiffers { .. } => "kind-differs",
            Self::UnknownStatus { .. } => "unknown-status",
            Self::ForEverUntil(_) => "for-ever-until",
            Self::RevocationMismatch { .. } => "revocation-mismatch",
            Self::IssuedToBlocked => "issued-to-blocked",
            Self::UnknownRole(_) => "unknown-role",
            Self::RoleNotHeld { .. } => "role-not-held",
            Self::NameNotPermitted { .. } => "name-not-permitted",
            Self::SupersedesUnknown(_) => "supersedes-unknown",
            Self::SupersedesOtherAct { .. } => "supersedes-other-act",
            Self::SupersedesWithdrawal(_) => "supersedes-withdrawal",
            Self::SupersedesOthers { .. } => "supersedes-others",
            Self::BlockedForEver(_) => "blocked-for-ever",
            Self::Groups => "groups",
            Self::AttributeValues(_) => "attribute-values",
            Self::Quota(_) => "quota",
            Self::RecordFull => "record-full",
            Self::NotPermitted { .. } => "not-permitted",
            Self::CertificateNotNamed(_) => "certificate-not-named",
            Self::CertificateShrinks(_) => "certificate-shrinks",
            Self::CertificateKeyTaken { .. } => "certificate-key-taken",
            Self::CertifiesUnknown(_) => "certifies-unknown",
            Self::CertificateTooLong { .. } => "certificate-too-long",
        }
    }
}
