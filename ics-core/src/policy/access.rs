//! The access rules of one descriptor.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use cedar_policy::{EntityTypeName, EntityUid, RestrictedExpression};

use super::{
    Action, Append, Asked, Decision, Memo, OwnSchema, PolicyError, Principal, Request, Resource, Rules, entity,
    read_schema, uid,
};
use crate::descriptor::Descriptor;
use crate::identity::Kind;
use crate::vocabulary::{Attribute, DomainName};

/// Reading one identity, as the schema names the action.
const READ: &str = "read";

/// The schema that access rules are validated against.
static SCHEMA: OwnSchema = LazyLock::new(|| read_schema(include_str!("../../../schemas/policy.cedarschema")));

/// The access rules of a descriptor, validated and ready to decide.
#[derive(Debug)]
pub struct AccessPolicy {
    rules: Rules,
    /// Those that let somebody read all that may be in the domain, whatever it is: see [`AccessPolicy::shows_all`].
    everything: Rules,
    /// Rules that let everybody read who may read anything at all, if not more: see [`AccessPolicy::shows_any`]. `None`
    /// if they cannot be told.
    at_most: Option<Rules>,
    /// Whether by `at_most` somebody of whom nothing is known may read anything.
    opens_to_strangers: bool,
    /// Whether a rule of `at_most` asks for a role.
    asks_for_roles: bool,
    types: Types,
    sees: Sees,
    /// Decisions about reading: records are read again and again, and differ in attributes that rules seldom look at.
    reads: Memo<Request>,
    /// Decisions about whether anything may be read.
    some: Memo<Request>,
    /// Decisions about appending, kept apart so that reading cannot evict them: a factory line asks the same question
    /// over and over, with the same act, role and status, and rules seldom look at what else differs.
    appends: Memo<Request>,
}

/// The parts of a request that decisions can depend on.
#[derive(Debug)]
struct Sees {
    /// Identities by id.
    identities: bool,
    /// Who asks, and not only their roles.
    parties: bool,
    attributes: BTreeSet<Attribute>,
}

impl Sees {
    /// A rule can look at an entity only by its id, which is a literal, and at an attribute only by its name, which
    /// occurs in the text unless something is escaped. Walking the rules instead would recurse as deep as they nest.
    fn read(text: &str, rules: &Rules, types: &Types) -> Self {
        let literals: Vec<EntityUid> = rules.literals().into_values().flatten().collect();
        let has = |type_name: &EntityTypeName| literals.iter().any(|literal| literal.type_name() == type_name);
        let says = |word: &str| text.contains(word) || text.contains('\\');
        Self {
            identities: has(&types.identity),
            parties: has(&types.party) || says("fingerprint") || says("node"),
            attributes: Attribute::ALL.iter().copied().filter(|attribute| says(attribute.as_str())).collect(),
        }
    }
}

/// The names of the schema's entity types, read once.
#[derive(Debug)]
struct Types {
    party: EntityTypeName,
    role: EntityTypeName,
    status: EntityTypeName,
    domain: EntityTypeName,
    kind: EntityTypeName,
    effect: EntityTypeName,
    identity: EntityTypeName,
    action: EntityTypeName,
}

impl Types {
    fn read() -> Result<Self, PolicyError> {
        let read = |name: &str| name.parse().map_err(|_| PolicyError::Schema(format!("`{name}` is not a type")));
        Ok(Self {
            party: read("Party")?,
            role: read("Role")?,
            status: read("Status")?,
            domain: read("Domain")?,
            kind: read("Kind")?,
            effect: read("Effect")?,
            identity: read("Identity")?,
            action: read("Action")?,
        })
    }
}

/// A request to read something of which nothing is known.
fn reading(principal: &Principal) -> Request {
    let resource = Resource::Identity { id: None, kind: Kind::Device, attributes: BTreeMap::new() };
    Request { principal: principal.clone(), action: Action::Read, resource }
}

impl AccessPolicy {
    /// Compiles the access rules of a descriptor.
    ///
    /// # Errors
    /// When they are not Cedar, do not fit the schema, or name a role, status or domain that the descriptor does not
    /// define: a misspelt `forbid` would otherwise forbid nothing.
    pub fn compile(descriptor: &Descriptor) -> Result<Self, PolicyError> {
        let rules = Rules::compile(&SCHEMA, "", &descriptor.access)?;
        let types = Types::read()?;
        for (rule, literals) in rules.literals() {
            for literal in literals {
                if !types.is_known(&literal, descriptor) {
                    return Err(PolicyError::Unknown { rule, entity: literal.to_string() });
                }
            }
        }
        let sees = Sees::read(&descriptor.access, &rules, &types);
        let read = uid(&types.action, READ);
        let (everything, at_most) = (rules.whatever_it_is(&read), rules.at_most(&read));
        let is_role = |literal: EntityUid| *literal.type_name() == types.role;
        let asks_for_roles =
            at_most.as_ref().is_some_and(|rules| rules.literals().into_values().flatten().any(is_role));
        let mut policy = Self {
            rules,
            everything,
            at_most,
            opens_to_strangers: false,
            asks_for_roles,
            types,
            sees,
            reads: Memo::default(),
            some: Memo::default(),
            appends: Memo::default(),
        };
        policy.opens_to_strangers = policy.may_show(&reading(&Principal::default()));
        Ok(policy)
    }

    /// Decides a request; the same request gives the same decision, including its reasons.
    #[must_use]
    pub fn decide(&self, request: &Request) -> Decision {
        self.decide_by(&self.rules, request)
    }

    fn decide_by(&self, rules: &Rules, request: &Request) -> Decision {
        rules.decide(self.types.ask(request))
    }

    /// Decides exactly as [`AccessPolicy::decide`] does, and remembers the decision.
    #[must_use]
    pub fn decide_again(&self, request: Request) -> Decision {
        let decided = match request.action {
            Action::Read | Action::Follow | Action::Mirror => &self.reads,
            Action::Append(_) | Action::Certificate { .. } | Action::Certification { .. } => &self.appends,
        };
        decided.decide(self.without_what_no_rule_sees(request), |request| self.decide(request))
    }

    /// Decides about reading a thing of which an erasure has left no other attributes than these: if a rule can look at
    /// any other, only those to whom everything is shown may read it.
    #[must_use]
    pub fn decide_forgotten(&self, request: Request, left: &[Attribute]) -> Decision {
        if self.sees.attributes.iter().all(|attribute| left.contains(attribute)) {
            return self.decide_again(request);
        }
        self.decide_by(&self.everything, &request)
    }

    /// Whether somebody may certainly read everything in the domain, including what is not known yet. To anybody else
    /// the domain's silence means nothing, since what it holds about a thing may be withheld from them.
    #[must_use]
    pub fn shows_all(&self, principal: &Principal) -> bool {
        self.decide_by(&self.everything, &reading(principal)).allow
    }

    /// Whether there may be anything in the domain that this party may read. If not, it is answered without a look at
    /// what it asks for: a look takes longer where there is something than where there is nothing, and would give that
    /// away. A signer may have any role over some thing, by a grant in its record, so where rules ask for roles nobody
    /// knows.
    #[must_use]
    pub fn shows_any(&self, principal: &Principal) -> bool {
        if *principal == Principal::default() {
            return self.opens_to_strangers;
        }
        if principal.fingerprint.is_some() && self.asks_for_roles {
            return true;
        }
        let decide =
            |request: &Request| Decision { allow: self.may_show(request), reasons: Vec::new(), errors: Vec::new() };
        self.some.decide(self.without_what_no_rule_sees(reading(principal)), decide).allow
    }

    fn may_show(&self, request: &Request) -> bool {
        self.at_most.as_ref().is_none_or(|rules| self.decide_by(rules, request).allow)
    }

    /// Whether a rule can look at an attribute.
    pub(crate) fn sees(&self, attribute: Attribute) -> bool {
        self.sees.attributes.contains(&attribute)
    }

    /// The request without the parts that no rule can look at.
    fn without_what_no_rule_sees(&self, mut request: Request) -> Request {
        if !self.sees.parties {
            (request.principal.fingerprint, request.principal.node) = (None, None);
        }
        if let Resource::Identity { id, attributes, .. } = &mut request.resource {
            *id = id.take().filter(|_| self.sees.identities);
            attributes.retain(|attribute, _| self.sees.attributes.contains(attribute));
        }
        request
    }
}

impl Types {
    fn is_known(&self, literal: &EntityUid, descriptor: &Descriptor) -> bool {
        let (type_name, id) = (literal.type_name(), literal.id().unescaped());
        if *type_name == self.role {
            id.parse().is_ok_and(|role| descriptor.roles.contains_key(&role))
        } else if *type_name == self.status {
            id.parse().is_ok_and(|status| descriptor.has_status(&status))
        } else if *type_name == self.domain {
            id == descriptor.domain.as_str() || descriptor.sources.iter().any(|source| id == source.domain.as_str())
        } else {
            true
        }
    }

    /// The request in Cedar's terms: two entities and a context, nothing else.
    fn ask(&self, request: &Request) -> Result<Asked, String> {
        let (action, context) = self.action(&request.action);
        Ok(Asked {
            principal: self.principal(&request.principal)?,
            action: uid(&self.action, action),
            resource: self.resource(&request.resource)?,
            context,
        })
    }

    fn principal(&self, principal: &Principal) -> Result<cedar_policy::Entity, String> {
        let fingerprint = principal.fingerprint.map(|fingerprint| fingerprint.to_string());
        let node = principal.node.clone();
        let id = match (&fingerprint, &node) {
            (Some(fingerprint), _) => fingerprint.clone(),
            (None, Some(node)) => format!("node {node}"),
            (None, None) => "anonymous".to_owned(),
        };
        let attributes = [("fingerprint", fingerprint), ("node", node)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), RestrictedExpression::new_string(value?))))
            .collect();
        let roles = principal.roles.iter().map(|role| uid(&self.role, role.as_str())).collect();
        entity(uid(&self.party, &id), attributes, roles)
    }

    fn resource(&self, resource: &Resource) -> Result<cedar_policy::Entity, String> {
        match resource {
            Resource::Domain(domain) => entity(uid(&self.domain, domain.as_str()), HashMap::new(), HashSet::new()),
            Resource::Identity { id, kind, attributes } => {
                let id = id.map(|id| id.to_string()).unwrap_or_default();
                let kind = RestrictedExpression::new_entity_uid(uid(&self.kind, kind.as_str()));
                let attributes = attributes
                    .iter()
                    .map(|(key, value)| (key.to_string(), RestrictedExpression::new_string(value.clone())))
                    .chain([("kind".to_owned(), kind)])
                    .collect();
                entity(uid(&self.identity, &id), attributes, HashSet::new())
            }
        }
    }

    fn action(&self, action: &Action) -> (&'static str, Vec<(String, RestrictedExpression)>) {
        match action {
            Action::Read => (READ, Vec::new()),
            Action::Follow => ("follow", Vec::new()),
            Action::Mirror => ("mirror", Vec::new()),
            Action::Certificate { source } => ("certificate", self.adoption(source.as_ref())),
            Action::Certification { source } => ("certification", self.adoption(source.as_ref())),
            Action::Append(append) => (append.act.as_str(), self.append(append)),
        }
    }

    fn append(&self, append: &Append) -> Vec<(String, RestrictedExpression)> {
        let entity = |type_name, id: &str| RestrictedExpression::new_entity_uid(uid(type_name, id));
        let status = append.status.as_ref().map(|status| entity(&self.status, status.as_str()));
        let effect = append.effect.map(|effect| entity(&self.effect, effect.as_str()));
        let label = append.label.clone().map(RestrictedExpression::new_string);
        let grants = append.grants.as_ref().map(|role| entity(&self.role, role.as_str()));
        let role = Some(entity(&self.role, append.role.as_str()));
        let lifts = append.status.is_some().then(|| RestrictedExpression::new_bool(append.lifts));
        let elsewhere = Some(RestrictedExpression::new_bool(append.granted_elsewhere));
        [
            ("role", role),
            ("status", status),
            ("effect", effect),
            ("lifts", lifts),
            ("label", label),
            ("grants", grants),
            ("granted_elsewhere", elsewhere),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .chain(self.adoption(append.source.as_ref()))
        .collect()
    }

    fn adoption(&self, source: Option<&DomainName>) -> Vec<(String, RestrictedExpression)> {
        let adopted = ("adopted".to_owned(), RestrictedExpression::new_bool(source.is_some()));
        let source = source.map(|domain| {
            ("source".to_owned(), RestrictedExpression::new_entity_uid(uid(&self.domain, domain.as_str())))
        });
        [adopted].into_iter().chain(source).collect()
    }
}
