//! The names of the tree, and what each of them denotes.

use ics_core::identity::IdentityId;
use ics_core::vocabulary::DomainName;

use super::dn::{Dn, Rdn, escape, folded};
use super::entry::Entry;
use super::message::Failure;
use super::schema;

/// The name of the entry with the schema (RFC 4512, 4.2).
pub(super) const SUBSCHEMA: &str = "cn=Subschema";
const SERVER_INFO: &str = "PGPServerInfo";
const KEY_SPACE: &str = "PGP Keys";
/// The name of the entry above the domains' logs, which are outside the tree of things.
pub(super) const LOG: &str = "cn=Log";

/// The name at the root of a node's tree: one or more relative names, of `o=`, `ou=` or `dc=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffix {
    text: String,
    dn: Dn,
}

impl core::str::FromStr for Suffix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let dn = Dn::parse(text).map_err(|failure| format!("`{text}` is no suffix: {}", failure.text))?;
        let known = |rdn: &&Rdn| ["o", "ou", "dc"].contains(&rdn.attribute.as_str());
        if dn.0.first().filter(known).is_none() {
            return Err(format!("`{text}` is no suffix: it begins with o=, ou= or dc="));
        }
        Ok(Self { text: dn.to_string(), dn })
    }
}

impl Default for Suffix {
    /// `o=ics`.
    fn default() -> Self {
        let rdn = Rdn { attribute: "o".to_owned(), value: "ics".to_owned() };
        Self { text: "o=ics".to_owned(), dn: Dn(vec![rdn]) }
    }
}

impl core::fmt::Display for Suffix {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The tree of a node.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    suffix: Suffix,
}

/// What a name denotes, whether or not it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// The root DSE (RFC 4512, 5.1).
    Root,
    Subschema,
    Suffix,
    Domain(DomainName),
    Identity(DomainName, String),
    Statement(DomainName, String, String),
    /// The entry above the logs.
    Log,
    LogOf(DomainName),
    LogEntry(DomainName, u64),
    /// The entry that GnuPG looks for first.
    ServerInfo,
    KeySpace,
    /// A key, by its long id.
    Key(String),
}

impl Tree {
    pub(super) const fn new(suffix: Suffix) -> Self {
        Self { suffix }
    }

    pub(super) fn suffix_text(&self) -> &str {
        &self.suffix.text
    }

    pub(super) fn domain_dn(&self, domain: &DomainName) -> String {
        format!("{}={},{}", schema::DOMAIN.name(), escape(domain.as_str()), self.suffix.text)
    }

    pub(super) fn identity_dn(&self, domain: &DomainName, id: &IdentityId) -> String {
        format!("{}={},{}", schema::IDENTITY.name(), escape(&id.to_string()), self.domain_dn(domain))
    }

    fn server_info_dn(&self) -> String {
        format!("cn={SERVER_INFO},{}", self.suffix.text)
    }

    pub(super) fn key_space_dn(&self) -> String {
        format!("ou={KEY_SPACE},{}", self.suffix.text)
    }

    /// What a name denotes; a failure if it cannot exist in this tree.
    pub(super) fn node(&self, text: &str) -> Result<Node, Failure> {
        let dn = Dn::parse(text)?;
        if dn.0.is_empty() {
            return Ok(Node::Root);
        }
        if dn == (Dn(vec![Rdn { attribute: "cn".to_owned(), value: "Subschema".to_owned() }])) {
            return Ok(Node::Subschema);
        }
        if let Some(below) = dn.below(&Dn(vec![Rdn { attribute: "cn".to_owned(), value: "Log".to_owned() }])) {
            return in_log(below);
        }
        let below = dn.below(&self.suffix.dn).ok_or_else(|| Failure::no_such_object(String::new()))?;
        let rdns: Vec<(&str, String)> =
            below.iter().rev().map(|rdn| (rdn.attribute.as_str(), folded(&rdn.value).into_owned())).collect();
        let rdns: Vec<(&str, &str)> = rdns.iter().map(|(attribute, value)| (*attribute, value.as_str())).collect();
        let absent = || Failure::no_such_object(self.suffix.text.clone());
        let domain = |text: &str| text.parse::<DomainName>().map_err(|_| absent());
        match rdns.as_slice() {
            [] => Ok(Node::Suffix),
            [("cn", name)] if *name == folded(SERVER_INFO) => Ok(Node::ServerInfo),
            [("ou", name)] if *name == folded(KEY_SPACE) => Ok(Node::KeySpace),
            [("ou", name), ("pgpCertID", key)] if *name == folded(KEY_SPACE) => Ok(Node::Key((*key).to_owned())),
            [("ou", name), ..] if *name == folded(KEY_SPACE) => Err(Failure::no_such_object(self.key_space_dn())),
            [("icsDomain", name)] => Ok(Node::Domain(domain(name)?)),
            [("icsDomain", name), ("icsIdentity", id)] => Ok(Node::Identity(domain(name)?, (*id).to_owned())),
            [("icsDomain", name), ("icsIdentity", id), ("icsStatement", statement)] => {
                Ok(Node::Statement(domain(name)?, (*id).to_owned(), (*statement).to_owned()))
            }
            // Nobody knows here whether there is such a domain, so the nearest entry that is certain is the suffix.
            _ => Err(absent()),
        }
    }

    pub(super) fn log_dn(domain: &DomainName) -> String {
        format!("{}={},{LOG}", schema::DOMAIN.name(), escape(domain.as_str()))
    }

    /// The entry above the logs.
    pub(super) fn logs_entry(&self) -> Entry {
        let mut entry = Entry::new(LOG.to_owned(), &schema::ICS_LOGS);
        entry.put(&schema::COMMON_NAME, ["Log"]);
        entry.finish(self, None, true);
        entry
    }

    /// The entry at the suffix.
    pub(super) fn suffix_entry(&self) -> Entry {
        let first = self.suffix.dn.0.first();
        let (attribute, class) = match first.map(|rdn| rdn.attribute.as_str()) {
            Some("dc") => (&schema::COMPONENT, &schema::DOMAIN_CLASS),
            Some("ou") => (&schema::UNIT, &schema::UNIT_CLASS),
            _ => (&schema::ORGANIZATION, &schema::ORGANIZATION_CLASS),
        };
        let mut entry = Entry::new(self.suffix.text.clone(), class);
        entry.put(attribute, first.map(|rdn| &rdn.value));
        entry.finish(self, None, true);
        entry
    }

    /// Tells GnuPG where the keys are. `openldap` makes every version of GnuPG name keys by their long ids.
    pub(super) fn server_info_entry(&self) -> Entry {
        let mut entry = Entry::new(self.server_info_dn(), &schema::PGP_SERVER_INFO);
        entry.put(&schema::COMMON_NAME, [SERVER_INFO]);
        entry.put(&schema::PGP_BASE, [self.key_space_dn()]);
        entry.put(&schema::PGP_SOFTWARE, ["GnuPG"]);
        entry.put(&schema::PGP_VERSION, ["2 openldap"]);
        entry.finish(self, None, false);
        entry
    }

    pub(super) fn key_space_entry(&self) -> Entry {
        let mut entry = Entry::new(self.key_space_dn(), &schema::UNIT_CLASS);
        entry.put(&schema::UNIT, [KEY_SPACE]);
        entry.finish(self, None, true);
        entry
    }

    pub(super) fn subschema_entry(&self) -> Entry {
        let mut entry = Entry::new(SUBSCHEMA.to_owned(), &schema::SUBSCHEMA_CLASS);
        entry.put(&schema::COMMON_NAME, ["Subschema"]);
        let (attributes, classes) = schema::definitions();
        let (syntaxes, rules) = schema::rules();
        entry.put(&schema::ATTRIBUTE_TYPES, attributes);
        entry.put(&schema::OBJECT_CLASSES, classes);
        entry.put(&schema::SYNTAXES, syntaxes);
        entry.put(&schema::MATCHING_RULES, rules);
        entry.finish(self, None, false);
        entry
    }

    /// The root DSE, which says what the server supports (RFC 4512, 5.1).
    pub(super) fn root_entry(&self, has_tls: bool) -> Entry {
        use super::control;
        use super::session::{CANCEL, START_TLS, WHO_AM_I};
        let mut entry = Entry::empty(String::new());
        entry.put(&schema::OBJECT_CLASS, ["top"]);
        entry.put(&schema::NAMING_CONTEXTS, [self.suffix.text.as_str(), LOG]);
        entry.put(&schema::SUBSCHEMA, [SUBSCHEMA]);
        entry.put(&schema::SUPPORTED_VERSION, ["3"]);
        entry.put(&schema::SUPPORTED_CONTROL, control::KNOWN);
        let extensions = [Some(WHO_AM_I), Some(CANCEL), has_tls.then_some(START_TLS)];
        entry.put(&schema::SUPPORTED_EXTENSION, extensions.into_iter().flatten());
        // All operational attributes by `+` (RFC 3673), and absolute true and false filters (RFC 4526).
        entry.put(&schema::SUPPORTED_FEATURES, ["1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.3"]);
        entry.put(&schema::SUPPORTED_SASL, has_tls.then_some("EXTERNAL"));
        entry.put(&schema::VENDOR_NAME, ["CM4IT ICS"]);
        entry.put(&schema::VENDOR_VERSION, [env!("CARGO_PKG_VERSION")]);
        entry
    }
}

/// What a name below the logs denotes; the part nearest to the logs is last in `below`.
fn in_log(below: &[Rdn]) -> Result<Node, Failure> {
    let rdns: Vec<(&str, &str)> = below.iter().rev().map(|rdn| (rdn.attribute.as_str(), rdn.value.as_str())).collect();
    let absent = || Failure::no_such_object(LOG.to_owned());
    let domain = |text: &str| folded(text).parse::<DomainName>().map_err(|_| absent());
    match rdns.as_slice() {
        [] => Ok(Node::Log),
        [("icsDomain", name)] => Ok(Node::LogOf(domain(name)?)),
        [("icsDomain", name), ("icsIndex", index)] => {
            Ok(Node::LogEntry(domain(name)?, index.parse().map_err(|_| absent())?))
        }
        _ => Err(absent()),
    }
}
