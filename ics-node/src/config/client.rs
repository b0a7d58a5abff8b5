//! `[client]`: the defaults of the command line.

use std::path::PathBuf;

use ics_core::vocabulary::{DomainName, Role};
use serde::Deserialize;

use super::Url;

/// `[client]`. What is absent must be given with each command that needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// The node that commands talk to; `--node` overrides it. If absent, the node of this home directory.
    pub node: Option<Url>,
    /// The file with the operator's token of that node. If absent, that of `[node]`, if it is the same node: by the
    /// address of `[node]`, or by one of this machine.
    pub operator_token_file: Option<PathBuf>,
    /// The domain in which statements are made; `--domain` overrides it.
    pub domain: Option<DomainName>,
    /// The secret key that signs, by name; `--signer` overrides it.
    pub signer: Option<String>,
    /// The role in which it speaks; `--role` overrides it.
    pub role: Option<Role>,
}
