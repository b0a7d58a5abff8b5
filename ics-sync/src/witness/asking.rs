//! How a home asks a witness: with the size that the witness has seen, which it learns from the answers.

use ics_core::identity::excerpt;

/// What a witness answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200: signature lines.
    Cosigned(String),
    /// 409: the size that it has seen.
    Seen(u64),
    /// Anything else, or nothing.
    Refused {
        /// The HTTP status; 0 without an answer.
        status: u16,
        /// What it says about it.
        detail: String,
    },
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has cosigned: these lines go to the checkpoint, once they are verified.
    Take(String),
    /// Ask again, from another size on.
    Again,
    /// It has not cosigned.
    Failed(Trouble),
}

/// Why a witness has not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It has seen more than this home holds: the home has lost its tail, or somebody else signs with its key.
    #[error("it has seen {seen} entries, {size} are held here: `ics restore` tells how to get back what was lost")]
    Ahead {
        /// Entries that it has seen.
        seen: u64,
        /// Entries of the checkpoint.
        size: u64,
    },
    /// It has seen another tree.
    #[error("it has seen another log with the signature of this home: {0}")]
    Fork(String),
    /// Anything else.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    /// Whether an operator must look at it: it does not pass by itself.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Fork(_))
    }
}

/// What a home knows of one witness of one domain.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// Entries that the witness is known to have seen.
    seen: u64,
    /// Whether it was asked again already for the present checkpoint.
    again: bool,
}

impl Asking {
    /// The old size of the next request.
    #[must_use]
    pub const fn old(&self) -> u64 {
        self.seen
    }

    /// Takes the answer to a request for a checkpoint of `size` entries.
    pub fn handle(&mut self, size: u64, reply: Reply) -> Step {
        let again = core::mem::take(&mut self.again);
        match reply {
            Reply::Cosigned(lines) => {
                self.seen = size;
                Step::Take(lines)
            }
            // A witness says the size that was asked with when its root is another.
            Reply::Seen(seen) if seen == self.seen && seen == size => {
                Step::Failed(Trouble::Fork(format!("another root for {size} entries")))
            }
            Reply::Seen(seen) if seen > size => Step::Failed(Trouble::Ahead { seen, size }),
            Reply::Seen(seen) if !again => {
                (self.seen, self.again) = (seen, true);
                Step::Again
            }
            Reply::Seen(seen) => {
                self.seen = seen;
                Step::Failed(Trouble::Refused(format!("it has seen {seen} entries, and had seen others a moment ago")))
            }
            Reply::Refused { status: 422, detail } => Step::Failed(Trouble::Fork(excerpt(&detail))),
            Reply::Refused { detail, .. } => Step::Failed(Trouble::Refused(excerpt(&detail))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_says_where_it_stands_and_is_asked_again_once() {
        let mut asking = Asking::default();
        assert_eq!(asking.old(), 0);
        assert_eq!(asking.handle(9, Reply::Seen(5)), Step::Again);
        assert_eq!(asking.old(), 5);
        assert!(matches!(asking.handle(9, Reply::Seen(4)), Step::Failed(Trouble::Refused(_))), "no endless talk");
        assert_eq!(asking.handle(9, Reply::Seen(5)), Step::Again);
        assert_eq!(asking.handle(9, Reply::Cosigned("lines".to_owned())), Step::Take("lines".to_owned()));
        assert_eq!(asking.old(), 9);
    }

    #[test]
    fn what_must_be_looked_at() {
        let mut asking = Asking::default();
        asking.handle(9, Reply::Cosigned(String::new()));
        for (reply, alarming) in [
            (Reply::Seen(9), true),
            (Reply::Seen(12), true),
            (Reply::Refused { status: 422, detail: "no".to_owned() }, true),
            (Reply::Refused { status: 404, detail: "no".to_owned() }, false),
            (Reply::Refused { status: 0, detail: "nobody there".to_owned() }, false),
        ] {
            let step = asking.handle(9, reply.clone());
            assert!(matches!(&step, Step::Failed(trouble) if trouble.is_alarming() == alarming), "{reply:?}: {step:?}");
        }
    }
}
