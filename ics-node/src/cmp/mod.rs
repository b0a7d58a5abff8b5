//! CMP (RFC 9810, in the profile of RFC 9483) without I/O: what a message says, whether it is protected as it claims, and
//! the messages that answer.
//!
//! Who may have a certificate or take one back is not decided here: the use cases of [`crate::app`] ask the record. What
//! is here turns bytes into types that were checked, and answers into bytes. Times, nonces and keys are arguments. The
//! crates with CMP's types (cmpv2, crmf 0.2) read neither its third version nor times in templates, and number failures
//! wrongly, so the few structures that are needed stand here, in the words of `der`.

mod body;
mod general;
mod mac;
mod message;
mod reply;
mod status;
mod template;
mod transactions;

pub use self::body::{Confirmation, Enrolment, Named, Request, Revocation};
pub use self::general::{ListSource, ListsAsked, Question, Told};
pub use self::message::{Header, Message, Protection};
pub use self::reply::{Answer, Protector, Reply};
pub use self::status::{Failure, FailureInfo};
pub use self::transactions::{Party, Transactions, Waiting};
