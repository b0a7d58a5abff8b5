//! What remains of an erased statement beside its leaf.

use super::StatementId;
use crate::identity::IdentityId;

/// The id and the subject of an erased statement. By the id it is never admitted again and others may name it; by the
/// subject a mirror that never saw the body knows about which thing it has not heard everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remnant {
    /// The statement.
    pub statement: StatementId,
    /// What it was about.
    pub identity: IdentityId,
}

/// No header begins with this byte: headers begin with the version of their form, from 1 on.
const MARK: u8 = 0;

impl Remnant {
    /// The form in which a store keeps it in place of the header.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[MARK], self.statement.0.as_slice(), &self.identity.to_tagged_bytes()].concat()
    }

    /// Reads a remnant; `None` if the bytes are a header or anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (statement, identity) = bytes.strip_prefix(&[MARK])?.split_first_chunk()?;
        Some(Self { statement: StatementId(*statement), identity: IdentityId::from_tagged_bytes(identity)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Fingerprint;

    #[test]
    fn a_remnant_is_no_header_and_is_read_as_written() {
        for identity in [
            IdentityId::Key(Fingerprint::V4([4; 20])),
            IdentityId::Key(Fingerprint::V6([6; 32])),
            IdentityId::Software([7; 32]),
            IdentityId::Group([8; 32]),
        ] {
            let remnant = Remnant { statement: StatementId([9; 32]), identity };
            let bytes = remnant.to_bytes();
            assert_eq!(Remnant::from_bytes(&bytes), Some(remnant));
            assert!(crate::log::entry::Header::decode(&bytes).is_err());
            assert_eq!(Remnant::from_bytes(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Remnant::from_bytes(&[]), None);
        assert_eq!(Remnant::from_bytes(&[1, 1, 0, 0]), None);
    }
}
