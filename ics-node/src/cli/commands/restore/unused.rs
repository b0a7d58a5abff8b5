//! The one key that was made for a new epoch and has signed nothing yet.
//!
//! Other owners may have to sign the descriptor that names it before the epoch begins, so an attempt leaves the key for
//! the next one. Not every key whose file exists is unused: it may have signed an epoch that was lost without a trace
//! here. So a note is written when the key is made and removed before it signs. The note is left out of backups, or it
//! would come back with one.

use std::fs::{self, File};
use std::io;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::keys::{KeyError, StoredKey, file};

/// The file in the home directory that holds the fingerprint of the key.
const FILE: &str = "unused-key";

/// Whether a new epoch may use a key of that name: there is none, or it has signed nothing.
pub(super) fn may_be_called(context: &Context, name: &str) -> bool {
    match context.keys().find(name) {
        Ok(key) => is_unused(context, &key),
        // An invalid name is refused when the key is made.
        Err(error) => matches!(error, KeyError::Missing { .. } | KeyError::Name(_)),
    }
}

fn is_unused(context: &Context, key: &StoredKey) -> bool {
    let noted = fs::read_to_string(context.home.join(FILE));
    noted.is_ok_and(|noted| noted.trim() == key.fingerprint().to_string())
}

/// Notes that a key was made and has signed nothing.
pub(super) fn note(context: &Context, key: &StoredKey) -> Result<(), Failure> {
    file::replace_private(&context.home.join(FILE), key.fingerprint().to_string().as_bytes()).map_err(failed)
}

/// Removes the note before the key first signs.
pub(super) fn end(context: &Context, key: &StoredKey) -> Result<(), Failure> {
    if !is_unused(context, key) {
        return Ok(());
    }
    fs::remove_file(context.home.join(FILE)).map_err(failed)?;
    File::open(&context.home).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::Local, format!("`{FILE}`: {error}"))
}
