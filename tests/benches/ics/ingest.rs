//! Bulk ingest: signed statements through the use case, in batches as clients submit them.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::vocabulary::DomainName;
use ics_node::api::SubmissionResult;
use ics_node::app::{App, Reader};
use tokio::task::JoinSet;

use crate::device;
use crate::home::Home;
use crate::report::Report;
use crate::{Error, Options, Outcome};

/// Concurrent submissions, as of a factory with a few lines. With fewer, a processor would be idle while the writer
/// works.
/// the writer works.
const CLIENTS: usize = 8;

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let home = Home::make()?;
    let count = options.entries;
    let statements = device::introductions(&home, 0..count)?;
    let bytes: usize = statements.iter().map(Vec::len).sum();
    report.figure("bytes of a statement, on average", &format!("{}", bytes / count.max(1)));
    let (peer_before, alike_before) = verify_batches()?;

    let app = home.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(submit(&app, &home.domain, home.certificates()?))?;
    let spent = processor_time()?;
    let took = runtime.block_on(submit_all(&app, &home.domain, statements))?;
    let each = (processor_time()? - spent) / u32::try_from(count.max(1))?;
    let found = find(&app, &home.domain, count)?;
    drop(app);
    let (peer_after, alike_after) = verify_batches()?;
    // The host gives a core more at one time and less at another.
    let (peer, alike) = (f64::midpoint(peer_before, peer_after), f64::midpoint(alike_before, alike_after));
    report.figure("ed25519-dalek verify_batch(1024), one core, before and after", &format!("{peer:.0}/s"));
    report.figure("the same as it is built into this, which asks for AVX-512", &format!("{alike:.0}/s"));
    report.figure("time of both cores for each", &format!("{:.1} us", each.as_secs_f64() * 1e6));
    let ours = report.rate("statements through app::submit, receipts given", count, took);
    report.ratio("of verify_batch(1024) on one core", ours, peer, 0.8);
    report.figure("of the same as it is built into this", &format!("{:.2}", ours / alike));
    report.figure("of 10,000 names, found right after the last receipt", &found.to_string());
    Ok(())
}

/// The processor time of this process.
fn processor_time() -> Result<Duration, Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // proc(5): the name in brackets may contain anything; in the fields after it, utime and stime are the 12th and
    // 13th, in 1/100 s.
    let (_, fields) = stat.rsplit_once(')').ok_or("not Linux")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(10 * ticks))
}

/// What ed25519-dalek verifies per second on one core: built by itself, and built as part of this program.
fn verify_batches() -> Result<(f64, f64), Error> {
    Ok((verify_batch("ICS_BENCH_PEER")?, verify_batch("ICS_BENCH_PEER_ALIKE")?))
}

/// Runs a separate program, which `tests/bench` has built.
fn verify_batch(variable: &str) -> Result<f64, Error> {
    let program = std::env::var(variable).map_err(|_| "run it by tests/bench, which builds the peer")?;
    let output = Command::new(program).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Submits everything in batches: each client takes the next one once it has the receipts of its last. Returns how long
/// that took.
pub(crate) async fn submit_all(app: &App, domain: &DomainName, statements: Vec<Vec<u8>>) -> Result<Duration, String> {
    let mut rest = statements.into_iter();
    let batches = core::iter::from_fn(|| {
        let batch: Vec<_> = rest.by_ref().take(limits::BATCH_STATEMENTS).collect();
        (!batch.is_empty()).then_some(batch)
    });
    let batches: Vec<Vec<Vec<u8>>> = batches.collect();
    let queue = Arc::new(Mutex::new(batches.into_iter()));
    let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (app, domain, next) = (app.clone(), domain.clone(), next.clone());
        clients.spawn(async move {
            while let Some(batch) = next() {
                submit(&app, &domain, batch).await?;
            }
            Ok::<(), String>(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(began.elapsed())
}

/// Every statement must get a receipt.
pub(crate) async fn submit(app: &App, domain: &DomainName, batch: Vec<Vec<u8>>) -> Result<(), String> {
    let results = app.submit(domain, batch).await.map_err(|error| error.to_string())?.results;
    let problem = results.iter().find_map(|result| match result {
        SubmissionResult::Problem(problem) => Some(problem.detail.clone()),
        SubmissionResult::Pending(pending) => Some(format!("it waits: {pending:?}")),
        SubmissionResult::Receipt(_) => None,
    });
    problem.map_or(Ok(()), Err)
}

/// Looks up 10,000 names spread over all devices; returns how many lead to exactly their device.
fn find(app: &App, domain: &DomainName, count: usize) -> Result<usize, String> {
    let mut found = 0;
    for number in (0..10_000).map(|step| step * count / 10_000) {
        let urn = device::urn(number);
        let answer = app.record(Reader::Anonymous, domain, &urn).map_err(|error| error.to_string())?;
        found += usize::from(answer.record.title == urn);
    }
    Ok(found)
}
