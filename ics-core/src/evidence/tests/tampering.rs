//! Each way to change evidence, and why it is refused.

use ed25519_dalek::SigningKey;

use super::story::{BUYER, DEVICE, MAKER, OTHER, OTHER_INDEX, evidence, introduce, maker_world, world};
use super::world::{World, certificate, fingerprint};
use crate::descriptor::{DescriptorError, FieldError, Problem, Template};
use crate::evidence::{EntryFault, Evidence, EvidenceRefusal, VERSION, verify};
use crate::identity::{IdentityError, IdentityId};
use crate::limits;
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::entry::Header;
use crate::log::merkle::ProofError;
use crate::log::note::NoteError;
use crate::log::receipt::EvidenceError;
use crate::openpgp::reader::WireError;
use crate::samples::{time, word};
use crate::statement::BodyError;

/// Evidence of the story, changed.
pub(super) struct Tampered {
    pub(super) what: &'static str,
    pub(super) evidence: Evidence,
    pub(super) why: EvidenceRefusal,
}

/// Changed evidence that must be refused, whether or not the domain is pinned.
pub(super) fn table() -> Vec<Tampered> {
    let world = world();
    [in_itself(&world), in_an_entry(&world), in_the_proofs(&world), in_the_head(&world)].into_iter().flatten().collect()
}

fn tampered(world: &World, what: &'static str, why: EvidenceRefusal, change: impl FnOnce(&mut Evidence)) -> Tampered {
    let mut evidence = evidence(world);
    change(&mut evidence);
    Tampered { what, evidence, why }
}

fn unproven(index: u64, error: EvidenceError) -> EvidenceRefusal {
    EntryFault::Unproven(error).at(index)
}

fn in_itself(world: &World) -> Vec<Tampered> {
    let new = |what, why, change: &dyn Fn(&mut Evidence)| tampered(world, what, why, change);
    let id = |of| IdentityId::Key(fingerprint(of)).to_string();
    let domain = EvidenceRefusal::Domain { said: word("plant.example"), found: world.origin().domain };
    let skipped = Problem::Version { version: 3, previous: 1 };
    let skipped = DescriptorError::Field(FieldError { field: "version".to_owned(), problem: skipped });
    let below = DescriptorError::BelowThreshold { signed: 1, threshold: 2, version: 2 };
    vec![
        new("another version of the format", EvidenceRefusal::Version(VERSION + 1), &|it| it.version += 1),
        new("no id", IdentityError::Fingerprint("pump".to_owned()).into(), &|it| "pump".clone_into(&mut it.id)),
        new("the id of another device", EvidenceRefusal::Nothing(id(OTHER)), &|it| it.id = id(OTHER)),
        new("the name of another domain", domain, &|it| it.domain = word("plant.example")),
        new("no entries", EvidenceRefusal::NoEntry0, &|it| it.entries.clear()),
        new("entry 0 left out", EvidenceRefusal::NoEntry0, &|it| drop(it.entries.remove(0))),
        new("two entries in the wrong order", EvidenceRefusal::Order { index: 2, after: 4 }, &|it| {
            it.entries.swap(2, 3)
        }),
        new("an entry twice", EvidenceRefusal::Order { index: 2, after: 2 }, &|it| {
            let again = it.entries[2].clone();
            it.entries.insert(2, again);
        }),
        new("a statement about another device", EntryFault::Stranger(id(OTHER)).at(OTHER_INDEX), &|it| {
            it.entries.insert(3, world.proven(OTHER_INDEX));
        }),
        new("a certificate left out", EntryFault::UnknownSigner(fingerprint(BUYER)).at(7), &|it| {
            it.entries.retain(|entry| entry.receipt.index != 6);
        }),
        new("a descriptor left out", EntryFault::from(skipped).at(13), &|it| {
            it.entries.retain(|entry| entry.receipt.index != 8);
        }),
        new("a descriptor that one owner has signed", EntryFault::from(below).at(13), &|it| {
            it.at(13).body = world.signed(&[1]);
        }),
    ]
}

fn in_an_entry(world: &World) -> Vec<Tampered> {
    let new = |what, fault: EntryFault, change: &dyn Fn(&mut Evidence)| tampered(world, what, fault.at(2), change);
    let body = |index: usize| world.entries[index].body.clone();
    let ids = EntryFault::Id { said: world.receipt(2).id, found: world.receipt(7).id };
    let kind = |said: &str| EntryFault::Kind { said: said.to_owned(), found: "statement" };
    let unproven = EntryFault::Unproven;
    let other_header = |kind, admitted_at| Header { kind, admitted_at, source: None }.encode().unwrap();
    let kinds = |index: usize| world.entries[index].header().unwrap().kind;
    vec![
        new("the body of another entry", ids, &|it| it.at(2).body = body(7)),
        new("the body of another entry, and its id", unproven(EvidenceError::Leaf), &|it| {
            it.at(2).body = body(7);
            it.at(2).receipt.id = world.receipt(7).id;
        }),
        new("the body of another entry, and all that follows", unproven(ProofError::Root.into()), &|it| {
            it.at(2).body = body(7);
            it.at(2).refit();
        }),
        new("a body that is cut off", BodyError::Wire(WireError::Truncated).into(), &|it| it.at(2).body.truncate(300)),
        new("another kind", kind("document"), &|it| "document".clone_into(&mut it.at(2).kind)),
        new("another kind in the header", kind("certificate"), &|it| {
            it.at(2).receipt.header = other_header(kinds(1), time(2));
            it.at(2).refit();
        }),
        new("another time", EntryFault::AdmittedAt { said: time(1), found: time(2) }, &|it| {
            it.at(2).admitted_at = time(1);
        }),
        new("another time in the header", unproven(ProofError::Root.into()), &|it| {
            it.at(2).admitted_at = time(1);
            it.at(2).receipt.header = other_header(kinds(2), time(1));
            it.at(2).refit();
        }),
        new("another checkpoint in a receipt", EntryFault::OtherCheckpoint, &|it| {
            it.at(2).receipt.checkpoint = world.signed_head(&world.home);
        }),
    ]
}

fn in_the_proofs(world: &World) -> Vec<Tampered> {
    let new = |what, error, change: &dyn Fn(&mut Evidence)| tampered(world, what, unproven(2, error), change);
    let elsewhere = || {
        let mut origin = world.origin();
        origin.entry0 = [7; 32];
        origin
    };
    let origin = EvidenceError::Origin { expected: elsewhere().to_string(), found: world.origin().to_string() };
    let moved = tampered(world, "another index", unproven(3, ProofError::Root.into()), |it| it.at(2).receipt.index = 3);
    vec![
        moved,
        new("another salt", EvidenceError::Leaf, &|it| it.at(2).receipt.salt[0] ^= 1),
        new("another leaf", EvidenceError::Leaf, &|it| it.at(2).receipt.leaf[0] ^= 1),
        new("another hash in a proof", ProofError::Root.into(), &|it| it.at(2).receipt.proof[0].0[0] ^= 1),
        new("a proof that is too short", ProofError::Length(3).into(), &|it| it.at(2).receipt.proof.truncate(3)),
        new("a receipt of another domain", origin, &|it| it.at(2).receipt.origin = elsewhere()),
    ]
}

fn in_the_head(world: &World) -> Vec<Tampered> {
    let new = |what, why, note: &str| {
        let evidence = evidence(world).under(note);
        Tampered { what, evidence, why }
    };
    let origin = world.origin().to_string();
    let forger = SigningKey::from_bytes(&[77; 32]);
    let refused = |error| EvidenceRefusal::Checkpoint(CheckpointError::Note(error));
    let head = Checkpoint::open(&world.checkpoint(), &world.origin().key(&world.home_key()).unwrap()).unwrap();
    let larger = Checkpoint { size: 40, ..head.clone() }.sign(&world.home).unwrap();
    let mut other = maker_world();
    other.append(certificate(BUYER));
    let other_root = Checkpoint { root: other.root(), ..head }.sign(&world.home).unwrap();
    let changed = world.checkpoint().replacen("\n15\n", "\n14\n", 1);
    let foreign =
        CheckpointError::OtherOrigin { expected: origin.clone(), found: foreign_world().origin().to_string() };
    vec![
        new("a checkpoint by another key", refused(NoteError::Unsigned(origin.clone())), &world.signed_head(&forger)),
        new("a checkpoint with another size", refused(NoteError::BadSignature(origin)), &changed),
        new("a checkpoint of another domain", foreign.into(), &foreign_world().checkpoint()),
        new("a signed checkpoint with another root", unproven(0, ProofError::Root.into()), &other_root),
        new("a signed checkpoint of another size", unproven(0, ProofError::Length(4).into()), &larger),
        new("no checkpoint", refused(NoteError::Form("no empty line divides text and signatures")), "15 entries\n"),
    ]
}

fn foreign_world() -> World {
    World::found("devices.acme.example", 41, Template::Manufacturer, &[], |_| {})
}

#[test]
fn every_change_is_refused_for_what_it_is() {
    let world = world();
    for Tampered { what, evidence, why } in table() {
        assert_eq!(verify(&evidence, None, time(1500)), Err(why.clone()), "{what}");
        assert_eq!(verify(&evidence, Some(&world.origin()), time(1500)), Err(why), "{what}, pinned");
    }
}

#[test]
fn a_domain_of_the_same_name_is_another_domain() {
    let (ours, mut theirs) = (world(), foreign_world());
    theirs.append(certificate(OTHER));
    let refused = verify(&theirs.evidence(DEVICE, &[]), Some(&ours.origin()), time(1500));
    assert_eq!(refused, Err(EvidenceRefusal::Pin { expected: ours.origin(), found: theirs.origin() }));
}

/// After a certificate, for which nobody asks when it was admitted.
#[test]
fn time_that_goes_back_is_refused_whatever_the_entry_is() {
    let logged = |at: u64| {
        let mut world = maker_world();
        world.append_at(time(2), None, certificate(MAKER));
        world.append_at(time(at), None, certificate(BUYER));
        introduce(&mut world, DEVICE);
        verify(&world.evidence(DEVICE, &[]), None, time(1500)).map(drop)
    };
    assert_eq!(logged(2), Ok(()), "one time for two entries");
    let back = EntryFault::TimeGoesBack { admitted_at: time(1), last: time(2) };
    assert_eq!(logged(1), Err(back.at(2)));
}

#[test]
fn more_than_the_bounds_is_not_read() {
    let whole = evidence(&world());
    let verified = |evidence: &Evidence| verify(evidence, None, time(1500)).map(drop);
    let mut many = whole.clone();
    many.entries = vec![whole.entries[2].clone(); limits::EVIDENCE_ENTRIES];
    assert_eq!(verified(&many), Err(EvidenceRefusal::NoEntry0));
    many.entries.push(whole.entries[2].clone());
    assert_eq!(verified(&many), Err(EvidenceRefusal::Entries(limits::EVIDENCE_ENTRIES + 1)));
    let mut long = whole.clone();
    long.at(2).body = vec![0; limits::EVIDENCE_BYTES - (whole.bytes() - whole.entries[2].body.len())];
    assert!(matches!(verified(&long), Err(EvidenceRefusal::Entry { index: 2, .. })));
    long.at(2).body.push(0);
    assert_eq!(verified(&long), Err(EvidenceRefusal::TooLong(limits::EVIDENCE_BYTES + 1)));
    let spaces = vec![b' '; limits::EVIDENCE_BYTES + 1];
    assert_eq!(Evidence::parse(&spaces), Err(EvidenceRefusal::TooLong(limits::EVIDENCE_BYTES + 1)));
}

#[test]
fn other_json_is_refused_by_the_name_of_its_field() {
    let json = serde_json::to_string(&evidence(&world())).unwrap();
    assert_eq!(Evidence::parse(json.as_bytes()), Ok(evidence(&world())));
    for (from, to, named) in [
        (r#""version":1"#, r#""version":"1""#, "version: "),
        (r#""version":1"#, r#""version":1,"note":"""#, "unknown field `note`"),
        (r#""version":1,"#, "", "missing field `version`"),
        (r#""kind":"descriptor""#, r#""kind":"descriptor","salt":"""#, "entries[0]"),
        (r#""index":0"#, r#""index":-1"#, "entries[0].receipt.index: "),
        (r#""body":""#, r#""body":"*"#, "entries[0].body: not base64"),
        (r#""salt":""#, r#""salt":"AAAA"#, "entries[0].receipt.salt: "),
    ] {
        assert!(json.contains(from), "{from}");
        match Evidence::parse(json.replacen(from, to, 1).as_bytes()) {
            Err(EvidenceRefusal::Json(why)) => assert!(why.contains(named), "{why}"),
            other => panic!("{to}: {other:?}"),
        }
    }
    for more in ["{}", "1", "x"] {
        assert!(matches!(Evidence::parse(format!("{json}{more}").as_bytes()), Err(EvidenceRefusal::Json(_))));
    }
}
