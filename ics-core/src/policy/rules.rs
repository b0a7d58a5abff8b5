//! Cedar, under the rules of this system: strict validation, one named rule per policy, any error denies, and reasons
//! in a fixed order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors,
    Policy, PolicyId, PolicySet, PrincipalConstraint, Request, ResourceConstraint, RestrictedExpression, Schema,
    ValidationMode, Validator,
};

use super::{Decision, shape};
use crate::identity::excerpt;
use crate::limits;

/// Why a text is not a set of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`limits::POLICY_BYTES`].
    #[error("the rules have {0} bytes, the limit is {max}", max = limits::POLICY_BYTES)]
    TooLong(usize),
    /// More policies than [`limits::POLICY_RULES`].
    #[error("there are {0} rules, the limit is {max}", max = limits::POLICY_RULES)]
    TooMany(usize),
    /// More nested brackets than [`limits::POLICY_NESTING`].
    #[error("the rules nest too deeply: {max} brackets may be open at once", max = limits::POLICY_NESTING)]
    TooDeep,
    /// More operators in one rule than [`limits::POLICY_OPERATORS`].
    #[error(
        "a rule has more than {max} characters of operators: split it, or use sets and `contains`",
        max = limits::POLICY_OPERATORS
    )]
    TooManyOperators,
    /// Not Cedar.
    #[error("the rules are not Cedar: {0}")]
    Syntax(String),
    /// A rule without a name.
    #[error("a rule has no `@id(\"…\")`: each takes one, which answers then give as the reason")]
    Unnamed,
    /// A rule with a malformed name.
    #[error("`{0}` is not the id of a rule: use 1 to 64 characters from a-z, 0-9 and -")]
    Name(String),
    /// Two rules with the same name.
    #[error("two rules have the id `{0}`")]
    Duplicate(String),
    /// A rule with slots.
    #[error("the rule `{0}` has a slot (`?principal` or `?resource`), which nothing fills")]
    Slot(String),
    /// A rule that does not fit the schema.
    #[error("the rule `{rule}` does not fit the schema: {problem}")]
    Invalid {
        /// Its id.
        rule: String,
        /// What Cedar's validator says.
        problem: String,
    },
    /// A rule names something that the descriptor does not define.
    #[error("the rule `{rule}` names `{entity}`, which the descriptor does not define")]
    Unknown {
        /// Its id.
        rule: String,
        /// The entity, as Cedar writes it.
        entity: String,
    },
    /// The schema itself is at fault.
    #[error("the schema cannot be read: {0}")]
    Schema(String),
}

/// Characters kept of a message from Cedar, which quotes the rules.
const MESSAGE_CHARS: usize = 300;

fn cut(message: impl ToString) -> String {
    message.to_string().chars().take(MESSAGE_CHARS).collect()
}

fn sorted(items: impl Iterator<Item = impl ToString>) -> Vec<String> {
    items.map(|item| item.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Refuses, before parsing, rules that would take more time or stack than allowed.
///
/// # Errors
/// When they are too long, nested too deeply, or have too many operators in one rule.
pub(crate) fn check_bounds(text: &str) -> Result<(), PolicyError> {
    if text.len() > limits::POLICY_BYTES {
        return Err(PolicyError::TooLong(text.len()));
    }
    shape::check(text)
}

/// The same policies, each under the id in its `@id`.
fn named(parsed: &PolicySet) -> Result<PolicySet, PolicyError> {
    let count = parsed.num_of_policies() + parsed.num_of_templates();
    if count > limits::POLICY_RULES {
        return Err(PolicyError::TooMany(count));
    }
    if let Some(template) = parsed.templates().next() {
        return Err(PolicyError::Slot(rule_name(template.annotation("id"))?));
    }
    let mut policies = PolicySet::new();
    for policy in parsed.policies() {
        let name = rule_name(policy.annotation("id"))?;
        policies.add(policy.new_id(PolicyId::new(&name))).map_err(|_| PolicyError::Duplicate(name))?;
    }
    Ok(policies)
}

fn rule_name(annotation: Option<&str>) -> Result<String, PolicyError> {
    let name = annotation.ok_or(PolicyError::Unnamed)?;
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_name { Ok(name.to_owned()) } else { Err(PolicyError::Name(excerpt(name))) }
}

/// A validated set of rules, with what deciding by them needs.
#[derive(Debug)]
pub(crate) struct Rules {
    schema: Schema,
    policies: PolicySet,
    authorizer: Authorizer,
}

/// A schema of this crate's own, read once, because reading it takes longer than reading rules and validating them
/// against it.
pub(crate) type OwnSchema = LazyLock<Result<Schema, PolicyError>>;

pub(crate) fn read_schema(text: &str) -> Result<Schema, PolicyError> {
    Schema::from_cedarschema_str(text).map(|(schema, _)| schema).map_err(|error| PolicyError::Schema(cut(error)))
}

/// A request in Cedar's terms.
pub(crate) struct Asked {
    pub(crate) principal: Entity,
    pub(crate) action: EntityUid,
    pub(crate) resource: Entity,
    pub(crate) context: Vec<(String, RestrictedExpression)>,
}

/// The id of an entity. The text is taken as data, so quoting cannot go wrong.
pub(crate) fn uid(type_name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name.clone(), EntityId::new(id))
}

/// An entity with attributes and parents.
pub(crate) fn entity(
    uid: EntityUid,
    attributes: HashMap<String, RestrictedExpression>,
    parents: HashSet<EntityUid>,
) -> Result<Entity, String> {
    Entity::new(uid, attributes, parents).map_err(cut)
}

/// Whether a rule is about an action.
fn concerns(policy: &Policy, action: &EntityUid) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.contains(action),
        ActionConstraint::Eq(one) => one == *action,
    }
}

/// Whether a rule looks only at who asks: the word `resource` then occurs once, where the rule says which things it is
/// about.
fn is_blind(policy: &Policy) -> bool {
    policy.resource_constraint() == ResourceConstraint::Any && policy.to_string().matches("resource").count() == 1
}

/// A permit of anything to those whom the head of a rule names, without its conditions.
fn without_thing(policy: &Policy) -> Option<Policy> {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any => "principal".to_owned(),
        PrincipalConstraint::In(group) => format!("principal in {group}"),
        PrincipalConstraint::Eq(one) => format!("principal == {one}"),
        PrincipalConstraint::Is(sort) => format!("principal is {sort}"),
        PrincipalConstraint::IsIn(sort, group) => format!("principal is {sort} in {group}"),
    };
    Policy::parse(Some(policy.id().clone()), format!("permit ({principal}, action, resource);")).ok()
}

impl Rules {
    /// Parses rules and validates them strictly against a schema. `always` are the system's own rules, put before them.
    pub(crate) fn compile(schema: &OwnSchema, always: &str, text: &str) -> Result<Self, PolicyError> {
        check_bounds(text)?;
        let schema = schema.as_ref().map_err(Clone::clone)?.clone();
        let policies =
            named(&format!("{always}{text}").parse().map_err(|error: ParseErrors| PolicyError::Syntax(cut(error)))?)?;
        let validator = Validator::new(schema);
        // Sorted, so that every node names the same rule first.
        let invalid: BTreeMap<String, String> = validator
            .validate(&policies, ValidationMode::Strict)
            .validation_errors()
            .map(|error| (error.policy_id().to_string(), cut(error)))
            .collect();
        match invalid.into_iter().next() {
            Some((rule, problem)) => Err(PolicyError::Invalid { rule, problem }),
            None => Ok(Self { schema: validator.schema().clone(), policies, authorizer: Authorizer::new() }),
        }
    }

    /// The rules that permit an action whatever the thing is, because they look only at who asks. There are none if any
    /// rule forbids the action, even for some things only. Actions in groups are not considered.
    pub(crate) fn whatever_it_is(&self, action: &EntityUid) -> Self {
        let all = || self.policies.policies().filter(|policy| concerns(policy, action));
        let forbids = |policy: &Policy| policy.effect() == Effect::Forbid;
        let kept = all().filter(|policy| is_blind(policy)).filter(|_| !all().any(forbids)).cloned();
        // The rules' names are known to be distinct.
        self.with(PolicySet::from_policies(kept).unwrap_or_default())
    }

    /// Rules that permit an action to everybody to whom these permit it of any thing at all, and perhaps to more. Rules
    /// that look at who asks alone are kept. Of the others each permit becomes one of anything, for those whom its head
    /// names, and each forbid is left out, because it may forbid the action of some things only. `None` if that cannot
    /// be told.
    pub(crate) fn at_most(&self, action: &EntityUid) -> Option<Self> {
        let all = || self.policies.policies().filter(|policy| concerns(policy, action));
        let blind = all().filter(|policy| is_blind(policy)).cloned();
        let seeing = all().filter(|policy| !is_blind(policy) && policy.effect() == Effect::Permit);
        let heads: Vec<Policy> = seeing.map(without_thing).collect::<Option<_>>()?;
        Some(self.with(PolicySet::from_policies(blind.chain(heads)).ok()?))
    }

    fn with(&self, policies: PolicySet) -> Self {
        Self { schema: self.schema.clone(), policies, authorizer: Authorizer::new() }
    }

    /// Whether one of them is a permit.
    pub(crate) fn permit_anything(&self) -> bool {
        self.policies.policies().any(|policy| policy.effect() == Effect::Permit)
    }

    /// The entities that each rule names.
    pub(crate) fn literals(&self) -> BTreeMap<String, Vec<EntityUid>> {
        self.policies.policies().map(|policy| (policy.id().to_string(), policy.entity_literals())).collect()
    }

    /// Decides a request; one that cannot be put in Cedar's terms is denied.
    ///
    /// Cedar skips a policy that fails to evaluate, even a `forbid`; hence any error denies here.
    pub(crate) fn decide(&self, asked: Result<Asked, String>) -> Decision {
        match asked.and_then(|asked| self.answer(asked)) {
            Ok(response) => {
                let errors = sorted(response.diagnostics().errors().map(cut));
                let allow = errors.is_empty() && response.decision() == cedar_policy::Decision::Allow;
                Decision { allow, reasons: sorted(response.diagnostics().reason()), errors }
            }
            Err(error) => Decision { allow: false, reasons: Vec::new(), errors: vec![error] },
        }
    }

    fn answer(&self, asked: Asked) -> Result<cedar_policy::Response, String> {
        let context = Context::from_pairs(asked.context).map_err(cut)?;
        let (principal, resource) = (asked.principal.uid(), asked.resource.uid());
        let request = Request::new(principal, asked.action, resource, context, Some(&self.schema)).map_err(cut)?;
        let entities = Entities::from_entities([asked.principal, asked.resource], Some(&self.schema)).map_err(cut)?;
        Ok(self.authorizer.is_authorized(&request, &self.policies, &entities))
    }
}
