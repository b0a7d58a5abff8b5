//! What a reader who may not copy a whole domain sees of it, as its peers serve it.
//!
//! Read rules hide whole identities. A reader who may read an identity gets everything on which its record rests,
//! including statements about its groups, whether the entries or the right to read them came first.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::record::{Logged, Posting, resolve};
use ics_core::statement::{Group, Remnant, Subject};
use ics_core::vocabulary::DomainName;
use ics_sync::wire::{self, Base64, Rights};
use sha2::{Digest as _, Sha256};

use crate::api::problem::Code;
use crate::app::admit::judge::is_borne_out;
use crate::app::answer::read::{Sight, with_groups};
use crate::app::answer::resolved::cut_short;
use crate::app::entries::{Said, Snapshot, about, entries_about, find_logged, restore};
use crate::app::following::concern::members_of;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::store::StoredEntry;

/// What one reader may read of a domain at present; decided once for each identity.
pub(crate) struct Eyes<'a> {
    app: &'a App,
    reader: Reader,
    sight: Sight<'a>,
    known: BTreeMap<IdentityId, bool>,
    /// Identities for which it has been told on which entries they rest.
    told: BTreeSet<IdentityId>,
    /// How many entries the reader will have with what is told; `None` if it may copy everything.
    part: Option<u64>,
}

impl App {
    /// The mark of a reader's rights in a domain; `None` if the reader may copy all of it and all of it is here. What
    /// this node itself may not read is reported to the reader as hidden, who can then ask somebody who may.
    ///
    /// It changes with everything that affects at once what the reader may read of many identities: the descriptor, the
    /// configured party of the reader, the roles granted to that party over groups, and what this node itself may read.
    pub(crate) fn rights(&self, reader: Reader, hosted: &Hosted) -> Result<Option<Rights>, AppError> {
        if self.shows_all(reader, hosted)? { Ok(None) } else { self.standing(reader, hosted).map(Some) }
    }

    /// As `rights`, also for readers who may copy all of it: what they may take over can change all the same.
    pub(crate) fn standing(&self, reader: Reader, hosted: &Hosted) -> Result<Rights, AppError> {
        let own = self.store().sight(hosted.number)?;
        let sight = self.sight(hosted)?;
        let party = self.party_of(reader);
        let mut hasher = Sha256::new();
        hasher.update(sight.domain.descriptor().version.to_be_bytes());
        hasher.update(own.settled.to_be_bytes());
        if let Some(party) = party {
            hasher.update(party.node);
            if let Some(signer) = party.signer {
                hasher.update([0]);
                hasher.update(signer.as_bytes());
                let now = self.clock().now();
                let granted = Posting::Grantee(signer);
                let all = find_logged(&sight.entries, &sight.domain, &granted, limits::RECORD_STATEMENTS)?;
                for grant in all.iter().filter(|grant| matches!(grant.subject(), Subject::Group(_))) {
                    hasher.update(grant.index().to_be_bytes());
                    hasher.update([u8::from(grant.claims().is_in_time(now))]);
                }
            }
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let mut mark = [0; 16];
        mark.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Ok(Base64(mark))
    }

    /// Whether a reader may copy all of a domain, and all of it is here.
    pub(crate) fn shows_all(&self, reader: Reader, hosted: &Hosted) -> Result<bool, AppError> {
        Ok(self.may_mirror(reader, hosted) && self.is_whole(hosted)?)
    }

    /// Whether nothing of a domain is kept back from this node: it is the home, or its copy may read everything.
    pub(crate) fn is_whole(&self, hosted: &Hosted) -> Result<bool, AppError> {
        Ok(self.store().sight(hosted.number)?.rights.is_none())
    }

    /// What a reader may now read of entries that were hidden from it, and which entries that it holds it may no longer
    /// read.
    ///
    /// # Errors
    /// When the domain is not held here, too many entries are asked for, or there is none at one of the indices.
    pub fn entries_again(
        &self,
        reader: Reader,
        domain: &DomainName,
        again: &wire::Again,
    ) -> Result<wire::Shown, AppError> {
        let hosted = self.hosted(domain)?;
        let count = again.hidden.len() + again.held.len();
        if count > limits::FEED_ENTRIES {
            let detail = format!("{count} entries were asked for, but at most {} are given", limits::FEED_ENTRIES);
            return Err(AppError::new(Code::BatchTooLarge, detail));
        }
        let size = self.seal(&hosted)?.size;
        if let Some(beyond) = again.hidden.iter().chain(&again.held).find(|index| **index >= size) {
            return Err(AppError::new(Code::OutOfRange, format!("there is no entry {beyond} among {size}")));
        }
        let rights = self.rights(reader, &hosted)?;
        // What comes later than the reader takes now is not among what that reader will then have.
        let part = again.until.map_or(size, |until| until.min(size));
        let mut eyes = self.eyes(reader, &hosted, rights.as_ref().map(|_| part))?;
        let mut shown = wire::Shown {
            question: again.question,
            rights,
            entries: Vec::new(),
            earlier: Vec::new(),
            lost: Vec::new(),
        };
        let (mut bytes, mut earlier) = (0, BTreeSet::new());
        for index in &again.hidden {
            let stored = self.store().entry(hosted.number, *index)?;
            let entry = eyes.travelling(&stored)?;
            bytes += entry.bytes();
            let (rests_on, _) = eyes.told_with(size, &stored)?;
            let is_first = shown.entries.is_empty();
            if !is_first && (bytes > limits::FEED_BYTES || earlier.union(&rests_on).count() >= limits::SIGHT_INDICES) {
                break;
            }
            earlier.extend(rests_on);
            shown.entries.push(entry);
        }
        // If that is not all, the reader looks at everything again. The newest may be hidden on the page that waits.
        let more = earlier.len().saturating_sub(limits::SIGHT_INDICES);
        shown.earlier = earlier.into_iter().skip(more).collect();
        for index in &again.held {
            let entry = self.store().entry(hosted.number, *index)?;
            // This also covers entries that are not here: this node may no longer read them either, or they were erased
            // before they were hidden.
            if !eyes.may_have(&entry)? {
                shown.lost.push(*index);
            }
        }
        Ok(shown)
    }

    /// How a reader sees a domain. For one that takes a part of it, `part` is how many entries it will then have.
    pub(crate) fn eyes<'a>(
        &'a self,
        reader: Reader,
        hosted: &'a Hosted,
        part: Option<u64>,
    ) -> Result<Eyes<'a>, AppError> {
        let sight = self.sight(hosted)?;
        Ok(Eyes { app: self, reader, sight, known: BTreeMap::new(), told: BTreeSet::new(), part })
    }
}

impl Eyes<'_> {
    /// An entry as it is sent to the reader.
    ///
    /// Refuses with [`Code::Behind`] what cannot be told yet.
    pub(crate) fn travelling(&mut self, entry: &StoredEntry) -> Result<wire::Entry, AppError> {
        Ok(match &entry.content {
            Some(content) if self.may_have(entry)? => wire::Entry::Whole(super::feed::whole(entry, content)),
            Some(_) => wire::Entry::Hidden(entry.leaf),
            None => match Remnant::from_bytes(&entry.header) {
                Some(remnant) if self.may_have_of(&remnant.identity)? => {
                    self.check_erasure_comes(entry.index, &remnant)?;
                    wire::Entry::Erased { leaf: entry.leaf, remnant }
                }
                _ => wire::Entry::Hidden(entry.leaf),
            },
        })
    }

    /// Refuses to tell a reader of a part what is left of an erased entry if its erasure is not among what that reader
    /// will then have, because it is not shown yet or comes later than what was asked for. Such a reader cannot tell
    /// whether it is ever to come, and would see the thing without the block that the erasure restates. Others wait for
    /// it themselves.
    fn check_erasure_comes(&self, index: u64, remnant: &Remnant) -> Result<(), AppError> {
        let Some(part) = self.part else { return Ok(()) };
        let (store, number) = (self.app.store(), self.sight.hosted.number);
        let comes_within = |size| is_borne_out(&Snapshot { store, number, size }, index, remnant);
        if comes_within(part)? {
            return Ok(());
        }
        // What a peer of this node said falsely is confirmed by nothing, and passed on as it is.
        let is_to_come = self.app.is_unshown(&self.sight)? || comes_within(store.head(number)?.size)?;
        if is_to_come { Err(cut_short(&remnant.identity)) } else { Ok(()) }
    }

    /// Whether the reader may have an entry's body, or know that it was erased. Readers who may copy the domain may;
    /// descriptors and certificates are for everybody, because nothing can be verified without them.
    pub(crate) fn may_have(&mut self, entry: &StoredEntry) -> Result<bool, AppError> {
        if self.app.may_mirror(self.reader, self.sight.hosted) {
            return Ok(true);
        }
        if entry.content.is_none() {
            return match Remnant::from_bytes(&entry.header) {
                Some(remnant) => self.may_have_of(&remnant.identity),
                None => Ok(false),
            };
        }
        match restore(&self.sight.domain, entry)? {
            Some(statement) => self.may_know(&statement),
            None => Ok(entry.effective),
        }
    }

    /// Whether the reader may know that something was said about an identity. Statements about groups are never erased.
    fn may_have_of(&mut self, id: &IdentityId) -> Result<bool, AppError> {
        if self.app.may_mirror(self.reader, self.sight.hosted) {
            return Ok(true);
        }
        if let Some(known) = self.known.get(id) {
            return Ok(*known);
        }
        let may = self.may_read(id)?;
        // A peer may call a statement about a group erased. Whether that may be known depends on its members as well.
        if !matches!(id, IdentityId::Group(_)) {
            self.known.insert(*id, may);
        }
        Ok(may)
    }

    /// Whether the reader may read anything; if not, nothing is looked up.
    fn may_read_any(&self) -> bool {
        self.app.may_read_any(self.reader, &self.sight.domain)
    }

    /// Whether the reader may read what is said about a statement's subject.
    fn may_know(&mut self, statement: &Logged) -> Result<bool, AppError> {
        if !self.may_read_any() {
            return Ok(false);
        }
        let id = statement.subject_id();
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let may = self.may_read(&id)?
            || match statement.subject() {
                Subject::Group(group) => self.may_read_member(&id, group)?,
                Subject::Key { .. } | Subject::Software(_) => false,
            };
        self.known.insert(id, may);
        Ok(may)
    }

    /// Whether the reader may read what is said about the identity itself, as whoever looks it up: so not while what
    /// may hide it is erased and what is left of that is not shown yet.
    fn may_read(&self, id: &IdentityId) -> Result<bool, AppError> {
        Ok(self.app.readable(self.reader, &self.sight, id)?.is_some())
    }

    /// Whether the reader may read one of a group's members, whose record rests on what is said about the group; or a
    /// member of a group that belongs to it, and so on, because who may speak about that group depends on it.
    ///
    /// A group may have many members, and a page may tell of many groups that have the same ones: each is read once.
    fn may_read_member(&mut self, id: &IdentityId, group: &Group) -> Result<bool, AppError> {
        let IdentityId::Group(named) = id else { return Ok(false) };
        let (mut groups, mut waiting) = (BTreeSet::from([*named]), vec![(*named, group.clone())]);
        while let Some((named, group)) = waiting.pop() {
            let mut seen = BTreeSet::new();
            for posting in members_of(&group, &named) {
                let (entries, domain) = (&self.sight.entries, &self.sight.domain);
                let found = find_logged(entries, domain, &posting, limits::GROUP_MEMBERS_SOUGHT)?;
                for member in &found {
                    let id = member.subject_id();
                    if !seen.insert(id) {
                        continue;
                    }
                    let known = self.known.get(&id).copied();
                    let may = known.map_or_else(|| self.may_read(&id), Ok)?;
                    let inner = match (id, member.subject()) {
                        (IdentityId::Group(inner), Subject::Group(within)) if known.is_none() => Some((inner, within)),
                        (IdentityId::Group(_), _) => None,
                        (IdentityId::Key(_) | IdentityId::Software(_), _) => {
                            self.known.insert(id, may);
                            None
                        }
                    };
                    let matters = may || inner.is_some();
                    if !matters || !self.app.is_member(&self.sight, &id, &group, &named)? {
                        continue;
                    }
                    if may {
                        return Ok(true);
                    }
                    waiting.extend(inner.filter(|(id, _)| groups.insert(*id)).map(|(id, within)| (id, within.clone())));
                }
                // There may be more members; failing to show a block would be worse than showing one too many.
                if found.len() >= limits::GROUP_MEMBERS_SOUGHT || groups.len() > limits::GROUPS_NAMED {
                    return Ok(true);
                }
            }
        }
        self.known.extend(groups.into_iter().map(|group| (IdentityId::Group(group), false)));
        Ok(false)
    }

    /// The indices before `from` of the entries on which an entry rests, and of those about an identity that is hidden
    /// with it but was not before; each identity is reported once.
    pub(crate) fn told_with(
        &mut self,
        from: u64,
        entry: &StoredEntry,
    ) -> Result<(BTreeSet<u64>, BTreeSet<u64>), AppError> {
        let (mut earlier, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let Some(statement) = restore(&self.sight.domain, entry)? else { return Ok((earlier, ended)) };
        let id = statement.subject_id();
        if !self.told.insert(id) {
            return Ok((earlier, ended));
        }
        if self.may_know(&statement)? {
            let found = entries_about(&self.sight.entries, &id)?;
            let said = Said::of(&self.sight.entries, &self.sight.domain, &id, &found)?;
            let all = with_groups(&self.sight, said)?;
            // What is left of an erased statement says that something is missing where others rest on it.
            let is_left = |it: &&StoredEntry| Remnant::from_bytes(&it.header).is_some_and(|left| left.identity == id);
            let left = found.iter().filter(is_left).map(|it| it.index);
            earlier.extend(all.iter().map(Logged::index).chain(left).filter(|index| *index < from));
        } else if self.might_have_read(&id, from)? {
            let held = about(&self.sight.entries, &self.sight.domain, &id)?;
            ended.extend(held.iter().map(Logged::index).filter(|index| *index < from));
        }
        Ok((earlier, ended))
    }

    /// Whether the reader may hold something about an identity that it may not read now: because it could read it at
    /// some time since the log had `size` entries, or because it was ever granted a role over it.
    fn might_have_read(&self, id: &IdentityId, size: u64) -> Result<bool, AppError> {
        if !self.may_read_any() {
            return Ok(false);
        }
        let domain = &self.sight.domain;
        let said = Said::read(&self.sight.entries, domain, id)?;
        let signer = self.app.party_of(self.reader).and_then(|party| party.signer);
        let mut grants = said.about.iter().chain(&said.groups).filter_map(Logged::grant);
        if grants.any(|grant| Some(grant.grantee) == signer) {
            return Ok(true);
        }
        let before = |all: &[Logged], end: u64| -> Vec<Logged> {
            all.iter().filter(|statement| statement.index() < end).cloned().collect()
        };
        let ends = said.about.iter().map(|statement| statement.index() + 1).filter(|end| *end > size);
        for end in core::iter::once(size).chain(ends) {
            let (about, groups) = (before(&said.about, end), before(&said.groups, end));
            let Some(last) = about.last() else { continue };
            for at in [last.admitted_at(), self.app.clock().now()] {
                let record = resolve(domain, id, &about, &groups, at);
                if record.is_some_and(|record| self.app.may_read(self.reader, domain, &record)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
