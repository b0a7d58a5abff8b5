//! Decisions, remembered by what they depend on.

use std::collections::HashMap;
use std::sync::Arc;

use super::{AccessPolicy, Decision, Request};
use crate::limits;

/// Decisions by one policy. A factory line asks one question over and over: the same act, role and status, and what else
/// differs the rules seldom look at.
#[derive(Debug, Default)]
pub struct Cache {
    policy: Option<Arc<AccessPolicy>>,
    decisions: HashMap<Request, Decision>,
}

impl Cache {
    /// Decides a request exactly as [`AccessPolicy::decide`] does. Another policy than the last one begins anew.
    pub fn decide(&mut self, policy: &Arc<AccessPolicy>, request: Request) -> Decision {
        if !self.policy.as_ref().is_some_and(|known| Arc::ptr_eq(known, policy)) {
            self.decisions.clear();
            self.policy = Some(Arc::clone(policy));
        }
        let request = policy.without_what_no_rule_sees(request);
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
