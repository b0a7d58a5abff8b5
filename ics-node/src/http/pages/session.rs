//! The operator's sessions: few, short, in memory only, and stored by the digests of their secrets.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::app::{AppError, random};
use crate::locked::Locked as _;

/// Sessions that can be open at once; opening another ends the oldest.
const SESSIONS: usize = 16;
/// How long a session lasts, used or not.
pub(super) const LASTS: Duration = Duration::from_secs(8 * 3600);
/// How long a session lasts unused.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Random bytes of a session's secret.
const SECRET_BYTES: usize = 32;

/// The sessions of a node; they end with it.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

struct Session {
    digest: [u8; 32],
    /// A token in the forms of its pages, which pages of other origins do not know.
    form: String,
    opened: Instant,
    used: Instant,
}

impl Session {
    fn lives(&self, now: Instant) -> bool {
        now.duration_since(self.opened) < LASTS && now.duration_since(self.used) < IDLE
    }
}

impl Sessions {
    /// Opens a session; its secret goes into the cookie and is kept nowhere else.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn open(&self, now: Instant) -> Result<Zeroizing<String>, AppError> {
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&random::<SECRET_BYTES>()?));
        let form = BASE64URL_NOPAD.encode(&random::<SECRET_BYTES>()?);
        let mut sessions = self.0.locked();
        sessions.retain(|session| session.lives(now));
        if sessions.len() >= SESSIONS {
            sessions.remove(0);
        }
        sessions.push(Session { digest: digest(&secret), form, opened: now, used: now });
        Ok(secret)
    }

    /// The form token of a session, if it is open.
    pub(super) fn form(&self, secret: &str, now: Instant) -> Option<String> {
        let digest = digest(secret);
        let mut sessions = self.0.locked();
        sessions.retain(|session| session.lives(now));
        let mut found = None;
        for session in sessions.iter_mut().filter(|session| session.digest.ct_eq(&digest).into()) {
            session.used = now;
            found = Some(session.form.clone());
        }
        found
    }

    /// Closes a session.
    pub(super) fn close(&self, secret: &str) {
        let digest = digest(secret);
        let mut sessions = self.0.locked();
        sessions.retain(|session| !bool::from(session.digest.ct_eq(&digest)));
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_closed_unused_or_old() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let secret = sessions.open(start).expect("randomness");
        let form = sessions.form(&secret, start).expect("open");
        assert_ne!(form, *secret);
        assert_eq!(sessions.form("guessed", start), None);
        assert_eq!(sessions.form(&secret, start + IDLE), None);
        let secret = sessions.open(start).expect("randomness");
        let mut now = start;
        while now < start + LASTS - IDLE {
            now += IDLE / 2;
            assert!(sessions.form(&secret, now).is_some());
        }
        assert_eq!(sessions.form(&secret, start + LASTS), None);
        let secret = sessions.open(start).expect("randomness");
        sessions.close(&secret);
        assert_eq!(sessions.form(&secret, start), None);
    }

    #[test]
    fn one_too_many_ends_the_oldest() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let open: Vec<_> = (0..=SESSIONS).map(|_| sessions.open(now).expect("randomness")).collect();
        let lives: Vec<bool> = open.iter().map(|secret| sessions.form(secret, now).is_some()).collect();
        assert_eq!(lives.iter().filter(|lives| **lives).count(), SESSIONS);
        assert!(!lives[0]);
    }
}
