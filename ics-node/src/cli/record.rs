//! The record of a thing in one domain, as a card.

use std::collections::BTreeSet;

use console::style;
use ics_core::record::{Assessment, By, Given, GivenStatus, Granted, Listed, Outlook, Record, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;

use super::output::card;
use super::words::{self, Freshness, clean, in_colour, said_by, when};
use crate::explain;

type Row = (&'static str, String);

/// The title of the thing and, below it, its kind and id.
#[must_use]
pub(crate) fn heading(record: &Record) -> String {
    let title = style(clean(&record.title)).bold();
    format!("{title}\n{} {}\n", record.identity.kind, record.identity.id)
}

/// The card of what one domain says about it, including what has succeeded it according to the domain;
/// `is_vouched_for` says whether any domain that is shown vouches for it.
#[must_use]
pub(crate) fn record_card(
    record: &Record,
    freshness: &Freshness,
    succeeded_by: &[Given<String>],
    is_vouched_for: bool,
) -> String {
    let mut rows = rows(record, freshness, None, is_vouched_for);
    rows.extend(lines("replaced by", succeeded_by, |it| (given(record, &clean(&it.value), &it.by), String::new())));
    card(record.domain.as_str(), &rows)
}

/// As [`record_card`], as of a time that the user asked for: what was stated after it is marked.
#[must_use]
pub(crate) fn record_card_of(record: &Record, freshness: &Freshness, asked_for: Option<Timestamp>) -> String {
    card(record.domain.as_str(), &rows(record, freshness, asked_for, false))
}

fn rows(record: &Record, freshness: &Freshness, asked_for: Option<Timestamp>, is_vouched_for: bool) -> Vec<Row> {
    let later = |by: &By| not_yet(record, by, asked_for);
    let said = |by: &By| (said_by(by), later(by));
    let given = |value: String, by: &By| (given(record, &value, by), later(by));
    let vouched_by = genuine(record, asked_for, is_vouched_for);
    let mut rows = vec![("genuine", vouched_by), ("status", status(record, freshness, asked_for))];
    rows.extend(conflict(record, asked_for));
    rows.extend(lines("approved by", &record.approvals, said));
    rows.extend(lines("labels", &record.labels, |it| {
        (format!("{}{}\n  by {}", clean(&it.value), until(it.until), said_by(&it.by)), later(&it.by))
    }));
    rows.extend(lines("also called", &record.also_called, |it| {
        (format!("{}\n  by {}", clean(&it.value), said_by(&it.by)), later(&it.by))
    }));
    rows.extend(lines("names", &record.names, |it| given(it.value.to_string(), &it.by)));
    rows.extend(attributes(record, asked_for));
    rows.extend(lines("groups", &record.groups, |it| given(it.value.to_string(), &it.by)));
    rows.extend(lines("certificates", &record.certificates, |it| given(it.value.serial.to_string(), &it.by)));
    rows.extend(lines("installed", &record.installed, |it| given(it.value.to_string(), &it.by)));
    rows.extend(lines("signed by", &record.signatures, |it| {
        given(format!("the developer: {} key {}", it.value.form, it.value.key), &it.by)
    }));
    let live = record.grants.iter().map(|it| {
        let grantee = it.name.as_deref().map_or_else(|| it.grantee.to_string(), clean);
        (format!("{grantee} as {}{}\n  by {}", it.role, until(it.until), said_by(&it.by)), later(&it.by))
    });
    let to_come = record.grants_to_come().map(|(given, it)| (to_come(given, it), later(&it.by)));
    rows.extend(lines("in charge", &live.chain(to_come).collect::<Vec<_>>(), Clone::clone));
    rows.extend(lines("succeeds", &record.replaces, |it| given(clean(&it.value), &it.by)));
    rows.push(("said", statements(record)));
    rows.push(("as of", freshness.text()));
    rows
}

/// The end, as a suffix; empty if it has none.
fn until(end: Option<Timestamp>) -> String {
    end.map(|end| format!(", until {}", when(end))).unwrap_or_default()
}

/// A role that somebody gets automatically later: a buyer of the thing must see it.
fn to_come(given: &Granted, it: &Listed) -> String {
    let grantee = given.name.as_deref().map_or_else(|| given.grantee.to_string(), clean);
    let from = it.from.map(|from| format!(", from {}", when(from))).unwrap_or_default();
    let warning = style("!").yellow().bold();
    format!("{warning} {grantee} as {}{from}{}\n  by {}", given.role, until(it.until), said_by(&it.by))
}

/// One row with one line or more for each item and its suffix; none without items. What several statements give is
/// shown once, and counts as stated by the time asked for if one of them was.
fn lines<T>(name: &'static str, items: &[T], line: impl Fn(&T) -> (String, String)) -> Option<Row> {
    let all: Vec<(String, String)> = items.iter().map(line).collect();
    let by_then: BTreeSet<&String> = all.iter().filter(|it| it.1.is_empty()).map(|it| &it.0).collect();
    let (mut seen, mut lines) = (BTreeSet::new(), Vec::new());
    for (text, later) in &all {
        if seen.insert(text) {
            lines.push(if by_then.contains(text) { text.clone() } else { format!("{text}{later}") });
        }
    }
    (!lines.is_empty()).then(|| (name, lines.join("\n")))
}

/// Who vouches for it. Whoever has only labelled or approved it leaves it to others to say what it is, so if another
/// domain that is shown does (`is_vouched_for`), there is nothing to warn of here.
fn genuine(record: &Record, asked_for: Option<Timestamp>, is_vouched_for: bool) -> String {
    if record.vouched.is_empty() {
        if is_vouched_for && !record.statements.iter().any(|it| it.act == Act::Identity) {
            return style("not said here, but by another of these domains").dim().to_string();
        }
        return style("✗ nobody vouches for what it is").red().to_string();
    }
    let line = |by: &By| {
        let (place, not_yet) = (words::place(by), not_yet(record, by, asked_for));
        let mark = if not_yet.is_empty() { style("✓").green() } else { style("!").yellow().bold() };
        format!("{mark} {} vouches for it{place}{not_yet}", words::signer_as(by))
    };
    record.vouched.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A suffix that says that the home admitted a statement after the time asked for; empty if it did not.
fn not_yet(record: &Record, by: &By, asked_for: Option<Timestamp>) -> String {
    let admitted_at = record.statement_at(by.index).map(|listed| listed.admitted_at);
    let is_later = asked_for.zip(admitted_at).is_some_and(|(asked_for, admitted_at)| admitted_at > asked_for);
    if is_later { style(", not yet stated at that time").yellow().to_string() } else { String::new() }
}

/// A permit that is no longer fresh does not count; a block stands until it is lifted, however old the news of it.
fn status(record: &Record, freshness: &Freshness, asked_for: Option<Timestamp>) -> String {
    let told = record.status.as_ref().map(|status| {
        let later = not_yet(record, &status.decides.by, asked_for);
        status_lines(record, &status.decides, &later)
    });
    if freshness.is_fresh() || record.effect().blocks() {
        return told.unwrap_or_else(|| format!("{}: nobody has given it one", style("none").bold().yellow()));
    }
    let unknown = style("UNKNOWN").bold().yellow();
    let last = told.map_or_else(|| "it had none".to_owned(), |told| format!("it was {told}"));
    let (why, then) = match (freshness.as_of, freshness.age) {
        (Some(_), None) if asked_for.is_none() => {
            ("the clock here is behind the time at which the evidence was made", "when it was made")
        }
        (Some(_), None) => ("the evidence was made later than the time asked for", "when it was made"),
        _ => ("the news is too old", "when last heard of"),
    };
    format!("{unknown}: {why}\n{then}, {last}")
}

/// Formats a status; `later` follows the name of whoever gave it.
fn status_lines(record: &Record, status: &GivenStatus, later: &str) -> String {
    let (name, by) = (in_colour(status.name.as_str(), status.effect), given_by(record, &status.by));
    let mut text = format!("{name}, which {}\nsince {}\nby {by}{later}", status.effect.does(), when(status.since));
    match &status.reason {
        Some(reason) => text.push_str(&format!("\n“{}”", clean(reason))),
        None if explain::is_by_owners(record, &status.by) => {
            text.push_str(&format!("\n{}; that it blocks stays until it is lifted", explain::WORDS_ERASED));
        }
        None => (),
    }
    text
}

/// Who gave a status, and where in the log.
fn given_by(record: &Record, by: &By) -> String {
    let signer = words::signer_of(by, explain::is_by_owners(record, by));
    format!("{signer}{}", words::place(by))
}

fn conflict(record: &Record, asked_for: Option<Timestamp>) -> Option<Row> {
    let others = record.status.as_ref().map(|status| status.conflict.as_slice()).unwrap_or_default();
    lines("conflict", others, |other| {
        let (warning, name) = (style("!").yellow().bold(), in_colour(other.name.as_str(), other.effect));
        let text = format!("{warning} {name} stands beside it, by {}", given_by(record, &other.by));
        (text, not_yet(record, &other.by, asked_for))
    })
}

/// A value that was given and, if not by one of those who vouch, by whom.
fn given(record: &Record, value: &str, by: &By) -> String {
    if record.vouched.iter().any(|voucher| voucher.signer == by.signer) {
        return value.to_owned();
    }
    format!("{value}\n  by {}", said_by(by))
}

fn attributes(record: &Record, asked_for: Option<Timestamp>) -> Vec<Row> {
    let later = |by: &By| not_yet(record, by, asked_for);
    let row = |(attribute, values): (_, &Vec<Given<String>>)| {
        let agree = values.iter().all(|other| values.first().is_some_and(|first| first.value == other.value));
        let text = match values.first() {
            Some(first) if agree => format!("{}{}", given(record, &clean(&first.value), &first.by), later(&first.by)),
            _ => contradiction(values, later),
        };
        (words::attribute(attribute), text)
    };
    record.attributes.iter().map(|(attribute, values)| row((*attribute, values))).collect()
}

fn contradiction(values: &[Given<String>], later: impl Fn(&By) -> String) -> String {
    let line = |it: &Given<String>| {
        format!("{} {}, says {}{}", style("!").yellow().bold(), clean(&it.value), said_by(&it.by), later(&it.by))
    };
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn statements(record: &Record) -> String {
    let listed = u64::try_from(record.statements.len()).unwrap_or(u64::MAX);
    let stands = record.statements.iter().filter(|it| it.standing == Standing::Stands).count();
    let total = words::counted(listed.saturating_add(record.omitted), "statement");
    let ended = listed.saturating_add(record.omitted).saturating_sub(u64::try_from(stands).unwrap_or(u64::MAX));
    if ended == 0 { total } else { format!("{total}, {ended} of them without effect now: `ics history` lists them") }
}

/// What several domains say, combined; for a single domain this is on its card, unless another that may know the thing
/// was not heard, or not all that it says is shown.
#[must_use]
pub(crate) fn overall(records: &[&Record], assessment: &Assessment) -> Option<String> {
    let is_all_heard = assessment.unheard.is_empty() && assessment.cut_short.is_empty();
    if assessment.outlook == Outlook::Unknown && (records.len() > 1 || !is_all_heard) {
        return Some(format!("{}: {}\n", style("UNKNOWN").bold().yellow(), explain::unknown(assessment)));
    }
    let count = Some(records.len()).filter(|count| *count > 1)?;
    let Some((_, status)) = &assessment.status else {
        return Some(format!("{count} domains know it, none gives it a status\n"));
    };
    let differ = records.iter().any(|record| record.effect() != status.effect);
    let who = if differ { format!("the most restrictive of what {count} domains say") } else { whose(records, status) };
    let word = in_colour(status.name.as_str(), status.effect);
    Some(format!("{word}, which {}: {who}\n", status.effect.does()))
}

/// Who gives that status, and who gives another one of the same effect.
fn whose(records: &[&Record], status: &GivenStatus) -> String {
    let given = records.iter().filter_map(|record| Some((&record.domain, &record.status.as_ref()?.decides)));
    let (same, others): (Vec<_>, Vec<_>) = given.partition(|(_, given)| given.name == status.name);
    let so = match same.as_slice() {
        [(domain, _)] => format!("so {domain} says"),
        _ => format!("so {} domains say", same.len()),
    };
    let others = others
        .iter()
        .map(|(domain, given)| format!("; {domain} says {}", in_colour(given.name.as_str(), given.effect)))
        .collect::<String>();
    format!("{so}{others}")
}

#[cfg(test)]
mod tests;
