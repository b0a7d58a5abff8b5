//! A client for a node: the routes of `/v1` as calls, with bounds on the answers.

mod acme;
mod copying;
mod deciding;
mod enrolling;
mod error;

use core::fmt;
use std::time::Duration;

use ics_core::evidence::Evidence;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::statement::Erasure;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::http::{EventStream, HttpPeer, is_local};
use ics_sync::news::News;
use ics_sync::wire::{Base64, Submission};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::error::NodeError;
pub(crate) use self::error::UNTRUSTED;
use crate::api::{
    Acknowledged, Acknowledgement, AdoptionRequest, AdoptionResult, Alarm, CertificatePage, CertificateQuery,
    DomainInfo, ForkNotes, History, IdentityPage, ListQuery, NodeInfo, Problem, ProofAnswer, ProvenEntry, READER,
    RecordAnswer, SubmissionResults, ViewAnswer,
};
use crate::config::PeerName;
use crate::tls::{KeyPin, root_cause, stranger_client};

/// The time limits in seconds for connecting and for a complete answer.
const CONNECT_SECONDS: u64 = 10;
const ANSWER_SECONDS: u64 = 120;
/// How often a question is asked again that a busy node has turned away, and the longest pause in seconds that the node
/// may ask for before that.
const AGAIN: u32 = 3;
const PAUSE_SECONDS: u64 = 10;
/// The size limit of an answer, in bytes; a full page of receipts with their headers and checkpoints is the longest.
const ANSWER_BYTES: usize = limits::BATCH_STATEMENTS * 3 * limits::NOTE_BYTES;

/// A node at an address. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    url: Url,
    client: Client,
    token: Option<zeroize::Zeroizing<String>>,
    /// The peer in whose place the node is read.
    reader: Option<PeerName>,
}

/// Omits the operator's token.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

type Answer<T> = Result<T, NodeError>;

impl Node {
    /// A node at `http(s)://host[:port]`. Redirects are not followed.
    ///
    /// # Errors
    /// When the address is invalid, or TLS cannot be set up.
    pub fn new(url: &str) -> Answer<Self> {
        Self::of_peer(url, None)
    }

    /// As [`Node::new`], for a peer, which over TLS is authenticated by the pinned key, or without one like any server
    /// of the web.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn of_peer(url: &str, pin: Option<KeyPin>) -> Answer<Self> {
        let unreachable = |reason| NodeError::Unreachable { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|error| unreachable(error.to_string()))?;
        let client = stranger_client(url, pin)
            .map_err(|error| unreachable(error.to_string()))?
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
            .timeout(Duration::from_secs(ANSWER_SECONDS))
            // Longer than between peers: here a node may have a thousand RSA keys to verify first.
            .read_timeout(Duration::from_secs(ANSWER_SECONDS))
            .build()
            .map_err(|error| unreachable(root_cause(&error)))?;
        Ok(Self { url: parsed, client, token: None, reader: None })
    }

    /// The same node, asked as its operator.
    #[must_use]
    pub fn as_operator(mut self, token: zeroize::Zeroizing<String>) -> Self {
        self.token = Some(token);
        self
    }

    /// The same node, read as it shows itself to one of its peers; only its operator may do so.
    #[must_use]
    pub fn in_place_of(mut self, peer: PeerName) -> Self {
        self.reader = Some(peer);
        self
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Whether anybody on the network path could answer in its place: over plain HTTP to another machine nothing proves
    /// who does.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.url.scheme() == "http" && !is_local(self.url.as_str())
    }

    /// Information about the node itself.
    ///
    /// # Errors
    /// When the node gives no usable answer; this holds for all calls that follow.
    pub async fn info(&self) -> Answer<NodeInfo> {
        self.get(&["node"], &()).await
    }

    /// The domains that it holds.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn domains(&self) -> Answer<Vec<DomainInfo>> {
        self.get(&["domains"], &()).await
    }

    /// One of its domains.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn domain(&self, domain: &DomainName) -> Answer<DomainInfo> {
        self.get(&["domains", domain.as_str()], &()).await
    }

    /// The alarms that concern no domain; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn alarms(&self) -> Answer<Vec<Alarm>> {
        self.get(&["alarms"], &()).await
    }

    /// The forks of logs that the node does not hold; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn forks(&self) -> Answer<Vec<ForkNotes>> {
        self.get(&["forks"], &()).await
    }

    /// Deletes the alarms of a domain, or those of none, that were raised up to a time; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn acknowledge(&self, domain: Option<&DomainName>, until: Timestamp) -> Answer<Acknowledged> {
        let of = domain.map(|domain| ["domains", domain.as_str()]);
        let path: Vec<&str> = of.into_iter().flatten().chain(["alarms", "acknowledge"]).collect();
        self.post(&path, &Acknowledgement { until }).await
    }

    /// Submits bodies to a domain.
    ///
    /// # Errors
    /// See [`Node::info`]; refusals of single statements are part of the results.
    pub async fn submit(&self, domain: &DomainName, bodies: Vec<Vec<u8>>) -> Answer<SubmissionResults> {
        let submission = Submission { statements: bodies.into_iter().map(Base64).collect() };
        let results: SubmissionResults = self.post(&["domains", domain.as_str(), "statements"], &submission).await?;
        self.one_each((results.results.len(), "results"), (submission.statements.len(), "statements"))?;
        Ok(results)
    }

    /// What every domain of the node says about an identity.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn view(&self, query: &str) -> Answer<ViewAnswer> {
        self.get(&["identities", query], &()).await
    }

    /// What one domain says about an identity.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn record(&self, domain: &DomainName, query: &str) -> Answer<RecordAnswer> {
        self.get(&["domains", domain.as_str(), "identities", query], &()).await
    }

    /// What one domain holds about an identity, as OpenPGP objects of version 4 or 6, armored or binary.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn record_openpgp(&self, domain: &DomainName, query: &str, version: u8, armor: bool) -> Answer<Vec<u8>> {
        let request = self
            .request(Method::GET, &["domains", domain.as_str(), "identities", query])
            .query(&[("version", version)])
            .header("Accept", if armor { "application/pgp-keys" } else { "application/octet-stream" });
        self.receive(request).await
    }

    /// All that was ever said about an identity in a domain.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn history(&self, domain: &DomainName, query: &str) -> Answer<History> {
        self.get(&["domains", domain.as_str(), "identities", query, "history"], &()).await
    }

    /// The evidence that a verifier without a network needs.
    ///
    /// # Errors
    /// See [`Node::info`]; also when it is from another domain, by whose rules it would be verified.
    pub async fn evidence(&self, domain: &DomainName, query: &str) -> Answer<Evidence> {
        let path = ["domains", domain.as_str(), "identities", query, "evidence"];
        let evidence: Evidence = self.get(&path, &()).await?;
        if evidence.domain == *domain {
            Ok(evidence)
        } else {
            Err(self.not_understood(format!("it is evidence of `{}`, but `{domain}` was asked for", evidence.domain)))
        }
    }

    /// A page of a domain's identities.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn list(&self, domain: &DomainName, query: &ListQuery) -> Answer<IdentityPage> {
        self.get(&["domains", domain.as_str(), "identities"], query).await
    }

    /// A page of the certificates that a domain has issued.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn certificates(&self, domain: &DomainName, query: &CertificateQuery) -> Answer<CertificatePage> {
        self.get(&["domains", domain.as_str(), "certificates"], query).await
    }

    /// One entry of a domain's log.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn entry(&self, domain: &DomainName, index: u64) -> Answer<ProvenEntry> {
        self.get(&["domains", domain.as_str(), "entries", &index.to_string()], &()).await
    }

    /// The proposed erasure of an entry, with all that it must restate, for the owners to sign.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn erasure(&self, domain: &DomainName, index: u64) -> Answer<Erasure> {
        self.get(&["domains", domain.as_str(), "entries", &index.to_string(), "erasure"], &()).await
    }

    /// The signed message of the descriptor of a domain that is in force.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn descriptor(&self, domain: &DomainName) -> Answer<Vec<u8>> {
        let path = ["domains", domain.as_str(), "descriptor"];
        self.receive(self.request(Method::GET, &path).header("Accept", "application/octet-stream")).await
    }

    /// The signed message of one version of the descriptor.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn descriptor_version(&self, domain: &DomainName, version: u64) -> Answer<Vec<u8>> {
        let request = self.request(Method::GET, &["domains", domain.as_str(), "descriptor"]);
        self.receive(request.query(&[("version", version)]).header("Accept", "application/octet-stream")).await
    }

    /// The newest checkpoint of a domain: a signed note.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn checkpoint(&self, domain: &DomainName) -> Answer<String> {
        let request = self.request(Method::GET, &["domains", domain.as_str(), "checkpoint"]);
        let bytes = self.receive(request.header("Accept", "text/plain")).await?;
        String::from_utf8(bytes).map_err(|error| self.not_understood(error.to_string()))
    }

    /// The proof that a domain's log of one size is a prefix of that of another.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn consistency(&self, domain: &DomainName, from: u64, to: u64) -> Answer<ProofAnswer> {
        self.get(&["domains", domain.as_str(), "proof", "consistency"], &[("from", from), ("to", to)]).await
    }

    /// The stream of news about a domain, for a reader who holds `from` entries of it.
    ///
    /// # Errors
    /// When the node has no such stream.
    pub async fn news(&self, domain: &DomainName, from: u64) -> Answer<EventStream<News>> {
        let unreachable = |error: ics_sync::http::PeerError| NodeError::Unreachable {
            url: self.url().to_owned(),
            reason: error.to_string(),
        };
        let peer = HttpPeer::new(self.url(), self.client.clone()).map_err(unreachable)?;
        peer.stream(domain, from).await.map_err(unreachable)
    }

    /// Adopts entries of another domain into one of the node's own; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn adopt(&self, domain: &DomainName, request: &AdoptionRequest) -> Answer<AdoptionResult> {
        self.post(&["domains", domain.as_str(), "adoptions"], request).await
    }

    /// A key with all that is said about it, in the form of key servers: binary OpenPGP.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn key(&self, fingerprint: &Fingerprint) -> Answer<Vec<u8>> {
        let id = format!("{:02}{fingerprint}", fingerprint.version());
        self.receive(self.request_below("pks", Method::GET, &["v2", "certs", "by-vfingerprint", &id])).await
    }

    /// A request for the path of these segments below `/v1/`, each escaped as needed.
    fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.request_below("v1", method, segments)
    }

    fn request_below(&self, root: &str, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(root).extend(segments);
        }
        let request = self.client.request(method, url);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        };
        match &self.reader {
            Some(peer) => request.header(READER, peer.as_str()),
            None => request,
        }
    }

    async fn get<T: DeserializeOwned>(&self, segments: &[&str], query: &impl Serialize) -> Answer<T> {
        self.json(self.request(Method::GET, segments).query(query)).await
    }

    async fn post<T: DeserializeOwned>(&self, segments: &[&str], body: &impl Serialize) -> Answer<T> {
        self.json(self.request(Method::POST, segments).json(body)).await
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Answer<T> {
        let bytes = self.receive(request.header("Accept", "application/json")).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_understood(unlike(&error)))
    }

    /// Sends a request. A question that a busy node turns away is asked again after the pause that the node asks for
    /// (RFC 9110, 10.2.3); who submits has pauses of their own.
    async fn receive(&self, request: RequestBuilder) -> Answer<Vec<u8>> {
        let unreachable =
            |error: reqwest::Error| NodeError::Unreachable { url: self.url().to_owned(), reason: root_cause(&error) };
        let mut request = request.build().map_err(unreachable)?;
        let mut left = if request.method() == Method::GET { AGAIN } else { 0 };
        loop {
            let again = request.try_clone().filter(|_| left > 0);
            let response = self.client.execute(request).await.map_err(unreachable)?;
            let (status, pause) = (response.status(), pause(response.headers()));
            let bytes = self.bounded(response).await?;
            if status.is_success() {
                return Ok(bytes);
            }
            let error = self.refusal(status, &bytes);
            let (Some(again), Some(pause), true) = (again, pause, error.is_of_a_busy_node()) else { return Err(error) };
            tokio::time::sleep(pause).await;
            (request, left) = (again, left - 1);
        }
    }

    async fn bounded(&self, mut response: Response) -> Answer<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|error| self.not_understood(root_cause(&error)))?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            if bytes.len() + chunk.len() > ANSWER_BYTES {
                return Err(self.not_understood(format!("it has more than {ANSWER_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> NodeError {
        match serde_json::from_slice::<Problem>(bytes) {
            Ok(problem) => NodeError::Problem(Box::new(problem)),
            Err(_) => NodeError::Status { url: self.url().to_owned(), status },
        }
    }

    /// Answers are matched to questions by position only: if one is missing, nobody knows whose it is.
    fn one_each(&self, (given, answers): (usize, &str), (asked, questions): (usize, &str)) -> Answer<()> {
        if given == asked {
            Ok(())
        } else {
            Err(self.not_understood(format!("{given} {answers} to {asked} {questions}")))
        }
    }

    fn not_understood(&self, reason: String) -> NodeError {
        NodeError::Answer { url: self.url().to_owned(), reason }
    }
}

/// The pause that a node asks for, unless it is too long for somebody who waits.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    (seconds <= PAUSE_SECONDS).then(|| Duration::from_secs(seconds))
}

/// Describes what is wrong with an answer. JSON of another form comes from a node of another version; what is missing
/// in it must never be taken for a permit.
fn unlike(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("{error}; if the node is older than this program (`--version` on both machines), upgrade the node")
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::api::problem::Code;

    /// The address of something that gives these answers in turn: status, pause, and body.
    fn answers(answers: Vec<(u16, u64, String)>) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for (status, pause, body) in answers {
                let (mut client, _) = listener.accept().expect("a client");
                let lines = BufReader::new(client.try_clone().expect("a clone")).lines();
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let head = format!("HTTP/1.1 {status} No\r\nretry-after: {pause}\r\nconnection: close\r\n");
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                client.write_all(answer.as_bytes()).expect("answered");
            }
        });
        Node::new(&url).expect("a node")
    }

    fn problem(code: Code, pause: u64) -> (u16, u64, String) {
        let problem = Problem::of(code, "not now".to_owned());
        (code.status(), pause, serde_json::to_string(&problem).expect("JSON"))
    }

    #[tokio::test]
    async fn a_question_that_a_busy_node_turned_away_is_asked_again_in_a_moment() {
        let nothing = || (200, 0, "[]".to_owned());
        let node = answers(vec![problem(Code::Busy, 0), problem(Code::OverBudget, 0), nothing()]);
        assert_eq!(node.domains().await.expect("it answers in the end").len(), 0);

        for (code, pause) in [(Code::Busy, PAUSE_SECONDS + 1), (Code::Behind, 0), (Code::Internal, 0)] {
            let refused = answers(vec![problem(code, pause), nothing()]).domains().await.expect_err("for long");
            assert!(matches!(&refused, NodeError::Problem(it) if it.code() == code.as_str()), "{refused:?}");
        }
        let busy = core::iter::repeat_with(|| problem(Code::Busy, 0)).take(4).collect();
        let refused = answers(busy).domains().await.expect_err("it stays busy");
        assert!(matches!(&refused, NodeError::Problem(it) if it.code() == "busy"), "{refused:?}");
    }

    /// Nothing proves who has answered.
    #[test]
    fn only_plain_http_to_another_machine_is_exposed() {
        for (url, is_exposed) in [
            ("http://ics.soft.example", true),
            ("http://192.0.2.1:8470", true),
            ("https://ics.soft.example", false),
            ("http://127.0.0.1:8470", false),
            ("http://[::1]:8470", false),
            ("http://localhost:8470", false),
        ] {
            assert_eq!(Node::new(url).expect("a node").is_exposed(), is_exposed, "{url}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let node = Node::new("http://127.0.0.1:1").expect("a node").as_operator("s3cret".to_owned().into());
        let shown = format!("{node:?}");
        assert!(shown.contains("127.0.0.1") && !shown.contains("s3cret"), "{shown}");
    }
}
