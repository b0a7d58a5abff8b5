//! Writes fail because the disk is full or broken. What was acknowledged before and after is there; after a failed sync
//! nothing more is acknowledged until the store is reopened.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_node::store::{
    Content, DomainInfo, DomainNumber, Key, NewContent, NewEntry, Options, Part, SignedNote, Standing, Store,
    StoreError, StoredEntry, WriteError, WriteTx,
};

use crate::disk::read_trace;
use crate::scratch;
use crate::shim::{self, CONTROL};

/// The directory in which the child works; distinguishes child and parent.
const DIRECTORY: &str = "ICS_TEST_FAULTS_DIR";
/// Linux error numbers: a broken disk, a full one.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// The number of failing calls on a disk that does not recover.
const FOR_GOOD: u64 = 1_000_000;
/// Commits of one run.
const COMMITS: u64 = 7;

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy)]
struct Fault {
    class: char,
    errno: i32,
    first: u64,
    count: u64,
}

impl Fault {
    const NONE: Self = Self { class: '-', errno: 0, first: 0, count: 0 };

    fn arm(self, directory: &Path) {
        let Self { class, errno, first, count } = self;
        fs::write(directory.join(CONTROL), format!("{class} {errno} {first} {count}")).expect("the shim listens");
    }
}

/// The test starts itself with the shim preloaded before the C library.
#[test]
fn every_call_that_can_fail_fails_once() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return fail_everywhere(Path::new(&directory));
    }
    let directory = scratch();
    let work = directory.path().join("work");
    fs::create_dir(&work).expect("made");
    let trace = directory.path().join("trace");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["faults::every_call_that_can_fail_fails_once", "--exact", "--nocapture"])
        .envs(shim::environment(&work, Some(&trace), None))
        .env(DIRECTORY, &work)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let summary = said.lines().find(|line| line.contains("failing calls")).expect("it says what it did");
    println!("{summary}");
}

fn fail_everywhere(directory: &Path) {
    let mut points = 0;
    let mut silent = 0;
    for class in ['w', 's', 'n'] {
        let calls = calls_of(class, directory);
        assert!(calls > 3, "{calls} calls of class {class}");
        for errno in [EIO, ENOSPC] {
            for count in [1, 4, FOR_GOOD] {
                for first in 1..=calls {
                    let fault = Fault { class, errno, first, count };
                    silent += u64::from(run(fault, &directory.join(format!("{points}"))));
                    points += 1;
                }
            }
        }
    }
    println!("{points} failing calls: nothing acknowledged was lost; the store went silent {silent} times");
    assert!(points >= 1_000, "only {points} points");
    assert!(silent > 0, "a sync that fails makes it silent");
}

/// The number of calls of a class in one run.
fn calls_of(class: char, directory: &Path) -> u64 {
    Fault { class, first: FOR_GOOD, ..Fault::NONE }.arm(directory);
    let data = directory.join(format!("dry-{class}"));
    drop(work(&data));
    Fault::NONE.arm(directory);
    let trace = PathBuf::from(std::env::var_os("ICS_SHIM_TRACE").expect("the shim writes a trace"));
    let counts = read_trace(&trace);
    counts.iter().rev().find_map(|call| call.count()).expect("a count")
}

/// Makes one run with a fault and checks what is there afterwards; returns whether the store went silent.
fn run(fault: Fault, data: &Path) -> bool {
    let directory = data.parent().expect("in the watched directory");
    fault.arm(directory);
    let worked = std::panic::catch_unwind(|| work(data)).unwrap_or_else(|_| panic!("{fault:?}"));
    Fault::NONE.arm(directory);
    let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worked.holds(data)));
    assert!(held.is_ok(), "{fault:?}");
    fs::remove_dir_all(data).expect("removed");
    worked.silent
}

/// The answers that a run got.
#[derive(Default)]
struct Worked {
    acknowledged: BTreeMap<u64, String>,
    /// The entry that was to be erased, and whether that was acknowledged; if not, only the disk can tell.
    erased: Option<(u64, bool)>,
    heads: Vec<(u64, Hash)>,
    silent: bool,
}

/// Opens a store, appends and erases, whatever fails.
fn work(data: &Path) -> Worked {
    let mut worked = Worked::default();
    let store = match Store::open(data, options()) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().contains("SQLite: disk I/O error") || error.to_string().contains("the disk of"));
            return worked;
        }
    };
    let name = "d.example".parse().expect("a name");
    let Ok(info) = store.create_domain(&name, Part::Home, None) else { return worked };
    for commit in 0..COMMITS {
        let erases = (commit == 4).then(|| worked.acknowledged.keys().nth(1).copied()).flatten();
        let bodies: Vec<String> =
            (0..=commit % 3).map(|nth| format!("c{commit} n{nth} {}", "fill ".repeat(40))).collect();
        let entries: Vec<_> = bodies.iter().map(|body| entry(body)).collect();
        let job = move |tx: &mut WriteTx<'_>| -> Result<Vec<u64>, StoreError> {
            erases.map_or(Ok(()), |index| tx.erase(index, Vec::new()))?;
            entries.into_iter().map(|entry| tx.append(entry)).collect()
        };
        worked.erased = worked.erased.or(erases.map(|index| (index, false)));
        match store.write(info.number, job).map_err(WriteError::Store).and_then(|pending| pending.wait()) {
            Ok(written) => {
                assert!(!worked.silent, "it was silent, and speaks again");
                worked.heads.push((written.head.size, written.head.root));
                worked.acknowledged.extend(written.value.into_iter().zip(bodies));
                worked.erased = erases.map(|index| (index, true)).or(worked.erased);
            }
            Err(WriteError::Store(StoreError::Halted { why })) => {
                assert!(!why.contains("No space left") || why.contains("is full"), "it is told of as full: {why}");
                worked.silent = true;
            }
            Err(WriteError::Store(StoreError::Io { source, .. })) if source.kind() == ErrorKind::StorageFull => {
                panic!("a full disk is told of as one: {source}")
            }
            Err(error) => assert!(!worked.silent, "it was silent, and says: {error}"),
        }
    }
    worked
}

impl Worked {
    /// Once the disk works again, everything acknowledged is there, once, and the store may continue.
    fn holds(&self, data: &Path) {
        let store = Store::open(data, options()).expect("it opens once the disk is whole");
        let Some(info) = store.domains().into_iter().next() else {
            assert!(self.acknowledged.is_empty());
            return;
        };
        let domain = info.number;
        assert_eq!(store.standing(domain).expect("a domain"), Standing::Current);
        let entries = store.entries(domain, 0, usize::MAX, usize::MAX).expect("entries");
        for (index, body) in &self.acknowledged {
            let entry = entries.get(usize::try_from(*index).expect("small")).expect("acknowledged");
            let found = entry.content.as_ref().map(|content| String::from_utf8_lossy(&content.body).into_owned());
            match self.erased.filter(|(erased, _)| erased == index) {
                Some((_, true)) => assert_eq!(found, None, "entry {index} was erased"),
                Some((_, false)) if found.is_none() => {}
                _ => assert_eq!(found.as_ref(), Some(body), "entry {index}"),
            }
        }
        for (size, root) in &self.heads {
            assert_eq!(store.root_at(domain, *size).expect("reached"), *root);
        }
        assert_eq!(store.check().expect("readable").findings, Vec::<String>::new());
        goes_on(&store, domain);
    }
}

fn goes_on(store: &Store, domain: DomainNumber) {
    let job = |tx: &mut WriteTx<'_>| tx.append(entry("one more"));
    store.write(domain, job).expect("queued").wait().expect("it goes on");
}

fn entry(body: &str) -> NewEntry {
    let content = Content { salt: [5; 16], body: body.as_bytes().to_vec() };
    NewEntry { header: vec![1; 12], keys: words(body.as_bytes()), content: NewContent::Whole(content), effective: true }
}

fn words(body: &[u8]) -> Vec<Key> {
    String::from_utf8_lossy(body).split(' ').map(|word| Key::of(word.as_bytes())).collect()
}

fn options() -> Options {
    let keys_of = |entry: &StoredEntry| entry.content.as_ref().map_or_else(Vec::new, |content| words(&content.body));
    let sealer = |domain: &DomainInfo, size, root: &Hash| {
        let origin = Origin { domain: domain.name.clone(), entry0: domain.entry0.ok_or("no entry 0")? };
        let note = Checkpoint { origin, size, root: *root }
            .sign(&SigningKey::from_bytes(&[1; 32]))
            .map_err(|e| e.to_string())?;
        Ok(SignedNote { note, cosigned_at: None })
    };
    Options::new(Arc::new(keys_of), Arc::new(sealer))
}
