//! `ics export --bundle`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use ics_core::vocabulary::DomainName;
use ics_sync::bundle::{Bundle, Cursor, Section};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::progress;
use crate::cli::words::{counted, counted_entries};
use crate::client::bundle::{CarryError, Made, Order, make};
use crate::client::node::Node;
use crate::config::{Config, PeerConfig, PeerName};
use crate::keys::file::unnamed;
use crate::words::{path_text, shell_word};

/// What a bundle takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bundles")]
pub(crate) struct BundleArgs {
    /// Write whole domains, for another node that has no link: only what the peer named by --for may read, and what
    /// this node has to submit to it. If domains are named, only those are written [default: all that this node holds].
    #[arg(long, requires_all = ["for_peer", "output"], conflicts_with_all = ["entry", "openpgp", "domain"])]
    pub(super) bundle: bool,
    /// The peer that the bundle is for; `ics peer list` shows them.
    #[arg(long = "for", id = "for_peer", value_name = "PEER", requires = "bundle")]
    reader: Option<PeerName>,
    /// Write only what is new since this bundle: one that the peer has made, or the last one that was made for it. If
    /// the peer has submitted something in its bundle that this node refused, the reasons are sent back.
    #[arg(long, value_name = "BUNDLE", requires = "bundle")]
    since: Vec<PathBuf>,
}

impl BundleArgs {
    pub(super) fn run(self, context: &Context, domains: &[String], path: &Path) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domains = domains.iter().map(|name| name.parse()).collect::<Result<Vec<DomainName>, _>>();
        let domains = domains.map_err(|error| Failure::new(Exit::Usage, error))?;
        let name = self.reader.ok_or_else(|| Failure::new(Exit::Usage, "name the peer with --for"))?;
        let to = peer(context, &config, &node, &name)?;
        let key = to.key.clone().ok_or_else(|| {
            Failure::new(Exit::Refused, format!("the peer `{name}` has no key, so nobody reads here as it")).hint(
                "`ics peer add` takes it with --key; `/v1/node` there, or `ics peer list --json` here, shows a key",
            )
        })?;
        let (mut since, mut answers) = (BTreeMap::new(), Vec::new());
        for path in &self.since {
            let bundle = cursors(path, key.to_string().as_str(), &mut since)?;
            answers.extend(Some(bundle).filter(|bundle| bundle.head().from.key == key.to_string()));
        }
        let mut order = Order { to, key, domains, since, answers, at: context.now() };
        let bar = progress::counter(context, "writing");
        let made = context.wait(write(&node, &mut order, path, |done| bar.set_position(done)));
        bar.finish_and_clear();
        let made = made?;
        let bytes = std::fs::metadata(path).map_err(|error| files::failed(path, error))?.len();
        let shown = json!({ "file": path_text(path), "for": name, "bytes": bytes, "domains": made });
        context.output.result(&shown, || text(path, &name, bytes, &made))?;
        Ok(Exit::Ok)
    }
}

/// Returns the peer as the node knows it or, if the node does not treat the caller as its operator, as configured.
fn peer(context: &Context, config: &Config, node: &Node, name: &PeerName) -> Result<PeerConfig, Failure> {
    let known = context.wait(async { Ok(node.peers().await?) })?;
    let found = known.into_iter().map(|info| info.peer).find(|peer| peer.name == *name);
    found.or_else(|| config.peer(name).cloned()).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("the node has no peer `{name}`"))
            .hint("`ics peer add` adds one, with its key: a bundle holds what its reader may read")
    })
}

/// Adds how far a reader's copies have got: as the reader's own bundle says, or as they will be after taking a bundle
/// made for that reader.
fn cursors(path: &Path, key: &str, since: &mut BTreeMap<DomainName, Cursor>) -> Result<Bundle<File>, Failure> {
    let bundle = open(path)?;
    let (from, to) = (&bundle.head().from, &bundle.head().to);
    let of: fn(&Section) -> Option<Cursor> = match (from.key == key, to.key == key) {
        (true, _) => |section| section.cursor.clone(),
        (false, true) => Section::leads_to,
        (false, false) => {
            let message = format!("`{}` was made by `{}` for `{}`", path.display(), from.name, to.name);
            return Err(Failure::new(Exit::Refused, message).hint("--since takes a bundle by or for the peer of --for"));
        }
    };
    for cursor in bundle.sections().iter().filter_map(of) {
        let known = since.entry(cursor.origin.domain.clone()).or_insert_with(|| cursor.clone());
        if known.size < cursor.size {
            *known = cursor;
        }
    }
    Ok(bundle)
}

/// Opens a bundle and reads it through.
pub(in crate::cli::commands) fn open(path: &Path) -> Result<Bundle<File>, Failure> {
    let file = File::open(path).map_err(|error| files::failed(path, error))?;
    Bundle::open(file).map_err(|error| Failure::new(Exit::Refused, format!("`{}`: {error}", path.display())))
}

/// Writes the bundle to a temporary file and moves it into place once it is complete and on disk.
async fn write(node: &Node, order: &mut Order, path: &Path, moved: impl Fn(u64)) -> Result<Vec<Made>, Failure> {
    let failed = |error: std::io::Error| files::failed(path, error);
    let mut file =
        tempfile::NamedTempFile::new_in(files::directory_of(path)).map_err(|error| failed(unnamed(&error)))?;
    let mut out = BufWriter::new(file.as_file_mut());
    let made = make(node, &mut out, order, moved).await.map_err(|error| match error {
        CarryError::Unwritten(error) => failed(error),
        other => other.into(),
    })?;
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    files::sync_name(path).map_err(failed)?;
    Ok(made)
}

fn text(path: &Path, reader: &PeerName, bytes: u64, made: &[Made]) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for Made { domain, from, size, submitted } in made {
        match (from, size) {
            (Some(from), Some(size)) => {
                rows.push(("domain", format!("{domain}: {}", carried(*from, *size))));
            }
            _ => rows.push(("to home", format!("{domain}: {}", counted(*submitted as u64, "statement")))),
        }
    }
    rows.push(("bytes", bytes.to_string()));
    let name = path.file_name().unwrap_or_default().display().to_string();
    rows.push(("next", format!("there: ics import --bundle {}", shell_word(&name))));
    card(&format!("{} {} for {reader}", style("✓").green(), path.display()), &rows)
}

/// The entries that a bundle holds of a log of this size.
fn carried(from: u64, size: u64) -> String {
    match size.checked_sub(1).filter(|last| from <= *last) {
        Some(last) => format!("entries {from} to {last}"),
        None => format!("nothing new, {} as before", counted_entries(size)),
    }
}

impl From<CarryError> for Failure {
    fn from(error: CarryError) -> Self {
        match error {
            CarryError::Node(error) => error.into(),
            CarryError::Bundle(_) | CarryError::Unwritten(_) => Self::new(Exit::Local, error),
            CarryError::Checkpoint(_) => Self::new(Exit::Network, error),
            CarryError::Changed(_) => Self::new(Exit::Refused, error).hint("do it again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bundle_holds_is_counted_to_the_last_entry() {
        assert_eq!(carried(0, 3), "entries 0 to 2");
        assert_eq!(carried(2, 3), "entries 2 to 2");
        assert_eq!(carried(3, 3), "nothing new, 3 entries as before");
        assert_eq!(carried(0, 0), "nothing new, 0 entries as before");
    }
}
