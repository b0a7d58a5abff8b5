//! Checks a verdict and its evidence with the checker, which shares no rules with the code that decides.

use std::path::PathBuf;

use ics_core::checker::{Case, Rejection};
use ics_core::time::Timestamp;
use ics_core::trust::{Party, Rule, Step, TrustDocument, Verdict};
use serde::Serialize;

use super::Verify;
use super::report::Checked;
use crate::cli::commands::trust;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::{clean, counted, counted_entries, when};
use crate::explain;

/// The findings, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    checked: Checked,
    /// Whether the trust policy is the given one.
    trusted: bool,
    thing: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    verdict: &'a Verdict,
    /// Whether it still holds by this machine's clock.
    fresh: bool,
    #[serde(skip)]
    standing: Standing,
    not_proven: Vec<String>,
}

/// The state of a genuine verdict by this machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Holds,
    Over,
    /// It was given at a time that is still to come.
    ClockBehind,
}

impl Standing {
    fn at(now: Timestamp, given: Timestamp, fresh_until: Option<Timestamp>) -> Self {
        match fresh_until {
            _ if given.believed_at(now).is_none() => Self::ClockBehind,
            Some(until) if until > now => Self::Holds,
            _ => Self::Over,
        }
    }

    fn headline(self, trusted: bool, given: Timestamp, fresh_until: Option<Timestamp>) -> String {
        match (self, fresh_until) {
            (Self::Holds, _) if !trusted => "! the verdict holds by a trust policy that nobody has named".to_owned(),
            (Self::Holds, _) => "✓ the verdict holds".to_owned(),
            (Self::Over, Some(until)) => format!("! the verdict is genuine but expired: it held until {}", when(until)),
            (Self::Over, None) => format!("! the verdict is genuine, and held at {}", when(given)),
            (Self::ClockBehind, _) => {
                format!("! the verdict is genuine; it was given at {}, and the clock here is behind", when(given))
            }
        }
    }
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
        return Err(refused(why).hint("ask for a verdict by the trust policy that you mean"));
    }
    let standing = Standing::at(context.now(), case.verdict.at, case.verdict.fresh_until);
    let report = Report {
        checked: Checked::Document,
        trusted: ours.is_some(),
        thing: &case.thing.asked,
        peer: case.peer.as_ref().map(|peer| peer.asked.as_str()),
        verdict: &case.verdict,
        fresh: standing == Standing::Holds,
        standing,
        not_proven: not_proven(&case.verdict, ours.is_some(), standing),
    };
    context.output.result(&report, || text(&report))?;
    Ok(Exit::Ok)
}

/// The trust policy under which the verdict must have been given, and its file.
fn ours(verify: &Verify, context: &Context) -> Result<Option<(PathBuf, TrustDocument)>, Failure> {
    if verify.trust.is_none() && context.config()?.trust.policy.is_none() {
        return Ok(None);
    }
    let path = trust::file(context, verify.trust.clone())?;
    let policy = trust::read(&path)?.document().clone();
    Ok(Some((path, policy)))
}

fn not_proven(verdict: &Verdict, trusted: bool, standing: Standing) -> Vec<String> {
    let mut all = vec!["that nothing was left out: only a mirror, which holds the whole log, proves that".to_owned()];
    match standing {
        Standing::Holds => {}
        Standing::Over => {
            let held = verdict.fresh_until.map(|until| format!(", and held until {}", when(until))).unwrap_or_default();
            all.push(format!("that it still holds: it was given at {}{held}", when(verdict.at)));
        }
        Standing::ClockBehind => all.push(format!(
            "that it holds now: it was given at {}, to which this machine's clock has not come; set the clock",
            when(verdict.at)
        )),
    }
    if !trusted {
        all.push("that the trust policy is yours: compare it, or use --trust".to_owned());
    }
    all
}

/// Shows only what was checked.
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
        "{}: {} {}{peer}\n{}",
        report.standing.headline(report.trusted, verdict.at, verdict.fresh_until),
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
        let (speaks, says) = (explain::capacity(step), explain::step_says(step));
        format!("{whose}{signer}{speaks} {says}{why}, {} entry {}", step.domain, step.index)
    };
    verdict.derivation.iter().filter(|step| is_shown(step)).map(line).collect::<Vec<_>>().join("\n")
}

fn proven(verdict: &Verdict) -> String {
    let reach = verdict.as_of.iter().map(|it| {
        let size = counted_entries(it.size);
        format!("{size} of {}, descriptor {}, as of {}", it.domain, it.descriptor, when(it.as_of))
    });
    let steps = counted(verdict.derivation.len(), "statement");
    let first = format!("{steps}, each signed, in its log, and judged by the rules of docs/calculus.md");
    core::iter::once(first).chain(reach).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_is_over_is_said_to_be() {
        let at = |second: u64| Timestamp::from_seconds(1_795_161_200 + second);
        let (given, until) = (at(1_000), Some(at(1_060)));
        for (now, until, standing, headline) in [
            (1_000, until, Standing::Holds, "✓ the verdict holds"),
            // Clocks may differ a little.
            (700, until, Standing::Holds, "✓ the verdict holds"),
            (
                1_060,
                until,
                Standing::Over,
                "! the verdict is genuine but expired: it held until 2026-11-20 08:11:00 UTC",
            ),
            (1_001, None, Standing::Over, "! the verdict is genuine, and held at 2026-11-20 08:10:00 UTC"),
            (
                699,
                until,
                Standing::ClockBehind,
                "! the verdict is genuine; it was given at 2026-11-20 08:10:00 UTC, and the clock here is behind",
            ),
        ] {
            assert_eq!(Standing::at(at(now), given, until), standing, "{now}");
            assert_eq!(standing.headline(true, given, until), headline, "{now}");
        }
    }

    #[test]
    fn a_verdict_by_a_policy_that_nobody_has_named_is_no_plain_yes() {
        let given = Timestamp::from_seconds(1_795_161_200);
        let headline = Standing::Holds.headline(false, given, None);
        assert_eq!(headline, "! the verdict holds by a trust policy that nobody has named");
    }
}
