//! Catching up: a mirror copies everything that a home has, over HTTP on loopback, verified and durable, compared with
//! the rate at which the home took it in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_node::app::{App, NodeKeys, Setup};
use ics_node::config::PeerConfig;
use ics_node::http::{Settings, serve};
use ics_sync::http::{HttpPeer, client_builder};
use ics_sync::packed::pack;
use ics_sync::wire::Entry;
use tokio::sync::{oneshot, watch};

use crate::home::Home;
use crate::ingest::{submit, submit_all};
use crate::report::Report;
use crate::{Error, Options, Outcome, device};

/// The time limit for a mirror to catch up.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// How many entries are examined for their size on the wire.
const WEIGHED: u64 = 100_000;

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let home = Home::make()?;
    let count = options.entries;
    let statements = device::introductions(&home, 0..count)?;
    let bodies: usize = statements.iter().map(Vec::len).sum();
    let app = home.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(submit(&app, &home.domain, home.certificates()?))?;
    let took = runtime.block_on(submit_all(&app, &home.domain, statements))?;
    let ingest = report.rate("statements through app::submit, receipts given", count, took);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let server = {
        let _runtime = runtime.enter();
        serve(app.clone(), &Settings { listen: vec![([127, 0, 0, 1], 0).into()], ..Settings::default() })?
    };
    let address = *server.addresses().first().ok_or("the server has no address")?;
    let copy = mirror(directory.path(), &app, &home, &format!("http://{address}"))?;
    let Copied { took, received, packed } = runtime.block_on(catch_up(&app, &copy, &home, server))?;
    let ours = report.rate("entries copied by a mirror over HTTP, verified and durable", count, took);
    report.ratio("of the bulk ingest rate", ours, ingest, 0.8);
    report.figure("bytes received for each byte of bodies", &format!("{:.3}", received as f64 / bodies.max(1) as f64));
    report.bounded(
        "bytes of pages before compression for each byte of bodies",
        &format!("{packed:.3}"),
        "at most 1.15",
    );
    Ok(())
}

/// A node with a copy of the home's domain, still empty.
fn mirror(data: &std::path::Path, app: &App, home: &Home, url: &str) -> Result<App, Error> {
    let peer = PeerConfig {
        url: Some(url.parse()?),
        mirror: vec![app.domain(&home.domain)?.info.origin],
        ..PeerConfig::new("home".parse()?)
    };
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    Ok(App::open(&Setup {
        data: data.join("data"),
        keys: NodeKeys { name: "copy.example".to_owned(), key: Arc::new(key), issuers: Vec::new() },
        peers: vec![peer],
        config_file: None,
        trust: None,
        operator_token: None,
        memory_bytes: 64 << 20,
        acme: None,
    })?)
}

/// The cost of a complete copy.
struct Copied {
    took: Duration,
    /// Bytes that it received.
    received: u64,
    /// Bytes of packed pages for each byte of the bodies in them.
    packed: f64,
}

async fn catch_up(app: &App, copy: &App, home: &Home, server: ics_node::http::Server) -> Result<Copied, Error> {
    let address = *server.addresses().first().ok_or("the server has no address")?;
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = ended.await;
    }));
    let (stop, stopped) = watch::channel(false);
    let size = app.domain(&home.domain)?.info.size;
    let began = Instant::now();
    let replicating = tokio::spawn(copy.clone().replicate(stopped));
    while copy.domain(&home.domain).map_or(0, |info| info.info.size) < size {
        if began.elapsed() > PATIENCE {
            return Err("the mirror does not catch up".into());
        }
        // Each check reads the store, concurrently with what is measured.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    let received = copy.peers().iter().flat_map(|peer| &peer.pulls).map(|pulled| pulled.bytes).sum();
    stop.send_replace(true);
    replicating.await?;
    let packed = packed_bytes(&format!("http://{address}"), home, size).await?;
    let _ = end.send(());
    serving.await??;
    Ok(Copied { took, received, packed })
}

/// Bytes of packed pages, before compression, for each byte of the bodies in them; measured on the first pages.
async fn packed_bytes(url: &str, home: &Home, size: u64) -> Result<f64, Error> {
    let peer = HttpPeer::new(url, client_builder(url).build()?)?;
    let (mut packed, mut bodies, mut from) = (0, 0, 0);
    while from < size.min(WEIGHED) {
        let page = peer.page(&home.domain, from, limits::FEED_ENTRIES, size).await?;
        packed += pack(&page).len();
        bodies += page.entries.iter().map(body_bytes).sum::<usize>();
        from += page.entries.len().max(1) as u64;
    }
    Ok(packed as f64 / bodies.max(1) as f64)
}

fn body_bytes(entry: &Entry) -> usize {
    if let Entry::Whole(entry) = entry { entry.body.len() } else { 0 }
}
