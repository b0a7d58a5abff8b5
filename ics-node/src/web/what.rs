//! What a thing is, to be compared with the thing itself.

use std::collections::BTreeSet;

use ics_core::identity::{IdentityId, Kind};
use ics_core::vocabulary::Attribute;
use maud::{Markup, html};

use super::parts::{code, theirs, theirs_brief};
use super::thing::SHOWN;
use crate::app::PublicThing;
use crate::words::attribute;

/// The names that entitled signers give it, each once.
pub(super) fn names(thing: &PublicThing) -> BTreeSet<String> {
    thing.answers.iter().flat_map(|it| &it.record.names).map(|given| given.value.to_string()).collect()
}

/// What can be compared with the thing itself.
pub(super) fn what(thing: &PublicThing) -> Markup {
    let names = names(thing);
    let id = thing.identity.id.to_string();
    let serials: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("serial:")).take(SHOWN).collect();
    html! {
        section aria-labelledby="what" {
            h2 #what { "What it is" }
            dl {
                @for which in [Attribute::Manufacturer, Attribute::Model] {
                    @if let Some(value) = thing.attributes.get(&which) {
                        dt { span .upper { (attribute(which)) } } dd { (theirs_brief(value)) }
                    }
                }
                @for serial in &serials { dt { "Serial" } dd .strong { (theirs_brief(serial)) } }
                @if serials.is_empty() { dt { "Kind" } dd { (thing.identity.kind) } }
                @if let IdentityId::Group(_) = thing.identity.id {
                    dt { "Name" } dd .strong { (theirs(&thing.title)) }
                    @for (which, value) in selected(thing).into_iter().take(SHOWN) {
                        dt { span .upper { (attribute(which)) } } dd { (theirs_brief(value)) }
                    }
                }
                @if let IdentityId::Software(_) = thing.identity.id {
                    // In full: the heading cuts a long name, and its version with it.
                    dt { "Name and version" } dd .strong { (theirs(&thing.title)) }
                    dt { "SHA-256" } dd { (code(id.strip_prefix("sha256:").unwrap_or(&id))) }
                }
                @for other in also_called(thing).into_iter().take(SHOWN) {
                    dt { "Also called" } dd { (theirs_brief(other)) }
                }
            }
            @if !serials.is_empty() && matches!(thing.identity.kind, Kind::Device | Kind::Gateway) {
                p .note { "A sticker can be copied: compare the serial number with the one on the thing." }
            }
            @if let IdentityId::Group(_) = thing.identity.id {
                p .note { (holds(thing)) }
            }
        }
    }
}

/// Titles other than the one at the top.
fn also_called(thing: &PublicThing) -> BTreeSet<&str> {
    let all = thing.answers.iter().flat_map(|it| it.record.titles());
    all.filter(|title| *title != thing.title).collect()
}

/// The attributes by which a group selects its members.
fn selected(thing: &PublicThing) -> BTreeSet<(Attribute, &str)> {
    let said = thing.answers.iter().flat_map(|it| &it.record.also_said);
    said.flat_map(|(which, values)| values.iter().map(move |value| (*which, value.as_str()))).collect()
}

/// Which things the statements about a group hold for.
fn holds(thing: &PublicThing) -> &'static str {
    if selected(thing).is_empty() {
        "What is said of this group holds for everything that was put into it by name."
    } else {
        "What is said of this group holds for everything of which all of these are said, and for what was put into it \
         by name."
    }
}
