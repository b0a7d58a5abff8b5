//! `ics domain acknowledge`.

use clap::Args;
use console::style;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::domain_or_default;
use crate::api::{Acknowledged, Alarm};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, counted, when};
use crate::client::node::Node;

/// What `ics domain acknowledge` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain acknowledge devices.acme.example

  Alarms about peers that lied about domains of which no copy is here:
  $ ics domain acknowledge --no-domain")]
pub(crate) struct Acknowledge {
    /// The domain [default: that of ics.toml].
    domain: Option<DomainName>,
    /// The alarms about no domain that is here: about peers that lied when they were asked about a thing, and about
    /// this node as a witness.
    #[arg(long, conflicts_with = "domain")]
    no_domain: bool,
}

impl Acknowledge {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let domain = match self.no_domain {
            true => None,
            false => Some(domain_or_default(context, self.domain)?),
        };
        let node = context.node(&context.config()?)?;
        let domain = domain.as_ref();
        let alarms = context.wait(alarms_of(&node, domain))?;
        // Once they have ended, nobody can ask for them. Programs get them with the result: they take one value.
        let is_told = context.output.json || alarms.is_empty() || context.output.page(&alarms, || told(&alarms))?;
        // Alarms raised in the meantime have not been seen, so they stay.
        let until = alarms.iter().map(|alarm| alarm.at).max().filter(|_| is_told);
        let done = match until {
            Some(until) => context.wait(async { Ok(node.acknowledge(domain, until).await?) })?,
            None => Acknowledged { alarms: 0 },
        };
        let shown = json!({ "alarms": done.alarms, "ended": alarms });
        context.output.result(&shown, || {
            let of = domain.map_or("no domain", DomainName::as_str);
            format!("{} {} of {of}", style("✓").green(), counted(done.alarms, "alarm"))
        })?;
        // A node shows only so many at once. If it does not answer any more, the next look tells.
        let now = context.wait(alarms_of(&node, domain)).unwrap_or_default();
        let left = now.iter().filter(|it| until.is_some_and(|until| it.at <= until) && !alarms.contains(it)).count();
        if left > 0 {
            let left = counted(left, "alarm");
            context.output.note(&format!("{left} from before these: give the same command again to see and end them"));
        }
        Ok(Exit::Ok)
    }
}

/// The latest alarms about a domain, or about none.
async fn alarms_of(node: &Node, domain: Option<&DomainName>) -> Result<Vec<Alarm>, Failure> {
    Ok(match domain {
        Some(domain) => node.domain(domain).await?.alarms,
        None => node.alarms().await?,
    })
}

fn told(alarms: &[Alarm]) -> String {
    let line = |alarm: &Alarm| format!("{} {}: {}", when(alarm.at), clean(&alarm.kind), clean(&alarm.text));
    alarms.iter().map(line).collect::<Vec<_>>().join("\n")
}
