//! Erasing what a statement says: the node proposes the erasure that the owners have to sign, made so that it unblocks
//! nothing.

use ics_core::domain::Domain;
use ics_core::record::Logged;
use ics_core::statement::Erasure;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Effect};

use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::copy::feed::bodiless;
use crate::app::entries::{Said, restore};
use crate::app::hosted::Hosted;
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
        // As its home will judge it.
        let at = self.clock().now().max(sight.domain.last_admitted_at());
        let erasure = sight.domain.erasure_of(&target, &said.context(), at).map_err(|refusal| {
            let problem = Problem::refused(&refusal);
            AppError::new(Code::named(problem.code()).unwrap_or(Code::Refused), problem.detail)
        })?;
        match self.ends_early(&hosted, &sight.domain, &target, at) {
            Some(until) if erasure.effect.is_none() => {
                let detail = format!(
                    "the block of entry {index} is over by the time of the log alone, which is ahead: it holds until \
                     {until}, and an erasure would end it now; erase it then"
                );
                Err(AppError::new(Code::Refused, detail))
            }
            _ => Ok(erasure),
        }
    }

    /// When a block ends that is over at a time of the log, and not yet by the machine's clock. What is over is not
    /// restated by its erasure, so such a block would end early for everybody whose clock is right.
    fn ends_early(&self, hosted: &Hosted, domain: &Domain, target: &Logged, at: Timestamp) -> Option<Timestamp> {
        let until = target.claims().until?;
        let is_ahead = self.lead_alarm(hosted).is_some();
        let now = self.clock().outrun().filter(|_| is_ahead).unwrap_or_else(|| self.clock().now());
        let blocks = domain.effect_of(target).is_some_and(Effect::blocks);
        let is_early = blocks && !target.is_refused() && now < until && until <= at;
        is_early.then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use ics_core::descriptor::AddedStatus;
    use ics_core::identity::Kind;
    use ics_core::statement::Claims;
    use ics_core::statement::make::certify;
    use ics_core::vocabulary::Act;

    use super::*;
    use crate::fixture::{Party, SALT, claims, device, word};

    const HOUR: u64 = 3_600;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_block_that_is_over_by_the_time_of_the_log_alone_is_not_erased() {
        for is_dropped in [false, true] {
            let maker = Party::found_with("devices.acme.example", |descriptor| {
                let quarantined = AddedStatus { effect: Effect::Blocks, kinds: [Kind::Device].into() };
                descriptor.statuses.insert(word("quarantined"), quarantined);
            });
            let app = maker.open();
            let (key, now) = (device(1), app.clock().now());
            let until = Some(Timestamp::from_seconds(now.as_seconds() + HOUR));
            let said = Claims { status: Some(word("quarantined")), until, ..claims(&maker, Act::Status) };
            let body = certify(&maker.signer, &key, "Pump", None, Kind::Device, &said, true, now, &SALT).expect("made");
            let block = maker.submit_one(&app, body).await.expect("admitted");
            if is_dropped {
                maker.submit(&app, vec![maker.changed(&app, |descriptor| descriptor.statuses.clear())]).await;
            }
            let proposed = || app.erasure(Reader::Operator, &maker.domain, block.index);
            assert!(proposed().expect("it blocks").effect.is_some_and(Effect::blocks));
            app.clock().pass(2 * HOUR * 1_000);
            let refused = proposed().expect_err("it holds for an hour").to_string();
            assert!(refused.contains("is over by the time of the log alone"), "{refused}");
        }
    }
}
