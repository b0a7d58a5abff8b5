//! A manufacturer's home directory with many signers, opened in this process or served by `ics serve` in another.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::descriptor::Template;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::time::Timestamp;
use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::DomainName;
use ics_node::app::{App, NodeKeys, Setup};
use ics_node::client::descriptor::DescriptorFile;
use ics_node::client::home::{self, NewHome};
use ics_node::keys::{Algorithm, KeyStore, KeyVersion, Passphrase};
use tempfile::TempDir;

use crate::Error;

/// The program, built with the benchmarks.
const ICS: &str = env!("CARGO_BIN_EXE_ics-measured");
/// How many signers the manufacturer has.
const SIGNERS: u8 = 48;
/// 2026-01-01: the date of all keys and statements.
pub(crate) const CREATED: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// A party's home directory, on the disk of the build.
pub(crate) struct Home {
    pub(crate) domain: DomainName,
    pub(crate) signers: Vec<Ed25519Signer>,
    listen: SocketAddr,
    passphrase: Passphrase,
    dir: TempDir,
}

impl Home {
    pub(crate) fn make() -> Result<Self, Error> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let domain: DomainName = "devices.acme.example".parse()?;
        let passphrase = Passphrase::generate()?;
        let new = NewHome {
            template: Template::Manufacturer,
            party: None,
            domain: domain.clone(),
            node_name: format!("ics.{domain}"),
            listen,
            public_url: None,
            names: ["serial:*", "urn:dev:mac:*"].map(str::to_owned).into(),
            description: String::new(),
            algorithm: (Algorithm::Ed25519, KeyVersion::V4),
            passphrase: (passphrase.clone(), true),
        };
        let signer = |number: u8| Ed25519Signer::from_seed(&[number; 32], 4, CREATED);
        let signers = (1..=SIGNERS).map(signer).collect::<Result<_, _>>()?;
        let made = home::make(&dir.path().join("home"), &new, CREATED)?;
        let this = Self { domain, signers, listen, passphrase, dir };
        this.name_signers(&made.descriptor)?;
        Ok(this)
    }

    /// Gives all signers the manufacturer's role.
    fn name_signers(&self, path: &std::path::Path) -> Result<(), Error> {
        let mut descriptor = DescriptorFile::read(path)?.descriptor;
        let fingerprints = self.signers.iter().map(|signer| signer.public_key().fingerprint());
        descriptor.roles.entry("manufacturer".parse()?).or_default().signers.extend(fingerprints);
        let owner = KeyStore::new(&self.path()).find("owner")?.unlock(&self.passphrase)?;
        DescriptorFile::sign_new(descriptor, &[owner.primary()?], CREATED)?.replace(path)?;
        Ok(())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Opens the node in this process, with its domain founded and its signers known. Must not be called within an
    /// asynchronous runtime.
    pub(crate) fn open(&self) -> Result<App, Error> {
        self.open_with(None, 256 << 20)
    }

    /// As [`Self::open`], with a trust policy and this much memory for answers.
    pub(crate) fn open_with(&self, trust: Option<Arc<TrustPolicy>>, memory_bytes: u64) -> Result<App, Error> {
        let key = KeyStore::new(&self.path()).find("node")?.unlock(&self.passphrase)?.node_key()?;
        let app = App::open(&Setup {
            data: self.path().join("data"),
            keys: NodeKeys { name: format!("ics.{}", self.domain), key, issuers: Vec::new() },
            peers: Vec::new(),
            config_file: None,
            trust,
            operator_token: None,
            memory_bytes,
            acme: None,
        })?;
        app.found(&fs::read(ics_node::client::descriptor::path(&self.path(), &self.domain, 1))?)?;
        Ok(app)
    }

    /// The certificates of the signers, to be submitted before their statements.
    pub(crate) fn certificates(&self) -> Result<Vec<Vec<u8>>, Error> {
        let certificate = |(number, signer): (usize, &Ed25519Signer)| {
            Certificate::make(signer, &format!("Line {number}"), CREATED, &[0; 32])
        };
        Ok(self.signers.iter().enumerate().map(certificate).collect::<Result<_, _>>()?)
    }

    /// Configures the node with a trust policy and memory for answers, and without a request log.
    pub(crate) fn configure(&self, memory_mib: u32, trust: &str) -> Result<(), Error> {
        let path = self.path().join("ics.toml");
        let text = fs::read_to_string(&path)?.replacen("[node]", &format!("[node]\nmemory_mib = {memory_mib}"), 1);
        fs::write(path, format!("{text}\n[trust]\npolicy = \"{trust}\"\n\n[log]\nlevel = \"warn\"\n"))?;
        Ok(())
    }

    /// Starts `ics serve` and waits until it answers.
    pub(crate) fn serve(&self) -> Result<Served, Error> {
        self.serve_on(None)
    }

    /// As [`Self::serve`], on one core, in the form of `taskset`.
    pub(crate) fn serve_on(&self, core: Option<&str>) -> Result<Served, Error> {
        let began = Instant::now();
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", core, ICS]);
                command
            }
            None => Command::new(ICS),
        };
        command.arg("--home").arg(self.path()).args(["--quiet", "serve"]).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn()?;
        let mut served = Served { url: format!("http://{}", self.listen), child, took: Duration::ZERO };
        while std::net::TcpStream::connect(self.listen).is_err() {
            if let Some(status) = served.child.try_wait()? {
                return Err(format!("`ics serve` ended with {status}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        served.took = began.elapsed();
        Ok(served)
    }
}

/// A node in a process of its own, which ends when this is dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    /// The time from the start of the process until it accepted connections.
    pub(crate) took: Duration,
    child: Child,
}

impl Served {
    /// The memory of the process.
    pub(crate) fn memory(&self) -> Result<Memory, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).ok_or("not Linux")
        };
        Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")? })
    }
}

/// Resident memory in KiB: the total, and without the pages of mapped files, which the system can reclaim.
pub(crate) struct Memory {
    resident: u64,
    anonymous: u64,
}

impl Memory {
    /// The memory that is not mapped from files.
    pub(crate) const fn anonymous_kib(&self) -> u64 {
        self.anonymous
    }
}

impl core::fmt::Display for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} MiB, {} of them not mapped files", self.resident.div_ceil(1024), self.anonymous.div_ceil(1024))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself. SIGTERM lets it end as one that is stopped does, and write its profile if it was built
        // to make one.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
