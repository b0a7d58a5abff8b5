//! Decisions of one batch, remembered by what they depend on.

use std::collections::HashMap;

use super::{AccessPolicy, Decision, Request, Resource};
use crate::limits;

/// Decisions by one policy. A batch from one factory line asks one question a thousand times: the same signer, act,
/// role, status and attributes, and only the id differs, at which the rules seldom look.
#[derive(Debug)]
pub struct Cache<'a> {
    policy: &'a AccessPolicy,
    decisions: HashMap<Request, Decision>,
}

impl<'a> Cache<'a> {
    /// An empty cache for one policy.
    #[must_use]
    pub fn new(policy: &'a AccessPolicy) -> Self {
        Self { policy, decisions: HashMap::new() }
    }

    /// Decides a request exactly as [`AccessPolicy::decide`] does.
    pub fn decide(&mut self, request: &Request) -> Decision {
        let key = self.key(request);
        if let Some(decision) = self.decisions.get(&key) {
            return decision.clone();
        }
        let decision = self.policy.decide(&key);
        if self.decisions.len() >= limits::DECISIONS_CACHED {
            self.decisions.clear();
        }
        self.decisions.insert(key, decision.clone());
        decision
    }

    /// The request without what no rule can look at.
    fn key(&self, request: &Request) -> Request {
        let mut key = request.clone();
        if let Resource::Identity { id, .. } = &mut key.resource
            && !self.policy.names_identities()
        {
            *id = None;
        }
        key
    }
}
