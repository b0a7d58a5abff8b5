//! Access rules for a thing of which some attributes are unknown: what they permit, they permit whatever these are.

use super::shape;

/// The text of one rule.
#[derive(Default)]
struct Rule<'t> {
    /// The tokens outside of its clauses: annotations, effect, scope.
    head: Vec<&'t str>,
    /// Those of each `when` and `unless`. All of them must hold for the rule to apply.
    clauses: Vec<Vec<&'t str>>,
}

impl<'t> Rule<'t> {
    fn looks_at(&self, attributes: &[&str]) -> bool {
        self.clauses.iter().any(|clause| looks_at(clause, attributes))
    }

    /// `permit` or `forbid`, if only one of them can be it: an annotation may have either as its name.
    fn effect(&self) -> Option<&'t str> {
        let mut effects = self.head.iter().copied().filter(|token| matches!(*token, "permit" | "forbid"));
        let (first, second) = (effects.next(), effects.next());
        first.filter(|_| second.is_none())
    }
}

/// The rules without whatever looks at one of these attributes: a `permit` that does may not apply, and a `forbid` goes
/// without that clause, by which it applies to no less. `None` if no rule does.
pub(super) fn without(text: &str, attributes: &[&str]) -> Option<String> {
    let rules = rules(text);
    if !rules.iter().any(|rule| rule.looks_at(attributes)) {
        return None;
    }
    let mut kept = String::new();
    for mut rule in rules {
        if rule.looks_at(attributes) {
            match rule.effect() {
                Some("permit") => continue,
                Some(_) => rule.clauses.retain(|clause| !looks_at(clause, attributes)),
                // Nothing is permitted by rules of which one cannot be read.
                None => return Some(String::new()),
            }
        }
        kept.extend(rule.head);
        kept.extend(rule.clauses.concat());
        kept.push(';');
    }
    Some(kept)
}

/// An attribute's name stands as a word or as a string. In a string with an escape any name may stand.
fn looks_at(clause: &[&str], attributes: &[&str]) -> bool {
    let is_name = |token: &&str| {
        attributes.contains(&token.trim_matches('"')) || (token.starts_with('"') && token.contains('\\'))
    };
    clause.iter().any(is_name)
}

/// The rules of a text that Cedar has read.
fn rules(text: &str) -> Vec<Rule<'_>> {
    let (mut rules, mut rule) = (Vec::new(), Rule::default());
    let (mut depth, mut in_clause) = (0_usize, false);
    for token in tokens(text) {
        if depth == 0 && !in_clause && matches!(token, "when" | "unless") {
            rule.clauses.push(Vec::new());
            in_clause = true;
        }
        match token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => {
                rules.push(core::mem::take(&mut rule));
                in_clause = false;
                continue;
            }
            _ => {}
        }
        match rule.clauses.last_mut() {
            Some(clause) if in_clause => clause.push(token),
            _ => rule.head.push(token),
        }
        in_clause = in_clause && (depth > 0 || token != "}");
    }
    rules
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (token, after) = rest.split_at_checked(shape::token_length(rest, first))?;
        rest = after;
        Some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_at_an_unknown_attribute_permits_nothing_and_forbids_more() {
        let permit = r#"@id("p") permit (principal, action, resource);"#;
        let forbid = |clauses: &str| format!("{permit}\n@id(\"f\") forbid (principal, action, resource) {clauses};");
        let named = |clauses: &str| format!("@id(\"p\") permit (principal, action, resource) {clauses};");
        let lab = r#"{ resource has loc && resource.loc == "lab" }"#;
        let owner = r#"unless { principal in Role::"owner" }"#;
        for (text, expected) in [
            (permit.to_owned(), None),
            // Neither a part of a word, nor what stands in a name or a comment beside the clauses.
            (forbid("when { context.effect == Effect::\"blocks\" } // loc\n"), None),
            (format!("@loc(\"loc\") {}", forbid(owner)), None),
            (forbid(&format!("when {lab}")), Some(forbid(""))),
            (forbid(&format!("when {lab}{owner}")), Some(forbid(owner))),
            (forbid(&format!("{owner}when {lab}")), Some(forbid(owner))),
            (forbid(r#"when { resource has "loc" }"#), Some(forbid(""))),
            (forbid(r#"when { resource["l\u{6f}c"] == "lab" }"#), Some(forbid(""))),
            (forbid("when { [{ a: resource.loc }].contains({ a: \"lab\" }) }"), Some(forbid(""))),
            (named(&format!("when {lab}")), Some(String::new())),
            (named(&format!("unless {lab}")), Some(String::new())),
            (format!("{}{}", named(&format!("unless {lab}")), forbid(owner)), Some(forbid(owner))),
            // Of which effect this is, the words do not tell.
            (format!("@forbid(\"x\") {}", named(&format!("unless {lab}"))), Some(String::new())),
        ] {
            assert_eq!(without(&text, &["make", "loc"]), expected, "{text}");
        }
    }
}
