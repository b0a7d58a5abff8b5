//! What a domain speaks of, for people to go through; by label it is a certification body's public register.

use std::collections::BTreeSet;

use ics_core::limits;
use ics_core::record::{Assessment, GivenLabel, Outlook};
use ics_core::vocabulary::{Attribute, DomainName};
use maud::{Markup, html};

use super::parts::{by_whom, code, confirmed, dotted, given_label, look, mark, theirs, theirs_brief, what_for};
use super::shell::{Site, page};
use super::thing::word;
use super::{path_of, query, register_of};
use crate::app::{Assessed, Register};
use crate::explain;
use crate::words::{MAY_MISS, attribute, brief, clean, counted_entries, short};

/// How many attributes of a thing a line names.
const ATTRIBUTES: usize = 4;

/// A page of the register.
#[must_use]
pub fn register(site: &Site, register: &Register) -> Markup {
    let Register { domain, purpose, label, lot, as_of, things, after, next, .. } = register;
    let (label, lot) = (label.as_deref(), lot.as_deref());
    let listing = format!("/v1/domains/{domain}/identities{}", query(label, lot, *after));
    let main = html! {
        div .head { h1 { "Register of " (dotted(domain.as_str())) } }
        @if !purpose.is_empty() { p .note { (what_for(purpose)) } }
        (search(domain, label, lot))
        (doubts(register))
        section .block aria-labelledby="listed" {
            h2 #listed {
                @match (label, lot) {
                    (Some(_), _) if as_of.is_fresh() => { "What has this label" }
                    (Some(_), _) => { "What had this label when last heard of" }
                    (None, Some(_)) => { "What is of this lot" }
                    (None, None) => { "What it speaks of" }
                }
            }
            @if let Some(label) = label { p .strong { (theirs(label)) } }
            @if let Some(lot) = lot { p { "Lot " (theirs(lot)) } }
            p .note { (confirmed(as_of)) }
            @if things.is_empty() { p .none { (nothing(after.is_some(), next.is_some())) } }
            ul .things .who {
                @for thing in things { (line(thing, &labels(domain, label.is_some(), &thing.summary.labels))) }
            }
            @if let Some(next) = next {
                p {
                    a rel="next" href=(register_of(domain, label, lot, Some(*next))) { "Next page" }
                    (looked_through(*next, as_of.size))
                }
            }
            @if after.is_some() {
                p { a href=(register_of(domain, label, lot, None)) { "Back to the first page" } }
            }
        }
        p .note {
            "What a label means is for those to say who give it. One that has ended, was taken back, or comes from "
            "somebody who may no longer give it is not listed. A thing that is blocked keeps its labels: what stands "
            "below its name is what all domains say that are held here. "
            a href=(listing) { "The same as JSON" } ". "
            a href={ "/v1/domains/" (domain) "/descriptor" } { "Who may say what in this domain, as JSON" } "."
        }
    };
    let about = match label {
        Some(label) => format!("{} · Register of {domain}", brief(&clean(label), 60)),
        None => format!("Register of {domain}"),
    };
    page(site, &about, &main)
}

/// The form for a label and a lot, filled with what was asked for. A label that was given to very many lots can be
/// looked up with the lot only.
fn search(domain: &DomainName, label: Option<&str>, lot: Option<&str>) -> Markup {
    html! {
        form .search role="search" action=(register_of(domain, None, None, None)) method="get" {
            label for="label" { "Label" }
            div {
                input #label type="search" name="label" value=(clean(label.unwrap_or_default())) maxlength="1024"
                    autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="forms";
            }
            label for="lot" { "Lot" }
            div {
                input #lot type="search" name="lot" value=(clean(lot.unwrap_or_default())) maxlength="1024"
                    autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="forms";
                button type="submit" { "Show" }
            }
            p #forms .note {
                "Each in full, as it is given: capitals count. Without either, everything is listed of which the domain "
                "speaks."
            }
        }
    }
}

/// Why something may be missing, and why of some things nobody can tell whether they may be used.
fn doubts(register: &Register) -> Markup {
    let of = |which: fn(&Assessment) -> &[DomainName]| {
        register.things.iter().flat_map(|thing| which(&thing.assessment)).collect::<BTreeSet<_>>()
    };
    let (unheard, cut_short, stale) = (of(|it| &it.unheard), of(|it| &it.cut_short), of(|it| &it.stale));
    // Whoever certifies things rarely holds the domains of all who make them.
    let is_unconfirmed = register.things.iter().any(|thing| thing.assessment.outlook == Outlook::NotVouched);
    let all_is_known = unheard.is_empty() && cut_short.is_empty() && stale.is_empty() && !is_unconfirmed;
    html! {
        @if register.cut_short || !all_is_known {
            section .block .warn aria-labelledby="doubts" {
                h2 #doubts { "What is not known here" }
                ul .points {
                    @if register.cut_short { li { span .upper { (MAY_MISS) } "." } }
                    @for domain in unheard { li { (domain) " was not heard: what it says may block the use." } }
                    @for domain in cut_short { li { (domain) " " (explain::NOT_SHOWN) "." } }
                    @for domain in stale { li { "The last news of " (domain) " is too old to rely on." } }
                    @if is_unconfirmed {
                        li {
                            "Of what is not confirmed, no domain that is held here says that it is genuine: ask a node "
                            "that holds the domain of whoever makes it."
                        }
                    }
                }
            }
        }
    }
}

/// Only a part of a long log is looked at for one page.
const fn nothing(is_later: bool, goes_on: bool) -> &'static str {
    match (is_later, goes_on) {
        (_, true) => "Nothing in this part of the log. The search goes on with the next page.",
        (true, false) => "Nothing more that you may see.",
        (false, false) => "Nothing that you may see.",
    }
}

/// How far a listing has got, so that whoever may see few things knows how many short pages are still to come. A place
/// in its second part, behind what the domain introduces, is none in the log.
fn looked_through(next: u64, size: u64) -> Markup {
    html! {
        @if next < size {
            " " small { "Of " (counted_entries(size)) " of the log, " (next.saturating_add(1)) " are looked through." }
        }
    }
}

/// The labels of a thing, without their name if it is the one that was asked for.
fn labels(domain: &DomainName, is_asked_for: bool, given: &[GivenLabel]) -> Markup {
    html! {
        @for label in given {
            br;
            @if is_asked_for { "Labelled by " (by_whom(label)) } @else { (given_label(domain, label)) }
        }
        // A summary names no more, and does not say whether there are.
        @if given.len() >= limits::LABELS_LISTED { br; "There may be more: see its page." }
    }
}

/// Whether people know what an attribute is without its name: who makes a thing, and how the maker calls it. A number
/// may be anything.
const fn tells_by_itself(attribute: Attribute) -> bool {
    matches!(attribute, Attribute::Manufacturer | Attribute::Make | Attribute::Model)
}

/// A thing in a list, with what it amounts to, and what else is to be shown of it.
pub(super) fn line(thing: &Assessed, more: &Markup) -> Markup {
    let Assessed { summary, assessment } = thing;
    let (class, shape) = look(assessment.outlook);
    let attributes = Attribute::ALL.iter().filter_map(|it| Some((*it, summary.attributes.get(it.as_str())?)));
    // What has no name of its own is called by its kind and a number.
    let is_called_so = summary.title.strip_prefix(summary.kind.as_str()).is_some_and(|rest| rest.starts_with(' '));
    html! {
        li .(class) { (mark(shape)) span {
            a href=(path_of(&summary.id)) { (theirs_brief(&summary.title)) }
            @if !is_called_so { " " (summary.kind) }
            @for (which, value) in attributes.take(ATTRIBUTES) {
                ", " @if !tells_by_itself(which) { (attribute(which)) " " } (theirs_brief(value))
            }
            br; span .whole { (word(assessment)) }
            (more)
            br; small { (code(&short(&summary.id))) }
        } }
    }
}
