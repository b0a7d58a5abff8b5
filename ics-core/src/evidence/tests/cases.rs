//! Verdicts with real proofs and signatures, and what happens to them when anything is changed.

use super::story::{BUYER, DEVICE, MAKER, evidence, introduce, maker_world, sell, status, world};
use super::world::{World, certificate, fingerprint, lot};
use super::{adopted, erasures};
use crate::checker::mutants::{mutants, premises};
use crate::checker::{Case, Exhibit, Rejection, Shown, VERSION, check};
use crate::descriptor::Freshness;
use crate::evidence::{Evidence, verify};
use crate::log::checkpoint::Origin;
use crate::samples::time;
use crate::time::Timestamp;
use crate::trust::{Looked, Outcome, Question, Reason, Rule, Testimony, TrustDocument, TrustPolicy, Verdict, verdict};
use crate::vocabulary::Act;

const RULES: &str = r#"
@id("operate") permit (principal, action == Action::"operate", resource)
when { principal.vouching_roles.contains("manufacturer") && principal.effect == Effect::"permits" };
"#;

fn policy(domains: &[Origin]) -> TrustDocument {
    TrustDocument {
        domains: domains.to_vec(),
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: Freshness { default: 7_200, uses: [].into() },
        rules: RULES.to_owned(),
    }
}

/// The answer about the device, from what evidence shows at a time.
fn case(pack: &Evidence, asked: &str, at: u64, policy: TrustDocument) -> Case {
    case_believed(pack, asked, (time(at), None), policy)
}

/// The same, from an answerer who believes this time of the domain.
fn case_believed(
    pack: &Evidence,
    asked: &str,
    (at, believed): (Timestamp, Option<Timestamp>),
    policy: TrustDocument,
) -> Case {
    let shown = verify(pack, None, at).expect("good evidence");
    let testimony = Testimony {
        origin: shown.origin,
        size: shown.size,
        root: shown.root,
        descriptor: shown.descriptor,
        as_of: believed.or(shown.as_of).unwrap_or_default(),
        freshness: shown.freshness,
        record: Some(shown.record),
        withheld: false,
    };
    let thing = Looked { asked: asked.to_owned(), candidates: 1, testimonies: vec![testimony] };
    let compiled = TrustPolicy::compile(policy.clone()).expect("a trust policy");
    let given = verdict(&Question { usage: "operate".to_owned(), thing, peer: None }, &compiled, at);
    let exhibit = Exhibit { evidence: pack.clone(), withheld: false, believed };
    Case {
        version: VERSION,
        usage: "operate".to_owned(),
        at,
        thing: Shown { asked: asked.to_owned(), candidates: 1, heard: vec![exhibit] },
        peer: None,
        policy,
        verdict: Verdict { reasons: Vec::new(), ..given },
    }
}

/// The device is introduced, sold and put into use.
fn in_use() -> World {
    let mut world = maker_world();
    world.append(certificate(MAKER));
    introduce(&mut world, DEVICE);
    sell(&mut world);
    world.append(certificate(BUYER));
    status(&mut world, BUYER, "owner", "in-use", &[]);
    world
}

fn allowed() -> Case {
    let world = in_use();
    case(&world.evidence(DEVICE, &[]), "serial:SN-101", 1_500, policy(&[world.origin()]))
}

fn denied() -> Case {
    let world = world();
    case(&evidence(&world), &fingerprint(DEVICE).to_string(), 1_500, policy(&[world.origin()]))
}

#[test]
fn a_verdict_is_checked_from_its_evidence_alone() {
    let allowed = allowed();
    assert_eq!((allowed.verdict.outcome, allowed.verdict.reason), (Outcome::Allow, Reason::Permitted));
    assert_eq!(allowed.check(), Ok(()));
    let denied = denied();
    assert_eq!((denied.verdict.outcome, denied.verdict.reason), (Outcome::Deny, Reason::Blocked));
    assert_eq!(denied.check(), Ok(()));
    let rules: Vec<_> = denied.verdict.derivation.iter().map(|step| (step.index, step.rule)).collect();
    let expected = [
        (2, Rule::Entitled),
        (5, Rule::Grant),
        (7, Rule::Replaced),
        (10, Rule::Replaced),
        (11, Rule::Entitled),
        (12, Rule::Block),
    ];
    assert_eq!(rules, expected);
    let json = serde_json::to_vec(&allowed).expect("JSON");
    assert_eq!(Case::parse(&json), Ok(allowed));
}

#[test]
fn old_news_a_lapse_and_what_was_not_to_be_admitted_are_found_by_both() {
    let world = in_use();
    let pinned = policy(&[world.origin()]);
    let stale = case(&world.evidence(DEVICE, &[]), "serial:SN-101", 90_000_000, pinned);
    assert_eq!((stale.verdict.reason, stale.check()), (Reason::Stale, Ok(())));

    let mut early = maker_world();
    early.append(certificate(MAKER));
    introduce(&mut early, DEVICE);
    early.append(certificate(BUYER));
    status(&mut early, BUYER, "owner", "in-use", &[]);
    sell(&mut early);
    early.say(MAKER, "manufacturer", Act::Status, DEVICE, |claims| {
        claims.status = Some(crate::samples::word("in-use"));
        claims.until = Some(time(1_200));
    });
    let refused = case(&early.evidence(DEVICE, &[]), "serial:SN-101", 1_500, policy(&[early.origin()]));
    assert_eq!((refused.verdict.reason, refused.check()), (Reason::NotPermitted, Ok(())));
    let rules: Vec<_> = refused.verdict.derivation.iter().map(|step| step.rule).collect();
    assert_eq!(rules, [Rule::Entitled, Rule::Refused, Rule::Grant, Rule::Lapsed]);
}

/// A case that was answered when the home's cosignature had just arrived, by a clock this many milliseconds behind the
/// home's; the answerer states the time that they believe.
fn case_ahead(world: &World, pack: Evidence, asked: &str, millis: u64) -> Case {
    let signed = time(200_000);
    let pack = pack.under(&world.cosigned(&world.signed_head(&world.home), Some(signed)));
    let at = Timestamp::from_millis(signed.as_millis() - millis);
    let mut case = case_believed(&pack, asked, (at, None), policy(&[world.origin()]));
    assert!(case.check().is_err(), "{millis} ms ahead, and the node does not say that it believes less");
    case.thing.heard[0].believed = Some(case.verdict.as_of[0].as_of);
    case
}

#[test]
fn a_home_ahead_of_who_answers_is_found_by_both() {
    const TWO_DAYS: u64 = 2 * 86_400_000;
    let used = in_use();
    let ahead = |millis| case_ahead(&used, used.evidence(DEVICE, &[]), "serial:SN-101", millis);
    for millis in [3, 299_000, 300_000] {
        let case = ahead(millis);
        assert_eq!((case.verdict.reason, case.check()), (Reason::Permitted, Ok(())), "{millis} ms");
        let until = case.verdict.fresh_until.expect("it ends");
        assert!(until <= case.at.plus_millis(7_200_000), "{until}: no later than any news");
    }
    let far = ahead(TWO_DAYS);
    assert_eq!((far.verdict.reason, far.check()), (Reason::Stale, Ok(())));
    let blocked = world();
    let case = case_ahead(&blocked, evidence(&blocked), &fingerprint(DEVICE).to_string(), TWO_DAYS);
    assert_eq!((case.verdict.outcome, case.verdict.reason, case.check()), (Outcome::Deny, Reason::Blocked, Ok(())));
}

/// When the time arrives that a home had claimed two days early, its news is no fresher; and nobody can make a time
/// count by claiming to believe an earlier one.
#[test]
fn what_is_believed_makes_nothing_fresh() {
    let world = in_use();
    let far = case_ahead(&world, world.evidence(DEVICE, &[]), "serial:SN-101", 2 * 86_400_000);
    let answered = |at: Timestamp, as_of: Timestamp| {
        let evidence = &far.thing.heard[0].evidence;
        let case = case_believed(evidence, "serial:SN-101", (at, Some(as_of)), policy(&[world.origin()]));
        (case.verdict.reason, case.check().is_ok())
    };
    assert_eq!(answered(time(200_000), Timestamp::default()), (Reason::Stale, true), "it had not been believed");
    assert_eq!(answered(far.at, far.at), (Reason::Permitted, false), "believed without cause");
    assert_eq!(answered(time(200_000), time(200_100)), (Reason::Permitted, false), "believed beyond what was signed");
}

#[test]
fn a_block_that_was_adopted_after_its_key_had_expired_is_found_by_both() {
    let plant = adopted::plant();
    let denied = case(&plant.evidence(DEVICE, &[]), &fingerprint(DEVICE).to_string(), 1_500, policy(&[plant.origin()]));
    assert_eq!((denied.verdict.outcome, denied.verdict.reason), (Outcome::Deny, Reason::Blocked));
    assert_eq!(denied.check(), Ok(()));
}

#[test]
fn a_verdict_rests_on_no_erasure_that_is_not_of_this_log() {
    for (world, fault) in erasures::misplaced() {
        let mut case = denied();
        case.thing.heard[0].evidence = world.evidence(DEVICE, &[2]);
        let (domain, refusal) = (world.origin().domain, Box::new(fault.at(erasures::INDEX)));
        assert_eq!(case.check(), Err(Rejection::Evidence { domain, refusal }));
    }
}

#[test]
fn no_changed_verdict_passes() {
    let mut rejected = 0;
    for case in [allowed(), denied()] {
        let premises = premises(&case);
        for mutant in mutants(&case.verdict) {
            assert!(check(&mutant, &premises).is_err(), "{mutant:#?}");
            rejected += 1;
        }
    }
    assert!(rejected > 500, "{rejected} mutants are few");
}

#[test]
fn a_verdict_does_not_outlive_its_evidence() {
    let good = denied();
    let forged = |what: &str, change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        assert!(case.check().is_err(), "{what} passes");
    };
    // Each entry left out: the verdict rests on all of them, including certificates and descriptors, except the one
    // that introduces the lot, which says nothing about its members.
    let entries = &good.thing.heard[0].evidence.entries;
    for n in (0..entries.len()).filter(|n| entries[*n].receipt.index != 4) {
        forged(&format!("evidence without entry {n} of it"), &|case| {
            drop(case.thing.heard[0].evidence.entries.remove(n));
        });
    }
    let world = world();
    let of = |case: &mut Case, pack: Evidence| case.thing.heard[0].evidence = pack;
    forged("a checkpoint of another time", &|case| {
        let note = world.cosigned(&world.signed_head(&world.home), Some(time(1_001)));
        let pack = case.thing.heard[0].evidence.clone().under(&note);
        of(case, pack);
    });
    forged("evidence of another thing", &|case| {
        let mut pack = world.evidence(DEVICE, &[2, 3, 5, 7, 10, 11, 14]);
        pack.id = lot().id().expect("an id").to_string();
        of(case, pack);
    });
    forged("an answer to another question", &|case| case.thing.asked = "serial:SN-102".to_owned());
    forged("another use", &|case| case.usage = "install".to_owned());
    forged("another time", &|case| case.at = time(1_501));
    forged("a name that fits several", &|case| case.thing.candidates = 2);
    forged("a domain that does not count", &|case| case.policy.domains[0].entry0 = [7; 32]);
    forged("another bound", &|case| case.policy.freshness.default = 60);
    forged("nothing heard", &|case| case.thing.heard.clear());
    forged("the same twice", &|case| {
        let again = case.thing.heard[0].clone();
        case.thing.heard.push(again);
    });
    forged("a peer", &|case| case.peer = Some(case.thing.clone()));
    let mut worded = good.clone();
    worded.verdict.reasons.push("trust me".to_owned());
    assert_eq!(worded.check(), Err(Rejection::Words));
    let mut unknown = good.clone();
    unknown.version = 2;
    assert_eq!(unknown.check(), Err(Rejection::Version(2)));

    let good = allowed();
    let mut lenient = good.clone();
    lenient.policy.rules = RULES.replace("operate", "all");
    assert!(lenient.check().is_err(), "another rule passes");
    let mut withheld = good;
    withheld.thing.heard[0].withheld = true;
    assert!(withheld.check().is_err(), "what is withheld passes");
}

#[test]
fn a_case_that_is_none_is_refused() {
    let json = serde_json::to_string(&allowed()).expect("JSON");
    for (from, to, named) in [
        (r#"{"version":1"#, r#"{"version":"1""#, "version: "),
        (r#"{"version":1"#, r#"{"note":"","version":1"#, "unknown field `note`"),
        (r#""candidates":1"#, r#""candidates":-1"#, "thing.candidates: "),
    ] {
        assert!(json.contains(from), "{from}");
        match Case::parse(json.replacen(from, to, 1).as_bytes()) {
            Err(Rejection::Json(why)) => assert!(why.contains(named), "{why}"),
            other => panic!("{to}: {other:?}"),
        }
    }
    assert!(matches!(Case::parse(&vec![b' '; crate::limits::CASE_BYTES + 1]), Err(Rejection::TooLong(_))));
}

/// The refusal states the bound before anything is verified; evidence alone may have more.
#[test]
fn a_case_with_more_entries_than_are_checked_is_rejected() {
    let checked = |entries: usize| {
        let mut case = allowed();
        let evidence = &mut case.thing.heard.first_mut().expect("evidence").evidence;
        let one = evidence.entries.last().expect("an entry").clone();
        evidence.entries.resize(entries, one);
        case.check().expect_err("an entry comes twice")
    };
    let most = crate::limits::CASE_ENTRIES;
    assert!(matches!(checked(most), Rejection::Evidence { .. }));
    let rejection = checked(most + 1);
    assert!(matches!(rejection, Rejection::Entries { entries, .. } if entries == most + 1), "{rejection}");
    assert!(rejection.to_string().contains("at most 1024"), "{rejection}");
}
