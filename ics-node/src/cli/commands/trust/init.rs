//! `ics trust init`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ics_core::descriptor::Freshness;
use ics_core::log::checkpoint::Origin;
use ics_core::trust::requirement::{self, Label, Pair, Quorum, Requirement};
use ics_core::trust::{TrustDocument, TrustPolicy, templates};
use ics_core::vocabulary::{DomainName, Role, StatusName};

use super::FILE;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::session::rules;
use crate::cli::words::{counted, span};
use crate::client::node::NodeError;
use crate::config::PeerConfig;

/// What `ics trust init` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Devices that the manufacturer vouches for and the integrator has approved, by what this node's domains say:
  $ ics trust init --permit devices

  The same, and approved code; all certified, things in use, and news at most five minutes old for connections:
  $ ics trust init --permit devices --permit software --label medical-device-class-IIa --status in-use \
--fresh 3600 --fresh-for connect=300

  The integrator and the certification body have domains of their own, and no other domain speaks for them:
  $ ics trust init --permit devices --label medical-device-class-IIa --role-of integrator=assets.plant.example \
--role-of certification-body=labels.tuv.example

  Code on servers and devices, and returning to versions that were once approved:
  $ ics trust init --permit software --permit rollback

  Things that a peer is asked about one by one (`ics peer add --roam`): what is blocked there is denied within a minute:
  $ ics trust init --permit anything-vouched --fresh 60 --domain \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  Two of three must vouch; sensors talk to gateways only:
  $ ics trust init --permit anything-vouched --quorum 2:manufacturer,integrator,certification-body --talk device:gateway")]
pub(crate) struct Init {
    /// A domain that counts, with the hash of its entry 0; may be given several times [default: all that the node holds
    /// or is to copy; the node must be running to tell].
    #[arg(long = "domain", value_name = "ORIGIN")]
    domains: Vec<Origin>,
    /// A role counts only from this domain, or from these if the role is named several times; other roles count from
    /// all domains. The owners of a domain can give themselves any role there, so without this a maker can certify
    /// their own things. A block counts from any domain.
    #[arg(long = "role-of", value_name = "ROLE=DOMAIN", value_parser = role_of)]
    roles: Vec<(Role, DomainName)>,
    /// What is permitted; may be given several times.
    #[arg(long, value_enum, required = true)]
    permit: Vec<Permit>,
    /// A role in which somebody must vouch for a thing or software. Like every condition here, it applies to everything
    /// that is permitted.
    #[arg(long, value_name = "ROLE")]
    vouched: Vec<Role>,
    /// A role in which somebody must approve of a thing or software. With `--permit rollback`, an approval that has
    /// ended is enough for returning to a version.
    #[arg(long, value_name = "ROLE")]
    approved: Vec<Role>,
    /// A label that a thing or software must have.
    #[arg(long, value_name = "LABEL")]
    label: Vec<Label>,
    /// A role in which a label counts; may be given several times. A label that was given in any other role does not
    /// count, since makers, for instance, could label their own things. Rules that forbid a label also see only labels
    /// given in these roles.
    #[arg(long, value_name = "ROLE", default_value = "certification-body")]
    labelled_by: Vec<Role>,
    /// How many of which roles must vouch: K:ROLE,ROLE,…
    #[arg(long, value_name = "QUORUM")]
    quorum: Vec<Quorum>,
    /// A status in which a thing may be used; may be given several times. Software must have one of these too, unless
    /// none of them is a status of software, such as `released`: then any status that permits its use is enough.
    #[arg(long, value_name = "STATUS")]
    status: Vec<StatusName>,
    /// Refuse things and software whose statuses differ in effect from domain to domain.
    #[arg(long)]
    agreed: bool,
    /// Who may connect to whom, by kind or model: FROM:TO; may be given several times.
    #[arg(long, value_name = "FROM:TO")]
    talk: Vec<Pair>,
    /// How many seconds old news may be. Where the rules of a domain allow less for its own news, that counts (`fresh
    /// for` in `ics domain show`): an hour for domains of the template `infield`, a day for others. An answer about a
    /// thing of a domain that is not copied here (`ics peer add --roam`) is kept for this long, so a block there may be
    /// noticed this late even over a healthy link. Domains that are copied need more than 120, since their homes
    /// confirm them every 60 s.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    fresh: u64,
    /// How many seconds old news may be for one use: USE=SECONDS.
    #[arg(long, value_name = "USE=SECONDS", value_parser = per_use)]
    fresh_for: Vec<(String, u64)>,
    /// The file to write [default: trust.json in the home directory].
    #[arg(short, long, alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

/// Ready-made permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Permit {
    /// Things for which somebody in the role `manufacturer` vouches, which somebody in the role `integrator` has
    /// approved, and which are in use.
    Devices,
    /// Code that somebody in the role `developer` has released and somebody in the role `integrator` approves of.
    Software,
    /// Returning to released code that somebody in the role `integrator` approves of, or once approved until a time
    /// that has passed.
    Rollback,
    /// Whatever somebody entitled vouches for and has put into use.
    AnythingVouched,
}

impl Permit {
    /// The roles without which it permits nothing.
    const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Devices => &["manufacturer", "integrator"],
            Self::Software | Self::Rollback => &["developer", "integrator"],
            Self::AnythingVouched => &[],
        }
    }
}

/// The domains that count, and what is worth saying about them.
#[derive(Default)]
struct Counted {
    domains: Vec<Origin>,
    /// Those of which nothing has arrived yet.
    coming: Vec<Origin>,
    /// Those that the node asks about single things but that do not count.
    asked: Vec<Origin>,
    /// The roles that their descriptors give to somebody, if these are known.
    held: Option<BTreeSet<Role>>,
}

/// The given domains about which peers in ics.toml are asked, and which are copied from none.
fn roamed(context: &Context, domains: &[Origin]) -> Vec<Origin> {
    let Ok(config) = context.config() else { return Vec::new() };
    let is_roamed = |origin: &&Origin| {
        config.peers().any(|peer| peer.roam.contains(*origin))
            && !config.peers().any(|peer| peer.mirror.contains(*origin))
    };
    domains.iter().filter(is_roamed).cloned().collect()
}

/// The origins of domains other than the known ones, each once.
fn without<'a>(known: &[Origin], others: impl Iterator<Item = &'a Origin>) -> Vec<Origin> {
    let mut found: Vec<Origin> = Vec::new();
    for origin in others {
        if !known.iter().chain(&found).any(|it| it.domain == origin.domain) {
            found.push(origin.clone());
        }
    }
    found
}

/// Adds a hint to the failure: nobody expects a command that writes a file to need a node.
fn unasked(failure: Failure) -> Failure {
    failure.hint("name a running node with --node URL to ask it which domains count, or name each with --domain ORIGIN")
}

fn role_of(text: &str) -> Result<(Role, DomainName), String> {
    let parsed = text.split_once('=').and_then(|(role, domain)| Some((role.parse().ok()?, domain.parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is not a role and a domain, such as integrator=plant.example"))
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
        let Counted { domains, coming, asked, held } = self.counted(context)?;
        let document = TrustDocument {
            domains,
            roles: self.bound(),
            labelling_roles: self.labelled_by.iter().cloned().collect(),
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
        context.output.written(&path, &document, || {
            let domains = counted(document.domains.len(), "domain");
            format!(
                "✓ {} written, for {domains}\n  the node decides by it with\n    [trust]\n    policy = \"{}\"\n  in \
                 ics.toml, from its next start on",
                path.display(),
                path.strip_prefix(&context.home).unwrap_or(&path).display()
            )
        })?;
        self.note_unbound(context, &document);
        for origin in coming {
            context.output.note(&format!(
                "`{origin}` counts, and its copy has not begun yet: until it has, no answer is `allow`"
            ));
        }
        for origin in asked {
            context.output.note(&format!(
                "`{origin}` does not count: it is asked about single things, and not copied here; where it is to \
                 count, --domain names it beside all others that do"
            ));
        }
        let roamed = roamed(context, &document.domains);
        if roamed.len() < document.domains.len() {
            for (usage, seconds) in super::short(&document.freshness) {
                context.output.note(&super::short_in_words(usage, seconds));
            }
        }
        for origin in roamed {
            context.output.note(&format!(
                "`{origin}` is asked about single things, and an answer is kept for {}: what is blocked there may be allowed \
                 for so long, with a healthy link as well; --fresh and --fresh-for say how long that may be",
                span(self.fresh)
            ));
        }
        if let Some(held) = held {
            self.note_unheld(context, &held);
        }
        Ok(Exit::Ok)
    }

    /// The domains that count: those that were named, or those of the node.
    fn counted(&self, context: &Context) -> Result<Counted, Failure> {
        if !self.domains.is_empty() {
            return Ok(Counted { domains: self.domains.clone(), ..Counted::default() });
        }
        let node = context.node(&context.config()?).map_err(unasked)?;
        context.wait(async {
            let (mut origins, mut held) = (Vec::new(), Some(BTreeSet::<Role>::new()));
            let domains = node.domains().await.map_err(|error| match error {
                NodeError::Unreachable { .. } if !error.is_untrusted() => unasked(error.into()),
                error => error.into(),
            });
            for domain in domains? {
                let descriptor = rules(&node, &domain.info.origin.domain).await.ok();
                held = held.zip(descriptor).map(|(mut held, descriptor)| {
                    let given = descriptor.roles.into_iter().filter(|(_, spec)| !spec.signers.is_empty());
                    held.extend(given.map(|(role, _)| role));
                    held
                });
                origins.push(domain.info.origin);
            }
            // Its operator may see more than what it shows: domains that are to be copied and of which nothing has
            // arrived.
            let peers = node.peers().await.unwrap_or_default();
            let peers: Vec<PeerConfig> = peers.into_iter().map(|info| info.peer).collect();
            let coming = without(&origins, peers.iter().flat_map(|peer| &peer.mirror));
            origins.extend(coming.iter().cloned());
            let asked = without(&origins, peers.iter().flat_map(|peer| &peer.roam));
            let held = held.filter(|_| coming.is_empty());
            Ok(Counted { domains: origins, coming, asked, held })
        })
    }

    /// The domains to which a role is limited, for each role that counts only from some.
    fn bound(&self) -> BTreeMap<Role, BTreeSet<DomainName>> {
        let mut bound: BTreeMap<Role, BTreeSet<DomainName>> = BTreeMap::new();
        for (role, domain) in &self.roles {
            bound.entry(role.clone()).or_default().insert(domain.clone());
        }
        bound
    }

    /// Notes the roles on which the policy rests and that any of several domains may speak in.
    fn note_unbound(&self, context: &Context, document: &TrustDocument) {
        let mut needed = self.needed_roles();
        if !self.label.is_empty() {
            needed.extend(self.labelled_by.iter().cloned());
        }
        let unbound = needed.iter().filter(|role| !document.roles.contains_key(*role)).map(|role| format!("`{role}`"));
        let unbound: Vec<String> = unbound.collect();
        if document.domains.len() > 1 && !unbound.is_empty() {
            context.output.note(&format!(
                "each of the {} can fill these roles alone: {}; its owners can give themselves any role there; \
                 --role-of ROLE=DOMAIN says from which domain a role counts",
                counted(document.domains.len(), "domain"),
                unbound.join(", ")
            ));
        }
    }

    /// Notes the roles that the descriptors give to nobody, and without which something is never permitted.
    fn note_unheld(&self, context: &Context, held: &BTreeSet<Role>) {
        for role in self.needed_roles().difference(held) {
            context.output.note(&format!(
                "no descriptor of these domains gives anybody the role `{role}`, so nothing that requires it is \
                 permitted: `ics domain update --add-signer {role}=KEY` gives it, or a grant over a thing"
            ));
        }
        if !self.label.is_empty() && !self.labelled_by.iter().any(|role| held.contains(role)) {
            let roles = self.labelled_by.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(" or ");
            context.output.note(&format!(
                "no descriptor of these domains gives anybody the role {roles}, but labels count only in it: \
                 --labelled-by ROLE names another, `ics domain update --add-signer ROLE=KEY` gives it"
            ));
        }
    }

    /// The roles in which somebody must speak for what the policy covers to be permitted.
    fn needed_roles(&self) -> BTreeSet<Role> {
        let ready = self.permit.iter().flat_map(|permit| permit.roles()).filter_map(|word| word.parse::<Role>().ok());
        ready.chain(self.vouched.iter().chain(&self.approved).cloned()).collect()
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
        let demands = Some(requirement::rules(&self.requirements())).filter(|rules| !rules.is_empty());
        permits.chain(demands).collect::<Vec<_>>().join("\n")
    }

    fn requirements(&self) -> Vec<Requirement> {
        let mut all: Vec<Requirement> = self.vouched.iter().cloned().map(Requirement::Vouched).collect();
        let goes_back = self.permit.contains(&Permit::Rollback);
        let approved = if goes_back { Requirement::ApprovedOnce } else { Requirement::Approved };
        all.extend(self.approved.iter().cloned().map(approved));
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
