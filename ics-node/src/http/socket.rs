//! The Unix socket for gateways on this machine.

use std::fs::{Permissions, remove_file, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::SocketConfig;

/// Creates the socket with its permissions. A socket left there by a node is replaced; one at which somebody listens is
/// not, nor is anything else.
pub(super) fn bind(config: &SocketConfig) -> io::Result<UnixListener> {
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
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "something else").expect("written");
        assert_eq!(bind(&config).expect_err("it stays").kind(), ErrorKind::AlreadyExists);
    }
}
