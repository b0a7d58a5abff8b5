//! A disk as reconstructed from its trace: what was done to it, what of that is durable, and what a power cut may leave
//! of the rest.
//!
//! The rules are those on which POSIX lets a program rely: a file's content is durable once the file is synced, its
//! name once the directory is. What is not durable may be kept, lost or kept in part, down to single sectors of a
//! write; sectors that were not written stay unchanged. Names change in the order in which they were changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::Dice;

/// The number of bytes that a disk writes completely or not at all.
const SECTOR: usize = 512;

/// One call, as recorded by the shim.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    operation: u8,
    path: PathBuf,
    offset: u64,
    data: Vec<u8>,
    /// The length of the trace up to and including it: its time.
    pub(crate) mark: u64,
}

/// Reads a trace. A record that was cut off because the process was killed is the last one, and its call did not
/// happen.
pub(crate) fn read_trace(path: &Path) -> Vec<Call> {
    let bytes = fs::read(path).expect("a trace");
    let mut calls = Vec::new();
    let mut place = 0;
    while let Some(head) = bytes.get(place..place + 15) {
        let path_length = usize::from(u16::from_le_bytes([head[1], head[2]]));
        let offset = u64::from_le_bytes(head[3..11].try_into().expect("8 bytes"));
        let length = u32::from_le_bytes(head[11..15].try_into().expect("4 bytes")) as usize;
        let end = place + 15 + path_length + length;
        let Some(rest) = bytes.get(place + 15..end) else { break };
        let (path, data) = rest.split_at(path_length);
        let path = PathBuf::from(String::from_utf8(path.to_vec()).expect("UTF-8"));
        // Memory shared between processes, which the next one makes anew.
        let is_shared_memory = path.to_string_lossy().ends_with("-shm");
        if !is_shared_memory {
            calls.push(Call { operation: head[0], path, offset, data: data.to_vec(), mark: end as u64 });
        }
        place = end;
    }
    calls
}

impl Call {
    /// The number of calls of a class, if the shim was asked for it.
    pub(crate) fn count(&self) -> Option<u64> {
        (self.operation == b'N').then_some(self.offset)
    }

    /// Whether it synced the file whose path ends with this.
    pub(crate) fn syncs(&self, path: &str) -> bool {
        self.operation == b'S' && self.path.ends_with(path)
    }

    /// Whether it wrote to the beginning of the file whose path ends with this.
    pub(crate) fn begins(&self, path: &str) -> bool {
        self.operation == b'W' && self.offset == 0 && self.path.ends_with(path)
    }

    /// Whether it renamed the file whose path ends with this.
    pub(crate) fn renames(&self, path: &str) -> bool {
        self.operation == b'R' && self.path.ends_with(path)
    }
}

type FileId = usize;

/// A change to a file by a write that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Cut { length: usize },
}

#[derive(Debug, Clone, Default)]
struct Content {
    durable: Vec<u8>,
    /// Changes that a sync has yet to make durable.
    pending: Vec<Change>,
    /// Changes left by a failed sync: they may never reach the disk, whatever later syncs report.
    doubtful: Vec<Change>,
}

/// A change to the names in a directory.
#[derive(Debug, Clone)]
enum Naming {
    Link(PathBuf, FileId),
    Directory(PathBuf),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, FileId),
}

/// The names of a disk.
#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, FileId>,
    directories: BTreeSet<PathBuf>,
}

impl Names {
    fn take(&mut self, naming: &Naming) {
        match naming {
            Naming::Link(path, file) => drop(self.files.insert(path.clone(), *file)),
            Naming::Directory(path) => drop(self.directories.insert(path.clone())),
            Naming::Unlink(path) => drop(self.files.remove(path)),
            Naming::Rename(old, new, file) => {
                self.files.remove(old);
                self.files.insert(new.clone(), *file);
            }
        }
    }
}

/// The disk, below a home directory that has always existed, as made by `ics init`.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    contents: Vec<Content>,
    live: Names,
    durable: Names,
    pending: BTreeMap<PathBuf, Vec<Naming>>,
}

/// How much of what is not durable a power cut leaves.
#[derive(Debug, Clone, Copy)]
enum Left {
    Nothing,
    Everything,
    /// For every file and directory, a number of its first changes, and a torn part of the next.
    Beginning,
    /// Any sectors of any writes.
    Sectors,
}

impl Disk {
    /// The disk before the first start of the node.
    pub(crate) fn initial() -> Self {
        let made = Names { directories: ["data", "data/seen"].map(PathBuf::from).into(), ..Names::default() };
        Self { contents: Vec::new(), live: made.clone(), durable: made, pending: BTreeMap::new() }
    }

    /// Applies a call.
    pub(crate) fn take(&mut self, call: &Call) {
        let path = &call.path;
        match call.operation {
            b'C' => {
                self.contents.push(Content::default());
                self.rename(Naming::Link(path.clone(), self.contents.len() - 1));
            }
            b'D' => self.rename(Naming::Directory(path.clone())),
            b'U' if self.live.files.contains_key(path) => self.rename(Naming::Unlink(path.clone())),
            b'R' => {
                let new = PathBuf::from(String::from_utf8(call.data.clone()).expect("UTF-8"));
                let file = self.live.files[path];
                self.rename(Naming::Rename(path.clone(), new, file));
            }
            b'W' => {
                let offset = usize::try_from(call.offset).expect("small");
                self.change(path, Change::Write { offset, data: call.data.clone() });
            }
            b'T' => self.change(path, Change::Cut { length: usize::try_from(call.offset).expect("small") }),
            b'S' => self.sync(path),
            b'F' => self.fail_to_sync(path),
            _ => {}
        }
    }

    fn rename(&mut self, naming: Naming) {
        self.live.take(&naming);
        let (Naming::Link(path, _) | Naming::Directory(path) | Naming::Unlink(path) | Naming::Rename(path, ..)) =
            &naming;
        let directory = path.parent().expect("below the root").to_owned();
        self.pending.entry(directory).or_default().push(naming);
    }

    /// Files from before the trace are ignored.
    fn change(&mut self, path: &Path, change: Change) {
        if let Some(file) = self.live.files.get(path) {
            self.contents[*file].pending.push(change);
        }
    }

    fn sync(&mut self, path: &Path) {
        for naming in self.pending.remove(path).unwrap_or_default() {
            self.durable.take(&naming);
        }
        if let Some(file) = self.live.files.get(path) {
            let content = &mut self.contents[*file];
            for change in core::mem::take(&mut content.pending) {
                apply(&mut content.durable, &change);
            }
        }
    }

    fn fail_to_sync(&mut self, path: &Path) {
        if let Some(file) = self.live.files.get(path) {
            let content = &mut self.contents[*file];
            content.doubtful.append(&mut content.pending);
        }
    }

    /// Writes into an empty directory what a power cut now would leave.
    pub(crate) fn cut(&self, dice: &mut Dice, to: &Path) {
        let left = match dice.below(4) {
            0 => Left::Nothing,
            1 => Left::Everything,
            2 => Left::Beginning,
            _ => Left::Sectors,
        };
        let names = self.names_left(left, dice);
        for directory in &names.directories {
            if names.has_ancestors(directory) {
                fs::create_dir_all(to.join(directory)).expect("made");
            }
        }
        for (path, file) in names.files.iter().filter(|(path, _)| names.has_ancestors(path)) {
            fs::write(to.join(path), self.contents[*file].left(left, dice)).expect("written");
        }
    }

    fn names_left(&self, left: Left, dice: &mut Dice) -> Names {
        let mut names = self.durable.clone();
        for changes in self.pending.values() {
            let kept = match left {
                Left::Nothing => 0,
                Left::Everything => changes.len(),
                Left::Beginning | Left::Sectors => dice.below(changes.len() as u64 + 1) as usize,
            };
            changes.iter().take(kept).for_each(|naming| names.take(naming));
        }
        names
    }
}

impl Names {
    fn has_ancestors(&self, path: &Path) -> bool {
        let ancestors = path.ancestors().skip(1).filter(|ancestor| !ancestor.as_os_str().is_empty());
        ancestors.into_iter().all(|ancestor| self.directories.contains(ancestor))
    }
}

impl Content {
    fn left(&self, left: Left, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.doubtful {
            if dice.below(2) == 0 {
                apply(&mut bytes, change);
            }
        }
        match left {
            Left::Nothing => {}
            Left::Everything => self.pending.iter().for_each(|change| apply(&mut bytes, change)),
            Left::Beginning => {
                let kept = dice.below(self.pending.len() as u64 + 1) as usize;
                self.pending.iter().take(kept).for_each(|change| apply(&mut bytes, change));
                if let Some(change) = self.pending.get(kept) {
                    tear(&mut bytes, change, dice);
                }
            }
            Left::Sectors => {
                for change in &self.pending {
                    match dice.below(3) {
                        0 => {}
                        1 => apply(&mut bytes, change),
                        _ => tear(&mut bytes, change, dice),
                    }
                }
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Cut { length } => bytes.resize(*length, 0),
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
    }
}

/// Applies part of a change: any of the sectors of a write.
fn tear(bytes: &mut Vec<u8>, change: &Change, dice: &mut Dice) {
    let Change::Write { offset, data } = change else { return };
    let mut start = 0;
    while start < data.len() {
        // Sector boundaries are those of the disk, wherever the write begins.
        let end = data.len().min(start + SECTOR - (offset + start) % SECTOR);
        if dice.below(2) == 0 {
            apply(bytes, &Change::Write { offset: offset + start, data: data[start..end].to_vec() });
        }
        start = end;
    }
}
