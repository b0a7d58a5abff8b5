//! Tries with the registrar's secret. Anybody may ask for thousands of rounds of a MAC, so each client has only a
//! limited number of tries that fail.

use ics_core::limits;

use crate::app::{App, Asker};
use crate::cmp::{Failure, FailureInfo, Message, Protection};
use crate::shares::Shares;

/// Each client's budget of tries, which nothing else uses up: others at the same address may ask for much that a
/// registrar there does not pay for.
pub(in crate::app) struct Tries(Shares);

impl Default for Tries {
    fn default() -> Self {
        Self(Shares::of_askers(limits::CMP_WRONG_SECRETS, limits::CMP_WRONG_SECRETS_AT_ONCE))
    }
}

impl App {
    /// How a message proves its origin. A try that succeeds is given back; but while there are none left, because of
    /// others at the same address, even the right secret is not tried.
    pub(super) fn cmp_protection(&self, asker: Asker, message: &Message<'_>) -> Result<Protection, Failure> {
        let secret = self.0.operator_token.as_ref().map(|token| token.as_bytes());
        let Tries(shares) = &self.0.cmp_tries;
        if secret.is_some() && message.is_by_secret() && asker.take_share(shares).is_err() {
            let text = "too many messages with a wrong secret have come from there lately: try again in a minute";
            return Err(Failure::new(FailureInfo::SystemUnavail, text));
        }
        let protection = message.protection(secret);
        if matches!(protection, Ok(Protection::Secret)) && asker != Asker::Own {
            shares.give_back(asker);
        }
        protection
    }
}
