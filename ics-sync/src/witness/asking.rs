//! How a home asks a witness: with the size that the witness has seen, which it learns from the answers.

use crate::told::beginning;

/// What a witness answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200: signature lines.
    Cosigned(String),
    /// 409: the size that it has seen.
    Seen(u64),
    /// Any other answer, or none.
    Refused {
        /// The HTTP status; 0 without an answer.
        status: u16,
        /// What the witness says about it.
        detail: String,
    },
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has cosigned: these lines are added to the checkpoint once they are verified.
    Take(String),
    /// Ask again, from another size.
    Again,
    /// It has not cosigned.
    Failed(Trouble),
}

/// Why a witness has not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It has seen more than this home holds: the home has lost its tail, or somebody else signs with its key.
    #[error(
        "it has seen {seen} entries, but only {size} are held here: `ics restore` tells how to get back what was lost"
    )]
    Ahead {
        /// Entries that it has seen.
        seen: u64,
        /// Entries of the checkpoint.
        size: u64,
    },
    /// It has seen another tree.
    #[error(
        "it has seen another log with the signature of this home, which is a fork, and will never cosign this one: \
         {0}. If this home was restored from a copy, `ics restore` gets back what is missing, and if nobody has that, \
         `ics restore --begin-anew` begins a new epoch; otherwise somebody else signs with the home's key, and a new \
         epoch takes a new key"
    )]
    Fork(String),
    /// Anything else.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    /// Whether an operator must look at it, because it does not resolve itself.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Fork(_))
    }
}

/// What a home knows about one witness of one domain.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// Entries that the witness is known to have seen.
    seen: u64,
    /// Whether the witness was already asked again for the current checkpoint.
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
            // A witness answers with the size that was sent if its root for that size is another.
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
                Step::Failed(Trouble::Refused(format!("it has seen {seen} entries, but another number a moment ago")))
            }
            Reply::Refused { status: 422, detail } => Step::Failed(Trouble::Fork(beginning(&detail))),
            Reply::Refused { detail, .. } => Step::Failed(Trouble::Refused(beginning(&detail))),
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

    /// A witness states its refusals in whole sentences.
    #[test]
    fn a_long_answer_is_not_cut_within_a_word() {
        let words = "this node is a witness of other logs and not of this one ";
        let step = Asking::default().handle(9, Reply::Refused { status: 404, detail: words.repeat(9) });
        let Step::Failed(trouble) = step else { panic!("{step:?}") };
        let told = trouble.to_string();
        assert!(told.len() > 200 && told.ends_with('…'), "{told}");
        let last = told.trim_end_matches('…').rsplit(' ').next().unwrap_or_default();
        assert!(words.split(' ').any(|word| word == last), "{told}");
    }

    #[test]
    fn a_fork_says_what_to_do() {
        let mut asking = Asking::default();
        asking.handle(9, Reply::Cosigned(String::new()));
        let step = asking.handle(9, Reply::Seen(9));
        assert!(matches!(&step, Step::Failed(fork) if fork.to_string().contains("--begin-anew")), "{step:?}");
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
