//! Handing jobs to the writer and getting their results.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::TrySendError;

use ics_core::vocabulary::DomainName;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::Store;
use super::clean::note_due;
use super::error::{Full, StoreError, WriteError};
use super::state::DomainState;
use super::table;
use super::transaction::WriteTx;
use super::types::{DomainInfo, DomainNumber, Head, Part};
use super::writer::{Answer, DeskWork, Done, Job, Task, Write, Writer};

/// The result of a job, which is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    /// What the job returned.
    pub value: T,
    /// The head of the commit that holds what the job added, with its checkpoint; other jobs may have added to it, too.
    pub head: Head,
}

/// A job under way. Dropping this does not stop the job.
#[derive(Debug)]
pub struct Pending<T, E>(oneshot::Receiver<Result<Written<T>, WriteError<E>>>);

impl<T, E> Pending<T, E> {
    /// Waits for the commit.
    ///
    /// # Errors
    /// The job's refusal, or why the store failed. In both cases nothing of the job is stored, except that after
    /// [`StoreError::Halted`] only a restart can tell.
    pub async fn done(self) -> Result<Written<T>, WriteError<E>> {
        self.0.await.unwrap_or_else(|_| Err(gone().into()))
    }

    /// Waits for the commit, blocking; panics inside an asynchronous runtime.
    ///
    /// # Errors
    /// As [`Pending::done`].
    pub fn wait(self) -> Result<Written<T>, WriteError<E>> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(gone().into()))
    }
}

/// Why nothing is written after a thread on which writing depends has ended.
pub(super) const GONE: &str = "the thread that writes to the store has ended";

pub(super) fn gone() -> StoreError {
    StoreError::Halted { why: GONE.to_owned() }
}

impl Store {
    /// Runs a job on a domain: the critical section of admission. It sees all earlier entries, including those of the
    /// group commit under way, and no other job runs meanwhile. If it returns an error or panics, nothing of it
    /// remains.
    ///
    /// # Errors
    /// When as many writes as allowed are waiting. All other errors come with the result, even that there is no such
    /// domain or that it is behind what was signed for it.
    pub fn write<T, E>(
        &self,
        domain: DomainNumber,
        job: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<Pending<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.queue(domain, false, job)
    }

    pub(crate) fn queue<T, E>(
        &self,
        domain: DomainNumber,
        restoring: bool,
        job: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<Pending<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        // A caller that has stopped waiting does not want to know.
        let send = move |result| drop(sender.send(result));
        let job: Job = Box::new(move |tx| match run(tx, job) {
            Ok(value) => Done { keep: true, answer: answer_with(send, |head| Ok(Written { value, head })) },
            Err(WriteError::Job(error)) => {
                Done { keep: false, answer: answer_with(send, |_| Err(WriteError::Job(error))) }
            }
            Err(WriteError::Store(error)) => {
                Done { keep: false, answer: Box::new(move |_| send(Err(WriteError::Store(error)))) }
            }
        });
        self.send(Task::Write(Write { domain, restoring, job }))?;
        Ok(Pending(receiver))
    }

    fn send(&self, task: Task) -> Result<(), StoreError> {
        let tasks = self.tasks.as_ref().ok_or_else(gone)?;
        tasks.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Full(Full::Writes(self.queue)),
            TrySendError::Disconnected(_) => gone(),
        })
    }

    /// Runs work on the writer's connection in a transaction of its own.
    pub(crate) fn desk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with_writer(move |writer| at_desk(writer, work))
    }

    /// As [`Store::desk`], for work that may delete what must not survive in the files: it returns, beside its result,
    /// whether it has.
    pub(crate) fn desk_erasing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<(T, bool), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with_writer(move |writer| {
            let (done, erases) = at_desk(writer, |log| {
                let (done, erases) = work(log)?;
                if erases {
                    note_due(log)?;
                }
                Ok((done, erases))
            })?;
            // Before the writer does anything else: a pass through the pages that ends in between would delete the note
            // that another is due.
            if erases {
                writer.note_erased();
            }
            Ok(done)
        })
    }

    /// As [`Store::desk`], for work that deletes what must not survive in the files for long. Such work comes again and
    /// again, so the pages are cleaned when [`Store::clean_if_due`] is called, or with the next start.
    pub(crate) fn desk_forgetting<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with_writer(move |writer| {
            let done = at_desk(writer, |log| {
                let done = work(log)?;
                note_due(log)?;
                Ok(done)
            })?;
            writer.note_forgotten();
            Ok(done)
        })
    }

    /// Begins to clean the pages if it was noted that this is due.
    pub(crate) fn clean_if_due(&self) -> Result<(), StoreError> {
        self.with_writer(Writer::note_if_due)
    }

    /// Runs work that only the writer may do, between two group commits.
    pub(crate) fn with_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let work: DeskWork = Box::new(move |writer| drop(sender.send(writer.and_then(work))));
        self.send(Task::Desk(work))?;
        receiver.recv().map_err(|_| gone())?
    }

    /// Creates a domain without entries. `entry0` is leaf data and pins its identity: another entry 0 is refused.
    ///
    /// A home whose database is lost, but not its head's file, is behind from the start and can only be restored.
    ///
    /// # Errors
    /// When there is already one of this name, or the database fails.
    pub fn create_domain(
        &self,
        name: &DomainName,
        part: Part,
        entry0: Option<[u8; 32]>,
    ) -> Result<DomainInfo, StoreError> {
        let name = name.clone();
        self.with_writer(move |writer| {
            if writer.shared.published.by_name(&name).is_some() {
                return Err(StoreError::Exists { what: format!("domain `{name}`") });
            }
            let last = writer.shared.published.all().last().map_or(0, |state| state.info.number.get());
            let number = DomainNumber::new(last + 1).ok_or_else(|| StoreError::refused("too many domains"))?;
            let info = DomainInfo { number, name, part, entry0 };
            let mut state = DomainState::empty(info.clone());
            // Before it is stored: if its head's file cannot be read, there must be no domain, neither in memory nor on
            // disk.
            state.take_standing(&writer.log, &writer.shared.heads)?;
            let result = in_transaction(&mut writer.log, |log| table::insert_domain(log, &info));
            result.map_err(|error| writer.assess(error))?;
            writer.shared.published.put(state);
            Ok(info)
        })
    }

    /// Pins a mirror to another entry 0. The mirror must be empty: what it holds belongs to the log to which it was
    /// pinned.
    ///
    /// # Errors
    /// When there is no such domain, it is not an empty mirror, or the database fails.
    pub fn pin(&self, domain: DomainNumber, entry0: [u8; 32]) -> Result<(), StoreError> {
        self.with_writer(move |writer| {
            let mut state = DomainState::clone(&*writer.shared.published.get(domain)?);
            if state.info.part != Part::Mirror || state.head.size > 0 {
                let name = &state.info.name;
                return Err(StoreError::refused(format!("`{name}` is no empty copy: its entry 0 stays")));
            }
            let result = in_transaction(&mut writer.log, |log| table::set_entry0(log, domain, &entry0));
            result.map_err(|error| writer.assess(error))?;
            state.info.entry0 = Some(entry0);
            writer.shared.published.put(state);
            Ok(())
        })
    }
}

fn at_desk<T>(writer: &mut Writer, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let before = writer.log.total_changes();
    let done = in_transaction(&mut writer.log, work).map_err(|error| writer.assess(error))?;
    // If nothing was changed, no room was needed.
    if writer.log.total_changes() != before {
        writer.shared.note_room(true);
    }
    Ok(done)
}

/// Runs a job; a panic in it is returned as an error.
fn run<T, E>(
    tx: Result<&mut WriteTx<'_>, StoreError>,
    job: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
) -> Result<T, WriteError<E>> {
    let tx = tx?;
    // Whatever the job was doing is discarded: the draft is rolled back to where the job began.
    match catch_unwind(AssertUnwindSafe(|| job(tx))) {
        Ok(result) => result.map_err(WriteError::Job),
        Err(_) => Err(StoreError::Panicked.into()),
    }
}

/// An answer that is valid only if the commit succeeded: even a refusal may rest on what was to be committed with it.
fn answer_with<T, E>(
    send: impl FnOnce(Result<Written<T>, WriteError<E>>) + Send + 'static,
    outcome: impl FnOnce(Head) -> Result<Written<T>, WriteError<E>> + Send + 'static,
) -> Answer {
    Box::new(move |head| send(head.map_err(WriteError::Store).and_then(outcome)))
}

pub(crate) fn in_transaction<T>(
    log: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = log.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
