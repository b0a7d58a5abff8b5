//! The calls by which copies are configured, and domains carried by hand.

use ics_core::vocabulary::DomainName;
use ics_sync::carried::{Carried, Cursor, Wanted};
use ics_sync::wire::{Again, Descriptors, Page, Shown};
use reqwest::Method;

use super::{Answer, Node};
use crate::api::{OutboxBatch, OutboxItem, PeerInfo};
use crate::config::{PeerConfig, PeerName};

impl Node {
    /// The node's peers, for its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn peers(&self) -> Answer<Vec<PeerInfo>> {
        self.get(&["peers"], &()).await
    }

    /// The outbox: what waits in the node for the homes of other domains; for its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn outbox(&self) -> Answer<Vec<OutboxItem>> {
        self.get(&["outbox"], &()).await
    }

    /// Adds or changes a peer, as its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn put_peer(&self, peer: &PeerConfig) -> Answer<PeerInfo> {
        self.post(&["peers"], peer).await
    }

    /// Removes a peer, as its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn remove_peer(&self, name: &PeerName) -> Answer<PeerInfo> {
        self.post(&["peers", name.as_str(), "remove"], &()).await
    }

    /// A page of a domain's log, with the proof that it leads to a size.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn page(&self, domain: &DomainName, from: u64, until: u64) -> Answer<Page> {
        let request = self.request(Method::GET, &["domains", domain.as_str(), "entries"]);
        let bytes = self.receive(request.query(&[("from", from), ("until", until)])).await?;
        Page::decode(&bytes).map_err(|error| self.not_understood(error.to_string()))
    }

    /// Entries of a domain's log as they are shown now.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn again(&self, domain: &DomainName, again: &Again) -> Answer<Shown> {
        let until: Vec<_> = again.until.iter().map(|until| ("until", until)).collect();
        let request = self.request(Method::POST, &["domains", domain.as_str(), "entries", "again"]);
        self.json(request.query(&until).json(again)).await
    }

    /// The descriptors of a domain from a version on.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn descriptors(&self, domain: &DomainName, from: u64) -> Answer<Descriptors> {
        self.get(&["domains", domain.as_str(), "descriptors"], &[("from", from)]).await
    }

    /// How far the node's copy of a domain has got, for its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn cursor(&self, domain: &DomainName) -> Answer<Cursor> {
        self.get(&["domains", domain.as_str(), "carried"], &()).await
    }

    /// Brings the node an answer about a domain that it copies, and returns its next question; as its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn bring(&self, domain: &DomainName, carried: &Carried) -> Answer<Wanted> {
        self.post(&["domains", domain.as_str(), "carried"], carried).await
    }

    /// The statements in the outbox that wait for the home of a domain, after a given item; for its operator.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn outbox_batch(&self, domain: &DomainName, after: u64) -> Answer<OutboxBatch> {
        self.get(&["domains", domain.as_str(), "outbox"], &[("after", after)]).await
    }
}
