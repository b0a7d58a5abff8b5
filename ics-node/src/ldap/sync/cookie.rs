//! Cookies of directories that are kept in step: the place of a consumer in the log of each domain.
//!
//! Of a cookie, slapd keeps only what has the form of change sequence numbers (CSNs), and per server id only numbers
//! that grow. So each domain has two CSNs; their server ids are the domain's number at this node, and the same with the
//! highest bit set. The first is the state: when the last entry was admitted, the log's size, and the steps of time
//! since. Entries carry the CSN of their state as `entryCSN`: slapd accepts them only if it is greater than what it
//! has, and deletes what a refresh does not mention only if it is not greater than the cookie's. The second holds a tag
//! over the domain's origin, the size, the root at that size, and what the search asks for and on whose behalf. So a
//! cookie of another log, another epoch, another node's numbers or another search is detected. The tag authorizes
//! nothing: whoever forges a cookie gets only what they may read anyway.
//!
//! Keys in GnuPG's key space belong to all domains at once. They have a server id of their own, whose place follows
//! from the places of the domains: when the last entry in any of them was admitted, and their total size.

use std::collections::BTreeMap;

use ics_core::limits;
use ics_core::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::app::{Moment, age_at, millis_of};

/// Server ids have three hexadecimal digits; the highest bit distinguishes tags from states.
const TAG: u32 = 0x800;
/// The server id of the key space.
pub(super) const KEYS: u32 = TAG - 1;
/// The low bits of a size, which a CSN's count holds; the rest goes into its microseconds.
const COUNT_BITS: u32 = 24;

/// A place in the log of one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) size: u64,
    pub(super) admitted_at: Timestamp,
    /// Steps of time since then.
    pub(super) age: u32,
    tag: u32,
}

/// A decoded cookie.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::ldap) struct Cookie {
    /// The id by which the consumer tells its providers apart; it is echoed.
    pub(super) rid: Option<String>,
    /// By the server id that stands for the domain.
    pub(super) spots: BTreeMap<u32, Spot>,
}

/// The server id of a domain; `None` if this node has too many domains.
pub(super) fn sid(moment: &Moment) -> Option<u32> {
    Some(moment.number()).filter(|number| *number < KEYS)
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
        Self { size, admitted_at, age: moment.age(), tag: u32::from_be_bytes([0, a, b, c]) }
    }

    /// The same place at a later time, to which nothing was added since.
    pub(super) fn aged(self, now: Timestamp) -> Self {
        Self { age: self.age.max(age_at(self.admitted_at, now)), ..self }
    }

    /// The place of the key space when the domains are at these places.
    pub(super) fn of_keys(domains: impl IntoIterator<Item = Self>) -> Self {
        let mut keys = Self { size: 0, admitted_at: Timestamp::default(), age: 0, tag: 0 };
        let mut hasher = Sha256::new_with_prefix(b"ics-ldap-keys\0");
        for spot in domains {
            hasher.update(spot.tag.to_be_bytes());
            keys.size += spot.size;
            // The age is that of the last entry: it starts anew with a newer one.
            (keys.admitted_at, keys.age) = (keys.admitted_at, keys.age).max((spot.admitted_at, spot.age));
        }
        let [a, b, c, ..]: [u8; 32] = hasher.finalize().into();
        Self { tag: u32::from_be_bytes([0, a, b, c]), ..keys }
    }

    /// Whether both are the same place in one log for one search, whatever their age.
    pub(super) fn fits(&self, other: &Self) -> bool {
        (self.size, self.admitted_at, self.tag) == (other.size, other.admitted_at, other.tag)
    }

    /// Whether it comes after another place, in slapd's order.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        (self.admitted_at, self.size, self.age) > (other.admitted_at, other.size, other.age)
    }

    /// The CSN of the state, which is the `entryCSN` of the entries that belong to it.
    pub(super) fn state(&self, sid: u32) -> String {
        let micros = (self.size >> COUNT_BITS) % 1000;
        number(self.admitted_at, micros, self.size % (1 << COUNT_BITS), sid, self.age)
    }

    /// The CSN that holds the tag; it grows with the time of the state, and within a millisecond with the log.
    fn tagged(&self, sid: u32) -> String {
        let at = self.admitted_at.plus_millis(millis_of(self.age));
        number(at, self.size % 1000, u64::from(self.tag), sid | TAG, 0)
    }
}

/// A decoded CSN.
struct Number {
    at: Timestamp,
    micros: u64,
    count: u64,
    sid: u32,
    last: u32,
}

impl Number {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('#');
        let (time, count, sid, last) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (seconds, micros) = time.strip_suffix('Z')?.split_once('.')?;
        if parts.next().is_some() || seconds.len() != 14 || micros.len() != 6 || !seconds.is_ascii() {
            return None;
        }
        let part = |from: usize, to: usize| seconds.get(from..to).unwrap_or_default();
        let (date, clock) = ([part(0, 4), part(4, 6), part(6, 8)], [part(8, 10), part(10, 12), part(12, 14)]);
        let at = Timestamp::parse(&format!("{}T{}Z", date.join("-"), clock.join(":"))).ok()?;
        let micros = digits(micros, 10)?;
        let small = |text: &str, length: usize| u32::try_from(hex(text, length)?).ok();
        Some(Self {
            at: at.plus_millis(micros / 1000),
            micros: micros % 1000,
            count: hex(count, 6)?,
            sid: small(sid, 3)?,
            last: small(last, 6)?,
        })
    }
}

/// Formats a CSN as OpenLDAP does.
fn number(at: Timestamp, micros: u64, count: u64, sid: u32, last: u32) -> String {
    let millis = at.as_millis();
    let time: String = Timestamp::from_seconds(millis / 1000).to_string();
    let time: String = time.chars().filter(char::is_ascii_digit).collect();
    let micros = millis % 1000 * 1000 + micros;
    format!("{time}.{micros:06}Z#{count:06x}#{sid:03x}#{last:06x}")
}

/// The `entryCSN` of what a domain says at a moment.
pub(super) fn entry_csn(moment: &Moment) -> Option<String> {
    Some(Spot::at(moment, &[0; 32]).state(sid(moment)?))
}

fn hex(text: &str, length: usize) -> Option<u64> {
    digits(text, 16).filter(|_| text.len() == length)
}

fn digits(text: &str, radix: u32) -> Option<u64> {
    // `from_str_radix` would accept a sign as well.
    let all = text.bytes().all(|byte| byte.is_ascii_digit() || radix == 16 && matches!(byte, b'a'..=b'f'));
    u64::from_str_radix(text, radix).ok().filter(|_| all)
}

/// The places that the CSNs name: each domain has a state and a tag.
fn spots(numbers: &str) -> Option<BTreeMap<u32, Spot>> {
    let (mut states, mut tags) = (BTreeMap::new(), BTreeMap::new());
    for number in numbers.split(';') {
        let number = Number::read(number)?;
        let known = if number.sid < TAG { &mut states } else { &mut tags };
        if known.insert(number.sid % TAG, number).is_some() {
            return None;
        }
    }
    let spot = |(sid, state): (u32, Number)| {
        let tag = u32::try_from(tags.remove(&sid)?.count).ok()?;
        let size = state.micros << COUNT_BITS | state.count;
        Some((sid, Spot { size, admitted_at: state.at, age: state.last, tag }))
    };
    let spots = states.into_iter().map(spot).collect::<Option<BTreeMap<_, _>>>()?;
    tags.is_empty().then_some(spots)
}

impl Cookie {
    /// Decodes a cookie; `None` if it is not one of this server's.
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
                    cookie.spots = spots(numbers)?;
                }
                // What slapd adds about itself.
                ("sid" | "delcsn", _) => {}
                _ => return None,
            }
        }
        Some(cookie)
    }

    /// Encodes the cookie.
    pub(in crate::ldap) fn write(&self) -> Vec<u8> {
        let mut text = format!("rid={}", self.rid.as_deref().unwrap_or("000"));
        let states = self.spots.iter().map(|(sid, spot)| spot.state(*sid));
        let numbers: Vec<String> = states.chain(self.spots.iter().map(|(sid, spot)| spot.tagged(*sid))).collect();
        if !numbers.is_empty() {
            text = format!("{text},csn={}", numbers.join(";"));
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "rid=001,csn=20261126024000.007000Z#000001#001#000002;20261126024002.007001Z#0123ab#801#000000";

    fn cookie(text: &str) -> Option<Cookie> {
        Cookie::read(text.as_bytes())
    }

    #[test]
    fn cookies_are_read_as_they_are_written() {
        let at = |text: &str| Timestamp::parse(text).expect(text);
        let small = Spot { size: 1, admitted_at: at("2026-11-26T02:40:00.007Z"), age: 2, tag: 0x01_23ab };
        let one = Cookie { rid: Some("001".to_owned()), spots: [(1, small)].into() };
        assert_eq!(String::from_utf8(one.write()).as_deref(), Ok(GOOD));
        assert_eq!(cookie(GOOD), Some(one.clone()));
        assert_eq!(cookie(&GOOD.replace("csn", "sid=001,csn")), Some(one), "as slapd sends it");
        let size = (999 << 24) + 0xff_ffff;
        let large = Spot { size, admitted_at: at("2026-01-01T00:00:00Z"), age: 0xff_ffff, tag: 0xff_ffff };
        let two = Cookie { rid: None, spots: [(1, small), (0x7ff, large)].into() };
        let read = Cookie::read(&two.write()).expect("is read");
        assert_eq!((read.rid.as_deref(), read.spots), (Some("000"), two.spots));
        assert_eq!(cookie("rid=001"), Some(Cookie { rid: Some("001".to_owned()), spots: BTreeMap::new() }));
        assert_eq!(cookie(""), Some(Cookie::default()));
    }

    /// Or whoever keeps so many domains in step would get everything anew each time.
    #[test]
    fn a_cookie_of_as_many_domains_as_there_may_be_is_read() {
        let at = Timestamp::parse("2026-11-26T02:40:00.007Z").expect("a time");
        let spot = Spot { size: 1, admitted_at: at, age: 2, tag: 0x01_23ab };
        let domains = u32::try_from(limits::LDAP_SYNC_DOMAINS).expect("a number");
        let spots = (1..=domains).chain([KEYS]).map(|sid| (sid, spot)).collect();
        let cookie = Cookie { rid: Some("001".to_owned()), spots };
        assert_eq!(Cookie::read(&cookie.write()), Some(cookie));
    }

    #[test]
    fn numbers_grow_with_the_log_and_the_time() {
        let spot = |size, millis, age| Spot { size, admitted_at: Timestamp::from_millis(millis), age, tag: 7 };
        let grown =
            [spot(1, 5, 0), spot(1, 5, 1), spot(2, 5, 0), spot(0xff_ffff, 5, 9), spot(0x100_0000, 5, 0), spot(2, 6, 0)];
        assert!(grown.iter().map(|spot| spot.state(1)).is_sorted_by(|a, b| a < b), "{grown:?}");
        assert!(grown.is_sorted_by(|a, b| b.is_behind(a)), "{grown:?}");
        assert!(spot(1, 5, 0).tagged(1) < spot(1, 5, 1).tagged(1) && spot(1, 5, 0).tagged(1) < spot(2, 5, 0).tagged(1));
    }

    #[test]
    fn what_is_no_cookie() {
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
            ("#001#", "#002#"),
            ("#801#", "#802#"),
            ("#000002", "#000002#"),
            ("#000002", "#00000g"),
            (";", ";20261126024000.007000Z#000001#001#000000;"),
            (";20261126024002.007001Z#0123ab#801#000000", ""),
        ] {
            assert!(GOOD.contains(from) && cookie(GOOD).is_some());
            assert_eq!(cookie(&GOOD.replacen(from, to, 1)), None, "{from} {to}");
        }
        assert_eq!(Cookie::read(b"\xff"), None);
        assert_eq!(Cookie::read(&vec![b'x'; limits::LDAP_COOKIE_BYTES + 1]), None);
    }
}
