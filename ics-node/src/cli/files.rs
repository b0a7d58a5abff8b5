//! Files that are read and written for people.

use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::Path;

use super::exit::{Exit, Failure};
use super::output;

/// Stands for standard input or output.
pub(crate) const STANDARD: &str = "-";

/// A failure of a file.
pub(crate) fn failed(path: &Path, error: impl core::fmt::Display) -> Failure {
    Failure::new(Exit::Local, format!("`{}`: {error}", path.display()))
}

/// Reads a file, or standard input for `-`, of `limit` bytes at most.
///
/// # Errors
/// When it cannot be read, or is longer.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let reader: Box<dyn Read> = match path.to_str() {
        Some(STANDARD) => Box::new(std::io::stdin()),
        _ => Box::new(File::open(path).map_err(|error| failed(path, error))?),
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    if bytes.len() > limit {
        return Err(failed(path, format!("it is longer than the {limit} bytes that are read")));
    }
    Ok(bytes)
}

/// Writes a file anew, or to standard output for `-`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    match path.to_str() {
        Some(STANDARD) => output::print(bytes),
        _ => std::fs::write(path, bytes).map_err(|error| failed(path, error)),
    }
}

/// The same, but never over a file that is there: what it holds may not be made again.
///
/// # Errors
/// When it is there, or cannot be written.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path.to_str() == Some(STANDARD) {
        return output::print(bytes);
    }
    let made = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => failed(path, "it is there already, and is not overwritten")
            .hint("choose another name with --out, or remove it if nothing rests on it"),
        _ => failed(path, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_bounded() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("f");
        write(&path, b"12345").expect("written");
        assert_eq!(read(&path, 5).expect("fits"), b"12345");
        let failure = read(&path, 4).expect_err("too long");
        assert_eq!(failure.exit(), Exit::Local);
        assert_eq!(read(&directory.path().join("none"), 4).expect_err("missing").exit(), Exit::Local);
    }

    #[test]
    fn what_is_created_overwrites_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("root.pem");
        create(&path, b"first").expect("new");
        assert_eq!(create(&path, b"second").expect_err("there").exit(), Exit::Local);
        assert_eq!(read(&path, 10).expect("there"), b"first");
    }
}
