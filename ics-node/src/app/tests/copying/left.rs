//! What peers say is left of erased entries in the place of what a copy could not read, and what is judged by that.

use std::path::Path;
use std::sync::Arc;

use ics_core::identity::{IdentityId, Kind};
use ics_core::log::entry::{EntryKind, Header};
use ics_core::record::{Identity, Logged};
use ics_core::statement::make::{certify, sign_descriptor, sign_document};
use ics_core::statement::{Claims, Erasure, Group, Remnant, StatementId, Subject};
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_core::{limits, log};
use ics_sync::mirror::{Action, Fill, Mirror, VerifiedEntry, VerifiedPage};
use ics_sync::wire::{Base64, Entry, Page, Shown, Sight};
use tempfile::TempDir;

use super::{block, bring, copy_pages, log_as, next_page, next_page_as, vouched};
use crate::app::entries::{Said, Snapshot, about};
use crate::app::{App, Reader};
use crate::fixture::{Party, SALT, claims, copy, device, owner, signer};

/// A party whose things of one lot anybody may read, with its node and a copy: first comes a block of a thing of which
/// nobody has said yet to which lot it belongs, so the copy has only the leaf. In the next page that is said, another
/// block replaces the first, and the first is erased.
async fn with_erased(data: &Path) -> (Party, App, App) {
    let maker = Party::found_showing("devices.acme.example", "L1");
    let (home, of) = (maker.open(), &maker.domain);
    let suspended = block(&home, &maker, "suspended", Vec::new()).await;
    let copied = copy(data, &home, of, &[("home", "http://127.0.0.1:9")]);
    // The descriptor, the certificate and the leaf.
    copy_more(&home, &copied, of, 1);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    block(&home, &maker, "stolen", vec![suspended.id]).await;
    maker.erase(&home, suspended.index).await;
    (maker, home, copied)
}

fn goes_on(home: &App, copied: &App, of: &DomainName) -> Mirror {
    let (hosted, origin) = (copied.hosted(of).expect("copied"), home.domain(of).expect("here").info.origin);
    copied.resume_at(&hosted, &origin, 1_000, false).expect("goes on")
}

/// A copy that has so many pages, and its directory.
fn copied_by(home: &App, of: &DomainName, pages: usize) -> (TempDir, App) {
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), home, of, &[("home", "http://127.0.0.1:9")]);
    copy_more(home, &copied, of, pages);
    (data, copied)
}

/// Goes on with a copy by so many pages.
fn copy_more(home: &App, copied: &App, of: &DomainName, pages: usize) {
    tokio::task::block_in_place(|| copy_pages(home, copied, of, &mut goes_on(home, copied, of), pages));
}

/// The status of the first device, as a node tells its operator.
fn status_at(at: &App, of: &DomainName) -> Option<String> {
    let id = device(1).fingerprint().to_string();
    let status = at.record(Reader::Operator, of, &id).expect("known").record.status;
    status.map(|status| status.decides.name.to_string())
}

/// What was said before an erasure may rest on what was erased. Whoever begins to read it then is told what is left of
/// that, as of everything else on which it rests.
#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_what_was_erased_before_it_could_be_read_counts_in_a_copy_of_a_part() {
    let data = tempfile::tempdir().expect("directory");
    let (maker, home, copied) = with_erased(data.path()).await;
    let of = &maker.domain;
    copy_more(&home, &copied, of, 1);
    assert_eq!([&home, &copied].map(|at| status_at(at, of).expect("blocked")), ["stolen", "stolen"]);
}

/// It is gone once it is committed, while what the erasure restates is shown once that is durable; and whoever has
/// begun to read before reads on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_from_a_copy_of_a_part_while_it_is_read_is_not_unblocked() {
    let maker = Party::found_showing("devices.acme.example", "L1");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let stolen = block(&home, &maker, "stolen", Vec::new()).await;
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let (_data, copied) = copied_by(&home, of, 2);
    let (hosted, id) = (copied.hosted(of).expect("copied"), IdentityId::Key(device(1).fingerprint()));
    assert!(copied.store().sight(hosted.number).expect("copied").is_partial());
    let begun = copied.sight(&hosted).expect("readable");
    maker.erase(&home, stolen.index).await;
    copy_more(&home, &copied, of, 1);
    let entry = copied.store().entry(hosted.number, stolen.index).expect("an entry");
    assert_eq!(entry.content, None, "it is gone here as well");
    assert!(copied.kept(&begun, &id).expect("readable").cut_short, "what it restates stands behind what is read");
    let now = copied.sight(&hosted).expect("readable");
    assert!(!copied.kept(&now, &id).expect("readable").cut_short);
    assert_eq!(status_at(&copied, of).as_deref(), Some("stolen"));
}

/// A peer did not say what is left, so the erasure told the copy what was gone only after it had judged what was said
/// before. Once it may read everything, it judges that as the home did.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_judged_before_its_erasure_came_is_judged_again_by_a_copy_that_may_read_everything() {
    let data = tempfile::tempdir().expect("directory");
    let (maker, home, copied) = with_erased(data.path()).await;
    let of = &maker.domain;
    let hosted = copied.hosted(of).expect("copied");
    let names_nothing = |page: &mut Page| page.sight.iter_mut().for_each(|sight| sight.earlier.clear());
    tokio::task::block_in_place(|| {
        let page = next_page_as(&home, &copied, of, &mut goes_on(&home, &copied, of), names_nothing);
        copied.take_page(&hosted, &page, None).expect("is stored");
        bring(&home, &copied, of, &home.checkpoint(of).expect("a checkpoint"));
    });
    assert_eq!([&home, &copied].map(|at| status_at(at, of).expect("blocked")), ["stolen", "stolen"]);
}

/// What a look filled in that was then broken off takes effect with the next look, and may depend on what comes only
/// then.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_look_that_was_broken_off_filled_in_is_judged_again_when_more_is_shown() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let suspended = block(&home, &maker, "suspended", Vec::new()).await;
    block(&home, &maker, "stolen", vec![suspended.id]).await;
    let (_data, copied) = copied_by(&home, of, 2);
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;

    // Somebody shows everything but one statement, and nothing more.
    tokio::task::block_in_place(|| {
        fill_once(&home, &copied, of, &mut goes_on(&home, &copied, of), |index, entry| {
            if index == suspended.index {
                *entry = Entry::Hidden(entry.leaf_data());
            }
        });
        bring(&home, &copied, of, &home.checkpoint(of).expect("a checkpoint"));
    });
    assert_eq!([&home, &copied].map(|at| status_at(at, of).expect("blocked")), ["stolen", "stolen"]);
}

/// Lets somebody show what was hidden from a copy, each entry as it is told, and nothing more after the first answer.
fn fill_once(home: &App, copied: &App, of: &DomainName, mirror: &mut Mirror, tell: impl Fn(u64, &mut Entry)) {
    let (hosted, fill) = (copied.hosted(of).expect("copied"), next_fill(home, copied, of, mirror, tell));
    copied.take_fill(&hosted, &fill).expect("is filled in");
}

/// The first answer of somebody who shows what was hidden from a copy, each entry as it is told.
fn next_fill(
    home: &App,
    copied: &App,
    of: &DomainName,
    mirror: &mut Mirror,
    tell: impl Fn(u64, &mut Entry),
) -> Arc<Fill> {
    let (hosted, rights) = (copied.hosted(of).expect("copied"), || Base64([1; 16]));
    loop {
        let now = copied.clock().now();
        match mirror.poll_action(now) {
            Action::FetchCheckpoint => mirror.handle_checkpoint(&home.checkpoint(of).expect("a checkpoint"), now),
            Action::FetchPage { from, limit, until } => {
                let mut page = home.entries(Reader::Operator, of, from, limit, Some(until)).expect("a page");
                page.sight = Some(Sight { rights: rights(), earlier: Vec::new(), ended: Vec::new() });
                mirror.handle_page(page, now);
            }
            Action::Survey(survey) => mirror.handle_surveyed(copied.survey(&hosted, &survey).expect("is held")),
            Action::FetchAgain(again) => {
                let mut shown = home.entries_again(Reader::Operator, of, &again).expect("is shown");
                again.hidden.iter().zip(&mut shown.entries).for_each(|(index, entry)| tell(*index, entry));
                mirror.handle_shown(Shown { rights: Some(rights()), ..shown }, now);
            }
            Action::Fill(fill) => return fill,
            other => panic!("{other:?}"),
        }
    }
}

/// What a peer falsely said to be left is about another thing than what is shown in its place later. What was said
/// about that other thing is judged again with it, and must not be led to an entry that says nothing about it: a copy
/// would take its index for damaged, and never get any further.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_falsely_called_erased_is_filled_in_whatever_it_was_said_to_be_about() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let (home, of) = (maker.open(), &maker.domain);
    let first = maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let (_data, copied) = copied_by(&home, of, 2);
    maker.publish(&home, &device(3), "urn:dev:os:32473-3", "L3").await;
    let lie = Remnant { statement: first.id, identity: IdentityId::Key(device(2).fingerprint()) };
    tokio::task::block_in_place(|| {
        fill_once(&home, &copied, of, &mut goes_on(&home, &copied, of), |index, entry| {
            if index == first.index {
                *entry = Entry::Erased { leaf: entry.leaf_data(), remnant: lie };
            }
        });
        bring(&home, &copied, of, &home.checkpoint(of).expect("a checkpoint"));
    });
    assert_eq!([1, 2, 3].map(|number| vouched(&copied, &maker, number)), [Some(1); 3]);
    assert_eq!(copied.store().damage_met(copied.hosted(of).expect("copied").number), Vec::<String>::new());
}

/// So much could be called erased that a block would not be among the first statements about a thing, which are all
/// that is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_calls_erased_leaves_room_for_what_stands() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;
    let (_data, copied) = copied_by(&home, of, 1);
    let hosted = copied.hosted(of).expect("copied");
    let block = block(&home, &maker, "suspended", Vec::new()).await;
    let blocks = home.store().entry(home.hosted(of).expect("here").number, block.index).expect("logged");
    let (header, content) = (Header::decode(&blocks.header).expect("a header"), blocks.content.expect("whole"));
    let entry = log::entry::Entry { header: blocks.header, salt: content.salt, body: content.body };

    let id = IdentityId::Key(device(1).fingerprint());
    let lie = Remnant { statement: StatementId([7; 32]), identity: id };
    let lies = block.index..block.index + limits::RECORD_STATEMENTS as u64 + 100;
    tokio::task::block_in_place(|| {
        let mut fill = Fill::clone(&next_fill(&home, &copied, of, &mut goes_on(&home, &copied, of), |_, entry| {
            *entry = Entry::Erased { leaf: entry.leaf_data(), remnant: lie };
        }));
        fill.erased = lies.clone().map(|index| (index, lie)).collect();
        let mut page = VerifiedPage::clone(&next_page(&home, &copied, of, &mut goes_on(&home, &copied, of)));
        page.entries = lies.clone().map(|_| VerifiedEntry::Hidden([9; 32])).collect();
        page.entries.push(VerifiedEntry::Whole { header, entry });
        page.checkpoint = None;
        copied.take_page(&hosted, &Arc::new(page), None).expect("is stored");
        copied.take_fill(&hosted, &fill).expect("is noted");
    });
    let entries = Snapshot { store: copied.store(), number: hosted.number, size: lies.end + 1 };
    let found = about(&entries, &hosted.domain().expect("copied"), &id).expect("read");
    assert_eq!(found.iter().map(Logged::index).collect::<Vec<_>>(), [lies.end]);
}

/// What the erased statement blocked would be restated by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_without_effect_does_not_hide_that_something_is_missing() {
    let maker = Party::found("devices.acme.example");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let (_data, copied) = copied_by(&home, of, 1);
    let hosted = copied.hosted(of).expect("copied");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;

    let id = IdentityId::Key(device(1).fingerprint());
    let remnant = Remnant { statement: StatementId([7; 32]), identity: id };
    let (identity, act) = (Some(Identity { id, kind: Kind::Device }), Some(Act::Status));
    let erasure = Erasure { index: Some(3), identity, act, ..Erasure::new(of.clone(), remnant.statement) };
    let (json, now) = (erasure.to_json().expect("JSON"), home.clock().now());
    let body = sign_descriptor(&[&signer("stranger", 1)], &json, now, &SALT).expect("signed");
    let header = Header { kind: EntryKind::Erasure, admitted_at: now, source: None };
    let entry = log::entry::Entry { header: header.encode().expect("encodes"), salt: [7; 16], body };
    tokio::task::block_in_place(|| {
        let mut page = VerifiedPage::clone(&next_page(&home, &copied, of, &mut goes_on(&home, &copied, of)));
        page.entries = vec![VerifiedEntry::Erased { leaf: [9; 32], remnant }, VerifiedEntry::Whole { header, entry }];
        page.checkpoint = None;
        copied.take_page(&hosted, &Arc::new(page), None).expect("is stored");
    });
    let entries = Snapshot { store: copied.store(), number: hosted.number, size: 5 };
    let said = Said::read(&entries, &hosted.domain().expect("copied"), &id).expect("read");
    assert!(said.unseen && said.about.iter().any(Logged::is_refused));
}

/// What is left of an erased statement stands beside its erasure, so of one thing there may be twice as many entries as
/// statements. An erasure behind all that would be missed, and with it a block.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_found_behind_all_that_may_be_left_of_a_thing() {
    let maker = Party::found("devices.acme.example");
    let (home, of) = (maker.open(), &maker.domain);
    let introduced = maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await.index;
    let (_data, copied) = copied_by(&home, of, 1);
    let hosted = copied.hosted(of).expect("copied");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;

    let id = IdentityId::Key(device(1).fingerprint());
    let left = |index: u64| {
        let mut statement = [7; 32];
        statement[..8].copy_from_slice(&index.to_be_bytes());
        Remnant { statement: StatementId(statement), identity: id }
    };
    let first = introduced + 1;
    let gone = first..first + limits::RECORD_STATEMENTS as u64;
    let (identity, act) = (Some(Identity { id, kind: Kind::Device }), Some(Act::Status));
    let erasure = Erasure { index: Some(first), identity, act, ..Erasure::new(of.clone(), left(first).statement) };
    let (json, now) = (erasure.to_json().expect("JSON"), home.clock().now());
    let body = sign_descriptor(&[&owner(of)], &json, now, &SALT).expect("signed");
    let header = Header { kind: EntryKind::Erasure, admitted_at: now, source: None };
    let entry = log::entry::Entry { header: header.encode().expect("encodes"), salt: [7; 16], body };
    tokio::task::block_in_place(|| {
        let mut page = VerifiedPage::clone(&next_page(&home, &copied, of, &mut goes_on(&home, &copied, of)));
        let erased = |index| VerifiedEntry::Erased { leaf: [9; 32], remnant: left(index) };
        page.entries = gone.clone().map(erased).collect();
        page.entries.push(VerifiedEntry::Whole { header, entry });
        page.checkpoint = None;
        copied.take_page(&hosted, &Arc::new(page), None).expect("is stored");
    });
    let entries = Snapshot { store: copied.store(), number: hosted.number, size: gone.end + 1 };
    let said = Said::read(&entries, &hosted.domain().expect("copied"), &id).expect("read");
    assert_eq!(said.about.iter().map(Logged::index).collect::<Vec<_>>(), [introduced, gone.end]);
    assert!(said.unseen, "the erasures of the others are still to come");
}

/// A copy of a part may have remnants that nothing ever confirms, and only while it shows less than it holds could the
/// erasure still be among that. An entry that may lack a block is not given, so the directory must not seem complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_says_that_a_thing_is_missing_of_which_more_may_be_shown() {
    let maker = Party::found_showing("devices.acme.example", "L1");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let (_data, copied) = copied_by(&home, of, 1);
    let hosted = copied.hosted(of).expect("copied");
    assert!(copied.store().sight(hosted.number).expect("copied").is_partial());
    let listed = || {
        let page = copied.all_things(Reader::Operator, of, None, 10).expect("a page");
        (page.things.len(), page.cut_short)
    };
    let takes = |change: &dyn Fn(&mut VerifiedPage)| {
        tokio::task::block_in_place(|| {
            let mut page = VerifiedPage::clone(&next_page(&home, &copied, of, &mut goes_on(&home, &copied, of)));
            change(&mut page);
            copied.take_page(&hosted, &Arc::new(page), None).expect("is stored");
        });
    };
    let remnant = Remnant { statement: StatementId([7; 32]), identity: IdentityId::Key(device(1).fingerprint()) };
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;
    takes(&|page| {
        let leaves = page.entries.iter().map(VerifiedEntry::leaf_data);
        page.entries = leaves.map(|leaf| VerifiedEntry::Erased { leaf, remnant }).collect();
    });
    assert_eq!(listed(), (1, false), "what a peer says falsely is confirmed by nothing");
    maker.publish(&home, &device(3), "urn:dev:os:32473-3", "L1").await;
    takes(&|page| page.checkpoint = None);
    assert_eq!(listed(), (0, true));
}

/// Statements about groups are never erased, so that is a lie. Whoever copies from a copy that was told so would not be
/// shown what is said of the group, perhaps a block, with the things in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_calls_erased_of_a_group_hides_nothing_that_is_said_of_it() {
    let maker = Party::found_showing("devices.acme.example", "L1");
    let (home, of) = (maker.open(), &maker.domain);
    let order = Group { kind: Kind::Group, name: "order 7".to_owned(), attributes: [].into() };
    let Ok(id @ IdentityId::Group(named)) = order.id() else { panic!("a group") };
    let said = Claims {
        attributes: [(Attribute::Lot, "L1".to_owned())].into(),
        groups: vec![named],
        ..claims(&maker, Act::Identity)
    };
    let (key, now) = (device(1), home.clock().now());
    let body = certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, false, now, &SALT).expect("made");
    maker.submit_one(&home, body).await.expect("admitted");
    let (_data, copied) = copied_by(&home, of, 1);
    let hosted = copied.hosted(of).expect("copied");

    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;
    let lie = Remnant { statement: StatementId([7; 32]), identity: id };
    tokio::task::block_in_place(|| {
        let mut page = VerifiedPage::clone(&next_page(&home, &copied, of, &mut goes_on(&home, &copied, of)));
        let leaves = page.entries.iter().map(VerifiedEntry::leaf_data);
        page.entries = leaves.map(|leaf| VerifiedEntry::Erased { leaf, remnant: lie }).collect();
        copied.take_page(&hosted, &Arc::new(page), None).expect("is stored");
    });
    let (said, now) = (claims(&maker, Act::Identity), home.clock().now());
    let body = sign_document(&maker.signer, &Subject::Group(order), &said, now, &SALT).expect("made");
    maker.submit_one(&home, body).await.expect("admitted");
    copy_more(&home, &copied, of, 1);
    let page = copied.entries(Reader::Anonymous, of, 0, 100, None).expect("a page");
    assert!(matches!(page.entries.as_slice(), [.., Entry::Hidden(_), Entry::Whole(_)]), "{:?}", page.entries);
}

/// When both are shown at once, what comes behind the erasure would else be erased as soon as it is filled in.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_of_what_comes_behind_it_erases_nothing() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let (home, of) = (maker.open(), &maker.domain);
    let introduced = maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let identity = Some(Identity { id: IdentityId::Key(device(1).fingerprint()), kind: Kind::Device });
    let (index, act) = (Some(introduced.index + 2), Some(Act::Status));
    let erasure = Erasure { index, identity, act, ..Erasure::new(of.clone(), StatementId([7; 32])) };
    let json = erasure.to_json().expect("JSON");
    let body = sign_descriptor(&[&owner(of)], &json, home.clock().now(), &SALT).expect("signed");
    tokio::task::block_in_place(|| log_as(&home, &maker, EntryKind::Erasure, body));
    assert_eq!(Some(block(&home, &maker, "suspended", Vec::new()).await.index), index);
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), &home, of, &[("home", "http://127.0.0.1:9")]);
    tokio::task::block_in_place(|| {
        copy_pages(&home, &copied, of, &mut goes_on(&home, &copied, of), 2);
        bring(&home, &copied, of, &home.checkpoint(of).expect("a checkpoint"));
    });
    assert_eq!(status_at(&copied, of).as_deref(), Some("suspended"));
}

/// The node could not read the domain after a restart, and would believe nobody who shows what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_says_about_itself_stays_whatever_a_peer_says_of_it() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let data = tempfile::tempdir().expect("directory");
    let open = || copy(data.path(), &home, of, &[("home", "http://127.0.0.1:9")]);
    let copied = open();
    // The descriptor, the certificate and the leaf.
    copy_more(&home, &copied, of, 1);
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L1").await;
    tokio::task::block_in_place(|| {
        let hosted = copied.hosted(of).expect("copied");
        let fill = next_fill(&home, &copied, of, &mut goes_on(&home, &copied, of), |_, _| ());
        let mut fill = Fill::clone(&fill);
        fill.lost = vec![0, 1];
        copied.take_fill(&hosted, &fill).expect("is noted");
        let ends = |page: &mut Page| page.sight.iter_mut().for_each(|sight| sight.ended = vec![0, 1]);
        let page = next_page_as(&home, &copied, of, &mut goes_on(&home, &copied, of), ends);
        assert_eq!(page.ended, [0, 1]);
        copied.take_page(&hosted, &page, None).expect("is stored");
    });
    drop(copied);
    let again = open();
    let known = again.hosted(of).expect("copied").domain().expect("it is known");
    assert_eq!((known.descriptor().version, known.certificates().count()), (1, 1));
}
