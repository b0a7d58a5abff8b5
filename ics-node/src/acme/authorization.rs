//! Authorizations and their challenges (RFC 8555, 7.1.4 to 7.1.6 and 8): what shows that an account may have a
//! certificate for an identifier.
//!
//! Mostly the record shows it, and nothing is left to prove. Otherwise, if the node is configured to trust the network,
//! a host name is proven by what is found at its address.

use data_encoding::BASE64URL_NOPAD;
use der::Decode as _;
use der::oid::ObjectIdentifier;
use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::identifier::Identifier;
use super::jwk::Jwk;
use super::problem::{Kind, Problem};

/// Milliseconds for which an identifier counts as proven.
const PROVEN_MILLIS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The certificate extension of tls-alpn-01 (RFC 8737, 6).
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// How a host name is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// By a file on its web server (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// By a certificate that its TLS server presents (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Method {
    /// Its type in the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// The state of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeState {
    /// The client has not yet said that it is ready.
    Pending,
    /// The node is looking.
    Processing,
    /// The answer was found, at this time.
    Valid(Timestamp),
    /// The answer was not found, for this reason.
    Invalid(Problem),
}

/// One way to prove an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The method.
    pub method: Method,
    /// The token that must be found; nobody can guess it.
    pub token: String,
    /// Its state.
    pub state: ChallengeState,
}

/// The state of an authorization, regardless of its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizationState {
    /// Nothing has been shown yet.
    Pending,
    /// The account may have a certificate for the identifier.
    Valid,
    /// The client could not show it.
    Invalid,
    /// Its client has deactivated it.
    Deactivated,
}

/// Whether an account may have a certificate for an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The account's number.
    pub account: u64,
    /// The identifier.
    pub identifier: Identifier,
    /// When it expires.
    pub expires: Timestamp,
    /// Its state.
    pub state: AuthorizationState,
    /// The ways to prove it; none if the record shows it.
    pub challenges: Vec<Challenge>,
}

impl Authorization {
    /// An authorization that follows from the record.
    #[must_use]
    pub const fn by_record(account: u64, identifier: Identifier, expires: Timestamp) -> Self {
        Self { account, identifier, expires, state: AuthorizationState::Valid, challenges: Vec::new() }
    }

    /// An authorization that is to be proven in one of these ways, each with a token of its own (RFC 8555, 8).
    #[must_use]
    pub fn to_prove(
        account: u64,
        identifier: Identifier,
        expires: Timestamp,
        ways: impl IntoIterator<Item = (Method, String)>,
    ) -> Self {
        let challenge = |(method, token)| Challenge { method, token, state: ChallengeState::Pending };
        let challenges = ways.into_iter().map(challenge).collect();
        Self { account, identifier, expires, state: AuthorizationState::Pending, challenges }
    }

    /// Its status at a time, in the terms of RFC 8555, 7.1.6.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> &'static str {
        match self.state {
            AuthorizationState::Pending if now < self.expires => "pending",
            AuthorizationState::Valid if now < self.expires => "valid",
            AuthorizationState::Valid => "expired",
            AuthorizationState::Pending | AuthorizationState::Invalid => "invalid",
            AuthorizationState::Deactivated => "deactivated",
        }
    }

    /// Whether it is valid at this time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.state == AuthorizationState::Valid && now < self.expires
    }

    /// Notes that the client is ready for a challenge; returns whether the node must look. It must look once, and again
    /// if the look was lost, which only memory knows (`is_looked_at`); clients may ask for that (RFC 8555, 8.2).
    ///
    /// # Errors
    /// When there is no such challenge, or the authorization is no longer pending.
    pub fn begin(&mut self, method: Method, is_looked_at: bool, now: Timestamp) -> Result<bool, Problem> {
        let status = self.status(now);
        let challenge = self.challenge_mut(method)?;
        match challenge.state {
            ChallengeState::Processing if is_looked_at => Ok(false),
            ChallengeState::Pending | ChallengeState::Processing if status == "pending" => {
                challenge.state = ChallengeState::Processing;
                Ok(true)
            }
            ChallengeState::Pending => {
                Err(Problem::malformed(format!("the authorization is {status}: its challenges are closed")))
            }
            _ => Ok(false),
        }
    }

    /// Records the outcome of a challenge. It changes nothing unless the challenge has begun and the authorization is
    /// still pending.
    pub fn finish(&mut self, method: Method, found: Result<(), Problem>, now: Timestamp) {
        if self.status(now) != "pending" {
            return;
        }
        let Ok(challenge) = self.challenge_mut(method) else { return };
        if challenge.state != ChallengeState::Processing {
            return;
        }
        let found = found.map_err(|problem| challenge.state = ChallengeState::Invalid(problem));
        if found.is_ok() {
            challenge.state = ChallengeState::Valid(now);
            self.state = AuthorizationState::Valid;
            self.expires = now.plus_millis(PROVEN_MILLIS);
        } else {
            self.state = AuthorizationState::Invalid;
        }
        // What was not tried can no longer be (RFC 8555, 7.1.4).
        self.challenges.retain(|challenge| challenge.method == method);
    }

    /// Deactivates it, as its client asks.
    ///
    /// # Errors
    /// When another status than `deactivated` is asked for, or the authorization has already ended.
    pub fn update(&mut self, status: &str, now: Timestamp) -> Result<(), Problem> {
        match (status, self.status(now)) {
            ("deactivated", "pending" | "valid") => {
                self.state = AuthorizationState::Deactivated;
                Ok(())
            }
            ("deactivated", "deactivated") => Ok(()),
            ("deactivated", ended) => Err(Problem::malformed(format!("the authorization is already {ended}"))),
            _ => Err(Problem::malformed("status: an authorization can only be `deactivated`")),
        }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&Problem> {
        self.challenges.iter().find_map(|challenge| match &challenge.state {
            ChallengeState::Invalid(problem) => Some(problem),
            _ => None,
        })
    }

    /// The challenge of this method.
    ///
    /// # Errors
    /// When there is none.
    pub fn challenge(&self, method: Method) -> Result<&Challenge, Problem> {
        self.challenges.iter().find(|it| it.method == method).ok_or_else(no_challenge)
    }

    fn challenge_mut(&mut self, method: Method) -> Result<&mut Challenge, Problem> {
        self.challenges.iter_mut().find(|it| it.method == method).ok_or_else(no_challenge)
    }

    /// The JSON that its client sees; `url` gives the URLs of challenges.
    #[must_use]
    pub fn to_json(&self, now: Timestamp, url: impl Fn(Method) -> String) -> Value {
        let challenges: Vec<Value> = self.challenges.iter().map(|it| it.to_json(&url(it.method))).collect();
        json!({
            "status": self.status(now), "expires": self.expires, "identifier": self.identifier,
            "challenges": challenges,
        })
    }
}

fn no_challenge() -> Problem {
    Problem::new(Kind::NotFound, "the authorization has no such challenge")
}

impl Challenge {
    /// The key authorization that must be found: the token and the thumbprint of the account's key (RFC 8555, 8.1).
    #[must_use]
    pub fn key_authorization(&self, key: &Jwk) -> String {
        format!("{}.{}", self.token, key.thumbprint())
    }

    /// The JSON that its client sees.
    #[must_use]
    pub fn to_json(&self, url: &str) -> Value {
        let mut json = json!({"type": self.method, "url": url, "token": self.token});
        let (status, more) = match &self.state {
            ChallengeState::Pending => ("pending", None),
            ChallengeState::Processing => ("processing", None),
            ChallengeState::Valid(at) => ("valid", Some(("validated", json!(at)))),
            ChallengeState::Invalid(problem) => ("invalid", Some(("error", problem.to_json()))),
        };
        if let Some(object) = json.as_object_mut() {
            object.insert("status".to_owned(), status.into());
            object.extend(more.map(|(member, value)| (member.to_owned(), value)));
        }
        json
    }
}

/// Whether the body of a web server's answer is the key authorization, ignoring white space at its end (RFC 8555, 8.3).
#[must_use]
pub fn answers_http(body: &[u8], key_authorization: &str) -> bool {
    body.trim_ascii_end() == key_authorization.as_bytes()
}

/// Whether a certificate is for exactly this name and has the critical extension with this key authorization (RFC 8737,
/// 3).
#[must_use]
pub fn answers_tls(certificate: &[u8], host: &str, key_authorization: &str) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let extensions = certificate.tbs_certificate.extensions.unwrap_or_default();
    let only = |oid: ObjectIdentifier| {
        let mut found = extensions.iter().filter(|extension| extension.extn_id == oid);
        found.next().filter(|_| found.next().is_none())
    };
    let names = only(SUBJECT_ALT_NAME).and_then(|it| SubjectAltName::from_der(it.extn_value.as_bytes()).ok());
    let is_for_host = names.is_some_and(|names| match names.0.as_slice() {
        [GeneralName::DnsName(name)] => name.as_str().eq_ignore_ascii_case(host),
        _ => false,
    });
    let answers = only(ACME_IDENTIFIER)
        .is_some_and(|it| it.critical && it.extn_value.as_bytes() == acme_identifier(key_authorization));
    is_for_host && answers
}

/// The content of the certificate's acmeIdentifier extension: the digest in an OCTET STRING (RFC 8737, 3).
fn acme_identifier(key_authorization: &str) -> Vec<u8> {
    [&[0x04, 0x20], &Sha256::digest(key_authorization)[..]].concat()
}

/// A token: 256 bits that nobody can guess.
#[must_use]
pub fn token(random: &[u8; 32]) -> String {
    BASE64URL_NOPAD.encode(random)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const METHODS: [Method; 2] = [Method::Http01, Method::TlsAlpn01];

    fn host() -> Identifier {
        Identifier::dns("gw.acme.example").expect("a name")
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn pending() -> Authorization {
        Authorization::to_prove(1, host(), at(100), METHODS.map(|method| (method, "token".to_owned())))
    }

    #[test]
    fn a_found_answer_proves_the_identifier() {
        let mut authorization = pending();
        assert_eq!(authorization.begin(Method::Http01, false, at(1)), Ok(true));
        assert_eq!(authorization.begin(Method::Http01, true, at(2)), Ok(false), "it is under way");
        assert_eq!(authorization.begin(Method::Http01, false, at(2)), Ok(true), "the node has stopped meanwhile");
        authorization.finish(Method::TlsAlpn01, Ok(()), at(3));
        assert_eq!(authorization.status(at(3)), "pending", "nobody has begun that one");
        authorization.finish(Method::Http01, Ok(()), at(3));
        assert!(authorization.is_valid(at(200)), "it holds longer than it waited");
        let json = authorization.to_json(at(4), |method| format!("https://ca.example/{}", method.as_str()));
        let expected = json!([{"type": "http-01", "url": "https://ca.example/http-01", "token": "token",
                               "status": "valid", "validated": "1970-01-01T00:00:03Z"}]);
        assert_eq!(json["challenges"], expected);
        assert_eq!(authorization.status(at(3 + PROVEN_MILLIS / 1000)), "expired");
    }

    #[test]
    fn an_answer_that_is_not_found_ends_it() {
        let mut authorization = pending();
        authorization.begin(Method::TlsAlpn01, false, at(1)).expect("begins");
        authorization.finish(Method::TlsAlpn01, Err(Problem::new(Kind::IncorrectResponse, "no")), at(2));
        assert_eq!(authorization.status(at(2)), "invalid");
        assert!(authorization.begin(Method::Http01, false, at(3)).is_err());
        let json = authorization.to_json(at(3), |_| String::new());
        let told: Vec<_> = json["challenges"].as_array().expect("some").iter().map(|it| &it["type"]).collect();
        assert_eq!(told, ["tls-alpn-01"], "the one that failed");
        assert_eq!(authorization.begin(Method::TlsAlpn01, false, at(3)), Ok(false), "it was looked at");
        assert_eq!(authorization.error().map(|it| it.kind), Some(Kind::IncorrectResponse));
    }

    #[test]
    fn what_must_be_found() {
        assert!(answers_http(b"a.b\r\n ", "a.b") && !answers_http(b" a.b", "a.b") && !answers_http(b"a.bc", "a.b"));
        assert_eq!(acme_identifier("a.b").len(), 34);
        assert_eq!(token(&[0; 32]).len(), 43);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin(usize, bool),
        Finish(usize, bool),
        Deactivate,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..2_usize, any::<bool>()).prop_map(|(which, is_looked_at)| Step::Begin(which, is_looked_at)),
            (0..2_usize, any::<bool>()).prop_map(|(which, found)| Step::Finish(which, found)),
            Just(Step::Deactivate),
            (0..60_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever happens, in whatever order: it becomes valid only if a challenge that was begun in time succeeds,
        /// and never again once it has ended.
        #[test]
        fn it_is_valid_only_by_a_found_answer(steps in prop::collection::vec(step(), 0..30)) {
            let (mut authorization, mut now) = (pending(), 0);
            let (mut begun, mut found, mut ended) = ([false; 2], false, false);
            for step in steps {
                let before = authorization.status(at(now));
                match step {
                    Step::Begin(which, is_looked_at) => {
                        let begins = authorization.begin(METHODS[which], is_looked_at, at(now)) == Ok(true);
                        prop_assert!(!begins || before == "pending");
                        begun[which] |= begins;
                    }
                    Step::Finish(which, true) => {
                        found |= begun[which] && before == "pending";
                        authorization.finish(METHODS[which], Ok(()), at(now));
                    }
                    Step::Finish(which, false) => {
                        authorization.finish(METHODS[which], Err(Problem::malformed("no")), at(now));
                    }
                    Step::Deactivate => drop(authorization.update("deactivated", at(now))),
                    Step::Wait(seconds) => now += seconds,
                }
                let status = authorization.status(at(now));
                prop_assert!(status != "valid" || (found && !ended), "{status}");
                ended |= !matches!(status, "pending" | "valid");
            }
        }
    }
}
