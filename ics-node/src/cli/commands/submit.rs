//! `ics submit`: what was signed elsewhere.

use std::path::PathBuf;

use clap::Args;
use console::style;
use ics_core::limits;
use ics_core::statement::Statement;
use serde::Serialize;
use serde_json::json;

use super::domain::submit::submit_descriptor;
use super::sign::is_batch;
use crate::api::{Problem, SubmissionResult};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::words::{clean, counted, when};
use crate::client::batch::{BatchError, Done, Ledger, Noted, SignedBatch};
use crate::client::descriptor::DescriptorFile;
use crate::client::node::Node;
use crate::client::submit;

/// How many statements are shown one by one; beyond that only their number is given.
const SHOWN: usize = 20;

/// What `ics submit` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics submit recall.signed.ics
  $ ics submit devices.acme.example.v3.pgp")]
pub(crate) struct Submit {
    /// The file that `ics sign` has written; `-` is standard input.
    file: PathBuf,
    /// Submit it even if the same batch was signed twice and the other signed file was already submitted, in whole or
    /// in part.
    #[arg(long)]
    again: bool,
}

/// The result for a statement, as JSON.
#[derive(Serialize)]
struct Submitted {
    id: String,
    title: String,
    statement: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let content = files::read(&self.file, limits::BATCH_FILE_BYTES)?;
        if !is_batch(&self.file, &content)? {
            return submit_descriptor(context, &DescriptorFile::parse(&self.file, &content)?);
        }
        let batch = SignedBatch::parse(&self.file, &content)?;
        let statements = batch.verify(context.now())?;
        let ledger = Ledger::new(&context.home);
        let before = ledger.find(Done::Submitted, &batch.head.batch)?;
        if let Some(before) = before.filter(|before| before.signed != batch.digest() && !self.again) {
            let message =
                format!("this batch was signed twice, and the other one was submitted from {} on", when(before.at));
            return Err(Failure::new(Exit::Refused, message).hint(
                "what it says would stand in the log twice; the other one can be submitted again and again, and --again \
                 submits this one all the same",
            ));
        }
        let node = context.node(&context.config()?)?;
        let mut results = Vec::with_capacity(statements.len());
        let ended = context.wait(submit_batch(context, &node, &ledger, &batch, &mut results));
        let submitted: Vec<Submitted> = statements.iter().zip(results).map(Submitted::new).collect();
        tell(context, &batch, &submitted, ended)
    }
}

/// Submits a whole batch; returns the result for each statement as far as it got.
async fn submit_batch(
    context: &Context,
    node: &Node,
    ledger: &Ledger,
    batch: &SignedBatch,
    results: &mut Vec<SubmissionResult>,
) -> Result<(), Failure> {
    let domain = &batch.head.domain;
    let certificates = batch.certificates()?;
    let (own, others) = certificates.split_first().ok_or(BatchError::Empty)?;
    submit::introduce(node, domain, own).await?;
    // Noted before the first statement may be in the log: after an interruption nobody can tell which ones are.
    let (noted, signed) = (batch.head.batch.clone(), batch.digest().to_owned());
    ledger.note(&Noted { done: Done::Submitted, batch: noted, signed, at: context.now() })?;
    submit::submit_into(node, domain, batch.bodies.clone(), results).await?;
    // A log takes a certificate of somebody else only once a statement gives its holder a role.
    let all_in = results.iter().all(|result| !matches!(result, SubmissionResult::Problem(_)));
    for certificate in others.iter().filter(|_| all_in) {
        submit::introduce(node, domain, certificate).await?;
    }
    Ok(())
}

/// Reports the results, including those from before something went wrong.
fn tell(
    context: &Context,
    batch: &SignedBatch,
    submitted: &[Submitted],
    ended: Result<(), Failure>,
) -> Result<Exit, Failure> {
    let domain = &batch.head.domain;
    let refused = submitted.iter().filter(|it| it.problem.is_some()).count();
    if !submitted.is_empty() {
        let said = json!({ "domain": domain, "batch": batch.head.batch, "statements": submitted });
        context.output.result(&said, || text(domain.as_str(), submitted, refused))?;
    }
    let total = counted(batch.bodies.len(), "statement");
    let hint = format!(
        "{} of {total} are answered; submit the same file again: the log does not take the same statement twice",
        submitted.len()
    );
    ended.map_err(|failure| if submitted.is_empty() { failure } else { failure.hint(hint) })?;
    Ok(if refused == 0 { Exit::Ok } else { Exit::Refused })
}

impl Submitted {
    fn new((statement, result): (&Statement, SubmissionResult)) -> Self {
        let (index, problem) = match result {
            SubmissionResult::Receipt(receipt) => (Some(receipt.index), None),
            SubmissionResult::Problem(problem) => (None, Some(problem)),
            SubmissionResult::Pending(_) => (None, None),
        };
        Self {
            id: statement.identity().to_string(),
            title: statement.subject().title(),
            statement: statement.id().to_string(),
            index,
            problem,
        }
    }
}

fn text(domain: &str, submitted: &[Submitted], refused: usize) -> String {
    let line = |it: &Submitted| match (&it.problem, it.index) {
        (Some(problem), _) => format!("{} {}: {}", style("✗").red(), clean(&it.title), clean(&problem.detail)),
        (None, index) => {
            let waits = "  waits in the node for the home of the domain: `ics outbox`".to_owned();
            let index = index.map_or(waits, |index| format!("  entry {index}"));
            format!("{} {}{index}", style("✓").green(), clean(&it.title))
        }
    };
    // Refused statements are always shown.
    let is_shown = |(place, it): &(usize, &Submitted)| *place < SHOWN || it.problem.is_some();
    let mut lines: Vec<String> = submitted.iter().enumerate().filter(is_shown).map(|(_, it)| line(it)).collect();
    if let Some(more) = submitted.len().checked_sub(lines.len()).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more"));
    }
    let waiting = submitted.iter().filter(|it| it.problem.is_none() && it.index.is_none()).count();
    lines.push(format!("{} in the log of {domain}", counted(submitted.len() - refused - waiting, "statement")));
    lines.join("\n")
}
