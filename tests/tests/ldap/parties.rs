//! Parties identified by their keys: SASL EXTERNAL with client certificates.

use ics_node::config::{Direction, PeerConfig};
use tokio::process::Command;

use crate::support::{Directory, SECRET, certificate_files, device};
use crate::world::GATEWAY;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_reads() {
    let node = Directory::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let files = certificate_files(dir.path(), "gateway", "subjectAltName=DNS:gateway.example").await;
    let run = async |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(["-Q", "-Y", "EXTERNAL", "-H", &format!("ldaps://{}", node.tls)]).args(arguments);
        command.env("LDAPTLS_CERT", &files.certificate).env("LDAPTLS_KEY", &files.key);
        node.answer(command).await
    };
    let stranger = run("ldapwhoami", &[]).await;
    assert_eq!(stranger.code, 49, "nobody has this key yet: {stranger:?}");

    std::fs::write(node.config_file(), "").expect("written");
    let mut gateway = PeerConfig::new(GATEWAY.parse().expect("a name"));
    gateway.direction = Direction::Serve;
    gateway.key = Some(crate::replicas::key_of(&files).await);
    node.app.put_peer(gateway).expect("is taken");
    run("ldapwhoami", &[]).await.has(&format!("u:{GATEWAY}"));
    run("ldapwhoami", &["-X", &format!("u:{GATEWAY}")]).await.has(&format!("u:{GATEWAY}"));
    let other = run("ldapwhoami", &["-X", "u:somebody.example"]).await;
    assert_eq!(other.code, 49, "a party cannot pass for another one: {other:?}");

    let secret = format!("icsIdentity={},icsDomain={SECRET},o=ics", device(30));
    let found = run("ldapsearch", &["-LLL", "-b", &secret]).await;
    assert_eq!((found.code, found.count("dn: ")), (0, 2), "{found:?}");
    node.app.remove_peer(&GATEWAY.parse().expect("a name")).expect("is removed");
    assert_eq!(run("ldapwhoami", &[]).await.code, 49, "and is nobody again");
    node.stop().await;
}
