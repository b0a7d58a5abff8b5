//! The descriptors that come with the program, one per trade, as a starting point.

use core::fmt;
use core::str::FromStr;
use std::collections::{BTreeMap, BTreeSet};

use super::{Descriptor, DescriptorError, DomainLimits, Freshness, NodeKey, Owners, RULES, RoleSpec, Source};
use crate::identity::excerpt;
use crate::vocabulary::{DomainName, Role, StatusName};

/// A trade with its own descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// A manufacturer, who publishes the devices that they make.
    Manufacturer,
    /// A developer, who publishes code.
    Developer,
    /// An operator, who selects, approves and records what is in use.
    Maintenance,
    /// A node beside a gateway, which answers there.
    Infield,
    /// A certification body, which labels what it has examined.
    Certification,
}

/// What a template leaves open.
#[derive(Debug, Clone)]
pub struct TemplateInput {
    /// The domain's name.
    pub domain: DomainName,
    /// For people: what it is for, and whom to ask.
    pub description: String,
    /// Who may change the descriptor.
    pub owners: Owners,
    /// The node that sequences the log.
    pub home: NodeKey,
    /// Who speaks in which role, and which names the role may give. Roles that the template lacks are defined by
    /// listing them here.
    pub roles: BTreeMap<Role, RoleSpec>,
    /// Domains from which entries may be adopted.
    pub sources: Vec<Source>,
}

/// A name that no template has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a template: use manufacturer, developer, maintenance, infield or certification")]
pub struct TemplateError(String);

/// Roles that every template has.
const COMMON_ROLES: [&str; 3] = ["owner", "security-controller", "issuer"];
/// Statuses that the owner role lifts. `stolen` is left to its signer and to the domain's owners.
const OWNER_LIFTS: [&str; 3] = ["suspended", "lost", "retired"];
/// Seconds for which an answer of a domain on the Internet is fresh.
const PUBLISHED_FRESHNESS: u64 = 24 * 60 * 60;
/// Seconds for which an answer from beside the gateway is fresh.
const INFIELD_FRESHNESS: u64 = 60 * 60;

const COMMON: &str = include_str!("templates/common.cedar");
const MANUFACTURER: &str = include_str!("templates/manufacturer.cedar");
const DEVELOPER: &str = include_str!("templates/developer.cedar");
const PARTIES: &str = include_str!("templates/parties.cedar");
const ADOPTION: &str = include_str!("templates/adoption.cedar");
const CERTIFICATION: &str = include_str!("templates/certification.cedar");

impl Template {
    /// All templates.
    pub const ALL: [Self; 5] =
        [Self::Manufacturer, Self::Developer, Self::Maintenance, Self::Infield, Self::Certification];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manufacturer => "manufacturer",
            Self::Developer => "developer",
            Self::Maintenance => "maintenance",
            Self::Infield => "infield",
            Self::Certification => "certification",
        }
    }

    /// The roles that the template's rules name, besides owner and security controller; the first is that of the party
    /// whose domain it is.
    #[must_use]
    pub const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Manufacturer => &["manufacturer", "integrator", "maintainer"],
            Self::Developer => &["developer"],
            Self::Maintenance => &["integrator", "maintainer", "manufacturer", "developer", "certification-body"],
            Self::Infield => &["maintainer", "integrator", "manufacturer", "developer", "certification-body"],
            Self::Certification => &["certification-body", "manufacturer", "developer"],
        }
    }

    const fn rules(self) -> &'static [&'static str] {
        match self {
            Self::Manufacturer => &[MANUFACTURER],
            Self::Developer => &[DEVELOPER],
            Self::Maintenance | Self::Infield => &[PARTIES, ADOPTION],
            Self::Certification => &[CERTIFICATION, ADOPTION],
        }
    }

    const fn freshness(self) -> u64 {
        match self {
            Self::Infield => INFIELD_FRESHNESS,
            _ => PUBLISHED_FRESHNESS,
        }
    }

    /// Version 1 of a domain's descriptor.
    ///
    /// # Errors
    /// When what was filled in breaks a rule of [`Descriptor::parse`].
    pub fn fill(self, input: TemplateInput) -> Result<Descriptor, DescriptorError> {
        let mut roles = input.roles;
        for role in self.roles().iter().chain(&COMMON_ROLES).filter_map(|role| role.parse().ok()) {
            roles.entry(role).or_default();
        }
        let descriptor = Descriptor {
            domain: input.domain,
            version: 1,
            previous: None,
            rules: RULES,
            description: input.description,
            owners: input.owners,
            home: input.home,
            access: self.access(roles.keys()),
            roles,
            lifts: lifts(),
            freshness: Freshness { default: self.freshness(), uses: BTreeMap::new() },
            limits: DomainLimits::default(),
            witnesses: None,
            sources: input.sources,
            certificates: None,
            statuses: BTreeMap::new(),
            compromised: Vec::new(),
            lifted: BTreeSet::new(),
            last_head: None,
        };
        Descriptor::parse(&descriptor.to_json())
    }

    fn access<'a>(self, roles: impl Iterator<Item = &'a Role>) -> String {
        let roles: Vec<String> = roles.map(|role| format!("Role::\"{role}\"")).collect();
        let common = COMMON.replace("@ROLES@", &roles.join(", "));
        [common.as_str()].iter().chain(self.rules()).copied().collect::<Vec<_>>().join("\n")
    }
}

fn lifts() -> BTreeMap<Role, BTreeSet<StatusName>> {
    let statuses = OWNER_LIFTS.iter().filter_map(|status| status.parse().ok()).collect();
    "owner".parse().ok().map(|owner| (owner, statuses)).into_iter().collect()
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::ALL.into_iter().find(|template| template.as_str() == text).ok_or_else(|| TemplateError(excerpt(text)))
    }
}
