//! What anybody may be told about a thing before any purpose is known: the records of all domains in one word.

use serde::{Deserialize, Serialize};

use super::report::{GivenStatus, Record};
use crate::vocabulary::{DomainName, Effect};

/// That word. Whoever has a purpose asks for a verdict instead, which needs a trust policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outlook {
    /// A status blocks its use.
    Blocked,
    /// A domain that knows it was not heard recently enough or does not show all that it says, one that may know it was
    /// not heard at all, or the domains differ on what kind of thing it is.
    Unknown,
    /// Nobody entitled vouches that it is what it claims to be.
    NotVouched,
    /// Somebody vouches for it and a status permits its use.
    Permitted,
    /// Somebody vouches for it, and no status permits or blocks its use.
    NotInUse,
}

/// What several domains say about one thing, combined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The outlook in one word.
    pub outlook: Outlook,
    /// The most restrictive status; among equals, that of the first domain by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<(DomainName, GivenStatus)>,
    /// Domains whose news is too old.
    pub stale: Vec<DomainName>,
    /// Domains that do not show yet what is left of something erased: it may block ([`Record::cut_short`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_short: Vec<DomainName>,
    /// Domains that should have been heard but were not: what they say may block.
    pub unheard: Vec<DomainName>,
    /// Whether statuses of different effect stand at the same time, or the domains differ on the kind of thing.
    pub conflict: bool,
}

/// A record, and whether its domain was heard recently enough.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The record.
    pub record: &'a Record,
    /// Whether it is within its freshness bound.
    pub is_fresh: bool,
}

impl Assessment {
    /// Combines records of one identity, given the domains that should have been heard but were not: hearing nothing
    /// permits no more than old news does. A block counts however old the news of it: it stands until lifted.
    #[must_use]
    pub fn of(heard: &[Heard<'_>], unheard: &[DomainName]) -> Self {
        let mut sorted: Vec<&Heard<'_>> = heard.iter().collect();
        sorted.sort_by_key(|heard| &heard.record.domain);
        let statuses = || {
            sorted.iter().flat_map(|heard| {
                let given = heard.record.status.iter().flat_map(|it| core::iter::once(&it.decides).chain(&it.conflict));
                given.map(|given| (&heard.record.domain, given))
            })
        };
        let status = statuses().reduce(|first, next| if next.1.effect > first.1.effect { next } else { first });
        let effect = status.map_or(Effect::None, |(_, given)| given.effect);
        let kinds_differ = sorted.windows(2).any(|pair| match pair {
            [a, b] => a.record.identity.kind != b.record.identity.kind,
            _ => false,
        });
        let which = |is_one: fn(&Heard<'_>) -> bool| -> Vec<DomainName> {
            sorted.iter().filter(|heard| is_one(heard)).map(|heard| heard.record.domain.clone()).collect()
        };
        let (stale, cut_short) = (which(|heard| !heard.is_fresh), which(|heard| heard.record.cut_short));
        let all_heard = stale.is_empty() && cut_short.is_empty() && unheard.is_empty() && !sorted.is_empty();
        let is_vouched = sorted.iter().any(|heard| !heard.record.vouched.is_empty());
        let outlook = match effect {
            effect if effect.blocks() => Outlook::Blocked,
            _ if !all_heard || kinds_differ => Outlook::Unknown,
            _ if !is_vouched => Outlook::NotVouched,
            Effect::Permits => Outlook::Permitted,
            _ => Outlook::NotInUse,
        };
        Self {
            outlook,
            status: status.map(|(domain, given)| (domain.clone(), given.clone())),
            stale,
            cut_short,
            unheard: unheard.to_vec(),
            conflict: kinds_differ || statuses().any(|(_, other)| other.effect != effect),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn by(index: u64) -> Value {
        json!({"signer": "ab".repeat(20), "role": "owner", "statement": "07".repeat(32), "index": index})
    }

    fn record(domain: &str, kind: &str, status: Option<(&str, &str)>, is_vouched: bool) -> Record {
        let at = "2026-01-02T00:00:00Z";
        let status = status.map(|(name, effect)| json!({"name": name, "effect": effect, "since": at, "by": by(1)}));
        let vouched = if is_vouched { json!([by(0)]) } else { json!([]) };
        let mut record = json!({
            "domain": domain, "id": "cd".repeat(20), "kind": kind, "title": "Pump", "at": at, "vouched": vouched,
            "names": [], "attributes": {}, "approvals": [], "labels": [], "groups": [], "grants": [], "installed": [],
            "replaces": [], "statements": [],
        });
        if let Some(status) = status {
            record["status"] = status;
        }
        serde_json::from_value(record).unwrap()
    }

    fn outlook(records: &[(&Record, bool)]) -> (Outlook, bool) {
        let heard: Vec<_> = records.iter().map(|(record, is_fresh)| Heard { record, is_fresh: *is_fresh }).collect();
        let assessment = Assessment::of(&heard, &[]);
        (assessment.outlook, assessment.conflict)
    }

    #[test]
    fn the_most_restrictive_counts_and_old_news_permit_nothing() {
        let permitted = record("a.example", "device", Some(("in-use", "permits")), true);
        let blocked = record("b.example", "device", Some(("stolen", "blocks")), false);
        let planned = record("b.example", "device", Some(("planned", "none")), true);
        let silent = record("b.example", "device", None, true);
        let unvouched = record("b.example", "device", Some(("in-use", "permits")), false);
        let gateway = record("b.example", "gateway", None, true);
        for (records, expected) in [
            (&[(&permitted, true)][..], (Outlook::Permitted, false)),
            (&[(&permitted, false)], (Outlook::Unknown, false)),
            (&[(&permitted, true), (&blocked, true)], (Outlook::Blocked, true)),
            (&[(&permitted, false), (&blocked, false)], (Outlook::Blocked, true)),
            (&[(&permitted, true), (&silent, false)], (Outlook::Unknown, false)),
            (&[(&permitted, true), (&silent, true)], (Outlook::Permitted, false)),
            (&[(&permitted, true), (&planned, true)], (Outlook::Permitted, true)),
            (&[(&planned, true)], (Outlook::NotInUse, false)),
            (&[(&silent, true)], (Outlook::NotInUse, false)),
            (&[(&unvouched, true)], (Outlook::NotVouched, false)),
            (&[(&permitted, true), (&gateway, true)], (Outlook::Unknown, true)),
            (&[], (Outlook::Unknown, false)),
        ] {
            assert_eq!(outlook(records), expected, "{records:?}");
            let reversed: Vec<_> = records.iter().rev().copied().collect();
            assert_eq!(outlook(&reversed), expected, "the order of the records is nothing to it");
        }
    }

    /// Absence of news is not good news.
    #[test]
    fn what_was_not_heard_may_block() {
        let unheard: [DomainName; 1] = ["c.example".parse().unwrap()];
        let permitted = record("a.example", "device", Some(("in-use", "permits")), true);
        let silent = record("a.example", "device", None, true);
        let unvouched = record("a.example", "device", None, false);
        let blocked = record("b.example", "device", Some(("stolen", "blocks")), false);
        for (record, is_fresh, expected) in [
            (&permitted, true, Outlook::Unknown),
            (&silent, true, Outlook::Unknown),
            (&unvouched, true, Outlook::Unknown),
            (&blocked, true, Outlook::Blocked),
            (&blocked, false, Outlook::Blocked),
        ] {
            let assessment = Assessment::of(&[Heard { record, is_fresh }], &unheard);
            assert_eq!((assessment.outlook, assessment.unheard.as_slice()), (expected, &unheard[..]), "{record:?}");
        }
    }

    /// What is left of something erased may be a block.
    #[test]
    fn what_is_not_all_shown_may_block() {
        let cut_short = |record: Record| Record { cut_short: true, ..record };
        let permitted = cut_short(record("a.example", "device", Some(("in-use", "permits")), true));
        let blocked = cut_short(record("a.example", "device", Some(("stolen", "blocks")), true));
        let unvouched = cut_short(record("a.example", "device", None, false));
        let other = record("b.example", "device", Some(("in-use", "permits")), true);
        let cases = [(&permitted, Outlook::Unknown), (&unvouched, Outlook::Unknown), (&blocked, Outlook::Blocked)];
        for (record, expected) in cases {
            let heard = [record, &other].map(|record| Heard { record, is_fresh: true });
            let assessment = Assessment::of(&heard, &[]);
            let expected = (expected, vec![record.domain.clone()]);
            assert_eq!((assessment.outlook, assessment.cut_short), expected, "{record:?}");
        }
    }

    #[test]
    fn among_equals_the_first_domain_by_name_speaks() {
        let first = record("a.example", "device", Some(("stolen", "blocks")), true);
        let second = record("b.example", "device", Some(("suspended", "blocks")), true);
        let third = record("c.example", "device", Some(("in-use", "permits")), true);
        for order in [[&first, &second, &third], [&third, &second, &first], [&second, &first, &third]] {
            let heard = order.map(|record| Heard { record, is_fresh: record.domain != first.domain });
            let assessment = Assessment::of(&heard, &[]);
            let (domain, status) = assessment.status.unwrap();
            assert_eq!((domain, status.name.as_str()), (first.domain.clone(), "stolen"));
            assert_eq!(assessment.stale.iter().collect::<Vec<_>>(), [&first.domain]);
        }
    }
}
