//! Revocation: OCSP answers from memory compared with nginx serving a file of the same size on the same core, and the
//! time until a suspended device is revoked in OCSP and on its list, among a thousand certificates and among many.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use ics_core::identity::Kind;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::{Claims, make};
use ics_core::vocabulary::Act;
use ics_node::app::{Asker, Clock, Depth};
use ics_node::http::{self, Settings};
use ics_node::x509::{SerialNumber, certificate_pem, issuer_id};
use tempfile::TempDir;

use crate::answers::{Nginx, SERVER, Script, wrk};
use crate::report::Report;
use crate::world::{CREATED, DOMAIN, Shape, World, authority, controller, domain, maker};
use crate::{Error, Options, Outcome};

/// The smaller number of certificates.
const FEW: usize = 1_000;
/// Revocations timed at each size.
const REVOKED: usize = 50;
/// Statements submitted at once.
const BATCH: usize = 500;
/// The number of lists among which the certificates are divided.
const SHARDS: u16 = 256;
/// The reason `certificateHold` in an OCSP answer (RFC 6960, 4.2.1), and in a list (RFC 5280, 5.3.1).
const HELD: &[u8] = &[0xa0, 3, 10, 1, 6];
const HELD_ON_LIST: &[u8] = &[4, 3, 10, 1, 6];

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let world = World::of(&Shape { shards: SHARDS, ..Shape::new() });
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("issuer.pem"), certificate_pem(&world.issuer))?;
    issue(&world, 0..FEW.min(options.entries))?;
    let world = restarted(world)?;
    let few = costs(report, &world, &directory, FEW.min(options.entries))?;
    over_http(report, &world, &directory)?;
    if options.entries > FEW {
        issue(&world, FEW..options.entries)?;
        let world = restarted(world)?;
        let many = costs(report, &world, &directory, options.entries)?;
        report.bounded(
            &format!("revocation, {} to {FEW}", options.entries),
            &format!("{:.2}", many.as_secs_f64() / few.as_secs_f64()),
            "about 1",
        );
    }
    Ok(())
}

fn device(number: usize) -> Result<Ed25519Signer, Error> {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Ok(Ed25519Signer::from_seed(&seed, 4, CREATED)?)
}

fn serial(number: usize) -> SerialNumber {
    // Spread over the lists, as random serial numbers are.
    let mut bytes = [0x41; 20];
    let place = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    bytes[1..9].copy_from_slice(&place);
    bytes[12..20].copy_from_slice(&(number as u64).to_be_bytes());
    SerialNumber::new(bytes)
}

/// Devices in use, each with a certificate; the statement that names a certificate is all that matters of it.
fn issue(world: &World, numbers: std::ops::Range<usize>) -> Outcome {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(BATCH / 2) {
        let half = some.len().div_ceil(2);
        let made: Vec<Result<Vec<Vec<u8>>, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = some.chunks(half).map(|part| scope.spawn(|| bodies(world, part))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect()
        });
        let certificate = if some.first() == Some(&0) { vec![world.key.certificate.to_vec()] } else { Vec::new() };
        let made = made.into_iter().collect::<Result<Vec<_>, Error>>()?;
        world.submit(certificate.into_iter().chain(made.concat()).collect());
    }
    Ok(())
}

/// Restarts the node with everything written to disk before, so that a revocation is timed, and not the writing of what
/// came just before it.
fn restarted(world: World) -> Result<World, Error> {
    let key = world.key.clone();
    let world = world.with_key(key);
    if !Command::new("sync").status()?.success() {
        return Err("sync failed".into());
    }
    Ok(world)
}

fn bodies(world: &World, numbers: &[usize]) -> Result<Vec<Vec<u8>>, Error> {
    let now = Clock::default().now();
    let mut bodies = Vec::with_capacity(numbers.len() * 2);
    for &number in numbers {
        let device = device(number)?;
        let mut introduction = Claims::new(Act::Identity, "manufacturer".parse()?, domain());
        introduction.names = vec![format!("serial:B{number}").parse()?];
        let mut issued = Claims::new(Act::Issued, "issuer".parse()?, domain());
        let digest = data_encoding::HEXLOWER.encode(device.public_key().fingerprint().as_bytes()) + &"0".repeat(24);
        let names = [serial(number).name().to_string(), format!("spki:{digest}"), format!("cert:{digest}")];
        issued.names = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        (issued.from, issued.until) = (Some(CREATED), Some(now.plus_millis(90 * 86_400_000)));
        issued.reason = Some("ldevid".to_owned());
        let said = |by: &dyn ics_core::openpgp::signer::Signer, claims: &Claims| {
            make::certify(by, device.public_key(), "Pump", None, Kind::Device, claims, false, now, &[3; 32])
        };
        bodies.push(said(&maker(), &introduction)?);
        bodies.push(said(&*world.key.signer, &issued)?);
    }
    Ok(bodies)
}

fn suspended(number: usize) -> Result<Vec<u8>, Error> {
    let mut claims = Claims::new(Act::Status, "security-controller".parse()?, domain());
    claims.status = Some("suspended".parse()?);
    let (device, now) = (device(number)?, Clock::default().now());
    Ok(make::certify(&controller(), device.public_key(), "Pump", None, Kind::Device, &claims, true, now, &[3; 32])?)
}

/// An OCSP request about a certificate, as openssl makes it.
fn question(directory: &TempDir, number: usize) -> Result<Vec<u8>, Error> {
    let serial = serial(number).name().to_string().replace("serial:", "0x");
    let mut command = Command::new("openssl");
    command.current_dir(directory.path()).args(["ocsp", "-issuer", "issuer.pem", "-serial", &serial, "-no_nonce"]);
    let made = command.args(["-reqout", "request.der"]).output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into());
    }
    Ok(std::fs::read(directory.path().join("request.der"))?)
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Measures the time from having the signed status until OCSP and the list say so, both signed; returns the median.
fn costs(report: &mut Report, world: &World, directory: &TempDir, size: usize) -> Result<Duration, Error> {
    let issuer = authority(&[&world.issuer, &world.root]);
    let list = |number: usize| {
        let shard = u16::from(serial(number).bucket()) % SHARDS;
        world.list(&issuer_id(&issuer), u8::try_from(shard)?).map_err(Error::from)
    };
    let answer = |request: &[u8]| -> Result<Vec<u8>, Error> {
        let answer =
            world.app.ocsp(Asker::Own, &domain(), request, Depth::Store).map_err(|error| format!("{error:?}"))?;
        Ok(answer.ok_or("no answer")?.der.to_vec())
    };
    let (mut times, mut first) = (Vec::new(), Duration::ZERO);
    for step in 0..REVOKED.min(size / 4) {
        // Those that were not used at another size.
        let number = size - 1 - step * (size / 2 / REVOKED).max(1);
        let (request, body) = (question(directory, number)?, suspended(number)?);
        let began = Instant::now();
        let before = (answer(&request)?, list(number)?);
        first = first.max(began.elapsed());
        if has(&before.0, HELD) {
            return Err("it is revoked already".into());
        }
        let began = Instant::now();
        world.submit(vec![body]);
        let after = (answer(&request)?, list(number)?);
        times.push(began.elapsed());
        let octets = serial(number);
        if !has(&after.0, HELD) || !has(&after.1.der, octets.as_bytes()) || !has(&after.1.der, HELD_ON_LIST) {
            return Err("it is not revoked".into());
        }
    }
    times.sort();
    let (median, worst) = (times.get(times.len() / 2), times.last());
    let (median, worst) = (*median.ok_or("nothing was timed")?, *worst.ok_or("nothing was timed")?);
    let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    report.figure(&format!("{size}: until it is in the log, in OCSP and on its list, median"), &millis(median));
    report.bounded(&format!("{size}: the same, the slowest of {}", times.len()), &millis(worst), "under 1 s");
    report.figure(&format!("{size}: the first answer and the first list of a start, the slowest"), &millis(first));
    Ok(median)
}

/// One OCSP answer again and again, as for a device about which many ask.
fn over_http(report: &mut Report, world: &World, directory: &TempDir) -> Outcome {
    let base64 = data_encoding::BASE64.encode(&question(directory, 0)?);
    let path = base64.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let settings =
        Settings { listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], workers: Some(1), ..Settings::default() };
    let server = runtime.block_on(async { http::serve(world.app.clone(), &settings) })?;
    let address = *server.addresses().first().ok_or("no address")?;
    runtime.spawn(server.run(std::future::pending()));
    let url = format!("http://{address}");
    let path = format!("/x509/{DOMAIN}/ocsp/{path}");
    let answer = Command::new("curl").args(["-sf", &format!("{url}{path}")]).output()?;
    if !answer.status.success() {
        return Err("OCSP is not answered".into());
    }
    let size = answer.stdout.len();
    report.figure("bytes of an OCSP answer", &size.to_string());
    pin(SERVER)?;
    let nginx = Nginx::start(&[("answer.der", size)])?;
    let peer = wrk(&nginx.url, &Script::fixed("/answer.der")?)?;
    drop(nginx);
    let ours = wrk(&url, &Script::fixed(&path)?)?;
    pin("0-1023")?;
    report.figure("nginx, a file of that size", &format!("{peer:.0}/s"));
    report.figure("OCSP, GET, from memory", &format!("{ours:.0}/s"));
    report.ratio("OCSP of nginx", ours, peer, 0.8);
    Ok(())
}

/// Pins this process to processors, in the form of `taskset`.
pub(crate) fn pin(cores: &str) -> Outcome {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-a", "-c", "-p", cores, &pid]).output()?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into()) }
}
