//! Orders (RFC 8555, 7.1.3 and 7.4): what an account wants in one certificate.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::name::Name;
use ics_core::time::Timestamp;
use ics_core::vocabulary::ProfileName;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::authorization::Authorization;
use super::identifier::{Asked, Identifier};
use super::problem::{Kind, Problem};

/// Milliseconds within which an order must be finalized.
pub const ORDER_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// What a client sends for a new order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    /// The identifiers.
    pub identifiers: Vec<Asked>,
    /// The profile asked for (draft-ietf-acme-profiles).
    #[serde(default)]
    pub profile: Option<String>,
    /// The requested beginning of validity, which is refused: the profile decides.
    #[serde(default)]
    pub not_before: Option<IgnoredAny>,
    /// The requested end of validity, which is refused: the profile decides.
    #[serde(default)]
    pub not_after: Option<IgnoredAny>,
    /// The certificate that it replaces (RFC 9773, 5).
    #[serde(default)]
    pub replaces: Option<String>,
}

/// The progress of an order, regardless of its authorizations and of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It has not been finalized.
    Open,
    /// The certificate is being made.
    Processing,
    /// There is a certificate, with this number.
    Valid(u64),
    /// There will be none, for this reason.
    Invalid(Problem),
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The account's number.
    pub account: u64,
    /// The identifiers that it is for, without duplicates.
    pub identifiers: Vec<Identifier>,
    /// The numbers of its authorizations, in the order of the identifiers.
    pub authorizations: Vec<u64>,
    /// The profile.
    pub profile: ProfileName,
    /// The thing that it is for.
    pub thing: Fingerprint,
    /// Whether the client named the profile; other clients are not told of it.
    pub profile_named: bool,
    /// The certificate that it replaces.
    pub replaces: Option<String>,
    /// When it must be finalized.
    pub expires: Timestamp,
    /// Its progress.
    pub progress: Progress,
}

/// The status of an order (RFC 8555, 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Something is still to be proven.
    Pending,
    /// It can be finalized.
    Ready,
    /// The certificate is being made.
    Processing,
    /// There is a certificate.
    Valid,
    /// There will be none.
    Invalid,
}

impl NewOrder {
    /// Checks that the client asks for no validity of its own.
    ///
    /// # Errors
    /// When it does (RFC 8555, 7.4: a server that does not support this must say so).
    pub fn check_times(&self) -> Result<(), Problem> {
        if self.not_before.is_some() || self.not_after.is_some() {
            return Err(Problem::malformed("notBefore, notAfter: the profile sets how long a certificate is valid"));
        }
        Ok(())
    }
}

/// Reads the identifiers of an order: at least one, without duplicates, all of supported types and forms.
///
/// # Errors
/// With one problem for all that are refused.
pub fn read_identifiers(asked: &[Asked]) -> Result<Vec<Identifier>, Problem> {
    if asked.is_empty() || asked.len() > limits::CSR_NAMES {
        return Err(Problem::malformed(format!("an order must have 1 to {} identifiers", limits::CSR_NAMES)));
    }
    let (mut identifiers, mut problems) = (BTreeSet::new(), Vec::new());
    for one in asked {
        match Identifier::read(one) {
            Ok(identifier) => drop(identifiers.insert(identifier)),
            Err(problem) => problems.push(problem),
        }
    }
    Problem::of_all(problems).map_or_else(|| Ok(identifiers.into_iter().collect()), Err)
}

impl Order {
    /// Its status at a time, given its authorizations.
    #[must_use]
    pub fn status(&self, authorizations: &[Authorization], now: Timestamp) -> OrderStatus {
        match &self.progress {
            Progress::Valid(_) => OrderStatus::Valid,
            Progress::Processing if now < self.expires => OrderStatus::Processing,
            // Whatever was making it did not come back.
            Progress::Processing => OrderStatus::Invalid,
            Progress::Invalid(_) => OrderStatus::Invalid,
            Progress::Open if now >= self.expires => OrderStatus::Invalid,
            Progress::Open if !self.are_its(authorizations) => OrderStatus::Invalid,
            Progress::Open if authorizations.iter().all(|it| it.is_valid(now)) => OrderStatus::Ready,
            Progress::Open if authorizations.iter().all(|it| matches!(it.status(now), "pending" | "valid")) => {
                OrderStatus::Pending
            }
            Progress::Open => OrderStatus::Invalid,
        }
    }

    /// Whether there is an authorization for each of its identifiers. An order must never be ready because it has
    /// nothing to prove, nor by what somebody else has proven: if the transaction that made its authorizations was
    /// taken back, their numbers may have been given to others.
    fn are_its(&self, authorizations: &[Authorization]) -> bool {
        let is_for = |(it, named): (&Authorization, &Identifier)| it.account == self.account && it.identifier == *named;
        !authorizations.is_empty()
            && authorizations.len() == self.identifiers.len()
            && authorizations.iter().zip(&self.identifiers).all(is_for)
    }

    /// Begins making the certificate. An order is finalized once.
    ///
    /// # Errors
    /// `orderNotReady` unless it is ready.
    pub fn begin(&mut self, authorizations: &[Authorization], now: Timestamp) -> Result<(), Problem> {
        match self.status(authorizations, now) {
            OrderStatus::Ready => {
                self.progress = Progress::Processing;
                Ok(())
            }
            status => {
                let detail = format!("the order is {}, not ready", word(status));
                Err(Problem::new(Kind::OrderNotReady, detail))
            }
        }
    }

    /// Records the outcome of making the certificate.
    pub fn finish(&mut self, made: Result<u64, Problem>) {
        if self.progress == Progress::Processing {
            self.progress = made.map_or_else(Progress::Invalid, Progress::Valid);
        }
    }

    /// Reopens the order after an unacceptable certificate request: the client may try again with another.
    pub fn reopen(&mut self) {
        if self.progress == Progress::Processing {
            self.progress = Progress::Open;
        }
    }

    /// Why there will be no certificate. What somebody else could not prove is told to nobody else.
    #[must_use]
    pub fn error<'a>(&'a self, authorizations: &'a [Authorization]) -> Option<&'a Problem> {
        match &self.progress {
            Progress::Invalid(problem) => Some(problem),
            _ if self.are_its(authorizations) => authorizations.iter().find_map(Authorization::error),
            _ => None,
        }
    }

    /// Checks that a request asks for what was ordered and nothing else (RFC 8555, 7.4). All ordered host names must be
    /// in it. Permanent identifiers may be left out, since few devices can write them: the certificate gets those of
    /// the record. A serial number cannot be ordered, yet devices write theirs into every request (IEEE 802.1AR, 8.6);
    /// whether it is that of the record is checked when the certificate is made, which contains it in any case.
    ///
    /// # Errors
    /// `badCSR`, naming the names that are missing or were not ordered.
    pub fn check_names(&self, requested: &BTreeSet<Name>) -> Result<(), Problem> {
        let ordered: BTreeSet<Name> = self.identifiers.iter().filter_map(Identifier::name).collect();
        let hosts = ordered.iter().filter(|name| matches!(name, Name::Host(_)));
        let too_many = requested.difference(&ordered).filter(|name| !matches!(name, Name::Serial(_)));
        let too_many: Vec<String> = too_many.map(|name| format!("{} was not ordered", shown(name))).collect();
        let missing = hosts.filter(|name| !requested.contains(name));
        let missing: Vec<String> = missing.map(|name| format!("{} is missing", shown(name))).collect();
        if too_many.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let wrong = [too_many, missing].concat().join(", ");
        Err(Problem::new(Kind::BadCsr, format!("the request does not have the names of the order: {wrong}")))
    }

    /// Whether a name that the record gives may go into the certificate. A request without names asks for those of the
    /// order, not for all that exist (RFC 8555, 7.4). An order for the identity itself includes the URNs by which the
    /// thing is known anywhere; serial numbers are included in any case.
    #[must_use]
    pub fn takes(&self, name: &Name) -> bool {
        match name {
            Name::Serial(_) => true,
            Name::Urn(_) if self.identifiers.iter().any(|identifier| identifier.name().is_none()) => true,
            _ => self.identifiers.iter().any(|identifier| identifier.name().as_ref() == Some(name)),
        }
    }

    /// The JSON that its client sees.
    #[must_use]
    pub fn to_json(&self, authorizations: &[Authorization], now: Timestamp, urls: &OrderUrls) -> Value {
        let mut json = json!({
            "status": self.status(authorizations, now), "expires": self.expires, "identifiers": self.identifiers,
            "authorizations": urls.authorizations, "finalize": urls.finalize,
        });
        if let Some(object) = json.as_object_mut() {
            let mut put = |member: &str, value: Option<Value>| {
                object.extend(value.map(|value| (member.to_owned(), value)));
            };
            put("profile", self.profile_named.then(|| json!(self.profile)));
            put("replaces", self.replaces.as_ref().map(|id| json!(id)));
            put("error", self.error(authorizations).map(Problem::to_json));
            put("certificate", urls.certificate.as_ref().map(|url| json!(url)));
        }
        json
    }
}

const fn word(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "pending",
        OrderStatus::Ready => "ready",
        OrderStatus::Processing => "processing",
        OrderStatus::Valid => "valid",
        OrderStatus::Invalid => "invalid",
    }
}

/// The URLs of an order's parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderUrls {
    /// Its authorizations.
    pub authorizations: Vec<String>,
    /// Where the certificate request is sent.
    pub finalize: String,
    /// The certificate, once there is one.
    pub certificate: Option<String>,
}

/// A name in words for people: an address is called one, not a host name.
fn shown(name: &Name) -> String {
    match name {
        Name::Host(host) if host.parse::<IpAddr>().is_ok() => format!("the address {host}"),
        _ => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::authorization::{AuthorizationState, Method};
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn host(name: &str) -> Identifier {
        Identifier::dns(name).expect("a name")
    }

    fn order(identifiers: Vec<Identifier>) -> Order {
        let authorizations = (1..).take(identifiers.len()).collect();
        Order {
            account: 1,
            identifiers,
            authorizations,
            profile: "server".parse().expect("a profile"),
            thing: "ab".repeat(20).parse().expect("a fingerprint"),
            profile_named: false,
            replaces: None,
            expires: at(100),
            progress: Progress::Open,
        }
    }

    fn authorization(name: &str, state: AuthorizationState, expires: u64) -> Authorization {
        Authorization { state, ..Authorization::by_record(1, host(name), at(expires)) }
    }

    #[test]
    fn identifiers_are_read_all_at_once() {
        let asked = |kind: &str, value: &str| Asked { kind: kind.to_owned(), value: value.to_owned() };
        let read = read_identifiers(&[asked("dns", "B.example"), asked("dns", "a.example"), asked("dns", "b.example")]);
        assert_eq!(read, Ok(vec![host("a.example"), host("b.example")]));
        let problem = read_identifiers(&[asked("ip", "x"), asked("dns", "*.a"), asked("dns", "a.example")]);
        assert_eq!(problem.expect_err("two").subproblems.len(), 2);
        assert!(read_identifiers(&[]).is_err());
        assert!(read_identifiers(&vec![asked("dns", "a.example"); limits::CSR_NAMES + 1]).is_err());
    }

    #[test]
    fn an_order_is_finalized_once_when_everything_is_shown() {
        let mut order = order(vec![host("a.example"), host("b.example")]);
        let (names, state) = (["a.example", "b.example"], AuthorizationState::Valid);
        let until = |expires| names.map(|name| authorization(name, state, expires));
        let both = until(90);
        let valid = both[0].clone();
        let pending = Authorization::to_prove(1, host("b.example"), at(90), [(Method::Http01, "t".to_owned())]);
        let kind = |result: Result<(), Problem>| result.map_err(|error| error.kind);
        assert_eq!(kind(order.begin(&[valid.clone(), pending], at(1))), Err(Kind::OrderNotReady));
        assert_eq!(kind(order.begin(std::slice::from_ref(&valid), at(1))), Err(Kind::OrderNotReady), "one is missing");
        assert_eq!(kind(order.begin(&both, at(95))), Err(Kind::OrderNotReady), "too late");
        // What was proved counts for longer than an order.
        assert_eq!(kind(order.begin(&until(1_000), at(100))), Err(Kind::OrderNotReady), "the order itself has ended");
        assert_eq!(kind(order.begin(&[valid.clone(), valid], at(1))), Err(Kind::OrderNotReady), "for one name twice");
        let theirs = until(90).map(|it| Authorization { account: 2, ..it });
        assert_eq!(kind(order.begin(&theirs, at(1))), Err(Kind::OrderNotReady), "somebody else has shown it");
        assert_eq!(order.begin(&both, at(1)), Ok(()));
        assert_eq!(kind(order.begin(&both, at(1))), Err(Kind::OrderNotReady), "twice");
        order.finish(Ok(7));
        order.finish(Err(Problem::malformed("too late")));
        assert_eq!(order.status(&both, at(1_000)), OrderStatus::Valid);
    }

    #[test]
    fn what_somebody_else_could_not_prove_is_not_told() {
        let order = order(vec![host("a.example")]);
        let ways = [(Method::Http01, "t".to_owned())];
        let mut failed = Authorization::to_prove(1, host("a.example"), at(90), ways);
        assert_eq!(failed.begin(Method::Http01, false, at(1)), Ok(true));
        failed.finish(Method::Http01, Err(Problem::malformed("nobody listens")), at(1));
        let theirs = Authorization { account: 2, ..failed.clone() };
        assert_eq!([failed, theirs].map(|it| order.error(&[it]).is_some()), [true, false]);
    }

    #[test]
    fn a_request_has_the_names_of_the_order() {
        let urn = Identifier::permanent("urn:dev:os:32473-SN-7").expect("a URN");
        let order = order(vec![host("a.example"), urn]);
        let check = |names: &[&str]| {
            order.check_names(&names.iter().map(|name| name.parse().expect("a name")).collect()).is_ok()
        };
        assert!(check(&["host:a.example"]) && check(&["host:a.example", "urn:dev:os:32473-SN-7"]));
        assert!(check(&["host:a.example", "serial:SN-7"]), "it cannot be ordered");
        assert!(!check(&[]) && !check(&["urn:dev:os:32473-SN-7"]));
        assert!(!check(&["host:a.example", "host:b.example"]) && !check(&["host:a.example", "urn:dev:os:32473-SN-8"]));
        let requested = ["host:127.0.0.1".parse().expect("a name")];
        let told = order.check_names(&requested.into_iter().collect()).expect_err("another name").detail;
        assert!(told.ends_with(": the address 127.0.0.1 was not ordered, `host:a.example` is missing"), "{told}");
    }

    #[test]
    fn no_name_is_taken_that_was_not_ordered() {
        let takes = |identifier: Identifier| {
            let order = order(vec![identifier]);
            let names = ["host:a.example", "host:b.example", "urn:dev:os:32473-SN-7", "serial:SN-7"];
            names.map(|name| order.takes(&name.parse().expect("a name")))
        };
        assert_eq!(takes(host("a.example")), [true, false, false, true]);
        let permanent = |value: &str| Identifier::permanent(value).expect("an identifier");
        assert_eq!(takes(permanent("urn:dev:os:32473-SN-7")), [false, false, true, true]);
        assert_eq!(takes(permanent(&"ab".repeat(20))), [false, false, true, true]);
    }

    fn state() -> impl Strategy<Value = AuthorizationState> {
        prop_oneof![
            Just(AuthorizationState::Pending),
            Just(AuthorizationState::Valid),
            Just(AuthorizationState::Invalid),
            Just(AuthorizationState::Deactivated),
        ]
    }

    proptest! {
        /// Whatever the states of its authorizations: ready means that there is one for each identifier and that all
        /// are valid.
        #[test]
        fn ready_means_that_everything_is_shown(
            states in prop::collection::vec((state(), 0..200_u64), 0..4),
            identifiers in 1..4_usize,
            now in 0..200_u64,
        ) {
            let order = order((0..identifiers).map(|n| host(&format!("h{n}.example"))).collect());
            let named = states.iter().enumerate().map(|(n, it)| (format!("h{n}.example"), it));
            let authorizations: Vec<_> = named.map(|(name, it)| authorization(&name, it.0, it.1)).collect();
            let shown = authorizations.len() == identifiers
                && states.iter().all(|(state, expires)| *state == AuthorizationState::Valid && now < *expires);
            let is_ready = order.status(&authorizations, at(now)) == OrderStatus::Ready;
            prop_assert_eq!(is_ready, shown && now < 100);
        }
    }
}
