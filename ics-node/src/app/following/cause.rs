//! What alarms about followed domains are about. The store keeps it beside the text that people read, so that an alarm
//! is found again when its cause is gone.

use core::fmt;

use ics_core::descriptor::Compromise;
use ics_core::vocabulary::DomainName;

use crate::app::hosted::Hosted;
use crate::app::{App, AppError};

/// What is not taken over.
pub(super) const NOT_TAKEN: &str = "not-taken-over";
/// Whom a source declares compromised.
pub(super) const DECLARED: &str = "compromised-at-source";

/// Why a domain is alarmed about one that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) source: DomainName,
    pub(super) what: What,
}

/// What there is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// An entry is refused.
    Entry(u64),
    /// What is answered about a thing that was told of at so many entries is of no use.
    Answer(u64),
    /// Its rules do not let something be followed.
    Rights,
    /// What is answered is of another log than the one that was seen.
    Log,
    /// Its home has another key than the domain names.
    Key,
    /// It declares a signer compromised.
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

    /// As the store keeps it.
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

    /// The entry of a source that it is about.
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
    /// Alarms a domain, in the place of what it was told about the same before; whether that says something else.
    pub(super) fn alarm_about(&self, target: &Hosted, cause: &Cause, text: &str) -> Result<bool, AppError> {
        let (now, kind, about) = (self.clock().now(), cause.what.kind(), cause.to_string());
        Ok(self.store().alarm_about(target.number, now, (kind, &about), text)?)
    }

    /// Why a domain is alarmed, of a kind of alarm.
    pub(super) fn causes(&self, target: &Hosted, kind: &str) -> Result<Vec<Cause>, AppError> {
        let kept = self.store().alarmed(target.number, kind)?;
        Ok(kept.iter().filter_map(|about| Cause::read(about)).collect())
    }

    /// Ends the alarms of a kind whose cause is over; whether there were any.
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
