//! The gateway's decisions.

use std::collections::BTreeSet;

use ics_core::trust::{Outcome, Verdict};

use super::Story;
use crate::demo::error::{Result, ensure};
use crate::demo::props;
use crate::demo::show::{Told, short};

impl Story {
    /// Allow, deny and unknown, each with its reason.
    pub(super) async fn decide(&mut self) -> Result<Told> {
        self.gateway.follows(&self.integrator).await?;
        let (used, unsold) = (self.pump(0)?, self.pump(self.pumps.len() - 1)?);
        let (allowed, _) = self.gateway.decides(&format!("serial:{}", used.serial), "operate", Outcome::Allow).await?;
        let (install, _) = self.gateway.decides(&props::id(&self.firmware)?, "install", Outcome::Allow).await?;
        let (denied, _) = self.gateway.decides(&unsold.id()?, "operate", Outcome::Deny).await?;
        let stranger = self.stranger.fingerprint().to_string();
        let (unknown, _) = self.gateway.decides(&stranger, "operate", Outcome::Unknown).await?;
        ensure(allowed.derivation.len() >= 4, || format!("the answer rests on {:?}", allowed.derivation))?;
        let mut told = Told::default().checked("allow", format!("{} may operate, because", used.serial));
        for line in derivation(&allowed) {
            told = told.shown("", line);
        }
        Ok(told
            .checked("allow", format!("firmware 4.2.0 may be installed ({})", install.rules.join(", ")))
            .checked("deny", format!("{}: nobody has approved it or put it into use", unsold.serial))
            .checked(
                "unknown",
                format!("a stranger's key: {}", unknown.reasons.first().map_or("", |_| "no domain knows it")),
            )
            .data("allow", words(&allowed))
            .data("deny", words(&denied))
            .data("unknown", words(&unknown)))
    }
}

/// The reasons of a verdict, for programs.
fn words(verdict: &Verdict) -> serde_json::Value {
    serde_json::json!({ "outcome": verdict.outcome, "reasons": verdict.reasons })
}

/// Each statement once, in words, with its place in the log; an adopted one where it was said first.
fn derivation(verdict: &Verdict) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut steps: Vec<_> = verdict.derivation.iter().collect();
    // A domain that vouches comes before one that has adopted its statement.
    steps.sort_by_key(|step| step.role.as_str() != "manufacturer" || !step.domain.as_str().starts_with("devices."));
    steps
        .into_iter()
        .filter(|step| seen.insert(step.statement))
        .map(|step| {
            let rule = step.rule.split(", as a member of the group").next().unwrap_or_default();
            let through = if step.rule == rule { "" } else { " (through its lot)" };
            format!("{} {rule}{through}  {} #{}", step.role, step.domain, step.index)
        })
        .map(|line| line.replace("`", "\""))
        .collect()
}

/// The first reason of a verdict, digests cut to what the eye can compare.
pub(super) fn reason(verdict: &Verdict) -> String {
    let reason = verdict.reasons.first().map_or("", String::as_str);
    let word = |word: &str| if word.len() > 60 { short(word) } else { word.to_owned() };
    reason.split(' ').map(word).collect::<Vec<_>>().join(" ").replace('`', "\"")
}
