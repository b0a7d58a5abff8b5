//! Encodes entries with the attributes that a search asks for.

use super::entry::{AS_OF, Entry, as_of_attributes};
use super::schema::{self, Attribute};
use super::{ber, message};
use crate::api::AsOf;
use crate::app::DomainNumber;

/// Which attributes of entries a search asks for (RFC 4511, 4.5.1.8; RFC 3673).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection {
    user: bool,
    operational: bool,
    named: Vec<&'static Attribute>,
    types_only: bool,
}

impl Selection {
    pub(super) fn new(names: &[String], types_only: bool) -> Self {
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let mut named: Vec<&'static Attribute> = Vec::new();
        for attribute in names.iter().filter_map(|name| schema::attribute(name)) {
            // A client may name the same attribute a thousand times.
            if !named.contains(&attribute) {
                named.push(attribute);
            }
        }
        Self { user: names.is_empty() || has("*"), operational: has("+"), named, types_only }
    }

    fn wants(&self, attribute: &'static Attribute) -> bool {
        let sort = if attribute.operational { self.operational } else { self.user };
        sort || self.named.contains(&attribute)
    }

    /// Whether the bodies of statements are asked for.
    pub(super) fn wants_bodies(&self) -> bool {
        self.wants(&schema::BODY)
    }

    /// Whether all of the [`AS_OF`] attributes are asked for, or none; `None` if only some, or only their types.
    pub(super) fn wants_as_of(&self) -> Option<bool> {
        match AS_OF.iter().filter(|attribute| self.wants(attribute)).count() {
            0 => Some(false),
            all if all == AS_OF.len() && !self.types_only => Some(true),
            _ => None,
        }
    }
}

/// A search result entry (RFC 4511, 4.5.2) as bytes. The attributes that say how fresh it is are kept apart, so that
/// the rest can be remembered for longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    /// The whole operation; or, if there is a gap, the name followed by the attributes.
    bytes: Vec<u8>,
    gap: Option<Gap>,
}

/// Where the freshness attributes are inserted: the domain they are about, the end of the name, and their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    domain: DomainNumber,
    name: usize,
    at: usize,
}

impl Encoded {
    /// Encodes an entry; also returns what goes into its gap.
    pub(super) fn new(entry: &Entry, selection: &Selection) -> (Self, Vec<u8>) {
        let Some(domain) = entry.dated.filter(|_| selection.wants_as_of() == Some(true)) else {
            return (Self::whole(encode(entry, selection)), Vec::new());
        };
        let (mut bytes, mut dated) = (Vec::with_capacity(1024), Vec::new());
        ber::primitive(&mut bytes, ber::OCTETS, entry.dn.as_bytes());
        let (name, mut at) = (bytes.len(), bytes.len());
        for (attribute, values) in entry.attributes.iter().filter(|(attribute, _)| selection.wants(attribute)) {
            if AS_OF.contains(attribute) {
                write_attribute(&mut dated, attribute, values);
                at = bytes.len();
            } else {
                write_attribute(&mut bytes, attribute, values);
            }
        }
        (Self { bytes, gap: Some(Gap { domain, name, at }) }, dated)
    }

    /// An operation without a gap.
    pub(super) const fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes, gap: None }
    }

    /// The domain whose freshness goes into the gap.
    pub(super) fn domain(&self) -> Option<DomainNumber> {
        self.gap.map(|gap| gap.domain)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes it as a message with `dated` in the gap.
    pub(super) fn write(&self, out: &mut Vec<u8>, id: i32, dated: &[u8]) {
        let Some(Gap { name, at, .. }) = self.gap else { return message::write(out, id, &self.bytes, &[]) };
        let part = |from: usize, to: usize| self.bytes.get(from..to).unwrap_or_default();
        ber::element(out, ber::SEQUENCE, |out| {
            ber::integer(out, ber::INTEGER, i64::from(id));
            ber::element(out, SEARCH_ENTRY, |out| {
                out.extend_from_slice(part(0, name));
                ber::element(out, ber::SEQUENCE, |out| {
                    out.extend_from_slice(part(name, at));
                    out.extend_from_slice(dated);
                    out.extend_from_slice(part(at, self.bytes.len()));
                });
            });
        });
    }
}

/// What goes into the gap of an entry of a domain with this `as_of`.
pub(super) fn dated(as_of: &AsOf) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    as_of_attributes(as_of).iter().for_each(|(attribute, values)| write_attribute(&mut out, attribute, values));
    out
}

const SEARCH_ENTRY: u8 = 0x64;

/// Encodes an entry as the operation of a message: `SearchResultEntry` (RFC 4511, 4.5.2).
pub(super) fn encode(entry: &Entry, selection: &Selection) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    ber::element(&mut out, SEARCH_ENTRY, |out| {
        ber::primitive(out, ber::OCTETS, entry.dn.as_bytes());
        ber::element(out, ber::SEQUENCE, |out| {
            for (attribute, values) in entry.attributes.iter().filter(|(attribute, _)| selection.wants(attribute)) {
                let shown = if selection.types_only { &[] } else { values.as_slice() };
                write_attribute(out, attribute, shown);
            }
        });
    });
    out
}

fn write_attribute(out: &mut Vec<u8>, attribute: &Attribute, values: &[Vec<u8>]) {
    ber::element(out, ber::SEQUENCE, |out| {
        ber::primitive(out, ber::OCTETS, attribute.name().as_bytes());
        ber::element(out, ber::SET, |out| {
            values.iter().for_each(|value| ber::primitive(out, ber::OCTETS, value));
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_as_clients_select_them() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let selection = Selection::new(&names, false);
            [&schema::STATUS, &schema::KIND, &schema::ENTRY_UUID].map(|attribute| selection.wants(attribute))
        };
        assert_eq!(names(&[]), [true, true, false]);
        assert_eq!(names(&["*", "+"]), [true, true, true]);
        assert_eq!(names(&["+"]), [false, false, true]);
        assert_eq!(names(&["ICSstatus", "entryuuid", "nothing"]), [true, false, true]);
        assert_eq!(names(&["1.1"]), [false, false, false]);
        assert_eq!(names(&["1.1", "icsKind"]), [false, true, false]);
    }
}
