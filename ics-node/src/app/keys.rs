//! Keys as OpenPGP's directories know them, for the faces of key servers (HKP, LDAP): found by fingerprint, key id, User
//! ID or mail address, put together from everything that the reader may read of them, and taken in.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;

use ics_core::identity::{Fingerprint, IdentityId, excerpt};
use ics_core::limits;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::transferable::Description;
use ics_core::record::{Logged, Posting, mail_of, user_id_terms};
use ics_core::statement::body::{self, Body, BodyError};
use ics_core::statement::{is_certificate, openpgp_key_of, split};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::answer::read::Sight;
use super::entries::find_logged;
use super::{App, AppError, Reader};
use crate::api::problem::Code;
use crate::api::{Problem, SubmissionResult};
use crate::store::Part;

/// What a client of a key server looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySearch {
    /// The fingerprint of a primary key or a subkey.
    Fingerprint(Fingerprint),
    /// The key id of a primary key or a subkey (RFC 9580, 5.5.4).
    KeyId([u8; 8]),
    /// The last four octets of one. Anybody can make a key with the same.
    ShortKeyId([u8; 4]),
    /// A mail address, exactly, but for case.
    Mail(String),
    /// A User ID as a whole, or the mail address in it, exactly, but for case; of devices also a name.
    UserId(String),
    /// Any part of the User ID of a certificate, without regard to case; of everything else what [`KeySearch::UserId`]
    /// finds, since there may be millions of them.
    Text(String),
}

/// A key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// The fingerprint of the primary key.
    pub fingerprint: Fingerprint,
    /// The key with everything on it, a transferable public key in canonical form.
    pub openpgp: Vec<u8>,
    /// What a directory says of it.
    pub about: Description,
    /// Whether a status blocks it in some domain here: then no client should be led to it as if it were good.
    pub is_blocked: bool,
    /// When the newest entry about it was admitted.
    pub modified: Timestamp,
}

/// What became of a key that was sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not here before.
    Inserted,
    /// Something on it is new.
    Updated,
    /// All of it that counts here was here.
    Unchanged,
    /// Nothing of it was taken, or not what its holder says of it himself, or nothing new where it should be revoked.
    Refused,
}

/// What became of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// By the fingerprint of each key in it.
    pub keys: BTreeMap<Fingerprint, Change>,
    /// Bodies that are in a log now and were not before.
    pub appended: usize,
    /// Why parts of it were not taken: first revocations, then what holders say of their own keys, last what could not be
    /// read.
    pub problems: Vec<Problem>,
}

impl Merged {
    /// Why a key of it was refused, if one was.
    #[must_use]
    pub fn refusal(&self) -> Option<&Problem> {
        let is_refused = self.keys.values().any(|change| *change == Change::Refused);
        self.problems.first().filter(|_| is_refused)
    }
}

/// Keys that were sent in, read and not taken in yet.
pub struct SentKeys {
    merged: Merged,
    uploads: Vec<Upload>,
    domains: BTreeSet<DomainName>,
    /// The keys of which a revocation does not count though what it should end stands here, and why.
    not_revoked: Vec<(Fingerprint, Problem)>,
}

impl SentKeys {
    /// The domains that something of them may go to.
    #[must_use]
    pub const fn domains(&self) -> &BTreeSet<DomainName> {
        &self.domains
    }
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

    /// Whether a certificate fits it.
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

    /// The key id that certificates are looked up by, where it has a whole one.
    const fn key_id(&self) -> Option<[u8; 8]> {
        match self {
            Self::Fingerprint(fingerprint) => Some(fingerprint.key_id()),
            Self::KeyId(id) => Some(*id),
            _ => None,
        }
    }

    /// The postings of statements that introduce what fits it.
    fn posting(&self) -> Posting {
        match self {
            Self::Fingerprint(fingerprint) => Posting::Subject(IdentityId::Key(*fingerprint)),
            Self::KeyId([.., a, b, c, d]) | Self::ShortKeyId([a, b, c, d]) => Posting::KeyId([*a, *b, *c, *d]),
            Self::Mail(text) | Self::UserId(text) | Self::Text(text) => Posting::UserId(text.to_lowercase()),
        }
    }

    /// Whether a key, found by its posting, fits it.
    fn fits_key(&self, key: &Fingerprint) -> bool {
        match self {
            Self::KeyId(id) => key.key_id() == *id,
            _ => true,
        }
    }
}

impl App {
    /// The keys that fit, by fingerprint, at most `limit`; whoever wants to know whether there are more asks for one more.
    ///
    /// With `only`, keys of that OpenPGP version alone, and on them signatures of that version alone.
    ///
    /// # Errors
    /// When the node cannot read, or nothing is found while a domain of it is silent. What is not here and what the reader
    /// may not read are both simply not found.
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

    /// The same, and why there may be more, while a domain is silent: for whoever adds a key, to whom it is enough that it is
    /// not here.
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

    /// The next keys that fit, behind one of them and at most `limit`, also those of which no more is known than that the
    /// reader may read something of their domain: for whoever asks for each by [`App::key`] and tells nobody of the others.
    /// Beside them, why nobody may say that there are no more, while a domain is silent.
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

    /// One key, if the reader may read anything of it; with `only` as in [`App::keys`].
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

    /// The keys that fit in any domain, whether or not each may be read.
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

    /// The keys of one domain that fit; where the reader may read nothing of it, those that are for all.
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

    /// Reads keys that are sent in, for [`App::merge_keys`]. What is known of them is told as far as the reader may read it.
    ///
    /// # Errors
    /// When nothing in it can be read, or the node cannot read.
    pub async fn read_keys(&self, reader: Reader, bytes: Vec<u8>) -> Result<SentKeys, AppError> {
        self.blocking(move |app| app.read_upload(reader, &bytes)).await
    }

    /// Takes keys in as key servers do: each statement goes to the domain that it names, each certificate to every domain
    /// whose home is here and whose policy admits it. What is new on a key is added to what is there; nothing is replaced.
    ///
    /// # Errors
    /// When the node cannot write, or the home of a domain is not reached.
    pub async fn merge_keys(&self, sent: SentKeys) -> Result<Merged, AppError> {
        let SentKeys { mut merged, mut uploads, domains, not_revoked } = sent;
        for domain in domains {
            self.upload_to(&domain, &mut uploads).await?;
        }
        uploads.sort_by_key(|upload| !upload.is_denied());
        let refused = refused(merged.keys.keys(), &uploads);
        let malformed = core::mem::take(&mut merged.problems);
        merged.problems.extend(not_revoked.iter().map(|(_, problem)| problem.clone()));
        for upload in uploads {
            merged.take(upload);
        }
        merged.problems.extend(malformed);
        merged.keys.extend(refused.into_iter().map(|key| (key, Change::Refused)));
        not_revoked.iter().for_each(|(key, _)| merged.stays_unrevoked(key));
        Ok(merged)
    }

    /// The bodies of an upload, and which of its keys are known.
    fn read_upload(&self, reader: Reader, bytes: &[u8]) -> Result<SentKeys, AppError> {
        let split = split(bytes).map_err(|error| AppError::new(Code::MalformedStatement, error.to_string()))?;
        self.count_malformed(split.refused.len());
        let refused = |error: &BodyError| Problem::of(Code::MalformedStatement, error.to_string());
        let (revocations, others): (Vec<_>, Vec<_>) =
            split.refused.iter().partition(|error| error.not_revoked().is_some() && self.leaves_standing(error));
        let with_key = |error: &BodyError| Some((error.not_revoked()?, refused(error)));
        let not_revoked = revocations.into_iter().filter_map(with_key).collect();
        let mut merged = Merged { problems: others.into_iter().map(refused).collect(), ..Merged::default() };
        let uploads: Vec<Upload> = split.bodies.into_iter().map(Upload::new).collect();
        let is_here = |key| Ok(!self.keys_here(reader, &KeySearch::Fingerprint(key), None, 1)?.0.is_empty());
        merged.keys = known(&uploads, is_here)?;
        let domains = self.domains_of(&uploads);
        Ok(SentKeys { merged, uploads, domains, not_revoked })
    }

    /// Whether what should be revoked stands here: old keys bring User IDs and subkeys that were revoked with SHA-1 long
    /// ago, which no log has taken.
    fn leaves_standing(&self, refused: &BodyError) -> bool {
        let BodyError::RevocationRefused { key, of, .. } = refused else { return true };
        let stands = |held: &Certificate| {
            held.user_ids().iter().any(|user_id| excerpt(user_id) == *of)
                || held.all_keys().any(|key| key.to_string() == *of)
        };
        let domains = self.all_hosted();
        let mut domains = domains.iter().filter_map(|hosted| hosted.domain());
        domains.any(|domain| domain.certificate(key).is_some_and(|(_, held)| stands(held)))
    }

    /// The domains that something in an upload may go to.
    fn domains_of(&self, uploads: &[Upload]) -> BTreeSet<DomainName> {
        let named: BTreeSet<&DomainName> = uploads.iter().filter_map(|upload| upload.domain.as_ref()).collect();
        let has_unnamed = uploads.iter().any(|upload| upload.domain.is_none());
        let takes =
            |hosted: &Arc<super::Hosted>| named.contains(&hosted.name) || has_unnamed && hosted.part == Part::Home;
        self.all_hosted().iter().filter(|hosted| takes(hosted)).map(|hosted| hosted.name.clone()).collect()
    }

    async fn upload_to(&self, domain: &DomainName, uploads: &mut [Upload]) -> Result<(), AppError> {
        let is_home = self.hosted(domain)?.part == Part::Home;
        let goes = |upload: &&mut Upload| upload.domain.as_ref().map_or(is_home, |named| named == domain);
        let mut chosen: Vec<&mut Upload> = uploads.iter_mut().filter(goes).collect();
        for batch in chosen.chunks_mut(limits::BATCH_STATEMENTS) {
            let bodies = batch.iter().map(|upload| upload.body.clone()).collect();
            let before = self.hosted(domain)?.domain().map_or(0, |domain| domain.size());
            let results = self.submit(domain, bodies).await?.results;
            batch.iter_mut().zip(results).for_each(|(upload, result)| upload.hear(result, before));
        }
        Ok(())
    }
}

/// Which keys of an upload are known. Each is looked up once: a look reads all that is said of it, and it may come with
/// thousands of signatures, each a body of its own.
fn known(
    uploads: &[Upload],
    mut is_known: impl FnMut(Fingerprint) -> Result<bool, AppError>,
) -> Result<BTreeMap<Fingerprint, Change>, AppError> {
    let keys: BTreeSet<Fingerprint> = uploads.iter().filter_map(|upload| upload.key).collect();
    let mut changes = BTreeMap::new();
    for key in keys {
        changes.insert(key, if is_known(key)? { Change::Unchanged } else { Change::Refused });
    }
    Ok(changes)
}

/// The keys of which nothing is in a log now, or whose holders were refused.
fn refused<'a>(keys: impl Iterator<Item = &'a Fingerprint>, uploads: &[Upload]) -> Vec<Fingerprint> {
    let of = |fits: fn(&Upload) -> bool| -> BTreeSet<Fingerprint> {
        uploads.iter().filter(|upload| fits(upload)).filter_map(|upload| upload.key).collect()
    };
    let (taken, denied) = (of(|upload| upload.is_known || upload.is_new), of(Upload::is_denied));
    keys.copied().filter(|key| !taken.contains(key) || denied.contains(key)).collect()
}

/// One body of an upload and what became of it so far.
struct Upload {
    body: Vec<u8>,
    key: Option<Fingerprint>,
    /// The domain that a statement names.
    domain: Option<DomainName>,
    is_certificate: bool,
    is_known: bool,
    is_new: bool,
    problem: Option<Problem>,
}

impl Upload {
    fn new(body: Vec<u8>) -> Self {
        let domain = match body::parse(&body) {
            Ok(Body::Statement(statement)) => Some(statement.claims().domain.clone()),
            Ok(Body::Descriptor(_) | Body::Erasure(_) | Body::Certificate(_) | Body::Certification(_)) | Err(_) => None,
        };
        let (key, is_certificate) = (openpgp_key_of(&body), is_certificate(&body));
        Self { key, body, domain, is_certificate, is_known: false, is_new: false, problem: None }
    }

    /// Whether no domain has taken what a holder says of his own key. A device that can sign has certified itself; that no
    /// domain keeps its certificate is no fault of the upload.
    fn is_denied(&self) -> bool {
        let is_strange = |problem: &Problem| problem.code() == Code::CertificateNotNamed.as_str();
        let is_refused = self.problem.as_ref().is_some_and(|problem| !is_strange(problem));
        self.is_certificate && !self.is_known && !self.is_new && is_refused
    }

    /// Of several domains the one that has most to say about a refusal is heard: that a domain does not know the holder
    /// of a certificate says no more than that it is another's.
    fn hear(&mut self, result: SubmissionResult, before: u64) {
        match result {
            SubmissionResult::Receipt(receipt) if receipt.index >= before => self.is_new = true,
            SubmissionResult::Receipt(_) => self.is_known = true,
            SubmissionResult::Pending(_) => self.is_new = true,
            SubmissionResult::Problem(problem) => {
                let strangers = [Code::CertificateNotNamed, Code::CertifiesUnknown];
                let is_stranger = strangers.iter().any(|code| problem.code() == code.as_str());
                if self.problem.is_none() || !is_stranger {
                    self.problem = Some(problem);
                }
            }
        }
    }
}

impl Merged {
    /// Whoever sends a revocation and hears that nothing changed believes that it was taken.
    fn stays_unrevoked(&mut self, key: &Fingerprint) {
        if let Some(change) = self.keys.get_mut(key).filter(|change| **change == Change::Unchanged) {
            *change = Change::Refused;
        }
    }

    fn take(&mut self, upload: Upload) {
        let Upload { key, domain, is_known, is_new, problem, .. } = upload;
        self.appended += usize::from(is_new);
        if let Some(change) = key.and_then(|key| self.keys.get_mut(&key)).filter(|_| is_new) {
            *change = match change {
                Change::Refused | Change::Inserted => Change::Inserted,
                Change::Unchanged | Change::Updated => Change::Updated,
            };
        }
        if !is_new && !is_known {
            let unheard = || match &domain {
                Some(domain) => AppError::unknown_domain(domain).problem(),
                None => Problem::of(Code::CertificateNotNamed, "no domain has its home here".to_owned()),
            };
            self.problems.push(problem.unwrap_or_else(unheard));
        }
    }
}

#[cfg(test)]
mod tests {
    use ics_core::openpgp::signer::Signer as _;

    use super::*;
    use crate::fixture::{Party, device};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_with_many_signatures_is_looked_up_once() {
        let (maker, stranger) = (Party::found("devices.acme.example"), Party::found("devices.other.example"));
        let app = maker.open();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        let said = |number| (0..16).map(move |lot| (number, format!("L{lot}")));
        let bodies = said(1).chain(said(2)).map(|(number, lot)| stranger.introduce(&app, &device(number), "x", &lot));
        let upload = bodies.collect::<Vec<_>>().concat();
        let uploads: Vec<Upload> = split(&upload).expect("legal").bodies.into_iter().map(Upload::new).collect();
        assert_eq!(uploads.len(), 32, "each signature is a body");
        let mut looked_up = Vec::new();
        let is_known = |key: Fingerprint| {
            looked_up.push(key);
            Ok(key == device(1).fingerprint())
        };
        let changes = known(&uploads, is_known).expect("looked up");
        let [one, other] = [1, 2].map(|number| device(number).fingerprint());
        assert_eq!(changes, BTreeMap::from([(one, Change::Unchanged), (other, Change::Refused)]));
        assert_eq!(looked_up.len(), 2, "{looked_up:?}");
        let sent = app.read_upload(Reader::Anonymous, &upload).expect("read");
        assert_eq!(sent.merged.keys, changes);
    }

    /// A party's certificate, whose User ID its holder has revoked by a signature that is said to be made with SHA-1.
    fn revoked_weakly(party: &Party) -> Vec<u8> {
        let before = party.signer.public_key().to_packet().len() + 2 + party.domain.as_str().len();
        let mut revocation = party.certificate[before..].to_vec();
        let body = if revocation[1] < 192 { 2 } else { 3 };
        (revocation[body + 1], revocation[body + 3]) = (0x30, 2);
        [&party.certificate[..], &revocation].concat()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_weak_revocation_is_an_error_only_of_what_stands_here() {
        let (maker, stranger) = (Party::found("devices.acme.example"), Party::found("devices.other.example"));
        let app = maker.open();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        for (party, counts) in [(&maker, 1), (&stranger, 0)] {
            let upload = [maker.introduce(&app, &device(1), "x", "L2"), revoked_weakly(party)].concat();
            let sent = app.read_upload(Reader::Anonymous, &upload).expect("read");
            assert_eq!((sent.not_revoked.len(), sent.merged.problems.len()), (counts, 1 - counts), "{:?}", sent.merged);
        }
    }
}
