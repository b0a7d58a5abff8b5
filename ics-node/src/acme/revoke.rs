//! Who may have a certificate revoked, and for which reason (RFC 8555, 7.6).
//!
//! The protocol names three: the account that got it, the holder of its key, and an account that may have certificates for
//! everything that stands in it. The fourth is whom the record names: a signer with a role that sets the thing's status.

use ics_core::identity::Fingerprint;

use super::problem::{Kind, Problem};
use crate::x509::Reason;

/// What is known of whoever asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asker {
    /// He has signed with the certificate's own key.
    pub has_key: bool,
    /// His account got the certificate.
    pub got_it: bool,
    /// The signer for whom his account speaks, if he has a role that sets the thing's status.
    pub authority: Option<Fingerprint>,
    /// Names in the certificate, of all kinds.
    pub names: usize,
    /// Those of them for which his account may have certificates now.
    pub controlled: usize,
}

/// By what right a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// By its key.
    Key,
    /// By the account that got it.
    Subscriber,
    /// By whom the record names.
    Authority(Fingerprint),
    /// By an account that may have certificates for everything in it.
    Control,
}

impl Right {
    /// What the audit says of it.
    #[must_use]
    pub fn to_text(self) -> String {
        match self {
            Self::Key => "by the certificate's key".to_owned(),
            Self::Subscriber => "by the account that got it".to_owned(),
            Self::Authority(signer) => format!("on behalf of the thing by {signer}"),
            Self::Control => "by an account that may have certificates for all its names".to_owned(),
        }
    }

    /// Whether the account that got it must get no other one for its names. A key that was given up gets none anywhere,
    /// and whoever showed it may come back with another.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Authority(_) | Self::Control)
    }
}

/// Decides whether a certificate is revoked, by what right, and for what reason.
///
/// The holder of the key shows that he has it, so it counts as compromised whatever he says; nobody else may say so. An
/// account that got it says what a subscriber can know. Whoever else controls the names may only say that they are served
/// otherwise. An authority may end or withdraw; to suspend the thing for a while is to give it a status.
///
/// # Errors
/// `unauthorized` for everybody else, `badRevocationReason` for reasons that are not his to give.
pub fn decide(asker: &Asker, reason: Option<u64>) -> Result<(Right, Reason), Problem> {
    // Without any name there is nothing to control: that must never authorise.
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
        // Who says nothing lets us say what we know.
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
        /// Nobody but the four revokes, and only who has shown the key calls it compromised.
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
