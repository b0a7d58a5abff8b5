//! The log of a domain: checkpoint, tiles, entries and proofs.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use ics_core::limits;
use serde::Deserialize;

use crate::http::answer::{self, OCTET_STREAM};
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Reading};

pub(super) async fn checkpoint(face: Data<Face>, domain: Domain) -> Result<HttpResponse, Failure> {
    let note = face.blocking(move |app| app.checkpoint(&domain.0)).await?;
    Ok(answer::bytes("text/plain; charset=utf-8", note))
}

#[derive(Debug, Deserialize)]
pub(super) struct TilePath {
    path: String,
}

/// A full tile never changes again.
pub(super) async fn tile(face: Data<Face>, domain: Domain, path: Path<TilePath>) -> Result<HttpResponse, Failure> {
    let tile = face.blocking(move |app| app.tile(&domain.0, &format!("tile/{}", path.path))).await?;
    let caching = if tile.full { "public, max-age=31536000, immutable" } else { "no-cache" };
    let answer =
        HttpResponse::Ok().content_type(OCTET_STREAM).insert_header((header::CACHE_CONTROL, caching)).body(tile.bytes);
    Ok(answer)
}

/// A page of the feed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
    until: Option<u64>,
}

pub(super) async fn entries(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    query: Query<Range>,
) -> Result<HttpResponse, Failure> {
    let Range { from, limit, until } = query.into_inner();
    let limit = limit.unwrap_or(limits::FEED_ENTRIES).min(limits::FEED_ENTRIES);
    let page = face.blocking(move |app| app.entries(reader.0, &domain.0, from, limit, until)).await?;
    Ok(answer::json(&page))
}

#[derive(Debug, Deserialize)]
pub(super) struct Indexed {
    index: u64,
}

pub(super) async fn entry(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Indexed>,
) -> Result<HttpResponse, Failure> {
    let entry = face.blocking(move |app| app.entry(reader.0, &domain.0, path.index)).await?;
    Ok(answer::json(&entry))
}

/// An entry, and the size of the tree that it is proven to be in; the newest checkpoint's unless told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inclusion {
    index: u64,
    size: Option<u64>,
}

pub(super) async fn inclusion(
    face: Data<Face>,
    domain: Domain,
    query: Query<Inclusion>,
) -> Result<HttpResponse, Failure> {
    let proof = face.blocking(move |app| app.inclusion(&domain.0, query.index, query.size)).await?;
    Ok(answer::json(&proof))
}

/// Two sizes of the log; the second is the newest checkpoint's unless told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consistency {
    from: u64,
    to: Option<u64>,
}

pub(super) async fn consistency(
    face: Data<Face>,
    domain: Domain,
    query: Query<Consistency>,
) -> Result<HttpResponse, Failure> {
    let proof = face.blocking(move |app| app.consistency(&domain.0, query.from, query.to)).await?;
    Ok(answer::json(&proof))
}
