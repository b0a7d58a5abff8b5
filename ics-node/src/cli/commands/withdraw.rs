//! `ics withdraw`.

use clap::Args;
use ics_core::record::{Listed, Record, Standing};
use ics_core::statement::StatementId;
use ics_core::vocabulary::Act;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::client::lookup::Found;
use crate::client::signing::Signing;

/// What `ics withdraw` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics withdraw serial:SN-0001 --act approval
  $ ics withdraw serial:SN-0001 \
--statement 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff --reason 'wrong device'
  $ ics withdraw --from-file returned.txt --act grant --yes")]
pub(crate) struct Withdraw {
    #[command(flatten)]
    things: Things,
    /// Take back all of the signer's standing statements of this act: identity, approval, status, label, grant, installed.
    #[arg(long, value_name = "ACT", required_unless_present = "statement")]
    act: Vec<Act>,
    /// Take back this statement.
    #[arg(long, value_name = "STATEMENT")]
    statement: Vec<StatementId>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Withdraw {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let things = core::mem::take(&mut self.things);
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = things.find(context, &node, &signing).await?;
            let sayings: Vec<Saying> = found.into_iter().filter_map(|found| self.saying(&signing, found)).collect();
            if sayings.is_empty() {
                let message = format!("{} has said nothing of that kind that stands", signing.fingerprint());
                return Err(Failure::new(Exit::NotFound, message).hint("`ics history` shows who has said what"));
            }
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }

    fn saying(&self, signing: &Signing, found: Found) -> Option<Saying> {
        let record = &found.own.as_ref()?.record;
        let taken_back: Vec<&Listed> = self.taken_back(signing, record).collect();
        let ends_vouching = taken_back.iter().any(|it| matches!(it.act, Act::Identity | Act::Approval));
        let mut claims = signing.claims(Act::Withdrawal);
        claims.supersedes = taken_back.iter().map(|it| it.by.statement).collect();
        claims.reason.clone_from(&self.reason);
        (!claims.supersedes.is_empty()).then_some(Saying { found, claims, ends_vouching })
    }

    fn taken_back<'a>(&'a self, signing: &Signing, record: &'a Record) -> impl Iterator<Item = &'a Listed> {
        let signer = signing.fingerprint();
        record.statements.iter().filter(move |it| {
            let is_meant = self.statement.contains(&it.by.statement) || self.act.contains(&it.act);
            is_meant && it.by.signer == signer && it.standing == Standing::Stands && it.by.group.is_none()
        })
    }
}
