//! Erasing what a statement says: the node proposes the erasure that the owners have to sign, made so that it unblocks
//! nothing.

use ics_core::domain::Context;
use ics_core::statement::Erasure;
use ics_core::vocabulary::DomainName;

use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::copy::feed::bodiless;
use crate::app::entries::{Said, restore};
use crate::app::{App, AppError, Reader};

impl App {
    /// The erasure of the statement at an index, with all that it must restate, for the owners to sign.
    ///
    /// # Errors
    /// When there is no such entry, the reader may not read it, or it cannot be erased.
    pub fn erasure(&self, reader: Reader, domain: &DomainName, index: u64) -> Result<Erasure, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let entry = self.readable_entry(reader, &hosted, sight.seal.size, index)?;
        if entry.content.is_none() {
            return Err(bodiless(&entry));
        }
        let what = format!("entry {index} is no statement");
        let target = restore(&sight.domain, &entry)?.ok_or_else(|| AppError::new(Code::NotErasable, what))?;
        let said = Said::read(&sight.entries, &sight.domain, &target.subject_id())?;
        let context = Context { about: &said.about, groups: &said.groups, unseen: said.unseen };
        let erasure = sight.domain.erasure_of(&target, &context, self.clock().now());
        erasure.map_err(|refusal| {
            let problem = Problem::refused(&refusal);
            AppError::new(Code::named(problem.code()).unwrap_or(Code::Refused), problem.detail)
        })
    }
}
