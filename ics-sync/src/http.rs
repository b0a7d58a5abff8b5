//! A peer over HTTP: asks, bounds the answers, and believes nothing.

mod client;
mod meter;
mod stream;

use core::time::Duration;
use std::time::Instant;

use ics_core::identity::excerpt;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use reqwest::{Client, RequestBuilder, Response, Url};

pub use self::client::{client_builder, is_local};
pub(crate) use self::meter::Meter;
use self::stream::EVENT_STREAM;
pub use self::stream::EventStream;
use crate::news::{Event, HEARTBEAT_SECONDS, News};
use crate::packed;
use crate::told::beginning;
use crate::wire::{
    self, Again, Attestation, Base64, Descriptors, Heads, Info, Outcome, Page, Shown, Submission, Submitted, Watch,
    WireError,
};
use crate::witness::{AddCheckpoint, Reply};

/// Seconds within which a connection must be established.
pub(crate) const CONNECT_SECONDS: u64 = 5;
/// Seconds without a byte after which an answer is abandoned.
pub(crate) const SILENCE_SECONDS: u64 = 3 * HEARTBEAT_SECONDS;
/// Seconds within which an answer must be complete.
pub(crate) const ANSWER_SECONDS: u64 = 120;
/// Seconds that the body of an answer may take whatever its length, and bytes that must arrive in each further second.
/// So a short answer arrives soon or not at all; a slower line would not complete the TLS handshake in time.
const BODY_SECONDS: u64 = 10;
const BYTES_PER_SECOND: u64 = 1024;
/// The media type of problem documents (RFC 9457), and the prefix of the problem types of nodes.
const PROBLEM_TYPE: &str = "application/problem+json";
const PROBLEMS: &str = "urn:ics:problem:";
/// The time within which a page should arrive under a budget, and the approximate bytes of an entry in transit.
const PAGE_TIME: Duration = Duration::from_secs(30);
const ENTRY_BYTES: u64 = 4 * 1024;
/// Seconds within which a witness must answer.
const WITNESS_SECONDS: u64 = 10;
/// Seconds for which a request waits at the peer for news.
const WAIT_SECONDS: u64 = 2 * HEARTBEAT_SECONDS;
/// Seconds after which a stream of events is reopened, so that no connection lasts for ever.
const STREAM_SECONDS: u64 = 24 * 60 * 60;

/// A node at an address that an operator has configured. Addresses are never taken from received data.
#[derive(Debug, Clone)]
pub struct HttpPeer {
    base_url: Url,
    client: Client,
    meter: Meter,
}

/// Why a peer's answer is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The address cannot be used.
    #[error("`{0}` is not an address of a peer: it takes https://host/ or http://host/")]
    Address(String),
    /// Likewise for a peer that is asked over LDAP.
    #[error("`{0}` is not an address of a peer: it takes ldaps://host or ldap://host")]
    LdapAddress(String),
    /// No answer, or one that was cut off.
    #[error("the peer cannot be reached: {0}")]
    Transport(String),
    /// An answer that has begun to arrive, and was not complete in time; or, to what was submitted, none in time from a
    /// peer that could be reached.
    #[error("the peer's answer was not complete in time")]
    Late,
    /// An answer other than success.
    #[error("the peer answered with HTTP status {status}: {detail}")]
    Status {
        /// The status code.
        status: u16,
        /// The beginning of what the peer says about it.
        detail: String,
        /// The type of the problem, if a node's own: intermediaries have other types.
        problem: Option<String>,
    },
    /// An LDAP result other than success.
    #[error("the peer answered with LDAP result code {code}: {detail}")]
    Refused {
        /// The result code.
        code: u32,
        /// The beginning of what the peer says about it.
        detail: String,
    },
    /// An answer over LDAP that is malformed.
    #[error("the peer's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// A checkpoint that is not text.
    #[error("the peer's checkpoint is not UTF-8")]
    Text,
    /// A stream from which no events arrive.
    #[error("the peer's events do not arrive: something on the way holds them back")]
    Held,
    /// A stream that has ended.
    #[error("the peer has ended its stream of events")]
    Ended,
    /// An answer that is not understood, or exceeds a bound.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl HttpPeer {
    /// A peer at an address below which its `v1/` lies; `client` is made for it by [`client_builder`].
    ///
    /// # Errors
    /// When the address is not one of HTTP or HTTPS.
    pub fn new(base_url: &str, client: Client) -> Result<Self, PeerError> {
        let address = || PeerError::Address(excerpt(base_url));
        let mut base_url = Url::parse(base_url).map_err(|_| address())?;
        if !matches!(base_url.scheme(), "http" | "https") || base_url.query().is_some() {
            return Err(address());
        }
        // Without the slash, joining a path would drop the last part of the address.
        if !base_url.path().ends_with('/') {
            base_url.set_path(&format!("{}/", base_url.path()));
        }
        Ok(Self { base_url, client, meter: Meter::default() })
    }

    /// The same peer, limited to this many bytes per second over everything that is derived from it.
    #[must_use]
    pub fn with_budget(mut self, bytes_per_second: u64) -> Self {
        self.meter.limit(bytes_per_second);
        self
    }

    /// The same peer with a separate count of bytes.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        Self { meter: self.meter.apart(), ..self.clone() }
    }

    /// Bytes of answers received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.meter.received()
    }

    /// What the peer says about a domain.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn info(&self, domain: &DomainName) -> Result<Info, PeerError> {
        let json = self.receive(self.get(domain, "", &[])?, wire::ANSWER_BYTES).await?;
        Ok(Info::decode(&json)?)
    }

    /// The newest checkpoint of a domain that the peer holds, a signed note.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn checkpoint(&self, domain: &DomainName) -> Result<String, PeerError> {
        let note = self.receive(self.get(domain, "/checkpoint", &[])?, limits::NOTE_BYTES).await?;
        String::from_utf8(note).map_err(|_| PeerError::Text)
    }

    /// A revocation list of an issuer of a domain, in DER; the peer may ask up to `hops` nodes behind it. Nothing is
    /// verified.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn revocation_list(
        &self,
        domain: &DomainName,
        issuer: &str,
        shard: u8,
        hops: u8,
    ) -> Result<Vec<u8>, PeerError> {
        let url = self.below(&format!("x509/{domain}/crl/{issuer}/{shard}.crl?hops={hops}"))?;
        self.receive(self.client.get(url).timeout(Duration::from_secs(WITNESS_SECONDS)), limits::REVOCATION_LIST_BYTES)
            .await
    }

    /// The descriptors of a domain from a version on.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn descriptors(&self, domain: &DomainName, from: u64) -> Result<Descriptors, PeerError> {
        let json = self.receive(self.get(domain, "/descriptors", &[("from", from)])?, wire::PAGE_JSON_BYTES).await?;
        Ok(Descriptors::decode(&json)?)
    }

    /// Entries of a domain: up to `limit` from index `from` on, proven up to size `until`.
    ///
    /// # Errors
    /// When it does not answer as expected and within bounds.
    pub async fn page(&self, domain: &DomainName, from: u64, limit: usize, until: u64) -> Result<Page, PeerError> {
        let limit = u64::try_from(self.meter.entries(limit)).unwrap_or(u64::MAX);
        let request = self.get(domain, "/entries", &[("from", from), ("limit", limit), ("until", until)])?;
        self.receive_page(request).await
    }

    /// Receives a page in the best form that the peer offers: packed and compressed, if it can.
    async fn receive_page(&self, request: RequestBuilder) -> Result<Page, PeerError> {
        self.meter.ready().await;
        let accepted = format!("{}, application/json;q=0.5", packed::MEDIA_TYPE);
        let request = request.header("accept", accepted).header("accept-encoding", packed::CODING);
        let answer = succeeded(request.send().await.map_err(transport)?).await?;
        let has = |name: &str, value: &str| {
            let given = answer.headers().get(name).and_then(|given| given.to_str().ok());
            given.is_some_and(|given| given.eq_ignore_ascii_case(value))
        };
        let (is_packed, is_compressed) =
            (has("content-type", packed::MEDIA_TYPE), has("content-encoding", packed::CODING));
        let bound = if is_packed { packed::PAGE_BYTES } else { wire::PAGE_JSON_BYTES };
        let bytes = body(answer, bound, &self.meter).await?;
        if !is_packed {
            return Ok(Page::decode(&bytes)?);
        }
        let bytes = if is_compressed { packed::decompress(&bytes)? } else { bytes };
        Ok(packed::unpack(&bytes)?)
    }

    /// The hidden entries that are shown now, and which of the held ones no longer are.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds.
    pub async fn again(&self, domain: &DomainName, again: &Again) -> Result<Shown, PeerError> {
        let mut url = self.url(domain, "/entries/again")?;
        if let Some(until) = again.until {
            url.query_pairs_mut().append_pair("until", &until.to_string());
        }
        let json = self.receive(self.client.post(url).json(again), wire::PAGE_JSON_BYTES).await?;
        Ok(Shown::decode(&json)?)
    }

    /// The entries of a domain from an index on, as soon as there are any; a page without entries if there were none
    /// for a while.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds.
    pub async fn next_page(&self, domain: &DomainName, from: u64) -> Result<Page, PeerError> {
        let request = self.get(domain, "/entries", &[("from", from), ("wait", WAIT_SECONDS)])?;
        self.receive_page(request).await
    }

    /// What the peer pushes about a domain, to a reader who holds `from` entries of it.
    ///
    /// # Errors
    /// When the peer has no such stream.
    pub async fn stream(&self, domain: &DomainName, from: u64) -> Result<EventStream<News>, PeerError> {
        self.open_stream(self.get(domain, "/feed", &[])?.header("last-event-id", from)).await
    }

    /// Signed record heads of things that are watched, as a domain's home pushes them.
    ///
    /// # Errors
    /// When the peer has no such stream.
    pub async fn watch(&self, domain: &DomainName, watch: &Watch) -> Result<EventStream<Heads>, PeerError> {
        self.open_stream(self.client.post(self.url(domain, "/watch")?).json(watch)).await
    }

    /// The same in one answer, as soon as there are any; an answer without heads if there were none for a while.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds.
    pub async fn next_heads(&self, domain: &DomainName, watch: Watch) -> Result<Heads, PeerError> {
        self.heads(domain, &Watch { wait: Some(WAIT_SECONDS), ..watch }).await
    }

    /// The same at the time that the request states, which is at once unless it waits.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds.
    pub async fn heads(&self, domain: &DomainName, watch: &Watch) -> Result<Heads, PeerError> {
        let request = self.client.post(self.url(domain, "/watch")?).header("accept", "application/json").json(watch);
        Ok(Heads::decode(&self.receive(request, wire::HEADS_BYTES).await?)?)
    }

    async fn open_stream<E: Event>(&self, request: RequestBuilder) -> Result<EventStream<E>, PeerError> {
        let most = Duration::from_secs(STREAM_SECONDS + ANSWER_SECONDS);
        let request = request.header("accept", EVENT_STREAM).timeout(most);
        let response = succeeded(request.send().await.map_err(transport)?).await?;
        EventStream::of(response, self.meter.clone())
    }

    /// What the home of a domain attests about one thing, asked for by id or name. The peer may pass the question on
    /// over at most `hops` nodes; `seen` is the largest size of the log that the asker has seen.
    ///
    /// # Errors
    /// When the peer does not answer as expected, within bounds and in time.
    pub async fn attestation(
        &self,
        domain: &DomainName,
        asked: &str,
        hops: u8,
        seen: u64,
    ) -> Result<Attestation, PeerError> {
        let mut url = self.url(domain, "")?;
        url.path_segments_mut().map_err(|()| self.unusable())?.extend(["identities", asked, "attestation"]);
        url.query_pairs_mut().append_pair("hops", &hops.to_string()).append_pair("seen", &seen.to_string());
        let request = self.client.get(url).timeout(Duration::from_secs(limits::ROAMING_SECONDS));
        Ok(Attestation::decode(&self.receive(request, limits::ROAMING_BYTES).await?)?)
    }

    /// The consistency proof between a log's sizes `from`, which was seen, and `to`: the hashes of RFC 9162, section
    /// 2.1.4, for the caller to verify.
    ///
    /// # Errors
    /// When the peer does not answer as expected, within bounds and in time.
    pub async fn consistency(
        &self,
        domain: &DomainName,
        from: u64,
        to: u64,
    ) -> Result<Vec<Base64<[u8; 32]>>, PeerError> {
        let request = self.get(domain, "/proof/consistency", &[("from", from), ("to", to)])?;
        let request = request.timeout(Duration::from_secs(limits::ROAMING_SECONDS));
        Ok(wire::decode_proof(&self.receive(request, wire::ANSWER_BYTES).await?)?)
    }

    /// Submits bodies to a domain; returns the result for each, in the same order.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds; [`PeerError::Late`] if perhaps only the line is too
    /// slow for so much. The bodies may have been admitted even so: submitting them again gets the same receipts.
    pub async fn submit(&self, domain: &DomainName, bodies: Vec<Vec<u8>>) -> Result<Vec<Outcome>, PeerError> {
        let statements: Vec<_> = bodies.into_iter().map(Base64).collect();
        let count = statements.len();
        let url = self.url(domain, "/statements")?;
        let request = self.client.post(url).json(&Submission { statements });
        self.meter.ready().await;
        let answer = succeeded(request.send().await.map_err(late)?).await?;
        let json = body(answer, Submitted::most_bytes(count), &self.meter).await?;
        Ok(Submitted::decode(&json, count)?.results)
    }

    /// Asks the peer, as a witness, to cosign a checkpoint (C2SP tlog-witness); the peer's address is its submission
    /// prefix. A failure is returned as a reply, too.
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Reply {
        let refused = |error: PeerError| match error {
            PeerError::Status { status, detail, .. } => Reply::Refused { status, detail },
            error => Reply::Refused { status: 0, detail: error.to_string() },
        };
        self.try_add_checkpoint(request).await.unwrap_or_else(refused)
    }

    async fn try_add_checkpoint(&self, request: &AddCheckpoint) -> Result<Reply, PeerError> {
        let url = self.below("add-checkpoint")?;
        let request = self.client.post(url).timeout(Duration::from_secs(WITNESS_SECONDS)).body(request.to_string());
        let answer = request.send().await.map_err(transport)?;
        let conflict = answer.status().as_u16() == 409;
        let answer = if conflict { answer } else { succeeded(answer).await? };
        let bytes = body(answer, limits::NOTE_BYTES, &self.meter).await?;
        let text = String::from_utf8(bytes).map_err(|_| PeerError::Text)?;
        match text.trim_end_matches('\n').parse() {
            _ if !conflict => Ok(Reply::Cosigned(text)),
            Ok(size) => Ok(Reply::Seen(size)),
            Err(_) => Err(PeerError::Status { status: 409, detail: excerpt(&text), problem: None }),
        }
    }

    /// The largest checkpoint that the peer, as a witness, has seen of a log, as the log signed it. Nothing is
    /// verified.
    ///
    /// # Errors
    /// When the peer does not answer as expected and within bounds: C2SP tlog-witness does not define this question.
    pub async fn witnessed(&self, origin: &Origin) -> Result<String, PeerError> {
        let url = self.below(&format!("v1/witnessed/{origin}"))?;
        let request = self.client.get(url).timeout(Duration::from_secs(WITNESS_SECONDS));
        String::from_utf8(self.receive(request, limits::NOTE_BYTES).await?).map_err(|_| PeerError::Text)
    }

    async fn receive(&self, request: RequestBuilder, bound: usize) -> Result<Vec<u8>, PeerError> {
        self.meter.ready().await;
        let answer = succeeded(request.send().await.map_err(transport)?).await?;
        body(answer, bound, &self.meter).await
    }

    fn get(&self, domain: &DomainName, path: &str, query: &[(&str, u64)]) -> Result<RequestBuilder, PeerError> {
        let mut url = self.url(domain, path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, value.to_string())));
        }
        Ok(self.client.get(url))
    }

    /// The address of a path below a domain. A domain's name is formed as a DNS name, so it needs no escaping.
    fn url(&self, domain: &DomainName, path: &str) -> Result<Url, PeerError> {
        self.below(&format!("v1/domains/{domain}{path}"))
    }

    /// The address of a path below that of the peer.
    fn below(&self, path: &str) -> Result<Url, PeerError> {
        self.base_url.join(path).map_err(|_| self.unusable())
    }

    fn unusable(&self) -> PeerError {
        PeerError::Address(excerpt(self.base_url.as_str()))
    }
}

/// The answer, if it is a success; else what the peer says about the failure.
async fn succeeded(response: Response) -> Result<Response, PeerError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let is_problem = kind.is_some_and(|kind| kind.starts_with(PROBLEM_TYPE));
    let detail = body(response, wire::ANSWER_BYTES, &Meter::default()).await.unwrap_or_default();
    let problem = Some(&detail).filter(|_| is_problem).and_then(|detail| problem_of(detail));
    Err(PeerError::Status { status: status.as_u16(), detail: detail_of(&detail), problem })
}

/// The type of a problem document, if it is a node's own.
fn problem_of(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let kind = problem.get("type")?.as_str()?;
    kind.starts_with(PROBLEMS).then(|| excerpt(kind))
}

/// Reads an answer up to its bound, whatever length it claims. One that arrives byte by byte is abandoned.
async fn body(mut response: Response, bound: usize, meter: &Meter) -> Result<Vec<u8>, PeerError> {
    let (mut bytes, began) = (Vec::new(), Instant::now());
    loop {
        let left = time_for(bytes.len()).saturating_sub(began.elapsed());
        let chunk = tokio::time::timeout(left, response.chunk()).await.map_err(|_| too_slow())?;
        let Some(chunk) = chunk.map_err(late)? else { break };
        if chunk.len() > bound.saturating_sub(bytes.len()) {
            return Err(WireError::TooLong(bound).into());
        }
        bytes.extend_from_slice(&chunk);
        // The pause delays the next request; pausing inside the answer would count against the answer's own time.
        meter.note(chunk.len());
    }
    Ok(bytes)
}

/// The error for an answer that arrives byte by byte and was abandoned.
pub(crate) fn too_slow() -> PeerError {
    PeerError::Transport("its answer comes too slowly".to_owned())
}

/// The time within which the body of an answer must have exceeded this many bytes.
const fn time_for(bytes: usize) -> Duration {
    Duration::from_millis(1_000 * BODY_SECONDS + (bytes as u64).saturating_mul(1_000) / BYTES_PER_SECOND)
}

/// The detail of a problem document (RFC 9457), or the beginning of anything else.
fn detail_of(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let member = |name| problem.as_ref().and_then(|problem| problem.get(name)).and_then(serde_json::Value::as_str);
    let text = member("detail").or_else(|| member("title")).map(str::to_owned);
    beginning(&text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}

/// The error of a transport that failed: whether the peer was reached and only the time was over, or something else.
fn late(error: reqwest::Error) -> PeerError {
    if error.is_timeout() && !error.is_connect() { PeerError::Late } else { transport(error) }
}

/// The error of a failed transport. The innermost cause says most; the address, which may hold secrets, is left out.
fn transport(error: reqwest::Error) -> PeerError {
    let error = error.without_url();
    let mut cause: &dyn core::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let (what, why) = (error.to_string(), cause.to_string());
    PeerError::Transport(if what == why { what } else { format!("{what}: {why}") })
}

#[cfg(test)]
mod tests;
