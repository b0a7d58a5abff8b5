//! A home that recovers what it has lost: completely, or nothing of an entry.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ics_core::identity::IdentityId;
use ics_core::log::receipt::Receipt;
use ics_core::statement::{Remnant, StatementId};
use ics_node::app::{App, Reader, Source};
use ics_node::config::PeerConfig;
use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::erased::blocked;
use crate::fixture::{Party, device, served, status_of, word};

/// A home with an older database, and a directory with everything that it has logged.
struct Loss {
    maker: Party,
    whole: tempfile::TempDir,
    /// The receipts of the first and last lost entries.
    lost: [Receipt; 2],
}

/// A directory with everything that a party's node has logged, while the node does not run.
pub(crate) fn copied(maker: &Party) -> tempfile::TempDir {
    let whole = tempfile::tempdir().expect("directory");
    std::fs::create_dir(whole.path().join("heads")).expect("made");
    for file in [PathBuf::from("ics.db"), Path::new("heads").join(maker.domain.as_str())] {
        std::fs::copy(maker.data().join(&file), whole.path().join(&file)).expect("copied");
    }
    whole
}

impl Loss {
    /// The lost entries are about devices 2 and 3; `erased` says whether the first of them is also erased.
    async fn of(maker: Party, erased: bool) -> Self {
        let app = maker.open();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        drop(app);
        let before = std::fs::read(maker.data().join("ics.db")).expect("copied");
        let app = maker.open();
        let first = maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
        let last = maker.publish(&app, &device(3), "urn:dev:os:32473-3", "L3").await;
        if erased {
            maker.erase(&app, first.index).await;
        }
        drop(app);
        Self::put_back(maker, before, [first, last])
    }

    /// The lost entries are a block of device 1, its erasure, and a statement about device 2.
    async fn of_an_erased_block(maker: Party) -> Self {
        let app = maker.open();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        drop(app);
        let before = std::fs::read(maker.data().join("ics.db")).expect("copied");
        let app = maker.open();
        let first = maker.submit_one(&app, blocked(&maker, &app, 1, "stolen", None)).await.expect("admitted");
        let last = maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
        maker.erase(&app, first.index).await;
        drop(app);
        Self::put_back(maker, before, [first, last])
    }

    fn put_back(maker: Party, before: Vec<u8>, lost: [Receipt; 2]) -> Self {
        let whole = copied(&maker);
        std::fs::write(maker.data().join("ics.db"), before).expect("put back");
        Self { maker, whole, lost }
    }

    /// A node that has everything that was logged, in that directory.
    fn who_has_it(&self) -> App {
        self.maker.open_with(|setup| setup.data = self.whole.path().to_owned())
    }

    fn copy(&self) -> Source {
        Source::Copy { name: "a copy".to_owned(), app: self.who_has_it() }
    }

    /// Asks all sources once; returns the answer of each, and whether the domain may continue.
    async fn ask(&self, home: &App, sources: &[Source]) -> (Vec<Result<Option<u64>, String>>, bool) {
        let asked = home.ask_all(&self.maker.domain, sources).await.expect("asked");
        (asked.into_iter().map(|asked| asked.answer).collect(), home.silent().is_empty())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_log_is_not_taken_for_what_was_lost() {
    let maker = Party::found_private("devices.acme.example", "principal has node");
    let loss = Loss::of(maker, false).await;
    let whole = loss.who_has_it();
    let url = served(&whole);
    let client = ics_sync::http::client_builder(&url).build().expect("a client");
    let peer = ics_sync::http::HttpPeer::new(&url, client).expect("a peer").into();
    let part = Source::Peer { name: "who shows a part".to_owned(), peer };

    let home = loss.maker.open();
    let (answers, goes_on) = loss.ask(&home, core::slice::from_ref(&part)).await;
    assert!(answers[0].as_ref().is_err_and(|why| why.contains("the leaf of entry 3")), "{answers:?}");
    assert!(!goes_on, "what was lost is not here");
    let (answers, goes_on) = loss.ask(&home, &[part, Source::Copy { name: "whole".to_owned(), app: whole }]).await;
    assert!(answers[0].is_err() && answers[1] == Ok(Some(2)), "{answers:?}");
    assert!(goes_on, "all that was lost is here");
    for receipt in &loss.lost {
        home.entry(Reader::Operator, &loss.maker.domain, receipt.index).expect("with its body");
    }
}

/// The former key may be gone, which is why there is a new one: the mirrors' data includes the descriptor that names
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_before_the_key_was_replaced_comes_back_under_the_new_one() {
    let (maker, app) = Party::with_a_device().await;
    let place = tempfile::tempdir().expect("directory");
    let former = place.path().join("former");
    ics_node::store::backup(&maker.data(), &former).expect("copied");
    drop(app);
    let key = SigningKey::from_bytes(&[77; 32]);
    maker.begin_anew(&key);
    let open = |data: &Path| {
        maker.open_with(|setup| {
            setup.data = data.to_owned();
            setup.keys.key = Arc::new(key.clone());
        })
    };
    let app = open(&maker.data());
    let last = maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
    drop(app);
    let whole = copied(&maker);

    let home = open(&former);
    assert_eq!(home.silent(), core::slice::from_ref(&maker.domain));
    let refused = home.go_on(&maker.domain).expect_err("the descriptor that is here names the former key");
    assert!(refused.to_string().contains("names another key for its home"), "{refused}");
    let asked = home.ask_all(&maker.domain, &[]).await.expect("asked");
    assert!(asked[0].answer.as_ref().is_err_and(|why| why.contains("--from-copy")), "it is told why: {asked:?}");
    let source = Source::Copy { name: "a copy".to_owned(), app: open(whole.path()) };
    let asked = home.ask_all(&maker.domain, &[source]).await.expect("asked");
    assert!(asked[0].answer.as_ref().is_ok_and(Option::is_some), "{asked:?}");
    assert!(home.silent().is_empty(), "it has the new key");
    home.entry(Reader::Operator, &maker.domain, last.index).expect("with its body");
    maker.publish(&home, &device(3), "urn:dev:os:32473-3", "L3").await;
}

/// It would have to sign the entry of that descriptor with a key that no longer counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_runs_does_not_take_another_key() {
    let (maker, app) = Party::with_a_device().await;
    let next = maker.with_new_key(&app, &SigningKey::from_bytes(&[77; 32]));
    let refused = maker.submit_one(&app, next).await.expect_err("another key");
    assert!(refused.detail.contains("--begin-anew devices.acme.example"), "{refused:?}");
    maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L2").await;
}

/// The address of a placeholder for a node that is being restored: it has nothing to say about any domain.
async fn stands_before_it() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let _ = caller.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = caller.write_all(answer).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn only_holders_of_a_copy_can_say_that_nothing_was_lost() {
    let (maker, other) = (Party::found("devices.acme.example"), Party::found("labels.example"));
    drop(maker.open());
    let whole = copied(&maker);
    let (home, other) = (maker.open(), other.open());
    let twin = maker.open_with(|setup| setup.data = whole.path().to_owned());
    home.hold().expect("held back");
    let peer = |url: &String| {
        let client = ics_sync::http::client_builder(url).build().expect("a client");
        let peer = ics_sync::http::HttpPeer::new(url, client).expect("a peer").into();
        Source::Peer { name: url.clone(), peer }
    };
    let (proxy, other, twin) = (stands_before_it().await, served(&other), served(&twin));
    for (urls, answers, goes_on) in [
        (vec![&proxy], vec![None], false),
        (vec![&other], vec![Some(None)], false),
        (vec![&proxy, &twin], vec![None, Some(Some(0))], false),
        (vec![&other, &twin], vec![Some(None), Some(Some(0))], true),
    ] {
        let sources: Vec<Source> = urls.into_iter().map(peer).collect();
        let asked = home.ask_all(&maker.domain, &sources).await.expect("asked");
        assert_eq!(asked.iter().map(|asked| asked.answer.clone().ok()).collect::<Vec<_>>(), answers, "{asked:?}");
        assert_eq!(home.silent().is_empty(), goes_on, "{asked:?}");
    }
}

/// The address of a peer that shows a checkpoint, and otherwise says that it does not hold the domain.
async fn shows_no_more_than(checkpoint: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let length = caller.read(&mut asked).await.unwrap_or_default();
            let (status, kind, body) = match String::from_utf8_lossy(&asked[..length]).contains("/checkpoint ") {
                true => ("200 OK", "text/plain", checkpoint.as_str()),
                false => ("404 Not Found", "application/problem+json", r#"{"type":"urn:ics:problem:unknown-domain"}"#),
            };
            let head = format!("content-type: {kind}\r\ncontent-length: {}\r\nconnection: close", body.len());
            let _ = caller.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}").as_bytes()).await;
        }
    });
    url
}

/// The next peer asked may know nothing of it, and a home that continued would sign another history.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_is_kept_in_mind_where_it_is_shown_and_not_given() {
    let loss = Loss::of(Party::found("devices.acme.example"), false).await;
    let (maker, whole) = (&loss.maker, loss.who_has_it());
    let signed = whole.checkpoint(&maker.domain).expect("signed");
    std::fs::remove_file(maker.data().join("heads").join(maker.domain.as_str())).expect("lost as well");
    drop(maker.open());
    let before = copied(maker);
    let (home, lesser) = (maker.open(), maker.open_with(|setup| setup.data = before.path().to_owned()));
    home.hold().expect("held back");
    let url = shows_no_more_than(signed).await;
    let client = ics_sync::http::client_builder(&url).build().expect("a client");
    let peer = ics_sync::http::HttpPeer::new(&url, client).expect("a peer").into();
    let breaks_off = Source::Peer { name: "who breaks off".to_owned(), peer };
    let has_less = Source::Copy { name: "who has less".to_owned(), app: lesser };
    let (answers, goes_on) = loss.ask(&home, &[breaks_off, has_less]).await;
    assert_eq!(answers, [Ok(None), Ok(Some(0))]);
    assert!(!goes_on, "more was signed than is here");
    let all = Source::Copy { name: "who has it all".to_owned(), app: whole };
    assert_eq!(loss.ask(&home, &[all]).await, (vec![Ok(Some(2))], true));
}

/// The operator names peers to ask while the node runs, without a restart. A further peer may have more than the first,
/// so the silence does not end at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_home_asks_the_peers_that_it_gets_meanwhile() {
    const SETTLE: Duration = Duration::from_millis(1_500);
    let maker = Party::found("devices.acme.example");
    drop(maker.open());
    let whole = copied(&maker);
    let (home, twin) = (maker.open(), maker.open_with(|setup| setup.data = whole.path().to_owned()));
    home.hold().expect("held back");
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let recovering = tokio::spawn(home.clone().recover(maker.domain.clone(), SETTLE, stopped));
    let peer = PeerConfig { url: Some(word(&served(&twin))), ..PeerConfig::new(word("mirror")) };
    while home.domain(&maker.domain).expect("here").alarms.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let changed = Instant::now();
    tokio::task::block_in_place(|| home.put_peer(peer)).expect("is configured");
    let ended = tokio::time::timeout(Duration::from_secs(60), recovering).await;
    ended.expect("in time").expect("ends").expect("goes on");
    assert!(home.silent().is_empty());
    assert!(changed.elapsed() >= SETTLE, "after {:?}", changed.elapsed());
}

/// Its answers are fresh at once, and readers who have been told of the silence are told that it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_goes_on_says_so_with_the_time() {
    let loss = Loss::of(Party::found("devices.acme.example"), false).await;
    let whole = loss.who_has_it();
    let peer = PeerConfig { url: Some(word(&served(&whole))), ..PeerConfig::new(word("mirror")) };
    let home = loss.maker.open_for(vec![peer]);
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let recovering = home.clone().recover(loss.maker.domain.clone(), Duration::ZERO, stopped);
    tokio::time::timeout(Duration::from_secs(60), recovering).await.expect("in time").expect("goes on");
    let info = home.domain(&loss.maker.domain).expect("here");
    assert!(info.info.as_of.is_some(), "{info:?}");
    let told: Vec<_> = info.alarms.iter().map(|alarm| alarm.kind.as_str()).collect();
    assert_eq!(told, ["goes-on", "silent"], "the newest first");
    // A repeated request raises no further alarm.
    home.go_on(&loss.maker.domain).expect("it does");
    assert_eq!(home.domain(&loss.maker.domain).expect("here").alarms.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_comes_back_as_erased() {
    let loss = Loss::of(Party::found("devices.acme.example"), true).await;
    let home = loss.maker.open();
    assert_eq!(loss.ask(&home, &[loss.copy()]).await, (vec![Ok(Some(3))], true));
    let [first, last] = &loss.lost;
    let erased = home.entry(Reader::Operator, &loss.maker.domain, first.index).expect_err("erased");
    assert_eq!(erased.code().as_str(), "erased");
    home.entry(Reader::Operator, &loss.maker.domain, last.index).expect("with its body");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_for_erased_that_the_log_does_not_call_so() {
    let loss = Loss::of(Party::found("devices.acme.example"), false).await;
    let [first, last] = &loss.lost;
    let honest = std::fs::read(loss.whole.path().join("ics.db")).expect("read");
    // The source claims that the first of the lost entries was erased.
    let left = Remnant { statement: first.id, identity: IdentityId::Key(device(2).fingerprint()) };
    let log = Connection::open(loss.whole.path().join("ics.db")).expect("opens");
    let sql =
        "UPDATE entry SET header = ?1, salt = NULL, body = NULL WHERE position = (SELECT max(position) - 1 FROM entry)";
    assert_eq!(log.execute(sql, [left.to_bytes()]).expect("changed"), 1);
    drop(log);
    let home = loss.maker.open();
    let (answers, goes_on) = loss.ask(&home, &[loss.copy()]).await;
    assert!(answers[0].as_ref().is_err_and(|why| why.contains("was erased, and no erasure")), "{answers:?}");
    assert!(!goes_on);
    std::fs::write(loss.whole.path().join("ics.db"), honest).expect("written");
    assert_eq!(loss.ask(&home, &[loss.copy()]).await, (vec![Ok(Some(2))], true));
    for receipt in [first, last] {
        home.entry(Reader::Operator, &loss.maker.domain, receipt.index).expect("with its body");
    }
}

/// The subject of an erased entry is signed only by the owners, in the erasure that follows it.
#[tokio::test(flavor = "multi_thread")]
async fn whose_statement_was_erased_is_said_by_the_owners_and_not_by_the_peer() {
    let thing = |number| IdentityId::Key(device(number).fingerprint());
    for (is_its_id, number) in [(true, 2), (false, 1)] {
        let loss = Loss::of_an_erased_block(Party::found("devices.acme.example")).await;
        let honest = std::fs::read(loss.whole.path().join("ics.db")).expect("read");
        let statement = if is_its_id { loss.lost[0].id } else { StatementId([8; 32]) };
        let lie = Remnant { statement, identity: thing(number) };
        let log = Connection::open(loss.whole.path().join("ics.db")).expect("opens");
        let sql = "UPDATE entry SET header = ?1 WHERE position = (SELECT max(position) - 2 FROM entry)";
        assert_eq!(log.execute(sql, [lie.to_bytes()]).expect("changed"), 1);
        drop(log);
        let home = loss.maker.open();
        let (answers, goes_on) = loss.ask(&home, &[loss.copy()]).await;
        assert!(answers[0].as_ref().is_err_and(|why| why.contains("was erased, and no erasure")), "{answers:?}");
        assert!(!goes_on, "{lie:?}");
        assert_eq!(home.left(&loss.maker.domain).expect("here").0, 3, "nothing of it was taken: {lie:?}");
        std::fs::write(loss.whole.path().join("ics.db"), honest).expect("written");
        assert_eq!(loss.ask(&home, &[loss.copy()]).await, (vec![Ok(Some(3))], true), "{lie:?}");
        assert_eq!(status_of(&home, &loss.maker, 1).as_deref(), Some("stolen"), "{lie:?}");
    }
}
