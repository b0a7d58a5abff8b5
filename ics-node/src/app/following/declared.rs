//! Signers whom a source declares compromised. The declaration counts only in the source: what a domain here has
//! adopted from them continues to count until its own owners declare the same. Until they do, an alarm stands there.

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::descriptor::{Compromise, Descriptor};
use ics_core::limits;
use ics_core::record::{Logged, Posting};
use ics_core::vocabulary::DomainName;

use super::cause::{Cause, DECLARED, What};
use crate::app::answer::read::Sight;
use crate::app::entries::{keys, restore};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::words::counted;

/// What was compared when a domain was last checked against the descriptor of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compared {
    /// The version of the domain's own descriptor.
    own: u64,
    /// The version of the source's descriptor.
    theirs: u64,
    /// How many entries the domain had.
    size: u64,
}

impl App {
    /// Checks the domains of this node against the descriptors of their sources, as far as those are held here.
    pub(super) fn look_for_declarations(&self) {
        for target in self.homes() {
            if let Err(error) = self.heed_sources(&target) {
                tracing::debug!(domain = %target.name, %error, "what its sources declare was not looked for");
            }
        }
    }

    fn heed_sources(&self, target: &Arc<Hosted>) -> Result<(), AppError> {
        let Some(domain) = target.domain() else { return Ok(()) };
        for source in &domain.descriptor().sources {
            let Ok(hosted) = self.hosted(&source.domain) else { continue };
            if let Some(here) = hosted.domain().filter(|here| here.origin().entry0 == source.entry0.0) {
                self.heed_declarations(target, here.descriptor())?;
                self.look_for_lost(target, &hosted)?;
            }
        }
        // From a source that is not copied here nothing may be heard for a long time.
        let own = domain.descriptor();
        let now = Compared { own: own.version, theirs: own.version, size: 0 };
        if target.compared(&target.name) != Some(now) {
            self.end_told(target, |told| is_declared(own, &told.compromise))?;
            target.set_compared(&target.name, now);
        }
        Ok(())
    }

    /// Raises alarms about signers whom a source's descriptor declares compromised and a domain here does not, if it
    /// has adopted anything that they said since; and ends the alarms that no longer apply.
    pub(in crate::app) fn heed_declarations(&self, target: &Hosted, theirs: &Descriptor) -> Result<(), AppError> {
        let sight = self.sight(target)?;
        let own = sight.domain.descriptor();
        let now = Compared { own: own.version, theirs: theirs.version, size: sight.seal.size };
        let before = target.compared(&theirs.domain);
        // An answer from another node may have been kept for a while.
        if before.is_some_and(|before| before == now || now.theirs < before.theirs) {
            return Ok(());
        }
        let open: Vec<&Compromise> = theirs.compromised.iter().filter(|it| !is_declared(own, it)).collect();
        self.end_told(target, |told| told.source == theirs.domain && !open.contains(&&told.compromise))?;
        // With unchanged descriptors, everything that stood here at the last comparison has been looked through.
        let is_looked_through = |it: &Compared| (it.own, it.theirs) == (now.own, now.theirs);
        let from = before.filter(is_looked_through).map_or(0, |before| before.size);
        for compromise in open {
            let told = Told { source: theirs.domain.clone(), compromise: compromise.clone() };
            self.tell_of_declared(&sight, &told, from)?;
        }
        target.set_compared(&theirs.domain, now);
        Ok(())
    }

    fn tell_of_declared(&self, sight: &Sight<'_>, told: &Told, from: u64) -> Result<(), AppError> {
        let (domain, cause) = (&sight.hosted.name, told.cause());
        if self.causes(sight.hosted, DECLARED)?.contains(&cause) {
            return Ok(());
        }
        let (things, blocks) = self.resting_on(sight, told, from)?;
        if things == 0 {
            return Ok(());
        }
        let Compromise { signer, domain: of, from_index } = &told.compromise;
        let mut text = format!(
            "{told}: what was adopted of that, about {}, goes on counting here until the owners of {domain} declare it \
             too, with `ics domain update {domain} --compromised {of}/{signer}@{from_index}`",
            counted(things, "thing")
        );
        if blocks > 0 {
            let what = counted(blocks, "statement");
            text.push_str(&format!(". The blocks among that, {what}, then no longer count: say anew what is true"));
        }
        if self.alarm_about(sight.hosted, &cause, &text)? {
            tracing::warn!(%domain, source = %told.source, "{text}");
        }
        Ok(())
    }

    /// About how many things, in the entries from `from` on, the domain has adopted something that the source
    /// attributes to a thief, and how many of those statements block.
    fn resting_on(&self, sight: &Sight<'_>, told: &Told, from: u64) -> Result<(usize, usize), AppError> {
        let own = sight.domain.descriptor();
        let (number, signer) = (sight.hosted.number, told.compromise.signer);
        // Entries are filed under the key that signed them.
        let signing = sight.domain.signer(&signer).map_or_else(|_| vec![signer], |it| it.keys().collect());
        let (mut things, mut blocks) = (BTreeSet::new(), 0);
        for key in signing {
            let range = from..sight.seal.size;
            let indices = self.store().all_positions(number, &keys(&[Posting::Signer(key)]), range, usize::MAX)?;
            for some in indices.chunks(limits::FEED_ENTRIES) {
                for entry in self.store().entries_at(number, some)? {
                    let statement = restore(&sight.domain, &entry)?;
                    let Some(resting) = statement.filter(|it| told.counts(own, it)) else { continue };
                    things.insert(resting.subject_id());
                    blocks += usize::from(is_block(own, &resting));
                }
            }
        }
        Ok((things.len(), blocks))
    }

    fn end_told(&self, target: &Hosted, is_over: impl Fn(&Told) -> bool) -> Result<(), AppError> {
        self.end_alarms(target, DECLARED, |cause| Told::of(cause).is_some_and(|told| is_over(&told))).map(drop)
    }
}

/// Whether a descriptor declares a signer compromised from this entry or an earlier one on.
fn is_declared(descriptor: &Descriptor, compromise: &Compromise) -> bool {
    let from = descriptor.compromised_from(&compromise.signer, &compromise.domain);
    from.is_some_and(|from| from <= compromise.from_index)
}

/// Whether a statement gives a status that blocks.
fn is_block(descriptor: &Descriptor, statement: &Logged) -> bool {
    let status = statement.claims().status.as_ref();
    let effect = status.and_then(|status| descriptor.effect(status, statement.subject().kind()));
    effect.is_some_and(|effect| effect.blocks())
}

/// What an alarm reports: that a source declares a signer compromised.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    source: DomainName,
    compromise: Compromise,
}

impl Told {
    /// From the cause of an alarm.
    fn of(cause: &Cause) -> Option<Self> {
        match &cause.what {
            What::Compromised(compromise) => {
                Some(Self { source: cause.source.clone(), compromise: compromise.clone() })
            }
            _ => None,
        }
    }

    fn cause(&self) -> Cause {
        Cause::new(&self.source, What::Compromised(self.compromise.clone()))
    }

    /// Whether a statement came through the source and was made after the compromise, while its signer is not declared
    /// compromised here. The remnant of an erased statement depends on the signer whom its erasure names.
    fn counts(&self, own: &Descriptor, statement: &Logged) -> bool {
        let Compromise { signer, domain, from_index } = &self.compromise;
        let Some((of, _, way)) = statement.hangs_on() else { return false };
        let declared = own.compromised_from(signer, domain).unwrap_or(u64::MAX);
        let is_since = |index: u64| (*from_index..declared).contains(&index);
        let said_since = way.iter().any(|at| at.domain == *domain && is_since(at.index));
        let came_through = way.iter().any(|at| at.domain == self.source);
        of == *signer && !statement.is_refused() && came_through && said_since
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compromise { signer, domain, from_index } = &self.compromise;
        write!(f, "{} declares the signer {signer} compromised from entry {from_index} of {domain} on", self.source)
    }
}
