//! How often each applicant may ask over EST, as CMP and ACME bound it too: whoever has stolen one key would otherwise
//! fill the record of its thing in a moment, and the log with it.

use ics_core::limits;
use ics_core::vocabulary::DomainName;

use crate::app::x509::certify::{CertifyError, Requester};
use crate::app::{App, AppError};
use crate::shares::Shares;

/// In how many milliseconds as many requests are earned as may come at once.
const EARNED_MILLIS: u64 = 600_000;
/// How many things, and signers whom the descriptor does not name, have a budget of their own. It takes many that renew
/// at the same time until others that share one with them notice.
const SLOTS: usize = 65_536;
/// The same of signers whom the descriptor names.
const SLOTS_OF_NAMED: usize = 1024;

/// The applicants' budgets.
pub(in crate::app) struct Asking {
    of_one: Shares,
    /// Of signers whom the descriptor names: they ask on behalf of many things.
    of_named: Shares,
}

impl Default for Asking {
    fn default() -> Self {
        let of = |slots, most: u32| Shares::new(slots, most, EARNED_MILLIS / u64::from(most.max(1)));
        Self {
            of_one: of(SLOTS, limits::EST_REQUESTS_OF_ONE),
            of_named: of(SLOTS_OF_NAMED, limits::EST_REQUESTS_OF_NAMED),
        }
    }
}

impl App {
    /// Takes a request from the budget of whoever asks, before anything is looked up for it: what is refused counts as
    /// well. The registrar has none.
    pub(super) fn est_may_ask(&self, domain: &DomainName, requester: Requester) -> Result<(), CertifyError> {
        let Asking { of_one, of_named } = &self.0.est_asking;
        let (shares, who) = match requester {
            Requester::Operator => return Ok(()),
            Requester::Identity(id) => (of_one, id.to_string()),
            Requester::Signer(signer) if self.is_named_signer(domain, &signer)? => (of_named, signer.to_string()),
            Requester::Signer(signer) => (of_one, signer.to_string()),
        };
        shares.take((domain.as_str(), who)).map_err(|seconds| {
            let detail = format!("you have asked too often over EST; there is room again in {seconds} s");
            AppError::too_often(detail, seconds).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While they ask, they earn another request now and then.
    #[test]
    fn each_may_ask_as_often_as_the_limits_say() {
        let Asking { of_one, of_named } = Asking::default();
        for (shares, most) in [(of_one, limits::EST_REQUESTS_OF_ONE), (of_named, limits::EST_REQUESTS_OF_NAMED)] {
            let refused = (0..2 * most).find(|_| shares.take("one").is_err());
            assert!(refused.is_some_and(|taken| taken >= most), "{refused:?} of {most}");
        }
    }
}
