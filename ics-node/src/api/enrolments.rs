//! Requests of devices that make their key at set-up time, and the outcome.

use std::collections::BTreeMap;

use ics_core::identity::Kind;
use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A device's request to be introduced, `POST /v1/domains/{domain}/enrolments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The device's own certificate, base64: its key, a User ID, and its self-signature, which proves possession.
    pub certificate: String,
    /// The kind asked for.
    pub kind: Kind,
    /// Names asked for, such as `serial:…`.
    #[serde(default)]
    pub names: Vec<String>,
    /// Attributes asked for.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// An enrolment request as the node keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Its number.
    pub number: u64,
    /// The fingerprint of the device's key.
    pub id: String,
    /// `waiting`, `approved` or `refused`.
    pub state: String,
    /// Why it was refused, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The request.
    pub request: EnrolmentRequest,
    /// The things of the domain that have, or had, this key under other fingerprints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_key: Vec<String>,
}

/// The state of an enrolment request, for anyone who knows the fingerprint. What was asked for may name people, so only
/// the operator sees that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentAnswer {
    /// The fingerprint of the device's key.
    pub id: String,
    /// `waiting`, `approved` or `refused`.
    pub state: String,
    /// Why it was refused, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl From<Enrolment> for EnrolmentAnswer {
    fn from(Enrolment { id, state, reason, received_at, .. }: Enrolment) -> Self {
        Self { id, state, reason, received_at }
    }
}

/// `GET /v1/domains/{domain}/enrolments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentPage {
    /// In the order of arrival.
    pub items: Vec<Enrolment>,
    /// `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageQuery {
    /// `next` of the previous page.
    pub after: u64,
    /// Items per page: 100 by default, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}
