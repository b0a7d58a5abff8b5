//! Peers that answer wrongly, and the result for each: the refusal in words, and no more memory than is allowed.

// The allowances of clippy.toml are for test functions only; helpers need them as well.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cases;
#[expect(dead_code, reason = "shared with the simulation, which uses more of it")]
#[path = "../replication/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with the simulation, which uses more of it")]
#[path = "../replication/memory.rs"]
mod memory;
#[expect(dead_code, reason = "shared with the simulation, which uses more of it")]
#[path = "../replication/network.rs"]
mod network;
#[expect(dead_code, reason = "shared with the simulation, which uses more of it")]
#[path = "../replication/owners.rs"]
mod owners;
#[path = "../replication/request.rs"]
mod request;
mod server;
#[expect(dead_code, reason = "shared with the simulation, which uses more of it")]
#[path = "../replication/speech.rs"]
mod speech;

use ics_core::log::merkle::Tree;
use ics_sync::mirror::{Action, Mirror, Source};

use crate::cases::{Case, Expected};
use crate::home::{Home, at};
use crate::memory::Memory;
use crate::server::{End, HELD, NOW, SIGNED, forget_peak, honest, late, may_be_written, meet, peak_bytes, settings};

/// Memory that a mirror may need besides what it holds, whatever a peer sends: some unpacked pages.
const MEMORY: usize = 64 * 1024 * 1024;

/// A home that has signed [`SIGNED`] entries, and a mirror that holds the first [`HELD`] of them, or all.
fn before(case: &Case) -> (Home, Mirror, Memory) {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    (home.partial, home.hidden) = (case.partial, if case.partial { [3].into() } else { [].into() });
    home.append_many(HELD - 1, "true", at(NOW));
    home.sign(at(NOW));
    let mut memory = Memory::default();
    let peer = Source { name: "bad-peer".to_owned(), key: None, is_shown: true };
    let peers = if case.aside { vec![peer, home.as_source()] } else { Vec::new() };
    let mut mirror = Mirror::pinned(home.origin.clone(), settings(case.listens)).among(peers);
    mirror.hears(1);
    if !case.fresh {
        catch_up(&mut mirror, &home, &mut memory);
    }
    home.append_many(SIGNED - HELD, "true", late());
    home.sign(late());
    (case.change)(&mut home);
    (home, mirror, memory)
}

/// Does what the mirror says, at an honest home.
fn catch_up(mirror: &mut Mirror, home: &Home, memory: &mut Memory) {
    let now = at(NOW);
    loop {
        match mirror.poll_action(now) {
            Action::FetchDescriptors { from } => mirror.handle_descriptors(&home.descriptors(from), now),
            Action::FetchCheckpoint => mirror.handle_checkpoint(&home.note, now),
            Action::FetchPage { from, limit, until } => {
                mirror.handle_page(home.page(from, limit, until).expect("within the log"), now);
            }
            Action::Apply(page) => {
                memory.store(&page).expect("stored");
                mirror.handle_applied(now);
            }
            Action::Wait { .. } | Action::Listen { .. } => return,
            other => panic!("{other:?}"),
        }
    }
}

/// Whether what a mirror holds is an early part of what its home has signed.
fn begins(memory: &Memory, home: &Home) -> bool {
    let mut tree = Tree::new();
    home.entries.iter().take(memory.leaves.len()).for_each(|entry| tree.push(entry.leaf_hash()));
    home.leaves.starts_with(&memory.leaves) && tree.size() == memory.size()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_peer_is_refused_within_bounds() {
    let cases = cases::all();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "each has a name of its own");
    let mut wrong = Vec::new();
    for case in cases {
        let (home, mirror, memory) = before(&case);
        let (held, as_of) = (memory.leaves.len(), mirror.status().as_of);
        // A listening mirror does so from the beginning, others poll again.
        let from = if case.listens { NOW + 1_000 } else { NOW + 60_000 };
        let (served, twist, whole) = (home.clone(), case.reply, home.size());
        forget_peak();
        let before = peak_bytes();
        let End { status, memory, written } = meet(mirror, memory, (whole, from, case.hurried), move |request| {
            twist(&served, request).unwrap_or_else(|| honest(&served, request))
        })
        .await;
        let (peak, name) = (peak_bytes().saturating_sub(before), case.name);
        let said = match (&status.stopped, &status.trouble) {
            (Some(stop), _) => format!("stopped: {stop}"),
            (None, Some(trouble)) => format!("trouble: {trouble}"),
            (None, None) => format!("taken: {}", status.size),
        };
        let as_expected = match case.expected {
            Expected::Stop(words) => said.starts_with("stopped: ") && said.contains(words),
            Expected::Trouble(words) | Expected::Doubt(words) => said.starts_with("trouble: ") && said.contains(words),
            Expected::Harmless => said.starts_with("taken: ") && memory.size() == whole,
        };
        let untouched = match case.expected {
            Expected::Harmless => true,
            Expected::Doubt(_) => status.as_of == as_of,
            Expected::Stop(_) | Expected::Trouble(_) => memory.leaves.len() == held && status.as_of == as_of,
        };
        let bounded = peak <= MEMORY && written <= may_be_written(case.bound);
        let is_true = begins(&memory, &home);
        if !(as_expected && untouched && bounded && is_true) {
            wrong.push(format!(
                "{name}: {said}; expected {:?}: {as_expected}, untouched: {untouched}, true: {is_true}; {held} held, {} now; \
                 {peak} bytes of memory, {written} on the wire",
                case.expected,
                memory.leaves.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
