//! Alarms about statements of followed domains that are not taken over; each stands for as long as that is so.
//!
//! Everybody can read alarms, so they name no thing: an entry is named by its index, an answer by the size of the log
//! at which the thing was reported. The node's own log says what it is about.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::identity::IdentityId;
use ics_core::vocabulary::DomainName;

use super::adopt::{Taken, why_handed_on};
use super::cause::{Cause, NOT_TAKEN, What};
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Following;

impl App {
    /// Raises alarms about refused entries; the node's log says what was wrong, once like the alarms, since it is tried
    /// again and again.
    pub(in crate::app) fn alarm_of_refused(
        &self,
        target: &Hosted,
        source: &DomainName,
        taken: &Taken,
    ) -> Result<(), AppError> {
        self.alarm_of_key(target, source, taken)?;
        let refused = taken.refused.iter().zip(&taken.result.refused);
        for (index, problem) in refused.filter(|(_, problem)| !is_of_key(problem)) {
            let (domain, detail) = (&target.name, &problem.detail);
            let what = if taken.erasures.contains(index) { ", what is left of a block that was erased" } else { "" };
            let mut text = format!("entry {index} of {source}{what}: {}", problem.in_general());
            if taken.erasures.contains(index) {
                text.push_str(". It still blocks there: block the thing here yourself (`ics status`)");
            }
            if let Some(first) = taken.handed_on.get(index) {
                text = format!("{text}. {}", why_handed_on(source, first));
            }
            if self.alarm_about(target, &Cause::new(source, What::Entry(*index)), &text)? {
                tracing::warn!(%domain, %source, index, %detail, "an entry is not taken over");
            }
        }
        Ok(())
    }

    /// Raises one alarm, which stands until somebody acts, if everything from a source is refused because its home has
    /// another key than the domain names: one alarm per entry would push all others out of sight.
    pub(in crate::app) fn alarm_of_key(
        &self,
        target: &Hosted,
        source: &DomainName,
        taken: &Taken,
    ) -> Result<(), AppError> {
        let Some(problem) = taken.result.refused.iter().find(|problem| is_of_key(problem)) else { return Ok(()) };
        let (domain, detail, hint) = (&target.name, &problem.detail, Code::SourceKey.hint().unwrap_or_default());
        let general = problem.in_general();
        let text = format!("{source}: {general}. Nothing that it says is taken over, not even its blocks: {hint}");
        if self.alarm_about(target, &Cause::new(source, What::Key), &text)? {
            tracing::warn!(%domain, %source, %detail, "nothing is taken over");
        }
        Ok(())
    }

    /// Ends the alarms about entries that were tried and not refused, and the one about the key of the source's home if
    /// some were accepted under that key.
    pub(in crate::app) fn end_alarms_of_taken(
        &self,
        target: &Hosted,
        source: &DomainName,
        tried: &BTreeSet<u64>,
        taken: &Taken,
    ) -> Result<(), AppError> {
        let is_taken = |index: u64| tried.contains(&index) && !taken.refused.contains(&index);
        let is_key_named =
            taken.result.adopted + taken.result.present > 0 && !taken.result.refused.iter().any(is_of_key);
        let key = Cause::new(source, What::Key);
        let is_over = |cause: &Cause| cause.entry_of(source).is_some_and(is_taken) || (is_key_named && *cause == key);
        self.end_alarms(target, NOT_TAKEN, is_over).map(drop)
    }

    /// Raises an alarm that the answer about a thing is useless; `size` is that of the log at which the thing was
    /// reported, and distinguishes this alarm from earlier ones.
    pub(in crate::app) fn alarm_of_no_use(
        &self,
        target: &Hosted,
        source: &DomainName,
        size: u64,
    ) -> Result<(), AppError> {
        let text = format!(
            "{source}: the answer about a thing of which there was news at {size} entries cannot be used; the node's \
             log names the thing"
        );
        self.alarm_about(target, &Cause::new(source, What::Answer(size)), &text).map(drop)
    }

    /// Ends these alarms, because all things have been heard about.
    pub(in crate::app) fn end_alarms_of_no_use(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        let is_of_answer = |cause: &Cause| cause.source == *source && matches!(cause.what, What::Answer(_));
        self.end_alarms(target, NOT_TAKEN, is_of_answer).map(drop)
    }

    /// Raises an alarm that answers about a source come from another log than the one that was seen. As with a copy,
    /// only an operator can give up what was seen; otherwise somebody with the home's key could have it forgotten.
    pub(in crate::app) fn alarm_of_another_log(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        let text = format!(
            "{source}: what is answered about it is of another log than the one that this node has seen, so nothing of \
             it is taken over. If the owners of {source} say that they have begun a new epoch, stop the node and give \
             up what was seen with `ics domain recopy {source}`; `ics domain forks {source}` shows both logs"
        );
        self.alarm_about(target, &Cause::new(source, What::Log), &text).map(drop)
    }

    /// Ends that alarm, because the answers follow from what was seen.
    pub(in crate::app) fn end_alarm_of_another_log(
        &self,
        target: &Hosted,
        source: &DomainName,
    ) -> Result<(), AppError> {
        self.end_alarms(target, NOT_TAKEN, |cause| *cause == Cause::new(source, What::Log)).map(drop)
    }

    /// Records which things the rules of a source let be followed at present. While there are others there is one
    /// alarm, which does not say how many, since everybody can read it.
    pub(in crate::app) fn tell_of_rights(
        &self,
        target: &Hosted,
        source: &DomainName,
        looked: &BTreeMap<IdentityId, bool>,
    ) -> Result<(), AppError> {
        let were_any = target.note_rights(source, looked);
        if looked.values().any(|may| !may) {
            let domain = &target.name;
            let text = format!(
                "the rules of {source} do not let {domain} take over what is said about some of the things that it \
                 follows there: blocks of these do not arrive until the rules permit the actions `read` and `follow` \
                 to this node or to an owner of {domain}; if they ask for a role, it must be granted to an owner's \
                 key, not to a signer's"
            );
            if self.alarm_about(target, &Cause::new(source, What::Rights), &text)? {
                tracing::warn!(%domain, %source, "the source's rules do not let it be followed");
            }
        } else if were_any && target.barred(source) == 0 {
            self.end_alarm_of_rights(target, source)?;
        }
        Ok(())
    }

    fn end_alarm_of_rights(&self, target: &Hosted, source: &DomainName) -> Result<bool, AppError> {
        self.end_alarms(target, NOT_TAKEN, |cause| *cause == Cause::new(source, What::Rights))
    }

    /// As `tell_of_rights`, for what is only beginning to be followed; returns how many of these things are barred.
    pub(in crate::app) fn barred_of(
        &self,
        target: &Hosted,
        source: &DomainName,
        looked: &BTreeMap<IdentityId, bool>,
    ) -> Result<u64, AppError> {
        self.tell_of_rights(target, source, looked)?;
        Ok(looked.values().map(|may| u64::from(!may)).sum())
    }

    /// Has the things that a source does not let be followed looked for again, if there were any: they are not
    /// remembered across a restart, nor is it known whether they are still followed.
    pub(super) fn find_barred_anew(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        target.forget_rights(source);
        if self.end_alarm_of_rights(target, source)? {
            self.store().heed_anew(target.number, source, Vec::new())?;
        }
        Ok(())
    }

    /// Ends all alarms raised about a source; returns whether there were any.
    pub(super) fn end_alarms_about(&self, target: &Hosted, source: &DomainName) -> Result<bool, AppError> {
        target.forget_rights(source);
        self.end_alarms(target, NOT_TAKEN, |cause| cause.source == *source)
    }

    /// Ends the alarms about entries, in a log that is held here, that concern nothing still followed in it.
    pub(super) fn end_alarms_of_unfollowed(&self, target: &Hosted, left: &Following) -> Result<(), AppError> {
        let source = self.hosted(&left.source)?;
        let sight = self.sight(&source)?;
        let causes = self.causes(target, NOT_TAKEN)?;
        let indices = causes.iter().filter_map(|cause| cause.entry_of(&left.source));
        let indices: BTreeSet<u64> = indices.filter(|index| *index < sight.seal.size).collect();
        let over = self.not_followed(target, &sight, left, &indices)?;
        let is_over = |cause: &Cause| cause.entry_of(&left.source).is_some_and(|index| over.contains(&index));
        self.end_alarms(target, NOT_TAKEN, is_over).map(drop)
    }
}

/// Whether an entry is refused because of the key that signs its log.
fn is_of_key(problem: &Problem) -> bool {
    problem.code() == Code::SourceKey.as_str()
}
