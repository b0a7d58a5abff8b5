//! What clients write: statements, on which their signatures and the domain's policy decide.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::Template;
use ics_core::identity::Kind;
use ics_core::log::checkpoint::Origin;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Claims, make};
use ics_core::vocabulary::{Act, DomainName};
use ics_node::app::App;
use ics_node::config::PeerConfig;
use ics_node::http;
use tokio::sync::watch;

use crate::raw::{Client, message, present, search, text, tlv};
use crate::support::{Directory, device, identity_dn, maker_fingerprint, submit};
use crate::world::{
    CREATED, DOMAIN, World, certificate, changed_descriptor, domain, hanging_home, introduction, introduction_to_care,
    maker, signer, stolen,
};

/// A domain whose home is another node.
const PUMPS: &str = "pumps.acme.example";

fn name(statement: &[u8]) -> String {
    match body::parse(statement).expect("parses") {
        Body::Statement(said) => {
            format!("icsStatement={},icsIdentity={},icsDomain={DOMAIN},o=ics", said.id(), said.identity())
        }
        _ => panic!("a statement"),
    }
}

/// The input for `ldapadd`.
fn ldif(directory: &Path, dn: &str, body: &[u8]) -> PathBuf {
    let path = directory.join("add.ldif");
    let text = format!("dn: {dn}\nobjectClass: icsStatementEntry\nicsBody:: {}\n", STANDARD.encode(body));
    std::fs::write(&path, text).expect("written");
    path
}

/// Values that are not keys, or not those that their names claim, are refused, and nothing of them is kept.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_none_are_refused() {
    let node = Directory::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("add.ldif");
    let add = async |id: &str, key: Option<&[u8]>| {
        let key = key.map(|key| format!("pgpKey:: {}\n", STANDARD.encode(key))).unwrap_or_default();
        let text = format!("dn: pgpCertID={id},ou=PGP Keys,o=ics\nobjectClass: pgpKeyInfo\npgpCertID: {id}\n{key}");
        std::fs::write(&path, text).expect("written");
        node.run("ldapadd", &["-f", path.to_str().expect("UTF-8")]).await.code
    };
    let (own, stranger) = (certificate(&maker(), "Acme <keys@acme.example>"), certificate(&signer(99), "Nobody"));
    let id = |of: u8| device(of)[24..].to_uppercase();
    let cut = &stranger[..stranger.len() / 2];
    let size = node.app.domain(&domain()).expect("is here").info.size;
    for (what, id, key, code) in [
        ("text", id(99), Some(&b"no key"[..]), 21),
        ("armor around nothing", id(99), Some(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n=twTO\n"), 21),
        ("half a key", id(99), Some(cut), 21),
        ("no key", id(99), None, 65),
        ("a key of another name", id(98), Some(&stranger), 64),
        ("under another name, what would be admitted", id(98), Some(&introduction(&maker(), 40)), 64),
        ("a stranger's key", id(99), Some(&stranger), 50),
        ("a name that is no id", "none".to_owned(), Some(&stranger), 64),
        ("a key that is here", maker_fingerprint()[24..].to_uppercase(), Some(&own), 68),
    ] {
        assert_eq!(add(&id, key).await, code, "{what}");
    }
    let here = format!("pgpCertID={},ou=PGP Keys,o=ics", id(13));
    assert_eq!(node.run("ldapdelete", &[&here]).await.code, 50, "keys are not deleted");
    assert_eq!(node.app.domain(&domain()).expect("is here").info.size, size, "nothing was logged");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_added() {
    let node = Directory::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let add = async |dn: &str, body: &[u8]| {
        let path = ldif(dir.path(), dn, body);
        node.run("ldapadd", &["-f", path.to_str().expect("UTF-8")]).await
    };
    let accepted =
        || node.app.submission_counts().iter().find(|(outcome, _)| *outcome == "accepted").map(|(_, count)| *count);
    let (before, said) = (accepted().expect("some"), stolen(&maker(), 14));
    let added = add(&name(&said), &said).await;
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(accepted(), Some(before + 1), "it is counted");
    let thing = node.run("ldapsearch", &["-LLL", "-b", &identity_dn(14), "-s", "base"]).await;
    thing.has("icsStatus: stolen").has("icsReason: taken off a lorry");
    assert_eq!(add(&name(&said), &said).await.code, 68, "it is there");

    let other = stolen(&maker(), 15);
    let stranger = introduction(&signer(99), 16);
    for (what, dn, body, code) in [
        ("under another name", name(&stranger), other.clone(), 64),
        ("by somebody who may not", name(&stranger), stranger, 50),
        ("nothing that can be read", name(&other), b"garbage".to_vec(), 21),
        ("into a domain that is not here", name(&other).replace(DOMAIN, "nobody.example"), other.clone(), 32),
    ] {
        let refused = add(&dn, &body).await;
        assert_eq!(refused.code, code, "{what}: {refused:?}");
    }
    let dn = name(&said);
    assert_eq!(node.run("ldapdelete", &[&dn]).await.code, 50, "logs forget nothing");
    let change = dir.path().join("change.ldif");
    std::fs::write(&change, format!("dn: {dn}\nchangetype: modify\nreplace: icsReason\nicsReason: none\n"))
        .expect("written");
    assert_eq!(node.run("ldapmodify", &["-f", change.to_str().expect("UTF-8")]).await.code, 50, "nor do they change");
    node.stop().await;
}

/// The home of a copied domain decides what is added to it here. While it is away, statements of known signers wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_to_a_copy_goes_to_its_home() {
    let pumps: DomainName = PUMPS.parse().expect("a domain");
    let (home, url) = serves_a_home_of(PUMPS).await;
    submit(&home.app, &pumps, vec![certificate(&maker(), "Acme <keys@acme.example>")]).await;
    let origin = home.app.domain(&pumps).expect("is here").info.origin;

    let node = Directory::start().await;
    std::fs::write(node.config_file(), "").expect("written");
    home_is_at(&node, &origin, &url);
    let (stop, stopped) = watch::channel(false);
    let copying = tokio::spawn(node.app.clone().replicate(stopped.clone()));
    let sending = tokio::spawn(node.app.clone().send_outboxes(stopped));
    let size = || home.app.domain(&pumps).expect("is here").info.size;
    let until = async |entries: u64| until_copied(&home.app, &node.app, &pumps, entries).await;
    until(2).await;

    let dir = tempfile::tempdir().expect("a directory");
    let add = async |body: &[u8]| {
        let path = ldif(dir.path(), &name(body).replace(DOMAIN, PUMPS), body);
        node.run("ldapadd", &["-f", path.to_str().expect("UTF-8")]).await.code
    };
    let pump = |seed: u8| format!("icsIdentity={},icsDomain={PUMPS},o=ics", device(seed));
    let said = says(&maker(), 40, "manufacturer");
    assert_eq!(add(&said).await, 0);
    until(3).await;
    let found = node.run("ldapsearch", &["-LLL", "-b", &pump(40), "1.1"]).await;
    assert_eq!((found.code, found.count("dn: ")), (0, 2), "it has come back with the copy: {found:?}");
    assert_eq!(add(&said).await, 68, "it is there");

    let strangers = says(&signer(99), 41, "manufacturer");
    assert_eq!(add(&says(&maker(), 41, "owner")).await, 50, "the home knows no owner of it");
    assert_eq!(add(&strangers).await, 50, "nor this signer");
    assert_eq!(size(), 3, "nothing of it was logged");

    home_is_at(&node, &origin, "http://127.0.0.1:1");
    let waiting = || node.app.outbox_sizes().expect("sizes").iter().map(|of| of.statements).sum::<u64>();
    let later = says(&maker(), 42, "manufacturer");
    assert_eq!(add(&later).await, 0, "it is on disk");
    assert_eq!(add(&strangers).await, 52, "what strangers say is kept nowhere");
    assert_eq!((waiting(), size()), (1, 3));
    assert_eq!(node.run("ldapsearch", &["-b", &pump(42)]).await.code, 32, "it is not shown before it is logged");
    home_is_at(&node, &origin, &url);
    until(4).await;
    assert_eq!(add(&later).await, 68, "it has arrived");

    stop.send_replace(true);
    copying.await.expect("ends");
    sending.await.expect("ends");
    node.stop().await;
}

/// Makes a node copy a domain from its home, which is at this URL.
fn home_is_at(node: &Directory, origin: &Origin, url: &str) {
    let peer = PeerConfig {
        url: Some(url.parse().expect("a URL")),
        mirror: vec![origin.clone()],
        ..PeerConfig::new("home".parse().expect("a name"))
    };
    node.app.put_peer(peer).expect("is taken");
}

/// Waits until the home of a domain has this many entries and the copy holds the same. The descriptor is published a
/// moment after the root.
async fn until_copied(home: &App, copy: &App, domain: &DomainName, entries: u64) {
    let held = |app: &App| app.domain(domain).ok().map(|held| (held.info.size, held.root, held.info.descriptor));
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while held(home).is_none_or(|held| held.0 != entries) || held(copy) != held(home) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{entries}: {:?} is not {:?}", held(copy), held(home));
}

/// A statement about a pump by someone in a role.
fn says(by: &dyn Signer, seed: u8, role: &str) -> Vec<u8> {
    let claims = Claims::new(Act::Identity, role.parse().expect("a role"), PUMPS.parse().expect("a domain"));
    let (pump, salt) = (signer(seed), [3; 32]);
    make::certify(by, pump.public_key(), "Pump", None, Kind::Device, &claims, false, CREATED, &salt).expect("made")
}

/// The home of a domain, and the URL at which it serves HTTP until the test ends.
async fn serves_a_home_of(domain: &'static str) -> (World, String) {
    let founded = move || {
        let world = World::empty();
        world.app.found(&changed_descriptor(Template::Manufacturer, domain, Vec::new(), |_| {})).expect("founds");
        world
    };
    let home = tokio::task::spawn_blocking(founded).await.expect("a world");
    let settings = http::Settings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        workers: Some(1),
        ..http::Settings::default()
    };
    let server = http::serve(home.app.clone(), &settings).expect("serves");
    let url = format!("http://{}", server.addresses()[0]);
    tokio::spawn(server.run(std::future::pending()));
    (home, url)
}

/// The home of a copied domain accepts connections but answers nothing; there is room for one operation at a time.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_another_home_keeps_no_search_out() {
    let node = Directory::with(|settings| settings.max_work = 1).await;
    let (peer, _hangs) = hanging_home();
    std::fs::write(node.config_file(), "").expect("written");
    node.app.put_peer(peer).expect("added");
    let said = introduction_to_care(40);
    let dn = format!("pgpCertID={},ou=PGP Keys,o=ics", device(40)[24..].to_uppercase());
    let attribute = tlv(0x30, &[text("pgpKey"), tlv(0x31, &tlv(4, &said))].concat());
    let add = message(1, &tlv(0x68, &[text(&dn), tlv(0x30, &attribute)].concat()), &[]);

    let (mut one, mut other) = (Client::connect(&node).await, Client::connect(&node).await);
    one.send(&add).await;
    other.send(&add).await;
    let refused = tokio::select! {
        refused = one.next() => refused,
        refused = other.next() => refused,
    };
    assert_eq!(refused, Some((1, 0x69, Some(51))), "no more may wait there");
    let base = format!("icsDomain={DOMAIN},o=ics");
    let found = Client::connect(&node).await.ask(&message(2, &search(base.as_bytes(), 0, &present()), &[])).await;
    assert_eq!(found, Some((2, 0x64, None)), "a search is answered meanwhile");
}
