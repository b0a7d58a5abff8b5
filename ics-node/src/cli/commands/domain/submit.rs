//! `ics domain submit`.

use core::cmp::Ordering;
use std::path::Path;

use clap::Args;
use console::style;
use ics_core::descriptor::{Compromise, Descriptor};
use ics_core::log::receipt::Receipt;
use ics_core::vocabulary::DomainName;
use serde::Serialize;

use super::falls::{Falls, tell_falls};
use super::leaving::tell_orphans;
use super::missing::tell_new_signers;
use super::{as_file, before, domain_or_default};
use crate::api::SubmissionResult;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::say;
use crate::client::descriptor::{self, DescriptorFile};
use crate::client::node::Node;
use crate::client::submit;
use crate::words::shell_path;

/// What `ics domain submit` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain update --add-signer maintainer=service.asc
  $ ics domain submit

  A version that other owners have signed:
  $ ics domain submit ./devices.acme.example.v2.pgp")]
pub(crate) struct Submit {
    /// The domain, to submit its newest version in this home directory, or a file [default: the domain of ics.toml].
    #[arg(value_name = "DOMAIN|FILE")]
    what: Option<String>,
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        submit_descriptor(context, &self.file(context)?)
    }

    fn file(&self, context: &Context) -> Result<DescriptorFile, Failure> {
        if let Some(path) = self.what.as_deref().and_then(as_file) {
            return Ok(DescriptorFile::read(&path)?);
        }
        let parse = |text: &String| text.parse().map_err(|e| Failure::new(Exit::Usage, format!("{e}")));
        let domain = domain_or_default(context, self.what.as_ref().map(parse).transpose()?)?;
        Ok(DescriptorFile::newest(&context.home, &domain)?)
    }
}

/// A version that was accepted, with what ends by it.
#[derive(Serialize)]
struct Submitted<'s> {
    domain: &'s DomainName,
    version: u64,
    index: u64,
    receipt: &'s Receipt,
    beyond_the_log: Vec<&'s Compromise>,
    #[serde(flatten)]
    falls: Falls,
}

/// Submits a descriptor to the home of its domain.
pub(in crate::cli) fn submit_descriptor(context: &Context, file: &DescriptorFile) -> Result<Exit, Failure> {
    let (domain, version) = (&file.descriptor.domain, file.descriptor.version);
    let node = context.node(&context.config()?)?;
    let beyond = beyond_the_log(context, &node, &file.descriptor);
    let previous = before(context, &file.descriptor);
    let mut falls = Falls::default();
    if let Some(previous) = &previous {
        tell_orphans(context, previous, &file.descriptor);
        falls = tell_falls(context, Some(&node), previous, &file.descriptor);
    }
    let results = submit::submit(&node, domain, vec![file.body().to_vec()]);
    let receipt = match context.wait(async { Ok(results.await?) })?.pop() {
        Some(SubmissionResult::Receipt(receipt)) => receipt,
        Some(SubmissionResult::Problem(problem)) => return Err(refused(context, &node, file, problem.into())),
        Some(SubmissionResult::Pending(pending)) => {
            return say::waits(context, &format!("{domain}, version {version}"), &pending);
        }
        None => return Err(Failure::new(Exit::Network, "the node gave no result")),
    };
    let shown = Submitted { domain, version, index: receipt.index, receipt: &receipt, beyond_the_log: beyond, falls };
    context
        .output
        .result(&shown, || format!("{} {domain}, version {version}\n  entry  {}", style("✓").green(), receipt.index))?;
    if let Some(previous) = &previous {
        tell_new_signers(context, previous, &file.descriptor);
    }
    Ok(Exit::Ok)
}

/// Returns the compromises that begin only at an index that the log has not reached, as after a digit too many: no
/// forged statement would cease to count.
pub(super) fn beyond_the_log<'d>(context: &Context, node: &Node, descriptor: &'d Descriptor) -> Vec<&'d Compromise> {
    let domain = &descriptor.domain;
    let declared: Vec<&Compromise> = descriptor.compromised.iter().filter(|it| it.domain == *domain).collect();
    if declared.is_empty() {
        return declared;
    }
    // A node that cannot be asked will not take a version either, and says why; whoever only makes one has been told
    // so.
    let Ok(shown) = context.wait(async { Ok(node.domain(domain).await?) }) else { return Vec::new() };
    let size = shown.info.size;
    let is_beyond =
        |it: &&Compromise| descriptor.compromised_from(&it.signer, domain).is_some_and(|index| index > size);
    let beyond: Vec<&Compromise> = declared.into_iter().filter(is_beyond).collect();
    for Compromise { signer, from_index, .. } in &beyond {
        context.output.note(&format!(
            "{signer} is declared compromised from entry {from_index} on, but the log has only {size}: all that this \
             signer has said goes on counting. If the index has a digit too many, correct it with `ics domain update \
             --compromised {signer}@INDEX`"
        ));
    }
    beyond
}

/// Lists the versions to submit before this one, and says how to discard unwanted ones, along with all that was made
/// from them.
fn comes_first(path: &Path, next: u64, version: u64) -> String {
    let path = shell_path(path);
    let between = (next.saturating_add(1)..version).map(|it| format!(", then version {it}")).collect::<String>();
    format!(
        "version {next} comes first: `ics domain submit {path}`{between}, then this one. To drop a version that is no \
         longer wanted, move its file away, with those of all later versions, which build on it, and make their \
         changes again with `ics domain update`"
    )
}

/// Explains a refusal: the version before it may not be in force yet and must come first, or this one comes too late,
/// made from a version that is no longer in force.
fn refused(context: &Context, node: &Node, file: &DescriptorFile, failure: Failure) -> Failure {
    let (domain, version) = (&file.descriptor.domain, file.descriptor.version);
    let Ok(shown) = context.wait(async { Ok(node.domain(domain).await?) }) else { return failure };
    let next = shown.info.descriptor.saturating_add(1);
    let path = descriptor::path(&context.home, domain, next);
    match next.cmp(&version) {
        Ordering::Equal => failure,
        Ordering::Less if path.exists() => failure.hint(comes_first(&path, next, version)),
        Ordering::Less => {
            failure.hint(format!("version {next} comes first, and is not here: the owner who made it has its file"))
        }
        Ordering::Greater => failure.hint(format!(
            "version {} is in force, but this one was made from an older one: move its file away and make the change \
             again; `ics domain update` starts from what is in force",
            shown.info.descriptor
        )),
    }
}
