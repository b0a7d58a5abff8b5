//! The relying party's trust policy: which domains count, how old an answer may be, and which uses the evaluated view
//! of a thing is good for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use cedar_policy::{Entity, EntityTypeName, RestrictedExpression};
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::descriptor::fields::{check_freshness, distinct, fail_if, read};
use crate::descriptor::{FieldError, Freshness, Problem};
use crate::limits;
use crate::log::checkpoint::Origin;
use crate::policy::{Asked, Decision, Memo, OwnSchema, PolicyError, Rules, entity, read_schema, uid};
use crate::vocabulary::{Attribute, DomainName, Role};

/// The schema that trust rules are validated against.
static SCHEMA: OwnSchema = LazyLock::new(|| read_schema(include_str!("../../../schemas/trust.cedarschema")));
/// The rules that are part of every trust policy.
const ALWAYS: &str = include_str!("templates/always.cedar");

/// A trust policy as its JSON states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustDocument {
    /// The domains that count, pinned. Others are not heard.
    pub domains: Vec<Origin>,
    /// The domains in which a role counts; a role that is not listed counts in all. Whoever writes a domain's
    /// descriptor can give themselves every role there, so only this keeps a maker from certifying their own things. It
    /// applies to vouching, approvals, labels, attributes, and statuses that do not block; what blocks counts whoever
    /// says it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Role, BTreeSet<DomainName>>,
    /// The roles in which a label counts, in the domains in which the role counts. If it counted in any role, a maker
    /// could give their own things the label that the rules demand. Rules that forbid a label see only these labels,
    /// too.
    #[serde(default = "TrustDocument::certification_bodies", skip_serializing_if = "is_usual")]
    pub labelling_roles: BTreeSet<Role>,
    /// How old an answer may be; a domain's own bound applies as well, and the shorter one wins.
    pub freshness: Freshness,
    /// Trust rules: Cedar policies, each with an `@id`.
    pub rules: String,
}

/// A trust policy, validated and ready to decide.
#[derive(Debug)]
pub struct TrustPolicy {
    document: TrustDocument,
    rules: Rules,
    types: Types,
    /// The attributes that a rule may look at: one that no rule names makes no difference.
    named: BTreeSet<Attribute>,
    /// Decisions by what they depend on. A fleet asks few different questions: its devices differ in name and number,
    /// which rules seldom look at, and evaluating Cedar takes longer than everything else in a verdict.
    decided: Memo<TrustRequest>,
}

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRequest {
    /// The use: `connect`, `install`, `operate` or any other word.
    #[serde(rename = "use")]
    pub usage: String,
    /// The thing that is to be used.
    pub thing: Facts,
    /// The thing that it is to interact with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Facts>,
}

/// Why a trust policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Longer than [`limits::DESCRIPTOR_BYTES`].
    #[error("the trust policy has {0} bytes, the limit is {max}", max = limits::DESCRIPTOR_BYTES)]
    TooLong(usize),
    /// Not the JSON of a trust policy.
    #[error("the trust policy is malformed: {0}")]
    Json(String),
    /// A field breaks a rule.
    #[error("trust policy {0}")]
    Field(#[from] FieldError),
    /// The rules are refused.
    #[error("trust policy field `rules`: {0}")]
    Rules(#[from] PolicyError),
}

/// The uses that every trust policy knows by these words: each is an action of its own in the schema.
pub const USES: [&str; 3] = ["connect", "install", "operate"];

/// The names of the schema's entity types, read once.
#[derive(Debug)]
struct Types {
    thing: EntityTypeName,
    nothing: EntityTypeName,
    kind: EntityTypeName,
    effect: EntityTypeName,
    action: EntityTypeName,
}

impl TrustPolicy {
    /// Reads a trust policy.
    ///
    /// # Errors
    /// When it is too long or malformed, no domain counts, or its rules do not fit the schema.
    pub fn parse(json: &[u8]) -> Result<Self, TrustError> {
        if json.len() > limits::DESCRIPTOR_BYTES {
            return Err(TrustError::TooLong(json.len()));
        }
        Self::compile(read(json).map_err(TrustError::Json)?)
    }

    /// Checks and compiles a trust policy.
    ///
    /// # Errors
    /// When no domain counts, a bound is out of range, or the rules do not fit the schema.
    pub fn compile(document: TrustDocument) -> Result<Self, TrustError> {
        fail_if(document.domains.is_empty(), "domains", || Problem::Empty)?;
        distinct("domains", document.domains.iter().map(|origin| origin.domain.to_string()))?;
        check_freshness(&document.freshness)?;
        check_roles(&document)?;
        fail_if(document.labelling_roles.is_empty(), "labelling_roles", || Problem::Empty)?;
        let rules = Rules::compile(&SCHEMA, ALWAYS, &document.rules)?;
        // A name may be written with escapes.
        let may_name = |it: &Attribute| document.rules.contains(it.as_str()) || document.rules.contains('\\');
        let named = Attribute::ALL.iter().copied().filter(may_name).collect();
        Ok(Self { document, rules, types: Types::read()?, named, decided: Memo::default() })
    }

    /// The domains that count.
    #[must_use]
    pub fn domains(&self) -> &[Origin] {
        &self.document.domains
    }

    /// Whether what is said in a role counts in a domain.
    #[must_use]
    pub fn counts(&self, role: &Role, domain: &DomainName) -> bool {
        self.document.roles.get(role).is_none_or(|domains| domains.contains(domain))
    }

    /// Whether a label that is given in a role counts in a domain.
    #[must_use]
    pub fn counts_label(&self, role: &Role, domain: &DomainName) -> bool {
        self.document.labelling_roles.contains(role) && self.counts(role, domain)
    }

    /// How old an answer may be.
    #[must_use]
    pub const fn freshness(&self) -> &Freshness {
        &self.document.freshness
    }

    /// How many seconds old news may be for a use, by this policy and by the domain that it comes from.
    #[must_use]
    pub fn fresh_for(&self, domain: &Freshness, usage: &str) -> u64 {
        self.freshness().seconds(usage).min(domain.seconds(usage))
    }

    /// Whether it knows a use: by an action of its own, a bound or the text of a rule. Any other use may be mistyped.
    #[must_use]
    pub fn names_use(&self, usage: &str) -> bool {
        let rules = &self.document.rules;
        // A word may be written with escapes.
        let in_rules = || rules.contains(&format!("\"{usage}\"")) || rules.contains('\\');
        USES.contains(&usage) || self.freshness().uses.contains_key(usage) || in_rules()
    }

    /// Whether a rule permits anything at all.
    #[must_use]
    pub fn permits_anything(&self) -> bool {
        self.rules.permit_anything()
    }

    /// The document that it was compiled from.
    #[must_use]
    pub const fn document(&self) -> &TrustDocument {
        &self.document
    }

    /// Decides whether a thing may be used in this way. The same request gives the same decision, including its
    /// reasons.
    ///
    /// A thing that a status blocks is refused for every use, and so is one whose peer is blocked; no rule can permit
    /// it.
    #[must_use]
    pub fn decide(&self, request: &TrustRequest) -> Decision {
        let mut request = request.clone();
        for facts in core::iter::once(&mut request.thing).chain(&mut request.peer) {
            facts.attributes.retain(|attribute, _| self.named.contains(attribute));
        }
        self.decided.decide(request, |request| self.rules.decide(self.types.ask(request)))
    }
}

/// Checks that roles are limited to domains that count.
fn check_roles(document: &TrustDocument) -> Result<(), FieldError> {
    for (role, domains) in &document.roles {
        let field = format!("roles.{role}");
        fail_if(domains.is_empty(), field.as_str(), || Problem::Empty)?;
        let uncounted = domains.iter().find(|name| !document.domains.iter().any(|origin| origin.domain == **name));
        fail_if(uncounted.is_some(), field, || {
            Problem::Uncounted(uncounted.map(ToString::to_string).unwrap_or_default())
        })?;
    }
    Ok(())
}

/// Whether these roles are the default, so that a policy need not state them.
fn is_usual(labelling_roles: &BTreeSet<Role>) -> bool {
    *labelling_roles == TrustDocument::certification_bodies()
}

impl TrustDocument {
    /// The roles in which labels count if a policy names none: `certification-body`.
    #[must_use]
    pub fn certification_bodies() -> BTreeSet<Role> {
        [Role::certification_body()].into()
    }
}

impl Types {
    fn read() -> Result<Self, PolicyError> {
        let read = |name: &str| name.parse().map_err(|_| PolicyError::Schema(format!("`{name}` is not a type")));
        Ok(Self {
            thing: read("Thing")?,
            nothing: read("Nothing")?,
            kind: read("Kind")?,
            effect: read("Effect")?,
            action: read("Action")?,
        })
    }

    fn ask(&self, request: &TrustRequest) -> Result<Asked, String> {
        let action = if USES.contains(&request.usage.as_str()) { request.usage.as_str() } else { "other" };
        let resource = match &request.peer {
            Some(peer) => self.thing("peer", peer),
            None => entity(uid(&self.nothing, "nothing"), HashMap::new(), HashSet::new()),
        };
        Ok(Asked {
            principal: self.thing("thing", &request.thing)?,
            action: uid(&self.action, action),
            resource: resource?,
            context: vec![("use".to_owned(), RestrictedExpression::new_string(request.usage.clone()))],
        })
    }

    fn thing(&self, id: &str, facts: &Facts) -> Result<Entity, String> {
        let text = |text: &String| RestrictedExpression::new_string(text.clone());
        let set = |texts: &std::collections::BTreeSet<String>| RestrictedExpression::new_set(texts.iter().map(text));
        let word = |type_name, word| RestrictedExpression::new_entity_uid(uid(type_name, word));
        let fixed = [
            ("kind", word(&self.kind, facts.kind.as_str())),
            ("effect", word(&self.effect, facts.effect.as_str())),
            ("vouching_roles", set(&facts.vouching_roles)),
            ("approving_roles", set(&facts.approving_roles)),
            ("formerly_approving_roles", set(&facts.formerly_approving_roles)),
            ("labels", set(&facts.labels)),
            ("conflict", RestrictedExpression::new_bool(facts.conflict)),
        ];
        let said = facts.attributes.iter().map(|(key, value)| (key.as_str(), text(value)));
        let status = facts.status.as_ref().map(|status| ("status", text(status)));
        let attributes = fixed.into_iter().chain(said).chain(status).map(|(key, value)| (key.to_owned(), value));
        entity(uid(&self.thing, id), attributes.collect(), HashSet::new())
    }
}

/// Rules to start from; several may be joined.
pub mod templates {
    /// The manufacturer must vouch for a thing, and the integrator must approve it and put it into use.
    pub const VOUCHED: &str = include_str!("templates/vouched.cedar");
    /// Somebody entitled must vouch for a thing, and it must have been put into use.
    pub const ANYTHING_VOUCHED: &str = include_str!("templates/anything-vouched.cedar");
    /// The developer must have released a piece of software, and the integrator must approve it.
    pub const SOFTWARE: &str = include_str!("templates/software.cedar");

    /// Going back to released software is allowed for approved versions, and for those that the integrator formerly
    /// approved.
    pub const ROLLBACK: &str = include_str!("templates/rollback.cedar");

    /// A thing must have this label of a certification body; `None` if the label cannot stand in a rule.
    #[must_use]
    pub fn labelled(label: &str) -> Option<String> {
        let plain = !label.is_empty() && label.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
        plain.then(|| include_str!("templates/labelled.cedar").replace("@LABEL@", label))
    }
}
