//! Everything acknowledged survives a crash: a killed process, or a power cut.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ics_node::store::{DomainNumber, Standing, Store};
use rusqlite::Connection;

use super::common::*;

const DIR: &str = "ICS_TEST_STORE_DIR";

/// Delays in ms that look arbitrary but are the same every time.
fn delays(count: u64, least: u64, most: u64) -> impl Iterator<Item = Duration> {
    let random = move |seed: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) % (most - least);
    (1..=count).map(move |seed| Duration::from_millis(least + random(seed)))
}

/// The body of the entry with this index.
fn text(index: u64) -> String {
    format!("n{index} lot{} {}", index / 10, "filling ".repeat(60))
}

fn append_next(store: &Store, domain: DomainNumber) -> u64 {
    let first = head(store, domain).size;
    let bodies: Vec<_> = (first..first + 1 + first % 9).map(text).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    *append(store, domain, &bodies).expect("append").last().expect("some")
}

/// Asserts that everything up to `acknowledged` is there, in order, found and proven, and that the node may continue.
fn assert_survived(dir: &Path, acknowledged: u64) {
    let store = open(dir);
    let domain = store.domain(&name("d.example")).expect("domain").number;
    assert_eq!(store.standing(domain).expect("standing"), Standing::Current);
    let size = head(&store, domain).size;
    assert!(size >= acknowledged, "{size} of {acknowledged} acknowledged entries are left");
    assert_eq!(head(&store, domain).seal.map(|seal| seal.size), Some(size));
    for index in (0..size).rev().step_by(37) {
        assert_eq!(body(&store.entry(domain, index).expect("entry")), text(index));
        assert_eq!(find(&store, domain, &[&format!("n{index}")]), [index]);
    }
    // Every leaf, tile and key.
    assert_sound(&store);
    append_next(&store, domain);
}

/// Run in the child process until it is killed: writes, and prints what was acknowledged.
fn write_until_killed(dir: &Path) -> ! {
    let store = open(dir);
    let known = store.domain(&name("d.example")).map(|info| info.number);
    let domain = known.unwrap_or_else(|_| {
        store.create_domain(&name("d.example"), ics_node::store::Part::Home, None).expect("create").number
    });
    loop {
        let index = append_next(&store, domain);
        let mut out = std::io::stdout().lock();
        std::thread::sleep(Duration::from_millis(1));
        writeln!(out, "acknowledged {index}").and_then(|()| out.flush()).expect("parent reads");
    }
}

/// The test starts itself as the process to be killed; the variable distinguishes the two.
#[test]
fn killed_at_any_moment() {
    if let Some(dir) = std::env::var_os(DIR) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("dir");
    let mut acknowledged = 0;
    for delay in delays(6, 60, 400) {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["crash::killed_at_any_moment", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let index = |line: &str| line.strip_prefix("acknowledged ").and_then(|text| text.parse::<u64>().ok());
        // The first line shows that it writes; from then on it has this long to live.
        let first = lines.by_ref().map_while(Result::ok).find_map(|line| index(&line)).expect("the child writes");
        std::thread::sleep(delay);
        child.kill().expect("kill");
        child.wait().expect("gone");
        let last = lines.map_while(Result::ok).filter_map(|line| index(&line)).last();
        acknowledged = acknowledged.max(last.unwrap_or(first) + 1);
        assert_survived(dir.path(), acknowledged);
    }
    assert!(acknowledged > 6);
}

/// A transaction that keeps SQLite from overwriting the beginning of the log while the files are copied one by one, so
/// that a power cut could have left the copy.
fn pin(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("open");
    connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").expect("read");
    connection
}

/// Copies a store as a power cut would leave it: everything that was synced, and part of what was not.
fn copy_as_cut(from: &Path, to: &Path, acknowledged: &AtomicU64, cut: u64) -> u64 {
    std::fs::create_dir_all(to.join("heads")).expect("make");
    let pins = [pin(&from.join("ics.db")), pin(&from.join("index.db"))];
    std::fs::copy(from.join("heads/d.example"), to.join("heads/d.example")).expect("copy");
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    let wal = from.join("ics.db-wal");
    let synced = std::fs::metadata(&wal).map_or(0, |file| file.len());
    for file in ["index.db", "index.db-wal", "ics.db"] {
        std::fs::copy(from.join(file), to.join(file)).expect("copy");
    }
    std::thread::sleep(Duration::from_millis(10));
    let mut bytes = std::fs::read(&wal).expect("read");
    let unsynced = bytes.len() as u64 - synced;
    bytes.truncate(usize::try_from(synced + unsynced * (cut % 100) / 100).expect("small"));
    std::fs::write(to.join("ics.db-wal"), bytes).expect("write");
    drop(pins);
    acknowledged
}

/// Ends the writing even if a check fails.
struct StopAtEnd<'s>(&'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn power_cut_at_any_moment() {
    let dir = tempfile::tempdir().expect("dir");
    let live = dir.path().join("live");
    let (store, domain) = with_home(&live);
    append_next(&store, domain);
    let (acknowledged, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        let writing = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                acknowledged.store(append_next(&store, domain) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for (round, delay) in delays(8, 20, 300).enumerate() {
            std::thread::sleep(delay);
            // However slow the disk is, each copy has more to lose than the one before.
            while acknowledged.load(Ordering::SeqCst) < 13 * (round as u64 + 1) {
                assert!(!writing.is_finished(), "nothing is written any more");
                std::thread::sleep(Duration::from_millis(1));
            }
            let copy = dir.path().join(format!("copy{round}"));
            let count = copy_as_cut(&live, &copy, &acknowledged, round as u64 * 37);
            assert_survived(&copy, count);
        }
    });
}
