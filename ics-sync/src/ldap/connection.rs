//! A connection to a peer over LDAP: the library that speaks on it, behind the gate, and for how long it is used.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ics_core::vocabulary::DomainName;
use ldap3::controls::RawControl;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, ResultEntry, Scope, SearchOptions, SearchStream, StdStream,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::gate::{self, Expected, Taken};
use super::read::sync_request;
use crate::http::{Meter, PeerError};
use crate::told::beginning;

/// Seconds for which a connection is used on which the peer did not recognise the key that was shown: it may know it by
/// then. After this many times that is less likely, and a new connection costs a handshake; so each is then used for
/// twice as long as the one before, up to the longest time.
const STRANGER_SECONDS: u64 = 10;
pub(super) const STRANGER_TIMES: u32 = 12;
const LONGEST_STRANGER_SECONDS: u64 = 160;
/// Seconds after which a connection that nobody has used is not used again: if the link has changed meanwhile, neither
/// end is told, and a question would wait in vain.
pub(super) const IDLE_SECONDS: u64 = 30;
/// RFC 4533, 2.2.
const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";

/// A connection, and what has ended it.
pub(super) struct Connection {
    ldap: Ldap,
    /// For how long it is used, if the peer has not recognised the key that was shown.
    pub(super) stale_after: Option<Duration>,
    began: Instant,
    /// When it last answered.
    pub(super) used: Instant,
    ended: Arc<Mutex<Option<PeerError>>>,
    taken: Arc<Taken>,
}

/// A search under way, for all attributes.
pub(super) type Search = SearchStream<'static, &'static str, Vec<&'static str>>;

impl Connection {
    /// A connection of the library to this stream, behind the gate.
    ///
    /// # Errors
    /// When the system gives no sockets.
    pub(super) fn through(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        expected: Expected,
        meter: Meter,
    ) -> Result<Self, PeerError> {
        let lost = |error: std::io::Error| PeerError::Transport(error.to_string());
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(lost)?;
        ours.set_nonblocking(true).map_err(lost)?;
        let (asked, mut told) = tokio::net::UnixStream::from_std(ours).map_err(lost)?.into_split();
        let (from, to) = tokio::io::split(stream);
        let (ended, taken) = (Arc::new(Mutex::new(None)), Arc::new(Taken::new(0)));
        let (why, counted) = (Arc::clone(&ended), Arc::clone(&taken));
        tokio::spawn(async move {
            let question = gate::Asked::default();
            // The library learns of the end only after the reason is recorded: by `told`, which is dropped after that.
            let heard = gate::pass(from, &mut told, (expected, &question, &counted), meter);
            let ended = tokio::select! {
                heard = heard => heard.err(),
                _ = gate::ask(asked, to, &question) => None,
            };
            *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended.unwrap_or(PeerError::Ended));
        });
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs));
        let now = Instant::now();
        Ok(Self { ldap: library(settings)?, stale_after: None, began: now, used: now, ended, taken })
    }

    /// Shows the key of the certificate in TLS. A peer that does not recognise it answers as to a stranger; `unknown` is
    /// how often it did not, since it last did.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn bind(&mut self, unknown: &AtomicU32) -> Result<(), PeerError> {
        let bound = self.ldap.sasl_external_bind().await.map_err(|error| self.why(&error))?;
        if bound.rc == 0 {
            unknown.store(0, Ordering::Relaxed);
        } else {
            self.stale_after = Some(stranger_time(unknown.fetch_add(1, Ordering::Relaxed)));
        }
        Ok(())
    }

    /// Whether it can be asked something else.
    pub(super) fn is_open(&self) -> bool {
        let is_idle = self.used.elapsed() > Duration::from_secs(IDLE_SECONDS);
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).is_none() && !is_idle && !self.is_stale()
    }

    /// Whether it is time to show the key again.
    pub(super) fn is_stale(&self) -> bool {
        self.stale_after.is_some_and(|time| self.began.elapsed() > time)
    }

    /// Why the library got no answer: the gate knows more than the library's error says.
    fn why(&self, error: &LdapError) -> PeerError {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ended.unwrap_or_else(|| PeerError::Transport(beginning(&error.to_string())))
    }

    /// What comes next of a search. If dropped half-way, nothing is lost.
    ///
    /// # Errors
    /// When the connection breaks, or the gate has ended it.
    pub(super) async fn next(&self, search: &mut Search) -> Result<Option<ResultEntry>, PeerError> {
        let next = search.next().await.map_err(|error| self.why(&error))?;
        self.taken.add_permits(usize::from(next.is_some()));
        Ok(next)
    }

    /// Begins a search of a domain's log; `sync` says whether it persists, and how far the consumer is.
    ///
    /// # Errors
    /// When the connection breaks, or the gate has ended it.
    pub(super) async fn search(
        &self,
        domain: &DomainName,
        scope: Scope,
        filter: &str,
        limit: usize,
        sync: Option<(bool, &str)>,
    ) -> Result<Search, PeerError> {
        let mut ldap = self.ldap.clone();
        ldap.with_search_options(SearchOptions::new().sizelimit(i32::try_from(limit).unwrap_or(i32::MAX)));
        if let Some((persist, cookie)) = sync {
            let value = sync_request(persist, cookie);
            ldap.with_controls(RawControl { ctype: SYNC_REQUEST.to_owned(), crit: true, val: Some(value) });
        }
        // The name of a domain is formed as a DNS name, so nothing needs escaping.
        let base = format!("icsDomain={domain},cn=Log");
        ldap.streaming_search(&base, scope, filter, vec!["*"]).await.map_err(|error| self.why(&error))
    }
}

/// For how long a connection is used on which the peer does not recognise the key, nor has this many times before.
pub(super) fn stranger_time(before: u32) -> Duration {
    let doubled = STRANGER_SECONDS.saturating_mul(2_u64.saturating_pow(before.saturating_sub(STRANGER_TIMES)));
    Duration::from_secs(doubled.min(LONGEST_STRANGER_SECONDS))
}

/// The library's side of a connection, driven by its own task.
fn library(settings: LdapConnSettings) -> Result<Ldap, PeerError> {
    let failed = |error: LdapError| PeerError::Transport(error.to_string());
    // The address is not used, since there is already a stream.
    let opened = futures_util::FutureExt::now_or_never(LdapConnAsync::with_settings(settings, "ldapi://peer"));
    let (driver, ldap) = opened.ok_or_else(|| PeerError::Transport("no stream".to_owned()))?.map_err(failed)?;
    tokio::spawn(driver.drive());
    Ok(ldap)
}
