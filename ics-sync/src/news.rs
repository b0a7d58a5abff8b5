//! What a node pushes: news of a domain as server-sent events (WHATWG HTML, section 9.2), read without I/O.
//!
//! | event | data |
//! |---|---|
//! | `page` | a [`Page`] from the subscriber's cursor on: the entries, or none if they are many and are to be fetched |
//! | `checkpoint` | the newest checkpoint as a JSON string: nothing new as of its time |
//! | `heads` | [`Heads`] of watched things, in the stream of a subscriber who keeps no copy |
//!
//! The `id` of an event is the size that it leads to. A returning subscriber sends it as `Last-Event-ID`.

use core::marker::PhantomData;

use ics_core::limits;

use crate::wire::{HEADS_BYTES, Heads, Page, WireError};

/// Seconds between two heartbeats of a peer that has nothing to report.
pub const HEARTBEAT_SECONDS: u64 = 10;

/// Bytes of one event: the entries as JSON, one of which may be as long as a body can be, with their frame.
pub const EVENT_BYTES: usize = limits::PERSON_CERTIFICATE_BYTES.div_ceil(3) * 4
    + limits::NEWS_BYTES.div_ceil(3) * 4
    + 256 * limits::NEWS_ENTRIES
    + 64 * limits::PROOF_HASHES
    + 24 * limits::SIGHT_INDICES
    + 2 * limits::NOTE_BYTES
    + 2 * limits::HEADER_BYTES;

/// A piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The log has grown.
    Page(Page),
    /// It has not, as of the time of this note.
    Checkpoint(String),
}

impl News {
    /// The news as an event; `size` is the log's.
    #[must_use]
    pub fn to_event(&self, size: u64) -> Vec<u8> {
        let (name, data) = match self {
            Self::Page(page) => ("page", serde_json::to_string(page)),
            Self::Checkpoint(note) => ("checkpoint", serde_json::to_string(note)),
        };
        // Neither form can fail, and this JSON contains no line break.
        format!("event: {name}\nid: {size}\ndata: {}\n\n", data.unwrap_or_default()).into_bytes()
    }
}

/// An event that a stream brings.
pub trait Event: Sized {
    /// Bytes that one event may have.
    const BYTES: usize;

    /// Reads an event with this name; `None` if it is of another kind.
    ///
    /// # Errors
    /// When its data does not match its name.
    fn read(name: &str, data: &str) -> Result<Option<Self>, WireError>;
}

impl Event for News {
    const BYTES: usize = EVENT_BYTES;

    fn read(name: &str, data: &str) -> Result<Option<Self>, WireError> {
        match name {
            "page" => Page::decode(data.as_bytes()).map(|page| Some(Self::Page(page))),
            "checkpoint" => {
                let note: String = serde_json::from_str(data).map_err(|error| WireError::Json(error.to_string()))?;
                if note.len() > limits::NOTE_BYTES {
                    return Err(WireError::Checkpoint(note.len()));
                }
                Ok(Some(Self::Checkpoint(note)))
            }
            _ => Ok(None),
        }
    }
}

impl Event for Heads {
    const BYTES: usize = HEADS_BYTES + 256;

    fn read(name: &str, data: &str) -> Result<Option<Self>, WireError> {
        if name == "heads" { Self::decode(data.as_bytes()).map(Some) } else { Ok(None) }
    }
}

/// Reads events from a stream that arrives in pieces.
#[derive(Debug)]
pub struct Events<E> {
    /// The part of the current line that has arrived.
    line: Vec<u8>,
    /// Bytes of the current event so far.
    bytes: usize,
    name: String,
    data: String,
    what: PhantomData<E>,
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self { line: Vec::new(), bytes: 0, name: String::new(), data: String::new(), what: PhantomData }
    }
}

impl<E: Event> Events<E> {
    /// Takes a piece; returns the news that it completes, in order.
    ///
    /// # Errors
    /// When an event is longer than [`Event::BYTES`], or not understood. The stream is then unusable.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<E>, WireError> {
        let mut news = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.bytes = self.bytes.saturating_add(part.len());
            if self.bytes > E::BYTES {
                return Err(WireError::TooLong(E::BYTES));
            }
            self.line.extend_from_slice(part);
            if self.line.last() == Some(&b'\n') {
                let line = core::mem::take(&mut self.line);
                news.extend(self.take_line(&line)?);
            }
        }
        Ok(news)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<E>, WireError> {
        let line = core::str::from_utf8(line).map_err(|_| WireError::Json("an event is not UTF-8".to_owned()))?;
        let line = line.trim_end_matches(['\n', '\r']);
        match line.split_once(':') {
            _ if line.is_empty() => return self.end(),
            Some(("event", name)) => self.name = field(name).to_owned(),
            Some(("data", data)) => self.data.push_str(field(data)),
            // Comments, ids, and what newer nodes may add.
            _ => {}
        }
        Ok(None)
    }

    /// Ends an event, at an empty line. One without data is none.
    fn end(&mut self) -> Result<Option<E>, WireError> {
        let Self { name, data, .. } = core::mem::take(self);
        E::read(&name, &data)
    }
}

/// The value of a field: one space after the colon is not part of it.
fn field(value: &str) -> &str {
    value.strip_prefix(' ').unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Entry;

    fn page() -> Page {
        Page {
            from: 7,
            entries: vec![Entry::Hidden([1; 32])],
            size: 8,
            checkpoint: Some("a\nb".to_owned()),
            proof: vec![],
            sight: None,
        }
    }

    #[test]
    fn comments_and_unknown_events_are_passed_over() {
        let stream = ": welcome\n\nretry: 1000\n\nevent: weather\ndata: 1\n\nevent:checkpoint\r\ndata:\"x\"\r\n\r\n";
        assert_eq!(Events::<News>::default().take(stream.as_bytes()), Ok(vec![News::Checkpoint("x".to_owned())]));
    }

    #[test]
    fn what_is_no_news() {
        for (stream, expected) in [
            ("event: page\ndata: {}\n\n", "the answer is not as expected"),
            ("event: checkpoint\ndata: 7\n\n", "the answer is not as expected"),
            ("event: checkpoint\n\n", "the answer is not as expected"),
        ] {
            let error = Events::<News>::default().take(stream.as_bytes()).expect_err(stream).to_string();
            assert!(error.starts_with(expected), "{stream}: {error}");
        }
        assert!(Events::<News>::default().take(b"data: \xff\n").is_err());
        let long = format!("event: checkpoint\ndata: \"{}\"\n\n", "x".repeat(limits::NOTE_BYTES + 1));
        assert_eq!(Events::<News>::default().take(long.as_bytes()), Err(WireError::Checkpoint(limits::NOTE_BYTES + 1)));
    }

    #[test]
    fn an_event_without_end_is_cut() {
        let mut events = Events::<News>::default();
        let piece = vec![b'x'; EVENT_BYTES];
        assert_eq!(events.take(&piece), Ok(vec![]));
        assert_eq!(events.take(b"x"), Err(WireError::TooLong(EVENT_BYTES)));
    }

    #[test]
    fn heads_are_read_as_written_and_within_bounds() {
        let heads = |count| {
            let heads = vec!["a\nb\n".to_owned(); count];
            Heads { upto: 7, size: 9, heads, checkpoint: None, rights: None }
        };
        assert_eq!(Events::default().take(&heads(65).to_event()), Ok(vec![heads(65)]));
        let refused = |event: &[u8]| Events::<Heads>::default().take(event).expect_err("no heads").to_string();
        assert_eq!(refused(&heads(66).to_event()), "the answer is not as expected: it has 66 record heads");
        let long = Heads { checkpoint: Some("x".repeat(limits::NOTE_BYTES + 1)), ..heads(0) };
        assert!(refused(&long.to_event()).contains("the checkpoint has 16385 bytes"));
        let other = [&b"event: page\ndata: {}\n\n"[..], &heads(0).to_event()].concat();
        assert_eq!(Events::default().take(&other), Ok(vec![heads(0)]), "what it does not know is passed over");
        assert!(refused(&vec![b'x'; Heads::BYTES + 1]).contains("more than"));
    }

    proptest! {
        #[test]
        fn news_are_read_as_written_wherever_the_stream_is_cut(cuts in prop::collection::vec(1_usize..40, 1..30)) {
            let all = [News::Page(page()), News::Checkpoint("note\n\n— x".to_owned()), News::Page(page())];
            let stream = all.iter().flat_map(|news| news.to_event(8)).collect::<Vec<u8>>();
            let (mut events, mut read, mut rest) = (Events::<News>::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                read.extend(events.take(piece).expect("news"));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, all);
        }
    }
}
