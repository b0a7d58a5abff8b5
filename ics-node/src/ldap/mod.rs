//! The LDAP face: the domains of a node as a directory, and the key space of GnuPG.
//!
//! It translates and decides nothing: the use cases say what a reader may see and what is admitted. [`session`] is one
//! connection without its socket; [`connection`] is the socket. [`search`] walks the tree that [`tree`] names, with
//! entries that [`entry`] makes of what the use cases return; [`filter`] matches them and plans how the index finds
//! them. [`sync`] keeps copies in step (RFC 4533).

#[cfg(test)]
mod agreement;
mod connection;
mod control;
pub mod decode;
mod dn;
mod encode;
mod entry;
mod filter;
mod hot;
mod keyspace;
mod looked;
mod message;
mod named;
mod paging;
mod places;
mod rests;
mod schema;
mod search;
mod server;
mod session;
mod sync;
mod tree;
mod work;
mod write;

use ics_sync::ber;
pub use server::{LdapError, LdapServer, Settings, serve};
pub use tree::Suffix;
