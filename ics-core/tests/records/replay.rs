//! What a mirror does with entries, in its plainest form.

use data_encoding::BASE64;
use ics_core::descriptor::admit;
use ics_core::domain::{Context, Domain, Refusal};
use ics_core::identity::IdentityId;
use ics_core::log::entry::{Entry, Header};
use ics_core::openpgp::certificate::Certificate;
use ics_core::record::{Logged, Posting, Record, SourceRef, candidate_groups, postings, resolve};
use ics_core::statement::{Body, Unverified, parse, verify};
use ics_core::time::Timestamp;

/// A domain and all statements in its log.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) domain: Domain,
    pub(crate) logged: Vec<Logged>,
}

impl Replayed {
    pub(crate) fn found(entry: &Entry) -> Self {
        let Body::Descriptor(signed) = parse(&entry.body).expect("canonical") else { panic!("not a descriptor") };
        let descriptor = admit(None, &signed).expect("admitted");
        let header = entry.header().expect("a header");
        let domain = Domain::found(entry.leaf_data(), descriptor, header.admitted_at).expect("access rules");
        Self { domain, logged: Vec::new() }
    }

    /// Takes the next entry; one that the policy refuses stays without effect.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let header = entry.header().expect("a header");
        let index = self.domain.size();
        if let Some(source) = &header.source {
            let pinned = self.domain.source(&source.origin).expect("pinned");
            let home = BASE64.decode(pinned.home.key.as_bytes()).expect("base64").try_into().expect("32 bytes");
            source.verify(&entry.body, &source.origin.key(&home).expect("a key")).expect("evidence");
        }
        let taken = match parse(&entry.body).expect("canonical") {
            Body::Statement(unverified) => self.take_statement(index, &header, *unverified),
            Body::Certificate(certificate) => self.take_certificate(index, &header, certificate),
            Body::Descriptor(signed) => {
                let next = admit(Some(self.domain.descriptor()), &signed).expect("admitted");
                self.domain.take_descriptor(index, next, header.admitted_at).expect("access rules");
                Ok(())
            }
            Body::Certification(_) | Body::Erasure(_) => panic!("nothing of the kind is here"),
        };
        self.domain.grow_to(index + 1, header.admitted_at);
        taken
    }

    fn take_statement(&mut self, index: u64, header: &Header, unverified: Unverified) -> Result<(), Refusal> {
        let certificate = self.domain.signer(&unverified.issuer())?;
        let statement = verify(unverified.clone(), certificate, header.admitted_at).expect("a good signature");
        let logged = Logged::new(index, header, &statement).expect("a header");
        assert_eq!(Logged::from_store(index, header, &unverified, statement.signer()).as_ref(), Ok(&logged));
        let about = self.find(&Posting::Subject(logged.subject_id()));
        let groups = self.groups(&[about.clone(), vec![logged.clone()]].concat());
        let context = Context { about: &about, groups: &groups, unseen: false };
        let admitted = self.domain.check(&logged, &context);
        self.logged.push(if admitted.is_ok() { logged } else { logged.refused() });
        admitted.map(drop)
    }

    fn take_certificate(&mut self, index: u64, header: &Header, certificate: Certificate) -> Result<(), Refusal> {
        let way = SourceRef::way(header).expect("a header");
        let grants = self.find(&Posting::Grantee(certificate.primary()));
        self.domain.check_certificate(&certificate, &way, &grants)?;
        self.domain.take_certificate(index, certificate);
        Ok(())
    }

    fn find(&self, key: &Posting) -> Vec<Logged> {
        self.logged.iter().filter(|logged| postings(logged).contains(key)).cloned().collect()
    }

    fn groups(&self, about: &[Logged]) -> Vec<Logged> {
        let candidates = candidate_groups(about);
        let named = candidates.named.iter().map(|id| Posting::Subject(IdentityId::Group(*id)));
        let selecting = candidates.selectors.iter().map(|key| Posting::Selector(*key));
        named.chain(selecting).flat_map(|key| self.find(&key)).collect()
    }

    pub(crate) fn record(&self, id: &IdentityId, at: Timestamp) -> Option<Record> {
        let about = self.find(&Posting::Subject(*id));
        resolve(&self.domain, id, &about, &self.groups(&about), at)
    }
}
