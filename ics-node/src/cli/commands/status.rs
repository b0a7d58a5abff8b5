//! `ics status`.

use clap::Args;
use ics_core::record::Listed;
use ics_core::statement::{Claims, StatementId};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, StatusName};

use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::client::lookup::{self, Found};
use crate::client::signing::Signing;

/// What `ics status` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Statuses: planned, in-use, suspended, lost, stolen, retired, destroyed, compromised; of software announced, released,
deprecated, withdrawn, compromised; and what the domain adds.

Examples:
  $ ics status in-use serial:SN-0001
  $ ics status stolen serial:SN-0001 --reason 'taken from site 4'
  $ ics status suspended --group 'Lot 2026-11' --reason 'battery may overheat'
  $ ics status in-use serial:SN-0001 --lift")]
pub(crate) struct Status {
    /// The status.
    status: StatusName,
    #[command(flatten)]
    things: Things,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Replace statuses of other signers, too, as far as the role may lift them.
    #[arg(long)]
    lift: bool,
    /// A statement that it replaces, besides the signer's own.
    #[arg(long, value_name = "STATEMENT")]
    supersedes: Vec<StatementId>,
    /// From when on it holds [default: its admission].
    #[arg(long, value_name = "TIME", value_parser = until)]
    from: Option<Timestamp>,
    /// Until when it holds [default: without end].
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Status {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let things = core::mem::take(&mut self.things);
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = things.find(context, &node, &signing).await?;
            let saying = |found: Found| {
                let claims = self.claims(&signing, &found);
                Saying { found, claims, ends_vouching: false }
            };
            let sayings = found.into_iter().map(saying).collect();
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }

    fn claims(&self, signing: &Signing, found: &Found) -> Claims {
        let mut claims = with_period(signing.claims(Act::Status), self.from, self.until);
        claims.status = Some(self.status.clone());
        claims.reason.clone_from(&self.reason);
        claims.supersedes.clone_from(&self.supersedes);
        if let Some(answer) = &found.own {
            let replaced = |it: &&Listed| it.by.signer == signing.fingerprint() || self.lift && may_lift(signing, it);
            claims
                .supersedes
                .extend(lookup::standing(&answer.record, Act::Status).filter(replaced).map(|it| it.by.statement));
        }
        claims.supersedes.sort_unstable();
        claims.supersedes.dedup();
        claims
    }
}

fn may_lift(signing: &Signing, statement: &Listed) -> bool {
    statement.status.as_ref().is_some_and(|status| signing.descriptor.may_lift(&signing.role, status))
}
