//! `[[home]]`: a domain that this node sequences.

use std::path::PathBuf;

use ics_core::vocabulary::DomainName;
use serde::Deserialize;
use toml::Spanned;

/// `[[home]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeConfig {
    /// The domain's name.
    pub domain: Spanned<DomainName>,
    /// Its first descriptor, signed by its owners, as `ics domain create` writes it. It founds the log when the node
    /// starts without one; afterwards it is only compared with entry 0 of the log.
    pub descriptor: PathBuf,
}
