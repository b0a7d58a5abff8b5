//! `ics serve` with a section `[ldap]`: it listens where `ics.toml` says, with the TLS that `ics.toml` says, tells
//! clients when it stops, and another node copies from it over LDAP.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Blocking, Stdio};
use std::time::{Duration, Instant};

use ics_tests::port::Port;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Answer, certificate_files};

const ICS: &str = env!("CARGO_BIN_EXE_ics-under-test");
const DOMAIN: &str = "devices.acme.example";
/// The key of a device: the base point of Ed25519, as SubjectPublicKeyInfo.
const SPKI: &str = "MCowBQYDK2VwAyEAWGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=";

/// A home directory, and the certificate that its `ics.toml` names.
struct Home {
    dir: TempDir,
    certificate: PathBuf,
    port: Port,
}

/// A running `ics serve`; killed when dropped.
struct Served {
    child: Child,
    /// The addresses that it reports listening on.
    urls: Vec<String>,
}

impl Home {
    async fn new() -> Self {
        Self::of("manufacturer", DOMAIN).await
    }

    async fn of(role: &str, domain: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let files = certificate_files(dir.path(), "ldap", "subjectAltName=IP:127.0.0.1").await;
        // The command line has to name the port.
        let this = Self { dir, certificate: files.certificate, port: Port::take().expect("a port") };
        let listen = this.port.address().to_string();
        let arguments = ["init", "--role", role, "--domain", domain, "--listen", &listen];
        this.ics(&[&arguments[..], &["--generate-passphrase"]].concat());
        this
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn command(&self, arguments: &[&str]) -> Blocking {
        let mut command = Blocking::new(ICS);
        command.arg("--home").arg(self.path()).args(arguments).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn ics(&self, arguments: &[&str]) {
        let ran = self.command(arguments).output().expect("starts");
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// The file with the operator's token.
    fn token_file(&self) -> String {
        let config = fs::read_to_string(self.path().join("ics.toml")).expect("a configuration");
        let file = config.lines().find_map(|line| line.strip_prefix("operator_token_file = \""));
        let file = file.and_then(|rest| rest.split('"').next()).expect("a token's file");
        self.path().join(file).to_str().expect("UTF-8").to_owned()
    }

    fn token(&self) -> String {
        fs::read_to_string(self.token_file()).expect("a token").trim().to_owned()
    }

    /// Adds the LDAP settings to `ics.toml`; `node` goes into the section `[node]`.
    fn says(&self, node: &str, ldap: &str) {
        let (file, kept) = (self.path().join("ics.toml"), self.path().join("ics.toml.kept"));
        if !kept.exists() {
            fs::copy(&file, &kept).expect("copied");
        }
        let text = fs::read_to_string(&kept).expect("a configuration");
        fs::write(&file, format!("{}\n{ldap}\n", text.replacen("[node]\n", &format!("[node]\n{node}\n"), 1)))
            .expect("written");
    }

    /// Starts the node and waits until it reports where it listens; the error is what it complains of if it exits
    /// before that.
    fn serve(&self, listening: usize) -> Result<Served, String> {
        let log = self.path().join("node.log");
        let mut command = self.command(&["--json", "serve"]);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&log).expect("a log"));
        let mut child = command.spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut urls = Vec::new();
        while urls.len() < listening {
            let line = lines.next().and_then(Result::ok).and_then(|line| serde_json::from_str::<Value>(&line).ok());
            let Some(url) = line.as_ref().and_then(|line| line["listening"].as_str()) else {
                child.wait().expect("has ended");
                return Err(fs::read_to_string(&log).expect("a log"));
            };
            urls.push(url.to_owned());
        }
        Ok(Served { child, urls })
    }

    /// Asks the server at an address; the client trusts the home directory's certificate, or nobody.
    async fn ask(&self, program: &str, url: &str, trusts: bool, arguments: &[&str]) -> Answer {
        let mut command = Command::new(program);
        command.args(["-x", "-H", url]).args(arguments).env("LDAPCONF", "/dev/null").env_remove("LDAPTLS_REQCERT");
        command.env("LDAPTLS_CACERT", if trusts { self.certificate.as_path() } else { Path::new("/dev/null") });
        let output = tokio::time::timeout(Duration::from_secs(60), command.kill_on_drop(true).output());
        Answer::of(output.await.expect("in time").expect("the program starts"))
    }
}

impl Served {
    #[track_caller]
    fn at(&self, scheme: &str) -> &str {
        let url = self.urls.iter().find(|url| url.starts_with(&format!("{scheme}://")));
        url.unwrap_or_else(|| panic!("it does not listen for {scheme}: {:?}", self.urls))
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        let asked = Blocking::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(asked.expect("kill runs").success());
    }

    /// Ends it with SIGTERM; it must exit in order.
    fn stop(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().expect("has ended").success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_tls_are_those_of_the_configuration() {
    let home = Home::new().await;
    let key = home.certificate.with_extension("key");
    let tls = format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", home.certificate.display(), key.display());
    let base = format!("icsDomain={DOMAIN},ou=Things,dc=acme,dc=example");
    let ldap =
        "[ldap]\nlisten = \"127.0.0.1:0\"\nlisten_tls = \"127.0.0.1:0\"\nsuffix = \"ou=Things,dc=acme,dc=example\"";
    // With a certificate of its own, and with that of `[node]`.
    for (node, ldap) in [(String::new(), format!("{ldap}\n{tls}")), (tls.clone(), ldap.to_owned())] {
        home.says(&node, &ldap);
        let served = home.serve(3).expect("it runs");
        let (plain, secure) = (served.at("ldap").to_owned(), served.at("ldaps").to_owned());
        for (url, arguments) in [(&plain, &[][..]), (&plain, &["-ZZ"]), (&secure, &[])] {
            let asked = [arguments, &["-LLL", "-b", &base, "-s", "base"]].concat();
            let found = home.ask("ldapsearch", url, true, &asked).await;
            assert_eq!((found.code, found.count("dn: ")), (0, 1), "{url} {arguments:?}: {found:?}");
            found.has(&format!("icsDomain: {DOMAIN}")).has("icsPosition: home");
        }
        for (url, arguments) in [(&plain, &["-ZZ"][..]), (&secure, &[])] {
            let refused = home.ask("ldapsearch", url, false, &[arguments, &["-b", &base]].concat()).await;
            assert!(refused.code != 0, "a client that does not trust the certificate goes no further: {refused:?}");
        }
        let operator = ["-D", "cn=operator,ou=Things,dc=acme,dc=example", "-w", &home.token()];
        for (url, arguments, code) in [(&plain, &[][..], 13), (&plain, &["-ZZ"], 0), (&secure, &[], 0)] {
            let who = home.ask("ldapwhoami", url, true, &[arguments, &operator].concat()).await;
            assert_eq!(who.code, code, "{url} {arguments:?}: {who:?}");
        }
        // The whole file is the password.
        let from_file = ["-D", "cn=operator,ou=Things,dc=acme,dc=example", "-y", &home.token_file()];
        let who = home.ask("ldapwhoami", &secure, true, &from_file).await;
        assert_eq!(who.code, 0, "{who:?}");
        served.stop();
    }
}

/// The public key that the server at an address presents, as openssl prints it.
fn shown_by(address: &str) -> String {
    let script = format!("openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -pubkey");
    let ran = Blocking::new("sh").args(["-c", &script]).output().expect("openssl runs");
    String::from_utf8(ran.stdout).expect("PEM")
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_were_renewed_are_shown_without_a_restart() {
    let home = Home::new().await;
    let key = home.certificate.with_extension("key");
    let tls = format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", home.certificate.display(), key.display());
    home.says(&tls, "[ldap]\nlisten_tls = \"127.0.0.1:0\"");
    let served = home.serve(2).expect("it runs");
    let both = ["https", "ldaps"].map(|scheme| served.at(scheme).split_once("://").expect("a URL").1.to_owned());
    let log = || fs::read_to_string(home.path().join("node.log")).expect("a log");
    let told = |what: &str| {
        let began = Instant::now();
        while log().matches(what).count() < 2 {
            assert!(began.elapsed() < Duration::from_secs(60), "not told `{what}`: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let first = both.each_ref().map(|address| shown_by(address));
    assert!(first[0].starts_with("-----BEGIN PUBLIC KEY") && first[0] == first[1], "{first:?}");

    let newer = certificate_files(home.dir.path(), "newer", "subjectAltName=IP:127.0.0.1").await;
    fs::copy(&newer.key, &key).expect("copied");
    served.signal("HUP");
    told("the former still is");
    assert_eq!(both.each_ref().map(|address| shown_by(address)), first, "a key without its certificate");

    fs::copy(&newer.certificate, &home.certificate).expect("copied");
    served.signal("HUP");
    told("is shown from now on");
    let second = both.each_ref().map(|address| shown_by(address));
    assert!(second[0].starts_with("-----BEGIN PUBLIC KEY") && second[0] == second[1] && second[0] != first[0]);
    served.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_there_is_no_tls() {
    let home = Home::new().await;
    home.says("", "[ldap]\nlisten_tls = \"127.0.0.1:0\"");
    let refused = home.serve(2).map(|_| ()).expect_err("it cannot serve TLS");
    assert!(refused.contains("LDAP over TLS needs a certificate: `tls` in the section [ldap]"), "{refused}");

    home.says("", "[ldap]\nlisten = \"127.0.0.1:0\"");
    let served = home.serve(2).expect("it runs");
    let plain = served.at("ldap").to_owned();
    let root = home.ask("ldapsearch", &plain, true, &["-LLL", "-b", "", "-s", "base", "+"]).await;
    root.has("namingContexts: o=ics").lacks("1.3.6.1.4.1.1466.20037");
    assert_eq!(home.ask("ldapwhoami", &plain, true, &["-ZZ"]).await.code, 1, "StartTLS is not to be had");

    // A client that is connected when the node is told to stop is notified (RFC 4511, 4.4.1).
    let mut idle = TcpStream::connect(plain.trim_start_matches("ldap://")).await.expect("connects");
    idle.write_all(b"\x30\x1e\x02\x01\x01\x77\x19\x80\x171.3.6.1.4.1.4203.1.11.3").await.expect("who am I");
    let mut answer = [0; 64];
    assert!(idle.read(&mut answer).await.expect("an answer") > 0);
    served.stop();
    let mut notice = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), idle.read_to_end(&mut notice));
    read.await.expect("in time").expect("an end");
    let has = |part: &[u8]| notice.windows(part.len()).any(|window| window == part);
    assert!(has(b"\x02\x01\x00\x78") && has(b"\x0a\x01\x34") && has(b"1.3.6.1.4.1.1466.20036"), "{notice:x?}");

    home.says("", "");
    let served = home.serve(1).expect("it runs");
    assert!(served.at("http").starts_with("http://127.0.0.1:"), "and no LDAP unless told");
    served.stop();
}

/// The peer's configuration decides over which transport a domain is copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_an_ldap_address_is_copied_from_over_ldap() {
    let (home, mirror) = (Home::new().await, Home::of("infield", "site4.acme.example").await);
    let key = home.certificate.with_extension("key");
    let tls = format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", home.certificate.display(), key.display());
    home.says("", &format!("[ldap]\nlisten = \"127.0.0.1:0\"\nlisten_tls = \"127.0.0.1:0\"\n{tls}"));
    let served = home.serve(3).expect("it runs");
    home.ics(&["publish", "--spki", SPKI, "--serial", "SN-0001"]);
    let base = format!("icsDomain={DOMAIN},o=ics");
    let all = ["-LLL", "-o", "ldif-wrap=no", "-b", &base];
    let theirs = home.ask("ldapsearch", served.at("ldap"), true, &all).await;
    assert_eq!(
        (theirs.code, theirs.count("dn: ")),
        (0, 3),
        "the domain, the device and what is said of it: {theirs:?}"
    );
    let value = |answer: &Answer, name: &str| {
        answer.out.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned)
    };
    let origin = value(&theirs, "icsOrigin").expect("an origin");

    mirror.says("", "[ldap]\nlisten = \"127.0.0.1:0\"");
    let pem = shown_by(served.at("ldaps").trim_start_matches("ldaps://"));
    let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mistyped = format!("{DOMAIN}/{}", "07".repeat(32));
    for (url, key) in [(served.at("ldap"), &[][..]), (served.at("ldaps"), &["--key", key.as_str()])] {
        let add = ["peer", "add", "ics.devices.acme.example", &mistyped, "--url", url, "--yes"];
        let refused = mirror.command(&[&add[..], key].concat()).output().expect("starts");
        let why = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{url}: {why}");
        assert!(why.contains(&format!("the peer serves another domain: `{origin}`")), "{url}: {why}");
    }
    // Errors say what to give instead: another address, the key, another name.
    let plain = served.at("ldaps").replace("ldaps://", "ldap://");
    for (url, domain, code, why) in [
        (plain.as_str(), DOMAIN, 4, "ldaps://"),
        (served.at("ldaps"), DOMAIN, 4, "--key KEY"),
        (served.at("ldap"), "other.acme.example", 3, "the peer does not hold the domain `other.acme.example`"),
    ] {
        let add = ["peer", "add", "ics.devices.acme.example", domain, "--url", url, "--yes"];
        let refused = mirror.command(&add).env("SSL_CERT_FILE", &mirror.certificate).output().expect("starts");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{url}: {told}");
        assert!(told.contains(why), "{url}: {told}");
    }
    // By its name alone, as over HTTP.
    mirror.ics(&["peer", "add", "ics.devices.acme.example", DOMAIN, "--url", served.at("ldap"), "--yes"]);
    let config = fs::read_to_string(mirror.path().join("ics.toml")).expect("a configuration");
    assert!(config.contains(&origin), "{config}");
    let copying = mirror.serve(2).expect("it runs");
    let began = Instant::now();
    let ours = loop {
        let ours = mirror.ask("ldapsearch", copying.at("ldap"), true, &all).await;
        if ours.count("dn: ") == 3 {
            break ours;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "not copied: {ours:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ours.has("icsPosition: mirror").has("icsName: serial:SN-0001");
    for name in ["icsRoot", "icsIdentity", "icsStatement", "icsBody:"] {
        assert_eq!(value(&ours, name), value(&theirs, name), "{name}");
        assert!(value(&ours, name).is_some(), "{name}");
    }
    copying.stop();
    served.stop();

    // Over HTTP too, where only its key identifies it.
    home.says(&tls, "");
    let served = home.serve(1).expect("it runs");
    let add = ["peer", "add", "another", &mistyped, "--url", served.at("https"), "--yes", "--key", &key];
    let refused = mirror.command(&add).output().expect("starts");
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains(&format!("the peer serves another domain: `{origin}`")), "{why}");
    served.stop();
}
