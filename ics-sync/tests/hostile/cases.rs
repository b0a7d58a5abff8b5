//! The table: what a peer answers, and how it is refused.

use ics_core::descriptor::Descriptor;
use ics_core::limits;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::entry::{Entry, EntryKind};
use ics_core::log::{Hash, cosignature};
use ics_core::statement::Remnant;
use ics_sync::news::News;
use ics_sync::packed;
use ics_sync::wire::{self, Base64};

use crate::home::{Home, NODE, at, entry, node_key, signing_key};
use crate::owners;
use crate::server::{NOW, Reply, Request, SIGNED, late, ok, response};

/// The required result.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// The mirror stops for good, and says so.
    Stop(&'static str),
    /// It reports what is wrong, keeps what it has, and will try again.
    Trouble(&'static str),
    /// The same, but what came is kept without effect until somebody shows the rest.
    Doubt(&'static str),
    /// It is ignored; what the home has signed arrives in another way.
    Harmless,
}

use Expected::{Doubt, Harmless, Stop, Trouble};

/// A hostile peer.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Its answer, if it is not the honest one.
    pub(crate) reply: fn(&Home, &Request) -> Option<Reply>,
    pub(crate) expected: Expected,
    /// What the home itself does first.
    pub(crate) change: fn(&mut Home),
    /// Whether the mirror holds nothing yet.
    pub(crate) fresh: bool,
    /// Whether it may read only a part.
    pub(crate) partial: bool,
    /// Whether the peer is not the home, which could be asked.
    pub(crate) aside: bool,
    pub(crate) listens: bool,
    /// Whether the mirror gives up soon, because the peer is slow.
    pub(crate) hurried: bool,
    /// Bytes that the mirror may be sent, at most.
    pub(crate) bound: usize,
}

fn nothing(_: &mut Home) {}

const fn case(name: &'static str, reply: fn(&Home, &Request) -> Option<Reply>, expected: Expected) -> Case {
    Case {
        name,
        reply,
        expected,
        change: nothing,
        fresh: false,
        partial: false,
        aside: false,
        listens: false,
        hurried: false,
        bound: wire::PAGE_JSON_BYTES,
    }
}

impl Case {
    const fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    const fn partial(self) -> Self {
        Self { partial: true, ..self }
    }

    /// The mirror may read only a part, and the peer is not the home.
    const fn aside(self) -> Self {
        Self { partial: true, aside: true, ..self }
    }

    const fn listens(self) -> Self {
        Self { listens: true, ..self }
    }

    const fn hurried(self) -> Self {
        Self { hurried: true, ..self }
    }

    const fn after(self, change: fn(&mut Home)) -> Self {
        Self { change, ..self }
    }

    const fn within(self, bound: usize) -> Self {
        Self { bound, ..self }
    }
}

/// An answer to one path; all others are answered honestly.
fn at_path(path: &str, request: &Request, reply: impl FnOnce() -> Reply) -> Option<Reply> {
    (request.path == path).then(reply)
}

/// An answer to the request for the newest checkpoint.
macro_rules! checkpoint {
    ($reply:expr) => {
        |_, request| at_path("checkpoint", request, || $reply)
    };
}

/// The home's own note, changed.
macro_rules! note {
    ($change:expr) => {
        |home, request| {
            let change: fn(&Home) -> String = $change;
            at_path("checkpoint", request, || ok(change(home).as_bytes()))
        }
    };
}

/// The page of an honest peer, changed, as JSON.
macro_rules! page {
    ($change:expr) => {
        |home, request| {
            let change: fn(&mut wire::Page) = $change;
            at_path("entries", request, || {
                let mut page = asked(home, request);
                change(&mut page);
                ok(&serde_json::to_vec(&page).expect("JSON"))
            })
        }
    };
}

/// The JSON of an honest page, changed as text.
macro_rules! text {
    ($change:expr) => {
        |home, request| {
            let change: fn(String) -> String = $change;
            at_path("entries", request, || {
                ok(change(serde_json::to_string(&asked(home, request)).expect("JSON")).as_bytes())
            })
        }
    };
}

/// The packed form of an honest page, changed, with the given headers.
macro_rules! packed {
    ($headers:expr, $change:expr) => {
        |home, request| {
            let change: fn(Vec<u8>) -> Vec<u8> = $change;
            at_path("entries", request, || response("200 OK", $headers, &change(packed::pack(&asked(home, request)))))
        }
    };
}

/// The honest answer to a second look, changed.
macro_rules! shown {
    ($change:expr) => {
        |home, request| {
            let change: fn(&mut wire::Shown, &wire::Again) = $change;
            at_path("entries/again", request, || {
                let again: wire::Again = serde_json::from_slice(&request.body).expect("a question");
                let mut shown = home.again(&again).expect("within the log");
                change(&mut shown, &again);
                ok(&serde_json::to_vec(&shown).expect("JSON"))
            })
        }
    };
}

/// An event that the peer pushes, on a stream that then ends.
macro_rules! event {
    ($event:expr) => {
        |home, request| {
            let event: fn(&Home) -> Vec<u8> = $event;
            at_path("feed", request, || Reply::Bytes([STREAM, &event(home)[..]].concat()))
        }
    };
}

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const PACKED: &str = "content-type: application/vnd.ics.page\r\n";
const SQUEEZED: &str = "content-type: application/vnd.ics.page\r\ncontent-encoding: zstd\r\n";
const NO_NOTE: Expected = Trouble("the peer sent no checkpoint");
const UNREACHED: Expected = Trouble("the peer cannot be reached");
const LATE: Expected = Trouble("the peer's answer was not complete in time");
const UNPROVEN: Expected = Stop("do not lead from the 20 held here");
const NOT_JSON: Expected = Trouble("the answer is not as expected");
const NOT_PACKED: Expected = Trouble("the page is not understood");

fn asked(home: &Home, request: &Request) -> wire::Page {
    let number = |name| request.number(name).unwrap_or_default();
    home.page(number("from"), number("limit") as usize, number("until")).expect("within the log")
}

fn signed(origin: Origin, size: u64, root: Hash, seed: u8) -> String {
    let key = signing_key(seed);
    let note = Checkpoint { origin, size, root }.sign(&key).expect("signs");
    cosignature::cosign(&note, NODE, &key, late()).expect("room")
}

/// The home's newest note with changed lines.
fn lines(home: &Home, change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut lines: Vec<String> = home.note.split('\n').map(str::to_owned).collect();
    change(&mut lines);
    lines.join("\n")
}

fn chunk(bytes: usize) -> Vec<u8> {
    [format!("{bytes:x}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat()
}

fn raw(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::Bytes(bytes.as_ref().to_vec())
}

/// A page of news from the mirror's position, as a home pushes it.
fn told(home: &Home) -> wire::Page {
    let page = home.page(20, limits::NEWS_ENTRIES, home.size()).expect("within the log");
    wire::Page { checkpoint: Some(home.note.clone()), ..page }
}

fn whole(page: &mut wire::Page, position: usize) -> &mut Entry {
    match &mut page.entries[position] {
        wire::Entry::Whole(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn descriptors(from: u64, bodies: Vec<Vec<u8>>) -> Reply {
    let entries = bodies.into_iter().map(|body| wire::Entry::Whole(entry(EntryKind::Descriptor, body, at(NOW))));
    ok(&serde_json::to_vec(&wire::Descriptors { from, entries: entries.collect() }).expect("JSON"))
}

/// The home takes a new key, which its next checkpoint bears.
fn new_key(home: &mut Home) {
    home.replace_key(2, late());
    home.sign(late());
}

fn strangers(home: &Home) -> Descriptor {
    let next = owners::following(&home.descriptors[0].1);
    Descriptor { home: node_key(NODE, 2), ..next }
}

/// What the reader may read changes because the operator changes it.
fn turned(home: &mut Home) {
    home.turn(3, crate::home::Turn::Peer, late());
}

mod log;
mod news;
mod pages;
mod transport;

/// The whole table.
pub(crate) fn all() -> Vec<Case> {
    [
        transport::all(),
        log::notes(),
        log::descriptor_lists(),
        pages::all(),
        pages::packed(),
        pages::kept_back(),
        pages::second_looks(),
        news::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
