//! What domains say about identities: records, views, listings, history and evidence.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::api::problem::Code;
use crate::api::{IdentityPage, ListQuery};
use crate::app::{self, App, AppError, Extent};
use crate::background;
use crate::http::accept;
use crate::http::answer::{self, JSON, OCTET_STREAM, PGP_KEYS};
use crate::http::face::{Face, Heavy};
use crate::http::failure::Failure;
use crate::http::request::{Asking, Domain, Identified, Reading};
use crate::http::routes::checks;

/// The form in which an identity is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// The OpenPGP version for clients that take OpenPGP; 4 by default, since older clients stop reading at a packet of
    /// version 6.
    version: Option<u8>,
    /// How much of the record clients that take JSON get; by default all of it.
    view: Option<View>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum View {
    Summary,
    Full,
}

impl Form {
    fn version(&self) -> Result<u8, Failure> {
        match self.version {
            None | Some(4) => Ok(4),
            Some(6) => Ok(6),
            Some(other) => Err(Failure::new(Code::OutOfRange, format_args!("`version` is 4 or 6, not {other}"))),
        }
    }

    const fn extent(&self) -> Extent {
        match self.view {
            Some(View::Summary) => Extent::Summary,
            Some(View::Full) | None => Extent::Whole,
        }
    }
}

pub(super) async fn list(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    query: Query<ListQuery>,
) -> Result<HttpResponse, Failure> {
    let tag = |page: &IdentityPage| {
        answer::tag(&(&page.items, &page.next, page.cut_short, &page.as_of.root, page.as_of.time))
    };
    face.tagged(&request, move |app| app.list(reader.0, &domain.0, &query), tag).await
}

pub(super) async fn record(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
    form: Query<Form>,
) -> Result<HttpResponse, Failure> {
    let media_type = accept::choose(&request, &[JSON, PGP_KEYS, OCTET_STREAM])?;
    if media_type != JSON {
        let version = form.version()?;
        let bodies = move |app: &App| app.record_openpgp(reader.0, &domain.0, &path.id, version);
        return openpgp(&face, &request, media_type, bodies).await;
    }
    let (query, extent) = (app::Query::parse(&path.id)?, form.extent());
    let read = move |app: &App, depth| app.answer(reader.0, &domain.0, &query, extent, depth);
    let answer = face.hot(heavy(extent), read).await?;
    Ok(answer::encoded(&request, answer))
}

pub(super) async fn view(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    path: Path<Identified>,
    form: Query<Form>,
) -> Result<HttpResponse, Failure> {
    let media_type = accept::choose(&request, &[JSON, PGP_KEYS, OCTET_STREAM])?;
    if media_type != JSON {
        let version = form.version()?;
        let bodies = move |app: &App| app.view_openpgp(reader.0, &path.id, version);
        return openpgp(&face, &request, media_type, bodies).await;
    }
    let (query, extent) = (app::Query::parse(&path.id)?, form.extent());
    let read = move |app: &App, depth| app.answer_view(reader.0, &query, extent, depth);
    let answer = face.hot(heavy(extent), read).await?;
    Ok(answer::encoded(&request, answer))
}

/// Which turn a look-up waits for that memory cannot answer: all that is said of a thing may have megabytes.
fn heavy(extent: Extent) -> Option<Heavy> {
    (extent == Extent::Whole).then_some(Heavy::Record)
}

/// Bodies in OpenPGP, with their tag. A long record has as many megabytes as a page of the log.
async fn openpgp(
    face: &Face,
    request: &HttpRequest,
    media_type: &'static str,
    bodies: impl FnOnce(&App) -> Result<Vec<u8>, AppError> + Send + 'static,
) -> Result<HttpResponse, Failure> {
    let spelt = move |bodies: Vec<u8>| {
        let tag = answer::tag(&(media_type, answer::tag_of(&bodies).tag()));
        answer::openpgp(media_type, bodies).map(|bytes| (tag, bytes))
    };
    let made = move |app: &App| bodies(app).and_then(spelt);
    let (tag, bytes) = face.heavy(Heavy::Page, face.in_line()?, made).await?;
    Ok(answer::tagged(request, tag, || answer::bytes(media_type, bytes)))
}

pub(super) async fn history(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    face.record(move |app| app.history(reader.0, &domain.0, &path.id)).await
}

pub(super) async fn evidence(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    let (name, id) = (domain.0.clone(), path.id.clone());
    let made = move |app: &App| {
        let evidence = app.evidence_here(reader.0, &name, &id);
        evidence.map(|evidence| evidence.map(|evidence| answer::long_json_bytes(&evidence)))
    };
    match face.heavy(Heavy::Proof, face.in_line()?, made).await? {
        Some(json) => Ok(answer::bytes(JSON, json)),
        None => answer::json_apart(face.app.relay_evidence(reader.0, &domain.0, &path.id).await?).await,
    }
}

/// How an attestation may be obtained, and what the asker has seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roaming {
    /// How many further nodes may be asked beyond this one; by default none.
    hops: Option<u8>,
    /// The largest size of the log that the asker has seen.
    seen: Option<u64>,
}

pub(super) async fn attestation(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
    query: Query<Roaming>,
) -> Result<HttpResponse, Failure> {
    let asked = app::Query::parse(&path.id)?;
    let (seen, name, thing) = (query.seen.unwrap_or_default(), domain.0.clone(), asked.clone());
    // Everything said of a thing may be long, and how long it is is known only once it is encoded.
    let made = move |app: &App| {
        let attested = app.attest(reader.0, &name, &thing, seen);
        attested.map(|attested| attested.map(|attested| attested.encode()))
    };
    let json = match face.heavy(Heavy::Attestation, face.in_line()?, made).await? {
        Some(json) => json,
        None => {
            let hops = query.hops.unwrap_or_default();
            let relayed = face.app.relay(reader.0, &domain.0, &asked, (hops, seen)).await?;
            background::spawn(move || relayed.encode()).await.map_err(Failure::internal)?
        }
    };
    let json = json.map_err(|error| {
        let domain = &domain.0;
        Failure::new(Code::TooMuchSaid, format!("`{domain}` says too much of it for a node without a copy: {error}"))
    })?;
    Ok(answer::bytes(JSON, json))
}

/// What to explain: the record or, if a use is given, a verdict.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    id: String,
    #[serde(rename = "use")]
    use_: Option<String>,
    peer: Option<String>,
}

pub(super) async fn explain(
    face: Data<Face>,
    reader: Reading,
    asking: Asking,
    query: Query<Why>,
) -> Result<HttpResponse, Failure> {
    if query.peer.is_some() && query.use_.is_none() {
        return Err(Failure::new(Code::MalformedQuery, "`peer` takes `use` beside it: only a verdict has a peer"));
    }
    if let Some(usage) = &query.use_ {
        checks::roam(&face, asking, usage, &query.id, query.peer.as_deref()).await;
    }
    face.record(move |app| app.explain(reader.0, &query.id, query.use_.as_deref(), query.peer.as_deref())).await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::app::Reader;
    use crate::fixture::Party;
    use crate::http::Settings;

    /// What is answered once there is a turn again.
    async fn after<R>(turns: impl Sized, asked: impl Future<Output = R>) -> R {
        let mut asked = pin!(asked);
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "there is no other");
        drop(turns);
        asked.await
    }

    /// It takes several times its megabytes while it is made, and anybody may ask for it.
    #[tokio::test(flavor = "multi_thread")]
    async fn evidence_waits_for_its_turn() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let turns = face.all_turns(Heavy::Proof);
        let (domain, path) = (Domain(party.domain.clone()), Path::from(Identified { id: "serial:1".to_owned() }));
        let asked = evidence(Data::clone(&face), Reading(Reader::Anonymous), domain, path);
        drop(after(turns, asked).await);
    }

    /// All that is said of a thing may have megabytes.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_whole_record_and_a_history_wait_for_their_turn() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let (reader, domain) = (|| Reading(Reader::Anonymous), || Domain(party.domain.clone()));
        let path = |id: &str| Path::from(Identified { id: id.to_owned() });
        let asked = |id: &str, extent| {
            let form = Query(Form { version: None, view: extent });
            record(Data::clone(&face), TestRequest::default().to_http_request(), reader(), domain(), path(id), form)
        };
        let turns = face.all_turns(Heavy::Record);
        let short = asked("serial:1", Some(View::Summary)).await;
        assert_eq!(short.expect_err("there is none").problem().status, 404, "what is short does not wait");
        let whole = after(turns, asked("serial:2", None)).await;
        assert_eq!(whole.expect_err("there is none").problem().status, 404);
        let asked = history(Data::clone(&face), reader(), domain(), path("serial:3"));
        let told = after(face.all_turns(Heavy::Record), asked).await;
        assert_eq!(told.expect_err("there is none").problem().status, 404);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn attestations_wait_for_their_turn() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let turns = face.all_turns(Heavy::Attestation);
        let (domain, path) = (Domain(party.domain.clone()), Path::from(Identified { id: "serial:1".to_owned() }));
        let alone = Query(Roaming { hops: None, seen: None });
        let asked = attestation(Data::clone(&face), Reading(Reader::Anonymous), domain, path, alone);
        drop(after(turns, asked).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_in_openpgp_waits_for_its_turn() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let turns = face.all_turns(Heavy::Page);
        let request = TestRequest::default().insert_header(("accept", PGP_KEYS)).to_http_request();
        let path = Path::from(Identified { id: "serial:1".to_owned() });
        let form = Query(Form { version: None, view: None });
        let asked = view(Data::clone(&face), request, Reading(Reader::Anonymous), path, form);
        assert_eq!(after(turns, asked).await.expect_err("nothing is known of it").problem().status, 404);
    }
}
