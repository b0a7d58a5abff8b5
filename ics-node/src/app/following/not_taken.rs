//! Alarms about statements of followed domains that are not taken over; each stands for as long as that is so.
//!
//! They name no thing, because they are for all to read: an entry by its index, an answer by the size of the log at which
//! the thing was told of. What it is about, the node's log says.

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
    /// Alarms of entries that are refused; the node's log says what was wrong, once as the alarms do: it is tried again and
    /// again.
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
                text.push_str(". It blocks there still: say it here yourself (`ics status`)");
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

    /// Alarms, once, that all of a source is refused because its home has another key than the domain names, until
    /// somebody does something: an alarm an entry would push all others out of sight.
    pub(in crate::app) fn alarm_of_key(
        &self,
        target: &Hosted,
        source: &DomainName,
        taken: &Taken,
    ) -> Result<(), AppError> {
        let Some(problem) = taken.result.refused.iter().find(|problem| is_of_key(problem)) else { return Ok(()) };
        let (domain, detail, hint) = (&target.name, &problem.detail, Code::SourceKey.hint().unwrap_or_default());
        let general = problem.in_general();
        let text = format!("{source}: {general}. Nothing that it says is taken over, its blocks neither: {hint}");
        if self.alarm_about(target, &Cause::new(source, What::Key), &text)? {
            tracing::warn!(%domain, %source, %detail, "nothing is taken over");
        }
        Ok(())
    }

    /// Ends the alarms about entries that were tried and are not refused, and the one about the key of the source's
    /// home where some are taken by it.
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

    /// Alarms of a thing about which what is answered is of no use, told of at so many entries: by the size it is not what
    /// was alarmed before.
    pub(in crate::app) fn alarm_of_no_use(
        &self,
        target: &Hosted,
        source: &DomainName,
        size: u64,
    ) -> Result<(), AppError> {
        let text = format!(
            "{source}: what is answered about a thing that was told of at {size} entries is of no use; the node's log \
             names it"
        );
        self.alarm_about(target, &Cause::new(source, What::Answer(size)), &text).map(drop)
    }

    /// Ends those alarms: all things are heard of.
    pub(in crate::app) fn end_alarms_of_no_use(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        let is_of_answer = |cause: &Cause| cause.source == *source && matches!(cause.what, What::Answer(_));
        self.end_alarms(target, NOT_TAKEN, is_of_answer).map(drop)
    }

    /// Alarms that what is answered about a source is of another log than the one that was seen. Nobody but an operator
    /// gives up what was seen, as with a copy: whoever has the home's key would else have it forgotten.
    pub(in crate::app) fn alarm_of_another_log(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        let text = format!(
            "{source}: what is answered is of another log than the one that this node has seen, so nothing of it is taken \
             over. If the owners of {source} say that they have begun a new epoch, `ics domain recopy {source}` gives up \
             what was seen, while the node is stopped; `ics domain forks {source}` shows both"
        );
        self.alarm_about(target, &Cause::new(source, What::Log), &text).map(drop)
    }

    /// Ends that alarm: what is answered follows from what was seen.
    pub(in crate::app) fn end_alarm_of_another_log(
        &self,
        target: &Hosted,
        source: &DomainName,
    ) -> Result<(), AppError> {
        self.end_alarms(target, NOT_TAKEN, |cause| *cause == Cause::new(source, What::Log)).map(drop)
    }

    /// Notes of which things the rules of a source let be followed, as it was looked now. For as long as there are others
    /// there is one alarm, which does not say how many: that is for all to read.
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
                "the rules of {source} do not let {domain} take over what is said of some of what it follows there: blocks \
                 of it do not arrive until they permit the actions `read` and `follow` to this node or to an owner of {domain}; where \
                 they ask for a role, that is granted to an owner's key, not to a signer's"
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

    /// The same of what begins to be followed; how many of it are not let be.
    pub(in crate::app) fn barred_of(
        &self,
        target: &Hosted,
        source: &DomainName,
        looked: &BTreeMap<IdentityId, bool>,
    ) -> Result<u64, AppError> {
        self.tell_of_rights(target, source, looked)?;
        Ok(looked.values().map(|may| u64::from(!may)).sum())
    }

    /// Has what a source does not let be followed be found anew, if there was any: nobody remembers it over a start, or knows
    /// whether it was what is no longer followed.
    pub(super) fn find_barred_anew(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        target.forget_rights(source);
        if self.end_alarm_of_rights(target, source)? {
            self.store().heed_anew(target.number, source, Vec::new())?;
        }
        Ok(())
    }

    /// Ends all that were raised about a domain; whether there were any.
    pub(super) fn end_alarms_about(&self, target: &Hosted, source: &DomainName) -> Result<bool, AppError> {
        target.forget_rights(source);
        self.end_alarms(target, NOT_TAKEN, |cause| cause.source == *source)
    }

    /// Ends those about entries, in a log that is here, which concern nothing that is still followed in it.
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

/// Whether an entry is refused for the key by which its log is signed.
fn is_of_key(problem: &Problem) -> bool {
    problem.code() == Code::SourceKey.as_str()
}
