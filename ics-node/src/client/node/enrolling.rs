//! The calls about things that request to be introduced.

use ics_core::limits;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::{Answer, Node};
use crate::api::{Enrolment, EnrolmentAnswer, EnrolmentPage, EnrolmentRequest, PageQuery};

impl Node {
    /// Requests an identity.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn enrol(&self, domain: &DomainName, request: &EnrolmentRequest) -> Answer<EnrolmentAnswer> {
        self.post(&["domains", domain.as_str(), "enrolments"], request).await
    }

    /// The state of a request for an identity, by the fingerprint of the device's key.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn enrolment(&self, domain: &DomainName, id: &str) -> Answer<EnrolmentAnswer> {
        self.get(&["domains", domain.as_str(), "enrolments", id], &()).await
    }

    /// The pending requests, all pages in one; for operators.
    ///
    /// # Errors
    /// See [`Node::info`]; also when more are pending than may be.
    pub async fn enrolments(&self, domain: &DomainName) -> Answer<EnrolmentPage> {
        let mut all = EnrolmentPage { items: Vec::new(), next: Some(0) };
        while let Some(after) = all.next {
            let query = PageQuery { after, limit: Some(limits::PAGE_ITEMS) };
            let page: EnrolmentPage = self.get(&["domains", domain.as_str(), "enrolments"], &query).await?;
            if page.next.is_some_and(|next| next <= after) || all.items.len() > limits::ENROLMENTS_WAITING {
                return Err(self.not_understood("the node's list of waiting requests does not end".to_owned()));
            }
            all.items.extend(page.items);
            all.next = page.next;
        }
        Ok(all)
    }

    /// Refuses a pending request; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn refuse_enrolment(&self, domain: &DomainName, id: &str, reason: &str) -> Answer<Enrolment> {
        self.post(&["domains", domain.as_str(), "enrolments", id, "refuse"], &json!({ "reason": reason })).await
    }

    /// Deletes a request in whatever state, and returns that state; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn forget_enrolment(&self, domain: &DomainName, id: &str) -> Answer<EnrolmentAnswer> {
        self.post(&["domains", domain.as_str(), "enrolments", id, "forget"], &()).await
    }
}
