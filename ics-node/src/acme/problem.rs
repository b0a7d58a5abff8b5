//! Errors of ACME: problem documents with the types of RFC 8555 (6.7), RFC 9773 and draft-ietf-acme-profiles.

use serde::{Deserialize, Serialize};

use super::identifier::Identifier;
use super::jws::ALGORITHMS;

/// The table has one line per type: variant, word after `urn:ietf:params:acme:error:`, HTTP status, documentation.
macro_rules! kinds {
    ($($variant:ident $word:literal $status:literal $doc:literal;)+) => {
        /// What went wrong, as one of the protocol's types.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = $doc] $variant),+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word after `urn:ietf:params:acme:error:`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }
        }
    };
}

kinds! {
    AccountDoesNotExist "accountDoesNotExist" 400 "There is no such account.";
    AlreadyReplaced "alreadyReplaced" 409 "The certificate has a successor already (RFC 9773, 5).";
    AlreadyRevoked "alreadyRevoked" 400 "The certificate is already revoked.";
    BadCsr "badCSR" 400 "The request for a certificate is not acceptable.";
    BadNonce "badNonce" 400 "The nonce was not issued here, or has already been used.";
    BadPublicKey "badPublicKey" 400 "The key is not of a kind that is accepted.";
    BadRevocationReason "badRevocationReason" 400 "The requester may not give this revocation reason.";
    BadSignatureAlgorithm "badSignatureAlgorithm" 400 "The signature algorithm is not accepted.";
    Connection "connection" 400 "The host that the identifier names could not be reached.";
    Dns "dns" 400 "The host name has no address that may be contacted.";
    ExternalAccountRequired "externalAccountRequired" 403 "An account needs an external account binding.";
    IncorrectResponse "incorrectResponse" 403 "What was found does not answer the challenge.";
    InvalidContact "invalidContact" 400 "A contact is malformed.";
    InvalidProfile "invalidProfile" 400 "There is no such profile.";
    KeyInUse "malformed" 409 "Another account has the key.";
    Malformed "malformed" 400 "The request is malformed.";
    NotFound "malformed" 404 "There is nothing at this URL.";
    MethodNotAllowed "malformed" 405 "The URL does not accept this method.";
    TooLarge "malformed" 413 "The body is too large.";
    MediaType "malformed" 415 "The body has the wrong media type.";
    OrderNotReady "orderNotReady" 403 "The order is not ready to be finalized.";
    RateLimited "rateLimited" 429 "Too many requests, or too much requested.";
    RejectedIdentifier "rejectedIdentifier" 400 "No certificate is issued for the identifier.";
    ServerInternal "serverInternal" 500 "The node failed.";
    Busy "serverInternal" 503 "The node is too busy.";
    Tls "tls" 400 "The host that the identifier names does not speak TLS as it should.";
    Unauthorized "unauthorized" 403 "The account may not do this.";
    UnsupportedContact "unsupportedContact" 400 "The contact is of a kind that is not supported.";
    UnsupportedIdentifier "unsupportedIdentifier" 400 "Identifiers of this type are not supported.";
}

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub kind: Kind,
    /// What was wrong and what to do, for people.
    pub detail: String,
    /// In subproblems, the identifier that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Box<Identifier>>,
    /// One for each refused identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Self>,
    /// Seconds after which the request may be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The account that already has the key (RFC 8555, 7.3.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// The part of a problem that is sent to the client.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a Identifier>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subproblems: Vec<Document<'a>>,
    /// RFC 8555, 6.2: the algorithms that would have been accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithms: Option<&'static [&'static str]>,
}

impl Problem {
    /// A problem without further members.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            identifier: None,
            subproblems: Vec::new(),
            retry_after: None,
            location: None,
        }
    }

    /// A problem of the most common kind.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// Makes it about an identifier.
    #[must_use]
    pub fn about(self, identifier: &Identifier) -> Self {
        Self { identifier: Some(Box::new(identifier.clone())), ..self }
    }

    /// Combines the problems of several identifiers: a single one as it is, else one that lists them (RFC 8555, 6.7.1).
    #[must_use]
    pub fn of_all(mut problems: Vec<Self>) -> Option<Self> {
        let first = problems.first()?;
        if problems.len() == 1 {
            return problems.pop();
        }
        let kind = if problems.iter().all(|it| it.kind == first.kind) { first.kind } else { Kind::Malformed };
        let detail = format!("{} identifiers are refused", problems.len());
        Some(Self { subproblems: problems, ..Self::new(kind, detail) })
    }

    /// The problem document (RFC 9457).
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // A structure of strings and numbers always has a JSON form.
        serde_json::to_value(self.document(true)).unwrap_or_default()
    }

    fn document(&self, is_outer: bool) -> Document<'_> {
        Document {
            kind: format!("urn:ietf:params:acme:error:{}", self.kind.as_str()),
            detail: &self.detail,
            status: is_outer.then(|| self.kind.status()),
            identifier: self.identifier.as_deref(),
            subproblems: self.subproblems.iter().map(|it| it.document(false)).collect(),
            algorithms: (self.kind == Kind::BadSignatureAlgorithm).then_some(ALGORITHMS),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_refused_identifiers_are_told_one_by_one() {
        let host = |name: &str| Identifier::dns(name).expect("a name");
        let refused = |name| Problem::new(Kind::RejectedIdentifier, "not here").about(&host(name));
        assert_eq!(Problem::of_all(Vec::new()), None);
        assert_eq!(Problem::of_all(vec![refused("a.example")]), Some(refused("a.example")));
        let both = Problem::of_all(vec![refused("a.example"), refused("b.example")]).expect("a problem");
        let of = |name: &str| {
            json!({"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "not here",
                   "identifier": {"type": "dns", "value": name}})
        };
        let expected = json!({
            "type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "2 identifiers are refused",
            "status": 400, "subproblems": [of("a.example"), of("b.example")],
        });
        assert_eq!(both.to_json(), expected);
    }

    #[test]
    fn whoever_signs_otherwise_is_told_how_to() {
        let json = Problem::new(Kind::BadSignatureAlgorithm, "no").to_json();
        assert_eq!(json["algorithms"], json!(["ES256", "ES384", "ES512", "EdDSA", "RS256"]));
        for kind in Kind::ALL {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
        }
    }
}
