//! What a node's operator looks at: what is waiting, what has gone wrong, what was denied.

use ics_core::log::checkpoint::Checkpoint;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};

use super::answer::denied::Denied;
use super::hosted::Hosted;
use super::outbox::Waiting;
use super::x509::expiry::Expiries;
use super::{App, AppError};
use crate::api::{Alarm, DomainInfo, Enrolment, ForkNotes, IdentitySummary, NodeInfo, PageQuery, PeerInfo};
use crate::store::Part;

/// How many requests to be introduced, things to approve and denied verdicts are shown.
const SHOWN: usize = 20;

/// The state of a node, for its operator.
#[derive(Debug, Clone)]
pub struct Operations {
    /// Which node this is.
    pub node: NodeInfo,
    /// The time of this state.
    pub at: Timestamp,
    /// Why it does not answer requests yet, if it does not.
    pub not_ready: Option<String>,
    /// Its domains.
    pub domains: Vec<DomainInfo>,
    /// Its peers: what is copied from each, and what each has fetched.
    pub peers: Vec<PeerInfo>,
    /// The first devices that are asking to be introduced, by domain.
    pub enrolments: Vec<(DomainName, Enrolment)>,
    /// Things that wait for an approval.
    pub to_approve: Vec<ToApprove>,
    /// What is waiting for the homes of other domains; domains with nothing waiting are left out.
    pub waiting: Vec<Waiting>,
    /// Alarms that concern no domain held here, above all peers that lied when asked about a thing.
    pub alarms: Vec<Alarm>,
    /// The first forks that were seen, by domain.
    pub forks: Vec<(DomainName, ForkNotes)>,
    /// The results of the last checks of its domains' certificates for expiry.
    pub expiries: Vec<Expiries>,
    /// Until when this node may answer OCSP requests on behalf of issuers, by domain.
    pub responders: Vec<(DomainName, Timestamp)>,
    /// Verdicts that were not `allow`, newest first.
    pub denied: Vec<Denied>,
}

/// A thing that nobody has approved yet, in a domain where somebody could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToApprove {
    /// The domain.
    pub domain: DomainName,
    /// The thing.
    pub thing: IdentitySummary,
}

impl App {
    /// The state of the node, for its operator only: the caller must have checked [`App::is_operator`].
    ///
    /// # Errors
    /// When the store fails.
    pub fn operations(&self) -> Result<Operations, AppError> {
        let (mut enrolments, mut to_approve, mut forks) = (Vec::new(), Vec::new(), Vec::new());
        let all = self.all_hosted();
        for hosted in &all {
            let domain = hosted.name.clone();
            forks.extend(self.forks_about(Some(hosted.number))?.into_iter().map(|fork| (domain.clone(), fork)));
            if hosted.part != Part::Home || !self.is_sound(hosted) {
                continue;
            }
            let few = PageQuery { limit: Some(SHOWN), ..PageQuery::default() };
            let waiting = self.enrolments(&domain, few)?.items.into_iter();
            enrolments.extend(waiting.map(|enrolment| (domain.clone(), enrolment)));
            if let Ok(sight) = self.sight(hosted)
                && has_integrator(&sight.domain)
            {
                let things = self.to_approve(&sight, SHOWN)?.into_iter();
                to_approve.extend(things.map(|thing| ToApprove { domain: domain.clone(), thing }));
            }
        }
        let others = self.forks_about_none()?.into_iter();
        forks.extend(others.filter_map(|fork| Some((Checkpoint::claimed(&fork.theirs).ok()?.origin.domain, fork))));
        // A damaged domain must not hide the others from the one who can repair it: why the node is not ready names it.
        let readable = all.iter().filter(|hosted| hosted.domain().is_some() && self.is_sound(hosted));
        Ok(Operations {
            node: self.node(),
            at: self.clock().now(),
            not_ready: self.ready().err(),
            domains: readable.map(|hosted| self.info(hosted)).collect::<Result<_, _>>()?,
            peers: self.peers(),
            enrolments,
            to_approve,
            waiting: self.outbox_sizes()?.into_iter().filter(|it| it.statements > 0).collect(),
            alarms: self.alarms_about(None)?,
            forks,
            expiries: self.expiries(),
            responders: self.responders_end(),
            denied: self.0.denied.last(SHOWN),
        })
    }

    fn is_sound(&self, hosted: &Hosted) -> bool {
        self.store().check_sound(hosted.number).is_ok()
    }
}

/// Whether approvals are expected: they are if the descriptor names an integrator.
fn has_integrator(domain: &ics_core::domain::Domain) -> bool {
    let integrator = "integrator".parse::<Role>();
    let roles = &domain.descriptor().roles;
    integrator.is_ok_and(|role| roles.get(&role).is_some_and(|spec| !spec.signers.is_empty()))
}
