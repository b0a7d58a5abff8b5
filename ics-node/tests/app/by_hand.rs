//! Bundles from a home that has signed two logs, or whose clock was ahead.

use core::convert::identity;
use core::time::Duration;
use std::time::Instant;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_node::api::SubmissionResult;
use ics_node::app::{App, Reader, Source};
use ics_node::config::PeerConfig;
use ics_sync::carried::{Carried, Reached, Wanted};
use ics_sync::wire::{Entry, Page};
use tokio::sync::watch;

use crate::fixture::{PATIENCE, Party, catches_up, copy, device, served, word};
use crate::recovery::copied;

/// The entries that both logs share: the descriptor, a certificate and a statement.
const SHARED: u64 = 3;

/// A home, and a twin that continues from a copy of its files.
struct Forked {
    maker: Party,
    site: Party,
    home: App,
    twin: App,
    /// The twin's files.
    _files: tempfile::TempDir,
}

impl Forked {
    /// The home makes `more` further statements, and its twin `others` different ones.
    async fn with(more: u8, others: u8) -> Self {
        let (maker, home) = Party::with_a_device().await;
        drop(home);
        let files = copied(&maker);
        let (home, twin) = (maker.open(), maker.open_with(|setup| setup.data = files.path().to_owned()));
        for (app, first, count) in [(&home, 10, more), (&twin, 100, others)] {
            for number in first..first + count {
                maker.publish(app, &device(number), &format!("urn:dev:os:32473-{number}"), "L2").await;
            }
        }
        Self { maker, site: Party::found("plant.example"), home, twin, _files: files }
    }

    /// A node to which bundles of the domain are brought.
    fn gateway(&self) -> App {
        let peer = PeerConfig {
            key: Some(word(&self.home.node().key)),
            mirror: vec![self.home.domain(&self.maker.domain).expect("here").info.origin],
            ..PeerConfig::new(word("acme"))
        };
        self.site.open_for(vec![peer])
    }

    fn note(&self, of: &App) -> String {
        of.checkpoint(&self.maker.domain).expect("signed")
    }

    /// The forks that a node has recorded, its own side first, and its number of alarms of a kind.
    fn told(&self, at: &App, kind: &str) -> (Vec<(String, String)>, usize) {
        let info = at.domain(&self.maker.domain).expect("here");
        let forks = info.forks.into_iter().map(|fork| (fork.ours, fork.theirs)).collect();
        (forks, info.alarms.iter().filter(|alarm| alarm.kind == kind).count())
    }
}

/// Brings a bundle of what a home has, with each part changed by `change`.
fn bring(at: &App, of: &DomainName, home: &App, change: impl Fn(Carried) -> Carried) -> Reached {
    let mut carried = Carried::Begin;
    loop {
        let wanted = tokio::task::block_in_place(|| at.carried(of, carried)).expect("it asks on");
        carried = change(match wanted {
            Wanted::Descriptors { from } => Carried::Descriptors(home.descriptors(of, from).expect("descriptors")),
            Wanted::Checkpoint => Carried::Checkpoint(home.checkpoint(of).expect("a checkpoint")),
            Wanted::Page { from, limit, until } => {
                Carried::Page(home.entries(Reader::Anonymous, of, from, limit.min(2), Some(until)).expect("a page"))
            }
            Wanted::Again(again) => panic!("{again:?}"),
            Wanted::Nothing(reached) => return reached,
        });
    }
}

/// Applies a change to the pages of a bundle only.
fn pages(change: impl Fn(Page) -> Carried) -> impl Fn(Carried) -> Carried {
    move |carried| match carried {
        Carried::Page(page) => change(page),
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_bundle_of_another_log_proves_the_fork_whichever_is_the_longer() {
    for (more, others) in [(1, 3), (2, 3), (3, 1)] {
        let forked = Forked::with(more, others).await;
        let (gateway, domain) = (forked.gateway(), &forked.maker.domain);
        let taken = bring(&gateway, domain, &forked.home, identity);
        let held = SHARED + u64::from(more);
        assert_eq!((taken.size, taken.trouble), (held, None));
        let smaller = SHARED + u64::from(more.min(others));
        for _ in 0..2 {
            let refused = bring(&gateway, domain, &forked.twin, identity);
            let why = refused.trouble.unwrap_or_default();
            assert!(why.contains(&format!("two different roots for {smaller} entries")), "{why}");
            assert_eq!(refused.size, held, "nothing of it is taken");
        }
        let proof = (forked.note(&forked.home), forked.note(&forked.twin));
        assert_eq!(forked.told(&gateway, "fork"), (vec![proof], 1));
        assert_eq!(bring(&gateway, domain, &forked.home, identity).trouble, None, "the log that is held goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_show_how_the_other_log_begins_proves_nothing_and_is_alarmed() {
    let forked = Forked::with(2, 4).await;
    let (gateway, domain) = (forked.gateway(), &forked.maker.domain);
    assert_eq!(bring(&gateway, domain, &forked.home, identity).trouble, None);
    let news_only = |page: Page| if page.from < SHARED + 2 { missing() } else { Carried::Page(page) };
    let false_entry = |mut page: Page| {
        if let (0, Some(Entry::Whole(entry))) = (page.from, page.entries.first_mut()) {
            entry.body.push(b'!');
        }
        Carried::Page(page)
    };
    let nothing_at_first = |mut page: Page| {
        if page.from == 0 {
            page.entries.clear();
        }
        Carried::Page(page)
    };
    for brought in [
        bring(&gateway, domain, &forked.twin, pages(news_only)),
        bring(&gateway, domain, &forked.twin, pages(false_entry)),
        bring(&gateway, domain, &forked.twin, pages(nothing_at_first)),
    ] {
        let why = brought.trouble.unwrap_or_default();
        assert!(why.contains("do not lead from") && why.contains("made without `--since`, shows which"), "{why}");
    }
    assert_eq!(forked.told(&gateway, "fork"), (vec![], 0), "anybody could have made that");
    assert_eq!(forked.told(&gateway, "bundle-refused").1, 1, "once is enough");
}

fn missing() -> Carried {
    Carried::Missing("the bundle has news only".to_owned())
}

/// As over a network, where such a log was taken for that of a home that lags behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_shown_a_shorter_log_than_its_own_keeps_the_proof() {
    let forked = Forked::with(1, 3).await;
    let (domain, dir) = (&forked.maker.domain, tempfile::tempdir().expect("directory"));
    let replicates = |copied: &App| {
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(copied.clone().replicate(stopped)))
    };
    let copied = copy(dir.path(), &forked.twin, domain, &[("home", &served(&forked.twin))]);
    let (stop, replicating) = replicates(&copied);
    catches_up(&copied, &forked.twin, domain).await;
    stop.send_replace(true);
    replicating.await.expect("ends");
    drop(copied);
    let copied = copy(dir.path(), &forked.home, domain, &[("home", &served(&forked.home))]);
    let (stop, replicating) = replicates(&copied);
    let stopped = (vec![(forked.note(&forked.twin), forked.note(&forked.home))], 1);
    let began = Instant::now();
    while forked.told(&copied, "mirror-stopped") != stopped {
        assert!(began.elapsed() < PATIENCE, "it does not stop: {:?}", forked.told(&copied, "mirror-stopped"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(true);
    replicating.await.expect("ends");
}

/// A twin that holds fewer but different entries does not merely lag behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_does_not_go_on_beside_a_shorter_log_of_its_own() {
    let forked = Forked::with(3, 1).await;
    let (home, domain) = (&forked.home, &forked.maker.domain);
    home.hold().expect("silenced");
    let twin = [Source::Copy { name: "a copy".to_owned(), app: forked.twin.clone() }];
    for others in 1..3 {
        let asked = home.ask_all(domain, &twin).await.expect("asked");
        let why = asked[0].answer.as_ref().expect_err("another log");
        assert!(why.contains(&format!("two different roots for {} entries", SHARED + others)), "{why}");
        assert_eq!(home.silent(), core::slice::from_ref(domain), "it stays silent");
        assert_eq!(forked.told(home, "fork").0.len(), 1, "one proof is kept, however often it is asked");
        forked.maker.publish(&forked.twin, &device(200), "urn:dev:os:32473-200", "L2").await;
    }
}

/// Otherwise anybody with an old bundle from a home whose clock was ahead could make everything unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_not_believed_does_not_undo_one_that_is() {
    let forked = Forked::with(1, 0).await;
    let (gateway, domain) = (forked.gateway(), &forked.maker.domain);
    let now = forked.home.clock().now().as_seconds();
    let (right, later, ahead) = (now - 60, now - 30, now + 86_400);
    for (cosigned, known) in [
        (ahead, None),
        (right, Some(right)),
        (ahead, Some(right)),
        (ahead + 86_400, Some(right)),
        (later, Some(later)),
        (ahead, Some(later)),
    ] {
        let note = forked.maker.vouched(&forked.note(&forked.home), Timestamp::from_seconds(cosigned));
        let taken = bring(&gateway, domain, &forked.home, |carried| match carried {
            Carried::Checkpoint(_) => Carried::Checkpoint(note.clone()),
            other => other,
        });
        assert_eq!((taken.size, taken.trouble), (SHARED + 1, None));
        assert_eq!(taken.as_of, known.map(Timestamp::from_seconds), "cosigned at {cosigned}");
    }
}

/// Whoever brought the rest could not: that there were no receipts yet was an error.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_copy_of_which_nothing_is_proven_keeps_nobody_from_bringing_the_rest() {
    let forked = Forked::with(1, 1).await;
    let (gateway, domain) = (forked.gateway(), &forked.maker.domain);
    let cut = |carried: Carried| match carried {
        Carried::Page(page) if page.from > 0 => Carried::Missing("the rest is not here".to_owned()),
        other => other,
    };
    let brought = bring(&gateway, domain, &forked.home, cut);
    assert_eq!((brought.size, brought.trouble.as_deref()), (2, Some("the rest is not here")));
    let body = forked.maker.introduce(&forked.home, &device(50), "urn:dev:os:32473-50", "L2");
    let results = gateway.submit(domain, vec![body]).await.expect("taken in").results;
    assert!(matches!(results.as_slice(), [SubmissionResult::Pending(_)]), "{results:?}");
    let again = bring(&gateway, domain, &forked.home, cut);
    assert_eq!((again.size, again.trouble.as_deref()), (2, Some("the rest is not here")));
    assert_eq!(bring(&gateway, domain, &forked.home, identity).trouble, None);
}
