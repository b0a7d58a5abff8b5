//! From the acknowledgement of a blocking status at a home to the changed verdict at each of many subscribers, who
//! verify what is pushed to them and decide for themselves; compared with slapd telling as many syncrepl consumers that
//! an entry has changed. Also the cost of a subscriber while there is no news.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ics_core::identity::Kind;
use ics_core::statement::Claims;
use ics_core::statement::make::certify;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};
use ics_node::api::SubmissionResult;
use ics_node::app::Clock;
use ics_node::client::node::Node;
use ics_sync::http::{HttpPeer, client_builder};
use ics_sync::mirror::{Mirror, Settings};
use ics_sync::{Peer, Progress};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::device;
use crate::directory::{element, operation, split};
use crate::home::{CREATED, Home};
use crate::report::Report;
use crate::slapd::{Database, Slapd};
use crate::subscriber::{Changed, Subscriber};
use crate::{Error, Options, Outcome};

/// The number of concurrent subscribers.
const SUBSCRIBERS: usize = 1_000;
/// The number of statuses and changes, one after the other.
const TRIALS: usize = 30;
/// All processes may use all cores.
const CORES: &str = "0,1";
/// The time limit for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a subscriber listens that receives only heartbeats.
const QUIET: Duration = Duration::from_secs(65);

pub(crate) fn run(report: &mut Report, _: &Options) -> Outcome {
    let home = Home::make()?;
    drop(home.open()?);
    let served = home.serve()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let times = runtime.block_on(changed_verdicts(&home, &served.url))?;
    let ours = print(report, &format!("changed verdict at {SUBSCRIBERS} subscribers"), times, "under 200 ms");
    quiet(report, &home, &served.url)?;
    drop(served);
    let times = runtime.block_on(changed_entries(SUBSCRIBERS))?;
    let peer = print(report, &format!("changed entry at {SUBSCRIBERS} consumers of slapd's syncrepl"), times, "");
    report.figure("p99 of slapd's, unverified and undecided, to ours", &format!("{:.2}", peer / ours));
    Ok(())
}

/// Prints p50 and p99; returns p99 in milliseconds.
fn print(report: &mut Report, what: &str, mut times: Vec<Duration>, wanted: &str) -> f64 {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    report.figure(&format!("from acknowledgement to {what}, p50 of {}", times.len()), &format!("{:.1} ms", at(50)));
    report.bounded(&format!("from acknowledgement to {what}, p99"), &format!("{:.1} ms", at(99)), wanted);
    at(99)
}

/// For each acknowledgement and subscriber, the time until the verdict changed.
async fn changed_verdicts(home: &Home, url: &str) -> Result<Vec<Duration>, Error> {
    let node = Node::new(url)?;
    submit(&node, home, home.certificates()?).await?;
    submit(&node, home, device::introductions(home, 0..TRIALS)?).await?;
    let (changed, mut changes) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let mut subscribers = JoinSet::new();
    for number in 0..SUBSCRIBERS {
        subscribers.spawn(subscribe(
            home.domain.clone(),
            url.to_owned(),
            number as u64,
            changed.clone(),
            stopped.clone(),
        ));
    }
    drop(changed);
    // Each decides once about all devices before anything changes.
    take(&mut changes, SUBSCRIBERS * TRIALS, |change| change.permitted).await?;
    let mut times = Vec::new();
    for trial in 0..TRIALS {
        let body = suspension(home, trial)?;
        submit(&node, home, vec![body]).await?;
        let acknowledged = Instant::now();
        let name = device::fingerprint(trial)?;
        let heard = take(&mut changes, SUBSCRIBERS, |change| !change.permitted && change.id == name).await?;
        times.extend(heard.into_iter().map(|change| change.at.saturating_duration_since(acknowledged)));
    }
    stop.send_replace(true);
    while subscribers.join_next().await.is_some() {}
    Ok(times)
}

/// Waits for this many changes, all of which must be as expected.
async fn take(
    changes: &mut mpsc::UnboundedReceiver<Changed>,
    count: usize,
    is_right: impl Fn(&Changed) -> bool,
) -> Result<Vec<Changed>, Error> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let next = tokio::time::timeout(PATIENCE, changes.recv()).await;
        let change = next.map_err(|_| format!("{} of {count} have decided", taken.len()))?.ok_or("all have ended")?;
        if !is_right(&change) {
            return Err(format!("{} is decided wrongly", change.id).into());
        }
        taken.push(change);
    }
    Ok(taken)
}

async fn subscribe(
    domain: DomainName,
    url: String,
    seed: u64,
    changed: mpsc::UnboundedSender<Changed>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Error> {
    let settings = Settings { interval_millis: 60_000, listens: true, seed };
    let peer = HttpPeer::new(&url, client_builder(&url).build()?)?;
    let mut mirror = Mirror::pinned(peer.info(&domain).await?.origin, settings);
    let (progress, _) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let mut subscriber = Subscriber::new(changed);
    let end = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let clock = Clock::default();
    ics_sync::run(&mut mirror, &[Peer::Http(peer)], &mut subscriber, move || clock.now(), &progress, end).await;
    Ok(())
}

/// The manufacturer suspends one of the devices.
fn suspension(home: &Home, number: usize) -> Result<Vec<u8>, Error> {
    let mut claims = Claims::new(Act::Status, "manufacturer".parse()?, home.domain.clone());
    claims.status = Some("suspended".parse()?);
    let signer = home.signers.first().ok_or("no signers")?;
    let at = Timestamp::from_seconds(CREATED.as_seconds() + 1);
    Ok(certify(signer, &device::key(number)?, &device::urn(number), None, Kind::Device, &claims, true, at, &[0; 32])?)
}

async fn submit(node: &Node, home: &Home, bodies: Vec<Vec<u8>>) -> Outcome {
    let results = node.submit(&home.domain, bodies).await?.results;
    let refused = results.into_iter().find(|result| !matches!(result, SubmissionResult::Receipt(_)));
    refused.map_or(Ok(()), |refused| Err(format!("{refused:?}").into()))
}

/// The cost of a stream on the wire while nothing happens.
fn quiet(report: &mut Report, home: &Home, url: &str) -> Outcome {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    write!(
        stream,
        "GET /v1/domains/{}/feed HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nlast-event-id: 0\r\n\r\n",
        home.domain
    )?;
    let (began, mut read, mut buffer) = (Instant::now(), Vec::new(), [0; 65_536]);
    let mut first = None;
    while began.elapsed() < QUIET {
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the stream ended".into()),
            Ok(count) => read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // What arrives at once is no heartbeat.
                first.get_or_insert(read.len());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let beats = read.get(first.unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(beats);
    let count = text.matches("\n\n").count();
    let bytes = beats.len().checked_div(count).ok_or("no heartbeat came")?;
    let what = format!("bytes on the connection for each of {count} heartbeats, with what they tell");
    report.bounded(&what, &bytes.to_string(), "under 1000");
    Ok(())
}

/// The entry that changes.
const CHANGING: &str = "cn=changing,o=ics";
/// The account that changes it.
const ROOT: &str = "olcRootDN: cn=admin,o=ics\nolcRootPW: secret\n";
const SYNCPROV: &str = "\ndn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config\n\
                        objectClass: olcOverlayConfig\nobjectClass: olcSyncProvConfig\nolcOverlay: {0}syncprov\n";

/// For each acknowledgement and consumer of a slapd, the time until the consumer received the change.
async fn changed_entries(consumers: usize) -> Result<Vec<Duration>, Error> {
    let ldif = format!(
        "dn: o=ics\nobjectClass: organization\no: ics\n\n\
         dn: {CHANGING}\nobjectClass: organizationalRole\ncn: changing\ndescription: 0\n"
    );
    let lines = format!("{ROOT}olcDbIndex: entryUUID,entryCSN eq\n");
    let slapd = Slapd::start(&Database { lines: &lines, overlay: SYNCPROV }, Some(&ldif), CORES)?;
    let (heard, mut hears) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for _ in 0..consumers {
        let (ready, is_ready) = oneshot::channel();
        tasks.spawn(consume(slapd.address, heard.clone(), ready));
        tokio::time::timeout(PATIENCE, is_ready).await??;
    }
    let mut writer = TcpStream::connect(slapd.address)?;
    let bind = element(0x60, &[vec![2, 1, 3], element(4, b"cn=admin,o=ics"), element(0x80, b"secret")].concat());
    ask(&mut writer, &bind)?;
    let mut times = Vec::new();
    for trial in 1..=TRIALS {
        let value = element(0x31, &element(4, trial.to_string().as_bytes()));
        let change =
            element(0x30, &[vec![0x0a, 1, 2], element(0x30, &[element(4, b"description"), value].concat())].concat());
        let modify = element(0x66, &[element(4, CHANGING.as_bytes()), element(0x30, &change)].concat());
        ask(&mut writer, &modify)?;
        let acknowledged = Instant::now();
        for _ in 0..consumers {
            let at: Instant = tokio::time::timeout(PATIENCE, hears.recv()).await?.ok_or("all have ended")?;
            times.push(at.saturating_duration_since(acknowledged));
        }
    }
    tasks.abort_all();
    Ok(times)
}

/// Sends one request, whose answer must be success.
fn ask(stream: &mut TcpStream, request: &[u8]) -> Outcome {
    stream.write_all(&element(0x30, &[vec![2, 1, 7], request.to_vec()].concat()))?;
    let (mut read, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut buffer)?;
        read.extend_from_slice(buffer.get(..count).filter(|read| !read.is_empty()).ok_or("the server has closed")?);
        if let Some((_, content, _)) = split(&read) {
            let (_, answer) = operation(content).ok_or("not an answer")?;
            return if answer.starts_with(&[0x0a, 1, 0]) { Ok(()) } else { Err("slapd refused".into()) };
        }
    }
}

/// A consumer that keeps nothing: it reports the end of the refresh, and then the arrival of each entry.
async fn consume(address: SocketAddr, heard: mpsc::UnboundedSender<Instant>, ready: oneshot::Sender<()>) -> Outcome {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let attributes = [element(4, b"*"), element(4, b"+")].concat();
    let search = [
        element(4, b"o=ics"),
        vec![0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0],
        element(0x87, b"objectClass"),
        element(0x30, &attributes),
    ];
    let sync = element(0x30, &element(0x0a, &[3]));
    let control = element(0x30, &[element(4, b"1.3.6.1.4.1.4203.1.9.1.1"), element(4, &sync)].concat());
    let content = [vec![2, 1, 7], element(0x63, &search.concat()), element(0xa0, &control)].concat();
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(&element(0x30, &content)).await?;
    let (mut read, mut ready) = (Vec::new(), Some(ready));
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err("slapd has closed".into());
        }
        let mut start = 0;
        while let Some((_, content, rest)) = split(read.get(start..).unwrap_or_default()) {
            start = read.len() - rest.len();
            match operation(content) {
                Some((0x64, _)) if ready.is_none() => drop(heard.send(Instant::now())),
                // An intermediate response: the refresh is over.
                Some((0x79, _)) => drop(ready.take().map(|ready| ready.send(()))),
                _ => {}
            }
        }
        read.drain(..start);
    }
}
