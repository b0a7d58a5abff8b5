//! A node that serves LDAP on free loopback ports for as long as a test lasts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{Descriptor, NodeKey, OwnerKey, Owners, RoleSpec, Template, TemplateInput};
use ics_core::identity::{Fingerprint, Kind};
use ics_core::log::Hash;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::{Claims, Group, Subject, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_node::api::SubmissionResult;
use ics_node::app::{App, Reader};
use ics_node::config::TlsConfig;
use ics_node::ldap::{self, Settings, Suffix};
use ics_tests::port::Port;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::world::{World, certificate, domain, introduction, maker, signer, stolen};

/// A domain that strangers may not read.
pub(crate) const SECRET: &str = "secret.acme.example";

/// A running server.
pub(crate) struct Directory {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) files: TlsConfig,
    pub(crate) app: App,
    dir: TempDir,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
    world: World,
    /// Keeps the first address from others while the server is restarted.
    held: Port,
}

/// The fingerprint of a device of the world.
pub(crate) fn device(seed: u8) -> String {
    signer(seed).public_key().fingerprint().to_string()
}

pub(crate) fn maker_fingerprint() -> String {
    maker().public_key().fingerprint().to_string()
}

/// Submits the next version of the descriptor, in which these signers too speak for the manufacturer.
pub(crate) async fn name_signers(app: &App, fingerprints: &[&str]) {
    let fingerprints: Vec<Fingerprint> = fingerprints.iter().map(|it| it.parse().expect("a fingerprint")).collect();
    next_descriptor(app, |descriptor| {
        let role = descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("is there");
        role.signers.extend(fingerprints);
    })
    .await;
}

/// Submits the next version of the descriptor, with this rule after those of the template and no other.
pub(crate) async fn access_rules(app: &App, rule: &str) {
    const MARK: &str = "\n// Of this test.\n";
    next_descriptor(app, |descriptor| {
        let own = descriptor.access.split(MARK).next().unwrap_or_default().to_owned();
        descriptor.access = [&own, MARK, rule].concat();
    })
    .await;
}

async fn next_descriptor(app: &App, change: impl FnOnce(&mut Descriptor)) {
    let current = app.descriptor(&domain(), None).expect("a descriptor").json;
    let mut descriptor = Descriptor::parse(&current).expect("parses");
    descriptor.version += 1;
    descriptor.previous = Some(Hash(Sha256::digest(&current).into()));
    change(&mut descriptor);
    let at = Timestamp::from_seconds(1_767_225_600 + descriptor.version);
    let signed = make::sign_descriptor(&[&maker()], &descriptor.to_json(), at, &[1; 32]).expect("signs");
    submit(app, &domain(), vec![signed]).await;
}

pub(crate) fn identity_dn(seed: u8) -> String {
    format!("icsIdentity={},icsDomain={},o=ics", device(seed), crate::world::DOMAIN)
}

/// The manufacturer's statement about the device with this seed: its lot, or only that it exists.
pub(crate) fn introduced(seed: u8, lot: Option<&str>) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.attributes = lot.map(|lot| (Attribute::Lot, lot.to_owned())).into_iter().collect();
    let (device, user_id, at) = (signer(seed), format!("Thermometer {seed}"), Timestamp::from_seconds(1_767_225_600));
    make::certify(&maker(), device.public_key(), &user_id, None, Kind::Device, &claims, false, at, &[3; 32])
        .expect("a statement")
}

/// The manufacturer's statement that the device with this seed counts as stolen from a time on.
pub(crate) fn stolen_from(seed: u8, from: Timestamp) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
    (claims.status, claims.from) = (Some("stolen".parse().expect("a status")), Some(from));
    let (device, user_id, at) = (signer(seed), format!("Thermometer {seed}"), Timestamp::from_seconds(1_767_225_600));
    make::certify(&maker(), device.public_key(), &user_id, None, Kind::Device, &claims, true, at, &[3; 32])
        .expect("a statement")
}

/// The index of a statement about the device with this seed, after `skipped` others.
pub(crate) fn index_of(app: &App, seed: u8, skipped: usize) -> u64 {
    let record = app.record(Reader::Operator, &domain(), &device(seed)).expect("a record").record;
    record.statements.get(skipped).expect("a statement").by.index
}

/// The owner's erasure of the statement at an index.
pub(crate) fn erasure(app: &App, index: u64) -> Vec<u8> {
    let erasure = app.erasure(Reader::Operator, &domain(), index).expect("it can be erased");
    let json = erasure.to_json().expect("JSON");
    make::sign_descriptor(&[&maker()], &json, app.clock().now(), &[1; 32]).expect("signs")
}

/// The recall of a lot.
pub(crate) fn recalled(lot: &str) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
    claims.status = Some("withdrawn".parse().expect("a status"));
    let attributes = [(Attribute::Lot, lot.to_owned())].into();
    let group = Subject::Group(Group { kind: Kind::Group, name: format!("lot {lot}"), attributes });
    make::sign_document(&maker(), &group, &claims, Timestamp::from_seconds(1_767_225_600), &[3; 32])
        .expect("a statement")
}

impl Directory {
    /// A directory with ten devices, 10 to 19, of which 13 is stolen, and one device, 30, in a domain that strangers
    /// may not read.
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = TempDir::new().expect("a directory");
        let files = tls_files(dir.path()).await;
        let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
        let app = world.app.clone();
        let mut bodies = vec![certificate(&maker(), "Acme <keys@acme.example>")];
        bodies.extend((10..20).map(|seed| introduction(&maker(), seed)));
        bodies.push(stolen(&maker(), 13));
        submit(&app, &domain(), bodies).await;
        found_secret(&app).await;
        Self::serve(dir, world, files, Port::take().expect("a port"), change)
    }

    fn serve(dir: TempDir, world: World, files: TlsConfig, held: Port, change: impl FnOnce(&mut Settings)) -> Self {
        let app = world.app.clone();
        let mut settings = Settings::new(Suffix::default());
        settings.listen = vec![held.address()];
        settings.listen_tls = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        settings.tls = Some(files.clone());
        change(&mut settings);
        let server = ldap::serve(app.clone(), &settings).expect("serves");
        let [plain, tls] = *server.addresses() else { panic!("two addresses") };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(server.run(stopped));
        Self { plain, tls, files, app, dir, stop, running, world, held }
    }

    /// Stops the server, which must notify its clients in time.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(60), self.running).await.expect("in time").expect("ends");
    }

    /// The file to which the node writes its peers.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.world.data().join("ics.toml")
    }

    /// The same node, restarted from what it has stored, at the same address.
    pub(crate) async fn restarted(self) -> Self {
        self.restarted_after(|_| ()).await
    }

    /// The same, after a change to its data while it was stopped.
    pub(crate) async fn restarted_after(self, change: impl FnOnce(&Path) + Send + 'static) -> Self {
        let Self { files, app, dir, stop, running, world, held, .. } = self;
        stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(60), running).await.expect("in time").expect("ends");
        drop(app);
        let world = tokio::task::spawn_blocking(|| world.reopened_after(None, change)).await.expect("a world");
        Self::serve(dir, world, files, held, |_| ())
    }

    /// Runs a program of ldap-utils against the node.
    pub(crate) async fn run(&self, program: &str, arguments: &[&str]) -> Answer {
        let mut command = Command::new(program);
        command.args(["-x", "-H", &format!("ldap://{}", self.plain)]).args(arguments);
        self.answer(command).await
    }

    /// The same over TLS from the first byte.
    pub(crate) async fn run_tls(&self, program: &str, arguments: &[&str]) -> Answer {
        let mut command = Command::new(program);
        command.args(["-H", &format!("ldaps://{}", self.tls)]).args(arguments);
        self.answer(command).await
    }

    /// Runs a command that trusts the server's certificate.
    pub(crate) async fn answer(&self, mut command: Command) -> Answer {
        command
            .env("LDAPCONF", "/dev/null")
            .env("LDAPTLS_CACERT", &self.files.certificate)
            .env_remove("LDAPTLS_REQCERT");
        command.kill_on_drop(true).stdin(Stdio::null());
        let output = tokio::time::timeout(Duration::from_secs(60), command.output());
        Answer::of(output.await.expect("answers in time").expect("the program starts"))
    }

    /// Runs a Python program with the module ldap3; it gets the ports as arguments.
    pub(crate) async fn python(&self, program: &str) -> Answer {
        let mut command = Command::new("/usr/bin/python3");
        command.arg("-").arg(self.plain.port().to_string()).arg(self.tls.port().to_string());
        command.arg(&self.files.certificate).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("python starts");
        let mut input = child.stdin.take().expect("input");
        input.write_all(program.as_bytes()).await.expect("is read");
        drop(input);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
        Answer::of(output.await.expect("answers in time").expect("ends"))
    }
}

/// The outcome of a program.
#[derive(Debug)]
#[expect(dead_code, reason = "what a program complains of is only shown when a test fails")]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    err: String,
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // LDIF wraps long lines.
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout).replace("\n ", ""),
            err: text(&output.stderr),
        }
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.out.lines().filter(|it| it.starts_with(line)).count()
    }

    #[track_caller]
    pub(crate) fn has(&self, line: &str) -> &Self {
        assert!(self.out.lines().any(|it| it == line), "no `{line}` in\n{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn lacks(&self, text: &str) -> &Self {
        assert!(!self.out.contains(text), "`{text}` in\n{self:#?}");
        self
    }
}

pub(crate) async fn submit(app: &App, domain: &DomainName, bodies: Vec<Vec<u8>>) {
    let results = app.submit(domain, bodies).await.expect("a batch").results;
    for result in results {
        assert!(matches!(result, SubmissionResult::Receipt(_)), "{result:?}");
    }
}

async fn found_secret(app: &App) {
    let (maker, at) = (maker(), Timestamp::from_seconds(1_767_225_600));
    let key = maker.public_key();
    let owner =
        OwnerKey { name: "Acme".to_owned(), fingerprint: key.fingerprint(), key: STANDARD.encode(key.to_packet()) };
    let node = app.node();
    let input = TemplateInput {
        domain: SECRET.parse().expect("a domain"),
        description: String::new(),
        owners: Owners { threshold: 1, keys: vec![owner] },
        home: NodeKey { name: node.name, key: node.key },
        roles: [(
            "manufacturer".parse().expect("a role"),
            RoleSpec { signers: [key.fingerprint()].into(), names: ["serial:*".to_owned()].into() },
        )]
        .into(),
        sources: Vec::new(),
    };
    let mut descriptor = Template::Manufacturer.fill(input).expect("fills");
    let rule = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
    let (before, after) = descriptor.access.split_once(rule).expect("the template's rule");
    let narrowed = rule.replace("resource);", "resource) when { principal has node };");
    descriptor.access = [before, &narrowed, after].concat();
    let signed = make::sign_descriptor(&[&maker], &descriptor.to_json(), at, &[1; 32]).expect("signs");
    let founding = app.clone();
    tokio::task::spawn_blocking(move || founding.found(&signed)).await.expect("runs").expect("founds");
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), SECRET.parse().expect("name"));
    claims.names = vec!["serial:SECRET".parse().expect("a name")];
    let device = signer(30);
    let body = make::certify(&maker, device.public_key(), "Secret", None, Kind::Device, &claims, false, at, &[3; 32]);
    let bodies = vec![certificate(&maker, "Acme <keys@acme.example>"), body.expect("a statement")];
    submit(app, &SECRET.parse().expect("a domain"), bodies).await;
}

/// A certificate for 127.0.0.1 and its key, as an operator makes them.
async fn tls_files(directory: &Path) -> TlsConfig {
    certificate_files(directory, "node", "subjectAltName=IP:127.0.0.1").await
}

pub(crate) async fn certificate_files(directory: &Path, name: &str, extension: &str) -> TlsConfig {
    let path = |end: &str| -> PathBuf { directory.join(format!("{name}.{end}")) };
    let files = TlsConfig { certificate: path("pem"), key: path("key") };
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=127.0.0.1", "-addext", extension]);
    let made = command.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate).output().await;
    assert!(made.expect("openssl starts").status.success());
    files
}
