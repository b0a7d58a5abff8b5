//! The node's metrics, for Prometheus.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::{DomainInfo, PeerInfo};
use crate::app::{App, AppError, ENDING_DAYS, Expiries, Waiting};
use crate::locked::Locked as _;
use crate::seats::Seats;

/// Upper bounds of the latency histogram's buckets in seconds, from an answer out of memory to one that is too late.
const LATENCY_BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Cow<'static, str>,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabels {
    server: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DomainLabels {
    domain: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
    domain: String,
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FollowLabels {
    domain: String,
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    domain: String,
    days: u64,
}

type ByDomain = Family<DomainLabels, Gauge<u64, AtomicU64>>;

/// Values that are read at the time of the scrape.
pub(super) struct Now {
    is_ready: bool,
    domains: Vec<DomainInfo>,
    peers: Vec<PeerInfo>,
    waiting: Vec<Waiting>,
    expiries: Vec<Expiries>,
    /// Until when a responder's certificate lets this node answer OCSP for an issuer.
    responders: Vec<(DomainName, Timestamp)>,
    /// Alerts that were sent, and failed attempts to send one.
    alerts: (u64, u64),
    /// The outcomes of submitted statements, and how often each occurred.
    submissions: Vec<(&'static str, u64)>,
    /// The outcomes of questions to other nodes, and how often each occurred.
    roaming: Vec<(&'static str, u64)>,
    /// The number of alarms that are not about a domain held here.
    alarms: usize,
}

impl Now {
    pub(super) fn of(app: &App) -> Result<Self, AppError> {
        Ok(Self {
            is_ready: app.ready().is_ok(),
            domains: app.domains()?,
            peers: app.peers(),
            waiting: app.outbox_sizes()?,
            expiries: app.expiries(),
            responders: app.responders_end(),
            alerts: app.alerts(),
            submissions: app.submission_counts(),
            roaming: app.roaming_counts(),
            alarms: app.alarms_about_none()?.len(),
        })
    }
}

/// The counters of a node, and the registry that writes them.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Connections that are open now.
    pub(super) connections: Gauge,
    /// The places for connections of each server.
    seats: Mutex<Vec<Arc<Seats>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("ics");
        let requests = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(LATENCY_BOUNDS)) as fn() -> Histogram);
        let connections = Gauge::default();
        registry.register("http_requests", "HTTP requests answered", Family::clone(&requests));
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            Family::clone(&seconds),
        );
        registry.register("http_connections", "HTTP connections that are open", Gauge::clone(&connections));
        Self { registry, requests, seconds, connections, seats: Mutex::default() }
    }

    /// Shows the places of a server from now on.
    pub(super) fn show(&self, seats: Arc<Seats>) {
        self.seats.locked().push(seats);
    }

    /// Counts an answered request.
    pub(super) fn answered(&self, method: &str, route: Cow<'static, str>, status: u16, took: Duration) {
        self.counters(method, route, status).add(took);
    }

    /// The counters of such requests. Unknown methods share one label, so that nobody can create series.
    fn counters(&self, method: &str, route: Cow<'static, str>, status: u16) -> Counters {
        let known = ["GET", "HEAD", "POST", "OPTIONS"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or("other");
        let seconds = self.seconds.get_or_create_owned(&RouteLabels { route: route.clone() });
        Counters { seconds, requests: self.requests.get_or_create_owned(&RequestLabels { method, route, status }) }
    }

    /// Writes everything in the OpenMetrics text format, with the domains' present state.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub(super) fn write(&self, now: &Now) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        text::encode_registry(&mut text, &self.seats_snapshot())?;
        text::encode_registry(&mut text, &ready_snapshot(now.is_ready))?;
        text::encode_registry(&mut text, &snapshot(&now.domains))?;
        text::encode_registry(&mut text, &elsewhere_snapshot(now))?;
        text::encode_registry(&mut text, &peers_snapshot(&now.peers))?;
        text::encode_registry(&mut text, &outbox_snapshot(&now.waiting))?;
        text::encode_registry(&mut text, &certificates_snapshot(now))?;
        text::encode_registry(&mut text, &outcomes_snapshot(now))?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }

    /// The places for connections, and the connections that were closed.
    fn seats_snapshot(&self) -> Registry {
        let mut registry = Registry::with_prefix("ics");
        let mut gauges = |name, help| {
            let family = Family::<ServerLabels, Gauge<u64, AtomicU64>>::default();
            registry.register(name, help, Family::clone(&family));
            family
        };
        let places = gauges("connection_places", "Connections for which there are places");
        let taken = gauges("connection_places_taken", "Places for connections that are taken");
        let closed = Family::<ClosedLabels, Counter>::default();
        registry.register(
            "connections_closed",
            "Connections that the node closed: for a `newcomer`, one that came while all were `kept`, as `overdue`, or \
             because others needed the room of what it was `slow` to take or to send",
            Family::clone(&closed),
        );
        for seats in self.seats.locked().iter() {
            let (server, counts) = (seats.server(), seats.counts());
            places.get_or_create(&ServerLabels { server }).set(counts.places as u64);
            taken.get_or_create(&ServerLabels { server }).set(counts.taken as u64);
            let all = [
                ("newcomer", counts.displaced),
                ("kept", counts.refused),
                ("overdue", counts.overdue),
                ("slow", counts.slow),
            ];
            for (reason, count) in all {
                closed.get_or_create(&ClosedLabels { server, reason }).inc_by(count);
            }
        }
        registry
    }
}

/// The counters of requests with one method, route and status.
struct Counters {
    seconds: Histogram,
    requests: Counter,
}

impl Counters {
    fn add(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        self.requests.inc();
    }
}

/// The counters that one thread has looked up, by route and status: finding them among all takes locks that all threads
/// share, and two hashes of the labels. For GET requests to a few routes.
#[derive(Default)]
pub(super) struct AtHand(RefCell<Vec<(&'static str, u16, Counters)>>);

impl AtHand {
    /// Counts an answered GET request, as [`Metrics::answered`] does.
    pub(super) fn answered(&self, metrics: &Metrics, route: &'static str, status: u16, took: Duration) {
        let mut at_hand = self.0.borrow_mut();
        if let Some((_, _, counters)) = at_hand.iter().find(|(of, given, _)| *of == route && *given == status) {
            counters.add(took);
            return;
        }
        let counters = metrics.counters("GET", Cow::Borrowed(route), status);
        counters.add(took);
        at_hand.push((route, status, counters));
    }
}

/// The domains' metrics, made anew for each scrape, so that two scrapes never mix.
fn snapshot(domains: &[DomainInfo]) -> Registry {
    let mut registry = Registry::with_prefix("ics");
    let mut gauges = |name, help| {
        let family = ByDomain::default();
        registry.register(name, help, Family::clone(&family));
        family
    };
    let size = gauges("domain_entries", "Entries of the domain's log that are here");
    let as_of =
        gauges("domain_as_of_timestamp_seconds", "The home's newest cosigned time; its age is time() minus this");
    let lag = gauges("mirror_lag_entries", "Entries that the peer has and this mirror has not");
    let alarms = gauges("domain_alarms", "Alarms that an operator must look at");
    for info in domains {
        let labels = DomainLabels { domain: info.info.domain.to_string() };
        size.get_or_create(&labels).set(info.info.size);
        alarms.get_or_create(&labels).set(info.alarms.len() as u64);
        if let Some(time) = info.info.as_of {
            as_of.get_or_create(&labels).set(time.as_seconds());
        }
        if let Some(mirror) = &info.mirror {
            lag.get_or_create(&labels).set(mirror.lag_entries);
        }
    }
    if let Some(bytes) = resident_bytes() {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(bytes);
        registry.register_with_unit("process_resident_memory", "Memory in use", Unit::Bytes, gauge);
    }
    registry
}

/// Whether the node can do its work: no domain's alarms tell of a full disk.
fn ready_snapshot(is_ready: bool) -> Registry {
    let mut registry = Registry::with_prefix("ics");
    let ready = Gauge::<u64, AtomicU64>::default();
    ready.set(u64::from(is_ready));
    registry.register("ready", "1 while the node can do its work, as /readyz says", ready);
    registry
}

/// What goes wrong outside the domains held here, which no domain's alarms tell of, and the state of following.
fn elsewhere_snapshot(now: &Now) -> Registry {
    let mut registry = Registry::with_prefix("ics");
    let alarms = Gauge::<u64, AtomicU64>::default();
    alarms.set(now.alarms as u64);
    registry.register(
        "alarms_about_no_domain",
        "Alarms about no domain of this node, of forks of what it only asks about say, that an operator must look at",
        alarms,
    );
    let failing = Family::<FollowLabels, Gauge<u64, AtomicU64>>::default();
    registry.register(
        "follow_failing",
        "1 while what a domain follows of another one is not taken over: blocks do not arrive",
        Family::clone(&failing),
    );
    for (info, follows) in now.domains.iter().flat_map(|info| info.follows.iter().map(move |it| (info, it))) {
        let (domain, source) = (info.info.domain.to_string(), follows.source.to_string());
        failing.get_or_create(&FollowLabels { domain, source }).set(u64::from(follows.last_error.is_some()));
    }
    registry
}

/// The state of the peers. Bytes count from when a peer was configured, as in the operators' API.
fn peers_snapshot(peers: &[PeerInfo]) -> Registry {
    let mut registry = Registry::with_prefix("ics_peer");
    let mut gauges = |name, help| {
        let family = Family::<PeerLabels, Gauge<u64, AtomicU64>>::default();
        registry.register(name, help, Family::clone(&family));
        family
    };
    let entries = gauges("entries", "Entries that the puller has: this node, or the peer where it is served");
    let lag = gauges("lag_entries", "Entries that the puller is known to be behind");
    let seconds = gauges("lag_seconds", "Seconds since the home vouched for what is here");
    let failing = gauges("failing", "1 while something is in the way of a copy");
    let bytes = gauges("bytes", "Bytes of answers since the peer was configured");
    for info in peers {
        let labels = |domain: &DomainName, direction| PeerLabels {
            peer: info.peer.name.to_string(),
            domain: domain.to_string(),
            direction,
        };
        for pulled in &info.pulls {
            let labels = labels(&pulled.domain, "pull");
            entries.get_or_create(&labels).set(pulled.size);
            lag.get_or_create(&labels).set(pulled.lag_entries);
            if let Some(age) = pulled.lag_seconds {
                seconds.get_or_create(&labels).set(age);
            }
            failing.get_or_create(&labels).set(u64::from(pulled.last_error.is_some()));
            bytes.get_or_create(&labels).set(pulled.bytes);
        }
        for served in &info.serves {
            let labels = labels(&served.domain, "serve");
            entries.get_or_create(&labels).set(served.size);
            lag.get_or_create(&labels).set(served.lag_entries);
            bytes.get_or_create(&labels).set(served.bytes);
        }
    }
    registry
}

/// What waits for the homes of other domains.
fn outbox_snapshot(waiting: &[Waiting]) -> Registry {
    let mut registry = Registry::with_prefix("ics_outbox");
    let mut gauges = |name, help| {
        let family = ByDomain::default();
        registry.register(name, help, Family::clone(&family));
        family
    };
    let statements = gauges("statements", "Statements that wait for the home of their domain");
    let oldest = gauges("oldest_timestamp_seconds", "When the first of them came in; its age is time() minus this");
    for Waiting { domain, statements: count, since } in waiting {
        let labels = DomainLabels { domain: domain.to_string() };
        statements.get_or_create(&labels).set(*count);
        if let Some(since) = since {
            oldest.get_or_create(&labels).set(since.as_seconds());
        }
    }
    registry
}

/// The outcomes of submitted statements, and of questions to other nodes about things of which no copy is here.
fn outcomes_snapshot(now: &Now) -> Registry {
    let mut registry = Registry::with_prefix("ics");
    let mut counted = |name, help, counts: &[(&'static str, u64)]| {
        let family = Family::<OutcomeLabels, Counter>::default();
        registry.register(name, help, Family::clone(&family));
        for (outcome, count) in counts {
            family.get_or_create(&OutcomeLabels { outcome }).inc_by(*count);
        }
    };
    counted(
        "submitted_statements",
        "Submitted statements by outcome: `accepted`, `pending` or the code of the problem",
        &now.submissions,
    );
    counted(
        "roaming_questions",
        "Questions to other nodes about single things, by what came of each: `refused` and `forked` are lies",
        &now.roaming,
    );
    registry
}

/// The certificates of this node's domains, as of the last look.
fn certificates_snapshot(now: &Now) -> Registry {
    let mut registry = Registry::with_prefix("ics_certificates");
    let ending = Family::<EndingLabels, Gauge<u64, AtomicU64>>::default();
    registry.register(
        "ending",
        "Certificates in force that were not renewed and end within so many days",
        Family::clone(&ending),
    );
    let mut gauges = |name, help| {
        let family = ByDomain::default();
        registry.register(name, help, Family::clone(&family));
        family
    };
    let issued = gauges("issued", "Certificates that the domain has ever issued");
    let lapsed = gauges("lapsed", "Certificates that have ended in the last 7 days and were not renewed");
    let looked = gauges("looked_timestamp_seconds", "When the certificates were last looked at");
    let issuer_ends = gauges("issuer_ends_timestamp_seconds", "When the issuing authority ends, or one above it");
    let responder_ends = gauges(
        "responder_ends_timestamp_seconds",
        "When the certificate ends by which OCSP is answered in the place of the issuer",
    );
    for (domain, ends) in &now.responders {
        responder_ends.get_or_create(&DomainLabels { domain: domain.to_string() }).set(ends.as_seconds());
    }
    for found in &now.expiries {
        let labels = DomainLabels { domain: found.domain.to_string() };
        issued.get_or_create(&labels).set(found.issued);
        lapsed.get_or_create(&labels).set(found.lapsed);
        looked.get_or_create(&labels).set(found.at.as_seconds());
        if let Some(ends) = found.issuer_ends {
            issuer_ends.get_or_create(&labels).set(ends.as_seconds());
        }
        for (days, count) in ENDING_DAYS.into_iter().zip(found.ending) {
            ending.get_or_create(&EndingLabels { domain: labels.domain.clone(), days }).set(count);
        }
    }
    let mut counted = |name, help, count: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(count);
        registry.register(name, help, counter);
    };
    counted("alerts_sent", "Alerts about certificates that their receiver has taken", now.alerts.0);
    counted("alerts_failed", "Attempts to send an alert about certificates that failed", now.alerts.1);
    registry
}

/// The resident set size of this process in bytes; Linux only.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
