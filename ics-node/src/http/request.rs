//! What handlers extract from a request: the domain, the identity, and who reads.

use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::error::{PathError, QueryPayloadError};
use actix_web::http::{Uri, header};
use actix_web::web::{Data, PathConfig, QueryConfig};
use actix_web::{FromRequest, HttpRequest};
use ics_core::identity::excerpt;
use ics_core::vocabulary::DomainName;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::face::Face;
use super::failure::Failure;
use crate::api::READER;
use crate::api::problem::Code;
use crate::app::{Asker, Reader};
use crate::config::PeerName;
use crate::shares::elsewhere;
use crate::tls::KeyPin;

/// The domain in the path.
#[derive(Debug)]
pub(super) struct Domain(pub(super) DomainName);

impl FromRequest for Domain {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().query("domain");
        ready(DomainName::from_str(text).map(Self).map_err(|e| Failure::new(Code::MalformedDomain, e)))
    }
}

/// The id or name at the end of the path, in which `/` is written as `%2F`.
#[derive(Debug, Deserialize)]
pub(super) struct Identified {
    /// The id or name.
    pub(super) id: String,
}

/// The operator, who has the node's token.
#[derive(Debug)]
pub(super) struct Operator;

impl FromRequest for Operator {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(reader(request).and_then(|reader| match reader {
            Reader::Operator => Ok(Self),
            Reader::Anonymous | Reader::Key(_) => Err(Failure::new(Code::OperatorOnly, "the request has no token")),
        }))
    }
}

/// The key that the client of a TLS connection has proven; kept with the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProvenKey(pub(super) KeyPin);

/// On whose behalf other nodes may be asked or a request waits for the operator. Clients behind a proxy count as one,
/// unless the proxy is trusted to say who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking(pub(super) Asker);

impl FromRequest for Asking {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let address = client(request);
        let face = request.app_data::<Data<Face>>();
        let of = |reader| face.map_or(Asker::Address(None), |face| face.app.asker(reader, address));
        ready(reader(request).map(|reader| Self(of(reader))))
    }
}

/// Where a request comes from: the peer's address, or the last one that a configured, trusted proxy gives. IPv4
/// addresses seen by a socket on `[::]` are converted back.
pub(super) fn client(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    if !request.app_data::<Data<Face>>().is_some_and(|face| face.trusted_proxies.contains(&peer)) {
        return Some(peer);
    }
    // The proxy adds to what the client has sent, which need not be text.
    let all = request.headers().get_all("x-forwarded-for").last()?.as_bytes();
    let last = core::str::from_utf8(all.rsplit(|byte| *byte == b',').next()?).ok()?.trim();
    // Some proxies add the port. Whoever had no address would have no network either, whose places are limited.
    last.parse().ok().or_else(|| last.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
}

/// The network that a request comes from, as far as the client is elsewhere.
pub(super) fn network(request: &HttpRequest) -> Option<u64> {
    client(request).and_then(elsewhere)
}

/// Whether a client is a stranger, and its network.
pub(super) type Whence = (bool, Option<u64>);

/// Whether this node does not know who sends a request, neither by a token nor by a key, and where it comes from.
pub(super) fn whence(face: &Face, request: &HttpRequest) -> Whence {
    // Whoever sends a wrong token is a stranger here, and told of it, if it matters, by the route.
    let reader = reader(request).unwrap_or(Reader::Anonymous);
    (face.app.is_stranger(reader), network(request))
}

tokio::task_local! {
    /// [`whence`] the request comes that is being served.
    pub(super) static WHENCE: Whence;
}

/// [`whence`] the request comes that is being served; nobody is known outside of requests.
pub(super) fn served() -> Whence {
    WHENCE.try_with(|whence| *whence).unwrap_or((true, None))
}

/// Who reads: the operator if the token is right, else the party with the connection's key, else anonymous.
#[derive(Debug)]
pub(super) struct Reading(pub(super) Reader);

impl FromRequest for Reading {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let reader = reader(request).and_then(|reader| admitted(request, reader));
        ready(reader.and_then(|reader| in_place_of(request, reader)).map(Self))
    }
}

/// The peer on whose behalf an operator reads, with its rights: to see what it sees, or to carry that there by hand.
fn in_place_of(request: &HttpRequest, reader: Reader) -> Result<Reader, Failure> {
    let Some(name) = request.headers().get(READER) else { return Ok(reader) };
    if reader != Reader::Operator {
        return Err(Failure::new(Code::OperatorOnly, "only the operator may read in the place of a peer"));
    }
    let name: PeerName = name
        .to_str()
        .map_err(|error| error.to_string())
        .and_then(str::parse)
        .map_err(|error| Failure::new(Code::MalformedRequest, format_args!("the header {READER}: {error}")))?;
    Ok(face(request)?.app.reader_named(&name)?)
}

/// What all handlers share.
///
/// # Errors
/// When the service was put together without it.
pub(super) fn face(request: &HttpRequest) -> Result<&Data<Face>, Failure> {
    request.app_data::<Data<Face>>().ok_or_else(|| Failure::internal("the service has no face"))
}

/// Marks the servers that only operators reach: on a Unix socket, whose permissions say who may ask, and at the address
/// for monitoring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

/// Charges the request to the reader's budget.
fn admitted(request: &HttpRequest, reader: Reader) -> Result<Reader, Failure> {
    request.app_data::<Data<Face>>().map_or(Ok(()), |face| face.app.admit(reader))?;
    Ok(reader)
}

/// A wrong token is an error, not anonymous reading: a client that sends one expects more than a stranger gets.
fn reader(request: &HttpRequest) -> Result<Reader, Failure> {
    if request.app_data::<Option<Local>>().is_some_and(Option::is_some) {
        return Ok(Reader::Operator);
    }
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(proven(request));
    };
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let face = request.app_data::<Data<Face>>();
    if face.is_some_and(|face| face.app.is_operator(token.map(|(_, token)| token.trim()))) {
        Ok(Reader::Operator)
    } else {
        Err(Failure::new(Code::OperatorOnly, "the token is not the operator's"))
    }
}

/// Who reads by the key that the connection has proven alone, where a token means nothing, as for pages and X.509.
pub(super) fn proven(request: &HttpRequest) -> Reader {
    request.conn_data::<ProvenKey>().map_or(Reader::Anonymous, |key| Reader::Key(key.0))
}

/// Whether a path or query is UTF-8 once it is decoded. Routers and forms replace what is not by U+FFFD, and would ask
/// about another name.
pub(super) fn is_text(encoded: &str) -> bool {
    percent_decode_str(encoded).decode_utf8().is_ok()
}

/// The failure for a path or query that is not UTF-8.
pub(super) fn not_text(uri: &Uri) -> Option<Failure> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let told = |code, what, text: &str| {
        let detail = format!("the {what} `{}` is not UTF-8 once its `%` are decoded", excerpt(text));
        Some(Failure::new(code, detail))
    };
    match (is_text(path), is_text(query)) {
        (false, _) => told(Code::MalformedPath, "path", path),
        (true, false) => told(Code::MalformedQuery, "query", query),
        (true, true) => None,
    }
}

/// How errors in paths and queries are reported.
pub(super) fn extractor_errors() -> (PathConfig, QueryConfig) {
    // The library prefixes the reason with words that the problem's code already says.
    let path = PathConfig::default().error_handler(|error, _| {
        let reason = match error {
            PathError::Deserialize(reason) => reason.to_string(),
            other => other.to_string(),
        };
        Failure::new(Code::MalformedPath, reason).into()
    });
    let query = QueryConfig::default().error_handler(|error, request| {
        let query = excerpt(request.query_string());
        let reason = match error {
            QueryPayloadError::Deserialize(reason) => reason.to_string(),
            other => other.to_string(),
        };
        let detail = if query.is_empty() { reason } else { format!("`{query}`: {reason}") };
        Failure::new(Code::MalformedQuery, detail).into()
    });
    (path, query)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::fixture::Party;
    use crate::http::Settings;
    use crate::shares::network;

    /// Behind a trusted proxy, strangers have shares of their own; nobody gets one by what they themselves claim.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_trusted_proxy_says_who_asks() {
        let party = Party::found("devices.acme.example");
        let mut settings = Settings::default();
        settings.pages.trusted_proxies = vec![[127, 0, 0, 1].into()];
        let face = Data::new(Face::new(party.open(), &settings));
        for (peer, forwarded, asks) in [
            ("127.0.0.1:9", Some("192.0.2.1"), Some("192.0.2.1")),
            ("[::ffff:127.0.0.1]:9", Some("192.0.2.1, 192.0.2.2"), Some("192.0.2.2")),
            ("127.0.0.1:9", Some("192.0.2.1:4711"), Some("192.0.2.1")),
            ("127.0.0.1:9", Some("[2001:db8::1]:4711"), Some("2001:db8::1")),
            ("127.0.0.1:9", Some("ö, 192.0.2.1"), Some("192.0.2.1")),
            ("127.0.0.1:9", None, None),
            ("198.51.100.1:9", Some("192.0.2.1"), Some("198.51.100.1")),
        ] {
            let request = TestRequest::default().peer_addr(peer.parse().expect("an address"));
            let request = forwarded.into_iter().fold(request, |it, from| it.insert_header(("x-forwarded-for", from)));
            let request = request.app_data(Data::clone(&face)).to_http_request();
            let asking = Asking::extract(&request).await.expect("is told");
            let address = asks.map(|address| network(address.parse().expect("an address")));
            assert_eq!(asking.0, Asker::Address(address), "{peer} {forwarded:?}");
        }
    }
}
