//! The loop that carries out what a mirror's state machine decides.

use core::pin::{Pin, pin};
use core::time::Duration;
use std::collections::VecDeque;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;

use crate::applier::Applier;
use crate::http::PeerError;
use crate::mirror::{Action, Mirror, Status, Stop, Way};
use crate::news::News;
use crate::peer::{Peer, Stream};
use crate::turn::Turn;
use crate::wire::Page;

/// The time within which a stream must bring its first event: an intermediary that holds events back until there are
/// many would make it useless.
const FIRST_EVENT: Duration = Duration::from_secs(5);

/// Pages that are asked for ahead, at most.
const AHEAD: usize = 2;

/// How far a mirror is, and which of its peers it asks, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How far it is.
    pub status: Status,
    /// The peer that it asks.
    pub peer: usize,
}

/// Mirrors until it ends: returns `None` if `shutdown` was ready, else the reason for which the mirror stopped.
///
/// A page that is being applied is finished first. `progress` is updated after every step. `now` is the node's clock.
/// If one peer fails, the next is asked: the home's signature comes with everything that any of them has.
pub async fn run(
    mirror: &mut Mirror,
    peers: &[Peer],
    applier: &mut (impl Applier + Send),
    now: impl Fn() -> Timestamp + Send,
    progress: &watch::Sender<Progress>,
    shutdown: impl Future<Output = ()> + Send,
) -> Option<Stop> {
    let mut shutdown = pin!(shutdown);
    let (mut stream, mut ahead) = (None, VecDeque::new());
    let mut turn = Turn::among(peers.len());
    loop {
        let next = mirror.poll_action(now());
        let rests = matches!(next, Action::Wait { .. } | Action::Listen { .. });
        let is_in_hand = matches!(next, Action::Apply(_) | Action::Survey(_) | Action::Fill(_) | Action::RootAt { .. });
        if !is_in_hand && turn.pass(&mirror.status(), rests, now()) {
            // What another peer still sends is not taken as the word of this one.
            (stream, ahead) = (None, VecDeque::new());
        }
        mirror.hears(turn.peer());
        // Where it is another peer's turn now, the mirror has dropped what it was asking the former one.
        match mirror.poll_action(now()) {
            Action::Stopped(stop) => return Some(stop),
            Action::Apply(page) => {
                begin(&mut ahead, mirror, peers.get(turn.peer())?);
                let look = applier.ahead();
                match alongside(applier.apply(&page), &mut ahead, look).await {
                    Ok(()) => mirror.handle_applied(now()),
                    Err(problem) => mirror.handle_failure(&problem, now()),
                }
            }
            Action::RootAt { size } => match applier.root_at(size).await {
                Ok(root) => mirror.handle_root(&root, now()),
                Err(problem) => mirror.handle_failure(&problem, now()),
            },
            Action::Survey(survey) => match applier.survey(&survey).await {
                Ok(seen) => mirror.handle_surveyed(seen),
                Err(problem) => mirror.handle_failure(&problem, now()),
            },
            Action::Fill(fill) => match applier.fill(&fill).await {
                Ok(()) => mirror.handle_filled(),
                Err(problem) => mirror.handle_failure(&problem, now()),
            },
            action => {
                let peer = peers.get(turn.peer())?;
                tokio::select! {
                    biased;
                    () = &mut shutdown => return None,
                    () = ask(mirror, peer, &mut stream, &mut ahead, action, &now) => {}
                }
            }
        }
        progress.send_replace(Progress { status: mirror.status(), peer: turn.peer() });
    }
}

/// The page that is asked for, as in [`Action::FetchPage`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Question {
    from: u64,
    limit: usize,
    until: u64,
}

/// A page that is asked for while an earlier one is applied, so that a copy far behind waits for both at the same time.
struct Ahead<'a> {
    peer: &'a Peer,
    domain: DomainName,
    question: Question,
    under_way: Pin<Box<dyn Future<Output = Result<Page, PeerError>> + Send + 'a>>,
    arrived: Option<Result<Page, PeerError>>,
    looked_through: bool,
}

impl<'a> Ahead<'a> {
    fn ask(peer: &'a Peer, domain: DomainName, question: Question) -> Self {
        let (asked, Question { from, limit, until }) = (domain.clone(), question);
        let under_way = Box::pin(async move { peer.page(&asked, from, limit, until).await });
        Self { peer, domain, question, under_way, arrived: None, looked_through: false }
    }

    /// Asks for the page after this one, once it is known where that begins, unless this is the last.
    fn ask_behind(&self) -> Option<Self> {
        let entries = self.arrived.as_ref()?.as_ref().ok()?.entries.len() as u64;
        let next = Question { from: self.question.from.saturating_add(entries), ..self.question };
        (entries > 0 && next.from < next.until).then(|| Self::ask(self.peer, self.domain.clone(), next))
    }

    /// Waits until it is here. If dropped half-way, nothing is lost.
    async fn arrive(&mut self) {
        if self.arrived.is_none() {
            self.arrived = Some(self.under_way.as_mut().await);
        }
    }

    fn look(&mut self, look: &impl Fn(u64, &Page)) {
        if let Some(Ok(page)) = self.arrived.as_ref().filter(|_| !self.looked_through) {
            look(self.question.from, page);
            self.looked_through = true;
        }
    }

    /// The answer.
    async fn answer(mut self) -> Result<Page, PeerError> {
        self.arrive().await;
        self.arrived.unwrap_or(Err(PeerError::Ended))
    }
}

/// Asks for the page after the one that is about to be applied, unless that was done already.
fn begin<'a>(ahead: &mut VecDeque<Ahead<'a>>, mirror: &Mirror, peer: &'a Peer) {
    let Some(Action::FetchPage { from, limit, until }) = mirror.poll_ahead() else { return ahead.clear() };
    let question = Question { from, limit, until };
    if ahead.front().is_none_or(|first| first.question != question) {
        ahead.clear();
        ahead.push_back(Ahead::ask(peer, mirror.domain().clone(), question));
    }
}

/// Waits for some work; meanwhile lets the pages asked for ahead arrive and be examined, one after the other, so that
/// there is always something to examine, and something ready to apply.
async fn alongside<T>(work: impl Future<Output = T>, ahead: &mut VecDeque<Ahead<'_>>, look: impl Fn(u64, &Page)) -> T {
    let mut work = pin!(work);
    for place in 0..AHEAD {
        let Some(next) = ahead.get_mut(place) else { break };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = next.arrive() => next.look(&look),
        }
        if ahead.len() == place + 1 && ahead.len() < AHEAD {
            ahead.extend(ahead.get(place).and_then(Ahead::ask_behind));
        }
    }
    work.await
}

/// Waits, or asks the peer and tells the mirror what it said. If dropped half-way, it has changed nothing.
async fn ask(
    mirror: &mut Mirror,
    peer: &Peer,
    stream: &mut Option<Stream>,
    ahead: &mut VecDeque<Ahead<'_>>,
    action: Action,
    now: &(impl Fn() -> Timestamp + Send),
) {
    let domain = mirror.domain().clone();
    let asked = match action {
        Action::Listen { from, way, until } => {
            let patience = Duration::from_millis(until.millis_since(now()));
            let heard = tokio::time::timeout(patience, listen(peer, &domain, stream, from, way)).await;
            match heard {
                // Silence for that long: the mirror polls instead.
                Err(_) => *stream = None,
                Ok(Ok(news)) => mirror.handle_news(news, now()),
                Ok(Err(problem)) => {
                    *stream = None;
                    mirror.handle_silence(&problem.to_string(), now());
                }
            }
            return;
        }
        Action::FetchDescriptors { from } => {
            peer.descriptors(&domain, from).await.map(|descriptors| mirror.handle_descriptors(&descriptors, now()))
        }
        Action::FetchCheckpoint => peer.checkpoint(&domain).await.map(|note| mirror.handle_checkpoint(&note, now())),
        Action::FetchPage { from, limit, until } => {
            // The stream's next event would begin after what is fetched now.
            *stream = None;
            let page = match ahead.pop_front_if(|first| first.question == Question { from, limit, until }) {
                Some(asked) => asked.answer().await,
                None => peer.page(&domain, from, limit, until).await,
            };
            page.map(|page| mirror.handle_page(page, now()))
        }
        Action::Wait { until } => {
            *stream = None;
            tokio::time::sleep(Duration::from_millis(until.millis_since(now()))).await;
            Ok(())
        }
        Action::FetchAgain(again) => peer.again(&domain, &again).await.map(|shown| mirror.handle_shown(shown, now())),
        Action::RootAt { .. } | Action::Apply(_) | Action::Survey(_) | Action::Fill(_) | Action::Stopped(_) => Ok(()),
    };
    match asked {
        Ok(()) => {}
        Err(problem @ (PeerError::Transport(_) | PeerError::Late | PeerError::Ended)) => {
            mirror.handle_unreached(&problem.to_string(), now());
        }
        Err(problem) => mirror.handle_failure(&problem.to_string(), now()),
    }
}

/// The next piece of news, from the open stream, a new one, or a request that waits at the peer.
pub(crate) async fn listen(
    peer: &Peer,
    domain: &DomainName,
    stream: &mut Option<Stream>,
    from: u64,
    way: Way,
) -> Result<News, PeerError> {
    if way == Way::LongPoll {
        return peer.next_page(domain, from).await.map(News::Page);
    }
    if let Some(stream) = stream.as_mut().filter(|stream| !stream.is_stale()) {
        return stream.next().await;
    }
    let first = async {
        let mut opened = peer.stream(domain, from).await?;
        let first = opened.next().await?;
        Ok::<_, PeerError>((opened, first))
    };
    let (opened, first) = tokio::time::timeout(FIRST_EVENT, first).await.map_err(|_| PeerError::Held)??;
    *stream = Some(opened);
    Ok(first)
}
