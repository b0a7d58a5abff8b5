//! CMP (RFC 9810, as profiled by RFC 9483) without I/O: what a message says, whether it is protected as it claims, and
//! the messages that answer it.
//!
//! Who may get or revoke a certificate is not decided here: the use cases of [`crate::app`] ask the record. This module
//! turns bytes into checked types, and answers into bytes. Times, nonces and keys are arguments. The crates with CMP's
//! types (cmpv2, crmf 0.2) can read neither its version 3 nor times in templates, and number failures wrongly, so the
//! few structures needed are defined here with `der`.

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
