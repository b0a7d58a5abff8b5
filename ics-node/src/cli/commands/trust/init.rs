//! `ics trust init`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ics_core::descriptor::Freshness;
use ics_core::log::checkpoint::Origin;
use ics_core::trust::requirement::{Label, Pair, Quorum, Requirement};
use ics_core::trust::{TrustDocument, TrustPolicy, templates};
use ics_core::vocabulary::{Role, StatusName};

use super::FILE;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::words::counted;

/// What `ics trust init` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Devices that the manufacturer vouches for and the integrator has approved, by what this node's domains say:
  $ ics trust init --permit devices

  The same and approved code, with a certification, in use, news of five minutes for connections:
  $ ics trust init --permit devices --permit software --label medical-device-class-IIa --status in-use \
--fresh 3600 --fresh-for connect=300

  Code on servers and devices, and going back to versions that were approved once:
  $ ics trust init --permit software --permit rollback

  Two of three must vouch; sensors talk to gateways only:
  $ ics trust init --permit anything-vouched --quorum 2:manufacturer,integrator,certification-body --talk device:gateway")]
pub(crate) struct Init {
    /// A domain that counts, with the hash of its entry 0; may be given several times [default: all that the node holds].
    #[arg(long = "domain", value_name = "ORIGIN")]
    domains: Vec<Origin>,
    /// What is permitted; may be given several times.
    #[arg(long, value_enum, required = true)]
    permit: Vec<Permit>,
    /// A role in which somebody must vouch for a thing.
    #[arg(long, value_name = "ROLE")]
    vouched: Vec<Role>,
    /// A role in which somebody must approve of a thing.
    #[arg(long, value_name = "ROLE")]
    approved: Vec<Role>,
    /// A label that a thing must have.
    #[arg(long, value_name = "LABEL")]
    label: Vec<Label>,
    /// So many of these roles must vouch: K:ROLE,ROLE,…
    #[arg(long, value_name = "QUORUM")]
    quorum: Vec<Quorum>,
    /// A status in which a thing may be used; may be given several times.
    #[arg(long, value_name = "STATUS")]
    status: Vec<StatusName>,
    /// Refuse things whose statuses differ in effect from domain to domain.
    #[arg(long)]
    agreed: bool,
    /// Who may connect to whom, by kind or model: FROM:TO; may be given several times.
    #[arg(long, value_name = "FROM:TO")]
    talk: Vec<Pair>,
    /// Seconds that news may be old.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    fresh: u64,
    /// Seconds that news may be old for one use: USE=SECONDS.
    #[arg(long, value_name = "USE=SECONDS", value_parser = per_use)]
    fresh_for: Vec<(String, u64)>,
    /// The file to write [default: trust.json in the home directory].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

/// Ready-made permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Permit {
    /// Things that the manufacturer vouches for and the integrator has approved and put into use.
    Devices,
    /// Code that its developer has released and the integrator approves of.
    Software,
    /// Going back to released code, which the integrator approves of or approved for a time that is over.
    Rollback,
    /// Whatever somebody entitled vouches for and has put into use.
    AnythingVouched,
}

fn per_use(text: &str) -> Result<(String, u64), String> {
    let parsed = text.split_once('=').and_then(|(usage, seconds)| Some((usage.to_owned(), seconds.parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is not a use and seconds, such as connect=300"))
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = self.output.clone().unwrap_or_else(|| context.home.join(FILE));
        if path.exists() && !self.force {
            return Err(files::failed(&path, "it is there already").hint("--force replaces it"));
        }
        let document = TrustDocument {
            domains: self.domains(context)?,
            freshness: Freshness {
                default: self.fresh,
                uses: self.fresh_for.iter().cloned().collect::<BTreeMap<_, _>>(),
            },
            rules: self.rules(),
        };
        let refused = |error: &dyn core::fmt::Display| Failure::new(Exit::Usage, error.to_string());
        TrustPolicy::compile(document.clone()).map_err(|error| refused(&error))?;
        let mut json = serde_json::to_vec_pretty(&document).map_err(|error| refused(&error))?;
        json.push(b'\n');
        files::write(&path, &json)?;
        context.output.result(&document, || {
            let domains = counted(document.domains.len(), "domain");
            format!(
                "✓ {} written, for {domains}\n  the node decides by it with\n    [trust]\n    policy = \"{}\"\n  in ics.toml",
                path.display(),
                path.strip_prefix(&context.home).unwrap_or(&path).display()
            )
        })?;
        Ok(Exit::Ok)
    }

    fn domains(&self, context: &Context) -> Result<Vec<Origin>, Failure> {
        if !self.domains.is_empty() {
            return Ok(self.domains.clone());
        }
        let node = context.node(&context.config()?)?;
        let held = context.wait(async { Ok(node.domains().await?) })?;
        Ok(held.into_iter().map(|domain| domain.info.origin).collect())
    }

    fn rules(&self) -> String {
        let mut permits = self.permit.clone();
        permits.dedup();
        let permits = permits.iter().map(|permit| match permit {
            Permit::Devices => templates::VOUCHED.to_owned(),
            Permit::Software => templates::SOFTWARE.to_owned(),
            Permit::Rollback => templates::ROLLBACK.to_owned(),
            Permit::AnythingVouched => templates::ANYTHING_VOUCHED.to_owned(),
        });
        let requirements = self.requirements();
        let demands = requirements.iter().enumerate().map(|(place, it)| it.rules(place + 1));
        permits.chain(demands).collect::<Vec<_>>().join("\n")
    }

    fn requirements(&self) -> Vec<Requirement> {
        let mut all: Vec<Requirement> = self.vouched.iter().cloned().map(Requirement::Vouched).collect();
        all.extend(self.approved.iter().cloned().map(Requirement::Approved));
        all.extend(self.label.iter().cloned().map(Requirement::Labelled));
        all.extend(self.quorum.iter().cloned().map(Requirement::Quorum));
        if !self.status.is_empty() {
            all.push(Requirement::Status(self.status.iter().cloned().collect()));
        }
        if self.agreed {
            all.push(Requirement::Agreed);
        }
        if !self.talk.is_empty() {
            all.push(Requirement::Pairs(self.talk.clone()));
        }
        all
    }
}
