//! Whether a file may be used, judged by its hash and not by its contents.

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

/// What every domain at a node says about the file.
struct Said {
    view: ViewAnswer,
    /// Whether the answer could have been given by anybody on the network path.
    is_exposed: bool,
}

pub(super) fn run(verify: &Verify, context: &Context) -> Result<Exit, Failure> {
    let id = artifact::id_of(&verify.file).map_err(|e| files::failed(&verify.file, e))?;
    let (evidence, said) = match &verify.evidence {
        Some(path) => (document::evidence(path)?, None),
        None => asked(verify, context, &id.to_string()).map(|(evidence, said)| (evidence, Some(said)))?,
    };
    let mut report = Report::of(verify, context, &evidence)?;
    let view = said.as_ref().map(|said| &said.view);
    let records = || view.into_iter().flat_map(|view| &view.records).map(|answer| &answer.record);
    let others = records().filter(|record| record.domain != report.verified.origin.domain);
    if artifact::check_all(others).is_ok() {
        report.not_proven.push(report::of_others(&report.verified, view));
    }
    let blocked = artifact::check_all(records()).err();
    let refusal = refusal(verify, id, &report, said.as_ref(), blocked);
    report.checked = Checked::Artifact;
    report.artifact = Some(told(verify, id, refusal.as_ref()));
    context.output.result(&report, || report::text(&report))?;
    if refusal == Some(ArtifactRefusal::NotVouched) && verify.domain.is_none() {
        note_who_vouches(context, &report.verified.origin.domain, view);
    }
    Ok(if refusal.is_none() { Exit::Ok } else { Exit::Refused })
}

/// A domain that only approves of others' software vouches for none of it, and is asked all the same if it is the one
/// in ics.toml: tells whom to name.
fn note_who_vouches(context: &Context, asked: &DomainName, view: Option<&ViewAnswer>) {
    let others = view.into_iter().flat_map(|view| &view.records).map(|answer| &answer.record);
    let vouching = others.filter(|record| record.domain != *asked && !record.vouched.is_empty());
    let domains: Vec<String> = vouching.map(|record| format!("`--domain {}`", record.domain)).collect();
    if !domains.is_empty() {
        let domains = domains.join(" or ");
        context.output.note(&format!("only `{asked}` was asked; somebody vouches for the file elsewhere: {domains}"));
    }
}

/// Why the file must not be used, according to the domain, to any other domain at the node, and to what must be proven.
/// A block takes precedence over what is unknown or not permitted.
fn refusal(
    verify: &Verify,
    id: IdentityId,
    report: &Report,
    said: Option<&Said>,
    blocked: Option<ArtifactRefusal>,
) -> Option<ArtifactRefusal> {
    let (verified, is_pinned) = (&report.verified, report.pinned);
    // A node's answer is its word, like all its answers, provided that the node is known to have given it.
    let proven = || match said {
        None => artifact::check_carried(verified, is_pinned, verify.incomplete),
        Some(said) if said.is_exposed => artifact::check_exposed(verified, is_pinned),
        Some(_) => Ok(()),
    };
    match artifact::check(id, verified).and_then(|()| proven()).err() {
        Some(refusal @ (ArtifactRefusal::Other | ArtifactRefusal::Blocked(_))) => Some(refusal),
        refusal => blocked.or(refusal),
    }
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

/// Asks a node about the file: the evidence of the domain that counts, and what every domain there says.
fn asked(verify: &Verify, context: &Context, id: &str) -> Result<(Evidence, Said), Failure> {
    let config = context.config()?;
    let node = context.node(&config).map_err(|failure| or_as_document(&verify.file, failure))?;
    let named = verify.domain.as_ref().or(config.client.domain.as_ref());
    let (evidence, view) = context.wait(answers(&verify.file, &node, named, id))?;
    Ok((evidence, Said { view, is_exposed: node.is_exposed() }))
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

/// What all domains at the node say; nothing if the file is unknown there.
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

/// The domain that speaks about the file if none is named: the only one at the node that knows it.
fn only(file: &Path, id: &str, view: &ViewAnswer) -> Result<DomainName, Failure> {
    match view.records.as_slice() {
        [answer] => Ok(answer.record.domain.clone()),
        [] => {
            let message = format!("no domain at the node says anything of `{}`, which is `{id}`", file.display());
            Err(Failure::new(Exit::Refused, message).hint(who_else(file, view)))
        }
        _ => Err(Failure::new(Exit::Usage, format!("several domains speak of `{}`", file.display()))
            .hint(format!("name the one that counts: {}", named(view)))),
    }
}

/// A hint on a domain that says nothing about a file: others may, or it is not a file to be used.
fn who_else(file: &Path, view: &ViewAnswer) -> String {
    let stranger = || "it is another version, was changed, or comes from somebody else".to_owned();
    match view.records.is_empty() {
        true => document::advice(file).unwrap_or_else(stranger),
        false => format!("the node knows it from elsewhere: {}", named(view)),
    }
}

/// The domains that speak about a file, as arguments of this command.
fn named(view: &ViewAnswer) -> String {
    let domains = view.records.iter().map(|it| format!("`--domain {}`", it.record.domain));
    domains.collect::<Vec<_>>().join(" or ")
}

/// Adds a hint if the file looks like a document, since checking one needs no node.
fn or_as_document(file: &Path, failure: Failure) -> Failure {
    match document::advice(file) {
        Some(advice) => failure.hint(advice),
        None => failure,
    }
}
