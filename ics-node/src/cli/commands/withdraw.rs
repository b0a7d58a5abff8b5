//! `ics withdraw`.

use std::collections::BTreeSet;

use clap::Args;
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::record::{Listed, Record, Standing};
use ics_core::statement::StatementId;
use ics_core::vocabulary::Act;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::cli::words::{clean, counted};
use crate::client::lookup::Found;
use crate::client::signing::Signing;
use crate::client::taken_back;

/// What `ics withdraw` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
With --act, no earlier statement of the signer becomes valid again: what the signer's standing statements had replaced
is taken back with them, and so are the signer's statements that only begin later. Other signers' statements that they
had lifted stand again, and are shown before the command asks for confirmation.

Things about which the signer has made no statement of that act are left out, and shown before the command asks. If they
were named (ids, --from-file, --group), they are shown again at the end, and the exit code is 1; it is not if they were
selected by --lot, --model or --all. To take back what is said of a group, use --group or the group's id.

A withdrawal cannot be erased, and its reason stays for ever: write nothing about persons in it. The withdrawal of an
introduction or an approval also names the thing, because OpenPGP revokes by the name. If the name is a person's, do not
withdraw such a statement: have the owners erase it (`ics erase`), which ends it too.

Lifting a status of a group lifts it for the members over which the lifting signer has the role. For other members, such
as one that was sold, it stands until its signer takes it back with --group and --statement.

Examples:
  $ ics withdraw serial:SN-0001 --act approval
  $ ics withdraw serial:SN-0001 --label iec-62443-4-2
  $ ics withdraw serial:SN-0001 \
--statement 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff --reason 'wrong device'
  $ ics withdraw --group 'Lot 2026-11' \
--statement 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
  $ ics withdraw --from-file returned.txt --act grant --yes")]
pub(crate) struct Withdraw {
    #[command(flatten)]
    things: Things,
    /// Take back all of the signer's standing statements of this act (identity, approval, status, label, grant,
    /// installed), those that they have replaced, and those that would come into force later. If a thing has several
    /// labels of the signer, --label says which.
    #[arg(long, value_name = "ACT", required_unless_present_any = ["statement", "label"])]
    act: Vec<Act>,
    /// Take back the signer's labels with this name, and those that they have replaced.
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Take back this statement, named by its id as `ics history` shows it. What it has replaced stands again.
    #[arg(long, value_name = "STATEMENT")]
    statement: Vec<StatementId>,
    /// The reason. It stays for ever: no erasure reaches it.
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
        let are_named = things.are_named();
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = things.find(context, &node, &signing).await?;
            self.refuse_several(&signing, &found)?;
            self.refuse_unknown_labels(&signing, &found)?;
            let left: Vec<String> = found.iter().filter_map(|found| self.left_out(&signing, found)).collect();
            let sayings: Vec<Saying> = found.iter().flat_map(|found| self.sayings(context, &signing, found)).collect();
            say::refuse_unmatched(&signing, found.iter(), &sayings, &self.statement, |id, it| self.way(id, it))?;
            if sayings.is_empty() {
                let message = format!("{} has said nothing of that kind that stands", signing.fingerprint());
                return Err(Failure::new(Exit::NotFound, message).hint(
                    "`ics history` shows who has said what; what somebody else has lifted of a group, for some of its \
                     members, is named with --statement",
                ));
            }
            if !left.is_empty() {
                context.output.review(&listed(&left), self.asking.asks_before(&signing));
            }
            let exit = say::say(context, &node, &signing, sayings, self.asking).await?;
            // What nobody named is not missed.
            if left.is_empty() || !are_named { Ok(exit) } else { Err(told(&left)) }
        })
    }

    /// Refuses to withdraw several labels of a thing that share one name: each is a certificate of its own.
    fn refuse_several(&self, signing: &Signing, found: &[Found]) -> Result<(), Failure> {
        if !self.act.contains(&Act::Label) || !self.label.is_empty() {
            return Ok(());
        }
        let has_several = |found: &&Found| {
            let said = say::said_by(signing, found);
            said.iter().filter_map(|it| it.label.as_ref()).collect::<BTreeSet<_>>().len() > 1
        };
        let Some(one) = found.iter().find(has_several) else { return Ok(()) };
        let id = one.thing.id().map(|id| id.to_string()).unwrap_or_default();
        let several = format!("{} ({id}) has several labels of {}", clean(&one.thing.called()), signing.fingerprint());
        let meant = say::candidates(signing, [one].into_iter(), |id, it| self.way_of_label(id, it));
        Err(Failure::new(Exit::Refused, say::listed(several, &meant))
            .hint("nothing was signed; --label NAME takes back those of one name, of many things as well"))
    }

    /// Refuses label names that the signer has given to none of these things: whoever names a label means it to end.
    fn refuse_unknown_labels(&self, signing: &Signing, found: &[Found]) -> Result<(), Failure> {
        let has = |label: &String| {
            let mut said = found.iter().flat_map(|found| say::said_by(signing, found));
            said.any(|it| it.label.as_ref() == Some(label))
        };
        let Some(label) = self.label.iter().find(|label| !has(label)) else { return Ok(()) };
        let message = format!("no label `{label}` of {} about these things stands", signing.fingerprint());
        let meant = say::candidates(signing, found.iter(), |id, it| self.way_of_label(id, it));
        Err(Failure::new(Exit::NotFound, say::listed(message, &meant))
            .hint("nothing was signed; `ics history` shows who has said what, and what became of it"))
    }

    /// Whether a statement is withdrawn because of its act or label.
    fn is_meant(&self, it: &Listed) -> bool {
        match &it.label {
            Some(label) if !self.label.is_empty() => self.label.contains(label),
            _ => self.act.contains(&it.act),
        }
    }

    /// The thing, and why nothing about it is withdrawn, although an act is named.
    fn left_out(&self, signing: &Signing, found: &Found) -> Option<String> {
        let record = found.own.as_ref().map(|answer| &answer.record);
        let names_statements_only = self.act.is_empty() && self.label.is_empty();
        if names_statements_only || record.is_some_and(|record| !self.taken_back(signing, record).is_empty()) {
            return None;
        }
        let me = signing.fingerprint();
        let comes = |it: &Listed| matches!(it.standing, Standing::Stands | Standing::NotYet);
        let mine = |it: &&Listed| self.is_meant(it) && it.by.signer == me && comes(it);
        let why = match record.and_then(|record| record.statements.iter().filter(mine).find_map(|it| it.by.group)) {
            Some(group) => format!("it is said of its group {group}"),
            None => "nothing of that kind stands".to_owned(),
        };
        let id = found.thing.id().map(|id| id.to_string()).unwrap_or_default();
        Some(format!("{} ({id}): {why}", clean(&found.thing.called())))
    }

    /// Builds as many withdrawals as it takes to name all.
    fn sayings(&self, context: &Context, signing: &Signing, found: &Found) -> Vec<Saying> {
        let Some(record) = found.own.as_ref().map(|answer| &answer.record) else { return Vec::new() };
        let taken_back = self.taken_back(signing, record);
        let tell = |text: &str| context.output.review(text, self.asking.asks_before(signing));
        for it in taken_back::returning(record, &taken_back) {
            tell(&returns(it));
        }
        for it in taken_back.iter().filter(|it| it.standing == Standing::NotYet) {
            tell(&format!("{} is taken back before it comes into force", say::called(it)));
        }
        let saying = |some: &[&Listed]| {
            let mut claims = signing.claims(Act::Withdrawal);
            claims.supersedes = some.iter().map(|it| it.by.statement).collect();
            claims.reason.clone_from(&self.reason);
            let ends_vouching = some.iter().any(|it| matches!(it.act, Act::Identity | Act::Approval));
            Saying { found: found.clone(), claims, ends_vouching }
        };
        taken_back.chunks(limits::SUPERSEDES).map(saying).collect()
    }

    /// Describes how a statement is withdrawn, for people.
    fn way(&self, id: &str, it: &Listed) -> Option<String> {
        let (statement, flags) = (it.by.statement, self.sign.flags());
        (it.act != Act::Withdrawal).then(|| format!("`ics withdraw {id} --statement {statement}{flags}`"))
    }

    fn way_of_label(&self, id: &str, it: &Listed) -> Option<String> {
        self.way(id, it).filter(|_| it.act == Act::Label)
    }

    /// The named statements and, for a named act, all that would otherwise stand.
    fn taken_back<'a>(&self, signing: &Signing, record: &'a Record) -> Vec<&'a Listed> {
        let signer = signing.fingerprint();
        let is_group = record.identity.kind == Kind::Group;
        let mut all = taken_back::with_replaced(record, &signer, |it| self.is_meant(it));
        let named = record.statements.iter().filter(|it| {
            // A statement about a group that another role has lifted still stands for members that the lift does not
            // cover, and only its signer can end it for them.
            let stands = it.standing == Standing::Stands || it.is_to_come();
            // The remnant of an erased statement may no longer stand itself and yet end other statements.
            let ends = it.standing == Standing::Erased && !it.supersedes.is_empty();
            let may_stand = stands || ends || (is_group && it.standing == Standing::Replaced);
            let is_own = it.is_of(&signer) && it.by.group.is_none();
            is_own && may_stand && self.statement.contains(&it.by.statement)
        });
        for one in named {
            if !all.iter().any(|it| it.by.statement == one.by.statement) {
                all.push(one);
            }
        }
        all
    }
}

/// Describes what is no longer replaced, for people.
fn returns(it: &Listed) -> String {
    let name = it.by.name.as_deref().map_or_else(|| it.by.signer.to_string(), clean);
    format!("{} by {name} stands again then: what is taken back had replaced it", say::called(it))
}

/// Lists what is left out, for people.
fn listed(left: &[String]) -> String {
    say::listed(format!("{} left out", counted(left.len(), "thing")), left)
}

/// Reports what was left out, after everything else is done.
fn told(left: &[String]) -> Failure {
    Failure::new(Exit::Refused, listed(left))
        .hint("`ics history` shows who has said what; what is said of a group is taken back with --group, or its id")
}
