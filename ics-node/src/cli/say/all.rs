//! Signs and submits statements, some at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::statement::Draft;
use ics_core::time::Timestamp;
use indicatif::ProgressBar;

use super::Saying;
use super::said::Said;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress;
use crate::client::node::{Node, NodeError};
use crate::client::signing::{Signing, SigningError, random_salt};
use crate::client::submit;

/// Statements that are signed before they are submitted.
const AT_A_TIME: usize = 200;

/// Signs and submits statements some at a time; returns the result for each, as far as it got.
pub(super) async fn say_all(
    context: &Context,
    node: &Node,
    signing: &Signing,
    sayings: &[Saying],
    with: &[Vec<u8>],
    said: &mut Vec<Said>,
) -> Result<(), Failure> {
    submit::introduce(node, signing.domain(), signing.certificate_bytes()).await?;
    let bar = progress::bar(context, sayings.len(), "signing");
    let renewed: BTreeSet<String> = sayings.iter().filter(|it| !it.is_withdrawal()).map(Saying::id).collect();
    // In parts, so that what a slow token has signed is not lost if something goes wrong later.
    for some in sayings.chunks(AT_A_TIME) {
        let (behind, first): (Vec<&Saying>, Vec<&Saying>) =
            some.iter().partition(|it| it.is_withdrawal() && renewed.contains(&it.id()));
        say_some(context, node, signing, &first, &bar, said).await?;
        // A refused statement replaces nothing: what stood before still stands.
        let refused: BTreeSet<&str> = said.iter().filter(|said| said.is_refused()).map(Said::id).collect();
        let behind: Vec<&Saying> = behind.into_iter().filter(|it| !refused.contains(it.id().as_str())).collect();
        say_some(context, node, signing, &behind, &bar, said).await?;
    }
    bar.finish_and_clear();
    // A log takes a certificate of somebody else only once a statement gives its holder a role.
    for certificate in with.iter().filter(|_| !said.iter().any(Said::is_refused)) {
        submit::introduce(node, signing.domain(), certificate).await?;
    }
    Ok(())
}

async fn say_some(
    context: &Context,
    node: &Node,
    signing: &Signing,
    some: &[&Saying],
    bar: &ProgressBar,
    said: &mut Vec<Said>,
) -> Result<(), Failure> {
    if some.is_empty() {
        return Ok(());
    }
    let now = context.now();
    let drafts = some.iter().map(|saying| saying.dated(signing, now)).collect::<Result<Vec<_>, _>>()?;
    let bodies = sign_all(signing, drafts, bar.clone()).await?;
    let mut results = Vec::with_capacity(bodies.len());
    let submitted = submit::submit_into(node, signing.domain(), bodies, &mut results).await;
    said.extend(some.iter().zip(results).map(|(saying, result)| Said::new(&saying.found.thing, result)));
    submitted.map_err(failed)
}

/// Whoever says something twice has it in the log twice, with the time of the second.
fn failed(error: NodeError) -> Failure {
    let leaves_open = error.leaves_open();
    let failure = Failure::from(error);
    match leaves_open {
        true => failure.hint("the node may have taken it: look with `ics history` before you say it again"),
        false => failure,
    }
}

/// Signs each statement as of its time, on a separate thread: a token is slow, and the runtime has answers to read.
pub(crate) async fn sign_all(
    signing: &Signing,
    drafts: Vec<(Draft, Timestamp)>,
    bar: ProgressBar,
) -> Result<Vec<Vec<u8>>, Failure> {
    let key = Arc::clone(signing.key()?);
    let sign = move || -> Result<Vec<Vec<u8>>, SigningError> {
        let one = |(draft, at): (Draft, Timestamp)| {
            bar.inc(1);
            Ok(draft.sign(key.signer(draft.purpose(), at)?, at, &random_salt()?)?)
        };
        drafts.into_iter().map(one).collect()
    };
    Ok(tokio::task::spawn_blocking(sign).await.map_err(|e| Failure::new(Exit::Internal, e))??)
}
