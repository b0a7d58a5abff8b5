//! What clients write: statements, whose signatures and the domain's policy decide.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::statement::body::{self, Body};

use crate::support::{Directory, identity_dn};
use crate::world::{DOMAIN, introduction, maker, signer, stolen};

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

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_added() {
    let node = Directory::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let add = async |dn: &str, body: &[u8]| {
        let path = ldif(dir.path(), dn, body);
        node.run("ldapadd", &["-f", path.to_str().expect("UTF-8")]).await
    };
    let said = stolen(&maker(), 14);
    let added = add(&name(&said), &said).await;
    assert_eq!(added.code, 0, "{added:?}");
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
