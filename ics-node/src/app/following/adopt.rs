//! Adoption: appends another domain's entries to one's own log, bodies unchanged, with their sources named and proven.
//! A certificate of which one's own log has other parts becomes an entry of its own, with both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::descriptor::ISSUER_ROLE;
use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::log::receipt::Receipt;
use ics_core::log::source::Source;
use ics_core::name::Lookup;
use ics_core::record::{Logged, Posting, Record, SourceRef, Standing};
use ics_core::statement::Claims;
use ics_core::statement::body::{self, Body};
use ics_core::vocabulary::DomainName;

use super::follow::{choice_of, kept};
use crate::api::problem::Code;
use crate::api::{AdoptionRequest, AdoptionResult, Problem, ProvenEntry};
use crate::app::admit::check::{Checked, What, check_sent};
use crate::app::admit::submit::{Incoming, Outcome, reach};
use crate::app::answer::read::{Sight, only, parse};
use crate::app::answer::resolved::cut_short;
use crate::app::entries::{Entries, Snapshot, find_logged};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, random};
use crate::store::{Part, StoreError};

/// The outcome of taking over entries.
#[derive(Debug, Default)]
pub(in crate::app) struct Taken {
    /// The result for whoever asked for the adoption.
    pub(in crate::app) result: AdoptionResult,
    /// The indices, in the log of the source, of the entries that were refused, in the order of the result.
    pub(in crate::app) refused: Vec<u64>,
    /// The entries refused because of their signer's key that came through several domains, each with the first of
    /// those domains.
    pub(in crate::app) handed_on: BTreeMap<u64, DomainName>,
    /// The entries that are erasures in the source; those that are tried are ones whose block continues.
    pub(in crate::app) erasures: BTreeSet<u64>,
    /// How many entries a checkpoint must cover to show what was taken over.
    pub(in crate::app) size: u64,
    /// Entries that nobody misses if their signers are unknown here; see [`About::left_to_source`].
    pub(in crate::app) left_to_source: BTreeSet<u64>,
}

/// Entries of a source about chosen things.
#[derive(Debug, Default)]
pub(in crate::app) struct About {
    /// All of them, and the certificates of their signers.
    pub(in crate::app) all: BTreeSet<u64>,
    /// What is said there in the role of issuers of X.509 certificates, and the certificates of signers who say nothing
    /// else. It concerns certificates for which the source is responsible, and which it revokes itself: a domain that
    /// does not entitle those signers misses nothing.
    pub(in crate::app) left_to_source: BTreeSet<u64>,
    /// One of the things of which more was said than is shown at present: see [`Record::cut_short`].
    pub(in crate::app) cut_short: Option<IdentityId>,
}

impl App {
    /// Takes the entries about chosen identities from a domain that this node holds into one that is at home here:
    /// everything said about them and about their groups, and the certificates of the signers.
    ///
    /// # Errors
    /// When the domain has its home elsewhere, the source is not held here, nothing matches, something said about one
    /// of the things was erased and what is left of it is not shown yet, or the witnesses that the domain demands have
    /// not cosigned what was taken over.
    pub async fn adopt(&self, domain: &DomainName, request: AdoptionRequest) -> Result<AdoptionResult, AppError> {
        let target = self.hosted(domain)?;
        let source: Result<DomainName, _> = request.source.parse();
        if let Some(origin) = source.ok().and_then(|source| self.elsewhere(&source))
            && target.part == Part::Home
        {
            let (result, size) = self.adopt_elsewhere(&target, &origin, &request).await?;
            self.until_shown(&target, size).await?;
            return Ok(result);
        }
        let into = Arc::clone(&target);
        let (result, size) = self.blocking(move |app| app.adopt_chosen(&into, &request)).await?;
        self.until_shown(&target, size).await?;
        Ok(result)
    }

    /// The outcome, and how many entries a checkpoint must cover to show it.
    fn adopt_chosen(&self, target: &Arc<Hosted>, request: &AdoptionRequest) -> Result<(AdoptionResult, u64), AppError> {
        let domain = &target.name;
        if target.part != Part::Home {
            return Err(AppError::new(Code::NotHome, format!("the home of `{domain}` is another node")));
        }
        let name: DomainName = request.source.parse().map_err(|error: ics_core::vocabulary::WordError| {
            AppError::new(Code::MalformedDomain, error.to_string())
        })?;
        if request.follow == Some(false) && self.hosted(&name).is_err() {
            return Ok((self.end_following(target, &name, request)?, 0));
        }
        let source = self.hosted(&name)?;
        let sight = self.sight(&source)?;
        let chosen = self.chosen(&sight, request)?;
        let identities = chosen.iter().map(ToString::to_string).collect();
        let result = AdoptionResult { identities, ..AdoptionResult::default() };
        let mut taken = Taken { result, ..Taken::default() };
        if let Some(follows) = request.follow {
            let named: Result<BTreeSet<IdentityId>, AppError> =
                request.ids.iter().map(|query| self.meant(&sight, query)).collect();
            self.set_follow(target, &name, kept(request, &named?)?, follows, sight.seal.size)?;
            if !follows {
                return Ok((taken.result, 0));
            }
            taken.result.barred = self.barred_of(target, &name, &self.rights_to_follow(target, &sight, &chosen)?)?;
        }
        let about = self.entries_about(&sight, &chosen)?;
        // The erasure, which tells of a block that cannot be taken over, comes later only to those who follow.
        if let Some(id) = about.cut_short.filter(|_| request.follow.is_none()) {
            return Err(cut_short(&id));
        }
        let About { all, left_to_source, .. } = about;
        taken.left_to_source = left_to_source;
        let indices: Vec<u64> = all.into_iter().collect();
        for indices in indices.chunks(limits::BATCH_STATEMENTS) {
            let entries = self.prove(&source, self.store().entries_at(source.number, indices)?)?;
            self.take(target, &entries, &mut taken)?;
        }
        self.end_alarms_of_taken(target, &name, &indices.into_iter().collect(), &taken)?;
        Ok((taken.result, taken.size))
    }

    /// Which of these things the source's rules let a domain follow, without those whose records are cut short: for
    /// these the rules say it when the rest is shown.
    fn rights_to_follow(
        &self,
        target: &Hosted,
        sight: &Sight<'_>,
        ids: &BTreeSet<IdentityId>,
    ) -> Result<BTreeMap<IdentityId, bool>, AppError> {
        let Some(domain) = target.domain() else { return Ok(BTreeMap::new()) };
        let mut rights = BTreeMap::new();
        for id in ids {
            let record = self.resolve(sight, id)?.map(|(record, _)| record).filter(|record| !record.cut_short);
            rights.extend(record.map(|record| (*id, self.may_follow(&domain, &sight.domain, &record))));
        }
        Ok(rights)
    }

    fn chosen(&self, sight: &Sight<'_>, request: &AdoptionRequest) -> Result<BTreeSet<IdentityId>, AppError> {
        let mut chosen = BTreeSet::new();
        for query in &request.ids {
            chosen.insert(self.meant(sight, query)?);
        }
        if let Some(choice) = choice_of(request) {
            chosen.extend(self.chosen_by(sight, &choice)?);
            // What is left of something erased may be all that leads to a thing, and reaches only those who follow.
            if request.follow.is_none() {
                self.check_no_erasure_waits(sight)?;
            }
        }
        // A lot can be followed before anything of it exists.
        if chosen.is_empty() && request.follow.is_none() {
            let detail = format!("nothing in `{}` fits", request.source);
            return Err(AppError::new(Code::UnknownIdentity, detail));
        }
        Ok(chosen)
    }

    /// The identity that a text means: the one to which the source gives the name. A domain of labels or approvals
    /// gives no names; there it is the one to which other domains here give it, if the source says anything about that
    /// one.
    fn meant(&self, sight: &Sight<'_>, query: &str) -> Result<IdentityId, AppError> {
        let lookup = parse(query)?;
        let mut ids = self.identities(sight, &lookup)?;
        if ids.is_empty() {
            let mut elsewhere = BTreeSet::new();
            for hosted in self.all_hosted() {
                let Ok(sight) = self.sight(&hosted) else { continue };
                elsewhere.extend(self.identities(&sight, &lookup)?);
            }
            ids = self.identities(sight, &Lookup::Ids(elsewhere.into_iter().collect()))?;
        }
        only(query, ids)
    }

    /// The entries to take over, in the order of the source's log, so that certificates come before what they signed.
    /// What was erased there cannot be taken over; only if it still blocks is it tried, so that its refusal is
    /// reported.
    pub(in crate::app) fn entries_about(
        &self,
        sight: &Sight<'_>,
        ids: &BTreeSet<IdentityId>,
    ) -> Result<About, AppError> {
        let (mut about, mut signers, mut others) = (About::default(), BTreeSet::new(), BTreeSet::new());
        for id in ids {
            let known = self.resolve(sight, id)?;
            let is_cut_short = known.as_ref().map(|(record, _)| record.cut_short);
            if is_cut_short.map_or_else(|| self.is_cut_short(sight, id), Ok)? {
                about.cut_short = Some(*id);
            }
            let Some((record, said)) = known else { continue };
            let effective = said.about.iter().chain(&said.groups).filter(|it| !it.is_refused());
            let effective = effective.filter(|it| !it.is_erased() || still_blocks(&record, Logged::index(it)));
            for statement in effective {
                about.all.insert(Logged::index(statement));
                signers.insert(statement.signer());
                if is_of_issuer(statement.claims()) {
                    about.left_to_source.insert(Logged::index(statement));
                } else {
                    others.insert(statement.signer());
                }
            }
        }
        about.all.extend(sight.certificates_of(&signers));
        signers.retain(|signer| !others.contains(signer));
        about.left_to_source.extend(sight.certificates_of(&signers));
        Ok(about)
    }

    /// Takes entries over, and records the outcome.
    pub(in crate::app) fn take(
        &self,
        target: &Arc<Hosted>,
        entries: &[ProvenEntry],
        taken: &mut Taken,
    ) -> Result<(), AppError> {
        let erasures = entries.iter().filter(|entry| entry.kind == EntryKind::Erasure.as_str());
        taken.erasures.extend(erasures.map(|entry| entry.receipt.index));
        let sources: Vec<Source> = entries.iter().map(|entry| Receipt::source(&entry.receipt)).collect();
        // As of the time that will hold for the entries everywhere: see `Header::keys_judged_at`.
        let timed = entries.iter().zip(&sources);
        let timed = timed.map(|(entry, source)| source.admitted_at().map(|at| (entry.body.clone(), at)));
        let timed: Result<Vec<_>, _> = timed.collect();
        let timed = timed.map_err(|error| AppError::new(Code::SourceUnproven, error.to_string()))?;
        let domain = target.domain();
        let size = domain.as_ref().map_or(0, |domain| domain.size());
        let log = Snapshot { store: self.store(), number: target.number, size };
        let checked = check_sent(domain.as_deref(), &log, timed, random()?)?;
        let incoming = checked
            .into_iter()
            .zip(entries.iter().zip(sources))
            .map(|(checked, (entry, source))| {
                let source = Some(source).filter(|_| proves(&entry.body, &checked));
                Ok(Incoming { checked, source, salt: random()? })
            })
            .collect::<Result<Vec<_>, AppError>>()?;
        let outcomes = self.append(target, incoming)?;
        taken.size = taken.size.max(reach(&outcomes));
        for (outcome, entry) in outcomes.into_iter().zip(entries) {
            match outcome {
                Outcome::Appended(_) => taken.result.adopted += 1,
                Outcome::Present(_) => taken.result.present += 1,
                // What can no longer be taken over may have been taken over before: then nothing is missing.
                Outcome::Refused(_) if stands_in(&log, domain.as_deref(), &entry.body)? => taken.result.present += 1,
                Outcome::Refused(problem) => taken.refuse(entry, problem),
            }
        }
        Ok(())
    }
}

impl Taken {
    fn refuse(&mut self, entry: &ProvenEntry, mut problem: Problem) {
        let index = entry.receipt.index;
        if is_left_out(self, index, &problem) {
            self.result.left_out += 1;
            return;
        }
        let first = (problem.code() == Code::SignerKey.as_str()).then(|| first_of_way(entry)).flatten();
        if let Some(first) = first {
            problem.detail = format!("{}; {}", problem.detail, why_handed_on(&entry.receipt.origin.domain, &first));
            self.handed_on.insert(index, first);
        }
        self.result.refused.push(problem);
        self.refused.push(index);
    }
}

/// The domain to which something was first submitted, if its source has itself adopted it.
fn first_of_way(entry: &ProvenEntry) -> Option<DomainName> {
    let header = Header::decode(&entry.receipt.header).ok()?;
    SourceRef::way(&header).ok()?.pop().map(|first| first.domain)
}

/// Why something that counts at a source is refused: the source's log proves when it was adopted there, not when it was
/// first admitted.
pub(super) fn why_handed_on(source: &DomainName, first: &DomainName) -> String {
    format!(
        "{source} had taken it over from {first} only after the entry that ended the signer's key, and proves no \
         earlier time. If it counts in {first}, adopt it from there (`ics adopt`), or say it here yourself"
    )
}

/// Whether a log has a statement with its content.
fn stands_in(log: &impl Entries, domain: Option<&Domain>, body: &[u8]) -> Result<bool, StoreError> {
    let (Some(domain), Ok(Body::Statement(said))) = (domain, body::parse(body)) else { return Ok(false) };
    let found = find_logged(log, domain, &Posting::Statement(said.id()), limits::PAGE_ITEMS)?;
    Ok(found.iter().any(|it| !it.is_refused() && !it.is_erased()))
}

/// Whether what remains of an erased statement, by the erasure at an index, still blocks.
pub(in crate::app) fn still_blocks(record: &Record, erasure: u64) -> bool {
    let listed = record.statement_at(erasure);
    listed.is_some_and(|it| it.erased && it.status.is_some() && it.standing == Standing::Stands)
}

/// Whether something is said in the role of an issuer of X.509 certificates.
pub(in crate::app) fn is_of_issuer(claims: &Claims) -> bool {
    claims.role.as_str() == ISSUER_ROLE
}

/// Whether a refusal is expected because the entry is left to the source: its signer is unknown here, and not missed.
fn is_left_out(taken: &Taken, index: u64, problem: &Problem) -> bool {
    let nobody = [Code::UnknownSigner, Code::CertificateNotNamed, Code::RoleNotHeld];
    taken.left_to_source.contains(&index) && nobody.iter().any(|code| problem.code() == code.as_str())
}

/// Whether the source proves what is appended: not for a certificate that was united with what this domain has of it
/// besides, which becomes an entry of its own.
fn proves(body: &[u8], checked: &Result<Checked, Problem>) -> bool {
    !checked.as_ref().is_ok_and(|it| matches!(it.what, What::Certificate(_)) && it.body != body)
}
