//! This node as a home: it asks its witnesses to cosign what it has signed, and shows no checkpoint without the
//! witnesses that the domain's descriptor demands.
//!
//! One round asks the witnesses about one checkpoint, the newest. The log may grow meanwhile; the next round covers
//! everything that has come in, so a busy home asks no more often than its witnesses answer. A missing witness delays
//! nothing as long as the others suffice: it is asked less and less often until it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use ics_core::limits;
use ics_core::log::cosignature::{self, merge};
use ics_core::log::note::{Algorithm, VerifierKey};
use ics_core::time::Timestamp;
use ics_sync::http::HttpPeer;
use ics_sync::witness::{AddCheckpoint, Asking, Step, Trouble};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::heartbeat::stopped;
use crate::api::problem::Code;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::config::PeerName;
use crate::store::{Seal, StoreError, WriteTx};

/// The pause between two rounds when nothing happens: then only a newer time is asked for.
const IDLE: Duration = Duration::from_secs(60);
/// The longest pause between two rounds that have failed.
const LONGEST_RETRY_SECONDS: u64 = 8;
/// How long a round waits for the remaining witnesses when there are enough and entries wait for the next round.
const GRACE: Duration = Duration::from_millis(500);
/// How long a submission waits for the witnesses that a descriptor demands.
const PATIENCE: Duration = Duration::from_secs(10);

/// A witness, with what is needed to ask it.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    pub(crate) name: PeerName,
    pub(crate) http: HttpPeer,
    /// The key with which its cosignatures are verified.
    pub(crate) key: [u8; 32],
}

/// What a witness has done for a domain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witnessing {
    /// The number of entries of the last checkpoint that it has cosigned.
    pub(crate) size: u64,
    pub(crate) at: Option<Timestamp>,
    /// Why it has not cosigned the last checkpoint for which it was asked.
    pub(crate) last_error: Option<String>,
    /// Whether that will not pass by itself.
    pub(crate) lasts: bool,
}

/// The state of a home's witnesses for one domain.
type Known = BTreeMap<PeerName, Standing>;

/// The state of one of them.
#[derive(Debug, Default)]
struct Standing {
    asking: Asking,
    /// Failures since it last cosigned.
    failures: u32,
    /// Until when it is not asked, as long as the others suffice: entries come in more often than a witness comes back.
    rests_until: Option<Instant>,
    /// Whether its clock was ahead when it last cosigned.
    is_ahead: bool,
}

impl Standing {
    fn has_answered(&mut self, asking: Asking, has_cosigned: bool) {
        self.asking = asking;
        match has_cosigned {
            true => (self.failures, self.rests_until) = (0, None),
            false => self.rest(),
        }
    }

    fn rest(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(Instant::now() + retry(self.failures));
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    fn rouse(&mut self) {
        self.rests_until = None;
    }

    /// How much longer it is left alone.
    fn pause(&self) -> Option<Duration> {
        self.rests_until.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

impl App {
    /// Has the checkpoints of this node's domains cosigned, until `stop` becomes true.
    pub async fn be_witnessed(self, stop: watch::Receiver<bool>) {
        let mut domains = JoinSet::new();
        for hosted in self.homes() {
            domains.spawn(self.clone().domain_be_witnessed(hosted, stop.clone()));
        }
        while domains.join_next().await.is_some() {}
    }

    async fn domain_be_witnessed(self, hosted: Arc<Hosted>, mut stop: watch::Receiver<bool>) {
        let mut grown = hosted.grown.subscribe();
        let mut peers = self.peers_table().changes();
        let mut known = Known::new();
        let mut failures = 0_u32;
        loop {
            grown.mark_unchanged();
            let was_silent = self.is_silent(&hosted).unwrap_or(true);
            let round = tokio::select! {
                () = stopped(&mut stop) => return,
                round = self.round(&hosted, &mut known, &grown) => round,
            };
            // As after a start: those who hold a copy are asked for what was lost.
            if !was_silent && self.is_silent(&hosted).unwrap_or(false) {
                self.clone().stay_silent(hosted.name.clone(), stop.clone()).await;
                continue;
            }
            let pause = match round {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(domain = %hosted.name, %error, "witnesses are missing");
                    }
                    failures = failures.saturating_add(1);
                    // A witness that is being left alone may be the one that is needed now.
                    known.values_mut().for_each(Standing::rouse);
                    retry(failures)
                }
            };
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(pause) => {}
                // A new peer may be the missing witness. New entries can wait after a failure.
                _ = peers.changed() => known.values_mut().for_each(Standing::rouse),
                _ = grown.changed(), if failures == 0 => {}
            }
        }
    }

    /// Asks the witnesses about the newest checkpoint, and lets it be shown as soon as it has those that are demanded.
    /// Returns how long the next round can wait if nothing comes in. A witness that fails is left alone for a while,
    /// and entries do not wait for a slow one as long as the others suffice.
    async fn round(
        &self,
        hosted: &Arc<Hosted>,
        known: &mut Known,
        grown: &watch::Receiver<u64>,
    ) -> Result<Duration, AppError> {
        let witnesses = self.peers_table().witnesses();
        let Some(domain) = hosted.domain() else { return Ok(IDLE) };
        let quorum = domain.descriptor().quorum();
        if witnesses.is_empty() && quorum == 0 || self.is_closed(hosted) || self.is_silent(hosted)? {
            return Ok(IDLE);
        }
        known.retain(|name, _| witnesses.iter().any(|witness| witness.name == *name));
        let number = hosted.number;
        let first = self.blocking(move |app| Ok(app.store().sign_head(number)?)).await?;
        let keys: Vec<VerifierKey> = witnesses.iter().filter_map(|witness| key_of(witness).ok()).collect();
        let (mut seal, slow) = (first.clone(), Instant::now() + GRACE);
        let (mut asked, mut awaited) = (FuturesUnordered::new(), Vec::new());
        for (witness, asking) in who_does_not_rest(&witnesses, known) {
            awaited.push(witness);
            asked.push(self.ask_witness(hosted, witness, asking, &first));
        }
        let (mut enough, mut missing) = (quorum == 0, Vec::new());
        loop {
            let next = tokio::select! {
                next = asked.next() => next,
                () = overtaken(slow, grown.clone()), if enough => None,
            };
            let Some((witness, asking, answer)) = next else { break };
            awaited.retain(|other| other.name != witness.name);
            self.note_witness(hosted, witness, first.size, answer.as_ref().err())?;
            known.entry(witness.name.clone()).or_default().has_answered(asking, answer.is_ok());
            if answer.as_ref().is_err_and(Trouble::is_alarming) && self.heed(hosted, witness).await? {
                return Ok(IDLE);
            }
            match answer {
                Ok(note) => {
                    self.note_clock(hosted, witness, &note, known.entry(witness.name.clone()).or_default())?;
                    seal.note = merge(&seal.note, &note, &keys).map_err(unusable)?;
                }
                Err(trouble) => missing.push(format!("{}: {trouble}", witness.name)),
            }
            // It is shown as soon as the quorum is reached; further cosignatures are added at the end.
            if !enough && domain.descriptor().is_witnessed(&seal.note).map_err(unusable)? {
                enough = true;
                self.show(hosted, &seal, &keys).await?;
            }
        }
        drop(asked);
        for witness in awaited {
            self.note_witness(hosted, witness, first.size, Some(&too_slow()))?;
            known.entry(witness.name.clone()).or_default().rest();
        }
        if !enough {
            let detail = format!("{quorum} must cosign: {}", missing.join("; "));
            return Err(AppError::new(Code::Unwitnessed, detail));
        }
        self.show(hosted, &seal, &keys).await?;
        Ok(known.values().filter_map(Standing::pause).fold(IDLE, Duration::min))
    }

    /// Asks a witness; returns it with its answer and its new state.
    async fn ask_witness<'w>(
        &self,
        hosted: &Arc<Hosted>,
        witness: &'w Witness,
        mut asking: Asking,
        seal: &Seal,
    ) -> (&'w Witness, Asking, Result<String, Trouble>) {
        let answer = self.cosigned(hosted, witness, &mut asking, seal).await;
        (witness, asking, answer)
    }

    /// The checkpoint with the witness's cosignature.
    async fn cosigned(
        &self,
        hosted: &Arc<Hosted>,
        witness: &Witness,
        asking: &mut Asking,
        seal: &Seal,
    ) -> Result<String, Trouble> {
        let refused = |error: String| Trouble::Refused(error);
        let key = key_of(witness)?;
        loop {
            let (number, old, size) = (hosted.number, asking.old().min(seal.size), seal.size);
            let proof = self.blocking(move |app| Ok(app.store().consistency_proof(number, old, size)?)).await;
            let proof = proof.map_err(|error| refused(error.to_string()))?;
            let request = AddCheckpoint { old, proof, checkpoint: seal.note.clone() };
            match asking.handle(size, witness.http.add_checkpoint(&request).await) {
                Step::Take(lines) => {
                    return cosignature::take(&seal.note, &lines, &key).map_err(|error| refused(error.to_string()));
                }
                Step::Again => {}
                Step::Failed(trouble) => return Err(trouble),
            }
        }
    }

    /// Lets a checkpoint with its cosignatures be shown, unless a later one already is.
    async fn show(&self, hosted: &Arc<Hosted>, seal: &Seal, keys: &[VerifierKey]) -> Result<(), AppError> {
        let (hosted, seal, keys) = (Arc::clone(hosted), seal.clone(), keys.to_vec());
        self.blocking(move |app| {
            let job = move |tx: &mut WriteTx<'_>| match tx.head().seal.clone() {
                Some(shown) if shown.size > seal.size => Ok(()),
                // The heartbeat may have cosigned it again meanwhile.
                Some(shown) if shown.size == seal.size => {
                    let malformed = |error: ics_core::log::checkpoint::CheckpointError| StoreError::Refused {
                        rule: format!("cosignatures of a checkpoint of `{}`: {error}", tx.domain().name),
                    };
                    let note = merge(&shown.note, &seal.note, &keys).map_err(malformed)?;
                    if note == shown.note { Ok(()) } else { tx.seal(Seal { note, ..shown }) }
                }
                _ => tx.seal(seal),
            };
            app.store().write(hosted.number, job)?.wait()?;
            app.tell(&hosted);
            Ok(())
        })
        .await
    }

    /// Records what operators see of a witness. Trouble that will not pass by itself raises an alarm, once.
    fn note_witness(
        &self,
        hosted: &Hosted,
        witness: &Witness,
        size: u64,
        trouble: Option<&Trouble>,
    ) -> Result<(), AppError> {
        let now = self.clock().now();
        let before = hosted.witnessing(&witness.name);
        let last_error = trouble.map(ToString::to_string);
        if let Some(trouble) = trouble.filter(|_| before.last_error.is_none()) {
            tracing::warn!(domain = %hosted.name, witness = %witness.name, %trouble, "a witness is missing");
        }
        if let Some(trouble) = trouble.filter(|it| it.is_alarming() && before.last_error != last_error) {
            let text = format!("the witness `{}` does not cosign: {trouble}", witness.name);
            tracing::error!(domain = %hosted.name, "{text}");
            // One for each witness: it may say something else each time.
            self.store().alarm_about(hosted.number, now, ("witness", witness.name.as_str()), &text)?;
        }
        let now = match last_error {
            None => Witnessing { size, at: Some(now), last_error: None, lasts: false },
            Some(_) => Witnessing { last_error, lasts: trouble.is_some_and(Trouble::is_alarming), ..before },
        };
        hosted.set_witnessing(&witness.name, now);
        Ok(())
    }

    /// Reports once that a witness's clock is ahead: what it cosigns is shown with that time for as long as it is kept.
    fn note_clock(
        &self,
        hosted: &Hosted,
        witness: &Witness,
        note: &str,
        standing: &mut Standing,
    ) -> Result<(), AppError> {
        let (now, key) = (self.clock().now(), key_of(witness).ok());
        let times = cosignature::times(note, key.as_ref()).map_err(unusable)?;
        let mut times = times.into_iter().map(|(_, at)| at);
        let ahead = times.find(|at| at.millis_since(now) > limits::CLOCK_SKEW_MILLIS);
        let was_ahead = core::mem::replace(&mut standing.is_ahead, ahead.is_some());
        let Some(at) = ahead.filter(|_| !was_ahead) else { return Ok(()) };
        tracing::warn!(domain = %hosted.name, witness = %witness.name, %at, "a witness's clock is ahead");
        let text = format!(
            "the clock of the witness `{}` is ahead of this node's: what it cosigns bears a future time; one of the \
             two clocks is wrong",
            witness.name
        );
        self.store().alarm_once(hosted.number, now, "witness", &text)?;
        Ok(())
    }

    /// The number of entries of a domain, if its last checkpoint does not cover them all because the rest waits for
    /// witnesses.
    pub(in crate::app) fn unshown(&self, hosted: &Hosted) -> Result<Option<u64>, AppError> {
        let head = self.store().head(hosted.number)?;
        let shown = head.seal.map_or(0, |seal| seal.size);
        Ok(Some(head.size).filter(|size| shown < *size))
    }

    /// Waits until this many entries of a domain can be shown; at once if no witnesses are demanded.
    pub(crate) async fn until_shown(&self, hosted: &Hosted, size: u64) -> Result<(), AppError> {
        let mut sealed = hosted.sealed.subscribe();
        if *sealed.borrow_and_update() >= size {
            return Ok(());
        }
        let waited = tokio::time::timeout(PATIENCE, sealed.wait_for(|shown| *shown >= size)).await;
        let late = |_| {
            let late = format!("it is in the log of `{}`, but the witnesses have not cosigned that yet", hosted.name);
            // Somebody who is told to wait must not wait for something that never comes.
            let detail = match hosted.estranged() {
                Some((name, trouble)) => format!("{late}; the witness `{name}`: {trouble}"),
                None => late,
            };
            AppError::new(Code::Unwitnessed, detail)
        };
        waited.map(drop).map_err(late)
    }
}

/// The witnesses that a round asks, each with its state.
fn who_does_not_rest<'w>(witnesses: &'w [Witness], known: &mut Known) -> Vec<(&'w Witness, Asking)> {
    let mut asked = Vec::new();
    for witness in witnesses {
        let standing = known.entry(witness.name.clone()).or_default();
        if !standing.rests() {
            asked.push((witness, standing.asking.clone()));
        }
    }
    asked
}

fn key_of(witness: &Witness) -> Result<VerifierKey, Trouble> {
    let key = VerifierKey::new(witness.name.as_str(), Algorithm::Cosignature, &witness.key);
    key.map_err(|error| Trouble::Refused(error.to_string()))
}

/// The pause after this many failures.
fn retry(failures: u32) -> Duration {
    Duration::from_secs(1_u64.checked_shl(failures).unwrap_or(u64::MAX).min(LONGEST_RETRY_SECONDS))
}

/// Returns when more has come in and a witness that has not answered by then counts as slow.
async fn overtaken(slow: Instant, mut grown: watch::Receiver<u64>) {
    tokio::time::sleep_until(slow).await;
    if grown.changed().await.is_err() {
        // Nothing more will come in.
        std::future::pending::<()>().await;
    }
}

fn too_slow() -> Trouble {
    Trouble::Refused("it has not answered while entries waited for the next checkpoint".to_owned())
}

fn unusable(error: ics_core::log::checkpoint::CheckpointError) -> AppError {
    AppError::Internal(format!("a cosigned checkpoint: {error}"))
}

#[cfg(test)]
mod tests {
    use ics_sync::http::client_builder;

    use super::*;
    use crate::fixture::{Party, word};

    /// Nobody would find any other alarm among those.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_witness_has_one_alarm_whatever_it_says() {
        let (maker, home) = Party::opened();
        let (hosted, url) = (home.hosted(&maker.domain).expect("here"), "http://127.0.0.1:9");
        let client = client_builder(url).build().expect("a client");
        let http = HttpPeer::new(url, client).expect("an address");
        let witness = Witness { name: word("court"), http, key: [7; 32] };
        for seen in 10..20 {
            let trouble = Trouble::Ahead { seen, size: 1 };
            home.note_witness(&hosted, &witness, 1, Some(&trouble)).expect("noted");
        }
        let alarms = home.store().alarms(Some(hosted.number), 100).expect("alarms").into_iter();
        let told: Vec<String> = alarms.filter(|alarm| alarm.kind == "witness").map(|alarm| alarm.text).collect();
        assert!(matches!(told.as_slice(), [text] if text.contains("it has seen 19 entries")), "{told:?}");
    }
}
