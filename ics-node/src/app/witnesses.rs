//! This node as a home: it asks its witnesses to cosign what it has signed, and shows no checkpoint that lacks the
//! witnesses which the domain's descriptor demands.
//!
//! One round asks all witnesses about one checkpoint, the newest. While it runs the log may grow; the next round is about
//! all that has come in, so that a busy home asks no more often than its witnesses answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use ics_core::log::cosignature::{self, merge};
use ics_core::log::note::{Algorithm, VerifierKey};
use ics_core::time::Timestamp;
use ics_sync::http::HttpPeer;
use ics_sync::witness::{AddCheckpoint, Asking, Step, Trouble};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::heartbeat::stopped;
use super::hosted::Hosted;
use super::problem::Code;
use super::{App, AppError};
use crate::config::PeerName;
use crate::store::{Part, Seal, StoreError, WriteTx};

/// Between two rounds when nothing happens: what is asked then is the time.
const IDLE: Duration = Duration::from_secs(60);
/// Between two rounds that have failed, at most.
const LONGEST_RETRY_SECONDS: u64 = 8;
/// How long a submission waits for the witnesses that a descriptor demands.
const PATIENCE: Duration = Duration::from_secs(10);

/// A witness as it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    pub(crate) name: PeerName,
    pub(crate) http: HttpPeer,
    /// By which its cosignatures are known.
    pub(crate) key: [u8; 32],
}

/// What a witness has done for a domain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witnessing {
    /// Entries of the last checkpoint that it has cosigned.
    pub(crate) size: u64,
    pub(crate) at: Option<Timestamp>,
    /// Why it has not cosigned the last one that it was asked for.
    pub(crate) last_error: Option<String>,
}

impl App {
    /// Has the checkpoints of this node's domains cosigned, until `stop` says true.
    pub async fn be_witnessed(self, stop: watch::Receiver<bool>) {
        let mut domains = JoinSet::new();
        for hosted in self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Home) {
            domains.spawn(self.clone().domain_be_witnessed(hosted, stop.clone()));
        }
        while domains.join_next().await.is_some() {}
    }

    async fn domain_be_witnessed(self, hosted: Arc<Hosted>, mut stop: watch::Receiver<bool>) {
        let mut grown = hosted.grown.subscribe();
        let mut peers = self.peers_table().changes();
        let mut known = BTreeMap::new();
        let mut failures = 0_u32;
        loop {
            grown.mark_unchanged();
            peers.mark_unchanged();
            let round = tokio::select! {
                () = stopped(&mut stop) => return,
                round = self.round(&hosted, &mut known) => round,
            };
            failures = match round {
                Ok(()) => 0,
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(domain = %hosted.name, %error, "witnesses are missing");
                    }
                    failures.saturating_add(1)
                }
            };
            let retry = Duration::from_secs(1_u64.checked_shl(failures).unwrap_or(u64::MAX).min(LONGEST_RETRY_SECONDS));
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(if failures == 0 { IDLE } else { retry }) => {}
                // A new peer may be the witness that is missing. What has come in can wait after a failure.
                _ = peers.changed() => {}
                _ = grown.changed(), if failures == 0 => {}
            }
        }
    }

    /// Asks all witnesses about the newest checkpoint, and lets it be shown as soon as it has those that are demanded.
    async fn round(&self, hosted: &Arc<Hosted>, known: &mut BTreeMap<PeerName, Asking>) -> Result<(), AppError> {
        let witnesses = self.peers_table().witnesses();
        let Some(domain) = hosted.domain() else { return Ok(()) };
        let quorum = domain.descriptor().quorum();
        if witnesses.is_empty() && quorum == 0 || self.is_silent(hosted)? {
            return Ok(());
        }
        let mut seal = self.blocking_in(hosted, |app, hosted| Ok(app.store().sign_head(hosted.number)?)).await?;
        let keys: Vec<VerifierKey> = witnesses.iter().filter_map(|witness| key_of(witness).ok()).collect();
        let first = seal.clone();
        let mut asked = FuturesUnordered::new();
        for witness in &witnesses {
            let mut asking = known.remove(&witness.name).unwrap_or_default();
            let (app, hosted, seal) = (self, hosted, &first);
            asked.push(async move {
                let answer = app.ask_witness(hosted, witness, &mut asking, seal).await;
                (witness, asking, answer)
            });
        }
        let (mut shown, mut missing) = (false, Vec::new());
        while let Some((witness, asking, answer)) = asked.next().await {
            known.insert(witness.name.clone(), asking);
            self.note_witness(hosted, witness, first.size, answer.as_ref().err())?;
            match answer {
                Ok(note) => seal.note = merge(&seal.note, &note, &keys).map_err(unusable)?,
                Err(trouble) => missing.push(format!("{}: {trouble}", witness.name)),
            }
            // At once when the quorum is there; the rest of them is added at the end.
            if !shown && quorum > 0 && domain.descriptor().is_witnessed(&seal.note).map_err(unusable)? {
                shown = true;
                self.show(hosted, &seal, &keys).await?;
            }
        }
        drop(asked);
        if quorum == 0 || shown {
            self.show(hosted, &seal, &keys).await?;
        }
        match (quorum > 0 && !shown, missing.is_empty()) {
            (true, _) => Err(AppError::new(Code::Unwitnessed, format!("{quorum} must cosign: {}", missing.join("; ")))),
            (false, true) => Ok(()),
            (false, false) => Err(AppError::new(Code::Upstream, missing.join("; "))),
        }
    }

    /// The checkpoint with the witness's cosignature.
    async fn ask_witness(
        &self,
        hosted: &Arc<Hosted>,
        witness: &Witness,
        asking: &mut Asking,
        seal: &Seal,
    ) -> Result<String, Trouble> {
        let refused = |error: String| Trouble::Refused(error);
        let key = key_of(witness)?;
        loop {
            let (old, size) = (asking.old().min(seal.size), seal.size);
            let prove =
                move |app: &Self, hosted: &Hosted| Ok(app.store().consistency_proof(hosted.number, old, size)?);
            let proof = self.blocking_in(hosted, prove).await.map_err(|error| refused(error.to_string()))?;
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

    /// Lets a checkpoint with its cosignatures be shown, unless a later one is already.
    async fn show(&self, hosted: &Arc<Hosted>, seal: &Seal, keys: &[VerifierKey]) -> Result<(), AppError> {
        let (seal, keys) = (seal.clone(), keys.to_vec());
        self.blocking_in(hosted, move |app, hosted| {
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
            app.tell(hosted);
            Ok(())
        })
        .await
    }

    /// What operators see of a witness. What does not pass by itself is alarmed, once.
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
        if let Some(trouble) = trouble.filter(|it| it.is_alarming() && before.last_error != last_error) {
            let text = format!("the witness `{}` does not cosign: {trouble}", witness.name);
            tracing::error!(domain = %hosted.name, "{text}");
            self.store().alarm(Some(hosted.number), now, "witness", &text)?;
        }
        let now = match last_error {
            None => Witnessing { size, at: Some(now), last_error: None },
            Some(_) => Witnessing { last_error, ..before },
        };
        hosted.set_witnessing(&witness.name, now);
        Ok(())
    }

    /// Waits until so many entries of a domain can be shown, which is at once where no witnesses are demanded.
    pub(crate) async fn until_shown(&self, hosted: &Hosted, size: u64) -> Result<(), AppError> {
        let mut sealed = hosted.sealed.subscribe();
        let waited = tokio::time::timeout(PATIENCE, sealed.wait_for(|shown| *shown >= size)).await;
        let late = |_| {
            let detail = format!("it is in the log of `{}`, whose witnesses have not cosigned that yet", hosted.name);
            AppError::new(Code::Unwitnessed, detail)
        };
        waited.map(drop).map_err(late)
    }

    async fn blocking_in<T: Send + 'static>(
        &self,
        hosted: &Arc<Hosted>,
        work: impl FnOnce(&Self, &Hosted) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let (app, hosted) = (self.clone(), Arc::clone(hosted));
        let given_up = |error| AppError::Internal(format!("witnessing was given up: {error}"));
        crate::background::spawn(move || work(&app, &hosted)).await.map_err(given_up)?
    }
}

fn key_of(witness: &Witness) -> Result<VerifierKey, Trouble> {
    let key = VerifierKey::new(witness.name.as_str(), Algorithm::Cosignature, &witness.key);
    key.map_err(|error| Trouble::Refused(error.to_string()))
}

fn unusable(error: ics_core::log::checkpoint::CheckpointError) -> AppError {
    AppError::Internal(format!("a cosigned checkpoint: {error}"))
}
