//! The operator's page: what waits, what goes wrong, what was denied. It changes nothing; if something has to be done
//! that takes a signature, it shows the command.

mod peers;

use std::collections::BTreeSet;

use ics_core::identity::is_cut;
use ics_core::time::Timestamp;
use ics_core::trust::Outcome;
use ics_core::vocabulary::DomainName;
use maud::{Markup, html};

use super::parts::{Mark, code, dotted, mark, prose, theirs, theirs_brief, time};
use super::shell::{Site, page};
use super::{path_of, register_of};
use crate::api::{Alarm, ClockInfo, DomainInfo, Enrolment, FollowInfo, MirrorInfo, Position, is_quiet};
use crate::app::{Denied, ENDING_DAYS, Expiries, Operations, ToApprove, Waiting};
use crate::words::{clean, counted, short, span};

/// The form in which the operator enters the node's token.
#[must_use]
pub fn login(site: &Site, has_token: bool, wrong: Option<&str>) -> Markup {
    let main = html! {
        section .welcome {
            h1 { "For the operator" }
            @if has_token {
                form .login method="post" action="/operator/login" {
                    @if let Some(wrong) = wrong { p .error #wrong role="alert" { (wrong) } }
                    p .lead { "Domains, peers, what waits, what was denied and why." }
                    label for="token" { "Operator's token" }
                    input #token type="password" name="token" autocomplete="current-password" required maxlength="4096" autofocus
                        aria-describedby=[wrong.map(|_| "wrong")];
                    button type="submit" { "Sign in" }
                }
                p .note { "It is in the file that " code { "operator_token_file" } " in ics.toml names." }
            } @else {
                p .lead { "This node has no operator's token, so nobody can sign in." }
                p .note { code { "operator_token_file" } " in ics.toml names the file with one." }
            }
        }
    };
    page(site, "For the operator", &main)
}

/// The page itself. `form` goes into the sign-out form, so that no other page can send it.
#[must_use]
pub fn operations(site: &Site, operations: &Operations, form: &str) -> Markup {
    let main = html! {
        div .head {
            h1 { "Node " (dotted(&operations.node.name)) }
            form method="post" action="/operator/logout" {
                input type="hidden" name="form" value=(form);
                button type="submit" { "Sign out" }
            }
        }
        p .note { "As of " (time(operations.at)) ", version " (operations.node.version) }
        @if let Some(why) = &operations.not_ready {
            section .block .warn aria-labelledby="ready" { h2 #ready { "Not ready" } p { (clean(why)) } }
        }
        @if let Some(lead) = &operations.node.clock { (clock(lead)) }
        (tiles(operations))
        (alarms(operations))
        (domains(operations))
        (followed(operations))
        (peers::section(operations))
        (certificates(&operations.expiries, &operations.responders))
        (outbox(&operations.waiting))
        (enrolments(&operations.enrolments))
        (to_approve(&operations.to_approve))
        (denied(&operations.denied))
    };
    page(site, "Operator", &main)
}

/// The node's own time differs from its machine's, which is no fault of a peer: by it every age on the page is counted.
fn clock(lead: &ClockInfo) -> Markup {
    html! {
        section .block .warn aria-labelledby="clock" {
            h2 #clock { "The node's time is ahead of this machine's clock" }
            p {
                "The clock shows " (time(lead.shows)) ", and the node goes by " (time(lead.time)) ", because "
                @match &lead.led_by {
                    Some(domain) => { (domain) " has confirmed something so late" }
                    None => { "the clock was set back while the node ran" }
                }
                ". How old news is on this page is counted by that."
            }
        }
    }
}

/// The figures at the top of the page.
fn tiles(operations: &Operations) -> Markup {
    let of_domains: usize = operations.domains.iter().map(|info| info.alarms.len()).sum();
    let alarms = of_domains + operations.alarms.len();
    let stale = operations.domains.iter().filter(|info| !is_fresh(info, operations)).count();
    let waiting = operations.enrolments.len() + operations.to_approve.len();
    let forks = operations.forks.len();
    let first_waiting = if operations.enrolments.is_empty() { "approve" } else { "enrolments" };
    html! {
        ul .tiles {
            (tile(operations.domains.len(), plural(operations.domains.len(), "domain", "domains"), ("", "domains")))
            (tile(waiting, "waiting for you", ("unsure", first_waiting)))
            (tile(stale, "out of date", ("unsure", "domains")))
            (tile(alarms, plural(alarms, "alarm", "alarms"), ("bad", "alarms")))
            (tile(forks, plural(forks, "fork", "forks"), ("bad", "alarms")))
        }
    }
}

/// A figure with its class, and the section to which it leads; unless it is 0, since then there may be none.
fn tile(number: usize, text: &str, (class, section): (&str, &str)) -> Markup {
    html! {
        @if number > 0 {
            li .(class) { a href={ "#" (section) } { strong { (number) } span { (text) } } }
        } @else {
            li { strong { (number) } (text) }
        }
    }
}

const fn plural(number: usize, one: &'static str, several: &'static str) -> &'static str {
    if number == 1 { one } else { several }
}

fn age(info: &DomainInfo, operations: &Operations) -> Option<u64> {
    info.info.as_of.map(|time| operations.at.millis_since(time) / 1000)
}

fn is_fresh(info: &DomainInfo, operations: &Operations) -> bool {
    age(info, operations).is_some_and(|age| age <= info.fresh_for_seconds)
}

/// Whether the home of a domain should have been heard of since, long before answers become too old to rely on. What is
/// brought by hand comes when somebody brings it.
fn is_silent(info: &DomainInfo, operations: &Operations) -> bool {
    if info.position == Position::Mirror && info.mirror.is_none() {
        return !is_fresh(info, operations);
    }
    let asked = |mirror: &MirrorInfo| operations.peers.iter().find(|it| it.peer.name.as_str() == mirror.peer);
    let interval_ms = info.mirror.as_ref().and_then(asked).map_or(0, |it| it.peer.interval_ms);
    is_quiet(age(info, operations), interval_ms)
}

fn alarms(operations: &Operations) -> Markup {
    let alarms: Vec<(&DomainInfo, &Alarm)> =
        operations.domains.iter().flat_map(|info| info.alarms.iter().map(move |alarm| (info, alarm))).collect();
    html! {
        @if !alarms.is_empty() || !operations.alarms.is_empty() || !operations.forks.is_empty() {
            section .block .warn aria-labelledby="alarms" {
                h2 #alarms { "Forks and alarms" }
                ul .points {
                    @for (domain, fork) in &operations.forks {
                        li { strong { "Fork" } " of " (domain) ", " (time(fork.at)) ": two signed heads contradict each other; both are kept" }
                    }
                    @for alarm in &operations.alarms {
                        li { strong { (clean(&alarm.kind)) } ", " (time(alarm.at)) ": " (theirs(&alarm.text)) }
                    }
                    @for (info, alarm) in &alarms {
                        li { strong { (clean(&alarm.kind)) } ", " (info.info.domain) ", " (time(alarm.at)) ": " (theirs(&alarm.text)) }
                    }
                }
                p { "To see both heads of a fork, and to clear the alarms that you have looked into:" }
                pre tabindex="0" aria-label="Commands for forks and alarms" {
                    code { @for command in commands(operations) { (command) "\n" } }
                }
            }
        }
    }
}

/// The commands that show what a fork consists of, and that acknowledge alarms.
fn commands(operations: &Operations) -> Vec<String> {
    let forked: BTreeSet<&DomainName> = operations.forks.iter().map(|(domain, _)| domain).collect();
    let forks = forked.into_iter().map(|domain| format!("ics domain forks {domain}"));
    let alarmed = operations.domains.iter().filter(|info| !info.alarms.is_empty());
    let seen = alarmed.map(|info| format!("ics domain acknowledge {}", info.info.domain));
    let of_none = (!operations.alarms.is_empty()).then(|| "ics domain acknowledge --no-domain".to_owned());
    forks.chain(seen).chain(of_none).collect()
}

fn domains(operations: &Operations) -> Markup {
    html! {
        section .block aria-labelledby="domains" {
            h2 #domains { "Domains" }
            div .scroll tabindex="0" role="region" aria-label="Domains" {
                table {
                    thead { tr {
                        th scope="col" { "Domain" } th scope="col" { "Here" } th scope="col" { "State" }
                        th .number scope="col" { "Entries" } th .number scope="col" { "Behind" } th scope="col" { "Confirmed" }
                    } }
                    tbody { @for info in &operations.domains { (domain(info, operations)) } }
                }
            }
        }
    }
}

fn domain(info: &DomainInfo, operations: &Operations) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(register_of(&info.info.domain, None, None, None)) { (info.info.domain) }
                @if !info.description.is_empty() { br; small { (theirs_brief(&info.description)) } }
            }
            td data-of="Here" {
                @match (&info.position, &info.mirror) {
                    (Position::Home, _) => { "home" }
                    (Position::Mirror, Some(mirror)) => { "copy, from " (theirs_brief(&mirror.peer)) }
                    (Position::Mirror, None) => { "copy" }
                }
            }
            td data-of="State" { (state(info, operations)) }
            td .number data-of="Entries" { (info.info.size) }
            td .number data-of="Behind" {
                @match &info.mirror {
                    Some(mirror) => { (behind(mirror.lag_entries, mirror.last_error.is_some())) }
                    None => { "0" }
                }
            }
            td data-of="Confirmed" {
                @match age(info, operations) {
                    Some(age) if is_fresh(info, operations) => { (span(age)) " ago" }
                    Some(age) => { span .state .unsure { (span(age)) " ago, too old" } }
                    None => { span .state .unsure { "never" } }
                }
            }
        }
    }
}

/// What this node's domains follow in others, and the state of that.
fn followed(operations: &Operations) -> Markup {
    let all: Vec<(&DomainInfo, &FollowInfo)> =
        operations.domains.iter().flat_map(|info| info.follows.iter().map(move |it| (info, it))).collect();
    html! {
        @if !all.is_empty() {
            section .block aria-labelledby="followed" {
                h2 #followed { "Followed" }
                ul .points {
                    @for (info, it) in &all {
                        li {
                            (info.info.domain) " follows " strong { (it.source) }
                            @if it.identities > 0 { ", things by their names: " (it.identities) }
                            @for choice in &it.choices { ", " (theirs_brief(choice)) }
                            " " (copying(&it.state, it.last_error.as_deref(), is_source_silent(it, operations)))
                        }
                    }
                }
            }
        }
    }
}

/// What the domains have issued and what of it expires soon; and until when this node may answer OCSP for others.
fn certificates(found: &[Expiries], responders: &[(DomainName, Timestamp)]) -> Markup {
    html! {
        @if !found.is_empty() || !responders.is_empty() {
            section .block aria-labelledby="certificates" {
                h2 #certificates { "Certificates" }
                @if !found.is_empty() { (issued(found)) }
                @for (domain, ends) in responders {
                    p .note {
                        "The certificate by which this node answers OCSP for the issuer of " (domain) " ends " (time(*ends))
                    }
                }
            }
        }
    }
}

fn issued(found: &[Expiries]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Certificates" {
            table {
                thead { tr {
                    th scope="col" { "Domain" } th .number scope="col" { "Issued" }
                    @for days in ENDING_DAYS { th .number scope="col" { "End within " (span(days * 86_400)) } }
                    th .number scope="col" { "Lapsed" } th scope="col" { "Authority ends" }
                    th scope="col" { "Looked at" }
                } }
                tbody { @for it in found {
                    tr {
                        th scope="row" { a href={ "/operator/certificates/" (it.domain) } { (it.domain) } }
                        td .number data-of="Issued" { (it.issued) }
                        @for (days, count) in ENDING_DAYS.iter().zip(it.ending) {
                            td .number data-of={ "End within " (span(days * 86_400)) } { (count) }
                        }
                        td .number data-of="Lapsed" { (it.lapsed) }
                        td data-of="Authority ends" { @if let Some(ends) = it.issuer_ends { (time(ends)) } }
                        td data-of="Looked at" { (time(it.at)) }
                    }
                } }
            }
        }
        p .note { "Certificates that are ending were not renewed, although renewal is due." }
    }
}

/// What was submitted here and waits for another node.
fn outbox(waiting: &[Waiting]) -> Markup {
    html! {
        @if !waiting.is_empty() {
            section .block .warn aria-labelledby="outbox" {
                h2 #outbox { "Waiting to be sent" }
                ul .points {
                    @for Waiting { domain, statements, since } in waiting {
                        li {
                            strong { (counted(*statements, "statement")) }
                            " for the home of " (domain)
                            @if let Some(since) = since { ", since " (time(*since)) }
                        }
                    }
                }
                p .note { code { "ics outbox" } " shows them, and why the home has not answered." }
            }
        }
    }
}

/// What a domain does here: green only while its home is heard of.
fn state(info: &DomainInfo, operations: &Operations) -> Markup {
    let is_silent = is_silent(info, operations);
    match (&info.mirror, info.position) {
        (Some(mirror), _) => copying(&mirror.state, mirror.last_error.as_deref(), is_silent),
        (None, Position::Mirror) => html! { span .state .unsure { "nobody is asked" } },
        (None, Position::Home) if is_silent => html! { span .state .unsure { "silent" } },
        (None, Position::Home) => html! { span .state .good { "sequencing" } },
    }
}

/// Whether nothing can be taken over from a source because its home is not heard of. Of a source without a copy here,
/// the state itself tells that.
fn is_source_silent(follow: &FollowInfo, operations: &Operations) -> bool {
    let source = operations.domains.iter().find(|info| info.info.domain == follow.source);
    source.is_some_and(|info| is_silent(info, operations))
}

/// The state of a copy, and what is in its way. A peer stands by for another one, or was left out because of what it
/// showed.
fn copying(state: &str, error: Option<&str>, is_silent: bool) -> Markup {
    let (class, word) = match (state, error) {
        ("current", _) if is_silent => ("unsure", "home silent"),
        ("current", _) => ("good", state),
        ("standby", Some(_)) => ("bad", "left out"),
        ("standby", None) => ("quiet", state),
        ("stopped" | "failing", _) => ("bad", state),
        _ => ("unsure", state),
    };
    html! {
        span .state .(class) { (word.replace('-', " ")) }
        @if let Some(error) = error { br; small { (theirs_brief(error)) } }
    }
}

/// How far a copy is behind. If something is in the way, there may be more than is known.
fn behind(lag: u64, is_in_trouble: bool) -> String {
    if lag == 0 && is_in_trouble { "not known".to_owned() } else { lag.to_string() }
}

fn enrolments(waiting: &[(ics_core::vocabulary::DomainName, Enrolment)]) -> Markup {
    html! {
        section .block aria-labelledby="enrolments" {
            h2 #enrolments { "Devices that ask to be introduced" }
            @if waiting.is_empty() { p .none { "None." } }
            ul .things {
                @for (domain, enrolment) in waiting {
                    li {
                        strong { (enrolment.request.kind) }
                        @for name in enrolment.request.names.iter().take(4) { " " (theirs_brief(name)) }
                        ", for " (domain) ", since " (time(enrolment.received_at))
                        br; (code(&enrolment.id))
                        @for other in enrolment.same_key.iter().take(4) {
                            br; "The same key as " a href=(path_of(other)) { (code(other)) }
                        }
                        pre tabindex="0" aria-label="Commands" { code {
                            "ics enroll approve " (enrolment.id) " --domain " (domain) "\n"
                            "ics enroll refuse " (enrolment.id) " --domain " (domain) " --reason 'WHY'"
                        } }
                    }
                }
            }
        }
    }
}

fn to_approve(waiting: &[ToApprove]) -> Markup {
    html! {
        section .block aria-labelledby="approve" {
            h2 #approve { "Things that nobody has approved yet" }
            @if waiting.is_empty() { p .none { "None among the latest." } }
            ul .things {
                @for ToApprove { domain, thing } in waiting {
                    li {
                        a href=(path_of(&thing.id)) { (theirs_brief(&thing.title)) } " " (thing.kind) ", in " (domain)
                        br; small { (code(&short(&thing.id))) }
                    }
                }
            }
            @if let Some(ToApprove { domain, thing }) = waiting.first() {
                p { "An approval takes a signature, which is made where the key is:" }
                pre tabindex="0" aria-label="Command" { code { "ics approve " (thing.id) " --domain " (domain) } }
            }
        }
    }
}

fn denied(denied: &[Denied]) -> Markup {
    html! {
        section .block aria-labelledby="denied" {
            h2 #denied { "Denied lately" }
            @if denied.is_empty() { p .none { "Nothing since the node started." } }
            ul .things {
                @for it in denied {
                    li {
                        @let (class, shape, word) = match it.outcome {
                            Outcome::Deny => ("bad", Mark::Cross, "denied"),
                            _ => ("unsure", Mark::Question, "unknown"),
                        };
                        span .state .(class) { (mark(shape)) " " (word) } " "
                        strong { (asked(&it.thing)) }
                        @if let Some(peer) = &it.peer { " with " (theirs(peer)) }
                        ", to " (theirs(&it.usage)) ", " (time(it.at))
                        @if it.times > 1 { ", " (it.times) " times" }
                        ul .points { @for reason in &it.reasons { li { (prose(reason)) } } }
                    }
                }
            }
        }
    }
}

/// What was asked about, with a link to its page unless only the beginning is kept.
fn asked(thing: &str) -> Markup {
    html! {
        @if is_cut(thing) { (theirs(thing)) } @else { a href=(path_of(thing)) { (theirs(thing)) } }
    }
}

#[cfg(test)]
mod tests;
