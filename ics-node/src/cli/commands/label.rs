//! `ics label`.

use clap::Args;
use ics_core::record::Listed;
use ics_core::statement::{Claims, StatementId};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use serde_json::json;

use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::client::lookup::Found;
use crate::client::signing::Signing;
use crate::words::shell_word;

/// What `ics label` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics label iec-62443-4-2 serial:SN-0001 --until 2029-12-31T00:00:00Z

  A label with another name replaces an earlier one, whose statement `ics history` shows:
  $ ics label iec-62443-4-2-2027 serial:SN-0001 --until 2032-12-31T00:00:00Z \
--supersedes 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff

  A label is suspended by taking it back, and given again later; the history shows both, with the reason:
  $ ics withdraw serial:SN-0001 --label iec-62443-4-2 --reason 'audit failed'
  $ ics label iec-62443-4-2 serial:SN-0001 --until 2029-12-31T00:00:00Z

  All things of a model of another domain, each named by its id:
  $ ics --json list --domain devices.acme.example --model P7 --all | jq -r '.items[].id' > p7.txt
  $ ics label iec-62443-4-2 --from-file p7.txt --until 2029-12-31T00:00:00Z

  The register: all things that have the label now, from whom and until when, also for everybody at /domain/DOMAIN:
  $ ics list --label iec-62443-4-2 --all

  What a signer has spoken of so far:
  $ ics list --signer 0123456789abcdef0123456789abcdef01234567

  A new signer gives the label to all things that have it from the previous signer in the same role, until the same end:
  $ ics label iec-62443-4-2 --all --dry-run

  A label for a group of another domain holds for the members that are adopted:
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
    /// An earlier label by this signer, named by its statement, that this one ends, for example because it was renewed
    /// under another name.
    #[arg(long, value_name = "STATEMENT")]
    supersedes: Vec<StatementId>,
    /// From when on the label holds [default: its admission].
    #[arg(long, value_name = "TIME", value_parser = until)]
    from: Option<Timestamp>,
    /// Until when the label holds [default: without end]. Without --from, it replaces the signer's earlier label of
    /// this name, which is taken back.
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
            let is_all = self.things.is_all();
            let found = self.things.find(context, &node, &signing).await?;
            let mut claims = with_period(signing.claims(Act::Label), self.from, self.until);
            claims.label = Some(self.label);
            claims.reason = self.reason;
            let each = say::with_claims(context, &signing, found, &claims, is_all);
            if is_all && each.is_empty() {
                context.output.result(&json!([]), || "Nothing is left to label.".to_owned())?;
                return Ok(Exit::Ok);
            }
            let sayings = |(found, claims): (Found, Claims)| {
                let supersedes = former(&signing, &found, &self.supersedes);
                say::with_ends(context, &self.sign, &signing, found, Claims { supersedes, ..claims })
            };
            let sayings: Vec<Saying> = each.into_iter().flat_map(sayings).collect();
            let flags = self.sign.flags();
            let label = shell_word(claims.label.as_deref().unwrap_or_default());
            let labelled = sayings.iter().filter(|it| it.claims.act == Act::Label).map(|it| &it.found);
            say::refuse_unmatched(&signing, labelled, &sayings, &self.supersedes, |id, it| {
                let statement = it.by.statement;
                (it.act == Act::Label).then(|| format!("`ics label {label} {id} --supersedes {statement}{flags}`"))
            })?;
            say::check_members(context, &node, &signing, &sayings, true).await?;
            say::say(context, &node, &signing, sayings, self.asking).await
        })
    }
}

/// The signer's labels on a thing that are named.
fn former(signing: &Signing, found: &Found, named: &[StatementId]) -> Vec<StatementId> {
    let is_named = |it: &&Listed| it.act == Act::Label && named.contains(&it.by.statement);
    let mut former: Vec<_> =
        say::said_by(signing, found).into_iter().filter(is_named).map(|it| it.by.statement).collect();
    former.sort_unstable();
    former
}
