//! `ics mirror status`.

use clap::Args;
use console::style;
use ics_core::time::Timestamp;

use crate::api::{Alarm, DomainInfo, MirrorInfo, Position};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::{clean, span, when};

/// Asks the node how its mirrors are doing: how far they reach, how far behind they are, what went wrong, and what an
/// operator must look at.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics mirror status
  $ ics --json mirror status | jq '.[].mirror.state'
  $ ics mirror status --node https://ics.integrator.example")]
pub(crate) struct Status {}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        let domains = context.wait(async { Ok(node.domains().await?) })?;
        let mirrors: Vec<DomainInfo> = domains.into_iter().filter(|it| it.position == Position::Mirror).collect();
        context.output.result(&mirrors, || text(&mirrors, context.now()))?;
        Ok(Exit::Ok)
    }
}

fn text(mirrors: &[DomainInfo], now: Timestamp) -> String {
    if mirrors.is_empty() {
        return "the node mirrors no domain: `ics mirror add` adds one, from the next start on".to_owned();
    }
    mirrors.iter().map(|info| card(info.info.domain.as_str(), &rows(info, now))).collect::<Vec<_>>().join("\n")
}

fn rows(info: &DomainInfo, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(mirror) = &info.mirror {
        rows.push(("state", state(mirror)));
        rows.push(("from", format!("the peer {}", clean(&mirror.peer))));
        rows.extend(mirror.last_error.as_ref().map(|error| ("last error", style(clean(error)).red().to_string())));
    }
    rows.push(("entries", info.info.size.to_string()));
    rows.push(("as of", as_of(info, now)));
    rows.push(("rules", format!("version {}", info.info.descriptor)));
    rows.push(("origin", info.info.origin.to_string()));
    if !info.alarms.is_empty() {
        rows.push(("alarms", info.alarms.iter().map(alarm).collect::<Vec<_>>().join("\n")));
    }
    rows
}

fn state(mirror: &MirrorInfo) -> String {
    let word = match mirror.state.as_str() {
        "current" => style("✓ current").green(),
        "stopped" => style("✗ stopped").red().bold(),
        other => style(other).yellow(),
    };
    let lag = match mirror.lag_entries {
        0 => String::new(),
        1 => ", 1 entry behind".to_owned(),
        lag => format!(", {lag} entries behind"),
    };
    format!("{word}{lag}")
}

fn as_of(info: &DomainInfo, now: Timestamp) -> String {
    let Some(time) = info.info.as_of else { return style("never").yellow().to_string() };
    let age = now.millis_since(time) / 1000;
    let age_text = format!("{} ago", span(age));
    let age_text = if age > info.fresh_for_seconds {
        let bound = span(info.fresh_for_seconds);
        style(format!("{age_text}, too old: the bound is {bound}, answers are UNKNOWN")).yellow().to_string()
    } else {
        age_text
    };
    format!("{} ({age_text})", when(time))
}

fn alarm(alarm: &Alarm) -> String {
    format!("{} {} {}: {}", style("!").red().bold(), when(alarm.at), clean(&alarm.kind), clean(&alarm.text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(state: &str, lag: u64, more: serde_json::Value) -> DomainInfo {
        let origin: ics_core::log::checkpoint::Origin =
            format!("a.example/{}", "07".repeat(32)).parse().expect("an origin");
        let home = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
        let key = origin.key(&home).expect("a key");
        let mut value = json!({
            "domain": "a.example", "origin": origin, "home": {"name": "n.example", "key": ""}, "verifier_key": key,
            "descriptor": 2, "size": 12, "as_of": "2026-11-20T08:10:00Z", "position": "mirror", "root": "",
            "fresh_for_seconds": 60, "alarms": [],
            "mirror": {"peer": "acme", "state": state, "lag_entries": lag},
        });
        value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(value).expect("a domain")
    }

    #[test]
    fn states_lags_errors_and_alarms() {
        assert_eq!(
            text(&[], Timestamp::default()),
            "the node mirrors no domain: `ics mirror add` adds one, from the next start on"
        );
        let alarm = json!({"at": "2026-11-20T08:09:00Z", "kind": "fork", "text": "two roots"});
        let mirror = json!({"peer": "acme", "state": "stopped", "lag_entries": 3, "last_error": "it forked"});
        let stopped = info("stopped", 3, json!({"alarms": [alarm], "mirror": mirror}));
        let now = Timestamp::parse("2026-11-20T08:10:30Z").expect("a time");
        let shown = text(&[info("current", 0, json!({})), stopped], now.plus_millis(0));
        let origin = format!("a.example/{}", "07".repeat(32));
        assert_eq!(
            console::strip_ansi_codes(&shown),
            format!(
                "a.example\n  state    ✓ current\n  from     the peer acme\n  entries  12\n  \
                 as of    2026-11-20 08:10:00 UTC (30 s ago)\n  rules    version 2\n  origin   {origin}\n\n\
                 a.example\n  state       ✗ stopped, 3 entries behind\n  from        the peer acme\n  last error  it forked\n  \
                 entries     12\n  as of       2026-11-20 08:10:00 UTC (30 s ago)\n  rules       version 2\n  \
                 origin      {origin}\n  alarms      ! 2026-11-20 08:09:00 UTC fork: two roots\n"
            )
        );
    }
}
