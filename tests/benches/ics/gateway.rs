//! From a blocking status at the maintenance node to its effect at a gateway, through the gateway's own mirror: the
//! next request that nginx refuses, and the end of a session at mosquitto. The examples set up and run the gateways.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ics_core::statement::StatementId;
use ics_core::vocabulary::Act;
use ics_node::api::SubmissionResult;
use ics_node::app::Clock;
use ics_node::client::descriptor::DescriptorFile;
use ics_node::client::lookup;
use ics_node::client::node::Node;
use ics_node::client::signing::Signing;
use ics_node::client::thing::Thing;
use ics_node::keys::{KeyStore, PASSPHRASE_FILE, Passphrase};

use crate::report::Report;
use crate::{Error, Options, Outcome};

/// The program, built with the benchmarks.
const ICS: &str = env!("CARGO_BIN_EXE_ics-measured");
/// The pumps that are suspended, and how often each, since a signer may only make a limited number of statements about
/// a thing.
const PUMPS: [&str; 2] = ["SN-0001", "SN-0002"];
const TRIALS: usize = 100;
/// The time limit for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks at a log.
const LOOK: Duration = Duration::from_millis(1);
/// The first of the ports of both examples, below the range of ephemeral ports.
const PORT: u16 = 31_000;

pub(crate) fn run(report: &mut Report, _: &Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let gateway = Gateway::start("nginx")?;
    let times = runtime.block_on(requests(&gateway))?;
    print(report, "to the refused request at nginx", times);
    drop(gateway);
    let gateway = Gateway::start("mosquitto")?;
    let times = runtime.block_on(sessions(&gateway))?;
    print(report, "to the ended session at mosquitto", times);
    Ok(())
}

fn print(report: &mut Report, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| {
        times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    };
    let text = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    report.figure(&format!("blocking status {what}, p50 of {}", times.len()), &text(at(50)));
    report.bounded(&format!("blocking status {what}, p99 of {}", times.len()), &text(at(99)), "under 1 s");
}

/// A running example, which ends when it is dropped.
struct Gateway {
    child: Child,
    work: PathBuf,
    /// The ports of the plant's node and of the service to which devices connect.
    plant: u16,
    device: u16,
}

impl Gateway {
    fn start(example: &str) -> Result<Self, Error> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example).join("run.sh");
        let mut command = Command::new("bash");
        command.arg(script).env("ICS", ICS).env("PORT", PORT.to_string()).env("HOLD", "1").env_remove("ICS_HOME");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let ready = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(PathBuf::from));
        let (plant, device) = if example == "nginx" { (8, 10) } else { (12, 15) };
        let mut gateway = Self { child, work: PathBuf::new(), plant: PORT + plant, device: PORT + device };
        gateway.work = ready.ok_or("the example ended")?;
        gateway.child.stdin.as_mut().ok_or("no input")?.flush()?;
        Ok(gateway)
    }

    fn log(&self, name: &str) -> Result<String, Error> {
        Ok(fs::read_to_string(self.work.join(name))?)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The script ends with its input, and stops what it has started.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Suspends the pump and lifts the suspension.
struct Plant {
    node: Node,
    signing: Signing,
    thing: Thing,
    last: Vec<StatementId>,
}

impl Plant {
    async fn open(gateway: &Gateway, serial: &str) -> Result<Self, Error> {
        let node = Node::new(&format!("http://127.0.0.1:{}", gateway.plant))?;
        let domain = "plant.example".parse()?;
        let home = gateway.work.join("plant");
        let passphrase = Passphrase::from_file(&home.join(PASSPHRASE_FILE))?;
        let key = KeyStore::new(&home).find("signer")?.unlock(&passphrase)?;
        let descriptor = DescriptorFile::from_body(node.descriptor(&domain).await?)?.descriptor;
        let signing = Signing::new(key, "integrator".parse()?, descriptor);
        let found = lookup::find(&node, &domain, &format!("serial:{serial}")).await?;
        let record = found.own.as_ref().map(|own| &own.record).ok_or("the pump is not known")?;
        let own = lookup::standing(record, Act::Status).filter(|it| it.by.signer == signing.fingerprint());
        let last = own.map(|it| it.by.statement).collect();
        Ok(Self { node, signing, thing: found.thing, last })
    }

    fn make(&self, status: &str) -> Result<Vec<u8>, Error> {
        let mut claims = self.signing.claims(Act::Status);
        claims.status = Some(status.parse()?);
        claims.supersedes.clone_from(&self.last);
        Ok(self.signing.sign(&self.thing, &claims, false, Clock::default().now())?)
    }

    async fn send(&mut self, body: Vec<u8>) -> Outcome {
        let results = self.node.submit(self.signing.domain(), vec![body]).await?.results;
        match results.into_iter().next() {
            Some(SubmissionResult::Receipt(receipt)) => {
                self.last = vec![receipt.id];
                Ok(())
            }
            Some(SubmissionResult::Problem(problem)) => Err(problem.detail.into()),
            Some(SubmissionResult::Pending(_)) | None => Err("no result".into()),
        }
    }

    async fn say(&mut self, status: &str) -> Outcome {
        let body = self.make(status)?;
        self.send(body).await
    }

    /// The time from sending a blocking status until `seen` completes.
    async fn suspend(&mut self, seen: impl Future<Output = Outcome>) -> Result<Duration, Error> {
        let body = self.make("suspended")?;
        let began = Instant::now();
        let seen = async {
            seen.await?;
            Ok::<_, Error>(began.elapsed())
        };
        let (sent, seen) = tokio::join!(self.send(body), tokio::time::timeout(PATIENCE, seen));
        sent?;
        seen.map_err(|_| "nothing was done about it")?
    }
}

async fn requests(gateway: &Gateway) -> Result<Vec<Duration>, Error> {
    let url = format!("https://127.0.0.1:{}/", gateway.device);
    let mut times = Vec::with_capacity(PUMPS.len() * TRIALS);
    for serial in PUMPS {
        let file = |suffix: &str| fs::read(gateway.work.join(format!("{serial}.{suffix}")));
        let identity = [file("crt")?, file("key")?].concat();
        // The gateway's certificate is from a private authority that rustls does not know; only its answers are timed
        // here.
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .identity(reqwest::Identity::from_pem(&identity)?)
            .build()?;
        let answers = async |wanted: u16| -> Outcome {
            while client.get(&url).send().await?.status().as_u16() != wanted {}
            Ok(())
        };
        let mut plant = Plant::open(gateway, serial).await?;
        for _ in 0..TRIALS {
            answers(200).await?;
            times.push(plant.suspend(answers(403)).await?);
            plant.say("in-use").await?;
        }
    }
    Ok(times)
}

async fn sessions(gateway: &Gateway) -> Result<Vec<Duration>, Error> {
    let said = async |log: &str, text: &str, times: usize| -> Outcome {
        let began = Instant::now();
        while gateway.log(log)?.matches(text).count() < times {
            if began.elapsed() > PATIENCE {
                return Err(format!("`{text}` is not in {log}").into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    let mut times = Vec::with_capacity(PUMPS.len() * TRIALS);
    for serial in PUMPS {
        let mut plant = Plant::open(gateway, serial).await?;
        for trial in 1..=TRIALS {
            said("agent.log", &format!("let in {serial}"), trial).await?;
            let id = format!("{serial}-{trial}-");
            let _device = Device::connect(gateway, serial, &id)?;
            said("mosquitto.log", &format!("as {id} "), 1).await?;
            let ended = format!("Client {id} been disconnected by administrative action");
            times.push(plant.suspend(said("mosquitto.log", &ended, 1)).await?);
            plant.say("in-use").await?;
        }
    }
    Ok(times)
}

/// A pump with a session at the broker.
struct Device(Child);

impl Device {
    fn connect(gateway: &Gateway, serial: &str, id: &str) -> Result<Self, Error> {
        let file = |name: &str| gateway.work.join(name);
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &gateway.device.to_string(), "--id", id, "-t", "plant/valve"]);
        command.arg("--cafile").arg(file("ca.crt"));
        command.arg("--cert").arg(file(&format!("{serial}.crt"))).arg("--key").arg(file(&format!("{serial}.key")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
