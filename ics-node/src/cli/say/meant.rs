//! Statements that a signer names in order to end them, and those that they may have meant.

use ics_core::record::{Listed, Standing};
use ics_core::statement::StatementId;

use super::{Saying, listed};
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::clean;
use crate::client::lookup::Found;
use crate::client::signing::Signing;

/// A statement in words.
pub(crate) fn called(it: &Listed) -> String {
    let status = it.status.as_ref().map(|status| format!("status {status}"));
    let label = it.label.as_ref().map(|label| format!("label {}", clean(label)));
    let what = status.or(label).unwrap_or_else(|| it.act.to_string());
    let from = it.from.filter(|_| it.standing == Standing::NotYet);
    let from = from.map(|from| format!(", from {from}")).unwrap_or_default();
    let until = it.until.map(|until| format!(", until {until}")).unwrap_or_default();
    format!("entry {} ({what}{from}{until})", it.by.index)
}

/// What the signer has said about the thing itself that stands, or will stand by itself.
pub(crate) fn said_by<'a>(signing: &Signing, found: &'a Found) -> Vec<&'a Listed> {
    let signer = signing.fingerprint();
    let Some(record) = found.own.as_ref().map(|answer| &answer.record) else { return Vec::new() };
    let comes = |it: &Listed| it.standing == Standing::Stands || it.is_to_come();
    let is_own = |it: &&Listed| it.by.signer == signer && it.by.group.is_none() && comes(it);
    record.statements.iter().filter(is_own).collect()
}

/// What could be meant: a line for each, with what to type for it, if anything. `way` takes the id of the thing.
pub(crate) fn candidates<'a>(
    signing: &Signing,
    things: impl Iterator<Item = &'a Found>,
    way: impl Fn(&str, &Listed) -> Option<String>,
) -> Vec<String> {
    let of_one = |found: &'a Found| {
        let id = found.thing.id().map(|id| id.to_string()).unwrap_or_default();
        let line = |it: &Listed| way(&id, it).map(|way| format!("  {}: {way}", called(it)));
        said_by(signing, found).into_iter().filter_map(line).collect::<Vec<_>>()
    };
    things.flat_map(of_one).collect()
}

/// Refuses statements that are not the signer's or no longer stand: whoever names one means it to end.
pub(crate) fn refuse_unmatched<'a>(
    signing: &Signing,
    things: impl Iterator<Item = &'a Found>,
    sayings: &[Saying],
    named: &[StatementId],
    way: impl Fn(&str, &Listed) -> Option<String>,
) -> Result<(), Failure> {
    let is_matched = |id: &StatementId| sayings.iter().any(|saying| saying.claims.supersedes.contains(id));
    let Some(id) = named.iter().find(|id| !is_matched(id)) else { return Ok(()) };
    let message = format!("the statement {id} is none of {} about these things that stands", signing.fingerprint());
    Err(Failure::new(Exit::NotFound, listed(message, &candidates(signing, things, way))).hint(
        "nothing was signed; `ics history` shows who has said what, and what became of it; what is said of a group is \
         said and taken back with --group, or its id",
    ))
}
