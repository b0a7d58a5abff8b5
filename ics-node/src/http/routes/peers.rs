//! `/v1/peers`: the other nodes, for operators.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::Deserialize;

use crate::api::problem::Code;
use crate::config::{PeerConfig, PeerName};
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::Operator;

pub(super) async fn list(face: Data<Face>, _operator: Operator) -> Result<HttpResponse, Failure> {
    face.json(|app| Ok(app.peers())).await
}

/// Adds or changes a peer.
pub(super) async fn put(
    face: Data<Face>,
    _operator: Operator,
    peer: Json<PeerConfig>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.put_peer(peer.0)).await
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
}

pub(super) async fn remove(face: Data<Face>, _operator: Operator, path: Path<Named>) -> Result<HttpResponse, Failure> {
    let name: PeerName = path.name.parse().map_err(|error| Failure::new(Code::MalformedPath, error))?;
    face.json(move |app| app.remove_peer(&name)).await
}
