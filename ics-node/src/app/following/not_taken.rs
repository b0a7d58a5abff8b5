//! Alarms about what followed domains say and is not taken over: each stands for as long as that is so.
//!
//! They name no thing, because they are for all to read: an entry by its index, an answer by the size of the log at which
//! the thing was told of. What it is about, the node's log says.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::identity::IdentityId;
use ics_core::vocabulary::DomainName;

use super::adopt::Taken;
use crate::api::problem::Code;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Following;

const KIND: &str = "not-taken-over";

impl App {
    /// Alarms of entries that are refused; the node's log says what was wrong, once as the alarms do: it is tried again and
    /// again.
    pub(in crate::app) fn alarm_of_refused(
        &self,
        target: &Hosted,
        source: &DomainName,
        taken: &Taken,
    ) -> Result<(), AppError> {
        for (index, problem) in taken.refused.iter().zip(&taken.result.refused) {
            let (domain, detail) = (&target.name, &problem.detail);
            let mut text = format!("entry {index} of {source}: {}", problem.in_general());
            // All that follows is refused as well, until somebody does something.
            if problem.code() == Code::SourceKey.as_str()
                && let Some(hint) = Code::SourceKey.hint()
            {
                text.push_str(&format!(". {hint}"));
            }
            if self.store().alarm_once(target.number, self.clock().now(), KIND, &text)? {
                tracing::warn!(%domain, %source, index, %detail, "an entry is not taken over");
                self.end_alarms(target, |other| other != text && entry_in(other, source) == Some(*index))?;
            }
        }
        Ok(())
    }

    /// Ends the alarms about entries that were tried and are not refused.
    pub(in crate::app) fn end_alarms_of_taken(
        &self,
        target: &Hosted,
        source: &DomainName,
        tried: &BTreeSet<u64>,
        refused: &[u64],
    ) -> Result<(), AppError> {
        let is_taken = |index: u64| tried.contains(&index) && !refused.contains(&index);
        self.end_alarms(target, |text| entry_in(text, source).is_some_and(is_taken)).map(drop)
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
        self.store().alarm_once(target.number, self.clock().now(), KIND, &text)?;
        Ok(())
    }

    /// Ends those alarms: all things are heard of.
    pub(in crate::app) fn end_alarms_of_no_use(&self, target: &Hosted, source: &DomainName) -> Result<(), AppError> {
        self.end_alarms(target, |text| is_of_no_use(text, source)).map(drop)
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
            let text = format!(
                "the rules of {source} do not let {} take over what is said of some of what it follows there: blocks of it \
                 do not arrive until they permit the action `follow`",
                target.name
            );
            if self.store().alarm_once(target.number, self.clock().now(), KIND, &text)? {
                tracing::warn!(domain = %target.name, %source, "the source's rules do not let it be followed");
            }
        } else if were_any && target.barred(source) == 0 {
            self.end_alarms(target, |text| is_of_rights(text, source))?;
        }
        Ok(())
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
        if self.end_alarms(target, |text| is_of_rights(text, source))? {
            self.store().heed_anew(target.number, source, Vec::new())?;
        }
        Ok(())
    }

    /// Ends all that were raised about a domain; whether there were any.
    pub(super) fn end_alarms_about(&self, target: &Hosted, source: &DomainName) -> Result<bool, AppError> {
        target.forget_rights(source);
        let is_about =
            |text: &str| entry_in(text, source).is_some() || is_of_no_use(text, source) || is_of_rights(text, source);
        self.end_alarms(target, is_about)
    }

    /// Ends those about entries, in a log that is here, which concern nothing that is still followed in it.
    pub(super) fn end_alarms_of_unfollowed(&self, target: &Hosted, left: &Following) -> Result<(), AppError> {
        let source = self.hosted(&left.source)?;
        let sight = self.sight(&source)?;
        let alarmed = self.store().alarmed(target.number, KIND)?;
        let indices = alarmed.iter().filter_map(|text| entry_in(text, &left.source));
        let indices: BTreeSet<u64> = indices.filter(|index| *index < sight.seal.size).collect();
        let over = self.not_followed(target, &sight, left, &indices)?;
        self.end_alarms(target, |text| entry_in(text, &left.source).is_some_and(|index| over.contains(&index)))?;
        Ok(())
    }

    /// Whether any were ended.
    fn end_alarms(&self, target: &Hosted, is_over: impl Fn(&str) -> bool) -> Result<bool, AppError> {
        let mut over = self.store().alarmed(target.number, KIND)?;
        over.retain(|text| is_over(text));
        if over.is_empty() {
            return Ok(false);
        }
        self.store().end_alarms(target.number, KIND, over)?;
        Ok(true)
    }
}

/// The entry of a source that an alarm is about.
fn entry_in(text: &str, source: &DomainName) -> Option<u64> {
    let (index, rest) = text.strip_prefix("entry ")?.split_once(" of ")?;
    let is_of_it = rest.strip_prefix(source.as_str()).is_some_and(|rest| rest.starts_with(": "));
    index.parse().ok().filter(|_| is_of_it)
}

/// Whether an alarm is about an answer that a source gives.
fn is_of_no_use(text: &str, source: &DomainName) -> bool {
    text.strip_prefix(source.as_str()).is_some_and(|rest| rest.starts_with(": "))
}

/// Whether an alarm is about what the rules of a source do not let be followed.
fn is_of_rights(text: &str, source: &DomainName) -> bool {
    let rest = text.strip_prefix("the rules of ").and_then(|rest| rest.strip_prefix(source.as_str()));
    rest.is_some_and(|rest| rest.starts_with(" do not let "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_about_an_entry_or_an_answer_of_one_source() {
        let [source, other] = ["devices.acme.example", "devices.acme"].map(|name| name.parse().expect("a name"));
        let entry = "entry 17 of devices.acme.example: the signer is unknown (`unknown-signer`)";
        assert_eq!((entry_in(entry, &source), entry_in(entry, &other)), (Some(17), None));
        let answer = "devices.acme.example: what is answered";
        assert_eq!((is_of_no_use(answer, &source), is_of_no_use(answer, &other)), (true, false));
        assert_eq!((entry_in(answer, &source), is_of_no_use(entry, &source)), (None, false));
        let rights = "the rules of devices.acme.example do not let care.acme.example take over";
        assert_eq!((is_of_rights(rights, &source), is_of_rights(rights, &other)), (true, false));
        assert!(
            entry_in(rights, &source).is_none() && !is_of_no_use(rights, &source) && !is_of_rights(answer, &source)
        );
    }
}
