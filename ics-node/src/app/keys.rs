//! Keys as OpenPGP directories know them, for the key server faces (HKP, LDAP): found by fingerprint, key id, User ID
//! or mail address, assembled from everything that the reader may read about them, and taken in (`sent`).

mod sent;

use std::collections::BTreeSet;
use std::str::FromStr as _;

use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::transferable::Description;
use ics_core::record::{Logged, Posting, mail_of, user_id_terms};
use ics_core::time::Timestamp;

pub use self::sent::{Change, Merged, SentKeys};
use super::answer::read::Sight;
use super::entries::find_logged;
use super::{App, AppError, Reader};

/// What a client of a key server looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySearch {
    /// The fingerprint of a primary key or a subkey.
    Fingerprint(Fingerprint),
    /// The key id of a primary key or a subkey (RFC 9580, 5.5.4).
    KeyId([u8; 8]),
    /// The last four octets of a key id. Anybody can make a key that has the same ones.
    ShortKeyId([u8; 4]),
    /// A mail address, exact except for case.
    Mail(String),
    /// A whole User ID or the mail address in it, exact except for case; for devices also a name.
    UserId(String),
    /// Any part of a certificate's User ID, regardless of case. For everything else what [`KeySearch::UserId`] finds,
    /// since there may be millions of those.
    Text(String),
}

/// A key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// The fingerprint of the primary key.
    pub fingerprint: Fingerprint,
    /// The key with everything on it, a transferable public key in canonical form.
    pub openpgp: Vec<u8>,
    /// What a directory says about it.
    pub about: Description,
    /// Whether a status blocks it in some domain here; if so, no client should be led to it as if it were good.
    pub is_blocked: bool,
    /// When the newest entry about it was admitted.
    pub modified: Timestamp,
}

impl KeySearch {
    /// From hex digits of a fingerprint (40, 64), a key id (16) or its short form (8), with or without `0x`.
    #[must_use]
    pub fn hex(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        if digits.len() >= 40 {
            return Fingerprint::from_str(digits).ok().map(Self::Fingerprint);
        }
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
        match bytes.len() {
            8 => bytes.try_into().ok().map(Self::KeyId),
            4 => bytes.try_into().ok().map(Self::ShortKeyId),
            _ => None,
        }
    }

    /// Whether a certificate matches.
    fn fits(&self, certificate: &Certificate) -> bool {
        let user_ids = certificate.user_ids();
        match self {
            Self::Fingerprint(fingerprint) => certificate.all_keys().any(|key| key == *fingerprint),
            Self::KeyId(id) => certificate.all_keys().any(|key| key.key_id() == *id),
            Self::ShortKeyId(id) => certificate.all_keys().any(|key| key.key_id().ends_with(id)),
            Self::Mail(mail) => {
                let mail = mail.to_lowercase();
                user_ids.iter().filter_map(|it| mail_of(it)).any(|it| it.to_lowercase() == mail)
            }
            Self::UserId(text) => user_ids.iter().any(|it| user_id_terms(it).contains(&text.to_lowercase())),
            Self::Text(text) => {
                let text = text.to_lowercase();
                user_ids.iter().any(|it| it.to_lowercase().contains(&text))
            }
        }
    }

    /// The key id by which certificates are looked up, if the search has a whole one.
    const fn key_id(&self) -> Option<[u8; 8]> {
        match self {
            Self::Fingerprint(fingerprint) => Some(fingerprint.key_id()),
            Self::KeyId(id) => Some(*id),
            _ => None,
        }
    }

    /// The posting of statements that introduce matching keys.
    fn posting(&self) -> Posting {
        match self {
            Self::Fingerprint(fingerprint) => Posting::Subject(IdentityId::Key(*fingerprint)),
            Self::KeyId([.., a, b, c, d]) | Self::ShortKeyId([a, b, c, d]) => Posting::KeyId([*a, *b, *c, *d]),
            Self::Mail(text) | Self::UserId(text) | Self::Text(text) => Posting::UserId(text.to_lowercase()),
        }
    }

    /// Whether a key that was found by the posting matches.
    fn fits_key(&self, key: &Fingerprint) -> bool {
        match self {
            Self::KeyId(id) => key.key_id() == *id,
            _ => true,
        }
    }
}

impl App {
    /// The matching keys, by fingerprint, at most `limit`; to learn whether there are more, ask for one more.
    ///
    /// With `only`, just keys of that OpenPGP version, and on them just signatures of that version.
    ///
    /// # Errors
    /// When the node cannot read, or nothing is found while one of its domains is silent. Keys that are not here and
    /// keys that the reader may not read are both simply not found.
    pub fn keys(
        &self,
        reader: Reader,
        search: &KeySearch,
        only: Option<u8>,
        limit: usize,
    ) -> Result<Vec<FoundKey>, AppError> {
        match self.keys_here(reader, search, only, limit)? {
            (found, Some(silent)) if found.is_empty() => Err(silent),
            (found, _) => Ok(found),
        }
    }

    /// As [`App::keys`], with the reason why there may be more while a domain is silent. Used when a key is added,
    /// where it is enough to know that the key is not here.
    ///
    /// # Errors
    /// When the node cannot read.
    pub(crate) fn keys_here(
        &self,
        reader: Reader,
        search: &KeySearch,
        only: Option<u8>,
        limit: usize,
    ) -> Result<(Vec<FoundKey>, Option<AppError>), AppError> {
        let hosted = self.all_hosted();
        let (sights, silent) = self.sights(&hosted);
        let mut found = Vec::new();
        for fingerprint in self.keys_in_all(reader, &sights, search, only)? {
            if found.len() == limit {
                break;
            }
            found.extend(self.whole_key(reader, &sights, fingerprint, only)?);
        }
        Ok((found, silent))
    }

    /// The next matching keys after a given one, at most `limit`. It includes keys of which it is only known that the
    /// reader may read something in their domain, so the caller must ask for each with [`App::key`] and tell nobody
    /// about the others. The second value says why there may be more keys, if a domain is silent.
    ///
    /// # Errors
    /// When the node cannot read.
    pub(crate) fn keys_that_fit(
        &self,
        reader: Reader,
        search: &KeySearch,
        only: Option<u8>,
        after: Option<Fingerprint>,
        limit: usize,
    ) -> Result<(Vec<Fingerprint>, Option<AppError>), AppError> {
        let hosted = self.all_hosted();
        let (sights, silent) = self.sights(&hosted);
        let keys = self.keys_in_all(reader, &sights, search, only)?.into_iter();
        Ok((keys.filter(|key| after.is_none_or(|after| *key > after)).take(limit).collect(), silent))
    }

    /// One key, if the reader may read anything about it; `only` as in [`App::keys`].
    ///
    /// # Errors
    /// When the node cannot read.
    pub(crate) fn key(
        &self,
        reader: Reader,
        fingerprint: Fingerprint,
        only: Option<u8>,
    ) -> Result<Option<FoundKey>, AppError> {
        let hosted = self.all_hosted();
        self.whole_key(reader, &self.sights(&hosted).0, fingerprint, only)
    }

    /// The matching keys in all domains, whether or not each may be read.
    fn keys_in_all(
        &self,
        reader: Reader,
        sights: &[Sight<'_>],
        search: &KeySearch,
        only: Option<u8>,
    ) -> Result<BTreeSet<Fingerprint>, AppError> {
        let mut keys = BTreeSet::new();
        for sight in sights {
            keys.extend(self.keys_in(reader, sight, search)?);
        }
        keys.retain(|key| only.is_none_or(|only| key.version() == only));
        Ok(keys)
    }

    /// The matching keys of one domain; if the reader may read nothing in it, only those that everybody may see.
    fn keys_in(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        search: &KeySearch,
    ) -> Result<BTreeSet<Fingerprint>, AppError> {
        let domain = &sight.domain;
        let fits = |certificate: &&Certificate| search.fits(certificate);
        let mut keys: BTreeSet<Fingerprint> = match search.key_id() {
            Some(id) => domain.certificates_with_key_id(&id).filter(fits).map(Certificate::primary).collect(),
            None => domain.certificates().filter(fits).map(Certificate::primary).collect(),
        };
        if !self.may_read_any(reader, domain) {
            return Ok(keys);
        }
        let introduced = find_logged(&sight.entries, domain, &search.posting(), limits::RECORD_STATEMENTS)?;
        let mut ids: BTreeSet<IdentityId> = introduced.iter().map(Logged::subject_id).collect();
        if let KeySearch::UserId(text) | KeySearch::Text(text) = search
            && let Ok(lookup) = text.parse()
        {
            ids.extend(self.identities(sight, &lookup)?);
        }
        let key = |id| if let IdentityId::Key(key) = id { Some(key) } else { None };
        keys.extend(ids.into_iter().filter_map(key).filter(|key| search.fits_key(key)));
        Ok(keys)
    }
}
