//! The entries of a log as a peer's directory gives them, read without I/O and checked against their bounds.

use ics_core::log;
use ics_core::statement::Remnant;
use ldap3::asn1::{StructureTag, TagClass};
use serde::de::DeserializeOwned;

use super::super::http::PeerError;
use crate::ber;
use crate::news::News;
use crate::wire::{Base64, Entry, Page, Shown, Sight, WireError};

/// RFC 4511, 4.5.2.
const ENTRY: u64 = 4;

/// An entry's attributes. Only the first value of each counts, since none here has several.
pub(super) struct Attributes(Vec<(String, Vec<u8>)>);

fn malformed(what: &'static str) -> PeerError {
    PeerError::Malformed(what)
}

/// Reads an entry; `None` for another message, such as an intermediate one.
pub(super) fn attributes(tag: StructureTag) -> Result<Option<Attributes>, PeerError> {
    let form = || malformed("an entry is malformed");
    if tag.class != TagClass::Application || tag.id != ENTRY {
        return Ok(None);
    }
    let parts = tag.expect_constructed().ok_or_else(form)?;
    let list = parts.into_iter().nth(1).and_then(StructureTag::expect_constructed).ok_or_else(form)?;
    let read = |attribute: StructureTag| {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let values = parts.next()?.expect_constructed()?;
        let first = values.into_iter().next().map_or(Some(Vec::new()), StructureTag::expect_primitive)?;
        Some((name, first))
    };
    list.into_iter().map(read).collect::<Option<Vec<_>>>().map(|all| Some(Attributes(all))).ok_or_else(form)
}

impl Attributes {
    /// Bytes of names and values.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(held, _)| held.eq_ignore_ascii_case(name))?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, PeerError> {
        self.take(name).map(|value| String::from_utf8(value).map_err(|_| PeerError::Text)).transpose()
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, PeerError> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|_| malformed("what should be a number is not one"))).transpose()
    }

    /// The entry of the log that these attributes hold.
    pub(super) fn entry(mut self) -> Result<Entry, PeerError> {
        let size = |_| malformed("a salt or a leaf has the wrong length");
        let (header, salt, body) = (self.take("icsHeader"), self.take("icsSalt"), self.take("icsBody"));
        match (header, salt, body, self.take("icsLeaf"), self.take("icsRemnant")) {
            (Some(header), Some(salt), Some(body), None, None) => {
                let salt = salt.try_into().map_err(size)?;
                Ok(Entry::Whole(log::entry::Entry { header, salt, body }))
            }
            (None, None, None, Some(leaf), None) => Ok(Entry::Hidden(leaf.try_into().map_err(size)?)),
            (None, None, None, Some(leaf), Some(remnant)) => {
                let remnant = Remnant::from_bytes(&remnant);
                let remnant = remnant.ok_or_else(|| malformed("what an erasure has left is not understood"))?;
                Ok(Entry::Erased { leaf: leaf.try_into().map_err(size)?, remnant })
            }
            _ => Err(malformed("an entry has header, salt and body, or a leaf, alone or with what an erasure left")),
        }
    }
}

/// Makes pages and news from entries in sequence, ending with the log's own entry.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    from: u64,
    entries: Vec<Entry>,
    bytes: usize,
}

/// The log's own entry.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) checkpoint: Option<String>,
    proof: Vec<u8>,
    /// Present if a page is closed.
    sight: Option<Option<Sight>>,
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PeerError> {
    Ok(serde_json::from_slice(bytes).map_err(|error| WireError::Json(error.to_string().chars().take(160).collect()))?)
}

/// What is shown again: as many entries at these indices as come, and finally the log's own entry with everything else.
pub(super) fn shown(entries: Vec<Attributes>, hidden: &[u64]) -> Result<Shown, PeerError> {
    let mut wanted = hidden.iter();
    let (mut shown, mut told) = (Vec::new(), None);
    for mut entry in entries {
        if told.is_some() {
            return Err(malformed("something follows the log's own entry"));
        }
        match entry.take("icsShown") {
            Some(rest) => told = Some(json::<Shown>(&rest)?),
            None if entry.number("icsIndex")?.as_ref() == wanted.next() => shown.push(entry.entry()?),
            None => return Err(malformed("the entries are not those that were asked for")),
        }
    }
    let told = told.ok_or_else(|| malformed("the log's own entry is missing"))?;
    if !told.entries.is_empty() {
        return Err(malformed("there are entries in two places"));
    }
    Ok(Shown { entries: shown, ..told }.checked()?)
}

impl Own {
    fn read(attributes: &mut Attributes, origin: String) -> Result<Self, PeerError> {
        Ok(Self {
            origin,
            size: attributes.number("icsAsOfSize")?.ok_or_else(|| malformed("a log has no size"))?,
            checkpoint: attributes.text("icsCheckpoint")?,
            proof: attributes.take("icsProof").unwrap_or_default(),
            sight: attributes.take("icsSight").map(|bytes| json(&bytes)).transpose()?,
        })
    }
}

impl Gathered {
    pub(super) fn behind(from: u64) -> Self {
        Self { from, ..Self::default() }
    }

    /// Takes an entry; the log's own is returned.
    pub(super) fn take(&mut self, mut attributes: Attributes) -> Result<Option<Own>, PeerError> {
        if let Some(origin) = attributes.text("icsOrigin")? {
            return Own::read(&mut attributes, origin).map(Some);
        }
        let index = attributes.number("icsIndex")?.ok_or_else(|| malformed("an entry has no index"))?;
        if self.from.checked_add(self.entries.len() as u64) != Some(index) {
            return Err(malformed("the entries are not in order"));
        }
        let entry = attributes.entry()?;
        self.bytes += entry.bytes();
        self.entries.push(entry);
        Page::check_size(self.entries.len(), self.bytes)?;
        Ok(None)
    }

    /// The page that ends with the log's own entry.
    pub(super) fn page(self, own: Own) -> Result<Page, PeerError> {
        let hashes = own.proof.chunks(32).map(|hash| hash.try_into().map(Base64));
        let proof = hashes.collect::<Result<_, _>>().map_err(|_| malformed("a proof is not made of hashes"))?;
        let Own { size, checkpoint, sight, .. } = own;
        let sight = sight.flatten();
        Ok(Page { from: self.from, entries: self.entries, size, checkpoint, proof, sight }.checked()?)
    }

    /// The news that ends with the log's own entry; what comes next begins after it.
    pub(super) fn news(&mut self, own: Own) -> Result<News, PeerError> {
        let gathered = core::mem::take(self);
        self.from = own.size;
        if own.size > gathered.from || own.sight.is_some() {
            return gathered.page(own).map(News::Page);
        }
        let note = own.checkpoint.ok_or_else(|| malformed("the log has no checkpoint"))?;
        if note.len() > ics_core::limits::NOTE_BYTES {
            return Err(crate::wire::WireError::Checkpoint(note.len()).into());
        }
        Ok(News::Checkpoint(note))
    }
}

/// The value of the Sync Request control (RFC 4533, 2.2).
pub(super) fn sync_request(persist: bool, cookie: &str) -> Vec<u8> {
    let mut out = Vec::new();
    ber::element(&mut out, ber::SEQUENCE, |out| {
        ber::integer(out, ber::ENUMERATED, if persist { 3 } else { 1 });
        ber::primitive(out, ber::OCTETS, cookie.as_bytes());
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::asn1::PL;

    fn octets(bytes: &[u8]) -> StructureTag {
        StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(bytes.to_vec()) }
    }

    fn list(id: u64, parts: Vec<StructureTag>) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload: PL::C(parts) }
    }

    fn made(attributes: &[(&str, &[u8])]) -> Attributes {
        let attribute =
            |(name, value): &(&str, &[u8])| list(16, vec![octets(name.as_bytes()), list(17, vec![octets(value)])]);
        let parts = vec![octets(b"cn=x"), list(16, attributes.iter().map(attribute).collect())];
        let tag = StructureTag { class: TagClass::Application, id: ENTRY, payload: PL::C(parts) };
        super::attributes(tag).expect("formed").expect("an entry")
    }

    fn own(size: &[u8], proof: &[u8]) -> Attributes {
        made(&[("icsOrigin", b"a/b"), ("icsAsOfSize", size), ("icsCheckpoint", b"note\n"), ("icsProof", proof)])
    }

    fn hidden(index: &[u8]) -> Attributes {
        made(&[("ICSIndex", index), ("icsLeaf", &[7; 32])])
    }

    #[test]
    fn pages_and_news() {
        let mut gathered = Gathered::behind(3);
        assert!(gathered.take(hidden(b"3")).expect("fits").is_none());
        let whole = made(&[("icsIndex", b"4"), ("icsHeader", b"h"), ("icsSalt", &[1; 16]), ("icsBody", b"b")]);
        assert!(gathered.take(whole).expect("fits").is_none());
        let closing = gathered.take(own(b"9", &[5; 64])).expect("fits").expect("the log's own");
        let Ok(News::Page(page)) = gathered.news(closing) else { panic!("a page") };
        assert_eq!((page.from, page.size, page.entries.len(), page.proof.len()), (3, 9, 2, 2));
        let closing = gathered.take(own(b"9", &[])).expect("fits").expect("the log's own");
        assert_eq!(gathered.news(closing), Ok(News::Checkpoint("note\n".to_owned())));
        assert!(gathered.take(hidden(b"9")).is_ok(), "it goes on behind what was told");
    }

    #[test]
    fn what_is_not_as_it_should_be() {
        for (what, attributes) in [
            ("an entry that leaves one out", hidden(b"4")),
            ("an index that is none", hidden(b"-3")),
            ("no index", made(&[("icsLeaf", &[7; 32])])),
            ("a short leaf", made(&[("icsIndex", b"3"), ("icsLeaf", &[7; 31])])),
            ("a short salt", made(&[("icsIndex", b"3"), ("icsHeader", b""), ("icsSalt", b""), ("icsBody", b"")])),
            ("a remnant that is none", made(&[("icsIndex", b"3"), ("icsLeaf", &[7; 32]), ("icsRemnant", b"x")])),
            ("leaf and body", made(&[("icsIndex", b"3"), ("icsBody", b""), ("icsLeaf", &[7; 32])])),
            ("a size that is none", own(b"many", &[])),
            ("an origin that is no text", made(&[("icsOrigin", b"\xff")])),
        ] {
            assert!(Gathered::behind(3).take(attributes).is_err(), "{what}");
        }
        let closing = Gathered::behind(3).take(own(b"9", &[5; 33])).expect("fits").expect("the log's own");
        assert!(Gathered::behind(3).page(closing).is_err(), "a proof of a hash and a byte");
        let most = crate::wire::Page::check_size(ics_core::limits::FEED_ENTRIES + 1, 0);
        assert!(most.is_err());
    }
}
