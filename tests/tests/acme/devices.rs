//! Devices with instant-acme: what an account can do in its lifetime.

use std::process::Stdio;

use ics_core::identity::Kind;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::{Claims, StatementId, make};
use ics_core::vocabulary::Act;
use ics_tests::port::Port;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, Identifier, Key, NewOrder, OrderStatus,
    RevocationReason, RevocationRequest,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::certificates::certificate_id;
use crate::client::first_der;
use crate::support::{Server, eventually};
use crate::world::{CREATED, controller, domain, maker, owner};

const URN: &str = "urn:dev:os:32473-SN-70";

/// A device with a P-256 key in its secure element, with which its ACME client also signs.
struct Device<'s> {
    server: &'s Server,
    pkcs8: Vec<u8>,
    public: PublicKey,
}

impl<'s> Device<'s> {
    fn new(server: &'s Server) -> Self {
        server.bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out element.key");
        let pkcs8 =
            server.bench.run("openssl", &["pkcs8", "-topk8", "-nocrypt", "-in", "element.key", "-outform", "DER"]);
        let spki = server.bench.run("openssl", &["pkey", "-in", "element.key", "-pubout", "-outform", "DER"]);
        let public = PublicKey::from_spki_der(&spki.stdout).expect("a key");
        let device = Self { server, pkcs8: pkcs8.stdout, public };
        let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
        claims.names = vec![URN.parse().expect("a name")];
        server.world.submit(vec![device.said(&maker(), &claims)]);
        device.set("manufacturer", &maker(), "in-use", &[]);
        device
    }

    fn said(&self, by: &dyn Signer, claims: &Claims) -> Vec<u8> {
        let revokes = claims.revokes(Kind::Device).unwrap_or_default();
        make::certify(by, &self.public, "Pump 70", None, Kind::Device, claims, revokes, CREATED, &[3; 32])
            .expect("a statement")
    }

    fn set(&self, role: &str, by: &dyn Signer, status: &str, ends: &[StatementId]) -> Vec<StatementId> {
        let mut claims = Claims::new(Act::Status, role.parse().expect("a role"), domain());
        claims.status = Some(status.parse().expect("a status"));
        claims.supersedes = ends.to_vec();
        self.server.world.submit(vec![self.said(by, &claims)])
    }

    async fn account(&self) -> Result<Account, instant_acme::Error> {
        let builder = Account::builder_with_root(self.server.authority())?;
        let key = || PrivatePkcs8KeyDer::from(self.pkcs8.clone());
        let pair = (Key::from_pkcs8_der(key())?, PrivateKeyDer::Pkcs8(key()));
        Ok(builder.create_from_key(pair, self.server.directory()).await?.0)
    }

    /// Orders a certificate; returns its chain in PEM.
    async fn enrol(&self, account: &Account, order: &NewOrder<'_>, csr: &[u8]) -> Result<String, instant_acme::Error> {
        let mut order = account.new_order(order).await?;
        assert_eq!(order.state().status, OrderStatus::Ready);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            assert_eq!(authorization?.status, AuthorizationStatus::Valid);
        }
        order.finalize_csr(csr).await?;
        Ok(order.certificate().await?.expect("is there at once"))
    }
}

/// The type of the problem that the client was given.
fn problem(error: &instant_acme::Error) -> String {
    match error {
        instant_acme::Error::Api(problem) => problem.r#type.clone().unwrap_or_default(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_life() {
    let server = Server::start();
    let device = Device::new(&server);
    let csr = server.bench.request("device", &[]);
    let identifiers = [Identifier::PermanentIdentifier(URN.to_owned())];
    server.runtime.block_on(async {
        let mut account = device.account().await.expect("an account by its own key");
        let profiles: Vec<String> = account.profiles().map(|profile| profile.name.to_owned()).collect();
        assert!(profiles.contains(&"ldevid".to_owned()), "{profiles:?}");
        let first = device.enrol(&account, &NewOrder::new(&identifiers), &csr).await.expect("a certificate");
        server.bench.file("first.pem", first.as_bytes());
        speaks_tls(&server, "first.pem", true);

        // It renews with another key for its account, and says which certificate the new one replaces.
        let credentials: AccountCredentials = account.update_key().await.expect("another key");
        let builder = Account::builder_with_root(server.authority()).expect("a client");
        let account = builder.from_credentials(credentials).await.expect("the account is found");
        let der = first_der(&first);
        let id = certificate_id(&server, &first);
        let (issuer, serial) = id.split_once('.').expect("two parts");
        let id = CertificateIdentifier { authority_key_identifier: issuer.into(), serial: serial.into() };
        let renewed = NewOrder::new(&identifiers).replaces(id).profile("ldevid");
        let second = device.enrol(&account, &renewed, &csr).await.expect("another certificate");
        let request = RevocationRequest {
            certificate: &CertificateDer::from(der.as_slice()),
            reason: Some(RevocationReason::Superseded),
        };
        account.revoke(&request).await.expect("the first one is not needed any more");
        assert_eq!(
            problem(&account.revoke(&request).await.expect_err("once")),
            "urn:ietf:params:acme:error:alreadyRevoked"
        );
        server.bench.file("second.pem", second.as_bytes());
        speaks_tls(&server, "second.pem", true);

        // The controller suspends it: it gets nothing until its owner lifts that.
        let suspended =
            tokio::task::block_in_place(|| device.set("security-controller", &controller(), "suspended", &[]));
        let refused = account.new_order(&NewOrder::new(&identifiers)).await.err().expect("is refused");
        assert_eq!(problem(&refused), "urn:ietf:params:acme:error:unauthorized");
        tokio::task::block_in_place(|| device.set("owner", &owner(), "in-use", &suspended));
        device.enrol(&account, &NewOrder::new(&identifiers), &csr).await.expect("it may again");
        account.deactivate().await.expect("is given up");
    });
}

/// Checks whether a client that trusts the domain's root accepts the certificate of a TLS server.
fn speaks_tls(server: &Server, chain: &str, expected: bool) {
    let bench = &server.bench;
    bench.file("root.pem", ics_node::x509::certificate_pem(&server.world.root).as_bytes());
    let held = Port::take().expect("a port");
    let port = held.number();
    let mut listening = std::process::Command::new("openssl")
        .current_dir(bench.path())
        .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-cert", "tls.pem", "-key", "tls.key", "-www"])
        .args(["-Verify", "3", "-verify_return_error", "-CAfile", "root.pem"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl starts");
    let url = format!("https://localhost:{port}/");
    let mut text = String::new();
    eventually("the server answers", || {
        let arguments =
            ["-sS", "--max-time", "30", "--cacert", "tls-ca.pem", "--cert", chain, "--key", "device.key", url.as_str()];
        let output = bench.run("curl", &arguments);
        text = crate::tools::said(&output);
        !text.contains("Failed to connect") && !text.contains("onnection refused")
    });
    listening.kill().expect("is ended");
    let _ = listening.wait();
    assert_eq!(text.contains("Protocol"), expected, "{text}");
}
