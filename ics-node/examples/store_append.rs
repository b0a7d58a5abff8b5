//! How fast the store appends, starts and looks up:
//!
//! ```text
//! cargo run --release -p ics-node --example store_append -- [entries = 1000000] [batch = 1000] [directory]
//! ```
//!
//! Bodies have 500 bytes and five keys, two of them random. Signature checks and policy are not part of it. Without a
//! directory a temporary one is used, which may be in memory: name one on a real disk for honest figures.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_node::store::{
    Content, DomainInfo, DomainNumber, Key, NewContent, NewEntry, Options, Part, SignedNote, Store, StoreError,
    StoredEntry, WriteTx,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let batch: u64 = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let temporary = tempfile::tempdir()?;
    let dir = arguments.next().map_or_else(|| temporary.path().to_owned(), Into::into);

    let store = Store::open(&dir, options())?;
    let domain = store.create_domain(&"bench.example".parse()?, Part::Home, None)?.number;
    let began = Instant::now();
    append(&store, domain, entries, batch)?;
    report("append", entries, began);
    let began = Instant::now();
    for number in (0..entries).step_by(97) {
        let page = store.positions(domain, &[serial(number)], 0..u64::MAX, 2)?;
        if page.indices != [number] {
            return Err(format!("entry {number} is not found").into());
        }
        store.entries_at(domain, &page.indices)?;
    }
    report("look up and read", entries.div_ceil(97), began);
    let began = Instant::now();
    drop(store);
    report("close", 1, began);
    let began = Instant::now();
    let store = Store::open(&dir, options())?;
    report("open", 1, began);
    drop(store);
    std::fs::remove_file(dir.join("index.db"))?;
    let began = Instant::now();
    drop(Store::open(&dir, options())?);
    report("build the index again", entries, began);
    print_memory();
    Ok(())
}

/// One batch is prepared while the one before is written, as the node does.
fn append(store: &Store, domain: DomainNumber, entries: u64, batch: u64) -> Result<(), Box<dyn Error>> {
    let mut before = None;
    for from in (0..entries).step_by(usize::try_from(batch)?) {
        let new: Vec<_> = (from..entries.min(from + batch)).map(entry).collect();
        let job = move |tx: &mut WriteTx<'_>| new.into_iter().try_for_each(|entry| tx.append(entry).map(|_| ()));
        let pending = store.write::<_, StoreError>(domain, job)?;
        if let Some(before) = before.replace(pending) {
            before.wait()?;
        }
    }
    before.map_or(Ok(()), |before| before.wait().map(|_| ()))?;
    Ok(())
}

fn serial(number: u64) -> Key {
    Key::of(&number.to_be_bytes())
}

fn keys(number: u64) -> Vec<Key> {
    let model = Key::of(&[b'm', u8::try_from(number % 50).unwrap_or(0)]);
    let lot = Key::of(&[b"l".as_slice(), &(number / 1000).to_be_bytes()].concat());
    let id = Key::of(&[b"i".as_slice(), &number.to_be_bytes()].concat());
    vec![id, serial(number), model, lot, Key::of(b"device")]
}

fn entry(number: u64) -> NewEntry {
    let mut body = vec![0x5a; 500];
    body.splice(..8, number.to_be_bytes());
    let content = NewContent::Whole(Content { salt: [7; 16], body });
    NewEntry { header: vec![0; 12], content, keys: keys(number), effective: true }
}

fn keys_of(entry: &StoredEntry) -> Vec<Key> {
    let number = entry.content.as_ref().and_then(|content| content.body.first_chunk());
    number.map_or_else(Vec::new, |bytes| keys(u64::from_be_bytes(*bytes)))
}

fn options() -> Options {
    let key = SigningKey::from_bytes(&[1; 32]);
    let sealer = move |domain: &DomainInfo, size, root: &Hash| {
        let entry0 = domain.entry0.ok_or("no entry 0")?;
        let checkpoint = Checkpoint { origin: Origin { domain: domain.name.clone(), entry0 }, size, root: *root };
        Ok(SignedNote { note: checkpoint.sign(&key).map_err(|e| e.to_string())?, cosigned_at: None })
    };
    Options::new(Arc::new(keys_of), Arc::new(sealer))
}

fn report(what: &str, count: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = count as f64 / seconds;
    println!("{what}: {count} in {seconds:.3} s, {rate:.0}/s");
}

/// What the process takes at the end, where Linux tells.
fn print_memory() {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("Rss")) {
        println!("{line}");
    }
}
