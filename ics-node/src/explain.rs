//! Explains answers in words, with one wording for the command line, the API and the web pages.
//!
//! Nothing is decided here. The record, the assessment and the verdict contain what stands, what counts and what it
//! comes to; this says who said it, by what right, where in which log, and what was disregarded.
//!
//! A signer is named by the User ID of their certificate *and* by its fingerprint: the certificate proves that whoever
//! holds that key uses that name, the descriptor or the grant that the signer may speak, and nothing proves more.

use std::collections::BTreeSet;

use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::record::{Assessment, By, Entitlement, GivenStatus, Listed, Outlook, Record, Standing};
use ics_core::statement::StatementId;
use ics_core::time::Timestamp;
use ics_core::trust::{Outcome, Party, Rule, Step, Verdict};
use ics_core::vocabulary::{Act, DomainName, Role};

use crate::api::{AsOf, Explanation, Point, RecordAnswer, Section};
use crate::words::{attribute, because, brief, clean, counted, counted_entries, short, span, when};

/// The heading of the section about contradictions.
pub const CONFLICTS: &str = "Conflicts";
/// Shown in place of a statement's words once the owners have erased them: nobody knows any more whether it gave a
/// reason.
pub const WORDS_ERASED: &str = "its words are erased";
/// What a domain does while a record is cut short.
pub const NOT_SHOWN: &str = "does not show yet what is left of something that was erased, and that may block its use";
/// The maximum length of a name in a sentence, in characters.
const NAME_CHARACTERS: usize = 80;

/// Explains why the records of one identity say what they say, and what they come to.
#[must_use]
pub fn records(answers: &[RecordAnswer], assessment: &Assessment) -> Explanation {
    let each = |points: fn(&Record) -> Vec<Point>| answers.iter().flat_map(|it| points(&it.record)).collect();
    let title = answers.first().map(|it| name(&it.record.title)).unwrap_or_default();
    let fresh = answers.iter().map(|it| freshness(&it.record.domain, &it.as_of));
    let not_shown = assessment.cut_short.iter().map(not_shown);
    Explanation {
        answer: assessed(&title, assessment),
        sections: sections([
            ("Who says so", each(standing)),
            ("To come", each(to_come)),
            (CONFLICTS, [between(answers, assessment), called_elsewhere(answers), each(conflicts)].concat()),
            ("Without effect", each(ignored)),
            ("How fresh", fresh.chain(not_shown).chain(assessment.unheard.iter().map(not_heard)).collect()),
        ]),
    }
}

/// Explains a verdict.
#[must_use]
pub fn verdict(thing: &str, peer: Option<&str>, verdict: &Verdict) -> Explanation {
    let mut in_words = format!("{}: {}", outcome(verdict.outcome), clean(thing));
    if let Some(peer) = peer {
        in_words.push_str(&format!(" with {}", clean(peer)));
    }
    in_words.push_str(&format!(", to {}", clean(&verdict.usage)));
    let until = verdict.fresh_until.map(|until| format!("; good until {}", when(until))).unwrap_or_default();
    let plain = |texts: &[String]| texts.iter().map(|text| said(clean(text))).collect();
    let of = |counts: bool| verdict.derivation.iter().filter(move |it| it.rule.has_effect() == counts);
    let rests_on = verdict.derivation.iter().filter(|it| it.counts() || it.rule == Rule::Formerly);
    let unheard = verdict.ignored.iter().map(|origin| {
        said(format!("The domain {} is held here and does not count: the trust policy does not name it", origin.domain))
    });
    Explanation {
        answer: format!("{in_words}{until}"),
        sections: sections([
            ("Why", plain(&verdict.reasons)),
            ("Who says so", rests_on.map(|it| step(it, verdict)).collect()),
            (CONFLICTS, verdict.conflicts.iter().map(|it| said(clean(&it.in_words()))).collect()),
            ("Without effect", of(false).map(|it| aside(it, verdict)).chain(unheard).collect()),
            ("How fresh", verdict.as_of.iter().map(|it| reach(verdict, it)).collect()),
        ]),
    }
}

/// The headline about a thing.
fn assessed(title: &str, assessment: &Assessment) -> String {
    let status = assessment.status.as_ref().map(|(_, given)| given.name.to_string());
    match (assessment.outlook, status) {
        (Outlook::Blocked, Some(status)) => format!("Do not use {title}: it is {status}"),
        (Outlook::Permitted, Some(status)) => format!("{title} is genuine and {status}"),
        (Outlook::NotInUse, Some(status)) => format!("{title} is genuine and {status}, which permits nothing yet"),
        (Outlook::NotVouched, _) => format!("Nobody entitled vouches for {title}"),
        (Outlook::Unknown, _) => format!("Nobody can tell about {title}: {}", unknown(assessment)),
        (_, None) => format!("{title} is genuine; nobody has given it a status"),
    }
}

/// Why the status is unknown.
#[must_use]
pub fn unknown(assessment: &Assessment) -> String {
    match (assessment.unheard.as_slice(), assessment.cut_short.first()) {
        ([], Some(domain)) => format!("{domain} {NOT_SHOWN}"),
        ([], None) if assessment.stale.is_empty() => "the domains differ on what it is".to_owned(),
        ([], None) => "the last news is too old".to_owned(),
        ([domain], _) => format!("{domain} was not heard, and what it says may block its use"),
        (several, _) => format!("{} domains were not heard, and what they say may block its use", several.len()),
    }
}

/// A sentence that says that nobody can tell what stands in a domain.
fn not_shown(domain: &DomainName) -> Point {
    Point { domain: Some(domain.clone()), ..said(format!("{domain} {NOT_SHOWN}")) }
}

/// A sentence that says that nothing is known about a domain.
fn not_heard(domain: &DomainName) -> Point {
    let text =
        format!("{domain} was not heard: this node can say nothing of it now, and what it says may block its use");
    Point { domain: Some(domain.clone()), ..said(text) }
}

/// A verdict's outcome as shown to people.
#[must_use]
pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "Allowed",
        Outcome::Deny => "Denied",
        Outcome::Unknown => "Unknown, which is no yes",
    }
}

/// A signer as far as their certificate proves it.
#[must_use]
pub fn signer(called: Option<&str>, fingerprint: &Fingerprint) -> String {
    let key = short(&fingerprint.to_string());
    match called {
        Some(called) => format!("{} (key {key})", name(called)),
        None => format!("the holder of the key {key}"),
    }
}

/// By what right the signer speaks.
#[must_use]
pub fn right(
    role: &Role,
    by: Option<Entitlement>,
    domain: &DomainName,
    index_of: impl FnOnce(StatementId) -> Option<u64>,
) -> String {
    match by {
        Some(Entitlement::Descriptor(version)) => {
            format!("as {role}, named so by version {version} of the descriptor of {domain}")
        }
        Some(Entitlement::Grant(id)) => {
            let entry = index_of(id).map_or_else(|| short(&id.to_string()), |index| format!("entry {index}"));
            format!("as {role}, granted by {entry} of {domain}")
        }
        None => format!("as {role}, by no right that is known here"),
    }
}

/// By what right a listed statement was made, within its record. The remnant of an erased statement is the word of the
/// domain's owners, whatever roles the owner has who signed for them.
fn right_of(record: &Record, listed: &Listed) -> String {
    if is_of_owners(listed) {
        return as_owner(&record.domain);
    }
    let index_of = |id| record.statement(id).map(|it| it.by.index);
    right(&listed.by.role, listed.entitled_by, &record.domain, index_of)
}

fn as_owner(domain: &DomainName) -> String {
    format!("as an owner of {domain}")
}

/// Whether a statement is a remnant that the domain's owners left of an erased one.
#[must_use]
pub fn is_of_owners(listed: &Listed) -> bool {
    listed.erased && listed.standing != Standing::Refused
}

/// As [`is_of_owners`], for the statement with this origin.
#[must_use]
pub fn is_by_owners(record: &Record, by: &By) -> bool {
    record.statement_at(by.index).is_some_and(is_of_owners)
}

/// What a statement says about the thing.
#[must_use]
pub fn says(listed: &Listed) -> String {
    if is_of_owners(listed) && listed.status.is_none() {
        return erased(listed.act).to_owned();
    }
    let text = match (listed.act, &listed.status, &listed.label) {
        (Act::Identity, ..) => "vouches for its identity".to_owned(),
        (Act::Approval, ..) => "approves of it".to_owned(),
        (Act::Status, Some(status), _) => {
            let does = listed.effect.map(|effect| format!(", which {}", effect.does())).unwrap_or_default();
            format!("gives it the status `{status}`{does}")
        }
        (Act::Label, _, Some(label)) => format!("gives it the label `{}`", name(label)),
        (Act::Grant, ..) => "entitles a signer to speak about it".to_owned(),
        (Act::Installed, ..) => "says what is installed on it".to_owned(),
        (Act::Issued, ..) => "has issued an X.509 certificate to it".to_owned(),
        (Act::Withdrawal, ..) => "takes back an earlier statement".to_owned(),
        (act, ..) => format!("makes a statement of the kind `{act}`"),
    };
    let reason = match listed.reason.as_deref() {
        Some(reason) => Some(format!(" (“{}”)", brief(&clean(reason), 200))),
        None => is_of_owners(listed).then(|| format!(" ({WORDS_ERASED})")),
    };
    let group =
        listed.by.group.as_ref().map(|group| format!(", as a member of the group {}", short(&group.to_string())));
    [Some(text), Some(ends(listed.until)), reason, group].into_iter().flatten().collect()
}

/// What a statement on which a verdict rests says about the thing.
#[must_use]
pub fn step_says(step: &Step) -> String {
    format!("{}{}", clean(&step.says()), ends(step.until))
}

/// The end of a statement, as a suffix.
fn ends(until: Option<Timestamp>) -> String {
    until.map(|until| format!(", until {}", when(until))).unwrap_or_default()
}

/// What the owners have done when they erased a statement that gave no status: nothing of it remains in force.
const fn erased(act: Act) -> &'static str {
    match act {
        Act::Identity => "erased who vouched for its identity",
        Act::Approval => "erased who approved of it",
        Act::Label => "erased one of its labels",
        Act::Grant => "erased who was entitled to speak about it",
        _ => "erased a statement about it",
    }
}

fn name(text: &str) -> String {
    brief(&clean(text), NAME_CHARACTERS)
}

fn said(text: String) -> Point {
    Point { text, domain: None, index: None }
}

fn sections<const N: usize>(all: [(&str, Vec<Point>); N]) -> Vec<Section> {
    let filled = all.into_iter().filter(|(_, points)| !points.is_empty());
    filled.map(|(title, points)| Section { title: title.to_owned(), points }).collect()
}

fn at(record: &Record, listed: &Listed, text: String) -> Point {
    Point { text, domain: Some(record.domain.clone()), index: Some(listed.by.index) }
}

/// The statements that count, each with its signer and the right to make it.
fn standing(record: &Record) -> Vec<Point> {
    let stands = record.statements.iter().filter(|listed| listed.standing == Standing::Stands);
    let point = |listed: &Listed| {
        let (signer, right) = (by(&listed.by), right_of(record, listed));
        let because = Some(&listed.because).filter(|because| *because != Standing::Stands.reason());
        let because = because.map(|because| format!("; {}", clean(because))).unwrap_or_default();
        let source = listed.source.first();
        let source = source.map(|it| format!("; adopted from {} entry {}", it.domain, it.index)).unwrap_or_default();
        at(record, listed, format!("{signer} {}, {right}{source}{because}", says(listed)))
    };
    stands.map(point).collect()
}

/// What comes into force by itself, and who gets a role then.
fn to_come(record: &Record) -> Vec<Point> {
    let point = |listed: &Listed| {
        let given = listed.grant.as_ref();
        let given = given.map(|it| format!(": {} as {}", signer(it.name.as_deref(), &it.grantee), it.role));
        let from = listed.from.map(|from| format!(", from {} on", when(from))).unwrap_or_default();
        let (who, right) = (by(&listed.by), right_of(record, listed));
        at(record, listed, format!("{who} {}{}{from}, {right}", says(listed), given.unwrap_or_default()))
    };
    record.statements.iter().filter(|it| it.is_to_come()).map(point).collect()
}

/// Domains that give it a status other than the one in the headline.
fn between(answers: &[RecordAnswer], assessment: &Assessment) -> Vec<Point> {
    let Some((domain, first)) = &assessment.status else { return Vec::new() };
    let other = |it: &RecordAnswer| {
        let given = &it.record.status.as_ref()?.decides;
        if it.record.domain == *domain || (&given.name, given.effect) == (&first.name, first.effect) {
            return None;
        }
        let why = if given.effect == first.effect {
            format!(
                "so does `{}` of {domain}, which stands at the top only because that domain's name comes first in the \
                 alphabet",
                first.name
            )
        } else {
            format!("`{}` of {domain} counts before that, since it {}", first.name, first.effect.does())
        };
        let says = format!("{} gives it the status `{}`, which {}", it.record.domain, given.name, given.effect.does());
        let text = format!("{says}; {why}");
        Some(Point { text, domain: Some(it.record.domain.clone()), index: Some(given.by.index) })
    };
    answers.iter().filter_map(other).collect()
}

/// Domains that give a file a different title than the first one.
fn called_elsewhere(answers: &[RecordAnswer]) -> Vec<Point> {
    let Some(first) = answers.first().map(|it| &it.record) else { return Vec::new() };
    let software = answers.iter().map(|it| &it.record).filter(|record| is_software(record));
    let others = software.filter(|record| record.title != first.title);
    let point = |record: &Record| {
        let text = format!("{} calls it `{}`, and not `{}`", record.domain, name(&record.title), name(&first.title));
        Point { domain: Some(record.domain.clone()), ..said(text) }
    };
    others.map(point).collect()
}

/// Two names or versions of one file contradict each other; for other things anybody may use a name of their own.
const fn is_software(record: &Record) -> bool {
    matches!(record.identity.id, IdentityId::Software(_))
}

fn conflicts(record: &Record) -> Vec<Point> {
    let beside = record.status.iter().flat_map(|status| {
        let decides = &status.decides;
        status.conflict.iter().map(move |other| stands_beside(record, decides, other))
    });
    let contradictory =
        record.attributes.iter().filter(|(attribute, _)| !record.agreed_attributes().contains_key(attribute));
    let contradiction = contradictory.map(|(which, given)| {
        let values: BTreeSet<String> =
            given.iter().map(|it| format!("`{}` ({})", name(&it.value), by(&it.by))).collect();
        let values = values.into_iter().collect::<Vec<_>>().join(" and ");
        Point {
            domain: Some(record.domain.clone()),
            ..said(format!("Its {} is said to be {values}", attribute(*which)))
        }
    });
    beside.chain(contradiction).chain(called_otherwise(record)).collect()
}

/// Titles of a file that differ from the one in its first introduction.
fn called_otherwise(record: &Record) -> impl Iterator<Item = Point> {
    record.also_called.iter().filter(move |_| is_software(record)).map(move |it| {
        let text = format!("{} calls it `{}`, and not `{}`", by(&it.by), name(&it.value), name(&record.title));
        Point { text, domain: Some(record.domain.clone()), index: Some(it.by.index) }
    })
}

fn stands_beside(record: &Record, decides: &GivenStatus, other: &GivenStatus) -> Point {
    let text = format!(
        "{} gives it the status `{}`, which {}; in {} `{}` counts before that, since it {}",
        speaker(record, &other.by),
        other.name,
        other.effect.does(),
        record.domain,
        decides.name,
        if decides.effect == other.effect { "stands earlier in the log" } else { decides.effect.does() }
    );
    Point { text, domain: Some(record.domain.clone()), index: Some(other.by.index) }
}

fn by(by: &By) -> String {
    signer(by.name.as_deref(), &by.signer)
}

/// A signer, where no right is stated: marked as an owner if heard as one.
fn speaker(record: &Record, whose: &By) -> String {
    let owner = if is_by_owners(record, whose) { ", an owner of the domain," } else { "" };
    format!("{}{owner}", by(whose))
}

/// What was said and does not count, with the reason.
fn ignored(record: &Record) -> Vec<Point> {
    let ended = record.statements.iter().filter(|it| it.standing != Standing::Stands && !it.is_to_come());
    let point = |listed: &Listed| {
        let end = listed.ended_by.and_then(|id| record.statement(id));
        let end = end.map(|other| format!(", entry {}", other.by.index)).unwrap_or_default();
        let who = speaker(record, &listed.by);
        let text = format!("{who} {}: no longer counts, {}{end}", says(listed), because(listed));
        at(record, listed, text)
    };
    let mut points: Vec<Point> = ended.map(point).collect();
    if record.omitted > 0 {
        let text = format!("not listed: {} without effect", counted(record.omitted, "older statement"));
        points.push(Point { domain: Some(record.domain.clone()), ..said(text) });
    }
    points
}

/// A whole log, in words.
fn whole(entries: u64) -> String {
    if entries == 1 { "its only entry".to_owned() } else { format!("all {entries} entries") }
}

/// How fresh a domain's answer is, in a sentence.
#[must_use]
pub fn freshness(domain: &DomainName, as_of: &AsOf) -> Point {
    let bound = span(as_of.fresh_for_seconds);
    let text = match (as_of.time, as_of.age_seconds) {
        (Some(time), Some(age)) if as_of.is_fresh() => {
            format!("{domain}, {} as of {}, {} ago; good for {bound}", whole(as_of.size), when(time), span(age))
        }
        (Some(time), Some(age)) => format!(
            "{domain}, {} as of {}, {} ago: too old, it was good for {bound}",
            whole(as_of.size),
            when(time),
            span(age)
        ),
        _ => format!("{domain}, {}: its home has never said that this is all", counted_entries(as_of.size)),
    };
    Point { domain: Some(domain.clone()), ..said(text) }
}

const fn whose(step: &Step) -> &'static str {
    match step.of {
        Party::Thing => "",
        Party::Peer => "Of the peer: ",
    }
}

/// The capacity in which the signer of a step speaks, as a suffix; a remnant of an erased statement is marked as such.
#[must_use]
pub fn capacity(step: &Step) -> String {
    let is_of_owners = step.erased && step.rule != Rule::Refused;
    if is_of_owners { format!(", an owner of the domain ({WORDS_ERASED}),") } else { format!(" as {}", step.role) }
}

fn step(step: &Step, verdict: &Verdict) -> Point {
    let signer = signer(step.name.as_deref(), &step.signer);
    let right = match step.erased {
        true => as_owner(&step.domain),
        false => right(&step.role, step.entitled_by, &step.domain, |id| index_of(id, step, verdict)),
    };
    let text = format!("{}{signer} {}, {right}", whose(step), step_says(step));
    Point { text, domain: Some(step.domain.clone()), index: Some(step.index) }
}

/// A step without effect, and why it has none.
fn aside(step: &Step, verdict: &Verdict) -> Point {
    let signer = signer(step.name.as_deref(), &step.signer);
    let end = step.ended_by.and_then(|id| index_of(id, step, verdict));
    let end = end.map(|index| format!(", entry {index}")).unwrap_or_default();
    let text = format!("{}{signer} {}: {}{end}", whose(step), step_says(step), step.rule.reason());
    Point { text, domain: Some(step.domain.clone()), index: Some(step.index) }
}

fn index_of(id: StatementId, beside: &Step, verdict: &Verdict) -> Option<u64> {
    let is_it = |it: &&Step| it.statement == id && it.domain == beside.domain;
    verdict.derivation.iter().find(is_it).map(|it| it.index)
}

fn reach(verdict: &Verdict, it: &ics_core::trust::AsOf) -> Point {
    let good = if it.fresh_until > verdict.at { "good until" } else { "too old since" };
    let text = format!("{}, {} as of {}; {good} {}", it.domain, whole(it.size), when(it.as_of), when(it.fresh_until));
    Point { domain: Some(it.domain.clone()), ..said(text) }
}

#[cfg(test)]
mod tests;
