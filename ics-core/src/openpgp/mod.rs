//! The part of OpenPGP (RFC 9580) that the log rests on, in one canonical form.
//!
//! What is read here is frozen for ever by the logs that hold it, so it is our own short code and our own tables, not a
//! library's defaults that move with its version. Arithmetic is done by libraries: ed25519-zebra for Ed25519, sequoia
//! for the rest.
//!
//! The canonical form: binary, packet headers of the new format with the shortest length (RFC 9580, 4.2.1), minimal
//! MPIs, the issuer's fingerprint in the hashed area, nothing in the unhashed area that does not follow from the hashed
//! one, ECDSA with the smaller of the two `s`.
//! [`crate::statement::split`] makes it out of whatever legal OpenPGP arrives.

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
