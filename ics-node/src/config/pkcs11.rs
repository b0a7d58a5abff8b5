//! `[pkcs11]`: how PKCS#11 tokens are reached.

use std::path::PathBuf;

use serde::Deserialize;

/// `[pkcs11]`. A key in a token is named by a `pkcs11:` URI (RFC 7512), or by the name under which it was adopted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pkcs11Config {
    /// The library that talks to the tokens, for URIs without a `module-path`. It is not looked up in the home
    /// directory: a relative path is resolved by the system's loader.
    pub module: Option<PathBuf>,
}
