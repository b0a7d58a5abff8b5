//! Trust rules made from parts, for those who do not want to write Cedar.
//!
//! A trust policy permits something, by the ready-made rules of [`super::templates`] or others, and demands what must
//! hold besides. Each demand is a separate rule that forbids if it is not met, so that a refusal names it. It applies
//! to everything that is permitted: to software as well as to things with a key, and to both ends of a connection.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use crate::identity::{Kind, excerpt};
use crate::statement;
use crate::vocabulary::{Role, StatusName};

/// The largest number of roles for a quorum: every choice among them is written out.
const QUORUM_ROLES: usize = 5;
/// Characters of a label in the id of its rule. The id has 64 at most, including the prefix `peer-labelled-` and a
/// number at the end.
const SLUG_CHARS: usize = 40;

/// What must hold for a thing to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Somebody vouches for it in this role.
    Vouched(Role),
    /// Somebody approves it in this role.
    Approved(Role),
    /// The same, but for going back to it (`rollback`) an approval that has expired is enough.
    ApprovedOnce(Role),
    /// It has this label, given in a role in which the trust policy accepts labels.
    Labelled(Label),
    /// Somebody vouches for it in as many of these roles as the quorum demands.
    Quorum(Quorum),
    /// Its status is one of these. If none of them applies to software, software instead needs a status that permits
    /// its use.
    Status(BTreeSet<StatusName>),
    /// No two statuses of different effect stand at the same time.
    Agreed,
    /// Connections are only made between these.
    Pairs(Vec<Pair>),
}

/// A label or a model: a text, as statements have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

/// A number of these roles, written `2:manufacturer,integrator,owner`.
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
    /// Not a text that a statement can have.
    #[error("{0}")]
    Text(String),
    /// Not a quorum.
    #[error(
        "`{0}` is not a quorum such as 2:manufacturer,integrator,owner: a number, and from that many to {QUORUM_ROLES} \
         roles"
    )]
    Quorum(String),
    /// Not a pair.
    #[error("`{0}` does not say who may connect to whom, such as device:gateway or model=T-1000:service")]
    Pair(String),
}

impl FromStr for Label {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        statement::text(text).map(Self).map_err(RequirementError::Text)
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

/// The rules for all of these in Cedar, each with its own id.
#[must_use]
pub fn rules(requirements: &[Requirement]) -> String {
    let (mut taken, mut rules) = (BTreeSet::new(), Vec::new());
    for requirement in requirements {
        let id = unused(&taken, requirement.id());
        rules.push(requirement.rules(&id));
        taken.insert(id);
    }
    rules.join("\n")
}

/// The id, with a number at the end if another rule already has it.
fn unused(taken: &BTreeSet<String>, id: String) -> String {
    if !taken.contains(&id) {
        return id;
    }
    let mut numbered = (2_usize..).map(|number| format!("{id}-{number}"));
    numbered.find(|other| !taken.contains(other)).unwrap_or_default()
}

impl Requirement {
    fn id(&self) -> String {
        match self {
            Self::Vouched(role) => format!("vouched-{role}"),
            Self::Approved(role) | Self::ApprovedOnce(role) => format!("approved-{role}"),
            Self::Labelled(label) => format!("labelled-{}", label.slug()),
            Self::Quorum(_) => "quorum".to_owned(),
            Self::Status(_) => "status".to_owned(),
            Self::Agreed => "agreed".to_owned(),
            Self::Pairs(_) => "pairs".to_owned(),
        }
    }

    fn rules(&self, id: &str) -> String {
        match self {
            Self::Vouched(role) => demand(id, |thing| format!("{thing}.vouching_roles.contains(\"{role}\")")),
            Self::Approved(role) => demand(id, |thing| approved(thing, role)),
            Self::ApprovedOnce(role) => demand(id, |thing| {
                let formerly = format!("{thing}.formerly_approving_roles.contains(\"{role}\")");
                format!("{} || context.use == \"rollback\" && {formerly}", approved(thing, role))
            }),
            Self::Labelled(label) => demand(id, |thing| format!("{thing}.labels.contains({})", label.quoted())),
            Self::Quorum(quorum) => demand(id, |thing| quorum.condition(thing)),
            Self::Status(names) => demand(id, |thing| status(thing, names)),
            Self::Agreed => demand(id, |thing| format!("!{thing}.conflict")),
            Self::Pairs(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
                let pairs = pairs.join(" ||\n    ");
                format!(
                    "@id(\"{id}\")\nforbid (principal, action == Action::\"connect\", resource)\n\
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
        "@id(\"{id}\")\nforbid (principal, action, resource)\nwhen {{ !({thing}) }};\n\n\
         @id(\"peer-{id}\")\nforbid (principal, action == Action::\"connect\", resource)\n\
         when {{ resource is Thing && !({peer}) }};\n"
    )
}

fn approved(thing: &str, role: &Role) -> String {
    format!("{thing}.approving_roles.contains(\"{role}\")")
}

/// The condition on the status. Software is never `in-use`: if only such statuses are named, it must meet what the
/// ready-made permissions say.
fn status(thing: &str, names: &BTreeSet<StatusName>) -> String {
    let is_of_none = |name: &StatusName| {
        name.builtin_effect(Kind::Software).is_none() && name.builtin_effect(Kind::Device).is_some()
    };
    let permitted = format!("{thing}.kind == Kind::\"software\" && {thing}.effect == Effect::\"permits\" || ");
    let software = if names.iter().all(is_of_none) { permitted } else { String::new() };
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{software}{thing} has status && [{}].contains({thing}.status)", names.join(", "))
}

impl Label {
    /// The label as a string of Cedar, which escapes as Rust does.
    fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// The label as far as it can be used in the id of a rule; other labels may have the same slug.
    fn slug(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        self.0.chars().map(plain).take(SLUG_CHARS).collect()
    }
}

impl Quorum {
    /// The condition that every role of some choice of that many roles vouches.
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
            Side::Model(model) => format!("{thing} has model && {thing}.model == {}", model.quoted()),
        };
        write!(f, "({} && {})", side("principal", &self.from), side("resource", &self.to))
    }
}
