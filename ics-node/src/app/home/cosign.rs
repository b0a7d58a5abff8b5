//! This node as a witness: it cosigns checkpoints of the domains for which it is configured (C2SP tlog-witness).

use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::cosignature;
use ics_core::log::note::VerifierKey;
use ics_sync::witness::{self, AddCheckpoint, Refusal, Seen};

use crate::api::problem::Code;
use crate::app::{App, AppError};
use crate::store::{Fork, Part, Seal, Witnessed};

/// Why this node did not cosign.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotCosigned {
    /// The request is malformed, or the checkpoint must not be cosigned.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This node was restored from a copy or has lost its store, and does not know what it has cosigned since. It still
    /// records what it is shown.
    #[error(
        "this witness was restored from a copy, or began anew with its old key, and may have cosigned more than it \
         knows; until its operator says that it has not (`ics restore --cosign-again`), it cosigns nothing with that \
         key"
    )]
    Doubtful,
    /// This node failed.
    #[error(transparent)]
    Failed(#[from] AppError),
}

impl App {
    /// Cosigns a checkpoint, given as the body of an `add-checkpoint` request, if it follows from all that this node
    /// has seen of its log. The answer is a signature line. That the checkpoint was seen is recorded durably before it
    /// is signed.
    ///
    /// # Errors
    /// When the request is malformed, this node is not configured for the log, the log's key did not sign, or the
    /// checkpoint does not follow; or when the store or the key fails.
    pub fn add_checkpoint(&self, request: &str) -> Result<String, NotCosigned> {
        let request: AddCheckpoint = request.parse().map_err(Refusal::from)?;
        let checkpoint = witness::open(&request, |origin| self.key_to_cosign(origin))?;
        let origin = checkpoint.origin.clone();
        let held = self.held_of(&origin)?;
        let (asked, claimed) = (request.clone(), checkpoint.clone());
        let decided = move |seen| decide(&asked, &claimed, seen, held);
        let (answer, news) = self.store().witness(&origin, decided).map_err(AppError::from)?;
        if let Some(former) = news {
            self.tell_of_misbehaviour(&checkpoint, &former, &request.checkpoint)?;
        }
        answer?;
        if self.store().may_have_cosigned_more() {
            return Err(NotCosigned::Doubtful);
        }
        let (keys, now) = (&self.0.keys, self.clock().now());
        let line = cosignature::line(&request.checkpoint, &keys.name, &*keys.key, now);
        let line =
            line.map_err(|error| AppError::Internal(format!("the checkpoint could not be cosigned: {error}")))?;
        Ok(format!("{line}\n"))
    }

    /// The largest checkpoint that this node has seen of a log for which it cosigns, as the log signed it: a home that
    /// was restored from a copy has to believe it.
    ///
    /// # Errors
    /// When this node is not a witness of the log, or has seen nothing of it.
    pub fn witnessed_checkpoint(&self, origin: &Origin) -> Result<String, AppError> {
        let unknown = |what: String| AppError::new(Code::UnknownLog, what);
        if self.key_to_cosign(origin).is_none() {
            return Err(unknown(Refusal::UnknownLog(origin.clone()).to_string()));
        }
        let seen = self.store().witnessed(origin)?.map(|seen| (seen.size, seen.note));
        let mirrored = self.mirrored(origin)?.map(|seal| (seal.size, seal.note));
        let largest = [seen, mirrored].into_iter().flatten().max_by_key(|(size, _)| *size);
        let nothing = || unknown(format!("this node is a witness of `{origin}` and has seen nothing of it yet"));
        largest.map(|(_, note)| note).ok_or_else(nothing)
    }

    /// Whether this node is a witness that keeps silent because it may have cosigned more than it knows.
    #[must_use]
    pub fn is_silent_witness(&self) -> bool {
        self.peers_table().cosigns() && self.store().may_have_cosigned_more()
    }

    /// Tells the operator if this node is a silent witness.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn tell_of_doubt(&self) -> Result<(), AppError> {
        if !self.is_silent_witness() {
            return Ok(());
        }
        let text = NotCosigned::Doubtful.to_string();
        tracing::warn!("{text}");
        Ok(self.store().alarm(None, self.clock().now(), "silent", &text)?)
    }

    /// Lets this node cosign again, for an operator who answers for what it may have cosigned.
    ///
    /// # Errors
    /// When the store fails.
    pub fn answer_for_cosignatures(&self) -> Result<(), AppError> {
        Ok(self.store().doubt_what_was_cosigned(false)?)
    }

    /// What this node holds of a log as its mirror, which may be more than it was asked to cosign.
    fn held_of(&self, origin: &Origin) -> Result<Option<Seen>, NotCosigned> {
        let Some(Seal { size, root, note, .. }) = self.mirrored(origin)? else { return Ok(None) };
        let held = Checkpoint { origin: origin.clone(), size, root };
        // Only what this node holds completely is compared; the mirror itself compares what it catches up on.
        if let Some(seen) = self.seen_of(&held)?
            && let Ok(hosted) = self.hosted(&origin.domain)
            && self.store().root_at(hosted.number, seen.size).is_ok_and(|root| root != seen.root)
        {
            self.tell_of_fork(&held, &note)?;
            return Err(Refusal::Fork(seen.size).into());
        }
        Ok(Some(Seen { size, root }))
    }

    /// The last checkpoint that this node has reached as a mirror of a log, if it is one.
    fn mirrored(&self, origin: &Origin) -> Result<Option<Seal>, AppError> {
        let Ok(hosted) = self.hosted(&origin.domain) else { return Ok(None) };
        if hosted.part != Part::Mirror || hosted.origin().as_ref() != Some(origin) {
            return Ok(None);
        }
        Ok(self.store().head(hosted.number)?.seal)
    }

    /// What this node has seen of a log other than as its mirror, if a checkpoint covers it.
    pub(crate) fn seen_of(&self, shown: &Checkpoint) -> Result<Option<Witnessed>, AppError> {
        let seen = self.store().witnessed(&shown.origin)?;
        Ok(seen.filter(|seen| 0 < seen.size && seen.size <= shown.size))
    }

    /// Records that a home has shown its mirror another log than this node had seen of it; raises an alarm once, and
    /// stores both.
    pub(crate) fn tell_of_fork(&self, shown: &Checkpoint, note: &str) -> Result<(), AppError> {
        let contradiction = Some(note.to_owned());
        let news = self.store().witness(&shown.origin, move |seen| {
            let first = seen.filter(|seen| seen.contradiction.is_none());
            (first.clone().map(|seen| Witnessed { contradiction, ..seen }), first)
        })?;
        news.map_or(Ok(()), |former| self.tell_of_misbehaviour(shown, &former, note))
    }

    /// The key with which the configuration knows a log.
    fn key_to_cosign(&self, origin: &Origin) -> Option<VerifierKey> {
        origin.key(&self.peers_table().key_to_cosign(origin)?).ok()
    }

    fn tell_of_misbehaviour(&self, theirs: &Checkpoint, former: &Witnessed, note: &str) -> Result<(), AppError> {
        let Origin { domain, .. } = &theirs.origin;
        // A copy that has accepted nothing yet does not know its log.
        let is_of = |origin: &Origin| *origin == theirs.origin;
        let hosted = self.hosted(domain).ok().filter(|hosted| hosted.origin().as_ref().is_none_or(is_of));
        let number = hosted.map(|hosted| hosted.number);
        let text = format!(
            "the home of `{domain}` signed {} entries with root {} that do not follow from the {} that this node has \
             seen before",
            theirs.size, theirs.root, former.size
        );
        tracing::error!(%domain, "{text}");
        self.store().alarm(number, self.clock().now(), "fork", &text)?;
        let (ours, theirs) = (former.note.clone(), note.to_owned());
        Ok(self.store().keep_fork(Fork { domain: number, at: self.clock().now(), ours, theirs })?)
    }
}

/// The decision whether to cosign; and, if this is the first contradiction, what was seen before.
type Decided = (Result<(), Refusal>, Option<Witnessed>);

/// What is to be stored, and the decision. `held` is what a mirror on this node holds.
fn decide(
    request: &AddCheckpoint,
    checkpoint: &Checkpoint,
    seen: Option<Witnessed>,
    held: Option<Seen>,
) -> (Option<Witnessed>, Decided) {
    let known = seen.as_ref().map(|seen| Seen { size: seen.size, root: seen.root });
    let largest = [known, held].into_iter().flatten().max_by_key(|seen| seen.size).unwrap_or_else(Seen::nothing);
    let note = request.checkpoint.clone();
    match witness::follows(request, checkpoint, largest) {
        Ok(next) if known == Some(next) => (None, (Ok(()), None)),
        Ok(Seen { size, root }) => {
            let contradiction = seen.and_then(|seen| seen.contradiction);
            (Some(Witnessed { size, root, note, contradiction }), (Ok(()), None))
        }
        Err(refusal) => match seen.filter(|seen| refusal.is_misbehaviour() && seen.contradiction.is_none()) {
            Some(seen) => {
                let kept = Witnessed { contradiction: Some(note), ..seen.clone() };
                (Some(kept), (Err(refusal), Some(seen)))
            }
            None => (None, (Err(refusal), None)),
        },
    }
}
