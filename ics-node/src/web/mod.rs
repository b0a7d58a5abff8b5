//! The pages: what people see in a browser. They show what the use cases return, and decide nothing.
//!
//! Everything is rendered by the server with maud, which escapes all text not marked as pre-escaped; nothing is so
//! marked except constant text such as style sheets. There is no script, no font and no image from elsewhere, and the
//! content security policy tells the browser so. Text written by others goes through [`parts::theirs`], which makes
//! control and direction characters visible and keeps the text from changing the direction of its surroundings.

mod advice;
mod operator;
mod parts;
mod register;
pub(crate) mod report;
mod shell;
mod thing;
mod visitor;
mod what;

use data_encoding::BASE64URL_NOPAD;
use ics_core::vocabulary::DomainName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

pub use operator::{login, operations};
pub use register::register;
pub use report::inventory;
pub use shell::Site;
pub use thing::thing;
pub use visitor::{home, nothing, refused, several};

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");
/// The icon in the browser's tab.
pub const ICON: &str = include_str!("icon.svg");

/// Allows only the node's own style sheet and icon; forms may be sent to the node only; nobody may frame the pages.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// The path of the style sheet. It contains its digest, so that browsers may keep it for ever.
pub static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(STYLE.as_bytes());
    format!("/style/{}.css", BASE64URL_NOPAD.encode(digest.get(..9).unwrap_or_default()))
});

/// Characters that need no escape in a path: RFC 3986's unreserved ones, and those of `pchar` that are common in names.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b',').remove(b'=');

/// Escapes a text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// The path of a thing's page.
#[must_use]
pub fn path_of(query: &str) -> String {
    format!("/id/{}", segment(query))
}

/// The path of the page that lists what a domain speaks of, or only what has a label there or is of a lot; `after` is
/// where it begins.
#[must_use]
pub fn register_of(domain: &DomainName, label: Option<&str>, lot: Option<&str>, after: Option<u64>) -> String {
    format!("/domain/{domain}{}", query(label, lot, after))
}

/// The query of a listing's address, with what is given.
fn query(label: Option<&str>, lot: Option<&str>, after: Option<u64>) -> String {
    let after = after.map(|after| after.to_string());
    let parts = [("label", label), ("lot", lot), ("after", after.as_deref())];
    let given = parts.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment((*value)?))));
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}

#[cfg(test)]
mod tests;
