//! Why nothing was issued or revoked, and whose fault that is, so that each face can express it in its protocol.

use ics_core::identity::{Fingerprint, Kind};
use ics_core::vocabulary::{DomainName, KeyType, ProfileName};

use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::AppError;
use crate::store::StoreError;
use crate::x509::{LeafError, Reason, RequestError, SignError};

/// Whose fault it is that nothing was issued or revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertifyFault {
    /// The request itself is malformed or not proved: `badCSR`.
    Request,
    /// Its key is not accepted: `badPublicKey`.
    Key,
    /// It asks for a name that it cannot have: `rejectedIdentifier`.
    Name,
    /// The record or the descriptor does not permit it: `unauthorized`.
    Denied,
    /// The requester may not give this reason: `badRevocationReason`.
    Reason,
    /// It is already revoked: `alreadyRevoked`.
    Already,
    /// What the request is about is not here.
    Unknown,
    /// It is not known who is asking.
    Unproven,
    /// The node's own fault.
    Node,
}

/// Why nothing was issued or revoked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CertifyError {
    /// The request is not acceptable.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The profile, the names or the issuer do not allow it.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The domain issues no certificates, not here, or none any more: waiting does not help whoever asks.
    #[error("no certificates of `{domain}` are issued here: {reason}")]
    NoIssuer {
        /// The domain.
        domain: DomainName,
        /// What is missing.
        reason: String,
    },
    /// The domain issues here, but not now, and no other request would change that: its operator has to, or time does.
    #[error("no certificates of `{domain}` can be issued here now: {reason}")]
    IssuerNotReady {
        /// The domain.
        domain: DomainName,
        /// What is missing.
        reason: String,
    },
    /// Another issuer has replaced this one.
    #[error(
        "a former issuer certifies only those who answer OCSP for it: name no issuer, or a profile whose only use is \
         `ocsp`"
    )]
    FormerIssuer,
    /// The descriptor has no such profile.
    #[error("the descriptor of `{domain}` has no certificates of the profile `{profile}`")]
    UnknownProfile {
        /// The domain.
        domain: DomainName,
        /// The profile.
        profile: String,
    },
    /// The key that issued a certificate is not here to withdraw it.
    #[error(
        "only the key that issued a certificate can revoke it, and the key of `{0}` is not at this node: the operator \
         adds it to `[node] issuers` in ics.toml; until then, a status that blocks the thing revokes all its \
         certificates"
    )]
    IssuerAway(Fingerprint),
    /// The key that issued it is declared compromised, so the log accepts nothing from it.
    #[error(
        "only the key that issued a certificate can revoke it, and the key of `{0}` is declared compromised, so the \
         log accepts nothing from it: a status that blocks the thing revokes all its certificates (`ics status`), and \
         the root revokes the authority itself (`ics ca crl --revoke`)"
    )]
    IssuerCompromised(Fingerprint),
    /// Nothing is known about the thing.
    #[error("nothing is known of `{0}`")]
    UnknownIdentity(String),
    /// A name that fits several things belongs to none of them.
    #[error(
        "more than one record here names {0}, so it belongs to none of them until whoever gave it takes it back from \
         all but one (`ics withdraw`)"
    )]
    Ambiguous(String),
    /// A certificate is for one thing only.
    #[error("the names {0} are known, but no single thing has all of them: make a separate request for each thing")]
    Several(String),
    /// The subject of the request names another thing than the one that has proved itself.
    #[error(
        "the subject of the request names another thing than the one that would get the certificate (`{0}`): ask with \
         one of its own names, with its id, or with an empty subject"
    )]
    Subject(String),
    /// A registrar names one thing, and the request names another.
    #[error(
        "the request is for `{requested}`, but the registrar names `{named}`, which is another thing: nothing is \
         issued to either. Name the thing whose request it is"
    )]
    Another {
        /// The thing that the registrar names.
        named: String,
        /// The names in the request.
        requested: String,
    },
    /// There is no such certificate.
    #[error("no certificate with the serial number {0} was issued here")]
    UnknownCertificate(String),
    /// The requester may not ask for it.
    #[error(
        "the record gives this requester no right to ask for certificates of this thing: signers ask in the roles that the \
         profile lists in `requesters`, things for themselves and not to answer OCSP"
    )]
    Requester,
    /// The requester has not proved who they are.
    #[error("it is not known who asks: {0}")]
    Unproven(String),
    /// The record does not permit it.
    #[error("the record does not permit it: {0}")]
    Record(String),
    /// The profile is for things of other kinds.
    #[error("the record does not permit it: the profile is not for things of the kind {0}")]
    Kind(Kind),
    /// There is no room for more certificates in the record.
    #[error(
        "{0} statements are about it, most of them about certificates that have ended, and the room that is left is \
         for its statuses: give it a new identity (`ics replace`), and certificates that last longer"
    )]
    RecordFull(usize),
    /// The key cannot get a certificate.
    #[error("the key in the request gets no certificate: {0}")]
    Key(String),
    /// The profile does not accept such keys.
    #[error("the profile `{profile}` does not allow keys of the kind {kind}{}", that_take_it(.others))]
    KeyType {
        /// The profile.
        profile: ProfileName,
        /// The kind of the key.
        kind: KeyType,
        /// The profiles under which the same requester would get a certificate for it.
        others: Vec<ProfileName>,
    },
    /// The log does not accept the statement about it.
    #[error("the log does not accept the certificate: {}", .0.detail)]
    Refused(Problem),
    /// The requester may not give this reason.
    #[error("`{0}` is not a reason that this requester may give")]
    Reason(Reason),
    /// It is already revoked.
    #[error("the certificate is already revoked")]
    AlreadyRevoked,
    /// The node failed or refused.
    #[error(transparent)]
    App(#[from] AppError),
}

impl CertifyError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> CertifyFault {
        match self {
            Self::Request(RequestError::Key(_)) | Self::Key(_) | Self::KeyType { .. } => CertifyFault::Key,
            Self::Leaf(LeafError::Key(_)) => CertifyFault::Key,
            Self::Subject(_)
            | Self::Another { .. }
            | Self::Request(RequestError::Name(_))
            | Self::Leaf(
                LeafError::Name(_)
                | LeafError::HardwareType(_)
                | LeafError::SharedSerial(_)
                | LeafError::Constrained(_),
            ) => CertifyFault::Name,
            Self::Request(_) | Self::Leaf(LeafError::Use(_)) => CertifyFault::Request,
            Self::UnknownProfile { .. } | Self::Requester | Self::Record(_) | Self::Refused(_) => CertifyFault::Denied,
            Self::Leaf(LeafError::SerialNumbers(_)) | Self::RecordFull(_) | Self::Kind(_) => CertifyFault::Denied,
            Self::IssuerCompromised(_) => CertifyFault::Denied,
            Self::UnknownIdentity(_) | Self::Ambiguous(_) | Self::Several(_) => CertifyFault::Unknown,
            Self::UnknownCertificate(_) | Self::NoIssuer { .. } => CertifyFault::Unknown,
            Self::Reason(_) => CertifyFault::Reason,
            Self::Unproven(_) => CertifyFault::Unproven,
            Self::AlreadyRevoked => CertifyFault::Already,
            Self::FormerIssuer => CertifyFault::Denied,
            Self::Leaf(LeafError::IssuerExpired(_) | LeafError::IssuerNotYet(_) | LeafError::Sign(_))
            | Self::IssuerNotReady { .. }
            | Self::IssuerAway(_)
            | Self::App(_) => CertifyFault::Node,
        }
    }
}

/// What to do with a key of a kind that a profile does not accept.
fn that_take_it(others: &[ProfileName]) -> String {
    if others.is_empty() {
        return ", and no other profile that is open to it does: make a key of another kind".to_owned();
    }
    let names: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "; {} would: ask for such a profile by name (`profile` of an order over ACME, `DOMAIN:PROFILE` by EST and \
         CMP). An ACME order that names none gets the profile of the shortest time that fits the names, chosen before \
         the key is known",
        names.join(", ")
    )
}

impl From<StoreError> for CertifyError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

impl From<SignError> for CertifyError {
    fn from(error: SignError) -> Self {
        LeafError::from(error).into()
    }
}

impl From<CertifyError> for AppError {
    fn from(error: CertifyError) -> Self {
        let code = match error.fault() {
            CertifyFault::Request | CertifyFault::Key | CertifyFault::Name => Code::BadCsr,
            CertifyFault::Denied | CertifyFault::Reason | CertifyFault::Already => Code::CertificateRefused,
            CertifyFault::Unproven => Code::UnprovenClient,
            CertifyFault::Unknown => Code::UnknownCertificate,
            CertifyFault::Node => match error {
                CertifyError::App(error) => return error,
                CertifyError::IssuerNotReady { .. } | CertifyError::IssuerAway(_) => Code::Behind,
                error => return Self::Internal(error.to_string()),
            },
        };
        Self::new(code, error.to_string())
    }
}
