//! The pages: what a person sees in a browser. They show what the use cases give, and decide nothing.
//!
//! Everything is drawn by the server with maud, which escapes whatever is not marked otherwise; nothing here is marked
//! otherwise but the style sheet's own text. There is no script, no font, no picture from elsewhere, and the content
//! security policy says so to the browser. What others wrote goes through [`parts::theirs`], which makes control
//! characters and marks of direction visible and keeps the text from changing the direction of what surrounds it.

mod operator;
mod parts;
pub(crate) mod report;
mod shell;
mod thing;
mod visitor;
mod what;

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

pub use operator::{login, operations};
pub use report::inventory;
pub use shell::Site;
pub use thing::thing;
pub use visitor::{home, nothing, refused, several};

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");
/// The icon in the browser's tab.
pub const ICON: &str = include_str!("icon.svg");

/// Nothing but the node's own style sheet and icon; forms go to the node; nobody frames the pages.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// The path of the style sheet. It holds its digest, so that a browser may keep it for ever.
pub static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(STYLE.as_bytes());
    format!("/style/{}.css", BASE64URL_NOPAD.encode(digest.get(..9).unwrap_or_default()))
});

/// What stands for itself in a path: RFC 3986's unreserved characters, and those of `pchar` that names are full of.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b',').remove(b'=');

/// A text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// The path of a thing's page.
#[must_use]
pub fn path_of(query: &str) -> String {
    format!("/id/{}", segment(query))
}

#[cfg(test)]
mod tests;
