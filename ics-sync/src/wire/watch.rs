//! The messages to those who watch things in a domain and keep no copy: signed record heads of the things that were
//! spoken of.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::limits;
use ics_core::record::Posting;
use ics_core::vocabulary::Attribute;
use serde::{Deserialize, Serialize};

use super::{Rights, WireError, parse};

/// Bytes of [`Heads`] as JSON, in which a line break takes two: the last entry that is told of has two heads at most.
pub const HEADS_BYTES: usize = 2 * (limits::NEWS_BYTES + 2 * limits::RECORD_HEAD_BYTES + limits::NOTE_BYTES);
/// Record heads in one piece; the last entry that is told of has two of them at most.
const MOST_HEADS: usize = limits::NEWS_ENTRIES + 1;

/// What somebody watches in a domain, and how far he was told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Things by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Whatever is of a model or a lot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Entries of the log of which he was told.
    #[serde(default)]
    pub from: u64,
    /// Seconds to wait for something to tell, where the answer is not a stream: none unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
}

/// A choice by attributes: whatever has both, if both are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The lot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
}

/// What was spoken of in a part of a log, of that which is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    /// Entries of the log of which this and what came before tells.
    pub upto: u64,
    /// Entries of the log; where they are more, there is more to tell at once.
    pub size: u64,
    /// The home's signed record heads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<String>,
    /// The newest checkpoint, where there are none: nothing was said as of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Stands for what he may read and take over who is told. When it is another one than before, there may be more to
    /// tell of what he has passed, or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
}

impl Choice {
    fn values(&self) -> impl Iterator<Item = (Attribute, &String)> {
        let values = [(Attribute::Model, &self.model), (Attribute::Lot, &self.lot)];
        values.into_iter().filter_map(|(attribute, value)| Some((attribute, value.as_ref()?)))
    }

    /// Whether a thing is chosen, by what it was ever given ([`ics_core::record::ever_given`]): what ends its introduction
    /// must not end the following of it, or the blocks behind that were missed.
    #[must_use]
    pub fn fits(&self, given: &BTreeMap<Attribute, BTreeSet<String>>) -> bool {
        self.values().all(|(attribute, wanted)| given.get(&attribute).is_some_and(|values| values.contains(wanted)))
    }

    /// What a statement has that introduces what is chosen.
    #[must_use]
    pub fn postings(&self) -> Vec<Posting> {
        self.values().map(|(attribute, value)| Posting::Attribute(attribute, value.clone())).collect()
    }

    /// Whether it chooses something, in no more words than it may have.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.values().next().is_some() && self.values().all(|(_, value)| value.len() <= limits::WATCHED_VALUE_BYTES)
    }
}

impl core::fmt::Display for Choice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let words: Vec<String> = self.values().map(|(attribute, value)| format!("{attribute} {value}")).collect();
        f.write_str(&words.join(", "))
    }
}

impl Heads {
    /// Reads what was answered, and holds it to its bounds. Nothing is verified.
    ///
    /// # Errors
    /// When it is not such an answer, or goes past one of them.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        let answer: Self = parse(json, HEADS_BYTES)?;
        match (&answer.checkpoint, answer.heads.len()) {
            (Some(note), _) if note.len() > limits::NOTE_BYTES => Err(WireError::Checkpoint(note.len())),
            (_, heads) if heads > MOST_HEADS => Err(WireError::Json(format!("it has {heads} record heads"))),
            _ => Ok(answer),
        }
    }

    /// As a server-sent event.
    #[must_use]
    pub fn to_event(&self) -> Vec<u8> {
        // It has a JSON form, in which there is no line break.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("event: heads\nid: {}\ndata: {json}\n\n", self.upto).into_bytes()
    }
}
