//! The routes of the API, in one table.

mod acme;
mod adoptions;
mod carried;
mod certificates;
pub(super) mod checks;
mod credentials;
mod domains;
mod enrolments;
mod hkp;
mod identities;
mod log;
mod node;
mod operations;
mod outbox;
mod peers;
mod statements;
mod watch;
mod witness;
pub(super) mod x509;

use actix_web::dev::HttpServiceFactory;
use actix_web::guard;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};
use ics_core::identity::excerpt;

use self::Access::{Everybody, Operations, Operator};
use super::failure::Failure;
use crate::api::problem::Code;

/// Who calls a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, including pages of other origins.
    Everybody,
    /// Operators, who have the node's token; the handler checks it.
    Operator,
    /// Monitoring.
    Operations,
    /// Clients of key servers, including pages of other origins, and programs that send keys.
    KeyServer,
    /// ACME clients, which sign their requests.
    Acme,
}

/// One method on one path.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// `GET`, which includes HEAD, or `POST`.
    pub method: &'static str,
    /// The path as actix-web matches it: as in OpenAPI, except that a parameter that takes slashes ends in `:.*`.
    pub path: &'static str,
    /// Who calls it.
    pub access: Access,
    handle: fn(Route) -> Route,
}

const METRICS: &str = "/metrics";
pub(super) const CHECK: &str = "/v1/check";
pub(super) const VIEW: &str = "/v1/identities/{id}";
pub(super) const RECORD: &str = "/v1/domains/{domain}/identities/{id}";

/// Every route.
pub const TABLE: &[Endpoint] = &[
    get("/livez", Operations, |r| r.to(operations::live)),
    get("/readyz", Operations, |r| r.to(operations::ready)),
    get(METRICS, Operations, |r| r.to(operations::metrics)),
    get("/openapi.json", Everybody, |r| r.to(operations::openapi)),
    get("/v1/node", Everybody, |r| r.to(node::show)),
    get("/v1/alarms", Operator, |r| r.to(operations::alarms)),
    get("/v1/forks", Operator, |r| r.to(operations::forks)),
    post("/v1/alarms/acknowledge", Operator, |r| r.to(operations::acknowledge)),
    get("/v1/domains", Everybody, |r| r.to(domains::list)),
    get("/v1/domains/{domain}", Everybody, |r| r.to(domains::show)),
    post("/v1/domains/{domain}/alarms/acknowledge", Operator, |r| r.to(domains::acknowledge)),
    get("/v1/domains/{domain}/descriptor", Everybody, |r| r.to(domains::descriptor)),
    get("/v1/domains/{domain}/descriptors", Everybody, |r| r.to(domains::descriptors)),
    get("/v1/domains/{domain}/checkpoint", Everybody, |r| r.to(log::checkpoint)),
    get("/v1/domains/{domain}/tile/{path:.*}", Everybody, |r| r.to(log::tile)),
    get("/v1/domains/{domain}/entries", Everybody, |r| r.to(log::entries)),
    get("/v1/domains/{domain}/feed", Everybody, |r| r.to(log::feed)),
    post("/v1/domains/{domain}/watch", Everybody, |r| r.to(watch::watch)),
    post("/v1/domains/{domain}/entries/again", Everybody, |r| r.to(log::again)),
    get("/v1/domains/{domain}/entries/{index}", Everybody, |r| r.to(log::entry)),
    get("/v1/domains/{domain}/entries/{index}/tlog-proof", Everybody, |r| r.to(log::tlog_proof)),
    get("/v1/domains/{domain}/entries/{index}/erasure", Everybody, |r| r.to(log::erasure)),
    get("/v1/domains/{domain}/proof/inclusion", Everybody, |r| r.to(log::inclusion)),
    get("/v1/domains/{domain}/proof/consistency", Everybody, |r| r.to(log::consistency)),
    post("/v1/domains/{domain}/statements", Everybody, |r| r.to(statements::submit)),
    get("/v1/domains/{domain}/identities", Everybody, |r| r.to(identities::list)),
    get(RECORD, Everybody, |r| r.to(identities::record)),
    get("/v1/domains/{domain}/identities/{id}/history", Everybody, |r| r.to(identities::history)),
    get("/v1/domains/{domain}/identities/{id}/evidence", Everybody, |r| r.to(identities::evidence)),
    get("/v1/domains/{domain}/identities/{id}/attestation", Everybody, |r| r.to(identities::attestation)),
    get("/v1/domains/{domain}/certificates", Everybody, |r| r.to(certificates::list)),
    get("/x509/{domain}", Everybody, |r| r.to(x509::index)),
    get(VIEW, Everybody, |r| r.to(identities::view)),
    get("/v1/verdict", Everybody, |r| r.to(checks::verdict)),
    get("/v1/verdict/case", Everybody, |r| r.to(checks::case)),
    get("/v1/explain", Everybody, |r| r.to(identities::explain)),
    get(CHECK, Everybody, |r| r.to(checks::check)),
    post(CHECK, Everybody, |r| r.to(checks::checks)),
    post("/v1/challenge", Everybody, |r| r.to(checks::challenge)),
    post("/v1/challenge/answer", Everybody, |r| r.to(checks::prove)),
    post("/v1/domains/{domain}/acme/challenge", Everybody, |r| r.to(credentials::challenge)),
    post("/v1/domains/{domain}/acme/credentials", Everybody, |r| r.to(credentials::give)),
    get("/v1/domains/{domain}/acme/accounts", Operator, |r| r.to(credentials::accounts)),
    post("/v1/domains/{domain}/acme/holders/{id}/revoke", Operator, |r| r.to(credentials::revoke)),
    post("/v1/domains/{domain}/enrolments", Everybody, |r| r.to(enrolments::enrol)),
    get("/v1/domains/{domain}/enrolments", Operator, |r| r.to(enrolments::list)),
    get("/v1/domains/{domain}/enrolments/{id}", Everybody, |r| r.to(enrolments::show)),
    post("/v1/domains/{domain}/enrolments/{id}/refuse", Operator, |r| r.to(enrolments::refuse)),
    post("/v1/domains/{domain}/enrolments/{id}/forget", Operator, |r| r.to(enrolments::forget)),
    get("/v1/outbox", Operator, |r| r.to(outbox::list)),
    get("/v1/peers", Operator, |r| r.to(peers::list)),
    post("/v1/peers", Operator, |r| r.to(peers::put)),
    post("/v1/peers/{name}/remove", Operator, |r| r.to(peers::remove)),
    post("/add-checkpoint", Everybody, |r| r.to(witness::add_checkpoint)),
    get("/v1/witnessed/{domain}/{entry0}", Everybody, |r| r.to(witness::witnessed)),
    get("/v1/domains/{domain}/outbox", Operator, |r| r.to(carried::outbox)),
    get("/v1/domains/{domain}/carried", Operator, |r| r.to(carried::cursor)),
    post("/v1/domains/{domain}/carried", Operator, |r| r.to(carried::take)),
    post("/v1/domains/{domain}/adoptions", Operator, |r| r.to(adoptions::adopt)),
];

const fn get(path: &'static str, access: Access, handle: fn(Route) -> Route) -> Endpoint {
    Endpoint { method: "GET", path, access, handle }
}

const fn post(path: &'static str, access: Access, handle: fn(Route) -> Route) -> Endpoint {
    Endpoint { method: "POST", path, access, handle }
}

impl Endpoint {
    /// Whether the route is for monitoring.
    #[must_use]
    pub fn is_operational(&self) -> bool {
        self.access == Operations
    }

    /// Whether the route returns the metrics.
    #[must_use]
    pub fn is_metrics(&self) -> bool {
        self.path == METRICS
    }

    /// Whether the route decides about uses, as a gateway asks of its own node.
    #[must_use]
    pub fn decides(&self) -> bool {
        ["/v1/verdict", "/v1/verdict/case", CHECK, "/v1/challenge", "/v1/challenge/answer"].contains(&self.path)
    }

    /// Whether pages of other origins may read the answer.
    fn is_open(&self) -> bool {
        self.method == "GET" && self.access == Everybody || self.access == Access::KeyServer
    }
}

/// Every route: of ACME, of the API, of key servers and of X.509. The router tries them in order; for the last, that
/// takes longer than most ACME requests do, so ACME comes first.
fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    acme::TABLE.iter().chain(TABLE).chain(hkp::TABLE).chain(x509::TABLE)
}

/// Whether a pattern of the router belongs to one of these routes, not to a page.
pub(super) fn has(pattern: &str) -> bool {
    endpoints().any(|endpoint| endpoint.path == pattern)
}

/// Prefixes shared by many paths. Each is matched once instead of by every path: for a path with a parameter, the
/// router builds a table of tens of KiB in each of its threads. A path with such a prefix is looked for nowhere else.
const SCOPES: [&str; 4] =
    ["/v1/domains/{domain}", "/.well-known/est", "/.well-known/cmp", "/x509/{label}/.well-known/est"];

/// Registers the wanted routes, and the answer for paths without a route.
pub(super) fn register(config: &mut ServiceConfig, wanted: impl Fn(&Endpoint) -> bool) {
    let mut paths: Vec<&str> = Vec::new();
    for endpoint in endpoints().filter(|endpoint| wanted(endpoint)) {
        if !paths.contains(&endpoint.path) {
            paths.push(endpoint.path);
        }
    }
    for scope in SCOPES {
        let inner = paths.iter().filter_map(|path| Some(resource(path, within(scope, path)?)));
        config.service(inner.fold(web::scope(scope), actix_web::Scope::service));
    }
    for path in paths.iter().filter(|path| SCOPES.iter().all(|scope| within(scope, path).is_none())) {
        config.service(resource(path, path));
    }
    config.default_service(web::to(no_route));
}

/// What follows a scope in a path; `None` if the path is not in the scope.
fn within<'a>(scope: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(scope).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All methods of one path; the router matches what follows the scope. Only the last path of key servers matches what
/// others match, so it comes after them.
fn resource(path: &'static str, rest: &str) -> impl HttpServiceFactory + use<> {
    let endpoints = || endpoints().filter(move |endpoint| endpoint.path == path);
    let mut resource = web::resource(rest);
    for endpoint in endpoints() {
        resource = resource.route((endpoint.handle)(method(endpoint.method)));
    }
    let open = endpoints().any(Endpoint::is_open);
    let allow = allowed(endpoints().map(|endpoint| endpoint.method));
    let other = move |request: HttpRequest| {
        let answer = other_method(&request, &allow, open);
        async move { answer }
    };
    resource.default_service(web::to(other)).wrap(cross_origin(open))
}

/// A route for one method; GET includes HEAD.
pub(super) fn method(name: &str) -> Route {
    if name == "GET" { web::route().guard(guard::Any(guard::Get()).or(guard::Head())) } else { web::post() }
}

pub(super) fn allowed(methods: impl Iterator<Item = &'static str>) -> String {
    let methods: Vec<&str> = methods.map(|method| if method == "GET" { "GET, HEAD" } else { method }).collect();
    format!("{}, OPTIONS", methods.join(", "))
}

/// What strangers may read, pages of any origin may read as well.
fn cross_origin(open: bool) -> DefaultHeaders {
    let opened = OPEN.iter().filter(|_| open);
    opened.fold(DefaultHeaders::new(), |headers, (name, value)| headers.add((name.clone(), *value)))
}

/// The headers that let pages of other origins read an answer.
const OPEN: [(HeaderName, &str); 2] =
    [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::ACCESS_CONTROL_EXPOSE_HEADERS, "ETag, Retry-After")];

/// Whether pages of other origins may read an answer with these headers.
pub(super) fn is_open(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
}

/// Lets pages of other origins read an answer that was not given by a route.
pub(super) fn open(headers: &mut HeaderMap) {
    for (name, value) in OPEN {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Answers OPTIONS, which browsers send before a cross-origin request with If-None-Match, and methods that the path
/// does not take.
pub(super) fn other_method(request: &HttpRequest, allow: &str, open: bool) -> HttpResponse {
    let asks = request.method() == Method::OPTIONS;
    let is_key_server = request.path().starts_with("/pks/");
    let mut response = if asks {
        // draft-ietf-openpgp-hkp requires 200.
        HttpResponse::build(if is_key_server { StatusCode::OK } else { StatusCode::NO_CONTENT }).finish()
    } else {
        HttpResponse::from_error(Failure::new(Code::MethodNotAllowed, format_args!("this route takes {allow}")))
    };
    let headers = response.headers_mut();
    if let Ok(allow) = HeaderValue::try_from(allow) {
        headers.insert(header::ALLOW, allow);
    }
    if asks && open {
        let (methods, names) = if is_key_server {
            ("GET, HEAD, POST", "Accept, Content-Type")
        } else {
            ("GET, HEAD", "Accept, If-None-Match")
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
}

async fn no_route(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (path, instead) = (excerpt(request.path()), x509::instead(request.path()));
    Err(Failure::new(Code::UnknownRoute, format_args!("there is nothing at `{path}`{instead}")))
}
