//! The causes of alarms about followed domains. The store keeps the cause beside the text for people, so that an alarm
//! is found again when its cause has gone.

use core::fmt;

use ics_core::descriptor::Compromise;
use ics_core::vocabulary::DomainName;

use crate::app::hosted::Hosted;
use crate::app::{App, AppError};

/// The kind of alarm about something that is not taken over.
pub(super) const NOT_TAKEN: &str = "not-taken-over";
/// The kind of alarm about a signer whom a source declares compromised.
pub(super) const DECLARED: &str = "compromised-at-source";

/// Why a domain has an alarm about one that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) source: DomainName,
    pub(super) what: What,
}

/// The matter itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// An entry is refused.
    Entry(u64),
    /// The answer about a thing that was reported at this size of the log is useless.
    Answer(u64),
    /// The source's rules do not let something be followed.
    Rights,
    /// Answers come from another log than the one that was seen.
    Log,
    /// The source's home has another key than the domain names.
    Key,
    /// The source declares a signer compromised.
    Compromised(Compromise),
}

impl What {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Entry(_) | Self::Answer(_) | Self::Rights | Self::Log | Self::Key => NOT_TAKEN,
            Self::Compromised(_) => DECLARED,
        }
    }
}

impl Cause {
    pub(super) fn new(source: &DomainName, what: What) -> Self {
        Self { source: source.clone(), what }
    }

    /// Parses a cause from the form in which the store keeps it.
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let (source, what) = match words.as_slice() {
            [source, "entry", index] => (source, What::Entry(index.parse().ok()?)),
            [source, "answer", size] => (source, What::Answer(size.parse().ok()?)),
            [source, "rights"] => (source, What::Rights),
            [source, "log"] => (source, What::Log),
            [source, "key"] => (source, What::Key),
            [source, "compromised", signer, from_index, domain] => {
                let (signer, from_index) = (signer.parse().ok()?, from_index.parse().ok()?);
                (source, What::Compromised(Compromise { signer, domain: domain.parse().ok()?, from_index }))
            }
            _ => return None,
        };
        Some(Self { source: source.parse().ok()?, what })
    }

    /// The entry of a source, if the cause is one.
    pub(super) fn entry_of(&self, source: &DomainName) -> Option<u64> {
        match self.what {
            What::Entry(index) if self.source == *source => Some(index),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        match &self.what {
            What::Entry(index) => write!(f, "{source} entry {index}"),
            What::Answer(size) => write!(f, "{source} answer {size}"),
            What::Rights => write!(f, "{source} rights"),
            What::Log => write!(f, "{source} log"),
            What::Key => write!(f, "{source} key"),
            What::Compromised(Compromise { signer, domain, from_index }) => {
                write!(f, "{source} compromised {signer} {from_index} {domain}")
            }
        }
    }
}

impl App {
    /// Raises an alarm in place of an earlier one with the same cause; returns whether it says something else.
    pub(super) fn alarm_about(&self, target: &Hosted, cause: &Cause, text: &str) -> Result<bool, AppError> {
        let (now, kind, about) = (self.clock().now(), cause.what.kind(), cause.to_string());
        Ok(self.store().alarm_about(target.number, now, (kind, &about), text)?)
    }

    /// The causes of a domain's alarms of a kind.
    pub(super) fn causes(&self, target: &Hosted, kind: &str) -> Result<Vec<Cause>, AppError> {
        let kept = self.store().alarmed(target.number, kind)?;
        Ok(kept.iter().filter_map(|about| Cause::read(about)).collect())
    }

    /// Ends the alarms of a kind whose causes have gone; returns whether there were any.
    pub(super) fn end_alarms(
        &self,
        target: &Hosted,
        kind: &str,
        is_over: impl Fn(&Cause) -> bool,
    ) -> Result<bool, AppError> {
        let over: Vec<String> =
            self.causes(target, kind)?.iter().filter(|cause| is_over(cause)).map(ToString::to_string).collect();
        if over.is_empty() {
            return Ok(false);
        }
        self.store().end_alarms(target.number, kind, over)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_read_as_it_was_kept() {
        let [source, domain] = ["sold.acme.example", "devices.acme.example"].map(|it| it.parse().expect("a name"));
        let signer = "0123456789abcdef0123456789abcdef01234567".parse().expect("a fingerprint");
        let compromise = Compromise { signer, domain, from_index: 16 };
        let (answer, compromised) = (What::Answer(3), What::Compromised(compromise));
        for what in [What::Entry(17), answer, What::Rights, What::Log, What::Key, compromised] {
            let cause = Cause::new(&source, what);
            assert_eq!(Cause::read(&cause.to_string()), Some(cause));
        }
        for other in ["", "sold.acme.example", "sold.acme.example entry", "sold.acme.example entry -1", "of no kind"] {
            assert_eq!(Cause::read(other), None, "{other}");
        }
    }
}
