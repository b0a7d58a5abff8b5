//! A node's reading of a log: the rules of `ics-core`, entry by entry, as a store would keep the results.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use ics_core::descriptor;
use ics_core::domain::{Context, Domain, Refusal};
use ics_core::identity::IdentityId;
use ics_core::log::LeafData;
use ics_core::log::entry::{Entry, Header};
use ics_core::record::{Logged, Record, resolve};
use ics_core::statement::body::{self, Body};
use ics_core::statement::verify;
use ics_core::statement::verify::{Statement, Unverified};
use ics_core::time::Timestamp;

/// A domain as far as it has been read.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    domain: Option<Domain>,
    about: BTreeMap<IdentityId, Vec<Logged>>,
}

thread_local! {
    /// Whether a signature is good does not depend on who checks it, so it is computed once for each entry and time.
    static VERIFIED: RefCell<HashMap<(LeafData, Timestamp), Option<Statement>>> = RefCell::default();
}

impl Reading {
    /// Takes the next entry. It must be judged as of its admission; judging it as of `clock` is a deliberate error.
    pub(crate) fn take(&mut self, index: u64, entry: Option<&Entry>, clock: Option<Timestamp>) {
        let Some(entry) = entry else {
            let last = self.domain.as_ref().map_or(Timestamp::default(), Domain::last_admitted_at);
            return self.grow(index, last);
        };
        let mut header = entry.header().expect("a header");
        header.admitted_at = clock.unwrap_or(header.admitted_at);
        match body::parse(&entry.body) {
            Ok(Body::Descriptor(signed)) => {
                if let Ok(next) = descriptor::admit(self.domain.as_ref().map(Domain::descriptor), &signed) {
                    match &mut self.domain {
                        Some(domain) => {
                            domain.take_descriptor(index, next, header.admitted_at).expect("rules that compile");
                        }
                        none => {
                            *none = Domain::found(entry.leaf_data(), next, header.admitted_at).ok();
                        }
                    }
                }
            }
            Ok(Body::Certificate(certificate)) => {
                if let Some(domain) = &mut self.domain
                    && domain.check_certificate(&certificate, &[], &[]).is_ok()
                {
                    domain.take_certificate(index, certificate.heard_at(header.heard_at()));
                }
            }
            Ok(Body::Statement(said)) => {
                if let Some(logged) = self.logged(index, &header, *said, entry.leaf_data()) {
                    let admitted = self.judge(&logged).is_ok();
                    let logged = if admitted { logged } else { logged.refused() };
                    self.about.entry(logged.subject_id()).or_default().push(logged);
                }
            }
            _ => {}
        }
        self.grow(index, header.admitted_at);
    }

    fn grow(&mut self, index: u64, at: Timestamp) {
        if let Some(domain) = &mut self.domain {
            domain.grow_to(index + 1, at);
        }
    }

    fn logged(&self, index: u64, header: &Header, said: Unverified, leaf: LeafData) -> Option<Logged> {
        let certificate = self.domain.as_ref()?.signer(&said.issuer()).ok()?;
        let at = header.keys_judged_at();
        let fresh = || verify(said, certificate, at).ok();
        let verified = VERIFIED.with_borrow_mut(|known| known.entry((leaf, at)).or_insert_with(fresh).clone())?;
        Logged::new(index, header, &verified).ok()
    }

    /// Whether the domain admits it as its next entry.
    pub(crate) fn judge(&self, entry: &Logged) -> Result<(), Refusal> {
        let about = self.about.get(&entry.subject_id()).map(Vec::as_slice).unwrap_or_default();
        let context = Context { about, groups: &[], unseen: false };
        let domain = self.domain.as_ref().expect("a founded domain");
        domain.check(entry, &context).map(drop)
    }

    /// Why the domain would refuse a body that is submitted now; `None` if it admits it.
    pub(crate) fn refusal(&self, entry: &Entry) -> Option<String> {
        let Ok(Body::Statement(said)) = body::parse(&entry.body) else { return Some("no statement".to_owned()) };
        let index = self.domain.as_ref().map_or(0, Domain::size);
        let header = entry.header().expect("a header");
        let Some(logged) = self.logged(index, &header, *said, entry.leaf_data()) else {
            return Some("not by a signer of the domain".to_owned());
        };
        self.judge(&logged).err().map(|refusal| refusal.to_string())
    }

    /// Its record of a thing at a time.
    pub(crate) fn record(&self, id: &IdentityId, at: Timestamp) -> Option<Record> {
        resolve(self.domain.as_ref()?, id, self.about.get(id)?, &[], at)
    }

    /// The domain, with the rules in force.
    pub(crate) const fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }
}
