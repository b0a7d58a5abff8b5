//! Domains that are carried by hand: the same mirror, asked by somebody who reads the answers from a file.

use std::collections::BTreeSet;
use std::io::Cursor as File;

use ics_core::limits;
use ics_sync::bundle::{Bundle, BundleError, BundleWriter, Cursor, Earlier, Head, Party};
use ics_sync::carried::{Carried, Wanted};
use ics_sync::mirror::Action;
use ics_sync::wire::{Again, Page};

use crate::home::{Home, IDENTITIES, Turn, at};
use crate::memory::{Kept, Memory};
use crate::network::Dice;
use crate::rules::{NOW, SETTINGS, home};

pub(crate) type Writer = BundleWriter<Vec<u8>>;

fn party(name: &str) -> Party {
    Party { name: name.to_owned(), key: "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned() }
}

pub(crate) fn head() -> Head {
    Head { from: party("home.example"), to: party("site.example"), made_at: at(NOW) }
}

pub(crate) fn written(parts: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = BundleWriter::begin(Vec::new(), &head()).expect("memory");
    parts(&mut writer);
    writer.finish().expect("memory")
}

pub(crate) fn pages(home: &Home, from: u64) -> Vec<Page> {
    let (size, mut next) = (home.size(), from);
    let mut pages = Vec::new();
    loop {
        let page = home.page(next, limits::FEED_ENTRIES, size).expect("within the log");
        next += page.entries.len() as u64;
        let is_last = page.entries.is_empty();
        if !is_last || page.sight.is_some() {
            pages.push(page);
        }
        if is_last {
            return pages;
        }
    }
}

/// Writes what a node has for a reader whose copy is at that cursor.
fn copy(writer: &mut Writer, home: &Home, since: Option<&Cursor>) {
    let mut from = since.map_or(0, |cursor| cursor.size);
    let rights = |page: &Page| page.sight.as_ref().map(|sight| sight.rights.clone());
    let mut all = pages(home, from);
    if since.is_some_and(|since| since.size > 0 && all.first().and_then(rights) != since.rights) {
        from = 0;
        all = pages(home, from);
    }
    writer.domain(&home.origin).expect("memory");
    writer.descriptors(&home.descriptors(1)).expect("memory");
    writer.checkpoint(&home.note).expect("memory");
    let earlier = |page: &Page| page.sight.clone().map(|sight| sight.earlier).unwrap_or_default();
    let hidden: BTreeSet<u64> = all.iter().flat_map(earlier).filter(|index| *index < from).collect();
    all.iter().for_each(|page| writer.page(page).expect("memory"));
    let mut hidden: Vec<u64> = hidden.into_iter().collect();
    while !hidden.is_empty() {
        let again = Again { question: 0, hidden: hidden.clone(), held: vec![], until: None };
        let entries = home.again(&again).expect("within the log").entries;
        let indices = hidden.drain(..entries.len()).collect();
        writer.earlier(&Earlier { indices, entries }).expect("memory");
    }
}

pub(crate) fn bundle(home: &Home, since: Option<&Cursor>) -> Vec<u8> {
    written(|writer| copy(writer, home, since))
}

fn cursor(memory: &Memory, home: &Home) -> Cursor {
    Cursor { origin: home.origin.clone(), size: memory.size(), rights: memory.rights.clone() }
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<Bundle<File<Vec<u8>>>, BundleError> {
    Bundle::open(File::new(bytes))
}

/// A node takes a bundle: its memory afterwards, and why it refuses anything.
pub(crate) fn take(memory: &mut Memory, home: &Home, bytes: Vec<u8>) -> Result<(), String> {
    let mut bundle = open(bytes).map_err(|error| error.to_string())?;
    let now = at(NOW);
    let mut mirror = memory.mirror(&home.origin, SETTINGS, now);
    for _ in 0..1_000 {
        match mirror.poll_action(now) {
            Action::Apply(page) => {
                memory.store(&page)?;
                mirror.handle_applied(now);
            }
            Action::RootAt { size } => mirror.handle_root(&memory.root_of(size), now),
            Action::Survey(survey) => mirror.handle_surveyed(memory.look(&survey)),
            Action::Fill(fill) => {
                memory.take(&fill)?;
                mirror.handle_filled();
            }
            Action::Stopped(stop) => return Err(stop.to_string()),
            Action::Wait { .. } | Action::Listen { .. } => {
                return mirror.status().trouble.map_or(Ok(()), |trouble| Err(trouble.to_string()));
            }
            action => {
                let wanted = Wanted::of(&action).expect("a question");
                let answer = bundle.answer(0, &wanted).map_err(|error| error.to_string())?;
                // It travels to the node as JSON.
                let answer: Carried =
                    serde_json::from_slice(&serde_json::to_vec(&answer).expect("JSON")).expect("JSON");
                mirror.handle_carried(answer.checked().map_err(|error| error.to_string())?, now);
            }
        }
    }
    panic!("the node does not come to rest: {:?}", mirror.status());
}

pub(crate) fn held(home: &Home) -> Memory {
    let mut memory = Memory::default();
    take(&mut memory, home, bundle(home, None)).expect("a whole domain");
    assert_eq!(memory.size(), home.size());
    memory
}

#[test]
fn a_whole_domain_then_what_came_since_then_all_of_it_again() {
    let mut home = home(2_500);
    let mut memory = held(&home);
    assert_eq!(memory.leaves, home.leaves);
    let since = cursor(&memory, &home);
    home.append_many(1_700, "later", at(NOW));
    home.replace_key(2, at(NOW));
    home.append_many(3, "later still", at(NOW));
    home.sign(at(NOW));
    let (news, whole) = (bundle(&home, Some(&since)), bundle(&home, None));
    assert!(news.len() < whole.len(), "{} of {}", news.len(), whole.len());
    let mut other = memory.clone();
    take(&mut memory, &home, news.clone()).expect("what came since");
    take(&mut other, &home, whole.clone()).expect("a whole one goes on in the middle of a page");
    assert_eq!((&memory.leaves, &other.leaves), (&home.leaves, &home.leaves));
    for again in [news, whole] {
        take(&mut memory, &home, again).expect("there is nothing new in it");
        assert_eq!(memory.leaves, home.leaves);
    }
}

/// Whatever rights change, a reader who gets bundles holds the same as one who asks over a network, and what they may
/// read.
#[test]
fn readers_of_a_part_get_what_they_may_read() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let mut home = home(20);
        (home.partial, home.page_limit) = (true, 7);
        home.hidden = (0..IDENTITIES).filter(|_| dice.index(2) == 0).collect();
        let mut memory = held(&home);
        let mut last = cursor(&memory, &home);
        for round in 0..6 {
            home.append_many(dice.index(12), "true", at(NOW));
            if dice.index(3) > 0 {
                let by = [Turn::Entry, Turn::Descriptor, Turn::Peer][dice.index(3)];
                home.turn(dice.index(IDENTITIES), by, at(NOW));
            }
            home.sign(at(NOW));
            // A bundle may be lost: what follows must work without it.
            let is_lost = dice.index(4) == 0;
            let since = [None, Some(&last)][usize::from(dice.index(3) > 0)];
            let bytes = bundle(&home, since);
            if !is_lost {
                take(&mut memory, &home, bytes).unwrap_or_else(|why| panic!("seed {seed}, round {round}: {why}"));
                last = cursor(&memory, &home);
                let is_shown = |index: &usize| !home.hidden.contains(&home.about[*index]);
                let expected: Vec<usize> = (0..home.entries.len()).filter(is_shown).collect();
                assert_eq!(memory.shown().collect::<Vec<_>>(), expected, "seed {seed}, round {round}");
            }
        }
    }
}

#[test]
fn a_reader_whose_rights_have_changed_needs_a_whole_one() {
    let mut home = home(20);
    (home.partial, home.hidden) = (true, [2].into());
    let mut memory = held(&home);
    let since = cursor(&memory, &home);
    home.turn(2, Turn::Peer, at(NOW));
    home.append_many(3, "true", at(NOW));
    home.sign(at(NOW));
    // Its maker did not know that the reader's rights have changed.
    let lies = Cursor { rights: Some(home.rights()), ..since };
    let why = take(&mut memory, &home, bundle(&home, Some(&lies))).expect_err("news only");
    assert!(why.contains("ask for a whole one"), "{why}");
    take(&mut memory, &home, bundle(&home, None)).expect("a whole one");
    assert!(memory.kept.iter().all(|kept| matches!(kept, Kept::Whole(_))));
}

/// Otherwise nothing of the other domains in the bundle would be brought.
#[test]
fn a_page_that_names_too_much_once_it_is_cut_names_as_much_as_it_can() {
    let mut home = home(10);
    home.partial = true;
    let bytes = written(|writer| {
        writer.domain(&home.origin).expect("memory");
        writer.checkpoint(&home.note).expect("memory");
        for mut page in pages(&home, 0) {
            page.sight.iter_mut().for_each(|sight| sight.earlier = vec![0; limits::SIGHT_INDICES]);
            writer.page(&page).expect("memory");
        }
    });
    let mut bundle = open(bytes).expect("whole");
    let mut answer = |from| bundle.answer(0, &Wanted::Page { from, limit: limits::FEED_ENTRIES, until: 10 });
    for from in [0, 1] {
        let Ok(Carried::Page(page)) = answer(from) else { panic!("the page from {from} on is missing") };
        let named = page.sight.map_or(0, |sight| sight.earlier.len() + sight.ended.len());
        assert_eq!(named, limits::SIGHT_INDICES, "from {from} on");
    }
}
