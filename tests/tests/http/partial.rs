//! A copy that may read only a part of a domain: its verdicts about what it may no longer read, what happens to erased
//! statements, and what it passes on to others.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::descriptor::Freshness;
use ics_core::openpgp::signer::Signer as _;
use ics_core::trust::{Outcome, Reason, TrustDocument, TrustPolicy, Verdict};
use ics_node::app::Reader;
use ics_sync::wire;
use tempfile::TempDir;

use crate::hidden::{ALL, Copy, amend, device, erase, lots, say};
use crate::support::{Node, settings};
use crate::world::{World, certificate, domain, maker, serial, signer, stolen};

/// A home where strangers may read the devices of these lots, with some devices in it.
async fn home(rule: String, devices: Vec<Vec<u8>>) -> Node {
    let founded = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &rule));
    let home = Node::with(tokio::task::spawn_blocking(founded).await.expect("a world"), &settings());
    say(&home, [vec![certificate(&maker(), "Acme")], devices].concat()).await;
    home
}

/// A trust policy by which whatever its manufacturer vouches for may be used.
fn trusting(home: &Node) -> Option<Arc<TrustPolicy>> {
    let document = TrustDocument {
        domains: vec![home.app().domain(&domain()).expect("founded").info.origin],
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: Freshness { default: 3_600, uses: [].into() },
        rules: "@id(\"made\") permit (principal, action, resource) \
                when { principal.vouching_roles.contains(\"manufacturer\") };"
            .to_owned(),
    };
    Some(Arc::new(TrustPolicy::compile(document).expect("rules")))
}

/// Waits until a condition holds.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a file in a directory contains a text.
fn holds(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
    files.into_iter().any(|path| {
        let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        if path.is_dir() { self::holds(&path, text) } else { std::fs::read(&path).is_ok_and(holds) }
    })
}

fn verdict(copy: &Copy, seed: u8) -> Verdict {
    copy.app.verdict(Reader::Operator, &serial(seed), "connect", None).expect("a verdict")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_may_be_read_no_longer_nothing_is_known() {
    let (both, one) = (lots(&["L1", "L2"]), lots(&["L2"]));
    let home = home(both.clone(), vec![device(20, "L1"), device(21, "L2")]).await;
    let data = TempDir::new().expect("a directory");
    let copy = Copy::trusting(&data, &home, trusting(&home));
    copy.shows(&home, "both may be read", &[(20, ""), (21, "")]).await;
    assert_eq!((verdict(&copy, 20).outcome, verdict(&copy, 21).outcome), (Outcome::Allow, Outcome::Allow));

    amend(&home, &both, &one).await;
    // It is blocked where the copy cannot see that.
    say(&home, vec![stolen(&maker(), 20)]).await;
    copy.shows(&home, "one may be read", &[(21, "")]).await;
    // Looking into the index does not block anyone for long.
    until("what may be read no longer is deleted", || !holds(data.path(), "Thermometer 20")).await;
    assert!(holds(data.path(), "Thermometer 21"));
    // Its name may no longer be read. The copy must not say that no such thing is known: it could pass as harmless.
    let nameless = verdict(&copy, 20);
    assert_eq!((nameless.outcome, nameless.reason), (Outcome::Unknown, Reason::NotHeard), "{nameless:?}");
    assert!(nameless.reasons[1].contains("may keep things back from this node"), "{:?}", nameless.reasons);
    let by_id = |copy: &Copy| {
        let id = signer(20).public_key().fingerprint().to_string();
        copy.app.verdict(Reader::Operator, &id, "connect", None).expect("a verdict")
    };
    let withheld = by_id(&copy);
    assert_eq!((withheld.outcome, withheld.reason), (Outcome::Unknown, Reason::Withheld), "{withheld:?}");
    assert!(withheld.reasons[0].contains("no longer shows this node"), "{:?}", withheld.reasons);
    let to_a_stranger = |seed: u8| {
        let id = signer(seed).public_key().fingerprint().to_string();
        let told = copy.app.verdict(Reader::Anonymous, &id, "connect", None).expect("a verdict");
        (told.outcome, told.reason, told.reasons)
    };
    assert_eq!(to_a_stranger(20), to_a_stranger(90), "that there is such a thing is not for all to know");
    assert_eq!(to_a_stranger(20).1, Reason::NotHeard);
    assert_eq!(verdict(&copy, 21).outcome, Outcome::Allow, "the other is as it was");
    copy.stop().await;
    let copy = Copy::trusting(&data, &home, trusting(&home));
    assert_eq!(by_id(&copy).reason, Reason::Withheld, "over a restart as well");

    amend(&home, &one, &both).await;
    copy.shows(&home, "both again, with what was said meanwhile", &[(20, "stolen"), (21, "")]).await;
    let denied = verdict(&copy, 20);
    assert_eq!((denied.outcome, denied.reason), (Outcome::Deny, Reason::Blocked), "{denied:?}");
    copy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_blocks_as_before_at_a_copy_that_reads_a_part() {
    let (one, both) = (lots(&["L1"]), lots(&["L1", "L2"]));
    let devices = vec![device(20, "L1"), device(21, "L2"), stolen(&maker(), 20), stolen(&maker(), 21)];
    let home = home(one.clone(), devices).await;
    let data = TempDir::new().expect("a directory");
    let copy = Copy::trusting(&data, &home, trusting(&home));
    copy.shows(&home, "one may be read", &[(20, "stolen")]).await;
    let first = home.app().domain(&domain()).expect("founded").info.size - 2;
    for index in [first, first + 1] {
        erase(&home, index).await;
    }
    copy.shows(&home, "the block of what was erased stays", &[(20, "stolen")]).await;
    assert_eq!(verdict(&copy, 20).reason, Reason::Blocked);
    amend(&home, &one, &both).await;
    copy.shows(&home, "so does that of what was hidden when it was erased", &[(20, "stolen"), (21, "stolen")]).await;
    assert_eq!(verdict(&copy, 21).reason, Reason::Blocked);
    copy.stop().await;

    // A copy that begins when everything has been erased.
    let data = TempDir::new().expect("a directory");
    let late = Copy::trusting(&data, &home, trusting(&home));
    late.shows(&home, "whoever comes later sees the same", &[(20, "stolen"), (21, "stolen")]).await;
    late.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_partial_copy_is_told_that_it_is_partial() {
    let home = home(lots(&["L1"]), vec![device(20, "L1"), device(21, "L2")]).await;
    let data = TempDir::new().expect("a directory");
    let copy = Copy::trusting(&data, &home, None);
    copy.shows(&home, "one may be read", &[(20, "")]).await;
    let page = |app: &ics_node::app::App| app.entries(Reader::Operator, &domain(), 0, 100, None).expect("a page");
    let is_hidden = |entry: &wire::Entry| matches!(entry, wire::Entry::Hidden(_));
    let (whole, part) = (page(home.app()), page(&copy.app));
    assert!(whole.sight.is_none() && !whole.entries.iter().any(is_hidden));
    assert!(part.entries.iter().any(is_hidden));
    assert!(part.sight.is_some(), "who may read everything would not ask the home for the rest");
    let last = home.app().domain(&domain()).expect("founded").info.size - 1;
    let kept_back = copy.app.entry(Reader::Operator, &domain(), last).expect_err("is hidden from the copy");
    assert_eq!(kept_back.code().as_str(), "unknown-entry", "nobody has erased it: {kept_back}");
    copy.stop().await;
}
