//! What is stored beside the log and disagrees with it.

use std::path::Path;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::app::open::stored_keys;
use crate::app::{App, fsck};
use crate::fixture::{Party, catches_up, copy, device, served};
use crate::store::{Content, DomainNumber, NewContent, NewEntry, WriteTx};

fn change(data: &Path, sql: &str) {
    let log = Connection::open(data.join("ics.db")).expect("opens");
    assert_eq!(log.execute(sql, []).expect("changed"), 1, "{sql}");
}

/// What `ics fsck` finds; the index must be sound.
fn found(data: &Path) -> Vec<String> {
    let report = fsck(data, |_, _| {}).expect("a report");
    assert_eq!(report.index, Vec::<String>::new());
    report.findings
}

/// A closed home whose log has statements about two devices, one of them erased.
async fn closed_home() -> Party {
    let (maker, app) = Party::opened();
    let first = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
    maker.erase(&app, first.index).await;
    maker.publish(&app, &device(3), "urn:dev:os:32473-3", "L2").await;
    maker
}

/// Makes a home log its last entry once more, as admission never would.
fn log_again(home: &App, number: DomainNumber) {
    let last = home.store().head(number).expect("a head").size - 1;
    let entry = home.store().entry(number, last).expect("an entry");
    let keys = stored_keys(&entry);
    let body = entry.content.expect("whole").body;
    let content = NewContent::Whole(Content { salt: [9; 16], body });
    let new = NewEntry { header: entry.header, content, keys, effective: true };
    let job = move |tx: &mut WriteTx<'_>| tx.append(new);
    home.store().write(number, job).expect("queued").wait().expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_effect_is_what_the_log_gives_effect() {
    let maker = closed_home().await;
    assert_eq!(found(&maker.data()), Vec::<String>::new());
    for index in [1, 3, 4, 5] {
        let of = format!("WHERE position & {} = {index}", (1_u64 << 40) - 1);
        change(&maker.data(), &format!("UPDATE entry SET effective = 0 {of}"));
        let findings = found(&maker.data());
        let told = format!("entry {index} of `{}`: it is stored as one without effect", maker.domain);
        // Later entries are judged by what the log itself says.
        assert!(findings.len() == 1 && findings[0].starts_with(&told), "{findings:?}");
        change(&maker.data(), &format!("UPDATE entry SET effective = 1 {of}"));
    }
    let app = maker.open();
    let number = app.hosted(&maker.domain).expect("here").number;
    tokio::task::block_in_place(|| log_again(&app, number));
    drop(app);
    let findings = found(&maker.data());
    let told = "entry 6 of `devices.acme.example`: it is stored as one that has effect, and the log gives it none";
    assert!(findings.len() == 1 && findings[0].starts_with(told), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_is_stored_is_the_time_that_was_signed() {
    let maker = closed_home().await;
    let home = maker.open();
    let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
    let copied = copy(data.path(), &home, &maker.domain, &[("home", &url)]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copied.clone().replicate(stopped));
    catches_up(&copied, &home, &maker.domain).await;
    stop.send_replace(true);
    replicating.await.expect("ends");
    drop(copied);
    let copied = data.path().join("data");
    let shifted = |data: &Path, millis: i64| {
        change(data, &format!("UPDATE head SET cosigned_at = cosigned_at + {millis}"));
        let findings = found(data);
        change(data, &format!("UPDATE head SET cosigned_at = cosigned_at - {millis}"));
        findings
    };
    for (millis, at_home, at_copy) in
        [(0, 0, 0), (60_000, 1, 1), (-60_000, 1, 0), (-24 * 3_600_000, 1, 1), (3_600_000, 1, 1)]
    {
        let (home, copy) = (shifted(&maker.data(), millis), shifted(&copied, millis));
        assert_eq!((home.len(), copy.len()), (at_home, at_copy), "{millis}: {home:?} {copy:?}");
        let is_told = |finding: &String| finding.contains("it is stored as cosigned at");
        assert!(home.iter().chain(&copy).all(is_told), "{home:?} {copy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_checkpoint_does_not_stand_in_the_place_of_the_last_one() {
    let maker = closed_home().await;
    let older = std::fs::read_to_string(maker.data().join("heads").join(maker.domain.as_str())).expect("a note");
    let app = maker.open();
    maker.publish(&app, &device(4), "urn:dev:os:32473-4", "L2").await;
    drop(app);
    change(&maker.data(), &format!("UPDATE head SET note = '{older}'"));
    let findings = found(&maker.data());
    assert!(findings.iter().any(|finding| finding.contains("what was signed is of 6 entries")), "{findings:?}");
}
