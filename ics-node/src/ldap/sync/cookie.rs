//! Cookies of directories that are kept in step: where in the log of each domain a consumer is.
//!
//! slapd keeps of a cookie only what has the form of change sequence numbers, so that is what they are: for each domain
//! one, whose server id is the domain's number at this node. It holds the time at which the last entry was admitted, the
//! log's size, and a tag over the domain's origin, that size, the root there, and what the search asks for on whose
//! behalf. So a cookie of another log, of another epoch, of another node's numbers or of another search is found out. It
//! authorises nothing: whoever makes one up gets what he may read anyway.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use ics_core::limits;
use ics_core::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::app::Moment;

/// Server ids have three hexadecimal digits.
const SIDS: u32 = 0x1000;
/// What of a size stands in the count of a number; the rest stands in the microseconds.
const COUNT_BITS: u32 = 24;

/// A place in the log of one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) size: u64,
    pub(super) admitted_at: Timestamp,
    tag: u32,
}

/// A cookie, read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::ldap) struct Cookie {
    /// By what the consumer tells its providers apart; it is said again to him.
    pub(super) rid: Option<String>,
    /// By the server id that stands for the domain.
    pub(super) spots: BTreeMap<u32, Spot>,
}

/// The server id of a domain; `None` if there are too many domains at this node.
pub(super) fn sid(moment: &Moment) -> Option<u32> {
    Some(moment.number()).filter(|number| *number < SIDS)
}

impl Spot {
    /// The place at a moment, for a search with this digest.
    pub(super) fn at(moment: &Moment, search: &[u8; 32]) -> Self {
        let (size, admitted_at, origin) = (moment.size(), moment.admitted_at, moment.origin());
        let tagged = [
            b"ics-ldap-cookie\0".as_slice(),
            search,
            &size.to_be_bytes(),
            &moment.root().0,
            &admitted_at.as_millis().to_be_bytes(),
            origin.as_bytes(),
            &moment.filled.to_be_bytes(),
        ];
        let digest: [u8; 32] = Sha256::digest(tagged.concat()).into();
        let [a, b, c, ..] = digest;
        Self { size, admitted_at, tag: u32::from_be_bytes([0, a, b, c]) }
    }

    /// As a change sequence number.
    fn write(&self, sid: u32) -> String {
        number(self.admitted_at, self.size, sid, self.tag)
    }

    fn read(text: &str) -> Option<(u32, Self)> {
        let mut parts = text.split('#');
        let (time, count, sid, tag) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (seconds, micros) = time.strip_suffix('Z')?.split_once('.')?;
        if parts.next().is_some() || seconds.len() != 14 || micros.len() != 6 || !seconds.is_ascii() {
            return None;
        }
        let part = |from: usize, to: usize| seconds.get(from..to).unwrap_or_default();
        let (date, clock) = ([part(0, 4), part(4, 6), part(6, 8)], [part(8, 10), part(10, 12), part(12, 14)]);
        let at = Timestamp::parse(&format!("{}T{}Z", date.join("-"), clock.join(":"))).ok()?;
        let micros = digits(micros, 10)?;
        let size = (micros % 1000) << COUNT_BITS | hex(count, 6)?;
        let tag = u32::try_from(hex(tag, 6)?).ok()?;
        Some((u32::try_from(hex(sid, 3)?).ok()?, Self { size, admitted_at: at.plus_millis(micros / 1000), tag }))
    }
}

/// A change sequence number as OpenLDAP writes it.
fn number(at: Timestamp, size: u64, sid: u32, last: u32) -> String {
    let millis = at.as_millis();
    let time: String = Timestamp::from_seconds(millis / 1000).to_string();
    let time: String = time.chars().filter(char::is_ascii_digit).collect();
    let micros = millis % 1000 * 1000 + (size >> COUNT_BITS) % 1000;
    let count = size % (1 << COUNT_BITS);
    format!("{time}.{micros:06}Z#{count:06x}#{sid:03x}#{last:06x}")
}

/// The `entryCSN` of what a domain says at a moment. slapd takes an entry only if this is greater than what it has, and
/// deletes what is not mentioned in a refresh only if it is no greater than the cookie's: it grows with the log and, by
/// [`Moment::age`], with the time, and stays below the cookie of the same size.
pub(super) fn entry_csn(moment: &Moment) -> Option<String> {
    Some(number(moment.admitted_at, moment.size().saturating_sub(1), sid(moment)?, moment.age()))
}

fn hex(text: &str, length: usize) -> Option<u64> {
    digits(text, 16).filter(|_| text.len() == length)
}

fn digits(text: &str, radix: u32) -> Option<u64> {
    // `from_str_radix` takes a sign as well.
    let all = text.bytes().all(|byte| byte.is_ascii_digit() || radix == 16 && matches!(byte, b'a'..=b'f'));
    u64::from_str_radix(text, radix).ok().filter(|_| all)
}

impl Cookie {
    /// `None`: it is no cookie of this server.
    pub(in crate::ldap) fn read(bytes: &[u8]) -> Option<Self> {
        let mut cookie = Self::default();
        if bytes.is_empty() {
            return Some(cookie);
        }
        let text = core::str::from_utf8(bytes).ok().filter(|text| text.len() <= limits::LDAP_COOKIE_BYTES)?;
        for part in text.split(',') {
            match part.split_once('=')? {
                ("rid", rid) if (1..=3).contains(&rid.len()) && digits(rid, 10).is_some() => {
                    cookie.rid = Some(rid.to_owned());
                }
                ("csn", numbers) => {
                    for number in numbers.split(';') {
                        let (sid, spot) = Spot::read(number)?;
                        if cookie.spots.insert(sid, spot).is_some() {
                            return None;
                        }
                    }
                }
                // What slapd says of itself.
                ("sid" | "delcsn", _) => {}
                _ => return None,
            }
        }
        Some(cookie)
    }

    /// As it travels.
    pub(in crate::ldap) fn write(&self) -> Vec<u8> {
        let mut text = format!("rid={}", self.rid.as_deref().unwrap_or("000"));
        for (position, (sid, spot)) in self.spots.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{}", if position == 0 { ",csn=" } else { ";" }, spot.write(*sid));
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(text: &str) -> Option<Cookie> {
        Cookie::read(text.as_bytes())
    }

    #[test]
    fn cookies_are_read_as_they_are_written() {
        let at = |text: &str| Timestamp::parse(text).expect(text);
        let spots = [
            (1, Spot { size: 1, admitted_at: at("2026-11-26T02:40:00.007Z"), tag: 0 }),
            (0xfff, Spot { size: (999 << 24) + 0xff_ffff, admitted_at: at("2026-01-01T00:00:00Z"), tag: 0xff_ffff }),
        ];
        let written = Cookie { rid: Some("007".to_owned()), spots: spots.into() };
        let text = "rid=007,csn=20261126024000.007000Z#000001#001#000000;20260101000000.000999Z#ffffff#fff#ffffff";
        assert_eq!(String::from_utf8(written.write()).as_deref(), Ok(text));
        assert_eq!(cookie(text), Some(written.clone()));
        assert_eq!(cookie(&text.replace("csn", "sid=001,csn")), Some(written), "as slapd sends it");
        assert_eq!(cookie("rid=001"), Some(Cookie { rid: Some("001".to_owned()), spots: BTreeMap::new() }));
        assert_eq!(cookie(""), Some(Cookie::default()));
    }

    #[test]
    fn numbers_grow_with_the_log() {
        let spot = |size, millis| Spot { size, admitted_at: Timestamp::from_millis(millis), tag: 7 }.write(1);
        let grown = [spot(1, 5), spot(2, 5), spot(0xff_ffff, 5), spot(0x100_0000, 5), spot(0x100_0001, 6)];
        assert!(grown.is_sorted_by(|a, b| a < b), "{grown:?}");
    }

    #[test]
    fn what_is_no_cookie() {
        let good = "rid=001,csn=20261126024000.007000Z#000001#001#000000";
        for (from, to) in [
            ("rid=001", "rid=0001"),
            ("rid=001", "rid=-01"),
            ("rid=001", "colour=red"),
            ("20261126", "20261326"),
            ("20261126", "２0261126"),
            (".007000Z", "Z"),
            ("#000001", "#00001"),
            ("#000001", "#+00001"),
            ("#001#", "#1000#"),
            ("#000000", "#000000#"),
            ("#000000", "#00000g"),
            ("#000000", "#000000;20261126024000.007000Z#000001#001#000000"),
        ] {
            assert!(good.contains(from) && cookie(good).is_some());
            assert_eq!(cookie(&good.replacen(from, to, 1)), None, "{from} {to}");
        }
        assert_eq!(Cookie::read(b"\xff"), None);
        assert_eq!(Cookie::read(&vec![b'x'; limits::LDAP_COOKIE_BYTES + 1]), None);
    }
}
