//! Lines of canonical JSON with a digest at the end: written whole or not at all, read within bounds.

use std::io::{BufRead as _, Read as _};
use std::path::Path;

use data_encoding::HEXLOWER;
use ics_core::canonical_json;
use ics_core::limits;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::BatchError;
use crate::keys::file;

/// A file being composed.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Adds a value as a line.
    pub(super) fn push(&mut self, path: &Path, value: &impl Serialize) -> Result<(), BatchError> {
        let line = canonical_json::to_bytes(value).map_err(|e| form(path, e.to_string()))?;
        if line.len() > limits::BATCH_FILE_LINE_BYTES {
            return Err(BatchError::TooMuch(limits::BATCH_FILE_LINE_BYTES, "bytes in a line"));
        }
        self.bytes.extend(line);
        self.bytes.push(b'\n');
        if self.bytes.len() > limits::BATCH_FILE_BYTES {
            return Err(BatchError::TooMuch(limits::BATCH_FILE_BYTES, "bytes"));
        }
        Ok(())
    }

    /// Replaces the file, or writes to standard output for `-`, and returns the digest, by which people name the batch.
    pub(super) fn write(mut self, path: &Path) -> Result<String, BatchError> {
        let digest = HEXLOWER.encode(&Sha256::digest(&self.bytes));
        self.bytes.extend(format!("{{\"sha256\":\"{digest}\"}}\n").into_bytes());
        let failed = |source| BatchError::File { path: path.to_owned(), source };
        file::write_private(path, &self.bytes).map_err(failed)?;
        Ok(digest)
    }
}

/// Returns the values of a file with these contents except the last, and the digest in its last line once it has been
/// checked.
pub(super) fn read(path: &Path, mut content: &[u8]) -> Result<(Vec<Value>, String), BatchError> {
    if content.len() > limits::BATCH_FILE_BYTES {
        return Err(BatchError::TooMuch(limits::BATCH_FILE_BYTES, "bytes"));
    }
    let failed = |source| BatchError::File { path: path.to_owned(), source };
    let (mut values, mut hash) = (Vec::new(), Sha256::new());
    loop {
        let mut line = Vec::new();
        let longest = u64::try_from(limits::BATCH_FILE_LINE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let read = content.by_ref().take(longest).read_until(b'\n', &mut line).map_err(failed)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err(match (read, values.is_empty()) {
                (0, false) => BatchError::Damaged(path.to_owned()),
                (0, true) => form(path, "it is empty".to_owned()),
                _ if line.len() > limits::BATCH_FILE_LINE_BYTES => {
                    BatchError::TooMuch(limits::BATCH_FILE_LINE_BYTES, "bytes in a line")
                }
                (_, true) => form(path, "it is not lines of JSON".to_owned()),
                _ => BatchError::Damaged(path.to_owned()),
            });
        };
        let value = canonical_json::parse_value(text).map_err(|e| match values.is_empty() {
            true => form(path, e.to_string()),
            false => BatchError::Damaged(path.to_owned()),
        })?;
        if let Some(Value::String(digest)) = value.get("sha256").cloned() {
            let expected = json!({ "sha256": HEXLOWER.encode(&hash.finalize()) });
            return if value == expected && content.is_empty() {
                Ok((values, digest))
            } else {
                Err(BatchError::Damaged(path.to_owned()))
            };
        }
        if values.len() > limits::BATCH_FILE_STATEMENTS {
            return Err(BatchError::TooMuch(limits::BATCH_FILE_STATEMENTS, "statements"));
        }
        hash.update(&line);
        values.push(value);
    }
}

pub(super) fn form(path: &Path, reason: String) -> BatchError {
    BatchError::Form { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these lines, with their digest at its end.
    fn file(lines: impl IntoIterator<Item = String>) -> Vec<u8> {
        let mut content: Vec<u8> = lines.into_iter().flat_map(|line| (line + "\n").into_bytes()).collect();
        let digest = HEXLOWER.encode(&Sha256::digest(&content));
        content.extend(format!("{{\"sha256\":\"{digest}\"}}\n").into_bytes());
        content
    }

    #[test]
    fn what_is_read_and_written_is_bounded() {
        let path = Path::new("batch.ics");
        let read = |content: &[u8]| match super::read(path, content) {
            Ok((values, _)) => Ok(values.len()),
            Err(BatchError::TooMuch(most, _)) => Err(most),
            Err(other) => panic!("{other}"),
        };
        // Before the statements stands the head.
        let (most, many) = (limits::BATCH_FILE_STATEMENTS, |count| file(core::iter::repeat_n("{}".to_owned(), count)));
        assert_eq!(read(&many(most + 1)), Ok(most + 1));
        assert_eq!(read(&many(most + 2)), Err(most));
        let (most, text) = (limits::BATCH_FILE_LINE_BYTES, |bytes: usize| "x".repeat(bytes - 2));
        let long = |bytes| file([format!("\"{}\"", text(bytes))]);
        assert_eq!(read(&long(most)), Ok(1));
        assert_eq!(read(&long(most + 1)), Err(most));
        let written = |bytes| Lines::default().push(path, &text(bytes)).is_ok();
        assert!(written(most) && !written(most + 1));
        assert_eq!(read(&vec![0_u8; limits::BATCH_FILE_BYTES + 1]), Err(limits::BATCH_FILE_BYTES));
    }
}
