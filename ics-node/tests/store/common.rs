//! Stores of small entries whose keys are the words of their bodies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ed25519_dalek::SigningKey;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::{Hash, LeafData};
use ics_core::vocabulary::DomainName;
use ics_node::store::{
    Content, DomainInfo, DomainNumber, Head, Key, NewContent, NewEntry, Options, Part, SignedNote, Store, StoreError,
    StoredEntry, WriteError, WriteTx,
};
use tempfile::TempDir;

pub(crate) fn name(text: &str) -> DomainName {
    text.parse().expect("a domain name")
}

pub(crate) fn key(word: &str) -> Key {
    Key::of(word.as_bytes())
}

fn words(body: &[u8]) -> Vec<Key> {
    String::from_utf8_lossy(body).split(' ').map(key).collect()
}

pub(crate) fn keys_of(entry: &StoredEntry) -> Vec<Key> {
    entry.content.as_ref().map_or_else(Vec::new, |content| words(&content.body))
}

pub(crate) fn note(domain: &DomainInfo, size: u64, root: &Hash) -> String {
    let origin = Origin { domain: domain.name.clone(), entry0: domain.entry0.expect("has entry 0") };
    Checkpoint { origin, size, root: *root }.sign(&SigningKey::from_bytes(&[1; 32])).expect("a key in memory signs")
}

pub(crate) fn options() -> Options {
    let sealer =
        |domain: &DomainInfo, size, root: &Hash| Ok(SignedNote { note: note(domain, size, root), cosigned_at: None });
    Options::new(Arc::new(keys_of), Arc::new(sealer))
}

/// Options whose signer counts its signatures, and refuses the domain with this name.
pub(crate) fn counting(refused: &'static str) -> (Options, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let sealer = move |domain: &DomainInfo, size, root: &Hash| {
        if domain.name.as_str() == refused {
            return Err("no key".to_owned());
        }
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(SignedNote { note: note(domain, size, root), cosigned_at: None })
    };
    (Options { sealer: Arc::new(sealer), ..options() }, count)
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, options()).expect("open")
}

/// A store with the home domain `d.example`.
pub(crate) fn with_home(dir: &Path) -> (Store, DomainNumber) {
    let store = open(dir);
    let domain = store.create_domain(&name("d.example"), Part::Home, None).expect("create").number;
    (store, domain)
}

/// The same in a directory of its own.
pub(crate) fn founded() -> (TempDir, Store, DomainNumber) {
    let dir = tempfile::tempdir().expect("dir");
    let (store, domain) = with_home(dir.path());
    (dir, store, domain)
}

/// As [`founded`], with a copy of that domain in its place.
pub(crate) fn copied() -> (TempDir, Store, DomainNumber) {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let copy = store.create_domain(&name("d.example"), Part::Mirror, None).expect("create").number;
    (dir, store, copy)
}

/// An entry of which there is only the leaf.
pub(crate) fn bare(leaf: LeafData) -> NewEntry {
    NewEntry { header: Vec::new(), content: NewContent::Leaf(leaf), keys: Vec::new(), effective: false }
}

pub(crate) fn entry(body: &str) -> NewEntry {
    let content = Content { salt: [5; 16], body: body.as_bytes().to_vec() };
    NewEntry {
        header: format!("header of {} bytes", body.len()).into_bytes(),
        keys: words(body.as_bytes()),
        content: NewContent::Whole(content),
        effective: true,
    }
}

/// Appends bodies in one job; returns their indices.
pub(crate) fn append(store: &Store, domain: DomainNumber, bodies: &[&str]) -> Result<Vec<u64>, WriteError<StoreError>> {
    let entries: Vec<_> = bodies.iter().map(|body| entry(body)).collect();
    let job = move |tx: &mut WriteTx<'_>| entries.into_iter().map(|entry| tx.append(entry)).collect();
    store.write(domain, job).map_err(WriteError::Store)?.wait().map(|written| written.value)
}

/// Appends `numbers` as bodies `n<number> lot<number / 10>`, 100 to a job.
pub(crate) fn fill(store: &Store, domain: DomainNumber, numbers: std::ops::Range<u64>) {
    let bodies: Vec<_> = numbers.map(|number| format!("n{number} lot{}", number / 10)).collect();
    for bodies in bodies.chunks(100) {
        let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
        append(store, domain, &bodies).expect("append");
    }
}

pub(crate) fn body(entry: &StoredEntry) -> String {
    let content = entry.content.as_ref().expect("has content");
    String::from_utf8(content.body.clone()).expect("text")
}

/// The indices of all entries with these words.
pub(crate) fn find(store: &Store, domain: DomainNumber, words: &[&str]) -> Vec<u64> {
    let keys: Vec<_> = words.iter().map(|word| key(word)).collect();
    let mut found = Vec::new();
    let mut next = Some(0);
    while let Some(start) = next {
        let page = store.positions(domain, &keys, start..u64::MAX, 7).expect("look up");
        found.extend(page.indices);
        next = page.next;
    }
    found
}

pub(crate) fn head(store: &Store, domain: DomainNumber) -> Head {
    store.head(domain).expect("head")
}

pub(crate) fn assert_sound(store: &Store) {
    assert_eq!(store.check().expect("check").findings, Vec::<String>::new());
}
