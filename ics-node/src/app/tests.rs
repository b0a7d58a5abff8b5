//! What memory must not do: exceed its bound, give answers that the evidence does not support, or keep what has ended.

mod checking;
mod copying;
pub(super) mod expiring;
mod hidden;
mod long_records;
mod named;
mod together;
mod unshown;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{Descriptor, Freshness};
use ics_core::identity::{IdentityId, Kind};
use ics_core::limits;
use ics_core::openpgp::key::PublicKey;
use ics_core::record::Posting;
use ics_core::statement::make::sign_descriptor;
use ics_core::trust::{Outcome, Reason, TrustDocument, TrustPolicy, settle};
use ics_core::vocabulary::{Act, DomainName};

use super::admit::check::check_bodies;
use super::admit::submit::{Incoming, append_all};
use super::answer::memory::Asked;
use super::answer::verdict::{Matter, word};
use super::{App, Asker, Depth, Query, Reader};
use crate::api::problem::Code;
use crate::api::{Check, EnrolmentRequest, ListQuery, MirrorInfo, PageQuery, SubmissionResult};
use crate::fixture::{Party, SALT, devices, owner};
use crate::store::{DomainNumber, WriteTx};

const PERMITS: &str =
    "@id(\"made\") permit (principal, action, resource) when { principal.vouching_roles.contains(\"manufacturer\") };";
const PERMITS_NOTHING: &str =
    "@id(\"none\") permit (principal, action, resource) when { principal.labels.contains(\"what nobody has\") };";

fn policy(app: &App, maker: &Party, rules: &str) -> TrustPolicy {
    let domains = vec![app.domain(&maker.domain).expect("is here").info.origin];
    let freshness = Freshness { default: 3_600, uses: [].into() };
    let labelling_roles = TrustDocument::certification_bodies();
    let rules = rules.to_owned();
    TrustPolicy::compile(TrustDocument { domains, roles: Default::default(), labelling_roles, freshness, rules })
        .expect("a policy")
}

/// A node that knows these devices, decides by these rules, and has this much memory.
async fn node(maker: &Party, known: &[PublicKey], rules: &str, memory_bytes: u64) -> App {
    let founded = maker.open();
    let trust = Arc::new(policy(&founded, maker, rules));
    drop(founded);
    let app = maker.open_with(|setup| (setup.trust, setup.memory_bytes) = (Some(trust), memory_bytes));
    let introduced = known.iter().enumerate().map(|(at, key)| maker.introduce(&app, key, "Pump", &at.to_string()));
    let bodies = core::iter::once(maker.certificate.clone()).chain(introduced).collect();
    app.submit(&maker.domain, bodies).await.expect("submits");
    app
}

/// The next version of a domain's descriptor, with a change, as its owner signs it.
pub(super) fn amended(app: &App, domain: &DomainName, change: impl FnOnce(&mut Descriptor)) -> Vec<u8> {
    let json = app.descriptor(domain, None).expect("in force").json;
    let former = Descriptor::parse(&json).expect("a descriptor");
    let mut next = Descriptor { version: former.version + 1, previous: Some(former.hash()), ..former };
    change(&mut next);
    sign_descriptor(&[&owner(domain)], &next.to_json(), app.clock().now(), &SALT).expect("signed")
}

fn check(app: &App, number: usize, depth: Depth) -> Option<Check> {
    let query = Query::parse(&format!("serial:SN-{number}")).expect("a name");
    app.check(Reader::Anonymous, "connect", &query, None, depth)
}

/// The texts of the alarms of a kind.
fn alarms(app: &App, domain: DomainNumber, kind: &str) -> Vec<String> {
    let all = app.store().alarms(Some(domain), 100).expect("read");
    all.into_iter().filter(|alarm| alarm.kind == kind).map(|alarm| alarm.text).collect()
}

/// Whatever puts a wrong answer into memory, nobody gets it: in test builds each answer passes the checker with its
/// evidence.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_evidence_does_not_bear_out_leaves_nobody() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &pumps, PERMITS_NOTHING, 1 << 20).await;
    let denied = check(&app, 0, Depth::Store).expect("the store is asked");
    assert_eq!((denied.verdict, denied.reason), (Outcome::Deny, Reason::NotPermitted));

    let query = Query::parse("serial:SN-0").expect("a name");
    let other = policy(&app, &maker, PERMITS);
    let matter = Matter { reader: Reader::Anonymous, policy: &other, usage: "connect", thing: &query, peer: None };
    let now = app.clock().now();
    let allows = settle(&app.question(&matter, now).expect("a question"), &other, now);
    let domain = app.hosted(&maker.domain).expect("is here").number;
    let kept = app.memory().recall(domain, &IdentityId::Key(pumps[0].fingerprint()), now).expect("is remembered");
    let asked = Asked { usage: word("connect"), thing: kept.place.0.bits(), peer: 0 };
    app.memory().keep_ruling(asked, core::iter::once(&kept), allows);
    for depth in [Depth::Memory, Depth::Store] {
        let check = check(&app, 0, depth).expect("memory has it");
        assert_eq!((check.verdict, check.reason), (Outcome::Unknown, Reason::Unreadable), "{depth:?}: {check:?}");
    }
}

/// More is asked for than fits: memory stays within its bound, every answer is right, and the latest ones are there.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_within_its_bound_when_more_is_asked_than_fits() {
    const BYTES: u64 = 64 * 1024;
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(250));
    let app = node(&maker, &pumps, PERMITS, BYTES).await;
    let mut most = 0;
    for number in 0..pumps.len() {
        let answer = check(&app, number, Depth::Store).expect("the store is asked");
        assert_eq!((answer.verdict, answer.reason), (Outcome::Allow, Reason::Permitted), "{number}");
        most = most.max(app.memory().bytes());
        assert!(most <= BYTES, "{most} bytes after {number} devices");
    }
    let (kept, bytes) = (app.memory().identities(), app.memory().bytes());
    assert!(most > BYTES / 2, "the bound was never near: {most}");
    assert!((1..pumps.len()).contains(&kept), "{kept} are kept");
    let each = bytes / kept as u64;
    assert!((100..2_000).contains(&each), "{each} bytes for each, names and rulings included");
    assert!(check(&app, pumps.len() - 1, Depth::Memory).is_some(), "what was asked last is there");
    assert_eq!(check(&app, 0, Depth::Store).map(|it| it.verdict), Some(Outcome::Allow), "what has gone is read again");
}

/// What can no longer be read may have been a block.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_damaged_on_the_disk_lets_nothing_through() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    maker.submit_one(&app, maker.introduce(&app, &pumps[0], "Pump", "more")).await.expect("admitted");
    let damage = || {
        let sql = "UPDATE entry SET body = substr(body, 1, length(body) - 1) \
                   WHERE position = (SELECT max(position) FROM entry)";
        app.store().with_writer(move |writer| Ok(writer.log.execute(sql, [])?))
    };
    assert_eq!(tokio::task::block_in_place(damage).expect("damaged"), 1);
    let verdict = check(&app, 0, Depth::Store).expect("the store is asked").verdict;
    assert_eq!(verdict, Outcome::Unknown);
    assert_eq!(app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect_err("damaged").problem().status, 500);
}

/// A changed entry that still parses may say something else than was logged, and shows no sign of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_on_the_disk_and_still_parses_lets_nothing_through() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(2));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    maker.submit_one(&app, maker.introduce(&app, &pumps[0], "Pump", "more")).await.expect("admitted");
    let number = app.hosted(&maker.domain).expect("is here").number;
    let change = || {
        let last = "position = (SELECT max(position) FROM entry)";
        app.store().with_writer(move |writer| {
            let read = format!("SELECT body FROM entry WHERE {last}");
            let mut body: Vec<u8> = writer.log.query_row(&read, [], |row| row.get(0))?;
            *body.last_mut().expect("has bytes") ^= 1;
            writer.log.execute(&format!("UPDATE entry SET body = ?1 WHERE {last}"), [&body])?;
            Ok(body)
        })
    };
    let body = tokio::task::block_in_place(change).expect("changed");
    assert!(ics_core::statement::body::parse(&body).is_ok(), "the signature alone is another one");
    assert_eq!(app.ready(), Ok(()), "nobody has met it");
    let refused = app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect_err("damaged").problem();
    assert_eq!(refused.status, 500);
    assert_eq!(check(&app, 0, Depth::Store).map(|it| it.verdict), Some(Outcome::Unknown));
    assert_eq!(check(&app, 1, Depth::Store).map(|it| it.verdict), Some(Outcome::Allow), "of that nothing is damaged");
    let told = app.ready().expect_err("damage was met");
    assert!(told.contains("is not what was logged") && told.contains("`ics restore COPY`"), "{told}");
    for _ in 0..2 {
        tokio::task::block_in_place(|| app.beat_once());
    }
    let alarms = alarms(&app, number, "damaged");
    assert_eq!(alarms.len(), 1, "it is told once: {alarms:?}");
}

/// Nobody knows what an entry was about that cannot be read when the index is rebuilt.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_damaged_before_the_index_was_made_anew_lets_nothing_through() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(2));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    maker.submit_one(&app, maker.introduce(&app, &pumps[0], "Pump", "more")).await.expect("admitted");
    let trust = Arc::new(policy(&app, &maker, PERMITS));
    assert_eq!(check(&app, 1, Depth::Store).map(|it| it.verdict), Some(Outcome::Allow));
    drop(app);
    let log = rusqlite::Connection::open(maker.data().join("ics.db")).expect("open");
    let sql = "UPDATE entry SET body = substr(body, 1, length(body) - 1) \
               WHERE position = (SELECT max(position) FROM entry)";
    assert_eq!(log.execute(sql, []).expect("damaged"), 1);
    drop(log);
    std::fs::remove_file(maker.data().join("index.db")).expect("removed");
    for start in ["makes the index anew", "finds it made"] {
        let app = maker.open_with(|setup| setup.trust = Some(Arc::clone(&trust)));
        for number in 0..2 {
            let verdict = check(&app, number, Depth::Store).expect("the store is asked").verdict;
            assert_eq!(verdict, Outcome::Unknown, "{start}: {number}");
        }
        let verdict = app.verdict(Reader::Anonymous, "serial:SN-0", "connect", None).expect("an answer");
        assert!(verdict.reasons.iter().any(|reason| reason.contains("is damaged")), "{start}: {:?}", verdict.reasons);
        let refused = app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect_err("damaged").problem();
        assert_eq!((refused.status, refused.code()), (503, "behind"), "{start}");
        assert_eq!(app.ready(), Err(refused.detail), "{start}");
        let told = app.operations().expect("the operator sees all the rest");
        assert_eq!((told.not_ready, told.domains.len()), (app.ready().err(), 0), "{start}");
        assert_eq!(app.stamp(), None, "{start}: answers about all domains are not given again");
        let submitted = app.submit(&maker.domain, vec![maker.certificate.clone()]).await.expect_err("damaged");
        assert_eq!(submitted.code(), Code::Behind, "{start}: it may be admitted later");
    }
}

/// A domain cannot be loaded without a damaged entry if that entry tells its time. The node starts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_of_which_the_end_is_damaged_is_silent_from_the_next_start_on() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(2));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let trust = Arc::new(policy(&app, &maker, PERMITS));
    drop(app);
    for change in ["effective = 0", "body = substr(body, 1, length(body) - 1)"] {
        let log = rusqlite::Connection::open(maker.data().join("ics.db")).expect("open");
        let sql = format!("UPDATE entry SET {change} WHERE position = (SELECT max(position) FROM entry)");
        assert_eq!(log.execute(&sql, []).expect("damaged"), 1);
        drop(log);
        let app = maker.open_with(|setup| setup.trust = Some(Arc::clone(&trust)));
        let verdict = check(&app, 0, Depth::Store).expect("the store is asked").verdict;
        assert_eq!(verdict, Outcome::Unknown, "{change}");
        let refused = app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect_err("damaged").problem();
        assert_eq!((refused.status, refused.code()), (503, "behind"), "{change}");
        assert!(app.ready().expect_err("it is silent").contains("is damaged"), "{change}");
        assert_eq!(app.operations().expect("the operator sees all the rest").not_ready, app.ready().err(), "{change}");
    }
}

/// If an index leads to an entry without the key, nobody knows where it should have led: perhaps to a block.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_leads_elsewhere_lets_nothing_through() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(2));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    maker.submit_one(&app, maker.introduce(&app, &pumps[0], "Pump", "more")).await.expect("admitted");
    let trust = Arc::new(policy(&app, &maker, PERMITS));
    drop(app);
    let index = rusqlite::Connection::open(maker.data().join("index.db")).expect("open");
    // For keys with two entries, the second one is now the one right after the first.
    let sql = "UPDATE posting SET more = x'01' WHERE length(more) = 1 AND more <> x'01'";
    assert!(index.execute(sql, []).expect("damaged") > 0);
    drop(index);
    let app = maker.open_with(|setup| setup.trust = Some(Arc::clone(&trust)));
    assert_eq!(check(&app, 0, Depth::Store).map(|it| it.verdict), Some(Outcome::Unknown));
    assert_eq!(app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect_err("damaged").problem().status, 500);
    assert_eq!(check(&app, 1, Depth::Store).map(|it| it.verdict), Some(Outcome::Allow), "of that nothing is damaged");
    let told = app.ready().expect_err("damage was met");
    assert!(told.contains("`ics fsck --repair`"), "{told}");
    let number = app.hosted(&maker.domain).expect("is here").number;
    tokio::task::block_in_place(|| app.beat_once());
    let alarms = alarms(&app, number, "damaged");
    assert!(alarms.iter().any(|text| text.contains("`ics fsck --repair`")), "{alarms:?}");
    drop(app);
    let app = maker.open_with(|setup| setup.trust = Some(Arc::clone(&trust)));
    app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect("the index was made anew");
    assert_eq!(app.ready(), Ok(()));
}

/// As above, with a well-formed index row: only the entry to which it leads shows the damage.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_leads_to_another_thing_lets_nothing_through() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(2));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let trust = Arc::new(policy(&app, &maker, PERMITS));
    let number = app.hosted(&maker.domain).expect("is here").number;
    drop(app);
    let key = super::entries::subject_key(&IdentityId::Key(pumps[0].fingerprint()));
    crate::store::lead(&maker.data(), number, key, &[3]).expect("damaged");
    let app = maker.open_with(|setup| setup.trust = Some(Arc::clone(&trust)));
    assert_eq!(check(&app, 0, Depth::Store).map(|it| it.verdict), Some(Outcome::Unknown));
    assert_eq!(app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect_err("damaged").problem().status, 500);
    assert_eq!(check(&app, 1, Depth::Store).map(|it| it.verdict), Some(Outcome::Allow), "of that nothing is damaged");
    let told = app.ready().expect_err("damage was met");
    assert!(told.contains("leads to entry 3, which says nothing about what is looked for"), "{told}");
    drop(app);
    let app = maker.open_with(|setup| setup.trust = Some(Arc::clone(&trust)));
    app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect("the index was made anew");
    assert_eq!(app.ready(), Ok(()));
}

/// What waits for witnesses, or for the rest of a log that is being copied, becomes visible without a commit that
/// contains it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_the_end_of_the_log_was_shown_is_not_kept_after_a_start() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let more = maker.introduce(&app, &pumps[0], "Pump", "more");
    let hosted = app.hosted(&maker.domain).expect("is here");
    let (number, clock) = (hosted.number, app.clock().clone());
    let checked = check_bodies(hosted.domain().as_deref(), vec![(more, clock.now())], [7; 32]);
    let incoming = checked.into_iter().map(|checked| Incoming { checked, source: None, salt: [7; 16] }).collect();
    let job = move |tx: &mut WriteTx<'_>| {
        let appended = append_all(tx, &hosted, incoming, &clock);
        tx.wait_for_witnesses(true);
        appended.map(drop)
    };
    tokio::task::block_in_place(|| app.store().write(number, job).expect("queued").wait()).expect("written");
    drop(app);

    let app = maker.open();
    let is_shown = || {
        let record = app.record(Reader::Anonymous, &maker.domain, "serial:SN-0").expect("known").record;
        record.names.iter().any(|name| name.value.to_string() == "serial:SN-more")
    };
    assert!(!is_shown(), "the end of the log is not shown yet");
    let show = || {
        let seal = app.store().sign_head(number).expect("signed");
        app.store().write(number, move |tx: &mut WriteTx<'_>| tx.seal(seal)).expect("queued").wait()
    };
    tokio::task::block_in_place(show).expect("shown");
    assert!(is_shown(), "and now it is");
}

/// Readers who may read them all are told that a name fits several things. For others it is nobody's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_does_not_tell_that_a_name_fits_what_is_hidden() {
    let (maker, pumps) = (Party::found_private("devices.acme.example", "principal has node"), devices(2));
    let app = node(&maker, &[], PERMITS, 1 << 20).await;
    for pump in &pumps {
        maker.submit_one(&app, maker.introduce(&app, pump, "Pump", "0")).await.expect("admitted");
    }
    let reason = |reader, name: &str| {
        let query = Query::parse(name).expect("a name");
        let check = app.check(reader, "connect", &query, None, Depth::Store).expect("the store is asked");
        (check.verdict, check.reason)
    };
    assert_eq!(reason(Reader::Operator, "serial:SN-0"), (Outcome::Unknown, Reason::Ambiguous));
    assert_eq!(reason(Reader::Anonymous, "serial:SN-0"), reason(Reader::Anonymous, "serial:SN-9"));
}

/// A look-up in the index costs what it returns and what was skipped on the way, not everything after that.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_looked_at_is_not_counted() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(12));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let introduced = [Posting::Act(Act::Identity)];
    let mut after = None;
    for expected in [5, 5, 2] {
        let page = app.things(Reader::Anonymous, &maker.domain, &introduced, after, 5).expect("a page");
        assert_eq!((page.things.len(), page.looked), (expected, expected));
        after = page.next;
    }
    assert_eq!(after, None);
}

/// The newest devices of a domain that a stranger may read, each with its first entry; and whether the search was cut
/// short.
fn newest(app: &App, maker: &Party, most: usize) -> (Vec<(IdentityId, u64)>, bool) {
    let hosted = app.hosted(&maker.domain).expect("is here");
    let sight = app.sight(&hosted).expect("can be read");
    let query = ListQuery { kind: Some(Kind::Device.to_string()), ..ListQuery::default() };
    let (found, is_cut) = app.newest(Reader::Anonymous, &sight, &query, most).expect("can be read");
    let mut found: Vec<_> = found.into_iter().map(|(id, (_, index))| (id, index)).collect();
    found.sort_unstable_by_key(|(_, index)| *index);
    (found, is_cut)
}

/// What is introduced again neither hides newer things nor becomes newer itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_introduced_again_hides_nothing_of_the_newest() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(3));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let again = async |times: core::ops::Range<u16>| {
        let bodies = times.map(|time| maker.introduce(&app, &pumps[0], &format!("Pump {time}"), "0")).collect();
        let results = app.submit(&maker.domain, bodies).await.expect("submits").results;
        assert!(results.iter().all(|it| matches!(it, SubmissionResult::Receipt(_))), "{results:?}");
    };
    again(10..22).await;
    let id = |pump: usize| IdentityId::Key(pumps[pump].fingerprint());
    assert_eq!(newest(&app, &maker, 3), (vec![(id(0), 2), (id(1), 3), (id(2), 4)], false));
    assert_eq!(newest(&app, &maker, 1), (vec![(id(0), 2), (id(2), 4)], false));
    assert_eq!(newest(&app, &maker, 9), newest(&app, &maker, 3), "there are no more");
    // More than are looked at for one.
    again(22..32).await;
    assert_eq!(newest(&app, &maker, 1), (vec![(id(0), 2)], true));
    assert_eq!(newest(&app, &maker, 3).0.len(), 3);
}

/// What is hidden does not take the place of what may be read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_does_not_keep_the_newest_from_a_reader() {
    let rule = "resource has lot && resource.lot like \"open-*\"";
    let (maker, pumps) = (Party::found_private("devices.acme.example", rule), devices(6));
    let app = node(&maker, &[], PERMITS, 1 << 20).await;
    let lots = ["open-0", "open-1", "2", "3", "4", "5"];
    for (pump, lot) in pumps.iter().zip(lots) {
        maker.publish(&app, pump, "Pump", lot).await;
    }
    let (found, is_cut) = newest(&app, &maker, 2);
    let ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
    let open: Vec<_> = pumps.iter().take(2).map(|it| IdentityId::Key(it.fingerprint())).collect();
    assert_eq!((ids, is_cut), (open, false));
}

/// A full disk is reported as such for as long as it is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_until_there_is_room_again() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(64));
    let app = node(&maker, &[], PERMITS, 1 << 20).await;
    // The limit must not be below the present number of pages.
    let limit = |pages: i64| {
        let set = || {
            app.store().with_writer(move |writer| {
                Ok(writer.log.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
            })
        };
        tokio::task::block_in_place(set).expect("is taken");
    };
    let introduced = |(at, key): (usize, &PublicKey)| maker.introduce(&app, key, "Pump", &at.to_string());
    let bodies: Vec<Vec<u8>> = pumps.iter().enumerate().map(introduced).collect();
    assert_eq!(app.ready(), Ok(()));
    limit(1);
    let refused = app.submit(&maker.domain, bodies.clone()).await.expect_err("there is no room");
    assert_eq!((refused.code().as_str(), refused.problem().status), ("no-room", 503));
    assert!(app.ready().is_err_and(|why| why.contains("disk is full")));
    limit(1 << 20);
    let results = app.submit(&maker.domain, bodies).await.expect("there is room").results;
    assert!(results.iter().all(|it| matches!(it, SubmissionResult::Receipt(_))), "{results:?}");
    assert_eq!(app.ready(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_many_alarms_hides_none_of_another() {
    let (maker, app) = Party::opened();
    let own = app.hosted(&maker.domain).expect("here").number;
    let now = app.clock().now();
    app.store().alarm(Some(own), now, "fork", "the one that counts").expect("alarm");
    for _ in 0..101 {
        app.store().alarm(None, now, "lie", "one of many").expect("alarm");
    }
    let shown = app.domain(&maker.domain).expect("here").alarms;
    assert_eq!(shown.iter().map(|alarm| alarm.text.as_str()).collect::<Vec<_>>(), ["the one that counts"]);
    assert_eq!(app.operations().expect("operations").alarms.len(), 100);
    // The first of them was not shown, and so not seen.
    assert_eq!(app.acknowledge(None, now).expect("acknowledged").alarms, 100);
    assert_eq!(app.operations().expect("operations").alarms.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_is_read_page_by_page() {
    let (maker, app) = Party::opened();
    let (own, now) = (app.hosted(&maker.domain).expect("here").number, app.clock().now());
    let request = EnrolmentRequest {
        certificate: STANDARD.encode(&maker.certificate),
        kind: Kind::Device,
        names: vec!["serial:1".to_owned()],
        attributes: [].into(),
    };
    let json = serde_json::to_vec(&request).expect("JSON");
    for number in 0..25 {
        app.store().enrol(own, &format!("token {number}"), json.clone(), now).expect("kept");
    }
    let page = |after| app.enrolments(&maker.domain, PageQuery { after, limit: Some(20) }).expect("a page");
    let first = page(0);
    assert_eq!((first.items.len(), first.next), (20, first.items.last().map(|last| last.number)));
    let last = page(first.next.expect("another page"));
    assert_eq!((last.items.len(), last.next), (5, None));

    // The unreadable one comes after those that an operator sees first.
    app.store().enrol(own, "damaged", b"no request".to_vec(), now).expect("kept");
    assert_eq!(app.operations().expect("operations").enrolments.len(), 20);
    assert!(app.enrolments(&maker.domain, PageQuery::default()).is_err());

    let names = vec!["serial:1".to_owned(); limits::ENROLMENT_NAMES + 1];
    let greedy = app.enrol(Asker::Own, &maker.domain, &EnrolmentRequest { names, ..request.clone() });
    assert_eq!(greedy.expect_err("too many names").code().as_str(), "malformed-request");
    app.enrol(Asker::Own, &maker.domain, &request).expect("taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_has_stopped_is_told_of_with_what_rests_on_it() {
    let (maker, pumps) = (Party::found("devices.acme.example"), devices(1));
    let app = node(&maker, &pumps, PERMITS, 1 << 20).await;
    let told = |reader| {
        let verdict = app.verdict(reader, "serial:SN-0", "connect", None).expect("an answer");
        (verdict.outcome, verdict.reasons.join("\n"))
    };
    assert!(!told(Reader::Operator).1.contains("has stopped"));
    let stopped = MirrorInfo {
        peer: "acme".to_owned(),
        state: MirrorInfo::STOPPED.to_owned(),
        lag_entries: 0,
        partial: false,
        last_error: Some("it forked".to_owned()),
        rests_on: None,
    };
    app.hosted(&maker.domain).expect("is here").set_mirror(Some(stopped));
    for (reader, why) in [(Reader::Operator, true), (Reader::Anonymous, false)] {
        let (outcome, words) = told(reader);
        assert_eq!(outcome, Outcome::Allow, "until it is too old");
        assert!(words.contains("the copy of devices.acme.example has stopped"), "{words}");
        assert_eq!(words.contains("it forked"), why, "{words}");
    }
}
