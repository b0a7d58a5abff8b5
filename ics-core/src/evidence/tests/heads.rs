//! What a home attests by its record head, and each way to turn that into less or something else.

use ed25519_dalek::SigningKey;

use super::story::{CONTROLLER, DEVICE, OTHER, evidence, status, world};
use super::world::{World, fingerprint};
use crate::evidence::{Evidence, EvidenceRefusal, attested, verify};
use crate::identity::excerpt;
use crate::log::cosignature::cosign;
use crate::log::note::NoteError;
use crate::log::record_head::{Finding, HeadReader, RecordHead, RecordHeadError};
use crate::samples::time;
use crate::time::Timestamp;

pub(super) const NAME: &str = "serial:SN-101";
pub(super) const READER: HeadReader = Some([7; 32]);

fn id() -> String {
    fingerprint(DEVICE).to_string()
}

/// What the home signs about complete evidence.
fn head(world: &World, evidence: &Evidence, asked: &str) -> RecordHead {
    RecordHead {
        origin: world.origin(),
        asked: asked.to_owned(),
        finding: Finding::Identity(evidence.id.clone()),
        at: time(1100),
        size: world.tree.size(),
        root: world.root(),
        indices: evidence.entries.iter().map(|entry| entry.receipt.index).collect(),
    }
}

/// The evidence of the story, as its home answers a question for a name.
pub(super) fn answer(world: &World) -> Evidence {
    let evidence = evidence(world);
    let head = head(world, &evidence, NAME).sign(&world.home).unwrap();
    Evidence { head: Some(head), ..evidence }
}

/// The home's answer to a reader who may read nothing.
fn nothing(world: &World, to: HeadReader) -> Evidence {
    let mut evidence = evidence(world);
    evidence.entries.retain(|entry| entry.kind == "descriptor");
    evidence.id = NAME.to_owned();
    let head = RecordHead { finding: Finding::Nothing(to), ..head(world, &evidence, NAME) };
    Evidence { head: Some(head.sign(&world.home).unwrap()), ..evidence }
}

fn asked(world: &World, evidence: &Evidence, now: Timestamp) -> Result<crate::evidence::Attested, EvidenceRefusal> {
    attested(evidence, &world.origin(), NAME, READER, now)
}

#[test]
fn what_the_home_attests_is_what_its_evidence_proves() {
    let world = world();
    let whole = answer(&world);
    let found = asked(&world, &whole, time(1500)).unwrap();
    let verified = verify(&whole, Some(&world.origin()), time(1500)).unwrap();
    assert!(verified.complete && !verify(&evidence(&world), None, time(1500)).unwrap().complete);
    assert_eq!(found.testimony.record.as_ref(), Some(&verified.record));
    assert_eq!(found.testimony.as_of, time(1100), "the record head is newer than the cosignature");
    assert_eq!((found.testimony.size, found.domain.descriptor().version), (15, 3));
    let old = RecordHead { at: time(900), ..head(&world, &whole, NAME) }.sign(&world.home).unwrap();
    let old = asked(&world, &Evidence { head: Some(old), ..whole }, time(1500)).unwrap();
    assert_eq!(old.testimony.as_of, time(1000), "the cosignature is newer than the record head");
}

#[test]
fn that_there_is_nothing_is_said_to_one_reader() {
    let world = world();
    let found = asked(&world, &nothing(&world, READER), time(1500)).unwrap();
    assert_eq!((found.testimony.as_of, found.testimony.size), (time(1100), 15));
    assert!(found.testimony.record.is_none());
    for other in [None, Some([8; 32])] {
        let refused = asked(&world, &nothing(&world, other), time(1500)).map(drop);
        assert_eq!(refused, Err(EvidenceRefusal::OtherReader), "{other:?}");
    }
    let open = attested(&nothing(&world, None), &world.origin(), NAME, None, time(1500));
    assert_eq!(open.map(|found| found.testimony.record), Ok(None));
}

pub(super) type Lie = (&'static str, EvidenceRefusal, Evidence);

pub(super) fn lies(world: &World) -> Vec<Lie> {
    let whole = answer(world);
    let new = |what, why, change: &dyn Fn(&mut Evidence)| {
        let mut evidence = whole.clone();
        change(&mut evidence);
        (what, why, evidence)
    };
    let without = |index: u64| move |it: &mut Evidence| it.entries.retain(|entry| entry.receipt.index != index);
    let signed = |change: &dyn Fn(&mut RecordHead)| {
        let mut head = head(world, &whole, NAME);
        change(&mut head);
        Some(head.sign(&world.home).unwrap())
    };
    let refused = |error: NoteError| EvidenceRefusal::RecordHead(RecordHeadError::Note(error));
    let by_another = head(world, &whole, NAME).sign(&SigningKey::from_bytes(&[77; 32])).unwrap();
    let other = |asked: &str| EvidenceRefusal::OtherQuestion { expected: NAME.to_owned(), found: asked.to_owned() };
    let of_other = EvidenceRefusal::HeadOf { said: id(), found: fingerprint(OTHER).to_string() };
    let smaller = EvidenceRefusal::OtherHead { expected: 15, found: 14 };
    vec![
        new("no record head", EvidenceRefusal::NoRecordHead, &|it| it.head = None),
        new("a status that blocks is left out", EvidenceRefusal::LeftOut(10), &without(10)),
        new("the last entry is left out", EvidenceRefusal::LeftOut(13), &without(13)),
        new("an entry that the home does not name", EvidenceRefusal::NotInHead(12), &|it| {
            it.head = signed(&|head| head.indices.retain(|index| *index != 12));
        }),
        new("a record head by another key", refused(NoteError::Unsigned(world.origin().to_string())), &|it| {
            it.head = Some(by_another.clone());
        }),
        new("a changed record head", refused(NoteError::BadSignature(world.origin().to_string())), &|it| {
            it.head = it.head.as_ref().map(|head| head.replacen("\n10\n", "\n", 1));
        }),
        new(
            "a checkpoint in the place of a record head",
            RecordHeadError::Line(excerpt(&world.origin().to_string())).into(),
            &|it| {
                it.head = Some(it.checkpoint.clone());
            },
        ),
        new("a record head of an earlier size", smaller, &|it| it.head = signed(&|head| head.size = 14)),
        new("a record head of another root", EvidenceRefusal::OtherHead { expected: 15, found: 15 }, &|it| {
            it.head = signed(&|head| head.root.0[0] ^= 1);
        }),
        new("the record head of another thing", of_other, &|it| {
            it.head = signed(&|head| head.finding = Finding::Identity(fingerprint(OTHER).to_string()));
        }),
        new("an answer to another question", other("serial:SN-9"), &|it| {
            it.head = signed(&|head| "serial:SN-9".clone_into(&mut head.asked));
        }),
    ]
}

#[test]
fn less_than_the_home_attests_is_refused_for_what_it_is() {
    let world = world();
    for (what, why, evidence) in lies(&world) {
        assert_eq!(asked(&world, &evidence, time(1500)).map(drop), Err(why), "{what}");
    }
    let elsewhere = World::found("devices.acme.example", 41, crate::descriptor::Template::Manufacturer, &[], |_| {});
    let pinned = attested(&answer(&world), &elsewhere.origin(), NAME, READER, time(1500)).map(drop);
    assert_eq!(pinned, Err(EvidenceRefusal::Pin { expected: elsewhere.origin(), found: world.origin() }));
}

/// Even if the home itself states that a thing has a name, the record must confirm it.
#[test]
fn a_name_that_nobody_gave_is_refused() {
    let world = world();
    let whole = evidence(&world);
    let head = head(&world, &whole, "serial:SN-102").sign(&world.home).unwrap();
    let refused = attested(&Evidence { head: Some(head), ..whole }, &world.origin(), "serial:SN-102", None, time(1500));
    assert_eq!(refused.map(drop), Err(EvidenceRefusal::NotNamed("serial:SN-102".to_owned())));
}

/// An old head is complete as of its time; what came after is not in it, which its time shows.
#[test]
fn an_old_answer_has_an_old_time() {
    let mut world = world();
    let old = answer(&world);
    let blocking = status(&mut world, CONTROLLER, "security-controller", "suspended", &[]);
    let (before, after) = (asked(&world, &old, time(9000)).unwrap(), answer_of_now(&world));
    assert_eq!((before.testimony.as_of, before.testimony.size), (time(1100), blocking));
    let steps = |found: &crate::evidence::Attested| found.testimony.record.as_ref().map(|it| it.statements.len());
    assert_eq!((steps(&after), after.testimony.size), (steps(&before).map(|it| it + 1), blocking + 1));
    // The new checkpoint does not make the old head new.
    let refreshed = cosign(&world.signed_head(&world.home), &world.node.name, &world.home, time(8000)).unwrap();
    let mixed = Evidence { head: old.head.clone(), ..evidence(&world) }.under(&refreshed);
    let refused = asked(&world, &mixed, time(9000)).map(drop);
    assert_eq!(refused, Err(EvidenceRefusal::OtherHead { expected: blocking + 1, found: blocking }));
}

fn answer_of_now(world: &World) -> crate::evidence::Attested {
    asked(world, &answer(world), time(1500)).unwrap()
}
