//! A subscriber that keeps a domain in memory, verifies each statement, and decides by a trust policy of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use ics_core::descriptor::{self, Freshness};
use ics_core::domain::{Context, Domain};
use ics_core::identity::IdentityId;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::log::entry::{Entry, Header};
use ics_core::record::{Logged, resolve};
use ics_core::statement::body::{self, Body};
use ics_core::statement::verify;
use ics_core::statement::verify::Unverified;
use ics_core::trust::{Looked, Outcome, Question, Testimony, TrustDocument, TrustPolicy, verdict};
use ics_sync::Applier;
use ics_sync::mirror::{Fill, Seen, Survey, VerifiedEntry, VerifiedPage};
use tokio::sync::mpsc;

/// What a manufacturer vouches for may be used until something blocks it.
const RULES: &str = "@id(\"vouched\")\npermit (principal, action in Action::\"use\", resource)\n\
                     when { principal.vouching_roles.contains(\"manufacturer\") };";

/// A verdict that has changed.
pub(crate) struct Changed {
    pub(crate) id: String,
    pub(crate) permitted: bool,
    pub(crate) at: Instant,
}

pub(crate) struct Subscriber {
    changed: mpsc::UnboundedSender<Changed>,
    domain: Option<Domain>,
    policy: Option<TrustPolicy>,
    about: BTreeMap<IdentityId, Vec<Logged>>,
    /// Things about which something was said since the last checkpoint.
    touched: BTreeSet<IdentityId>,
    decided: BTreeMap<IdentityId, bool>,
}

impl Subscriber {
    pub(crate) fn new(changed: mpsc::UnboundedSender<Changed>) -> Self {
        Self {
            changed,
            domain: None,
            policy: None,
            about: BTreeMap::new(),
            touched: BTreeSet::new(),
            decided: BTreeMap::new(),
        }
    }

    /// Takes the next entry; returns its subject if it is a statement.
    fn take(&mut self, index: u64, header: &Header, entry: &Entry) -> Option<IdentityId> {
        let mut named = None;
        match body::parse(&entry.body).ok()? {
            Body::Descriptor(signed) => {
                let next = descriptor::admit(self.domain.as_ref().map(Domain::descriptor), &signed).ok()?;
                match &mut self.domain {
                    Some(domain) => domain.take_descriptor(index, next, header.admitted_at).ok()?,
                    none => *none = Some(Domain::found(entry.leaf_data(), next, header.admitted_at).ok()?),
                }
            }
            Body::Certificate(certificate) => self.domain.as_mut()?.take_certificate(index, certificate),
            Body::Statement(said) => named = self.take_statement(index, header, *said),
            _ => {}
        }
        self.domain.as_mut()?.grow_to(index + 1, header.admitted_at);
        named
    }

    fn take_statement(&mut self, index: u64, header: &Header, said: Unverified) -> Option<IdentityId> {
        let domain = self.domain.as_ref()?;
        let signer = domain.signer(&said.issuer()).ok()?;
        let logged = Logged::new(index, header, &verify(said, signer, header.admitted_at).ok()?).ok()?;
        let id = logged.subject_id();
        let about = self.about.entry(id).or_default();
        let admitted = domain.check(&logged, &Context { about, groups: &[], unseen: false });
        about.push(if admitted.is_ok() { logged } else { logged.refused() });
        Some(id)
    }

    /// Whether a thing may be used, by what is held now.
    fn decide(&mut self, id: &IdentityId, page: &VerifiedPage) -> Option<bool> {
        if self.policy.is_none() {
            self.policy = Some(policy(page.checkpoint.as_ref()?.checkpoint.origin.clone())?);
        }
        let (domain, signed) = (self.domain.as_ref()?, page.checkpoint.as_ref()?);
        let now = signed.as_of.unwrap_or_default();
        let testimony = Testimony {
            origin: signed.checkpoint.origin.clone(),
            size: page.size,
            root: page.root,
            descriptor: domain.descriptor().version,
            as_of: now,
            freshness: domain.descriptor().freshness.clone(),
            record: resolve(domain, id, self.about.get(id)?, &[], now),
            withheld: false,
        };
        let thing = Looked { asked: id.to_string(), candidates: 1, testimonies: vec![testimony] };
        let question = Question { usage: "operate".to_owned(), thing, peer: None };
        Some(verdict(&question, self.policy.as_ref()?, now).outcome == Outcome::Allow)
    }
}

fn policy(domain: Origin) -> Option<TrustPolicy> {
    let freshness = Freshness { default: 3_600, uses: BTreeMap::new() };
    TrustPolicy::compile(TrustDocument {
        domains: vec![domain],
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness,
        rules: RULES.to_owned(),
    })
    .ok()
}

impl Applier for Subscriber {
    async fn apply(&mut self, page: &Arc<VerifiedPage>) -> Result<(), String> {
        for (index, entry) in (page.from..).zip(&page.entries) {
            let VerifiedEntry::Whole { header, entry } = entry else { return Err("not whole".to_owned()) };
            if let Some(id) = self.take(index, header, entry) {
                self.touched.insert(id);
            }
        }
        if page.checkpoint.is_none() {
            return Ok(());
        }
        for id in core::mem::take(&mut self.touched) {
            let permitted = self.decide(&id, page).ok_or("nothing can be decided")?;
            if self.decided.insert(id, permitted) != Some(permitted) {
                // The receiver may have stopped listening.
                let _ = self.changed.send(Changed { id: id.to_string(), permitted, at: Instant::now() });
            }
        }
        Ok(())
    }

    async fn root_at(&mut self, _: u64) -> Result<Hash, String> {
        Err("no tree is kept".to_owned())
    }

    async fn survey(&mut self, _: &Survey) -> Result<Vec<Seen>, String> {
        Ok(Vec::new())
    }

    async fn fill(&mut self, _: &Fill) -> Result<(), String> {
        Ok(())
    }
}
