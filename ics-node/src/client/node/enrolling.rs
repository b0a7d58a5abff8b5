//! The calls about things that ask to be introduced.

use ics_core::limits;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::{Answer, Node};
use crate::api::{Enrolment, EnrolmentAnswer, EnrolmentPage, EnrolmentRequest, PageQuery};

impl Node {
    /// Asks for an identity.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn enrol(&self, domain: &DomainName, request: &EnrolmentRequest) -> Answer<EnrolmentAnswer> {
        self.post(&["domains", domain.as_str(), "enrolments"], request).await
    }

    /// How a request for an identity stands, by the fingerprint of the device's key.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn enrolment(&self, domain: &DomainName, id: &str) -> Answer<EnrolmentAnswer> {
        self.get(&["domains", domain.as_str(), "enrolments", id], &()).await
    }

    /// The requests that wait, all pages in one; for operators.
    ///
    /// # Errors
    /// See [`Node::info`]; when more wait than may.
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

    /// Refuses a request that waits; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn refuse_enrolment(&self, domain: &DomainName, id: &str, reason: &str) -> Answer<Enrolment> {
        self.post(&["domains", domain.as_str(), "enrolments", id, "refuse"], &json!({ "reason": reason })).await
    }

    /// Has a request deleted, in whatever state it is; for operators. How it stood.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn forget_enrolment(&self, domain: &DomainName, id: &str) -> Answer<EnrolmentAnswer> {
        self.post(&["domains", domain.as_str(), "enrolments", id, "forget"], &()).await
    }
}
