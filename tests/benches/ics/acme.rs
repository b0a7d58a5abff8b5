//! Whole orders over ACME, compared with the distribution's pebble: order, request, certificate, download, each signed
//! with P-256, and nothing to prove. Pebble's sleeps and rejected nonces are switched off; it reuses a proven name.

mod client;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ics_core::identity::Kind;
use ics_core::openpgp::possession;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::{Claims, make};
use ics_core::vocabulary::Act;
use ics_node::api::{AcmeCredential, ChallengeAnswer};
use ics_node::app::{AcmeSetup, Asker};
use ics_node::config::{AcmeConfig, TlsConfig};
use ics_node::http::{self, Settings};
use ics_sync::wire::Base64;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use self::client::{Client, Server, Wanted, request};
use crate::report::{Report, median};
use crate::revocation::pin;
use crate::world::{CREATED, Shape, World, domain, maker};
use crate::{Error, Options, Outcome};

/// The default number of orders in a round, and how many clients make them concurrently: so many that no server waits for
/// its clients. With 64, one of two processors was idle for a tenth of the time when both were the node's.
const ORDERS: usize = 3_264;
const CLIENTS: usize = 96;
/// The name that each of pebble's accounts has proven.
const HOST: &str = "h.example";
/// The number of rounds; the servers take turns.
const ROUNDS: usize = 3;
/// A server is at rest when it has used no more milliseconds of a processor than this for so long.
const AT_REST: Duration = Duration::from_secs(2);
const AT_REST_USES: f64 = 30.0;
/// How long a server may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// Set in the process that runs this program as a node; says how many devices it has.
const NODE: &str = "ICS_BENCH_ACME_NODE";

/// The processors of a server and its clients, in the form of `taskset`.
struct Places {
    name: &'static str,
    server: &'static str,
    clients: &'static str,
}

const PLACES: [Places; 2] = [
    Places { name: "a core for the server, one for its clients", server: "0", clients: "1" },
    Places { name: "two cores for both", server: "0-1", clients: "0-1" },
];

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let orders = options.entries.min(ORDERS);
    // All clients share one thread, which does not become saturated.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for places in &PLACES {
        pin(places.clients)?;
        let measured = compare(&runtime, orders, places.server);
        pin("0-1023")?;
        let [(ours, our_time), (theirs, their_time)] = measured?;
        let name = places.name;
        report.figure(
            &format!("orders, {CLIENTS} clients, {name}: ours, each certificate durable in the log"),
            &format!("{ours:.0}/s"),
        );
        report.figure(&format!("orders, {CLIENTS} clients, {name}: pebble, in memory"), &format!("{theirs:.0}/s"));
        report.ratio(&format!("orders, {name}: ours to pebble"), ours, theirs, 3.0);
        report.figure(
            &format!("processor time of an order, {name}: ours and its client; pebble and its client"),
            &format!(
                "{:.2} ms and {:.2} ms; {:.2} ms and {:.2} ms",
                our_time.server, our_time.client, their_time.server, their_time.client
            ),
        );
    }
    Ok(())
}

/// Orders per second of each server, ours first, and the processor time of one order.
fn compare(runtime: &Runtime, orders: usize, cores: &str) -> Result<[(f64, Spent); 2], Error> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let tls = tls_files(directory.path())?;
    let node = Node::start(&tls, orders * ROUNDS + CLIENTS, cores)?;
    let pebble = Pebble::start(&directory, &tls, cores)?;
    let (mut ours, mut theirs) = (Side::of(&node.process), Side::of(&pebble.process));
    for credential in &node.credentials {
        ours.clients.push(runtime.block_on(Client::new(&node.server, &credential.directory, Some(credential)))?);
        let mut client = runtime.block_on(Client::new(&pebble.server, &pebble.server.url("/dir"), None))?;
        runtime.block_on(client.prove(HOST))?;
        theirs.clients.push(client);
    }
    // The first orders are not measured: with its first certificate the node puts its issuer's certificate into the log,
    // and then makes memory ready anew.
    let mut devices = 0..;
    let mut of_devices = |count| devices.by_ref().take(count).map(device).collect::<Result<VecDeque<_>, _>>();
    let of_one_host = |count| (0..count).map(|_| named()).collect::<Result<VecDeque<_>, _>>();
    ours.order(runtime, of_devices(CLIENTS)?)?;
    theirs.order(runtime, of_one_host(CLIENTS)?)?;
    for _ in 0..ROUNDS {
        ours.round(runtime, of_devices(orders)?)?;
        theirs.round(runtime, of_one_host(orders)?)?;
    }
    Ok([ours, theirs].map(|side| (median(side.rates), side.spent.of_one(orders * ROUNDS))))
}

/// A server's process, its clients, and their results.
struct Side {
    process: u32,
    clients: Vec<Client>,
    rates: Vec<f64>,
    spent: Spent,
}

impl Side {
    fn of(process: &Child) -> Self {
        Self { process: process.id(), clients: Vec::new(), rates: Vec::new(), spent: Spent::default() }
    }

    /// Has the clients make these orders concurrently. The server is left alone before until it has nothing to do: a node
    /// makes memory ready after a start and after news.
    fn round(&mut self, runtime: &Runtime, work: VecDeque<Wanted>) -> Outcome {
        let orders = work.len();
        wait_until_at_rest(self.process)?;
        let (began, before) = (Instant::now(), Spent::until_now(self.process)?);
        self.order(runtime, work)?;
        self.rates.push(crate::report::per_second(orders, began.elapsed()));
        self.spent.add(&before, &Spent::until_now(self.process)?);
        Ok(())
    }

    fn order(&mut self, runtime: &Runtime, work: VecDeque<Wanted>) -> Outcome {
        self.clients = runtime.block_on(all(std::mem::take(&mut self.clients), work))?;
        Ok(())
    }
}

/// Processor time, in milliseconds, of a server and of this process, which runs all clients.
#[derive(Clone, Copy, Default)]
struct Spent {
    server: f64,
    client: f64,
}

impl Spent {
    fn until_now(server: u32) -> Result<Self, Error> {
        Ok(Self { server: processor_time(&server.to_string())?, client: processor_time("self")? })
    }

    fn add(&mut self, before: &Self, after: &Self) {
        self.server += after.server - before.server;
        self.client += after.client - before.client;
    }

    fn of_one(self, orders: usize) -> Self {
        Self { server: self.server / orders as f64, client: self.client / orders as f64 }
    }
}

/// The processor time of a process in milliseconds, from the fields utime and stime of proc_pid_stat(5), which are in
/// hundredths of a second.
fn processor_time(process: &str) -> Result<f64, Error> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) * 10.0)
}

/// Waits until a process has used next to no processor time for longer than a node pauses between two looks for news.
fn wait_until_at_rest(process: u32) -> Outcome {
    let process = process.to_string();
    let began = Instant::now();
    let (mut since, mut used) = (began, processor_time(&process)?);
    while since.elapsed() < AT_REST {
        if began.elapsed() > PATIENCE {
            return Err("the server does not come to rest".into());
        }
        std::thread::sleep(AT_REST / 10);
        let now = processor_time(&process)?;
        if now - used > AT_REST_USES {
            (since, used) = (Instant::now(), now);
        }
    }
    Ok(())
}

/// The manufacturer's statements that introduce a device and say that it is in use.
fn in_use(number: usize) -> Result<Vec<Vec<u8>>, Error> {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let device = Ed25519Signer::from_seed(&seed, 4, CREATED)?;
    let mut introduction = Claims::new(Act::Identity, "manufacturer".parse()?, domain());
    introduction.names = vec![urn(number).parse()?];
    let mut status = Claims::new(Act::Status, "manufacturer".parse()?, domain());
    status.status = Some("in-use".parse()?);
    let said = |claims: &Claims| {
        make::certify(&maker(), device.public_key(), "Pump", None, Kind::Device, claims, false, CREATED, &[3; 32])
    };
    Ok(vec![said(&introduction)?, said(&status)?])
}

fn urn(number: usize) -> String {
    format!("urn:dev:os:32473-B{number}")
}

fn device(number: usize) -> Result<Wanted, Error> {
    Ok(Wanted { identifier: json!({"type": "permanent-identifier", "value": urn(number)}), csr: request(None)? })
}

fn named() -> Result<Wanted, Error> {
    Ok(Wanted { identifier: json!({"type": "dns", "value": HOST}), csr: request(Some(HOST))? })
}

/// This program running as a node until its standard input is closed.
struct Node {
    process: Child,
    server: Server,
    /// What it printed once it accepted requests: a credential for each client, with the URL of its directory.
    credentials: Vec<AcmeCredential>,
}

impl Node {
    fn start(tls: &TlsConfig, devices: usize, cores: &str) -> Result<Self, Error> {
        let port = free_port()?;
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(std::env::current_exe()?).arg(&tls.certificate).arg(&tls.key);
        command.arg(port.to_string()).env(NODE, devices.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("the node has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let credentials = serde_json::from_str(&line).map_err(|error| format!("the node did not start: {error}"))?;
        Ok(Self { process, server: Server::new(port, &tls.certificate)?, credentials })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Its exit status does not change what was measured.
        let _ = self.process.wait();
    }
}

/// Runs the node if this process was started for that; returns `None` otherwise.
pub(crate) fn node() -> Option<Outcome> {
    let devices = std::env::var(NODE).ok()?;
    let serve = || {
        let mut told = std::env::args().skip(1);
        let (Some(certificate), Some(key), Some(port)) = (told.next(), told.next(), told.next()) else {
            return Err("the node's files or its port are missing".into());
        };
        serve(&TlsConfig { certificate: certificate.into(), key: key.into() }, port.parse()?, devices.parse()?)
    };
    Some(serve())
}

fn serve(tls: &TlsConfig, port: u16, devices: usize) -> Outcome {
    let url = format!("https://127.0.0.1:{port}");
    let config = AcmeConfig { orders_per_hour: 1_000_000, ..AcmeConfig::default() };
    let world = World::of(&Shape { acme: Some(AcmeSetup { config, url: url.clone() }), ..Shape::new() });
    for first in (0..devices).step_by(400) {
        let some = (first..devices.min(first + 400)).map(in_use).collect::<Result<Vec<_>, Error>>()?;
        world.submit(some.concat());
    }
    let settings = Settings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
        tls: Some(tls.clone()),
        public_url: url.clone(),
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = runtime.block_on(async { http::serve(world.app.clone(), &settings) })?;
    runtime.spawn(server.run(std::future::pending()));
    // As `ics serve` does.
    let (_goes_on, stop) = watch::channel(false);
    runtime.spawn(world.app.clone().stay_ready(stop));
    let credentials = (0..CLIENTS).map(|_| credential(&world)).collect::<Result<Vec<_>, _>>()?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&credentials)?)?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn credential(world: &World) -> Result<AcmeCredential, Error> {
    let maker = maker();
    let id = maker.public_key().fingerprint().to_string();
    let challenge = world.app.acme_credential_challenge(Asker::Own, &domain(), &id)?;
    let signature = possession::sign(&maker, challenge.message.as_bytes(), CREATED, &[5; 32])?;
    let answer = ChallengeAnswer { nonce: challenge.nonce, signature: Base64(signature) };
    Ok(world.app.acme_credential(&domain(), &answer)?)
}

/// A running pebble.
struct Pebble {
    process: Child,
    server: Server,
}

impl Pebble {
    fn start(directory: &TempDir, tls: &TlsConfig, cores: &str) -> Result<Self, Error> {
        let (port, management) = (free_port()?, free_port()?);
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": tls.certificate, "privateKey": tls.key, "httpPort": 5002, "tlsPort": 5001,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let path = directory.path().join("pebble.json");
        fs::write(&path, config.to_string())?;
        let mut command = Command::new("taskset");
        command.args(["-c", cores, "pebble", "-config"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, value) in [
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_VA_ALWAYS_VALID", "1"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
            ("PEBBLE_AUTHZREUSE", "100"),
        ] {
            command.env(name, value);
        }
        let process = command.spawn().map_err(|error| format!("pebble: {error}"))?;
        let pebble = Self { process, server: Server::new(port, &tls.certificate)? };
        let began = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("pebble does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(pebble)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has all clients work concurrently. Each takes the next order when it has finished one: if each had as many, a server
/// would have little to do while the last of them finish theirs.
async fn all(clients: Vec<Client>, work: VecDeque<Wanted>) -> Result<Vec<Client>, Error> {
    let work = Arc::new(Mutex::new(work));
    let order = |mut client: Client| {
        let work = Arc::clone(&work);
        let next = move || work.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        tokio::spawn(async move {
            while let Some(wanted) = next() {
                client.whole_order(&wanted).await?;
            }
            Ok::<_, Error>(client)
        })
    };
    let tasks: Vec<_> = clients.into_iter().map(order).collect();
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(task.await??);
    }
    Ok(done)
}

/// A certificate for both servers; how they are trusted is not measured.
fn tls_files(directory: &Path) -> Result<TlsConfig, Error> {
    let files = TlsConfig { certificate: directory.join("tls.pem"), key: directory.join("tls.key") };
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = command.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate).output()?;
    if made.status.success() { Ok(files) } else { Err(String::from_utf8_lossy(&made.stderr).into()) }
}

fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
