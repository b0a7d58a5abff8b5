//! `ics replace`.

use std::path::PathBuf;

use clap::Args;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::name::Name;
use ics_core::record::{Given, Listed, Record};
use ics_core::statement::{Claims, Grant};
use ics_core::vocabulary::{Act, Effect, StatusName};

use crate::api::RecordAnswer;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::say::{self, Asking, Saying};
use crate::cli::session::SignAs;
use crate::cli::words::clean;
use crate::client::lookup::{self, Found, LookupError};
use crate::client::node::Node;
use crate::client::signing::Signing;
use crate::client::taken_back;
use crate::client::thing::{GivenKey, KeyThing, Thing, called};

/// The size limit of a file with a public key or a certificate, in bytes.
const KEY_BYTES: usize = 64 * 1024;

/// What `ics replace` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics replace serial:SN-0001 --with new.pem --reason 'board changed'
  $ ics replace serial:SN-0001 --with new.pem --old stolen --in-use --signer owner --role owner

  Without --in-use, the owner puts the successor into use afterwards:
  $ ics status in-use serial:SN-0001 --signer owner --role owner

If the command stopped half-way, run it again: it makes the statements that are missing.")]
pub(crate) struct Replace {
    /// The thing whose key is lost, by id or name.
    thing: String,
    /// Its new public key: PEM or DER SubjectPublicKeyInfo, or an OpenPGP certificate.
    #[arg(long, value_name = "FILE")]
    with: PathBuf,
    /// The status that ends the old identity [default: destroyed, or none if it is already blocked for ever]. If the
    /// status can be lifted, the old identity's certificates can become valid again.
    #[arg(long, value_name = "STATUS")]
    old: Option<StatusName>,
    /// Also say that the successor is in use; otherwise its owner has to.
    #[arg(long)]
    in_use: bool,
    /// Also approve the successor.
    #[arg(long)]
    approve: bool,
    /// The reason. It stays for ever in the statement that takes the old introduction back, as does the old thing's
    /// name: no erasure reaches them.
    #[arg(long, value_name = "TEXT", default_value = "its key is lost")]
    reason: String,
    #[command(flatten)]
    sign: SignAs,
    #[command(flatten)]
    asking: Asking,
}

impl Replace {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let bytes = files::read(&self.with, KEY_BYTES)?;
        let given = GivenKey::parse(&bytes).map_err(|error| files::failed(&self.with, error))?;
        context.wait(async {
            let signing = self.sign.open(context, &config, &node).await?;
            let found = self.former(&node, &signing, &given).await?;
            let known = known_successor(&node, &signing, &found, &given).await?;
            let (of_new, of_old) = self.sayings(context, &signing, found, given, known)?;
            if signing.unsigned().is_some() || self.asking.is_dry_run() {
                let all = of_new.into_iter().chain(of_old).collect();
                return say::say(context, &node, &signing, all, self.asking).await;
            }
            // Nothing ends before its successor exists.
            for sayings in [of_new, of_old].into_iter().filter(|sayings| !sayings.is_empty()) {
                match say::say(context, &node, &signing, sayings, self.asking).await? {
                    Exit::Ok => {}
                    refused => return Ok(refused),
                }
            }
            Ok(Exit::Ok)
        })
    }

    /// Finds the thing whose key is lost. If an earlier run was interrupted, its name may already be the successor's,
    /// or belong to both.
    async fn former(&self, node: &Node, signing: &Signing, given: &GivenKey) -> Result<Found, Failure> {
        let new = IdentityId::Key(given.key.fingerprint()).to_string();
        let old = match lookup::find(node, signing.domain(), &self.thing).await {
            Ok(found) => match succeeded(&found, signing, &new) {
                Some(old) => old,
                None => return Ok(found),
            },
            Err(LookupError::Ambiguous { query, ids }) => match ids.as_slice() {
                [old, other] | [other, old] if *other == new => old.clone(),
                _ => return Err(LookupError::Ambiguous { query, ids }.into()),
            },
            Err(error) => return Err(error.into()),
        };
        Ok(lookup::find(node, signing.domain(), &old).await?)
    }

    /// All statements to be made about the successor and about the old thing.
    fn sayings(
        &self,
        context: &Context,
        signing: &Signing,
        old: Found,
        given: GivenKey,
        known: Option<RecordAnswer>,
    ) -> Result<(Vec<Saying>, Vec<Saying>), Failure> {
        let Thing::Key(former) = &old.thing else {
            return Err(Failure::new(Exit::Usage, "only things with a key can be replaced like this"));
        };
        let unknown = || Failure::new(Exit::NotFound, format!("`{}` does not know it", signing.domain()));
        let record = old.own.as_ref().map(|answer| &answer.record).ok_or_else(unknown)?;
        let former_key = former.key.fingerprint();
        let thing = successor(former, given);
        if thing.key.fingerprint() == former_key {
            return Err(Failure::new(Exit::Usage, "that is the key that it already has"));
        }
        self.warn_of_names(context, record, &signing.fingerprint());
        let new = Found { thing: Thing::Key(Box::new(thing)), own: known, others: Vec::new() };
        let is_missing = |claims: &Claims| !new.own.as_ref().is_some_and(|it| is_said(signing, &it.record, claims));
        let of_new = self.of_new(signing, record, former_key)?.into_iter().filter(is_missing);
        let of_new: Vec<Saying> =
            of_new.map(|claims| Saying { found: new.clone(), claims, ends_vouching: false }).collect();
        let of_old = |claims, ends_vouching| Saying { found: old.clone(), claims, ends_vouching };
        let ending = self.ending(context, signing, record)?.map(|claims| of_old(claims, false));
        let taken_back = self.takes_back(signing, record).map(|claims| of_old(claims, true));
        let of_old: Vec<Saying> = ending.into_iter().chain(taken_back).collect();
        if of_new.is_empty() && of_old.is_empty() {
            return Err(Failure::new(Exit::Usage, "that key has taken its place already, and nothing is missing"));
        }
        Ok((of_new, of_old))
    }

    /// What the successor gets.
    fn of_new(&self, signing: &Signing, record: &Record, former: Fingerprint) -> Result<Vec<Claims>, Failure> {
        let mut all = vec![self.introduction(signing, record, former)];
        all.extend(grants(signing, record));
        if self.approve {
            all.push(signing.claims(Act::Approval));
        }
        if self.in_use {
            all.push(Claims { status: Some(named("in-use")?), ..signing.claims(Act::Status) });
        }
        Ok(all)
    }

    /// Warns of names that others gave: they stay with the old thing until these signers take them back.
    fn warn_of_names(&self, context: &Context, record: &Record, me: &Fingerprint) {
        for name in record.names.iter().filter(|given| given.by.signer != *me) {
            let by = name.by.name.clone().unwrap_or_else(|| name.by.signer.to_string());
            context.output.note(&format!("the name {} stays with the old one: {by} has given it", name.value));
        }
    }

    /// The status that ends the old thing, unless it was already set. A status that blocks for ever stays beside it,
    /// since only the owners can end that.
    fn ending(&self, context: &Context, signing: &Signing, record: &Record) -> Result<Option<Claims>, Failure> {
        let is_for_ever = |it: &Listed| it.effect == Some(Effect::BlocksForEver);
        let status = match &self.old {
            Some(status) => status.clone(),
            None if lookup::standing(record, Act::Status).any(is_for_ever) => {
                context.output.note("the old one is already blocked for ever: nothing more is said of its status");
                return Ok(None);
            }
            None => named("destroyed")?,
        };
        let own = lookup::standing(record, Act::Status).filter(|it| it.by.signer == signing.fingerprint());
        let claims = Claims {
            status: Some(status),
            reason: Some(self.reason.clone()),
            supersedes: own.filter(|it| !is_for_ever(it)).map(|it| it.by.statement).collect(),
            ..signing.claims(Act::Status)
        };
        Ok((!is_said(signing, record, &claims)).then_some(claims))
    }

    /// Withdraws the statements by which the signer introduced the old thing.
    fn takes_back(&self, signing: &Signing, record: &Record) -> Option<Claims> {
        // Includes what these had replaced, as far as one withdrawal can name it.
        let own = taken_back::with_replaced(record, &signing.fingerprint(), |it| it.act == Act::Identity);
        let supersedes: Vec<_> = own.iter().rev().take(limits::SUPERSEDES).map(|it| it.by.statement).collect();
        let reason = Some(self.reason.clone());
        (!supersedes.is_empty()).then(|| Claims { supersedes, reason, ..signing.claims(Act::Withdrawal) })
    }

    /// Repeats what the signer has said about the old thing, and states that the new one replaces it.
    fn introduction(&self, signing: &Signing, record: &Record, old: Fingerprint) -> Claims {
        let me = signing.fingerprint();
        let attributes = record.attributes.iter().filter_map(|(attribute, values)| {
            values.iter().find(|given| given.by.signer == me).map(|given| (*attribute, given.value.clone()))
        });
        Claims {
            // Names derived from the old key are dropped.
            names: by(&record.names, &me)
                .into_iter()
                .filter(|name| !matches!(name, Name::Spki(_) | Name::Certificate(_)))
                .collect(),
            attributes: attributes.collect(),
            groups: by(&record.groups, &me).into_iter().map(|digest| digest.0).collect(),
            replaces: Some(IdentityId::Key(old)),
            ..signing.claims(Act::Identity)
        }
    }
}

fn named(status: &str) -> Result<StatusName, Failure> {
    status.parse().map_err(|error| Failure::new(Exit::Internal, error))
}

/// Describes the successor: the kind of the former thing, and its name unless the successor has its own.
fn successor(former: &KeyThing, given: GivenKey) -> KeyThing {
    let (user_id, self_signature) = match given.certified {
        Some((name, signature)) => (name, Some(signature)),
        None => (former.user_id.clone(), None),
    };
    KeyThing { key: given.key, kind: former.kind, user_id, self_signature }
}

/// The name of the thing by which the signer has said that this new one succeeds, if it is found.
fn succeeded(found: &Found, signing: &Signing, new: &str) -> Option<String> {
    let record = &found.own.as_ref()?.record;
    let mut own = record.replaces.iter().filter(|given| given.by.signer == signing.fingerprint());
    if record.identity.id.to_string() == new { own.next_back().map(|given| given.value.clone()) } else { None }
}

/// Whether the signer has already said this and it stands. An introduction may also be of something that succeeds
/// nothing.
fn is_said(signing: &Signing, record: &Record, claims: &Claims) -> bool {
    let succeeds = |it: &Listed| record.replaces.iter().any(|given| given.by.statement == it.by.statement);
    let grants = |it: &Listed| match (&it.grant, &claims.grant) {
        (Some(given), Some(meant)) => given.grantee == meant.grantee && given.role == meant.role,
        (None, None) => true,
        _ => false,
    };
    lookup::standing(record, claims.act).any(|it| {
        let is_own = it.by.signer == signing.fingerprint() && it.by.role == signing.role;
        is_own && it.status == claims.status && grants(it) && (claims.act != Act::Identity || succeeds(it))
    })
}

/// What the domain says about a successor that an earlier, interrupted run introduced. Refuses a key of another thing:
/// the old thing would end, and two things would become one.
async fn known_successor(
    node: &Node,
    signing: &Signing,
    old: &Found,
    given: &GivenKey,
) -> Result<Option<RecordAnswer>, Failure> {
    let Some(view) = lookup::known(node, &given.key.fingerprint().to_string()).await? else { return Ok(None) };
    let id = old.thing.id().map(|id| id.to_string()).unwrap_or_default();
    let succeeds = |record: &Record| record.replaces.iter().any(|given| given.value == id);
    match view.records.iter().map(|answer| &answer.record).find(|record| !succeeds(record)) {
        Some(other) if other.identity.id.to_string() != id => {
            let of = clean(&called(other.identity.kind, &other.title));
            Err(Failure::new(Exit::Refused, format!("that is the key of another thing: {of}, {}", other.identity.id))
                .hint("a successor needs a key that nothing else has; nothing was signed"))
        }
        _ => Ok(view.records.into_iter().find(|answer| answer.record.domain == *signing.domain())),
    }
}

/// What the signer has granted over the old thing, to be granted over the new one, so that its owner can speak about
/// it.
fn grants<'a>(signing: &'a Signing, record: &'a Record) -> impl Iterator<Item = Claims> + 'a {
    let own = record.grants.iter().filter(|it| it.by.signer == signing.fingerprint() && it.by.group.is_none());
    own.map(|it| Claims {
        grant: Some(Grant { grantee: it.grantee, role: it.role.clone() }),
        until: it.until,
        ..signing.claims(Act::Grant)
    })
}

/// The values that this signer has given, without duplicates.
fn by<T: Clone + PartialEq>(given: &[Given<T>], signer: &Fingerprint) -> Vec<T> {
    let mut values = Vec::new();
    for it in given.iter().filter(|it| it.by.signer == *signer && it.by.group.is_none()) {
        if !values.contains(&it.value) {
            values.push(it.value.clone());
        }
    }
    values
}
