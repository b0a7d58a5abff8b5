//! Roaming: questions about things in domains that count for a decision but are not mirrored here.
//!
//! A node that is to decide about such a thing asks the peers that the configuration names for its domain, and nobody
//! else: no address is ever taken from what is received. An answer is evidence with the home's record head. It is
//! verified by the rules for all evidence, compared with what was seen of that log before, and kept for as long as it
//! is recent enough for the use in question; a block stays in force beyond that. Whatever goes wrong makes the verdict
//! `unknown`.
//!
//! Asking takes time and is done before anything is decided ([`App::roam`]). The decision itself looks only at what is
//! kept.

mod again;
mod ask;
mod asked;
mod attest;
mod follow;
mod heed;
mod kept;
mod missed;
mod restless;
mod watch;
mod watched;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ics_core::evidence::{Attested, Evidence, attested};
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::record_head::Finding;
use ics_core::time::Timestamp;
use ics_core::trust::{Looked, Testimony, TrustPolicy};

pub(crate) use self::asked::LastAsked;
pub use self::kept::Asker;
use self::kept::Outcome;
pub(crate) use self::kept::{Answer, Roaming, Sought};
pub(crate) use self::restless::SentBack;
pub(crate) use self::watch::Followers;
pub use self::watched::Watcher;
use super::answer::answers::{Depth, Gathered, Query, Source};
use super::{App, AppError, Reader};

/// What an answer must be good for.
#[derive(Clone, Copy)]
pub(crate) struct Need<'a> {
    pub(super) policy: &'a TrustPolicy,
    pub(super) usage: &'a str,
    pub(super) now: Timestamp,
}

/// What is known of a thing here, and what others have answered about it.
pub(super) type Around = (Gathered, Vec<Arc<Answer>>);

/// What is kept for a question.
enum Recalled {
    Answer(Arc<Answer>),
    /// Nobody had an answer, or nobody has been asked.
    Nothing,
    /// Somebody has to be asked first.
    Deeper,
}

impl App {
    pub(super) fn roaming(&self) -> &Roaming {
        &self.0.roaming
    }

    /// How often other nodes were asked about single things, by outcome.
    #[must_use]
    pub fn roaming_counts(&self) -> Vec<(&'static str, u64)> {
        self.roaming().counts().collect()
    }

    /// Whether there are things about which other nodes are asked.
    #[must_use]
    pub fn is_roaming(&self) -> bool {
        self.0.trust.as_ref().is_some_and(|policy| !self.away(policy).is_empty())
    }

    /// Asks other nodes for what a decision about these things needs and no copy here has, and keeps their answers. The
    /// decision reports what goes wrong.
    ///
    /// Each `asker` except the node itself may cause only a limited number of questions per minute; beyond that,
    /// decisions use what is kept.
    pub async fn roam(&self, asker: Asker, usage: &str, things: &[&Query]) {
        let Some(policy) = self.0.trust.clone() else { return };
        let away = self.away(&policy);
        if away.is_empty() {
            return;
        }
        let asking = join_all(things.iter().map(|thing| self.roam_for((&policy, usage, asker), thing, &away)));
        if tokio::time::timeout(Duration::from_secs(limits::ROAMING_WHOLE_SECONDS), asking).await.is_err() {
            tracing::warn!("other nodes took too long to answer");
        }
    }

    async fn roam_for(&self, need: (&Arc<TrustPolicy>, &str, Asker), thing: &Query, away: &[Origin]) {
        let by_name = away.iter().map(|origin| Sought { origin: origin.clone(), asked: thing.canonical() });
        let sought: Vec<Sought> = by_name.collect();
        join_all(sought.iter().map(|sought| self.seek(need, sought))).await;
        if !thing.is_by_name() {
            return;
        }
        // One domain may know what the name means, while another knows the thing but not the name.
        let found = |sought: &Sought| self.roaming().recall(sought).and_then(|answer| answer.identity());
        let (known, others): (Vec<_>, Vec<_>) = sought.into_iter().partition(|sought| found(sought).is_some());
        let mut ids: BTreeSet<IdentityId> = known.iter().filter_map(found).collect();
        ids.extend(self.known_here(Arc::clone(need.0), thing.clone()).await);
        if let (Some(id), 1) = (ids.first(), ids.len()) {
            let by_id = others.into_iter().map(|it| Sought { asked: id.to_string(), ..it }).collect::<Vec<_>>();
            join_all(by_id.iter().map(|sought| self.seek(need, sought))).await;
        }
    }

    async fn known_here(&self, policy: Arc<TrustPolicy>, thing: Query) -> Vec<IdentityId> {
        let gather = move |app: &Self| {
            let gathered = app.gather(&thing, &app.heard(&policy)?, (Depth::Store, app.clock().now()))?;
            Ok(gathered.unwrap_or_default().into_iter().map(|(id, _)| id).collect())
        };
        self.blocking(gather).await.unwrap_or_default()
    }

    /// Asks, unless a suitable answer is kept or nobody had one a moment ago. Of several callers with the same
    /// question, one asks.
    async fn seek(&self, (policy, usage, asker): (&Arc<TrustPolicy>, &str, Asker), sought: &Sought) {
        let serves = |answer: &Answer| answer.serves(Need { policy, usage, now: self.clock().now() });
        let is_settled = || {
            self.roaming().recall(sought).is_some_and(|answer| serves(&answer))
                || self.roaming().failure(sought, Instant::now()).is_some()
        };
        if is_settled() {
            return;
        }
        if !self.roaming().may_ask(asker) {
            // The question is not recorded as failed: others must not be kept from asking it.
            self.roaming().count(Outcome::Limited);
            return;
        }
        let _place = self.roaming().place(sought).await;
        if is_settled() {
            return;
        }
        match self.ask_peers(sought, (limits::ROAMING_HOPS, asker), serves).await {
            Ok(answer) if serves(&answer) => {}
            Ok(answer) => {
                let as_of = answer.attested.testimony.as_of;
                let why = format!("{}: the answer dates from {as_of}, which is too old for `{usage}`", answer.from);
                self.roaming().fail(sought, why);
            }
            Err(unheard) => self.roaming().fail(sought, unheard.why),
        }
    }

    /// The domains that count, are not copied here, and about which somebody can be asked.
    pub(super) fn away(&self, policy: &TrustPolicy) -> Vec<Origin> {
        let is_asked = |origin: &&Origin| !self.is_here(origin) && !self.peers_table().asked_about(origin).is_empty();
        policy.domains().iter().filter(is_asked).cloned().collect()
    }

    /// What is known about a thing here, together with the answers of others; `None` if somebody has to be asked first.
    pub(super) fn with_elsewhere(
        &self,
        (query, gathered): (&Query, Gathered),
        (heard, away): (&[Source], &[Origin]),
        need: Need<'_>,
        depth: Depth,
    ) -> Result<Option<Around>, AppError> {
        let mut answers = Vec::with_capacity(away.len());
        for origin in away {
            match self.recalled(&Sought { origin: origin.clone(), asked: query.canonical() }, need, depth) {
                Recalled::Answer(answer) => answers.push(answer),
                Recalled::Nothing => {}
                Recalled::Deeper => return Ok(None),
            }
        }
        let here = gathered.iter().map(|(id, _)| *id);
        let ids: BTreeSet<IdentityId> = here.chain(answers.iter().filter_map(|answer| answer.identity())).collect();
        let (Some(id), 1) = (ids.first(), ids.len()) else {
            // If there is none, everybody agrees on that; if there are several, the caller reports the ambiguity.
            return Ok(Some((ids.into_iter().map(|id| (id, Vec::new())).collect(), answers)));
        };
        let mut gathered = gathered;
        if gathered.is_empty() {
            let Some(by_id) = self.gather(&Query::of(id), heard, (depth, need.now))? else { return Ok(None) };
            gathered = if by_id.is_empty() { vec![(*id, Vec::new())] } else { by_id };
        }
        if query.is_by_name() {
            for origin in away {
                let knows = |it: &Arc<Answer>| it.attested.testimony.origin == *origin && it.identity().is_some();
                if answers.iter().any(knows) {
                    continue;
                }
                answers.retain(|it| it.attested.testimony.origin != *origin);
                match self.recalled(&Sought { origin: origin.clone(), asked: id.to_string() }, need, depth) {
                    Recalled::Answer(answer) => answers.push(answer),
                    Recalled::Nothing => {}
                    Recalled::Deeper => return Ok(None),
                }
            }
        }
        Ok(Some((gathered, answers)))
    }

    /// What is kept for a question. If something has begun or ended since, it is resolved again from the same evidence.
    fn recalled(&self, sought: &Sought, need: Need<'_>, depth: Depth) -> Recalled {
        let answer = self.roaming().recall(sought);
        match (answer, depth) {
            (Some(answer), _) if answer.serves(need) => Recalled::Answer(answer),
            (_, Depth::Memory) if self.roaming().failure(sought, Instant::now()).is_none() => Recalled::Deeper,
            (Some(answer), Depth::Store) if answer.is_outdated(need.now) => {
                let Answer { evidence, reader, from, .. } = &*answer;
                // It may have come as the answer to another question; its time remains that at which this one was
                // answered.
                let Attested { head, testimony: Testimony { as_of, .. }, .. } = &answer.attested;
                let Ok(mut attested) = attested(evidence, &sought.origin, &head.asked, *reader, need.now) else {
                    return Recalled::Answer(answer);
                };
                attested.testimony.as_of = *as_of;
                let (evidence, from) = (evidence.clone(), from.clone());
                let renewed = Arc::new(Answer { attested, evidence, reader: *reader, from });
                if renewed.identity().is_some() && !renewed.means(&sought.asked) {
                    return Recalled::Answer(answer);
                }
                self.roaming().keep(sought, &renewed);
                Recalled::Answer(renewed)
            }
            (Some(answer), _) => Recalled::Answer(answer),
            (None, _) => Recalled::Nothing,
        }
    }

    /// The evidence for what others have answered, and the time as of which it counts if that is earlier than its home
    /// has signed; `None` if another answer has replaced it since. The questions were what the thing was asked for by,
    /// and the ids by which any domain knows it.
    pub(super) fn roamed_evidence(
        &self,
        it: &Testimony,
        looked: &Looked,
    ) -> Result<Option<(Evidence, Option<Timestamp>)>, AppError> {
        let records = looked.testimonies.iter().filter_map(|heard| heard.record.as_ref());
        let ids = records.map(|record| record.identity.id.to_string());
        let asked = Query::parse(&looked.asked)?.canonical();
        let sought = ids.chain([asked]).map(|asked| Sought { origin: it.origin.clone(), asked });
        let is_it = |answer: &Arc<Answer>| answer.attested.testimony == *it;
        let found = sought.filter_map(|sought| self.roaming().recall(&sought)).find(is_it);
        Ok(found.map(|answer| (answer.evidence.clone(), answer.believed())))
    }

    /// Whether this node has a copy of the domain, or is its home.
    pub(super) fn is_here(&self, origin: &Origin) -> bool {
        let hosted = self.hosted(&origin.domain).ok();
        hosted.and_then(|hosted| hosted.domain()).is_some_and(|domain| domain.is(origin))
    }

    /// Who has answered for the domains that are not copied here, and as of when; or why nobody has. A reader who may
    /// not know the answer is told the same whatever it is, and whether or not there is one.
    pub(super) fn roamed_in_words(&self, reader: Reader, away: &[Origin], things: &[&Query]) -> Vec<String> {
        let mut words = Vec::new();
        for (origin, thing) in away.iter().flat_map(|origin| things.iter().map(move |thing| (origin, thing))) {
            let (domain, asked) = (&origin.domain, thing.canonical());
            let sought = Sought { origin: origin.clone(), asked };
            let about = if things.len() > 1 { format!("`{}`: ", thing.text()) } else { String::new() };
            let answer = self.roaming().recall(&sought);
            let is_told = answer.as_ref().is_some_and(|answer| answer.is_told(self, reader));
            if reader != Reader::Operator && !is_told {
                words.push(format!(
                    "{domain} is not copied here, and what others answer for it may be kept back from this reader: the \
                     operator's token shows everything, and so does the key of a peer to whom its access rules show it"
                ));
                continue;
            }
            words.extend(answer.map(|answer| {
                let (from, head) = (&answer.from, &answer.attested.head);
                let what = match head.finding {
                    Finding::Identity(_) => format!("has {} entries upon which its record rests", head.indices.len()),
                    Finding::Nothing(_) => "shows nothing of it to this node".to_owned(),
                };
                format!(
                    "{about}{domain} is not copied here: {from} was asked, and its home signed at {} that it {what}",
                    head.at
                )
            }));
            words.extend(
                self.roaming()
                    .failure(&sought, Instant::now())
                    .map(|why| format!("{about}{domain} is not copied here, and nobody answers for it now: {why}")),
            );
        }
        // The same may have been said about the thing and its peer.
        words.dedup();
        words
    }
}
