//! Finds the newest version of a descriptor, from which the next one is made. The version in force may have been made
//! on another machine, or after the backup from which this home directory was restored.

use std::path::Path;

use ics_core::vocabulary::DomainName;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::client::descriptor::{self, DescriptorFile};
use crate::client::node::Node;

/// Returns the newest version of a domain's descriptor in the home directory, after fetching any that are in force at
/// the node and missing here. They are believed because of the owners' signatures, not because of the node.
pub(in crate::cli) fn newest(context: &Context, domain: &DomainName) -> Result<DescriptorFile, Failure> {
    let here = DescriptorFile::newest(&context.home, domain)?;
    let Ok(node) = context.node(&context.config()?) else { return Ok(here) };
    // Rules can be changed without a node as well.
    let Ok(shown) = context.wait(async { Ok(node.domain(domain).await?) }) else {
        let version = here.descriptor.version;
        context.output.note(&format!(
            "the node at {} cannot be asked whether another version of {domain} is in force: this goes on from version \
             {version}",
            node.url()
        ));
        return Ok(here);
    };
    let in_force = shown.info.descriptor;
    let versions = descriptor::versions(&context.home.join(descriptor::DIRECTORY), domain);
    let Some(known) = versions.into_iter().filter(|version| *version <= in_force).max() else { return Ok(here) };
    let last = fetch(context, &node, domain, known..=in_force)?;
    refuse_other_draft(context, &last)?;
    let newest = DescriptorFile::newest(&context.home, domain)?;
    if newest.descriptor.version > in_force {
        context.output.note(&format!(
            "version {} of {domain}, from which this goes on, is not in force: `ics domain submit` says what it \
             waits for",
            newest.descriptor.version
        ));
    }
    Ok(newest)
}

/// Stores the versions in force that follow the first one, which is here, and returns the last.
fn fetch(
    context: &Context,
    node: &Node,
    domain: &DomainName,
    versions: core::ops::RangeInclusive<u64>,
) -> Result<DescriptorFile, Failure> {
    let (known, in_force) = versions.into_inner();
    let path = descriptor::path(&context.home, domain, known);
    let mut last = DescriptorFile::read(&path)?;
    if at_node(context, node, domain, known)?.descriptor.hash() != last.descriptor.hash() {
        return Err(other(&path, &format!("the version {known} that is in force at {}", node.url())));
    }
    for version in known.saturating_add(1)..=in_force {
        let next = at_node(context, node, domain, version)?;
        next.check_follows(&last.descriptor).map_err(|error| {
            let url = node.url();
            Failure::new(Exit::Network, format!("what {url} gives as version {version} of {domain} is none: {error}"))
        })?;
        next.write(&descriptor::path(&context.home, domain, version))?;
        context.output.note(&format!("version {version} of {domain} is in force and was not here: it is now"));
        last = next;
    }
    Ok(last)
}

fn at_node(context: &Context, node: &Node, domain: &DomainName, version: u64) -> Result<DescriptorFile, Failure> {
    let body = context.wait(async { Ok(node.descriptor_version(domain, version).await?) })?;
    let malformed = |e| Failure::new(Exit::Network, format!("the node gave a malformed descriptor: {e}"));
    DescriptorFile::from_body(body).map_err(malformed)
}

/// Refuses to build on a version that waits for owners but was not made from the one in force: neither it nor any after
/// it is ever taken.
fn refuse_other_draft(context: &Context, last: &DescriptorFile) -> Result<(), Failure> {
    let in_force = &last.descriptor;
    let path = descriptor::path(&context.home, &in_force.domain, in_force.version.saturating_add(1));
    match DescriptorFile::read(&path) {
        Ok(draft) if draft.descriptor.previous != Some(in_force.hash()) => {
            Err(other(&path, &format!("a version after {}, which is in force", in_force.version)))
        }
        _ => Ok(()),
    }
}

fn other(path: &Path, what: &str) -> Failure {
    let why = "it was made of an older one, or of one that never came into force";
    Failure::new(Exit::Refused, format!("`{}` is not {what}: {why}", path.display()))
        .hint("move that file away and run this again: it goes on from the version in force; make that change anew")
}
