//! How an erasure is judged: which entry it means, and what is left of that.

use ics_core::domain::{Domain, Erasable, Refusal};
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::record::{Logged, Posting};
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Erasure, Remnant, SignedErasure};

use super::{Admission, Change, Judgement, refused};
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::entries::{Entries, Line, Log, restore};
use crate::store::{Content, StoreError};

pub(super) fn judge_erasure(
    log: &impl Log,
    domain: &Domain,
    header: &Header,
    signed: &SignedErasure,
    line: &mut Line,
) -> Result<Judgement, StoreError> {
    if header.source.is_some() {
        // What was taken over before stays until the owners of this domain erase it as well.
        if let Found::Statement(taken) = find_erasable(log, domain, &signed.erasure)? {
            return Ok(Judgement::Present(taken.index()));
        }
        let of = signed.erasure.identity.map_or_else(String::new, |it| format!(" of {}", it.id));
        let detail = format!(
            "a block{of} was erased in its own domain, where it still blocks, and cannot be taken over: block the \
             thing here yourself (`ics status`)"
        );
        return Ok(refused(Code::StatementErased, detail));
    }
    // Nothing is read for an erasure that the owners have not signed.
    if let Err(refusal) = domain.check_erasure_signed(signed, header.admitted_at) {
        return Ok(Judgement::Refused(Problem::refused(&refusal)));
    }
    // Nobody looks up an erasure by its own bytes; whether it already stands in the log is seen from the statement that
    // it erases.
    let id = signed.erasure.statement;
    let mut erasable = find_erasable(log, domain, &signed.erasure)?;
    if matches!(erasable, Found::Nothing) {
        erasable = withheld(log, &signed.erasure)?;
    }
    let subject = match &erasable {
        // It has already been erased, so nothing more is read.
        Found::Statement(logged) if logged.is_erased() => None,
        Found::Statement(logged) => Some(logged.subject_id()),
        Found::Remnant(_, remnant) | Found::Belied(_, remnant) => Some(remnant.identity),
        Found::Other(_) | Found::Nothing => None,
    };
    let said = subject.map(|subject| line.said(log, domain, &subject)).transpose()?.unwrap_or_default();
    Ok(match domain.check_erasure(signed, erasable.as_erasable(), &said.context(), header.admitted_at) {
        Ok(index) => {
            let remnant = subject.map(|identity| Remnant { statement: id, identity });
            let remnant = remnant.ok_or_else(|| StoreError::corrupt("what is erased is about nothing"))?;
            // Where only the leaf is here nothing can be deleted, but what is left takes its place: whoever may read
            // everything one day must not pass it on as withheld. What was told falsely of it stays, because what was
            // said in between was judged by that.
            let is_belied = matches!(erasable, Found::Belied(..));
            let change = if is_belied { Change::Nothing } else { Change::Erase(index, remnant) };
            Judgement::Admitted(Admission { kind: EntryKind::Erasure, change })
        }
        Err(Refusal::Erased(index)) if stands_there(log, signed, index)? => Judgement::Present(index),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    })
}

/// The entry that an erasure names, if this node got no more of it than the leaf because it could not read it. What a
/// peer claimed about that entry counts for nothing against the owners' signed word; otherwise their block would be
/// lost. What comes behind the erasure it cannot mean.
fn withheld(log: &impl Log, erasure: &Erasure) -> Result<Found, StoreError> {
    let Some((index, remnant)) = erasure.leaves() else { return Ok(Found::Nothing) };
    if index >= log.count() {
        return Ok(Found::Nothing);
    }
    let entry = log.at(index)?;
    if entry.content.is_some() {
        return Ok(Found::Nothing);
    }
    Ok(match Remnant::from_bytes(&entry.header) {
        None if entry.header.is_empty() => Found::Remnant(index, remnant),
        Some(told) if !is_borne_out(log, index, &told)? => Found::Belied(index, remnant),
        _ => Found::Nothing,
    })
}

/// Whether the remnant in the place of an entry agrees with an erasure that has effect.
pub(in crate::app) fn is_borne_out(entries: &impl Entries, index: u64, told: &Remnant) -> Result<bool, StoreError> {
    let found = entries.find(&[Posting::Statement(told.statement)], limits::PAGE_ITEMS)?;
    let said = |content: &Content| left_by(content) == Some((index, *told));
    Ok(found.iter().any(|entry| entry.effective && entry.content.as_ref().is_some_and(said)))
}

/// The entry that an erasure erases, and what it leaves there; `None` if the content is no erasure.
fn left_by(content: &Content) -> Option<(u64, Remnant)> {
    match body::parse(&content.body) {
        Ok(Body::Erasure(signed)) => signed.erasure.leaves(),
        _ => None,
    }
}

/// Whether the erasure at an index is exactly this one.
fn stands_there(entries: &impl Entries, signed: &SignedErasure, index: u64) -> Result<bool, StoreError> {
    let found = entries.find(&[Posting::Statement(signed.id())], limits::PAGE_ITEMS)?;
    Ok(found.iter().any(|entry| entry.index == index))
}

/// What may be found under the id that an erasure names.
enum Found {
    Statement(Box<Logged>),
    /// What is left of the statement, or what the erasure says is left of it where only the leaf came here.
    Remnant(u64, Remnant),
    /// What the erasure says is left, where a peer has told something else.
    Belied(u64, Remnant),
    Other(EntryKind),
    Nothing,
}

impl Found {
    fn as_erasable(&self) -> Erasable<'_> {
        match self {
            Self::Statement(logged) => Erasable::Statement(logged),
            Self::Remnant(index, remnant) | Self::Belied(index, remnant) => Erasable::Remnant(*index, *remnant),
            Self::Other(kind) => Erasable::Other(*kind),
            Self::Nothing => Erasable::Nothing,
        }
    }
}

/// The entry that an erasure means: the statement if it still stands, or the erasure that ended it, or the remnant that
/// came here, if it matches. What was refused may stand in the log again, and the erasure says at which place it is
/// meant; the other copy is another entry.
fn find_erasable(entries: &impl Entries, domain: &Domain, erasure: &Erasure) -> Result<Found, StoreError> {
    let (id, leaves) = (erasure.statement, erasure.leaves());
    let (mut left, mut elsewhere, mut other) = (None, None, Found::Nothing);
    // Few entries share an id: the statement, its erasure, and what collides with it.
    for entry in entries.find(&[Posting::Statement(id)], limits::PAGE_ITEMS)? {
        if let Some(logged) = restore(domain, &entry)?.filter(|logged| logged.id() == id) {
            let has_effect = !logged.is_refused();
            let is_meant = if logged.is_erased() {
                // An erasure without effect erased nothing.
                has_effect && entry.content.as_ref().and_then(left_by) == leaves
            } else {
                erasure.index == Some(entry.index)
            };
            let found = Found::Statement(Box::new(logged));
            if is_meant {
                return Ok(found);
            }
            elsewhere = elsewhere.or(has_effect.then_some(found));
        } else if let Some(remnant) = Remnant::from_bytes(&entry.header) {
            if leaves == Some((entry.index, remnant)) {
                left = Some(Found::Remnant(entry.index, remnant));
            }
        } else if let Some(content) = &entry.content
            && body::parse(&content.body).is_ok_and(|body| body.id() == id)
            && let Ok(header) = Header::decode(&entry.header)
        {
            other = Found::Other(header.kind);
        }
    }
    Ok(left.or(elsewhere).unwrap_or(other))
}
