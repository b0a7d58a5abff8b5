//! What a domain speaks of, for people to go through; by label it is a certification body's public register.

use ics_core::vocabulary::DomainName;
use maud::{Markup, html};

use super::parts::{code, confirmed, look, mark, theirs_brief};
use super::shell::{Site, page};
use super::thing::{given_label, word};
use super::{path_of, register_of, segment};
use crate::app::{Assessed, Register};
use crate::explain;
use crate::words::{clean, short};

/// A page of the register.
#[must_use]
pub fn register(site: &Site, register: &Register) -> Markup {
    let Register { domain, label, as_of, things, next, cut_short } = register;
    let label = label.as_deref();
    let main = html! {
        div .head { h1 { "Register of " (domain) } }
        (search(domain, label))
        section .block aria-labelledby="listed" {
            h2 #listed {
                @match label {
                    Some(_) if as_of.is_fresh() => { "What has this label" }
                    Some(_) => { "What had this label when last heard of" }
                    None => { "What it speaks of" }
                }
            }
            p .note { (confirmed(as_of)) }
            @if *cut_short { p { strong { "Not all is shown" } ": " (explain::MAY_MISS) "." } }
            @if things.is_empty() { p .none { (nothing(next.is_some())) } }
            ul .things .who { @for thing in things { (line(thing, Some(domain))) } }
            @if let Some(next) = next {
                p { a rel="next" href=(register_of(domain, label, Some(*next))) { "Next page" } }
            }
        }
        p .note {
            "A label that has ended, was taken back, or comes from somebody who may no longer give it is not listed. "
            "A thing that is blocked keeps its labels: whether each may be used is what all domains say that are held "
            "here. "
            a href=(listing_of(domain, label)) { "The same as JSON" } "."
        }
    };
    page(site, &format!("Register of {domain}"), &main)
}

/// The form for a label, filled with the one that was asked for.
fn search(domain: &DomainName, label: Option<&str>) -> Markup {
    html! {
        form .search role="search" action=(register_of(domain, None, None)) method="get" {
            label for="label" { "Label" }
            div {
                input #label type="search" name="label" value=(clean(label.unwrap_or_default())) maxlength="1024"
                    autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="forms";
                button type="submit" { "Show" }
            }
            p #forms .note { "In full, as it is given. Without one, everything is listed of which the domain speaks." }
        }
    }
}

/// Only a part of a long log is looked at for one page.
const fn nothing(goes_on: bool) -> &'static str {
    if goes_on { "Nothing so far: the search goes on on the next page." } else { "Nothing that you may see." }
}

/// The listing of the API that the page shows.
fn listing_of(domain: &DomainName, label: Option<&str>) -> String {
    let label = label.map(|label| format!("?label={}", segment(label))).unwrap_or_default();
    format!("/v1/domains/{domain}/identities{label}")
}

/// A thing in a list, with what it amounts to, and with the labels that a domain gives it if that is the domain's list.
pub(super) fn line(thing: &Assessed, of: Option<&DomainName>) -> Markup {
    let Assessed { summary, assessment } = thing;
    let (class, shape) = look(assessment.outlook);
    html! {
        li .(class) { (mark(shape)) span {
            a href=(path_of(&summary.id)) { (theirs_brief(&summary.title)) }
            " " (summary.kind)
            @for (_, value) in summary.attributes.iter().take(4) { ", " (theirs_brief(value)) }
            br; span .whole { (word(assessment)) }
            @if let Some(domain) = of { @for label in &summary.labels { br; (given_label(domain, label)) } }
            br; small { (code(&short(&summary.id))) }
        } }
    }
}
