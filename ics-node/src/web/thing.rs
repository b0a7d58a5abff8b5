//! The public page of one thing: the first screen has what someone in front of the thing must know; then why.

use std::collections::BTreeSet;

use ics_core::identity::Kind;
use ics_core::record::{Assessment, By, GivenLabel, GivenStatus, Listed, Outlook, Record, Standing};
use ics_core::vocabulary::DomainName;
use maud::{Markup, html};

use super::parts::{
    Mark, code, confirmed, given_label, look, mark, name, prose, theirs, theirs_brief, time, whole_group,
};
use super::shell::{Site, page};
use super::what::{names, what};
use super::{advice, path_of, register_of, segment};
use crate::api::{Point, RecordAnswer, Section};
use crate::app::{PublicThing, Software};
use crate::qr::Qr;
use crate::words::{attribute, because, brief, clean, counted, short};
use crate::{explain, openpgp};

/// How many statements of one domain the page lists; the API returns all.
const LISTED: usize = 100;
/// How many signers, labels, grants and serial numbers it names; the explanation names all.
pub(super) const SHOWN: usize = 8;

/// The page. `path` is the path by which it was reached, for the code that leads back to it.
#[must_use]
pub fn thing(site: &Site, thing: &PublicThing, path: &str) -> Markup {
    let main = html! {
        div .screen {
            (answer(thing))
            div .facts {
                (what(thing))
                (vouchers(thing))
                (software(thing))
                (fresh(thing))
            }
        }
        (conflicts(thing))
        (why(thing))
        (details(thing))
        (history(thing))
        (proofs(thing))
        (label(site, path))
    };
    page(site, &brief(&clean(&thing.title), 60), &main)
}

/// The answer, to be understood at a glance.
fn answer(thing: &PublicThing) -> Markup {
    let (class, shape) = look(thing.assessment.outlook);
    html! {
        section .answer .(class) aria-labelledby="answer" {
            (mark(shape))
            div {
                h1 { (theirs_brief(&thing.title)) }
                p .word #answer { (word(&thing.assessment)) }
                p .since { (since(thing)) }
                @for id in successors(thing) {
                    p .since { "Replaced by " a href=(path_of(id)) { (code(id)) } "." }
                }
                @for domain in &thing.assessment.unheard {
                    p .warning { (domain) " was not heard: what it says may block the use." }
                }
                @for domain in &thing.assessment.cut_short {
                    p .warning { (domain) " " (explain::NOT_SHOWN) "." }
                }
                @if thing.assessment.conflict {
                    p .warning { "Not everybody agrees: " a href="#conflicts" { "see the conflict" } "." }
                }
                (advice::of_thing(&thing.assessment))
            }
        }
    }
}

/// The successors that the domains name.
fn successors(thing: &PublicThing) -> BTreeSet<&str> {
    let given = thing.answers.iter().flat_map(|it| &it.succeeded_by);
    given.map(|given| given.value.as_str()).take(SHOWN).collect()
}

/// Whether it may be used, in a word or two.
pub(super) fn word(assessment: &Assessment) -> Markup {
    let status = assessment.status.as_ref().map(|(_, status)| status.name.as_str().replace('-', " "));
    let status = status.as_deref();
    html! {
        @match (assessment.outlook, status) {
            (Outlook::Permitted, Some(status)) => { "Genuine, " (status) }
            (Outlook::Permitted, None) => { "Genuine" }
            (Outlook::Blocked, Some(status)) => { "Do not use: " (status) }
            (Outlook::Blocked, None) => { "Do not use" }
            (Outlook::NotVouched, _) => { "Not confirmed" }
            (Outlook::Unknown, _) => { "Nobody can tell" }
            (Outlook::NotInUse, Some(status)) => { "Genuine, " (status) }
            (Outlook::NotInUse, None) => { "Genuine, no status" }
        }
    }
}

fn since(thing: &PublicThing) -> Markup {
    let status = thing.assessment.status.as_ref();
    html! {
        @match (thing.assessment.outlook, status) {
            (Outlook::Unknown, status) => {
                @match (thing.assessment.unheard.as_slice(), thing.assessment.stale.as_slice()) {
                    ([], []) if thing.assessment.cut_short.is_empty() => {
                        "The domains differ on what kind of thing this is."
                    }
                    ([], []) => { "Not all that was said about it is shown at present." }
                    ([], _) => {
                        "The last news is too old to rely on. "
                        @if let Some((_, status)) = status {
                            "When last heard of, it was " span .whole { (status.name) } "."
                        }
                    }
                    _ => {
                        "Not every domain that may block it was heard. "
                        @if let Some((_, status)) = status {
                            "From what was heard, it is " span .whole { (status.name) } "."
                        }
                    }
                }
            }
            (Outlook::NotVouched, None) => { "Nobody entitled to vouch for it says that this is what it claims to be." }
            (Outlook::NotVouched, Some((domain, status))) => {
                "Nobody entitled to vouch for it says that this is what it claims to be. " (given(thing, domain, status))
            }
            (_, Some((domain, status))) => { (given(thing, domain, status)) }
            (_, None) => { "Somebody vouches for it; nobody has released it, put it into use or blocked it." }
        }
    }
}

fn given(thing: &PublicThing, domain: &DomainName, status: &GivenStatus) -> Markup {
    let record = thing.answers.iter().map(|it| &it.record).find(|record| record.domain == *domain);
    let is_by_owners = record.is_some_and(|record| explain::is_by_owners(record, &status.by));
    html! {
        span .upper { (status.name.as_str().replace('-', " ")) } " since " (time(status.since)) ", says "
        (name(&status.by)) ", " (capacity(&status.by, is_by_owners))
        @if let Some(group) = &status.by.group { ", of its " (whole_group(group)) }
        "."
        @match &status.reason {
            Some(reason) => { " “" (theirs_brief(reason)) "”" }
            None if is_by_owners => { " Its words are erased; that it blocks stays until it is lifted." }
            None => {}
        }
    }
}

/// The capacity in which a signer speaks: a role, or as an owner of the domain who erased what was said.
fn capacity(by: &By, is_by_owners: bool) -> Markup {
    html! { @if is_by_owners { "an owner of the domain" } @else { (by.role) } }
}

fn vouchers(thing: &PublicThing) -> Markup {
    let mut seen = BTreeSet::new();
    let all = thing.answers.iter().flat_map(|it| {
        let vouched = it.record.vouched.iter().map(|by| ("vouches", by));
        vouched.chain(it.record.approvals.iter().map(|by| ("approves", by)))
    });
    let by: Vec<(&str, &By)> = all.filter(|(what, by)| seen.insert((*what, by.signer, by.role.clone()))).collect();
    let mut seen = BTreeSet::new();
    let records = thing.answers.iter().map(|it| &it.record);
    let labels = records.flat_map(|record| record.labels.iter().map(move |label| (&record.domain, label)));
    let labels: Vec<(&DomainName, &GivenLabel)> =
        labels.filter(|(_, label)| seen.insert((label.by.signer, &label.value, label.until))).collect();
    let more = by.len().saturating_sub(SHOWN) + labels.len().saturating_sub(SHOWN);
    html! {
        section aria-labelledby="who" {
            h2 #who { "Who stands behind it" }
            ul .who {
                @for (what, by) in by.iter().take(SHOWN) {
                    li { (mark(Mark::Tick)) span { strong { (name(by)) } ", " (by.role) ", " (what) } }
                }
                @for (domain, label) in labels.iter().take(SHOWN) {
                    li {
                        (mark(Mark::Tick))
                        span { (given_label(domain, label)) }
                    }
                }
                @if more > 0 { li { span { "And " (more) " more: " a href="#why" { "see who says so" } "." } } }
                @if by.is_empty() { li .bad { (mark(Mark::Exclamation)) span { "Nobody entitled to vouch for it." } } }
            }
        }
    }
}

/// What is installed on it, and what else may be.
fn software(thing: &PublicThing) -> Markup {
    let is_installed = |software: &Software| thing.installed.iter().any(|it| it.id == software.id);
    let others = thing.allowed.iter().filter(|it| !is_installed(it));
    let all: Vec<&Software> = thing.installed.iter().chain(others).collect();
    html! {
        @if !all.is_empty() || matches!(thing.identity.kind, Kind::Device | Kind::Gateway) {
            section aria-labelledby="software" {
                h2 #software { "Software" }
                // There may still be some: hidden, not usable, or beyond what was looked at.
                @if all.is_empty() { p .none { "No software is shown for it here." } }
                ul .who { @for software in all { (piece(software, is_installed(software))) } }
                @if thing.allows_more { p .none { "There may be more for its model: only the newest is looked at." } }
            }
        }
    }
}

fn piece(software: &Software, is_installed: bool) -> Markup {
    let (class, shape) = software.outlook.map_or(("unsure", Mark::Question), look);
    html! {
        li .(class) {
            (mark(shape))
            span {
                a href=(path_of(&software.id)) { (theirs_brief(&software.title)) }
                @match (&software.status, software.outlook) {
                    (Some(status), _) => { ", " (status.replace('-', " ")) }
                    (None, Some(_)) => { ", no status" }
                    (None, None) => { ", not known here" }
                }
                ", " (if is_installed { "installed" } else { "allowed" })
            }
        }
    }
}

/// How fresh the answer is: no fresher than the oldest news of any domain.
fn fresh(thing: &PublicThing) -> Markup {
    let oldest = thing.answers.iter().max_by_key(|it| (!it.as_of.is_fresh(), it.as_of.age_seconds.unwrap_or(u64::MAX)));
    html! {
        section aria-labelledby="fresh" {
            h2 #fresh { "How fresh" }
            @if let Some(RecordAnswer { as_of, record, .. }) = oldest {
                @let is_fresh = as_of.is_fresh();
                ul .who {
                    li .(if is_fresh { "good" } else { "unsure" }) {
                        (mark(if is_fresh { Mark::Tick } else { Mark::Question }))
                        span { (confirmed(as_of)) @if !is_fresh { (place(thing, &record.domain)) } }
                    }
                }
            }
        }
    }
}

/// The keys with which its developer has signed a piece of software, each once.
fn developers(thing: &PublicThing) -> BTreeSet<String> {
    let given = thing.answers.iter().flat_map(|it| &it.record.signatures);
    given.map(|it| format!("by its developer: {} key {}", it.value.form, it.value.key)).take(SHOWN).collect()
}

/// In which domain something is so, if there are several: whoever is an owner in one need not be one in another.
fn place(thing: &PublicThing, domain: &DomainName) -> Markup {
    html! { @if thing.answers.len() > 1 { ", in " (domain) } }
}

/// Further details.
fn details(thing: &PublicThing) -> Markup {
    html! {
        section .block aria-labelledby="details" {
            h2 #details { "Details" }
            dl {
                dt { "Kind" } dd { (thing.identity.kind) }
                @for (which, value) in &thing.attributes {
                    dt { span .upper { (attribute(*which)) } } dd { (theirs(&brief(value, 200))) }
                }
                @for name in names(thing).iter().take(LISTED) { dt { "Name" } dd { bdi { (code(name)) } } }
                dt { @if thing.identity.kind.has_key() { "Key" } @else { "Digest" } }
                dd { (code(&thing.identity.id.to_string())) }
                @for signature in developers(thing) { dt { "Signed" } dd { (code(&signature)) } }
                @for RecordAnswer { record, .. } in &thing.answers {
                    @for grant in record.grants.iter().take(SHOWN) {
                        dt { span .upper { (grant.role) } }
                        dd {
                            @match &grant.name {
                                Some(name) => { (theirs_brief(name)) }
                                None => { (code(&short(&grant.grantee.to_string()))) }
                            }
                            ", granted by " (name(&grant.by)) (place(thing, &record.domain))
                            @if let Some(until) = grant.until { ", until " (time(until)) }
                        }
                    }
                    @for (given, it) in record.grants_to_come().take(SHOWN) {
                        dt { span .upper { (given.role) } " to be" }
                        dd {
                            @match &given.name {
                                Some(name) => { (theirs_brief(name)) }
                                None => { (code(&short(&given.grantee.to_string()))) }
                            }
                            @if let Some(from) = it.from { ", from " (time(from)) }
                            ", granted by " (name(&it.by)) (place(thing, &record.domain))
                            @if let Some(until) = it.until { ", until " (time(until)) }
                        }
                    }
                }
            }
        }
    }
}

fn conflicts(thing: &PublicThing) -> Markup {
    let section = thing.explanation.sections.iter().find(|section| section.title == explain::CONFLICTS);
    html! {
        @if let Some(section) = section {
            section .block .warn #conflicts aria-labelledby="conflicts-title" {
                h2 #conflicts-title { "Conflicts" }
                ul .points { @for point in &section.points { (self::point(point)) } }
            }
        } @else if thing.assessment.conflict {
            section .block .warn #conflicts aria-labelledby="conflicts-title" {
                h2 #conflicts-title { "Conflicts" }
                p { "The domains differ on what kind of thing this is." }
            }
        }
    }
}

fn why(thing: &PublicThing) -> Markup {
    html! {
        section .block aria-labelledby="why" {
            h2 #why { "Why" }
            p { (prose(&thing.explanation.answer)) "." }
            @for Section { title, points } in thing.explanation.sections.iter().filter(|it| it.title != explain::CONFLICTS) {
                h3 { (title) }
                ul .points { @for point in points { (self::point(point)) } }
            }
        }
    }
}

/// A sentence of the explanation, with the entry that supports it.
fn point(point: &Point) -> Markup {
    html! {
        li {
            (prose(&point.text)) "."
            @if let Some((domain, index)) = point.domain.as_ref().zip(point.index) {
                " " a .entry href={ "/v1/domains/" (domain) "/entries/" (index) } { "Entry " (index) " of " (domain) }
            }
        }
    }
}

fn history(thing: &PublicThing) -> Markup {
    html! {
        section .block aria-labelledby="history" {
            h2 #history { "History" }
            @for RecordAnswer { record, .. } in &thing.answers {
                h3 { a href=(register_of(&record.domain, None, None, None)) { (record.domain) } }
                ol .history {
                    @for listed in record.statements.iter().rev().take(LISTED) { (event(record, listed)) }
                }
                @let more = record.statements.len().saturating_sub(LISTED);
                @if more > 0 { p .note { "The JSON below also has " (counted(more, "older statement")) "." } }
            }
        }
    }
}

fn event(record: &Record, listed: &Listed) -> Markup {
    let stands = listed.standing == Standing::Stands;
    let ended = listed.ended_by.and_then(|id| record.statement(id));
    html! {
        li .(if stands { "stands" } else { "ended" }) {
            p .what { (time(listed.admitted_at)) " " strong { (name(&listed.by)) } " " (prose(&explain::says(listed))) }
            p .detail {
                "as " (capacity(&listed.by, explain::is_of_owners(listed)))
                @if !stands {
                    @if listed.is_to_come() { "; does not count yet: " } @else { "; no longer counts: " }
                    bdi { (because(listed)) }
                    @if let Some(ended) = ended { ", entry " (ended.by.index) }
                }
                @if let Some(source) = listed.source.first() { "; adopted from " (source.domain) }
                ". "
                a href={ "/v1/domains/" (record.domain) "/entries/" (listed.by.index) } {
                    "Entry " (listed.by.index) " with proof"
                }
                " · "
                a href={ "/statement/" (record.domain) "/" (listed.by.index) }
                    download=(entry_file(&record.domain, listed.by.index)) { "OpenPGP" }
            }
        }
    }
}

/// The file name under which an entry's OpenPGP is saved. Like all of them it names the domain, or a browser would
/// rename what another domain says of the same thing, and the commands would check the wrong file.
fn entry_file(domain: &DomainName, index: u64) -> String {
    format!("{domain}.entry-{index}.asc")
}

/// How the names of a domain's other files about a thing begin.
fn file_of(domain: &DomainName, id: &str) -> String {
    let id = short(id.strip_prefix("sha256:").unwrap_or(id));
    format!("{domain}.{}", id.trim_end_matches('…'))
}

/// The newest statement of a record whose body has not been erased.
fn newest(record: &Record) -> Option<u64> {
    record.statements.iter().rev().find(|listed| !listed.erased).map(|listed| listed.by.index)
}

/// Commands that check the files offered for the first domain.
fn commands(thing: &PublicThing, id: &str) -> Vec<String> {
    let Some(first) = thing.answers.first().map(|it| &it.record) else { return Vec::new() };
    let file = file_of(&first.domain, id);
    let mut commands = vec![format!("ics verify --document {file}.evidence.json")];
    let statement = newest(first).map(|index| entry_file(&first.domain, index));
    match (openpgp::version(first), statement) {
        (Some(4), _) if thing.identity.kind.has_key() => {
            commands.push(format!("gpg --allow-non-selfsigned-uid --import {file}.asc"));
            // The whole fingerprint: gpg takes 16 digits for a key id, which for a version 4 key are the last ones.
            commands.push(format!("gpg --list-options show-notations --check-sigs {id}"));
        }
        (Some(_), _) if thing.identity.kind.has_key() => {
            commands.push(format!("sq inspect --certifications {file}.asc"));
        }
        (Some(4), Some(statement)) => {
            commands.push(format!("gpg --import {file}.asc"));
            commands.push(format!("gpg --verify {statement}"));
        }
        (Some(_), Some(statement)) => {
            commands.push(format!("sq verify --signer-file {file}.asc --message {statement}"));
        }
        (None, _) | (_, None) => {}
    }
    commands
}

/// The programs that read OpenPGP of a version.
const fn readers(version: u8) -> &'static str {
    if version == 4 { "for gpg and sq" } else { "for sq" }
}

/// Everything to take away and check.
fn proofs(thing: &PublicThing) -> Markup {
    let id = thing.identity.id.to_string();
    let has_key = thing.identity.kind.has_key();
    html! {
        section .block aria-labelledby="proofs" {
            h2 #proofs { "Check it yourself" }
            @for RecordAnswer { record, .. } in &thing.answers {
                @let domain = &record.domain;
                @let file = file_of(domain, &id);
                @let of = format!("/v1/domains/{domain}/identities/{}", segment(&id));
                h3 { (domain) }
                ul .downloads {
                    li { a href={ (of) "/evidence" } download={ (file) ".evidence.json" } { "Evidence pack" } small { "statements, rules and proofs" } }
                    @if let Some(version) = openpgp::version(record) {
                        li { a href={ "/keyring/" (domain) "/" (segment(&id)) } download={ (file) ".asc" } {
                            @if has_key { "OpenPGP keyring" } @else { "Signers' certificates" }
                        } small { (readers(version)) } }
                        @if let Some(index) = newest(record).filter(|_| !has_key) {
                            li { a href={ "/statement/" (domain) "/" (index) } download=(entry_file(domain, index)) {
                                "Newest statement"
                            } small { (readers(version)) } }
                        }
                    }
                    li { a href=(of) download={ (file) ".json" } { "Record" } small { "JSON" } }
                    li { a href={ (of) "/history" } download={ (file) ".history.json" } { "History" } small { "JSON" } }
                    li { a href={ "/v1/domains/" (domain) "/checkpoint" } { "Checkpoint" } small { "signed by the home" } }
                }
            }
            @let first = thing.answers.first().map(|it| &it.record.domain);
            p {
                "Without a network, and without trusting this node"
                @if let Some(domain) = first.filter(|_| thing.answers.len() > 1) { ", with the files of " (domain) }
                ":"
            }
            pre tabindex="0" aria-label="Commands that check the downloads" {
                code { @for command in commands(thing, &id) { (command) "\n" } }
            }
        }
    }
}

/// The code that leads to this page, to be printed.
fn label(site: &Site, path: &str) -> Markup {
    let url = format!("{}{path}", site.url);
    html! {
        @if let Ok(qr) = Qr::new(&url) {
            section .block .label aria-labelledby="label" {
                h2 #label { "This page as a code" }
                svg .qr viewBox={ "0 0 " (qr.side()) " " (qr.side()) } role="img" aria-label={ "QR code of " (url) } {
                    path .ground d={ "M0 0h" (qr.side()) "v" (qr.side()) "H0z" } {}
                    path .ink d=(qr.path()) {}
                }
                p { (code(&url)) }
            }
        }
    }
}
