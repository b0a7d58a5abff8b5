//! `ics grant`.

use std::collections::BTreeMap;

use clap::Args;
use ics_core::identity::Fingerprint;
use ics_core::record::{Granted, Listed, Record, Standing};
use ics_core::statement;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Role};

use super::domain::{certificate, signer};
use super::{until, with_period};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say::{self, Asking, Saying, Things};
use crate::cli::session::SignAs;
use crate::cli::words::{clean, counted, when};
use crate::client::lookup::Found;
use crate::client::signing::Signing;

/// What `ics grant` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A grant cannot be erased. It holds the key of the thing, but not what the thing is called, and the fingerprints of the
signers.

Examples:
  $ ics grant owner --to buyer.asc serial:SN-0001
  $ ics grant maintainer --to 0123456789abcdef0123456789abcdef01234567 --group 'Order 4711' --until 2030-01-01T00:00:00Z
  $ ics grant owner --to buyer-2.asc --transfer serial:SN-0001")]
pub(crate) struct Grant {
    /// The role to grant.
    granted: Role,
    /// Who gets the role: a file with the signer's certificate, a fingerprint, or a key of this home directory. The
    /// role lets the signer speak and read. If the rules let only holders of a role follow the things, also grant it to
    /// an owner of the domain that is to follow them (`ics key show owner` there).
    #[arg(long, value_name = "KEY")]
    to: String,
    #[command(flatten)]
    things: Things,
    /// End, for these things, the grants of that role that the signer has made, and those by which the signer has it.
    /// This is how a buyer sells what was bought, even one thing out of an order that was granted as a whole. Passing
    /// on the role in which the signer speaks also ends every other grant that the signer made in that role, for
    /// example to a security controller, because grants outlive the role of their giver, and the next holder could not
    /// end them. Those grants are shown beforehand. Grants that only begin later are ended too.
    #[arg(long)]
    transfer: bool,
    /// From when on the grant holds [default: its admission].
    #[arg(long, value_name = "TIME", value_parser = until)]
    from: Option<Timestamp>,
    /// Until when the grant holds [default: without end].
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Grant {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let grantee = signer(context, &self.to)?;
        // A fingerprint alone is enough if the log has the certificate or its holder submits it.
        let grantee_certificate = certificate(context, &self.to).ok().map(|certificate| certificate.bytes);
        let things = core::mem::take(&mut self.things);
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = things.find(context, &node, &signing).await?;
            let mut claims = with_period(signing.claims(Act::Grant), self.from, self.until);
            claims.grant = Some(statement::Grant { grantee, role: self.granted.clone() });
            let mut others = BTreeMap::new();
            let saying = |found: Found| {
                let mut claims = claims.clone();
                if let Some(answer) = found.own.as_ref().filter(|_| self.transfer) {
                    let former = grants(&answer.record).filter(|(given, it)| self.ends(&signing, &grantee, given, it));
                    for (given, it) in former {
                        claims.supersedes.push(it.by.statement);
                        if given.role != self.granted || it.standing == Standing::NotYet {
                            *others.entry(holder(given, it)).or_insert(0) += 1;
                        }
                    }
                    claims.supersedes.sort_unstable();
                    claims.supersedes.dedup();
                }
                Saying { found, claims, ends_vouching: false }
            };
            let sayings: Vec<Saying> = found.into_iter().map(saying).collect();
            say::check_members(context, &node, &signing, &sayings, true).await?;
            if !others.is_empty() {
                context.output.review(&ended(&others), self.asking.asks_before(&signing));
            }
            let with = grantee_certificate.into_iter().collect();
            say::say_with(context, &node, &signing, sayings, with, self.asking).await
        })
    }

    /// Whether this grant ends another one: those of the same role by this signer, and what entitles the signer to it,
    /// also through a group (then it ends for this thing only). If the signer passes on the role in which they speak,
    /// also what else they granted in it; otherwise a seller's observers would keep their access.
    fn ends(&self, signing: &Signing, grantee: &Fingerprint, given: &Granted, it: &Listed) -> bool {
        let me = signing.fingerprint();
        let of_role = given.role == self.granted && (it.by.signer == me || given.grantee == me);
        let in_role = it.by.signer == me && it.by.role == signing.role;
        of_role || (self.granted == signing.role && in_role && given.grantee != *grantee)
    }
}

/// The grants over a thing that give a role now or will later by themselves, since these would outlive a sale as well.
fn grants(record: &Record) -> impl Iterator<Item = (&Granted, &Listed)> {
    let live = record.statements.iter().filter(|it| it.standing == Standing::Stands);
    live.filter_map(|it| Some((it.grant.as_ref()?, it))).chain(record.grants_to_come())
}

/// Names who has, or will have, a role by a grant, for people.
fn holder(given: &Granted, it: &Listed) -> String {
    let name = given.name.as_deref().map(|name| format!("{}, ", clean(name))).unwrap_or_default();
    let from = it.from.filter(|_| it.standing == Standing::NotYet);
    let from = from.map(|from| format!(" from {}", when(from))).unwrap_or_default();
    format!("{name}{} as {}{from}", given.grantee, given.role)
}

/// Lists what ends besides the granted role, for people.
fn ended(others: &BTreeMap<String, usize>) -> String {
    let lines = others.iter().map(|(holder, count)| format!("\n{holder} over {}", counted(*count, "thing")));
    format!("with it ends what else was given{}", lines.collect::<String>())
}
