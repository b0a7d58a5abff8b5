//! Searches that are answered from memory.

use super::super::ber;
use super::super::hot::{self, Hot};
use super::super::message;
use super::Session;
use crate::app::Reader;

impl Session {
    /// Answers a request before it is decoded, if nothing before it waits and its answer is remembered.
    pub(super) fn answer_again(&mut self, range: core::ops::Range<usize>) -> bool {
        if !self.is_idle() || self.next_job.is_some() {
            return false;
        }
        let bytes = self.input.get(range).unwrap_or_default();
        remembered(self.reader, bytes).is_some_and(|(id, key)| self.answer_known(id, &key))
    }

    /// Answers a request whose turn it is, if its answer is remembered.
    pub(super) fn answer_known(&mut self, id: i32, key: &[u8]) -> bool {
        let Self { hot, place, now, output, .. } = self;
        let answer = hot.get(key, place.app.clock().now(), |rests| now.bears(&place.app, rests));
        let Some(answer) = answer else { return false };
        let before = output.len();
        for operation in answer.operations() {
            let dated = operation.domain().map_or(Some(&[][..]), |domain| now.dated(&place.app, domain));
            let Some(dated) = dated else {
                output.truncate(before);
                return false;
            };
            operation.write(output, id, dated);
        }
        true
    }
}

/// Whether the answer to a request may be remembered.
pub(in super::super) fn is_remembered(reader: Reader, bytes: &[u8]) -> bool {
    remembered(reader, bytes).is_some()
}

/// The id of a search, and the key for remembering its answer.
pub(super) fn remembered(reader: Reader, bytes: &[u8]) -> Option<(i32, Box<[u8]>)> {
    let (_, content, _) = ber::split(bytes).ok()?;
    let (head, id, operation) = ber::split(content).ok()?;
    let is_search = operation.first() == Some(&message::SEARCH) && operation.len() <= hot::REQUEST_BYTES;
    if head.tag != ber::INTEGER || !is_search || !(1..=4).contains(&id.len()) {
        return None;
    }
    let id = id.iter().fold(0_u32, |id, octet| id << 8 | u32::from(*octet));
    Some((i32::try_from(id).ok().filter(|id| *id > 0)?, Hot::key(reader, operation)?))
}
