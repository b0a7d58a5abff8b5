//! What names lead to, and when that ends.

use super::*;
use crate::store::StoredEntry;

const NOW: Timestamp = Timestamp::from_millis(0);

fn domain() -> DomainNumber {
    DomainNumber::new(1).expect("a number")
}

fn software(number: u16) -> IdentityId {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    IdentityId::Software(digest)
}

/// Keeps what was read about an identity when the log had no entries.
fn keep(memory: &Memory, id: IdentityId) -> Arc<Kept> {
    let era = memory.era(domain());
    let around = Arounds::new(1 << 20).keep(domain(), Vec::new(), Vec::new(), (&era, 0));
    let kept = Arc::new(Kept::new(id, memory.next_generation(), (era, around), None, (true, false)).expect("kept"));
    memory.keep(domain(), &kept, 0);
    kept
}

/// Announces a first entry about an identity.
fn tell(memory: &Memory, id: IdentityId, amends: bool) {
    let (header, leaf) = (Vec::new(), [0; 32]);
    let entry = StoredEntry { domain: domain(), index: 0, effective: true, leaf, header, content: None };
    let entries = [(entry, vec![place_of(&id).0])];
    memory.forget(&Change { domain: domain(), size: 1, entries: &entries, amends });
}

#[test]
fn a_name_leads_past_the_table_to_what_is_kept() {
    let (memory, id, name) = (Memory::new(1 << 20), software(1), Key::with_rest(b"a name"));
    let leads_to = |kept: &Arc<Kept>| {
        let found = memory.recall_named(domain(), name, NOW).flatten();
        found.is_some_and(|found| Arc::ptr_eq(&found, kept))
    };
    let kept = keep(&memory, id);
    memory.keep_name(domain(), name, Some(id), (&memory.era(domain()), 0));
    drop(memory.things.remove(&(domain(), kept.place.0)));
    assert!(leads_to(&kept), "the table does not have it any more and nobody has ended it");
    let anew = keep(&memory, id);
    kept.end();
    assert!(leads_to(&anew), "the table has another");
}

#[test]
fn a_name_leads_to_nothing_that_news_has_ended_though_somebody_uses_it_still() {
    let (memory, id, name) = (Memory::new(1 << 20), software(1), Key::with_rest(b"a name"));
    let used = keep(&memory, id);
    memory.keep_name(domain(), name, Some(id), (&memory.era(domain()), 0));
    assert!(memory.recall_named(domain(), name, NOW).is_some());
    tell(&memory, id, false);
    assert!(memory.recall_named(domain(), name, NOW).is_none(), "what is kept has ended");
    assert!(memory.recall_name(domain(), name).is_some_and(|named| named.means(&id)), "the name means the same");
    used.confirm();
    assert!(memory.recall_named(domain(), name, NOW).is_none(), "who confirms it afterwards comes too late");
}

#[test]
fn a_name_that_nobody_has_is_known_as_such() {
    let (memory, name) = (Memory::new(1 << 20), Key::with_rest(b"a name"));
    assert!(memory.recall_named(domain(), name, NOW).is_none());
    memory.keep_name(domain(), name, None, (&memory.era(domain()), 0));
    assert!(memory.recall_named(domain(), name, NOW).is_some_and(|kept| kept.is_none()));
    assert!(memory.recall_name(domain(), name).is_some_and(|named| !named.means(&software(1))));
}

#[test]
fn what_is_not_in_the_table_has_ended() {
    let holds = |kept: &Arc<Kept>| kept.holds(kept.place, NOW);
    let memory = Memory::new(64 * 1024);
    let all: Vec<_> = (0..1_000).map(|number| keep(&memory, software(number))).collect();
    let is_there = |kept: &&Arc<Kept>| memory.recall(domain(), &kept.id, NOW).is_some();
    let (there, gone): (Vec<_>, Vec<_>) = all.iter().partition(is_there);
    assert!(there.len() > 10 && gone.len() > 10, "{} there, {} gone", there.len(), gone.len());
    assert!(!gone.into_iter().any(holds), "it has gone for others");

    let memory = Memory::new(1 << 20);
    let (first, second) = (keep(&memory, software(1)), keep(&memory, software(1)));
    assert!(!holds(&first) && holds(&second), "it has gone for what was kept anew");
    tell(&memory, software(2), true);
    assert!(!holds(&second), "it may have been erased");
}

/// The rest of the cache line holds the table's own data about position and use.
#[test]
fn a_thing_in_the_table_fits_a_line_of_the_processors_cache() {
    assert!(size_of::<(At, Held)>() <= 64 - 16, "{} and {} bytes", size_of::<At>(), size_of::<Held>());
}
