//! How a mirror that is up to date receives news.

use ics_core::time::Timestamp;

use super::Mirror;
use super::stop::Trouble;
use crate::news::News;
use crate::pause::Pause;

/// Milliseconds for which a way that did not work is not tried again.
const FALLBACK_MILLIS: u64 = 10 * 60 * 1000;
/// Milliseconds, at most, after which a mirror that has heard nothing polls: several heartbeats.
pub(super) const SILENCE_MILLIS: u64 = 45_000;
/// Pieces of news per minute that may bring no entries, counted anew once some have come: several times the number of
/// heartbeats.
const IDLE_NEWS: u32 = 32;
const IDLE_MILLIS: u64 = 60_000;

/// A way to receive news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The peer pushes events over one connection that stays open.
    Stream,
    /// The peer holds a request until there is news, for connections on which streams do not get through.
    LongPoll,
}

/// The way that is used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listening {
    /// What is used instead of a stream for some time; an inner `None` means only polling.
    fallback: Option<(Option<Way>, Pause)>,
    /// Whether the current way has brought anything yet.
    heard: bool,
    /// The current minute, and the pieces of news in it that brought no entries.
    minute: Pause,
    idle: u32,
}

impl Listening {
    pub(crate) fn way(&self, now: Timestamp) -> Option<Way> {
        match &self.fallback {
            Some((way, pause)) if pause.until(now).is_some() => *way,
            _ => Some(Way::Stream),
        }
    }

    pub(crate) const fn heard(&mut self) {
        self.heard = true;
    }

    /// Counts a piece of news that brought no entries; returns whether there were too many.
    pub(crate) fn idles(&mut self, now: Timestamp) -> bool {
        if self.minute.until(now).is_none() {
            (self.minute, self.idle) = (Pause::of(now, IDLE_MILLIS), 0);
        }
        self.idle = self.idle.saturating_add(1);
        self.idle > IDLE_NEWS
    }

    /// Notes that entries have come. A stream that is opened again after they were fetched begins with what is known by
    /// then.
    pub(super) const fn brought_entries(&mut self) {
        self.idle = 0;
    }

    /// Ends the current way. If it never brought anything, the next one is used from now on.
    ///
    /// Returns whether it had worked before.
    pub(crate) fn broken(&mut self, now: Timestamp) -> bool {
        let worked = core::mem::take(&mut self.heard);
        if !worked {
            let next = match self.way(now) {
                Some(Way::Stream) => Some(Way::LongPoll),
                Some(Way::LongPoll) | None => None,
            };
            self.fallback = Some((next, Pause::of(now, FALLBACK_MILLIS)));
        }
        worked
    }
}

impl Mirror {
    /// Takes what the peer sent unasked. A peer that endlessly repeats what is known here fails, and so does one that
    /// endlessly has other times or rights to tell: each of them is written down.
    pub fn handle_news(&mut self, news: News, now: Timestamp) {
        self.listening.heard();
        self.take_news(news, now);
        let is_idle = self.resting && self.stopped.is_none() && self.target.is_none();
        if is_idle && self.listening.idles(now) {
            self.fail(Trouble::Failure("the peer keeps sending what is already known here".to_owned()), now);
        }
    }

    fn take_news(&mut self, news: News, now: Timestamp) {
        let page = match news {
            News::Checkpoint(note) => return self.handle_checkpoint(&note, now),
            News::Page(page) => page,
        };
        // Without a checkpoint it proves nothing; asking for one gets it.
        let Some(note) = &page.checkpoint else { return self.look(now) };
        let tells_rights = page.from == self.size() && page.size == page.from && page.entries.is_empty();
        if tells_rights && self.held.is_some() && self.pending.is_none() && self.target.is_none() {
            let note = note.clone();
            self.handle_rights(page, now);
            return self.handle_checkpoint(&note, now);
        }
        self.handle_checkpoint(note, now);
        let leads_on = self.target.as_ref().is_some_and(|target| target.checkpoint.size == page.size);
        if leads_on && self.pending.is_none() && page.from == self.size() && !page.entries.is_empty() {
            self.handle_page(page, now);
        }
    }

    /// Takes the report that the way of [`super::Action::Listen`] has ended: it broke, or never worked.
    pub fn handle_silence(&mut self, what: &str, now: Timestamp) {
        if self.listening.broken(now) {
            return self.fail(Trouble::Failure(what.to_owned()), now);
        }
        self.rest(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_never_worked_is_left_for_some_time() {
        let at = Timestamp::from_millis;
        let mut listening = Listening::default();
        assert_eq!(listening.way(at(0)), Some(Way::Stream));
        assert!(!listening.broken(at(0)));
        assert_eq!(listening.way(at(1)), Some(Way::LongPoll));
        listening.heard();
        assert!(listening.broken(at(1)), "it had worked: it is tried again");
        assert_eq!(listening.way(at(2)), Some(Way::LongPoll));
        assert!(!listening.broken(at(2)));
        assert_eq!(listening.way(at(3)), None, "what is left is to look");
        assert_eq!(listening.way(at(2 + FALLBACK_MILLIS)), Some(Way::Stream));
    }
}
