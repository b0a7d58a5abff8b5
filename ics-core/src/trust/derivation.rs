//! What an answer rests on, statement by statement: which rule of the calculus (docs/calculus.md) applied to each, and
//! by what entitlement. [`crate::checker`] checks it.

use core::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::identity::{Fingerprint, excerpt};
use crate::record::{By, Digest, Entitlement, Listed, Record, Standing};
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, DomainName, Effect, Role, StatusName};

/// Which of the two things is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The thing that is to be used.
    Thing,
    /// The thing that it is to interact with.
    Peer,
}

/// The rule by which a statement counts or does not: its name in docs/calculus.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It counts: its signer has the role in which they speak.
    Entitled,
    /// It blocks until lifted: its signer had the role when it was admitted.
    Block,
    /// It entitles a signer.
    Grant,
    /// It takes other statements back.
    Withdrawal,
    /// An approval that is over, and counts as a former one.
    Formerly,
    /// The policy did not admit it.
    Refused,
    /// Its signer is declared compromised.
    Compromised,
    /// The owners lifted it.
    Lifted,
    /// The owners erased it, and nothing of it has effect any more.
    Erased,
    /// It is not in force yet.
    NotYet,
    /// It has expired.
    Lapsed,
    /// It was taken back.
    Withdrawn,
    /// Another statement replaced it.
    Replaced,
    /// It is about a group, and its signer had no role over this member.
    NotCovering,
    /// Its signer has lost the role in which they vouched.
    RoleLost,
}

impl Rule {
    fn of(record: &Record, listed: &Listed) -> Self {
        let is_former = || record.formerly_approved.iter().any(|by| by.index == listed.by.index);
        match listed.standing {
            Standing::Stands if listed.act == Act::Withdrawal => Self::Withdrawal,
            Standing::Stands if listed.act == Act::Grant => Self::Grant,
            Standing::Stands if listed.effect.is_some_and(Effect::blocks) => Self::Block,
            Standing::Stands => Self::Entitled,
            Standing::Lapsed | Standing::Replaced if is_former() => Self::Formerly,
            Standing::Lapsed => Self::Lapsed,
            Standing::Replaced => Self::Replaced,
            Standing::Withdrawn => Self::Withdrawn,
            Standing::Lifted => Self::Lifted,
            Standing::NotYet => Self::NotYet,
            Standing::RoleLost => Self::RoleLost,
            Standing::NotCovering => Self::NotCovering,
            Standing::Compromised => Self::Compromised,
            Standing::Refused => Self::Refused,
            Standing::Erased => Self::Erased,
        }
    }

    /// How a statement counts under this rule, or why it does not, in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Entitled => "it counts",
            Self::Block => "it stands until lifted",
            Self::Grant => "it entitles its grantee",
            Self::Withdrawal => "it takes back what it names",
            Self::Formerly => "its time is over, and it counts as a former approval",
            Self::Refused => Standing::Refused.reason(),
            Self::Compromised => Standing::Compromised.reason(),
            Self::Lifted => Standing::Lifted.reason(),
            Self::Erased => Standing::Erased.reason(),
            Self::NotYet => Standing::NotYet.reason(),
            Self::Lapsed => Standing::Lapsed.reason(),
            Self::Withdrawn => Standing::Withdrawn.reason(),
            Self::Replaced => Standing::Replaced.reason(),
            Self::NotCovering => Standing::NotCovering.reason(),
            Self::RoleLost => Standing::RoleLost.reason(),
        }
    }

    /// Whether a statement under this rule has any effect.
    #[must_use]
    pub const fn has_effect(self) -> bool {
        matches!(self, Self::Entitled | Self::Block | Self::Grant | Self::Withdrawal | Self::Formerly)
    }
}

/// A statement about one of the things, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The thing that it is about.
    pub of: Party,
    /// The domain that has it.
    pub domain: DomainName,
    /// Its index there.
    pub index: u64,
    /// The statement.
    pub statement: StatementId,
    /// The group that the statement is about, if not the thing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Digest>,
    /// Its signer.
    pub signer: Fingerprint,
    /// The first User ID of the signer's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The capacity in which the signer speaks.
    pub role: Role,
    /// What gives the signer that role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitled_by: Option<Entitlement>,
    /// The act of the statement.
    pub act: Act,
    /// The status that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusName>,
    /// What that status does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The label that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether it is the remnant of a statement that the domain's owners erased: its signer is one of them.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub erased: bool,
    /// When the domain's home admitted it.
    pub admitted_at: Timestamp,
    /// From when on it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when it is in force, exclusively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The rule by which it counts or does not.
    pub rule: Rule,
    /// The statement that replaced it or took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<StatementId>,
}

impl Step {
    pub(super) fn new(of: Party, record: &Record, listed: &Listed) -> Self {
        let By { signer, name, role, statement, index, group } = listed.by.clone();
        Self {
            of,
            domain: record.domain.clone(),
            index,
            statement,
            group,
            signer,
            name,
            role,
            entitled_by: listed.entitled_by,
            act: listed.act,
            status: listed.status.clone(),
            effect: listed.effect,
            label: listed.label.clone(),
            erased: listed.erased,
            admitted_at: listed.admitted_at,
            from: listed.from,
            until: listed.until,
            rule: Rule::of(record, listed),
            ended_by: listed.ended_by,
        }
    }

    /// Whether the answer rests on what it says of the thing.
    #[must_use]
    pub const fn counts(&self) -> bool {
        matches!(self.rule, Rule::Entitled | Rule::Block)
            && matches!(self.act, Act::Identity | Act::Approval | Act::Label | Act::Status)
    }

    /// What it says of the thing, in words.
    #[must_use]
    pub fn says(&self) -> String {
        let mut words = match (self.act, &self.status, &self.label) {
            (Act::Identity, ..) => "vouches for its identity".to_owned(),
            (Act::Approval, ..) => "approves of it".to_owned(),
            (Act::Label, _, Some(label)) => format!("gives it the label `{}`", excerpt(label)),
            (Act::Status, Some(status), _) => {
                let does = self.effect.map(|effect| format!(", which {}", effect.does())).unwrap_or_default();
                format!("gives it the status `{status}`{does}")
            }
            (Act::Grant, ..) => "entitles a signer to speak about it".to_owned(),
            (Act::Installed, ..) => "says what is installed on it".to_owned(),
            (Act::Issued, ..) => "has issued an X.509 certificate to it".to_owned(),
            (Act::Withdrawal, ..) => "takes back what they had said".to_owned(),
            (act, ..) => format!("makes a statement of the kind `{act}`"),
        };
        if let Some(group) = &self.group {
            // Writing to a string cannot fail.
            let _ = write!(words, ", as a member of the group {group}");
        }
        words
    }
}

/// A contradiction about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The thing that it is about.
    pub of: Party,
    /// An attribute's word, or `status`.
    pub about: String,
    /// Who says what; at least two values.
    pub said: Vec<Saying>,
}

/// A value, and where it is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saying {
    /// The value.
    pub value: String,
    /// The domain that has the statement.
    pub domain: DomainName,
    /// Its index there.
    pub index: u64,
}

impl Conflict {
    /// The value of `about` for contradicting statuses.
    pub const STATUS: &str = "status";

    /// In words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let whose = match self.of {
            Party::Thing => "",
            Party::Peer => "of the peer, ",
        };
        let said = self.said.iter().map(|it| format!("`{}` ({} entry {})", excerpt(&it.value), it.domain, it.index));
        format!("{whose}`{}` is said to be {}", excerpt(&self.about), said.collect::<Vec<_>>().join(" and "))
    }
}
