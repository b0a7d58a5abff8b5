//! Whole orders over ACME against pebble of the distribution: order, request, certificate, download, each signed with
//! P-256 and nothing to prove. Pebble's sleeps and rejected nonces are switched off; it uses a proven name again.

#![expect(clippy::indexing_slicing, reason = "members that JSON lacks are null, and a point has 65 octets")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use data_encoding::BASE64URL_NOPAD;
use ics_core::identity::Kind;
use ics_core::openpgp::possession;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::{Claims, make};
use ics_core::vocabulary::Act;
use ics_node::api::{AcmeCredential, ChallengeAnswer};
use ics_node::app::AcmeSetup;
use ics_node::config::{AcmeConfig, TlsConfig};
use ics_node::http::{self, Settings};
use ics_sync::wire::Base64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::report::{Report, median};
use crate::world::{CREATED, DOMAIN, Shape, World, domain, maker};
use crate::{Error, Options, Outcome};

/// Orders of one round, unless fewer are asked for, and clients that make them side by side.
const ORDERS: usize = 3_200;
const CLIENTS: usize = 64;
/// Rounds, each server in turn.
const ROUNDS: usize = 3;

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let orders = options.entries.min(ORDERS) / CLIENTS * CLIENTS;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let tls = tls_files(directory.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (ours, world) = ours(&runtime, &tls, orders * ROUNDS)?;
    let pebble = Pebble::start(&directory, &tls)?;
    let mut clients = [Vec::new(), Vec::new()];
    for number in 0..CLIENTS {
        let credential = Some(credential(&world)?);
        clients[0].push(runtime.block_on(Client::new(&ours, credential))?);
        let mut client = runtime.block_on(Client::new(&pebble.directory, None))?;
        runtime.block_on(client.prove(&host(number)))?;
        clients[1].push(client);
    }
    let mut rates = [Vec::new(), Vec::new()];
    let mut spent = [Spent::default(), Spent::default()];
    for round in 0..ROUNDS {
        let work = |ours: bool| -> Result<Vec<Vec<Wanted>>, Error> {
            let of = |client: usize, order: usize| {
                if ours { device(round * orders + client + order * CLIENTS) } else { named(client) }
            };
            (0..CLIENTS).map(|client| (0..orders / CLIENTS).map(|order| of(client, order)).collect()).collect()
        };
        for (side, (clients, (rates, spent))) in clients.iter_mut().zip(rates.iter_mut().zip(&mut spent)).enumerate() {
            let work = work(side == 0)?;
            let (began, before) = (Instant::now(), Spent::until_now(&pebble)?);
            *clients = runtime.block_on(all(std::mem::take(clients), work))?;
            rates.push(crate::report::per_second(orders, began.elapsed()));
            spent.add(&before, &Spent::until_now(&pebble)?);
        }
    }
    let [ours, theirs] = rates.map(median);
    report.figure(
        &format!("orders, {CLIENTS} clients: ours, each certificate durable in the log"),
        &format!("{ours:.0}/s"),
    );
    report.figure(&format!("orders, {CLIENTS} clients: pebble, in memory"), &format!("{theirs:.0}/s"));
    report.ratio("orders: ours to pebble", ours, theirs, 3.0);
    let [ours, theirs] = spent.map(|spent| spent.of_one(orders * ROUNDS));
    report.figure(
        "processor time of an order: ours with its client; pebble; its client",
        &format!("{:.2} ms; {:.2} ms; {:.2} ms", ours.here, theirs.pebble, theirs.here),
    );
    Ok(())
}

/// Processor time, in milliseconds, of this process, which is our node and every client, and of pebble.
#[derive(Clone, Copy, Default)]
struct Spent {
    here: f64,
    pebble: f64,
}

impl Spent {
    fn until_now(pebble: &Pebble) -> Result<Self, Error> {
        Ok(Self { here: processor_time("self")?, pebble: processor_time(&pebble.process.id().to_string())? })
    }

    fn add(&mut self, before: &Self, after: &Self) {
        self.here += after.here - before.here;
        self.pebble += after.pebble - before.pebble;
    }

    fn of_one(self, orders: usize) -> Self {
        Self { here: self.here / orders as f64, pebble: self.pebble / orders as f64 }
    }
}

/// Milliseconds that a process has spent, from the fields utime and stime of proc_pid_stat(5), in hundredths of a second.
fn processor_time(process: &str) -> Result<f64, Error> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) * 10.0)
}

/// What is ordered, and the request for it.
struct Wanted {
    identifier: Value,
    csr: Vec<u8>,
}

/// The manufacturer introduces a device, and says that it is in use.
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

fn host(client: usize) -> String {
    format!("h{client}.example")
}

fn device(number: usize) -> Result<Wanted, Error> {
    Ok(Wanted { identifier: json!({"type": "permanent-identifier", "value": urn(number)}), csr: request(None)? })
}

fn named(client: usize) -> Result<Wanted, Error> {
    let host = host(client);
    Ok(Wanted { identifier: json!({"type": "dns", "value": host}), csr: request(Some(&host))? })
}

/// A node with so many devices; its directory.
fn ours(runtime: &tokio::runtime::Runtime, tls: &TlsConfig, devices: usize) -> Result<(String, World), Error> {
    let port = free_port()?;
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
    let server = runtime.block_on(async { http::serve(world.app.clone(), &settings) })?;
    runtime.spawn(server.run(std::future::pending()));
    Ok((format!("{url}/acme/{DOMAIN}/directory"), world))
}

fn credential(world: &World) -> Result<AcmeCredential, Error> {
    let maker = maker();
    let challenge = world.app.acme_credential_challenge(&domain(), &maker.public_key().fingerprint().to_string())?;
    let signature = possession::sign(&maker, challenge.message.as_bytes(), CREATED, &[5; 32])?;
    let answer = ChallengeAnswer { nonce: challenge.nonce, signature: Base64(signature) };
    Ok(world.app.acme_credential(&domain(), &answer)?)
}

/// Pebble for as long as it is measured.
struct Pebble {
    process: Child,
    directory: String,
}

impl Pebble {
    fn start(directory: &TempDir, tls: &TlsConfig) -> Result<Self, Error> {
        let (port, management) = (free_port()?, free_port()?);
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": tls.certificate, "privateKey": tls.key, "httpPort": 5002, "tlsPort": 5001,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let path = directory.path().join("pebble.json");
        fs::write(&path, config.to_string())?;
        let mut command = Command::new("pebble");
        command.arg("-config").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, value) in [
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_VA_ALWAYS_VALID", "1"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
            ("PEBBLE_AUTHZREUSE", "100"),
        ] {
            command.env(name, value);
        }
        let process = command.spawn().map_err(|error| format!("pebble: {error}"))?;
        let pebble = Self { process, directory: format!("https://127.0.0.1:{port}/dir") };
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
        // One that has ended already has nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lets all clients work side by side; they come back in their order, because each has proven a name of its own.
async fn all(clients: Vec<Client>, work: Vec<Vec<Wanted>>) -> Result<Vec<Client>, Error> {
    let order = |(mut client, wanted): (Client, Vec<Wanted>)| {
        tokio::spawn(async move {
            for one in wanted {
                client.whole_order(&one).await?;
            }
            Ok::<_, Error>(client)
        })
    };
    let tasks: Vec<_> = clients.into_iter().zip(work).map(order).collect();
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(task.await??);
    }
    Ok(done)
}

/// An ACME client with its account.
struct Client {
    http: reqwest::Client,
    key: EcdsaKeyPair,
    random: SystemRandom,
    directory: Value,
    nonce: Option<String>,
    kid: String,
}

struct Answer {
    location: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Result<Value, Error> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl Client {
    async fn new(directory: &str, credential: Option<AcmeCredential>) -> Result<Self, Error> {
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
        let directory: Value = http.get(directory).send().await?.json().await?;
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let mut client = Self { http, key, random: SystemRandom::new(), directory, nonce: None, kid: String::new() };
        let url = client.url("newAccount");
        let mut payload = json!({"termsOfServiceAgreed": true});
        if let Some(credential) = credential {
            payload["externalAccountBinding"] = client.binding(&credential, &url)?;
        }
        client.kid = client.post(&url, &payload.to_string()).await?.location;
        Ok(client)
    }

    fn url(&self, member: &str) -> String {
        self.directory[member].as_str().unwrap_or_default().to_owned()
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let encode = |range: std::ops::Range<usize>| BASE64URL_NOPAD.encode(&point[range]);
        json!({"kty": "EC", "crv": "P-256", "x": encode(1..33), "y": encode(33..65)})
    }

    fn binding(&self, credential: &AcmeCredential, url: &str) -> Result<Value, Error> {
        let protected = json!({"alg": "HS256", "kid": credential.kid, "url": url}).to_string();
        let (protected, payload) =
            (BASE64URL_NOPAD.encode(protected.as_bytes()), BASE64URL_NOPAD.encode(self.jwk().to_string().as_bytes()));
        let secret = BASE64URL_NOPAD.decode(credential.hmac_key.as_bytes())?;
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = aws_lc_rs::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let signature = BASE64URL_NOPAD.encode(tag.as_ref());
        Ok(json!({"protected": protected, "payload": payload, "signature": signature}))
    }

    async fn post(&mut self, url: &str, payload: &str) -> Result<Answer, Error> {
        let nonce = match self.nonce.take() {
            Some(nonce) => nonce,
            None => {
                let response = self.http.head(self.url("newNonce")).send().await?;
                header(&response, "replay-nonce").ok_or("no nonce")?
            }
        };
        let mut protected = json!({"alg": "ES256", "nonce": nonce, "url": url});
        if self.kid.is_empty() {
            protected["jwk"] = self.jwk();
        } else {
            protected["kid"] = self.kid.as_str().into();
        }
        let protected = BASE64URL_NOPAD.encode(protected.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signature = self.key.sign(&self.random, format!("{protected}.{payload}").as_bytes())?;
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let body = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
        let request = self.http.post(url).header("content-type", "application/jose+json").body(body);
        let response = request.send().await?;
        self.nonce = header(&response, "replay-nonce");
        let (status, location) = (response.status(), header(&response, "location").unwrap_or_default());
        let body = response.bytes().await?.to_vec();
        if status.is_success() {
            Ok(Answer { location, body })
        } else {
            Err(format!("{url}: {status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }

    /// Order, request, certificate, download.
    async fn whole_order(&mut self, wanted: &Wanted) -> Result<(), Error> {
        let payload = json!({"identifiers": [wanted.identifier]}).to_string();
        let order = self.post(&self.url("newOrder"), &payload).await?;
        let csr = json!({"csr": BASE64URL_NOPAD.encode(&wanted.csr)}).to_string();
        let (location, finalize) =
            (order.location.clone(), order.json()?["finalize"].as_str().unwrap_or_default().to_owned());
        let mut done = self.post(&finalize, &csr).await?.json()?;
        while done["status"] != "valid" {
            if done["status"] == "invalid" {
                return Err(done.to_string().into());
            }
            done = self.post(&location, "").await?.json()?;
        }
        let url = done["certificate"].as_str().unwrap_or_default().to_owned();
        let chain = self.post(&url, "").await?.body;
        if chain.starts_with(b"-----BEGIN CERTIFICATE-----") { Ok(()) } else { Err("no certificate".into()) }
    }

    /// Proves a name to a server that believes everything, so that it need not be proven again.
    async fn prove(&mut self, host: &str) -> Result<(), Error> {
        let payload = json!({"identifiers": [{"type": "dns", "value": host}]}).to_string();
        let order = self.post(&self.url("newOrder"), &payload).await?.json()?;
        let authorization = order["authorizations"][0].as_str().unwrap_or_default().to_owned();
        let shown = self.post(&authorization, "").await?.json()?;
        let challenge = shown["challenges"][0]["url"].as_str().unwrap_or_default().to_owned();
        self.post(&challenge, "{}").await?;
        let began = Instant::now();
        while self.post(&authorization, "").await?.json()?["status"] != "valid" {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("the name is not proven".into());
            }
        }
        Ok(())
    }
}

fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A request for a certificate of a new P-256 key (RFC 2986), without names or for a host.
fn request(host: Option<&str>) -> Result<Vec<u8>, Error> {
    const SPKI: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    const EXTENSION_REQUEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
    const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
    const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let attributes = host.map_or_else(Vec::new, |host| {
        let names = element(0x30, &[&element(0x82, &[host.as_bytes()])]);
        let extension = element(0x30, &[SUBJECT_ALT_NAME, &element(0x04, &[&names])]);
        element(0x30, &[EXTENSION_REQUEST, &element(0x31, &[&element(0x30, &[&extension])])])
    });
    let spki = [SPKI, key.public_key().as_ref()].concat();
    let info = element(0x30, &[&[2, 1, 0], &element(0x30, &[]), &spki, &element(0xa0, &[&attributes])]);
    let signature = key.sign(&SystemRandom::new(), &info)?;
    Ok(element(0x30, &[&info, &element(0x30, &[ECDSA_SHA256]), &element(0x03, &[&[0], signature.as_ref()])]))
}

/// DER of less than 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = (content.len() as u16).to_be_bytes();
    let head: &[u8] = if content.len() < 0x80 { &[tag, low] } else { &[tag, 0x82, high, low] };
    let head = if (0x80..0x100).contains(&content.len()) { &[tag, 0x81, low][..] } else { head };
    [head, &content].concat()
}

/// A certificate for both servers; what they are measured by is not how they are trusted.
fn tls_files(directory: &Path) -> Result<TlsConfig, Error> {
    let files = TlsConfig { certificate: directory.join("tls.pem"), key: directory.join("tls.key") };
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    let made = command.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate).output()?;
    if made.status.success() { Ok(files) } else { Err(String::from_utf8_lossy(&made.stderr).into()) }
}

fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
