//! Signers in a descriptor whose keys are revoked or expired; what they said before still counts.

use std::collections::{BTreeMap, BTreeSet};

use console::style;
use futures_util::stream::{self, StreamExt as _};
use ics_core::descriptor::Descriptor;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::{Certificate, KeyRefusal, Purpose};
use ics_core::statement::{is_certificate, split};
use ics_core::time::Timestamp;

use crate::cli::context::Context;
use crate::client::node::Node;

/// Concurrent look-ups.
const AT_ONCE: usize = 8;

/// How the keys of signers have ended, by their fingerprints.
pub(super) type Ended = BTreeMap<String, &'static str>;

/// Returns the signers whose keys are known by the node to have ended. Signers without a certificate there, or without
/// one that may be read, are left out.
pub(super) fn ended(context: &Context, node: &Node, descriptor: &Descriptor) -> Ended {
    let signers: BTreeSet<Fingerprint> = descriptor.roles.values().flat_map(|spec| &spec.signers).copied().collect();
    let now = context.now();
    let ask = |signer: Fingerprint| async move { Some((signer.to_string(), end_of(node, &signer, now).await?)) };
    let asked = async { Ok(stream::iter(signers).map(ask).buffered(AT_ONCE).collect::<Vec<_>>().await) };
    context.wait(asked).unwrap_or_default().into_iter().flatten().collect()
}

/// Formats them as a row; none if there are none.
pub(super) fn row(ended: &Ended) -> Option<(&'static str, String)> {
    let line = |(signer, how): (&String, &&str)| format!("{} {signer}: the key is {how}", style("!").yellow().bold());
    (!ended.is_empty()).then(|| ("ended keys", ended.iter().map(line).collect::<Vec<_>>().join("\n")))
}

async fn end_of(node: &Node, signer: &Fingerprint, now: Timestamp) -> Option<&'static str> {
    let bodies = split(&node.key(signer).await.ok()?).ok()?.bodies;
    let mut certificates =
        bodies.iter().filter(|body| is_certificate(body)).filter_map(|body| Certificate::parse(body).ok());
    let own = certificates.find(|certificate| certificate.primary() == *signer)?;
    match own.key_for(signer, Purpose::Certify, now) {
        Err(KeyRefusal::Revoked(_)) => Some("revoked"),
        Err(KeyRefusal::Expired(_)) => Some("expired"),
        _ => None,
    }
}
