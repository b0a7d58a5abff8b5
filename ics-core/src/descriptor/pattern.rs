//! Patterns of names that a role may give.

use super::Problem;
use crate::identity::excerpt;
use crate::limits;
use crate::name::Name;

/// Why a text is not a pattern of names; `None` if it is one.
pub(super) fn refused(text: &str) -> Option<Problem> {
    if is_pattern(text) {
        return None;
    }
    // Neither host names nor IPv4 addresses contain a colon.
    let is_of_addresses = text.contains('*') && text.strip_prefix("host:").is_some_and(|host| host.contains(':'));
    let problem = if is_of_addresses { Problem::AddressPattern } else { Problem::Pattern };
    Some(problem(excerpt(text)))
}

/// Whether a text is a pattern that some canonical name fits: `*`, or a name in which one `*` stands for a run of
/// characters. A pattern that no name can fit would be an entitlement that silently gives nothing.
fn is_pattern(text: &str) -> bool {
    match text.split_once('*') {
        None => is_canonical(text),
        Some(("", "")) => true,
        Some((head, tail)) => {
            !tail.contains('*')
                && text.len() <= limits::NAME_BYTES
                && fillings(text).any(|filling| is_canonical(&format!("{head}{filling}{tail}")))
        }
    }
}

/// Runs of characters, one of which turns nearly every pattern that a name can fit into a name: a digit, as at the end
/// of IPv6 addresses; a letter, as in host names; a URN's namespace; the rest of an IPv6 address; the rest of a whole
/// URN; and the missing digits of a digest.
fn fillings(pattern: &str) -> impl Iterator<Item = String> {
    let digits = pattern.split_once(':').map_or(0, |(_, value)| 65_usize.saturating_sub(value.len()));
    ["0", "a", "aa", ":a", "aa:0"].map(str::to_owned).into_iter().chain(["0".repeat(digits)])
}

fn is_canonical(text: &str) -> bool {
    text.parse::<Name>().is_ok_and(|name| name.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_a_name_can_fit() {
        let digest = "ab".repeat(32);
        for text in [
            "*",
            "urn:*",
            "urn:dev:*",
            "urn:*:32473",
            "urn:dev:os:32473-*",
            "urn:dev:mac:0024be*",
            "serial:SN-*-A",
            "serial:*",
            "host:*.acme.example",
            "host:gateway-*",
            "host:*",
            "host:10.0.0.*",
            "host:2001:db8::*",
            "host:2001:db8:*",
            "spki:*",
            "spki:ab*",
            &format!("cert:{digest}"),
        ] {
            assert!(is_pattern(text), "{text}");
        }
    }

    #[test]
    fn patterns_that_no_name_fits() {
        for text in [
            "",
            "**",
            "serial:*-*",
            "acme-*",
            "*:x",
            "URN:dev:*",
            "urn:DEV:*",
            "host:*.ACME.example",
            "serial:a b*",
            "ftp:*",
            "spki:xyz*",
            "cert:12",
            &format!("serial:{}*", "x".repeat(limits::NAME_BYTES)),
        ] {
            assert!(!is_pattern(text), "{text}");
        }
    }

    /// The network 2001:db8:0::/48 also begins with `2001:db8::`, so a text that names it would miss half of it.
    #[test]
    fn what_is_no_pattern_of_addresses_says_what_helps() {
        for text in ["host:2001:db8:0:*", "host:2001:DB8:*", "host:2001:0db8:*", "host:*:0:1"] {
            assert_eq!(refused(text), Some(Problem::AddressPattern(text.to_owned())), "{text}");
        }
        let said = refused("host:2001:db8:0:*").expect("refused").to_string();
        assert!(said.contains("RFC 5952") && said.contains("`host:*.acme.example`"), "{said}");
        for text in ["host:2001:0db8::1", "host:a b*", "serial:*:*"] {
            assert_eq!(refused(text), Some(Problem::Pattern(text.to_owned())), "{text}");
        }
        for text in ["host:2001:db8:*", "host:2001:db8::1", "host:*"] {
            assert_eq!(refused(text), None, "{text}");
        }
    }
}
