//! The distribution's slapd beside a node with a domain that is silent, as after a restore, or shows nothing new since
//! witnesses are missing: what slapd has of it stays, also if slapd or the node is restarted meanwhile, and what the
//! others say arrives.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, NodeKey, Template, Witnesses};
use ics_core::statement::make;
use ics_core::vocabulary::DomainName;
use ics_node::app::App;

use crate::slapd::{Consumer, PERSIST};
use crate::support::{Directory, SECRET, device, erasure, index_of, submit};
use crate::world::{CARE, certificate, changed_descriptor, domain, introduction, introduction_to_care, maker, stolen};

const STOLEN: &str = "(&(objectClass=icsIdentityEntry)(icsStatus=stolen))";

fn care() -> DomainName {
    CARE.parse().expect("a domain")
}

/// Founds a second domain that strangers may read, which knows a device of the first, and one that nobody else knows.
async fn found_care(app: &App) {
    let founding = app.clone();
    let founded = move || founding.found(&changed_descriptor(Template::Manufacturer, CARE, Vec::new(), |_| {}));
    tokio::task::spawn_blocking(founded).await.expect("runs").expect("founds");
    let said = [certificate(&maker(), "Acme <keys@acme.example>"), introduction_to_care(10), introduction_to_care(29)];
    submit(app, &care(), said.into()).await;
}

/// Waits until slapd has so many stolen things, and looks whether it still has what only the silent domain says.
async fn has_both(slapd: &Consumer, stolen: usize) {
    slapd.until(STOLEN, stolen).await;
    let (both, one) = (device(10), device(29));
    slapd.until(&format!("(&(objectClass=icsIdentityEntry)(|(icsIdentity={both})(icsIdentity={one})))"), 3).await;
    slapd.until(&format!("(&(objectClass=pgpKeyInfo)(gpgFingerprint={one}))"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_keeps_what_a_silent_domain_has_said() {
    let node = Directory::start().await;
    found_care(&node.app).await;
    let mut slapd = Consumer::new(node.plain, PERSIST).await;
    slapd.until_same(&node).await;
    has_both(&slapd, 1).await;

    // All have asked their mirrors, except one that still waits for them.
    node.app.hold().expect("silenced");
    for domain in [domain(), SECRET.parse().expect("a domain")] {
        node.app.go_on(&domain).expect("goes on");
    }
    assert_eq!(node.app.silent(), [care()]);
    submit(&node.app, &domain(), vec![stolen(&maker(), 14), introduction(&maker(), 20)]).await;
    has_both(&slapd, 2).await;
    slapd.stop().await;
    submit(&node.app, &domain(), vec![stolen(&maker(), 15)]).await;
    slapd.start();
    has_both(&slapd, 3).await;
    let node = node.restarted().await;
    assert_eq!(node.app.silent(), [care()], "it is silent after a restart too");
    submit(&node.app, &domain(), vec![stolen(&maker(), 16)]).await;
    has_both(&slapd, 4).await;

    // A new copy gets what there is, this one over StartTLS.
    let authority = node.files.certificate.display();
    let over_tls = format!("{PERSIST} starttls=critical tls_reqcert=demand tls_cacert={authority}");
    let mut new = Consumer::new(node.plain, &over_tls).await;
    new.until(STOLEN, 4).await;
    new.until(&format!("(&(objectClass=icsIdentityEntry)(icsIdentity={}))", device(29)), 0).await;

    node.app.go_on(&care()).expect("goes on");
    submit(&node.app, &care(), vec![introduction_to_care(28)]).await;
    for slapd in [&mut slapd, &mut new] {
        slapd.until_same(&node).await;
        has_both(slapd, 4).await;
        slapd.stop().await;
    }
    node.stop().await;
}

/// Submits the next descriptor of the first domain, by which a witness that never answers must cosign, and an erasure
/// behind it. Both wait until the witness is given up, at the same time.
async fn erases_what_waits_for_a_witness(app: &App, erasure: Vec<u8>) {
    let domain = domain();
    let former = Descriptor::parse(&app.descriptor(&domain, None).expect("in force").json).expect("parses");
    let key = STANDARD.encode(SigningKey::from_bytes(&[5; 32]).verifying_key().as_bytes());
    let witnesses = Some(Witnesses { quorum: 1, keys: vec![NodeKey { name: "nobody.example".to_owned(), key }] });
    let next = Descriptor { version: former.version + 1, previous: Some(former.hash()), witnesses, ..former };
    let signed = make::sign_descriptor(&[&maker()], &next.to_json(), app.clock().now(), &[1; 32]).expect("signs");
    let size = || app.domain(&domain).expect("here").info.size;
    let before = size();
    let erasing = async {
        while size() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.submit(&domain, vec![erasure]).await
    };
    let both = async { tokio::join!(app.submit(&domain, vec![signed]), erasing) };
    let (demanded, erased) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("both end");
    for (what, submitted) in [("nobody has cosigned it", demanded), ("it waits too", erased)] {
        let refused = submitted.expect_err(what);
        assert_eq!(refused.code().as_str(), "unwitnessed", "{refused}");
    }
}

/// The erasure has deleted the words of a block, and what is left of it is not shown yet.
#[tokio::test(flavor = "multi_thread")]
async fn slapd_keeps_what_an_erasure_blocks_while_it_waits() {
    let node = Directory::start().await;
    found_care(&node.app).await;
    let mut slapd = Consumer::new(node.plain, PERSIST).await;
    slapd.until_same(&node).await;
    let erased = erasure(&node.app, index_of(&node.app, 13, 1));
    erases_what_waits_for_a_witness(&node.app, erased).await;
    let has = async |slapd: &Consumer, seed: u8| {
        slapd.until(&format!("(&(objectClass=icsIdentityEntry)(icsIdentity={}))", device(seed)), 1).await;
        slapd.until(STOLEN, 1).await;
    };
    submit(&node.app, &care(), vec![introduction_to_care(28)]).await;
    has(&slapd, 28).await;
    slapd.stop().await;
    submit(&node.app, &care(), vec![introduction_to_care(27)]).await;
    slapd.start();
    has(&slapd, 27).await;
    let node = node.restarted().await;
    submit(&node.app, &care(), vec![introduction_to_care(26)]).await;
    has(&slapd, 26).await;
    slapd.stop().await;
    node.stop().await;
}
