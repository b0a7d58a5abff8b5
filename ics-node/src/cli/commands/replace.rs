//! `ics replace`.

use std::path::PathBuf;

use clap::Args;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::name::Name;
use ics_core::record::{Given, Record};
use ics_core::statement::{Claims, Grant};
use ics_core::vocabulary::{Act, StatusName};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::say::{self, Asking, Saying};
use crate::cli::session::SignAs;
use crate::cli::words::clean;
use crate::client::lookup::{self, Found};
use crate::client::node::Node;
use crate::client::signing::Signing;
use crate::client::taken_back;
use crate::client::thing::{GivenKey, KeyThing, Thing, called};

/// Bytes of a file with a public key, or with a certificate.
const KEY_BYTES: usize = 64 * 1024;

/// What `ics replace` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics replace serial:SN-0001 --with new.pem --reason 'board changed'
  $ ics replace serial:SN-0001 --with new.pem --old stolen --in-use --signer owner --role owner

  Where its owner has not said so in the same breath, he approves the successor afterwards:
  $ ics status in-use serial:SN-0001 --signer owner --role owner")]
pub(crate) struct Replace {
    /// The thing whose key is lost, by id or name.
    thing: String,
    /// Its new public key: PEM or DER SubjectPublicKeyInfo, or an OpenPGP certificate.
    #[arg(long, value_name = "FILE")]
    with: PathBuf,
    /// The status that ends the old identity. One that can be lifted lets its certificates come back.
    #[arg(long, default_value = "destroyed", value_name = "STATUS")]
    old: StatusName,
    /// Say as well that the successor is in use; else its owner does.
    #[arg(long)]
    in_use: bool,
    /// Approve the successor as well.
    #[arg(long)]
    approve: bool,
    /// Why.
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
            let found = lookup::find(&node, signing.domain(), &self.thing).await?;
            refuse_taken(&node, &found, &given).await?;
            let (of_new, of_old) = self.sayings(context, &signing, found, given)?;
            if signing.unsigned().is_some() || self.asking.is_dry_run() {
                let all = of_new.into_iter().chain(of_old).collect();
                return say::say(context, &node, &signing, all, self.asking).await;
            }
            // Nothing ends before its successor is there.
            match say::say(context, &node, &signing, of_new, self.asking).await? {
                Exit::Ok => say::say(context, &node, &signing, of_old, self.asking).await,
                refused => Ok(refused),
            }
        })
    }

    /// All that is to be said of the successor, and of the old one.
    fn sayings(
        &self,
        context: &Context,
        signing: &Signing,
        old: Found,
        given: GivenKey,
    ) -> Result<(Vec<Saying>, Vec<Saying>), Failure> {
        let Thing::Key(former) = &old.thing else {
            return Err(Failure::new(Exit::Usage, "only things with a key are replaced so"));
        };
        let unknown = || Failure::new(Exit::NotFound, format!("`{}` does not know it", signing.domain()));
        let record = old.own.as_ref().map(|answer| &answer.record).ok_or_else(unknown)?;
        let me = signing.fingerprint();
        let user_id = given.certified.as_ref().map_or_else(|| former.user_id.clone(), |(name, _)| name.clone());
        let self_signature = given.certified.map(|(_, signature)| signature);
        let thing = KeyThing { key: given.key, kind: former.kind, user_id, self_signature };
        if thing.key.fingerprint() == former.key.fingerprint() {
            return Err(Failure::new(Exit::Usage, "that is the key that it has already"));
        }
        let new = Found { thing: Thing::Key(Box::new(thing)), own: None, others: Vec::new() };
        self.warn_of_names(context, record, &me);
        let of_old = |claims, ends_vouching| Saying { found: old.clone(), claims, ends_vouching };
        let of_new = |claims| Saying { found: new.clone(), claims, ends_vouching: false };
        let mut ends = vec![of_old(self.ending(signing, record), false)];
        ends.extend(self.takes_back(signing, record).map(|claims| of_old(claims, true)));
        let mut sayings = vec![of_new(self.introduction(signing, record, former.key.fingerprint()))];
        sayings.extend(grants(signing, record).map(&of_new));
        if self.approve {
            sayings.push(of_new(signing.claims(Act::Approval)));
        }
        if self.in_use {
            let status = "in-use".parse().map_err(|error| Failure::new(Exit::Internal, error))?;
            sayings.push(of_new(Claims { status: Some(status), ..signing.claims(Act::Status) }));
        }
        Ok((sayings, ends))
    }

    /// Names that others gave stay with the old one until they take them back.
    fn warn_of_names(&self, context: &Context, record: &Record, me: &Fingerprint) {
        for name in record.names.iter().filter(|given| given.by.signer != *me) {
            let by = name.by.name.clone().unwrap_or_else(|| name.by.signer.to_string());
            context.output.note(&format!("the name {} stays with the old one: {by} has given it", name.value));
        }
    }

    fn ending(&self, signing: &Signing, record: &Record) -> Claims {
        let own = lookup::standing(record, Act::Status).filter(|it| it.by.signer == signing.fingerprint());
        Claims {
            status: Some(self.old.clone()),
            reason: Some(self.reason.clone()),
            supersedes: own.map(|it| it.by.statement).collect(),
            ..signing.claims(Act::Status)
        }
    }

    /// The withdrawal of what the signer introduced the old one by.
    fn takes_back(&self, signing: &Signing, record: &Record) -> Option<Claims> {
        // With all that was replaced in it, as far as one withdrawal can name it.
        let own = taken_back::with_replaced(record, &signing.fingerprint(), |it| it.act == Act::Identity);
        let supersedes: Vec<_> = own.iter().rev().take(limits::SUPERSEDES).map(|it| it.by.statement).collect();
        let reason = Some(self.reason.clone());
        (!supersedes.is_empty()).then(|| Claims { supersedes, reason, ..signing.claims(Act::Withdrawal) })
    }

    /// What the signer has said of the old one, and that the new one replaces it.
    fn introduction(&self, signing: &Signing, record: &Record, old: Fingerprint) -> Claims {
        let me = signing.fingerprint();
        let attributes = record.attributes.iter().filter_map(|(attribute, values)| {
            values.iter().find(|given| given.by.signer == me).map(|given| (*attribute, given.value.clone()))
        });
        Claims {
            // Names that follow from its key go with it.
            names: by(&record.names, &me)
                .into_iter()
                .filter(|name| !matches!(name, Name::Spki(_) | Name::Certificate(_)))
                .collect(),
            attributes: attributes.collect(),
            groups: by(&record.groups, &me).into_iter().map(|digest| digest.0).collect(),
            replaces: Some(ics_core::identity::IdentityId::Key(old)),
            ..signing.claims(Act::Identity)
        }
    }
}

/// Refuses a key that is another thing's: the old one would end, and two would be one. A successor that is there already is
/// none of those, but one whose introduction got so far.
async fn refuse_taken(node: &Node, old: &Found, given: &GivenKey) -> Result<(), Failure> {
    let Some(view) = lookup::known(node, &given.key.fingerprint().to_string()).await? else { return Ok(()) };
    let id = old.thing.id().map(|id| id.to_string()).unwrap_or_default();
    let succeeds = |record: &Record| record.replaces.iter().any(|given| given.value == id);
    match view.records.iter().map(|answer| &answer.record).find(|record| !succeeds(record)) {
        Some(other) if other.identity.id.to_string() != id => {
            let of = clean(&called(other.identity.kind, &other.title));
            Err(Failure::new(Exit::Refused, format!("that is the key of another thing: {of}, {}", other.identity.id))
                .hint("a successor takes a key that nothing else has; nothing was signed"))
        }
        _ => Ok(()),
    }
}

/// What the signer has granted over the old one itself, so that its owner can speak of the new one.
fn grants<'a>(signing: &'a Signing, record: &'a Record) -> impl Iterator<Item = Claims> + 'a {
    let own = record.grants.iter().filter(|it| it.by.signer == signing.fingerprint() && it.by.group.is_none());
    own.map(|it| Claims {
        grant: Some(Grant { grantee: it.grantee, role: it.role.clone() }),
        until: it.until,
        ..signing.claims(Act::Grant)
    })
}

/// What a signer has given it himself, once each however often he said so.
fn by<T: Clone + PartialEq>(given: &[Given<T>], signer: &Fingerprint) -> Vec<T> {
    let mut values = Vec::new();
    for it in given.iter().filter(|it| it.by.signer == *signer && it.by.group.is_none()) {
        if !values.contains(&it.value) {
            values.push(it.value.clone());
        }
    }
    values
}
