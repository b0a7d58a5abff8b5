//! The first refresh of a replicating slapd: from a node, and from a slapd that provides the same entries.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::device;
use crate::directory::{element, operation, split};
use crate::home::Home;
use crate::ingest::{submit, submit_all};
use crate::report::Report;
use crate::slapd::{CORE, Database, Slapd, free_address, wait_for};
use crate::{Error, Options, Outcome};

/// The default number of things: each yields an entry of its own and one for the statement about it.
const THINGS: usize = 50_000;
/// The core of the replicating slapd.
const OTHER_CORE: &str = "1";
/// The number of rounds; the providers take turns.
const ROUNDS: usize = 3;
/// The time limit of a refresh.
const PATIENCE: Duration = Duration::from_secs(600);

const SYNCPROV: &str = "\ndn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config\n\
                        objectClass: olcOverlayConfig\nobjectClass: olcSyncProvConfig\nolcOverlay: {0}syncprov\n";

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let home = Home::make()?;
    let filling = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let app = home.open()?;
    filling.block_on(submit(&app, &home.domain, home.certificates()?))?;
    let things = options.entries.min(THINGS);
    filling.block_on(submit_all(&app, &home.domain, device::introductions(&home, 0..things)?))?;
    drop((app, filling));
    let ours = free_address()?;
    let config = home.path().join("ics.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, format!("{text}\n[ldap]\nlisten = \"{ours}\"\n"))?;
    let _served = home.serve_on(Some(CORE))?;
    wait_for(ours)?;

    let (_, copy) = refresh(ours)?;
    let ldif = copy.dump()?;
    let count = ldif.lines().filter(|line| line.starts_with("dn:")).count();
    let indexed = "olcDbIndex: entryUUID,entryCSN eq\n";
    let peer = Slapd::start(&Database { lines: indexed, overlay: SYNCPROV }, Some(&ldif), CORE)?;
    let (mut refreshes, mut drains) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let taken = refreshes.iter_mut().zip(&mut drains);
        for (address, (refreshes, drains)) in [ours, peer.address].into_iter().zip(taken) {
            let (took, copy) = refresh(address)?;
            drop(copy);
            refreshes.push(took);
            drains.push(drain(address, count)?);
        }
    }
    let [ours, peer] = drains.map(median);
    report.rate(&format!("{count} entries to a client that keeps nothing: ours"), count, ours);
    report.rate("the same: slapd", count, peer);
    let [ours, peer] = refreshes.map(median);
    let ours = report.rate("first refresh of a slapd, entries from ours", count, ours);
    let peer = report.rate("first refresh of a slapd, entries from slapd", count, peer);
    report.ratio("first refresh of a slapd: ours to slapd", ours, peer, 1.0);
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Starts an empty slapd and waits until it has everything. It does not wait for its disk, since the provider is what
/// is measured.
fn refresh(provider: SocketAddr) -> Result<(Duration, Slapd), Error> {
    let lines = format!(
        "olcDbNoSync: TRUE\nolcDbIndex: entryUUID,entryCSN eq\nolcRootDN: cn=admin,o=ics\n\
         olcSyncrepl: rid=001 provider=ldap://{provider} searchbase=\"o=ics\" bindmethod=simple \
         type=refreshAndPersist retry=\"1 +\"\n"
    );
    let began = Instant::now();
    let copy = Slapd::start(&Database { lines: &lines, overlay: "" }, None, OTHER_CORE)?;
    let mut asked = TcpStream::connect(copy.address)?;
    while !is_refreshed(&mut asked)? {
        if began.elapsed() > PATIENCE {
            return Err("the refresh does not end".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((began.elapsed(), copy))
}

/// Asks a replicating slapd whether it has recorded its progress, which it does when the refresh is complete. Starting
/// a program for each question would take too much of the cores that are measured.
fn is_refreshed(copy: &mut TcpStream) -> Result<bool, Error> {
    copy.write_all(&search(0, &[b"contextCSN"], &[]))?;
    let mut has = false;
    each_message(copy, |content| {
        has |= content.windows(10).any(|window| window == b"contextCSN");
        !matches!(operation(content), Some((0x65, _)))
    })?;
    Ok(has)
}

/// A search of everything below the suffix, or of the suffix alone, with this control.
fn search(scope: u8, attributes: &[&[u8]], control: &[u8]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes.iter().flat_map(|attribute| element(4, attribute)).collect();
    let search = [
        element(4, b"o=ics"),
        vec![0x0a, 1, scope, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0],
        element(0x87, b"objectClass"),
        element(0x30, &attributes),
    ];
    element(0x30, &[&[2, 1, 7], element(0x63, &search.concat()).as_slice(), control].concat())
}

/// Passes on incoming messages one by one, as long as more are wanted.
fn each_message(stream: &mut TcpStream, mut take: impl FnMut(&[u8]) -> bool) -> Outcome {
    let (mut read, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err("the server has closed".into());
        }
        read.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let mut start = 0;
        while let Some((_, content, rest)) = split(read.get(start..).unwrap_or_default()) {
            start = read.len() - rest.len();
            if !take(content) {
                return Ok(());
            }
        }
        read.drain(..start);
    }
}

/// The time to be sent everything, requested in the way slapd does.
fn drain(address: SocketAddr, wanted: usize) -> Result<Duration, Error> {
    let sync = element(0x30, &element(0x0a, &[1]));
    let control = element(0x30, &[element(4, b"1.3.6.1.4.1.4203.1.9.1.1"), element(4, &sync)].concat());
    let mut stream = TcpStream::connect(address)?;
    let began = Instant::now();
    stream.write_all(&search(2, &[b"*", b"+"], &element(0xa0, &control)))?;
    let mut entries = 0;
    each_message(&mut stream, |content| match operation(content) {
        Some((0x65, _)) => false,
        of => {
            entries += usize::from(matches!(of, Some((0x64, _))));
            true
        }
    })?;
    if entries == wanted { Ok(began.elapsed()) } else { Err(format!("{entries} entries of {wanted}").into()) }
}
