//! TLS between nodes: identifies a client by the key that it has proved to hold, and makes the node's own certificate.
//!
//! Transport decides who may read and how much; what a statement means rests on its own signature alone. Keys are
//! pinned by their SubjectPublicKeyInfo, so in certificates nothing but the key counts: neither names, nor dates, nor
//! issuers.

mod client;
mod node;
mod pin;
mod server;
mod shown;

pub use client::ClientTls;
pub(crate) use client::{root_cause, stranger_client};
pub use node::{NodeCertificate, NodeCertificateError};
pub use pin::{KeyPin, PeerKey, PeerKeyError};
pub use server::{TlsError, proven_key, server, server_for_programs};
pub use shown::ShownCertificate;
