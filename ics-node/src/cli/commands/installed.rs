//! `ics installed`.

use clap::Args;
use ics_core::identity::Fingerprint;
use ics_core::record::Digest;
use ics_core::statement::StatementId;
use ics_core::vocabulary::Act;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::client::lookup::Found;

/// What `ics installed` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics installed sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff serial:SN-0001

  After an update, instead of the previous version:
  $ ics installed sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff serial:SN-0001 \
--instead-of sha256:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100

  Which devices run deprecated code:
  $ ics list --runs deprecated")]
pub(crate) struct Installed {
    /// The software, by its id.
    #[arg(value_name = "SOFTWARE")]
    software: Digest,
    #[command(flatten)]
    things: Things,
    /// Software that the signer has said is installed, and that no longer is; may be given several times.
    #[arg(long, value_name = "SOFTWARE")]
    instead_of: Vec<Digest>,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Installed {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = core::mem::take(&mut self.things).find(context, &node, &signing).await?;
            let mut claims = signing.claims(Act::Installed);
            claims.installed = Some(self.software.0);
            let saying = |found: Found| {
                let mut claims = claims.clone();
                claims.supersedes = self.replaced(&found, &signing.fingerprint());
                Saying { found, claims, ends_vouching: false }
            };
            let sayings = found.into_iter().map(saying).collect();
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }

    /// The signer's own statements about the software that was replaced.
    fn replaced(&self, found: &Found, signer: &Fingerprint) -> Vec<StatementId> {
        let installed = found.own.iter().flat_map(|own| &own.record.installed);
        let gone = installed.filter(|it| self.instead_of.contains(&it.value) && it.by.signer == *signer);
        gone.map(|it| it.by.statement).collect()
    }
}
