//! A peer that answers as a test wants it to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ics_node::app::{App, Query, Reader};
use ics_sync::wire::Heads;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Node;
use crate::world::domain;

/// For how long nothing is sent, until the connection ends.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// What is sent.
#[derive(Clone)]
pub(super) enum Reply {
    Json(Vec<u8>),
    Missing,
    Elsewhere,
    Hangup,
    Silence,
}

type Answering = Arc<dyn Fn(&App, &str) -> Reply + Send + Sync>;

/// A server in front of a home's use cases.
pub(super) struct Liar {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    home: Mutex<App>,
    answering: Mutex<Option<Answering>>,
    /// What it pushes, in immediate answers: it has no stream.
    pushing: Mutex<Option<Heads>>,
    asked: AtomicUsize,
    last: Mutex<Vec<u8>>,
}

impl Liar {
    /// A peer that passes on what the home says.
    pub(super) async fn honest(home: &Node) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            home: Mutex::new(home.app().clone()),
            answering: Mutex::default(),
            pushing: Mutex::default(),
            asked: AtomicUsize::new(0),
            last: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&serving)));
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn set(&self, answering: impl Fn(&App, &str) -> Reply + Send + Sync + 'static) {
        *self.shared.answering.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(answering));
    }

    pub(super) fn set_honest(&self, home: &Node) {
        *self.shared.home.lock().unwrap_or_else(PoisonError::into_inner) = home.app().clone();
        *self.shared.answering.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Makes it push this; with `None` it has no watch feed, so that followers look for themselves.
    pub(super) fn push(&self, heads: Option<Heads>) {
        *self.shared.pushing.lock().unwrap_or_else(PoisonError::into_inner) = heads;
    }

    /// The number of questions so far.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// The last honest answer.
    pub(super) fn last(&self) -> Vec<u8> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn reply(&self, target: &str) -> Reply {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if target.ends_with("/checkpoint") {
            return Reply::Json(home.checkpoint(&domain()).expect("a checkpoint").into_bytes());
        }
        if target.ends_with("/watch") {
            let pushing = self.pushing.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return pushing.map_or(Reply::Missing, |heads| Reply::Json(serde_json::to_vec(&heads).expect("JSON")));
        }
        let (path, query) = target.split_once('?').expect("a query");
        let asked = path.split("/identities/").nth(1).and_then(|rest| rest.strip_suffix("/attestation")).expect(path);
        let asked = asked.replace("%3A", ":");
        let answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match answering.map(|answering| answering(&home, &asked)) {
            Some(reply) => reply,
            None => {
                let seen = query.split('&').find_map(|pair| pair.strip_prefix("seen=")).expect("seen");
                let query = Query::parse(&asked).expect("a query");
                let said = home.attest(Reader::Anonymous, &domain(), &query, seen.parse().expect("a number"));
                let json = serde_json::to_vec(&said.expect("attests").expect("at home")).expect("JSON");
                self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&json);
                Reply::Json(json)
            }
        }
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let head = String::from_utf8(head).expect("text");
    let target = head.split(' ').nth(1).expect("a target").to_owned();
    let replying = Arc::clone(&shared);
    let reply = tokio::task::spawn_blocking(move || replying.reply(&target)).await.expect("replies");
    let (status, more, body) = match reply {
        Reply::Json(json) => ("200 OK", "content-type: application/json\r\n", json),
        Reply::Missing => ("404 Not Found", "", Vec::new()),
        Reply::Elsewhere => ("302 Found", "location: http://127.0.0.1:1/\r\n", Vec::new()),
        Reply::Hangup => return,
        Reply::Silence => {
            tokio::time::sleep(SILENCE).await;
            return;
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n", body.len());
    // A client that has read enough hangs up.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}
