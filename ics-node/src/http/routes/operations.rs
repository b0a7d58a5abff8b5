//! Monitoring, alarms that are not about a domain held here, and the description of the API.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::api::Acknowledgement;
use crate::api::problem::Code;
use crate::http::OPENAPI;
use crate::http::answer::{self, JSON};
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::metrics::Now;
use crate::http::request::Operator;

const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Says that the process answers.
pub(super) async fn live() -> HttpResponse {
    answer::bytes(TEXT, "ok\n")
}

/// Says whether the node can do its work. Whoever keeps it busy must not have it taken out of service.
pub(super) async fn ready(face: Data<Face>) -> Result<HttpResponse, Failure> {
    match face.decide(|app| Ok(app.ready())).await? {
        Ok(()) => Ok(answer::bytes(TEXT, "ready\n")),
        Err(reason) => Err(Failure::new(Code::Behind, reason)),
    }
}

/// For operators, since metrics name peers and domains. At the separate address, everyone who reaches it may read them.
pub(super) async fn metrics(face: Data<Face>, _operator: Operator) -> Result<HttpResponse, Failure> {
    let now = face.blocking(Now::of).await?;
    let text = face.metrics.write(&now).map_err(Failure::internal)?;
    Ok(answer::bytes(OPEN_METRICS, text))
}

/// The alarms that are not about a domain held here; a domain's own are listed with the domain.
pub(super) async fn alarms(face: Data<Face>, _operator: Operator) -> Result<HttpResponse, Failure> {
    face.json(|app| app.alarms_about_none()).await
}

/// The forks of logs of which nothing is held here; those of a domain held here are listed with it.
pub(super) async fn forks(face: Data<Face>, _operator: Operator) -> Result<HttpResponse, Failure> {
    face.json(|app| app.forks_about_none()).await
}

pub(super) async fn acknowledge(
    face: Data<Face>,
    _operator: Operator,
    seen: Json<Acknowledgement>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.acknowledge(None, seen.0.until)).await
}

pub(super) async fn openapi(request: HttpRequest) -> HttpResponse {
    answer::tagged(&request, answer::tag_of(OPENAPI.as_bytes()), || answer::bytes(JSON, OPENAPI))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Party;
    use crate::http::Settings;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_busy_node_is_ready() {
        let settings = Settings { max_work: 8, ..Settings::default() };
        let face = Data::new(Face::new(Party::found("devices.acme.example").open(), &settings));
        let _all: Vec<_> = (0..100).map_while(|_| face.under_way().ok()).collect();
        assert_eq!(ready(Data::clone(&face)).await.expect("is told").status(), 200);
    }
}
