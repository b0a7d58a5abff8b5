//! The writer: jobs share commits, see each other, and leave nothing behind when they fail.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ics_node::store::{Change, Full, Options, Part, Pending, Store, StoreError, WriteError, WriteTx};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::common::*;

/// Keeps the writer busy until told otherwise, so that jobs queued meanwhile share one commit.
fn hold_up(store: &Store, domain: ics_node::store::DomainNumber) -> (mpsc::Sender<()>, Pending<(), StoreError>) {
    let (release, held) = mpsc::channel();
    let (began, has_begun) = mpsc::channel();
    let job = move |_: &mut WriteTx<'_>| {
        began.send(()).expect("test waits");
        held.recv().expect("released");
        Ok(())
    };
    let pending = store.write(domain, job).expect("queue");
    has_begun.recv().expect("writer runs");
    (release, pending)
}

#[test]
fn waiting_jobs_share_one_commit_and_see_each_other() {
    let dir = tempfile::tempdir().expect("dir");
    let (options, signatures) = counting("none");
    let store = Store::open(dir.path(), options).expect("open");
    let domain = store.create_domain(&name("d.example"), Part::Home, None).expect("create").number;
    append(&store, domain, &["even stored"]).expect("append");
    let (release, held) = hold_up(&store, domain);
    let pending: Vec<_> = (0..20)
        .map(|number| {
            let job = move |tx: &mut WriteTx<'_>| {
                let before = tx.lookup(&[key(if number % 2 == 0 { "even" } else { "odd" })], 100)?;
                let both = tx.lookup(&[key("even"), key("fresh")], 3)?;
                let index = tx.append(entry(if number % 2 == 0 { "even fresh" } else { "odd fresh" }))?;
                assert_eq!(body(&tx.entry(index)?).split(' ').next_back(), Some("fresh"));
                Ok::<_, StoreError>((before.len(), both.len(), index))
            };
            store.write(domain, job).expect("queue")
        })
        .collect();
    assert_eq!(head(&store, domain).size, 1, "nobody reads what is not committed");
    release.send(()).expect("held");
    held.wait().expect("held job");
    for (number, pending) in pending.into_iter().enumerate() {
        let written = pending.wait().expect("written");
        let evens_before = 1 + number.div_ceil(2);
        let of_own = if number % 2 == 0 { evens_before } else { number / 2 };
        assert_eq!(written.value, (of_own, (evens_before - 1).min(3), number as u64 + 1));
        assert_eq!(written.head.size, 21);
        assert_eq!(written.head.seal.map(|seal| seal.size), Some(21));
    }
    assert_eq!(signatures.load(Ordering::SeqCst), 2, "one for the first entry, one for all twenty");
    assert_sound(&store);
}

#[test]
fn a_large_write_waits_for_no_other_while_nothing_is_synced() {
    let (_dir, store, domain) = founded();
    append(&store, domain, &["first"]).expect("append");
    let (release, held) = hold_up(&store, domain);
    let pending: Vec<_> = [600, 1]
        .into_iter()
        .map(|count| {
            let job = move |tx: &mut WriteTx<'_>| {
                (0..count).try_for_each(|number| tx.append(entry(&format!("one of {number}"))).map(drop))
            };
            store.write(domain, job).expect("queue")
        })
        .collect();
    release.send(()).expect("held");
    held.wait().expect("held job");
    let sizes: Vec<_> = pending.into_iter().map(|pending| pending.wait().expect("written").head.size).collect();
    assert_eq!(sizes, [601, 602]);
    assert_sound(&store);
}

#[test]
fn small_writes_share_a_commit_while_another_is_synced() {
    let dir = tempfile::tempdir().expect("dir");
    let (options, signatures) = counting("none");
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    // Called once a commit is synced and before its jobs are answered: this makes it as slow as a disk.
    let (begins, has_begun) = mpsc::channel();
    let announce = Arc::new(move |_: &Change<'_>| {
        begins.send(()).expect("test waits");
        held.lock().expect("one thread").recv().unwrap_or_default();
    });
    let store = Store::open(dir.path(), Options { announce, ..options }).expect("open");
    let domain = store.create_domain(&name("d.example"), Part::Home, None).expect("create").number;
    let (runs, has_run) = mpsc::channel();
    let mut pending = Vec::new();
    for number in 0..4 {
        let runs = runs.clone();
        let job = move |tx: &mut WriteTx<'_>| {
            runs.send(()).expect("test waits");
            tx.append(entry(&format!("number {number}")))
        };
        pending.push(store.write(domain, job).expect("queue"));
        // The first commit is under way when the second job runs; the others come long after that.
        if number < 2 {
            has_run.recv().expect("the writer runs it");
        }
        if number == 0 {
            has_begun.recv().expect("it is synced");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let meanwhile = signatures.load(Ordering::SeqCst);
    drop(release);
    let sizes: Vec<_> = pending.into_iter().map(|pending| pending.wait().expect("written").head.size).collect();
    assert_eq!(sizes, [1, 4, 4, 4]);
    assert_eq!((meanwhile, signatures.load(Ordering::SeqCst)), (1, 2));
    assert_sound(&store);
}

/// Otherwise an entry could be read by rules that have ended, or something be believed to be in the log that is not.
#[test]
fn what_is_called_once_a_commit_is_durable_comes_with_its_entries() {
    let (_dir, store, domain) = founded();
    append(&store, domain, &["first"]).expect("append");
    let (begins, has_begun) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let job = move |tx: &mut WriteTx<'_>| {
        tx.once_durable(move || {
            begins.send(()).expect("test waits");
            held.lock().expect("one thread").recv().unwrap_or_default();
        });
        tx.append(entry("second"))
    };
    assert_eq!(head(&store, domain).size, 1);
    let pending = store.write(domain, job).expect("queue");
    has_begun.recv().expect("it is called");
    let (waits, size) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| head(&store, domain).size);
        std::thread::sleep(Duration::from_millis(100));
        let waits = !reader.is_finished();
        drop(release);
        (waits, reader.join().expect("reads"))
    });
    assert_eq!((waits, size), (true, 2), "nobody reads anything while it is called");
    assert_eq!(pending.wait().expect("written").value, 1);
}

/// That may take long, and nobody could read meanwhile.
#[test]
fn what_is_of_no_use_after_a_commit_is_dropped_when_others_can_read_again() {
    struct Useless(Arc<Store>, ics_node::store::DomainNumber, mpsc::Sender<u64>);
    impl Drop for Useless {
        fn drop(&mut self) {
            let (store, domain, (tells, told)) = (Arc::clone(&self.0), self.1, mpsc::channel());
            std::thread::spawn(move || tells.send(head(&store, domain).size));
            let size = told.recv_timeout(Duration::from_secs(10)).unwrap_or_default();
            self.2.send(size).unwrap_or_default();
        }
    }
    let dir = tempfile::tempdir().expect("dir");
    let (store, domain) = with_home(dir.path());
    let store = Arc::new(store);
    let (of, (read, sizes)) = (Arc::clone(&store), mpsc::channel());
    let job = move |tx: &mut WriteTx<'_>| {
        tx.once_durable(move || Useless(Arc::clone(&of), domain, read.clone()));
        tx.append(entry("first"))
    };
    store.write(domain, job).expect("queue").wait().expect("written");
    assert_eq!(sizes.recv(), Ok(1));
}

#[test]
fn nothing_is_called_for_a_job_or_commit_that_fails() {
    let dir = tempfile::tempdir().expect("dir");
    let (options, _) = counting("mute.example");
    let store = Store::open(dir.path(), options).expect("open");
    let [good, mute] = ["d.example", "mute.example"]
        .map(|of| store.create_domain(&name(of), Part::Home, None).expect("create").number);
    let called = Arc::new(Mutex::new(Vec::new()));
    let call = |what: &'static str| {
        let called = Arc::clone(&called);
        move || called.lock().expect("one thread").push(what)
    };
    let (release, held) = hold_up(&store, good);
    let (first, second, bad) = (call("first"), call("second"), call("bad"));
    let kept = store.write(good, move |tx: &mut WriteTx<'_>| {
        tx.once_durable(first);
        tx.append(entry("first"))
    });
    let last = store.write(good, move |tx: &mut WriteTx<'_>| {
        tx.once_durable(second);
        tx.append(entry("second"))
    });
    let given_up = store.write(good, move |tx: &mut WriteTx<'_>| {
        tx.once_durable(bad);
        Err::<(), _>("no")
    });
    let unsigned = call("unsigned");
    let unsealed = store.write(mute, move |tx: &mut WriteTx<'_>| {
        tx.once_durable(unsigned);
        tx.append(entry("unsigned"))
    });
    release.send(()).expect("held");
    held.wait().expect("held job");
    assert_eq!(kept.expect("queue").wait().expect("written").value, 0);
    assert_eq!(last.expect("queue").wait().expect("written").value, 1);
    assert!(matches!(given_up.expect("queue").wait(), Err(WriteError::Job("no"))));
    assert!(matches!(unsealed.expect("queue").wait(), Err(WriteError::Store(StoreError::Unsealed { .. }))));
    assert_eq!(*called.lock().expect("done"), ["second"], "for a commit the last job that is kept");

    // A head's file that cannot be put in place: the commit is there, but must not be acknowledged.
    let file = dir.path().join("heads/d.example");
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("in the way");
    let halted = call("halted");
    let refused = store.write(good, move |tx: &mut WriteTx<'_>| {
        tx.once_durable(halted);
        tx.append(entry("third"))
    });
    assert!(matches!(refused.expect("queue").wait(), Err(WriteError::Store(StoreError::Halted { .. }))));
    assert_eq!(*called.lock().expect("done"), ["second"]);
    assert_eq!(head(&store, good).size, 2);
}

#[test]
fn many_threads_write_and_read() {
    let (_dir, store, domain) = founded();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25 {
                    let text = format!("t{thread} n{number} t{thread}n{number}");
                    let index = append(store, domain, &[&text]).expect("append")[0];
                    // As soon as it is acknowledged, it can be read, found and proven.
                    assert_eq!(body(&store.entry(domain, index).expect("entry")), text);
                    assert_eq!(find(store, domain, &[&format!("t{thread}n{number}")]), [index]);
                    let size = head(store, domain).size;
                    assert!(index < size);
                    store.inclusion_proof(domain, index, size).expect("proof");
                }
            });
        }
    });
    assert_eq!(head(&store, domain).size, 200);
    assert_eq!(find(&store, domain, &["n7"]).len(), 8);
    assert_sound(&store);
}

#[test]
fn a_job_that_fails_or_panics_leaves_nothing() {
    let (_dir, store, domain) = founded();
    append(&store, domain, &["stays"]).expect("append");
    let before = head(&store, domain);
    let (release, held) = hold_up(&store, domain);
    let good = store.write(domain, |tx| tx.append(entry("good"))).expect("queue");
    let job = |tx: &mut WriteTx<'_>| {
        tx.append(entry("bad")).expect("append");
        tx.erase(0, Vec::new()).expect("erase");
        tx.alarm(ics_core::time::Timestamp::default(), "kind", "text");
        assert_eq!((tx.size(), tx.lookup(&[key("bad")], 9).expect("look up")), (3, vec![2]));
        Err::<(), _>("no")
    };
    let refused = store.write(domain, job).expect("queue");
    let job = |tx: &mut WriteTx<'_>| -> Result<(), StoreError> {
        tx.append(entry("bad"))?;
        panic!("a defect in a job, on purpose")
    };
    let panicked = store.write(domain, job).expect("queue");
    let after = store.write(domain, |tx| Ok::<_, StoreError>((tx.size(), tx.lookup(&[key("bad")], 9)?)));
    let after = after.expect("queue");
    let last = store.write(domain, |tx| tx.append(entry("last"))).expect("queue");
    release.send(()).expect("held");
    held.wait().expect("held job");
    assert_eq!(good.wait().expect("good").value, 1);
    assert!(matches!(refused.wait(), Err(WriteError::Job("no"))));
    assert!(matches!(panicked.wait(), Err(WriteError::Store(StoreError::Panicked))));
    assert_eq!(after.wait().expect("after").value, (2, vec![]));
    assert_eq!(last.wait().expect("last").value, 2);

    // The root is that of a log without the failed jobs.
    let other = tempfile::tempdir().expect("dir");
    let (twin, same) = with_home(other.path());
    append(&twin, same, &["stays", "good", "last"]).expect("append");
    assert_eq!(head(&store, domain), head(&twin, same));
    assert_ne!(head(&store, domain), before);
    assert!(store.entry(domain, 0).expect("entry").content.is_some());
    assert_eq!(store.alarms(Some(domain), 9).expect("alarms"), []);
    assert_eq!(find(&store, domain, &["bad"]), Vec::<u64>::new());
    assert_sound(&store);
}

#[test]
fn a_full_queue_refuses_at_once_and_recovers() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::open(dir.path(), Options { queue: 3, ..options() }).expect("open");
    let domain = store.create_domain(&name("d.example"), Part::Home, None).expect("create").number;
    let (release, held) = hold_up(&store, domain);
    let queued: Vec<_> = (0..3).map(|_| store.write(domain, |tx| tx.append(entry("x"))).expect("room")).collect();
    let refused = store.write(domain, |tx| tx.append(entry("x")));
    assert!(matches!(refused, Err(StoreError::Full(Full::Writes(3)))));
    release.send(()).expect("held");
    held.wait().expect("held job");
    for pending in queued {
        pending.wait().expect("written");
    }
    assert_eq!(append(&store, domain, &["x"]).expect("room again"), [3]);
}

#[test]
fn without_a_checkpoint_nothing_is_stored_and_other_domains_go_on() {
    let dir = tempfile::tempdir().expect("dir");
    let (options, _) = counting("mute.example");
    let store = Store::open(dir.path(), options).expect("open");
    let good = store.create_domain(&name("d.example"), Part::Home, None).expect("create").number;
    let mute = store.create_domain(&name("mute.example"), Part::Home, None).expect("create").number;
    let (release, held) = hold_up(&store, good);
    let one = store.write(mute, |tx| tx.append(entry("a"))).expect("queue");
    let two = store.write(good, |tx| tx.append(entry("b"))).expect("queue");
    release.send(()).expect("held");
    held.wait().expect("held job");
    assert!(matches!(one.wait(), Err(WriteError::Store(StoreError::Unsealed { .. }))));
    two.wait().expect("written");
    assert_eq!((head(&store, mute).size, head(&store, good).size), (0, 1));
    assert_eq!(find(&store, mute, &["a"]), Vec::<u64>::new());
}

#[test]
fn unknown_domains_and_closing() {
    let (dir, store, domain) = founded();
    let unknown = ics_node::store::DomainNumber::new(9).expect("in range");
    assert!(matches!(append(&store, unknown, &["a"]), Err(WriteError::Store(StoreError::NotFound { .. }))));
    assert!(matches!(store.head(unknown), Err(StoreError::NotFound { .. })));
    // What is queued when the store is dropped is still written.
    let (release, held) = hold_up(&store, domain);
    let pending = store.write(domain, |tx| tx.append(entry("late"))).expect("queue");
    release.send(()).expect("held");
    drop(store);
    held.wait().expect("held job");
    assert_eq!(pending.wait().expect("written").value, 0);
    assert_eq!(head(&open(dir.path()), domain).size, 1);
}

/// It is not known to be on disk: if it were copied into the database, part of it might get there before a power cut,
/// while the rest is lost. The next start makes it durable first.
#[test]
fn a_store_that_takes_no_more_writes_leaves_the_write_ahead_log_as_it_is() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["a"]).expect("append");
    let file = dir.path().join("heads/d.example");
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("in the way");
    assert!(matches!(append(&store, domain, &["b"]), Err(WriteError::Store(StoreError::Halted { .. }))));
    drop(store);
    let wal = std::fs::metadata(dir.path().join("ics.db-wal")).expect("it is there");
    assert!(wal.len() > 0, "with the commit in it");
    std::fs::remove_dir(&file).expect("removed");
    let store = open(dir.path());
    assert_eq!(append(&store, domain, &["c"]).expect("append"), [2]);
    assert_sound(&store);
}

/// Otherwise nobody would notice before the next start, and nobody could create it either.
#[test]
fn a_domain_whose_heads_file_is_damaged_can_be_made_once_that_is_mended() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let make = || store.create_domain(&name("d.example"), Part::Home, None);
    let file = dir.path().join("heads/d.example");
    std::fs::write(&file, "no note").expect("written");
    assert!(matches!(make(), Err(StoreError::Corrupt { .. })));
    std::fs::remove_file(&file).expect("removed");
    let made = make().expect("nothing of it was left");
    assert_eq!(append(&store, made.number, &["a"]).expect("append"), [0]);
    drop(store);
    assert_eq!(head(&open(dir.path()), made.number).size, 1);
}

/// SQLite may find space when the head's file does not; that must be known before anything is committed.
#[test]
fn a_disk_that_is_full_for_the_heads_file_refuses_and_goes_on_when_there_is_room() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["a"]).expect("append");
    let new = dir.path().join("heads/.new-1");
    std::os::unix::fs::symlink("/dev/full", &new).expect("no room in it");
    assert!(matches!(append(&store, domain, &["b"]), Err(WriteError::Store(StoreError::NoRoom))));
    assert_eq!(head(&store, domain).size, 1, "nothing is committed");
    assert!(!new.exists(), "what could not be written is gone");
    assert_eq!(append(&store, domain, &["c"]).expect("there is room"), [1]);
    drop(store);
    let store = open(dir.path());
    assert_eq!(append(&store, domain, &["d"]).expect("append"), [2]);
    let left = std::fs::read_dir(dir.path().join("heads")).expect("dir");
    assert_eq!(left.map(|file| file.expect("file").file_name()).collect::<Vec<_>>(), ["d.example"]);
    assert_sound(&store);
}

/// Connections take files too, and strangers may hold many. Nothing is committed yet, so nothing is in doubt. The test
/// starts itself as the process that has no files left; the variable distinguishes the two.
#[test]
fn where_all_files_are_open_a_write_is_refused_and_goes_through_once_some_are_closed() {
    const SHORT: &str = "ICS_TEST_SHORT_OF_FILES";
    if std::env::var_os(SHORT).is_none() {
        let test = "write::where_all_files_are_open_a_write_is_refused_and_goes_through_once_some_are_closed";
        let itself = std::env::current_exe().expect("this test");
        let ended = Command::new(itself).args([test, "--exact", "--nocapture"]).env(SHORT, "1").output();
        let ended = ended.expect("started");
        let told = [&*ended.stdout, &*ended.stderr].map(String::from_utf8_lossy).concat();
        assert!(ended.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let (_dir, store, domain) = founded();
    append(&store, domain, &["a"]).expect("append");
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(128), maximum }).expect("a process may have fewer");
    let taken: Vec<File> = core::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let refused = append(&store, domain, &["b"]);
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Full(Full::Files)))), "{refused:?}");
    drop(taken);
    assert_eq!(head(&store, domain).size, 1, "nothing is committed");
    assert_eq!(append(&store, domain, &["c"]).expect("some are closed"), [1]);
    assert_sound(&store);
}
