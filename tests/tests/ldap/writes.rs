//! What clients write: statements, whose signatures and the domain's policy decide.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::statement::body::{self, Body};

use crate::raw::{Client, message, present, search, text, tlv};
use crate::support::{Directory, device, identity_dn, maker_fingerprint};
use crate::world::{
    DOMAIN, certificate, domain, hanging_home, introduction, introduction_to_care, maker, signer, stolen,
};

fn name(statement: &[u8]) -> String {
    match body::parse(statement).expect("parses") {
        Body::Statement(said) => {
            format!("icsStatement={},icsIdentity={},icsDomain={DOMAIN},o=ics", said.id(), said.identity())
        }
        _ => panic!("a statement"),
    }
}

/// What `ldapadd` reads.
fn ldif(directory: &Path, dn: &str, body: &[u8]) -> PathBuf {
    let path = directory.join("add.ldif");
    let text = format!("dn: {dn}\nobjectClass: icsStatementEntry\nicsBody:: {}\n", STANDARD.encode(body));
    std::fs::write(&path, text).expect("written");
    path
}

/// Keys that are none, or not what their names say, are refused, and nothing of them stays.
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

/// The home of a domain that is copied here takes connections and answers nothing; one operation at a time has a place.
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
