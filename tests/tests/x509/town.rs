//! Real processes: a manufacturer's node that issues, the manufacturer's commands, and devices with keys of their own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ics_tests::port::Port;
use serde_json::{Value, json};

use crate::command;
use crate::tools::{Bench, said};

const ICS: &str = env!("CARGO_BIN_EXE_ics-under-test");
pub(crate) const DOMAIN: &str = "devices.acme.example";

/// A manufacturer's home directory `maker`, with a running node.
pub(crate) struct Town {
    pub(crate) bench: Bench,
    pub(crate) url: String,
    /// Certificates name it, so it must stay the same when the node restarts.
    _port: Port,
    node: Option<Child>,
    /// What all programs are told beside their arguments.
    environment: Vec<(&'static str, String)>,
}

impl Town {
    /// A node that issues with the profiles `ldevid`, `server` and `ocsp`; `more` is added to its configuration.
    pub(crate) fn new(more: &str) -> Self {
        Self::made(more, Bench::new(), Vec::new(), &[])
    }

    /// The same with the issuer's key in the token `acme`.
    pub(crate) fn with_token() -> Self {
        let bench = Bench::new();
        let environment = command::token(&bench);
        Self::made("", bench, environment, &["--token", "pkcs11:token=acme"])
    }

    fn made(more: &str, bench: Bench, environment: Vec<(&'static str, String)>, issuer: &[&str]) -> Self {
        let port = Port::take().expect("a port");
        let listen = port.address().to_string();
        let mut town = Self { bench, url: format!("http://{listen}"), _port: port, node: None, environment };
        town.ok(&["init", "--role", "manufacturer", "--domain", DOMAIN, "--listen", &listen, "--generate-passphrase"]);
        town.authorities(issuer);
        town.configure(more);
        town.start();
        town.policy();
        town
    }

    /// Makes a root and an authority below it, whose key is made as this says.
    fn authorities(&self, issuer: &[&str]) {
        self.ok(&["key", "make", "root", "--algorithm", "p256"]);
        self.ok(&["ca", "root", "--key", "root", "--name", "Acme Root", "--out", "root.pem"]);
        self.ok(&[&["key", "make", "issuer", "--algorithm", "p256"][..], issuer].concat());
        self.ok(&["ca", "request", "--key", "issuer", "--name", "Acme Issuing", "--out", "issuer.csr"]);
        self.ok(&["ca", "sign", "issuer.csr", "--certificate", "root.pem", "--out", "issuer.pem"]);
    }

    fn configure(&self, more: &str) {
        let path = self.bench.path().join("maker/ics.toml");
        let text = std::fs::read_to_string(&path).expect("is there");
        let text = text.replacen("[node]", "[node]\nissuers = [\"issuer\"]", 1);
        std::fs::write(path, format!("{text}\n[acme]\n{more}")).expect("writes");
    }

    /// The rules for issuing, and the other signers: an owner and a security controller.
    fn policy(&self) {
        let profile = |uses: &[&str], names: &[&str]| {
            json!({
                "kinds": ["device"], "uses": uses, "keys": ["p256", "ed25519"], "names": names, "seconds": 2_592_000,
                "requesters": ["manufacturer"],
            })
        };
        let profiles = json!({
            "ldevid": profile(&["client"], &["serial:*", "urn:*"]),
            "server": profile(&["server", "client"], &["host:*"]),
            "ocsp": profile(&["ocsp"], &[]),
        });
        self.bench.file("profiles.json", profiles.to_string().as_bytes());
        let url = format!("{}/x509/{DOMAIN}", self.url);
        self.ok(&["ca", "import", "issuer.pem", "--chain", "root.pem", "--url", &url, "--profiles", "profiles.json"]);
        let told = said(&self.run(&["domain", "submit"]));
        // The node itself submits the certificate of the key with which it issues.
        assert!(told.contains("version 2") && !told.contains("is new among the signers"), "{told}");
        for (key, name) in [("keeper", "Keeper"), ("monitor", "Monitor")] {
            self.ok(&["key", "make", key, "--user-id", name]);
            let armored = self.words(&["key", "show", key, "--armor"]);
            self.bench.file(&format!("{key}.asc"), armored.as_bytes());
        }
        self.ok(&[
            "domain",
            "update",
            "--add-signer",
            "owner=keeper.asc",
            "--add-signer",
            "security-controller=monitor.asc",
        ]);
        self.ok(&["domain", "submit"]);
    }

    pub(crate) fn start(&mut self) {
        let mut command = self.command("maker");
        let mut node =
            command.args(["--json", "serve"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
        assert!(line.contains("listening"), "the node starts: {line}");
        self.node = Some(node);
        self.eventually("it is ready", || {
            let answer = self.bench.run("curl", &["--silent", "--fail", &format!("{}/readyz", self.url)]);
            answer.status.success()
        });
    }

    /// A node with this home directory that copies the manufacturer's domain, and its URL.
    pub(crate) fn mirror(&self, home: &str) -> (Mirror, String) {
        self.mirror_of(home, &self.url)
    }

    /// The same, copying from another node.
    pub(crate) fn mirror_of(&self, home: &str, from: &str) -> (Mirror, String) {
        self.mirror_prepared(home, from, "--generate-passphrase", |_| {})
    }

    /// The same with an ACME server.
    pub(crate) fn mirror_with_acme(&self, home: &str) -> (Mirror, String) {
        self.mirror_prepared(home, &self.url, "--generate-passphrase", |path| {
            let text = std::fs::read_to_string(path.join("ics.toml")).expect("is there");
            std::fs::write(path.join("ics.toml"), format!("{text}\n[acme]\n")).expect("writes");
        })
    }

    /// The same with the issuer's key, as in a node that is to stand in for its home.
    pub(crate) fn spare(&self, home: &str) -> (Mirror, String) {
        self.mirror_prepared(home, &self.url, "--passphrase-file=maker/passphrase", |path| {
            for file in ["passphrase", "keys/issuer.asc"] {
                std::fs::copy(self.bench.path().join("maker").join(file), path.join(file)).expect("copies");
            }
            let text = std::fs::read_to_string(path.join("ics.toml")).expect("is there");
            let text = text.replacen("[node]", "[node]\nissuers = [\"issuer\"]", 1);
            std::fs::write(path.join("ics.toml"), text).expect("writes");
        })
    }

    /// The same, answering OCSP with a key of its own and the certificate in `ocsp.pem` of its home directory, which
    /// the issuer makes for the thing `serial:SN-7`.
    pub(crate) fn answerer(&self, home: &str) -> (Mirror, String) {
        self.mirror_prepared(home, &self.url, "--generate-passphrase", |path| {
            for words in [
                &["key", "make", "ocsp", "--algorithm", "p256"][..],
                &["ca", "request", "--key", "ocsp", "--name", "Answers here", "--out", "ocsp.csr"],
            ] {
                let output = self.command(home).args(words).output().expect("starts");
                assert!(output.status.success(), "ics {words:?}: {}", said(&output));
            }
            self.certify_answerer(home);
            let text = std::fs::read_to_string(path.join("ics.toml")).expect("is there");
            let responders = "[node]\nresponders = [{ key = \"ocsp\", certificate = \"ocsp.pem\" }]";
            std::fs::write(path.join("ics.toml"), text.replacen("[node]", responders, 1)).expect("writes");
        })
    }

    /// Replaces the responder's certificate in this home directory by a new one, which is returned in DER.
    pub(crate) fn certify_answerer(&self, home: &str) -> Vec<u8> {
        let door = format!("{DOMAIN}:ocsp/simpleenroll");
        let (code, answer) = self.enroll(&door, "SN-7", "ocsp.csr", "ocsp");
        assert_eq!(code, "200", "{answer}");
        self.bench.file(&format!("{home}/ocsp.pem"), &self.bench.read("ocsp.pem"));
        self.bench.openssl("x509 -in ocsp.pem -outform DER -out ocsp.der");
        self.bench.read("ocsp.der")
    }

    fn mirror_prepared(&self, home: &str, from: &str, passphrase: &str, prepare: impl Fn(&Path)) -> (Mirror, String) {
        let port = Port::take().expect("a port");
        let listen = port.address().to_string();
        let run = |words: &[&str]| {
            let output = self.command(home).args(words).output().expect("starts");
            assert!(output.status.success(), "ics {words:?}: {}", said(&output));
        };
        run(&["init", "--role", "infield", "--domain", "site.acme.example", "--listen", &listen, passphrase]);
        prepare(&self.bench.path().join(home));
        run(&["peer", "add", "maker", DOMAIN, "--url", from, "--yes"]);
        let node = self.command(home).arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let (mirror, url) = (Mirror { node: node.expect("starts"), _port: port }, format!("http://{listen}"));
        self.eventually("the mirror is current", || {
            let answer = self.bench.run("curl", &["--silent", "--fail", &format!("{url}/readyz")]);
            let domain = self.bench.run("curl", &["--silent", "--fail", &format!("{url}/v1/domains/{DOMAIN}")]);
            answer.status.success() && domain.status.success()
        });
        (mirror, url)
    }

    /// Ends a copying node as a power cut does, changes its home directory, and starts it again.
    pub(crate) fn start_again(&self, mirror: &mut Mirror, home: &str, meanwhile: impl FnOnce(&Path)) {
        mirror.end();
        meanwhile(&self.bench.path().join(home));
        let node = self.command(home).arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        mirror.node = node.expect("starts");
    }

    /// Ends the node as a power cut does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.kill().expect("is killed");
            node.wait().expect("is gone");
        }
    }

    fn command(&self, home: &str) -> Command {
        let mut command = Command::new(ICS);
        command.current_dir(self.bench.path()).env_clear().env("NO_COLOR", "1").env("ICS_HOME", home);
        command.stdin(Stdio::null()).envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Runs a command of the manufacturer.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command("maker").args(words).output().expect("starts")
    }

    /// The same, which must succeed; returns what it printed for people.
    pub(crate) fn words(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "ics {words:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The same; returns what it printed as JSON.
    pub(crate) fn ok(&self, words: &[&str]) -> Value {
        let output = self.command("maker").arg("--json").args(words).output().expect("starts");
        assert!(output.status.success(), "ics {words:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Runs a command that must fail; returns what it printed.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "ics {words:?}: {}", said(&output));
        said(&output)
    }

    /// A device with a key of its own in `NAME.key`, published and in use: `serial:SN-NAME`, `pump-NAME.…`.
    pub(crate) fn device(&self, name: &str) {
        self.key(name);
        let (serial, host) = (format!("SN-{name}"), format!("pump-{name}.{DOMAIN}"));
        self.ok(&["publish", "--key", &format!("{name}.pub"), "--serial", &serial, "--host", &host, "--model", "P7"]);
        self.ok(&["status", "in-use", &format!("serial:SN-{name}"), "--yes"]);
    }

    /// Makes a key in `NAME.key`, with its public part in `NAME.pub`.
    pub(crate) fn key(&self, name: &str) {
        self.bench.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
        self.bench.openssl(&format!("pkey -in {name}.key -pubout -out {name}.pub"));
    }

    /// The operator's token.
    fn token(&self, home: &str) -> String {
        let token = String::from_utf8(self.bench.read(&format!("{home}/operator-token"))).expect("a token");
        token.trim().to_owned()
    }

    /// The metrics, as the operator reads them.
    pub(crate) fn metrics(&self) -> String {
        self.metrics_of("maker", &self.url)
    }

    /// The metrics of the node with this home directory and URL.
    pub(crate) fn metrics_of(&self, home: &str, url: &str) -> String {
        let token = format!("Authorization: Bearer {}", self.token(home));
        self.bench.ok("curl", &["--silent", "--header", &token, &format!("{url}/metrics")])
    }

    /// Enrols over EST with the registrar's token, for the thing with this serial number and the key in `NAME.key`;
    /// returns the status and the text of the answer. The certificate is in `NAME.pem`.
    pub(crate) fn est(&self, serial: &str, name: &str) -> (String, String) {
        self.bench.request_again(name, &[]);
        self.bench.openssl(&format!("base64 -A -in {name}.csr -out {name}.b64"));
        self.enroll("simpleenroll", serial, &format!("{name}.b64"), name)
    }

    /// The same at this EST path, with a request in base64 or PEM.
    fn enroll(&self, door: &str, serial: &str, request: &str, name: &str) -> (String, String) {
        let (user, body) = (format!("{serial}:{}", self.token("maker")), format!("@{request}"));
        let url = format!("{}/.well-known/est/{door}", self.url);
        let arguments = ["--silent", "--user", &user, "--header", "Content-Type: application/pkcs10", "--data-binary"];
        let output = ["--output", "answer", "--write-out", "%{http_code}", &url];
        self.bench.file("answer", b"");
        let code = said(&self.bench.run("curl", &[&arguments[..], &[&body], &output].concat()));
        let answer = String::from_utf8_lossy(&self.bench.read("answer")).into_owned();
        if code == "200" {
            self.bench.openssl("base64 -d -A -in answer -out answer.p7");
            self.bench.openssl(&format!("pkcs7 -inform DER -in answer.p7 -print_certs -out {name}.pem"));
        }
        (code, answer)
    }

    /// What openssl learns by OCSP about the certificate in `NAME.pem`: `good`, or `revoked` and why.
    pub(crate) fn ocsp(&self, name: &str) -> String {
        let url = format!("{}/x509/{DOMAIN}/ocsp", self.url);
        let certificate = format!("{name}.pem");
        let arguments = ["ocsp", "-issuer", "issuer.pem", "-cert", &certificate, "-url", &url, "-CAfile", "chain.pem"];
        let chain = [self.bench.read("root.pem"), self.bench.read("issuer.pem")].concat();
        self.bench.file("chain.pem", &chain);
        let text = self.bench.ok("openssl", &arguments);
        assert!(text.contains("Response verify OK"), "{text}");
        text
    }

    #[track_caller]
    pub(crate) fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A node that copies, for as long as a test lasts.
pub(crate) struct Mirror {
    node: Child,
    _port: Port,
}

impl Mirror {
    /// Tells it that files have changed, as `systemctl reload` does.
    pub(crate) fn reload(&self, bench: &Bench) {
        bench.ok("kill", &["-HUP", &self.node.id().to_string()]);
    }

    fn end(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.kill();
    }
}
