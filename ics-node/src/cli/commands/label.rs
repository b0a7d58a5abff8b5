//! `ics label`.

use clap::Args;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;

use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::client::lookup::Found;

/// What `ics label` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics label iec-62443-4-2 serial:SN-0001 --until 2029-12-31T00:00:00Z

  A label for a group of another domain holds for what is adopted of it:
  $ ics adopt --from devices.acme.example --model P7 --follow
  $ ics label medical-class-iia --group 'Model P7' --role certification-body")]
pub(crate) struct Label {
    /// The label.
    label: String,
    #[command(flatten)]
    things: Things,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// From when on it holds [default: its admission].
    #[arg(long, value_name = "TIME", value_parser = until)]
    from: Option<Timestamp>,
    /// Until when it holds [default: without end]. Without --from it takes the place of what the signer has said before,
    /// which is taken back.
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Label {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = self.things.find(context, &node, &signing).await?;
            let mut claims = with_period(signing.claims(Act::Label), self.from, self.until);
            claims.label = Some(self.label);
            claims.reason = self.reason;
            let sayings = |found: Found| say::with_ends(context, &signing, found, claims.clone());
            let sayings: Vec<Saying> = found.into_iter().flat_map(sayings).collect();
            say::check_members(context, &node, &signing, &sayings, true).await?;
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }
}
