//! A node with a thousand to a million identities: the cost of a start, a look-up and an append at each size.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_node::app::{App, Reader};
use ics_node::http::{self, Settings};
use tokio::runtime::Runtime;

use crate::device;
use crate::home::Home;
use crate::ingest::{submit, submit_all};
use crate::report::{Report, median};
use crate::{Error, Options, Outcome};

/// How often each store is opened with nothing in memory, and how often each is asked once memory is ready; all sizes
/// in turns, because the speed of hosts changes within minutes. The median counts.
const OPENED: usize = 9;
const TURNS: usize = 15;
/// Look-ups timed at each size.
const LOOK_UPS: usize = 5_000;
/// Batches and single statements whose appending is timed at each size.
const APPENDS: usize = 5;
const SINGLES: usize = 100;
/// Memory for answers, in bytes: a million identities fit.
const MEMORY: u64 = 896 << 20;
/// The approximate number of bytes that a node keeps of a device.
const KEPT: usize = 700;

/// A node of one size, and its measurements in each turn, in microseconds.
struct Node {
    size: usize,
    home: Home,
    /// Look-ups of the first device of each lot.
    lots: Vec<f64>,
    /// Look-ups of devices not asked for before, in a lot that was.
    stored: Vec<f64>,
    /// Look-ups, after memory was made ready, of devices not asked for before, as far as there are enough.
    ready: Vec<f64>,
    /// Look-ups over HTTP, one after the other over one connection, as many at each size.
    fetched: Vec<f64>,
    /// The same devices found in [`Plain`].
    plain: Vec<f64>,
    append: Vec<f64>,
}

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut nodes = Vec::new();
    for size in (3..).map(|power| 10_usize.pow(power)).take_while(|size| *size <= options.entries) {
        let node = Node::filled(&runtime, size)?;
        serve(report, &node.home, &runtime, size)?;
        nodes.push(node);
    }
    for _ in 0..OPENED {
        nodes.iter_mut().try_for_each(Node::ask_the_store)?;
    }
    ask_memory(report, &runtime, &mut nodes)?;
    for node in &nodes {
        let figure = |what: &str, times: &[f64]| (format!("{}: {what}", node.size), format!("{:.1} us", middle(times)));
        let rows = [
            figure("look-up by name, the first device of each lot", &node.lots),
            figure("look-up by name, app::record, nothing in memory", &node.stored),
            figure("look-up by name, app::record, memory ready", &node.ready),
            figure("look-up by name over HTTP keep-alive, memory ready", &node.fetched),
            figure("two plain hash maps: whom a name means, what is kept of him", &node.plain),
            figure("append, batches of 1,000, a statement", &node.append),
        ];
        rows.iter().for_each(|(what, seen)| report.figure(what, seen));
    }
    if let (Some(first), Some(last)) = (nodes.first(), nodes.last()) {
        let ratio = |of: fn(&Node) -> &[f64]| {
            let turns = of(last).iter().zip(of(first)).map(|(last, first)| last / first);
            format!("{:.2}", median(turns.collect()))
        };
        report.bounded("look-up, nothing in memory, largest to smallest", &ratio(|it| &it.stored), "flat");
        report.bounded("look-up, memory ready, largest to smallest", &ratio(|it| &it.ready), "flat");
        report.bounded("look-up over HTTP, memory ready, largest to smallest", &ratio(|it| &it.fetched), "flat");
        let more = |of: fn(&Node) -> &[f64]| median(of(last).iter().zip(of(first)).map(|(a, b)| a - b).collect());
        report.figure(
            "look-up, memory ready: the largest takes longer than the smallest by; so do two plain hash maps",
            &format!("{:.1} us; {:.1} us", more(|it| &it.ready), more(|it| &it.plain)),
        );
        report.bounded("append, largest to smallest", &ratio(|it| &it.append), "at most 4");
    }
    Ok(())
}

impl Node {
    fn filled(runtime: &Runtime, size: usize) -> Result<Self, Error> {
        let home = Home::make()?;
        let app = home.open()?;
        runtime.block_on(submit(&app, &home.domain, home.certificates()?))?;
        runtime.block_on(submit_all(&app, &home.domain, device::introductions(&home, 0..size)?))?;
        drop(app);
        let [lots, stored, ready, fetched, plain, append] = core::array::from_fn(|_| Vec::new());
        Ok(Self { size, home, lots, stored, ready, fetched, plain, append })
    }

    fn ask_the_store(&mut self) -> Outcome {
        let app = self.home.open_with(None, MEMORY)?;
        self.lots.push(look_up(&app, &self.home, (0..self.size).step_by(device::LOT))?);
        self.stored.push(look_up(&app, &self.home, others(self.size, 0))?);
        Ok(())
    }
}

/// Has all nodes make memory ready, asks them in turns, and has them append.
fn ask_memory(report: &mut Report, runtime: &Runtime, nodes: &mut [Node]) -> Outcome {
    let (mut apps, mut urls, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for Node { size, home, .. } in &*nodes {
        let app = home.open_with(None, MEMORY)?;
        let made = usize::try_from(app.make_ready())?.min(*size);
        report.figure(&format!("{size}: made ready in memory before anybody asks"), &made.to_string());
        urls.push(serve_here(runtime, app.clone())?);
        apps.push(app);
        plain.push(Plain::of(*size));
    }
    for turn in 0..TURNS {
        for ((node, app), plain) in nodes.iter_mut().zip(&apps).zip(&plain) {
            node.ready.push(look_up(app, &node.home, others(node.size, turn))?);
            node.plain.push(plain.look_up(others(node.size, turn))?);
        }
        for (node, url) in nodes.iter_mut().zip(&urls) {
            node.fetched.push(runtime.block_on(fetch(url, &node.home, spread(node.size)))?);
        }
    }
    for (node, app) in nodes.iter_mut().zip(&apps) {
        let (batched, single) = append(app, &node.home, runtime, node.size)?;
        report.figure(&format!("{}: append, one at a time, durable", node.size), &format!("{single:.0} us"));
        node.append = batched;
    }
    Ok(())
}

/// Answers over HTTP in this process, on one thread, at the returned URL.
fn serve_here(runtime: &Runtime, app: App) -> Result<String, Error> {
    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let settings = Settings { listen, workers: Some(1), ..Settings::default() };
    let server = runtime.block_on(async { http::serve(app, &settings) })?;
    let address = server.addresses().first().copied().ok_or("the server has no address")?;
    runtime.spawn(server.run(std::future::pending()));
    Ok(format!("http://{address}"))
}

/// The least that a look-up by name can cost: any growth with the number of names is due to the machine, whose caches
/// do not grow.
struct Plain {
    names: HashMap<String, u64>,
    kept: HashMap<u64, Box<[u8]>>,
}

impl Plain {
    fn of(size: usize) -> Self {
        let name = |number: usize| (device::urn(number), number as u64);
        let kept = |number: usize| (number as u64, vec![number.to_le_bytes()[0]; KEPT].into());
        Self { names: (0..size).map(name).collect(), kept: (0..size).map(kept).collect() }
    }

    /// The time of one look-up, in microseconds.
    fn look_up(&self, numbers: impl Iterator<Item = usize>) -> Result<f64, Error> {
        let (began, mut count) = (Instant::now(), 0);
        for number in numbers {
            let found = self.names.get(&device::urn(number)).and_then(|number| self.kept.get(number));
            black_box(found.ok_or("a plain map lacks a device")?.to_vec());
            count += 1;
        }
        Ok(micros(began.elapsed(), count))
    }
}

fn middle(times: &[f64]) -> f64 {
    median(times.to_vec())
}

/// The start and memory of the real process, and look-ups over one persistent connection.
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
    let took = runtime.block_on(fetch(&served.url, home, spread(size)))?;
    report.figure(
        &format!("{size}: look-up by name over HTTP right after the start, one after the other"),
        &format!("{took:.1} us"),
    );
    report.bounded(&format!("{size}: memory after {LOOK_UPS} look-ups"), &served.memory()?.to_string(), wanted);
    Ok(())
}

/// The time of one look-up over HTTP, in microseconds.
async fn fetch(at: &str, home: &Home, numbers: impl Iterator<Item = usize>) -> Result<f64, Error> {
    let client = reqwest::Client::new();
    let (began, mut count) = (Instant::now(), 0);
    for number in numbers {
        let url = format!("{at}/v1/domains/{}/identities/{}", home.domain, device::urn(number));
        client.get(url).send().await?.error_for_status()?.bytes().await?;
        count += 1;
    }
    Ok(micros(began.elapsed(), count))
}

/// The time of one look-up, in microseconds. Each device is asked for at most once.
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

/// Devices that are not the first of their lots, different ones in each turn. What is said about a lot is read with its
/// first device: in a sample from a million devices a fifth would be such, from a thousand only one.
fn others(size: usize, turn: usize) -> impl Iterator<Item = usize> {
    let numbers = spread(size).take(size).map(move |number| (number + turn) % size);
    numbers.filter(|number| !number.is_multiple_of(device::LOT))
}

/// Appends further devices, in batches and one at a time; returns the microseconds for each statement of each batch,
/// and for a single one.
fn append(app: &App, home: &Home, runtime: &Runtime, size: usize) -> Result<(Vec<f64>, f64), Error> {
    let count = APPENDS * limits::BATCH_STATEMENTS;
    let mut statements = device::introductions(home, size..size + count + SINGLES)?;
    let singles = statements.split_off(count);
    let time = |batch: Vec<Vec<u8>>| {
        let (began, count) = (Instant::now(), batch.len());
        runtime.block_on(submit(app, &home.domain, batch))?;
        Ok::<f64, Error>(micros(began.elapsed(), count))
    };
    let batched = statements.chunks(limits::BATCH_STATEMENTS).map(|batch| time(batch.to_vec()));
    let batched = batched.collect::<Result<Vec<_>, Error>>()?;
    let singles = singles.into_iter().map(|one| time(vec![one])).collect::<Result<Vec<_>, Error>>()?;
    Ok((batched, median(singles)))
}

/// Devices all over the log, in no particular order.
fn spread(size: usize) -> impl Iterator<Item = usize> {
    (0..LOOK_UPS).map(move |step| step.wrapping_mul(0x9e37_79b9) % size)
}

fn micros(time: Duration, count: usize) -> f64 {
    1e6 / crate::report::per_second(count, time)
}
