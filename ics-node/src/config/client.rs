//! `[client]`: what the command line assumes where it is not told.

use std::path::PathBuf;

use ics_core::vocabulary::{DomainName, Role};
use serde::Deserialize;

use super::Url;

/// `[client]`. Whatever is absent must be given with each command that needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// The node that commands talk to; `--node` overrides it. Absent: the node of this home directory.
    pub node: Option<Url>,
    /// The file with the operator's token of that node. Absent: that of `[node]`, if the node is that one: by the address of
    /// `[node]`, or by one of this machine.
    pub operator_token_file: Option<PathBuf>,
    /// The domain that statements are made for; `--domain` overrides it.
    pub domain: Option<DomainName>,
    /// The secret key that signs, by name; `--signer` overrides it.
    pub signer: Option<String>,
    /// The role in which it speaks; `--role` overrides it.
    pub role: Option<Role>,
}
