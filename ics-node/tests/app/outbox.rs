//! Statements that wait for the home of another domain, and what is accepted as its answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::log::receipt::Receipt;
use ics_node::api::problem::Code;
use ics_node::api::{Problem, SubmissionResult, SubmissionResults};
use ics_node::app::App;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fixture::{Party, catches_up, copy, device, served};

/// An impostor on the path to the home: answers every submission with the same receipt, and knows nothing else.
async fn liar(receipt: Arc<Mutex<Option<Receipt>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let receipt = receipt.lock().expect("not poisoned").clone();
            tokio::spawn(answer(stream, receipt));
        }
    });
    url
}

async fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !is_whole(&request) && stream.read_buf(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
    request
}

async fn answer(mut stream: TcpStream, receipt: Option<Receipt>) {
    let request = request(&mut stream).await;
    let is_submission = request.starts_with(b"POST ") && String::from_utf8_lossy(&request).contains("/statements");
    let (status, body) = match receipt.filter(|_| is_submission) {
        Some(receipt) => {
            let results = vec![SubmissionResult::Receipt(Box::new(receipt))];
            ("200 OK", serde_json::to_vec(&SubmissionResults { results }).expect("JSON"))
        }
        None => ("404 Not Found", Vec::new()),
    };
    write(stream, status, "application/json", &body).await;
}

async fn write(mut stream: TcpStream, status: &str, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
}

/// Whether a request has arrived completely.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_proves_nothing_deletes_nothing() {
    let (maker, app) = Party::opened();
    let other = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let receipt = Arc::new(Mutex::new(None));
    let (liar, home) = (liar(Arc::clone(&receipt)).await, served(&app));
    let dir = tempfile::tempdir().expect("directory");
    let copy = copy(dir.path(), &app, &maker.domain, &[("liar", &liar), ("home", &home)]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copy.clone().replicate(stopped));
    catches_up(&copy, &app, &maker.domain).await;

    let body = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2");
    let id = ics_core::statement::parse(&body).expect("a body").id();
    let renamed = Receipt { id, ..other.clone() };
    for (lie, expected) in [(other, "for another body"), (renamed, "do not give the leaf")] {
        *receipt.lock().expect("not poisoned") = Some(lie);
        // Each failed attempt is followed by a pause.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let results = copy.submit(&maker.domain, vec![body.clone()]).await.expect("taken in").results;
        let [SubmissionResult::Pending(pending)] = results.as_slice() else { panic!("{results:?}") };
        assert!(pending.why.as_ref().is_some_and(|why| why.contains(expected)), "{pending:?}");
    }
    // The home's own receipt is accepted.
    let genuine = maker.submit_one(&app, body.clone()).await.expect("admitted");
    *receipt.lock().expect("not poisoned") = Some(genuine.clone());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let results = copy.submit(&maker.domain, vec![body]).await.expect("taken in").results;
    assert!(matches!(results.as_slice(), [SubmissionResult::Receipt(it)] if it.index == genuine.index), "{results:?}");
    stop.send_replace(true);
    replicating.await.expect("ends");
}

/// A proxy in front of a home: refuses the first batches, and then accepts those of at most this many bodies, but none
/// that contains a particular one.
#[derive(Clone)]
struct Gate {
    home: App,
    maker: Arc<Party>,
    most: usize,
    page: (&'static str, String),
    never: Vec<u8>,
    refuses: usize,
    came: Arc<AtomicUsize>,
}

impl Gate {
    async fn open(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().answer(stream));
            }
        });
        url
    }

    async fn answer(self, mut stream: TcpStream) {
        let request = request(&mut stream).await;
        let body = request.windows(4).position(|window| window == b"\r\n\r\n").map(|end| request[end + 4..].to_vec());
        let Some(submission) = body.and_then(|body| serde_json::from_slice::<serde_json::Value>(&body).ok()) else {
            return write(stream, "404 Not Found", "text/html", b"").await;
        };
        let statements = submission["statements"].as_array().expect("a batch");
        let bodies: Vec<Vec<u8>> =
            statements.iter().map(|it| STANDARD.decode(it.as_str().expect("text")).expect("base64")).collect();
        let is_closed = self.came.fetch_add(1, Ordering::Relaxed) < self.refuses;
        if is_closed || bodies.len() > self.most || bodies.contains(&self.never) {
            let (kind, page) = &self.page;
            return write(stream, "413 Too Large", kind, page.as_bytes()).await;
        }
        let results = self.home.submit(&self.maker.domain, bodies).await.expect("a batch");
        write(stream, "200 OK", "application/json", &serde_json::to_vec(&results).expect("JSON")).await;
    }
}

/// Sends three bodies through the proxy, and returns their results once all but as many as `left` are final.
async fn sent_through(
    page: (&'static str, String),
    (most, never, refuses): (usize, Option<usize>, usize),
    left: usize,
) -> Vec<SubmissionResult> {
    let maker = Arc::new(Party::found("devices.acme.example"));
    let app = maker.open();
    maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let make = |number| maker.introduce(&app, &device(number), &format!("urn:dev:os:32473-{number}"), "L2");
    let bodies: Vec<Vec<u8>> = (2..5).map(make).collect();
    let never = never.map(|at| bodies[at].clone()).unwrap_or_default();
    let (home, came) = (app.clone(), Arc::default());
    let gate = Gate { home, maker: Arc::clone(&maker), most, page, never, refuses, came }.open().await;
    let dir = tempfile::tempdir().expect("directory");
    let copy = copy(dir.path(), &app, &maker.domain, &[("gate", &gate), ("home", &served(&app))]);
    let (stop, stopped) = watch::channel(false);
    let working =
        [tokio::spawn(copy.clone().replicate(stopped.clone())), tokio::spawn(copy.clone().send_outboxes(stopped))];
    catches_up(&copy, &app, &maker.domain).await;
    copy.submit(&maker.domain, bodies).await.expect("taken in");
    let began = Instant::now();
    let results = loop {
        let mut items = copy.outbox().expect("is read");
        items.sort_by_key(|item| item.id);
        let results: Vec<SubmissionResult> = items.into_iter().map(|item| item.result).collect();
        if results.iter().filter(|result| matches!(result, SubmissionResult::Pending(_))).count() == left {
            break results;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "something waits still: {results:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    stop.send_replace(true);
    for work in working {
        work.await.expect("ends");
    }
    results
}

/// When a proxy refuses a batch as too large, the home has said nothing about its contents.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_finds_too_large_is_sent_in_smaller_batches() {
    let page = ("text/html", "<html><h1>413 Request Entity Too Large</h1></html>".to_owned());
    let results = sent_through(page, (1, None, 0), 0).await;
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}

/// A batch that a node refuses as a whole is refused because of one of its bodies.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_ends_only_what_it_was_refused_for() {
    let problem = Problem::of(Code::BodyTooLarge, "too large".to_owned());
    let page = ("application/problem+json", serde_json::to_string(&problem).expect("JSON"));
    let results = sent_through(page, (usize::MAX, Some(1), 0), 0).await;
    let [SubmissionResult::Receipt(_), SubmissionResult::Problem(refused), SubmissionResult::Receipt(_)] =
        results.as_slice()
    else {
        panic!("{results:?}")
    };
    assert!(refused.detail.contains("too large"), "{refused:?}");
}

/// The proxy's limit, or its filter, would else keep back everything that comes after: a block, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_never_takes_holds_up_nothing_else() {
    let page = ("text/html", "<html><h1>413 Request Entity Too Large</h1></html>".to_owned());
    let results = sent_through(page, (usize::MAX, Some(1), 0), 1).await;
    let [SubmissionResult::Receipt(_), SubmissionResult::Pending(waits), SubmissionResult::Receipt(_)] =
        results.as_slice()
    else {
        panic!("{results:?}")
    };
    assert!(waits.why.as_ref().is_some_and(|why| why.contains("413")), "{waits:?}");
}

/// What was passed over meanwhile, perhaps a block, does not wait for minutes once something gets through again.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_proxy_takes_nothing_is_sent_soon_after() {
    let page = ("text/html", "<html><h1>413 Request Entity Too Large</h1></html>".to_owned());
    // The batch, and then each of its bodies.
    let results = sent_through(page, (usize::MAX, None, 4), 0).await;
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}
