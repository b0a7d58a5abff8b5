//! Reading a bundle: once from end to end, to check that it is whole and in order, then part by part on request.

use std::io::{self, Read, Seek, SeekFrom};

use ics_core::limits;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{BundleError, Cursor, Earlier, FRAME_BYTES, Head, MAGIC, PART_BYTES, Refused, kind};
use crate::packed;
use crate::wire::{Descriptors, Entry, PAGE_JSON_BYTES, Page, Refusals, Submission};

/// A bundle that is whole: its digest matches, and every part can be read. That verifies nothing of what it says.
#[derive(Debug)]
pub struct Bundle<R> {
    pub(super) input: R,
    head: Head,
    sections: Vec<Section>,
    /// The page or the earlier entries that were read last.
    pub(super) last: Option<(Place, Vec<(u64, Entry)>)>,
}

/// What a bundle has of one domain.
#[derive(Debug)]
pub struct Section {
    /// The domain that it claims to be about.
    pub origin: Origin,
    /// How far its maker's copy is, if there is one.
    pub cursor: Option<Cursor>,
    pub(super) descriptors: Vec<Place>,
    pub(super) note: Option<String>,
    pub(super) pages: Vec<Span>,
    pub(super) earlier: Vec<Span>,
    /// Stands for what the reader may read, according to the last page.
    pub(super) rights: Option<crate::wire::Rights>,
    submissions: Vec<Place>,
    refusals: Vec<Place>,
}

/// The place of a part's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    kind: u8,
    offset: u64,
    length: usize,
}

/// A part with entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Index of the first.
    pub(super) from: u64,
    /// Index after the last.
    pub(super) end: u64,
    pub(super) place: Place,
}

impl Section {
    /// Number of entries to which its pages lead; `None` if it has no checkpoint.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        Some(Checkpoint::claimed(self.note.as_deref()?).ok()?.size)
    }

    /// Index of the first entry of its pages; `None` if it has no pages.
    #[must_use]
    pub fn begins(&self) -> Option<u64> {
        self.pages.first().map(|page| page.from)
    }

    /// Whether it has statements to submit.
    #[must_use]
    pub const fn submits(&self) -> bool {
        !self.submissions.is_empty()
    }

    /// How far its reader's copy is once they have taken all of it; `None` if it says nothing of the log.
    #[must_use]
    pub fn leads_to(&self) -> Option<Cursor> {
        let size = self.pages.last().map(|page| page.end).or_else(|| self.size())?;
        Some(Cursor { origin: self.origin.clone(), size, rights: self.rights.clone() })
    }

    fn of(origin: Origin) -> Self {
        let (descriptors, pages, earlier, submissions, refusals) = Default::default();
        Self { origin, cursor: None, descriptors, note: None, pages, earlier, rights: None, submissions, refusals }
    }
}

impl<R: Read + Seek> Bundle<R> {
    /// Reads a bundle from end to end. Memory is bounded by one part, plus a few words for each of the others.
    ///
    /// # Errors
    /// When it is truncated, damaged, or not in the form that this version knows.
    pub fn open(mut input: R) -> Result<Self, BundleError> {
        input.seek(SeekFrom::Start(0))?;
        let mut scan = Scan { input: io::BufReader::new(input), offset: 0, digest: Sha256::new() };
        scan.magic()?;
        let (mut head, mut sections, mut parts) = (None, Vec::new(), 0);
        loop {
            let before = scan.digest.clone();
            let (place, bytes) = scan.part()?;
            parts += 1;
            if parts > limits::BUNDLE_PARTS {
                return Err(BundleError::TooMany { what: "parts", limit: limits::BUNDLE_PARTS });
            }
            let refused = |Refused(problem)| BundleError::part(place.offset, place.kind, problem);
            match (place.kind, &head) {
                (kind::HEAD, None) => head = Some(json::<Head>(&bytes).map_err(refused)?),
                (kind::END, Some(_)) => {
                    scan.end()?;
                    if before.finalize()[..] != bytes {
                        return Err(BundleError::Damaged);
                    }
                    break;
                }
                (_, None) => {
                    return Err(refused("the first part, and only the first, says who made the bundle".into()));
                }
                (kind::DOMAIN, Some(_)) => begin(&mut sections, json(&bytes).map_err(refused)?)?,
                (_, Some(_)) => {
                    let section = sections.last_mut().ok_or_else(|| refused("it belongs to no domain".into()))?;
                    section.take(place, &bytes).map_err(refused)?;
                }
            }
        }
        let head = head.ok_or(BundleError::NoBundle)?;
        Ok(Self { input: scan.input.into_inner(), head, sections, last: None })
    }

    /// Who made it, for whom.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// What it has of each domain.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The submissions of a section, by number; `None` after the last.
    ///
    /// # Errors
    /// When the file can no longer be read, or has changed.
    pub fn submission(&mut self, section: usize, number: usize) -> Result<Option<Submission>, BundleError> {
        let place = self.sections.get(section).and_then(|section| section.submissions.get(number)).copied();
        place.map(|place| self.json(place)).transpose()
    }

    /// The refusals of a section, by number, as the bundle's maker reports them; `None` after the last.
    ///
    /// # Errors
    /// When the file can no longer be read, or has changed.
    pub fn refusals(&mut self, section: usize, number: usize) -> Result<Option<Refusals>, BundleError> {
        let place = self.sections.get(section).and_then(|section| section.refusals.get(number)).copied();
        let from = self.head.from.name.clone();
        let refusals = place.map(|place| self.json::<Refusals>(place)).transpose()?;
        Ok(refusals.map(|refusals| Refusals { from, ..refusals }))
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self, place: Place) -> Result<T, BundleError> {
        let bytes = self.bytes(place)?;
        json(&bytes).map_err(|Refused(problem)| BundleError::part(place.offset, place.kind, problem))
    }

    pub(super) fn page(&mut self, place: Place) -> Result<Page, BundleError> {
        let bytes = self.bytes(place)?;
        page(place.kind, &bytes).map_err(|Refused(problem)| BundleError::part(place.offset, place.kind, problem))
    }

    fn bytes(&mut self, place: Place) -> Result<Vec<u8>, BundleError> {
        self.input.seek(SeekFrom::Start(place.offset))?;
        let mut bytes = vec![0; place.length];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Opens the section of a domain. All parts about one domain must be together.
fn begin(sections: &mut Vec<Section>, origin: Origin) -> Result<(), BundleError> {
    if sections.iter().any(|section| section.origin.domain == origin.domain) {
        return Err(BundleError::Twice(origin.domain.to_string()));
    }
    if sections.len() >= limits::BUNDLE_DOMAINS {
        return Err(BundleError::TooMany { what: "domains", limit: limits::BUNDLE_DOMAINS });
    }
    sections.push(Section::of(origin));
    Ok(())
}

impl Section {
    fn take(&mut self, place: Place, bytes: &[u8]) -> Result<(), Refused> {
        match place.kind {
            kind::CURSOR if self.cursor.is_none() => {
                self.cursor = Some(json::<Cursor>(bytes)?).filter(|cursor| cursor.origin == self.origin);
                self.cursor.as_ref().map(|_| ()).ok_or_else(|| "it belongs to another domain".into())
            }
            kind::DESCRIPTORS => {
                Descriptors::decode(bytes)?;
                self.descriptors.push(place);
                Ok(())
            }
            kind::CHECKPOINT if self.note.is_none() => {
                let note = core::str::from_utf8(bytes).map_err(|_| Refused::from("it is not text"))?;
                Checkpoint::claimed(note)?;
                self.note = Some(note.to_owned());
                Ok(())
            }
            kind::PAGE | kind::COMPRESSED_PAGE => self.take_page(place, bytes),
            kind::EARLIER => self.take_earlier(place, bytes),
            kind::SUBMISSION => {
                Submission::decode(bytes)?;
                self.submissions.push(place);
                Ok(())
            }
            kind::REFUSALS => {
                Refusals::decode(bytes)?;
                self.refusals.push(place);
                Ok(())
            }
            kind::CURSOR | kind::CHECKPOINT => Err("a domain has only one of this kind".into()),
            _ => Err("this program does not know its kind".into()),
        }
    }

    fn take_page(&mut self, place: Place, bytes: &[u8]) -> Result<(), Refused> {
        let page = page(place.kind, bytes)?;
        let (from, end) = (page.from, page.from.saturating_add(page.entries.len() as u64));
        if self.pages.last().is_some_and(|before| before.end != from) {
            return Err("the pages of the domain do not follow one another".into());
        }
        if Some(page.size) != self.size() || end > page.size {
            return Err("it does not lead to the domain's checkpoint, which stands before the pages".into());
        }
        let rights = page.sight.map(|sight| sight.rights);
        if !self.pages.is_empty() && rights != self.rights {
            return Err("what its reader may read is not the same in all pages".into());
        }
        self.rights = rights;
        self.pages.push(Span { from, end, place });
        Ok(())
    }

    fn take_earlier(&mut self, place: Place, bytes: &[u8]) -> Result<(), Refused> {
        let Earlier { indices, entries } = json(bytes)?;
        let ascends = indices.is_sorted_by(|one, next| one < next);
        let (Some(from), Some(last), true) = (indices.first(), indices.last(), indices.len() == entries.len()) else {
            return Err("it does not have an index for each entry".into());
        };
        let behind = self.earlier.last().is_some_and(|before| *from < before.end);
        if !ascends || behind || entries.len() > limits::FEED_ENTRIES {
            return Err("it has too many entries, or they are not in order".into());
        }
        self.earlier.push(Span { from: *from, end: last.saturating_add(1), place });
        Ok(())
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    if bytes.len() > PAGE_JSON_BYTES {
        return Err("it is too long".into());
    }
    Ok(serde_json::from_slice(bytes)?)
}

fn page(kind: u8, bytes: &[u8]) -> Result<Page, Refused> {
    if kind == kind::COMPRESSED_PAGE {
        return Ok(packed::unpack(&packed::decompress(bytes)?)?);
    }
    Ok(packed::unpack(bytes)?)
}

/// Reads a bundle from end to end.
struct Scan<R> {
    input: R,
    offset: u64,
    digest: Sha256,
}

impl<R: Read> Scan<R> {
    fn magic(&mut self) -> Result<(), BundleError> {
        let mut magic = [0; MAGIC.len()];
        self.fill(&mut magic).map_err(|error| match error {
            BundleError::CutOff(_) => BundleError::NoBundle,
            error => error,
        })?;
        let [ours @ .., _] = MAGIC;
        let [theirs @ .., version] = magic;
        if theirs != ours {
            return Err(BundleError::NoBundle);
        }
        if magic == MAGIC { Ok(()) } else { Err(BundleError::Version(version)) }
    }

    /// The next part; its place is that of its bytes.
    fn part(&mut self) -> Result<(Place, Vec<u8>), BundleError> {
        let start = self.offset;
        let mut kind = [0];
        self.fill(&mut kind)?;
        let [kind] = kind;
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        let length = loop {
            let mut byte = [0];
            self.fill(&mut byte)?;
            frame.extend_from_slice(&byte);
            if byte[0] & 0x80 == 0 || frame.len() == FRAME_BYTES {
                break packed::read_number(&frame);
            }
        };
        let length = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= PART_BYTES);
        let length =
            length.ok_or_else(|| BundleError::part(start, kind, format!("it has more than {PART_BYTES} bytes")))?;
        let place = Place { kind, offset: self.offset, length };
        let mut bytes = Vec::new();
        // No more memory than there are bytes, whatever length is claimed.
        let read = self.input.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(BundleError::CutOff(self.offset + read as u64));
        }
        self.digest.update(&bytes);
        self.offset += length as u64;
        Ok((place, bytes))
    }

    /// Checks that nothing follows the last part.
    fn end(&mut self) -> Result<(), BundleError> {
        let mut byte = [0];
        if self.input.read(&mut byte)? == 0 { Ok(()) } else { Err(BundleError::Behind(self.offset)) }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BundleError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BundleError::CutOff(self.offset),
            _ => BundleError::Io(error),
        })?;
        self.digest.update(&*bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
