//! Saying something of things that are known: choosing them, reviewing what is signed, submitting it.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use console::style;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use ics_core::identity::Kind;
use ics_core::record::{Listed, Record};
use ics_core::statement::{Claims, Draft};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Role};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{card, table};
use super::progress;
use super::words::{clean, counted, short};
use crate::api::{ListQuery, Pending, Problem, SubmissionResult};
use crate::client::batch::{Head, Item};
use crate::client::lookup::{self, Found};
use crate::client::node::Node;
use crate::client::signing::{Signing, SigningError, random_salt};
use crate::client::submit;
use crate::client::thing::called;

/// Look-ups that are under way at once.
const AT_ONCE: usize = 8;
/// Statements that are signed before they are submitted.
const AT_A_TIME: usize = 200;
/// Things that a review lists; of more it says how many.
const LISTED: usize = 20;

/// The things that something is said of.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Of what")]
pub(crate) struct Things {
    /// Ids or names: fingerprint, sha256:…, urn:…, serial:…, host:…
    #[arg(value_name = "ID|NAME")]
    things: Vec<String>,
    /// A file with one id or name in each line.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// A published group, by its name: one statement that holds for all members.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Everything of this lot, one statement each.
    #[arg(long, value_name = "LOT")]
    lot: Option<String>,
    /// Everything of this model, one statement each; with --lot what fits both.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Everything that the domain knows, one statement each, but its groups.
    #[arg(long, conflicts_with_all = ["things", "from_file", "group", "lot", "model"])]
    all: bool,
}

/// Whether to ask before something is signed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Asking {
    /// Do not ask.
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
}

/// One statement that is to be made.
pub(crate) struct Saying {
    pub(crate) found: Found,
    pub(crate) claims: Claims,
    /// Whether it takes back an identity or an approval.
    pub(crate) ends_vouching: bool,
}

/// What became of a statement, as JSON.
#[derive(Serialize)]
struct Said {
    id: String,
    kind: Kind,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

impl Things {
    /// Finds them all.
    pub(crate) async fn find(self, context: &Context, node: &Node, signing: &Signing) -> Result<Vec<Found>, Failure> {
        let queries = self.queries(node, signing).await?;
        let bar = progress::bar(context, queries.len(), "looking up");
        let find = async |query: String| lookup::find(node, signing.domain(), &query).await;
        let found = stream::iter(queries).map(find).buffered(AT_ONCE).inspect(|_| bar.inc(1));
        let mut found: Vec<Found> = found.try_collect().await?;
        bar.finish_and_clear();
        let mut seen = BTreeSet::new();
        found.retain(|found| found.thing.id().is_ok_and(|id| seen.insert(id)));
        Ok(found)
    }

    /// Whether everything is meant.
    pub(crate) const fn is_all(&self) -> bool {
        self.all
    }

    async fn queries(self, node: &Node, signing: &Signing) -> Result<Vec<String>, Failure> {
        let mut queries = self.things;
        if let Some(path) = self.from_file {
            let failed = |e| Failure::new(Exit::Local, format!("`{}`: {e}", path.display()));
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            queries.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        if let Some(name) = self.group {
            queries.push(group_named(node, signing, &name).await?);
        }
        let (of_lot, of_model) = (self.lot.is_some(), self.model.is_some());
        if of_lot || of_model {
            let query = ListQuery { lot: self.lot, model: self.model, ..ListQuery::default() };
            queries.extend(lookup::list_all(node, signing.domain(), query).await?);
        }
        if self.all {
            let things = lookup::list(node, signing.domain(), ListQuery::default()).await?;
            queries.extend(things.into_iter().filter(|item| item.kind != Kind::Group).map(|item| item.id));
            return Ok(queries);
        }
        if queries.is_empty() && (of_lot || of_model) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("`{}` knows nothing of that lot or model", signing.domain()),
            )
            .hint("`ics list --lot LOT` or `ics list --model MODEL` shows what it knows"));
        }
        if queries.is_empty() {
            return Err(Failure::new(Exit::Usage, "nothing is named of which to say it")
                .hint("name ids or names, or use --from-file, --group, --lot, --model or --all"));
        }
        Ok(queries)
    }
}

/// The id of the one published group of that name.
async fn group_named(node: &Node, signing: &Signing, name: &str) -> Result<String, Failure> {
    let query = ListQuery { kind: Some("group".to_owned()), ..ListQuery::default() };
    let groups = lookup::list(node, signing.domain(), query).await?;
    let named: Vec<String> = groups.into_iter().filter(|item| item.title == name).map(|item| item.id).collect();
    match named.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Exit::NotFound, format!("`{}` has no group `{name}`", signing.domain()))
            .hint("`ics publish --group NAME --select lot=…` makes one")),
        several => Err(Failure::new(Exit::Refused, format!("`{name}` is the name of {} groups", several.len()))
            .hint(format!("name one by its id: {}", several.join(", ")))),
    }
}

/// Shows what is about to be signed, asks, signs and submits it.
pub(crate) async fn say(
    context: &Context,
    node: &Node,
    signing: &Signing,
    sayings: Vec<Saying>,
    asking: Asking,
) -> Result<Exit, Failure> {
    for saying in &sayings {
        saying.draft(signing)?;
        check_claims(signing, &saying.claims, context.now())?;
    }
    context.output.note(&review(signing, &sayings));
    if asking.dry_run {
        return planned(context, &sayings);
    }
    if signing.unsigned().is_some() {
        return prepare(context, node, signing, sayings, Vec::new()).await;
    }
    confirm(asking, &format!("Sign {} and submit it?", counted(sayings.len(), "statement")))?;
    submit::introduce(node, signing.domain(), signing.certificate_bytes()).await?;
    let bar = progress::bar(context, sayings.len(), "signing");
    let mut said: Vec<Said> = Vec::with_capacity(sayings.len());
    // What a token has signed slowly is not lost when the next thing goes wrong.
    for some in sayings.chunks(AT_A_TIME) {
        let drafts = some.iter().map(|saying| saying.draft(signing)).collect::<Result<Vec<_>, _>>()?;
        let bodies = sign_all(signing, drafts, context.now(), bar.clone()).await?;
        let results = submit::submit(node, signing.domain(), bodies).await?;
        said.extend(some.iter().zip(results).map(|(saying, result)| Said::new(saying, result)));
    }
    bar.finish_and_clear();
    let refused = said.iter().filter(|said| said.problem.is_some()).count();
    context.output.result(&said, || said_text(&said))?;
    Ok(if refused == 0 { Exit::Ok } else { Exit::Refused })
}

/// Refuses at once what would be signed for nothing: it would have no effect, or no rule could let it in.
pub(crate) fn check_claims(signing: &Signing, claims: &Claims, now: Timestamp) -> Result<(), Failure> {
    // Of approvals it matters that there were some: rules for going back to an older version look at them.
    let is_over = |until: &Timestamp| *until <= now && claims.act != Act::Approval;
    if let Some(until) = claims.until.filter(is_over) {
        return Err(Failure::new(Exit::Usage, format!("it would have ended before it is said: {until} is over"))
            .hint("name a time to come, or leave it out"));
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

/// What would be said, where nothing is to be signed.
fn planned(context: &Context, sayings: &[Saying]) -> Result<Exit, Failure> {
    let plan = |saying: &Saying| {
        let id = saying.found.thing.id().map(|id| id.to_string()).unwrap_or_default();
        json!({ "id": id, "kind": saying.found.thing.kind(), "says": claims_text(&saying.claims) })
    };
    let plans: Vec<_> = sayings.iter().map(plan).collect();
    let text = || format!("{} would be signed; nothing was", counted(sayings.len(), "statement"));
    context.output.result(&plans, text)?;
    Ok(Exit::Ok)
}

/// Signs on a thread of its own: a token takes its time, and the runtime has answers to read.
pub(crate) async fn sign_all(
    signing: &Signing,
    drafts: Vec<Draft>,
    at: Timestamp,
    bar: ProgressBar,
) -> Result<Vec<Vec<u8>>, Failure> {
    let key = Arc::clone(signing.key()?);
    let sign = move || -> Result<Vec<Vec<u8>>, SigningError> {
        let one = |draft: Draft| {
            bar.inc(1);
            Ok(draft.sign(key.signer(draft.purpose(), at)?, at, &random_salt()?)?)
        };
        drafts.into_iter().map(one).collect()
    };
    Ok(tokio::task::spawn_blocking(sign).await.map_err(|e| Failure::new(Exit::Internal, e))??)
}

/// Writes what is to be signed into a file for another machine, with the statements that it replaces, and certificates
/// that the log needs along with it.
pub(crate) async fn prepare(
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
        items.push(Item { draft: saying.draft(signing)?, replaced });
    }
    prepared(context, signing, with, items)
}

/// Writes a batch, and says what to do with it.
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
    say_prepared(context, path, &counted(count, "statement"), &digest, &head)
}

/// Says where a batch is, and what to do with it.
pub(crate) fn say_prepared(
    context: &Context,
    path: &Path,
    what: &str,
    digest: &str,
    head: &Head,
) -> Result<Exit, Failure> {
    let file = path.display().to_string();
    let said = json!({ "unsigned": file, "holds": what, "batch": digest, "signer": head.signer });
    context.output.result(&said, || {
        let rows = [
            ("to be signed by", head.signer.to_string()),
            ("batch", digest.to_owned()),
            ("next", format!("ics sign {file}\non the machine that has the key; compare the batch's digest there")),
        ];
        card(&format!("{} {file}: {what}", style("✓").green()), &rows)
    })?;
    Ok(Exit::Ok)
}

/// Asks a person; without one it takes `--yes`.
pub(crate) fn confirm(asking: Asking, question: &str) -> Result<(), Failure> {
    if asking.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "there is nobody to ask").hint("--yes signs without asking"));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(Exit::Local, e))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Refused, "nothing was signed")),
    }
}

fn review(signing: &Signing, sayings: &[Saying]) -> String {
    let rows: Vec<Vec<String>> = sayings.iter().take(LISTED).map(review_row).collect();
    let mut text = table(&["of", "id", "now", "will be said"], &rows);
    if let Some(more) = sayings.len().checked_sub(LISTED).filter(|more| *more > 0) {
        text.push_str(&format!("\n… and {more} more"));
    }
    let signer = signing.fingerprint();
    format!("{text}\nsigned by {signer} as {} in {}", style(&signing.role).bold(), signing.domain())
}

fn review_row(saying: &Saying) -> Vec<String> {
    let thing = &saying.found.thing;
    let id = thing.id().map(|id| id.to_string()).unwrap_or_default();
    let record = saying.found.own.as_ref().map(|answer| &answer.record);
    let now = record.map_or_else(|| "not known here".to_owned(), status_text);
    vec![clean(&thing.called()), short(&id), now, claims_text(&saying.claims)]
}

/// The status of a record in a word or two.
pub(crate) fn status_text(record: &Record) -> String {
    let vouched = if record.vouched.is_empty() { ", nobody vouches" } else { "" };
    let status = record.status.as_ref().map_or_else(|| "no status".to_owned(), |it| it.decides.name.to_string());
    format!("{status}{vouched}")
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

/// Says of one thing that it waits for the home of its domain: it is in the node's hands.
pub(crate) fn waits(context: &Context, what: &str, pending: &Pending) -> Result<Exit, Failure> {
    context.output.result(&json!({ "pending": pending }), || pending_text(what, pending))?;
    Ok(Exit::Ok)
}

fn pending_text(what: &str, pending: &Pending) -> String {
    let why = pending.why.as_ref().map(|why| format!("\n  {}", clean(why))).unwrap_or_default();
    format!("{} {}  waits in this node for the home of the domain: `ics outbox`{why}", style("…").yellow(), clean(what))
}

fn said_text(said: &[Said]) -> String {
    let line = |said: &Said| match (&said.problem, said.index) {
        (Some(problem), _) => {
            let hint = problem.hint.as_ref().map(|hint| format!("\n  {}", clean(hint))).unwrap_or_default();
            format!("{} {}: {}{hint}", style("✗").red(), clean(&called(said.kind, &said.title)), clean(&problem.detail))
        }
        (None, Some(index)) => {
            format!("{} {}  entry {index}", style("✓").green(), clean(&called(said.kind, &said.title)))
        }
        (None, None) => said
            .pending
            .as_ref()
            .map(|pending| pending_text(&called(said.kind, &said.title), pending))
            .unwrap_or_default(),
    };
    said.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Saying {
    fn draft(&self, signing: &Signing) -> Result<Draft, SigningError> {
        signing.draft(self.found.thing.clone(), self.claims.clone(), self.ends_vouching)
    }
}

impl Said {
    fn new(saying: &Saying, result: SubmissionResult) -> Self {
        let thing = &saying.found.thing;
        let mut pending = None;
        let (index, statement, problem) = match result {
            SubmissionResult::Receipt(receipt) => (Some(receipt.index), Some(receipt.id.to_string()), None),
            SubmissionResult::Problem(problem) => (None, None, Some(problem)),
            SubmissionResult::Pending(waits) => {
                pending = Some(waits);
                (None, None, None)
            }
        };
        Self {
            id: thing.id().map(|id| id.to_string()).unwrap_or_default(),
            kind: thing.kind(),
            title: thing.title(),
            index,
            statement,
            problem,
            pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        let said = Said {
            id: "00".repeat(20),
            kind: Kind::Device,
            title: "SN-1\u{1b}[2J".to_owned(),
            index: None,
            statement: None,
            problem: Some(Problem {
                kind: "urn:ics:problem:refused".to_owned(),
                title: "refused".to_owned(),
                status: 422,
                detail: "no\u{202e}\rway".to_owned(),
                hint: Some("\u{7}ask".to_owned()),
            }),
            pending: None,
        };
        let text = said_text(&[said]);
        let text = console::strip_ansi_codes(&text);
        assert_eq!(text, "✗ device SN-1\u{fffd}[2J: no\u{fffd}\u{fffd}way\n  \u{fffd}ask");
    }
}
