//! What a statement is noted for at its domain's home, beside what it says: somebody can do something about it.

use ics_core::domain::{Domain, Nearing};
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::openpgp::certificate::{Certificate, Revoked};
use ics_core::record::Logged;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Role;

use crate::api::SIGNER_REVOKED;
use crate::store::{StoreError, WriteTx};

/// What is to be noted of an admitted statement.
pub(in crate::app) struct Notes {
    signer: Fingerprint,
    /// He can soon no longer block that thing.
    nears: Option<Nearing>,
    /// gpg gives no heed to this block of his.
    is_unheeded: bool,
    /// The thing over which it grants a role, and from when on.
    grants: Option<(IdentityId, Timestamp)>,
}

impl Notes {
    /// `about` is what was said of the same before.
    pub(in crate::app) fn of(entry: &Logged, about: &[Logged], nears: Option<Nearing>) -> Option<Self> {
        let grants = entry.grant().map(|_| (entry.subject_id(), entry.claims().from.unwrap_or_default()));
        let notes = Self { signer: entry.signer(), nears, is_unheeded: is_unheeded(entry, about), grants };
        (notes.nears.is_some() || notes.is_unheeded || notes.grants.is_some()).then_some(notes)
    }

    /// Raises alarms, and has the domain look again, for a grant, at what it follows.
    pub(in crate::app) fn write(&self, tx: &mut WriteTx<'_>, index: u64, at: Timestamp) -> Result<(), StoreError> {
        if let Some(nears) = self.nears {
            warn_of_quota(tx, index, at, &self.signer, nears)?;
        }
        if self.is_unheeded {
            warn_of_clock(tx, index, at, &self.signer)?;
        }
        if let Some((subject, begins)) = &self.grants {
            let is_group = matches!(subject, IdentityId::Group(_));
            tx.follow_granted(index, (!is_group).then(|| subject.to_string()), *begins);
        }
        Ok(())
    }
}

/// Whether an entry revokes nothing to gpg, which goes by the times of signatures: the same signer has certified the same
/// User ID with a later one before. The home goes by its own order, so it is no reason to refuse the block.
fn is_unheeded(entry: &Logged, about: &[Logged]) -> bool {
    let outlives = |it: &Logged| {
        it.signer() == entry.signer()
            && !(it.revokes() || it.is_refused() || it.is_erased())
            && it.subject() == entry.subject()
            && entry.signed_at() < it.signed_at()
    };
    entry.revokes() && about.iter().any(outlives)
}

/// The alarm names no thing, because it is for all to read, and stands once for each signer; the node's log names the entry.
fn warn_of_quota(
    tx: &mut WriteTx<'_>,
    index: u64,
    at: Timestamp,
    signer: &Fingerprint,
    Nearing { made, quota }: Nearing,
) -> Result<(), StoreError> {
    let domain = tx.domain().name.clone();
    tracing::warn!(%domain, index, %signer, made, quota, "a signer nears his quota for a thing that he blocks again and again");
    let text = format!(
        "the signer `{signer}` has nearly used up his quota of {quota} statements for a thing that he blocks again and \
         again; then he can neither block it nor lift his blocks: raise `statements_per_signer_and_identity` in `limits` in \
         a new version of the descriptor"
    );
    tx.alarm_once(at, "quota", &text)
}

/// The same of a signer whose clock is behind, or was ahead before.
fn warn_of_clock(tx: &mut WriteTx<'_>, index: u64, at: Timestamp, signer: &Fingerprint) -> Result<(), StoreError> {
    let domain = tx.domain().name.clone();
    tracing::warn!(%domain, index, %signer, "a block bears an earlier time than what its signer has said before");
    let text = format!(
        "the signer `{signer}` has blocked something with a signature that is older than what he had said of it before, \
         so gpg goes on to call it valid: put the clock right of the machine that signs, and say it again"
    );
    tx.alarm_once(at, "signer-clock", &text)
}

/// Tells the owners of a signer of theirs who revokes his key. What he has said stands by the order of the log, also where
/// gpg no longer calls it good: what of it ends, only they can say. `domain` is what it was before this state of the
/// certificate.
pub(in crate::app) fn warn_of_revoked(
    tx: &mut WriteTx<'_>,
    domain: &Domain,
    certificate: &Certificate,
    index: u64,
    at: Timestamp,
) -> Result<(), StoreError> {
    let signer = certificate.primary();
    let before = domain.certificate(&signer).and_then(|(_, held)| held.revoked());
    let Some(how) = certificate.revoked().filter(|how| before != Some(*how)) else { return Ok(()) };
    let roles = domain.descriptor().roles_of(&signer);
    if roles.is_empty() {
        return Ok(());
    }
    tracing::warn!(domain = %domain.name(), index, %signer, "a signer has revoked his key");
    let (named, ways): (Vec<&str>, Vec<String>) =
        roles.iter().map(|role| (Role::as_str(role), format!("--remove-signer {role}={signer}"))).unzip();
    let (why, way) = match how {
        Revoked::ForAllTimes => (
            "for all times, as a key that was stolen",
            format!(
                "from which entry on it was no longer he who spoke, the owners declare: `ics domain update \
                 --compromised {signer}@INDEX`"
            ),
        ),
        Revoked::FromThen => (
            "as one that he has given up",
            format!(
                "once somebody else says what is to go on to count, take the role from him: `ics domain update {}`",
                ways.join(" ")
            ),
        ),
    };
    let text = format!(
        "the signer `{signer}` ({}) has revoked his key, {why}. What the log took in before goes on to count: {way}",
        named.join(", ")
    );
    tx.alarm_once(at, SIGNER_REVOKED, &text)
}
