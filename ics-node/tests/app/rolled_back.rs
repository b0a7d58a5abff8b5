//! A home that was restored from a copy together with its heads' files, so that only its witness knows more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_node::app::{App, Source, kept_forks};
use ics_node::config::PeerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fixture::{PATIENCE, Party, device, served, word};
use crate::recovery::copied;

/// The home, and what its witness has seen.
struct RolledBack {
    maker: Party,
    /// The home's configuration of its witness.
    witness: PeerConfig,
    /// Everything that was logged.
    whole: TempDir,
    /// The party whose node is the witness; keeps its files.
    _court: Party,
}

/// A home that asks its witnesses.
struct Watched {
    app: App,
    stop: watch::Sender<bool>,
    asking: JoinHandle<()>,
}

impl Watched {
    fn new(app: App) -> Self {
        let (stop, stopped) = watch::channel(false);
        let asking = tokio::spawn(app.clone().be_witnessed(stopped));
        Self { app, stop, asking }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.asking.await.expect("ends");
    }

    fn alarms(&self, of: &Party) -> String {
        format!("{:?}", self.app.domain(&of.domain).expect("here").alarms)
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn origin(of: &Party, app: &App) -> Origin {
    app.domain(&of.domain).expect("here").info.origin
}

/// Waits until nothing holds the party's store: interrupted work may not have ended yet.
fn closed(maker: &Party) {
    drop(maker.open());
}

/// A witness for the log of a node with this key, and that node's configuration of it.
fn witness_of(other: &Party, key: &str, origin: &Origin) -> (App, PeerConfig) {
    let home = PeerConfig::new(word("home"));
    let court = other.open_for(vec![PeerConfig { key: Some(word(key)), cosign: vec![origin.clone()], ..home }]);
    court.answer_for_cosignatures().expect("its key is new");
    let witness = PeerConfig {
        url: Some(word(&served(&court))),
        key: Some(word(&court.node().key)),
        witness: true,
        ..PeerConfig::new(word(&court.node().name))
    };
    (court, witness)
}

fn put_back(maker: &Party, database: &[u8]) {
    std::fs::write(maker.data().join("ics.db"), database).expect("put back");
    std::fs::remove_dir_all(maker.data().join("heads")).expect("gone");
}

fn is_silent(home: &App) -> bool {
    !home.silent().is_empty()
}

impl RolledBack {
    async fn new() -> Self {
        let (maker, other) = (Party::found("devices.acme.example"), Party::found("labels.example"));
        let app = maker.open();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        let (origin, key) = (origin(&maker, &app), app.node().key);
        drop(app);
        closed(&maker);
        let before = std::fs::read(maker.data().join("ics.db")).expect("copied");
        let (court, witness) = witness_of(&other, &key, &origin);
        let home = Watched::new(maker.open_for(vec![witness.clone()]));
        let last = maker.publish(&home.app, &device(2), "urn:dev:os:32473-2", "L2").await;
        let size = (last.index + 1).to_string();
        let shows_it = |note: String| note.lines().nth(1) == Some(size.as_str());
        until("the witness sees it", || court.witnessed_checkpoint(&origin).is_ok_and(shows_it)).await;
        home.end().await;
        closed(&maker);
        let whole = copied(&maker);
        put_back(&maker, &before);
        Self { maker, witness, whole, _court: other }
    }

    fn home(&self) -> App {
        self.maker.open_for(vec![self.witness.clone()])
    }

    async fn takes_nothing(&self, home: &App) {
        let body = self.maker.introduce(home, &device(9), "urn:dev:os:32473-9", "L9");
        let refused = home.submit(&self.maker.domain, vec![body]).await.expect_err("silent");
        assert_eq!(refused.code().as_str(), "behind");
        assert!(home.ready().is_err(), "whoever looks after it sees that");
    }
}

/// Its cosignatures carry that time wherever they are shown, and nobody else tells the home.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_whose_clock_is_ahead_is_told_of() {
    let (maker, other) = (Party::found("devices.acme.example"), Party::found("labels.example"));
    let app = maker.open();
    let (origin, key) = (origin(&maker, &app), app.node().key);
    drop(app);
    closed(&maker);
    let (court, witness) = witness_of(&other, &key, &origin);
    let home = Watched::new(maker.open_for(vec![witness]));
    let publish = async |number: u8| {
        let last = maker.publish(&home.app, &device(number), &format!("urn:dev:os:32473-{number}"), "L1").await;
        let size = (last.index + 1).to_string();
        let shows_it = |note: String| note.lines().nth(1) == Some(size.as_str());
        until("the witness sees it", || court.witnessed_checkpoint(&origin).is_ok_and(shows_it)).await;
    };
    publish(1).await;
    assert!(!home.alarms(&maker).contains("clock"), "{}", home.alarms(&maker));
    let ahead = court.clock().now().plus_millis(3_600_000);
    assert!(court.clock().learn_stored(&other.domain, ahead));
    publish(2).await;
    until("it is told", || home.alarms(&maker).contains("the clock of the witness")).await;
    home.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_shows_what_was_signed_silences_a_home_until_it_has_that_again() {
    let case = RolledBack::new().await;
    let home = Watched::new(case.home());
    until("the home hears of it", || is_silent(&home.app)).await;
    until("it is told", || home.alarms(&case.maker).contains("shows a checkpoint with this home's signature")).await;
    case.takes_nothing(&home.app).await;
    assert!(home.alarms(&case.maker).contains("`ics restore`"));
    home.end().await;

    let home = case.home();
    assert!(is_silent(&home), "over restarts");
    let whole = case.maker.open_with(|setup| setup.data = case.whole.path().to_owned());
    let copy = Source::Copy { name: "a copy".to_owned(), app: whole };
    let asked = home.ask_all(&case.maker.domain, &[copy]).await.expect("asked");
    assert!(!is_silent(&home), "{asked:?}");
    case.maker.publish(&home, &device(3), "urn:dev:os:32473-3", "L3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_has_signed_a_second_history_hears_of_it_and_goes_no_further() {
    let case = RolledBack::new().await;
    let app = case.home();
    assert!(!is_silent(&app), "nothing here tells it");
    for number in 3..6 {
        case.maker.publish(&app, &device(number), &format!("urn:dev:os:32473-{number}"), "L3").await;
    }
    let home = Watched::new(app);
    until("the home hears of it", || is_silent(&home.app)).await;
    until("it is told", || home.alarms(&case.maker).contains("a fork: nothing is accepted or signed any more")).await;
    case.takes_nothing(&home.app).await;
    assert!(home.alarms(&case.maker).contains("--begin-anew"));
    home.end().await;
    let kept = kept_forks(&case.maker.data(), &case.maker.domain).expect("read");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(is_silent(&case.home()), "over restarts");
}

/// The address of a witness that claims to have seen 99 entries and shows a checkpoint of them signed by a stranger;
/// and how often it was asked for that.
async fn liar(origin: Origin) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stranger = ed25519_dalek::SigningKey::from_bytes(&[66; 32]);
    let note = Checkpoint { origin, size: 99, root: Hash([1; 32]) }.sign(&stranger).expect("signs");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let count = caller.read(&mut request).await.unwrap_or_default();
            let (status, body) = if request[..count].starts_with(b"GET /v1/witnessed/") {
                counter.fetch_add(1, Ordering::SeqCst);
                ("200 OK", note.as_str())
            } else {
                ("409 Conflict", "99\n")
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = caller.write_all(answer.as_bytes()).await;
            // Closing before the caller has sent everything would cut off what it has yet to read.
            let _ = caller.shutdown().await;
            while caller.read(&mut request).await.is_ok_and(|count| count > 0) {}
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bare_word_of_a_witness_silences_nobody() {
    let (maker, app) = Party::opened();
    let (url, asked) = liar(origin(&maker, &app)).await;
    let key = ed25519_dalek::SigningKey::from_bytes(&[66; 32]).verifying_key();
    let witness = PeerConfig {
        url: Some(word(&url)),
        key: Some(word(&STANDARD.encode(key.as_bytes()))),
        witness: true,
        ..PeerConfig::new(word("liar.example"))
    };
    drop(app);
    let home = Watched::new(maker.open_for(vec![witness]));
    // Once it is asked again, its first answer has been evaluated.
    until("it is asked again", || asked.load(Ordering::SeqCst) > 1).await;
    assert!(!is_silent(&home.app));
    assert!(home.alarms(&maker).contains("it has seen 99 entries"), "its operator is told all the same");
    maker.publish(&home.app, &device(1), "urn:dev:os:32473-1", "L1").await;
    home.end().await;
}
