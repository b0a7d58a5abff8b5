//! Revocation lists that issuers have signed at other nodes, as files, so that a node that starts without a network has
//! what it had. Whoever reads one verifies it again; nothing is believed because it is stored here.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use ics_core::limits;
use ics_core::vocabulary::DomainName;

use super::error::StoreError;
use super::{Store, gone, make_private, replace_file};

const DIR: &str = "lists";
/// The greatest length in bytes of the line before a list, which holds a number.
const SIZE_BYTES: usize = 21;

impl Store {
    /// The list of that name, as DER, and how many entries of the domain were held here when it was fetched. A damaged
    /// file counts as missing: the home sends the list again.
    pub(crate) fn kept_list(&self, domain: &DomainName, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let path = self.lists_of(domain).join(name);
        let most = (limits::REVOCATION_LIST_BYTES + SIZE_BYTES) as u64;
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
            Ok(_) => Ok(parse(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    /// Stores a list durably, replacing the one of that name.
    pub(crate) fn keep_list(&self, domain: &DomainName, name: &str, size: u64, der: &[u8]) -> Result<(), StoreError> {
        let dir = self.lists_of(domain);
        make_private(&dir)?;
        // What a crash leaves behind has a name that is not a list's, so it is swept away.
        replace_file(&dir, &format!(".{name}"), name, &[format!("{size}\n").as_bytes(), der].concat())
    }

    /// Deletes a list.
    pub(crate) fn forget_list(&self, domain: &DomainName, name: &str) -> Result<(), StoreError> {
        let path = self.lists_of(domain).join(name);
        gone(&path, fs::remove_file(&path))
    }

    /// Deletes the files of a domain that are no longer any of its lists.
    pub(crate) fn sweep_lists(&self, domain: &DomainName, is_list: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let mut others = names_in(&self.lists_of(domain))?.into_iter().filter(|(name, _)| !is_list(name));
        others.try_for_each(|(_, path)| gone(&path, fs::remove_file(&path)))
    }

    /// Deletes the lists of domains that are no longer held here.
    pub(crate) fn sweep_domains_of_lists(&self, is_here: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let mut others = names_in(&self.dir().join(DIR))?.into_iter().filter(|(name, _)| !is_here(name));
        others.try_for_each(|(_, path)| gone(&path, fs::remove_dir_all(&path)))
    }

    fn lists_of(&self, domain: &DomainName) -> PathBuf {
        self.dir().join(DIR).join(domain.as_str())
    }
}

fn parse(bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let end = bytes.iter().take(SIZE_BYTES).position(|byte| *byte == b'\n')?;
    let (size, der) = bytes.split_at(end);
    Some((core::str::from_utf8(size).ok()?.parse().ok()?, der.get(1..)?.to_vec()))
}

/// The names in a directory; none if it does not exist.
fn names_in(dir: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(StoreError::io(dir))?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
    };
    listed.map(name).collect::<Result<_, _>>().map_err(StoreError::io(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> DomainName {
        text.parse().expect("a name")
    }

    #[test]
    fn a_list_is_there_after_a_restart_and_one_that_is_damaged_or_not_named_any_more_is_none() {
        let dir = tempfile::tempdir().expect("dir");
        let of = domain("d.example");
        let store = Store::of_tests(dir.path());
        assert_eq!(store.kept_list(&of, "a-0").expect("reads"), None);
        for (name, size, der) in [("a-0", 7, &b"old"[..]), ("a-0", 8, b"0\n1"), ("b-1", 8, b"b")] {
            store.keep_list(&of, name, size, der).expect("keeps");
        }
        drop(store);

        let store = Store::of_tests(dir.path());
        assert_eq!(store.kept_list(&of, "a-0").expect("reads"), Some((8, b"0\n1".to_vec())));
        let files = dir.path().join("lists/d.example");
        for damaged in [&b""[..], b"8", b"eight\nder", b"123456789012345678901\nder", b"\xff\nder"] {
            fs::write(files.join("b-1"), damaged).expect("writes");
            assert_eq!(store.kept_list(&of, "b-1").expect("reads"), None, "{damaged:?}");
        }

        fs::write(files.join(".a-0"), "what a crash has left").expect("writes");
        store.sweep_lists(&of, |name| name == "a-0").expect("sweeps");
        assert_eq!(fs::read_dir(&files).expect("is there").count(), 1);
        store.sweep_domains_of_lists(|name| name == "d.example").expect("sweeps");
        assert!(store.kept_list(&of, "a-0").expect("reads").is_some());
        store.forget_list(&of, "a-0").expect("forgets");
        store.forget_list(&of, "a-0").expect("is gone already");
        assert_eq!(store.kept_list(&of, "a-0").expect("reads"), None);
        store.sweep_domains_of_lists(|_| false).expect("sweeps");
        assert!(!files.exists());
    }
}
