//! Look-ups, and what is shown if there is nothing to show.

use ics_core::vocabulary::DomainName;
use maud::{Markup, html};

use super::advice::{self, COMPARE};
use super::parts::{Mark, begun, mark, prose, sentence, theirs_brief, what_for};
use super::register::line;
use super::register_of;
use super::shell::{Site, page};
use crate::api::Problem;
use crate::app::Assessed;
use crate::words::{brief, clean};

/// The look-up form, filled with the last query.
fn search(asked: &str) -> Markup {
    html! {
        form .search role="search" action="/" method="get" {
            label for="q" { "Serial number, fingerprint, hash, URN or host name" }
            div {
                input #q type="search" name="q" value=(clean(asked)) maxlength="512" autocomplete="off"
                    autocapitalize="off" spellcheck="false" required aria-describedby="forms";
                button type="submit" { "Look up" }
            }
            p #forms .note {
                "As it stands on the thing. Also " code { "urn:…" } ", " code { "host:…" } ", " code { "sha256:…" }
                ", a hardware address, or the address of a QR code. "
                "Software is found by its hash: one name has many versions."
            }
        }
    }
}

/// The first page, with the domains that are held here and what each is for; `None` if it cannot be shown.
#[must_use]
pub fn home(site: &Site, domains: &[(DomainName, Option<String>)]) -> Markup {
    let main = html! {
        section .welcome {
            h1 { "What is this thing, and may it be used?" }
            p .lead { "Who vouches for it, what its status is now, who says so, and how fresh that is: with proof." }
            (search(""))
        }
        section .block aria-labelledby="here" {
            h2 #here { "Domains that are held here" }
            p .note {
                "A domain is the log of one party: whoever makes things, looks after them or certifies them signs what "
                "there is to say about them. What stands in a log cannot be changed unnoticed. Each name leads to the "
                "domain's register: of which things it speaks, which labels they have, and until when."
            }
            @if domains.is_empty() { p .none { "None yet." } }
            @else { ul .plain { @for (domain, purpose) in domains { (held(domain, purpose.as_deref())) } } }
        }
    };
    page(site, "Look up", &main)
}

/// A domain that is held here, with a link only if that leads anywhere.
fn held(domain: &DomainName, purpose: Option<&str>) -> Markup {
    html! {
        li {
            @match purpose {
                Some(text) => {
                    a href=(register_of(domain, None, None, None)) { (domain) }
                    @if !text.is_empty() { br; small { (what_for(text)) } }
                }
                None => { (domain) br; small { "It cannot be shown at present." } }
            }
        }
    }
}

/// Nothing is known, or nothing that may be shown: both look alike.
#[must_use]
pub fn nothing(site: &Site, asked: &str) -> Markup {
    let main = html! {
        section .answer .unsure aria-labelledby="answer" {
            (mark(Mark::Question))
            div {
                h1 { (theirs_brief(asked)) }
                p .word #answer { "Nothing that you may see is known of it here" }
                p .since {
                    "That does not mean that it is genuine, nor that it is not. " (COMPARE)
                }
            }
        }
        section .welcome { h2 { "Look up something else" } (search(asked)) }
    };
    page(site, "Nothing to show", &main)
}

/// For a name that fits several things: it says nothing of any, so each is listed with its own answer.
#[must_use]
pub fn several(site: &Site, asked: &str, things: &[Assessed]) -> Markup {
    let main = html! {
        section .answer .unsure aria-labelledby="answer" {
            (mark(Mark::Question))
            div {
                h1 { (theirs_brief(asked)) }
                p .word #answer { (things.len()) " things have this name" }
                p .since { "A name that several things have identifies none of them. Which one is it?" }
            }
        }
        section .block aria-labelledby="which" {
            h2 #which { "Which one" }
            ul .things .who {
                @for thing in things { (line(thing, &html! {})) }
            }
        }
    };
    page(site, "Several things", &main)
}

/// A request that was refused, with the reason.
#[must_use]
pub fn refused(site: &Site, problem: &Problem) -> Markup {
    let title = begun(advice::title(problem));
    let main = html! {
        section .answer .unsure aria-labelledby="answer" {
            (mark(Mark::Exclamation))
            div {
                h1 { "Error " (problem.status) }
                p .word #answer { (title) }
                p .since { (prose(&sentence(&brief(&problem.detail, 300)))) }
            }
        }
        (advice::hint(problem))
        section .welcome { h2 { "Look something up" } (search("")) }
    };
    page(site, &title, &main)
}
