//! `ics trust check`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use ics_core::log::checkpoint::Origin;
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::counted;
use crate::config::Config;
use crate::store::{self, StoreError};
use crate::words::path_text;

/// What `ics trust check` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics trust check
  $ ics trust check trust.json")]
pub(crate) struct Check {
    /// The trust policy [default: the one in ics.toml].
    file: Option<PathBuf>,
}

/// A domain that counts, but of which another log with the same name is held here.
#[derive(Serialize)]
struct Mistaken<'p> {
    counts: &'p Origin,
    here: Origin,
}

/// The domains worth a remark, by how the node learns what they say.
#[derive(Serialize)]
struct Places<'p> {
    /// Those that count and are not held here.
    absent: Vec<&'p Origin>,
    mistaken: Vec<Mistaken<'p>>,
    /// Those that count and are asked about single things, and those that are asked and do not count.
    asked: Vec<&'p Origin>,
    not_counted: Vec<&'p Origin>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = super::file(context, self.file)?;
        let policy = super::read(&path)?;
        let config = context.config()?;
        let places = Places::of(&config, policy.domains())?;
        let is_copied = |origin: &Origin| !places.asked.contains(&origin);
        let short =
            if policy.domains().iter().any(is_copied) { super::short(policy.freshness()) } else { BTreeMap::new() };
        let permits = policy.permits_anything();
        let file = path_text(&path);
        let mut shown = json!({"file": file, "domains": policy.domains(), "permits": permits, "short": short});
        if let (Some(shown), Ok(serde_json::Value::Object(places))) =
            (shown.as_object_mut(), serde_json::to_value(&places))
        {
            shown.extend(places);
        }
        context.output.result(&shown, || {
            let domains = counted(policy.domains().len(), "domain");
            let first = format!("✓ {} is well formed, for {domains}", path.display());
            let denies = (!permits).then(|| "! no rule permits anything: every answer will be `deny`".to_owned());
            let short = short.iter().map(|(usage, seconds)| format!("! {}", super::short_in_words(usage, *seconds)));
            let document = policy.document();
            let looks_at_labels = document.rules.contains("labels");
            let labels = looks_at_labels.then(|| format!("· labels {}", super::labelling(document)));
            let remarks = core::iter::once(first).chain(places.remarks()).chain(labels);
            remarks.chain(short).chain(denies).collect::<Vec<_>>().join("\n")
        })?;
        let is_good = places.absent.is_empty() && places.mistaken.is_empty() && permits;
        Ok(if is_good { Exit::Ok } else { Exit::Refused })
    }
}

impl<'p> Places<'p> {
    fn of(config: &'p Config, counting: &'p [Origin]) -> Result<Self, Failure> {
        let all_asked: BTreeSet<&Origin> = config.peers().flat_map(|peer| &peer.roam).collect();
        let (mut absent, mut mistaken, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for counts in counting {
            match here(config, counts)? {
                None if all_asked.contains(counts) => asked.push(counts),
                None => absent.push(counts),
                Some(here) if here != *counts => mistaken.push(Mistaken { counts, here }),
                Some(_) => {}
            }
        }
        let counts = |origin: &&Origin| counting.iter().any(|it| it.domain == origin.domain);
        let not_counted = all_asked.into_iter().filter(|origin| !counts(origin)).collect();
        Ok(Self { absent, mistaken, asked, not_counted })
    }

    fn remarks(&self) -> impl Iterator<Item = String> {
        let absent = self.absent.iter().map(|origin| {
            let domain = &origin.domain;
            format!(
                "! {domain} counts, but this node neither mirrors it nor is its home: every answer will be `unknown`"
            )
        });
        let mistaken = self.mistaken.iter().map(|Mistaken { counts, here }| {
            format!(
                "! {counts} counts, but what this node has under that name is another log, {here}: every answer will \
                 be `unknown`"
            )
        });
        let asked = self.asked.iter().map(|origin| {
            let domain = &origin.domain;
            format!(
                "· {domain} counts, and is not copied here: its home is asked about single things, and while it does \
                 not reply every answer is `unknown`"
            )
        });
        let not_counted = self.not_counted.iter().map(|origin| {
            let domain = &origin.domain;
            format!("· {domain} does not count: it is asked about single things, and the policy does not name it")
        });
        absent.chain(mistaken).chain(asked).chain(not_counted)
    }
}

/// The origin under which this node holds the domain, or will hold it; a home that is not founded yet may become that
/// log.
fn here(config: &Config, origin: &Origin) -> Result<Option<Origin>, Failure> {
    let copied = || config.peers().flat_map(|peer| &peer.mirror).filter(|copied| copied.domain == origin.domain);
    if let Some(first) = copied().next() {
        return Ok(Some(copied().find(|copied| *copied == origin).unwrap_or(first).clone()));
    }
    if config.homes.iter().all(|home| *home.domain.get_ref() != origin.domain) {
        return Ok(None);
    }
    let failed = |error: StoreError| Failure::new(Exit::Local, error);
    let held = config.node.as_ref().map(|node| store::held(&node.data, &origin.domain)).transpose().map_err(failed)?;
    let entry0 = held.flatten().and_then(|(info, _)| info.entry0).unwrap_or(origin.entry0);
    Ok(Some(Origin { domain: origin.domain.clone(), entry0 }))
}
