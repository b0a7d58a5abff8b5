//! The description of the API.

/// `schemas/openapi.json`: every route, parameter, body, answer and problem. OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("../../../schemas/openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::api::problem::Code;
    use crate::http::routes::{Access, TABLE};

    fn document() -> Value {
        serde_json::from_str(OPENAPI).expect("JSON")
    }

    fn object(value: &Value) -> &Map<String, Value> {
        value.as_object().expect("an object")
    }

    /// Every operation: its method, its path, and its description in the document.
    fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
        let methods = |(path, item): (&String, &Value)| {
            let of =
                |(method, operation): (&String, &Value)| ((method.to_uppercase(), path.clone()), operation.clone());
            object(item).iter().map(of).collect::<Vec<_>>()
        };
        object(&document["paths"]).iter().flat_map(methods).collect()
    }

    #[test]
    fn has_the_routes_that_are_served() {
        let served: BTreeSet<_> =
            TABLE.iter().map(|route| (route.method.to_owned(), route.path.replace(":.*}", "}"))).collect();
        let described: BTreeSet<_> = operations(&document()).into_keys().collect();
        assert_eq!(described, served);
    }

    #[test]
    fn says_which_routes_are_the_operators() {
        let operations = operations(&document());
        for route in TABLE {
            let operation = &operations[&(route.method.to_owned(), route.path.replace(":.*}", "}"))];
            let only_operator = operation["security"] == json!([{"operator": []}]);
            // The address for monitoring is separate, and takes no token.
            let takes_token = route.access == Access::Operator || route.is_metrics();
            assert_eq!(only_operator, takes_token, "{} {}", route.method, route.path);
        }
    }

    /// Clients act on these statuses; they must be listed and not left to `default`.
    #[test]
    fn says_what_is_refused_before_anybody_looks_at_what_is_asked_for() {
        for ((method, path), operation) in operations(&document()) {
            let lists = |status: &str| operation["responses"].get(status).is_some();
            assert_eq!(lists("401"), operation.get("security").is_some(), "{method} {path}: a wrong token");
            let Some(body) = operation.get("requestBody") else { continue };
            assert!(lists("413"), "{method} {path}: a body that is too large");
            assert!(lists("415") || body["content"].get("application/json").is_none(), "{method} {path}: another body");
        }
    }

    #[test]
    fn has_the_problems_of_the_table() {
        let problem = |code: &Code| {
            let mut problem = json!({"status": code.status(), "title": code.title()});
            if let Some(hint) = code.hint() {
                problem["hint"] = hint.into();
            }
            (code.as_str().to_owned(), problem)
        };
        let expected: Map<String, Value> = Code::ALL.iter().map(problem).collect();
        assert_eq!(document()["x-problems"], Value::Object(expected));
    }

    #[test]
    fn declares_the_parameters_of_each_path() {
        let document = document();
        for ((method, path), operation) in operations(&document) {
            let in_path: BTreeSet<&str> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let resolved = parameters.iter().map(|parameter| match parameter["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).expect("a parameter"),
                None => parameter,
            });
            let declared = resolved.filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str());
            assert_eq!(declared.collect::<BTreeSet<_>>(), in_path, "{method} {path}");
        }
    }

    #[test]
    fn refers_to_what_it_has_and_has_what_it_refers_to() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let (document, mut found) = (document(), BTreeSet::new());
        references(&document, &mut found);
        let kinds = ["schemas", "responses", "parameters", "headers"];
        let names = |kind: &str| object(&document["components"][kind]).keys().cloned().collect::<Vec<_>>();
        let components = kinds
            .iter()
            .flat_map(|kind| names(kind).into_iter().map(move |name| format!("#/components/{kind}/{name}")));
        assert_eq!(found, components.collect::<BTreeSet<_>>());
    }

    #[test]
    fn names_each_operation_once() {
        let operations = operations(&document());
        let names: BTreeSet<_> = operations.values().filter_map(|o| o["operationId"].as_str()).collect();
        assert_eq!(names.len(), operations.len());
    }
}
