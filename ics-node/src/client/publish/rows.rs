//! The rows of a CSV or NDJSON file, one at a time.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{FieldError, Fields};

/// The size limit of a row, in bytes: an armored certificate and everything beside it.
const ROW_BYTES: usize = 128 * 1024;
/// A suffix to the error about a malformed row that may have swallowed others.
const OVER_LINES: &str = "; a value of it runs over several lines: is a `\"` missing, or one too many?";

/// One row, with its values as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number among the data rows, from 1.
    pub number: u64,
    /// Columns and values, in the order of the file.
    pub values: Vec<(String, String)>,
}

/// Why a file, or a row of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The file could not be read.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has neither format.
    #[error("`{path}` is neither CSV nor NDJSON: its name ends in .csv, .ndjson or .jsonl", path = .0.display())]
    Form(PathBuf),
    /// The header names an unknown column.
    #[error("in the first line, {0}")]
    Head(FieldError),
    /// The row is malformed; later rows can still be read.
    #[error("row {number}: {reason}")]
    Row {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A value of the row begins with a quotation mark and swallows the rest of the file.
    #[error("row {number}: a `\"` opens a value that nothing closes: nothing behind this row was read")]
    Open {
        /// Its number.
        number: u64,
    },
}

/// The rows of a file.
pub struct Rows {
    path: PathBuf,
    number: u64,
    reading: Reading,
}

/// The two formats of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 4180, with the names of the columns in the first line.
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

type Source = Box<dyn Read + Send>;

enum Reading {
    Csv { reader: Box<csv::Reader<Quoting>>, head: csv::StringRecord },
    Ndjson(BufReader<Source>),
}

/// Passes a CSV file on to its reader, which takes the end of the file for the end of a quoted value, and so watches
/// whether the quotes are closed.
struct Quoting {
    source: Source,
    place: Place,
    has_ended: bool,
}

/// Where in a CSV file a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a value.
    Before,
    /// In an unquoted value, or after the closing quotation mark.
    Plain,
    /// Within quotation marks.
    Quoted,
    /// At a quotation mark within a quoted value: either the end of the value or the first of a doubled mark.
    Mark,
}

impl Row {
    /// The SHA-256 over columns and values, which identifies a row wherever it stands in the file.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in self.values.iter().flat_map(|(column, value)| [column, value]) {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    /// The fields of the row, on top of those that hold for all rows.
    ///
    /// # Errors
    /// When a value is not valid for its column.
    pub fn fields(&self, defaults: &Fields) -> Result<Fields, FieldError> {
        let mut fields = defaults.clone();
        self.values.iter().try_for_each(|(column, value)| fields.set(column, value))?;
        Ok(fields)
    }
}

impl Place {
    const fn behind(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Before | Self::Mark, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Mark,
            (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\r' | b'\n') => Self::Before,
            _ => Self::Plain,
        }
    }
}

impl Quoting {
    const fn of(source: Source) -> Self {
        Self { source, place: Place::Before, has_ended: false }
    }

    /// Whether the file ended within quotation marks.
    fn is_open(&self) -> bool {
        self.has_ended && self.place == Place::Quoted
    }
}

impl Read for Quoting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.has_ended = count == 0;
        self.place = buffer.iter().take(count).fold(self.place, |place, byte| place.behind(*byte));
        Ok(count)
    }
}

impl Rows {
    /// Opens a file, whose format is told by its name; the header of a CSV file is checked at once.
    ///
    /// # Errors
    /// When it cannot be read, or has unknown columns.
    pub fn open(path: &Path) -> Result<Self, RowError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let form = match extension.to_ascii_lowercase().as_str() {
            "csv" => Form::Csv,
            "ndjson" | "jsonl" => Form::Ndjson,
            _ => return Err(RowError::Form(path.to_owned())),
        };
        let file = File::open(path).map_err(|source| RowError::File { path: path.to_owned(), source })?;
        Self::of(form, Box::new(file), path)
    }

    /// Reads a list from memory.
    ///
    /// # Errors
    /// When it has unknown columns.
    pub fn read(form: Form, bytes: Vec<u8>) -> Result<Self, RowError> {
        Self::of(form, Box::new(io::Cursor::new(bytes)), Path::new("-"))
    }

    fn of(form: Form, source: Source, path: &Path) -> Result<Self, RowError> {
        let reading = match form {
            Form::Csv => {
                let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Quoting::of(source));
                let failed = |e: csv::Error| RowError::File { path: path.to_owned(), source: e.into() };
                let head = reader.headers().map_err(failed)?.clone();
                head.iter().try_for_each(Fields::check_column).map_err(RowError::Head)?;
                Reading::Csv { reader: Box::new(reader), head }
            }
            Form::Ndjson => Reading::Ndjson(BufReader::new(source)),
        };
        Ok(Self { path: path.to_owned(), number: 0, reading })
    }

    /// The maximum number of rows in a file, counted by line ends.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn count(path: &Path) -> io::Result<u64> {
        let mut reader = BufReader::with_capacity(1024 * 1024, File::open(path)?);
        let mut count = 0;
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(count);
            }
            count += chunk.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
            let length = chunk.len();
            reader.consume(length);
        }
    }

    fn next_csv(&mut self) -> Option<Result<Row, RowError>> {
        let Reading::Csv { reader, head } = &mut self.reading else { return None };
        let mut record = csv::StringRecord::new();
        self.number += 1;
        let number = self.number;
        let read = reader.read_record(&mut record);
        match read {
            Ok(false) => None,
            _ if reader.get_ref().is_open() => Some(Err(RowError::Open { number })),
            Ok(true) if record.as_slice().len() > ROW_BYTES => Some(Err(too_long(number))),
            Ok(true) => {
                let values = head.iter().zip(&record).map(|(column, value)| (column.to_owned(), value.to_owned()));
                Some(Ok(Row { number, values: values.collect() }))
            }
            Err(e) => Some(Err(match e.into_kind() {
                csv::ErrorKind::Io(source) => RowError::File { path: self.path.clone(), source },
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    let beyond = if record.iter().any(|value| value.contains('\n')) { OVER_LINES } else { "" };
                    let reason = format!("it has {len} columns, the first line {expected_len}{beyond}");
                    RowError::Row { number, reason }
                }
                other => RowError::Row { number, reason: csv_reason(&other) },
            })),
        }
    }

    fn next_ndjson(&mut self) -> Option<Result<Row, RowError>> {
        loop {
            let Reading::Ndjson(reader) = &mut self.reading else { return None };
            let mut line = Vec::new();
            let limit = u64::try_from(ROW_BYTES).unwrap_or(u64::MAX);
            match reader.by_ref().take(limit + 1).read_until(b'\n', &mut line) {
                Err(source) => return Some(Err(RowError::File { path: self.path.clone(), source })),
                Ok(0) => return None,
                Ok(_) => self.number += 1,
            }
            if line.len() > ROW_BYTES {
                let rest = if line.ends_with(b"\n") { Ok(0) } else { reader.skip_until(b'\n') };
                let failed = |source| RowError::File { path: self.path.clone(), source };
                return Some(Err(rest.map_or_else(failed, |_| too_long(self.number))));
            }
            if line.trim_ascii().is_empty() {
                self.number -= 1;
                continue;
            }
            return Some(json_row(self.number, &line));
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.reading {
            Reading::Csv { .. } => self.next_csv(),
            Reading::Ndjson(_) => self.next_ndjson(),
        }
    }
}

/// Makes a row from an object whose values are strings, numbers, or arrays of these.
fn json_row(number: u64, line: &[u8]) -> Result<Row, RowError> {
    let wrong = |reason: String| RowError::Row { number, reason };
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).map_err(|e| wrong(e.to_string()))?;
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Null => Some(String::new()),
        _ => None,
    };
    let mut values = Vec::new();
    for (column, value) in &object {
        Fields::check_column(column).map_err(|e| wrong(e.to_string()))?;
        let joined = match value {
            serde_json::Value::Array(items) => {
                items.iter().map(text).collect::<Option<Vec<_>>>().map(|items| items.join(" "))
            }
            other => text(other),
        };
        let joined = joined.ok_or_else(|| wrong(format!("`{column}` is neither text nor an array of texts")))?;
        values.push((column.clone(), joined));
    }
    Ok(Row { number, values })
}

fn too_long(number: u64) -> RowError {
    RowError::Row { number, reason: format!("a row takes {ROW_BYTES} bytes at most") }
}

fn csv_reason(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => "it is not CSV".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn rows(name: &str, content: &[u8]) -> Result<Vec<Result<Row, String>>, String> {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join(name);
        fs::write(&path, content).expect("written");
        let rows = Rows::open(&path).map_err(|e| e.to_string())?;
        Ok(rows.map(|row| row.map_err(|e| e.to_string())).collect())
    }

    fn values(row: &Row) -> Vec<(&str, &str)> {
        row.values.iter().map(|(column, value)| (column.as_str(), value.as_str())).collect()
    }

    #[test]
    fn csv_with_quotes_and_a_bad_row() {
        let rows = rows("d.csv", b"serial,model\nSN-1,\"P,7\"\nSN-2\nSN-3,P8\n").expect("opened");
        assert_eq!(values(rows[0].as_ref().expect("good")), [("serial", "SN-1"), ("model", "P,7")]);
        assert_eq!(rows[1], Err("row 2: it has 1 columns, the first line 2".to_owned()));
        assert_eq!(rows[2].as_ref().expect("good").number, 3);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn ndjson_with_arrays_empty_lines_and_a_bad_row() {
        let content =
            b"{\"serial\":\"SN-1\",\"urn\":[\"urn:a:1\",\"urn:a:2\"],\"qty\":3}\n\n{\"serial\":{}}\nnot json\n{}";
        let rows = rows("d.ndjson", content).expect("opened");
        let first = rows[0].as_ref().expect("good");
        assert_eq!(values(first), [("serial", "SN-1"), ("urn", "urn:a:1 urn:a:2"), ("qty", "3")]);
        assert_eq!(rows[1], Err("row 2: `serial` is neither text nor an array of texts".to_owned()));
        assert!(rows[2].as_ref().is_err_and(|e| e.starts_with("row 3: expected")), "{:?}", rows[2]);
        assert!(rows[3].is_ok());
    }

    #[test]
    fn files_that_are_refused_whole() {
        assert!(rows("d.xls", b"").is_err_and(|e| e.contains("neither CSV nor NDJSON")));
        assert!(rows("d.csv", b"serial,colour\n").is_err_and(|e| e.starts_with("in the first line, `colour`")));
    }

    #[test]
    fn a_row_that_is_too_long_hides_none_behind_it() {
        for bytes in [ROW_BYTES, 2 * ROW_BYTES] {
            let long = format!("{}\n{{}}\n", "x".repeat(bytes));
            let rows = rows("d.jsonl", long.as_bytes()).expect("opened");
            let too_long = Err(format!("row 1: a row takes {ROW_BYTES} bytes at most"));
            assert_eq!(rows, [too_long, Ok(Row { number: 2, values: Vec::new() })], "{bytes}");
        }
    }

    #[test]
    fn a_value_that_nothing_closes_ends_the_file() {
        let all = |content: &str| rows("d.csv", format!("serial,model\n{content}").as_bytes()).expect("opened");
        // Whether or not the row has all its columns.
        for content in ["SN-1,P7\n\"SN-2,P7\nSN-3,P7\n", "SN-1,P7\nSN-2,\"P7\nSN-3,\"\"P7\n", "SN-1,P7\nSN-2,\""] {
            let rows = all(content);
            assert_eq!(rows.len(), 2, "{content}: {rows:?}");
            assert!(rows[0].is_ok(), "{content}: {rows:?}");
            let refusal = "row 2: a `\"` opens a value that nothing closes: nothing behind this row was read";
            assert_eq!(rows[1], Err(refusal.to_owned()), "{content}");
        }
        for content in ["SN-1,\"P7\"", "SN-1,\"a \"\"b\"\"\r\nc\"\r\nSN\"2,P7\"", "\"SN-1\"\"\",\"\"\n"] {
            let rows = all(content);
            assert!(rows.iter().all(Result::is_ok), "{content}: {rows:?}");
        }
        // If another row closes the quotes, only this one is malformed, and the error says what the cause may be.
        let rows = all("\"SN-1,P7\nSN-2,\"P8\nSN-3,P9\n");
        let refusal = rows[0].as_ref().expect_err("one column");
        assert!(refusal.starts_with("row 1: it has 1 columns, the first line 2; a value of it runs over"), "{refusal}");
        assert_eq!((rows.len(), rows[1].is_ok()), (2, true));
    }

    #[test]
    fn a_row_is_known_by_what_it_says() {
        let row = |number, value: &str| Row { number, values: vec![("serial".to_owned(), value.to_owned())] };
        assert_eq!(row(1, "a").digest(), row(2, "a").digest());
        assert_ne!(row(1, "a").digest(), row(1, "b").digest());
        let joined = Row { number: 1, values: vec![("seriala".to_owned(), String::new())] };
        assert_ne!(row(1, "a").digest(), joined.digest());
    }
}
