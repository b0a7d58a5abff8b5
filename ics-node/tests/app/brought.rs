//! Copies brought by hand, by a carrier who leaves something out.

use ics_core::identity::{IdentityId, Kind};
use ics_core::log::entry::EntryKind;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::make::certify;
use ics_core::statement::{Claims, Grant, Remnant};
use ics_core::vocabulary::Act;
use ics_node::api::ListQuery;
use ics_node::app::{App, Reader};
use ics_node::config::PeerConfig;
use ics_sync::carried::{Carried, Reached, Wanted};
use ics_sync::wire::{Base64, Entry, Page, Sight};

use crate::erased::blocked;
use crate::fixture::{Party, SALT, claims, device, status_of, word};

/// A node that copies a party's domain and asks nobody for it.
fn by_hand(site: &Party, home: &App, maker: &Party) -> App {
    let origin = home.domain(&maker.domain).expect("here").info.origin;
    site.open_for(vec![PeerConfig { mirror: vec![origin], ..PeerConfig::new(word("acme")) }])
}

/// Brings a copy what its home shows to a reader, with a change made on the way.
fn bring(copy: &App, home: &App, maker: &Party, reader: Reader, change: impl Fn(&mut Page)) -> Reached {
    bring_pages(copy, home, maker, (reader, None), change)
}

/// As [`bring`], in pages of at most so many entries.
fn bring_pages(
    copy: &App,
    home: &App,
    maker: &Party,
    (reader, most): (Reader, Option<usize>),
    change: impl Fn(&mut Page),
) -> Reached {
    let domain = &maker.domain;
    let mut said = Carried::Begin;
    loop {
        let wanted = tokio::task::block_in_place(|| copy.carried(domain, said)).expect("taken");
        said = match wanted {
            Wanted::Descriptors { from } => Carried::Descriptors(home.descriptors(domain, from).expect("here")),
            Wanted::Checkpoint => Carried::Checkpoint(home.checkpoint(domain).expect("signed")),
            Wanted::Page { from, limit, until } => {
                let limit = most.unwrap_or(limit);
                let mut page = home.entries(reader, domain, from, limit, Some(until)).expect("a page");
                change(&mut page);
                Carried::Page(page)
            }
            Wanted::Again(again) => Carried::Shown(home.entries_again(reader, domain, &again).expect("shown")),
            Wanted::Nothing(reached) => return reached,
        };
    }
}

/// Reduces an entry to its leaf, as if the reader were not allowed to read it.
fn hide(page: &mut Page, index: u64) {
    page.sight = Some(Sight { rights: Base64([1; 16]), earlier: Vec::new(), ended: Vec::new() });
    let of_it = (page.from..).zip(&mut page.entries).filter(|(at, _)| *at == index);
    of_it.for_each(|(_, entry)| *entry = Entry::Hidden(entry.leaf_data()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_anybody_may_copy_nothing_is_left_out_on_the_way() {
    let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let first = maker.submit_one(&home, blocked(&maker, &home, 1, "stolen", None)).await.expect("admitted");
    let copy = by_hand(&site, &home, &maker);
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |page| hide(page, first.index));
    assert!(reached.trouble.is_some_and(|why| why.contains("anybody may copy all of it")));
    assert_eq!(reached.size, 0, "nothing of it was taken");
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |_| ());
    assert_eq!((reached.trouble, reached.unconfirmed), (None, false));
    assert_eq!(status_of(&copy, &maker, 1).as_deref(), Some("stolen"));

    // The same for a copy that has existed for a while.
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let second = maker.submit_one(&home, blocked(&maker, &home, 2, "stolen", None)).await.expect("admitted");
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |page| hide(page, second.index));
    assert!(reached.trouble.is_some_and(|why| why.contains("anybody may copy all of it")));
    assert_eq!(reached.size, second.index - 1, "what was there before");
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |_| ());
    assert_eq!((reached.trouble, reached.unconfirmed), (None, false));
    assert_eq!(status_of(&copy, &maker, 2).as_deref(), Some("stolen"));
    assert_eq!(copy.peers()[0].pulls[0].state, "by-hand");
}

/// Nor is it hidden at first, while the rest of the log is still to come, and finally called erased.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_anybody_may_copy_nothing_is_called_erased_on_the_way() {
    let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let block = maker.submit_one(&home, blocked(&maker, &home, 1, "stolen", None)).await.expect("admitted");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let (copy, domain) = (by_hand(&site, &home, &maker), &maker.domain);
    let left = Remnant { statement: block.id, identity: IdentityId::Key(device(1).fingerprint()) };
    let bring = |is_honest: bool| {
        let mut said = Carried::Begin;
        loop {
            let wanted = tokio::task::block_in_place(|| copy.carried(domain, said)).expect("taken");
            said = match wanted {
                Wanted::Descriptors { from } => Carried::Descriptors(home.descriptors(domain, from).expect("here")),
                Wanted::Checkpoint => Carried::Checkpoint(home.checkpoint(domain).expect("signed")),
                Wanted::Page { from, until, .. } => {
                    let mut page = home.entries(Reader::Anonymous, domain, from, 4, Some(until)).expect("a page");
                    if from == 0 && !is_honest {
                        hide(&mut page, block.index);
                    }
                    Carried::Page(page)
                }
                Wanted::Again(again) => {
                    let mut shown = home.entries_again(Reader::Anonymous, domain, &again).expect("shown");
                    for entry in shown.entries.iter_mut().filter(|_| !is_honest) {
                        *entry = Entry::Erased { leaf: entry.leaf_data(), remnant: left };
                    }
                    Carried::Shown(shown)
                }
                Wanted::Nothing(reached) => return reached,
            };
        }
    };
    for _ in 0..2 {
        let reached = bring(false);
        let why = reached.trouble.unwrap_or_default();
        assert!(why.contains("was erased, and no erasure that is here says so"), "{why}");
        assert_eq!((reached.size, reached.as_of), (block.index + 1, None), "nothing of it is shown");
    }
    let reached = bring(true);
    assert_eq!((reached.trouble, reached.unconfirmed, reached.size), (None, false, block.index + 2));
    assert_eq!(status_of(&copy, &maker, 1).as_deref(), Some("stolen"));
}

/// Brings a copy what its home shows, in pages of this many entries, with one of them reduced to its leaf.
fn bring_hiding(copy: &App, home: &App, maker: &Party, limit: usize, hidden: Option<u64>) -> Reached {
    let holds = |page: &Page, index: &u64| (page.from..page.from + page.entries.len() as u64).contains(index);
    bring_pages(copy, home, maker, (Reader::Anonymous, Some(limit)), |page| {
        if let Some(index) = hidden.filter(|index| holds(page, index)) {
            hide(page, index);
        }
    })
}

/// What came behind it was read without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_left_out_is_copied_again_with_all_that_is_behind_it() {
    let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.submit_one(&home, blocked(&maker, &home, 1, "stolen", None)).await.expect("admitted");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let copy = by_hand(&site, &home, &maker);
    let all = home.entries(Reader::Anonymous, &maker.domain, 0, 100, None).expect("a page");
    let is_certificate = |entry: &Entry| match entry {
        Entry::Whole(entry) => entry.header().is_ok_and(|header| header.kind == EntryKind::Certificate),
        Entry::Hidden(_) | Entry::Erased { .. } => false,
    };
    let left_out = all.entries.iter().position(is_certificate).expect("the signer's") as u64;
    let reached = bring_hiding(&copy, &home, &maker, 4, Some(left_out));
    let why = reached.trouble.unwrap_or_default();
    assert!(why.contains("was given up"), "{why}");
    assert_eq!((reached.size, reached.as_of), (0, None));
    let reached = bring_hiding(&copy, &home, &maker, 4, None);
    assert_eq!((reached.trouble, reached.unconfirmed, reached.size), (None, false, all.size));
    assert_eq!(status_of(&copy, &maker, 1).as_deref(), Some("stolen"));
}

/// The statement is gone for good, and what the erasure restates comes again only with the erasure.
#[tokio::test(flavor = "multi_thread")]
async fn no_block_ends_because_its_erasure_was_given_up() {
    let [maker, site, buyer] = ["devices.acme.example", "plant.example", "buyer.example"].map(Party::found);
    let (home, domain) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let block = maker.submit_one(&home, blocked(&maker, &home, 1, "stolen", None)).await.expect("admitted");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let copy = by_hand(&site, &home, &maker);
    // Of a copy from which something was ever hidden, what peers say of erased entries may be false.
    let reached = bring_hiding(&copy, &home, &maker, 4, Some(block.index));
    let shown = block.index + 2;
    assert_eq!((reached.trouble, reached.size), (None, shown));

    let (now, grantee) = (home.clock().now(), buyer.signer.public_key().fingerprint());
    let grant = Some(Grant { grantee, role: word("owner") });
    let grant = Claims { grant, ..claims(&maker, Act::Grant) };
    let user_id = "urn:dev:os:32473-2";
    let grant = certify(&maker.signer, &device(2), user_id, None, Kind::Device, &grant, false, now, &SALT);
    maker.submit_one(&home, grant.expect("made")).await.expect("admitted");
    let certificate = maker.submit_one(&home, buyer.certificate.clone()).await.expect("admitted");
    maker.erase(&home, block.index).await;
    maker.publish(&home, &device(3), "urn:dev:os:32473-3", "L3").await;
    let reached = bring_hiding(&copy, &home, &maker, 3, Some(certificate.index));
    assert!(reached.trouble.is_some_and(|why| why.contains("was given up")));
    assert_eq!(reached.size, shown);
    let is_cut_short = || {
        let id = device(1).fingerprint().to_string();
        let record = copy.record(Reader::Anonymous, domain, &id).expect("known").record;
        let listed = copy.list(Reader::Anonymous, domain, &ListQuery::default()).expect("a page");
        (record.cut_short, listed.cut_short)
    };
    assert_eq!(is_cut_short(), (true, true), "nobody knows here whether it is blocked");

    let reached = bring_hiding(&copy, &home, &maker, 100, None);
    assert_eq!((reached.trouble, reached.size), (None, shown + 4));
    assert_eq!((status_of(&copy, &maker, 1).as_deref(), is_cut_short()), (Some("stolen"), (false, false)));
}

/// Only the home could say what others may not read of a domain, and nobody has signed it.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_part_that_is_brought_it_is_said_upon_whose_word_it_rests() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let site = Party::found("plant.example");
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let copy = by_hand(&site, &home, &maker);
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |_| ());
    assert_eq!((reached.trouble, reached.unconfirmed, reached.size), (None, true, 3));
    let pulled = copy.peers()[0].pulls[0].clone();
    assert_eq!((pulled.state.as_str(), pulled.partial), ("unconfirmed", true));
    assert!(pulled.rests_on.is_some_and(|by| by.contains("brought by hand")));

    let reached = bring(&copy, &home, &maker, Reader::Operator, |_| ());
    assert_eq!((reached.trouble, reached.unconfirmed), (None, false), "all of it needs nobody's word");
    let pulled = copy.peers()[0].pulls[0].clone();
    assert_eq!((pulled.state.as_str(), pulled.partial, pulled.rests_on), ("by-hand", false, None));
}

/// A reader of a part cannot tell whether an erasure is withheld, so what is claimed to be erased is accepted. The
/// owners' word counts all the same when it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_of_an_erased_entry_is_nothing_against_the_owners() {
    let maker = Party::found_showing("devices.acme.example", "L1");
    let site = Party::found("plant.example");
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let block = maker.submit_one(&home, blocked(&maker, &home, 1, "stolen", None)).await.expect("admitted");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;
    let copy = by_hand(&site, &home, &maker);
    let lie = Remnant { statement: block.id, identity: IdentityId::Key(device(2).fingerprint()) };
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |page| {
        let of_it = (page.from..).zip(&mut page.entries).filter(|(at, _)| *at == block.index);
        of_it.for_each(|(_, entry)| *entry = Entry::Erased { leaf: entry.leaf_data(), remnant: lie });
    });
    assert_eq!((reached.trouble, reached.unconfirmed), (None, true));
    maker.erase(&home, block.index).await;
    let reached = bring(&copy, &home, &maker, Reader::Anonymous, |_| ());
    assert_eq!((reached.trouble, reached.size), (None, block.index + 3));
    assert_eq!(status_of(&copy, &maker, 1).as_deref(), Some("stolen"));
}
