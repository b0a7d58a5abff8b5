//! What to do next: in front of a thing of which nothing good is known, and at an address that leads nowhere.

use ics_core::record::{Assessment, Outlook};
use maud::{Markup, html};

use super::parts::{name, prose, sentence};
use crate::api::Problem;
use crate::api::problem::Code;

/// What people can do about a thing of which nobody who may says that it is genuine.
pub(super) const COMPARE: &str =
    "Compare what was looked up with what stands on the thing, or ask whoever made it or sold it.";

/// What to do about a thing, unless it may be used as far as anybody says.
pub(super) fn of_thing(assessment: &Assessment) -> Markup {
    let Assessment { outlook, status, stale, cut_short, unheard, .. } = assessment;
    let is_news_missing = !(stale.is_empty() && cut_short.is_empty() && unheard.is_empty());
    html! {
        @match (outlook, status) {
            (Outlook::Permitted | Outlook::NotInUse, _) => {}
            (Outlook::Blocked, Some((_, status))) => {
                p .since { "Ask " (name(&status.by)) " what is to be done with it." }
            }
            (Outlook::Unknown, _) if is_news_missing => {
                p .since { "Look again later. Until then, treat it as something that may be blocked." }
            }
            _ => { p .since { (COMPARE) } }
        }
    }
}

/// What went wrong, for people who have followed a link or scanned a code; the API's words are about requests.
pub(super) fn title(problem: &Problem) -> &str {
    match Code::named(problem.code()) {
        Some(Code::MalformedPath | Code::MalformedQuery | Code::MalformedRequest) => "this address is not right",
        Some(Code::UnknownRoute) => "there is no such page",
        Some(Code::MethodNotAllowed) => "this address is only for what a form sends",
        Some(Code::TooManyRequests) => "please wait a moment",
        _ => &problem.title,
    }
}

/// What to do about it, for the same people.
pub(super) fn hint(problem: &Problem) -> Markup {
    html! {
        @match Code::named(problem.code()) {
            Some(Code::MalformedPath) => {
                p .note .hint { "Scan the code again, or type the number that stands on the thing." }
            }
            Some(Code::MalformedQuery | Code::MalformedRequest | Code::TooManyRequests) => {}
            Some(Code::UnknownRoute) => {
                p .note .hint {
                    "What stands on a thing can be looked up here. For programs, " a href="/openapi.json" { "the API" }
                    " is described."
                }
            }
            Some(Code::MethodNotAllowed) => { p .note .hint { "Go back to the page with the form." } }
            Some(Code::OperatorOnly) => {
                p .note .hint { a href="/operator" { "Sign in on the operator's page" } ", and try again from there." }
            }
            Some(Code::UnknownDomain) => {
                p .note .hint { a href="/" { "The first page" } " lists the domains that are held here." }
            }
            Some(Code::Busy | Code::Behind | Code::NoRoom) => { p .note .hint { "Try again in a moment." } }
            _ => {
                @if let Some(hint) = &problem.hint { p .note .hint { (prose(&sentence(hint))) } }
            }
        }
    }
}
