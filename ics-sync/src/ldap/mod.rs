//! A peer over LDAP: asks its directory for the log below `cn=Log`, kept in step by RFC 4533, bounds the answers and
//! believes nothing. It returns the same as [`crate::http`], so a mirror cannot tell the two apart.

mod connection;
mod gate;
mod read;
mod refusal;

use core::pin::pin;
use core::sync::atomic::AtomicU32;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ics_core::identity::excerpt;
use ics_core::limits;
use ics_core::vocabulary::DomainName;
use ldap3::{LdapResult, Scope};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use self::connection::{Connection, Search};
use self::gate::Expected;
pub use self::gate::passes;
use self::read::{Gathered, attributes};
use crate::http::{ANSWER_SECONDS, CONNECT_SECONDS, Meter, PeerError, SILENCE_SECONDS, too_slow};
use crate::news::News;
use crate::told::beginning;
use crate::wire::{Again, Descriptors, PAGE_JSON_BYTES, Page, Shown, WireError};

/// RFC 4533, 2.6.
const REFRESH_REQUIRED: u32 = 4096;
/// RFC 4511, 4.1.9.
const SIZE_LIMIT_EXCEEDED: u32 = 4;
/// Every readable entry, with all its attributes.
const ALL: &str = "(objectClass=*)";

/// A node at an address that an operator has configured.
#[derive(Clone)]
pub struct LdapPeer {
    host: String,
    port: u16,
    /// `None` for an address without TLS.
    tls: Option<Arc<ClientConfig>>,
    meter: Meter,
    /// A connection that waits for its next question.
    waiting: Arc<Mutex<Option<Connection>>>,
    /// How often the peer did not recognise the key that was shown, since it last did.
    unknown: Arc<AtomicU32>,
    /// The origins of the logs that the peer claims to have, which cookies name.
    origins: Arc<Mutex<BTreeMap<DomainName, String>>>,
}

impl core::fmt::Debug for LdapPeer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LdapPeer").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl LdapPeer {
    /// A peer at an LDAP address: `ldap://` without TLS, or `ldaps://` with TLS from the first byte on.
    ///
    /// # Errors
    /// When it is any other address.
    pub fn new(url: &str, tls: ClientConfig) -> Result<Self, PeerError> {
        let address = || PeerError::LdapAddress(excerpt(url));
        let parsed = Url::parse(url).map_err(|_| address())?;
        let (tls, port) = match parsed.scheme() {
            "ldap" => (None, 389),
            "ldaps" => (Some(Arc::new(tls)), 636),
            _ => return Err(address()),
        };
        let is_bare = matches!(parsed.path(), "" | "/") && parsed.query().is_none() && parsed.username().is_empty();
        let host = parsed.host_str().filter(|host| is_bare && !host.is_empty()).ok_or_else(address)?;
        // Only in a URL is an IPv6 address in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = parsed.port().unwrap_or(port);
        let (waiting, unknown, origins) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { host, port, tls, meter: Meter::default(), waiting, unknown, origins })
    }

    /// The same peer, limited to this many bytes per second over everything that is derived from it.
    #[must_use]
    pub fn with_budget(mut self, bytes_per_second: u64) -> Self {
        self.meter.limit(bytes_per_second);
        self
    }

    /// The same peer with a separate count of bytes and separate connections, on each of which the key is shown.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        let (waiting, unknown) = (Arc::default(), Arc::default());
        Self { meter: self.meter.apart(), waiting, unknown, ..self.clone() }
    }

    /// Bytes received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.meter.received()
    }

    /// The newest checkpoint of a domain that the peer holds, a signed note.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn checkpoint(&self, domain: &DomainName) -> Result<String, PeerError> {
        let own = self.own(domain).await?;
        own.checkpoint.filter(|note| note.len() <= limits::NOTE_BYTES).ok_or(PeerError::Malformed("no checkpoint"))
    }

    /// The descriptors of a domain from a version on.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn descriptors(&self, domain: &DomainName, from: u64) -> Result<Descriptors, PeerError> {
        let filter = format!("(icsDescriptorVersion>={from})");
        let entries = self.ask(domain, Scope::OneLevel, &filter, limits::FEED_ENTRIES, None).await?;
        let mut descriptors = Descriptors { from, entries: Vec::new() };
        for (version, mut entry) in (from..).zip(entries) {
            if entry.number("icsDescriptorVersion")? != Some(version) {
                return Err(PeerError::Malformed("the descriptors are not in order"));
            }
            descriptors.entries.push(entry.entry()?);
        }
        Ok(descriptors.checked()?)
    }

    /// Entries of a domain: up to `limit` from index `from` on, proven up to size `until`.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn page(&self, domain: &DomainName, from: u64, limit: usize, until: u64) -> Result<Page, PeerError> {
        let cookie = format!("ics {} {from} {until}", self.origin(domain).await?);
        let limit = self.meter.entries(limit);
        let entries = self.ask(domain, Scope::Subtree, ALL, limit, Some(&cookie)).await;
        let entries = entries.inspect_err(|error| self.forget(domain, error))?;
        let mut gathered = Gathered::behind(from);
        let mut own = None;
        for entry in entries {
            if own.is_some() {
                return Err(PeerError::Malformed("something follows the log's own entry"));
            }
            own = gathered.take(entry)?;
        }
        gathered.page(own.ok_or(PeerError::Malformed("the log's own entry is missing"))?)
    }

    /// The hidden entries that are shown now, and which of the held ones no longer are.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds.
    pub async fn again(&self, domain: &DomainName, again: &Again) -> Result<Shown, PeerError> {
        let question = serde_json::to_string(again).map_err(|error| WireError::Json(error.to_string()))?;
        let origin = self.origin(domain).await?;
        let until = again.until.map_or_else(String::new, |until| format!("{until} "));
        let mut entries = self.ask_again(domain, &format!("{origin} {until}{question}")).await;
        if again.until.is_some() && entries.as_ref().is_err_and(is_other_log) {
            // A node that does not know the number before the JSON takes this for the cookie of another log.
            entries = self.ask_again(domain, &format!("{origin} {question}")).await;
        }
        let entries = entries.inspect_err(|error| self.forget(domain, error))?;
        read::shown(entries, &again.hidden)
    }

    async fn ask_again(&self, domain: &DomainName, question: &str) -> Result<Vec<read::Attributes>, PeerError> {
        self.ask(domain, Scope::Subtree, ALL, 0, Some(&format!("again {question}"))).await
    }

    /// What the peer reports about a domain, to a reader who holds `from` entries of it.
    ///
    /// # Errors
    /// When the peer cannot be asked.
    pub async fn stream(&self, domain: &DomainName, from: u64) -> Result<LdapNews, PeerError> {
        let cookie = format!("ics {} {from}", self.origin(domain).await?);
        let connection = self.connect().await?;
        let search = connection.search(domain, Scope::Subtree, ALL, 0, Some((true, &cookie))).await?;
        let (meter, silence) = (self.meter.clone(), Duration::from_secs(SILENCE_SECONDS));
        Ok(LdapNews { domain: domain.clone(), connection, search, gathered: Gathered::behind(from), meter, silence })
    }

    /// The origin of the log that the peer claims to have: the name of the domain and the hash of its entry 0.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn origin(&self, domain: &DomainName) -> Result<String, PeerError> {
        let known = self.origins.lock().unwrap_or_else(PoisonError::into_inner).get(domain).cloned();
        match known {
            Some(origin) => Ok(origin),
            None => Ok(self.own(domain).await?.origin),
        }
    }

    /// Forgets the origin of a log: after e-syncRefreshRequired the log is another than assumed.
    fn forget(&self, domain: &DomainName, error: &PeerError) {
        if is_other_log(error) {
            self.origins.lock().unwrap_or_else(PoisonError::into_inner).remove(domain);
        }
    }

    /// The log's own entry.
    async fn own(&self, domain: &DomainName) -> Result<read::Own, PeerError> {
        let mut entries = self.ask(domain, Scope::Base, ALL, 0, None).await?;
        let entry = entries.pop().filter(|_| entries.is_empty());
        let own = Gathered::behind(0).take(entry.ok_or(PeerError::Malformed("the log is not one entry"))?)?;
        let own = own.ok_or(PeerError::Malformed("the log has no origin"))?;
        let origin = own.origin.clone();
        self.origins.lock().unwrap_or_else(PoisonError::into_inner).insert(domain.clone(), origin);
        Ok(own)
    }

    /// One whole search, over the waiting connection or a new one, which then waits again if all went well.
    async fn ask(
        &self,
        domain: &DomainName,
        scope: Scope,
        filter: &str,
        limit: usize,
        cookie: Option<&str>,
    ) -> Result<Vec<read::Attributes>, PeerError> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let asking = async {
            let connection = match waiting.filter(Connection::is_open) {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let mut search = connection.search(domain, scope, filter, limit, cookie.map(|it| (false, it))).await?;
            let (mut entries, mut bytes, before) = (Vec::new(), 0, self.meter.received());
            let mut began = None;
            loop {
                let next = self.in_time(connection.next(&mut search), began, before).await?;
                let Some(entry) = next? else { break };
                began = began.or_else(|| Some(Instant::now()));
                let Some(entry) = attributes(entry.0)? else { continue };
                bytes += entry.bytes();
                entries.push(entry);
                if bytes > PAGE_JSON_BYTES {
                    return Err(WireError::TooLong(PAGE_JSON_BYTES).into());
                }
                if entries.len() > limits::FEED_ENTRIES + 1 {
                    return Err(PeerError::Malformed("there are more entries than were asked for"));
                }
            }
            let result = search.finish().await;
            Ok((connection, entries, result))
        };
        let too_late = |_| PeerError::Transport("no answer in time".to_owned());
        let (mut connection, entries, result) =
            timeout(Duration::from_secs(ANSWER_SECONDS), asking).await.map_err(too_late)??;
        // A directory that stops at its limit has given a short answer; whoever needs more asks from there on.
        let is_short = result.rc == SIZE_LIMIT_EXCEEDED && !entries.is_empty();
        if result.rc != 0 && !is_short {
            return Err(refused(&result, domain));
        }
        connection.used = Instant::now();
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(entries)
    }

    /// What comes next of an answer that began to arrive at `began`, unless its bytes come one by one; `before` is how
    /// many had been received by then.
    async fn in_time<T>(
        &self,
        next: impl Future<Output = T>,
        began: Option<Instant>,
        before: u64,
    ) -> Result<T, PeerError> {
        let Some(began) = began else {
            let mut seen = before;
            return first(next, Duration::from_secs(SILENCE_SECONDS), || self.meter.is_sending(&mut seen)).await;
        };
        let left = || {
            let came = self.meter.received().saturating_sub(before);
            self.meter.time_for(came).saturating_sub(began.elapsed())
        };
        let mut next = pin!(next);
        loop {
            match timeout(left(), &mut next).await {
                Ok(next) => return Ok(next),
                // A part of it may have come meanwhile.
                Err(_) if left().is_zero() => return Err(too_slow()),
                Err(_) => {}
            }
        }
    }

    async fn connect(&self) -> Result<Connection, PeerError> {
        let lost = |error: std::io::Error| PeerError::Transport(error.to_string());
        let connecting = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            let meter = self.meter.clone();
            let Some(tls) = &self.tls else { return Connection::through(stream, Expected::Searches, meter) };
            let name = ServerName::try_from(self.host.clone());
            let name = name.map_err(|_| PeerError::LdapAddress(excerpt(&self.host)))?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(lost)?;
            let mut connection = Connection::through(stream, Expected::Bind, meter)?;
            connection.bind(&self.unknown).await?;
            Ok(connection)
        };
        let too_late = |_| PeerError::Transport("no connection in time".to_owned());
        timeout(Duration::from_secs(CONNECT_SECONDS), connecting).await.map_err(too_late)?
    }
}

/// The first message of an answer, or the next of what is pushed, unless the peer is silent for that long.
async fn first<T>(
    next: impl Future<Output = T>,
    silence: Duration,
    mut is_sending: impl FnMut() -> bool,
) -> Result<T, PeerError> {
    let mut next = pin!(next);
    loop {
        match timeout(silence, &mut next).await {
            Ok(next) => return Ok(next),
            Err(_) if is_sending() => {}
            Err(_) => return Err(PeerError::Transport("the peer is silent".to_owned())),
        }
    }
}

/// Whether a peer has another log than the cookie says, or cannot read the cookie.
const fn is_other_log(error: &PeerError) -> bool {
    matches!(error, PeerError::Refused { code: REFRESH_REQUIRED, .. })
}

/// The error for a result other than success.
fn refused(result: &LdapResult, domain: &DomainName) -> PeerError {
    PeerError::Refused { code: result.rc, detail: refusal::told(result.rc, &beginning(&result.text), domain) }
}

/// News of a domain, as a peer reports it.
pub struct LdapNews {
    domain: DomainName,
    connection: Connection,
    search: Search,
    gathered: Gathered,
    meter: Meter,
    /// How long nothing may come.
    silence: Duration,
}

impl core::fmt::Debug for LdapNews {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LdapNews").field("gathered", &self.gathered).finish_non_exhaustive()
    }
}

impl LdapNews {
    /// Whether it is time to show the key again, on another connection.
    pub(crate) fn is_stale(&self) -> bool {
        self.connection.is_stale()
    }

    /// The next piece of news. If dropped half-way, nothing is lost: whoever waits decides for how long, also for a
    /// message that comes byte by byte.
    ///
    /// # Errors
    /// When the search ends, the connection breaks or is silent for several heartbeats, or the message is not
    /// understood. The stream is then unusable.
    pub async fn next(&mut self) -> Result<News, PeerError> {
        loop {
            let mut seen = self.meter.received();
            let next = self.connection.next(&mut self.search);
            let next = first(next, self.silence, || self.meter.is_sending(&mut seen)).await?;
            let Some(entry) = next? else {
                let result = self.search.finish().await;
                return Err(if result.rc == 0 { PeerError::Ended } else { refused(&result, &self.domain) });
            };
            let Some(entry) = attributes(entry.0)? else { continue };
            if let Some(own) = self.gathered.take(entry)? {
                return self.gathered.news(own);
            }
        }
    }
}

#[cfg(test)]
mod tests;
