//! A node as a child process, and its command line, used as an operator would.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ics_tests::port::Port;
use serde_json::Value;

use crate::tools;

/// The program under test, rebuilt from the sources of `ics` together with these tests.
pub(crate) const ICS: &str = env!("CARGO_BIN_EXE_ics-under-test");
/// The time limit for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home directory, and the node that runs in it. The node is killed when this goes out of scope, even if a test
/// fails; otherwise what it leaves must be sound, whatever the test did.
pub(crate) struct Node {
    pub(crate) domain: &'static str,
    pub(crate) home: PathBuf,
    pub(crate) url: String,
    /// The time that its machine's clock shows, in the form of faketime; the right time by default.
    pub(crate) clock: Option<String>,
    /// The network namespace in which it runs, if the test's machines have one each.
    machine: Option<String>,
    child: Option<Child>,
    /// Keeps the address where it listens from others while it is down, unless it has a machine of its own.
    _held: Option<Port>,
}

/// The result of a command.
pub(crate) struct Ran {
    command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Asks until there is an answer; panics with `what` if there is none in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `ics` with a home directory, in a network namespace or on this machine.
fn command(machine: Option<&str>, home: &Path) -> Command {
    let mut command = machine.map_or_else(
        || Command::new(ICS),
        |machine| {
            let mut within = Command::new("ip");
            within.args(["netns", "exec", machine, ICS]);
            within
        },
    );
    command.arg("--home").arg(home).stdin(Stdio::null());
    command
}

/// Runs `ics` with a home directory.
pub(crate) fn ics(home: &Path, arguments: &[&str]) -> Ran {
    ics_on(None, home, arguments)
}

/// As [`ics`], in a network namespace if given.
pub(crate) fn ics_on(machine: Option<&str>, home: &Path, arguments: &[&str]) -> Ran {
    run(command(machine, home), arguments)
}

fn run(mut command: Command, arguments: &[&str]) -> Ran {
    command.args(arguments);
    let output = command.output().unwrap_or_else(|e| panic!("{ICS}: {e}"));
    Ran {
        command: format!("ics {}", arguments.join(" ")),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Ran {
    /// Its output; it must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        self.ends_with(0).stdout
    }

    /// Its output as JSON; it must have succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let ended = self.ends_with(0);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("`{}`: {e}: {}", ended.command, ended.stdout))
    }

    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        let Self { command, code: ended, stdout, stderr } = &self;
        assert_eq!(*ended, code, "`{command}` ended with {ended}\n{stdout}\n{stderr}");
        self
    }
}

impl Node {
    /// Makes the home directory of a party of this trade.
    pub(crate) fn init(directory: &Path, role: &str, domain: &'static str) -> Self {
        let held = Port::take().expect("a port");
        let mut node = Self::init_on(None, directory, role, domain, &held.address().to_string());
        node._held = Some(held);
        node
    }

    /// As [`Self::init`], in a network namespace, where the node listens at this address.
    pub(crate) fn init_on(
        machine: Option<&str>,
        directory: &Path,
        role: &str,
        domain: &'static str,
        listen: &str,
    ) -> Self {
        let home = directory.join(role);
        let arguments = ["init", "--role", role, "--domain", domain, "--listen", listen, "--generate-passphrase"];
        ics_on(machine, &home, &arguments).ok();
        Self {
            domain,
            home,
            url: format!("http://{listen}"),
            clock: None,
            machine: machine.map(str::to_owned),
            child: None,
            _held: None,
        }
    }

    /// Starts the node and waits until it is ready.
    pub(crate) fn serve(&mut self) {
        self.serve_until("/readyz");
    }

    /// Starts the node and waits until it answers at a path.
    pub(crate) fn serve_until(&mut self, path: &str) {
        self.serve_with(&[], path);
    }

    fn serve_with(&mut self, arguments: &[&str], path: &str) {
        let log = |name: &str| File::options().create(true).append(true).open(self.home.join(name)).expect("a log");
        let mut command = command(self.machine.as_deref(), &self.home);
        command.arg("serve").args(arguments).envs(self.clock());
        let child = command.stdout(log("out.log")).stderr(log("err.log")).spawn().expect("starts");
        self.child = Some(child);
        eventually(&format!("{} answers", self.url), || {
            let child = self.child.as_mut().expect("a child");
            if let Some(status) = child.try_wait().expect("a child") {
                let said = fs::read_to_string(self.home.join("err.log")).unwrap_or_default();
                panic!("`ics serve` of {} ended with {status}: {said}", self.domain);
            }
            tools::fetch(&format!("{}{path}", self.url), &[]).0.eq(&200).then_some(())
        });
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("is killed");
            child.wait().expect("has ended");
        }
    }

    /// Runs a command in this home directory, for people.
    pub(crate) fn ics(&self, arguments: &[&str]) -> Ran {
        let mut command = command(self.machine.as_deref(), &self.home);
        command.envs(self.clock());
        run(command, arguments)
    }

    /// The environment in which a program sees this machine's clock.
    fn clock(&self) -> Vec<(&'static str, String)> {
        let Some(time) = &self.clock else { return Vec::new() };
        let fixed = [("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1"), ("NO_FAKE_STAT", "1")];
        let mut all: Vec<_> = fixed.map(|(name, value)| (name, value.to_owned())).into();
        all.extend([("LD_PRELOAD", tools::faketime()), ("FAKETIME", time.clone())]);
        all
    }

    /// Restarts the node with a clock that shows another time.
    pub(crate) fn restarts_at(&mut self, clock: Option<&str>) {
        self.kill();
        self.clock = clock.map(str::to_owned);
        self.serve_until("/livez");
    }

    /// Sets the time that commands see from now on; a running node still sees the former.
    pub(crate) fn commands_see(&mut self, clock: Option<&str>) {
        self.clock = clock.map(str::to_owned);
    }

    /// Restarts the node with the right time, and tells it that the clock is right.
    pub(crate) fn restarts_with_the_right_clock(&mut self) {
        self.kill();
        self.clock = None;
        self.serve_with(&["--clock-is-right"], "/livez");
    }

    /// Gives it a trust policy made by `ics trust init` with these arguments, from its next start on.
    pub(crate) fn trusts(&self, arguments: &[&str]) {
        self.ics(&[&["trust", "init"], arguments].concat()).ok();
        let text = fs::read_to_string(self.home.join("ics.toml")).expect("a configuration");
        if !text.contains("[trust]") {
            self.write("ics.toml", format!("{text}\n[trust]\npolicy = \"trust.json\"\n"));
        }
    }

    /// What it says about itself.
    pub(crate) fn info(&self) -> Value {
        self.get("/v1/node")
    }

    pub(crate) fn name(&self) -> String {
        self.info()["name"].as_str().expect("a name").to_owned()
    }

    pub(crate) fn key(&self) -> String {
        self.info()["key"].as_str().expect("a key").to_owned()
    }

    /// The origin of its own domain.
    pub(crate) fn origin(&self) -> String {
        self.get(&format!("/v1/domains/{}", self.domain))["origin"].as_str().expect("an origin").to_owned()
    }

    /// Runs a command that must succeed; returns its result as JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.ics(&[&["--json"], arguments].concat()).json()
    }

    /// Its answer to a GET, which must be JSON.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let body = self.get_bytes(path, &[]);
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{path}: {e}: {}", String::from_utf8_lossy(&body)))
    }

    /// Its answer to a GET.
    #[track_caller]
    pub(crate) fn get_bytes(&self, path: &str, headers: &[&str]) -> Vec<u8> {
        let (status, body) = tools::fetch(&format!("{}{path}", self.url), headers);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Its metrics, read as the operator.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        String::from_utf8(self.get_bytes("/metrics", &[&self.token()])).expect("text")
    }

    /// What a domain here adopts automatically, read as the operator.
    #[track_caller]
    pub(crate) fn follows(&self, domain: &str) -> Value {
        let body = self.get_bytes(&format!("/v1/domains/{domain}"), &[&self.token()]);
        serde_json::from_slice::<Value>(&body).expect("JSON")["follows"].take()
    }

    /// The header that authenticates an operator.
    fn token(&self) -> String {
        let token = std::fs::read_to_string(self.home.join("operator-token")).expect("a token");
        format!("authorization: Bearer {}", token.trim())
    }

    /// What this node holds of a domain; `None` if nothing.
    pub(crate) fn holds(&self, domain: &str) -> Option<Value> {
        let (status, body) = tools::fetch(&format!("{}/v1/domains/{domain}", self.url), &[]);
        (status == 200).then(|| serde_json::from_slice(&body).expect("JSON"))
    }

    /// Waits until this node holds everything that another one has of a domain.
    #[track_caller]
    pub(crate) fn catches_up(&self, with: &Self, domain: &str) {
        let size = with.holds(domain).expect("holds the domain")["size"].as_u64();
        eventually(&format!("{} has {size:?} entries of {domain}", self.url), || {
            (self.holds(domain)?["size"].as_u64() >= size).then_some(())
        });
    }

    /// Writes a file in the home directory; returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.home.join(name);
        fs::write(&path, content).expect("written");
        path.to_str().expect("text").to_owned()
    }

    /// The certificate of this party's signer, as a file to pass on.
    pub(crate) fn signer(&self) -> String {
        let armored = self.ics(&["key", "show", "signer", "--armor"]).ok();
        self.write("signer.asc", armored)
    }

    /// Configures a copy of a domain, to be pulled from `peer` every 100 ms, from the next start on.
    pub(crate) fn mirror(&self, domain: &str, peer: &Self) {
        self.ics(&["peer", "add", peer.domain, domain, "--url", &peer.url, "--interval-ms", "100", "--yes"]).ok();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        if !std::thread::panicking() {
            self.ics(&["fsck"]).ok();
        }
    }
}
