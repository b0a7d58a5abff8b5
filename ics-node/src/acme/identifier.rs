//! What an order can be for: host names (RFC 8555, 9.7.7) and permanent identifiers of devices
//! (draft-ietf-acme-device-attest).

use ics_core::identity::{IdentityId, excerpt};
use ics_core::name::{Lookup, Name};
use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem};

/// One identifier, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum Identifier {
    /// A host name, in lower case.
    #[serde(rename = "dns")]
    Dns(String),
    /// A URN in the device's record, `urn:dev:…`, or the id of its identity.
    #[serde(rename = "permanent-identifier")]
    Permanent(String),
}

/// An identifier as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Asked {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value.
    pub value: String,
}

impl Identifier {
    /// Reads an identifier that a client sends.
    ///
    /// # Errors
    /// `unsupportedIdentifier` for other types; `rejectedIdentifier` for values that no record can give.
    pub fn read(asked: &Asked) -> Result<Self, Problem> {
        match asked.kind.as_str() {
            "dns" => Self::dns(&asked.value),
            "permanent-identifier" => Self::permanent(&asked.value),
            other => Err(Problem::new(
                Kind::UnsupportedIdentifier,
                format!("`{}`: the types are dns and permanent-identifier", excerpt(other)),
            )),
        }
    }

    /// A host name; addresses and wildcards are refused.
    ///
    /// # Errors
    /// When the value is not a host name.
    pub fn dns(value: &str) -> Result<Self, Problem> {
        match Name::dns(value) {
            Ok(Name::Host(host)) if host.parse::<std::net::IpAddr>().is_err() => Ok(Self::Dns(host.into())),
            _ => Err(rejected(value, "is not a host name; wildcards, IP addresses and a final dot are not accepted")),
        }
    }

    /// A URN, or the id of an identity with a key.
    ///
    /// # Errors
    /// When it is neither.
    pub fn permanent(value: &str) -> Result<Self, Problem> {
        match value.parse::<Lookup>() {
            Ok(Lookup::Name(name @ Name::Urn(_))) => Ok(Self::Permanent(name.to_string())),
            Ok(Lookup::Ids(ids)) => match ids.as_slice() {
                [id @ IdentityId::Key(_)] => Ok(Self::Permanent(id.to_string())),
                _ => Err(rejected(value, "is not the id of a thing that has a key")),
            },
            _ => Err(rejected(value, "is neither a URN nor the id of an identity")),
        }
    }

    /// The identifier with which a name is ordered; `None` if it cannot be ordered.
    #[must_use]
    pub fn of(name: &Name) -> Option<Self> {
        match name {
            Name::Host(host) => Self::dns(host).ok(),
            Name::Urn(_) => Some(Self::Permanent(name.to_string())),
            _ => None,
        }
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Dns(value) | Self::Permanent(value) => value,
        }
    }

    /// The text by which the thing is looked up.
    #[must_use]
    pub fn query(&self) -> String {
        match self {
            Self::Dns(host) => format!("host:{host}"),
            Self::Permanent(value) => value.clone(),
        }
    }

    /// The name that goes into a certificate; `None` for the id of an identity.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.query().parse().ok()
    }
}

impl std::fmt::Display for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.value())
    }
}

fn rejected(value: &str, why: &str) -> Problem {
    Problem::new(Kind::RejectedIdentifier, format!("`{}` {why}", excerpt(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, value: &str) -> Result<Identifier, Kind> {
        let asked = Asked { kind: kind.to_owned(), value: value.to_owned() };
        Identifier::read(&asked).map_err(|error| error.kind)
    }

    #[test]
    fn one_spelling_for_each() {
        assert_eq!(read("dns", "GW.Acme.example"), Ok(Identifier::Dns("gw.acme.example".to_owned())));
        let urn = Identifier::Permanent("urn:dev:os:32473-SN-7".to_owned());
        assert_eq!(read("permanent-identifier", "URN:DEV:os:32473-SN-7"), Ok(urn.clone()));
        assert_eq!(urn.name().map(|name| name.to_string()).as_deref(), Some("urn:dev:os:32473-SN-7"));
        let id = "ab".repeat(20);
        let identity = read("permanent-identifier", &id.to_uppercase()).expect("an id");
        assert_eq!((identity.value(), identity.name()), (id.as_str(), None));
        let json = r#"{"type":"dns","value":"gw.acme.example"}"#;
        assert_eq!(serde_json::to_string(&Identifier::Dns("gw.acme.example".to_owned())).expect("JSON"), json);
    }

    #[test]
    fn what_no_record_gives_is_refused() {
        for (kind, value) in [
            ("dns", "*.acme.example"),
            ("dns", "192.0.2.1"),
            ("dns", "gw..example"),
            ("dns", "gw.example."),
            ("dns", ""),
            ("permanent-identifier", "serial:SN-7"),
            ("permanent-identifier", "host:gw.example"),
            ("permanent-identifier", &format!("sha256:{}", "ab".repeat(32))),
            ("permanent-identifier", "urn:dev:os:a b"),
        ] {
            assert_eq!(read(kind, value), Err(Kind::RejectedIdentifier), "{kind} {value}");
        }
        assert_eq!(read("ip", "192.0.2.1"), Err(Kind::UnsupportedIdentifier));
    }
}
