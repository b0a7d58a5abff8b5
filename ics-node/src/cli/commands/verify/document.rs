//! Evidence, verdicts and proofs, after the user has said that they are documents rather than files to be used.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ics_core::evidence::Evidence;
use ics_core::limits;
use ics_core::log::source::Source;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::report::{self, Report};
use super::{Verify, case, proof};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::words::shell_path;

pub(super) fn run(verify: &Verify, context: &Context) -> Result<Exit, Failure> {
    if verify.log_key.is_some() || is_proof(&verify.file)? {
        return proof::run(verify, context);
    }
    if let Some(json) = verdict(verify)? {
        return case::run(verify, context, &json);
    }
    verify.refuse_what_says_nothing(
        "evidence",
        &[("--trust", verify.trust.is_some())],
        "--trust names the policy that must have decided a verdict, as `ics explain --save` writes it; --pin names the \
         domain that is meant",
    )?;
    let evidence = evidence(&verify.file)
        .map_err(|failure| failure.hint("without --document it is asked whether the file may be used"))?;
    let mut report = Report::of(verify, context, &evidence)?;
    report.not_proven.push(report::of_others(&report.verified, None));
    context.output.result(&report, || report::text(&report))?;
    Ok(Exit::Ok)
}

/// Reads evidence from a file.
pub(super) fn evidence(path: &Path) -> Result<Evidence, Failure> {
    let read = Evidence::parse(&files::read(path, limits::EVIDENCE_BYTES)?);
    read.map_err(|refusal| Failure::new(Exit::Refused, format!("`{}`: {refusal}", path.display())))
}

/// The members that tell the documents apart.
#[derive(Deserialize)]
struct Probe {
    verdict: Option<IgnoredAny>,
    checkpoint: Option<IgnoredAny>,
    entries: Option<IgnoredAny>,
}

/// Reads the file if it is a verdict with its evidence.
fn verdict(verify: &Verify) -> Result<Option<Vec<u8>>, Failure> {
    let json = files::read(&verify.file, limits::CASE_BYTES)?;
    // For a file that is no longer valid JSON, `--trust` says what it was.
    let probe = serde_json::from_slice::<Probe>(&json);
    let is_case = probe.map_or(verify.trust.is_some(), |probe| probe.verdict.is_some());
    Ok(is_case.then_some(json))
}

/// Whether a file begins like a proof that an entry stands in a log.
fn is_proof(path: &Path) -> Result<bool, Failure> {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut first));
    read.map_err(|e| files::failed(path, e))?;
    Ok(Source::is_tlog_proof(&first))
}

/// A hint for a file that nobody knows, if it looks like a document. The bytes of a file must never decide more than
/// this hint: whoever serves it has chosen them.
pub(super) fn advice(path: &Path) -> Option<String> {
    let what = resembled(path)?;
    let command = format!("ics verify --document {}", shell_path(path));
    Some(format!("it looks like {what}: `{command}` checks that, and does not say that the file may be used"))
}

fn resembled(path: &Path) -> Option<&'static str> {
    // A pipe has been read to its end: opening it again would wait for somebody to write.
    if !path.is_file() {
        return None;
    }
    if is_proof(path).ok()? {
        return Some("a proof");
    }
    let json = files::read(path, limits::CASE_BYTES).ok()?;
    match serde_json::from_slice::<Probe>(&json).ok()? {
        Probe { verdict: Some(_), .. } => Some("a verdict"),
        Probe { checkpoint: Some(_), entries: Some(_), .. } => Some("evidence"),
        Probe { .. } => None,
    }
}
