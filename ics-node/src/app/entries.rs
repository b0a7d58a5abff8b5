//! Finds entries by what they say, for readers and for the writer.

mod line;

use std::collections::BTreeSet;

use ics_core::domain::{Context, Domain};
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::openpgp::certificate::Certificate;
use ics_core::record::{CandidateGroups, Logged, Posting, candidate_groups, postings_of, postings_of_erasure};
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Remnant, StatementId, Subject, Unverified, openpgp_key_of};
use ics_core::vocabulary::DomainName;

use crate::store::{DomainNumber, Key, Store, StoreError, StoredEntry, WriteTx};

pub(crate) use line::{Brought, Line};

/// Where entries are looked up: the durable log, or the log including what a commit in progress adds.
pub(crate) trait Entries {
    /// The indices, in log order, of the first `limit` entries that have all of these postings or collide with them.
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError>;

    /// The entries at these indices.
    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError>;

    /// The first `limit` entries, in log order, that have all of these postings or collide with them.
    fn find(&self, postings: &[Posting], limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        self.entries_at(&self.indices(postings, limit)?)
    }

    /// Notes that the index is damaged, because it led to an entry that says nothing of what was looked for; returns
    /// the error.
    fn misled_to(&self, index: u64) -> StoreError;
}

/// The log as it stands before the entry that is being judged.
pub(crate) trait Log: Entries {
    /// The domain's name.
    fn name(&self) -> &DomainName;

    /// How many entries precede it.
    fn count(&self) -> u64;

    /// The first of these entries that has a key, or collides with one that has.
    fn first(&self, key: Key) -> Result<Option<u64>, StoreError>;

    /// The one of these entries that has this index.
    fn at(&self, index: u64) -> Result<StoredEntry, StoreError>;
}

/// The durable log of a domain up to a size.
pub(crate) struct Snapshot<'s> {
    pub(crate) store: &'s Store,
    pub(crate) number: DomainNumber,
    pub(crate) size: u64,
}

/// Enough bytes for nearly every posting.
const POSTING_BYTES: usize = 96;

/// The keys under which the store files these postings.
pub(crate) fn keys(postings: &[Posting]) -> Vec<Key> {
    let mut bytes = Vec::with_capacity(POSTING_BYTES);
    postings.iter().map(|posting| key(posting, &mut bytes)).collect()
}

/// The key of one posting; `bytes` is a scratch buffer, whose contents are overwritten.
fn key(posting: &Posting, bytes: &mut Vec<u8>) -> Key {
    bytes.clear();
    posting.write(bytes);
    Key::of(bytes)
}

impl Entries for Snapshot<'_> {
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError> {
        self.store.all_positions(self.number, &keys(postings), 0..self.size, limit)
    }

    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        self.store.entries_at(self.number, indices)
    }

    fn misled_to(&self, index: u64) -> StoreError {
        self.store.misled(self.number, index)
    }
}

impl Entries for WriteTx<'_> {
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError> {
        self.lookup(&keys(postings), limit)
    }

    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        indices.iter().map(|index| self.entry(*index)).collect()
    }

    fn misled_to(&self, index: u64) -> StoreError {
        self.misled(index)
    }
}

impl Log for WriteTx<'_> {
    fn name(&self) -> &DomainName {
        &self.domain().name
    }

    fn count(&self) -> u64 {
        self.size()
    }

    fn first(&self, key: Key) -> Result<Option<u64>, StoreError> {
        Ok(self.lookup(&[key], 1)?.first().copied())
    }

    fn at(&self, index: u64) -> Result<StoredEntry, StoreError> {
        self.entry(index)
    }
}

/// The log before an entry, including what a commit in progress adds.
pub(crate) struct Before<'a, 'w> {
    pub(crate) tx: &'a WriteTx<'w>,
    pub(crate) end: u64,
}

impl Entries for Before<'_, '_> {
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError> {
        let mut indices = self.tx.lookup(&keys(postings), limit)?;
        indices.truncate(indices.partition_point(|index| *index < self.end));
        Ok(indices)
    }

    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        self.tx.entries_at(indices)
    }

    fn misled_to(&self, index: u64) -> StoreError {
        self.tx.misled(index)
    }
}

impl Log for Before<'_, '_> {
    fn name(&self) -> &DomainName {
        &self.tx.domain().name
    }

    fn count(&self) -> u64 {
        self.end
    }

    fn first(&self, key: Key) -> Result<Option<u64>, StoreError> {
        Ok(self.tx.first(key)?.filter(|index| *index < self.end))
    }

    fn at(&self, index: u64) -> Result<StoredEntry, StoreError> {
        self.tx.entry(index)
    }
}

/// All statements about an identity and about the groups that it may belong to: the input of resolution and admission.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) about: Vec<Logged>,
    pub(crate) groups: Vec<Logged>,
    /// Whether more was said that is missing here: its remnant has come, and the erasure is still to come.
    pub(crate) unseen: bool,
}

impl Said {
    /// Reads what was said about an identity.
    pub(crate) fn read(entries: &impl Entries, domain: &Domain, id: &IdentityId) -> Result<Self, StoreError> {
        Self::of(entries, domain, id, &entries_about(entries, id)?)
    }

    /// As [`Said::read`], when the entries about it are at hand.
    pub(crate) fn of(
        entries: &impl Entries,
        domain: &Domain,
        id: &IdentityId,
        found: &[StoredEntry],
    ) -> Result<Self, StoreError> {
        let (about, unseen) = about_with_remnants(entries, domain, id, found)?;
        let groups = Self::groups(entries, domain, &candidate_groups(&about))?;
        Ok(Self { about, groups, unseen })
    }

    /// Adds what some erasures restate about the identity; these erasures stand after the entries that are looked at.
    pub(crate) fn with_left(
        self,
        entries: &impl Entries,
        domain: &Domain,
        left: Vec<Logged>,
    ) -> Result<Self, StoreError> {
        let about = [self.about, left].concat();
        let groups = Self::groups(entries, domain, &candidate_groups(&about))?;
        Ok(Self { about, groups, unseen: self.unseen })
    }

    /// The same, for the rules.
    pub(crate) fn context(&self) -> Context<'_> {
        Context { about: &self.about, groups: &self.groups, unseen: self.unseen }
    }

    /// All statements about these groups.
    pub(crate) fn groups(
        entries: &impl Entries,
        domain: &Domain,
        candidates: &CandidateGroups,
    ) -> Result<Vec<Logged>, StoreError> {
        of_groups(candidates, |posting, limit| find_logged(entries, domain, posting, limit))
    }
}

/// All statements about these groups; `find` returns the first ones that have a posting.
fn of_groups(
    candidates: &CandidateGroups,
    mut find: impl FnMut(&Posting, usize) -> Result<Vec<Logged>, StoreError>,
) -> Result<Vec<Logged>, StoreError> {
    let mut groups = Vec::new();
    for posting in postings_of_groups(candidates) {
        let limit = match posting {
            Posting::Subject(_) => limits::RECORD_STATEMENTS + 1,
            _ => limits::RECORD_STATEMENTS,
        };
        groups.extend(find(&posting, limit)?);
    }
    Ok(groups)
}

/// The postings of statements about these groups.
pub(crate) fn postings_of_groups(candidates: &CandidateGroups) -> impl Iterator<Item = Posting> {
    let named = candidates.named.iter().map(|group| Posting::Subject(IdentityId::Group(*group)));
    named.chain(candidates.selectors.iter().map(|selector| Posting::Selector(*selector)))
}

const fn is_about_group(subject: &Subject) -> bool {
    matches!(subject, Subject::Group(_))
}

/// All statements about an identity, in log order.
pub(crate) fn about(entries: &impl Entries, domain: &Domain, id: &IdentityId) -> Result<Vec<Logged>, StoreError> {
    find_logged(entries, domain, &Posting::Subject(*id), limits::RECORD_ENTRIES)
}

/// Whether an earlier statement is about the same identity, as far as a single look-up tells; `false` if that is
/// uncertain.
pub(crate) fn is_spoken_of_before(
    entries: &impl Entries,
    domain: &Domain,
    statement: &Logged,
) -> Result<bool, StoreError> {
    let posting = Posting::Subject(statement.subject_id());
    let first = find_logged(entries, domain, &posting, 1)?;
    Ok(first.first().is_some_and(|first| first.index() < statement.index()))
}

/// The entries about an identity, in log order, including any that collide with it.
pub(crate) fn entries_about(entries: &impl Entries, id: &IdentityId) -> Result<Vec<StoredEntry>, StoreError> {
    entries.find(&[Posting::Subject(*id)], limits::RECORD_ENTRIES)
}

/// All statements about an identity among these entries, and whether there is more, of which only the remnant has come
/// here and the erasure is still to come.
fn about_with_remnants(
    entries: &impl Entries,
    domain: &Domain,
    id: &IdentityId,
    found: &[StoredEntry],
) -> Result<(Vec<Logged>, bool), StoreError> {
    let (about, remnants) = restored(entries, &Posting::Subject(*id), domain, found)?;
    let unseen = is_more_about(id, &about, &remnants);
    Ok((about, unseen))
}

/// Whether more was said about an identity than these statements: a remnant whose erasure is still to come shows it. An
/// erasure without effect restates nothing.
pub(crate) fn is_more_about(id: &IdentityId, about: &[Logged], remnants: &[Remnant]) -> bool {
    let has_effect = |it: &&Logged| it.is_erased() && !it.is_refused();
    let told: BTreeSet<StatementId> = about.iter().filter(has_effect).map(Logged::id).collect();
    remnants.iter().any(|remnant| remnant.identity == *id && !told.contains(&remnant.statement))
}

/// The statements among the entries to which a posting has led, and the remnants of others.
fn restored(
    entries: &impl Entries,
    posting: &Posting,
    domain: &Domain,
    found: &[StoredEntry],
) -> Result<(Vec<Logged>, Vec<Remnant>), StoreError> {
    let (mut logged, mut remnants) = (Vec::with_capacity(found.len()), Vec::new());
    for entry in found {
        match &entry.content {
            Some(_) => logged.extend(restore_by(entries, posting, domain, entry)?),
            None => remnants.extend(Remnant::from_bytes(&entry.header)),
        }
    }
    Ok((logged, remnants))
}

/// The first statements with a posting, in log order. Entries found only because their keys collide are left out.
pub(crate) fn find_logged(
    entries: &impl Entries,
    domain: &Domain,
    posting: &Posting,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let mut logged = Vec::new();
    for entry in entries.find(core::slice::from_ref(posting), limit)? {
        logged.extend(restore_by(entries, posting, domain, &entry)?);
    }
    Ok(logged)
}

/// The identities of which these statements speak, but for what the rules refuse.
pub(crate) fn subjects_of(statements: &[Logged]) -> BTreeSet<IdentityId> {
    statements.iter().filter(|it| !it.is_refused()).map(Logged::subject_id).collect()
}

/// As [`find_logged`], without reading again the statements that are at hand; and the remnants of others.
pub(crate) fn find_besides(
    entries: &Snapshot<'_>,
    domain: &Domain,
    posting: &Posting,
    limit: usize,
    at_hand: &[Logged],
) -> Result<(Vec<Logged>, Vec<Remnant>), StoreError> {
    let mut indices = entries.indices(core::slice::from_ref(posting), limit)?;
    let is_found = |it: &&Logged| posting.is_of(it) && indices.binary_search(&it.index()).is_ok();
    let mut logged: Vec<Logged> = at_hand.iter().filter(is_found).cloned().collect();
    logged.sort_unstable_by_key(Logged::index);
    indices.retain(|index| logged.binary_search_by_key(index, Logged::index).is_err());
    let (others, remnants) = restored(entries, posting, domain, &entries.entries_at(&indices)?)?;
    logged.extend(others);
    logged.sort_unstable_by_key(Logged::index);
    Ok((logged, remnants))
}

/// The statement in a stored entry to which a posting has led, if the entry has that posting; others may have the same
/// key by chance. If the entry has not even the key, the index is damaged, and nobody knows where the right entry would
/// have been, which may be a block.
fn restore_by(
    entries: &impl Entries,
    posting: &Posting,
    domain: &Domain,
    entry: &StoredEntry,
) -> Result<Option<Logged>, StoreError> {
    let found = restore(domain, entry)?.filter(|statement| posting.is_of(statement));
    // The remnant of an erased entry is found under its former keys until the index has dropped them.
    if let (None, Some(content)) = (&found, &entry.content) {
        let header = Header::decode(&entry.header);
        let keys = header.map_or_else(|_| Vec::new(), |header| keys_of(&header, &content.body));
        if !keys.contains(&key(posting, &mut Vec::new())) {
            return Err(entries.misled_to(entry.index));
        }
    }
    Ok(found)
}

/// The statement in a stored entry, if there is one.
pub(crate) fn restore(domain: &Domain, entry: &StoredEntry) -> Result<Option<Logged>, StoreError> {
    let damaged = |what: String| StoreError::corrupt(format!("entry {}: {what}", entry.index));
    let Some(content) = &entry.content else { return Ok(None) };
    let kept = match body::parse(&content.body) {
        Ok(Body::Statement(kept)) => kept,
        Ok(Body::Erasure(signed)) => {
            let header = Header::decode(&entry.header).map_err(|error| damaged(error.to_string()))?;
            let left = Logged::from_erasure(entry.index, &header, &signed);
            let left = left.map_err(|error| damaged(error.to_string()))?;
            return Ok(left.map(|left| if entry.effective { left } else { left.refused() }));
        }
        // What was damaged on disk may have been a block. Only an entry without effect may be one that nobody can
        // parse.
        Err(error) if entry.effective => return Err(damaged(error.to_string())),
        _ => return Ok(None),
    };
    // An entry without effect may be by a signer whom the domain does not know.
    let signer = domain.signer(&kept.issuer()).map_or_else(|_| kept.issuer(), Certificate::primary);
    let header = Header::decode(&entry.header).map_err(|error| damaged(error.to_string()))?;
    let logged = Logged::from_store(entry.index, &header, &kept, signer).map_err(|error| damaged(error.to_string()))?;
    Ok(Some(if entry.effective { logged } else { logged.refused() }))
}

/// The primary key of the certificate that an entry holds, if it holds one and has effect.
pub(crate) fn certificate_of(entry: &StoredEntry) -> Option<Fingerprint> {
    let content = entry.content.as_ref().filter(|_| entry.effective)?;
    let is_one = Header::decode(&entry.header).is_ok_and(|header| header.kind == EntryKind::Certificate);
    if is_one { openpgp_key_of(&content.body) } else { None }
}

/// The keys under which an entry is found. They depend on its header and body alone, so the index can be rebuilt at any
/// time.
pub(crate) fn keys_of(header: &Header, body: &[u8]) -> Vec<Key> {
    body::parse(body).map_or_else(|_| Vec::new(), |body| keys_of_body(header.kind, &body, &mut Hashed::default()))
}

/// The postings of the previous statement of a batch, with their keys. Statements from one factory line share half of
/// them, and comparing is faster than hashing.
#[derive(Default)]
pub(crate) struct Hashed(Vec<(Posting, Key)>);

impl Hashed {
    fn keys(&mut self, kind: EntryKind, postings: Vec<Posting>) -> Vec<Key> {
        let mut last = core::mem::take(&mut self.0).into_iter();
        let mut bytes = Vec::with_capacity(POSTING_BYTES);
        let hashed = postings.into_iter().map(|posting| match last.next() {
            Some((same, key)) if same == posting => (posting, key),
            _ => {
                let key = key(&posting, &mut bytes);
                (posting, key)
            }
        });
        self.0 = hashed.collect();
        let mut keys = Vec::with_capacity(self.0.len() + 1);
        keys.extend(self.0.iter().map(|(_, key)| *key));
        keys.push(kind_key(kind));
        keys
    }
}

/// As [`keys_of`], for a parsed body in an entry of this kind.
pub(crate) fn keys_of_body(kind: EntryKind, body: &Body, hashed: &mut Hashed) -> Vec<Key> {
    match body {
        Body::Statement(statement) => keys_of_statement(kind, statement, hashed),
        Body::Certificate(certificate) => vec![kind_key(EntryKind::Certificate), body_key(&certificate.id())],
        Body::Certification(certification) => {
            vec![kind_key(EntryKind::Certification), body_key(&certification.id())]
        }
        Body::Descriptor(descriptor) => vec![kind_key(EntryKind::Descriptor), body_key(&descriptor.id())],
        // Besides its own id, an erasure is filed under the id of the statement that it erases, which is never admitted
        // again, and under all that it restates: a look-up of the erased statement finds what stands in its place.
        Body::Erasure(signed) => {
            let erasure = &signed.erasure;
            let mut keys = keys(&postings_of_erasure(signed));
            keys.extend([kind_key(EntryKind::Erasure), body_key(&signed.id()), body_key(&erasure.statement)]);
            keys.extend(erasure.identity.map(|identity| subject_key(&identity.id)));
            keys.sort_unstable();
            keys.dedup();
            keys
        }
    }
}

/// The keys of a statement. The issuer's certificate is not at hand here, so statements are filed under the key that
/// signed them.
pub(crate) fn keys_of_statement(kind: EntryKind, statement: &Unverified, hashed: &mut Hashed) -> Vec<Key> {
    let mut keys = hashed.keys(kind, postings_of(statement));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The keys of a remnant: those that the erased entry had for its id and its subject.
pub(crate) fn keys_of_remnant(remnant: &Remnant) -> Vec<Key> {
    vec![body_key(&remnant.statement), subject_key(&remnant.identity)]
}

/// The keys under which something is known to be missing after this node had to delete it, because it may no longer
/// read it: its id, its subject, and the things that it selects. So nobody takes what is left for all that was said
/// about a thing.
pub(crate) fn keys_of_missed(body: &[u8]) -> Vec<Key> {
    match body::parse(body) {
        Ok(Body::Statement(statement)) => {
            let is_kept =
                |it: &Posting| matches!(it, Posting::Statement(_) | Posting::Subject(_) | Posting::Selector(_));
            keys(&postings_of(&statement).into_iter().filter(is_kept).collect::<Vec<_>>())
        }
        Ok(Body::Erasure(signed)) => {
            let erasure = &signed.erasure;
            let subject = erasure.identity.as_ref().map(|identity| subject_key(&identity.id));
            [body_key(&signed.id()), body_key(&erasure.statement)].into_iter().chain(subject).collect()
        }
        _ => Vec::new(),
    }
}

/// The key by which the entries about an identity are found.
pub(crate) fn subject_key(id: &IdentityId) -> Key {
    Key::of(&Posting::Subject(*id).to_bytes())
}

/// The key under which all entries of a kind are found; a domain is rebuilt from its certificates and descriptors.
pub(crate) fn kind_key(kind: EntryKind) -> Key {
    Key::of(&[0, kind.code()])
}

/// The key under which a body is found by its id.
pub(crate) fn body_key(id: &StatementId) -> Key {
    Key::of(&Posting::Statement(*id).to_bytes())
}
