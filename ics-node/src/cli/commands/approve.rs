//! `ics approve`.

use clap::Args;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use serde_json::json;

use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;

/// What `ics approve` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics approve serial:SN-0001
  $ ics approve --from-file selected.txt --yes
  $ ics approve --group 'Lot 2026-11'
  $ ics approve --model P7 --lot 2026-11 --until 2030-01-01T00:00:00Z

  A new integrator approves of all that the previous one approves of now, until the same end, but of nothing that is
  blocked here or in another domain of the node. What is left out is counted. Done again it goes on where it stopped:
  $ ics approve --all --dry-run
  $ ics approve --all --yes

  An update, for a night's maintenance:
  $ ics approve sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
--from 2026-11-26T01:00:00Z --until 2026-11-26T04:00:00Z")]
pub(crate) struct Approve {
    #[command(flatten)]
    things: Things,
    /// From when on the approval holds [default: its admission].
    #[arg(long, value_name = "TIME", value_parser = until)]
    from: Option<Timestamp>,
    /// Until when the approval holds [default: without end]. Without --from, it replaces the signer's earlier approval,
    /// which is taken back.
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Approve {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let is_all = self.things.is_all();
            let found = self.things.find(context, &node, &signing).await?;
            let mut claims = with_period(signing.claims(Act::Approval), self.from, self.until);
            claims.reason = self.reason;
            let each = say::with_claims(context, &signing, found, &claims, is_all);
            if is_all && each.is_empty() {
                context.output.result(&json!([]), || "Nothing is left to approve.".to_owned())?;
                return Ok(Exit::Ok);
            }
            let with_ends = |(found, claims)| say::with_ends(context, &self.sign, &signing, found, claims);
            let sayings: Vec<Saying> = each.into_iter().flat_map(with_ends).collect();
            say::check_members(context, &node, &signing, &sayings, true).await?;
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }
}
