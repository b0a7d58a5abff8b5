//! `ics status`.

use clap::Args;
use ics_core::record::{Listed, Record, Standing};
use ics_core::statement::{Claims, StatementId};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect, Role, StatusName};

use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::cli::words::{clean, counted};
use crate::client::lookup::Found;
use crate::client::signing::Signing;
use crate::client::taken_back;

/// What `ics status` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
With --lift the command shows what still blocks, and who may lift that: what is said of a group, what blocks for ever,
and what the role may not lift. If things were named (ids, --from-file, --group), the exit code is then 1. A block that
only begins later stays: it is shown, and --supersedes lifts it as well.

Statuses of things: planned, in-use, suspended, lost, stolen, retired, destroyed, compromised. Statuses of software:
announced, released, deprecated, withdrawn, compromised. A domain can add others.

A status that blocks a thing revokes the thing's X.509 certificates: `destroyed` (cessationOfOperation) and
`compromised` (privilegeWithdrawn; keyCompromise once two signers in two roles say so) revoke them for good, any other
such status puts them on hold until it ends.

A status that blocks for ever stays when its signer gives another status that blocks: what was destroyed can be called
compromised as well.

Examples:
  $ ics status in-use serial:SN-0001
  $ ics status stolen serial:SN-0001 --reason 'taken from site 4'
  $ ics status in-use serial:SN-0001 --lift
  $ ics status suspended --group 'Lot 2026-11' --reason 'battery may overheat'

  A status of a group of another domain holds for the members that are adopted:
  $ ics adopt --from devices.acme.example --lot 2026-07 --follow
  $ ics status suspended --group 'Lot 2026-07' --reason 'a valve leaks'")]
pub(crate) struct Status {
    /// The status.
    status: StatusName,
    #[command(flatten)]
    things: Things,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Also replace statuses of other signers, as far as the role may lift them and they have begun.
    #[arg(long)]
    lift: bool,
    /// Block a group even if the domain knows none of its members: the status then blocks nothing until members are
    /// adopted or published.
    #[arg(long)]
    without_members: bool,
    /// A statement that the new status replaces, besides the signer's own.
    #[arg(long, value_name = "STATEMENT")]
    supersedes: Vec<StatementId>,
    /// From when on the status holds [default: its admission].
    #[arg(long, value_name = "TIME", value_parser = until)]
    from: Option<Timestamp>,
    /// Until when the status holds [default: without end]. Without --from, a status that permits replaces what the
    /// signer has said before, which is taken back; what has blocked before blocks again after the end. After the end
    /// of a status that blocks, everything is as before.
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
        let are_named = things.are_named();
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = things.find(context, &node, &signing).await?;
            let sayings = |found: Found| {
                let claims = self.claims(&signing, &found);
                say::with_ends(context, &self.sign, &signing, found, claims)
            };
            let sayings: Vec<Saying> = found.into_iter().flat_map(sayings).collect();
            say::check_members(context, &node, &signing, &sayings, self.without_members).await?;
            let statuses = || sayings.iter().filter(|saying| saying.claims.act == Act::Status);
            let left: Vec<String> = statuses().flat_map(|saying| self.left(&signing, saying)).collect();
            let to_come: Vec<String> = statuses().flat_map(|saying| self.to_come(&signing, saying)).collect();
            let headline = || format!("{} still in force", counted(left.len(), "block"));
            let planned = format!("{} to come, not lifted", counted(to_come.len(), "block"));
            let asks = self.asking.asks_before(&signing);
            // Whoever is asked sees it before; to others the failure tells it, once.
            let left_before: &[String] = if asks || !are_named { &left } else { &[] };
            for (headline, blocks) in [(headline(), left_before), (planned, to_come.as_slice())] {
                if !blocks.is_empty() {
                    context.output.review(&say::listed(headline, blocks), asks);
                }
            }
            let exit = say::say(context, &node, &signing, sayings, self.asking).await?;
            // What nobody named is not missed.
            if left.is_empty() || !are_named {
                return Ok(exit);
            }
            Err(Failure::new(Exit::Refused, say::listed(headline(), &left)))
        })
    }

    /// Describes what still blocks a thing after its status is lifted, and who may lift that.
    fn left(&self, signing: &Signing, saying: &Saying) -> Vec<String> {
        let line = |it: &Listed| {
            let status = it.status.as_ref().map(StatusName::as_str).unwrap_or_default();
            let (index, way_out) = (it.by.index, self.way_out(signing, it));
            format!("{}: still `{status}` by entry {index}: {way_out}", named(saying))
        };
        self.other_blocks(saying, |_, it| it.standing == Standing::Stands).into_iter().map(line).collect()
    }

    /// Describes what will block it later. Such a planned block ends only if it is named, since whoever planned it
    /// still means it.
    fn to_come(&self, signing: &Signing, saying: &Saying) -> Vec<String> {
        let line = |it: &Listed| {
            let (status, statement) = (&self.status, it.by.statement);
            let may_end = it.by.signer == signing.fingerprint() || may_lift(signing, it);
            let way_out = match &it.by.group {
                _ if it.effect == Some(Effect::BlocksForEver) => self.way_out(signing, it),
                Some(group) => format!(
                    "it is said of its group, and is lifted there by a signer who may: `ics status {status} {group} \
                     --supersedes {statement}{}`",
                    self.sign.domain_flag()
                ),
                None if may_end => format!("`--supersedes {statement}` lifts it as well"),
                None => self.way_out(signing, it),
            };
            format!("{}: {}: {way_out}", named(saying), say::called(it))
        };
        self.other_blocks(saying, taken_back::will_stand).into_iter().map(line).collect()
    }

    /// Blocks of a thing whose status is lifted, except those that end with it.
    fn other_blocks<'s>(&self, saying: &'s Saying, comes: impl Fn(&Record, &Listed) -> bool) -> Vec<&'s Listed> {
        let Some(answer) = saying.found.own.as_ref().filter(|_| self.lift) else { return Vec::new() };
        let is_other = |it: &&Listed| {
            let is_block = it.act == Act::Status && it.effect.is_some_and(Effect::blocks);
            is_block && comes(&answer.record, it) && !saying.claims.supersedes.contains(&it.by.statement)
        };
        answer.record.statements.iter().filter(is_other).collect()
    }

    /// Who may lift a block that this command does not.
    fn way_out(&self, signing: &Signing, block: &Listed) -> String {
        let (statement, domain) = (block.by.statement, signing.domain());
        let by_owners = || format!("the domain's owners lift it: `ics domain update {domain} --lift {statement}`");
        if block.effect == Some(Effect::BlocksForEver) {
            return by_owners();
        }
        if let Some(group) = &block.by.group {
            let (status, there) = (&self.status, self.sign.domain_flag());
            return format!(
                "it is said of its group. Its signer takes it back, also for what was sold out of it: `ics withdraw \
                 {group} --statement {statement}{there}`; or it is lifted there by who may: `ics status {status} \
                 {group} --lift{there}`"
            );
        }
        let lifts = |role: &&Role| block.status.as_ref().is_some_and(|it| signing.descriptor.may_lift(role, it));
        let roles: Vec<&str> = signing.descriptor.roles.keys().filter(lifts).map(Role::as_str).collect();
        let lifted = (!roles.is_empty()).then(|| format!("one in the role {} lifts it", roles.join(", ")));
        // Nobody can withdraw what the owners have erased without naming its signer: it is theirs.
        let taken_back = match block.hangs_on() {
            None => by_owners(),
            Some((signer, ..)) => format!("its signer {signer} takes it back (`ics withdraw`)"),
        };
        [Some(taken_back), lifted].into_iter().flatten().collect::<Vec<_>>().join(", or ")
    }

    fn claims(&self, signing: &Signing, found: &Found) -> Claims {
        let mut claims = with_period(signing.claims(Act::Status), self.from, self.until);
        claims.status = Some(self.status.clone());
        claims.reason.clone_from(&self.reason);
        claims.supersedes.clone_from(&self.supersedes);
        if let Some(answer) = &found.own {
            let replaced = |it: &&Listed| it.is_of(&signing.fingerprint()) || self.lift && may_lift(signing, it);
            let kind = found.thing.kind();
            let is_block = signing.descriptor.effect(&self.status, kind).is_some_and(Effect::blocks);
            // What blocks for ever stays beside another block. If the thing is to be used again, the user is told who
            // may lift it.
            let stays = |it: &Listed| is_block && it.effect == Some(Effect::BlocksForEver);
            // Statements that were replaced only for a time would stand again beside this one.
            let former = answer.record.statements.iter().filter(|it| {
                let is_about_it = it.act == Act::Status && it.by.group.is_none();
                is_about_it && !stays(it) && taken_back::would_stand(&answer.record, it)
            });
            claims.supersedes.extend(former.filter(replaced).map(|it| it.by.statement));
        }
        claims.supersedes.sort_unstable();
        claims.supersedes.dedup();
        claims
    }
}

/// The title of the thing and its id.
fn named(saying: &Saying) -> String {
    let thing = &saying.found.thing;
    let id = thing.id().map(|id| id.to_string()).unwrap_or_default();
    format!("{} ({id})", clean(&thing.called()))
}

fn may_lift(signing: &Signing, statement: &Listed) -> bool {
    statement.status.as_ref().is_some_and(|status| signing.descriptor.may_lift(&signing.role, status))
}
