//! The LDAP face: the domains of a node as a directory, and the key space of GnuPG.
//!
//! It translates and decides nothing: what a reader may see, and what is admitted, the use cases say. [`session`] is
//! one connection apart from its socket; [`connection`] is the socket. [`search`] walks the tree that [`tree`] names,
//! with entries that [`entry`] makes of what the use cases say; [`filter`] matches them and asks the index.

#[cfg(test)]
mod agreement;
mod ber;
mod connection;
mod control;
mod dn;
mod entry;
mod filter;
mod hot;
mod keyspace;
mod message;
mod paging;
mod schema;
mod search;
mod server;
mod session;
mod tree;
mod work;

pub use server::{LdapError, LdapServer, Settings, serve};
pub use tree::Suffix;
