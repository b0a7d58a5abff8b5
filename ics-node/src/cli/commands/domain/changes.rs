//! Shows everything that a version of a descriptor changes: an owner signs all of it, not only what a card picks out.

use std::collections::BTreeSet;

use ics_core::descriptor::Descriptor;
use serde_json::{Map, Value};

use super::before;
use crate::cli::context::Context;
use crate::cli::output::card;
use crate::cli::words::clean;

/// Returns a card of the JSON members that differ from the version before, or of all members if that version is not at
/// hand.
pub(super) fn changes(context: &Context, next: &Descriptor) -> String {
    // A file with that number may be a draft that never came into force; only the version named by its hash counts.
    let previous = before(context, next).filter(|previous| next.previous == Some(previous.hash()));
    let (old, new) = (previous.as_ref().map(members).unwrap_or_default(), members(next));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let is_counted = |name: &&String| !matches!(name.as_str(), "version" | "previous");
    let is_changed = |name: &&String| old.get(*name) != new.get(*name);
    let row = |name| (String::as_str(name), new.get(name).map_or_else(|| "is left out".to_owned(), text));
    let rows: Vec<(&str, String)> = names.into_iter().filter(is_counted).filter(is_changed).map(row).collect();
    let title = match previous {
        Some(previous) if rows.is_empty() => format!("nothing changes against version {}", previous.version),
        Some(previous) => format!("what changes against version {}", previous.version),
        None if next.version == 1 => "all that the first version says".to_owned(),
        None => "all that it says: the version before it is not in this home directory".to_owned(),
    };
    card(&title, &rows)
}

fn members(descriptor: &Descriptor) -> Map<String, Value> {
    match serde_json::to_value(descriptor) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Formats a member as JSON; a multi-line text, such as the access rules, keeps its lines.
fn text(value: &Value) -> String {
    let json = || serde_json::to_string_pretty(value).unwrap_or_default();
    let text = value.as_str().filter(|text| text.contains('\n')).map_or_else(json, str::to_owned);
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}
