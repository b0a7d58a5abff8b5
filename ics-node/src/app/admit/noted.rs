//! What a home does besides appending when it admits a statement: it raises alarms where somebody can do something
//! about them, and after a grant it has the followed things looked at again.

use ics_core::domain::{Admitted, Domain, Nearing};
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::openpgp::certificate::{Certificate, Revoked};
use ics_core::record::Logged;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Role;

use crate::api::SIGNER_REVOKED;
use crate::store::{StoreError, WriteTx};

/// What is to be noted about an admitted statement.
pub(in crate::app) struct Notes {
    signer: Fingerprint,
    /// The signer will soon no longer be able to block that thing.
    nears: Option<Nearing>,
    /// So much is said about that thing that soon hardly anybody can say more.
    fills: bool,
    /// gpg will ignore this block.
    is_unheeded: bool,
    /// The thing over which it grants a role, and from when on.
    grants: Option<(IdentityId, Timestamp)>,
}

impl Notes {
    /// `about` is what was said about the same thing before.
    pub(in crate::app) fn of(entry: &Logged, about: &[Logged], admitted: &Admitted) -> Option<Self> {
        let Admitted { nears, fills } = *admitted;
        let grants = entry.grant().map(|_| (entry.subject_id(), entry.claims().from.unwrap_or_default()));
        let notes = Self { signer: entry.signer(), nears, fills, is_unheeded: is_unheeded(entry, about), grants };
        (notes.nears.is_some() || notes.fills || notes.is_unheeded || notes.grants.is_some()).then_some(notes)
    }

    /// Raises the alarms and, after a grant, has the domain look again at what it follows.
    pub(in crate::app) fn write(&self, tx: &mut WriteTx<'_>, index: u64, at: Timestamp) -> Result<(), StoreError> {
        if let Some(nears) = self.nears {
            warn_of_quota(tx, index, at, &self.signer, nears)?;
        }
        if self.fills {
            warn_of_room(tx, index, at)?;
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

/// Whether gpg, which goes by the times of signatures, will ignore this revocation, because the same signer has earlier
/// certified the same User ID with a later time. The home goes by its own order, so this is no reason to refuse the
/// block.
fn is_unheeded(entry: &Logged, about: &[Logged]) -> bool {
    let outlives = |it: &Logged| {
        it.signer() == entry.signer()
            && !(it.revokes() || it.is_refused() || it.is_erased())
            && it.subject() == entry.subject()
            && entry.signed_at() < it.signed_at()
    };
    entry.revokes() && about.iter().any(outlives)
}

/// Warns that a signer's quota for a thing is nearly used up. Everybody can read alarms, so it names no thing, and
/// there is one per signer; the node's own log names the entry.
fn warn_of_quota(
    tx: &mut WriteTx<'_>,
    index: u64,
    at: Timestamp,
    signer: &Fingerprint,
    Nearing { made, quota }: Nearing,
) -> Result<(), StoreError> {
    let domain = tx.domain().name.clone();
    tracing::warn!(%domain, index, %signer, made, quota, "a signer who blocks a thing again and again nears the quota");
    let text = format!(
        "the signer `{signer}` has nearly used up the quota of {quota} statements for a thing that they block again \
         and again; once it is used up, they can neither block the thing nor lift their blocks: raise \
         `statements_per_signer_and_identity` in `limits` in a new version of the descriptor"
    );
    tx.alarm_once(at, "quota", &text)
}

/// Warns that the record of a thing is nearly full, either with its certificates or because somebody grants roles over
/// it to keys of their own. There is one such alarm per domain.
fn warn_of_room(tx: &mut WriteTx<'_>, index: u64, at: Timestamp) -> Result<(), StoreError> {
    let domain = tx.domain().name.clone();
    tracing::warn!(%domain, index, statements = limits::RECORD_STATEMENTS_NEAR, "the record of a thing is filling up");
    let text = format!(
        "there are {near} statements about a thing (the node's log names the entry): from {issued} on it gets no more \
         certificates, and from {open} on nothing new is admitted about it but blocks. If most are about certificates \
         that have ended, give it certificates that last longer, or a new identity (`ics replace`); if somebody fills \
         the record through granted roles, end the grants",
        near = limits::RECORD_STATEMENTS_NEAR,
        issued = limits::RECORD_STATEMENTS_ISSUED,
        open = limits::RECORD_STATEMENTS_OPEN,
    );
    tx.alarm_once(at, "record-nearly-full", &text)
}

/// Warns of a signer whose clock is behind, or was ahead before.
fn warn_of_clock(tx: &mut WriteTx<'_>, index: u64, at: Timestamp, signer: &Fingerprint) -> Result<(), StoreError> {
    let domain = tx.domain().name.clone();
    tracing::warn!(%domain, index, %signer, "a block bears an earlier time than what its signer said before");
    let text = format!(
        "the signer `{signer}` has blocked something with a signature that is older than an earlier statement of \
         theirs about it, so gpg still calls it valid: set the clock of the machine that signs, and block it again"
    );
    tx.alarm_once(at, "signer-clock", &text)
}

/// Tells the owners that one of their signers has revoked their key. What the signer has said stands by the order of
/// the log, even where gpg no longer calls it good; only the owners can decide which of it ends. `domain` is the domain
/// before this state of the certificate.
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
    tracing::warn!(domain = %domain.name(), index, %signer, "a signer has revoked their key");
    let (named, ways): (Vec<&str>, Vec<String>) =
        roles.iter().map(|role| (Role::as_str(role), format!("--remove-signer {role}={signer}"))).unzip();
    let (why, way) = match how {
        Revoked::ForAllTimes => (
            "for all times: it was stolen, or they give no reason",
            format!(
                "the owners declare from which entry on it was no longer the signer who spoke: `ics domain update \
                 --compromised {signer}@INDEX`"
            ),
        ),
        Revoked::FromThen => (
            "as one that was replaced or is retired",
            format!(
                "once another signer has repeated what is to go on counting, remove the role: `ics domain update {}`",
                ways.join(" ")
            ),
        ),
    };
    let text = format!(
        "the signer `{signer}` ({}) has revoked their key, {why}. What the log took in before goes on counting: {way}",
        named.join(", ")
    );
    tx.alarm_once(at, SIGNER_REVOKED, &text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ics_core::log::Hash;
    use ics_core::vocabulary::DomainName;

    use super::*;
    use crate::store::{DomainInfo, Options, Part, SignedNote, Store, StoredEntry};

    /// There is one alarm, however many things are concerned: it says what to do, and the node's log says which things
    /// they are.
    #[test]
    fn filling_records_raise_one_alarm() {
        let dir = tempfile::tempdir().expect("dir");
        let sealer = |_: &DomainInfo, _: u64, _: &Hash| Err::<SignedNote, _>("a copy signs nothing".to_owned());
        let options = Options::new(Arc::new(|_: &StoredEntry| Vec::new()), Arc::new(sealer));
        let store = Store::open(dir.path(), options).expect("open");
        let name: DomainName = "devices.acme.example".parse().expect("a name");
        let domain = store.create_domain(&name, Part::Mirror, Some([1; 32])).expect("create").number;
        let notes =
            Notes { signer: Fingerprint::V6([1; 32]), nears: None, fills: true, is_unheeded: false, grants: None };
        let job = move |tx: &mut WriteTx<'_>| {
            notes.write(tx, 7, Timestamp::from_seconds(7))?;
            notes.write(tx, 9, Timestamp::from_seconds(9))
        };
        store.write(domain, job).expect("queue").wait().expect("written");
        let alarms = store.alarms(Some(domain), 9).expect("alarms");
        let [alarm] = alarms.as_slice() else { panic!("one for all: {alarms:?}") };
        assert_eq!((alarm.kind.as_str(), alarm.at), ("record-nearly-full", Timestamp::from_seconds(7)));
        assert!(["1792", "2048", "3072", "ics replace"].iter().all(|it| alarm.text.contains(it)), "{}", alarm.text);
    }
}
