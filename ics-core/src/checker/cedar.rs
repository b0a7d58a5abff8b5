//! Cedar rules, evaluated by the library alone: entities and requests are written in Cedar's own JSON.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request, Schema,
};
use serde_json::{Value, json};

use crate::limits;
use crate::policy::check_bounds;

/// A schema of this crate's own, from which the hierarchies of actions are read.
pub(super) type OwnSchema = LazyLock<Option<Schema>>;

pub(super) fn read(text: &str) -> Option<Schema> {
    Schema::from_cedarschema_str(text).ok().map(|(schema, _)| schema)
}

/// The answer of rules: whether they permit it, and which of them decided. Absent if they could not be evaluated at
/// all.
pub(super) struct Answer {
    pub(super) permits: bool,
    pub(super) failed: bool,
    pub(super) rules: BTreeSet<String>,
}

/// A reference to an entity, as a value.
pub(super) fn entity(kind: &str, id: &str) -> Value {
    json!({ "__entity": { "type": kind, "id": id } })
}

/// An entity with attributes and parents.
pub(super) fn described(kind: &str, id: &str, attrs: &Value, parents: &[(&str, String)]) -> Value {
    let parents: Vec<Value> = parents.iter().map(|(kind, id)| json!({ "type": kind, "id": id })).collect();
    json!({ "uid": { "type": kind, "id": id }, "attrs": attrs, "parents": parents })
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>().ok()?, EntityId::new(id)))
}

fn uid_of(described: &Value) -> Option<EntityUid> {
    let part = |name: &str| described.get("uid")?.get(name)?.as_str();
    uid(part("type")?, part("id")?)
}

/// Evaluates rules.
pub(super) fn ask(
    schema: &OwnSchema,
    rules: &str,
    principal: Value,
    action: &str,
    resource: Value,
    context: Value,
) -> Option<Answer> {
    let schema = schema.as_ref();
    // Rules may come from anybody who presents a verdict, and the parser recurses.
    check_bounds(rules).ok()?;
    let parsed: PolicySet = rules.parse().ok()?;
    if parsed.num_of_policies() > limits::POLICY_RULES {
        return None;
    }
    let mut policies = PolicySet::new();
    for policy in parsed.policies() {
        policies.add(policy.new_id(PolicyId::new(policy.annotation("id")?))).ok()?;
    }
    let (who, what) = (uid_of(&principal)?, uid_of(&resource)?);
    let context = Context::from_json_value(context, None).ok()?;
    let request = Request::new(who, uid("Action", action)?, what, context, None).ok()?;
    let entities = Entities::from_json_value(Value::Array(vec![principal, resource]), schema).ok()?;
    let response = Authorizer::new().is_authorized(&request, &policies, &entities);
    let failed = response.diagnostics().errors().next().is_some();
    let rules = response.diagnostics().reason().map(ToString::to_string).collect();
    Some(Answer { permits: response.decision() == Decision::Allow && !failed, failed, rules })
}
