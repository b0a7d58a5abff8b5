//! Who may have a certificate revoked, and for which reason (RFC 8555, 7.6).
//!
//! The protocol names three: the account that got it, the holder of its key, and an account that may have certificates
//! for everything in it. The fourth is named by the record: a signer with a role that may set the thing's status.

use ics_core::identity::Fingerprint;

use super::problem::{Kind, Problem};
use crate::x509::Reason;

/// What is known of the client that asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asker {
    /// It has signed with the certificate's own key.
    pub has_key: bool,
    /// Its account got the certificate.
    pub got_it: bool,
    /// The signer whom its account speaks for, if that signer has a role that may set the thing's status.
    pub authority: Option<Fingerprint>,
    /// The number of names in the certificate, of all kinds.
    pub names: usize,
    /// How many of them its account may have certificates for now.
    pub controlled: usize,
}

/// The right by which a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Its key signed the request.
    Key,
    /// The account got the certificate.
    Subscriber,
    /// The record names this signer.
    Authority(Fingerprint),
    /// The account may have certificates for everything in it.
    Control,
}

impl Right {
    /// The right in words, for the audit log.
    #[must_use]
    pub fn to_text(self) -> String {
        match self {
            Self::Key => "by the certificate's key".to_owned(),
            Self::Subscriber => "by the account that got it".to_owned(),
            Self::Authority(signer) => format!("on behalf of the thing by {signer}"),
            Self::Control => "by an account that may have certificates for all its names".to_owned(),
        }
    }

    /// Whether the account that got it must not get another one for its names. A key that was given up gets none
    /// anywhere, while whoever proved having it may come back with another.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Authority(_) | Self::Control)
    }
}

/// Decides whether a certificate is revoked, by which right, and for which reason.
///
/// The holder of the key proves having it, so the key counts as compromised whatever the holder says; nobody else may
/// say so. The account that got it may give the reasons that a subscriber can know. Others who control the names may
/// only say that these are now served otherwise. An authority may end or withdraw it; to suspend the thing for a while,
/// it gives the thing a status.
///
/// # Errors
/// `unauthorized` for anyone else, `badRevocationReason` for reasons that the client may not give.
pub fn decide(asker: &Asker, reason: Option<u64>) -> Result<(Right, Reason), Problem> {
    // If there are no names, nothing is controlled: that must never authorize anything.
    let controls = asker.names > 0 && asker.controlled == asker.names;
    let right = if asker.has_key {
        Right::Key
    } else if asker.got_it {
        Right::Subscriber
    } else if let Some(signer) = asker.authority {
        Right::Authority(signer)
    } else if controls {
        Right::Control
    } else {
        let names = match asker.names {
            0 => "the certificate has no names that it could prove".to_owned(),
            names => format!("may have certificates for {} of its {names} names", asker.controlled),
        };
        let detail = format!(
            "the account did not get this certificate, is not bound to a signer who may set the thing's status, and \
             {names}"
        );
        return Err(Problem::new(Kind::Unauthorized, detail));
    };
    let (allowed, given): (&[Reason], _) = match right {
        Right::Key => return Ok((right, Reason::KeyCompromise)),
        Right::Subscriber => (SUBSCRIBER, Reason::Unspecified),
        Right::Authority(_) => (AUTHORITY, Reason::PrivilegeWithdrawn),
        Right::Control => (CONTROL, Reason::CessationOfOperation),
    };
    let reason = match reason {
        None => Some(given),
        // Reason 0 (unspecified) tells nothing, so the reason that is known is used.
        Some(0) => Some(given),
        Some(code) => Reason::of_code(code).filter(|reason| allowed.contains(reason)),
    };
    reason.map(|reason| (right, reason)).ok_or_else(|| {
        let codes: Vec<String> = allowed.iter().map(|it| format!("{} ({})", it.code(), it.as_str())).collect();
        let detail = format!(
            "this account may give the reasons {}; to report a compromised key, sign the request with that key, and to \
             suspend a thing, set its status",
            codes.join(", ")
        );
        Problem::new(Kind::BadRevocationReason, detail)
    })
}

const SUBSCRIBER: &[Reason] =
    &[Reason::Unspecified, Reason::AffiliationChanged, Reason::Superseded, Reason::CessationOfOperation];
const AUTHORITY: &[Reason] = &[Reason::CessationOfOperation, Reason::PrivilegeWithdrawn];
const CONTROL: &[Reason] = &[Reason::CessationOfOperation];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decided(asker: Asker, reason: Option<u64>) -> Result<(Right, u64), Kind> {
        decide(&asker, reason).map(|(right, reason)| (right, u64::from(reason.code()))).map_err(|error| error.kind)
    }

    fn signer() -> Fingerprint {
        "ab".repeat(20).parse().expect("a fingerprint")
    }

    #[test]
    fn the_key_is_compromised_whoever_shows_it() {
        let asker = Asker { has_key: true, ..Asker::default() };
        for reason in [None, Some(0), Some(1), Some(4), Some(99)] {
            assert_eq!(decided(asker, reason), Ok((Right::Key, 1)));
        }
    }

    #[test]
    fn each_gives_the_reasons_that_are_his() {
        let subscriber = Asker { got_it: true, names: 1, ..Asker::default() };
        let authority = Asker { authority: Some(signer()), names: 1, ..Asker::default() };
        let control = Asker { names: 2, controlled: 2, ..Asker::default() };
        for (asker, right, allowed, unsaid) in [
            (subscriber, Right::Subscriber, &[0, 3, 4, 5][..], 0),
            (authority, Right::Authority(signer()), &[5, 9], 9),
            (control, Right::Control, &[5], 5),
        ] {
            for code in 1..=12 {
                let expected = if allowed.contains(&code) { Ok((right, code)) } else { Err(Kind::BadRevocationReason) };
                assert_eq!(decided(asker, Some(code)), expected, "{right:?} {code}");
            }
            assert_eq!(decided(asker, None), Ok((right, unsaid)));
            assert_eq!(decided(asker, Some(0)), Ok((right, unsaid)));
        }
    }

    #[test]
    fn a_certificate_without_names_is_nobodys() {
        assert_eq!(decided(Asker::default(), None), Err(Kind::Unauthorized));
        let told = decide(&Asker::default(), None).expect_err("nobody's").detail;
        assert!(told.ends_with("the certificate has no names that it could prove"), "{told}");
        assert_eq!(decided(Asker { names: 2, controlled: 1, ..Asker::default() }, None), Err(Kind::Unauthorized));
    }

    proptest! {
        /// Nobody but the four can revoke, and only a client that has proven the key can call it compromised.
        #[test]
        fn nobody_else_revokes(
            has_key: bool, got_it: bool, is_authority: bool, names in 0..4_usize, controlled in 0..4_usize,
            reason in prop::option::of(0..12_u64),
        ) {
            let controlled = controlled.min(names);
            let asker = Asker { has_key, got_it, authority: is_authority.then(signer), names, controlled };
            let may = has_key || got_it || is_authority || (names > 0 && controlled == names);
            match decide(&asker, reason) {
                Ok((_, reason)) => {
                    prop_assert!(may);
                    prop_assert!(reason != Reason::KeyCompromise || has_key);
                }
                Err(error) => prop_assert_eq!(error.kind == Kind::Unauthorized, !may),
            }
        }
    }
}
