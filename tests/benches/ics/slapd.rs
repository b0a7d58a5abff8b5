//! The distribution's slapd with our schema, on one core, in a process of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Error, Outcome};

/// The core of a measured server.
pub(crate) const CORE: &str = "0";

/// The database of a slapd.
#[derive(Default)]
pub(crate) struct Database<'a> {
    /// Additional settings of the database, one on each line.
    pub(crate) lines: &'a str,
    /// Another entry of its configuration, after the database.
    pub(crate) overlay: &'a str,
}

/// A slapd that runs until this is dropped.
pub(crate) struct Slapd {
    pub(crate) address: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Slapd {
    /// Starts it on a core, with these entries.
    pub(crate) fn start(database: &Database<'_>, ldif: Option<&str>, core: &str) -> Result<Self, Error> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let (config, data) = (dir.path().join("slapd.d"), dir.path().join("data"));
        fs::create_dir(&config)?;
        fs::create_dir(&data)?;
        for (number, text) in [("0", Some(settings(database, &data)?.as_str())), ("1", ldif)] {
            let Some(text) = text else { continue };
            let file = dir.path().join(format!("{number}.ldif"));
            fs::write(&file, text)?;
            let mut command = Command::new("/usr/sbin/slapadd");
            command.args(["-q", "-n", number, "-F"]).arg(&config).arg("-l").arg(&file);
            let added = command.output()?;
            if !added.status.success() {
                return Err(format!("slapadd: {}", String::from_utf8_lossy(&added.stderr)).into());
            }
        }
        let address = free_address()?;
        let mut command = Command::new("taskset");
        command.args(["-c", core, "/usr/sbin/slapd", "-d", "0", "-F"]).arg(&config);
        command.args(["-h", &format!("ldap://{address}")]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let this = Self { address, child, dir };
        wait_for(address)?;
        Ok(this)
    }

    /// Ends it as an operator would, and returns everything that it holds, as LDIF.
    pub(crate) fn dump(mut self) -> Result<String, Error> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        self.child.wait()?;
        let output =
            Command::new("/usr/sbin/slapcat").args(["-n", "1", "-F"]).arg(self.dir.path().join("slapd.d")).output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(database: &Database<'_>, data: &Path) -> Result<String, Error> {
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ldap");
    let read = |path: &Path| fs::read_to_string(path);
    Ok(format!(
        "dn: cn=config\nobjectClass: olcGlobal\ncn: config\nolcThreads: 4\nolcSizeLimit: unlimited\n\n\
         dn: cn=module{{0}},cn=config\nobjectClass: olcModuleList\ncn: module{{0}}\n\
         olcModulePath: /usr/lib/ldap\nolcModuleLoad: back_mdb\nolcModuleLoad: syncprov\n\n\
         dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n{}\n\n{}\n\n{}\n\n\
         dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcMdbConfig\n\
         olcDatabase: {{1}}mdb\nolcSuffix: o=ics\nolcDbDirectory: {}\n\
         olcDbMaxSize: 4294967296\nolcAccess: to * by * read\n{}\n{}\n",
        read(Path::new("/etc/ldap/schema/core.ldif"))?,
        read(&Path::new(schemas).join("ics.ldif"))?,
        read(&Path::new(schemas).join("gnupg.ldif"))?,
        data.display(),
        database.lines,
        database.overlay,
    ))
}

pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub(crate) fn wait_for(address: SocketAddr) -> Outcome {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(format!("nobody listens on {address}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
