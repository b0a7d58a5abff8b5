//! Whether a file may be used: by its hash, whatever it holds.

use std::path::Path;

use ics_core::evidence::Evidence;
use ics_core::identity::IdentityId;
use ics_core::trust::Outcome;
use ics_core::vocabulary::DomainName;

use super::report::{self, ArtifactReport, Checked, Report};
use super::{Verify, document};
use crate::api::ViewAnswer;
use crate::api::problem::Code;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::artifact::{self, ArtifactRefusal};
use crate::client::node::{Node, NodeError};

pub(super) fn run(verify: &Verify, context: &Context) -> Result<Exit, Failure> {
    let id = artifact::id_of(&verify.file).map_err(|e| files::failed(&verify.file, e))?;
    let (evidence, view) = match &verify.evidence {
        Some(path) => (document::evidence(path)?, None),
        None => asked(verify, context, &id.to_string()).map(|(evidence, view)| (evidence, Some(view)))?,
    };
    let mut report = Report::of(verify, context, &evidence)?;
    let refusal = refusal(verify, context, id, &report, view.as_ref())?;
    if !matches!(refusal, Some(ArtifactRefusal::BlockedBy { .. })) {
        report.not_proven.push(report::of_others(&report.verified, view.as_ref()));
    }
    let is_permitted = refusal.is_none();
    report.checked = Checked::Artifact;
    report.artifact = Some(told(verify, id, refusal.as_ref()));
    context.output.result(&report, || report::text(&report))?;
    Ok(if is_permitted { Exit::Ok } else { Exit::Refused })
}

/// Why the file is not to be used: what the domain says, what any other domain at the node says, and what must be proven.
/// A block counts more than what is not known.
fn refusal(
    verify: &Verify,
    context: &Context,
    id: IdentityId,
    report: &Report,
    view: Option<&ViewAnswer>,
) -> Result<Option<ArtifactRefusal>, Failure> {
    let (verified, is_pinned) = (&report.verified, report.pinned);
    // What a node is asked for is its word, as all its answers are, where it is known that the node has given it.
    let is_exposed = view.is_some() && context.node(&context.config()?)?.is_exposed();
    let proven = || match view {
        None => artifact::check_carried(verified, is_pinned, verify.incomplete),
        Some(_) if is_exposed => artifact::check_exposed(verified, is_pinned),
        Some(_) => Ok(()),
    };
    let refusal = artifact::check(id, verified).and_then(|()| proven()).err();
    if refusal.as_ref().is_some_and(|refusal| !refusal.is_unknown()) {
        return Ok(refusal);
    }
    let records = view.into_iter().flat_map(|view| &view.records).map(|answer| &answer.record);
    Ok(artifact::check_all(records).err().or(refusal))
}

fn told(verify: &Verify, id: IdentityId, refusal: Option<&ArtifactRefusal>) -> ArtifactReport {
    let verdict = match refusal {
        None => Outcome::Allow,
        Some(refusal) if refusal.is_unknown() => Outcome::Unknown,
        Some(_) => Outcome::Deny,
    };
    ArtifactReport {
        file: verify.file.clone(),
        id: id.to_string(),
        meant: !matches!(refusal, Some(ArtifactRefusal::Other)),
        permitted: refusal.is_none(),
        verdict,
        because: refusal.map(ToString::to_string),
    }
}

/// What a node says of the file: the evidence of the domain that counts, and what every domain there says.
fn asked(verify: &Verify, context: &Context, id: &str) -> Result<(Evidence, ViewAnswer), Failure> {
    let config = context.config()?;
    let node = context.node(&config).map_err(|failure| or_as_document(&verify.file, failure))?;
    let named = verify.domain.as_ref().or(config.client.domain.as_ref());
    context.wait(answers(&verify.file, &node, named, id))
}

async fn answers(
    file: &Path,
    node: &Node,
    named: Option<&DomainName>,
    id: &str,
) -> Result<(Evidence, ViewAnswer), Failure> {
    let (domain, seen) = match named {
        Some(domain) => (domain.clone(), None),
        None => {
            let view = view(file, node, id).await?;
            (only(file, id, &view)?, Some(view))
        }
    };
    let evidence = match node.evidence(&domain, id).await {
        Ok(evidence) => Some(evidence),
        Err(error) if is_unknown(&error) => None,
        Err(error) => return Err(or_as_document(file, error.into())),
    };
    let view = match seen {
        Some(view) => view,
        None => view(file, node, id).await?,
    };
    let says_nothing = format!("`{domain}` says nothing of `{}`, which is `{id}`", file.display());
    match evidence {
        Some(evidence) => Ok((evidence, view)),
        None => Err(Failure::new(Exit::Refused, says_nothing).hint(who_else(file, &view))),
    }
}

/// What all domains at the node say: of what is unknown there, nothing.
async fn view(file: &Path, node: &Node, id: &str) -> Result<ViewAnswer, Failure> {
    match node.view(id).await {
        Ok(view) => Ok(view),
        Err(error) if is_unknown(&error) => {
            Ok(ViewAnswer { query: id.to_owned(), identities: Vec::new(), records: Vec::new(), unheard: Vec::new() })
        }
        Err(error) => Err(or_as_document(file, error.into())),
    }
}

fn is_unknown(error: &NodeError) -> bool {
    matches!(error, NodeError::Problem(problem) if problem.code() == Code::UnknownIdentity.as_str())
}

/// The domain that speaks of the file, where none is named: the only one at the node that knows it.
fn only(file: &Path, id: &str, view: &ViewAnswer) -> Result<DomainName, Failure> {
    match view.records.as_slice() {
        [answer] => Ok(answer.record.domain.clone()),
        [] => {
            let message = format!("no domain at the node says anything of `{}`, which is `{id}`", file.display());
            Err(Failure::new(Exit::Refused, message).hint(who_else(file, view)))
        }
        _ => Err(Failure::new(Exit::Usage, format!("several domains speak of `{}`", file.display()))
            .hint("name the one that counts with --domain")),
    }
}

/// What to make of a domain that says nothing of a file: others may, or it is no file to be used.
fn who_else(file: &Path, view: &ViewAnswer) -> String {
    let others: Vec<String> = view.records.iter().map(|it| format!("`--domain {}`", it.record.domain)).collect();
    let stranger = || "it is another version, was changed, or comes from somebody else".to_owned();
    match others.is_empty() {
        true => document::advice(file).unwrap_or_else(stranger),
        false => format!("the node knows it from elsewhere: {}", others.join(" or ")),
    }
}

/// A failure before anybody was asked: whoever has a document needs no node.
fn or_as_document(file: &Path, failure: Failure) -> Failure {
    match document::advice(file) {
        Some(advice) => failure.hint(advice),
        None => failure,
    }
}
