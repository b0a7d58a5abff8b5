//! What apt is about to install: the protocol of `DPkg::Pre-Install-Pkgs`, versions 1 to 3 (apt.conf(5)).
//!
//! - Version 1 lists the files, one on each line. It does not tell which of them go back to an older version, and
//!   leaves out files that apt does not know by their absolute paths.
//! - Version 2 begins with `VERSION 2`, followed by apt's configuration up to an empty line, and then `name
//!   old-version direction new-version action` for each package. `-` stands for no version.
//! - Version 3 adds the architecture and Multi-Arch type after each version.
//!
//! The action is the file of a package that is unpacked, `**CONFIGURE**` or `**REMOVE**`; the direction is `>` if the
//! new version is older.

use std::ffi::OsStr;
use std::io::{BufRead, Read as _};
use std::path::PathBuf;

use ics_core::identity::excerpt;

/// The size limit of apt's message, in bytes: for a whole distribution it takes some ten megabytes.
const TEXT_BYTES: u64 = 64 << 20;
/// The environment variable in which apt names the file descriptor through which it passes its message to the hook.
pub const CHANNEL: &str = "APT_HOOK_INFO_FD";

/// A package file that is about to be unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// Whether an older version replaces a newer one.
    pub goes_back: bool,
}

/// Why apt's message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// It cannot be read.
    #[error("what apt says cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is too long.
    #[error("apt says more than {} MiB", TEXT_BYTES >> 20)]
    TooLong,
    /// It is of an unknown version of the protocol.
    #[error("apt speaks version `{0}` of its protocol; versions 1, 2 and 3 are understood")]
    Version(String),
    /// apt writes to another file descriptor; on standard input it would seem that nothing is unpacked.
    #[error("apt speaks by file descriptor `{0}`, and only standard input is read: leave `InfoFD` out of its options")]
    Elsewhere(String),
    /// Its configuration is cut off, so the list of files was not received.
    #[error("what apt says ends within its configuration, before it names any package")]
    Short,
    /// Something other than a path stands where a file should be named.
    #[error("line {number} of what apt says names no file by its whole path, from `/` on: `{path}`")]
    NoPath {
        /// The number of the line, from 1.
        number: usize,
        /// The beginning of the text found there.
        path: String,
    },
    /// A line is malformed.
    #[error("line {number} of what apt says is not understood: `{line}`")]
    Line {
        /// Its number, from 1.
        number: usize,
        /// Its beginning.
        line: String,
    },
}

/// Checks that apt writes to standard input, as it does by default.
///
/// # Errors
/// When it writes elsewhere.
pub fn hears(channel: Option<&OsStr>) -> Result<(), AptError> {
    match channel {
        Some(other) if other != "0" => Err(AptError::Elsewhere(excerpt(&other.to_string_lossy()))),
        _ => Ok(()),
    }
}

/// Reads which files apt is about to unpack. Packages that are only configured or removed are left out.
///
/// # Errors
/// When any line is not understood: what cannot be read must not pass.
pub fn read(said: impl BufRead) -> Result<Vec<Archive>, AptError> {
    let mut text = String::new();
    let mut said = said.take(TEXT_BYTES + 1);
    said.read_to_string(&mut text)?;
    if said.limit() == 0 {
        return Err(AptError::TooLong);
    }
    // A name may end with a carriage return, so only a newline ends a line.
    let mut lines = text.split_terminator('\n').enumerate().map(|(place, line)| (place + 1, line)).peekable();
    let fields = match lines.peek().and_then(|(_, line)| line.strip_prefix("VERSION ")) {
        None => return lines.map(|(number, line)| file(number, line, false)).collect(),
        Some("2") => 5,
        Some("3") => 9,
        Some(other) => return Err(AptError::Version(excerpt(other))),
    };
    // Skips the configuration, which ends with an empty line.
    lines.find(|(_, line)| line.is_empty()).ok_or(AptError::Short)?;
    lines.filter_map(|(number, line)| package(number, line, fields).transpose()).collect()
}

/// Parses a line about a package; `None` if it is not unpacked. The file name may contain spaces, the fields before it
/// do not.
fn package(number: usize, line: &str, fields: usize) -> Result<Option<Archive>, AptError> {
    let mut parts = line.splitn(fields, ' ');
    // The direction follows the name and the old version, to which version 3 adds two fields.
    let direction = parts.by_ref().nth(if fields == 5 { 2 } else { 4 });
    match (direction, parts.last()) {
        (Some("<" | "=" | ">" | "-"), Some("**CONFIGURE**" | "**REMOVE**")) => Ok(None),
        (Some(direction @ ("<" | "=" | ">" | "-")), Some(path)) => file(number, path, direction == ">").map(Some),
        _ => Err(not_understood(number, line)),
    }
}

/// apt names files by absolute paths: a relative path or an option cannot come from apt.
fn file(number: usize, path: &str, goes_back: bool) -> Result<Archive, AptError> {
    if path.starts_with('/') {
        Ok(Archive { path: path.into(), goes_back })
    } else {
        Err(AptError::NoPath { number, path: excerpt(path) })
    }
}

fn not_understood(number: usize, line: &str) -> AptError {
    AptError::Line { number, line: excerpt(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archives(text: &str) -> Result<Vec<(String, bool)>, String> {
        let found = read(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|it| (it.path.display().to_string(), it.goes_back)).collect())
    }

    #[test]
    fn what_is_unpacked() {
        let (plain, older) = (("/a/hello_2_all.deb".to_owned(), false), ("/a/hello_1_all.deb".to_owned(), true));
        for (text, expected) in [
            ("", vec![]),
            ("/a/hello_2_all.deb\n", vec![plain.clone()]),
            (
                "VERSION 2\nAPT::Architecture=amd64\n\nhello 1 < 2 /a/hello_2_all.deb\nhello 1 < 2 **CONFIGURE**\n",
                vec![plain.clone()],
            ),
            ("VERSION 2\n\nhello 2 > 1 /a/hello_1_all.deb\nold 1 > - **REMOVE**\n", vec![older.clone()]),
            (
                "VERSION 3\nA=b\n\nhello - - none < 2 all none /a/hello_2_all.deb\n\
                 hello 2 all none > 1 all none /a/hello_1_all.deb\nhello 2 all none - - - none **REMOVE**\n",
                vec![plain.clone(), older],
            ),
            ("VERSION 3\n\nx - - none < 1 all none /a/with space.deb", vec![("/a/with space.deb".to_owned(), false)]),
            ("/a/b.deb\r\n", vec![("/a/b.deb\r".to_owned(), false)]),
            ("VERSION 2\nA=b\n\n", vec![]),
        ] {
            assert_eq!(archives(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood() {
        for (text, expected) in [
            ("VERSION 4\n\n", "apt speaks version `4` of its protocol; versions 1, 2 and 3 are understood"),
            ("hello.deb\n", "line 1 of what apt says names no file by its whole path, from `/` on: `hello.deb`"),
            ("/a/b.deb\n\n", "line 2 of what apt says names no file by its whole path, from `/` on: ``"),
            ("VERSION 2\n", "what apt says ends within its configuration, before it names any package"),
            (
                "VERSION 2\nA=b\nhello 1 < 2 /a/b.deb\n",
                "what apt says ends within its configuration, before it names any package",
            ),
            ("VERSION 2\n\nhello 1 2 /a/b.deb\n", "line 3 of what apt says is not understood: `hello 1 2 /a/b.deb`"),
            (
                "VERSION 3\n\nhello 1 < 2 /a/b.deb\n",
                "line 3 of what apt says is not understood: `hello 1 < 2 /a/b.deb`",
            ),
            (
                "VERSION 2\n\nhello 1 < 2 **ERROR**\n",
                "line 3 of what apt says names no file by its whole path, from `/` on: `**ERROR**`",
            ),
        ] {
            assert_eq!(archives(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn only_standard_input_is_heard() {
        for (channel, expected) in [(None, true), (Some("0"), true), (Some("3"), false), (Some(""), false)] {
            assert_eq!(hears(channel.map(OsStr::new)).is_ok(), expected, "{channel:?}");
        }
    }
}
