//! What this node answers when asked whether a thing may be used.
//!
//! [`App::check`] answers a gateway's question at run time: from memory, in one word with a reason, and never `allow`
//! if anything failed. [`App::verdict`] gives the same answer with everything that it rests on.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::descriptor::Freshness;
use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use ics_core::trust::{
    Looked, Outcome, Question, Reason, Ruling, Testimony, TrustPolicy, USES, Verdict, fresh_until, settle,
};
use ics_core::vocabulary::DomainName;
use ics_sync::mirror::Ahead;
use sha2::{Digest as _, Sha256};

use super::answers::{Depth, Gathered, Query, Source, Told};
use super::case::EVERY_ANSWER;
use super::memory::Asked;
use crate::api::problem::Code;
use crate::api::{Check, MirrorInfo};
use crate::app::entries::subject_key;
use crate::app::hosted::Hosted;
use crate::app::open::clock_words;
use crate::app::roam::{Answer, Need};
use crate::app::{App, AppError, Reader};
use crate::store::{DomainNumber, Key, Reach};

/// Why nothing is decided here, and what to do.
pub(super) const NO_POLICY: &str = "this node has no trust policy: `ics trust init` makes one, and `policy` in the \
                                    section `trust` of ics.toml names it";

/// The answer that nobody can tell.
const fn unknown(reason: Reason) -> Check {
    Check { verdict: Outcome::Unknown, reason, as_of: None, fresh_until: None, view: String::new() }
}

/// A thing as the domains that count describe it.
struct Looking {
    candidates: usize,
    id: Option<IdentityId>,
    told: Vec<Told>,
    /// What other nodes have answered about it, for domains of which no copy is here.
    elsewhere: Vec<Arc<Answer>>,
    /// Domains here whose silence about it means nothing, because they may keep things back from the reader.
    mute: Vec<DomainNumber>,
}

impl Looking {
    /// A number for the thing; if anything is told about it, memory has the number at hand.
    fn key(&self) -> u64 {
        let told = self.told.first().map(|told| told.kept.place.0);
        told.or_else(|| self.id.as_ref().map(subject_key)).map_or(0, Key::bits)
    }
}

/// The question: whether a thing may be used in a certain way, under a policy, as far as a reader may know.
#[derive(Clone, Copy)]
pub(in crate::app) struct Matter<'a> {
    pub(in crate::app) reader: Reader,
    pub(in crate::app) policy: &'a TrustPolicy,
    pub(in crate::app) usage: &'a str,
    pub(in crate::app) thing: &'a Query,
    /// The peer that the thing is to be used with.
    pub(in crate::app) peer: Option<&'a Query>,
}

/// Where and for which use a thing is looked up.
struct Scope<'p> {
    policy: &'p TrustPolicy,
    usage: &'p str,
    heard: Vec<Source>,
    /// The domains that count and are not held here, about which others may be asked.
    away: Vec<Origin>,
    now: Timestamp,
}

impl App {
    /// Whether a thing may be used in this way, now, by this node's trust policy; `None` if that needs more than
    /// `depth`. Never fails: what cannot be decided is `unknown`, with the reason.
    #[must_use]
    pub fn check(
        &self,
        reader: Reader,
        usage: &str,
        thing: &Query,
        peer: Option<&Query>,
        depth: Depth,
    ) -> Option<Check> {
        let decide = |policy| {
            let matter = Matter { reader, policy, usage, thing, peer };
            if EVERY_ANSWER {
                return self.proven_check(&matter, depth);
            }
            self.decided(&matter, depth, self.clock().now())
        };
        let decided = self.0.trust.as_deref().map_or_else(|| Ok(Some(unknown(Reason::NoPolicy))), decide);
        let check = decided.unwrap_or_else(|error| {
            tracing::error!(%error, "a check could not be answered");
            Some(unknown(Reason::Unreadable))
        });
        if let Some(check) = check.as_ref().filter(|check| check.verdict != Outcome::Allow) {
            self.0.denied.note_check((thing.text(), peer.map(Query::text), usage), check, self.clock().now());
        }
        check
    }

    /// The answer to a gateway, as of a time.
    pub(in crate::app) fn decided(
        &self,
        matter: &Matter<'_>,
        depth: Depth,
        now: Timestamp,
    ) -> Result<Option<Check>, AppError> {
        let Matter { reader, policy, usage, thing, peer } = *matter;
        let scope = self.scope(policy, usage, now)?;
        let mut looking = Vec::with_capacity(2);
        for query in [Some(thing), peer].into_iter().flatten() {
            match self.look(reader, query, &scope, depth)? {
                Some(one) => looking.push((query, one)),
                None => return Ok(None),
            }
        }
        let (ruling, changes_at) = self.ruling(&looking, &scope)?;
        Ok(Some(answer(&scope, &looking, ruling, changes_at)))
    }

    fn scope<'p>(&self, policy: &'p TrustPolicy, usage: &'p str, now: Timestamp) -> Result<Scope<'p>, AppError> {
        let heard = self.heard(policy)?;
        let away = if heard.len() < policy.domains().len() { self.away(policy) } else { Vec::new() };
        Ok(Scope { policy, usage, heard, away, now })
    }

    /// The domains that count and that anything was heard from.
    pub(in crate::app) fn heard(&self, policy: &TrustPolicy) -> Result<Vec<Source>, AppError> {
        let mut heard = Vec::with_capacity(policy.domains().len());
        for origin in policy.domains() {
            let Ok(hosted) = self.hosted(&origin.domain) else { continue };
            let Some(reach) = self.store().reach(hosted.number)? else { continue };
            let Some(domain) = hosted.domain().filter(|domain| domain.is(origin)) else { continue };
            heard.push(Source { hosted, domain, reach });
        }
        Ok(heard)
    }

    /// A thing as these domains describe it to a reader. An answer that left out what the reader may not read could
    /// allow what is blocked. So a reader who may not read all of it is told nothing, not even how many things a name
    /// fits; nor that nobody knows the thing, if somebody may.
    fn look(
        &self,
        reader: Reader,
        query: &Query,
        scope: &Scope<'_>,
        depth: Depth,
    ) -> Result<Option<Looking>, AppError> {
        let Some(mut gathered) = self.gather(query, &scope.heard, (depth, scope.now))? else { return Ok(None) };
        let mut is_readable = self.may_read_all(reader, &gathered)?;
        let mut elsewhere = Vec::new();
        if !scope.away.is_empty() {
            let need = Need { policy: scope.policy, usage: scope.usage, now: scope.now };
            let around = self.with_elsewhere((query, gathered), (&scope.heard, &scope.away), need, depth)?;
            let Some(around) = around else { return Ok(None) };
            (gathered, elsewhere) = around;
            is_readable &= self.may_read_all(reader, &gathered)?;
            is_readable &= elsewhere.iter().all(|answer| answer.is_readable(self, reader));
        }
        if !is_readable || gathered.is_empty() {
            return Ok(Some(self.nothing_told(reader, &scope.heard, elsewhere)?));
        }
        let candidates = gathered.len();
        let (id, told) = match gathered.pop().filter(|_| candidates == 1) {
            Some((id, told)) => (Some(id), told),
            None => (None, Vec::new()),
        };
        if candidates > 1 {
            // If several identities match, nothing is said about any of them.
            elsewhere.retain(|answer| answer.identity().is_none());
        }
        Ok(Some(Looking { candidates, id, told, elsewhere, mute: Vec::new() }))
    }

    /// What a reader learns who is told nothing: the same whether there is nothing or the reader may not read it.
    fn nothing_told(
        &self,
        reader: Reader,
        heard: &[Source],
        mut elsewhere: Vec<Arc<Answer>>,
    ) -> Result<Looking, AppError> {
        elsewhere.retain(|answer| answer.identity().is_none() && answer.is_shown_all(self, reader));
        let mute = self.mute(reader, heard)?.into_iter().map(|it| it.hosted.number).collect();
        Ok(Looking { candidates: 0, id: None, told: Vec::new(), elsewhere, mute })
    }

    /// Whether a reader may read all that these domains say about these identities. What this node may itself no longer
    /// read is mentioned only to readers who certainly may read everything: for anybody else it may be hidden.
    fn may_read_all(&self, reader: Reader, gathered: &Gathered) -> Result<bool, AppError> {
        for one in gathered.iter().flat_map(|(_, told)| told) {
            let may = match (one.kept.known(), one.kept.withheld) {
                (Some(_), _) => one.is_readable(self, reader)?,
                (None, true) => one.hosted.domain().is_some_and(|domain| self.is_shown_all(reader, &domain)),
                (None, false) => true,
            };
            if !may {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The ruling that holds as long as the records stay as they are.
    fn ruling(
        &self,
        looking: &[(&Query, Looking)],
        Scope { policy, usage, heard, now, .. }: &Scope<'_>,
    ) -> Result<(Ruling, Option<Timestamp>), AppError> {
        let rests_on = || looking.iter().flat_map(|(_, it)| it.told.iter().map(|told| &told.kept));
        let elsewhere = || looking.iter().flat_map(|(_, it)| &it.elsewhere).filter_map(|answer| answer.changes_at());
        let changes_at = rests_on().filter_map(|kept| kept.changes_at()).chain(elsewhere()).min();
        // The answers of other nodes are not among the things whose change ends a ruling in memory.
        let certain = looking.iter().all(|(_, it)| it.id.is_some() && it.elsewhere.is_empty());
        let key = |number: usize| looking.get(number).map_or(0, |(_, it)| it.key());
        let asked = Asked { usage: word(usage), thing: key(0), peer: key(1) };
        if certain && let Some(ruling) = self.memory().recall_ruling(&asked, rests_on()) {
            return Ok((ruling, changes_at));
        }
        let mut things = Vec::with_capacity(2);
        for (query, it) in looking {
            things.push(looked(query, it.candidates, testimonies(heard, it)?));
        }
        let mut things = things.into_iter();
        let Some(thing) = things.next() else { return Err(AppError::Internal("nothing was asked for".to_owned())) };
        let question = Question { usage: (*usage).to_owned(), thing, peer: things.next() };
        let ruling = settle(&question, policy, *now);
        if certain {
            self.memory().keep_ruling(asked, rests_on(), ruling);
        }
        Ok((ruling, changes_at))
    }

    /// Whether a thing may be used in this way, now, by this node's trust policy, with all that the answer rests on.
    /// The thing and its peer are named by id or name.
    ///
    /// # Errors
    /// When a text is neither an id nor a name, or the store fails.
    pub fn verdict(&self, reader: Reader, thing: &str, usage: &str, peer: Option<&str>) -> Result<Verdict, AppError> {
        check_use(usage)?;
        let asked = (thing, peer);
        let (thing, peer) = (Query::parse(thing)?, peer.map(Query::parse).transpose()?);
        let now = self.clock().now();
        let Some(policy) = self.0.trust.as_deref() else {
            return Ok(Verdict::unknown(usage.to_owned(), Reason::NoPolicy, vec![NO_POLICY.to_owned()], now));
        };
        let matter = Matter { reader, policy, usage, thing: &thing, peer: peer.as_ref() };
        let mut verdict = self.answered(&matter, now)?;
        verdict.reasons.extend(self.clock().outrun().map(clock_words));
        if verdict.reason == Reason::Stale {
            verdict.reasons.extend(self.ahead_in_words(&self.heard(policy)?, now)?);
        }
        if verdict.reason == Reason::NotHeard {
            verdict.reasons.extend(self.kept_back_in_words(reader, &self.heard(policy)?)?);
            verdict.reasons.extend(self.damaged_in_words(policy));
        }
        let things: Vec<&Query> = core::iter::once(&thing).chain(&peer).collect();
        verdict.reasons.extend(self.roamed_in_words(reader, &self.scope(policy, usage, now)?.away, &things));
        verdict.reasons.extend(self.stopped_in_words(reader, policy));
        verdict.reasons.extend((!policy.names_use(usage)).then(|| unnamed(policy, usage)));
        self.0.denied.note(asked.0, asked.1, &verdict);
        Ok(verdict)
    }

    /// The question, with all that the domains here say about the thing and its peer.
    pub(in crate::app) fn question(&self, matter: &Matter<'_>, now: Timestamp) -> Result<Question, AppError> {
        let Matter { reader, policy, usage, thing, peer } = *matter;
        let scope = self.scope(policy, usage, now)?;
        let all = |query: &Query| -> Result<Looked, AppError> {
            let looking = self.look(reader, query, &scope, Depth::Store)?;
            let looking = looking.ok_or_else(|| AppError::Internal("the store was not asked".to_owned()))?;
            let mut testimonies = testimonies(&scope.heard, &looking)?;
            testimonies.extend(self.unheard(&scope.heard)?);
            Ok(looked(query, looking.candidates, testimonies))
        };
        Ok(Question { usage: usage.to_owned(), thing: all(thing)?, peer: peer.map(all).transpose()? })
    }

    /// The domains whose silence means nothing to a reader: either the reader or this node may not read all of them.
    fn mute<'s>(&self, reader: Reader, heard: &'s [Source]) -> Result<Vec<&'s Source>, AppError> {
        let mut mute = Vec::new();
        for it in heard {
            if !(self.is_shown_all(reader, &it.domain) && self.holds_all(&it.hosted, &it.domain)?) {
                mute.push(it);
            }
        }
        Ok(mute)
    }

    /// These domains, in words, and what the reader can do about it.
    fn kept_back_in_words(&self, reader: Reader, heard: &[Source]) -> Result<Vec<String>, AppError> {
        let words = |it: &Source| match self.is_shown_all(reader, &it.domain) {
            true => format!("{} may keep things back from this node, which has no whole copy of it", it.hosted.name),
            false => format!(
                "{} may keep things back from this reader: the operator's token shows everything, and so does the key \
                 of a peer to whom its access rules show everything",
                it.hosted.name
            ),
        };
        Ok(self.mute(reader, heard)?.into_iter().map(words).collect())
    }

    /// The domains whose homes claim a time in the future, so that nothing that they say makes their copies fresher.
    fn ahead_in_words(&self, heard: &[Source], now: Timestamp) -> Result<Vec<String>, AppError> {
        let mut words = Vec::new();
        for it in heard.iter().filter(|it| it.reach.cosigned_at.is_none()) {
            let seal = self.store().head(it.hosted.number)?.seal;
            let claimed = seal.and_then(|seal| it.domain.descriptor().vouched_at(&seal.note).ok().flatten());
            let ahead = claimed.filter(|at| at.believed_at(now).is_none());
            words.extend(ahead.map(|at| format!("{}: {}", it.hosted.name, Ahead { at, now })));
        }
        Ok(words)
    }

    /// The domains that count but are silent because one of their entries is damaged.
    fn damaged_in_words(&self, policy: &TrustPolicy) -> Vec<String> {
        let here = policy.domains().iter().filter_map(|origin| self.hosted(&origin.domain).ok());
        let damage = here.filter_map(|hosted| self.store().check_sound(hosted.number).err());
        damage.map(|damage| damage.to_string()).collect()
    }

    /// The domains that count but whose copies here have stopped, for example at a fork: what their homes have said
    /// since is missing from every answer. Only the operator is told why.
    fn stopped_in_words(&self, reader: Reader, policy: &TrustPolicy) -> Vec<String> {
        let here = policy.domains().iter().filter_map(|origin| self.hosted(&origin.domain).ok());
        let words = |hosted: Arc<Hosted>| {
            let mirror = hosted.mirror().filter(MirrorInfo::is_stopped)?;
            let why = mirror.last_error.filter(|_| reader == Reader::Operator).map(|why| format!(": {why}"));
            Some(format!(
                "the copy of {} has stopped, and what its home has said since does not count here{}",
                hosted.name,
                why.unwrap_or_default()
            ))
        };
        here.filter_map(words).collect()
    }

    /// The domains here that do not count: they are named so that nobody wonders why they were not heard.
    fn unheard(&self, heard: &[Source]) -> Result<Vec<Testimony>, AppError> {
        let mut unheard = Vec::new();
        for hosted in self.all_hosted() {
            let counts = |name: &DomainName| heard.iter().any(|it| it.hosted.name == *name);
            if !counts(&hosted.name)
                && let Some(reach) = self.store().reach(hosted.number)?
                && let Some(domain) = hosted.domain()
            {
                unheard.push(testimony(&domain, &reach, None)?);
            }
        }
        Ok(unheard)
    }
}

/// Refuses a use that is empty or too long, or that differs from a known one only in the case of its letters: it would
/// be another use, to which neither the rules nor the freshness bounds of the known one apply.
///
/// # Errors
/// When the use is refused.
pub fn check_use(usage: &str) -> Result<(), AppError> {
    if !(1..=limits::NAME_BYTES).contains(&usage.len()) {
        let which = "connect, install, operate or another word";
        let detail = format!("`use` says what for: {which} of at most {} bytes", limits::NAME_BYTES);
        return Err(AppError::new(Code::MalformedQuery, detail));
    }
    match USES.iter().find(|known| **known != usage && known.eq_ignore_ascii_case(usage)) {
        Some(known) => Err(AppError::new(Code::MalformedQuery, format!("the use `{usage}` is written `{known}`"))),
        None => Ok(()),
    }
}

/// Tells people that no rule and no bound names a use: it may be mistyped, while a rule permits every use.
fn unnamed(policy: &TrustPolicy, usage: &str) -> String {
    let bounds = policy.freshness().uses.keys().map(String::as_str);
    let known: BTreeSet<&str> = USES.into_iter().chain(bounds).collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "the trust policy does not name the use `{usage}`, so its rules for every use decided, and its freshness for \
         any use. It names {known}"
    )
}

/// A use as a number; no two uses have the same.
pub(in crate::app) fn word(usage: &str) -> u128 {
    match usage {
        "connect" => 1,
        "install" => 2,
        "operate" => 3,
        other => {
            let digest: [u8; 32] = Sha256::digest(other).into();
            digest.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
        }
    }
}

fn looked(query: &Query, candidates: usize, testimonies: Vec<Testimony>) -> Looked {
    Looked { asked: query.text().to_owned(), candidates, testimonies }
}

/// What the domains that were heard say, including those whose silence means something; then the answers of others.
fn testimonies(heard: &[Source], looking: &Looking) -> Result<Vec<Testimony>, AppError> {
    let of = |it: &Source| {
        let told = looking.told.iter().find(|told| told.hosted.number == it.hosted.number);
        testimony(&it.domain, told.map_or(&it.reach, |told| &told.reach), told)
    };
    let elsewhere = looking.elsewhere.iter().map(|answer| Ok(answer.attested.testimony.clone()));
    heard.iter().filter(|it| !looking.mute.contains(&it.hosted.number)).map(of).chain(elsewhere).collect()
}

/// Uses the descriptor in force as far as the log is shown: nobody could prove a later one.
fn testimony(domain: &Domain, reach: &Reach, told: Option<&Told>) -> Result<Testimony, AppError> {
    let descriptor = domain.descriptor_at(reach.size);
    Ok(Testimony {
        origin: domain.origin(),
        size: reach.size,
        root: reach.root,
        descriptor: descriptor.version,
        as_of: reach.cosigned_at.unwrap_or_default(),
        freshness: Freshness::clone(&descriptor.freshness),
        record: told.map(|told| told.kept.record()).transpose()?.flatten(),
        withheld: told.is_some_and(|told| told.kept.withheld),
    })
}

fn answer(
    &Scope { policy, usage, ref heard, now, .. }: &Scope<'_>,
    looking: &[(&Query, Looking)],
    ruling: Ruling,
    changes_at: Option<Timestamp>,
) -> Check {
    let elsewhere = || looking.iter().flat_map(|(_, it)| &it.elsewhere).map(|answer| &answer.attested.testimony);
    let until = |as_of, freshness| (as_of, fresh_until(as_of, policy.fresh_for(freshness, usage), now));
    let is_mute = |source: &Source| looking.iter().all(|(_, it)| it.mute.contains(&source.hosted.number));
    let heard = || heard.iter().filter(|it| !is_mute(it));
    let reaches = || {
        let here = heard().map(|it| {
            let descriptor = it.domain.descriptor_at(it.reach.size);
            until(it.reach.cosigned_at.unwrap_or_default(), &descriptor.freshness)
        });
        here.chain(elsewhere().map(|it| until(it.as_of, &it.freshness)))
    };
    let (verdict, reason) = ruling.at(reaches(), now);
    let until = reaches().map(|(_, until)| until).chain(changes_at).min();
    let mut view = String::with_capacity(64);
    let here = heard().map(|it| (&it.hosted.name, it.reach.size));
    for (name, size) in here.chain(elsewhere().map(|it| (&it.origin.domain, it.size))) {
        use core::fmt::Write as _;
        let gap = if view.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(view, "{gap}{name}={size}");
    }
    let as_of = known(reaches().map(|(as_of, _)| as_of).min());
    let fresh_until = still_to_come(until, now).filter(|_| verdict != Outcome::Unknown);
    Check { verdict, reason, as_of, fresh_until, view }
}

/// When a home last confirmed something, unless it never has.
pub(super) fn known(as_of: Option<Timestamp>) -> Option<Timestamp> {
    as_of.filter(|at| *at != Timestamp::default())
}

/// Until when an answer holds, unless that has passed: a block stands however old it is, and nobody can say until when.
pub(super) fn still_to_come(until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    until.filter(|until| *until > now)
}
