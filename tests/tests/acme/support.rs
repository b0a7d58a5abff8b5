//! A node with an ACME server, over TLS with an authority of its own, for as long as a test lasts.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ics_core::openpgp::possession;
use ics_core::openpgp::signer::Signer;
use ics_node::api::{AcmeCredential, ChallengeAnswer};
use ics_node::app::{AcmeSetup, AppError, Asker};
use ics_node::config::{AcmeConfig, TlsConfig};
use ics_node::http::{self, Settings};
use ics_sync::wire::Base64;
use ics_tests::port::Port;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::tools::{Bench, said};
use crate::world::{CREATED, DOMAIN, Shape, World, domain};

/// A running server.
pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) bench: Bench,
    pub(crate) runtime: Runtime,
    pub(crate) url: String,
    _port: Port,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(AcmeConfig::default())
    }

    pub(crate) fn with(config: AcmeConfig) -> Self {
        Self::shaped(config, &Shape::new())
    }

    /// As [`Server::with`], with another issuing authority.
    pub(crate) fn shaped(config: AcmeConfig, shape: &Shape) -> Self {
        let bench = Bench::new();
        let tls = tls_files(&bench);
        let port = Port::take().expect("a port");
        let url = format!("https://localhost:{}", port.number());
        Self::of((config, shape), bench, Some(tls), port, url)
    }

    /// Without TLS, as behind a proxy.
    pub(crate) fn plain() -> Self {
        let port = Port::take().expect("a port");
        let url = format!("http://{}", port.address());
        Self::of((AcmeConfig::default(), &Shape::new()), Bench::new(), None, port, url)
    }

    fn of(
        (config, shape): (AcmeConfig, &Shape),
        bench: Bench,
        tls: Option<TlsConfig>,
        port: Port,
        url: String,
    ) -> Self {
        let acme = AcmeSetup { config, url: url.clone() };
        let world = World::of(&Shape { acme: Some(acme), ..shape.clone() });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let settings = Settings {
            listen: vec![port.address()],
            tls,
            public_url: url.clone(),
            workers: Some(1),
            ..Settings::default()
        };
        let app = world.app.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = runtime.block_on(async { http::serve(app, &settings).expect("serves") });
        runtime.spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { world, bench, runtime, url, _port: port, _stop: stop }
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/acme/{DOMAIN}/directory", self.url)
    }

    /// The certificate of the authority for the server's own TLS.
    pub(crate) fn authority(&self) -> PathBuf {
        self.bench.path().join("tls-ca.pem")
    }

    /// A credential for the holder of this key.
    pub(crate) fn credential(&self, signer: &dyn Signer) -> AcmeCredential {
        self.ask_credential(signer).expect("a credential")
    }

    /// The same, which may be refused.
    pub(crate) fn ask_credential(&self, signer: &dyn Signer) -> Result<AcmeCredential, AppError> {
        let app = &self.world.app;
        let id = signer.public_key().fingerprint().to_string();
        let challenge = app.acme_credential_challenge(Asker::Own, &domain(), &id).expect("a challenge");
        let signature = possession::sign(signer, challenge.message.as_bytes(), CREATED, &[5; 32]).expect("signs");
        let answer = ChallengeAnswer { nonce: challenge.nonce, signature: Base64(signature) };
        app.acme_credential(&domain(), &answer)
    }

    /// Runs a client that trusts the server's authority in the test's directory; returns what it printed. It must
    /// succeed.
    pub(crate) fn client(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let text = said(&output);
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    /// The same for a client that must fail.
    pub(crate) fn refused(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let text = said(&output);
        assert!(!output.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        let authority = self.authority();
        command.current_dir(self.bench.path()).args(arguments);
        for variable in ["REQUESTS_CA_BUNDLE", "LEGO_CA_CERTIFICATES", "CURL_CA_BUNDLE", "SSL_CERT_FILE"] {
            command.env(variable, &authority);
        }
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }
}

/// A certificate for localhost, by an authority of its own.
fn tls_files(bench: &Bench) -> TlsConfig {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    bench.openssl(&format!("req -x509 {key} -days 2 -subj /CN=Test -keyout tls-ca.key -out tls-ca.pem"));
    bench.openssl(&format!("req {key} -subj /CN=localhost -keyout tls.key -out tls.csr"));
    bench.file("tls.ext", b"subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
    bench.openssl(
        "x509 -req -in tls.csr -CA tls-ca.pem -CAkey tls-ca.key -CAcreateserial -days 2 -extfile tls.ext -out tls.pem",
    );
    TlsConfig { certificate: bench.path().join("tls.pem"), key: bench.path().join("tls.key") }
}

/// Waits for a bounded time until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Server {
    /// A certificate request for an Ed25519 key, in DER, and the key, which can also sign ACME requests.
    pub(crate) fn own_request(&self) -> (Vec<u8>, ed25519_dalek::SigningKey) {
        self.bench.openssl("genpkey -algorithm ED25519 -out own.key");
        let csr = self.bench.request_again("own", &[]);
        let der = self.bench.run("openssl", &["pkey", "-in", "own.key", "-outform", "DER"]).stdout;
        // RFC 8410, 7: the 32 octets of the seed are at the end.
        let seed: [u8; 32] = der[der.len() - 32..].try_into().expect("32 octets");
        (csr, ed25519_dalek::SigningKey::from_bytes(&seed))
    }
}
