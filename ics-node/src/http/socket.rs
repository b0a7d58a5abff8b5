//! The Unix socket for gateways on this machine.

use std::fs::{Permissions, remove_file, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

use super::server::ServeError;
use crate::config::SocketConfig;

/// Listens at the socket.
///
/// # Errors
/// When something else is there, another program listens, or it cannot be made.
pub(super) fn listen(config: &SocketConfig) -> Result<UnixListener, ServeError> {
    bind(config).map_err(|source| failed(&config.path, geteuid().as_raw(), source))
}

/// The error about a socket; `own` is the id of this node's user. Only root replaces what another user has left.
fn failed(path: &Path, own: u32, source: io::Error) -> ServeError {
    let path = path.to_owned();
    let found = symlink_metadata(&path).ok().filter(|found| found.file_type().is_socket());
    match found.map(|found| found.uid()).filter(|user| *user != own) {
        Some(user) if source.kind() == ErrorKind::PermissionDenied => ServeError::SocketOfAnother { path, user },
        _ => ServeError::Socket { path, source },
    }
}

/// Creates the socket with its permissions. A socket left there by a node is replaced; one at which somebody listens is
/// not, nor is anything else.
fn bind(config: &SocketConfig) -> io::Result<UnixListener> {
    match symlink_metadata(&config.path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "something else is there"));
        }
        Ok(_) if is_in_use(&config.path)? => {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there"));
        }
        Ok(_) => remove_file(&config.path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&config.path)?;
    set_permissions(&config.path, Permissions::from_mode(config.mode))?;
    Ok(listener)
}

/// Whether somebody listens at a socket, even if so many wait there that nobody else can at the moment.
fn is_in_use(path: &Path) -> io::Result<bool> {
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_at_which_nobody_listens_is_replaced() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("ics.sock");
        let config = SocketConfig { path: path.clone(), mode: 0o660 };
        let first = bind(&config).expect("nothing is there");
        assert_eq!(bind(&config).expect_err("a node listens there").kind(), ErrorKind::AddrInUse);
        // Its node was killed.
        drop(first);
        assert!(path.exists());
        drop(bind(&config).expect("replaced"));
        let own = geteuid().as_raw();
        let denied = |own: u32| failed(&path, own, ErrorKind::PermissionDenied.into());
        assert!(matches!(denied(own + 1), ServeError::SocketOfAnother { user, .. } if user == own));
        assert!(matches!(denied(own), ServeError::Socket { .. }), "its directory takes no socket of ours");
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(denied(own + 1), ServeError::Socket { .. }), "nothing is there");
        std::fs::write(&path, "something else").expect("written");
        assert_eq!(bind(&config).expect_err("it stays").kind(), ErrorKind::AlreadyExists);
    }
}
