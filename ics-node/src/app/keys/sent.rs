//! Keys that are sent in: parsed, distinguished, and passed to the domains that are at home here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::statement::body::{self, Body, BodyError};
use ics_core::statement::{is_certificate, openpgp_key_of, split};
use ics_core::vocabulary::DomainName;

use super::KeySearch;
use crate::api::problem::Code;
use crate::api::{Problem, SubmissionResult};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader, Sender};
use crate::store::Part;

/// What became of a key that was sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not here before.
    Inserted,
    /// Something on it is new.
    Updated,
    /// Everything on it that counts here was here already.
    Unchanged,
    /// Nothing of it was accepted; or what its holder says about it was not; or it should be revoked and nothing is
    /// new.
    Refused,
}

/// What became of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The change of each key in it, by fingerprint.
    pub keys: BTreeMap<Fingerprint, Change>,
    /// How many bodies are in a log now and were not before.
    pub appended: usize,
    /// Why parts of it were not accepted: first revocations, then what holders say about their own keys, last what
    /// could not be parsed, for so many parts as a batch may have.
    pub problems: Vec<Problem>,
}

impl Merged {
    /// Why one of its keys was refused, if any was.
    #[must_use]
    pub fn refusal(&self) -> Option<&Problem> {
        let is_refused = self.keys.values().any(|change| *change == Change::Refused);
        self.problems.first().filter(|_| is_refused)
    }
}

/// Keys that were sent in and parsed, but not taken in yet.
pub struct SentKeys {
    merged: Merged,
    uploads: Vec<Upload>,
    domains: BTreeSet<DomainName>,
    /// The keys whose revocation does not count although what it should end stands here, and why.
    not_revoked: Vec<(Fingerprint, Problem)>,
}

impl SentKeys {
    /// The keys that something in it is about.
    pub fn keys(&self) -> impl Iterator<Item = &Fingerprint> {
        self.merged.keys.keys()
    }
}

impl App {
    /// Parses keys that are sent in, for [`App::merge_keys`]. What is known about them is told as far as the reader may
    /// read it.
    ///
    /// # Errors
    /// When nothing in it can be read, or the node cannot read.
    pub async fn read_keys(&self, reader: Reader, bytes: Vec<u8>) -> Result<SentKeys, AppError> {
        self.blocking(move |app| app.read_upload(reader, &bytes)).await
    }

    /// Takes in keys as key servers do: each statement goes to the domain that it names, each certificate to every
    /// domain at home here whose policy admits it. What is new on a key is added to what is there; nothing is replaced.
    ///
    /// # Errors
    /// When the node cannot write, or the home of a domain is not reached, or what is not kept here finds no place from
    /// which to wait for it.
    pub async fn merge_keys(&self, sender: &mut Sender, sent: SentKeys) -> Result<Merged, AppError> {
        let SentKeys { mut merged, mut uploads, domains, not_revoked } = sent;
        for domain in domains {
            self.upload_to(sender, &domain, &mut uploads).await?;
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
        // Each takes hundreds of bytes, for a signature that may have two.
        let problems = others.into_iter().map(refused).take(limits::BATCH_STATEMENTS).collect();
        let mut merged = Merged { problems, ..Merged::default() };
        let uploads: Vec<Upload> = split.bodies.into_iter().map(Upload::new).collect();
        let is_here = |key| Ok(!self.keys_here(reader, &KeySearch::Fingerprint(key), None, 1)?.0.is_empty());
        merged.keys = known(&uploads, is_here)?;
        let domains = self.domains_of(&uploads);
        Ok(SentKeys { merged, uploads, domains, not_revoked })
    }

    /// Whether something that should be revoked stands here.
    fn leaves_standing(&self, refused: &BodyError) -> bool {
        let BodyError::RevocationRefused { key, .. } = refused else { return true };
        let domains = self.all_hosted();
        let mut domains = domains.iter().filter_map(|hosted| hosted.domain());
        domains.any(|domain| domain.certificate(key).is_some_and(|(_, held)| refused.leaves_standing(held)))
    }

    /// The domains to which something in an upload may go.
    fn domains_of(&self, uploads: &[Upload]) -> BTreeSet<DomainName> {
        let named: BTreeSet<&DomainName> = uploads.iter().filter_map(|upload| upload.domain.as_ref()).collect();
        let has_unnamed = uploads.iter().any(|upload| upload.domain.is_none());
        let takes = |hosted: &Arc<Hosted>| named.contains(&hosted.name) || has_unnamed && hosted.part == Part::Home;
        self.all_hosted().iter().filter(|hosted| takes(hosted)).map(|hosted| hosted.name.clone()).collect()
    }

    async fn upload_to(
        &self,
        sender: &mut Sender,
        domain: &DomainName,
        uploads: &mut [Upload],
    ) -> Result<(), AppError> {
        let is_home = self.hosted(domain)?.part == Part::Home;
        let goes = |upload: &&mut Upload| upload.domain.as_ref().map_or(is_home, |named| named == domain);
        let mut chosen: Vec<&mut Upload> = uploads.iter_mut().filter(goes).collect();
        for batch in chosen.chunks_mut(limits::BATCH_STATEMENTS) {
            let bodies = batch.iter().map(|upload| upload.body.clone()).collect();
            let before = self.hosted(domain)?.domain().map_or(0, |domain| domain.size());
            let results = self.submit_from(sender, domain, bodies).await?.results;
            batch.iter_mut().zip(results).for_each(|(upload, result)| upload.hear(result, before));
        }
        Ok(())
    }
}

/// Which keys of an upload are known. Each is looked up once: a look-up reads everything said about a key, and a key
/// may come with thousands of signatures, each of them a body.
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

/// The keys of which nothing is in a log now, or whose holders' own statements were refused.
fn refused<'a>(keys: impl Iterator<Item = &'a Fingerprint>, uploads: &[Upload]) -> Vec<Fingerprint> {
    let of = |fits: fn(&Upload) -> bool| -> BTreeSet<Fingerprint> {
        uploads.iter().filter(|upload| fits(upload)).filter_map(|upload| upload.key).collect()
    };
    let (taken, denied) = (of(|upload| upload.is_known || upload.is_new), of(Upload::is_denied));
    keys.copied().filter(|key| !taken.contains(key) || denied.contains(key)).collect()
}

/// One body of an upload, and what has become of it so far.
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

    /// Whether no domain has accepted what a holder says about their own key. A device that can sign has certified
    /// itself; that no domain keeps its certificate is not a fault of the upload.
    fn is_denied(&self) -> bool {
        let is_strange = |problem: &Problem| problem.code() == Code::CertificateNotNamed.as_str();
        let is_refused = self.problem.as_ref().is_some_and(|problem| !is_strange(problem));
        self.is_certificate && !self.is_known && !self.is_new && is_refused
    }

    /// If several domains refuse it, the most specific reason is kept: that a domain does not know the holder of a
    /// certificate only means that it belongs elsewhere.
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
    /// Somebody who sends a revocation and hears that nothing changed would believe that it was accepted.
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

    /// A party's certificate, with its User ID revoked by its holder in a signature that claims to use SHA-1.
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
