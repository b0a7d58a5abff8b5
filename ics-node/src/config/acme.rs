//! `[acme]`: the ACME server for the domains that issue certificates here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::acme::authorization::Method;

/// `[acme]`. If absent, there is no ACME server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeConfig {
    /// How a client may prove a host name to which the record gives it no right: `http-01`, `tls-alpn-01`. None by
    /// default: then the record alone decides.
    pub challenges: BTreeSet<Method>,
    /// The networks in which the node looks for answers to challenges. If none are given, public addresses only.
    pub networks: Vec<Network>,
    /// Addresses of host names that no name server knows.
    pub hosts: BTreeMap<String, IpAddr>,
    /// The port of http-01, 80 by default; another one only makes sense behind a forwarded port.
    pub http_port: u16,
    /// The port of tls-alpn-01, 443 by default.
    pub tls_port: u16,
    /// Orders that one holder may place in an hour with all accounts together, including refused ones; 300 by default.
    pub orders_per_hour: u64,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        Self {
            challenges: BTreeSet::new(),
            networks: Vec::new(),
            hosts: BTreeMap::new(),
            http_port: 80,
            tls_port: 443,
            orders_per_hour: 300,
        }
    }
}

impl AcmeConfig {
    /// Whether the node may look for an answer at an address.
    #[must_use]
    pub fn may_ask(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.networks.is_empty() {
            is_public(address)
        } else {
            self.networks.iter().any(|network| network.holds(address))
        }
    }
}

/// Addresses with a common prefix: `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = u32::from(own) ^ u32::from(other);
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or_default() == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = u128::from(own) ^ u128::from(other);
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or_default() == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not a network such as 10.0.0.0/8");
        let (address, bits) = text.split_once('/').ok_or_else(form)?;
        let (address, bits): (IpAddr, u8) = address.parse().ok().zip(bits.parse().ok()).ok_or_else(form)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits <= most { Ok(Self { address, bits }) } else { Err(form()) }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether an address is public, so that the node cannot be made to reach what only it can reach (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let special = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_documentation();
            let [first, second, third, _] = address.octets();
            // "This network", shared addresses, protocol assignments, benchmarking, reserved.
            let other = first == 0
                || (first == 100 && second & 0xc0 == 64)
                || (first == 192 && second == 0 && third == 0)
                || (first == 198 && second & 0xfe == 18)
                || first >= 240;
            !special && !other && address != Ipv4Addr::UNSPECIFIED
        }
        // Global unicast is 2000::/3; within it, documentation, 6to4 and Teredo lead elsewhere.
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && first != 0x2002 && !(first == 0x2001 && (second == 0 || second == 0xdb8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_hold_what_begins_alike() {
        let network = |text: &str| text.parse::<Network>().expect("a network");
        assert!(
            network("10.0.0.0/8").holds(address("10.255.0.1")) && !network("10.0.0.0/8").holds(address("11.0.0.1"))
        );
        assert!(network("0.0.0.0/0").holds(address("192.0.2.1")) && !network("0.0.0.0/0").holds(address("::1")));
        assert!(network("127.0.0.1/32").holds(address("127.0.0.1")));
        assert!(!network("127.0.0.1/32").holds(address("127.0.0.2")));
        assert!(network("2001:db8::/32").holds(address("2001:db8::1")) && !network("::/1").holds(address("8000::")));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/x"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_public_addresses_are_asked_unless_told() {
        let config = AcmeConfig::default();
        for public in ["9.9.9.9", "2620:fe::9", "192.1.0.1"] {
            assert!(config.may_ask(address(public)), "{public}");
        }
        for inner in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "ff02::1",
        ] {
            assert!(!config.may_ask(address(inner)), "{inner}");
        }
        let config = AcmeConfig { networks: vec!["127.0.0.0/8".parse().expect("a network")], ..config };
        assert!(config.may_ask(address("::ffff:127.0.0.1")) && !config.may_ask(address("9.9.9.9")));
    }
}
