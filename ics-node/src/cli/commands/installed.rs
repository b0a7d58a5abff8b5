//! `ics installed`.

use clap::Args;
use ics_core::record::Digest;
use ics_core::vocabulary::Act;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;

/// What `ics installed` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics installed sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff serial:SN-0001")]
pub(crate) struct Installed {
    /// The software, by its id.
    #[arg(value_name = "SOFTWARE")]
    software: Digest,
    #[command(flatten)]
    things: Things,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Installed {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = self.things.find(context, &node, &signing).await?;
            let mut claims = signing.claims(Act::Installed);
            claims.installed = Some(self.software.0);
            let saying = |found| Saying { found, claims: claims.clone(), ends_vouching: false };
            let sayings = found.into_iter().map(saying).collect();
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }
}
