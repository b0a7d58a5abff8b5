//! Bounds on the nesting of rules, checked before Cedar reads them.
//!
//! Cedar's parser recurses without a bound, so a few thousand brackets overflow the stack. Its validator and evaluator
//! stop where the stack of the current thread ends: the validator then reports no error, and the evaluator's answer
//! would differ from node to node. Within these bounds that point is never near.

use super::PolicyError;
use crate::limits;

/// Refuses rules that nest deeper than [`limits::POLICY_NESTING`], or one of which has more operators than
/// [`limits::POLICY_OPERATORS`]: a chain of operators nests as well.
pub(super) fn check(text: &str) -> Result<(), PolicyError> {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = token_length(rest, first);
        match first {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => operators = 0,
            _ => {}
        }
        operators += usize::from(is_operator(first, rest.get(..token).unwrap_or_default(), rest));
        if depth > limits::POLICY_NESTING {
            return Err(PolicyError::TooDeep);
        }
        if operators > limits::POLICY_OPERATORS {
            return Err(PolicyError::TooManyOperators);
        }
        rest = rest.get(token..).unwrap_or_default();
    }
    Ok(())
}

/// Bytes of the token that begins here, as far as its end matters: strings and comments may hold anything, and a word
/// is one token.
fn token_length(rest: &str, first: char) -> usize {
    let until = |end: fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
    match first {
        '"' => string_length(rest),
        '/' if rest.starts_with("//") => until(|c| c == '\n' || c == '\r'),
        '_' | 'a'..='z' | 'A'..='Z' => until(|c| c != '_' && !c.is_ascii_alphanumeric()),
        _ => first.len_utf8(),
    }
}

/// A string ends at the first quotation mark that no backslash precedes.
fn string_length(rest: &str) -> usize {
    let mut escaped = true;
    let end = rest.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = !escaped && *c == '\\';
        ends
    });
    end.map_or(rest.len(), |(at, quote)| at + quote.len_utf8())
}

/// Whether the token adds a level to the tree. An index adds one more than its bracket; `::` and `,` add none.
fn is_operator(first: char, token: &str, rest: &str) -> bool {
    match first {
        '.' | '[' | '&' | '|' | '+' | '-' | '*' | '!' | '<' | '>' | '=' => true,
        '/' => !rest.starts_with("//"),
        _ => matches!(token, "if" | "when" | "unless"),
    }
}
