//! `ics restore`.

mod accounts;
mod epoch;
mod unused;

use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde_json::{Value, json};

use super::serve::{failed, node_keys};
use crate::app::{App, AppError, Asked, NodeKeys, Setup, Source};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::{counted_entries, when};
use crate::client::backup::DATA;
use crate::client::restore::{self, CopyOfHome, PutBack, RestoreError};
use crate::config::{Config, NodeConfig};
use crate::service::{Service, ServiceError};
use crate::store::{self, StoreError};
use crate::words::path_text;

/// Bytes of memory for answers while nobody asks.
const RESTORING_BYTES: u64 = 1 << 20;

/// What `ics restore` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Restore a copy; what was signed since then comes from the peers in ics.toml:
  $ ics restore /backup/ics-2026-11-20

  Without a network, from a copy of a mirror that was carried here; what was signed after the time that the result gives
  is lost:
  $ ics restore /backup/ics-2026-11-20 --from-copy /media/stick/mirror

  The machine was restored from a snapshot:
  $ ics restore --hold

  This node is a witness, and its operator takes responsibility for what it may have cosigned since the copy was made:
  $ ics restore --cosign-again

  Nobody has what was lost: the owners begin a new epoch from what is left:
  $ ics restore --begin-anew devices.acme.example

  Nothing is lost, but the node's key leaked or is old: the stopped node gets a new one:
  $ ics restore --hold --begin-anew devices.acme.example

  Accounts of ACME clients are in no log. If they come from the copy because their disk is lost, accounts are valid
  again that `ics acme revoke` has taken away, or clients have given up, since the copy was made: the result names
  their holders, and `ics acme revoke` takes them away again.")]
pub(crate) struct Restore {
    /// The copy, which `ics backup` has made [default: leave the store as it is].
    #[arg(value_name = "COPY")]
    copy: Option<PathBuf>,
    /// A copy of the home directory of a node that mirrors the domains; may be given several times. Bring those of all
    /// nodes that may know the most: what none of them has is lost, such as what was signed since a gateway was brought
    /// its last bundle.
    #[arg(long, value_name = "COPY")]
    from_copy: Vec<PathBuf>,
    /// The store was restored by other means: stay silent until the mirrors have been asked. With --begin-anew: give
    /// the node a new key although the domain has lost nothing.
    #[arg(long, conflicts_with = "copy")]
    hold: bool,
    /// Cosign again as a witness. If this node has cosigned more than its copy shows, it may then vouch for another
    /// history of the same log: if that cannot be ruled out, give the node a new key instead.
    #[arg(long)]
    cosign_again: bool,
    /// Go on with a domain although no mirror could be asked. If anybody holds more of it than this node, this causes a
    /// fork.
    #[arg(long, value_name = "DOMAIN")]
    alone: Option<DomainName>,
    /// Begin a new epoch of a domain, with a new key of the node: what was lost stays lost. Run the command again for
    /// each other domain of the node: they get the same key, and lose nothing if they are not silent. If the node's
    /// present key is lost, name one that is yet to be made in `[node] key`, and give --hold as well.
    #[arg(long, value_name = "DOMAIN", conflicts_with = "alone")]
    begin_anew: Option<DomainName>,
    /// The owners' keys that sign the descriptor of a new epoch.
    #[arg(long, value_name = "KEY", default_value = "owner")]
    owner: Vec<String>,
    /// The descriptor of the new epoch, after the other owners have signed it.
    #[arg(long, value_name = "FILE", requires = "begin_anew")]
    descriptor: Option<PathBuf>,
}

impl Restore {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.refuse_foreign_home()?;
        let put_back = self.copy.as_deref().map(|copy| put_back(context, copy)).transpose()?;
        self.open(context, put_back.as_ref()).map_err(|failure| match &put_back {
            Some(put_back) => failure.after(done(put_back)),
            None => failure,
        })
    }

    /// Opens the node and has it ask for what it has lost.
    fn open(&self, context: &Context, put_back: Option<&PutBack>) -> Result<Exit, Failure> {
        let config = Config::load(&context.home)?;
        let node = config.node.as_ref().ok_or_else(|| failed(&ServiceError::NoNode))?;
        if let Some(domain) = &self.begin_anew {
            let signed = self.descriptor.as_deref();
            return epoch::begin(context, &config, node, domain, &self.owner, signed, self.hold);
        }
        let keys = node_keys(context, node)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Internal, error))?;
        let (domains, is_silent_witness) = runtime.block_on(async {
            let app = Service::open(&config, keys.clone()).map_err(|error| failed(&error))?;
            let mut sources = app.who_may_have_it();
            let copies: Vec<_> = self.from_copy.iter().map(|path| carried(path, &keys)).collect::<Result<_, _>>()?;
            sources.extend(copies.iter().map(|(_, source)| source.clone()));
            Ok::<_, Failure>((self.ask(context, &app, &sources).await?, app.is_silent_witness()))
        })?;
        let witness = if is_silent_witness { "silent" } else { "current" };
        let by_other_means = if self.hold { restore::accounts(&node.data)? } else { None };
        let accounts = put_back.and_then(|put_back| put_back.accounts.as_ref()).or(by_other_means.as_ref());
        let shown =
            json!({ "put_back": put_back.map(shown), "domains": domains, "witness": witness, "accounts": accounts });
        let is_well = domains.iter().all(|domain| domain["state"] == "current") && !is_silent_witness;
        context.output.result(&shown, || {
            let told = accounts.map(accounts::text).unwrap_or_default();
            text(put_back, &domains, is_silent_witness) + &told
        })?;
        Ok(if is_well { Exit::Ok } else { Exit::Refused })
    }

    async fn ask(&self, context: &Context, app: &App, sources: &[Source]) -> Result<Vec<Value>, Failure> {
        let failed = |error: AppError| Failure::new(Exit::Local, error);
        if self.hold {
            app.hold().map_err(failed)?;
        }
        if self.cosign_again {
            app.answer_for_cosignatures().map_err(failed)?;
        }
        let mut told = Vec::new();
        for domain in app.silent() {
            context.output.note(&format!("asking for {domain} …"));
            let mut asked = app.ask_all(&domain, sources).await.map_err(failed)?;
            if self.alone.as_ref() == Some(&domain) && app.silent().contains(&domain) {
                app.go_on(&domain).map_err(failed)?;
                asked.push(Asked { name: "the operator: alone".to_owned(), answer: Ok(Some(0)), as_of: None });
            }
            let state = if app.silent().contains(&domain) { "silent" } else { "current" };
            let size = app.domain(&domain).map(|info| info.info.size).ok();
            let as_of = asked.iter().filter_map(|asked| asked.as_of).max();
            let asked: Vec<Value> = asked.iter().map(answer).collect();
            let (signed, not_asked) = (app.signed_beyond(&domain), app.who_cannot_be_asked());
            told.push(json!({ "domain": domain, "state": state, "size": size, "signed": signed, "as_of": as_of,
                "asked": asked, "not_asked": not_asked }));
        }
        Ok(told)
    }
}

/// Opens a copy of a mirror's store in a directory of its own, so that the original stays unchanged.
fn carried(path: &Path, keys: &NodeKeys) -> Result<(tempfile::TempDir, Source), Failure> {
    let local = |error: String| Failure::new(Exit::Local, format!("`{}`: {error}", path.display()));
    let place = tempfile::tempdir().map_err(|error| local(error.to_string()))?;
    let data = place.path().join(DATA);
    let copy = CopyOfHome::open(path, place.path()).map_err(|error| local(error.to_string()))?;
    store::backup(copy.data(), &data).map_err(|error| local(error.to_string()))?;
    // The temporary copy takes the same space again, often in memory.
    drop(copy);
    let setup = Setup {
        data,
        keys: keys.clone(),
        peers: Vec::new(),
        config_file: None,
        trust: None,
        operator_token: None,
        memory_bytes: RESTORING_BYTES,
        acme: None,
    };
    let app = App::open(&setup).map_err(|error| local(error.to_string()))?;
    Ok((place, Source::Copy { name: path.display().to_string(), app }))
}

fn put_back(context: &Context, copy: &Path) -> Result<PutBack, Failure> {
    for (path, error) in restore::remove_left(&context.home) {
        let path = path.display();
        context.output.note(&format!("{path} is left of a restore that was killed, and cannot be removed: {error}"));
    }
    context.output.note("reading the copy …");
    let copy = CopyOfHome::open(copy, &context.home)?;
    let files = restore::missing_files(&copy, &context.home)?;
    let config = Config::load(&context.home)?;
    let node: &NodeConfig = config.node.as_ref().ok_or_else(|| failed(&ServiceError::NoNode))?;
    // Everything needed to open the node is checked before its store is replaced.
    let incomplete = |failure: Failure| {
        failure.hint(
            "the store was not replaced; bring what is missing here (`ics backup --with-keys` copies keys and token \
             too, but never the passphrase of the keys: put it into the file `passphrase`, or give --passphrase-file), \
             then give the same command again",
        )
    };
    let keys = node_keys(context, node).map_err(incomplete)?;
    Service::look_through(&config, keys).map_err(|error| incomplete(failed(&error)))?;
    let put_back = restore::put_back(&copy, &node.data, context.now())?;
    Ok(PutBack { files, ..put_back })
}

/// Describes what was done, for when the rest fails.
fn done(put_back: &PutBack) -> String {
    let former = put_back.replaced.as_ref().map(|path| format!(", and the former one is in {}", path.display()));
    let former = former.unwrap_or_default();
    let accounts = put_back.accounts.as_ref().map(accounts::in_short).unwrap_or_default();
    format!("the store was put back{former}{accounts}: once that is mended, `ics restore` without a copy goes on")
}

/// Reports what interrupted attempts have left behind, if anything.
fn left_over(attempts: &[PathBuf]) -> Option<(&'static str, String)> {
    let places: Vec<String> = attempts.iter().map(|path| path.display().to_string()).collect();
    let what = "parts of the copy, from attempts that were not finished: delete them, the former store is not in there";
    (!places.is_empty()).then(|| ("left over", format!("{}\n{what}", places.join("\n"))))
}

fn shown(put_back: &PutBack) -> Value {
    let texts = |paths: &[PathBuf]| paths.iter().map(|path| path_text(path)).collect::<Vec<_>>();
    let PutBack { entries, files, replaced, attempts, .. } = put_back;
    json!({ "entries": entries, "files": texts(files), "replaced": replaced.as_deref().map(path_text),
        "attempts": texts(attempts) })
}

fn answer(asked: &Asked) -> Value {
    match &asked.answer {
        Ok(entries) => json!({ "source": asked.name, "entries": entries, "as_of": asked.as_of }),
        Err(problem) => json!({ "source": asked.name, "problem": problem }),
    }
}

fn text(put_back: Option<&PutBack>, domains: &[Value], is_silent_witness: bool) -> String {
    let mut parts = Vec::new();
    if let Some(put_back) = put_back {
        let mut rows = vec![("store", counted_entries(put_back.entries))];
        rows.extend(
            put_back.replaced.iter().map(|path| ("before", format!("the former store is in {}", path.display()))),
        );
        rows.extend(left_over(&put_back.attempts));
        let files = put_back.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n");
        rows.extend((!files.is_empty()).then_some(("files", files)));
        parts.push(card(&format!("{} put back", style("✓").green()), &rows));
    }
    parts.extend(domains.iter().map(domain_text));
    if is_silent_witness {
        let rows = vec![("what to do", WITNESS_ADVICE.to_owned())];
        parts.push(card(&format!("{} this node stays silent as a witness", style("✗").red()), &rows));
    } else if domains.is_empty() {
        parts.push("No domain is silent: there is nothing to get back.".to_owned());
    }
    parts.join("\n")
}

const WITNESS_ADVICE: &str = "\
the copy does not show what was cosigned since it was made. If nothing was, or you answer for
it: `ics restore --cosign-again`. Otherwise give the node a new key, and its logs the new witness";

fn domain_text(domain: &Value) -> String {
    let is_current = domain["state"] == "current";
    let of = domain["signed"].as_u64().map(|signed| format!(" of {signed} that it has signed")).unwrap_or_default();
    let mut rows = vec![("entries", format!("{}{of}", domain["size"]))];
    for asked in domain["asked"].as_array().into_iter().flatten() {
        let source = asked["source"].as_str().unwrap_or_default();
        let said = match (asked["problem"].as_str(), asked["entries"].as_u64()) {
            (Some(problem), _) => style(format!("{source}: {problem}")).red().to_string(),
            (None, Some(entries)) => {
                let as_of = time_of(asked).map(|at| format!(", as of {at}")).unwrap_or_default();
                format!("{source}: {} of what was lost{as_of}", counted_entries(entries))
            }
            (None, None) => format!("{source}: holds no copy, and so cannot say what was lost"),
        };
        rows.push(("asked", said));
    }
    let not_asked = domain["not_asked"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let not_asked = not_asked.collect::<Vec<_>>().join("\n");
    if !not_asked.is_empty() {
        rows.push(("not asked", format!("{not_asked}\n{NO_ADDRESS}")));
    }
    let name = domain["domain"].as_str().unwrap_or_default();
    if !is_current {
        rows.push(("what to do", advice(name)));
    } else if let Some(at) = time_of(domain) {
        rows.push(("lost", format!("only what this node signed after {at}, if anything\n{FORKED}")));
    }
    let title = match is_current {
        true => format!("{} {name} goes on", style("✓").green()),
        false => format!("{} {name} stays silent", style("✗").red()),
    };
    card(&title, &rows)
}

/// Until when what a source has, or what is held, is known to be all that was signed.
fn time_of(told: &Value) -> Option<String> {
    told["as_of"].as_str().and_then(|time| Timestamp::parse(time).ok()).map(when)
}

const NO_ADDRESS: &str = "\
ics.toml has no address of it: if it may know more than those who were asked, bring a copy of its home directory with
--from-copy";

const FORKED: &str = "\
whoever has seen such a thing will see a fork: silence this node again with --hold, and bring a copy that has it";

/// What ends the silence of a domain.
fn advice(domain: &str) -> String {
    format!(
        "name every mirror as a [[peer]] in ics.toml, or bring copies of them: `ics restore --from-copy COPY`\n\
         a node that runs asks by itself; while it is stopped, `ics restore` asks\n\
         if nobody ever had more: `ics restore --alone {domain}`\n\
         if it is lost for good: `ics restore --begin-anew {domain}`"
    )
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let failure = Self::new(Exit::Local, &error);
        match error {
            RestoreError::Store(StoreError::InUse { .. }) => failure.hint("stop the node first"),
            RestoreError::Store(StoreError::NotFound { .. }) => failure.hint("name a directory that `ics backup` made"),
            RestoreError::Config(error) => error.into(),
            RestoreError::Store(StoreError::Io { .. } | StoreError::NoRoom | StoreError::Disk { .. })
            | RestoreError::File { .. } => failure.hint(
                "once that is fixed, give the same command again: what the restore has put here and what it has moved \
                 away so far are kept apart",
            ),
            RestoreError::AnotherLog(..) => failure
                .hint("nothing was changed; what belongs to another node goes into another home directory: --home DIR"),
            RestoreError::Damaged(_) => failure.hint("take an older copy; the mirrors have what was signed since"),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;

    use super::*;

    #[test]
    fn what_came_back_and_what_is_lost_is_told_in_words() {
        let told = |state: &str| {
            let asked = json!([{ "source": "plant", "entries": 1, "as_of": "2026-11-20T08:10:00Z" }]);
            let domain = json!({ "domain": "devices.acme.example", "state": state, "size": 9,
                "as_of": "2026-11-20T08:10:00Z", "asked": asked, "not_asked": ["gateway"] });
            // However wide the terminal is.
            strip_ansi_codes(&domain_text(&domain)).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let goes_on = told("current");
        for text in ["1 entry of what was lost, as of 2026-11-20", "if it may know more", "signed after 2026-11-20"] {
            assert!(goes_on.contains(text), "{text}: {goes_on}");
        }
        let silent = told("silent");
        assert!(!silent.contains("signed after"), "more may come back");
        assert!(silent.contains("`ics restore --alone devices.acme.example`"), "{silent}");
    }
}
