//! `ics grant`.

use clap::Args;
use ics_core::record::GivenGrant;
use ics_core::statement;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Role};

use super::domain::{certificate, signer};
use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::client::lookup::Found;

/// What `ics grant` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics grant owner --to buyer.asc serial:SN-0001
  $ ics grant maintainer --to 0123456789abcdef0123456789abcdef01234567 --group 'Order 4711' --until 2030-01-01T00:00:00Z
  $ ics grant owner --to buyer-2.asc --transfer serial:SN-0001")]
pub(crate) struct Grant {
    /// The role that is given.
    granted: Role,
    /// Who gets it: a file with his certificate, his fingerprint, or a key of this home directory.
    #[arg(long, value_name = "KEY")]
    to: String,
    #[command(flatten)]
    things: Things,
    /// End, for these things, the grants of that role that the signer has made, and those by which he has it: a buyer
    /// sells what he bought, also one thing out of an order that was granted to him as a whole.
    #[arg(long)]
    transfer: bool,
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

impl Grant {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let grantee = signer(context, &self.to)?;
        // A fingerprint alone will do where the log has the certificate, or its holder brings it himself.
        let grantee_certificate = certificate(context, &self.to).ok().map(|certificate| certificate.bytes);
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = self.things.find(context, &node, &signing).await?;
            let mut claims = with_period(signing.claims(Act::Grant), self.from, self.until);
            claims.grant = Some(statement::Grant { grantee, role: self.granted.clone() });
            let saying = |found: Found| {
                let mut claims = claims.clone();
                if let Some(answer) = found.own.as_ref().filter(|_| self.transfer) {
                    // Also what entitles the signer himself, and where it is said of a group: for this thing it ends.
                    let me = signing.fingerprint();
                    let mine = |it: &&GivenGrant| it.by.signer == me || it.grantee == me;
                    let former = answer.record.grants.iter().filter(mine).filter(|it| it.role == self.granted);
                    claims.supersedes.extend(former.map(|it| it.by.statement));
                    claims.supersedes.sort_unstable();
                    claims.supersedes.dedup();
                }
                Saying { found, claims, ends_vouching: false }
            };
            let sayings = found.into_iter().map(saying).collect();
            let with = grantee_certificate.into_iter().collect();
            say::say_with(context, &node, &signing, sayings, with, self.asking).await
        })
    }
}
