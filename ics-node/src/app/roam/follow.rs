//! Adopting and following things of a domain that is not copied here, by what its home attests about them.
//!
//! All that the home says about a thing comes with each answer, so all that has to be kept is how far its log was
//! reported. Only the home knows what there is of a model or a lot: these are followed by what the home pushes (see
//! [`super::watch`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::openpgp::certificate::Certificate;
use ics_core::statement::body::{self, Body};
use ics_core::vocabulary::DomainName;
use tokio::time::timeout;

use super::attest::size_of;
use super::kept::{Answer, Asker, Sought};
use crate::api::problem::Code;
use crate::api::{AdoptionRequest, AdoptionResult, ProvenEntry};
use crate::app::answer::answers::Query;
use crate::app::following::adopt::{Taken, is_of_issuer, still_blocks};
use crate::app::following::follow::{choices, kept};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Following;

/// How long after it could not be read what is followed that is tried again.
const UNREAD: Duration = Duration::from_secs(60);

/// What a domain of this node follows in another one that is not copied here.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) target: Arc<Hosted>,
    /// The version of the domain's descriptor; after a newer one the work is begun anew.
    pub(super) version: u64,
    pub(super) following: Following,
    /// The origin with which peers are asked about the other domain.
    pub(super) origin: Origin,
}

/// How far a log that is not copied here reaches, by what peers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The largest size that is signed by the home from which the domain adopts. If that home has another key by now,
    /// nothing here tells what it has signed.
    pub(super) signed: Option<u64>,
    /// The largest size that anybody says.
    pub(super) said: u64,
}

/// The totals of adopting things one by one.
#[derive(Default)]
struct Adopted {
    result: AdoptionResult,
    ids: BTreeSet<IdentityId>,
    /// The size of the log up to which all of them were heard about.
    reached: Option<u64>,
    /// How many entries a checkpoint must cover to show what was taken over.
    size: u64,
    /// Which of them the source's rules let be followed.
    rights: BTreeMap<IdentityId, bool>,
}

/// Why what is said about a thing was not taken over.
pub(super) enum NotTaken {
    /// The answer about it is useless, which says nothing about other things.
    Refused(AppError),
    /// Its home cannot be heard, or this node has failed.
    Failed(AppError),
}

impl Work {
    /// Records how far everything has been taken over; false if something else is followed by now.
    pub(super) async fn note(&self, app: &App, returns: u64, from: u64, upto: u64) -> Result<bool, AppError> {
        let (domain, source, rights) =
            ((self.target.number, returns), self.following.source.clone(), self.following.rights);
        app.blocking(move |app| Ok(app.store().follow_upto(domain, (&source, rights), from, upto)?)).await
    }
}

impl From<AppError> for NotTaken {
    fn from(error: AppError) -> Self {
        Self::Failed(error)
    }
}

impl App {
    /// The origin with which others are asked about a domain that is not copied here.
    pub(in crate::app) fn elsewhere(&self, domain: &DomainName) -> Option<Origin> {
        if self.hosted(domain).is_ok() { None } else { self.peers_table().roamed_origin(domain) }
    }

    /// Takes things of such a domain into one of this node, and has it follow them if requested.
    ///
    /// # Errors
    /// When a model or a lot is to be adopted without being followed, nobody has an answer that is proven, or the
    /// domain does not know one of the things.
    pub(in crate::app) async fn adopt_elsewhere(
        &self,
        target: &Arc<Hosted>,
        origin: &Origin,
        request: &AdoptionRequest,
    ) -> Result<(AdoptionResult, u64), AppError> {
        let source = &origin.domain;
        let is_chosen = request.model.is_some() || request.lot.is_some();
        if is_chosen && request.follow.is_none() {
            let detail = format!(
                "there is no copy of `{source}` here, and only a copy shows what there is of a model or a lot: without \
                 one, follow it (`--follow`), and what its home reports is taken over"
            );
            return Err(AppError::new(Code::UnknownDomain, detail));
        }
        let mut adopted = Adopted::default();
        for query in &request.ids {
            self.adopt_one_elsewhere((target, origin), query, request.follow, &mut adopted).await?;
        }
        let Adopted { mut result, ids, reached, size, rights } = adopted;
        result.identities = ids.iter().map(ToString::to_string).collect();
        if let Some(follows) = request.follow {
            // A model or a lot is reported from the beginning of the log on.
            let reached = if is_chosen { 0 } else { reached.unwrap_or_default() };
            let (what, into, source) = (kept(request, &ids)?, Arc::clone(target), source.clone());
            let set = move |app: &Self| {
                app.set_follow(&into, &source, what, follows, reached)?;
                if follows { app.barred_of(&into, &source, &rights) } else { Ok(0) }
            };
            result.barred = self.blocking(set).await?;
            // What there is of a model or lot is reported later by its home; it may already be known that some of it is
            // barred.
            if follows && is_chosen {
                result.barred = result.barred.max(u64::try_from(target.barred(&origin.domain)).unwrap_or(u64::MAX));
            }
        }
        Ok((result, size))
    }

    /// Takes over one thing, or finds out which thing is meant if following it ends.
    async fn adopt_one_elsewhere(
        &self,
        (target, origin): (&Arc<Hosted>, &Origin),
        query: &str,
        follows: Option<bool>,
        adopted: &mut Adopted,
    ) -> Result<(), AppError> {
        if follows == Some(false) {
            // To end following a thing, its home is not needed, and may be gone.
            let (into, query) = (Arc::clone(target), query.to_owned());
            let ended = self.blocking(move |app| app.known_as(&into, &query)).await?;
            if !ended.is_empty() {
                adopted.ids.extend(ended);
                return Ok(());
            }
        }
        let sought = Sought { origin: origin.clone(), asked: Query::parse(query)?.canonical() };
        let answer = self.ask_peers(&sought, (limits::ROAMING_HOPS, Asker::Own), |_| true).await;
        let answer = answer.map_err(|unheard| not_heard(origin, &unheard.why))?;
        adopted.ids.insert(answer.identity().ok_or_else(|| AppError::unknown_identity(query))?);
        let attested = answer.attested.checkpoint.size;
        adopted.reached = Some(adopted.reached.map_or(attested, |reached| reached.min(attested)));
        adopted.rights.extend(self.right_to_follow(target, &answer));
        if follows == Some(false) {
            return Ok(());
        }
        // What is refused is part of the result.
        let (all, _) = said(&answer, u64::MAX);
        let (into, of, of_issuers) = (Arc::clone(target), origin.domain.clone(), of_issuers(&answer));
        let take = move |app: &Self| {
            let taken = app.take_answered(&into, &of, all, of_issuers)?;
            app.tell_of_copies_of(&into, &of, &answer.evidence.entries)?;
            app.heed_declarations(&into, answer.attested.domain.descriptor())?;
            Ok(taken)
        };
        let taken = self.blocking(take).await?;
        adopted.size = adopted.size.max(taken.size);
        add(&mut adopted.result, taken.result);
        Ok(())
    }

    /// The thing that an answer is about, and whether the home's rules let a domain follow it.
    fn right_to_follow(&self, target: &Hosted, answer: &Answer) -> Option<(IdentityId, bool)> {
        let (domain, record) = target.domain().zip(answer.attested.testimony.record.as_ref())?;
        Some((record.identity.id, self.may_follow(&domain, &answer.attested.domain, record)))
    }

    /// How often a domain had been sent back when it begins to follow another one, and what it follows there
    /// individually. If that cannot be read, it is tried again and again: if following ended, it would be begun anew at
    /// once together with all else that is followed.
    pub(super) async fn followed_from(&self, work: &Work) -> (u64, Vec<String>) {
        let Work { target, following, .. } = work;
        loop {
            let (number, source) = (target.number, following.source.clone());
            let begins = move |app: &Self| {
                Ok((app.store().follow_returns(number, None)?, app.store().followed_ids(number, &source)?))
            };
            match self.blocking(begins).await {
                Ok(begun) => return begun,
                Err(error) => {
                    tracing::error!(domain = %target.name, source = %following.source, %error, "it is not followed");
                    target.set_follow_error(&following.source, Some(error.to_string()));
                }
            }
            tokio::time::sleep(UNREAD).await;
        }
    }

    /// What is followed in domains that are not copied here.
    pub(super) fn followed_elsewhere(&self) -> Vec<Work> {
        let mut work = Vec::new();
        for target in self.homes() {
            let version = target.domain().map_or(0, |domain| domain.descriptor().version);
            for following in self.store().followed(target.number).unwrap_or_default() {
                if let Some(origin) = self.elsewhere(&following.source) {
                    work.push(Work { target: Arc::clone(&target), version, following, origin });
                }
            }
        }
        work
    }

    /// Asks what a home attests about a thing, at a size of its log or later, and takes it over; returns the size at
    /// which the home attested it. As long as no answer reaches the size `hoped` for, the next peer is asked. What is
    /// refused and stands before `new_from`, or was reported before the domain's own rules changed, had been refused
    /// before.
    pub(super) async fn take_from_afar(
        &self,
        Work { target, following, origin, .. }: &Work,
        id: &str,
        (size, hoped): (u64, u64),
        new_from: u64,
    ) -> Result<u64, NotTaken> {
        let sought = Sought { origin: origin.clone(), asked: id.to_owned() };
        let is_enough = |answer: &Answer| answer.attested.checkpoint.size >= size.max(hoped);
        let answer = match self.ask_peers(&sought, (limits::ROAMING_HOPS, Asker::Own), is_enough).await {
            Ok(answer) => answer,
            Err(unheard) if unheard.is_contradicted => {
                let (into, source) = (Arc::clone(target), following.source.clone());
                self.blocking(move |app| app.alarm_of_another_log(&into, &source)).await?;
                return Err(not_heard(origin, &unheard.why).into());
            }
            Err(unheard) if unheard.is_refused => {
                return Err(NotTaken::Refused(of_no_use(origin, id, &unheard.why)));
            }
            Err(unheard) => return Err(not_heard(origin, &unheard.why).into()),
        };
        let attested = answer.attested.checkpoint.size;
        if attested < size {
            let why = format!("{} shows {attested} entries, the home has pushed a head of {size}", answer.from);
            return Err(not_heard(origin, &why).into());
        }
        let (into, source) = (Arc::clone(target), following.source.clone());
        let new_from = new_from.max(following.told);
        let take_over = move |app: &Self| {
            app.end_alarm_of_another_log(&into, &source)?;
            app.take_over_answer(&into, &source, &answer, new_from)?;
            app.tell_of_copies_of(&into, &source, &answer.evidence.entries)?;
            app.heed_declarations(&into, answer.attested.domain.descriptor())
        };
        self.blocking(take_over).await?;
        Ok(attested)
    }

    /// How far the log reaches by what the peers say: one that lags, or keeps news back, must not be believed before
    /// others, and one that does not answer must not hold them up. Only whether to ask about things depends on it.
    pub(super) async fn size_elsewhere(&self, target: &Hosted, origin: &Origin) -> Option<Told> {
        let (peers, most) = (self.asked_by_http(origin), Duration::from_secs(limits::ROAMING_SECONDS));
        let answers = join_all(peers.iter().map(|peer| timeout(most, peer.checkpoint(&origin.domain)))).await;
        let notes: Vec<String> = answers.into_iter().flatten().flatten().collect();
        let key = target.domain().and_then(|domain| domain.source(origin)?.home.home_of(origin).ok());
        let signed = |note: &String| Some(Checkpoint::open(note, key.as_ref()?).ok()?.size);
        let said = notes.iter().filter_map(|note| size_of(note)).max()?;
        Some(Told { signed: notes.iter().filter_map(signed).max(), said })
    }

    /// Takes over what a home attests, if it is followed and the home's rules permit that; raises alarms for what is
    /// new and not admitted.
    fn take_over_answer(
        &self,
        target: &Arc<Hosted>,
        source: &DomainName,
        answer: &Answer,
        new_from: u64,
    ) -> Result<(), AppError> {
        let Some((domain, record)) = target.domain().zip(answer.attested.testimony.record.as_ref()) else {
            return self.tell_of_hidden(target, source, &answer.attested.head.asked);
        };
        // As of now: what is no longer followed may have been asked for a moment ago.
        let followed = self.store().followed(target.number)?.into_iter().find(|it| it.source == *source);
        let given = &answer.attested.given;
        let is_chosen = followed.is_some_and(|it| choices(&it).iter().any(|choice| choice.fits(given)));
        if !is_chosen && !self.store().is_followed(target.number, source, &record.identity.id.to_string())? {
            return Ok(());
        }
        let may = self.may_follow(&domain, &answer.attested.domain, record);
        self.tell_of_rights(target, source, &[(record.identity.id, may)].into())?;
        if !may {
            return Ok(());
        }
        let (old, new) = said(answer, new_from);
        let of_issuers = of_issuers(answer);
        let before = self.take_answered(target, source, old, of_issuers.clone())?;
        self.alarm_of_key(target, source, &before)?;
        let taken = self.take_answered(target, source, new, of_issuers)?;
        self.alarm_of_refused(target, source, &taken)
    }

    /// Reports that nothing is shown of a followed thing: something was shown when following began, or was taken over,
    /// so now it is kept back.
    fn tell_of_hidden(&self, target: &Hosted, source: &DomainName, asked: &str) -> Result<(), AppError> {
        if !self.is_missed(target, source, asked)? {
            return Ok(());
        }
        let ids = IdentityId::candidates(asked).unwrap_or_default();
        let hidden = ids.into_iter().map(|id| (id, false)).collect();
        self.tell_of_rights(target, source, &hidden)
    }

    /// Takes entries of a source over, and ends the alarms about those that are accepted.
    fn take_answered(
        &self,
        target: &Arc<Hosted>,
        source: &DomainName,
        entries: Vec<ProvenEntry>,
        of_issuers: BTreeSet<u64>,
    ) -> Result<Taken, AppError> {
        let tried = entries.iter().map(|entry| entry.receipt.index).collect();
        let mut taken = Taken { left_to_source: of_issuers, ..Taken::default() };
        for some in entries.chunks(limits::BATCH_STATEMENTS) {
            self.take(target, some, &mut taken)?;
        }
        self.end_alarms_of_taken(target, source, &tried, &taken)?;
        Ok(taken)
    }
}

pub(super) fn not_heard(origin: &Origin, why: &str) -> AppError {
    AppError::new(Code::Behind, format!("`{}` is not heard: {why}", origin.domain))
}

fn of_no_use(origin: &Origin, id: &str, why: &str) -> AppError {
    AppError::new(Code::Behind, format!("the answer about {id} of `{}` cannot be used: {why}", origin.domain))
}

fn add(result: &mut AdoptionResult, more: AdoptionResult) {
    result.adopted += more.adopted;
    result.present += more.present;
    result.left_out += more.left_out;
    result.refused.extend(more.refused);
}

/// What is said about a thing, with the certificates of the signers, divided into what stands before an index and the
/// rest. A domain's descriptors and erasures stay its own; an erasure is tried only if the erased statement still
/// blocks, so that the refusal is reported.
fn said(answer: &Answer, from: u64) -> (Vec<ProvenEntry>, Vec<ProvenEntry>) {
    let record = answer.attested.testimony.record.as_ref();
    let is_taken = |entry: &&ProvenEntry| match entry.kind.as_str() {
        "statement" | "document" | "certificate" => true,
        "erasure" => record.is_some_and(|record| still_blocks(record, entry.receipt.index)),
        _ => false,
    };
    let all = answer.evidence.entries.iter().filter(is_taken).cloned();
    all.partition(|entry| entry.receipt.index < from)
}

/// The entries made by the home's issuers of X.509 certificates: what they say in that role, and the certificates of
/// those who say nothing else.
fn of_issuers(answer: &Answer) -> BTreeSet<u64> {
    let primary = |key: Fingerprint| answer.attested.domain.signer(&key).map_or(key, Certificate::primary);
    let (mut found, mut issuers, mut others, mut certificates) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), Vec::new());
    for entry in &answer.evidence.entries {
        match body::parse(&entry.body) {
            Ok(Body::Statement(said)) if is_of_issuer(said.claims()) => {
                found.insert(entry.receipt.index);
                issuers.insert(primary(said.issuer()));
            }
            Ok(Body::Statement(said)) => {
                others.insert(primary(said.issuer()));
            }
            Ok(Body::Certificate(certificate)) => certificates.push((entry.receipt.index, certificate.primary())),
            _ => {}
        }
    }
    let is_of_issuer = |(_, holder): &(u64, Fingerprint)| issuers.contains(holder) && !others.contains(holder);
    found.extend(certificates.into_iter().filter(is_of_issuer).map(|(index, _)| index));
    found
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use rusqlite::Connection;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::{Told, Work};
    use crate::config::PeerConfig;
    use crate::fixture::{PATIENCE, Party, catches_up, copy, device, served, word};
    use crate::store::Following;

    /// Otherwise everything that this node follows would be begun anew four times a second.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_followed_and_cannot_be_read_is_looked_at_again_in_a_while() {
        let ((maker, home), site) = (Party::opened(), Party::found("plant.example"));
        let (app, origin) = (site.open(), home.domain(&maker.domain).expect("here").info.origin);
        let target = app.hosted(&site.domain).expect("here");
        let log = Connection::open(site.data().join("ics.db")).expect("opens");
        log.execute_batch("ALTER TABLE follow RENAME TO gone").expect("renamed");
        let (source, rights, choices) = (maker.domain.clone(), None, Vec::new());
        let following = Following { source, upto: 1, told: 1, news: 1, rights, identities: 1, choices };
        let work = Work { target: Arc::clone(&target), version: 1, following, origin };
        let trying = tokio::spawn(async move { app.followed_from(&work).await });
        let began = Instant::now();
        while target.follow_error(&maker.domain).is_none() {
            assert!(began.elapsed() < PATIENCE, "nobody is told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!trying.is_finished(), "it rests for a minute");
        trying.abort();
    }

    /// What is followed would not be asked about for as long as that peer does not hear of anything.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_peer_that_lags_does_not_say_how_far_the_log_reaches() {
        let (maker, home) = Party::opened();
        let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
        let lagging = copy(data.path(), &home, &maker.domain, &[("home", &url)]);
        let (stop, stopped) = watch::channel(false);
        let replicating = tokio::spawn(lagging.clone().replicate(stopped));
        catches_up(&lagging, &home, &maker.domain).await;
        stop.send_replace(true);
        replicating.await.expect("ends");
        maker.publish(&home, &device(1), "urn:dev:os:32473-1", "L1").await;
        let info = home.domain(&maker.domain).expect("here").info;
        let peer = |(name, url): (&str, &str)| PeerConfig {
            url: Some(word(url)),
            roam: vec![info.origin.clone()],
            ..PeerConfig::new(word(name))
        };
        // It takes connections, and answers nothing.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent_url = format!("http://{}", silent.local_addr().expect("bound"));
        let lagging_url = served(&lagging);
        let peers =
            [("nobody", "http://127.0.0.1:9"), ("silent", &*silent_url), ("lagging", &*lagging_url), ("home", &*url)];
        let site = Party::found("plant.example");
        let app = site.open_for(peers.map(peer).into());
        let target = app.hosted(&site.domain).expect("here");
        let told = timeout(Duration::from_secs(20), app.size_elsewhere(&target, &info.origin)).await;
        assert_eq!(told.expect("in time"), Some(Told { signed: None, said: info.size }));
    }
}
