//! The client with which nodes are asked.

use core::net::IpAddr;
use core::time::Duration;

use reqwest::{Client, ClientBuilder, Url};

use super::{ANSWER_SECONDS, CONNECT_SECONDS, SILENCE_SECONDS};

/// A client for asking whoever listens at an address: no redirects, and bounded waiting. The caller adds anything else,
/// such as roots and identities for TLS.
///
/// A node on this machine is asked without the proxy that the environment names: to a proxy the same address means
/// another machine, and what is meant for this one, including tokens, must not reach it.
pub fn client_builder(url: &str) -> ClientBuilder {
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .read_timeout(Duration::from_secs(SILENCE_SECONDS))
        .timeout(Duration::from_secs(ANSWER_SECONDS));
    if is_local(url) { client.no_proxy() } else { client }
}

/// Whether an address leads to the asker's own machine.
#[must_use]
pub fn is_local(url: &str) -> bool {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host == "localhost" || address.is_ok_and(|address| is_here(address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine() {
        for url in [
            "http://127.0.0.1:8470",
            "https://127.8.9.10/ics",
            "http://LOCALHOST:1",
            "http://[::1]:8470/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0:8470",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://192.0.2.1", "http://localhost.example", "https://127.0.0.1.example/", "127.0.0.1", ""] {
            assert!(!is_local(url), "{url}");
        }
    }
}
