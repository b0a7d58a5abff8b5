//! A node that serves HTTP on a free port for as long as a test lasts.

use std::net::SocketAddr;
use std::time::Duration;

use ics_node::app::App;
use ics_node::http::{self, Settings};
use reqwest::header::HeaderMap;
use reqwest::{Body, Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::contract;
use crate::world::{TOKEN, World};

/// A running server.
pub(crate) struct Node {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) client: Client,
    pub(crate) running: JoinHandle<std::io::Result<()>>,
    pub(crate) stop: oneshot::Sender<()>,
    app: App,
    _world: Option<World>,
}

/// An answer, read in full.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Settings of a test server: one worker, a free loopback port.
pub(crate) fn settings() -> Settings {
    Settings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        workers: Some(1),
        // Long enough for a busy machine.
        request_timeout: Duration::from_secs(30),
        shutdown_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

impl Node {
    /// A node that holds nothing.
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::with(World::empty(), settings)
    }

    /// A node that is the home of a domain.
    pub(crate) async fn founded() -> Self {
        Self::of(World::founded).await
    }

    /// A node in this world, with the usual settings.
    pub(crate) async fn of(world: fn() -> World) -> Self {
        Self::of_with(world, &settings()).await
    }

    /// A node in this world.
    pub(crate) async fn of_with(world: fn() -> World, settings: &Settings) -> Self {
        let world = tokio::task::spawn_blocking(world).await.expect("a world");
        Self::with(world, settings)
    }

    /// A node in this world with these settings.
    pub(crate) fn with(world: World, settings: &Settings) -> Self {
        let app = world.app.clone();
        Self { _world: Some(world), ..Self::with_app(app, settings) }
    }

    /// A node with these use cases.
    pub(crate) fn with_app(app: App, settings: &Settings) -> Self {
        let server = http::serve(app.clone(), settings).expect("serves");
        let addresses = server.addresses().to_vec();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { addresses, client: Client::new(), running, stop, app, _world: None }
    }

    /// The node's use cases.
    pub(crate) const fn app(&self) -> &App {
        &self.app
    }

    /// Sends a request and reads the answer, which must agree with the API's description.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        more: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let url = format!("http://{}{path}", self.addresses[0]);
        let request = self.client.request(method.parse::<Method>().expect("method"), url);
        let answer = Answer::read(more(request)).await;
        contract::hold(method, path, &answer);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, |request| request).await
    }

    /// The metrics, as the operator reads them.
    pub(crate) async fn metrics(&self) -> String {
        self.call("GET", "/metrics", |request| request.bearer_auth(TOKEN)).await.text()
    }

    /// GET with these headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let add = |request: RequestBuilder| headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        self.call("GET", path, add).await
    }

    pub(crate) async fn post(&self, path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
        self.call("POST", path, |request| request.header("content-type", media_type).body(body)).await
    }

    /// Sends raw bytes and reads until the server closes, which must be earlier than after the usual time limit for
    /// requests.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addresses[0]).await.expect("connects");
        stream.write_all(bytes).await.expect("sends");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("is closed in time").expect("reads");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Answer {
    pub(crate) async fn read(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("body").to_vec() }
    }

    /// The header's value, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Asserts that this is a problem document of that status and code; returns its detail.
    #[track_caller]
    pub(crate) fn is_problem(&self, what: &str, expected: (u16, &str)) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{what}: {}", self.text());
        let problem = self.json();
        let code = problem["type"].as_str().and_then(|uri| uri.strip_prefix("urn:ics:problem:")).unwrap_or_default();
        assert_eq!((self.status, code), expected, "{what}: {problem}");
        assert_eq!(problem["status"], self.status, "{what}: {problem}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }
}
