//! Decisions, remembered by what they depend on.

use std::collections::HashMap;
use std::sync::Arc;

use super::{AccessPolicy, Decision, Request, Resource};
use crate::limits;

/// Decisions by one policy. A factory line asks one question a thousand times: the same signer, act, role, status and
/// attributes, and only the id differs, at which the rules seldom look.
#[derive(Debug, Default)]
pub struct Cache {
    policy: Option<Arc<AccessPolicy>>,
    decisions: HashMap<Request, Decision>,
}

impl Cache {
    /// Decides a request exactly as [`AccessPolicy::decide`] does. Another policy than the last one begins anew.
    pub fn decide(&mut self, policy: &Arc<AccessPolicy>, mut request: Request) -> Decision {
        if !self.policy.as_ref().is_some_and(|known| Arc::ptr_eq(known, policy)) {
            self.decisions.clear();
            self.policy = Some(Arc::clone(policy));
        }
        leave_out_id(policy, &mut request);
        if let Some(decision) = self.decisions.get(&request) {
            return decision.clone();
        }
        let decision = policy.decide(&request);
        if self.decisions.len() >= limits::DECISIONS_CACHED {
            self.decisions.clear();
        }
        self.decisions.insert(request, decision.clone());
        decision
    }
}

/// Leaves the request without what no rule can look at.
fn leave_out_id(policy: &AccessPolicy, request: &mut Request) {
    if let Resource::Identity { id, .. } = &mut request.resource
        && !policy.names_identities()
    {
        *id = None;
    }
}
