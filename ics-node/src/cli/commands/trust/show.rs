//! `ics trust show`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use ics_core::descriptor::Freshness;
use ics_core::trust::TrustDocument;
use ics_core::vocabulary::{DomainName, Role};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::span;

/// What `ics trust show` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics trust show
  $ ics trust show trust.json")]
pub(crate) struct Show {
    /// The trust policy [default: the one in ics.toml].
    file: Option<PathBuf>,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = super::file(context, self.file)?;
        let policy = super::read(&path)?;
        let document = policy.document();
        context.output.result(document, || {
            let domains: Vec<String> = document.domains.iter().map(ToString::to_string).collect();
            let mut rows = vec![("domains", domains.join("\n")), ("news", news(&document.freshness))];
            rows.extend((!document.roles.is_empty()).then(|| ("roles", roles(document))));
            rows.push(("labels", super::labelling(document)));
            format!("{}\n{}", card(&format!("{}", path.display()), &rows), document.rules.trim_end())
        })?;
        Ok(Exit::Ok)
    }
}

fn roles(document: &TrustDocument) -> String {
    let of = |(role, domains): (&Role, &BTreeSet<DomainName>)| {
        let domains: Vec<&str> = domains.iter().map(DomainName::as_str).collect();
        format!("`{role}` counts of {} only", domains.join(", "))
    };
    document.roles.iter().map(of).collect::<Vec<_>>().join("\n")
}

fn news(freshness: &Freshness) -> String {
    let uses = freshness.uses.iter().map(|(usage, seconds)| format!("for {usage}: {}", span(*seconds)));
    core::iter::once(format!("at most {} old", span(freshness.default))).chain(uses).collect::<Vec<_>>().join("\n")
}
