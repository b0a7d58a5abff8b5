//! What SWUpdate is about to install: its `sw-description`, which names every file of the update by SHA-256.
//!
//! SWUpdate calls the program given with `-P` after it has verified the signature of the description and before
//! anything is installed; it checks the files against the description itself. So the description identifies the update:
//! its hash is what the developer publishes and the integrator approves. A single file may also be known and blocked on
//! its own. Therefore the whole update is refused if a file might be installed whose hash was not seen.

mod libconfig;
mod named;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Demand, INSTALL, Piece};

pub use named::DescriptionError;

/// The size limit of a description, in bytes.
pub const DESCRIPTION_BYTES: usize = 1 << 20;
/// The name under which SWUpdate stores it, in its directory for temporary files.
const NAME: &str = "sw-description";

/// The path of the description that SWUpdate has verified, when it runs this program.
#[must_use]
pub fn description() -> PathBuf {
    std::env::temp_dir().join(NAME)
}

/// The update itself, and each file that its description names by hash.
///
/// # Errors
/// When the description might name a file that is not recognised.
pub fn pieces(path: &Path, description: &[u8]) -> Result<Vec<Piece>, DescriptionError> {
    let whole = Piece {
        name: path.display().to_string(),
        digest: Sha256::digest(description).into(),
        usage: INSTALL,
        demand: Demand::Allowed,
    };
    let part = |digest| Piece { name: "a file of it".to_owned(), digest, usage: INSTALL, demand: Demand::NotBlocked };
    let parts = named::digests(description)?.into_iter().map(part);
    Ok(core::iter::once(whole).chain(parts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_in_both_forms() {
        let (a, b) = ("ab".repeat(32), "CD".repeat(32));
        let libconfig = format!("files: ({{ filename = \"x\"; sha256 = \"{a}\"; }}, {{ sha256=\"{b}\"; }});");
        let json = format!("{{ \"files\": [ {{ \"sha256\": \"{a}\" }}, {{ \"sha256\" : \"{b}\" }} ] }}");
        for text in [libconfig, json] {
            let pieces = pieces("/tmp/sw-description".as_ref(), text.as_bytes()).expect("understood");
            let parts: Vec<_> = pieces.iter().skip(1).map(|it| (it.digest, it.demand)).collect();
            assert_eq!(parts, [([0xab; 32], Demand::NotBlocked), ([0xcd; 32], Demand::NotBlocked)], "{text}");
        }
    }

    #[test]
    fn the_description_itself_must_be_allowed() {
        let pieces = pieces("/tmp/sw-description".as_ref(), b"software = {}").expect("understood");
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].demand, Demand::Allowed);
        let digest: [u8; 32] = Sha256::digest(b"software = {}").into();
        assert_eq!(pieces[0].digest, digest);
    }
}
