//! Ends operations that their client cancels (RFC 3909).

use ldap3_proto::proto::LdapResultCode;

use super::super::ber;
use super::super::message::{self, Failure};
use super::{Abandoned, Session, Waiting};

impl Session {
    /// Ends the operation with the id `target` for the request `id`, if it can be ended, and answers both.
    pub(super) fn cancel(&mut self, id: i32, target: i32) {
        let result = if let Some(running) = self.running.as_mut().filter(|running| running.id == target) {
            if running.answer == message::SEARCH_DONE && running.abandoned.is_none() {
                running.abandoned = Some(Abandoned::Cancelled(id));
                return;
            }
            Err(Failure::new(LdapResultCode::CannotCancel, ""))
        } else if let Some(at) = self.waiting.iter().position(|waiting| waiting.id == target) {
            match self.waiting.get(at).and_then(Waiting::cancellable) {
                Some(answer) => {
                    self.waiting.remove(at);
                    self.answer(target, answer, &Err(Failure::new(LdapResultCode::Canceled, "")));
                    Ok(LdapResultCode::Success)
                }
                None => Err(Failure::new(LdapResultCode::CannotCancel, "")),
            }
        } else if self.forget_persisting(target) {
            self.answer(target, message::SEARCH_DONE, &Err(Failure::new(LdapResultCode::Canceled, "")));
            Ok(LdapResultCode::Success)
        } else {
            Err(Failure::new(LdapResultCode::NoSuchOperation, ""))
        };
        self.answer(id, message::EXTENDED + 1, &result);
    }
}

/// The id of the operation that a request to cancel names.
pub(super) fn cancel_target(value: Option<&[u8]>) -> Result<i32, Failure> {
    let target = value.and_then(|value| {
        let (head, inside, rest) = ber::split(value).ok()?;
        let (id, octets, end) = ber::split(inside).ok()?;
        let formed = head.tag == ber::SEQUENCE && id.tag == ber::INTEGER && rest.is_empty() && end.is_empty();
        let number = octets.iter().fold(0_i64, |number, octet| number << 8 | i64::from(*octet));
        i32::try_from(number).ok().filter(|_| formed && (1..=4).contains(&octets.len()))
    });
    target.ok_or_else(|| Failure::new(LdapResultCode::ProtocolError, "the value is no request to cancel"))
}
