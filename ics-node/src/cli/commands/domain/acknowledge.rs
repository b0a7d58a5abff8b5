//! `ics domain acknowledge`.

use clap::Args;
use console::style;
use ics_core::vocabulary::DomainName;

use super::domain_or_default;
use crate::api::{Acknowledged, Alarm};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, counted, when};

/// What `ics domain acknowledge` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain acknowledge devices.acme.example")]
pub(crate) struct Acknowledge {
    /// The domain [default: that of ics.toml].
    domain: Option<DomainName>,
}

impl Acknowledge {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let domain = domain_or_default(context, self.domain)?;
        let node = context.node(&context.config()?)?;
        let (alarms, done) = context.wait(async {
            let alarms = node.domain(&domain).await?.alarms;
            // What is raised meanwhile nobody has seen.
            let Some(until) = alarms.iter().map(|alarm| alarm.at).max() else {
                return Ok((alarms, Acknowledged { alarms: 0 }));
            };
            let done = node.acknowledge(&domain, until).await?;
            Ok((alarms, done))
        })?;
        context.output.result(&done, || {
            let line = |alarm: &Alarm| format!("{} {}: {}", when(alarm.at), clean(&alarm.kind), clean(&alarm.text));
            let done = format!("{} {} of {domain}", style("✓").green(), counted(done.alarms, "alarm"));
            alarms.iter().map(line).chain([done]).collect::<Vec<_>>().join("\n")
        })?;
        Ok(Exit::Ok)
    }
}
