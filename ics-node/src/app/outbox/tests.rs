//! What the outbox does when the store fails, or has reached its limit of kept results.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use ics_core::limits;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::app::Forwards;
use crate::config::PeerConfig;
use crate::fixture::{Party, catches_up, copy, device, served, word};

/// The home's name in the descriptor.
const HOME: &str = "ics.devices.acme.example";
/// The address of a node that is gone.
const GONE: &str = "http://127.0.0.1:1";

/// A home, and a node that has copied its domain and copies no more.
struct Copied {
    maker: Party,
    home: App,
    copy: App,
    data: TempDir,
}

impl Copied {
    async fn new() -> Self {
        Self::behind(&[]).await
    }

    /// A copy that sends its submissions to the first of these peers, if there are any, or else to the home.
    async fn behind(relays: &[(&str, &str)]) -> Self {
        let (maker, home) = Party::with_a_device().await;
        let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
        let copy = copy(data.path(), &home, &maker.domain, &[relays, &[(HOME, &*url)]].concat());
        let copied = Self { maker, home, copy, data };
        copied.catch_up().await;
        copied
    }

    /// Copies until the copy has everything, then stops.
    async fn catch_up(&self) {
        let (stop, stopped) = watch::channel(false);
        let replicating = tokio::spawn(self.copy.clone().replicate(stopped));
        catches_up(&self.copy, &self.home, &self.maker.domain).await;
        stop.send_replace(true);
        replicating.await.expect("ends");
    }

    /// Adds a peer of the copy with that key, or gives one another address.
    fn put(&self, name: &str, url: &str, key: Option<&str>) {
        let peer = PeerConfig {
            url: Some(word(url)),
            key: key.map(word),
            mirror: vec![self.home.domain(&self.maker.domain).expect("here").info.origin],
            ..PeerConfig::new(word(name))
        };
        tokio::task::block_in_place(|| self.copy.put_peer(peer)).expect("changed");
    }

    fn introduce(&self, number: u8) -> Vec<u8> {
        self.maker.introduce(&self.home, &device(number), &format!("urn:dev:os:32473-{number}"), "L2")
    }

    /// The copy's log, opened beside its store.
    fn log(&self) -> Connection {
        Connection::open(self.data.path().join("data").join("ics.db")).expect("opens")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_kept_is_asked_for_again_after_a_pause() {
    let copied = Copied::new().await;
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![copied.introduce(2)]));
    assert!(matches!(posted, Ok(Ok(posted)) if posted.len() == 1), "it waits");
    let full = "CREATE TRIGGER full BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'nothing can be written'); END";
    copied.log().execute_batch(full).expect("made");

    let before = copied.home.domain(&copied.maker.domain).expect("here").info.size;
    let error = copied.copy.send_waiting(&hosted, true).await.expect_err("the answer is not kept");
    assert!(error.to_string().contains("nothing can be written"), "{error}");
    assert_eq!(copied.home.domain(&copied.maker.domain).expect("here").info.size, before + 1, "the home has answered");
    assert_eq!(hosted.retry.lock().await.failures, 1, "so it is not sent at once again");
}

/// Strangers may have taken all places from which to wait for homes, of which one answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_known_signer_says_needs_no_place_from_which_to_wait_for_the_home() {
    let (copied, full) = (Copied::new().await, Forwards::new(0));
    let domain = &copied.maker.domain;
    let mut sender = Sender::client((true, None), (), &full);
    let taken = copied.copy.submit_from(&mut sender, domain, vec![copied.introduce(2)]).await.expect("is on disk");
    assert!(matches!(taken.results.as_slice(), [SubmissionResult::Pending(_)]), "{:?}", taken.results);
    let stranger = Party::found("devices.other.example");
    let refused = copied.copy.submit_from(&mut sender, domain, vec![stranger.certificate.clone()]).await;
    assert_eq!(refused.expect_err("a stranger's is not kept").code(), Code::Busy);

    let before = copied.home.domain(domain).expect("here").info.size;
    let hosted = copied.copy.hosted(domain).expect("copied");
    copied.copy.send_waiting(&hosted, false).await.expect("sent with the next look");
    assert_eq!(copied.home.domain(domain).expect("here").info.size, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn resubmitting_what_is_about_to_be_forgotten_gets_its_receipt() {
    let copied = Copied::new().await;
    let domain = &copied.maker.domain;
    let (first, second) = (copied.introduce(2), copied.introduce(3));
    let results = copied.copy.submit(domain, vec![first.clone()]).await.expect("is answered").results;
    let [SubmissionResult::Receipt(receipt)] = results.as_slice() else { panic!("{results:?}") };
    // So much came later that the first is the next to be dropped.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
               INSERT INTO outbox (domain, hash, at, done_at, result) SELECT ?1, randomblob(32), 0, ?3, '{}' FROM n";
    let number = copied.copy.hosted(domain).expect("copied").number.get();
    let more = i64::try_from(limits::OUTBOX_DONE).expect("small") - 1;
    copied.log().execute(sql, params![number, more, i64::MAX]).expect("fill");

    let results = copied.copy.submit(domain, vec![second, first]).await.expect("is answered").results;
    let [SubmissionResult::Receipt(_), SubmissionResult::Receipt(again)] = results.as_slice() else {
        panic!("{results:?}")
    };
    assert_eq!(again.index, receipt.index);
}

/// The home's answer took longer to arrive than the erasure of the entry that it is for.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_was_erased_before_its_receipt_came_none_is_kept() {
    let copied = Copied::new().await;
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let body = copied.introduce(2);
    let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![body.clone()]));
    let Ok(Ok(posted)) = posted else { panic!("it is not taken in") };
    let receipt = copied.maker.submit_one(&copied.home, body.clone()).await.expect("admitted");
    copied.maker.erase(&copied.home, receipt.index).await;
    copied.catch_up().await;

    let answer = Ok(vec![Outcome::Receipt(serde_json::to_value(&receipt).expect("JSON"))]);
    let results = tokio::task::block_in_place(|| {
        copied.copy.note(&hosted, &[(posted[0].id, body.clone())], answer, false).expect("noted");
        copied.copy.results_of(&posted).expect("told").results
    });
    let [SubmissionResult::Problem(problem)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!((problem.code(), problem.is_final()), ("upstream", false), "it may be submitted once more");
    let again = copied.copy.submit(&copied.maker.domain, vec![body]).await.expect("is answered").results;
    let [SubmissionResult::Problem(problem)] = again.as_slice() else { panic!("{again:?}") };
    assert_eq!(problem.code(), "statement-erased", "so says the home");
}

/// It may rest on what was passed over: a statement, for instance, on its signer's certificate.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_home_refuses_behind_something_that_it_lacks_goes_on_waiting() {
    let copied = Copied::new().await;
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let body = copied.introduce(2);
    let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![body.clone()]));
    let Ok(Ok(posted)) = posted else { panic!("it is not taken in") };
    let refused = |lacks| {
        let problem = Problem::of(Code::UnknownSigner, "nobody knows who that is".to_owned());
        let answer = Ok(vec![Outcome::Problem(serde_json::to_value(problem).expect("JSON"))]);
        tokio::task::block_in_place(|| {
            let sent = copied.copy.note(&hosted, &[(posted[0].id, body.clone())], answer, lacks).expect("noted");
            (sent, copied.copy.results_of(&posted).expect("told").results)
        })
    };
    let (sent, results) = refused(true);
    let waits = matches!(results.as_slice(), [SubmissionResult::Pending(_)]);
    assert!(matches!(sent, Sent::TooEarly) && waits, "{results:?}");
    let (sent, results) = refused(false);
    let ends = matches!(results.as_slice(), [SubmissionResult::Problem(_)]);
    assert!(matches!(sent, Sent::Answered) && ends, "{results:?}");
}

/// Its signer may have begun to sign while the home was away, and much else was waiting already.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_serves_what_comes_behind_it_however_much_waits_before_it() {
    let (maker, home) = Party::opened();
    let (data, url) = (tempfile::tempdir().expect("directory"), served(&home));
    let copy = copy(data.path(), &home, &maker.domain, &[(HOME, &*url)]);
    let copied = Copied { maker, home, copy, data };
    copied.catch_up().await;
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
               INSERT INTO outbox (domain, hash, body, at) SELECT ?1, randomblob(32), x'00', 0 FROM n";
    let more = i64::try_from(limits::BATCH_STATEMENTS).expect("small");
    copied.log().execute(sql, params![hosted.number.get(), more]).expect("filled");

    let post = |body| tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![body])).expect("is read");
    let statement = copied.introduce(2);
    assert!(post(statement.clone()).is_err(), "nobody knows who that is");
    assert!(post(copied.maker.certificate.clone()).is_ok(), "its signer has a role");
    assert!(post(statement).is_ok());
}

/// Over a slow line a full batch never would, nor anything behind it: a block, perhaps.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_does_not_arrive_in_time_less_is_sent_at_once() {
    let copied = Copied::new().await;
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let bodies = vec![copied.introduce(2), copied.introduce(3)];
    let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, bodies));
    assert!(matches!(posted, Ok(Ok(_))), "they wait");
    let batch = tokio::task::block_in_place(|| copied.copy.store().waiting(hosted.number, 0)).expect("is read");
    let noted = |batch: &[(u64, Vec<u8>)], error: PeerError| {
        tokio::task::block_in_place(|| copied.copy.note(&hosted, batch, Err(error), false)).expect("noted")
    };
    let problem = Some(Code::RequestTimeout.uri());
    let refused = PeerError::Status { status: Code::RequestTimeout.status(), detail: String::new(), problem };
    for error in [PeerError::Late, refused] {
        assert!(matches!(noted(&batch, error.clone()), Sent::RestOfLess), "{error}");
        assert!(matches!(noted(&batch[..1], error.clone()), Sent::Rest), "{error}: it keeps its place");
    }
    assert!(matches!(noted(&batch, PeerError::Transport("gone".to_owned())), Sent::Rest));
}

/// It may not know the signer of one of them, and would keep the others until the home can be reached. That something
/// else answers at the home's address says nothing about them.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_node_on_the_way_does_not_keep_less_is_sent_at_once() {
    let copied = Copied::behind(&[("first", GONE)]).await;
    let (data, other) = (tempfile::tempdir().expect("directory"), Party::found("devices.other.example"));
    // Nothing of the domain has arrived there, so it knows no signer.
    let unknowing = copy(data.path(), &copied.home, &copied.maker.domain, &[("home", GONE)]);
    copied.put("first", &served(&unknowing), None);
    copied.put(HOME, &served(&other.open()), None);
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![copied.introduce(2)]));
    assert!(matches!(posted, Ok(Ok(_))), "it waits");
    let batch = tokio::task::block_in_place(|| copied.copy.store().waiting(hosted.number, 0)).expect("is read");
    let sent = copied.copy.send(&hosted, batch, false).await.expect("noted");
    assert!(matches!(sent, Sent::RestOfLess));
}

/// However much was passed over.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_later_is_sent_before_what_was_passed_over() {
    let copied = Copied::new().await;
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let post = |number| {
        let body = copied.introduce(number);
        let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![body]));
        let Ok(Ok(posted)) = posted else { panic!("it is not taken in") };
        posted[0].id
    };
    let [first, second] = [2, 3].map(post);
    let sent = |behind, again: Option<u64>| {
        let again = again.map(|behind| Place { behind, is_again: true });
        let places = (Place { behind, is_again: false }, again);
        let waits = tokio::task::block_in_place(|| copied.copy.waiting_at(hosted.number, places));
        let (batch, place) = waits.expect("is read");
        (batch.into_iter().map(|(id, _)| id).collect::<Vec<u64>>(), place.is_again)
    };
    assert_eq!(sent(0, None), (vec![first, second], false));
    assert_eq!(sent(first, Some(0)), (vec![second], false), "although it is time for the first one");
    assert_eq!(sent(second, Some(0)), (vec![first, second], true));
    assert_eq!(sent(second, None), (Vec::new(), false));

    let in_turn = |behind| {
        let places = (Place { behind, is_again: true }, Some(Place { behind: second, is_again: false }));
        let waits = tokio::task::block_in_place(|| copied.copy.waiting_at(hosted.number, places));
        let (batch, place) = waits.expect("is read");
        (batch.len(), place.is_again)
    };
    assert_eq!(in_turn(first), (1, true), "what came later gets no answer");
    assert_eq!(in_turn(second), (0, true), "so that it is noted that none of it is left");
}

/// A peer that takes whatever is submitted, and cannot reach the home; returns its address. It counts the submissions.
fn relay(taken: &Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (taken, since) = (Arc::clone(taken), Timestamp::from_seconds(1_767_225_600));
    let waits = Pending { id: 1, since, attempts: 1, why: Some("the home is away".to_owned()) };
    // A submission is JSON and ends with a brace; other questions have no body.
    let is_whole = |request: &[u8]| match request.starts_with(b"POST ") {
        true => request.ends_with(b"}"),
        false => request.ends_with(b"\r\n\r\n"),
    };
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = Vec::new();
            while !is_whole(&request) {
                let mut piece = [0; 4_096];
                match stream.read(&mut piece) {
                    Ok(length @ 1..) => request.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
            taken.fetch_add(usize::from(request.starts_with(b"POST ")), Ordering::Relaxed);
            let body = request.windows(4).position(|window| window == b"\r\n\r\n").map(|end| &request[end + 4..]);
            let submission = body.and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok());
            let count = submission.and_then(|it| it["statements"].as_array().map(Vec::len)).unwrap_or_default();
            let results = SubmissionResults { results: vec![SubmissionResult::Pending(waits.clone()); count] };
            let json = serde_json::to_string(&results).expect("JSON");
            let length = json.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), json.as_bytes()].concat());
        }
    });
    url
}

/// A relay that is gone, does not hold the domain, or is cut off from the home would keep back what the home could be
/// told: a block, perhaps.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_peer_does_not_take_there_the_home_is_told_directly() {
    let other = Party::found("devices.other.example");
    let (lacks, cut_off) = (served(&other.open()), relay(&Arc::default()));
    for first in [GONE, &*lacks, &*cut_off] {
        let copied = Copied::behind(&[("first", first)]).await;
        let submit = async |body| copied.copy.submit(&copied.maker.domain, vec![body]).await;
        let results = submit(copied.introduce(2)).await.expect("is answered").results;
        assert!(matches!(results.as_slice(), [SubmissionResult::Receipt(_)]), "{first}: {results:?}");
        let results = submit(other.certificate.clone()).await.expect("is answered").results;
        assert!(
            matches!(results.as_slice(), [SubmissionResult::Problem(_)]),
            "{first}: not of its signers: {results:?}"
        );
    }
}

/// A peer that ends each connection without an answer once it was asked; returns its address. It counts the submissions.
fn wordless(asked: &Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = Arc::clone(asked);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 5];
            let is_whole = stream.read_exact(&mut head).is_ok();
            asked.fetch_add(usize::from(is_whole && head == *b"POST "), Ordering::Relaxed);
        }
    });
    url
}

/// Of two nodes that copy from each other, neither may know who the home is: they would pass it on to each other until
/// neither takes any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_sends_is_not_passed_on_once_more_when_it_comes_round() {
    let copied = Copied::behind(&[("first", GONE)]).await;
    let data = tempfile::tempdir().expect("directory");
    let other = copy(data.path(), &copied.home, &copied.maker.domain, &[("first", &*served(&copied.copy))]);
    copied.put("first", &served(&other), None);
    copied.put(HOME, GONE, None);
    let stranger = Party::found("devices.other.example").certificate;
    for times in 1..=2_u64 {
        let error = copied.copy.submit(&copied.maker.domain, vec![stranger.clone()]).await;
        assert_eq!(error.expect_err("nobody reaches the home").code(), Code::Upstream);
        assert_eq!(other.submission_counts(), [("upstream", times)]);
        assert_eq!(copied.copy.submission_counts(), [("upstream", 2 * times)], "its own, and what came round");
    }
}

/// Each batch would wait for half a minute for one that hangs, before the home is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_peer_that_had_no_answer_a_moment_ago_is_asked_after_the_home() {
    let asked = Arc::default();
    let copied = Copied::behind(&[("first", &wordless(&asked))]).await;
    let submit = async |number| {
        let submitted = copied.copy.submit(&copied.maker.domain, vec![copied.introduce(number)]).await;
        (submitted.expect("is answered").results, asked.load(Ordering::Relaxed))
    };
    for number in [2, 3] {
        let (results, asked) = submit(number).await;
        assert!(matches!(results.as_slice(), [SubmissionResult::Receipt(_)]), "{results:?}");
        assert_eq!(asked, 1, "the second time it is not waited for");
    }
    // It may keep what the home does not take.
    copied.put(HOME, GONE, None);
    let (results, asked) = submit(4).await;
    assert!(matches!(results.as_slice(), [SubmissionResult::Pending(_)]), "{results:?}");
    assert_eq!(asked, 2);
}

/// Owners may name any node, and operators may call a peer anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_home_is_recognised_by_its_key_or_without_one_by_its_name() {
    let (copied, other) = (Copied::behind(&[("first", GONE)]).await, Party::found("devices.other.example"));
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let foreign = other.open().hosted(&other.domain).expect("founded");
    let key = |hosted: &Hosted| hosted.domain().expect("begun").descriptor().home.key.clone();
    let is_known = || copied.copy.towards_home(&hosted).is_some_and(|(_, _, home)| home.is_some());
    assert!(is_known());
    copied.put(HOME, GONE, Some(&key(&foreign)));
    assert!(!is_known(), "it is another node of that name");
    copied.put("maker", GONE, Some(&key(&hosted)));
    assert!(is_known());
}

/// Otherwise only the first batch would ever get to the next peer while the home is away, and each time once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_the_next_peer_holds_up_nothing_behind_it() {
    let taken = Arc::default();
    let copied = Copied::behind(&[("relay", &relay(&taken))]).await;
    copied.put(HOME, GONE, None);
    let hosted = copied.copy.hosted(&copied.maker.domain).expect("copied");
    let post = |number| {
        let body = copied.introduce(number);
        let posted = tokio::task::block_in_place(|| copied.copy.post(&hosted, vec![body]));
        assert!(matches!(posted, Ok(Ok(_))), "it waits");
    };
    let attempts = || -> Vec<u32> {
        let items = copied.copy.outbox().expect("is read").into_iter();
        items.filter(|item| item.done_at.is_none()).map(|item| item.attempts).collect()
    };
    for number in [2, 3, 4] {
        post(number);
    }
    // As if each of them filled a batch.
    hosted.retry.lock().await.halve(2);
    copied.copy.send_waiting(&hosted, false).await.expect("sent");
    assert_eq!((taken.load(Ordering::Relaxed), attempts()), (2, vec![1, 1, 1]), "each was sent once");

    // By then it is time to ask about them again; that is done batch by batch, and holds up nothing either.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    hosted.retry.lock().await.halve(2);
    copied.copy.send_waiting(&hosted, false).await.expect("sent");
    assert_eq!(attempts(), [2, 1, 1]);
    post(5);
    copied.copy.send_waiting(&hosted, false).await.expect("sent");
    assert_eq!(attempts().last(), Some(&1), "it is sent at once");
}
