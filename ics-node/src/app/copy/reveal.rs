//! A partial mirror's second look at what it holds: it fills in what it may read now, and deletes what it may no longer
//! read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::entry::{Entry, EntryKind, Header};
use ics_core::record::Posting;
use ics_core::statement::Remnant;
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_sync::mirror::{Fill, Seen, Survey};

use super::feed::decode;
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::admit::check::{Checked, check_logged};
use crate::app::admit::judge::{Judgement, is_borne_out, judge_earlier, why_without_effect};
use crate::app::entries::{Entries as _, Line, Snapshot, keys_of, keys_of_missed, keys_of_remnant};
use crate::app::hosted::Hosted;
use crate::app::open::take;
use crate::app::{App, AppError, random};
use crate::store::{Content, Filling, StoreError, StoredEntry, WriteTx};

/// What a peer says is left of an erased entry.
struct Left {
    index: u64,
    remnant: Remnant,
    /// What was noted here, if anything was.
    former: Option<Remnant>,
}

/// An entry to be judged at its place in the log: filled in, or already held and to be judged again.
struct Judging {
    index: u64,
    header: Header,
    checked: Result<Checked, Problem>,
    /// The domain as it was before this entry.
    domain: Arc<Domain>,
    filling: Option<Filling>,
}

impl App {
    /// How the next entries that a survey asks about are held.
    pub(crate) fn survey(&self, hosted: &Hosted, survey: &Survey) -> Result<Vec<Seen>, AppError> {
        let next = |among: &BTreeSet<u64>| among.range(survey.from..).copied().take(limits::FEED_ENTRIES).collect();
        let among: Option<Vec<u64>> = survey.among.as_deref().map(next);
        let held = self.store().holdings(hosted.number, survey.from, among.as_deref(), limits::FEED_ENTRIES)?;
        Ok(held.into_iter().map(|it| Seen { index: it.index, leaf: it.leaf, is_whole: it.is_whole }).collect())
    }

    /// Stores what may now be read. Each entry is judged as of its own index, by the policy in force there and by what
    /// precedes it. Later entries about the same identities are judged again, because they may depend on it, or on what
    /// was erased: what is left of that is noted first, even if nothing bears it out yet.
    pub(crate) fn take_fill(&self, hosted: &Arc<Hosted>, fill: &Fill) -> Result<(), AppError> {
        let left = self.remnants(hosted, fill)?;
        let judging = self.judging(hosted, fill, &left)?;
        let (tested, lost, alarm) = (fill.tested.clone(), fill.lost.clone(), left_out(fill));
        let (now, writer) = (self.clock().now(), Arc::clone(hosted));
        let job = move |tx: &mut WriteTx<'_>| {
            for (index, remnant) in &tested {
                if !is_borne_out(&*tx, *index, remnant)? {
                    return Err(AppError::new(Code::Refused, not_erased(*index, remnant)));
                }
            }
            writer.forget_line();
            leave(tx, left)?;
            tested.into_iter().try_for_each(|(index, remnant)| tx.erase(index, remnant.to_bytes()))?;
            if let Some(first) = judging.first() {
                writer.note_filled(first.index, tx.sight().unsettled);
            }
            lost.into_iter().try_for_each(|index| lose(tx, index))?;
            if let Some(alarm) = &alarm {
                tx.alarm(now, "left-out", alarm);
            }
            Ok::<_, AppError>(judge_all(tx, judging, now)?)
        };
        self.store().write(hosted.number, job)?.wait()?;
        let is_certification = |(_, header, _): &(u64, Header, Entry)| header.kind == EntryKind::Certification;
        hosted.lacks_certification.fetch_or(fill.entries.iter().any(is_certification), Ordering::Relaxed);
        Ok(())
    }

    /// What is said to be left of erased entries, as far as that is new here. Of what is tested all counts: if an
    /// erasure came first, what was said before it was judged without knowing that something was missing.
    fn remnants(&self, hosted: &Hosted, fill: &Fill) -> Result<Vec<Left>, AppError> {
        let mut all = Vec::new();
        let told = fill.erased.iter().map(|it| (it, false));
        for ((index, remnant), is_tested) in told.chain(fill.tested.iter().map(|it| (it, true))) {
            let held = self.store().entry(hosted.number, *index)?;
            let former = Remnant::from_bytes(&held.header);
            if held.content.is_none() && (is_tested || former != Some(*remnant)) {
                all.push(Left { index: *index, remnant: *remnant, former });
            }
        }
        Ok(all)
    }

    /// The entries to be judged, in log order, with signatures verified under the certificates of their time.
    fn judging(&self, hosted: &Hosted, fill: &Fill, left: &[Left]) -> Result<Vec<Judging>, AppError> {
        let mut waiting: Vec<(u64, Header, Entry, bool)> =
            fill.entries.iter().map(|(index, header, entry)| (*index, header.clone(), entry.clone(), true)).collect();
        for held in self.behind(hosted, fill, left)? {
            if let Some(content) = held.content {
                let entry = Entry { header: held.header, salt: content.salt, body: content.body };
                waiting.push((held.index, decode(&entry.header)?, entry, false));
            }
        }
        waiting.sort_unstable_by_key(|(index, ..)| *index);
        let mut own = self.own_entries(hosted)?.into_iter().peekable();
        let (mut domain, mut judging) = (None, Vec::with_capacity(waiting.len()));
        let mut waiting = waiting.into_iter().peekable();
        while let Some((next, ..)) = waiting.peek() {
            while let Some(entry) = own.next_if(|entry| entry.index < *next) {
                take(&mut domain, &hosted.name, &entry)?;
            }
            let until = own.peek().map_or(u64::MAX, |entry| entry.index);
            let mut run = Vec::new();
            while let Some(one) = waiting.next_if(|(index, ..)| *index <= until) {
                run.push(one);
            }
            let Some(ruling) = &domain else { continue };
            let bodies: Vec<(&[u8], Timestamp)> =
                run.iter().map(|(_, header, entry, _)| (entry.body.as_slice(), header.keys_judged_at())).collect();
            let checked = check_logged(Some(ruling), &bodies, random()?);
            for ((index, header, entry, is_new), checked) in run.into_iter().zip(checked) {
                let mut ruling = ruling.clone();
                ruling.grow_to(index, Timestamp::default());
                let keys = keys_of(&header, &entry.body);
                let content = Content { salt: entry.salt, body: entry.body };
                let filling = is_new.then_some(Filling { index, header: entry.header, content, keys });
                judging.push(Judging { index, header, checked, domain: Arc::new(ruling), filling });
            }
        }
        Ok(judging)
    }

    /// The entries held about the same identities, after the first one filled in, or left of, for each.
    fn behind(&self, hosted: &Hosted, fill: &Fill, left: &[Left]) -> Result<Vec<StoredEntry>, AppError> {
        let mut known: BTreeSet<u64> = fill.entries.iter().map(|(index, ..)| *index).collect();
        let mut firsts: BTreeMap<IdentityId, u64> = BTreeMap::new();
        let mut note = |id: IdentityId, index: u64| {
            let first = firsts.entry(id).or_insert(index);
            *first = index.min(*first);
        };
        for (index, _, entry) in &fill.entries {
            if let Ok(Body::Statement(statement)) = body::parse(&entry.body) {
                note(statement.identity(), *index);
            }
        }
        for Left { index, remnant, former } in left {
            note(remnant.identity, *index);
            if let Some(former) = former {
                note(former.identity, *index);
            }
        }
        // What a peer had said to be left in the place of what is filled in may have decided about others.
        let filled: Vec<u64> = known.iter().copied().collect();
        for held in self.store().entries_held(hosted.number, &filled)? {
            if let Some(former) = Remnant::from_bytes(&held.header) {
                note(former.identity, held.index);
            }
        }
        let mut behind = Vec::new();
        // Everything held, proven or not, in effect or not: a first copy has no checkpoint before its end, and a later
        // one an older checkpoint; and of a look that was broken off, entries are here that take effect with this one.
        let size = self.store().head(hosted.number)?.size;
        let log = Snapshot { store: self.store(), number: hosted.number, size };
        for (id, first) in firsts {
            let mut indices = log.indices(&[Posting::Subject(id)], limits::RECORD_ENTRIES)?;
            indices.retain(|index| *index > first && known.insert(*index));
            behind.extend(self.store().entries_held(hosted.number, &indices)?);
        }
        Ok(behind)
    }

    /// What the domain says about itself, in log order.
    pub(crate) fn own_entries(&self, hosted: &Hosted) -> Result<Vec<StoredEntry>, AppError> {
        let mut own = Vec::new();
        for kind in [EntryKind::Descriptor, EntryKind::Certificate, EntryKind::Certification] {
            own.extend(self.entries_of_kind(hosted, kind)?);
        }
        own.sort_unstable_by_key(|entry| entry.index);
        Ok(own)
    }
}

/// Notes what is said to be left, unless so much is known of the same thing already that hardly anything more would be
/// admitted. Nobody has signed it: a peer that calls thousands of entries erased would keep what stands behind them
/// from being among the first statements about a thing, which are all that is read.
fn leave(tx: &mut WriteTx<'_>, left: Vec<Left>) -> Result<(), StoreError> {
    let most = limits::RECORD_STATEMENTS_OPEN;
    let mut known: BTreeMap<IdentityId, usize> = BTreeMap::new();
    for Left { index, remnant, .. } in left {
        let count = match known.get(&remnant.identity) {
            Some(count) => *count,
            None => tx.indices(&[Posting::Subject(remnant.identity)], most)?.len(),
        };
        if count < most {
            tx.leave(index, remnant.to_bytes(), keys_of_remnant(&remnant))?;
        }
        known.insert(remnant.identity, count + 1);
    }
    Ok(())
}

/// Deletes what this node may no longer read, since it would not hear of an erasure. That it is missing stays known.
///
/// What a domain says about itself is for everybody, whatever a peer says: without it nothing could be read after a
/// restart, and no peer could be believed.
pub(crate) fn lose(tx: &mut WriteTx<'_>, index: u64) -> Result<(), StoreError> {
    let StoredEntry { header, content, .. } = tx.entry(index)?;
    let kind = Header::decode(&header).map(|header| header.kind);
    match (content, kind) {
        (Some(_), Ok(EntryKind::Descriptor | EntryKind::Certificate | EntryKind::Certification)) | (None, _) => Ok(()),
        (Some(content), _) => tx.lose(index, keys_of_missed(&content.body)),
    }
}

/// Why it is not believed that an entry was erased.
fn not_erased(index: u64, left: &Remnant) -> String {
    format!(
        "the peer says that entry {index}, the statement {}, was erased, and no erasure that is here says so: the \
         erasure is still to come, or the peer withholds the entry",
        left.statement
    )
}

/// Reports what the home shows although others had said that it may not be read. Those others need not have lied: a
/// node with an earlier policy, or one that knows this node by another name, says the same.
fn left_out(fill: &Fill) -> Option<String> {
    let doubt = fill.doubt.as_ref()?;
    let mut shown = fill.entries.iter().map(|(index, ..)| *index).filter(|index| doubt.from <= *index);
    let (first, more) = (shown.next()?, shown.count());
    let others = if more == 0 { String::new() } else { format!(" and {more} more after it") };
    Some(format!(
        "the home shows entry {first}{others}, which had been left out of what came from {}: that peer withholds what \
         this node may read, or went by another policy than the home does now",
        doubt.names()
    ))
}

/// Judges one entry after another in log order: the result for one is known before later ones are judged, and each
/// entry of a long record is read once.
fn judge_all(tx: &mut WriteTx<'_>, judging: Vec<Judging>, now: Timestamp) -> Result<(), StoreError> {
    let (mut line, mut last) = (Line::default(), None::<Arc<Domain>>);
    for one in judging {
        // Other certificates may decide whose statements they are.
        if last.as_ref().is_some_and(|last| !one.domain.has_certificates_of(last)) {
            line.forget();
        }
        last = Some(Arc::clone(&one.domain));
        judge_one(tx, &mut line, one, now)?;
    }
    Ok(())
}

fn judge_one(tx: &mut WriteTx<'_>, line: &mut Line, one: Judging, now: Timestamp) -> Result<(), StoreError> {
    let Judging { index, header, checked, domain, filling } = one;
    let judgement = match &checked {
        Ok(checked) => judge_earlier(tx, index, &domain, &header, checked, line)?,
        Err(problem) => Judgement::Refused(problem.clone()),
    };
    if let Judgement::Admitted(admission) = &judgement
        && let Some((erased, remnant)) = admission.erases()
    {
        tx.erase(erased, remnant.to_bytes())?;
        line.forget();
    }
    let why = match judgement {
        Judgement::Admitted(admission) if admission.kind == header.kind => None,
        Judgement::Admitted(admission) => Some(format!("it is {}", admission.kind.as_str())),
        Judgement::Present(at) => Some(format!("it stands at index {at} already")),
        Judgement::Refused(problem) if filling.is_some() => Some(why_without_effect(tx, index, &problem)),
        // The alarm was raised when it arrived.
        Judgement::Refused(problem) => Some(problem.in_general()),
    };
    let effective = why.is_none();
    match (filling, why) {
        (Some(filling), why) => {
            tx.fill(filling, effective)?;
            if let Some(why) = why {
                tx.alarm(now, "entry-without-effect", &format!("entry {index}: {why}"));
            }
        }
        (None, _) if tx.entry(index)?.effective != effective => tx.judge_again(index, effective),
        (None, _) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ics_core::identity::Kind;
    use ics_core::openpgp::signer::Signer as _;
    use ics_core::statement::make::{certify, certify_user_id};
    use ics_core::statement::{Claims, Grant};
    use ics_core::vocabulary::Act;
    use ics_sync::carried::{Carried, Wanted};
    use ics_sync::wire::{self, Base64, Sight};

    use super::*;
    use crate::app::Reader;
    use crate::config::PeerConfig;
    use crate::fixture::{Party, SALT, claims, device, word};

    const USER_ID: &str = "urn:dev:os:32473-1";

    /// gpg would not be given it, and the signer's quota would not be charged for it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_certification_that_was_hidden_at_first_is_known_once_it_takes_effect() {
        let (maker, buyer) = (Party::found("devices.acme.example"), Party::found("buyer.example"));
        let (home, domain) = (maker.open(), &maker.domain);
        maker.publish(&home, &device(1), USER_ID, "L1").await;
        let (now, primary) = (home.clock().now(), buyer.signer.public_key().fingerprint());
        let grant = Some(Grant { grantee: primary, role: word("owner") });
        let grant = Claims { grant, ..claims(&maker, Act::Grant) };
        let grant = certify(&maker.signer, &device(1), USER_ID, None, Kind::Device, &grant, false, now, &SALT);
        let certified = certify_user_id(&maker.signer, buyer.signer.public_key(), "buyer.example", now, &SALT);
        for body in [grant.expect("made"), buyer.certificate.clone(), certified.expect("made")] {
            maker.submit_one(&home, body).await.expect("admitted");
        }
        maker.publish(&home, &device(2), "urn:dev:os:32473-2", "L2").await;
        let origin = home.domain(domain).expect("here").info.origin;
        let site = Party::found("plant.example");
        let copy = site.open_for(vec![PeerConfig { mirror: vec![origin], ..PeerConfig::new(word("acme")) }]);

        let mut said = Carried::Begin;
        let reached = loop {
            let wanted = tokio::task::block_in_place(|| copy.carried(domain, said)).expect("taken");
            said = match wanted {
                Wanted::Descriptors { from } => Carried::Descriptors(home.descriptors(domain, from).expect("here")),
                Wanted::Checkpoint => Carried::Checkpoint(home.checkpoint(domain).expect("signed")),
                Wanted::Page { from, until, .. } => {
                    let mut page = home.entries(Reader::Anonymous, domain, from, 6, Some(until)).expect("a page");
                    if from == 0 {
                        page.sight = Some(Sight { rights: Base64([1; 16]), earlier: Vec::new(), ended: Vec::new() });
                        let last = page.entries.last_mut().expect("the certification");
                        *last = wire::Entry::Hidden(last.leaf_data());
                    }
                    Carried::Page(page)
                }
                Wanted::Again(again) => {
                    Carried::Shown(home.entries_again(Reader::Anonymous, domain, &again).expect("shown"))
                }
                Wanted::Nothing(reached) => break reached,
            };
        };
        assert_eq!((reached.trouble, reached.size), (None, 7));
        let known = |app: &App| {
            let known = app.hosted(domain).expect("here").domain().expect("founded");
            (known.certifications(&primary), known.size())
        };
        assert_eq!([&home, &copy].map(known), [(vec![5], 7), (vec![5], 7)]);
    }
}
