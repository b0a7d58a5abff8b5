//! Copies of what a home should not have logged, and of what becomes readable while it is being copied.

mod left;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::descriptor::Descriptor;
use ics_core::identity::{IdentityId, Kind};
use ics_core::log::Hash;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::log::receipt::Receipt;
use ics_core::statement::make::{certify, sign_descriptor, sign_document};
use ics_core::statement::{Claims, Group, StatementId, Subject};
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_sync::Applier as _;
use ics_sync::carried::{Carried, Wanted};
use ics_sync::mirror::{Action, Mirror, VerifiedPage};
use ics_sync::wire::Page;
use tokio::sync::watch;

use crate::api::SubmissionResult;
use crate::app::admit::judge::grow;
use crate::app::copy::mirror::Taking;
use crate::app::entries::keys_of;
use crate::app::{App, Reader};
use crate::fixture::{PATIENCE, Party, SALT, catches_up, claims, copy, device, owner, served, status_of, word};
use crate::openpgp::{Armor, armored};
use crate::store::{Content, NewContent, NewEntry, StoreError, WriteTx};

/// The number of entries in a page.
const PAGE: usize = 3;

/// How many vouch for a device at a node; `None` if the node does not know it.
fn vouched(at: &App, maker: &Party, number: u8) -> Option<usize> {
    let id = device(number).fingerprint().to_string();
    Some(at.record(Reader::Operator, &maker.domain, &id).ok()?.record.vouched.len())
}

/// Makes a home log these bytes as an entry of this kind, whatever they are.
fn log_as(home: &App, maker: &Party, kind: EntryKind, body: Vec<u8>) {
    log_with(home, maker, kind, body, |new| new);
}

/// Makes a home log a statement without effect, as if it had judged it otherwise once.
fn log_refused(home: &App, maker: &Party, body: Vec<u8>) {
    let kind = EntryKind::Statement;
    let keys = keys_of(&Header { kind, admitted_at: home.clock().now(), source: None }, &body);
    log_with(home, maker, kind, body, |new| NewEntry { keys, effective: false, ..new });
}

fn log_with(home: &App, maker: &Party, kind: EntryKind, body: Vec<u8>, change: impl FnOnce(NewEntry) -> NewEntry) {
    let (hosted, admitted_at) = (home.hosted(&maker.domain).expect("here"), home.clock().now());
    let header = Header { kind, admitted_at, source: None }.encode().expect("encodes");
    let content = NewContent::Whole(Content { salt: [7; 16], body });
    let new = change(NewEntry { header, content, keys: Vec::new(), effective: true });
    let writer = Arc::clone(&hosted);
    let job = move |tx: &mut WriteTx<'_>| {
        let (mut domain, line) = writer.working_at(tx.size())?;
        let index = tx.append(new)?;
        grow(&mut domain, index, admitted_at);
        writer.leave(tx, domain, line);
        Ok::<_, StoreError>(())
    };
    home.store().write(hosted.number, job).expect("queued").wait().expect("written");
    home.tell(&hosted);
}

/// At the next start such a body could not be parsed, and the node would not start for any of its domains.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_canonical_form_has_no_effect_at_copies_and_they_start_again() {
    let (maker, home) = Party::opened();
    let in_armor = armored(&maker.certificate, Armor::PublicKey).expect("armored");
    tokio::task::block_in_place(|| log_as(&home, &maker, EntryKind::Certificate, in_armor));
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;

    let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
    let open = || copy(data.path(), &home, &maker.domain, &[("home", &url)]);
    let copied = open();
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copied.clone().replicate(stopped));
    catches_up(&copied, &home, &maker.domain).await;
    let alarms = copied.domain(&maker.domain).expect("copied").alarms;
    let [alarm] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert!(alarm.text.starts_with("entry 1: this is not a statement in the form that the log takes"), "{alarm:?}");
    stop.send_replace(true);
    replicating.await.expect("ends");
    drop(copied);
    assert_eq!(vouched(&open(), &maker, 1), Some(1), "what is behind it has effect, after a restart as well");
}

/// What was refused once may stand in the log again. Owners who erase one of the two do not mean the other, at copies
/// that never had either as well.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_stands_in_the_log_twice_that_entry_is_erased_which_the_owners_mean() {
    let (maker, home) = Party::with_a_device().await;
    let of = &maker.domain;
    let said = maker.introduce(&home, &device(2), "Pump 2", "L2");
    tokio::task::block_in_place(|| log_refused(&home, &maker, said.clone()));
    let counts = maker.submit_one(&home, said).await.expect("it may be said again").index;
    let (number, refused) = (home.hosted(of).expect("here").number, counts - 1);
    let held = || [refused, counts].map(|index| home.store().entry(number, index).expect("an entry").content.is_some());
    assert_eq!(held(), [true, true]);
    maker.erase(&home, counts).await;
    assert_eq!(held(), [true, false]);
    maker.erase(&home, refused).await;
    assert_eq!(held(), [false, false]);

    let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
    let copied = copy(data.path(), &home, of, &[("home", &url)]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copied.clone().replicate(stopped));
    catches_up(&copied, &home, of).await;
    assert_eq!(copied.domain(of).expect("copied").alarms, []);
    stop.send_replace(true);
    replicating.await.expect("ends");
}

/// Does what a mirror says, with the home's answers to a stranger, until there is a page to store.
fn next_page(home: &App, copied: &App, of: &DomainName, mirror: &mut Mirror) -> Arc<VerifiedPage> {
    next_page_as(home, copied, of, mirror, |_| ())
}

/// The same, with pages that are changed on their way.
fn next_page_as(
    home: &App,
    copied: &App,
    of: &DomainName,
    mirror: &mut Mirror,
    change: impl Fn(&mut Page),
) -> Arc<VerifiedPage> {
    let hosted = copied.hosted(of).expect("copied");
    loop {
        let now = copied.clock().now();
        match mirror.poll_action(now) {
            Action::FetchDescriptors { from } => {
                mirror.handle_descriptors(&home.descriptors(of, from).expect("descriptors"), now);
            }
            Action::FetchCheckpoint => mirror.handle_checkpoint(&home.checkpoint(of).expect("a checkpoint"), now),
            Action::FetchPage { from, limit, until } => {
                let page = home.entries(Reader::Anonymous, of, from, limit.min(PAGE), Some(until));
                let mut page = page.expect("a page");
                change(&mut page);
                mirror.handle_page(page, now);
            }
            Action::Apply(page) => return page,
            Action::Survey(survey) => mirror.handle_surveyed(copied.survey(&hosted, &survey).expect("is held")),
            Action::FetchAgain(again) => {
                let shown = home.entries_again(Reader::Anonymous, of, &again).expect("is shown");
                mirror.handle_shown(shown, now);
            }
            Action::Fill(fill) => {
                copied.take_fill(&hosted, &fill).expect("is filled in");
                mirror.handle_filled();
            }
            other => panic!("{other:?}; {:?}", mirror.status()),
        }
    }
}

/// Does what a mirror says, as [`next_page`], until it has stored this many more pages.
fn copy_pages(home: &App, copied: &App, of: &DomainName, mirror: &mut Mirror, pages: usize) {
    let hosted = copied.hosted(of).expect("copied");
    for _ in 0..pages {
        let page = next_page(home, copied, of, mirror);
        copied.take_page(&hosted, &page, None).expect("is stored");
        mirror.handle_applied(copied.clock().now());
    }
}

/// Other writers wait for one part of the page only. If a part cannot be stored, the copier starts anew from what is
/// here: otherwise it would try for ever to store the whole page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_takes_long_is_stored_in_parts_and_shown_as_a_whole() {
    let maker = Party::found("devices.acme.example");
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), &home, of, &[("home", "http://127.0.0.1:9")]);
    let hosted = copied.hosted(of).expect("copied");
    let origin = home.domain(of).expect("here").info.origin;
    let goes_on = || copied.resume_at(&hosted, &origin, 1_000, false).expect("goes on");
    let held = || copied.store().head(hosted.number).expect("here").size;
    let there = || (1..8).map(|number| vouched(&copied, &maker, number).is_some()).collect::<Vec<_>>();
    let copies = || tokio::task::block_in_place(|| copy_pages(&home, &copied, of, &mut goes_on(), 1));
    // The descriptor, the certificate and a device.
    copies();
    for number in 2..5 {
        maker.publish(&home, &device(number), &format!("urn:dev:os:32473-{number}"), "L2").await;
    }
    let moved = hosted.moved.subscribe();
    tokio::task::block_in_place(|| {
        let mut page = VerifiedPage::clone(&next_page(&home, &copied, of, &mut goes_on()));
        assert_eq!((page.entries.len(), page.checkpoint.is_some()), (PAGE, true));
        page.checkpoint.iter_mut().for_each(|reached| reached.checkpoint.root = Hash([9; 32]));
        copied.take_page_in_jobs(&hosted, &Arc::new(page), None, 1).expect_err("it does not lead there");
    });
    assert_eq!(held(), 5, "two of three");
    assert_eq!(there(), [true, false, false, false, false, false, false]);
    assert!(moved.has_changed().expect("still there"), "whoever copies from a peer begins anew");

    copies();
    assert_eq!((held(), there()), (6, vec![true, true, true, true, false, false, false]));
    for number in 5..8 {
        maker.publish(&home, &device(number), &format!("urn:dev:os:32473-{number}"), "L5").await;
    }
    tokio::task::block_in_place(|| {
        let page = next_page(&home, &copied, of, &mut goes_on());
        copied.take_page_in_jobs(&hosted, &page, None, 1).expect("is stored");
    });
    assert_eq!((held(), there()), (9, vec![true; 7]));
    assert_eq!(copied.domain(of).expect("copied").alarms, []);
}

/// What the domain is could not be read when the end of the copy was given up: whoever continues it reads that again.
/// Otherwise every page would come to a copy that takes itself for empty, until the node is started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_which_it_is_not_known_what_it_is_goes_on_from_what_is_held() {
    let (maker, home) = Party::with_a_device().await;
    let of = &maker.domain;
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), &home, of, &[("home", "http://127.0.0.1:9")]);
    let hosted = copied.hosted(of).expect("copied");
    let origin = home.domain(of).expect("here").info.origin;
    let goes_on = || copied.resume_at(&hosted, &origin, 1_000, false).expect("goes on");
    tokio::task::block_in_place(|| copy_pages(&home, &copied, of, &mut goes_on(), 1));
    hosted.begin_again(None);
    assert_eq!(vouched(&copied, &maker, 1), None, "nothing is shown meanwhile");
    maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
    let mut taking = Taking::new(&copied, &hosted, hosted.known());
    let page = tokio::task::block_in_place(|| next_page(&home, &copied, of, &mut goes_on()));
    taking.apply(&page).await.expect("nobody else has changed what is held");
    assert_eq!([1, 2].map(|number| vouched(&copied, &maker, number)), [Some(1); 2]);
}

/// Admits another descriptor of a party's domain, with another condition for reading.
async fn read_on_another(home: &App, maker: &Party, condition: &str, other: &str) {
    let json = home.descriptor(&maker.domain, None).expect("in force").json;
    let before = Descriptor::parse(&json).expect("a descriptor");
    let [former, later] = [condition, other].map(|condition| format!(" when {{ {condition} }}"));
    assert!(before.access.contains(&former), "{}", before.access);
    let (version, previous) = (before.version + 1, Some(before.hash()));
    let next = Descriptor { version, previous, access: before.access.replace(&former, &later), ..before };
    let key = owner(&maker.domain);
    let signed = sign_descriptor(&[&key], &next.to_json(), home.clock().now(), &SALT).expect("signed");
    let results = home.submit(&maker.domain, vec![signed]).await.expect("a batch").results;
    assert!(matches!(results.as_slice(), [SubmissionResult::Receipt(_)]), "{results:?}");
}

/// A first copy has no checkpoint before its last page, and what it may read now is filled in all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_read_in_the_middle_of_a_first_copy_is_filled_in() {
    let condition = "principal has node";
    let maker = Party::found_private("devices.acme.example", condition);
    let home = maker.open();
    for number in 1..4 {
        maker.publish(&home, &device(number), &format!("urn:dev:os:32473-{number}"), &format!("L{number}")).await;
    }
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), &home, &maker.domain, &[("home", "http://127.0.0.1:9")]);
    let hosted = copied.hosted(&maker.domain).expect("copied");
    let origin = home.domain(&maker.domain).expect("here").info.origin;
    let mut mirror = copied.resume_at(&hosted, &origin, 1_000, false).expect("begins");
    // The descriptor, the certificate and a device, of which there is only the leaf.
    tokio::task::block_in_place(|| copy_pages(&home, &copied, &maker.domain, &mut mirror, 1));
    read_on_another(&home, &maker, condition, "true").await;
    tokio::task::block_in_place(|| copy_pages(&home, &copied, &maker.domain, &mut mirror, 1));
    let there: Vec<_> = (1..4).map(|number| vouched(&copied, &maker, number)).collect();
    assert_eq!(there, [Some(1); 3]);
    assert_eq!(copied.domain(&maker.domain).expect("copied").alarms, []);
}

/// Brings a copy, by hand, what its home shows its operator of the entries under a checkpoint.
fn bring(home: &App, copied: &App, of: &DomainName, note: &str) {
    let mut said = Carried::Begin;
    loop {
        said = match copied.carried(of, said).expect("taken") {
            Wanted::Descriptors { from } => Carried::Descriptors(home.descriptors(of, from).expect("here")),
            Wanted::Checkpoint => Carried::Checkpoint(note.to_owned()),
            Wanted::Page { from, limit, until } => {
                Carried::Page(home.entries(Reader::Operator, of, from, limit, Some(until)).expect("a page"))
            }
            Wanted::Again(again) => Carried::Shown(home.entries_again(Reader::Operator, of, &again).expect("shown")),
            Wanted::Nothing(reached) => return assert_eq!(reached.trouble, None),
        };
    }
}

/// A page that was made before a bundle showed more would undo what the node may read, and keep what it will hear
/// nothing about any more.
#[tokio::test(flavor = "multi_thread")]
async fn who_copies_from_a_peer_begins_anew_when_a_bundle_has_changed_the_copy() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let (home, of) = (maker.open(), &maker.domain);
    for number in 1..3 {
        maker.publish(&home, &device(number), &format!("urn:dev:os:32473-{number}"), "L1").await;
    }
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), &home, of, &[("home", "http://127.0.0.1:9")]);
    let hosted = copied.hosted(of).expect("copied");
    let origin = home.domain(of).expect("here").info.origin;
    let goes_on = || copied.resume_at(&hosted, &origin, 1_000, false).expect("goes on");
    let copies = |pages| tokio::task::block_in_place(|| copy_pages(&home, &copied, of, &mut goes_on(), pages));
    copies(2);
    let note = home.checkpoint(of).expect("signed");
    maker.publish(&home, &device(3), "urn:dev:os:32473-3", "L1").await;
    let there = || [1, 2, 3].map(|number| vouched(&copied, &maker, number));

    let mut taking = Taking::new(&copied, &hosted, hosted.known());
    let page = tokio::task::block_in_place(|| next_page(&home, &copied, of, &mut goes_on()));
    tokio::task::block_in_place(|| bring(&home, &copied, of, &note));
    assert_eq!(there(), [Some(1), Some(1), None]);
    let moved = hosted.moved.subscribe();
    taking.apply(&page).await.expect_err("it was made for another copy");
    assert!(moved.has_changed().expect("still there"), "it is begun anew");
    assert_eq!(there(), [Some(1), Some(1), None]);
    copies(1);
    assert_eq!(there(), [None; 3]);
}

/// Has a party say that the first device must not be used.
async fn block(home: &App, maker: &Party, status: &str, supersedes: Vec<StatementId>) -> Receipt {
    let said = Claims { status: Some(word(status)), supersedes, ..claims(maker, Act::Status) };
    let (key, now) = (device(1), home.clock().now());
    let body = certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, true, now, &SALT).expect("made");
    maker.submit_one(home, body).await.expect("admitted")
}

/// A copy never gets the body of what was erased before it could read it. What was said in between counts there as it
/// does at the home, and whoever copies from it gets everything as well.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_before_it_could_be_read_is_not_taken_for_withheld() {
    let condition = "principal has node";
    let maker = Party::found_private("devices.acme.example", condition);
    let (home, of) = (maker.open(), &maker.domain);
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let suspended = block(&home, &maker, "suspended", Vec::new()).await;
    block(&home, &maker, "stolen", vec![suspended.id]).await;
    let directories = [(), ()].map(|()| tempfile::tempdir().expect("directory"));
    let [middle, last] =
        [0, 1].map(|at: usize| copy(directories[at].path(), &home, of, &[("home", "http://127.0.0.1:9")]));
    let origin = home.domain(of).expect("here").info.origin;
    let copies = |from: &App, to: &App, pages| {
        let hosted = to.hosted(of).expect("copied");
        let mut mirror = to.resume_at(&hosted, &origin, 1_000, false).expect("begins");
        tokio::task::block_in_place(|| copy_pages(from, to, of, &mut mirror, pages));
    };
    // The descriptor, the certificate and three leaves.
    copies(&home, &middle, 2);
    maker.erase(&home, suspended.index).await;
    read_on_another(&home, &maker, condition, "true").await;
    copies(&home, &middle, 1);
    copies(&middle, &last, 3);
    for at in [&home, &middle, &last] {
        assert_eq!(status_of(at, &maker, 1), status_of(&home, &maker, 1));
        assert_eq!(at.domain(of).expect("here").alarms, []);
    }
}

/// An intermediate node that may no longer read something has nothing left of it to compare with what others may read.
/// A node that copies from it must delete it all the same, since it would not learn what is said about it later either,
/// for example a block.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_read_no_longer_is_deleted_from_copies_of_copies() {
    let maker = Party::found_private("devices.acme.example", "true");
    let home = maker.open();
    maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
    let directories = [(), ()].map(|()| tempfile::tempdir().expect("directory"));
    let middle = copy(directories[0].path(), &home, &maker.domain, &[("home", &served(&home))]);
    let last = copy(directories[1].path(), &home, &maker.domain, &[("middle", &served(&middle))]);
    let (stop, stopped) = watch::channel(false);
    let replicating = [&middle, &last].map(|copied| tokio::spawn(copied.clone().replicate(stopped.clone())));
    catches_up(&last, &home, &maker.domain).await;
    let there = || [&middle, &last].map(|copied| vouched(copied, &maker, 1));
    assert_eq!(there(), [Some(1); 2]);
    read_on_another(&home, &maker, "true", "principal has node").await;
    let began = Instant::now();
    while there() != [None; 2] {
        assert!(began.elapsed() < PATIENCE, "{:?}", there());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(true);
    for copied in replicating {
        copied.await.expect("ends");
    }
}

/// Who may speak about a group depends on the groups to which it belongs. So a copy is told with a thing of these as
/// well, asks for them, and would get no further if they were hidden.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_groups_of_groups_is_shown_with_the_things_that_rest_on_it() {
    let maker = Party::found_showing("devices.acme.example", "L1");
    let (home, of) = (maker.open(), &maker.domain);
    let group = |name: &str| Group { kind: Kind::Group, name: name.to_owned(), attributes: [].into() };
    let (orders, order) = (group("orders of 2026"), group("order 7"));
    let id = |group: &Group| match group.id() {
        Ok(IdentityId::Group(id)) => id,
        other => panic!("{other:?}"),
    };
    let say = |group: &Group, groups: Vec<[u8; 32]>| {
        let said = Claims { groups, ..claims(&maker, Act::Identity) };
        sign_document(&maker.signer, &Subject::Group(group.clone()), &said, home.clock().now(), &SALT).expect("made")
    };
    let above = maker.submit_one(&home, say(&orders, Vec::new())).await.expect("admitted").index;
    let data = tempfile::tempdir().expect("directory");
    let copied = copy(data.path(), &home, of, &[("home", "http://127.0.0.1:9")]);
    let hosted = copied.hosted(of).expect("copied");
    let origin = home.domain(of).expect("here").info.origin;
    let copies = || {
        let mut mirror = copied.resume_at(&hosted, &origin, 1_000, false).expect("goes on");
        tokio::task::block_in_place(|| copy_pages(&home, &copied, of, &mut mirror, 1));
    };
    copies();
    let is_here = || copied.store().entry(hosted.number, above).expect("an entry").content.is_some();
    assert!(!is_here(), "nothing that may be read rests on it yet");

    maker.submit_one(&home, say(&order, vec![id(&orders)])).await.expect("admitted");
    let said = Claims {
        attributes: [(Attribute::Lot, "L1".to_owned())].into(),
        groups: vec![id(&order)],
        ..claims(&maker, Act::Identity)
    };
    let (key, now) = (device(1), home.clock().now());
    let body = certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, false, now, &SALT).expect("made");
    maker.submit_one(&home, body).await.expect("admitted");
    copies();
    assert!(is_here());
    assert_eq!(vouched(&copied, &maker, 1), Some(1));
}
