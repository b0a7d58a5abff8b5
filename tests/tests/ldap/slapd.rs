//! The distribution's slapd: it loads the schema, and keeps itself in step with a node as with any other provider.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ics_tests::port::Port;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{
    Answer, Directory, SECRET, access_rules, device, erasure, identity_dn, index_of, introduced, maker_fingerprint,
    recalled, submit,
};
use crate::world::{DOMAIN, domain, introduction, maker, stolen};

/// The initial configuration of a slapd: the distribution's schema and this project's.
fn schema() -> String {
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/ldap");
    let core = fs::read_to_string("/etc/ldap/schema/core.ldif").expect("slapd is installed");
    let mut config = format!("dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n{core}");
    for file in ["ics.ldif", "gnupg.ldif"] {
        let text = fs::read_to_string(format!("{schemas}/{file}")).expect(file);
        let _ = write!(config, "\n\n{text}");
    }
    config
}

#[tokio::test]
async fn slapd_loads_the_schema() {
    let dir = TempDir::new().expect("a directory");
    let config = format!("dn: cn=config\nobjectClass: olcGlobal\ncn: config\n\n{}", schema());
    make_config(&dir, &config).await;
    let test = Command::new("/usr/sbin/slaptest").arg("-u").arg("-F").arg(dir.path().join("slapd.d")).output().await;
    let test = test.expect("slaptest starts");
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
}

async fn make_config(dir: &TempDir, config: &str) {
    let (input, output) = (dir.path().join("config.ldif"), dir.path().join("slapd.d"));
    fs::write(&input, config).expect("written");
    fs::create_dir(&output).expect("made");
    let mut add = Command::new("/usr/sbin/slapadd");
    let add = add.args(["-n", "0", "-F"]).arg(&output).arg("-l").arg(&input).output().await.expect("slapadd starts");
    assert!(add.status.success(), "{}", String::from_utf8_lossy(&add.stderr));
}

/// A slapd that keeps a copy of a node's directory.
pub(crate) struct Consumer {
    dir: TempDir,
    pub(crate) address: SocketAddr,
    _port: Port,
    slapd: Option<Child>,
}

impl Consumer {
    /// `how` is the kind of replication, with further options.
    pub(crate) async fn new(provider: SocketAddr, how: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("made");
        let config = format!(
            "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n\n\
             dn: cn=module{{0}},cn=config\nobjectClass: olcModuleList\ncn: module{{0}}\n\
             olcModulePath: /usr/lib/ldap\nolcModuleLoad: back_mdb\n\n{}\n\n\
             dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcMdbConfig\n\
             olcDatabase: {{1}}mdb\nolcSuffix: o=ics\nolcRootDN: cn=admin,o=ics\nolcDbDirectory: {}\nolcDbIndex: entryUUID,entryCSN eq\n\
             olcAccess: to * by * read\n\
             olcSyncrepl: {}\n",
            schema(),
            data.display(),
            syncrepl(provider, how)
        );
        make_config(&dir, &config).await;
        let port = Port::take().expect("a port");
        let mut this = Self { dir, address: port.address(), _port: port, slapd: None };
        this.start();
        this
    }

    /// Changes how it replicates while it is stopped.
    async fn replicates(&self, provider: SocketAddr, how: &str) {
        let change = self.dir.path().join("change.ldif");
        let text = format!(
            "dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nreplace: olcSyncrepl\nolcSyncrepl: {}\n",
            syncrepl(provider, how)
        );
        fs::write(&change, text).expect("written");
        let mut modify = Command::new("/usr/sbin/slapmodify");
        modify.args(["-n", "0", "-F"]).arg(self.dir.path().join("slapd.d")).arg("-l").arg(&change);
        let modified = modify.output().await.expect("slapmodify starts");
        assert!(modified.status.success(), "{}", String::from_utf8_lossy(&modified.stderr));
    }

    /// Starts it; what it logs about replication is recorded from the beginning.
    pub(crate) fn start(&mut self) {
        let log = fs::File::create(self.dir.path().join("log")).expect("a file");
        let mut command = Command::new("/usr/sbin/slapd");
        command.args(["-d", "sync,stats2", "-h", &format!("ldap://{}", self.address), "-F"]);
        command.arg(self.dir.path().join("slapd.d")).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.slapd = Some(command.spawn().expect("slapd starts"));
    }

    /// Stops it as an operator would.
    pub(crate) async fn stop(&mut self) {
        let mut slapd = self.slapd.take().expect("runs");
        let id = slapd.id().expect("runs").to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.expect("kill starts").success());
        slapd.wait().await.expect("ends");
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("log")).expect("a log")).into_owned()
    }

    /// How many entries, or names of deleted entries, it has received since it started.
    fn received(&self) -> usize {
        self.log().lines().filter(|line| line.contains("syncrepl_message_to_entry:")).count()
    }

    async fn search(&self, filter: &str) -> Answer {
        let mut command = Command::new("ldapsearch");
        command.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &format!("ldap://{}", self.address)]);
        command.args(["-b", "o=ics", filter]).env("LDAPCONF", "/dev/null");
        Answer::of(command.output().await.expect("ldapsearch starts"))
    }

    /// Waits until a search finds this many entries.
    pub(crate) async fn until(&self, filter: &str, count: usize) -> Answer {
        let began = Instant::now();
        loop {
            let found = self.search(filter).await;
            if found.code == 0 && found.count("dn: ") == count {
                return found;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "`{filter}`: not {count} entries but {}\n{found:#?}\n{}",
                found.count("dn: "),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it has exactly what a stranger finds at the node.
    pub(crate) async fn until_same(&self, node: &Directory) {
        let began = Instant::now();
        loop {
            let (theirs, ours) = (self.search("(objectClass=*)").await, of_node(node).await);
            let (theirs, ours) = (entries(&theirs.out), entries(&ours));
            if theirs == ours {
                return;
            }
            let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "only in slapd: {:#?}\nonly in the node: {:#?}\n{}",
                only(&theirs, &ours),
                only(&ours, &theirs),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn syncrepl(provider: SocketAddr, how: &str) -> String {
    format!("rid=001 provider=ldap://{provider} searchbase=\"o=ics\" bindmethod=simple retry=\"1 +\" {how}")
}

/// Everything that a stranger finds: the tree, and the keys of everything in these tests, which are not listed.
async fn of_node(node: &Directory) -> String {
    let own = node.run("ldapsearch", &["-LLL", "-o", "ldif-wrap=no", "-b", "o=ics", "(objectClass=*)"]).await;
    let all = (10..=30).map(device).chain([maker_fingerprint()]);
    let filter: String = all.map(|key| format!("(gpgFingerprint={key})")).collect();
    let keys = ["-LLL", "-o", "ldif-wrap=no", "-b", "ou=PGP Keys,o=ics", &format!("(|{filter})")];
    own.out + &node.run("ldapsearch", &keys).await.out
}

/// Entries with their lines sorted, without the freshness attributes of things.
fn entries(ldif: &str) -> BTreeSet<String> {
    let as_of = ["icsAsOfSize:", "icsAsOfTime:", "icsFreshFor:"];
    let entry = |text: &str| {
        let of_thing = text.contains("objectClass: icsIdentityEntry");
        let lines = text.lines().filter(|line| !(of_thing && as_of.iter().any(|it| line.starts_with(it))));
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    ldif.split("\n\n").map(str::trim).filter(|text| !text.is_empty()).map(entry).collect()
}

pub(crate) const PERSIST: &str = "type=refreshAndPersist";

#[tokio::test(flavor = "multi_thread")]
async fn slapd_keeps_in_step() {
    let node = Directory::start().await;
    let mut slapd = Consumer::new(node.plain, PERSIST).await;
    slapd.until_same(&node).await;
    let dns = slapd.search("(objectClass=*)").await;
    let keys = slapd.search("(objectClass=pgpKeyInfo)").await;
    assert_eq!(keys.count("dn: "), 10 + 1, "the keys of all things, and that of their signer");
    assert_eq!(dns.count("dn: "), 3 + 2 + 10 + 11 + 11, "the tree, two domains, things, statements and keys");
    dns.lacks(&device(30)).lacks(&device(30).to_uppercase());

    // A new statement brings one more entry, and the thing, its key and its domain anew.
    let before = slapd.received();
    submit(&node.app, &domain(), vec![stolen(&maker(), 14)]).await;
    slapd.until("(&(objectClass=icsIdentityEntry)(icsStatus=stolen))", 2).await;
    slapd.until_same(&node).await;
    assert!(slapd.received() - before <= 4, "{}", slapd.log());

    // What happened while it was stopped.
    slapd.stop().await;
    submit(&node.app, &domain(), vec![introduction(&maker(), 20), stolen(&maker(), 15)]).await;
    slapd.start();
    slapd.until("(&(objectClass=icsIdentityEntry)(icsStatus=stolen))", 3).await;
    slapd.until_same(&node).await;
    assert!(slapd.received() <= 10, "no refresh of everything: {}", slapd.log());

    // The node restarts at the same address.
    let before = slapd.received();
    let node = node.restarted().await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 16)]).await;
    slapd.until("(&(objectClass=icsIdentityEntry)(icsStatus=stolen))", 4).await;
    slapd.until_same(&node).await;
    assert!(slapd.received() - before <= 10, "no refresh of everything: {}", slapd.log());

    // Things that strangers may no longer read disappear: because of a rule, or because of what is said of them.
    submit(&node.app, &domain(), vec![introduced(21, Some("S")), introduced(22, None), introduced(23, None)]).await;
    slapd.until("(objectClass=icsIdentityEntry)", 14).await;
    let rule = "@id(\"secret-lot\") forbid (principal, action == Action::\"read\", resource) when { resource has lot && resource.lot == \"S\" };";
    access_rules(&node.app, rule).await;
    slapd.until("(objectClass=icsIdentityEntry)", 13).await;
    submit(&node.app, &domain(), vec![introduced(22, Some("S"))]).await;
    slapd.until("(objectClass=icsIdentityEntry)", 12).await;
    slapd.until_same(&node).await;

    // The same while it is stopped.
    slapd.stop().await;
    submit(&node.app, &domain(), vec![introduced(23, Some("S"))]).await;
    slapd.start();
    slapd.until("(objectClass=icsIdentityEntry)", 11).await;
    slapd.until_same(&node).await;
    assert!(slapd.received() <= 10, "no refresh of everything: {}", slapd.log());
    slapd.stop().await;
    access_rules(&node.app, &rule.replace("\"S\"", "\"L1\"")).await;
    slapd.start();
    slapd.until("(objectClass=icsIdentityEntry)", 3).await;
    slapd.until_same(&node).await;
    slapd.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_asks_again_and_again() {
    let node = Directory::start().await;
    let mut slapd = Consumer::new(node.plain, "type=refreshOnly interval=00:00:00:01").await;
    slapd.until_same(&node).await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 14), introduction(&maker(), 21)]).await;
    slapd.until("(&(objectClass=icsIdentityEntry)(icsStatus=stolen))", 2).await;
    slapd.until_same(&node).await;
    let received = slapd.received();
    assert!(received < 2 * 37, "{received} entries came");
    slapd.stop().await;
    node.stop().await;
}

/// A copy immediately forgets everything about an erased statement except what blocks; what is left of a thing goes on
/// as before.
#[tokio::test(flavor = "multi_thread")]
async fn slapd_forgets_what_is_erased() {
    let node = Directory::start().await;
    let mut slapd = Consumer::new(node.plain, PERSIST).await;
    slapd.until_same(&node).await;
    let before = slapd.search("(objectClass=*)").await;
    assert!(before.out.contains("Thermometer 14") && before.out.contains("SN-14"), "{before:?}");
    let stolen = "(&(objectClass=icsIdentityEntry)(icsStatus=stolen))";

    submit(&node.app, &domain(), vec![erasure(&node.app, index_of(&node.app, 14, 0))]).await;
    slapd.until("(objectClass=pgpKeyInfo)", 10).await;
    slapd.until_same(&node).await;
    slapd
        .search("(objectClass=*)")
        .await
        .lacks("Thermometer 14")
        .lacks("SN-14")
        .has(&format!("icsIdentity: {}", device(14)));
    submit(&node.app, &domain(), vec![erasure(&node.app, index_of(&node.app, 13, 1))]).await;
    slapd.until("(&(objectClass=icsIdentityEntry)(icsReason=*))", 0).await;
    slapd.until(stolen, 1).await;
    slapd.until_same(&node).await;
    let found = node.run("ldapsearch", &["-LLL", "-b", "o=ics", stolen]).await;
    assert_eq!((found.code, found.count("dn: ")), (0, 1), "{found:?}");

    // It also receives what is said of the thing's lot, even if an erasure comes at the same time.
    submit(&node.app, &domain(), vec![recalled("L1")]).await;
    slapd.until(&format!("(&(icsIdentity={})(icsStatus=withdrawn))", device(14)), 1).await;
    slapd.until_same(&node).await;
    submit(&node.app, &domain(), vec![erasure(&node.app, index_of(&node.app, 15, 0)), recalled("L2")]).await;
    slapd.until("(objectClass=pgpKeyInfo)", 9).await;
    slapd.until_same(&node).await;
    slapd.search("(objectClass=*)").await.lacks("Thermometer 15").lacks("SN-15");
    slapd.stop().await;

    // A new copy gets it too, with the two recalled lots.
    let mut slapd = Consumer::new(node.plain, PERSIST).await;
    slapd.until("(objectClass=icsIdentityEntry)", 10 + 2).await;
    slapd.until_same(&node).await;
    slapd.stop().await;
    node.stop().await;
}

/// A cookie of another search is of no use: slapd then asks for everything.
#[tokio::test(flavor = "multi_thread")]
async fn slapd_begins_anew_when_it_asks_for_something_else() {
    let node = Directory::start().await;
    let few = format!("{PERSIST} filter=\"(|(objectClass=organization)(objectClass=icsDomainEntry))\"");
    let mut slapd = Consumer::new(node.plain, &few).await;
    slapd.until("(objectClass=*)", 3).await;
    slapd.stop().await;
    slapd.replicates(node.plain, PERSIST).await;
    slapd.start();
    slapd.until_same(&node).await;
    slapd.stop().await;
    node.stop().await;
}

/// Cookies that do not fit are never guessed at.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_do_not_fit() {
    let node = Directory::start().await;
    let base = format!("icsDomain={DOMAIN},o=ics");
    let sync = async |base: &str, cookie: &str, more: &[&str]| {
        let control = format!("!sync=ro{}{cookie}", if cookie.is_empty() { "" } else { "/" });
        let mut arguments = vec!["-b", base, "-E", &control];
        arguments.extend(more);
        node.run("ldapsearch", &arguments).await
    };
    let first = sync(&base, "", &[]).await;
    assert_eq!((first.code, first.count("dn: ")), (0, 22), "{first:?}");
    let cookie = cookie_of(&first);
    let again = sync(&base, &cookie, &[]).await;
    assert_eq!((again.code, again.count("dn: ")), (0, 1), "the domain says how fresh it is: {again:?}");
    again.has(&format!("dn: {base}"));
    submit(&node.app, &domain(), vec![stolen(&maker(), 11)]).await;
    let more = sync(&base, &cookie, &[]).await;
    assert_eq!((more.code, more.count("dn: ")), (0, 4), "{more:?}");
    more.has(&format!("dn: {}", identity_dn(11)));

    let newer = cookie_of(&more);
    let spoilt = |from: &str, to: &str| {
        assert!(newer.contains(from), "{newer}");
        newer.replacen(from, to, 1)
    };
    let tag = newer.rsplit('#').nth(2).expect("a tag");
    for (what, base, cookie, more) in [
        ("no cookie", base.as_str(), "colour=red".to_owned(), &[][..]),
        ("another size", &base, spoilt("#00000e#", "#00000d#"), &[]),
        ("a size to come", &base, spoilt("#00000e#", "#00000f#"), &[]),
        ("another tag", &base, spoilt(tag, "0123ab"), &[]),
        ("another domain", &base, spoilt("#001#", "#002#").replace("#801#", "#802#"), &[]),
        ("a domain that is not there", &base, spoilt("#001#", "#7ff#").replace("#801#", "#fff#"), &[]),
        ("another base", "o=ics", newer.clone(), &[]),
        ("another scope", &base, newer.clone(), &["-s", "one"]),
        ("another filter", &base, newer.clone(), &["(icsKind=device)"]),
        ("other attributes", &base, newer.clone(), &["(objectClass=*)", "cn"]),
    ] {
        let refused = sync(base, &cookie, more).await;
        assert_eq!(refused.code, 4096 & 0xff, "{what}: {refused:?}");
        assert!(refused.out.contains("4096"), "{what}: {refused:?}");
        assert_eq!(refused.count("dn: "), 0, "{what}: {refused:?}");
    }
    for (what, base, arguments, code) in [
        ("where keys are found", "cn=PGPServerInfo,o=ics", &[][..], 53),
        ("nothing that is there", "icsDomain=nobody.example,o=ics", &[], 32),
        ("what may not be read", &format!("icsIdentity={},icsDomain={SECRET},o=ics", device(30)), &[], 32),
        ("fewer than there are", &base, &["-z", "3"], 4),
        ("following aliases", &base, &["-a", "always"], 2),
        ("following those that are found", &base, &["-a", "search"], 2),
        ("following them to the base", &base, &["-a", "find"], 0),
    ] {
        let refused = sync(base, "", arguments).await;
        assert_eq!(refused.code, code, "{what}: {refused:?}");
    }
    node.stop().await;
}

/// Runs a program on files, as people do.
fn run(program: &str, arguments: &[&std::path::Path]) {
    let done = std::process::Command::new(program).args(arguments).status().expect("it starts");
    assert!(done.success(), "{program} {arguments:?}");
}

/// A cookie of a log that was restored and diverged, or of another log with the same name, is not accepted.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_another_history() {
    let backup = TempDir::new().expect("a directory");
    let (kept, put_back) = (backup.path().join("data"), backup.path().join("data"));
    let base = format!("icsDomain={DOMAIN},o=ics");
    let sync = async |node: &Directory, base: &str, cookie: &str| {
        let control = format!("!sync=ro{}{cookie}", if cookie.is_empty() { "" } else { "/" });
        node.run("ldapsearch", &["-b", base, "-E", &control]).await
    };
    let node = Directory::start().await;
    let node = node.restarted_after(move |data| run("cp", &["-a".as_ref(), data, kept.as_ref()])).await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 14)]).await;
    let mut cookies = Vec::new();
    for base in [base.as_str(), "o=ics", "ou=PGP Keys,o=ics"] {
        let cookie = cookie_of(&sync(&node, base, "").await);
        let again = sync(&node, base, &cookie).await;
        assert_eq!(again.code, 0, "its own: {again:?}");
        cookies.push((base.to_owned(), cookie));
    }
    let back = move |data: &std::path::Path| {
        run("find", &[data, "-mindepth".as_ref(), "1".as_ref(), "-delete".as_ref()]);
        run("cp", &["-a".as_ref(), put_back.join(".").as_path(), data]);
    };
    let node = node.restarted_after(back).await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 15)]).await;
    let other = Directory::start().await;
    submit(&other.app, &domain(), vec![stolen(&maker(), 14)]).await;
    for node in [&node, &other] {
        for (base, cookie) in &cookies {
            let refused = sync(node, base, cookie).await;
            assert_eq!((refused.code, refused.count("dn: ")), (4096 & 0xff, 0), "{refused:?}");
            assert!(refused.out.contains("4096"), "{refused:?}");
        }
    }
    node.stop().await;
    other.stop().await;
}

/// The cookie in ldapsearch's output: base64 if it was decoded, else text.
fn cookie_of(answer: &Answer) -> String {
    let at = answer.out.find("rid=").unwrap_or_else(|| panic!("no cookie: {answer:#?}"));
    let text: String = answer.out[at..].chars().take_while(|c| !c.is_whitespace() && *c != '\'').collect();
    text
}
