//! A verdict with its evidence, checked by rules that are written down and by nothing that decides.

use std::path::PathBuf;

use ics_core::checker::{Case, Rejection};
use ics_core::time::Timestamp;
use ics_core::trust::{Party, Rule, Step, TrustDocument, Verdict};
use serde::Serialize;

use super::Verify;
use crate::cli::commands::trust;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::{clean, counted, when};
use crate::explain;

/// What was found, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether the trust policy is the one that was given.
    trusted: bool,
    thing: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    verdict: &'a Verdict,
    not_proven: Vec<String>,
}

pub(super) fn run(verify: &Verify, context: &Context, json: &[u8]) -> Result<Exit, Failure> {
    verify.refuse_what_says_nothing(
        "a verdict",
        &[("--pin", verify.pin.is_some()), ("--at", verify.at.is_some())],
        "a verdict holds as of the time at which it was given, by the origins in its trust policy: --trust names the \
         policy that must have decided",
    )?;
    let refused = |why: String| Failure::new(Exit::Refused, format!("`{}`: {why}", verify.file.display()));
    let case = Case::parse(json).map_err(|rejection| match rejection {
        Rejection::Json(_) => refused(format!("it is damaged, or no verdict: {rejection}")),
        _ => refused(rejection.to_string()),
    })?;
    case.check().map_err(|rejection| refused(format!("the verdict is rejected: {rejection}")))?;
    let ours = ours(verify, context)?;
    if let Some((path, _)) = ours.as_ref().filter(|(_, policy)| *policy != case.policy) {
        let why = format!("it was decided by another trust policy than {}", path.display());
        return Err(refused(why).hint("ask for a verdict by the policy that you trust"));
    }
    let report = Report {
        trusted: ours.is_some(),
        thing: &case.thing.asked,
        peer: case.peer.as_ref().map(|peer| peer.asked.as_str()),
        verdict: &case.verdict,
        not_proven: not_proven(&case.verdict, ours.is_some(), context.now()),
    };
    context.output.result(&report, || text(&report))?;
    Ok(Exit::Ok)
}

/// The trust policy that must have decided, and where it is.
fn ours(verify: &Verify, context: &Context) -> Result<Option<(PathBuf, TrustDocument)>, Failure> {
    if verify.trust.is_none() && context.config()?.trust.policy.is_none() {
        return Ok(None);
    }
    let path = trust::file(context, verify.trust.clone())?;
    let policy = trust::read(&path)?.document().clone();
    Ok(Some((path, policy)))
}

fn not_proven(verdict: &Verdict, trusted: bool, now: Timestamp) -> Vec<String> {
    let mut all = vec!["that nothing was left out: only a mirror, which holds the whole log, proves that".to_owned()];
    if verdict.fresh_until.is_none_or(|until| until <= now) {
        let held = verdict.fresh_until.map(|until| format!(", and held until {}", when(until))).unwrap_or_default();
        all.push(format!("that it still holds: it was given at {}{held}", when(verdict.at)));
    }
    if !trusted {
        all.push("that the trust policy is yours: compare it, or use --trust".to_owned());
    }
    all
}

/// Only what was checked is shown.
fn text(report: &Report<'_>) -> String {
    let verdict = report.verdict;
    let (reason, rules) = (verdict.reason.as_str(), verdict.rules.join(", "));
    let mut rows = vec![
        ("use", clean(&verdict.usage)),
        ("given", when(verdict.at)),
        ("holds until", verdict.fresh_until.map(when).unwrap_or_default()),
        ("why", if rules.is_empty() { reason.to_owned() } else { format!("{reason}: {}", clean(&rules)) }),
        ("rests on", steps(verdict, Step::counts)),
        ("set aside", steps(verdict, |step| !step.rule.has_effect())),
        ("conflicts", verdict.conflicts.iter().map(|it| clean(&it.in_words())).collect::<Vec<_>>().join("\n")),
        ("proven", proven(verdict)),
        ("not proven", report.not_proven.join("\n")),
    ];
    rows.retain(|(_, text)| !text.is_empty());
    let peer = report.peer.map(|peer| format!(" with {}", clean(peer))).unwrap_or_default();
    format!(
        "✓ the verdict holds: {} {}{peer}\n{}",
        explain::outcome(verdict.outcome),
        clean(report.thing),
        card("verdict", &rows)
    )
}

fn steps(verdict: &Verdict, is_shown: impl Fn(&Step) -> bool) -> String {
    let line = |step: &Step| {
        let whose = if step.of == Party::Peer { "of the peer: " } else { "" };
        let signer = explain::signer(step.name.as_deref(), &step.signer);
        let why = if step.rule == Rule::Entitled { String::new() } else { format!(" ({})", step.rule.reason()) };
        let (speaks, says) = (explain::capacity(step), clean(&step.says()));
        format!("{whose}{signer}{speaks} {says}{why}, {} entry {}", step.domain, step.index)
    };
    verdict.derivation.iter().filter(|step| is_shown(step)).map(line).collect::<Vec<_>>().join("\n")
}

fn proven(verdict: &Verdict) -> String {
    let reach = verdict.as_of.iter().map(|it| {
        format!("{} entries of {}, descriptor {}, as of {}", it.size, it.domain, it.descriptor, when(it.as_of))
    });
    let steps = counted(verdict.derivation.len(), "statement");
    let first = format!("{steps}, each signed, in its log, and judged by the rules of docs/calculus.md");
    core::iter::once(first).chain(reach).collect::<Vec<_>>().join("\n")
}
