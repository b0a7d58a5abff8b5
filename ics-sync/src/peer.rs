//! A peer, by whatever transport: the same questions get the same answers.

use ics_core::vocabulary::DomainName;
use tokio_rustls::rustls::ClientConfig;

use crate::http::{EventStream, HttpPeer, PeerError, client_builder};
use crate::ldap::{LdapNews, LdapPeer};
use crate::news::News;
use crate::wire::{Again, Descriptors, Page, Shown};

/// A node at an address that an operator has configured.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Over HTTP.
    Http(HttpPeer),
    /// Over LDAP.
    Ldap(LdapPeer),
}

/// News of a domain, as a peer pushes it.
#[derive(Debug)]
pub(crate) enum Stream {
    Http(Box<EventStream<News>>),
    Ldap(Box<LdapNews>),
}

impl From<HttpPeer> for Peer {
    fn from(peer: HttpPeer) -> Self {
        Self::Http(peer)
    }
}

impl From<LdapPeer> for Peer {
    fn from(peer: LdapPeer) -> Self {
        Self::Ldap(peer)
    }
}

impl Peer {
    /// A peer at an address, over HTTP or LDAP depending on its scheme.
    ///
    /// # Errors
    /// When it is an address of neither, or no client can be made.
    pub fn new(url: &str, tls: ClientConfig) -> Result<Self, PeerError> {
        if url.starts_with("ldap") {
            return LdapPeer::new(url, tls).map(Self::Ldap);
        }
        let client = client_builder(url).tls_backend_preconfigured(tls).build();
        let client = client.map_err(|error| PeerError::Transport(format!("no client for peers: {error}")))?;
        HttpPeer::new(url, client).map(Self::Http)
    }

    /// The same peer, limited to this many bytes per second over everything that is derived from it.
    #[must_use]
    pub fn with_budget(self, bytes_per_second: u64) -> Self {
        match self {
            Self::Http(peer) => peer.with_budget(bytes_per_second).into(),
            Self::Ldap(peer) => peer.with_budget(bytes_per_second).into(),
        }
    }

    /// The same peer with a separate count of bytes.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        match self {
            Self::Http(peer) => peer.counted_apart().into(),
            Self::Ldap(peer) => peer.counted_apart().into(),
        }
    }

    /// Bytes of answers received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        match self {
            Self::Http(peer) => peer.received(),
            Self::Ldap(peer) => peer.received(),
        }
    }

    /// The newest checkpoint of a domain that the peer holds, a signed note.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn checkpoint(&self, domain: &DomainName) -> Result<String, PeerError> {
        match self {
            Self::Http(peer) => peer.checkpoint(domain).await,
            Self::Ldap(peer) => peer.checkpoint(domain).await,
        }
    }

    /// The descriptors of a domain from a version on.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn descriptors(&self, domain: &DomainName, from: u64) -> Result<Descriptors, PeerError> {
        match self {
            Self::Http(peer) => peer.descriptors(domain, from).await,
            Self::Ldap(peer) => peer.descriptors(domain, from).await,
        }
    }

    /// Entries of a domain: up to `limit` from index `from` on, proven up to size `until`.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn page(&self, domain: &DomainName, from: u64, limit: usize, until: u64) -> Result<Page, PeerError> {
        match self {
            Self::Http(peer) => peer.page(domain, from, limit, until).await,
            Self::Ldap(peer) => peer.page(domain, from, limit, until).await,
        }
    }

    /// The hidden entries that are shown now, and which of the held ones no longer are.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds.
    pub async fn again(&self, domain: &DomainName, again: &Again) -> Result<Shown, PeerError> {
        match self {
            Self::Http(peer) => peer.again(domain, again).await,
            Self::Ldap(peer) => peer.again(domain, again).await,
        }
    }

    /// The entries of a domain from an index on, as soon as there are any, if the transport can wait for them.
    pub(crate) async fn next_page(&self, domain: &DomainName, from: u64) -> Result<Page, PeerError> {
        match self {
            Self::Http(peer) => peer.next_page(domain, from).await,
            Self::Ldap(_) => Err(PeerError::Held),
        }
    }

    pub(crate) async fn stream(&self, domain: &DomainName, from: u64) -> Result<Stream, PeerError> {
        match self {
            Self::Http(peer) => peer.stream(domain, from).await.map(|news| Stream::Http(Box::new(news))),
            Self::Ldap(peer) => peer.stream(domain, from).await.map(|news| Stream::Ldap(Box::new(news))),
        }
    }
}

impl Stream {
    /// Whether what follows is better heard from a new one.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Http(stream) => stream.is_stale(),
            Self::Ldap(stream) => stream.is_stale(),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<News, PeerError> {
        match self {
            Self::Http(stream) => stream.next().await,
            Self::Ldap(stream) => stream.next().await,
        }
    }
}
