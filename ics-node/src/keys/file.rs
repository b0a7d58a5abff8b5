//! Private files: only their owner may read them, and they appear completely or not at all.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Stands for standard input or output.
pub const STANDARD: &str = "-";

/// Whether a path stands for standard input or output.
#[must_use]
pub fn is_standard(path: &Path) -> bool {
    path.to_str() == Some(STANDARD)
}

/// Whether a path stands for standard input, and a person types there: a secret is then asked for, without showing it.
#[must_use]
pub fn is_typed(path: &Path) -> bool {
    is_standard(path) && io::stdin().is_terminal()
}

/// Opens a file for reading, or standard input for `-`: without a buffer, in which something of a secret could stay.
///
/// # Errors
/// The system's error.
pub fn open(path: &Path) -> io::Result<File> {
    if is_typed(path) {
        // Otherwise nobody sees what it waits for. If standard error is closed, there is nobody to tell.
        let _ = writeln!(io::stderr(), "reading what is typed here, until Ctrl-D …");
    }
    match is_standard(path) {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    }
}

/// Makes a directory that only its owner may enter; parents get the default permissions.
///
/// # Errors
/// The system's error.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Creates a file of mode 0600: writes it beside its place, syncs it, and moves it there.
///
/// # Errors
/// The system's error; `AlreadyExists` if there is a file of that name.
pub fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let (file, directory) = written_beside(path, content)?;
    file.persist_noclobber(path).map_err(|e| e.error)?;
    directory.sync_all()
}

/// As [`create_private`], but replaces an existing file.
///
/// # Errors
/// The system's error.
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let (file, directory) = written_beside(path, content)?;
    file.persist(path).map_err(|e| e.error)?;
    directory.sync_all()
}

/// As [`replace_private`], or writes to standard output for `-`, and to what cannot be replaced.
///
/// # Errors
/// The system's error.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if is_standard(path) {
        let mut output = io::stdout().lock();
        output.write_all(content)?;
        return output.flush();
    }
    if is_written_through(path) {
        return File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(content);
    }
    replace_private(path, content)
}

/// Whether a path leads to something that is written itself: devices and pipes, and what is already open, such as
/// /dev/stdout, even if it is a file. Otherwise root would put a file in the place of a device. (/dev/shm holds files.)
#[must_use]
pub fn is_written_through(path: &Path) -> bool {
    let is_open = (path.starts_with("/dev") && !path.starts_with("/dev/shm")) || path.starts_with("/proc");
    is_open || fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Replaces a file that people have made as they like: a link to it stays a link, and if possible owner, group and
/// permissions stay as they are. Otherwise the file belongs to whoever replaces it, and is private.
///
/// # Errors
/// The system's error, or that root does not follow the link; the former file stays.
pub fn replace_alike(path: &Path, content: &[u8]) -> io::Result<()> {
    let place = followed(path)?;
    let former = fs::symlink_metadata(&place)?;
    let (file, directory) = written_beside(&place, content)?;
    let _ = make_alike(file.as_file(), &former);
    file.persist(&place).map_err(|e| e.error)?;
    directory.sync_all()
}

/// The file to which a link leads; what is no link is the file itself. Root follows no link that another user has made:
/// the owner of a directory could have it replace any file.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_symlink() {
        return Ok(path.to_owned());
    }
    if geteuid().is_root() && found.uid() != 0 {
        let text = "it is a link that another user has made, which root does not follow";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    fs::canonicalize(path)
}

/// Gives a file the owner, group and permissions of the former one. The owner comes first, since changing it clears
/// permissions.
///
/// # Errors
/// The system's error: only root gives files away.
pub fn make_alike(file: &File, former: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
        fchown(file, Some(former.uid()), Some(former.gid()))?;
    }
    file.set_permissions(former.permissions())
}

fn written_beside(path: &Path, content: &[u8]) -> io::Result<(NamedTempFile, File)> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory).map_err(|error| unnamed(&error))?;
    file.as_file_mut().write_all(content)?;
    file.as_file().sync_all()?;
    Ok((file, File::open(directory)?))
}

/// An error about a temporary file without the path of that file, which means nothing to people.
#[must_use]
pub fn unnamed(error: &io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(error.kind(), text.split(" at path ").next().unwrap_or_default())
}

/// Whether anybody but the owner may access the file.
///
/// # Errors
/// The system's error.
pub fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

/// The mode of a file that everybody may read, write or execute; `None` for others. Access by a group is fine, as
/// Debian's `ssl-cert` has it to TLS keys.
///
/// # Errors
/// The system's error.
pub fn open_to_all(path: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    Ok((mode & 0o007 != 0).then_some(mode))
}

/// Reads a file, or standard input for `-`, of at most `limit` bytes that may hold secrets; what was read is wiped when
/// dropped.
///
/// # Errors
/// The system's error; `FileTooLarge` beyond the limit.
pub fn read_secret(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    // The full capacity is allocated at once, so that a growing vector leaves no copies behind. A pipe does not tell
    // its length, so it gets the limit; since the whole capacity is wiped, more than needed would only cost memory.
    let length = if metadata.is_file() { usize::try_from(metadata.len()).unwrap_or(limit) } else { limit };
    let mut content = Zeroizing::new(Vec::with_capacity(length.min(limit) + 1));
    let take = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(take).read_to_end(&mut content)?;
    if content.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_never_overwritten() {
        let directory = tempfile::tempdir().expect("directory");
        let inner = directory.path().join("a/keys");
        make_private_directory(&inner).expect("made");
        make_private_directory(&inner).expect("there already");
        assert_eq!(fs::metadata(&inner).expect("metadata").permissions().mode() & 0o777, 0o700);

        let path = inner.join("k");
        create_private(&path, b"one").expect("written");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
        assert!(!is_open_to_others(&path).expect("metadata"));
        let again = create_private(&path, b"two").expect_err("must not overwrite");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("read"), b"one");
        replace_private(&path, b"three").expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"three");
        assert!(!is_open_to_others(&path).expect("metadata"));
        assert_eq!(fs::read_dir(&inner).expect("listed").count(), 1, "nothing is left behind");
        let nowhere = create_private(&directory.path().join("none/k"), b"one").expect_err("there is no directory");
        let expected = (io::ErrorKind::NotFound, "No such file or directory (os error 2)".to_owned());
        assert_eq!((nowhere.kind(), nowhere.to_string()), expected);
    }

    /// As in `ics sign recall.ics --output /dev/stdout`.
    #[test]
    fn what_is_open_already_is_written_and_no_file_takes_its_place() {
        use std::os::fd::AsRawFd as _;
        let file = NamedTempFile::new().expect("a file");
        let path = PathBuf::from(format!("/dev/fd/{}", file.as_file().as_raw_fd()));
        write_private(&path, b"through").expect("written");
        assert_eq!(fs::read(file.path()).expect("read"), b"through");
        assert!(["/dev/null", "/proc/self/fd/1"].iter().all(|path| is_written_through(Path::new(path))));
        assert!(!is_written_through(file.path()) && !is_written_through(&file.path().join("none")));
        assert!(is_written_through(file.path().parent().expect("a directory")), "which takes nothing");
    }

    #[test]
    fn what_people_have_made_stays_as_they_made_it() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, link) = (directory.path().join("etc.toml"), directory.path().join("ics.toml"));
        fs::write(&path, b"one").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        replace_alike(&link, b"two").expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("metadata").is_symlink());
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 2, "nothing is left behind");
    }

    /// Only root can give a link away, and so try this.
    #[test]
    fn root_follows_no_link_that_another_user_has_made() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, link) = (directory.path().join("others.toml"), directory.path().join("ics.toml"));
        fs::write(&path, b"one").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let is_foreign = std::os::unix::fs::lchown(&link, Some(geteuid().as_raw() + 1), None).is_ok();
        let refused = replace_alike(&link, b"two").err().map(|error| error.kind());
        assert_eq!(refused, is_foreign.then_some(io::ErrorKind::PermissionDenied));
        assert_eq!(fs::read(&path).expect("read"), if is_foreign { b"one" } else { b"two" });
    }

    #[test]
    fn a_group_is_not_all() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("k");
        fs::write(&path, b"secret").expect("written");
        for (mode, found) in [(0o600, None), (0o640, None), (0o660, None), (0o644, Some(0o644)), (0o602, Some(0o602))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(open_to_all(&path).expect("metadata"), found, "{mode:o}");
        }
    }

    #[test]
    fn reading_is_bounded() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("k");
        fs::write(&path, b"12345").expect("written");
        assert_eq!(read_secret(&path, 5).expect("fits").as_slice(), b"12345");
        assert_eq!(read_secret(&path, 4).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
    }
}
