//! The Unix socket for gateways on this machine.

use std::fs::{Permissions, remove_file, set_permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use crate::config::SocketConfig;

/// Creates the socket with its permissions. A socket left there by a node is replaced; anything else is not.
pub(super) fn bind(config: &SocketConfig) -> io::Result<UnixListener> {
    match symlink_metadata(&config.path) {
        Ok(found) if found.file_type().is_socket() => remove_file(&config.path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&config.path)?;
    set_permissions(&config.path, Permissions::from_mode(config.mode))?;
    Ok(listener)
}
