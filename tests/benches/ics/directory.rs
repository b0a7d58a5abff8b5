//! The LDAP directory compared with the distribution's slapd: the same entries, one core for the server, equality
//! searches by fingerprint.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::answers::feed;
use crate::device;
use crate::home::{Home, Served};
use crate::ingest::{submit, submit_all};
use crate::report::{Report, median};
use crate::slapd::{CORE, Database, Slapd, free_address, wait_for};
use crate::{Error, Options, Outcome};

/// The default number of entries on both sides.
const ENTRIES: usize = 100_000;
/// The number of rounds, in which the servers take turns, and their length.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// How many statements are to be submitted during a round.
const FED: usize = 3_000;

/// How clients ask: connections, concurrent requests on each, and how many times as fast as slapd ours should be.
const LOADS: [(&str, usize, usize, f64); 2] =
    [("16 connections, 1 in flight", 16, 1, 1.5), ("1 connection, 64 in flight", 1, 64, 3.0)];

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let count = options.entries.min(ENTRIES);
    let home = Home::make()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let filling = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let app = home.open()?;
    filling.block_on(submit(&app, &home.domain, home.certificates()?))?;
    filling.block_on(submit_all(&app, &home.domain, device::introductions(&home, 0..count)?))?;
    drop(app);
    let ours_at = free_address()?;
    let config = home.path().join("ics.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, format!("{text}\n[ldap]\nlisten = \"{ours_at}\"\ncache_mib = 512\n"))?;
    let served = home.serve_on(Some(CORE))?;
    wait_for(ours_at)?;

    let base = format!("icsDomain={},o=ics", home.domain);
    let requests = requests(&base, count)?;
    let began = Instant::now();
    let ldif = runtime.block_on(read_all(ours_at, &base, &requests))?;
    report.rate("first answers, not remembered yet, one after the other", count, began.elapsed());
    let database =
        Database { lines: "olcDbIndex: icsIdentity eq\nolcDbIndex: objectClass eq\n", ..Database::default() };
    let peer = Slapd::start(&database, Some(&ldif), CORE)?;

    let mut next = count;
    for (what, connections, window, wanted) in LOADS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (address, rates) in [ours_at, peer.address].into_iter().zip(&mut rates) {
                rates.push(runtime.block_on(load(address, &requests, connections, window))?);
            }
        }
        let [ours, peer] = rates.map(median);
        report.figure(&format!("{what}: ours, {count} entries remembered"), &format!("{ours:.0}/s"));
        report.figure(&format!("{what}: slapd, mdb, icsIdentity indexed"), &format!("{peer:.0}/s"));
        report.ratio(&format!("{what}: ours to slapd"), ours, peer, wanted);
        let statements = device::introductions(&home, next..next + FED)?;
        next += FED;
        let (busy, taken) = std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feed(&served, &home, &statements, ROUND));
            let busy = runtime.block_on(load(ours_at, &requests, connections, window));
            (busy, feeding.join())
        });
        let taken = taken.map_err(|_| "a thread panicked")??;
        report.ratio(
            &format!("{what}: ours, while {taken} statements come in a second, to slapd"),
            busy?,
            peer,
            wanted,
        );
    }
    idle(report, &home, served)
}

/// The cost of a thousand idle connections in a server that has answered nothing else.
fn idle(report: &mut Report, home: &Home, served: Served) -> Outcome {
    drop(served);
    let config = fs::read_to_string(home.path().join("ics.toml"))?;
    let address = config.split("[ldap]\nlisten = \"").nth(1).and_then(|rest| rest.split('"').next());
    let address: SocketAddr = address.ok_or("no address")?.parse()?;
    let served = home.serve_on(None)?;
    wait_for(address)?;
    let before = served.memory()?;
    let mut connections = Vec::new();
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(address)?;
        who_am_i(&mut stream)?;
        connections.push(stream);
    }
    let after = served.memory()?;
    let more = after.anonymous_kib().saturating_sub(before.anonymous_kib()).div_ceil(1024);
    report.bounded("memory of 1,000 idle connections", &format!("{more} MiB"), "under 64 MiB");
    Ok(())
}

fn who_am_i(stream: &mut TcpStream) -> Outcome {
    use std::io::{Read as _, Write as _};
    stream.write_all(&element(
        0x30,
        &[&[2, 1, 1][..], &element(0x77, &element(0x80, b"1.3.6.1.4.1.4203.1.11.3"))].concat(),
    ))?;
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut answer = vec![0; usize::from(head[1])];
    Ok(stream.read_exact(&mut answer)?)
}

/// BER with lengths below 65,536.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..=127 => &[low],
        _ => &[0x82, high, low],
    };
    [&[tag][..], length, content].concat()
}

/// A search below the domain for one device, all its attributes, without the message around it.
fn requests(base: &str, count: usize) -> Result<Vec<Vec<u8>>, Error> {
    let request = |number: usize| {
        let fingerprint = device::fingerprint(number)?;
        let filter = [element(4, b"icsIdentity"), element(4, fingerprint.as_bytes())].concat();
        let parts = [
            element(4, base.as_bytes()),
            vec![0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0],
            element(0xa3, &filter),
            element(0x30, b""),
        ];
        Ok(element(0x63, &parts.concat()))
    };
    (0..count).map(request).collect()
}

pub(crate) fn message(request: &[u8]) -> Vec<u8> {
    element(0x30, &[&[2, 1, 7][..], request].concat())
}

/// Splits off the first element: its tag, its content, and the rest; `None` if it is incomplete.
pub(crate) fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = match first {
        0..=127 => (2, usize::from(first)),
        _ => {
            let count = usize::from(first & 0x7f);
            let octets = bytes.get(2..2 + count)?;
            (2 + count, octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
        }
    };
    Some((tag, bytes.get(start..start + length)?, bytes.get(start + length..)?))
}

/// The tag and content of the operation in a message.
pub(crate) fn operation(content: &[u8]) -> Option<(u8, &[u8])> {
    let (_, _, rest) = split(content)?;
    split(rest).map(|(tag, inside, _)| (tag, inside))
}

/// Searches per second, each of which must find one entry.
async fn load(address: SocketAddr, requests: &[Vec<u8>], connections: usize, window: usize) -> Result<f64, Error> {
    let began = Instant::now();
    let clients = (0..connections).map(|number| client(address, requests, window, number as u64 + 1, began));
    let counts = futures_util::future::try_join_all(clients).await?;
    Ok(crate::report::per_second(counts.into_iter().sum(), began.elapsed()))
}

async fn client(
    address: SocketAddr,
    requests: &[Vec<u8>],
    window: usize,
    seed: u64,
    began: Instant,
) -> Result<usize, Error> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize % requests.len().max(1);
        requests.get(at).map(|request| message(request)).unwrap_or_default()
    };
    let (mut done, mut under_way, mut entries) = (0, 0, 0);
    let (mut read, mut start) = (Vec::with_capacity(1 << 20), 0);
    loop {
        let more = if began.elapsed() < ROUND { window - under_way } else { 0 };
        let sent: Vec<u8> = (0..more).flat_map(|_| next()).collect();
        stream.write_all(&sent).await?;
        under_way += more;
        if under_way == 0 {
            return if entries == done {
                Ok(done)
            } else {
                Err(format!("{entries} entries of {done} searches").into())
            };
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err("the server has closed".into());
        }
        while let Some((_, content, rest)) = split(read.get(start..).unwrap_or_default()) {
            start = read.len() - rest.len();
            match operation(content) {
                Some((0x64, _)) => entries += 1,
                _ => (done, under_way) = (done + 1, under_way - 1),
            }
        }
        read.drain(..start);
        start = 0;
    }
}

/// All entries, each asked for once, as LDIF with the entries above them.
async fn read_all(address: SocketAddr, base: &str, requests: &[Vec<u8>]) -> Result<String, Error> {
    let domain = base.split([',', '=']).nth(1).unwrap_or_default();
    let mut ldif = format!(
        "dn: o=ics\nobjectClass: organization\no: ics\n\n\
         dn: {base}\nobjectClass: icsDomainEntry\nicsDomain: {domain}\nicsOrigin: {domain}\n\n"
    );
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let mut read = Vec::new();
    for request in requests {
        stream.write_all(&message(request)).await?;
        loop {
            let Some((_, content, rest)) = split(&read) else {
                if stream.read_buf(&mut read).await? == 0 {
                    return Err("the server has closed".into());
                }
                continue;
            };
            let (tag, inside) = operation(content).ok_or("not an answer")?;
            if tag == 0x64 {
                write_entry(&mut ldif, inside).ok_or("not an entry")?;
            }
            let used = read.len() - rest.len();
            read.drain(..used);
            if tag != 0x64 {
                break;
            }
        }
    }
    Ok(ldif)
}

fn write_entry(ldif: &mut String, entry: &[u8]) -> Option<()> {
    let (_, dn, rest) = split(entry)?;
    let _ = writeln!(ldif, "dn: {}", String::from_utf8_lossy(dn));
    let (_, mut attributes, _) = split(rest)?;
    while let Some((_, attribute, behind)) = split(attributes) {
        attributes = behind;
        let (_, name, set) = split(attribute)?;
        let (_, mut values, _) = split(set)?;
        while let Some((_, value, behind)) = split(values) {
            values = behind;
            let _ = writeln!(ldif, "{}:: {}", String::from_utf8_lossy(name), STANDARD.encode(value));
        }
    }
    ldif.push('\n');
    Some(())
}
