//! Until when alerts were sent, across restarts: otherwise each start would send again everything that still holds, and
//! nobody would learn what has ended while the node was down.

use std::fs;

use ics_core::time::Timestamp;

use super::error::StoreError;
use super::{Store, replace_file};

const FILE: &str = "told";
const NEW: &str = ".new-told";

impl Store {
    /// Until when alerts were sent in this way, that is, to this receiver with these settings; `None` if that is not
    /// known.
    pub(crate) fn told_until(&self, way: &str) -> Option<Timestamp> {
        let text = fs::read_to_string(self.dir().join(FILE)).ok()?;
        let (millis, told_way) = text.trim().split_once(' ')?;
        millis.parse().ok().filter(|_| told_way == way).map(Timestamp::from_millis)
    }

    /// Records this durably, replacing what was recorded before.
    pub(crate) fn note_told(&self, way: &str, until: Timestamp) -> Result<(), StoreError> {
        replace_file(self.dir(), NEW, FILE, &format!("{} {way}\n", until.as_millis()))
    }
}
