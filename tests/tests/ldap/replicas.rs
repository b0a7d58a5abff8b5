//! A domain copied from node to node over LDAP: the same mirror gets the same log under the same root as over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use ics_node::app::{App, Reader};
use ics_node::config::{Direction, PeerConfig, TlsConfig};
use ics_node::tls::{ClientTls, NodeCertificate, PeerKey};
use ics_sync::ldap::LdapPeer;
use ics_sync::wire::Entry;
use ics_tests::fuzz::Mutator;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Directory, SECRET, access_rules, introduced, submit};
use crate::world::{MIRROR, World, domain, introduction, maker, stolen};

/// A node that copies.
struct Copy {
    world: World,
    stop: watch::Sender<bool>,
    replicating: JoinHandle<()>,
}

impl Copy {
    async fn of(peer: PeerConfig) -> Self {
        let world = tokio::task::spawn_blocking(World::empty).await.expect("a world");
        std::fs::write(world.data().join("ics.toml"), "").expect("written");
        let this = Self::begin(world);
        this.app().put_peer(peer).expect("is taken");
        this
    }

    fn begin(world: World) -> Self {
        let (stop, stopped) = watch::channel(false);
        let replicating = tokio::spawn(world.app.clone().replicate(stopped));
        Self { world, stop, replicating }
    }

    fn app(&self) -> &App {
        &self.world.app
    }

    /// Waits until it holds what the home holds, under the same root.
    async fn until_same(&self, home: &App, domain: &DomainName) {
        let root = |app: &App| app.domain(domain).ok().map(|info| (info.info.size, info.root, info.info.descriptor));
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while root(self.app()) != root(home) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            panic!("{:?} is not {:?}: {:#?}", root(self.app()), root(home), self.app().peers());
        }
    }

    /// Waits until its driver reports this state for each domain.
    async fn until_states(&self, wanted: &[(&DomainName, &str)]) {
        let states = || -> BTreeMap<DomainName, String> {
            let pulls = self.app().peers().into_iter().flat_map(|peer| peer.pulls);
            pulls.map(|pulled| (pulled.domain, pulled.state)).collect()
        };
        let wanted = wanted.iter().map(|(domain, state)| ((*domain).clone(), (*state).to_owned())).collect();
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while states() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{:#?}", self.app().peers());
    }

    /// How many entries it holds as leaves only.
    fn hidden(&self, domain: &DomainName) -> usize {
        let page = self.app().entries(Reader::Operator, domain, 0, 1_000, None).expect("a page");
        page.entries.iter().filter(|entry| matches!(entry, Entry::Hidden(_))).count()
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(60), self.replicating).await.expect("in time").expect("ends");
    }
}

fn origin(node: &Directory, domain: &DomainName) -> Origin {
    node.app.domain(domain).expect("is here").info.origin
}

fn secret() -> DomainName {
    SECRET.parse().expect("a domain")
}

fn peer(url: &str, mirror: Vec<Origin>) -> PeerConfig {
    let mut peer = PeerConfig::new("home.example".parse().expect("a name"));
    peer.url = Some(url.parse().expect("an address"));
    peer.mirror = mirror;
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_over_ldap_is_the_same_log() {
    let node = Directory::start().await;
    let url = format!("ldap://{}", node.plain);
    let both = peer(&url, vec![origin(&node, &domain()), origin(&node, &secret())]);
    let copy = Copy::of(PeerConfig { interval_ms: 20_000, ..both }).await;
    copy.until_same(&node.app, &domain()).await;
    copy.until_same(&node.app, &secret()).await;
    assert_eq!(copy.hidden(&domain()), 0);
    assert_eq!(copy.hidden(&secret()), 1, "what strangers may not read comes as its leaf");
    let record = copy.app().record(Reader::Anonymous, &domain(), "serial:SN-13").expect("a record").record;
    assert_eq!(record.status.expect("a status").decides.name.as_str(), "stolen");

    // News is pushed, one after the other, long before the mirror would look for itself.
    for seed in [14, 15] {
        submit(&node.app, &domain(), vec![stolen(&maker(), seed)]).await;
        let began = std::time::Instant::now();
        copy.until_same(&node.app, &domain()).await;
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    }
    // More than is pushed as news, and a new descriptor among it.
    submit(&node.app, &domain(), (40..140).map(|seed| introduced(seed, None)).collect()).await;
    access_rules(
        &node.app,
        "@id(\"nobody\") forbid (principal, action == Action::\"read\", resource) when { resource has qty };",
    )
    .await;
    submit(&node.app, &domain(), vec![introduction(&maker(), 140)]).await;
    copy.until_same(&node.app, &domain()).await;
    assert_eq!(
        copy.app().descriptor(&domain(), None).expect("a descriptor").json,
        node.app.descriptor(&domain(), None).expect("a descriptor").json
    );
    // Nothing is left to fetch. In the clear, nothing proves that it is the home that says what may not be read.
    copy.until_states(&[(&domain(), "current"), (&secret(), "unconfirmed")]).await;
    let [info] = &copy.app().peers()[..] else { panic!("one peer") };
    assert!(info.pulls.iter().all(|pulled| pulled.bytes > 1_000), "{info:?}");
    let note = copy.app().checkpoint(&domain()).expect("a checkpoint");
    assert!(note.lines().filter(|line| line.starts_with('—')).count() >= 2, "signature and cosignature came along");

    // The home restarts, and the copy finds it again.
    let node = node.restarted().await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 16)]).await;
    copy.until_same(&node.app, &domain()).await;

    // The copy restarts too, and continues where it was.
    let Copy { world, stop, replicating } = copy;
    stop.send_replace(true);
    replicating.await.expect("ends");
    submit(&node.app, &domain(), vec![stolen(&maker(), 17)]).await;
    let copy = Copy::begin(world);
    copy.until_same(&node.app, &domain()).await;
    copy.stop().await;
    node.stop().await;
}

/// The key of a TLS certificate as a pin.
pub(crate) async fn key_of(files: &TlsConfig) -> PeerKey {
    let script = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform DER | base64 -w0";
    let output = Command::new("sh").args(["-c", script]).arg(&files.certificate).output().await.expect("sh starts");
    String::from_utf8(output.stdout).expect("text").parse().expect("a key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_known_by_its_key() {
    let node = Directory::start().await;
    let url = format!("ldaps://{}", node.tls);
    let mut home = peer(&url, vec![origin(&node, &secret())]);
    home.key = Some(key_of(&node.files).await);
    let copy = Copy::of(home).await;
    copy.until_same(&node.app, &secret()).await;
    assert_eq!(copy.hidden(&secret()), 1, "nobody knows it yet");

    let mut reader = PeerConfig::new(MIRROR.parse().expect("a name"));
    reader.direction = Direction::Serve;
    // All nodes of these tests have the same key.
    reader.key = Some(node.app.node().key.parse().expect("a key"));
    std::fs::write(node.config_file(), "").expect("written");
    node.app.put_peer(reader).expect("is taken");
    let shown = tokio::time::timeout(Duration::from_secs(60), async {
        while copy.hidden(&secret()) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    shown.await.expect("as the peer that it has proved to be it is shown what was hidden");
    copy.until_same(&node.app, &secret()).await;
    copy.stop().await;

    // A server that proves another key is not trusted.
    let mut home = peer(&url, vec![origin(&node, &secret())]);
    home.key = Some(node.app.node().key.parse().expect("a key"));
    let copy = Copy::of(home).await;
    let trouble = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let error = copy.app().peers().first().and_then(|peer| peer.pulls.first()?.last_error.clone());
            match error {
                Some(error) => return error,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    let trouble = trouble.await.expect("an error in time");
    assert!(trouble.contains("certificate"), "{trouble}");
    assert!(copy.app().domain(&secret()).is_err(), "nothing has come");
    copy.stop().await;
    node.stop().await;
}

/// A cursor of another log, or of entries that do not exist, is refused as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_other_logs_are_refused() {
    let node = Directory::start().await;
    let base = format!("icsDomain={},cn=Log", domain());
    let (own, other) = (origin(&node, &domain()), origin(&node, &secret()));
    for (cookie, refused) in [
        (format!("ics {own} 3"), false),
        (format!("ics {own} 13 13"), false),
        (format!("ics {own} 14"), true),
        (format!("ics {own} 3 14"), true),
        (format!("ics {own} 3 2"), true),
        (format!("ics {other} 1"), true),
        ("rid=001".to_owned(), true),
    ] {
        let found = node.run("ldapsearch", &["-b", &base, "-E", &format!("!sync=ro/{cookie}")]).await;
        assert_eq!(found.out.contains("4096"), refused, "{cookie}: {found:?}");
        assert_eq!(found.count("dn: ") == 0, refused, "{cookie}: {found:?}");
    }
    let entry = node.run("ldapsearch", &["-LLL", "-b", &format!("icsIndex=1,{base}"), "-s", "base"]).await;
    assert_eq!((entry.count("icsHeader:: "), entry.count("icsSalt:: "), entry.count("icsBody:: ")), (1, 1, 1));
    node.stop().await;
}

/// Whatever the server sends is an error at worst, and is never taken for a log.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_server_cannot_crash_the_client() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.location().is_some_and(|at| at.file().contains("ldap3") || at.file().contains("ics-sync")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ldap://{}", listener.local_addr().expect("a port"));
    let good = answer(&domain().to_string());
    let other =
        [tlv(0x79, &[tlv(0x80, b"1.3.6.1.4.1.4203.1.9.1.4"), tlv(0x81, b"\x80\x01x")].concat()), tlv(0x61, &result())];
    let other: Vec<u8> = other.iter().flat_map(|operation| message(operation, &[])).collect();
    let answers: Vec<Vec<u8>> = {
        let mut mutator = Mutator::new(7);
        let changed = (0..400).map(|_| mutator.change(&good, &other));
        [good.clone(), other.clone(), Vec::new(), vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]]
            .into_iter()
            .chain(changed)
            .collect()
    };
    let told = Arc::new(answers.clone());
    let serving = tokio::spawn(async move {
        for answer in told.iter() {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut question = [0; 4096];
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(answer).await;
        }
    });
    let key = Arc::new(ed25519_dalek::SigningKey::from_bytes(&[5; 32]));
    let tls = ClientTls::new(NodeCertificate::make("x.example", key).expect("a certificate"));
    let mut understood = 0;
    for (number, bytes) in answers.iter().enumerate() {
        let peer = LdapPeer::new(&url, tls.for_peer(None).expect("TLS")).expect("an address");
        let told = tokio::time::timeout(Duration::from_secs(60), peer.checkpoint(&domain())).await.expect("in time");
        assert!(number > 0 || told.is_ok(), "the good answer is understood: {told:?}");
        assert!(told.is_err() || !bytes.is_empty());
        understood += usize::from(told.is_ok());
    }
    serving.await.expect("ends");
    assert!(understood > 1 && understood < answers.len() / 2, "{understood}");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "nothing panics");
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ics_sync::ber::primitive(&mut out, tag, content);
    out
}

fn message(operation: &[u8], controls: &[u8]) -> Vec<u8> {
    // The library numbers its requests from 1.
    tlv(0x30, &[&tlv(2, &[1])[..], operation, controls].concat())
}

fn result() -> Vec<u8> {
    [tlv(10, &[0]), tlv(4, b""), tlv(4, b"")].concat()
}

/// A log's own entry with its controls, and the result.
fn answer(domain: &str) -> Vec<u8> {
    let attribute =
        |name: &str, value: &[u8]| tlv(0x30, &[tlv(4, name.as_bytes()), tlv(0x31, &tlv(4, value))].concat());
    let attributes = [
        attribute("icsOrigin", format!("{domain}/00").as_bytes()),
        attribute("icsAsOfSize", b"1"),
        attribute("icsCheckpoint", b"a note\n"),
        attribute("icsProof", &[7; 32]),
    ];
    let entry = tlv(0x64, &[tlv(4, b"cn=Log"), tlv(0x30, &attributes.concat())].concat());
    let state = tlv(0x30, &[tlv(10, &[1]), tlv(4, &[7; 16])].concat());
    let controls = tlv(0xa0, &tlv(0x30, &[tlv(4, b"1.3.6.1.4.1.4203.1.9.1.2"), tlv(4, &state)].concat()));
    let done = tlv(0x30, &[tlv(4, b"rid=000"), tlv(1, &[0xff])].concat());
    let end = tlv(0xa0, &tlv(0x30, &[tlv(4, b"1.3.6.1.4.1.4203.1.9.1.3"), tlv(4, &done)].concat()));
    [message(&entry, &controls), message(&tlv(0x65, &result()), &end)].concat()
}
