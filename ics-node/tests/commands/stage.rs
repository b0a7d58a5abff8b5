//! A home directory, a node, and commands run in them.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const ICS: &str = env!("CARGO_BIN_EXE_ics");
/// The domain of the stage.
pub(crate) const DOMAIN: &str = "devices.acme.example";

/// A distinct public key for each number: DER in base64. For Ed25519 any valid point will do.
pub(crate) fn spki(number: u64) -> String {
    use base64::Engine as _;
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    let point = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    base64::engine::general_purpose::STANDARD.encode([head.as_slice(), &point].concat())
}

/// A manufacturer with a home directory and, once started, a node.
pub(crate) struct Stage {
    directory: TempDir,
    node: Option<Child>,
    url: String,
    environment: Vec<(String, String)>,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("an exit code");
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The message and the hint of a failure printed as JSON.
    pub(crate) fn failure(&self) -> (String, String) {
        let value: Value = serde_json::from_str(&self.stderr).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        let text = |name: &str| value["error"][name].as_str().unwrap_or_default().to_owned();
        (text("message"), text("hint"))
    }
}

impl Stage {
    /// A home directory without a running node.
    pub(crate) fn new() -> Self {
        Self::of("manufacturer", DOMAIN)
    }

    /// A home directory for another trade.
    pub(crate) fn of(role: &str, domain: &str) -> Self {
        let stage = Self {
            directory: tempfile::tempdir().expect("directory"),
            node: None,
            url: String::new(),
            environment: Vec::new(),
        };
        let init = ["init", "--role", role, "--domain", domain, "--listen", "127.0.0.1:0", "--generate-passphrase"];
        let made = stage.run(&init);
        assert_eq!(made.code, 0, "{made:?}");
        stage
    }

    /// A home directory with a running node.
    pub(crate) fn started() -> Self {
        let mut stage = Self::new();
        stage.start();
        stage
    }

    /// Starts the node and waits until it says where it listens.
    pub(crate) fn start(&mut self) {
        let mut node =
            self.command().arg("serve").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let mut line = String::new();
        BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        let listening: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.url = listening["listening"].as_str().expect("an address").to_owned();
        self.node = Some(node);
        self.configure_client();
    }

    /// Writes the node's address, which changes at every start, into the configuration: an operator's token is sent
    /// only to the node that is configured.
    fn configure_client(&self) {
        let path = self.path("home/ics.toml");
        let text = std::fs::read_to_string(&path).expect("read");
        let without = text.lines().filter(|line| !line.starts_with("node = ")).collect::<Vec<_>>().join("\n");
        let with = without.replace("[client]", &format!("[client]\nnode = \"{}\"", self.url));
        std::fs::write(path, with + "\n").expect("written");
    }

    /// Sets an environment variable for all commands from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The node's process.
    pub(crate) fn process(&self) -> u32 {
        self.node.as_ref().expect("runs").id()
    }

    /// The address of the node.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The web page of a thing.
    pub(crate) fn page(&self, thing: &str) -> String {
        let page = format!("{}/id/{thing}", self.url);
        let page = Command::new("curl").args(["--silent", "--fail", &page]).output().expect("curl is there");
        String::from_utf8(page.stdout).expect("UTF-8")
    }

    /// Kills the node, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.kill().expect("killed");
            node.wait().expect("gone");
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).expect("written");
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn command(&self) -> Command {
        self.command_in(&self.path("home"))
    }

    fn command_in(&self, home: &Path) -> Command {
        let mut command = Command::new(ICS);
        command.env_clear().env("ICS_HOME", home).env("NO_COLOR", "1").arg("--json").current_dir(self.directory.path());
        command.stdin(Stdio::null()).envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command that talks to the node, with output in JSON.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        Ended::new(self.command().args(words).output().expect("run"))
    }

    /// As [`Self::run`], with the name of a file at the end, which need not be text.
    pub(crate) fn run_on(&self, words: &[&str], file: &OsStr) -> Ended {
        Ended::new(self.command().args(words).arg(file).output().expect("run"))
    }

    /// As [`Self::run`], in another home directory, which only knows the node by its address.
    pub(crate) fn run_in(&self, home: &str, words: &[&str]) -> Ended {
        let mut command = self.command_in(&self.path(home));
        if !self.url.is_empty() {
            command.args(["--node", &self.url]);
        }
        Ended::new(command.args(words).output().expect("run"))
    }

    /// As [`Self::run`], in a home directory that knows no node.
    pub(crate) fn run_alone(&self, home: &str, words: &[&str]) -> Ended {
        Ended::new(self.command_in(&self.path(home)).args(words).output().expect("run"))
    }

    /// As [`Self::run_alone`], with even root bound by the permissions of files and directories.
    pub(crate) fn run_alone_by_permissions(&self, home: &str, words: &[&str]) -> Ended {
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("ICS_HOME", self.path(home)).env("NO_COLOR", "1");
        let rights = "setpriv --bounding-set=-dac_override,-dac_read_search";
        let script = format!("[ $(id -u) != 0 ] || set -- {rights} \"$@\"; exec \"$@\"");
        command.args(["-c", &script, "sh", ICS, "--json"]).args(words).current_dir(self.directory.path());
        Ended::new(command.stdin(Stdio::null()).output().expect("run"))
    }

    /// Runs a command with the home directory on a disk that is mounted read-only.
    pub(crate) fn run_on_a_read_only_disk(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("ICS_HOME", self.path("home"));
        let mount = r#"mount --bind "$ICS_HOME" "$ICS_HOME" && mount -o remount,bind,ro "$ICS_HOME" && exec "$@""#;
        let user = "[ $(id -u) = 0 ] || user='--user --map-root-user'";
        let script = format!("{user}; exec unshare $user --mount sh -c '{mount}' sh \"$@\"");
        command.args(["-c", &script, "sh", ICS, "--json"]).args(words).current_dir(self.directory.path());
        Ended::new(command.stdin(Stdio::null()).output().expect("run"))
    }

    /// The output of such a command for people.
    pub(crate) fn words_alone(&self, home: &str, words: &[&str]) -> String {
        let ended = self.for_people(home, words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.stdout
    }

    /// Runs a command in a home directory as people do, and captures everything that it prints.
    pub(crate) fn for_people(&self, home: &str, words: &[&str]) -> Ended {
        let mut command = Command::new(ICS);
        command.env_clear().env("ICS_HOME", self.path(home)).env("NO_COLOR", "1").current_dir(self.directory.path());
        Ended::new(command.args(words).stdin(Stdio::null()).output().expect("run"))
    }

    /// What a command in a home directory writes that reads this through a pipe.
    pub(crate) fn piped(&self, home: &str, words: &[&str], input: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut command = self.command_in(&self.path(home));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().expect("started");
        running.stdin.take().expect("piped").write_all(input).expect("written");
        let output = running.wait_with_output().expect("run");
        assert!(output.status.success(), "{words:?}: {output:?}");
        output.stdout
    }

    /// The exit code of a command whose output and messages nobody reads, in JSON or for people.
    pub(crate) fn run_unheard(&self, is_json: bool, words: &[&str]) -> Option<i32> {
        let closed = || std::io::pipe().expect("a pipe").1;
        let mut command = Command::new(ICS);
        command.env_clear().env("ICS_HOME", self.path("home")).current_dir(self.directory.path());
        command.args(is_json.then_some("--json")).args(words).stdin(Stdio::null());
        command.stdout(closed()).stderr(closed()).status().expect("run").code()
    }

    /// Runs a command that can make no file larger than this many times 512 bytes, as on a full disk.
    pub(crate) fn run_in_little_room(&self, blocks: u32, words: &[&str]) -> Ended {
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("ICS_HOME", self.path("home")).env("NO_COLOR", "1");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        command.args(["-c", &script, "sh", ICS, "--json"]).args(words).current_dir(self.directory.path());
        Ended::new(command.stdin(Stdio::null()).output().expect("run"))
    }

    /// Runs a command at a terminal, provided by script(1), with this input; everything shown is in `stdout`.
    pub(crate) fn at_a_terminal(&self, words: &[&str], typed: &str) -> Ended {
        use std::io::Write as _;
        let words = core::iter::once(ICS).chain(words.iter().copied());
        let line = words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let mut command = Command::new("script");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("ICS_HOME", self.path("home")).env("NO_COLOR", "1");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.envs(self.environment.iter().cloned()).current_dir(self.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut terminal = command.spawn().expect("script is there");
        terminal.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("typed");
        Ended::new(terminal.wait_with_output().expect("run"))
    }

    /// Runs a command that must succeed; returns its output.
    pub(crate) fn ok(&self, words: &[&str]) -> Value {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.json()
    }

    /// What the domain says about a thing.
    pub(crate) fn record(&self, thing: &str) -> Value {
        let mut view = self.ok(&["lookup", thing]);
        view["records"][0]["record"].take()
    }

    /// The status that decides.
    pub(crate) fn status(&self, thing: &str) -> String {
        self.record(thing)["status"]["name"].as_str().unwrap_or("none").to_owned()
    }

    /// The number of entries in the domain's log.
    pub(crate) fn size(&self, thing: &str) -> u64 {
        self.ok(&["lookup", thing])["records"][0]["as_of"]["size"].as_u64().expect("a size")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kill();
    }
}
