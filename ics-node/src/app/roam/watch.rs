//! Following without a copy: for each thing about which the home pushes news, fetches what is said, verifies it and
//! adopts it.
//!
//! [`ics_sync::watch::Watcher`] decides what is to be done; here it is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use ics_sync::budget::Budget;
use ics_sync::http::{EventStream, HttpPeer, PeerError};
use ics_sync::mirror::Way;
use ics_sync::watch::{Action, Settings, Watcher, is_no_way};
use ics_sync::wire::{Heads, Watch};
use tokio::task::JoinSet;

use super::follow::{NotTaken, Work, not_heard};
use super::heed::Heeding;
use crate::app::following::follow::choices;
use crate::app::{App, AppError, random};

/// How long a stream may take to open and bring its first event.
const FIRST_EVENT: Duration = Duration::from_secs(10);
/// The milliseconds between two looks if no configured peer says otherwise.
const INTERVAL_MILLIS: u64 = 2_000;
/// For how long a size that the home has not signed is not believed after nobody has shown so much.
const IN_VAIN: Duration = Duration::from_secs(10 * 60);
/// How long it takes at most until tasks are begun anew.
const BEGUN_ANEW: Duration = Duration::from_secs(1);
/// Why not everything has been looked at again that other rights may show.
const RESTLESS: &str = "the source tells of other rights of this node again and again, so what was said before is \
                        looked at again only now and then: perhaps its rules change all the time, or one of the \
                        addresses at which it is asked does not show it the key of this node";

/// The tasks that follow without a copy, one for each pair of domains.
#[derive(Default)]
pub(crate) struct Followers {
    tasks: JoinSet<()>,
    /// One more task for each pair, which looks again at what was already looked at.
    again: JoinSet<()>,
    /// The state for which the tasks were begun.
    begun: Option<Begun>,
    heeding: Heeding,
}

/// When this changes, tasks are begun anew: changes of what is followed, changes of the peers, and which domain follows
/// which, with the version of its own descriptor, since a new one makes it look again from the beginning.
#[derive(PartialEq, Eq)]
struct Begun {
    follows: u64,
    peers: u64,
    pairs: Vec<(DomainName, DomainName, u64)>,
}

impl Followers {
    /// Keeps tasks running for everything that is followed without a copy, as it stands now.
    pub(in crate::app) async fn keep(&mut self, app: &App) {
        let follows = app.roaming().follows.load(Ordering::Acquire);
        let peers = *app.peers_table().changes().borrow();
        let work = app.blocking(|app| Ok(app.followed_elsewhere())).await.unwrap_or_default();
        let pair = |it: &Work| (it.target.name.clone(), it.following.source.clone(), it.version);
        let pairs = work.iter().map(pair).collect();
        let begun = Some(Begun { follows, peers, pairs });
        self.heeding.keep(app, &work);
        let has_ended = self.tasks.try_join_next().is_some();
        if has_ended || self.begun != begun {
            (self.tasks, self.again) = (JoinSet::new(), JoinSet::new());
            for work in work {
                self.again.spawn(app.clone().look_again_from_afar(work.clone()));
                self.tasks.spawn(app.clone().follow_from_afar(work));
            }
            self.begun = begun;
        }
    }
}

/// One domain that follows another one, which is not copied here.
struct Afar {
    app: App,
    work: Work,
    /// How often the domain had been sent back when this began.
    returns: u64,
    /// What is followed individually.
    ids: Vec<String>,
    stream: Option<EventStream<Heads>>,
    /// Why the home was not heard the last time.
    unheard: String,
    /// For the things that are set aside, by id, why the last answer about each was useless.
    refused: BTreeMap<String, String>,
    /// Whether there may be an alarm about a thing that was set aside.
    may_be_alarmed: bool,
    /// Whether rights were told of under which not everything has been looked at again, since that was done too often.
    is_restless: bool,
    /// When nobody showed, the last time, how far somebody had said that the log reaches.
    in_vain: Option<Instant>,
    /// The pace of questions, which must also suit intermediate nodes that limit each asker.
    pace: Budget,
}

impl App {
    /// Signals that something else is followed now.
    pub(in crate::app) fn follows_changed(&self) {
        self.roaming().follows.fetch_add(1, Ordering::Release);
    }

    /// Waits until the next question about a domain may be asked.
    pub(super) async fn until_paced(&self, origin: &Origin) {
        let now = Instant::now();
        let asked = self.peers_table().asked_about(origin);
        let peers = asked.iter().filter_map(|peer| peer.asking().map(|asking| asking.pace.wait(now)));
        let wait = self.roaming().pace.wait(now).max(peers.min().unwrap_or_default());
        tokio::time::sleep(wait).await;
    }

    /// The peers that are asked about single things of a domain.
    pub(super) fn asked_by_http(&self, origin: &Origin) -> Vec<HttpPeer> {
        let asked = self.peers_table().asked_about(origin);
        asked.iter().filter_map(|peer| peer.asking().map(|asking| asking.http.clone())).collect()
    }

    /// Follows the news of one domain until it is dropped.
    async fn follow_from_afar(self, work: Work) {
        let Work { following, origin, .. } = &work;
        let (returns, ids) = self.followed_from(&work).await;
        let Ok(seed) = random() else { return };
        let intervals = self.peers_table().asked_about(origin).into_iter().map(|peer| peer.config.interval_ms);
        let interval_millis = intervals.min().unwrap_or(INTERVAL_MILLIS);
        let mut watcher = Watcher::new(following.news, Settings { interval_millis, seed: u64::from_be_bytes(seed) });
        let (unheard, refused) = (String::new(), BTreeMap::new());
        let pace = Budget::new(limits::ROAMING_PER_ASKER, Duration::from_secs(60));
        let mut afar = Afar {
            app: self,
            work,
            returns,
            ids,
            stream: None,
            unheard,
            refused,
            may_be_alarmed: true,
            is_restless: false,
            in_vain: None,
            pace,
        };
        loop {
            if let Err(error) = afar.step(&mut watcher).await {
                watcher.fail(afar.app.clock().now());
                afar.fails(&error);
            }
        }
    }
}

impl Afar {
    /// Does what comes next.
    async fn step(&mut self, watcher: &mut Watcher) -> Result<(), AppError> {
        let now = self.app.clock().now();
        match watcher.poll(now) {
            Action::Wait { until } => {
                self.stream = None;
                tokio::time::sleep(Duration::from_millis(until.millis_since(now))).await;
            }
            Action::Listen { from, way } => match self.listen(from, way).await {
                Ok(heads) => self.heard(watcher, &heads).await?,
                Err(problem) => {
                    self.stream = None;
                    self.unheard = problem.to_string();
                    watcher.handle_unheard(&problem, self.app.clock().now());
                }
            },
            Action::Fetch { id, size } => {
                self.app.until_paced(&self.work.origin).await;
                match self.app.take_from_afar(&self.work, &id, (size, size), watcher.noted()).await {
                    Ok(_) => watcher.handle_fetched(&id),
                    Err(NotTaken::Refused(error)) => self.lacks(watcher, (id, size), error.to_string()).await,
                    Err(NotTaken::Failed(error)) => return Err(error),
                }
            }
            Action::Settle { upto } => {
                self.note(watcher.noted(), upto).await?;
                watcher.handle_settled();
                self.goes_on(watcher).await?;
            }
            Action::Look { from } => self.look(watcher, from).await?,
        }
        Ok(())
    }

    /// Handles what the home has pushed.
    async fn heard(&mut self, watcher: &mut Watcher, heads: &Heads) -> Result<(), AppError> {
        if self.is_sent_back(heads).await? {
            tokio::time::sleep(BEGUN_ANEW).await;
            return Ok(());
        }
        match watcher.handle_heads(heads, self.app.clock().now()) {
            Ok(()) if heads.heads.is_empty() => return self.goes_on(watcher).await,
            Ok(()) => {}
            Err(error) => self.fails(&not_heard(&self.work.origin, &error.to_string())),
        }
        Ok(())
    }

    /// Looks at what is followed individually. What is followed by model or lot is not heard about meanwhile.
    async fn look(&mut self, watcher: &mut Watcher, from: u64) -> Result<(), AppError> {
        let is_all = self.work.following.choices.is_empty();
        let Some(reached) = self.look_at_each(watcher, from).await? else { return Ok(()) };
        if is_all && watcher.is_whole() && reached > watcher.noted() {
            self.note(watcher.noted(), reached).await?;
        }
        watcher.handle_looked(reached, is_all, self.app.clock().now());
        match is_all {
            true => self.goes_on(watcher).await?,
            false => self.tell(Some(format!("news of a model or a lot does not arrive at present: {}", self.unheard))),
        }
        Ok(())
    }

    /// Looks at each thing that is followed individually and not set aside, if the log reaches beyond `from`; returns
    /// up to which size that is done, or `None` if so many are refused that the home counts as failing.
    async fn look_at_each(&mut self, watcher: &mut Watcher, from: u64) -> Result<Option<u64>, AppError> {
        let Work { target, origin, .. } = &self.work;
        let told = self.app.size_elsewhere(target, origin).await.ok_or_else(|| not_heard(origin, "nobody answers"))?;
        // What is merely said counts as well, as the home may have another key by now; but for a size that nobody can
        // show, all peers would be asked about everything again and again.
        let is_doubted = self.in_vain.is_some_and(|since| since.elapsed() < IN_VAIN);
        let size = told.signed.filter(|_| is_doubted).unwrap_or(told.said);
        if size <= from {
            return Ok(Some(from));
        }
        // That size is not verified: only what is attested tells up to where everything was looked at.
        let (mut reached, mut is_shown) = (None, told.signed.is_some_and(|signed| size <= signed));
        for id in self.ids.clone() {
            if watcher.is_aside(&id) {
                continue;
            }
            tokio::time::sleep(self.pace.spend(1, Instant::now())).await;
            self.app.until_paced(&self.work.origin).await;
            match self.app.take_from_afar(&self.work, &id, (0, size), from).await {
                Ok(attested) => {
                    reached = Some(attested.min(reached.unwrap_or(size)));
                    is_shown |= attested >= size;
                }
                Err(NotTaken::Refused(error)) => {
                    self.lacks(watcher, (id.clone(), size), error.to_string()).await;
                    if !watcher.is_aside(&id) {
                        return Ok(None);
                    }
                }
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
        if !is_shown {
            self.in_vain = Some(Instant::now());
        }
        Ok(Some(reached.unwrap_or(from)))
    }

    /// What the home pushes: over the open stream, a new stream, or a request that waits at the home.
    async fn listen(&mut self, from: u64, way: Way) -> Result<Heads, PeerError> {
        if let (Some(stream), Way::Stream) = (&mut self.stream, way)
            && !stream.is_stale()
        {
            return stream.next().await;
        }
        let (domain, choices) = (&self.work.origin.domain, choices(&self.work.following));
        let watch = Watch { ids: self.ids.clone(), choices, from, wait: None };
        let mut problem = PeerError::Transport("there is no peer that is asked about single things".to_owned());
        for (number, peer) in self.app.asked_by_http(&self.work.origin).into_iter().enumerate() {
            let heard = match way {
                Way::LongPoll => peer.next_heads(domain, watch.clone()).await,
                Way::Stream => open(&peer, domain, &watch).await.map(|(stream, heads)| {
                    self.stream = Some(stream);
                    heads
                }),
            };
            match heard {
                Ok(heads) => return Ok(heads),
                // That one peer is unreachable says more than that another one is not the home.
                Err(other) if number == 0 || is_no_way(&problem) => problem = other,
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// Records how far everything has been taken over.
    async fn note(&self, from: u64, upto: u64) -> Result<(), AppError> {
        let is_noted = self.work.note(&self.app, self.returns, from, upto).await?;
        if is_noted { Ok(()) } else { Err(not_heard(&self.work.origin, "something else is followed now")) }
    }

    /// Whether the home reports other rights for this node than those under which it has looked: what was passed over
    /// may be reported only now. Then it is looked at again, by tasks that replace this one. If that was done too often
    /// lately, only the news is followed for a while; it is recorded that everything is still to be looked at.
    async fn is_sent_back(&mut self, heads: &Heads) -> Result<bool, AppError> {
        let Work { target, following, .. } = &mut self.work;
        let Some(rights) = heads.rights.as_ref().map(|rights| rights.0) else { return Ok(false) };
        // Before any were known, nothing was looked at under others.
        let (are_others, is_first) = (following.rights != Some(rights), following.rights.is_none());
        if are_others {
            let (number, source) = (target.number, following.source.clone());
            self.app.blocking(move |app| Ok(app.store().follow_by_rights(number, &source, rights)?)).await?;
            following.rights = Some(rights);
        }
        let is_to_look = are_others || self.is_restless;
        if is_first || (is_to_look && target.may_look_again(&following.source, Instant::now())) {
            self.app.follows_changed();
            return Ok(true);
        }
        self.is_restless = is_to_look;
        Ok(false)
    }

    fn fails(&mut self, error: &AppError) {
        self.stream = None;
        let Work { target, following, .. } = &self.work;
        tracing::warn!(domain = %target.name, source = %following.source, %error, "it is not followed");
        self.tell(Some(error.to_string()));
    }

    /// Sets aside a thing about which the answer is useless, reports it, and raises an alarm if it was not set aside
    /// before. Other things are handled meanwhile. `size` is that of the log with which the thing was reported.
    async fn lacks(&mut self, watcher: &mut Watcher, (id, size): (String, u64), error: String) {
        if watcher.handle_refused(&id, self.app.clock().now()) {
            let Work { target, following, .. } = &self.work;
            tracing::warn!(domain = %target.name, source = %following.source, %error, "a thing is not followed");
            let (into, source) = (Arc::clone(target), following.source.clone());
            let alarmed = self.app.blocking(move |app| app.alarm_of_no_use(&into, &source, size));
            if let Err(error) = alarmed.await {
                tracing::error!(%error, "an alarm could not be kept");
            }
            self.may_be_alarmed = true;
        }
        self.tell(Some(error.clone()));
        self.refused.insert(id, error);
        self.refused.retain(|id, _| watcher.is_aside(id));
    }

    /// The home is heard: what is reported is what is still missing, if anything. If nothing is, the alarms about it
    /// end, including those from before a restart.
    async fn goes_on(&mut self, watcher: &Watcher) -> Result<(), AppError> {
        let lacks = self.refused.iter().find(|(id, _)| watcher.is_aside(id)).map(|(_, error)| error.clone());
        if lacks.is_none() && self.may_be_alarmed {
            let Work { target, following, .. } = &self.work;
            let (into, source) = (Arc::clone(target), following.source.clone());
            self.app.blocking(move |app| app.end_alarms_of_no_use(&into, &source)).await?;
            self.may_be_alarmed = false;
        }
        self.tell(lacks.or_else(|| self.is_restless.then(|| RESTLESS.to_owned())));
        Ok(())
    }

    fn tell(&self, problem: Option<String>) {
        let Work { target, following, .. } = &self.work;
        target.set_follow_error(&following.source, problem);
    }
}

/// Opens a stream, and waits for its first event.
async fn open(peer: &HttpPeer, domain: &DomainName, watch: &Watch) -> Result<(EventStream<Heads>, Heads), PeerError> {
    let first = async {
        let mut stream = peer.watch(domain, watch).await?;
        let heads = stream.next().await?;
        Ok((stream, heads))
    };
    tokio::time::timeout(FIRST_EVENT, first).await.map_err(|_| PeerError::Held)?
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use ics_core::descriptor::{Descriptor, Source};
    use ics_core::identity::IdentityId;
    use ics_core::log::Hash;
    use ics_sync::wire::Base64;

    use super::super::follow::Told;
    use super::*;
    use crate::app::hosted::Hosted;
    use crate::config::PeerConfig;
    use crate::fixture::{Party, served, word};
    use crate::store::Following;

    /// A peer that answers every question with the same text; returns its address.
    fn answering(text: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 4_096];
                if stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                    let length = text.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(&[head.as_bytes(), text.as_bytes()].concat());
                }
            }
        });
        url
    }

    /// A domain that follows all that another one says after this many entries.
    fn following((app, target): (App, Arc<Hosted>), origin: &Origin, size: u64) -> Afar {
        let (upto, told, news, source) = (size, size, size, origin.domain.clone());
        let (rights, identities, choices) = (None, 0, Vec::new());
        let following = Following { source, upto, told, news, rights, identities, choices };
        Afar {
            app,
            work: Work { target, version: 1, following, origin: origin.clone() },
            returns: 0,
            ids: Vec::new(),
            stream: None,
            unheard: String::new(),
            refused: BTreeMap::new(),
            may_be_alarmed: false,
            is_restless: false,
            in_vain: None,
            pace: Budget::new(limits::ROAMING_PER_ASKER, Duration::from_secs(60)),
        }
    }

    /// Perhaps it is asked at two addresses, of which one does not show it who asks: with each change everything would
    /// be asked for once more.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_source_that_tells_of_other_rights_again_and_again_is_not_looked_through_each_time() {
        let ((maker, home), site) = (Party::opened(), Party::found("plant.example"));
        let info = home.domain(&maker.domain).expect("here").info;
        let app = site.open();
        let target = app.hosted(&site.domain).expect("here");
        let followed = vec![IdentityId::Software([1; 32]).to_string()];
        app.store().follow(target.number, &maker.domain, followed, info.size).expect("noted");
        let mut afar = following((app.clone(), Arc::clone(&target)), &info.origin, info.size);
        let told = |mark: u8| {
            let (upto, size, rights) = (info.size, info.size, Some(Base64([mark; 16])));
            Heads { upto, size, heads: Vec::new(), checkpoint: None, rights }
        };
        let mut is_sent_back = Vec::new();
        for mark in 0..7 {
            is_sent_back.push(afar.is_sent_back(&told(mark)).await.expect("noted"));
        }
        assert_eq!(is_sent_back, [true, true, true, true, true, false, false]);
        assert!(!afar.is_sent_back(&told(6)).await.expect("noted"), "it is not yet time");
        let row = app.store().followed(target.number).expect("is read").remove(0);
        assert_eq!((row.rights, row.upto, row.news), (Some([6; 16]), 0, info.size), "all is still to be looked at");
        let watcher = Watcher::new(info.size, Settings { interval_millis: 1_000, seed: 1 });
        afar.goes_on(&watcher).await.expect("told");
        assert_eq!(target.follow_error(&maker.domain).as_deref(), Some(RESTLESS));
    }

    /// Otherwise all peers would be asked about everything that is followed, again and again, as none shows so much.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_size_that_the_home_has_not_signed_counts_only_until_nobody_shows_it() {
        let (maker, home) = Party::opened();
        let info = home.domain(&maker.domain).expect("here").info;
        let json = home.descriptor(&maker.domain, None).expect("in force").json;
        let node = Descriptor::parse(&json).expect("a descriptor").home;
        let source = Source { domain: maker.domain.clone(), entry0: Hash(info.origin.entry0), home: node };
        let site = Party::found_with("plant.example", |descriptor| descriptor.sources = vec![source]);
        let note = home.checkpoint(&maker.domain).expect("signed");
        let lie = note.replacen(&format!("\n{}\n", info.size), "\n1000000\n", 1);
        assert_ne!(lie, note);
        let peer = |(name, url): (&str, &str)| PeerConfig {
            url: Some(word(url)),
            roam: vec![info.origin.clone()],
            ..PeerConfig::new(word(name))
        };
        let (liar, honest) = (answering(lie), served(&home));
        let app = site.open_for([("liar", &*liar), ("home", &*honest)].map(peer).into());
        let target = app.hosted(&site.domain).expect("here");
        let told = app.size_elsewhere(&target, &info.origin).await;
        assert_eq!(told, Some(Told { signed: Some(info.size), said: 1_000_000 }));

        let mut afar = following((app, target), &info.origin, info.size);
        let mut watcher = Watcher::new(info.size, Settings { interval_millis: 1_000, seed: 1 });
        let mut looks = Vec::new();
        for _ in 0..2 {
            assert_eq!(afar.look_at_each(&mut watcher, info.size).await.expect("heard"), Some(info.size));
            looks.push(afar.in_vain);
        }
        assert!(looks[0].is_some(), "it might be true");
        assert_eq!(looks[0], looks[1], "what the home has signed was looked at");
    }
}
