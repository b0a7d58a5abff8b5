//! Look-ups the way people do them: by what they can read off a thing, in whatever spelling.

use std::collections::BTreeSet;

use ics_core::gs1::{DigitalLink, Gtin};
use ics_core::limits;
use ics_core::name::Lookup;
use ics_core::record::Record;
use ics_core::vocabulary::Attribute;

use super::read::Records;
use super::thing::Found;
use crate::api::problem::Code;
use crate::app::{App, AppError, Reader};

impl App {
    /// The canonical spelling of what somebody typed, chosen so that something readable is known under it.
    ///
    /// # Errors
    /// When nothing that the reader may read is known under any spelling of it.
    pub fn spelled(&self, reader: Reader, text: &str) -> Result<String, AppError> {
        let text = text.trim();
        for spelling in spellings(text) {
            match self.records(reader, &spelling) {
                Ok(_) => return Ok(spelling),
                Err(error) if matches!(error.code(), Code::UnknownIdentity | Code::MalformedId) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AppError::unknown_identity(text))
    }

    /// The item that a GS1 Digital Link names: the thing that has the serial number as a name, the GTIN as its product
    /// id, and the lot if the link gives one. All of these must match.
    ///
    /// # Errors
    /// As [`App::public_thing`]; also when the link does not name a single item.
    pub fn thing_of_link(&self, reader: Reader, link: &DigitalLink) -> Result<Found, AppError> {
        let unknown = || AppError::unknown_identity(&format!("GTIN {}", link.gtin));
        let serial = link.serial.as_ref().ok_or_else(unknown)?;
        let Records { answers, unheard, .. } = self.records(reader, &format!("serial:{serial}"))?;
        let fits = |record: &Record| {
            let given = |attribute| record.attributes.get(&attribute).into_iter().flatten().map(|given| &given.value);
            given(Attribute::ProductId).any(|value| value.parse::<Gtin>().is_ok_and(|gtin| gtin == link.gtin))
                && link.lot.as_ref().is_none_or(|lot| given(Attribute::Lot).any(|value| value == lot))
        };
        let ids: BTreeSet<_> = answers.iter().filter(|it| fits(&it.record)).map(|it| it.record.identity.id).collect();
        let answers: Vec<_> = answers.into_iter().filter(|it| ids.contains(&it.record.identity.id)).collect();
        if ids.is_empty() { Err(unknown()) } else { self.shown(reader, Records { ids, answers, unheard }) }
    }
}

/// What a text may mean, likeliest first. A bare word is most often a serial number.
fn spellings(text: &str) -> Vec<String> {
    if text.is_empty() || text.len() > limits::NAME_BYTES {
        return Vec::new();
    }
    let mut spellings = Vec::new();
    if text.parse::<Lookup>().is_ok() {
        spellings.push(text.to_owned());
        spellings.extend(serial_of(text).into_iter().flat_map(other_cases));
    } else {
        spellings.extend(hardware_address(text).map(|hex| format!("urn:dev:mac:{hex}")));
        spellings.push(format!("serial:{text}"));
        spellings.push(format!("host:{text}"));
        spellings.push(format!("urn:{text}"));
        spellings.extend(other_cases(text));
    }
    spellings.retain(|spelling| spelling.parse::<Lookup>().is_ok());
    spellings
}

/// The serial number after its scheme.
fn serial_of(text: &str) -> Option<&str> {
    text.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("serial")).map(|(_, serial)| serial)
}

/// A serial number all in capitals and all in lower case, unless it already is. Two things may differ in case alone, so
/// what was typed comes first; but most makers print capitals, and few people type them.
fn other_cases(serial: &str) -> impl Iterator<Item = String> {
    let other = move |spelt: &String| spelt != serial;
    [serial.to_ascii_uppercase(), serial.to_ascii_lowercase()]
        .into_iter()
        .filter(other)
        .map(|serial| format!("serial:{serial}"))
}

/// A MAC-48 or EUI-64 written with separators, in the form of RFC 9039 (4.1): 16 hex digits, the short form padded with
/// `fffe`.
fn hardware_address(text: &str) -> Option<String> {
    let hex: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect::<String>().to_ascii_lowercase();
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match (hex.len(), hex.get(..6), hex.get(6..)) {
        (16, ..) => Some(hex),
        (12, Some(maker), Some(number)) => Some(format!("{maker}fffe{number}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for (typed, expected) in [
            ("serial:SN-1", &["serial:SN-1"][..]),
            ("serial:sn-1", &["serial:sn-1", "serial:SN-1"]),
            ("SN-1", &["serial:SN-1", "host:sn-1", "serial:sn-1"]),
            ("sn-1", &["serial:sn-1", "serial:SN-1"]),
            ("gw4.site.example", &["serial:gw4.site.example", "host:gw4.site.example"]),
            ("00:24:be:80:4f:f1", &["urn:dev:mac:0024befffe804ff1"]),
            ("00-24-BE-FF-FE-80-4F-F1", &["urn:dev:mac:0024befffe804ff1"]),
            ("dev:mac:0024befffe804ff1", &["urn:dev:mac:0024befffe804ff1"]),
            (
                "ABCD 0123 4567 89AB CDEF  0123 4567 89AB CDEF 0123",
                &["ABCD 0123 4567 89AB CDEF  0123 4567 89AB CDEF 0123"],
            ),
            ("two words", &[]),
            ("", &[]),
        ] {
            let found = spellings(typed);
            let canonical =
                |text: &String| text.parse::<ics_core::name::Name>().map_or(text.clone(), |it| it.to_string());
            let found: Vec<String> = found.iter().map(canonical).collect();
            for spelling in expected {
                assert!(found.iter().any(|it| it == spelling), "{typed}: {found:?}");
            }
            assert_eq!(found.is_empty(), expected.is_empty(), "{typed}: {found:?}");
        }
        assert_eq!(spellings("SN-1").first().map(String::as_str), Some("serial:SN-1"), "what was typed comes first");
        assert!(spellings("a-Very-Mixed-Name").len() <= 6, "no more than a few look-ups");
        assert!(spellings(&"x".repeat(limits::NAME_BYTES + 1)).is_empty());
    }
}
