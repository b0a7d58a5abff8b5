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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Kind;
    use crate::policy::{Action, Principal, Resource};
    use crate::samples::{descriptor, word};

    /// Requests that differ in a role, which every rule may look at.
    fn request(number: usize) -> Request {
        let principal = Principal { roles: [word(&format!("role-{number}"))].into(), ..Principal::default() };
        let resource = Resource::Identity { id: None, kind: Kind::Device, attributes: Default::default() };
        Request { principal, action: Action::Read, resource }
    }

    #[test]
    fn it_remembers_as_many_decisions_as_there_is_room_for() {
        let policy = Arc::new(AccessPolicy::compile(&descriptor()).unwrap());
        let mut cache = Cache::default();
        let denied = cache.decide(&policy, request(0));
        cache.decide(&policy, request(1));
        assert_eq!(cache.decisions.len(), 2);
        cache.decisions.extend((2..limits::DECISIONS_CACHED).map(|number| (request(number), denied.clone())));
        cache.decide(&policy, request(0));
        assert_eq!(cache.decisions.len(), limits::DECISIONS_CACHED, "what is known takes no more room");
        cache.decide(&policy, request(limits::DECISIONS_CACHED));
        assert_eq!(cache.decisions.len(), 1);
    }
}
