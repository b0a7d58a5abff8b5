//! A node that serves HTTP or HTTPS for as long as a test lasts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use ics_node::app::App;
use ics_node::config::TlsConfig;
use ics_node::http::{self, Settings};
use tokio::sync::oneshot;

use crate::tools::Bench;

pub(crate) struct Node {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) fn start(app: &App) -> Self {
        Self::with(app, None)
    }

    /// Serves TLS with a self-signed certificate for localhost, in `tls.pem`.
    pub(crate) fn start_tls(app: &App, bench: &Bench) -> Self {
        bench.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout tls.key -out tls.pem",
        );
        let file = |name: &str| bench.path().join(Path::new(name));
        Self::with(app, Some(TlsConfig { certificate: file("tls.pem"), key: file("tls.key") }))
    }

    fn with(app: &App, tls: Option<TlsConfig>) -> Self {
        let settings = Settings {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            workers: Some(1),
            tls,
            ..Settings::default()
        };
        let (app, (told, tells)) = (app.clone(), mpsc::channel());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let server = http::serve(app, &settings).expect("serves");
                told.send(server.addresses().first().copied().expect("an address")).expect("is awaited");
                let stop = async {
                    let _ = stopped.await;
                };
                server.run(stop).await.expect("ends well");
            });
        });
        Self { address: tells.recv().expect("it listens"), stop: Some(stop), running: Some(running) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path below the domain's.
    pub(crate) fn x509(&self, path: &str) -> String {
        format!("http://{}/x509/{}/{path}", self.address, crate::world::DOMAIN)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            let ended = running.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server ended badly");
        }
    }
}
