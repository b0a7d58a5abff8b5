//! A node from a thousand to a million identities: what a start, a look-up and an append cost at each size.

use std::time::{Duration, Instant};

use ics_core::limits;
use ics_node::app::{App, Reader};
use tokio::runtime::Runtime;

use crate::device;
use crate::home::{Home, Served};
use crate::ingest::{submit, submit_all};
use crate::report::{Report, median};
use crate::{Error, Options, Outcome};

/// How often the store is opened, each time with nothing in memory; the middle counts.
const OPENED: usize = 5;
/// Look-ups that are timed at each size.
const LOOK_UPS: usize = 5_000;
/// Batches, and single statements, whose appending is timed at each size.
const APPENDS: usize = 5;
const SINGLES: usize = 100;
/// Memory for answers, in bytes: a million identities fit.
const MEMORY: u64 = 896 << 20;

/// What was measured at one size, in microseconds.
struct Costs {
    /// A look-up of what was not asked for before, in a lot that was.
    stored: f64,
    /// A look-up once memory was made ready.
    ready: f64,
    append: f64,
}

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let home = Home::make()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(submit(&home.open()?, &home.domain, home.certificates()?))?;
    let mut costs = Vec::new();
    let mut held = 0;
    for size in (3..).map(|power| 10_usize.pow(power)).take_while(|size| *size <= options.entries) {
        let app = home.open()?;
        let statements = device::introductions(&home, held..size)?;
        runtime.block_on(submit_all(&app, &home.domain, statements))?;
        drop(app);
        serve(report, &home, &runtime, size)?;
        let (mut lots, mut stored) = (Vec::new(), Vec::new());
        for _ in 0..OPENED {
            let app = home.open_with(None, MEMORY)?;
            lots.push(look_up(&app, &home, (0..size).step_by(device::LOT))?);
            stored.push(look_up(&app, &home, others(size))?);
        }
        let (lots, stored) = (median(lots), median(stored));
        report.figure(&format!("{size}: look-up by name, the first device of each lot"), &format!("{lots:.1} us"));
        report.figure(&format!("{size}: look-up by name, app::record, nothing in memory"), &format!("{stored:.1} us"));
        let app = home.open_with(None, MEMORY)?;
        let made = usize::try_from(app.make_ready())?.min(size);
        report.figure(&format!("{size}: made ready in memory before anybody asks"), &made.to_string());
        // Each round asks for what nobody has asked for yet, as far as there is so much.
        let mut ready = Vec::new();
        for round in 0..OPENED {
            let numbers = others(size).map(|number| (number + round) % size);
            ready.push(look_up(&app, &home, numbers.filter(|number| !number.is_multiple_of(device::LOT)))?);
        }
        let ready = median(ready);
        report.figure(&format!("{size}: look-up by name, app::record, memory ready"), &format!("{ready:.1} us"));
        let (batched, single, added) = append(&app, &home, &runtime, size)?;
        report.figure(&format!("{size}: append, batches of 1,000"), &format!("{batched:.1} us a statement"));
        report.figure(&format!("{size}: append, one at a time, durable"), &format!("{single:.0} us"));
        costs.push(Costs { stored, ready, append: batched });
        held = size + added;
    }
    if let (Some(first), Some(last)) = (costs.first(), costs.last()) {
        let ratio = |of: fn(&Costs) -> f64| format!("{:.2}", of(last) / of(first));
        report.bounded("look-up, nothing in memory, largest to smallest", &ratio(|it| it.stored), "flat");
        report.bounded("look-up, memory ready, largest to smallest", &ratio(|it| it.ready), "flat");
        report.bounded("append, largest to smallest", &ratio(|it| it.append), "at most 4");
    }
    Ok(())
}

/// Start and memory of the real process, and look-ups over one connection that is kept.
fn serve(report: &mut Report, home: &Home, runtime: &Runtime, size: usize) -> Outcome {
    let served = home.serve()?;
    let idle = served.memory()?;
    let wanted = if size <= 1_000 { "under 32 MiB" } else { "under 1024 MiB" };
    report.bounded(
        &format!("{size}: start of `ics serve`"),
        &format!("{:.2} s", served.took.as_secs_f64()),
        "under 5 s",
    );
    report.bounded(&format!("{size}: memory after the start"), &idle.to_string(), wanted);
    let took = runtime.block_on(fetch(&served, home, size))?;
    report.figure(
        &format!("{size}: look-up by name over HTTP, one after the other"),
        &format!("{:.1} us", micros(took, LOOK_UPS)),
    );
    report.bounded(&format!("{size}: memory after {LOOK_UPS} look-ups"), &served.memory()?.to_string(), wanted);
    Ok(())
}

async fn fetch(served: &Served, home: &Home, size: usize) -> Result<Duration, Error> {
    let client = reqwest::Client::new();
    let began = Instant::now();
    for number in spread(size) {
        let url = format!("{}/v1/domains/{}/identities/{}", served.url, home.domain, device::urn(number));
        client.get(url).send().await?.error_for_status()?.bytes().await?;
    }
    Ok(began.elapsed())
}

/// The time of one look-up, in microseconds. Each device is asked for once at most.
fn look_up(app: &App, home: &Home, numbers: impl Iterator<Item = usize>) -> Result<f64, Error> {
    let began = Instant::now();
    let mut count = 0;
    for number in numbers {
        let urn = device::urn(number);
        let found = app.record(Reader::Anonymous, &home.domain, &urn)?;
        if found.record.title != urn {
            return Err(format!("`{urn}` is not found").into());
        }
        count += 1;
    }
    Ok(micros(began.elapsed(), count))
}

/// Devices that are not the first of their lots. What is said of a lot is read with its first one: of a sample of a million
/// devices a fifth would be such, and of a thousand devices one is.
fn others(size: usize) -> impl Iterator<Item = usize> {
    spread(size).take(size).filter(|number| !number.is_multiple_of(device::LOT))
}

/// Appends further devices, in batches and one at a time; gives the microseconds for each, and how many there were.
fn append(app: &App, home: &Home, runtime: &Runtime, size: usize) -> Result<(f64, f64, usize), Error> {
    let count = APPENDS * limits::BATCH_STATEMENTS;
    let mut statements = device::introductions(home, size..size + count + SINGLES)?;
    let singles = statements.split_off(count);
    let batches: Vec<Vec<Vec<u8>>> = statements.chunks(limits::BATCH_STATEMENTS).map(<[_]>::to_vec).collect();
    let time = |batches: Vec<Vec<Vec<u8>>>| {
        let began = Instant::now();
        runtime.block_on(async {
            for batch in batches {
                submit(app, &home.domain, batch).await?;
            }
            Ok::<(), String>(())
        })?;
        Ok::<Duration, Error>(began.elapsed())
    };
    let batched = micros(time(batches)?, count);
    let single = micros(time(singles.into_iter().map(|one| vec![one]).collect())?, SINGLES);
    Ok((batched, single, count + SINGLES))
}

/// Devices all over the log, in an order that is none.
fn spread(size: usize) -> impl Iterator<Item = usize> {
    (0..LOOK_UPS).map(move |step| step.wrapping_mul(0x9e37_79b9) % size)
}

fn micros(time: Duration, count: usize) -> f64 {
    1e6 / crate::report::per_second(count, time)
}
