//! Publishing many things, one in each row of a file.

use std::path::Path;

use console::style;
use ics_core::limits;
use ics_core::vocabulary::Act;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::progress;
use crate::client::batch::Item;
use crate::client::node::Node;
use crate::client::publish::{Bulk, BulkError, Fields, Journal, JournalError, Outcome, RowError, Rows, Seen};
use crate::client::signing::{Signing, SigningError};

/// Returns drafts of all rows of a file, to be signed elsewhere. A row that cannot be read is an error: the signer is
/// given all or nothing.
pub(super) fn drafts(signing: &Signing, input: &Path, defaults: &Fields) -> Result<Vec<Item>, Failure> {
    let directory = input.parent().unwrap_or(Path::new(""));
    let refused = |number: u64, reason: String| Failure::new(Exit::Local, format!("row {number}: {reason}"));
    let (mut items, mut seen) = (Vec::new(), Seen::default());
    for row in Rows::open(input).map_err(BulkError::from)? {
        let row = row.map_err(BulkError::from)?;
        if items.len() >= limits::BATCH_FILE_STATEMENTS {
            let most = limits::BATCH_FILE_STATEMENTS;
            return Err(Failure::new(Exit::Usage, format!("a batch takes {most} statements at most"))
                .hint("split the file, and make a batch of each part"));
        }
        let fields = row.fields(defaults).map_err(|e| refused(row.number, e.to_string()))?;
        let drafted = fields.draft(signing.claims(Act::Identity), directory);
        let (thing, claims) = drafted.map_err(|e| refused(row.number, e.to_string()))?;
        let id = thing.id().map_err(|e| refused(row.number, e.to_string()))?;
        seen.take(&id, &claims.names).map_err(|reason| refused(row.number, reason))?;
        items.push(Item { draft: signing.draft(thing, claims, false)?, replaced: Vec::new(), after: None });
    }
    Ok(items)
}

/// Publishes the rows of a file that are not in the log yet, and reports the results.
pub(super) async fn publish_many(
    context: &Context,
    node: &Node,
    signing: Signing,
    bulk: Bulk,
) -> Result<Exit, Failure> {
    let run = (signing.domain(), &signing.role, &signing.fingerprint());
    let said = bulk.defaults.said();
    // A file that does not consist of rows must leave no journal, which would then hold whoever gives the right file to
    // the arguments of this attempt.
    drop(Rows::open(&bulk.input).map_err(BulkError::from)?);
    let rows = Rows::count(&bulk.input).map_err(|error| files::failed(&bulk.input, error))?;
    let journal = Journal::open(&bulk.input, run, &said, context.now()).map_err(BulkError::from)?;
    let bar = progress::bar(context, usize::try_from(rows).unwrap_or(usize::MAX), "publishing");
    let ended =
        bulk.publish(node, signing, journal, |so_far| bar.set_position(so_far.acknowledged + so_far.refused)).await;
    bar.finish_and_clear();
    let outcome = ended?;
    context.output.result(&outcome, || outcome_text(&outcome))?;
    Ok(if outcome.refused == 0 { Exit::Ok } else { Exit::Refused })
}

fn outcome_text(outcome: &Outcome) -> String {
    if outcome.published + outcome.waiting + outcome.already + outcome.refused == 0 {
        return format!("{} nothing to publish: the file has no rows", style("!").yellow());
    }
    let mut lines = vec![format!("{} {} published", style("✓").green(), outcome.published)];
    if outcome.waiting > 0 {
        lines.push(format!(
            "{} {} wait in this node for the home of the domain: give the same command again to learn what became of \
             them",
            style("…").yellow(),
            outcome.waiting
        ));
    }
    if outcome.already > 0 {
        lines.push(format!("  {} were in the log before", outcome.already));
    }
    if let Some(report) = &outcome.report {
        lines.push(format!("{} {} refused: see {}", style("✗").red(), outcome.refused, report.display()));
    }
    lines.join("\n")
}

impl From<BulkError> for Failure {
    fn from(error: BulkError) -> Self {
        let again = "what is acknowledged is noted: give the same command again to go on";
        match error {
            BulkError::Node(error) => Self::from(error).hint(again),
            BulkError::Signing(error) => {
                let error = match error {
                    SigningError::Make(error) => Self::new(Exit::Local, error),
                    error => Self::from(error),
                };
                error.hint(again)
            }
            BulkError::Journal(JournalError::Busy { .. }) => Self::new(Exit::Local, error),
            BulkError::Journal(JournalError::Other { .. } | JournalError::Form { .. } | JournalError::Said { .. }) => {
                Self::new(Exit::Local, error).hint("move it away to publish all rows anew")
            }
            BulkError::Journal(JournalError::Ahead { .. }) => Self::new(Exit::Local, error).hint(
                "set the clock right and give the same command again; if it was wrong when the file was first \
                 published, and nothing from the file waits at a mirror, move the journal away to sign its rows as of \
                 now",
            ),
            BulkError::Input(RowError::Form(_)) => Self::new(Exit::Usage, error),
            BulkError::Input(RowError::Open { .. }) => Self::new(Exit::Local, error)
                .hint("close the quote, or double it if it is part of the value; then give the same command again"),
            BulkError::Input(_) | BulkError::Journal(_) | BulkError::Report { .. } => Self::new(Exit::Local, error),
            BulkError::Broken => Self::new(Exit::Internal, error).hint(again),
        }
    }
}
