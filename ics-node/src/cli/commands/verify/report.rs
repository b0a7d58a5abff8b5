//! What evidence comes to, for a document or for a file that is judged by it.

use std::path::PathBuf;

use console::style;
use ics_core::evidence::{self, Evidence, Verified};
use ics_core::time::Timestamp;
use ics_core::trust::Outcome;
use serde::Serialize;

use super::{Verify, pin};
use crate::api::ViewAnswer;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::card;
use crate::cli::record::{heading, record_card_of};
use crate::cli::words::{Freshness, clean, counted, counted_entries, when, when_by};
use crate::words::serialize_path;

/// What was checked: a program that asks about a file must not mistake the result for a document for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Checked {
    /// Whether a file may be used.
    Artifact,
    /// Whether evidence, a verdict or a proof is genuine.
    Document,
}

/// The findings, as JSON.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) checked: Checked,
    /// Whether the origin is the one that was pinned.
    pub(super) pinned: bool,
    /// As of when it was judged.
    at: Timestamp,
    /// The same time, if the user asked for it.
    #[serde(skip)]
    asked_for: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact: Option<ArtifactReport>,
    #[serde(flatten)]
    pub(super) verified: Verified,
    pub(super) not_proven: Vec<String>,
}

/// The findings about a file.
#[derive(Serialize)]
pub(super) struct ArtifactReport {
    #[serde(serialize_with = "serialize_path")]
    pub(super) file: PathBuf,
    pub(super) id: String,
    /// Whether the evidence is about this file at all.
    pub(super) meant: bool,
    pub(super) permitted: bool,
    /// `allow`, `deny`, or `unknown`: nothing speaks against the file, but what speaks for it is not proven.
    pub(super) verdict: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) because: Option<String>,
}

impl Report {
    /// Judges evidence under the pinned origin, as a document. What other domains may have said is for the caller to
    /// add, as it depends on whether they were asked.
    pub(super) fn of(verify: &Verify, context: &Context, evidence: &Evidence) -> Result<Self, Failure> {
        let pin = match verify.pin.clone() {
            Some(pin) => Some(pin),
            None => pin::known_here(&context.config()?, &evidence.domain),
        };
        let at = verify.at.unwrap_or_else(|| context.now());
        let verified = evidence::verify(evidence, pin.as_ref(), at)?;
        let (pinned, asked_for) = (pin.is_some(), verify.at);
        let not_proven = not_proven(&verified, pinned, asked_for);
        Ok(Self { checked: Checked::Document, pinned, at, asked_for, artifact: None, verified, not_proven })
    }
}

fn not_proven(verified: &Verified, is_pinned: bool, asked_for: Option<Timestamp>) -> Vec<String> {
    let mut all = Vec::new();
    let later = |at: Timestamp| verified.record.statements.iter().any(|it| it.admitted_at > at);
    if asked_for.is_some_and(later) {
        all.push(
            "what was known then: this takes into account all that was said until the evidence was made".to_owned(),
        );
    }
    if !verified.complete {
        all.push(
            "that nothing was left out: the home itself signs that in what it gives out, and a mirror, which holds the \
             whole log, proves it"
                .to_owned(),
        );
    }
    if !is_pinned {
        all.push(
            "that this is the domain that you mean: compare the origin with what its owners told you, or use --pin"
                .to_owned(),
        );
    }
    match verified.made_later.filter(|_| asked_for.is_none()) {
        Some(at) => all.push(format!(
            "how old it is: its home confirmed it at {}, to which this machine's clock has not come; set the clock",
            when(at)
        )),
        None if !verified.fresh => all.push("that it still holds: the domain may have said more since".to_owned()),
        None => {}
    }
    all
}

/// States what is not proven about other domains, since this evidence does not contain what they say.
pub(super) fn of_others(verified: &Verified, view: Option<&ViewAnswer>) -> String {
    let Some(view) = view else {
        return format!(
            "that no other domain has blocked it: no node was asked, and this is the word of {} alone, with what it has \
             taken over from others",
            verified.origin.domain
        );
    };
    let known = "that no other domain has blocked it: of those that the node knows none does, which nobody signs";
    let cut_short = view.records.iter().filter(|it| it.record.cut_short).map(|it| &it.record.domain);
    let unheard: Vec<&str> = view.unheard.iter().chain(cut_short).map(|domain| domain.as_str()).collect();
    match unheard.is_empty() {
        true => known.to_owned(),
        false => format!("{known}; it has not heard all from {} yet", unheard.join(", ")),
    }
}

pub(super) fn text(report: &Report) -> String {
    let verified = &report.verified;
    let of_evidence = Freshness::of_evidence(verified, report.at);
    let freshness = Freshness { as_of: verified.as_of.or(verified.made_later), ..of_evidence };
    if let Some(artifact) = report.artifact.as_ref().filter(|artifact| !artifact.meant) {
        let about = format!("{} {}", verified.record.identity.kind, verified.record.identity.id);
        return card(
            &verdict(report),
            &[("the file", artifact.id.clone()), ("evidence", format!("is about the {about}"))],
        );
    }
    let mut rows = vec![("origin", verified.origin.to_string()), ("proven", proven(report))];
    if !report.not_proven.is_empty() {
        rows.push(("not proven", report.not_proven.join("\n")));
    }
    let record = record_card_of(&verified.record, &freshness, report.asked_for);
    [verdict(report), heading(&verified.record), record, card("evidence", &rows)].join("\n")
}

fn verdict(report: &Report) -> String {
    let (yes, no) = (style("✓").green().bold(), style("✗").red().bold());
    let Some(artifact) = &report.artifact else {
        let holds = standing(&report.verified, report.asked_for);
        let is_good = report.pinned && (report.verified.fresh || report.asked_for.is_some());
        let sign = if is_good { yes } else { style("!").yellow().bold() };
        let whose = if report.pinned { "" } else { ", of a domain that nobody has pinned" };
        return format!("{sign} {}", style(format!("{holds}{whose}")).bold());
    };
    let file = style(artifact.file.display()).bold();
    match (&artifact.because, artifact.verdict) {
        (None, _) => format!("{yes} {file} may be used"),
        (Some(because), Outcome::Unknown) => {
            format!("{} {file}: not known whether it may be used: {because}", style("?").yellow().bold())
        }
        (Some(because), _) => format!("{no} {file} must not be used: {because}"),
    }
}

/// Whether genuine evidence still holds now. If it was judged as of another time, it only says what held then.
fn standing(verified: &Verified, asked_for: Option<Timestamp>) -> String {
    let bound = verified.freshness.default.saturating_mul(1000);
    match (asked_for, verified.made_later, verified.as_of) {
        (Some(_), _, _) => "the evidence holds".to_owned(),
        _ if verified.fresh => "the evidence holds".to_owned(),
        (None, Some(at), _) => {
            format!("the evidence is genuine; it was made at {}, and the clock here is behind", when(at))
        }
        (None, None, Some(at)) => {
            format!("the evidence is genuine but expired: it held until {}", when(at.plus_millis(bound)))
        }
        (None, None, None) => "the evidence is genuine; nobody knows how old it is".to_owned(),
    }
}

fn proven(report: &Report) -> String {
    let verified = &report.verified;
    let mut lines = Vec::new();
    if report.pinned {
        lines.push(format!("{} is the domain that was pinned", verified.origin.domain));
    }
    lines.push(format!("its owners put the rules in force, version {} last", verified.descriptor));
    lines.push(format!(
        "{}, each signed by its signer, judged by these rules, and in the log",
        of_groups(verified, counted(verified.statements.len(), "statement"))
    ));
    lines.push(format!("the log has {} and the root {}", counted_entries(verified.size), verified.root));
    if verified.complete {
        lines.push(
            "the home has signed that nothing is left out: these are all entries upon which this rests".to_owned(),
        );
    }
    lines.extend(verified.as_of.map(|time| format!("the home said at {} that this was its newest state", when(time))));
    let cosigned = verified.witnesses.iter();
    lines.extend(cosigned.map(|it| format!("cosigned by {} at {}", it.name, when_by(it.at, report.at))));
    let refused = verified.statements.iter().filter_map(|line| Some((line.index, line.refused.as_ref()?)));
    lines.extend(refused.map(|(index, refused)| {
        format!("{} entry {index} has no effect: {}", style("!").yellow().bold(), clean(&refused.why))
    }));
    lines.join("\n")
}

/// Counts all that is proven, which exceeds what is said about the thing: groups that may contain it state what they
/// are, too.
fn of_groups(verified: &Verified, counted: String) -> String {
    match verified.statements.iter().filter(|line| line.about.id != verified.identity()).count() {
        0 => counted,
        others => format!("{counted}, {others} of them about groups that may hold it and what these are"),
    }
}
