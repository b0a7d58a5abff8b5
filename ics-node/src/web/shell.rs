//! The frame of every page.

use maud::{DOCTYPE, Markup, html};

use super::STYLE_PATH;
use super::parts::dotted;

/// The node whose pages these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// The URL at which others reach it, without a trailing slash.
    pub url: String,
}

/// A whole page. `about` goes into its title, before the node's name.
pub(super) fn page(site: &Site, about: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { (about) " · " (site.name) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href=(*STYLE_PATH);
            }
            body {
                a .skip href="#main" { "To the content" }
                header .top {
                    a .node href="/" aria-label={ "Look something up at " (site.name) } {
                        svg viewBox="0 0 32 32" aria-hidden="true" focusable="false" {
                            path .shield d="M16 1l13 5v9c0 8-5.5 13-13 16C8.5 28 3 23 3 15V6z" {}
                            path .tick d="M9.5 16l4.5 4.5 8.5-8.5" {}
                        }
                        span { (dotted(&site.name)) }
                    }
                    a .lookup href="/" { "Look up" }
                }
                main #main { (main) }
                footer .bottom {
                    p {
                        "This page shows what signed statements say. "
                        "The signatures are the authority, not this page: anybody can check them without it."
                    }
                    nav aria-label="More" {
                        a href="/openapi.json" { "API" }
                        a href="/operator" { "For the operator" }
                    }
                }
            }
        }
    }
}
