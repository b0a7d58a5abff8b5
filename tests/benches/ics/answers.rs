//! Answers from memory: verdicts in this process, and `ics serve` on one core, compared with nginx serving a file of
//! the same size on that core, with wrk asking from the other.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::trust::{Outcome as Verdict, TrustPolicy};
use ics_node::app::{App, Depth, Query, Reader};
use serde_json::json;

use crate::device;
use crate::home::{Home, Served};
use crate::ingest::{submit, submit_all};
use crate::report::{Report, median, per_second};
use crate::{Error, Options, Outcome, paced};

/// How many questions are timed one by one.
const QUESTIONS: usize = 50_000;
/// How long wrk asks, in seconds, and over how many connections.
const SECONDS: u32 = 5;
const CONNECTIONS: u32 = 32;
/// How often each server is asked for records, in turns; the median counts.
const ROUNDS: usize = 5;
/// How often, and for how long, it is asked at random moments, in turns with nginx. A host occasionally takes a
/// processor away from its guest, here for some 4 ms every 1.08 s, whatever runs on it, which would determine the p99
/// of any server. Most turns of this length are free of it.
const TURNS: u32 = 41;
const TURN: Duration = Duration::from_millis(200);
/// MiB of memory for answers.
const MEMORY_MIB: u32 = 896;
/// The core of the servers, and that of wrk.
pub(crate) const SERVER: &str = "0";
const CLIENT: usize = 1;
/// Statements per second that a node accepts while it is being asked, and how many of them come at once.
const STATEMENTS: usize = 1_000;
const AT_ONCE: usize = 100;

pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome {
    let (home, count) = (Home::make()?, options.entries);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let app = home.open()?;
    runtime.block_on(submit(&app, &home.domain, home.certificates()?))?;
    let statements = device::introductions(&home, 0..count)?;
    runtime.block_on(submit_all(&app, &home.domain, statements))?;
    let trust = json!({
        "domains": [app.domain(&home.domain)?.info.origin],
        "freshness": {"default": 86_400},
        "rules": "@id(\"made\") permit (principal, action, resource) when { principal.vouching_roles.contains(\"manufacturer\") };",
    });
    drop(app);
    in_process(report, &home, &trust, count)?;
    over_http(report, &home, &trust, count)
}

/// Verdicts in this process, about devices all over the log.
fn in_process(report: &mut Report, home: &Home, trust: &serde_json::Value, count: usize) -> Outcome {
    let policy = Arc::new(TrustPolicy::parse(trust.to_string().as_bytes())?);
    let app = home.open_with(Some(Arc::clone(&policy)), u64::from(MEMORY_MIB) << 20)?;
    let asked = QUESTIONS.min(count);
    let queries: Vec<Query> =
        spread(count, asked).map(|number| Query::parse(&device::urn(number))).collect::<Result<_, _>>()?;
    let before = resident()?;
    let first = times(&queries, |query| allowed(&app, query, Depth::Store))?;
    let bytes = resident()?.saturating_sub(before) / asked as u64;
    let again = times(&queries, |query| allowed(&app, query, Depth::Memory))?;
    let uses: Vec<f64> = times(&queries, |query| asks(&app, query, "recharge", Depth::Memory))?;
    report.bounded("verdict in process, cached, p50", &format!("{:.2} us", median(again)), "under 1 us");
    report.bounded("verdict in process, record in memory, p50", &format!("{:.1} us", median(uses)), "under 25 us");
    report.bounded("verdict in process, nothing in memory, p50", &format!("{:.1} us", median(first)), "under 25 us");
    report.figure("memory of an identity and its verdict, seen from outside", &format!("{bytes} bytes"));
    drop(app);
    made_ready(report, home, policy, &queries, count)
}

/// The same, first asked after memory was made ready, which a node does by itself.
fn made_ready(report: &mut Report, home: &Home, policy: Arc<TrustPolicy>, queries: &[Query], count: usize) -> Outcome {
    let app = home.open_with(Some(policy), u64::from(MEMORY_MIB) << 20)?;
    let (before, began) = (resident()?, Instant::now());
    // Each has one entry; a few entries are the domain's own.
    let made = usize::try_from(app.make_ready())?.min(count);
    report.rate("identities made ready in memory before anybody asks", made, began.elapsed());
    report.figure(&format!("of {count}, made ready"), &made.to_string());
    let bytes = resident()?.saturating_sub(before) / made.max(1) as u64;
    report.figure("memory of an identity that was made ready, seen from outside", &format!("{bytes} bytes"));
    let first = times(queries, |query| allowed(&app, query, Depth::Store))?;
    report.bounded(
        &format!("verdict in process, first asked, one of {count} made ready, p50"),
        &format!("{:.1} us", median(first)),
        "under 25 us",
    );
    Ok(())
}

fn allowed(app: &App, query: &Query, depth: Depth) -> Outcome {
    asks(app, query, "connect", depth)
}

fn asks(app: &App, query: &Query, usage: &str, depth: Depth) -> Outcome {
    match app.check(Reader::Anonymous, usage, query, None, depth) {
        Some(check) if check.verdict == Verdict::Allow => Ok(()),
        other => Err(format!("{}: {other:?}", query.text()).into()),
    }
}

/// The time of each query, in microseconds.
fn times(queries: &[Query], ask: impl Fn(&Query) -> Outcome) -> Result<Vec<f64>, Error> {
    let time = |query| {
        let began = Instant::now();
        ask(query)?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    };
    queries.iter().map(time).collect()
}

/// Numbers all over the log, in no particular order.
fn spread(count: usize, asked: usize) -> impl Iterator<Item = usize> {
    (0..asked).map(move |step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count)
}

fn resident() -> Result<u64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("not Linux")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn over_http(report: &mut Report, home: &Home, trust: &serde_json::Value, count: usize) -> Outcome {
    fs::write(home.path().join("trust.json"), trust.to_string())?;
    home.configure(MEMORY_MIB, "trust.json")?;
    let served = home.serve_on(Some(SERVER))?;
    report.bounded("memory after the start", &served.memory()?.to_string(), "under 1024 MiB");
    let at = format!("{}/v1", served.url);
    let began = Instant::now();
    warm(&served, count)?;
    report.rate("records made and kept, each asked for once", count, began.elapsed());

    let size = |path: &str| -> Result<usize, Error> {
        let answer = Command::new("curl").args(["-sf", &format!("{at}{path}")]).output()?;
        if answer.status.success() { Ok(answer.stdout.len()) } else { Err(format!("{path} is not answered").into()) }
    };
    let device = device::urn(count / 2);
    let (summary, full) =
        (size(&format!("/identities/{device}?view=summary"))?, size(&format!("/identities/{device}"))?);
    report.bounded("bytes of a summary", &summary.to_string(), "under 512");
    report.figure("bytes of a full record", &full.to_string());
    let nginx = Nginx::start(&[("one.json", 1), ("summary.json", summary), ("full.json", full)])?;

    for (what, view, wanted) in [("summary", "?view=summary", 0.8), ("full", "", 0.5)] {
        let ours = Script::random("/v1/identities/urn:dev:mac:0024be", view, count)?;
        let same_length = Script::random(&format!("/{what}/identities/urn:dev:mac:0024be"), view, count)?;
        let fixed = Script::fixed(&format!("/{what}.json"))?;
        let asked = [(&nginx.url, &fixed), (&nginx.url, &same_length), (&served.url, &ours)];
        let mut rates = [(); 3].map(|()| Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            for (rates, (url, script)) in rates.iter_mut().zip(asked) {
                rates.push(wrk(url, script)?);
            }
        }
        let [fixed, random, ours] = rates.map(median);
        report.figure(&format!("{what}: nginx, one path"), &format!("{fixed:.0}/s"));
        report.figure(&format!("{what}: nginx, as many paths to one file"), &format!("{random:.0}/s"));
        report.figure(&format!("{what}: by name, random among {count}"), &format!("{ours:.0}/s"));
        report.ratio(&format!("{what}: of nginx, where it is faster"), ours, random.max(fixed), wanted);
        report.bounded(&format!("{what}: memory"), &served.memory()?.to_string(), "under 1024 MiB");
    }
    checks(report, home, &served, &nginx, count)
}

fn checks(report: &mut Report, home: &Home, served: &Served, nginx: &Nginx, count: usize) -> Outcome {
    let one = Script::fixed("/one.json")?;
    let fixed = Script::fixed(&format!("/v1/check?urn={}&use=connect", device::urn(count / 2)))?;
    let random = Script::random("/v1/check?urn=dev:mac:0024be", "&use=connect", count)?;
    let peer = wrk(&nginx.url, &one)?;
    let ours = wrk(&served.url, &fixed)?;
    let scattered = wrk(&served.url, &random)?;
    report.figure("nginx, a file of one byte", &format!("{peer:.0}/s"));
    report.figure("/v1/check, one device", &format!("{ours:.0}/s"));
    report.figure(&format!("/v1/check, random among {count}"), &format!("{scattered:.0}/s"));
    report.ratio("/v1/check of nginx with one byte", ours, peer, 0.9);
    let path = format!("/v1/check?urn={}&use=connect", device::urn(count / 2));
    let half = (peer / 2.0, TURN);
    let ask_nginx = || paced::ask(&nginx.url, "/one.json", "HTTP/1.1 200", half, CLIENT);
    let ask = || paced::ask(&served.url, &path, "HTTP/1.1 204", half, CLIENT);
    let (mut nginxs, mut calm) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        nginxs.push(ask_nginx()?);
        calm.push(ask()?);
    }
    report.figure(&format!("nginx, p99 at {:.0}/s", paced::rate(&nginxs)), &paced::p99(nginxs));
    report.bounded(&format!("/v1/check, p99 at {:.0}/s", paced::rate(&calm)), &paced::p99(calm), "under 1 ms");
    let statements = device::introductions(home, count..count + STATEMENTS * SECONDS as usize * 4)?;
    let (full, busy, taken) = std::thread::scope(|scope| {
        let time = Duration::from_secs(u64::from(SECONDS)) + TURN * (TURNS + 1);
        let feeding = scope.spawn(move || feed(served, home, &statements, time));
        let full = wrk(&served.url, &fixed);
        let busy: Result<Vec<_>, _> = (0..TURNS).map(|_| ask()).collect();
        let taken = feeding.join().map_err(|_| "a thread panicked")??;
        Ok::<_, Error>((full?, busy?, taken))
    })?;
    report.ratio(&format!("/v1/check of nginx, while {taken} statements come in a second"), full, peer, 0.9);
    report.bounded(&format!("the same, p99 at {:.0}/s", paced::rate(&busy)), &paced::p99(busy), "under 1 ms");
    Ok(())
}

/// Submits statements at an even pace for this long; returns how many were accepted per second.
pub(crate) fn feed(served: &Served, home: &Home, statements: &[Vec<u8>], time: Duration) -> Result<usize, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let url = format!("{}/v1/domains/{}/statements", served.url, home.domain);
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let began = Instant::now();
        let pause = Duration::from_millis((AT_ONCE * 1_000 / STATEMENTS) as u64);
        let mut ticks = tokio::time::interval(pause);
        let mut taken = 0;
        for batch in statements.chunks(AT_ONCE) {
            ticks.tick().await;
            if began.elapsed() > time {
                break;
            }
            let sent = client.post(&url).header("content-type", "application/octet-stream").body(batch.concat());
            sent.send().await?.error_for_status()?;
            taken += batch.len();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people to read")]
        let rate = per_second(taken, began.elapsed()) as usize;
        Ok(rate)
    })
}

/// Asks for every record once, over several connections.
fn warm(served: &Served, count: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let mut tasks = tokio::task::JoinSet::new();
        for part in 0..8 {
            let (client, url) = (client.clone(), served.url.clone());
            tasks.spawn(async move {
                for number in (part..count).step_by(8) {
                    let url = format!("{url}/v1/identities/{}?view=summary", device::urn(number));
                    client.get(url).send().await?.error_for_status()?.bytes().await?;
                }
                Ok::<(), reqwest::Error>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
}

/// A script for wrk.
pub(crate) struct Script(tempfile::NamedTempFile);

impl Script {
    fn write(text: &str) -> Result<Self, Error> {
        let file = tempfile::Builder::new().suffix(".lua").tempfile()?;
        fs::write(file.path(), text)?;
        Ok(Self(file))
    }

    pub(crate) fn fixed(path: &str) -> Result<Self, Error> {
        Self::write(&format!("wrk.path = \"{path}\"\n"))
    }

    /// All paths with this prefix and suffix around a device number, in no particular order.
    fn random(prefix: &str, suffix: &str, count: usize) -> Result<Self, Error> {
        Self::write(&format!(
            "local all, place = {{}}, 0\n\
             function init() for n = 0, {count} - 1 do \
             all[n] = wrk.format('GET', string.format('{prefix}%010x{suffix}', n)) end end\n\
             function request() place = (place * 1103515245 + 12345) % 2147483648; \
             return all[math.floor(place / 65536 * 32768 + place % 32768) % {count}] end\n"
        ))
    }
}

/// Requests a second.
pub(crate) fn wrk(url: &str, script: &Script) -> Result<f64, Error> {
    let output = Command::new("taskset")
        .args(["-c", &CLIENT.to_string(), "wrk", "-t1", "-c", &CONNECTIONS.to_string()])
        .args(["-d", &format!("{SECONDS}s"), "-s"])
        .arg(script.0.path())
        .arg(url)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("not all was answered: {text}").into());
    }
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(rate.and_then(|rate| rate.trim().parse().ok()).ok_or(text)?)
}

/// The distribution's nginx, with one worker, no log, and files of given sizes.
pub(crate) struct Nginx {
    pub(crate) url: String,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    pub(crate) fn start(files: &[(&str, usize)]) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        for (name, size) in files {
            fs::write(dir.path().join(name), vec![b'x'; *size])?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let root = dir.path().display();
        let config = format!(
            "worker_processes 1; pid {root}/pid; error_log {root}/error.log; events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache max=16; keepalive_requests 100000000;\n\
             default_type application/json; client_body_temp_path {root}/b; proxy_temp_path {root}/p;\n\
             fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen 127.0.0.1:{port}; root {root};\n\
             location /summary/ {{ try_files /summary.json =404; }}\n\
             location /full/ {{ try_files /full.json =404; }} }} }}\n"
        );
        fs::write(dir.path().join("conf"), config)?;
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER, "/usr/sbin/nginx", "-g", "daemon off;", "-c"]).arg(dir.path().join("conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let nginx = Self { url: format!("http://127.0.0.1:{port}"), child, _dir: dir };
        let began = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("nginx does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM makes the master end its worker, which SIGKILL would leave behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
