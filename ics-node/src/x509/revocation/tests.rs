//! What happens to certificates when the owners lift what ended them, or declare its signer compromised.

use ics_core::record::{Listed, Record};
use ics_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Reason, State, because, is_only_of_revoked};
use crate::x509::{AskedBy, TakenBack, asked_for};

const MAKER: &str = "0101010101010101010101010101010101010101";
const KEEPER: &str = "0202020202020202020202020202020202020202";
const ISSUER: &str = "0303030303030303030303030303030303030303";

/// The entry at an index is admitted this many minutes after the hour.
fn time(minute: u64) -> String {
    format!("2026-01-01T00:{minute:02}:00Z")
}

fn at(minute: u64) -> Timestamp {
    Timestamp::parse(&time(minute)).expect("a time")
}

fn by(index: u64, signer: &str, role: &str) -> Value {
    json!({ "signer": signer, "role": role, "statement": format!("{index:064x}"), "index": index })
}

/// Adds further members to a statement.
fn with(mut value: Value, more: Value) -> Value {
    let (Some(value_of), Value::Object(more)) = (value.as_object_mut(), more) else { panic!("objects") };
    value_of.extend(more);
    value
}

fn listed(index: u64, signer: &str, role: &str, more: Value) -> Value {
    let common = json!({
        "entitled_by": { "descriptor": 1 },
        "admitted_at": time(index),
        "signed_at": time(index),
        "standing": "stands",
        "because": "it stands",
    });
    with(with(by(index, signer, role), common), more)
}

/// A certificate whose key is given by its digit.
fn certificate(index: u64, key: char) -> Value {
    let hex = |digit: char| digit.to_string().repeat(64);
    json!({
        "serial": format!("serial:{index:040x}"),
        "spki": format!("spki:{}", hex(key)),
        "certificate": format!("cert:{}", hex('c')),
    })
}

fn issued(index: u64, key: char) -> Value {
    listed(index, ISSUER, "issuer", json!({ "act": "issued", "certificate": certificate(index, key) }))
}

fn blocks(index: u64, (signer, role): (&str, &str), status: &str, more: Value) -> Value {
    let says = json!({ "act": "status", "status": status, "effect": "blocks-for-ever" });
    listed(index, signer, role, with(says, more))
}

/// The owners have lifted it with the entry at this index.
fn lifted(entry: u64) -> Value {
    json!({ "standing": "lifted", "void_since": { "index": entry, "at": time(entry) } })
}

/// The owners have declared its signer compromised with the entry at this index.
fn compromised(entry: u64) -> Value {
    with(lifted(entry), json!({ "standing": "compromised" }))
}

/// Adds a block that held for ever until that entry, and no longer does.
fn formerly(mut record: Record, block: Value, entry: u64) -> Record {
    let over = json!({ "standing": "not-covering", "void_since": { "index": entry, "at": time(entry) } });
    record.formerly_blocked.push(serde_json::from_value(with(block, over)).expect("a statement"));
    record
}

/// The record of a thing with these statements and the certificates that they issue; nothing else blocks it.
fn record(statements: &[Value]) -> Record {
    let given = |it: &Value| json!({ "value": it["certificate"], "by": it });
    let certificates: Vec<Value> = statements.iter().filter(|it| it["act"] == "issued").map(given).collect();
    let status =
        |it: &Value| json!({ "effect": it["effect"], "name": it["status"], "since": it["admitted_at"], "by": it });
    let stands = statements.iter().find(|it| it["act"] == "status" && it["standing"] == "stands");
    let record = json!({
        "domain": "devices.acme.example",
        "id": "38cd1a9dd104847af32f938a3f205349bffad80a",
        "kind": "device",
        "title": "Pump 1",
        "at": "2026-01-01T01:00:00Z",
        "vouched": [by(0, MAKER, "manufacturer")],
        "names": [],
        "attributes": {},
        "approvals": [],
        "labels": [],
        "groups": [],
        "grants": [],
        "installed": [],
        "certificates": certificates,
        "replaces": [],
        "statements": statements,
    });
    let more = stands.map_or_else(|| json!({}), |it| json!({ "status": status(it) }));
    serde_json::from_value(with(record, more)).expect("a record")
}

fn revoked(minute: u64, reason: Reason) -> State {
    State::Revoked { at: at(minute), reason }
}

const BY_MAKER: (&str, &str) = (MAKER, "manufacturer");
const BY_KEEPER: (&str, &str) = (KEEPER, "owner");

#[test]
fn what_was_revoked_for_good_stays_so_when_the_owners_lift_the_block() {
    for (status, reason) in [("destroyed", Reason::CessationOfOperation), ("compromised", Reason::PrivilegeWithdrawn)] {
        let stood = record(&[issued(1, 'a'), blocks(5, BY_MAKER, status, json!({}))]);
        assert_eq!(State::of(&stood, 1), revoked(5, reason), "{status}");
        let after = record(&[issued(1, 'a'), blocks(5, BY_MAKER, status, lifted(8)), issued(9, 'b')]);
        assert_eq!(State::of(&after, 1), revoked(5, reason), "{status}, lifted");
        assert_eq!(because(&after, 1).map(|listed: &Listed| listed.by.index), Some(5), "{status}");
        assert_eq!(State::of(&after, 9), State::Good, "{status}: it was issued after that");
        assert!(because(&after, 9).is_none(), "{status}");
    }
}

#[test]
fn what_was_revoked_for_good_stays_so_when_the_signer_of_the_block_is_found_compromised() {
    for (status, reason) in [("destroyed", Reason::CessationOfOperation), ("compromised", Reason::PrivilegeWithdrawn)] {
        let after = record(&[issued(1, 'a'), blocks(5, BY_MAKER, status, compromised(8)), issued(9, 'b')]);
        assert_eq!(State::of(&after, 1), revoked(5, reason), "{status}");
        assert_eq!(State::of(&after, 9), State::Good, "{status}: it was issued after that");
    }
    let never = record(&[issued(1, 'a'), blocks(5, BY_MAKER, "destroyed", compromised(3))]);
    assert_eq!(State::of(&never, 1), State::Good, "it was known before that the signer is compromised");
}

#[test]
fn a_certificate_that_was_taken_back_or_replaced_stays_so_whatever_becomes_of_that() {
    let of_first = || json!({ "supersedes": [format!("{:064x}", 1)] });
    let ends = |act: Value, more: Value| listed(5, ISSUER, "issuer", with(with(of_first(), act), more));
    let withdrawal = |more: Value| ends(json!({ "act": "withdrawal" }), more);
    let replacement = |more: Value| ends(json!({ "act": "issued", "certificate": certificate(5, 'b') }), more);
    for more in [json!({}), lifted(8), compromised(8)] {
        let state = State::of(&record(&[issued(1, 'a'), withdrawal(more.clone())]), 1);
        assert_eq!(state, revoked(5, Reason::Unspecified), "{more}");
    }
    let lapsed = json!({ "standing": "lapsed", "until": time(7) });
    for more in [lifted(8), compromised(8), lapsed, json!({ "standing": "withdrawn" })] {
        let state = State::of(&record(&[issued(1, 'a'), replacement(more.clone())]), 1);
        assert_eq!(state, revoked(5, Reason::Superseded), "{more}");
    }
    let later = with(lifted(8), json!({ "from": time(30) }));
    assert_eq!(State::of(&record(&[issued(1, 'a'), replacement(later)]), 1), State::Good, "it was to begin later");
}

#[test]
fn two_who_said_that_a_key_is_compromised_said_so_also_when_one_of_them_or_both_are_lifted() {
    let says = |index, by, more| blocks(index, by, "compromised", more);
    let both = [issued(1, 'a'), says(5, BY_MAKER, json!({})), says(6, BY_KEEPER, json!({}))];
    let one = [issued(1, 'a'), says(5, BY_MAKER, lifted(8)), says(6, BY_KEEPER, json!({}))];
    let none = [issued(1, 'a'), says(5, BY_MAKER, lifted(8)), says(6, BY_KEEPER, lifted(8))];
    let thief = [issued(1, 'a'), says(5, BY_MAKER, compromised(8)), says(6, BY_KEEPER, json!({}))];
    for statements in [both, one, none, thief] {
        assert_eq!(State::of(&record(&statements), 1), revoked(5, Reason::KeyCompromise));
    }
    let between = [says(5, BY_MAKER, lifted(8)), issued(9, 'b'), says(10, BY_KEEPER, json!({}))];
    assert_eq!(State::of(&record(&between), 9), revoked(10, Reason::PrivilegeWithdrawn), "of it only one said so");
}

/// The lost key of a scrapped thing turns up.
#[test]
fn what_was_destroyed_is_compromised_once_two_roles_say_so_and_was_revoked_before() {
    let destroyed = blocks(5, BY_MAKER, "destroyed", json!({}));
    let says = |index, by| blocks(index, by, "compromised", json!({}));
    let one = record(&[issued(1, 'a'), destroyed.clone(), says(6, BY_MAKER)]);
    assert_eq!(State::of(&one, 1), revoked(5, Reason::CessationOfOperation));
    let two = record(&[issued(1, 'a'), destroyed, says(6, BY_MAKER), says(7, BY_KEEPER)]);
    assert_eq!(State::of(&two, 1), revoked(5, Reason::KeyCompromise), "since then it signs nothing that counts");
    assert_eq!(because(&two, 1).map(|listed| listed.by.index), Some(6), "that says why");
}

#[test]
fn what_a_lifted_block_never_did_it_does_not_do_later() {
    let state = |block: Value| State::of(&record(&[issued(1, 'a'), block]), 1);
    let destroyed = |more| blocks(5, BY_MAKER, "destroyed", with(lifted(8), more));
    let group = json!({ "group": format!("sha256:{}", "ab".repeat(32)) });
    assert_eq!(state(destroyed(group.clone())), revoked(5, Reason::CessationOfOperation));
    assert_eq!(state(with(destroyed(group), json!({ "entitled_by": null }))), State::Good, "a role is missing");
    assert_eq!(state(destroyed(json!({ "from": time(30) }))), State::Good, "it was to begin later");
    let begun = State::Revoked { at: at(7), reason: Reason::CessationOfOperation };
    assert_eq!(state(destroyed(json!({ "from": time(7) }))), begun, "it had begun before it was lifted");
    let hold = json!({ "effect": "blocks", "status": "suspended" });
    assert_eq!(state(destroyed(hold)), State::Good, "a hold ends");
}

/// For example, it has left its lot.
#[test]
fn what_was_revoked_for_good_stays_so_when_the_block_holds_for_the_thing_no_more() {
    let group = json!({ "group": format!("sha256:{}", "ab".repeat(32)), "entitled_by": null });
    let block = |status| blocks(5, BY_MAKER, status, group.clone());
    let now = || record(&[issued(1, 'a'), issued(9, 'b')]);
    let after = formerly(now(), block("destroyed"), 8);
    assert_eq!(State::of(&after, 1), revoked(5, Reason::CessationOfOperation));
    assert_eq!(because(&after, 1).map(|listed| listed.by.index), Some(5));
    assert_eq!(State::of(&after, 9), State::Good, "it was issued after that");
    let another = blocks(6, BY_KEEPER, "compromised", json!({}));
    let both = formerly(record(&[issued(1, 'a'), another]), block("compromised"), 8);
    assert_eq!(State::of(&both, 1), revoked(5, Reason::KeyCompromise), "two have said so");
}

/// The index is then that of the erasure.
#[test]
fn erasing_what_was_lifted_changes_nothing() {
    let left = |entry| with(lifted(entry), json!({ "erased": true }));
    let later = [issued(1, 'a'), issued(9, 'b'), blocks(20, BY_MAKER, "destroyed", left(8))];
    assert_eq!(State::of(&record(&later), 1), revoked(20, Reason::CessationOfOperation));
    assert_eq!(State::of(&record(&later), 9), State::Good);
    let before = [issued(1, 'a'), blocks(6, BY_MAKER, "destroyed", left(8)), issued(9, 'b')];
    assert_eq!(State::of(&record(&before), 1), revoked(6, Reason::CessationOfOperation));
    assert_eq!(State::of(&record(&before), 9), State::Good);
    let since = |minute| with(left(8), json!({ "from": time(minute) }));
    let erased_late =
        |minute| State::of(&record(&[issued(1, 'a'), blocks(40, BY_MAKER, "destroyed", since(minute))]), 1);
    assert_eq!(erased_late(5), revoked(5, Reason::CessationOfOperation), "as before it was erased");
    assert_eq!(erased_late(30), State::Good, "it was to begin later");
}

/// A verifier that compares signing times with the time of revocation must not trust more after an erasure.
#[test]
fn erasing_what_blocks_for_ever_revokes_no_later() {
    let erased = json!({ "erased": true, "from": time(5) });
    let after = record(&[issued(1, 'a'), blocks(20, BY_MAKER, "destroyed", erased)]);
    assert_eq!(State::of(&after, 1), revoked(5, Reason::CessationOfOperation));
    let to_begin = record(&[issued(1, 'a'), blocks(4, BY_MAKER, "destroyed", json!({ "from": time(2) }))]);
    assert_eq!(State::of(&to_begin, 1), revoked(4, Reason::CessationOfOperation), "not before it is admitted");
}

#[test]
fn it_is_revoked_since_the_first_of_what_blocks_for_ever_began() {
    let planned = blocks(4, BY_MAKER, "destroyed", json!({ "from": time(30) }));
    let both = record(&[issued(1, 'a'), planned, blocks(6, BY_KEEPER, "destroyed", json!({}))]);
    assert_eq!(State::of(&both, 1), revoked(6, Reason::CessationOfOperation), "the one before it began later");
    let left = blocks(20, BY_KEEPER, "destroyed", json!({ "erased": true, "from": time(5) }));
    let erased = record(&[issued(1, 'a'), blocks(6, BY_KEEPER, "compromised", json!({})), left]);
    assert_eq!(State::of(&erased, 1), revoked(5, Reason::CessationOfOperation), "as before it was erased");
}

/// What is left of the statement was signed by the owner who erased it.
#[test]
fn erasing_what_one_of_two_said_of_a_key_changes_nothing() {
    let says = |index, by, more| blocks(index, by, "compromised", more);
    let said_by = |signer: &str| json!({ "signer": signer, "index": 5 });
    let left = || says(20, BY_KEEPER, json!({ "erased": true, "from": time(5), "said_by": said_by(MAKER) }));
    let state = |other: Value| State::of(&record(&[issued(1, 'a'), other, left()]), 1);
    assert_eq!(state(says(6, BY_KEEPER, json!({}))), revoked(5, Reason::KeyCompromise), "the owner says so");
    assert_eq!(state(says(6, BY_MAKER, json!({}))), revoked(5, Reason::PrivilegeWithdrawn), "one had said so twice");
}

#[test]
fn a_key_of_revoked_certificates_alone_shows_nothing() {
    let destroyed = || blocks(5, BY_MAKER, "destroyed", lifted(8));
    let shows = |statements: &[Value]| {
        let record = record(statements);
        let key = record.certificates.first().expect("a certificate").value.spki.clone();
        !is_only_of_revoked(&record, &key)
    };
    assert!(shows(&[issued(1, 'a')]));
    assert!(!shows(&[issued(1, 'a'), destroyed(), issued(9, 'b')]));
    assert!(shows(&[issued(1, 'a'), destroyed(), issued(9, 'a')]), "it has another one");
}

/// For example, a production line: otherwise, revoking one certificate would bar the thing from all certificates.
#[test]
fn a_signer_who_may_set_no_status_bars_only_the_key() {
    let signer = KEEPER.parse().expect("a fingerprint");
    for (by, bars) in [
        (AskedBy::Names, false),
        (AskedBy::Registrar, false),
        (AskedBy::Requester(signer), false),
        (AskedBy::StatusSetter(signer), true),
    ] {
        let (first, end) = (format!("{:064x}", 1), format!("{:064x}", 3));
        let ended = with(issued(1, 'a'), json!({ "standing": "withdrawn", "ended_by": end }));
        let reason = asked_for(Reason::Superseded, by);
        let withdrawal = json!({ "act": "withdrawal", "supersedes": [first], "reason": reason });
        let record = record(&[ended, listed(3, ISSUER, "issuer", withdrawal)]);
        let ends: Vec<_> = TakenBack::all(&record).map(|end| (end.stands(&record), end.bars_thing(&record))).collect();
        assert_eq!(ends, [(true, bars)], "{by:?}");
        assert_eq!(State::of(&record, 1), revoked(3, Reason::Superseded), "{by:?}");
    }
}

/// After a clock was ahead, the log's time stands still until that time has come; its order does not.
#[test]
fn a_newer_status_lifts_what_was_taken_back_at_the_same_time() {
    let same = |index| json!({ "admitted_at": time(1), "signed_at": time(index) });
    let permits = |index| {
        let says = json!({ "act": "status", "status": "in-use", "effect": "permits" });
        listed(index, KEEPER, "owner", with(says, same(index)))
    };
    let by = AskedBy::StatusSetter(KEEPER.parse().expect("a fingerprint"));
    let reason = asked_for(Reason::PrivilegeWithdrawn, by);
    let (first, end) = (format!("{:064x}", 1), format!("{:064x}", 3));
    let withdrawal = json!({ "act": "withdrawal", "supersedes": [first], "reason": reason });
    let ended = with(issued(1, 'a'), json!({ "standing": "withdrawn", "ended_by": end }));
    let all = [
        with(ended, same(1)),
        permits(2),
        listed(3, ISSUER, "issuer", with(withdrawal, same(3))),
        with(issued(4, 'a'), same(4)),
        permits(5),
        with(issued(6, 'a'), same(6)),
    ];
    let bars = |statements: &[Value]| {
        let record = record(statements);
        TakenBack::all(&record).map(|end| end.stands(&record)).collect::<Vec<_>>()
    };
    assert_eq!(bars(&all[..4]), [true], "what was said before lifts nothing");
    assert_eq!(bars(&all), [false]);
    let after = record(&all);
    let hold = State::Revoked { at: at(1), reason: Reason::CertificateHold };
    assert_eq!(State::of(&record(&all[..4]), 4), hold, "it was under way at once");
    assert_eq!((State::of(&after, 4), State::of(&after, 6)), (State::Good, State::Good));
}
