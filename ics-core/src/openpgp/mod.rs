//! The part of OpenPGP (RFC 9580) that the log rests on, in one canonical form.
//!
//! What is read here is frozen for ever by the logs that hold it, so the code and its tables are short and written
//! here, rather than the defaults of a library, which change with its version. Arithmetic is done by libraries:
//! ed25519-zebra for Ed25519, aws-lc for ECDSA and RSA, sequoia for the rest.
//!
//! The canonical form: binary, packet headers of the new format with the shortest length (RFC 9580, 4.2.1), minimal
//! MPIs, the issuer's fingerprint in the hashed area, nothing in the unhashed area that does not follow from the hashed
//! one, ECDSA with the smaller of the two `s`. [`crate::statement::split`] produces it from whatever legal OpenPGP
//! arrives.

pub mod algorithm;
pub mod certificate;
mod ecdsa;
pub mod ed25519;
mod ed448;
pub mod key;
pub(crate) mod packet;
pub mod possession;
pub mod reader;
mod rsa;
pub mod signature;
pub mod signer;
pub mod spki;
pub(crate) mod subpacket;
pub mod transferable;
pub mod verify;
