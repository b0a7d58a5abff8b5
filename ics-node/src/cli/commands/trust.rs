//! `ics trust`: the policy by which this node gives verdicts.

mod check;
mod init;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use ics_core::descriptor::Freshness;
use ics_core::limits;
use ics_core::trust::{TrustDocument, TrustError, TrustPolicy};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;

/// Freshness bounds of at most this many seconds do not allow a home, which confirms its log every minute, to miss a
/// single confirmation.
const SHORT_SECONDS: u64 = 120;

/// The name of a trust policy in a home directory.
const FILE: &str = "trust.json";

/// Commands about trust policies.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Make a trust policy out of ready-made rules.
    ///
    /// Writes a trust policy: which domains count, how old their news may be, what is permitted, and under which
    /// further conditions. It is JSON with Cedar rules inside, which can be read, and changed by hand where these
    /// options do not suffice.
    Init(Box<init::Init>),
    /// Check a trust policy before the node is started with it.
    Check(check::Check),
    /// Show what a trust policy says.
    Show(show::Show),
}

impl TrustCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::Show(command) => command.run(context),
        }
    }
}

/// The file that was named, or the one by which the node decides.
pub(super) fn file(context: &Context, named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let configured = || Ok::<_, Failure>(context.config()?.trust.policy);
    match named {
        Some(path) => Ok(path),
        None => configured()?.ok_or_else(|| {
            Failure::new(Exit::Usage, "ics.toml names no trust policy")
                .hint("name the file, or make one with `ics trust init`")
        }),
    }
}

pub(super) fn read(path: &Path) -> Result<TrustPolicy, Failure> {
    let json = files::read(path, limits::DESCRIPTOR_BYTES)?;
    TrustPolicy::parse(&json).map_err(|error: TrustError| files::failed(path, error))
}

/// Describes what the policy does with labels.
pub(super) fn labelling(document: &TrustDocument) -> String {
    let roles: Vec<String> = document.labelling_roles.iter().map(|role| format!("`{role}`")).collect();
    format!("count in the role {}", roles.join(" or "))
}

/// The bounds, by use, that do not allow a home to miss a confirmation; `default` is the bound for all other uses.
pub(super) fn short(freshness: &Freshness) -> BTreeMap<&str, u64> {
    let uses = freshness.uses.iter().map(|(usage, seconds)| (usage.as_str(), *seconds));
    core::iter::once(("default", freshness.default)).chain(uses).filter(|(_, it)| *it <= SHORT_SECONDS).collect()
}

/// Describes the consequence of such a bound if all of a domain is copied here.
pub(super) fn short_in_words(usage: &str, seconds: u64) -> String {
    format!(
        "{usage}: news may be {seconds} s old, but a home confirms what it has said only every 60 s: even with a \
         healthy link, what is copied here is `unknown` now and then; with more than {SHORT_SECONDS} s, one \
         confirmation may be late"
    )
}
