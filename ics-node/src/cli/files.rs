//! Reading and writing files for commands.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufWriter, ErrorKind, Read as _, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use super::exit::{Exit, Failure};
use super::output;
pub(crate) use crate::keys::file::{STANDARD, is_standard};
use crate::keys::file::{is_written_through, make_alike, open, unnamed};

/// Makes a failure about a file.
pub(crate) fn failed(path: &Path, error: impl core::fmt::Display) -> Failure {
    Failure::new(Exit::Local, format!("`{}`: {error}", path.display()))
}

/// Reads a file, or standard input for `-`, of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, or is longer.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let reader = open(path).map_err(|error| failed(path, error))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    if bytes.len() > limit {
        return Err(failed(path, format!("it is longer than the {limit} bytes that are read")));
    }
    Ok(bytes)
}

/// As [`read()`], for text.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: usize) -> Result<String, Failure> {
    String::from_utf8(read(path, limit)?).map_err(|_| failed(path, "it is not text in UTF-8"))
}

/// Replaces a file, or writes to standard output for `-`.
///
/// # Errors
/// When it cannot be written; the former file stays, unless it could only be overwritten.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    match is_standard(path) {
        true => output::print(bytes),
        false => write_by(path, |file| file.write_all(bytes).map_err(|error| failed(path, error))),
    }
}

/// As [`write()`], for a file that is made in parts. The new file is written beside the former one and moved into its
/// place once it is complete and on disk, with the owner, group and permissions of the former. If that is impossible,
/// as in a directory where only others may write, the former file is overwritten. Devices, pipes and dangling links are
/// written directly.
///
/// # Errors
/// When it cannot be made or written; the former file stays, unless it could only be overwritten.
pub(crate) fn write_by<T>(path: &Path, make: impl FnOnce(&mut dyn Write) -> Result<T, Failure>) -> Result<T, Failure> {
    let broken = |error: io::Error| failed(path, error);
    // A link stays a link: the file to which it leads is replaced.
    let found = fs::canonicalize(path);
    let leads_nowhere = found.is_err() && path.is_symlink();
    let place = found.unwrap_or_else(|_| path.to_owned());
    let former = fs::metadata(&place).ok();
    if leads_nowhere || is_written_through(path) {
        return filled(File::create(path).map_err(broken)?, make, broken).map(|(made, _)| made);
    }
    let mode = Permissions::from_mode(0o666);
    let file = match tempfile::Builder::new().permissions(mode).tempfile_in(directory_of(&place)) {
        // Not if the disk is full: then overwriting would fail too, and the former file would be lost.
        Err(error) if former.is_some() && is_closed(&error) => {
            let (made, file) = filled(File::create(&place).map_err(broken)?, make, broken)?;
            return file.sync_all().map(|()| made).map_err(broken);
        }
        file => file.map_err(|error| broken(unnamed(&error)))?,
    };
    let made = filled(file.as_file(), make, broken).map(|(made, _)| made)?;
    take_place(file, &place, former.as_ref()).map(|()| made).map_err(broken)
}

/// Whether the error means that the directory takes no new file, regardless of space.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Moves a complete file into its place, or copies it into the former file if that cannot be replaced by one with the
/// same owner, group and permissions.
fn take_place(file: NamedTempFile, place: &Path, former: Option<&Metadata>) -> io::Result<()> {
    let is_alike = former.is_none_or(|former| make_alike(file.as_file(), former).is_ok());
    file.as_file().sync_all()?;
    let mut file = if is_alike {
        match file.persist(place) {
            Ok(_) => return sync_name(place),
            Err(refused) if former.is_none() => return Err(refused.error),
            Err(refused) => refused.file,
        }
    } else {
        file
    };
    let mut target = File::create(place)?;
    file.as_file_mut().rewind()?;
    io::copy(file.as_file_mut(), &mut target)?;
    target.sync_all()
}

/// The directory of a file; the present one, if its path names none.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes the name of a new file durable, unless its directory may not be read or its file system cannot do that.
///
/// # Errors
/// When the disk fails.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let synced = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    synced.or_else(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported => Ok(()),
        _ => Err(error),
    })
}

/// Returns the result of `make`, and the file with all that it has written.
fn filled<T, F: Write>(
    file: F,
    make: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
    broken: impl Fn(io::Error) -> Failure,
) -> Result<(T, F), Failure> {
    let mut out = BufWriter::new(file);
    let made = make(&mut out)?;
    let file = out.into_inner().map_err(|error| broken(error.into_error()))?;
    Ok((made, file))
}

/// As [`write()`], but never replaces an existing file, whose contents may be irreplaceable.
///
/// # Errors
/// When it exists, or cannot be written.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if is_standard(path) {
        return output::print(bytes);
    }
    let mut file = File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => failed(path, "it is there already, and is not overwritten")
            .hint("choose another name with --out, or remove it if nothing rests on it"),
        _ => failed(path, error),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_name(path)).map_err(|error| {
        // A part of it would be in the way of the next attempt, which tells if it cannot be removed.
        let _ = fs::remove_file(path);
        failed(path, error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

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
        assert_eq!(read_text(&path, 5).expect("text"), "12345");
        write(&path, b"\xff").expect("written");
        let expected = failed(&path, "it is not text in UTF-8");
        assert_eq!(read_text(&path, 5).expect_err("not text"), expected);
    }

    #[test]
    fn what_is_written_anew_takes_its_place_once_it_is_whole() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, link) = (directory.path().join("root.crl"), directory.path().join("link"));
        write(&path, b"former").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let full = write_by(&link, |file| {
            file.write_all(b"half").expect("written");
            Err::<(), _>(failed(&path, "the disk is full"))
        });
        assert_eq!(full.expect_err("fails").exit(), Exit::Local);
        assert_eq!(read(&path, 10).expect("there"), b"former");

        write(&link, b"new").expect("written");
        assert_eq!(read(&path, 10).expect("there"), b"new");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 2, "nothing is left behind");
    }

    #[test]
    fn what_nothing_can_take_the_place_of_is_written_itself() {
        let directory = tempfile::tempdir().expect("directory");
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let path = inner.join("root.crl");
        write(&path, b"the former one").expect("written");
        fs::set_permissions(&inner, Permissions::from_mode(0o555)).expect("set");
        // Root may write into every directory.
        let is_closed = File::create(inner.join("probe")).is_err();
        write(&path, b"new").expect("written in its place");
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).expect("set");
        assert_eq!(read(&path, 20).expect("there"), b"new");
        assert_eq!(fs::read_dir(&inner).expect("listed").count(), if is_closed { 1 } else { 2 });
    }

    /// Such a directory cannot be opened for making names in it durable.
    #[test]
    fn a_directory_that_may_not_be_read_takes_files() {
        let directory = tempfile::tempdir().expect("directory");
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).expect("made");
        fs::set_permissions(&inner, Permissions::from_mode(0o300)).expect("set");
        let (one, two) = (inner.join("one"), inner.join("two"));
        let written = (write(&one, b"new"), create(&two, b"new"));
        fs::set_permissions(&inner, Permissions::from_mode(0o700)).expect("set");
        assert_eq!(written, (Ok(()), Ok(())));
        assert_eq!([one, two].map(|path| read(&path, 10).expect("there")), [b"new", b"new"]);
    }

    #[test]
    fn a_place_that_is_not_there_is_named_as_it_was_given() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("none/r.html");
        let expected = format!("`{}`: No such file or directory (os error 2)", path.display());
        assert_eq!(write(&path, b"new").expect_err("no directory"), Failure::new(Exit::Local, expected));
    }

    #[test]
    fn what_a_link_names_is_made() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, link) = (directory.path().join("root.crl"), directory.path().join("link"));
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        write(&link, b"new").expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(read(&path, 10).expect("there"), b"new");
    }

    #[test]
    fn what_is_open_already_is_written_as_it_is() {
        use std::os::fd::AsRawFd as _;
        let file = tempfile::NamedTempFile::new().expect("a file");
        write(Path::new(&format!("/dev/fd/{}", file.as_file().as_raw_fd())), b"through").expect("written");
        assert_eq!(read(file.path(), 10).expect("there"), b"through");
        let (there, open) = (fs::metadata(file.path()).expect("there"), file.as_file().metadata().expect("open"));
        assert_eq!(there.ino(), open.ino(), "no other file took its place");
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
