//! Things with long records: what the writer keeps at hand must agree with the log.

use std::cell::Cell;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::{IdentityId, Kind};
use ics_core::log::entry::{EntryKind, Header};
use ics_core::openpgp::signer::Ed25519Signer;
use ics_core::record::{Logged, Posting};
use ics_core::statement::make::{certify, sign_descriptor, sign_document};
use ics_core::statement::{Claims, Group, StatementId, Subject, body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, DomainName};

use crate::api::SubmissionResult;
use crate::app::admit::check::{Checked, check_bodies};
use crate::app::admit::judge::{Judgement, judge, judge_earlier};
use crate::app::admit::submit::{Incoming, Outcome, append_all, append_some};
use crate::app::clock::Clock;
use crate::app::entries::{Brought, Entries, Line, Log};
use crate::app::{App, Reader};
use crate::fixture::{Party, SALT, claims, device, owner, word};
use crate::store::{Key, StoreError, StoredEntry, WriteTx};

/// The number of statements about one device: enough for its record to be kept at hand.
const SAID: usize = 24;

/// A log that counts the entries read from it.
struct Counting<'a, 'w> {
    tx: &'a WriteTx<'w>,
    read: Cell<usize>,
}

impl<'a, 'w> Counting<'a, 'w> {
    fn new(tx: &'a WriteTx<'w>) -> Self {
        Self { tx, read: Cell::new(0) }
    }
}

impl Entries for Counting<'_, '_> {
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError> {
        self.tx.indices(postings, limit)
    }

    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        self.read.set(self.read.get() + indices.len());
        self.tx.entries_at(indices)
    }

    fn misled_to(&self, index: u64) -> StoreError {
        self.tx.misled_to(index)
    }
}

impl Log for Counting<'_, '_> {
    fn name(&self) -> &DomainName {
        self.tx.name()
    }

    fn count(&self) -> u64 {
        self.tx.count()
    }

    fn first(&self, key: Key) -> Result<Option<u64>, StoreError> {
        self.tx.first(key)
    }

    fn at(&self, index: u64) -> Result<StoredEntry, StoreError> {
        self.tx.at(index)
    }
}

fn header(domain: Option<&Domain>, clock: &Clock) -> Header {
    let last = domain.map(Domain::last_admitted_at).unwrap_or_default();
    Header { kind: EntryKind::Statement, admitted_at: clock.now().max(last), source: None }
}

fn checked(app: &App, maker: &Party, body: Vec<u8>) -> Checked {
    let domain = app.hosted(&maker.domain).expect("is here").domain();
    let mut checked = check_bodies(domain.as_deref(), vec![(body, app.clock().now())], [7; 32]);
    checked.pop().expect("one body").expect("verified")
}

fn incoming(app: &App, maker: &Party, body: Vec<u8>) -> Incoming {
    Incoming { checked: Ok(checked(app, maker, body)), source: None, salt: [7; 16] }
}

fn said(app: &App, maker: &Party, number: usize) -> Vec<u8> {
    maker.introduce(app, &device(1), &format!("Pump {number}"), "0")
}

async fn submit(app: &App, maker: &Party, bodies: Vec<Vec<u8>>) -> Vec<SubmissionResult> {
    app.submit(&maker.domain, bodies).await.expect("a batch").results
}

async fn accepted(app: &App, maker: &Party, bodies: Vec<Vec<u8>>) {
    let results = submit(app, maker, bodies).await;
    assert!(results.iter().all(|it| matches!(it, SubmissionResult::Receipt(_))), "{results:?}");
}

/// A node with a device about which that much is said, and the statements.
async fn node(maker: &Party) -> (App, Vec<Vec<u8>>) {
    let app = maker.open();
    let bodies: Vec<Vec<u8>> = (0..SAID).map(|number| said(&app, maker, number)).collect();
    accepted(&app, maker, [vec![maker.certificate.clone()], bodies.clone()].concat()).await;
    (app, bodies)
}

/// The decision about a body, which is not admitted, and how many entries are read for it.
fn judged(app: &App, maker: &Party, body: Vec<u8>) -> (String, usize) {
    let (hosted, clock) = (app.hosted(&maker.domain).expect("is here"), app.clock().clone());
    let (domain, checked) = (hosted.number, checked(app, maker, body));
    let job = move |tx: &mut WriteTx<'_>| {
        let (known, mut line) = hosted.working_at(tx.size())?;
        let log = Counting::new(tx);
        let judged = judge(&log, known.as_deref(), &header(known.as_deref(), &clock), &checked, &mut line)?;
        hosted.set_working(known, line);
        Ok::<_, StoreError>((told(&judged), log.read.get()))
    };
    tokio::task::block_in_place(|| app.store().write(domain, job).expect("queued").wait()).expect("judged").value
}

/// How many entries are read to admit one more.
fn read_for(app: &App, maker: &Party, number: usize) -> usize {
    let (told, read) = judged(app, maker, said(app, maker, number));
    assert_eq!(told, "admitted as statement");
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_long_record_an_admission_reads_what_is_new() {
    let maker = Party::found("devices.acme.example");
    let (app, _) = node(&maker).await;
    assert_eq!(read_for(&app, &maker, SAID), 1, "the end of the batch");
    assert_eq!(read_for(&app, &maker, SAID), 0, "that is at hand by now");
    accepted(&app, &maker, vec![maker.certificate.clone(), said(&app, &maker, SAID)]).await;
    assert_eq!(read_for(&app, &maker, SAID + 1), 1, "a certificate that is known ends nothing");
    accepted(&app, &maker, vec![maker.renewed(app.clock().now())]).await;
    assert_eq!(read_for(&app, &maker, SAID + 1), SAID + 1, "a new one may say whose they are");
    assert_eq!(read_for(&app, &maker, SAID + 1), 0);
    drop(app);
    let app = maker.open();
    assert_eq!(read_for(&app, &maker, SAID + 1), SAID + 1, "after a start nothing is at hand");
}

/// Anybody can resubmit what is in the log, and send erasures that no owner has signed: no record is read for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_again_and_again_reads_no_record() {
    let maker = Party::found("devices.acme.example");
    let (app, bodies) = node(&maker).await;
    let erasure = |app: &App, by: &Ed25519Signer| {
        let erasure = app.erasure(Reader::Operator, &maker.domain, 3).expect("it can be erased");
        let json = erasure.to_json().expect("JSON");
        sign_descriptor(&[by], &json, app.clock().now(), &SALT).expect("signed")
    };
    let (by_owner, by_stranger) = (erasure(&app, &owner(&maker.domain)), erasure(&app, &maker.signer));
    drop(app);
    let app = maker.open();
    assert_eq!(judged(&app, &maker, bodies[0].clone()), ("it stands at 2".to_owned(), 1));
    let (refused, read) = judged(&app, &maker, by_stranger);
    assert!(refused.starts_with("not-the-owners: "), "{refused}");
    assert_eq!(read, 0);
    let (told, read) = judged(&app, &maker, by_owner.clone());
    assert_eq!(told, "admitted as erasure");
    assert!(read > SAID, "the owners' is judged with the whole record: {read}");
    accepted(&app, &maker, vec![by_owner.clone()]).await;
    let end = 2 + SAID as u64;
    let (told, read) = judged(&app, &maker, by_owner);
    assert_eq!(told, format!("it stands at {end}"));
    assert!(read <= 3, "the same again is known by what it erased: {read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_not_at_hand_any_more() {
    let maker = Party::found("devices.acme.example");
    let (app, bodies) = node(&maker).await;
    let again = bodies[5].clone();
    let results = submit(&app, &maker, vec![again.clone()]).await;
    let [SubmissionResult::Receipt(receipt)] = results.as_slice() else { panic!("it stands there: {results:?}") };
    let erasure = app.erasure(Reader::Operator, &maker.domain, receipt.index).expect("it can be erased");
    let json = erasure.to_json().expect("JSON");
    let erasure = sign_descriptor(&[&owner(&maker.domain)], &json, app.clock().now(), &SALT).expect("signed");
    let results = submit(&app, &maker, vec![again.clone(), erasure, again]).await;
    let [SubmissionResult::Problem(before), SubmissionResult::Receipt(_), SubmissionResult::Problem(after)] =
        results.as_slice()
    else {
        panic!("{results:?}")
    };
    assert_eq!([before.code(), after.code()], ["statement-erased"; 2], "no receipt is left to be given of it");
}

/// As when a certificate is being made while something that was said about the thing is erased. Of short records
/// nothing else is at hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_brings_with_it_does_not_count_if_it_was_erased_meanwhile() {
    let maker = Party::found("devices.acme.example");
    let app = maker.open();
    accepted(&app, &maker, vec![maker.certificate.clone()]).await;
    let bodies: Vec<Vec<u8>> = (0..2).map(|number| said(&app, &maker, number)).collect();
    accepted(&app, &maker, bodies.clone()).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let sight = app.sight(&hosted).expect("can be read");
    let id = IdentityId::Key(device(1).fingerprint());
    let (_, known) = app.resolve(&sight, &id).expect("can be read").expect("is known");
    assert_eq!((known.about.len(), sight.seal.size), (2, 4));
    let again = || {
        let brought = Brought { statements: known.about.clone(), size: sight.seal.size };
        app.append_in_turns(&hosted, vec![incoming(&app, &maker, bodies[0].clone())], None, brought)
    };
    let before = again().await.expect("judged");
    assert!(matches!(before.as_slice(), [Outcome::Present(2)]), "{before:?}");

    let erasure = app.erasure(Reader::Operator, &maker.domain, 2).expect("it can be erased");
    let json = erasure.to_json().expect("JSON");
    let erasure = sign_descriptor(&[&owner(&maker.domain)], &json, app.clock().now(), &SALT).expect("signed");
    accepted(&app, &maker, vec![erasure]).await;
    let after = again().await.expect("judged");
    let [Outcome::Refused(problem)] = after.as_slice() else { panic!("{after:?}") };
    assert_eq!(problem.code(), "statement-erased", "it is not taken for one that still stands");
}

/// There is one writer for all: what is said about the lot of a device is not read there for each of its certificates.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_brings_what_is_said_about_groups_with_it() {
    let maker = Party::found("devices.acme.example");
    let app = maker.open();
    let attributes = [(Attribute::Lot, "0".to_owned())].into();
    let lot = Subject::Group(Group { kind: Kind::Group, name: "lot 0".to_owned(), attributes });
    let recall = Claims { status: Some(word("withdrawn")), ..claims(&maker, Act::Status) };
    let recall = sign_document(&maker.signer, &lot, &recall, app.clock().now(), &SALT).expect("made");
    accepted(&app, &maker, vec![maker.certificate.clone(), said(&app, &maker, 0), recall]).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let sight = app.sight(&hosted).expect("can be read");
    let id = IdentityId::Key(device(1).fingerprint());
    let known = app.resolve_again(&sight, &id, &[]).expect("can be read").expect("is known");
    let brought = app.brought(&sight, &known.1).expect("can be read");
    let indices: Vec<u64> = brought.statements.iter().map(Logged::index).collect();
    assert_eq!((indices, brought.size), (vec![2, 3], 4));

    let (writer, clock, next) =
        (Arc::clone(&hosted), app.clock().clone(), checked(&app, &maker, said(&app, &maker, 1)));
    let job = move |tx: &mut WriteTx<'_>| {
        let (domain, mut line) = writer.working_at(tx.size())?;
        line.begin(tx.size(), brought);
        let log = Counting::new(tx);
        judge(&log, domain.as_deref(), &header(domain.as_deref(), &clock), &next, &mut line)?;
        writer.set_working(domain, line);
        Ok::<_, StoreError>(log.read.get())
    };
    let judged = tokio::task::block_in_place(|| app.store().write(hosted.number, job).expect("queued").wait());
    assert_eq!(judged.expect("judged").value, 0, "nothing is read");
}

/// Much work must not keep others waiting: the rest of a batch becomes another job.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_when_it_has_worked_enough_and_all_are_admitted_in_order() {
    let maker = Party::found("devices.acme.example");
    let (app, bodies) = node(&maker).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let more = |range: core::ops::Range<usize>| {
        range.map(|number| incoming(&app, &maker, said(&app, &maker, number))).collect::<Vec<_>>()
    };
    let (writer, clock, next) = (Arc::clone(&hosted), app.clock().clone(), more(100..103));
    let job = move |tx: &mut WriteTx<'_>| {
        let mut next = next.into_iter();
        let first = append_some(tx, &writer, (&mut next, Brought::default()), &clock, 1)?;
        let left = next.len();
        let rest = append_some(tx, &writer, (&mut next, Brought::default()), &clock, usize::MAX)?;
        Ok::<_, StoreError>([first.len(), left, rest.len()])
    };
    let written = tokio::task::block_in_place(|| app.store().write(hosted.number, job).expect("queued").wait());
    assert_eq!(written.expect("written").value, [1, 2, 2]);

    let known = incoming(&app, &maker, bodies[0].clone());
    let all = [more(200..202), vec![known], more(202..203)].into_iter().flatten().collect();
    let outcomes = tokio::task::block_in_place(|| app.append_in_jobs(&hosted, all, 1)).expect("written");
    let end = 2 + SAID as u64 + 3;
    let places: Vec<u64> = outcomes.iter().map(place).collect();
    assert_eq!(places, [end, end + 1, 2, end + 2], "behind descriptor, certificate and what was said");
}

/// The index of a body.
fn place(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Appended(unproven) => unproven.index,
        Outcome::Present(index) => *index,
        Outcome::Refused(problem) => panic!("{problem:?}"),
    }
}

/// Numbers determined by a seed: a linear congruential generator whose high bits are used (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// Statements of a maker, one after another, about two devices and their lots, chosen by the dice.
struct Story<'a> {
    app: &'a App,
    maker: &'a Party,
    dice: Dice,
    told: Vec<Vec<u8>>,
}

impl Story<'_> {
    fn earlier(&mut self) -> Option<Vec<u8>> {
        let place = self.dice.below(self.told.len().max(1));
        self.told.get(place).cloned()
    }

    fn earlier_id(&mut self) -> Option<StatementId> {
        Some(body::parse(&self.earlier()?).expect("a body").id())
    }

    /// A statement about a device, nearly always the same one.
    fn say(&mut self, act: Act, revokes: bool, change: impl FnOnce(&mut Claims)) -> Vec<u8> {
        let mut said = claims(self.maker, act);
        change(&mut said);
        let (key, user_id) = (device(1 + u8::from(self.dice.below(8) == 0)), format!("Pump {}", self.told.len()));
        let now = self.app.clock().now();
        certify(&self.maker.signer, &key, &user_id, None, Kind::Device, &said, revokes, now, &SALT).expect("made")
    }

    fn introduce(&mut self) -> Vec<u8> {
        let (lot, ended) = (format!("L{}", self.dice.below(3)), self.dice.below(3) == 0);
        let supersedes: Vec<_> = self.earlier_id().filter(|_| ended).into_iter().collect();
        self.say(Act::Identity, false, |said| {
            said.attributes = [(Attribute::Lot, lot)].into();
            said.supersedes = supersedes;
        })
    }

    fn recall(&mut self) -> Vec<u8> {
        let lot = format!("L{}", self.dice.below(3));
        let group = Group { kind: Kind::Group, name: format!("lot {lot}"), attributes: [(Attribute::Lot, lot)].into() };
        let said = Claims { status: Some(word("withdrawn")), ..claims(self.maker, Act::Status) };
        let (signer, now) = (&self.maker.signer, self.app.clock().now());
        sign_document(signer, &Subject::Group(group), &said, now, &SALT).expect("made")
    }

    fn erasure(&mut self) -> Option<Vec<u8>> {
        let index = self.dice.below(self.told.len() + 2) as u64;
        let erasure = self.app.erasure(Reader::Operator, &self.maker.domain, index).ok()?;
        let (json, owner) = (erasure.to_json().expect("JSON"), owner(&self.maker.domain));
        Some(sign_descriptor(&[&owner], &json, self.app.clock().now(), &SALT).expect("signed"))
    }

    fn next(&mut self) -> Vec<u8> {
        let made = match self.dice.below(12) {
            0 | 1 => Some(self.say(Act::Status, true, |said| said.status = Some(word("suspended")))),
            2 => Some(self.say(Act::Status, false, |said| said.status = Some(word("in-use")))),
            3 | 4 => self.earlier_id().map(|id| self.say(Act::Withdrawal, false, |said| said.supersedes = vec![id])),
            5 => Some(self.recall()),
            6 => self.earlier(),
            7 => self.erasure(),
            8 if self.told.len().is_multiple_of(4) => Some(self.maker.renewed(self.app.clock().now())),
            _ => None,
        };
        let made = made.unwrap_or_else(|| self.introduce());
        self.told.push(made.clone());
        made
    }
}

fn told(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Admitted(admission) => format!("admitted as {}", admission.kind.as_str()),
        Judgement::Present(index) => format!("it stands at {index}"),
        Judgement::Refused(problem) => format!("{}: {}", problem.code(), problem.detail),
    }
}

/// The decision about a body, and how many entries are read for it, both with what is at hand and without. Then the
/// body is admitted.
fn decided(app: &App, maker: &Party, body: Vec<u8>) -> [(String, usize); 2] {
    let (hosted, clock) = (app.hosted(&maker.domain).expect("is here"), app.clock().clone());
    let (writer, checked) = (Arc::clone(&hosted), checked(app, maker, body));
    let job = move |tx: &mut WriteTx<'_>| {
        let (known, mut line) = writer.working_at(tx.size())?;
        let header = header(known.as_deref(), &clock);
        let decide = |line: &mut Line| {
            let log = Counting::new(&*tx);
            let judged = judge(&log, known.as_deref(), &header, &checked, line)?;
            Ok::<_, StoreError>((told(&judged), log.read.get()))
        };
        let both = [decide(&mut line)?, decide(&mut Line::default())?];
        writer.set_working(known, line);
        let incoming = vec![Incoming { checked: Ok(checked), source: None, salt: [7; 16] }];
        append_all(tx, &writer, incoming, &clock)?;
        Ok::<_, StoreError>(both)
    };
    let written = tokio::task::block_in_place(|| app.store().write(hosted.number, job).expect("queued").wait());
    app.tell(&hosted);
    written.expect("written").value
}

/// Whatever is said in whatever order, what is kept at hand must not change any decision.
#[tokio::test(flavor = "multi_thread")]
async fn with_what_is_at_hand_it_is_decided_as_from_nothing() {
    for seed in 1..=4 {
        let (maker, app) = Party::opened();
        accepted(&app, &maker, vec![maker.certificate.clone()]).await;
        let mut story = Story { app: &app, maker: &maker, dice: Dice(seed), told: Vec::new() };
        let mut read = [0, 0];
        for step in 0..2 * SAID {
            let body = story.next();
            let [(at_hand, few), (from_nothing, many)] = decided(&app, &maker, body);
            assert_eq!(at_hand, from_nothing, "seed {seed}, step {step}");
            read = [read[0] + few, read[1] + many];
        }
        assert!(read[0] < read[1], "seed {seed}: nothing was at hand: {read:?}");
    }
}

/// What was hidden from a copy and may be read now is judged entry by entry, each given what precedes it.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_stand_there_are_judged_with_what_is_at_hand_as_from_nothing() {
    let maker = Party::found("devices.acme.example");
    let (app, bodies) = node(&maker).await;
    let hosted = app.hosted(&maker.domain).expect("is here");
    let (number, known) = (hosted.number, hosted.domain().expect("it is founded"));
    let checked: Vec<Checked> = bodies.into_iter().map(|body| checked(&app, &maker, body)).collect();
    let job = move |tx: &mut WriteTx<'_>| {
        let (mut line, mut from_nothing) = (Line::default(), 0);
        for (index, checked) in (2..).zip(&checked) {
            let header = Header::decode(&tx.entry(index)?.header).expect("a header");
            let mut then = Domain::clone(&known);
            then.grow_to(index, Timestamp::default());
            let mut nothing = Line::default();
            let judged = told(&judge_earlier(tx, index, &then, &header, checked, &mut line)?);
            let expected = told(&judge_earlier(tx, index, &then, &header, checked, &mut nothing)?);
            assert_eq!((judged.as_str(), expected.as_str()), ("admitted as statement", "admitted as statement"));
            from_nothing += nothing.work();
        }
        Ok::<_, StoreError>((line.work(), from_nothing))
    };
    let written = tokio::task::block_in_place(|| app.store().write(number, job).expect("queued").wait());
    let (at_hand, from_nothing) = written.expect("judged").value;
    assert!(at_hand < from_nothing, "{at_hand}, {from_nothing}");
}
