//! The gateway's decisions.

use std::collections::BTreeSet;

use ics_core::trust::{Outcome, Step, Verdict};
use ics_core::vocabulary::{Act, DomainName};

use super::Story;
use crate::demo::error::{Result, ensure};
use crate::demo::props;
use crate::demo::show::{Told, short};

/// The use that is asked about for pumps.
pub(super) const USE: &str = "operate";

impl Story {
    /// Allow, deny and unknown, each with its reason.
    pub(super) async fn decide(&mut self) -> Result<Told> {
        self.gateway.follows(&self.integrator).await?;
        let (used, unsold) = (self.pump(0)?, self.pump(self.pumps.len() - 1)?);
        let (allowed, _) = self.gateway.decides(&used.name(), USE, Outcome::Allow).await?;
        let (install, _) = self.gateway.decides(&props::id(&self.firmware)?, "install", Outcome::Allow).await?;
        let (denied, _) = self.gateway.decides(&unsold.name(), USE, Outcome::Deny).await?;
        let stranger = self.stranger.fingerprint().to_string();
        let (unknown, _) = self.gateway.decides(&stranger, USE, Outcome::Unknown).await?;
        let because = derivation(&allowed, self.integrator.domain());
        ensure(because.len() == 4, || format!("the answer rests on {:?}", allowed.derivation))?;
        Ok(Told::default()
            .checked("allow", format!("{} may operate, because\n{}", used.serial, because.join("\n")))
            .checked("allow", format!("firmware 4.2.0 may be installed: {}", install.rules.join(", ")))
            .checked("deny", reason(&denied))
            .checked("unknown", reason(&unknown))
            .data("allow", words(&allowed))
            .data("deny", words(&denied))
            .data("unknown", words(&unknown)))
    }
}

/// The reasons of a verdict, for programs.
fn words(verdict: &Verdict) -> serde_json::Value {
    serde_json::json!({ "outcome": verdict.outcome, "reasons": verdict.reasons })
}

/// Each statement once, with its place in the log in which it was made; an adopted statement is also in a second log.
fn derivation(verdict: &Verdict, adopting: &DomainName) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut steps: Vec<&Step> = verdict.derivation.iter().filter(|step| step.counts()).collect();
    steps.sort_by_key(|step| (step.act, step.domain == *adopting));
    let first = steps.into_iter().filter(|step| seen.insert(step.statement));
    let line = |step: &Step| format!("{:<19} {:<27} {} {}", step.role.as_str(), does(step), step.domain, step.index);
    first.map(line).collect()
}

/// What a statement contributes to the answer, in a few words.
fn does(step: &Step) -> String {
    let of = if step.group.is_some() { "its lot" } else { "it" };
    let status = step.status.as_ref().map(ToString::to_string).unwrap_or_default();
    match step.act {
        Act::Identity => format!("vouches for {of}"),
        Act::Approval => format!("approves of {of}"),
        Act::Status => format!("says of {of}: {status}"),
        _ => format!("\"{}\"", step.label.as_deref().unwrap_or_default()),
    }
}

/// The last reason of a verdict, which says most, with ids shortened for comparing by eye.
pub(super) fn reason(verdict: &Verdict) -> String {
    readable(verdict.reasons.last().map_or("", String::as_str))
}

/// A node's text with typographic quotes, and hashes shortened for comparing by eye.
pub(super) fn readable(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(['`', ',', ';', ':', '.']);
        if bare.len() >= 40 { word.replace(bare, &short(bare)) } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ").replace('`', "\"")
}
