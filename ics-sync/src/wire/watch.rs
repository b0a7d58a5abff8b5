//! The messages to those who watch things in a domain and keep no copy: signed record heads of the things that were
//! spoken of.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::limits;
use ics_core::record::Posting;
use ics_core::vocabulary::Attribute;
use serde::{Deserialize, Serialize};

use super::{Rights, WireError, parse};

/// Bytes of [`Heads`] as JSON, where a line break takes two; the last entry that is reported has at most two heads.
pub const HEADS_BYTES: usize = 2 * (limits::NEWS_BYTES + 2 * limits::RECORD_HEAD_BYTES + limits::NOTE_BYTES);
/// Record heads in one piece; the last entry that is reported has at most two of them.
const MOST_HEADS: usize = limits::NEWS_ENTRIES + 1;

/// What somebody watches in a domain, and how far it was reported to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Things, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Everything of a model or a lot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Entries of the log that were reported to them.
    #[serde(default)]
    pub from: u64,
    /// Seconds to wait for something to report if the answer is not a stream; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
}

/// A choice by attributes: everything that has both, if both are given.
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

/// What was said about watched things in a part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    /// Entries of the log that this and earlier pieces report.
    pub upto: u64,
    /// Entries of the log; if more than `upto`, there is more to report right away.
    pub size: u64,
    /// The home's signed record heads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<String>,
    /// The newest checkpoint, if there are no heads: nothing was said as of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Stands for what the recipient may read and take over. If it changes, there may be more or less to report about
    /// entries that they have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
}

impl Choice {
    fn values(&self) -> impl Iterator<Item = (Attribute, &String)> {
        let values = [(Attribute::Model, &self.model), (Attribute::Lot, &self.lot)];
        values.into_iter().filter_map(|(attribute, value)| Some((attribute, value.as_ref()?)))
    }

    /// Whether a thing is chosen, by what it was ever given ([`ics_core::record::ever_given`]): what ends its
    /// introduction must not end the following of it, or later blocks would be missed.
    #[must_use]
    pub fn fits(&self, given: &BTreeMap<Attribute, BTreeSet<String>>) -> bool {
        self.values().all(|(attribute, wanted)| given.get(&attribute).is_some_and(|values| values.contains(wanted)))
    }

    /// The index keys of a statement that introduces what is chosen.
    #[must_use]
    pub fn postings(&self) -> Vec<Posting> {
        self.values().map(|(attribute, value)| Posting::Attribute(attribute, value.clone())).collect()
    }

    /// Whether it chooses something, with values within their bound.
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
    /// Reads an answer and checks its bounds. Nothing is verified.
    ///
    /// # Errors
    /// When it is not such an answer, or exceeds a bound.
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
