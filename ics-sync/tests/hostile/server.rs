//! A server that is as hostile as a case demands, and the mirror that asks it through the real driver.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use ics_core::time::Timestamp;
use ics_sync::http::{HttpPeer, client_builder};
use ics_sync::mirror::{Mirror, Settings, Status};
use ics_sync::wire;
use ics_sync::{Peer, Progress};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::home::{Home, at};
use crate::memory::Memory;
use crate::request;

pub(crate) const NOW: u64 = 1_700_000_000_000;
/// Entries that the mirror holds when it meets the peer, and entries that the home has signed.
pub(crate) const HELD: usize = 20;
pub(crate) const SIGNED: usize = 40;
/// Bytes that a peer can send beyond the bound of the answer before it is cut off: what sockets hold.
const IN_SOCKETS: usize = 8 * 1024 * 1024;
/// How long any case may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request: its path below the domain, its query, its body.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
    }
}

/// What is sent.
pub(crate) enum Reply {
    Bytes(Vec<u8>),
    /// A beginning, then the same piece again and again until nobody takes it any more.
    Endless(Vec<u8>, Vec<u8>),
    /// One byte after another, slowly.
    Drip(Vec<u8>),
    /// Nothing more, while the connection stays open.
    Silence(Vec<u8>),
}

pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body].concat())
}

pub(crate) fn ok(body: &[u8]) -> Reply {
    response("200 OK", "", body)
}

/// What an honest peer answers.
pub(crate) fn honest(home: &Home, request: &Request) -> Reply {
    let number = |name| request.number(name).unwrap_or_default();
    match request.path.as_str() {
        "checkpoint" => ok(home.note.as_bytes()),
        "descriptors" => ok(&serde_json::to_vec(&home.descriptors(number("from"))).expect("JSON")),
        "entries" if request.number("until").is_some() => {
            match home.page(number("from"), number("limit") as usize, number("until")) {
                Some(page) => json(&page),
                None => response("404 Not Found", "", b""),
            }
        }
        "entries/again" => {
            let again: wire::Again = serde_json::from_slice(&request.body).expect("a question");
            ok(&serde_json::to_vec(&home.again(&again).expect("within the log")).expect("JSON"))
        }
        _ => response("404 Not Found", "", b""),
    }
}

pub(crate) fn json(page: &wire::Page) -> Reply {
    ok(&serde_json::to_vec(page).expect("JSON"))
}

/// The result of a mirror, and what its peer saw.
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) memory: Memory,
    /// The most bytes that the peer could write into one connection.
    pub(crate) written: usize,
}

/// A mirror that holds [`HELD`] entries meets a peer, until it reports trouble, stops, or holds everything.
pub(crate) async fn meet(
    mut mirror: Mirror,
    mut memory: Memory,
    (whole, from, hurried): (u64, u64, bool),
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> End {
    let written = Arc::new(Mutex::new(0));
    let peers = [peer(serve(reply, Arc::clone(&written)).await, hurried)];
    let (progress, mut watched) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let started = std::time::Instant::now();
    let clock = move || at(from + started.elapsed().as_millis() as u64);
    let seen = async {
        let ends = |it: &Progress| it.status.trouble.is_some() || it.status.size >= whole;
        let _ = watched.wait_for(ends).await;
    };
    let running = ics_sync::run(&mut mirror, &peers, &mut memory, clock, &progress, seen);
    let _ = tokio::time::timeout(PATIENCE, running).await.expect("no case takes so long");
    let written = *written.lock().expect("a lock");
    End { status: mirror.status(), memory, written }
}

/// A peer; for one that is deliberately slow, the client waits only briefly.
fn peer(address: String, hurried: bool) -> Peer {
    let client = client_builder(&address);
    let client = match hurried {
        true => client.read_timeout(Duration::from_millis(300)).timeout(Duration::from_secs(1)),
        false => client,
    };
    HttpPeer::new(&address, client.build().expect("a client")).expect("an address").into()
}

pub(crate) fn settings(listens: bool) -> Settings {
    Settings { interval_millis: 10, listens, seed: 1 }
}

async fn serve(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static, written: Arc<Mutex<usize>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reply, written) = (Arc::clone(&reply), Arc::clone(&written));
            tokio::spawn(async move {
                let bytes = answer(stream, &*reply).await;
                let mut most = written.lock().expect("a lock");
                *most = bytes.max(*most);
            });
        }
    });
    format!("http://{address}")
}

/// Answers one request; returns how many bytes were sent.
async fn answer(mut stream: TcpStream, reply: &(impl Fn(&Request) -> Reply + Sync)) -> usize {
    let Some(request) = read(&mut stream).await else { return 0 };
    match reply(&request) {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            bytes.len()
        }
        Reply::Endless(first, piece) => {
            let mut written = first.len();
            let mut taken = stream.write_all(&first).await;
            while taken.is_ok() && written < 1 << 30 {
                taken = stream.write_all(&piece).await;
                written += piece.len();
            }
            written
        }
        Reply::Drip(bytes) => {
            for byte in &bytes {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            bytes.len()
        }
        Reply::Silence(bytes) => {
            let _ = stream.write_all(&bytes).await;
            tokio::time::sleep(PATIENCE).await;
            bytes.len()
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let request::Request { line, body } = request::read(stream).await?;
    let target = line.split(' ').nth(1)?.strip_prefix("/v1/domains/devices.acme.example/")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request { path: path.to_owned(), query: query.to_owned(), body })
}

/// The peak memory of this process, according to the kernel, since the measurement was last restarted.
pub(crate) fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Restarts the measurement of the peak.
pub(crate) fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("one's own process");
}

pub(crate) const fn may_be_written(bound: usize) -> usize {
    bound + IN_SOCKETS
}

pub(crate) fn late() -> Timestamp {
    at(NOW + 10_000)
}
