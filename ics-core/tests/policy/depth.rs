//! Rules that nest: no text can overflow the stack, or be judged by how much of it is left.

use ics_core::descriptor::Template;
use ics_core::identity::Kind;
use ics_core::limits::{POLICY_NESTING, POLICY_OPERATORS};
use ics_core::policy::{AccessPolicy, Action, Decision, PolicyError, Principal, Request};

use crate::fixtures::{filled, thing};

/// Half of what threads get by default, for a margin.
const STACK_BYTES: usize = 1024 * 1024;
/// Brackets that the rule around a condition has open.
const OUTER_NESTING: usize = 1;
/// Operators that the rule around a condition has: `==` and `when`.
const OUTER_OPERATORS: usize = 3;

/// Compiles and asks a rule with this condition, on a small stack.
fn ask(condition: &str) -> Result<Decision, PolicyError> {
    let mut descriptor = filled(Template::Developer);
    descriptor.access =
        format!("@id(\"nested\") permit (principal, action == Action::\"read\", resource) when {{ {condition} }};");
    let asked = move || {
        let policy = AccessPolicy::compile(&descriptor)?;
        let resource = thing(Kind::Device);
        Ok(policy.decide(&Request { principal: Principal::default(), action: Action::Read, resource }))
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(asked).expect("thread");
    thread.join().expect("no panic")
}

fn nested(open: &str, inner: &str, close: &str, levels: usize) -> String {
    format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
}

#[test]
fn whatever_is_within_the_bounds_is_judged_the_same_on_a_small_stack() {
    let nesting = POLICY_NESTING - OUTER_NESTING;
    let operators = POLICY_OPERATORS - OUTER_OPERATORS;
    let sum = |terms: usize| format!("1{} == {}", " + 1".repeat(terms), terms + 1);
    for condition in [
        nested("(", "true", ")", nesting),
        nested("(if true then ", "true", " else false)", nesting),
        nested("!(!(", "true", "))", nesting / 2),
        nested("(", &sum(operators - 2), ")", nesting),
        format!("true{}", " && true".repeat(operators / 2)),
        format!("{}true", "if true then true else ".repeat(operators)),
        sum(operators - 2),
    ] {
        let decision = ask(&condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert_eq!((decision.allow, decision.errors.as_slice()), (true, &[][..]), "{condition}");
    }
}

#[test]
fn whatever_is_beyond_them_is_refused_before_it_is_parsed() {
    let nesting = POLICY_NESTING - OUTER_NESTING + 1;
    let operators = POLICY_OPERATORS - OUTER_OPERATORS + 1;
    for (condition, error) in [
        (nested("(", "true", ")", nesting), PolicyError::TooDeep),
        (nested("(", "true", ")", 30_000), PolicyError::TooDeep),
        (nested("[", "1", "]", nesting), PolicyError::TooDeep),
        (nested("{a: ", "1", "}", nesting), PolicyError::TooDeep),
        ("(".repeat(nesting), PolicyError::TooDeep),
        (format!("true // \")\r{}", "(".repeat(nesting)), PolicyError::TooDeep),
        (format!("\"\\\\\" == {}", "(".repeat(nesting)), PolicyError::TooDeep),
        (format!("principal{}", ".a".repeat(operators)), PolicyError::TooManyOperators),
        (format!("principal{}", "[\"a\"]".repeat(operators)), PolicyError::TooManyOperators),
        (format!("principal{}", " . a".repeat(20_000 / 4)), PolicyError::TooManyOperators),
        (format!("true{}", "||true".repeat(operators / 2 + 1)), PolicyError::TooManyOperators),
        (format!("{}true", "if true then true else ".repeat(operators)), PolicyError::TooManyOperators),
        (format!("{}1 == 1", "-".repeat(operators)), PolicyError::TooManyOperators),
    ] {
        assert_eq!(ask(&condition), Err(error), "{}", condition.chars().take(80).collect::<String>());
    }
}

/// Cedar's parser recurses over text that is no Cedar as well: what only looks like a comment or the end of a rule hides
/// nothing, and what is one counts for nothing.
#[test]
fn neither_a_slash_nor_a_semicolon_hides_what_nests() {
    let half = " && true".repeat(POLICY_OPERATORS / 4);
    for (condition, error) in [
        (format!("1 / {}", "(".repeat(POLICY_NESTING)), PolicyError::TooDeep),
        (format!("1{}", " / 1".repeat(POLICY_OPERATORS)), PolicyError::TooManyOperators),
        (format!("true{half}; true{half}"), PolicyError::TooManyOperators),
    ] {
        assert_eq!(ask(&condition), Err(error), "{condition}");
    }
    let comments = format!("{}true", "// of many\n".repeat(POLICY_OPERATORS + 1));
    assert!(ask(&comments).is_ok_and(|decision| decision.allow));
}

/// The bound is that of one rule, however many there are.
#[test]
fn each_rule_has_its_own_operators() {
    let mut descriptor = filled(Template::Developer);
    let sum = " + 1".repeat(POLICY_OPERATORS - OUTER_OPERATORS - 2);
    let rule = |name: &str| {
        format!(
            "@id(\"{name}\") permit (principal, action == Action::\"read\", resource) when {{ 1{sum} == {} }};",
            POLICY_OPERATORS - OUTER_OPERATORS - 1
        )
    };
    descriptor.access = [rule("a"), rule("b"), rule("c")].concat();
    assert_eq!(AccessPolicy::compile(&descriptor).map(drop), Ok(()));
}

#[test]
fn clauses_nest_as_operators_do() {
    let mut descriptor = filled(Template::Developer);
    descriptor.access = format!(
        "@id(\"nested\") permit (principal, action, resource){};",
        " when { true }".repeat(POLICY_OPERATORS + 1)
    );
    assert_eq!(AccessPolicy::compile(&descriptor).map(drop), Err(PolicyError::TooManyOperators));
}

#[test]
fn long_lists_strings_and_comments_do_not_nest() {
    let list: Vec<String> = (0..500).map(|n| format!("\"model {n}\"")).collect();
    for condition in [
        format!("resource has model && [{}, \"T1000\"].contains(resource.model)", list.join(", ")),
        format!("\"{}\" != \"\\\"((((((((((((((((((((\"", "(.&".repeat(200)),
        format!("// {}\n true", "(((.&&".repeat(200)),
    ] {
        assert!(ask(&condition).is_ok_and(|decision| decision.allow), "{:?}", ask(&condition));
    }
}
