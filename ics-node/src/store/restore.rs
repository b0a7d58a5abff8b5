//! Recovery after the database was restored from a copy.
//!
//! A home that may have signed more than it knows stays silent: nothing is appended until the lost tail has been
//! fetched from mirrors. [`Store::hold`] is for an operator who says that a copy was restored; a backup is held from
//! the start.

use super::Store;
use super::error::{StoreError, WriteError};
use super::heads::HeadFiles;
use super::state::{DomainState, leads_to};
use super::table;
use super::transaction::WriteTx;
use super::types::{DomainNumber, Part, Seal, Standing};
use super::write::{Pending, in_transaction};

impl Store {
    /// Runs a job that appends lost entries to a domain which is behind, as a mirror would. At the signed size the root
    /// must be the signed one; then the domain is current again, unless it is held.
    ///
    /// # Errors
    /// As [`Store::write`]; if the domain is not behind, that is reported with the result.
    pub fn restore<T, E>(
        &self,
        domain: DomainNumber,
        job: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<Pending<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.queue(domain, true, job)
    }

    /// Silences a home domain until [`Store::release`], even across restarts.
    ///
    /// # Errors
    /// When there is no such domain or this node is not its home, or the database fails.
    pub fn hold(&self, domain: DomainNumber) -> Result<(), StoreError> {
        self.change(domain, |state, log, _| {
            table::set_held(log, state.info.number, true)?;
            state.held = true;
            if state.standing == Standing::Current {
                state.standing = Standing::Behind { signed: None };
            }
            Ok(())
        })
    }

    /// Ends the silence, once the mirrors have been asked and no later checkpoint is known.
    ///
    /// # Errors
    /// When a later checkpoint is known and not yet reached, or the history differs; or the database fails.
    pub fn release(&self, domain: DomainNumber) -> Result<(), StoreError> {
        self.change(domain, |state, log, _| {
            if !matches!(state.standing, Standing::Current | Standing::Behind { signed: None }) {
                state.check_current()?;
            }
            table::set_held(log, state.info.number, false)?;
            state.held = false;
            state.standing = Standing::Current;
            Ok(())
        })
    }

    /// Begins a new epoch of a domain whose lost tail nobody has: runs a job that appends the owners' descriptor to
    /// what is left, and lets its checkpoint replace the higher one on file, even if it waits for its witnesses. From
    /// then on the domain may continue. If the domain is not silent, nothing is lost by this. Nobody else may write to
    /// it meanwhile: until this has ended, whatever comes in is signed as if nothing had been lost.
    ///
    /// # Errors
    /// As [`Store::write`]; then the domain is as silent as before.
    pub fn begin_anew<T, E>(
        &self,
        domain: DomainNumber,
        job: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        // Only in memory: a crash before the commit leaves the file, and so the silence.
        self.change(domain, |state, _, _| {
            state.standing = Standing::Current;
            Ok(())
        })?;
        let written = self.write(domain, job).map_err(WriteError::from).and_then(Pending::wait);
        // A checkpoint that waits for its witnesses was not signed with the commit, so it is not on file yet.
        let signed = written.as_ref().ok().map(|_| self.sign_head(domain)).transpose();
        let head = signed.as_ref().ok().cloned().flatten();
        self.change(domain, move |state, log, files| {
            if let Some(head) = &head {
                files.write(&state.info.name, head)?;
                table::set_held(log, state.info.number, false)?;
                state.held = false;
            }
            state.take_standing(log, files)
        })?;
        signed?;
        Ok(written?.value)
    }

    /// Takes note of a checkpoint, found at a mirror, that this node must have signed; the caller has verified it. It
    /// goes to the head's file, and if the log does not reach it, the domain is behind.
    ///
    /// # Errors
    /// When the log reaches it with another root, or the database or file fails.
    pub fn raise_head(&self, domain: DomainNumber, seal: Seal) -> Result<(), StoreError> {
        self.change(domain, move |state, log, files| {
            if matches!(state.standing, Standing::Forked { .. }) {
                return state.check_current();
            }
            if seal.size <= state.head.size {
                let name = state.info.name.clone();
                let known = leads_to(log, state, &seal)?;
                return if known { Ok(()) } else { Err(StoreError::Forked { domain: name, size: seal.size }) };
            }
            let highest = files.read(&state.info.name)?.map_or(0, |on_file| on_file.size);
            if seal.size > highest {
                files.write(&state.info.name, &seal)?;
                state.standing = Standing::Behind { signed: Some(seal) };
            }
            Ok(())
        })
    }

    /// Silences a domain because of a checkpoint that this node's key has signed but to which the stored log does not
    /// lead; the caller has verified it. It goes to the head's file, so the silence survives restarts. That is done
    /// even if a higher one is on file, because then two histories were signed, and nothing added to this one leads to
    /// the other.
    ///
    /// # Errors
    /// When there is no such domain or this node is not its home, or the database or file fails.
    pub fn heed(&self, domain: DomainNumber, seal: Seal) -> Result<(), StoreError> {
        self.change(domain, move |state, log, files| {
            let leads = seal.size <= state.head.size && leads_to(log, state, &seal)?;
            // A domain that is already silent knows what it has to get back.
            if leads || state.standing != Standing::Current {
                return Ok(());
            }
            files.write(&state.info.name, &seal)?;
            state.take_standing(log, files)
        })
    }

    fn change(
        &self,
        domain: DomainNumber,
        change: impl FnOnce(&mut DomainState, &rusqlite::Connection, &HeadFiles) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.with_writer(move |writer| {
            let mut state = DomainState::clone(&*writer.shared.published.get(domain)?);
            if state.info.part != Part::Home {
                return Err(StoreError::refused(format!("this node is not the home of `{}`", state.info.name)));
            }
            let heads = &writer.shared.heads;
            let result = in_transaction(&mut writer.log, |log| change(&mut state, log, heads));
            result.map_err(|error| writer.assess(error))?;
            writer.shared.published.put(state);
            Ok(())
        })
    }
}
