//! Parts that several pages share.

use ics_core::record::{By, Digest, GivenLabel, Outlook};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use maud::{Markup, html};

use super::{path_of, register_of};
use crate::api::AsOf;
use crate::words::{brief, clean, day, short, span, when};

/// Characters of a name that pages show outside of lists.
const NAME_CHARACTERS: usize = 96;
/// Characters that pages show of what a domain is for.
const PURPOSE_CHARACTERS: usize = 200;

/// Text that others wrote: inert, and unable to change the direction of its surroundings.
pub(super) fn theirs(text: &str) -> Markup {
    html! { bdi { (clean(text)) } }
}

/// As [`theirs`], cut if it is long.
pub(super) fn theirs_brief(text: &str) -> Markup {
    html! { bdi { (brief(&clean(text), NAME_CHARACTERS)) } }
}

/// What a domain is for, in its owners' words.
pub(super) fn what_for(purpose: &str) -> Markup {
    theirs(&brief(purpose, PURPOSE_CHARACTERS))
}

/// A name with dots, as domains and nodes have: on a narrow screen it breaks after its dots, not within a word.
pub(super) fn dotted(name: &str) -> Markup {
    html! { @for part in name.split_inclusive('.') { (part) wbr; } }
}

/// A sentence of an explanation, with code between backticks.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        bdi {
            @for (place, part) in clean(text).split('`').enumerate() {
                @if place % 2 == 0 { (part) } @else { code { (part) } }
            }
        }
    }
}

/// A text of a problem with a capital at its beginning, unless it begins with code.
pub(super) fn begun(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// As [`begun`], with a full stop.
pub(super) fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    begun(text) + end
}

/// A point in time.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_string()) title=(when(at)) { (day(at)) } }
}

/// When a domain's home last confirmed what is shown, and how long that is good for. A page stays open, or is printed,
/// so it says not only how long ago that was.
pub(super) fn confirmed(as_of: &AsOf) -> Markup {
    html! {
        @match (as_of.time, as_of.age_seconds) {
            (Some(at), Some(age)) if as_of.is_fresh() => {
                strong { "Confirmed " (span(age)) " ago" } " (" (time(at)) "), "
                "good for " (span(as_of.fresh_for_seconds))
            }
            (Some(at), Some(_)) => { strong { "Last confirmed " (time(at)) } ", too old to rely on" }
            _ => { strong { "Never confirmed" } }
        }
    }
}

/// A signer's name, or key if the signer's certificate gives no name.
pub(super) fn name(by: &By) -> Markup {
    html! {
        @match &by.name {
            Some(name) => { (theirs_brief(name)) }
            None => { "the holder of the key " (code(&short(&by.signer.to_string()))) }
        }
    }
}

/// A label, by whom it is given and until when; it leads to the register of the domain, with all that has it there.
pub(super) fn given_label(domain: &DomainName, label: &GivenLabel) -> Markup {
    html! {
        strong { a href=(register_of(domain, Some(&label.value), None, None)) { (theirs_brief(&label.value)) } }
        ", a label by " (by_whom(label))
    }
}

/// Who gives a label, and until when, if it ends by itself.
pub(super) fn by_whom(label: &GivenLabel) -> Markup {
    html! {
        (name(&label.by))
        @if let Some(group) = &label.by.group { ", for its " (whole_group(group)) }
        @match label.until { Some(until) => { ", until " (time(until)) } None => { ", without an end" } }
    }
}

/// A group about which something was said that holds for its members; it leads to what the group selects.
pub(super) fn whole_group(group: &Digest) -> Markup {
    html! { a href=(path_of(&group.to_string())) { "whole group" } }
}

/// Hex and the like: selected as a whole, and broken anywhere.
pub(super) fn code(text: &str) -> Markup {
    html! { code { (clean(text)) } }
}

/// The look of an outlook: a class for the colour, and a shape, because not everyone can tell colours apart.
pub(super) const fn look(outlook: Outlook) -> (&'static str, Mark) {
    match outlook {
        Outlook::Permitted => ("good", Mark::Tick),
        Outlook::Blocked => ("bad", Mark::Cross),
        Outlook::NotVouched => ("bad", Mark::Exclamation),
        Outlook::Unknown => ("unsure", Mark::Question),
        Outlook::NotInUse => ("quiet", Mark::Pause),
    }
}

/// A shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Permitted.
    Tick,
    /// Blocked.
    Cross,
    /// Nobody vouches for it.
    Exclamation,
    /// It cannot be told.
    Question,
    /// Not in use.
    Pause,
}

/// The shape as a picture hidden from screen readers: the words are beside it.
pub(super) fn mark(mark: Mark) -> Markup {
    let path = match mark {
        Mark::Tick => "M12 25l8 8 16-17",
        Mark::Cross => "M14 14l20 20M34 14L14 34",
        Mark::Exclamation => "M24 11v16M24 35v.1",
        Mark::Question => "M17 18c0-5 3-7 7-7s7 3 7 7c0 5-7 5-7 10M24 35.5v.1",
        Mark::Pause => "M18 15v18M30 15v18",
    };
    html! { svg .mark viewBox="0 0 48 48" aria-hidden="true" focusable="false" { path d=(path) {} } }
}
