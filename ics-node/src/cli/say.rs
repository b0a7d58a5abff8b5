//! Makes statements about known things: chooses the things, reviews what is signed, and submits it.

mod all;
mod group;
mod known;
mod meant;
mod own;
mod reach;
mod renewed;
mod said;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use ics_core::identity::{Fingerprint, Kind};
use ics_core::limits;
use ics_core::record::Listed;
use ics_core::statement::{Claims, Draft};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect, Role};
use serde::Serialize;
use serde_json::json;

use self::all::say_all;
pub(crate) use self::all::sign_all;
use self::group::group_named;
pub(crate) use self::meant::{called, candidates, refuse_unmatched, said_by};
pub(crate) use self::own::with_ends;
pub(crate) use self::reach::check_members;
pub(crate) use self::renewed::with_claims;
pub(crate) use self::said::waits;
use self::said::{note_what_waits, tell};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::files;
use super::output::{self, card, table};
use super::progress;
use super::review::{claims_rows, stays};
use super::words::{MAY_MISS, clean, counted, short};
use crate::api::{IdentitySummary, ListQuery};
use crate::client::batch::{Head, Item};
use crate::client::lookup::{self, Found, Listing};
use crate::client::moment;
use crate::client::node::Node;
use crate::client::signing::{Signing, SigningError};
use crate::client::thing::GivenKey;
use crate::words::shell_path;

/// Concurrent look-ups.
const AT_ONCE: usize = 8;
/// How many things a review lists; beyond that only their number is given.
const LISTED: usize = 20;

/// The things that something is said of.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Of what")]
pub(crate) struct Things {
    /// Ids or names: fingerprint, sha256:…, urn:…, serial:…, host:…
    #[arg(value_name = "ID|NAME")]
    things: Vec<String>,
    /// A file with one id or name in each line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// A file with the public key of the thing, as `ics publish --key` takes it, if only one thing is named. It is
    /// needed if everything that was said of the thing is erased, because the domain then no longer has its key.
    #[arg(long, value_name = "FILE")]
    thing_key: Option<PathBuf>,
    /// A published group, by its name or id: one statement that holds for all members that the domain in which it is
    /// made knows. If the signer's own domain has no group of that name, a group of another domain of the node is
    /// taken; its members have to be adopted (`ics adopt`).
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Everything of this lot, one statement each.
    #[arg(long, value_name = "LOT")]
    lot: Option<String>,
    /// Everything of this model, one statement each; with --lot, what fits both.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Everything that the domain knows except groups, one statement each. `ics approve` and `ics label` take only
    /// things of which somebody in the signer's role says the same now, at most until that statement ends, and nothing
    /// that any domain here blocks.
    #[arg(long, conflicts_with_all = ["things", "from_file", "group", "lot", "model"])]
    all: bool,
}

/// Whether to ask before something is signed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Asking {
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
    /// Show what would be signed, and sign nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

impl Asking {
    /// Whether nothing is to be signed.
    pub(crate) const fn is_dry_run(self) -> bool {
        self.dry_run
    }

    /// Whether the user is asked.
    pub(crate) const fn asks(self) -> bool {
        !self.yes
    }

    /// Whether the user is asked before this signing: not if nothing is signed here and now.
    pub(crate) fn asks_before(self, signing: &Signing) -> bool {
        self.asks() && !self.dry_run && signing.unsigned().is_none()
    }
}

/// A statement that is to be made.
pub(crate) struct Saying {
    pub(crate) found: Found,
    pub(crate) claims: Claims,
    /// Whether it withdraws an identity or an approval.
    pub(crate) ends_vouching: bool,
}

impl Things {
    /// Finds the chosen things.
    pub(crate) async fn find(self, context: &Context, node: &Node, signing: &Signing) -> Result<Vec<Found>, Failure> {
        let key = self.thing_key.as_deref().map(given_key).transpose()?;
        let queries = self.queries(node, signing).await?;
        if key.is_some() && queries.len() != 1 {
            return Err(Failure::new(Exit::Usage, "--thing-key gives the key of one thing")
                .hint("name that thing, by its id or a name of it"));
        }
        let key = key.as_ref();
        let bar = progress::bar(context, queries.len(), "looking up");
        let find = |query: String| async move { lookup::find_by_key(node, signing.domain(), &query, key).await };
        let found = stream::iter(queries).map(find).buffered(AT_ONCE).inspect(|_| bar.inc(1));
        let mut found: Vec<Found> = found.try_collect().await?;
        bar.finish_and_clear();
        let mut seen = BTreeSet::new();
        found.retain(|found| found.thing.id().is_ok_and(|id| seen.insert(id)));
        Ok(found)
    }

    /// Whether all things are meant.
    pub(crate) const fn is_all(&self) -> bool {
        self.all
    }

    /// Whether some things were named, rather than selected by what they have in common.
    pub(crate) fn are_named(&self) -> bool {
        !self.things.is_empty() || self.from_file.is_some() || self.group.is_some()
    }

    async fn queries(self, node: &Node, signing: &Signing) -> Result<Vec<String>, Failure> {
        let mut queries = self.things;
        if let Some(path) = self.from_file {
            let text = files::read_text(&path, limits::BATCH_FILE_BYTES)?;
            queries.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        if let Some(name) = self.group {
            queries.push(group_named(node, signing, &name).await?);
        }
        let (of_lot, of_model) = (self.lot.is_some(), self.model.is_some());
        if of_lot || of_model {
            let query = ListQuery { lot: self.lot, model: self.model, ..ListQuery::default() };
            let listing = lookup::list(node, signing.domain(), query).await?;
            queries.extend(whole(listing)?.into_iter().map(|item| item.id));
        }
        if self.all {
            let things = whole(lookup::list(node, signing.domain(), ListQuery::default()).await?)?;
            queries.extend(things.into_iter().filter(|item| item.kind != Kind::Group).map(|item| item.id));
            if queries.is_empty() {
                let nothing = format!("`{}` speaks of nothing yet that --all would mean", signing.domain());
                return Err(Failure::new(Exit::NotFound, nothing).hint("name ids or names"));
            }
            return Ok(queries);
        }
        if queries.is_empty() && (of_lot || of_model) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("`{}` knows nothing of that lot or model", signing.domain()),
            )
            .hint(
                "`ics list --lot LOT` or `ics list --model MODEL` shows what it knows; what another domain knows is \
                 listed with --domain, and taken over with `ics adopt`, or named with --from-file",
            ));
        }
        if queries.is_empty() {
            return Err(Failure::new(Exit::Usage, "no thing is named to say it of")
                .hint("name ids or names, or use --from-file, --group, --lot, --model or --all"));
        }
        Ok(queries)
    }
}

/// All that is listed. Refuses if things may be missing: of these nothing would be said, and whoever blocks a whole lot
/// would not learn that some of it is not blocked.
fn whole(listing: Listing) -> Result<Vec<IdentitySummary>, Failure> {
    if listing.cut_short {
        return Err(Failure::new(Exit::Network, MAY_MISS).hint("try again in a moment, or name the things"));
    }
    Ok(listing.items)
}

fn given_key(path: &Path) -> Result<GivenKey, Failure> {
    GivenKey::read(path).map_err(|reason| Failure::new(Exit::Local, format!("`{}`: {reason}", path.display())))
}

/// Shows what is about to be signed, asks, signs and submits it.
pub(crate) async fn say(
    context: &Context,
    node: &Node,
    signing: &Signing,
    sayings: Vec<Saying>,
    asking: Asking,
) -> Result<Exit, Failure> {
    say_with(context, node, signing, sayings, Vec::new(), asking).await
}

/// As [`say()`], with certificates of others that the log needs as well.
pub(crate) async fn say_with(
    context: &Context,
    node: &Node,
    signing: &Signing,
    sayings: Vec<Saying>,
    with: Vec<Vec<u8>>,
    asking: Asking,
) -> Result<Exit, Failure> {
    for saying in &sayings {
        saying.dated(signing, context.now())?;
        check_claims(signing, &saying.claims, context.now())?;
    }
    note_clock(context, signing, &sayings);
    let is_asked = asking.asks_before(signing);
    context.output.review(&review(signing, &sayings), is_asked);
    if asking.dry_run {
        return planned(context, &sayings);
    }
    if signing.unsigned().is_some() {
        return prepare(context, node, signing, sayings, with).await;
    }
    let them = if sayings.len() == 1 { "it" } else { "them" };
    confirm(asking.asks(), &format!("Sign {} and submit {them}?", counted(sayings.len(), "statement")))?;
    let mut said = Vec::with_capacity(sayings.len());
    let ended = say_all(context, node, signing, &sayings, &with, &mut said).await;
    let told = tell(context, sayings.len(), &said, ended);
    note_what_waits(context, sayings.iter().any(|saying| saying.blocks(signing)), &said);
    told
}

/// Refuses at once what would be signed in vain: it would have no effect, or no rule could admit it.
pub(crate) fn check_claims(signing: &Signing, claims: &Claims, now: Timestamp) -> Result<(), Failure> {
    // Expired approvals do matter: rules for going back to an older version look at them.
    let is_over = |until: &Timestamp| *until <= now && claims.act != Act::Approval;
    if let Some(until) = claims.until.filter(is_over) {
        return Err(Failure::new(Exit::Usage, format!("it would have ended before it is said: {until} is over"))
            .hint("name a time in the future, or leave it out"));
    }
    let roles = &signing.descriptor.roles;
    let granted = claims.grant.as_ref().map(|grant| &grant.role);
    if let Some(role) = granted.into_iter().chain([&signing.role]).find(|role| !roles.contains_key(*role)) {
        let known: Vec<&str> = roles.keys().map(Role::as_str).collect();
        return Err(Failure::new(Exit::Refused, format!("`{}` has no role `{role}`", signing.domain()))
            .hint(format!("it has {}", known.join(", "))));
    }
    Ok(())
}

/// Shows what would be said if nothing is to be signed.
fn planned(context: &Context, sayings: &[Saying]) -> Result<Exit, Failure> {
    let plan = |saying: &Saying| {
        let id = saying.found.thing.id().map(|id| id.to_string()).unwrap_or_default();
        let (thing, claims) = (&saying.found.thing, &saying.claims);
        json!({
            "id": id, "kind": thing.kind(), "title": thing.title(), "says": claims_text(claims), "statement": claims,
        })
    };
    let plans: Vec<_> = sayings.iter().map(plan).collect();
    let text = || format!("{} would be signed; nothing was", counted(sayings.len(), "statement"));
    context.output.result(&plans, text)?;
    Ok(Exit::Ok)
}

/// Reports once if the clock is behind what the signer has signed before.
fn note_clock(context: &Context, signing: &Signing, sayings: &[Saying]) {
    let (signer, now) = (signing.fingerprint(), context.now());
    let dated = sayings.iter().filter_map(|saying| moment::after_own(&saying.found, &signer, now).ok());
    if let Some(told) = dated.max().and_then(|at| moment::told_of_lead(at, now)) {
        context.output.note(&told);
    }
}

/// Writes what is to be signed into a file for another machine, with the statements that it replaces and certificates
/// that the log needs as well.
async fn prepare(
    context: &Context,
    node: &Node,
    signing: &Signing,
    sayings: Vec<Saying>,
    with: Vec<Vec<u8>>,
) -> Result<Exit, Failure> {
    let mut items = Vec::with_capacity(sayings.len());
    for saying in sayings {
        let record = saying.found.own.as_ref().map(|answer| &answer.record);
        let listed = record.into_iter().flat_map(|record| &record.statements);
        let is_replaced = |it: &&Listed| saying.claims.supersedes.contains(&it.by.statement);
        let mut replaced = Vec::new();
        for it in listed.filter(is_replaced) {
            replaced.push(node.entry(signing.domain(), it.by.index).await?.body);
        }
        let after = moment::newest_own(&saying.found, &signing.fingerprint()).map(|it| it.signed_at);
        items.push(Item { draft: saying.draft(signing)?, replaced, after });
    }
    prepared(context, signing, with, items)
}

/// Writes a batch and reports what to do with it.
pub(crate) fn prepared(
    context: &Context,
    signing: &Signing,
    with: Vec<Vec<u8>>,
    items: Vec<Item>,
) -> Result<Exit, Failure> {
    let path = signing.unsigned().ok_or_else(|| Failure::new(Exit::Internal, "the key is at hand"))?;
    let (domain, role) = (signing.domain().clone(), Some(signing.role.clone()));
    let head = Head::new(domain, signing.fingerprint(), role, context.now());
    let head = with.iter().fold(head, |head, certificate| head.with(certificate));
    let count = items.len();
    let digest = head.write(path, items)?;
    say_prepared(context, path, (counted(count, "statement").as_str(), &json!({})), &digest, &head)
}

/// A batch that waits for its signer, and whatever else is to be reported about it.
#[derive(Serialize)]
struct Prepared<'p, B> {
    unsigned: &'p str,
    holds: &'p str,
    batch: &'p str,
    signer: Fingerprint,
    #[serde(flatten)]
    beside: &'p B,
}

/// Reports where a batch is, what it holds, with further members for programs, and what to do with it.
pub(crate) fn say_prepared(
    context: &Context,
    path: &Path,
    (what, beside): (&str, &impl Serialize),
    digest: &str,
    head: &Head,
) -> Result<Exit, Failure> {
    let file = path.display().to_string();
    let said = Prepared { unsigned: &file, holds: what, batch: digest, signer: head.signer, beside };
    context.output.written(path, &said, || {
        let there = "on the machine that has the key; compare the batch's digest there";
        let rows = [
            ("to be signed by", head.signer.to_string()),
            ("batch", digest.to_owned()),
            ("next", format!("ics sign {}\n{there}", shell_path(path))),
        ];
        card(&format!("{} {file}: {what}", style("✓").green()), &rows)
    })?;
    Ok(Exit::Ok)
}

/// Asks a person to confirm, unless `--yes` says that nobody is asked; it is required if nobody can be.
pub(crate) fn confirm(asks: bool, question: &str) -> Result<(), Failure> {
    if !asks {
        return Ok(());
    }
    let nobody = Failure::new(Exit::Usage, "there is nobody to ask").hint("--yes signs without asking");
    output::confirm(question, nobody, "nothing was signed")
}

/// A headline and, below it, the first of these lines and how many more there are.
pub(crate) fn listed(headline: String, lines: &[String]) -> String {
    let more = lines.len().checked_sub(LISTED).filter(|more| *more > 0).map(|more| format!("… and {more} more"));
    let lines = lines.iter().take(LISTED).cloned();
    core::iter::once(headline).chain(lines).chain(more).collect::<Vec<_>>().join("\n")
}

fn review(signing: &Signing, sayings: &[Saying]) -> String {
    // Introductions are always shown, since their names and attributes may have been requested by a stranger; so are
    // things that somebody else blocks.
    let is_told = |it: &Saying| it.claims.act == Act::Identity || known::is_blocked_elsewhere(&it.found);
    let is_shown = |(place, it): &(usize, &Saying)| *place < LISTED || is_told(it);
    let shown: Vec<&Saying> = sayings.iter().enumerate().filter(is_shown).map(|(_, saying)| saying).collect();
    let mut text = review_table(&shown);
    if let Some(more) = sayings.len().checked_sub(shown.len()).filter(|more| *more > 0) {
        text.push_str(&format!("\n… and {more} more"));
    }
    let signer = signing.fingerprint();
    format!("{text}\nsigned by {signer} as {} in {}", style(&signing.role).bold(), signing.domain())
}

/// A line for each thing and, below it, all that will be said beyond that, each on a line of its own: a value chosen by
/// somebody else must not pass for another field.
fn review_table(sayings: &[&Saying]) -> String {
    let rows: Vec<Vec<String>> = sayings.iter().map(|saying| review_row(saying)).collect();
    let table = table(&["of", "id", "now", "will be said"], &rows);
    let mut lines = table.lines();
    let mut text = lines.next().unwrap_or_default().to_owned();
    for (line, saying) in lines.zip(sayings) {
        text.push_str(&format!("\n{line}"));
        let revokes = saying.ends_vouching && saying.found.thing.kind().has_key();
        for (name, value) in claims_rows(&saying.claims).into_iter().chain(stays(&saying.claims, revokes)) {
            text.push_str(&format!("\n    {}  {value}", style(name).dim()));
        }
    }
    text
}

fn review_row(saying: &Saying) -> Vec<String> {
    let thing = &saying.found.thing;
    let id = thing.id().map(|id| id.to_string()).unwrap_or_default();
    let now = known::status_text(&saying.found);
    vec![clean(&thing.called()), short(&id), now, clean(&claims_text(&saying.claims))]
}

/// What claims say, in a few words.
pub(crate) fn claims_text(claims: &Claims) -> String {
    let what = match claims.act {
        Act::Status => claims.status.as_ref().map(|status| format!("status {status}")),
        Act::Label => claims.label.as_ref().map(|label| format!("label {label}")),
        Act::Grant => claims.grant.as_ref().map(|grant| format!("grant {} to {}", grant.role, grant.grantee)),
        _ => None,
    };
    let mut text = what.unwrap_or_else(|| claims.act.to_string());
    if !claims.supersedes.is_empty() {
        let verb = if claims.act == Act::Withdrawal { "takes back" } else { "replaces" };
        text.push_str(&format!(", {verb} {}", counted(claims.supersedes.len(), "statement")));
    }
    if let Some(until) = claims.until {
        text.push_str(&format!(", until {until}"));
    }
    text
}

impl Saying {
    fn blocks(&self, signing: &Signing) -> bool {
        let kind = self.found.thing.kind();
        let effect = self.claims.status.as_ref().and_then(|status| signing.descriptor.effect(status, kind));
        effect.is_some_and(Effect::blocks)
    }

    fn is_withdrawal(&self) -> bool {
        self.claims.act == Act::Withdrawal
    }

    fn id(&self) -> String {
        self.found.thing.id().map(|id| id.to_string()).unwrap_or_default()
    }

    fn draft(&self, signing: &Signing) -> Result<Draft, SigningError> {
        signing.draft(self.found.thing.clone(), self.claims.clone(), self.ends_vouching)
    }

    /// Returns what is to be signed, and the time of the signature.
    fn dated(&self, signing: &Signing, now: Timestamp) -> Result<(Draft, Timestamp), Failure> {
        let at = moment::after_own(&self.found, &signing.fingerprint(), now).map_err(|behind| {
            Failure::new(Exit::Refused, behind).hint("set the clock of this machine, and say it again")
        })?;
        Ok((self.draft(signing)?, at))
    }
}

#[cfg(test)]
mod tests {
    use ics_core::statement::{Group, Subject};

    use super::*;
    use crate::client::thing::Thing;

    /// A recall would pass over a thing of its lot.
    #[test]
    fn nothing_is_said_of_what_is_listed_while_things_may_be_missing() {
        let listing = |cut_short| Listing { items: Vec::new(), cut_short };
        assert_eq!(whole(listing(false)), Ok(Vec::new()));
        assert_eq!(whole(listing(true)).map_err(|failure| failure.exit()), Err(Exit::Network));
    }

    #[test]
    fn all_that_will_be_said_is_reviewed() {
        let domain = "d.example".parse().expect("a domain");
        let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain);
        claims.status = Some("suspended".parse().expect("a status"));
        claims.reason = Some("hot\u{1b}[2J\n    until  never".to_owned());
        claims.from = Some(Timestamp::from_seconds(1_795_162_200));
        let group = Group { kind: Kind::Group, name: "Lot 11".to_owned(), attributes: Default::default() };
        let found = Found { thing: Thing::Document(Subject::Group(group)), own: None, others: Vec::new() };
        let saying = Saying { found, claims, ends_vouching: false };
        let text = review_table(&[&saying]);
        let text = console::strip_ansi_codes(&text);
        let lines: Vec<&str> = text.lines().collect();
        let [_, of, why, from] = lines.as_slice() else { panic!("{text}") };
        assert!(of.starts_with("group Lot 11") && of.ends_with("not known here  status suspended"), "{of}");
        assert_eq!(*why, "    why  hot\u{fffd}[2J\u{fffd}    until  never");
        assert_eq!(*from, "    from  2026-11-20 08:10:00 UTC");
    }
}
