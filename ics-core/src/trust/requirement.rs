//! Trust rules out of parts, for those who do not want to write Cedar.
//!
//! A trust policy permits something, by the ready-made rules of [`super::templates`] or others, and demands what must
//! hold besides. Each demand is a rule of its own that forbids where it is not met, so that a refusal names it. What is
//! demanded of a thing is demanded of both ends of a connection. Software is permitted by rules of its own: demands are
//! about what has a key.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use crate::identity::{Kind, excerpt};
use crate::vocabulary::{Role, StatusName};

/// Roles among which a quorum is counted: every choice of them is written out.
const QUORUM_ROLES: usize = 5;

/// What must hold for a thing to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Somebody vouches for it in this role.
    Vouched(Role),
    /// Somebody approves of it in this role.
    Approved(Role),
    /// It has this label of a certification body.
    Labelled(Label),
    /// Somebody vouches for it in so many of these roles.
    Quorum(Quorum),
    /// Its status is one of these.
    Status(BTreeSet<StatusName>),
    /// No two statuses of different effect stand side by side.
    Agreed,
    /// Connections are only made between these.
    Pairs(Vec<Pair>),
}

/// A label that can stand in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

/// So many of these roles, written `2:manufacturer,integrator,owner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    count: usize,
    roles: Vec<Role>,
}

/// Who may connect to whom, written `device:gateway` or `model=T-1000:service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    from: Side,
    to: Side,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    Kind(Kind),
    Model(Label),
}

/// Why a requirement cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// Empty, or with characters that cannot stand in a rule.
    #[error("`{0}` is empty or has quotes, backslashes or control characters")]
    Text(String),
    /// Not a quorum.
    #[error(
        "`{0}` is not a quorum such as 2:manufacturer,integrator,owner: a number, and that many roles to {QUORUM_ROLES}"
    )]
    Quorum(String),
    /// Not a pair.
    #[error("`{0}` does not say who may connect to whom, such as device:gateway or model=T-1000:service")]
    Pair(String),
}

impl FromStr for Label {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let is_plain = !text.is_empty() && text.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
        if is_plain { Ok(Self(text.to_owned())) } else { Err(RequirementError::Text(excerpt(text))) }
    }
}

impl FromStr for Quorum {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let malformed = || RequirementError::Quorum(excerpt(text));
        let (count, roles) = text.split_once(':').ok_or_else(malformed)?;
        let count: usize = count.parse().map_err(|_| malformed())?;
        let roles: BTreeSet<Role> =
            roles.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| malformed())?;
        let is_quorum = (1..=roles.len()).contains(&count) && roles.len() <= QUORUM_ROLES;
        is_quorum.then(|| Self { count, roles: roles.into_iter().collect() }).ok_or_else(malformed)
    }
}

impl FromStr for Pair {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let malformed = || RequirementError::Pair(excerpt(text));
        let (from, to) = text.split_once(':').ok_or_else(malformed)?;
        let side = |text: &str| match text.strip_prefix("model=") {
            Some(model) => model.parse().map(Side::Model).map_err(|_| malformed()),
            None => text.parse().map(Side::Kind).map_err(|_| malformed()),
        };
        Ok(Self { from: side(from)?, to: side(to)? })
    }
}

impl Requirement {
    /// Its rules in Cedar; `number` keeps apart those of which there may be several.
    #[must_use]
    pub fn rules(&self, number: usize) -> String {
        match self {
            Self::Vouched(role) => {
                demand(&format!("vouched-{role}"), |thing| format!("{thing}.vouching_roles.contains(\"{role}\")"))
            }
            Self::Approved(role) => {
                demand(&format!("approved-{role}"), |thing| format!("{thing}.approving_roles.contains(\"{role}\")"))
            }
            Self::Labelled(Label(label)) => {
                demand(&format!("labelled-{label}"), |thing| format!("{thing}.labels.contains(\"{label}\")"))
            }
            Self::Quorum(quorum) => demand(&format!("quorum-{number}"), |thing| quorum.condition(thing)),
            Self::Status(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                let names = names.join(", ");
                demand("status", |thing| format!("{thing} has status && [{names}].contains({thing}.status)"))
            }
            Self::Agreed => demand("agreed", |thing| format!("!{thing}.conflict")),
            Self::Pairs(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
                let pairs = pairs.join(" ||\n    ");
                format!(
                    "@id(\"pairs\")\nforbid (principal, action == Action::\"connect\", resource)\n\
                     unless {{\n  resource is Thing && (\n    {pairs}\n  )\n}};\n"
                )
            }
        }
    }
}

/// Two rules: one about the thing, one about the other end of its connections.
fn demand(id: &str, condition: impl Fn(&str) -> String) -> String {
    let (thing, peer) = (condition("principal"), condition("resource"));
    format!(
        "@id(\"{id}\")\nforbid (principal, action, resource)\n\
         when {{ principal.kind != Kind::\"software\" && !({thing}) }};\n\n\
         @id(\"peer-{id}\")\nforbid (principal, action == Action::\"connect\", resource)\n\
         when {{ resource is Thing && !({peer}) }};\n"
    )
}

impl Quorum {
    /// Any choice of that many roles, all of which vouch.
    fn condition(&self, thing: &str) -> String {
        let choices = (0_u32..1 << self.roles.len()).filter(|choice| choice.count_ones() as usize == self.count);
        let all_of = |choice: u32| {
            let chosen = self.roles.iter().enumerate().filter(|(place, _)| choice & (1 << place) != 0);
            let roles: Vec<String> = chosen.map(|(_, role)| format!("\"{role}\"")).collect();
            format!("{thing}.vouching_roles.containsAll([{}])", roles.join(", "))
        };
        choices.map(all_of).collect::<Vec<_>>().join(" || ")
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |thing: &str, side: &Side| match side {
            Side::Kind(kind) => format!("{thing}.kind == Kind::\"{kind}\""),
            Side::Model(Label(model)) => format!("{thing} has model && {thing}.model == \"{model}\""),
        };
        write!(f, "({} && {})", side("principal", &self.from), side("resource", &self.to))
    }
}
