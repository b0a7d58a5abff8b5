//! Alarms, evidence of forks, enrolments.

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_node::store::{EnrolmentState, Fork, Full, Part, Posted, StoreError, WriteTx};

use super::common::*;

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(second)
}

#[test]
fn alarms_are_kept_newest_first() {
    let (dir, store, domain) = founded();
    store.alarm(None, at(1), "disk", "nearly full").expect("alarm");
    let job = |tx: &mut WriteTx<'_>| {
        tx.alarm(at(2), "policy", "entry 0 has no effect");
        tx.append(entry("a"))
    };
    store.write(domain, job).expect("queue").wait().expect("append");
    drop(store);
    let store = open(dir.path());
    store.alarm(None, at(3), "disk", "full").expect("alarm");
    let told = |domain, limit| -> Vec<_> {
        let alarms = store.alarms(domain, limit).expect("alarms");
        alarms.into_iter().map(|alarm| (alarm.at, alarm.text)).collect()
    };
    let (first, last) = ((at(1), "nearly full".to_owned()), (at(3), "full".to_owned()));
    assert_eq!(told(None, 9), [last.clone(), first]);
    assert_eq!(told(None, 1), [last]);
    assert_eq!(told(Some(domain), 9), [(at(2), "entry 0 has no effect".to_owned())]);
}

#[test]
fn what_is_alarmed_once_says_whether_it_was() {
    let (_dir, store, domain) = founded();
    let other = store.create_domain(&name("other.example"), Part::Home, None).expect("create").number;
    let raised = |domain, second, kind, text| store.alarm_once(domain, at(second), kind, text).expect("alarm");
    assert!(raised(domain, 1, "not-taken-over", "entry 1"));
    assert!(!raised(domain, 2, "not-taken-over", "entry 1"), "it stands already");
    assert!(raised(domain, 3, "not-taken-over", "entry 2") && raised(domain, 4, "quota", "entry 1"));
    assert!(raised(other, 5, "not-taken-over", "entry 1"), "each domain has its own");
    let kept = |domain| store.alarms(Some(domain), 9).expect("alarms").len();
    assert_eq!((kept(domain), kept(other)), (3, 1));
}

#[test]
fn an_alarm_about_something_takes_the_place_of_the_one_before_and_ends_with_it() {
    let (_dir, store, domain) = founded();
    let other = store.create_domain(&name("other.example"), Part::Home, None).expect("create").number;
    let raised = |domain, second, about, text| {
        store.alarm_about(domain, at(second), ("not-taken-over", about), text).expect("alarm")
    };
    assert!(raised(domain, 1, "entry 1", "unknown"));
    assert!(!raised(domain, 2, "entry 1", "unknown"), "it stands already");
    assert!(raised(domain, 3, "entry 2", "unknown") && raised(other, 4, "entry 1", "unknown"), "each has its own");
    assert!(raised(domain, 5, "entry 1", "too long"), "it says something else");
    assert!(store.alarm_once(domain, at(6), "quota", "entry 1").expect("alarm"));
    let kept = |domain| store.alarms(Some(domain), 9).expect("alarms").len();
    assert_eq!((kept(domain), kept(other)), (3, 1));
    store.end_alarms(domain, "not-taken-over", vec!["entry 1".to_owned(), "entry 7".to_owned()]).expect("taken back");
    assert_eq!((kept(domain), kept(other)), (2, 1), "what is said of others stays, and what is of another kind");
    assert_eq!(store.alarmed(domain, "not-taken-over").expect("alarms"), ["entry 2"]);
    assert_eq!(store.alarmed(domain, "quota").expect("alarms"), Vec::<String>::new(), "nobody looks for that again");
    assert!(raised(domain, 7, "entry 1", "too long"), "it is so again");
}

#[test]
fn what_blocks_is_taken_in_however_much_waits() {
    let (dir, store, domain) = founded();
    let connection = rusqlite::Connection::open(dir.path().join("ics.db")).expect("open");
    let fill = |count: usize| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
                   INSERT INTO outbox (domain, hash, body, at) SELECT ?1, randomblob(32), x'00', 0 FROM n";
        connection.execute(sql, (domain.get(), i64::try_from(count).expect("few"))).expect("filled");
    };
    let post = |body: &str, block| store.post(domain, vec![body.into()], at(1), block);
    fill(limits::OUTBOX_BODIES);
    let told = |refused: Result<Vec<Posted>, StoreError>| match refused {
        Err(StoreError::Full(full @ Full::Outbox { .. })) => full.to_string(),
        other => panic!("{other:?}"),
    };
    let said = told(post("publication", false));
    assert!(said.starts_with("100000 bodies of the domain, or 256 MiB, wait") && said.contains("ics outbox"), "{said}");
    assert!(post("theft", true).is_ok());
    fill(limits::OUTBOX_BODIES / limits::OUTBOX_BLOCKS);
    let said = told(post("another", true));
    assert!(said.starts_with("110000 bodies of the domain, or 281 MiB, wait"), "that is bounded, too: {said}");
}

#[test]
fn what_the_home_refused_is_not_pushed_out_by_what_it_took() {
    let (dir, store, domain) = founded();
    let post = |body: &str| store.post(domain, vec![body.into()], at(1), false).expect("taken in")[0].id;
    let (refused, taken) = (post("refused"), post("taken"));
    let problem = (refused, r#"{"problem":{"detail":"nobody knows the signer"}}"#.to_owned());
    let waits = |after| store.is_waiting(domain, after).expect("read");
    assert_eq!([0, refused, taken].map(waits), [true, true, false]);
    store.post_done(domain, vec![problem], at(2)).expect("noted");
    assert_eq!([0, refused, taken].map(waits), [true, true, false]);
    let connection = rusqlite::Connection::open(dir.path().join("ics.db")).expect("open");
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
               INSERT INTO outbox (domain, hash, at, done_at, result) \
               SELECT ?1, randomblob(32), 0, 3000, '{\"receipt\":{}}' FROM n";
    connection.execute(sql, (domain.get(), i64::try_from(limits::OUTBOX_DONE).expect("few"))).expect("filled");
    let receipt = (taken, r#"{"receipt":{}}"#.to_owned());
    store.post_done(domain, vec![receipt], at(4)).expect("noted");
    assert!(!waits(0), "all have their result");
    let kept: i64 = connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).expect("counted");
    assert_eq!(usize::try_from(kept), Ok(limits::OUTBOX_DONE + 1), "a receipt has gone for the newest");
    let told: Vec<u64> = store.outbox(domain, 1).expect("read").iter().map(|it| it.id).collect();
    assert_eq!(told, [refused, taken], "the refusal first");
}

#[test]
fn the_alarms_of_one_domain_push_out_none_of_another() {
    let (dir, store, quiet) = founded();
    let loud = store.create_domain(&name("loud.example"), Part::Home, None).expect("create").number;
    store.alarm(Some(quiet), at(1), "fork", "the one that counts").expect("alarm");
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join("ics.db")).expect("open");
    // Together with the first one, these are all alarms but the last after which old ones are removed.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10999) \
               INSERT INTO alarm (id, domain, at, kind, text) SELECT i, ?1, 0, 'policy', 'one of many' FROM n";
    connection.execute(sql, [loud.get()]).expect("fill");
    drop(connection);
    let store = open(dir.path());
    let kept = |domain| store.alarms(Some(domain), 20_000).expect("alarms").len();
    assert_eq!((kept(quiet), kept(loud)), (1, 10_998));
    store.alarm(Some(loud), at(2), "policy", "the last").expect("alarm");
    assert_eq!((kept(quiet), kept(loud)), (1, 10_000));
    assert_eq!(store.alarms(Some(loud), 1).expect("alarms")[0].text, "the last");
}

#[test]
fn alarms_end_when_they_are_acknowledged() {
    let (_dir, store, domain) = founded();
    for second in [1, 2, 3] {
        store.alarm(Some(domain), at(second), "behind", "so far").expect("alarm");
    }
    for second in [1, 3] {
        store.alarm(None, at(second), "fork", "of somebody else").expect("alarm");
    }
    assert_eq!(store.acknowledge_alarms(Some(domain), at(2), 9).expect("acknowledged"), 2);
    let left = store.alarms(Some(domain), 9).expect("alarms");
    assert_eq!(left.into_iter().map(|alarm| alarm.at).collect::<Vec<_>>(), [at(3)], "nobody has seen it");
    assert_eq!(store.alarms(None, 9).expect("alarms").len(), 2);
    assert_eq!(store.acknowledge_alarms(None, at(2), 9).expect("acknowledged"), 1);
    let kept = |domain| store.alarms(domain, 9).expect("alarms").len();
    assert_eq!((kept(None), kept(Some(domain))), (1, 1), "those of the domain are not among them");
    store.alarm(None, at(4), "fork", "the latest").expect("alarm");
    assert_eq!(store.acknowledge_alarms(None, at(4), 1).expect("acknowledged"), 1);
    assert_eq!(store.alarms(None, 9).expect("alarms")[0].at, at(3), "it was not among the latest");
}

#[test]
fn the_same_evidence_of_a_fork_is_kept_once() {
    let (_dir, store, domain) = founded();
    let of = |domain, second| Fork { domain, at: at(second), ours: "ours".to_owned(), theirs: "theirs".to_owned() };
    let fork = |second| of(Some(domain), second);
    store.keep_fork(fork(1)).expect("keep");
    store.keep_fork(fork(2)).expect("keep");
    store.keep_fork(of(None, 3)).expect("keep");
    assert_eq!(store.forks(Some(domain), 9).expect("forks"), [fork(1)]);
    assert_eq!(store.forks(None, 9).expect("forks"), [of(None, 3)], "of what is not here");
}

/// A home that goes on signing two logs gives another proof with each head.
#[test]
fn of_one_log_a_bounded_number_of_proofs_is_kept() {
    let (_dir, store, domain) = founded();
    let of = |domain, log: &str, number: usize| {
        let [ours, theirs] = ["ours", "theirs"].map(|side| format!("{log}\n{number}\n{side}\n"));
        Fork { domain, at: at(1), ours, theirs }
    };
    for number in 0..=limits::FORKS_KEPT {
        store.keep_fork(of(None, "a.example", number)).expect("not an error");
    }
    store.keep_fork(of(None, "b.example", 0)).expect("kept");
    store.keep_fork(of(Some(domain), "a.example", 0)).expect("kept");
    let kept = |domain| store.forks(domain, 1_000).expect("forks");
    assert_eq!((kept(None).len(), kept(Some(domain)).len()), (limits::FORKS_KEPT + 1, 1));
    assert_eq!(kept(None)[0], of(None, "a.example", 0), "the first ones");
}

#[test]
fn enrolments_wait_until_they_are_decided_once() {
    let (_dir, store, domain) = founded();
    let ids: Vec<_> =
        ["one", "two", "three"].map(|token| store.enrol(domain, token, token.into(), at(1)).expect("enrol")).into();
    assert!(matches!(store.enrol(domain, "two", vec![], at(1)), Err(StoreError::Exists { .. })));
    store.decide_enrolment(ids[1], EnrolmentState::Refused, Some("unknown lot".to_owned()), at(2)).expect("decide");
    let again = store.decide_enrolment(ids[1], EnrolmentState::Approved, None, at(3));
    assert!(matches!(again, Err(StoreError::NotFound { .. })));
    let refused = store.enrolment("two").expect("enrolment");
    assert_eq!(
        (refused.id, refused.state, refused.decided_at, refused.answer.as_deref(), refused.request.as_slice()),
        (ids[1], EnrolmentState::Refused, Some(at(2)), Some("unknown lot"), b"two".as_slice())
    );
    store.enrol(domain, "two", b"put right".to_vec(), at(4)).expect("again");
    let again = store.enrolment("two").expect("enrolment");
    assert_eq!((again.state, again.at, again.decided_at, again.answer), (EnrolmentState::Waiting, at(4), None, None));
    assert_eq!(again.request, b"put right");
    store.decide_enrolment(again.id, EnrolmentState::Approved, None, at(5)).expect("decide");
    assert!(matches!(store.enrol(domain, "two", vec![], at(6)), Err(StoreError::Exists { .. })));
    assert!(matches!(store.enrolment("four"), Err(StoreError::NotFound { .. })));
    let waiting = |after, limit| -> Vec<_> {
        let found = store.enrolments(domain, EnrolmentState::Waiting, after, limit).expect("enrolments");
        found.into_iter().map(|enrolment| enrolment.id).collect()
    };
    assert_eq!(waiting(0, 9), [ids[0], ids[2]]);
    assert_eq!((waiting(0, 1), waiting(ids[0], 9)), (vec![ids[0]], vec![ids[2]]));
}

#[test]
fn no_more_enrolments_wait_than_may() {
    let (dir, store, domain) = founded();
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join("ics.db")).expect("open");
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
               INSERT INTO enrolment (token, domain, request, state, at) SELECT i, ?1, x'', 'waiting', 0 FROM n";
    let most = i64::try_from(limits::ENROLMENTS_WAITING).expect("small") - 1;
    connection.execute(sql, rusqlite::params![domain.get(), most]).expect("fill");
    drop(connection);
    let store = open(dir.path());
    let last = store.enrol(domain, "last", vec![], at(1)).expect("room for one");
    let over = store.enrol(domain, "over", vec![], at(1));
    assert!(matches!(over, Err(StoreError::Full(Full::Enrolments(limits::ENROLMENTS_WAITING)))), "{over:?}");
    store.decide_enrolment(last, EnrolmentState::Approved, None, at(2)).expect("decide");
    store.enrol(domain, "again", vec![], at(1)).expect("room again");
}
