//! Cases: verdicts with all that proves them, which are carried to where there is no network.

use std::collections::BTreeMap;

use ics_core::checker::{Case, Exhibit, Shown, VERSION};
use ics_core::descriptor::Freshness;
use ics_core::evidence::{Evidence, verify};
use ics_core::time::Timestamp;
use ics_core::trust::{Looked, Outcome, Question, Testimony, TrustDocument, TrustPolicy, Verdict, verdict};
use serde_json::Value;

/// A case is read as it was written, and the checker accepts no two answers to one question.
pub(super) fn case(json: &[u8]) {
    let Ok(mut case) = Case::parse(json) else { return };
    let again = serde_json::to_vec(&case).ok().and_then(|json| Case::parse(&json).ok());
    assert!(again.as_ref() == Some(&case), "a case is not read back as it was written");
    if case.check().is_ok() {
        case.verdict.outcome = match case.verdict.outcome {
            Outcome::Allow => Outcome::Deny,
            Outcome::Deny | Outcome::Unknown => Outcome::Allow,
        };
        assert!(case.check().is_err(), "the checker accepts two answers");
    }
}

/// The trust rules of the seeds.
const RULES: &str = r#"@id("operate") permit (principal, action == Action::"operate", resource)
when { principal.vouching_roles.contains("manufacturer") && principal.effect == Effect::"permits" };"#;

/// A verdict on the thing of which the vectors have evidence, and one on two things of which nothing was heard.
pub(super) fn seeds(vectors: &Value) -> Option<[Vec<u8>; 2]> {
    let evidence: Evidence = serde_json::from_value(vectors.get("evidence")?.clone()).ok()?;
    let at = Timestamp::parse(vectors.get("now")?.as_str()?).ok()?;
    let shown = verify(&evidence, None, at).ok()?;
    let document = TrustDocument {
        domains: vec![shown.origin.clone()],
        roles: BTreeMap::new(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: Freshness { default: 7_200, uses: BTreeMap::new() },
        rules: RULES.to_owned(),
    };
    let policy = TrustPolicy::compile(document).ok()?;
    let testimony = Testimony {
        origin: shown.origin,
        size: shown.size,
        root: shown.root,
        descriptor: shown.descriptor,
        as_of: shown.as_of?,
        freshness: shown.freshness,
        record: Some(shown.record),
        withheld: false,
    };
    let looked = |testimonies| Looked { asked: evidence.id.clone(), candidates: 1, testimonies };
    let about_one = Question { usage: "operate".to_owned(), thing: looked(vec![testimony]), peer: None };
    let (thing, peer) = (looked(Vec::new()), Some(looked(Vec::new())));
    let about_two = Question { usage: "connect".to_owned(), thing, peer };
    let exhibit = Exhibit { evidence, withheld: false, believed: None };
    Some([written(about_one, vec![exhibit], &policy, at)?, written(about_two, Vec::new(), &policy, at)?])
}

/// The case for a question, with what was heard of the thing; of its peer nothing was heard.
fn written(question: Question, heard: Vec<Exhibit>, policy: &TrustPolicy, at: Timestamp) -> Option<Vec<u8>> {
    let verdict = Verdict { reasons: Vec::new(), ..verdict(&question, policy, at) };
    let shown = |looked: Looked, heard| Shown { asked: looked.asked, candidates: looked.candidates, heard };
    let case = Case {
        version: VERSION,
        usage: question.usage,
        at,
        thing: shown(question.thing, heard),
        peer: question.peer.map(|peer| shown(peer, Vec::new())),
        policy: policy.document().clone(),
        verdict,
    };
    serde_json::to_vec(&case).ok()
}
