//! Asks the peers that the configuration names, one after the other, without trusting any of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::evidence::{Attested, EvidenceRefusal, attested};
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::merkle::{ProofError, verify_consistency};
use ics_core::time::Timestamp;
use ics_sync::http::PeerError;
use ics_sync::wire::Attestation;

use super::kept::{Answer, Asker, Outcome, Sought};
use crate::api::problem::Code;
use crate::app::copy::peers::{Asking, Peer};
use crate::app::{App, AppError};
use crate::config::PeerUrl;
use crate::locked::Locked as _;
use crate::store::{Fork, Witnessed};
use crate::tls::KeyPin;

/// How often a peer is asked again because more was seen while it answered.
const AGAIN: usize = 3;

/// Why a peer's answer is useless, or there is none.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("it is not asked about single things")]
    NotAsked,
    #[error("it could not be reached a moment ago")]
    Resting,
    #[error("it was asked too often")]
    Pace,
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("its answer is refused: {0}")]
    Refused(#[from] EvidenceRefusal),
    #[error(
        "its home signed at {as_of}, but here it is {now}: one of the two clocks is wrong, and such an answer would \
         count as fresh for too long"
    )]
    Ahead { as_of: Timestamp, now: Timestamp },
    #[error("its answer is of {shown} entries, of which this node has seen {seen}")]
    Old { shown: u64, seen: u64 },
    #[error("its answer is of a log of {shown} entries that does not follow from the {seen} that this node has seen")]
    NotFollowing { shown: u64, seen: u64 },
    #[error(
        "it gave a bad proof, which does not show whether its log of {shown} entries follows from the {seen} that this \
         node has seen"
    )]
    BadProof { shown: u64, seen: u64 },
    #[error("it does not prove that its log of {shown} entries follows from the {seen} that this node has seen")]
    Unproven { shown: u64, seen: u64 },
    #[error(
        "its answer is of another log of {0} entries than the one that this node has seen, signed by the same home"
    )]
    Forked(u64),
    #[error(
        "its owners have begun a new epoch after {left} entries, and so have given up what this node has seen, {seen} \
         entries: to give it up here too, stop the node and run `ics domain recopy`"
    )]
    GivenUp { left: u64, seen: u64 },
    #[error("{why}")]
    Contradicted {
        why: Box<Self>,
        /// The checkpoint that the home has signed.
        theirs: String,
    },
    #[error("it leaves out the descriptor by which the home has signed what this node has seen")]
    FormerKey,
    #[error("more of its log was seen in the meantime")]
    Overtaken,
    #[error("{0}")]
    Here(#[from] AppError),
}

/// Why nobody's answer is usable.
pub(super) struct Unheard {
    /// The reasons, in words.
    pub(super) why: String,
    /// Whether an answer was refused, too long, not complete in time, or waits for what is left of something erased:
    /// answers about other things may be usable.
    pub(super) is_refused: bool,
    /// Whether the home has signed for somebody what contradicts what was seen of its log.
    pub(super) is_contradicted: bool,
}

impl Unanswered {
    /// Adds the checkpoint, if it contradicts what was seen.
    fn with(self, theirs: &str) -> Self {
        match self.outcome() {
            Outcome::Forked => Self::Contradicted { why: Box::new(self), theirs: theirs.to_owned() },
            _ => self,
        }
    }

    /// Whether the peer was asked, and the error concerns the peer or its answer.
    const fn is_of_the_peer(&self) -> bool {
        !matches!(self, Self::NotAsked | Self::Resting | Self::Pace | Self::Overtaken | Self::Here(_))
    }

    fn is_refused(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Peer(PeerError::Wire(_) | PeerError::Late) => true,
            Self::Peer(PeerError::Status { problem: Some(kind), .. }) => {
                [Code::TooMuchSaid, Code::Behind].iter().any(|code| *kind == code.uri())
            }
            _ => false,
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Contradicted { why, .. } => why.outcome(),
            Self::NotAsked
            | Self::Unproven { .. }
            | Self::Overtaken
            | Self::Here(_)
            | Self::Peer(PeerError::Status { .. }) => Outcome::Unanswered,
            Self::Peer(PeerError::Wire(_)) | Self::Refused(_) | Self::Ahead { .. } | Self::BadProof { .. } => {
                Outcome::Refused
            }
            Self::Resting | Self::Peer(_) => Outcome::Unreachable,
            Self::Pace => Outcome::Limited,
            Self::Old { .. } | Self::FormerKey => Outcome::Old,
            Self::NotFollowing { .. } | Self::Forked(_) | Self::GivenUp { .. } => Outcome::Forked,
        }
    }
}

impl App {
    /// Asks for what a home attests, one peer after the other until an answer is enough, and keeps the answers. If none
    /// is enough, the newest is returned: a peer that shows an old one must not keep this node from asking the next.
    ///
    /// # Errors
    /// When no peer has an answer that is proven.
    pub(super) async fn ask_peers(
        &self,
        sought: &Sought,
        (hops, asker): (u8, Asker),
        is_enough: impl Fn(&Answer) -> bool + Send,
    ) -> Result<Arc<Answer>, Unheard> {
        let now = Instant::now();
        if !asker.wait(&self.roaming().pace, now).is_zero() {
            self.roaming().count(Outcome::Limited);
            let why = "this node asks other nodes too often".to_owned();
            return Err(Unheard { why, is_refused: false, is_contradicted: false });
        }
        self.roaming().pace.spend(1, now);
        let (mut why, mut is_refused, mut is_contradicted) = (Vec::new(), false, false);
        let mut newest: Option<Arc<Answer>> = None;
        for peer in self.in_turn(&sought.origin, now) {
            let mut asked = self.ask_peer(&peer, sought, (hops, asker)).await;
            // Two things of one domain may be asked about at once, and its log may grow between the answers.
            for _ in 0..AGAIN {
                let Err(Unanswered::Overtaken) = asked else { break };
                asked = self.ask_peer(&peer, sought, (hops, asker)).await;
            }
            match asked {
                Ok(answer) => {
                    self.roaming().count(Outcome::Answered);
                    if let Some(asking) = peer.asking() {
                        asking.has_answered(&sought.origin.domain, self.clock().now());
                    }
                    self.roaming().keep(sought, &answer);
                    if is_enough(&answer) {
                        return Ok(answer);
                    }
                    newest = newest.filter(|known| known.reached() >= answer.reached()).or(Some(answer));
                }
                Err(error) => {
                    self.note_unanswered(&peer, sought, &error).await;
                    why.push(format!("{}: {error}", peer.config.name));
                    is_refused |= error.is_refused();
                    is_contradicted |= matches!(error.outcome(), Outcome::Forked);
                }
            }
        }
        newest.ok_or_else(|| Unheard { why: why.join("; "), is_refused, is_contradicted })
    }

    /// The peers to be asked, in the order of the configuration, except that those that are gone, or whose answers come
    /// too late, are the last: whoever asks would wait for each of them before another one is asked. Who is only late
    /// is not left alone, since only the answer about one thing may be too long for the line.
    fn in_turn(&self, origin: &Origin, now: Instant) -> Vec<Arc<Peer>> {
        let mut peers = self.peers_table().asked_about(origin);
        peers.sort_by_key(|peer| peer.asking().is_some_and(|asking| asking.late.is_late(now)));
        peers
    }

    async fn ask_peer(
        &self,
        peer: &Arc<Peer>,
        sought: &Sought,
        (hops, asker): (u8, Asker),
    ) -> Result<Arc<Answer>, Unanswered> {
        let asking = peer.asking().ok_or(Unanswered::NotAsked)?;
        let now = Instant::now();
        if asking.is_resting(now) {
            return Err(Unanswered::Resting);
        }
        if !asker.wait(&asking.pace, now).is_zero() {
            return Err(Unanswered::Pace);
        }
        asking.pace.spend(1, now);
        let (app, origin) = (self.clone(), sought.origin.clone());
        let seen = self.off_the_runtime(move || Ok(app.store().witnessed(&origin).map_err(AppError::from)?)).await?;
        let size = seen.as_ref().map_or(0, |seen| seen.size);
        let answer = asking.http.attestation(&sought.origin.domain, &sought.asked, hops, size).await;
        asking.late.note(&answer);
        match answer {
            Ok(attestation) => {
                let (app, peer, sought) = (self.clone(), Arc::clone(peer), sought.clone());
                self.off_the_runtime(move || app.take_answer(&peer, &sought, seen, attestation)).await
            }
            Err(error) => {
                if matches!(error, PeerError::Transport(_)) {
                    asking.rest();
                }
                Err(error.into())
            }
        }
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Unanswered> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let ended = crate::background::spawn(work).await;
        ended.unwrap_or_else(|error| Err(AppError::Internal(format!("an answer was not verified: {error}")).into()))
    }

    /// Verifies a peer's answer, and records how far its log is known now.
    fn take_answer(
        &self,
        peer: &Peer,
        sought: &Sought,
        seen: Option<Witnessed>,
        answer: Attestation,
    ) -> Result<Arc<Answer>, Unanswered> {
        let Attestation { evidence, consistency } = answer;
        // Over TLS the peer knows this node by its key.
        let is_tls = peer.config.url.as_ref().is_some_and(PeerUrl::is_over_tls);
        let reader = is_tls.then(|| *KeyPin::of_ed25519(&self.0.keys.key.public()).as_bytes());
        let verify = || attested(&evidence, &sought.origin, &sought.asked, reader, self.clock().now());
        let mut attested = verify()?;
        if self.must_follow(&attested)? {
            attested = verify()?;
        }
        if let Some(Witnessed { size, note, .. }) = &seen
            && let Some(left) = attested.given_up(note, *size)
        {
            return Err(Unanswered::GivenUp { left, seen: *size }.with(&evidence.checkpoint));
        }
        let proof: Vec<Hash> = consistency.iter().map(|hash| Hash(hash.0)).collect();
        follows(&attested.checkpoint, seen.as_ref(), &proof).map_err(|why| why.with(&evidence.checkpoint))?;
        if seen.as_ref().is_some_and(|seen| !attested.has_signed(&seen.note)) {
            return Err(Unanswered::FormerKey);
        }
        let noted = self.note_seen(&attested.checkpoint, evidence.checkpoint.clone(), seen);
        noted.map_err(|why| why.with(&evidence.checkpoint))?;
        Ok(Arc::new(Answer { attested, evidence, reader, from: peer.config.name.clone() }))
    }

    /// Whether the clock was behind and has followed the time of an answer; then what was judged by the old time is
    /// judged again. Otherwise an answer with a time in the future would count as fresh long beyond that.
    fn must_follow(&self, attested: &Attested) -> Result<bool, Unanswered> {
        let (as_of, now) = (attested.testimony.as_of, self.clock().now());
        if as_of.as_millis() <= now.as_millis().saturating_add(limits::CLOCK_SKEW_MILLIS) {
            return Ok(false);
        }
        match self.clock().learn(&attested.checkpoint.origin.domain, as_of) {
            true => Ok(true),
            false => Err(Unanswered::Ahead { as_of, now }),
        }
    }

    /// Records what was seen of a log, so that neither this node nor, as a witness, anybody else is shown another log
    /// or less of it.
    fn note_seen(&self, checkpoint: &Checkpoint, note: String, seen: Option<Witnessed>) -> Result<(), Unanswered> {
        let Checkpoint { origin, size, root } = checkpoint.clone();
        let shown = Witnessed { size, root, note, contradiction: None };
        let decide = move |now| noted(now, seen.as_ref(), shown);
        self.store().witness(&origin, decide).map_err(AppError::from)?
    }

    /// Counts the outcome, and raises an alarm if a peer has shown what no honest peer shows. If one home has signed
    /// two logs, both heads are stored, for whoever is to judge.
    async fn note_unanswered(&self, peer: &Peer, sought: &Sought, error: &Unanswered) {
        let outcome = error.outcome();
        self.roaming().count(outcome);
        let (name, domain) = (&peer.config.name, &sought.origin.domain);
        tracing::info!(peer = %name, %domain, %error, "a peer had no answer of use");
        if let Some(asking) = peer.asking().filter(|_| error.is_of_the_peer()) {
            asking.has_failed(domain, error.to_string());
        }
        let sort = match outcome {
            Outcome::Forked => "fork",
            Outcome::Refused | Outcome::Old => "roaming-refused",
            _ => return,
        };
        if !self.roaming().may_alarm(name, sort) {
            return;
        }
        let about = format!("`{name}` was asked about a thing of {}: ", sought.origin);
        let (app, why) = (self.clone(), error.to_string());
        let theirs = if let Unanswered::Contradicted { theirs, .. } = error { Some(theirs.clone()) } else { None };
        let origin = sought.origin.clone();
        let alarm = move || {
            app.alarm_of_answer(sort, &about, &why)?;
            Ok(theirs.map_or(Ok(()), |theirs| app.keep_both(&origin, theirs))?)
        };
        if let Err(error) = self.off_the_runtime(alarm).await {
            tracing::error!(%error, "an alarm could not be kept");
        }
    }

    /// Stores what was seen of a log that is not held here, and the head that contradicts it.
    fn keep_both(&self, origin: &Origin, theirs: String) -> Result<(), AppError> {
        let Some(seen) = self.store().witnessed(origin)? else { return Ok(()) };
        Ok(self.store().keep_fork(Fork { domain: None, at: self.clock().now(), ours: seen.note, theirs })?)
    }
}

/// What to record of a log that was shown. It was verified to follow from `seen`; if more has been seen since, that
/// proves nothing about the rest.
fn noted(
    now: Option<Witnessed>,
    seen: Option<&Witnessed>,
    shown: Witnessed,
) -> (Option<Witnessed>, Result<(), Unanswered>) {
    let head = |seen: &Witnessed| (seen.size, seen.root);
    let before = now.as_ref().map(head);
    match before {
        Some((size, root)) if size == shown.size && root != shown.root => (None, Err(Unanswered::Forked(size))),
        Some((size, _)) if size == shown.size => (None, Ok(())),
        _ if before == seen.map(head) => {
            let contradiction = now.and_then(|now| now.contradiction);
            (Some(Witnessed { contradiction, ..shown }), Ok(()))
        }
        _ => (None, Err(Unanswered::Overtaken)),
    }
}

/// Checks that a checkpoint belongs to the log that was seen. Only a valid proof to the contrary shows that the home
/// has signed another log; any other proof may be the peer's work.
fn follows(shown: &Checkpoint, seen: Option<&Witnessed>, proof: &[Hash]) -> Result<(), Unanswered> {
    let Some(seen) = seen else { return Ok(()) };
    let (size, root) = (shown.size, &shown.root);
    if size < seen.size {
        return Err(Unanswered::Old { shown: size, seen: seen.size });
    }
    if size == seen.size {
        return if *root == seen.root { Ok(()) } else { Err(Unanswered::Forked(size)) };
    }
    if proof.is_empty() {
        return Err(Unanswered::Unproven { shown: size, seen: seen.size });
    }
    let proven = verify_consistency(seen.size, &seen.root, size, root, proof);
    let (shown, seen) = (size, seen.size);
    proven.map_err(|error| match error {
        ProofError::OldRoot => Unanswered::NotFollowing { shown, seen },
        _ => Unanswered::BadProof { shown, seen },
    })
}

impl Asking {
    fn is_resting(&self, now: Instant) -> bool {
        self.resting.locked().is_some_and(|until| now < until)
    }

    fn rest(&self) {
        let until = Instant::now() + Duration::from_millis(limits::ROAMING_PAUSE_MILLIS);
        *self.resting.locked() = Some(until);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ics_core::identity::IdentityId;

    use super::*;
    use crate::app::copy::peers::ASKED_LAST;
    use crate::config::PeerConfig;
    use crate::fixture::{Party, device, served, word};

    /// A peer whose answers begin like this and never end; returns its address. It counts the questions.
    fn unending(asked: &Arc<AtomicUsize>, begin: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::clone(asked);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                if stream.read(&mut [0; 4_096]).is_ok_and(|bytes| bytes > 0) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(begin.as_bytes());
                }
                open.push(stream);
            }
        });
        url
    }

    /// Otherwise each device that asks would wait for it first.
    async fn is_asked_last(begin: &'static str) {
        let ((maker, home), site) = (Party::with_a_device().await, Party::found("plant.example"));
        let origin = home.domain(&maker.domain).expect("here").info.origin;
        let asked = Arc::default();
        let (slow, honest) = (unending(&asked, begin), served(&home));
        let peer = |(name, url): (&str, &str)| PeerConfig {
            url: Some(word(url)),
            roam: vec![origin.clone()],
            ..PeerConfig::new(word(name))
        };
        let app = site.open_for([("slow", &*slow), ("home", &*honest)].map(peer).into());
        let sought = Sought { origin, asked: IdentityId::Key(device(1).fingerprint()).to_string() };
        for _ in 0..2 {
            let answer = app.ask_peers(&sought, (limits::ROAMING_HOPS, Asker::Own), |_| true).await;
            let answer = answer.map_err(|unheard| unheard.why).expect("the home answers");
            assert_eq!(answer.from.to_string(), "home");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "the second time it is not waited for");
        let in_turn = |now| -> Vec<String> {
            app.in_turn(&sought.origin, now).iter().map(|peer| peer.config.name.to_string()).collect()
        };
        assert_eq!(in_turn(Instant::now()), ["home", "slow"]);
        assert_eq!(in_turn(Instant::now() + ASKED_LAST), ["slow", "home"], "it may be better by then");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_peer_whose_answer_came_too_late_is_asked_after_the_others() {
        is_asked_last("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{").await;
    }

    /// It also rests for a moment, but questions may be further apart than that.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_peer_that_hangs_is_asked_after_the_others() {
        is_asked_last("").await;
    }

    fn tree(size: u64, branch: u8) -> Witnessed {
        Witnessed { size, root: Hash([branch; 32]), note: String::new(), contradiction: None }
    }

    /// A home that holds back an answer until another branch was cosigned must not get a second branch accepted.
    #[test]
    fn what_was_seen_meanwhile_is_not_forgotten() {
        let (a, b) = (1, 2);
        for (now, seen, shown, size, end) in [
            (None, None, tree(5, a), Some(5), "Ok(())"),
            (Some(tree(5, a)), Some(tree(5, a)), tree(8, a), Some(8), "Ok(())"),
            (Some(tree(5, a)), Some(tree(5, a)), tree(5, a), None, "Ok(())"),
            (Some(tree(8, a)), Some(tree(5, a)), tree(8, a), None, "Ok(())"),
            (Some(tree(8, a)), Some(tree(5, a)), tree(8, b), None, "Err(Forked(8))"),
            (Some(tree(8, a)), Some(tree(5, a)), tree(20, b), None, "Err(Overtaken)"),
            (Some(tree(8, a)), Some(tree(5, a)), tree(6, a), None, "Err(Overtaken)"),
            (Some(tree(8, a)), None, tree(20, b), None, "Err(Overtaken)"),
        ] {
            let words = format!("{now:?} {seen:?} {shown:?}");
            let (next, answer) = noted(now, seen.as_ref(), shown);
            assert_eq!((next.map(|it| it.size), format!("{answer:?}").as_str()), (size, end), "{words}");
        }
    }

    /// A follower of many things continues with the next one.
    #[test]
    fn that_a_thing_has_no_answer_for_now_says_nothing_of_others() {
        let answered = |code: Code| {
            let (status, problem) = (code.status(), Some(code.uri()));
            Unanswered::from(PeerError::Status { status, detail: String::new(), problem }).is_refused()
        };
        assert!(answered(Code::TooMuchSaid) && answered(Code::Behind) && !answered(Code::UnknownIdentity));
        // Over a slow line what is said of one thing may be too much each time.
        let [late, gone] = [PeerError::Late, PeerError::Transport("refused".to_owned())].map(Unanswered::from);
        assert!(late.is_refused() && !gone.is_refused());
    }
}
