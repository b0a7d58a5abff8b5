//! What SWUpdate is about to install: its `sw-description`, which names every file of the update by its SHA-256.
//!
//! SWUpdate calls the program of `-P` once it has verified the signature of the description, and before anything is
//! installed; it checks the files against the description itself. So the description is what an update is: its hash is
//! what the developer publishes and the integrator approves. A file of it may be known by itself, and blocked by itself.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Demand, INSTALL, Piece};

/// Bytes of a description.
pub const DESCRIPTION_BYTES: usize = 1 << 20;
/// Where SWUpdate leaves it, in its directory for temporary files.
const NAME: &str = "sw-description";

/// The description that SWUpdate has verified, where it runs this program.
#[must_use]
pub fn description() -> PathBuf {
    std::env::temp_dir().join(NAME)
}

/// The update itself, and each file that its description names by hash.
#[must_use]
pub fn pieces(path: &Path, description: &[u8]) -> Vec<Piece> {
    let whole = Piece {
        name: path.display().to_string(),
        digest: Sha256::digest(description).into(),
        usage: INSTALL,
        demand: Demand::Allowed,
    };
    let part = |digest| Piece { name: "a file of it".to_owned(), digest, usage: INSTALL, demand: Demand::NotBlocked };
    core::iter::once(whole).chain(digests(description).into_iter().map(part)).collect()
}

/// Every SHA-256 that stands behind the word `sha256`, in libconfig's form and in JSON's. What is found too much does no
/// harm: it can only be blocked.
fn digests(description: &[u8]) -> Vec<[u8; 32]> {
    let text = String::from_utf8_lossy(description);
    let value = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "\":=@".contains(c));
        let hex = rest.get(..64)?.to_ascii_lowercase();
        let digest = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
        <[u8; 32]>::try_from(digest).ok()
    };
    let mut digests: Vec<[u8; 32]> = text.split("sha256").skip(1).filter_map(value).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_in_both_forms() {
        let (a, b) = ("ab".repeat(32), "CD".repeat(32));
        let libconfig =
            format!("files: ({{ filename = \"x\"; sha256 = \"{a}\"; }}, {{ sha256=\"{b}\"; sha256 = \"12\"; }});");
        let json = format!("{{ \"files\": [ {{ \"sha256\": \"{a}\" }}, {{ \"sha256\" : \"{b}\" }} ] }}");
        for text in [libconfig, json] {
            assert_eq!(digests(text.as_bytes()), [[0xab; 32], [0xcd; 32]], "{text}");
        }
    }

    #[test]
    fn the_description_itself_must_be_allowed() {
        let pieces = pieces("/tmp/sw-description".as_ref(), b"software = {}");
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].demand, Demand::Allowed);
        let digest: [u8; 32] = Sha256::digest(b"software = {}").into();
        assert_eq!(pieces[0].digest, digest);
    }
}
