//! What a relying party is told, and why.

mod roles;

use super::{Looked, Outcome, Question, Reason, Testimony, Verdict, verdict};
use crate::checker::{Premises, Sought, check};
use crate::descriptor::Freshness;
use crate::domain::Domain;
use crate::identity::Kind;
use crate::limits;
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::record::{Record, resolve};
use crate::samples::*;
use crate::statement::Subject;
use crate::time::Timestamp;
use crate::trust::{Conflict, Party, Rule, TrustDocument, TrustPolicy};
use crate::vocabulary::{Act, Attribute};

const RULES: &str = r#"
@id("operate") permit (principal, action == Action::"operate", resource)
when { principal.vouching_roles.contains("manufacturer") && principal.approving_roles.contains("maintainer")
  && principal.effect == Effect::"permits" };
@id("connect") permit (principal, action == Action::"connect", resource)
when { resource is Thing && principal.effect == Effect::"permits" && resource.effect == Effect::"permits" };
@id("no-prototypes") forbid (principal, action, resource) when { principal.labels.contains("prototype") };
"#;

fn origin(domain: &str) -> Origin {
    Origin { domain: word(domain), entry0: [0; 32] }
}

fn freshness(default: u64) -> Freshness {
    Freshness { default, uses: [("install".to_owned(), 60)].into() }
}

fn policy(domains: &[&str]) -> TrustPolicy {
    TrustPolicy::compile(TrustDocument {
        domains: domains.iter().map(|domain| origin(domain)).collect(),
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: freshness(3_600),
        rules: RULES.to_owned(),
    })
    .expect("a trust policy")
}

fn record(drafts: &[Draft]) -> Option<Record> {
    let (about, groups) = split(drafts);
    resolve(&domain(), &device(), &about, &groups, now())
}

/// What a domain says, and the statements behind it.
#[derive(Clone)]
struct Told {
    testimony: Testimony,
    drafts: Vec<Draft>,
}

/// A domain that was heard ten seconds ago.
fn testimony(domain: &str, drafts: &[Draft]) -> Told {
    let record = record(drafts).map(|record| Record { domain: word(domain), ..record });
    let testimony = Testimony {
        origin: origin(domain),
        size: 100,
        root: Hash([7; 32]),
        descriptor: 1,
        as_of: time(999_990),
        freshness: freshness(7_200),
        record,
        withheld: false,
    };
    Told { testimony, drafts: drafts.to_vec() }
}

/// The answer, which the checker accepts: every verdict of these tests is made here.
fn answer(usage: &str, thing: Asked, peer: Option<Asked>, policy: &TrustPolicy, at: Timestamp) -> Verdict {
    let looked = |it: &Asked| Looked {
        asked: it.asked.to_owned(),
        candidates: it.candidates,
        testimonies: it.told.iter().map(|told| told.testimony.clone()).collect(),
    };
    let question = Question { usage: usage.to_owned(), thing: looked(&thing), peer: peer.as_ref().map(looked) };
    let verdict = verdict(&question, policy, at);
    let premises = Premises {
        usage: usage.to_owned(),
        at,
        policy: policy.document().clone(),
        thing: thing.sought(),
        peer: peer.as_ref().map(Asked::sought),
    };
    assert_eq!(check(&verdict, &premises), Ok(()), "{verdict:?}");
    verdict
}

/// The id of the device.
const DEVICE_ID: &str = "dddddddddddddddddddddddddddddddddddddddd";

/// What was asked for, and what the domains say about it.
struct Asked {
    asked: &'static str,
    candidates: usize,
    told: Vec<Told>,
}

impl Asked {
    fn sought(&self) -> Sought {
        let heard = self.told.iter().map(|told| {
            let mut heard = heard(&domain(), &told.drafts, told.testimony.origin.clone(), told.testimony.as_of);
            heard.chain[0].1.freshness = told.testimony.freshness.clone();
            heard.judged_at = Some(now());
            heard
        });
        Sought { asked: self.asked.to_owned(), candidates: self.candidates, heard: heard.collect() }
    }
}

fn good() -> Vec<Draft> {
    vec![
        introduce(0).name("serial:SN-1").attribute(Attribute::Model, "P1"),
        status(1, KEEPER, "maintainer", "in-use"),
        say(2, KEEPER, "maintainer", Act::Approval),
    ]
}

fn looked(told: Vec<Told>) -> Asked {
    Asked { asked: "serial:SN-1", candidates: 1, told }
}

fn ask_at(usage: &str, now: Timestamp, told: Vec<Told>) -> Verdict {
    answer(usage, looked(told), None, &policy(&["a.example", "b.example"]), now)
}

fn ask(told: Vec<Told>) -> Verdict {
    ask_at("operate", now(), told)
}

fn with(more: Draft) -> Vec<Draft> {
    [good(), vec![more]].concat()
}

#[test]
fn what_the_rules_permit_is_allowed_with_all_that_it_rests_on() {
    let verdict = ask(vec![testimony("a.example", &good()), testimony("b.example", &[])]);
    assert_eq!((verdict.outcome, verdict.rules.as_slice()), (Outcome::Allow, ["operate".to_owned()].as_slice()));
    assert_eq!(verdict.reasons, ["the trust policy permits `operate`: operate"]);
    let steps: Vec<_> = verdict.derivation.iter().map(|step| (step.index, step.act, step.says())).collect();
    assert_eq!(
        steps,
        [
            (0, Act::Identity, "vouches for its identity".to_owned()),
            (1, Act::Status, "gives it the status `in-use`, which permits its use".to_owned()),
            (2, Act::Approval, "approves of it".to_owned()),
        ]
    );
    assert!(verdict.derivation.iter().all(|step| step.domain == word("a.example") && step.of == Party::Thing));
    assert_eq!(verdict.fresh_until, Some(time(999_990 + 3_600)));
    assert_eq!(verdict.as_of.len(), 2);
}

#[test]
fn every_way_to_an_answer() {
    let service = |n| {
        introduce(n).with(|said| {
            let Subject::Key { kind, .. } = &mut said.subject else { panic!("a key") };
            *kind = Kind::Service;
        })
    };
    let label = say(3, LABELLER, "certification-body", Act::Label).with(|said| {
        said.claims.label = Some("prototype".to_owned());
    });
    let stolen = || with(status(3, KEEPER, "maintainer", "stolen"));
    let empty = || testimony("b.example", &[]);
    let of_a = |drafts: &[Draft]| testimony("a.example", drafts);
    let changed = |mut told: Told, change: &dyn Fn(&mut Testimony)| {
        change(&mut told.testimony);
        told
    };
    let old = |told: Told| changed(told, &|it| it.as_of = time(1_000_000 - 3_600));
    let short = |told: Told| changed(told, &|it| it.freshness = freshness(10));
    let other = |told: Told| changed(told, &|it| it.origin.entry0 = [1; 32]);
    let cases = [
        (
            "blocked here",
            vec![of_a(&stolen()), empty()],
            Outcome::Deny,
            "`serial:SN-1` is `stolen`, which blocks its use: said in a.example at index 3",
        ),
        ("blocked there", vec![of_a(&good()), testimony("b.example", &stolen())], Outcome::Deny, "said in b.example"),
        (
            "blocked alike here and there",
            vec![testimony("b.example", &stolen()), of_a(&stolen())],
            Outcome::Deny,
            "said in a.example",
        ),
        ("blocked by old news", vec![old(of_a(&stolen()))], Outcome::Deny, "stolen"),
        (
            "old news",
            vec![old(of_a(&good())), empty()],
            Outcome::Unknown,
            "the last news of a.example is of 2026-01-12T12:46:40Z, too old since 2026-01-12T13:46:40Z",
        ),
        (
            "old news of one that knows nothing",
            vec![of_a(&good()), old(empty())],
            Outcome::Unknown,
            "the last news of b.example",
        ),
        ("older than its descriptor allows", vec![short(of_a(&good())), empty()], Outcome::Unknown, "too old"),
        ("a domain unheard", vec![of_a(&good())], Outcome::Unknown, "b.example counts, but nothing was heard of it"),
        ("a domain of another entry 0", vec![of_a(&good()), other(empty())], Outcome::Unknown, "b.example counts"),
        ("known to none", vec![of_a(&[]), empty()], Outcome::Unknown, "no domain that counts knows `serial:SN-1`"),
        (
            "known to others",
            vec![of_a(&[]), empty(), testimony("c.example", &good())],
            Outcome::Unknown,
            "no domain that counts",
        ),
        (
            "of two kinds",
            vec![of_a(&good()), testimony("b.example", &[service(0)])],
            Outcome::Unknown,
            "the domains differ",
        ),
        (
            "nobody approves",
            vec![of_a(&good()[..2]), empty()],
            Outcome::Deny,
            "vouched for by manufacturer; nobody approves of it; it has no label",
        ),
        ("no status", vec![of_a(&good()[..1]), empty()], Outcome::Deny, "it has no status"),
        (
            "planned",
            vec![of_a(&[good().remove(0), status(1, KEEPER, "maintainer", "planned")]), empty()],
            Outcome::Deny,
            "`planned`, which neither permits nor blocks its use",
        ),
        (
            "forbidden",
            vec![of_a(&with(label)), empty()],
            Outcome::Deny,
            "the trust policy forbids `operate`: no-prototypes",
        ),
        (
            "begun since",
            vec![of_a(&with(status(3, KEEPER, "maintainer", "lost").from(1_000_005))), empty()],
            Outcome::Allow,
            "permits",
        ),
    ];
    for (case, testimonies, outcome, reason) in cases {
        let verdict = ask(testimonies);
        assert_eq!(verdict.outcome, outcome, "{case}: {:?}", verdict.reasons);
        let reasons = verdict.reasons.join(" | ");
        assert!(reasons.contains(reason), "{case}: {reasons}");
        assert_eq!(verdict.fresh_until.is_none(), outcome == Outcome::Unknown, "{case}");
    }
}

#[test]
fn what_is_said_without_effect_vouches_for_nothing() {
    let told = vec![testimony("a.example", &[good().remove(0).refused()])];
    let verdict = answer("operate", Asked { asked: DEVICE_ID, ..looked(told) }, None, &policy(&["a.example"]), now());
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::NotPermitted));
    assert!(verdict.reasons[1].contains("nobody vouches for it"), "{:?}", verdict.reasons);
    assert_eq!(verdict.derivation[0].rule, Rule::Refused);
}

#[test]
fn a_former_approval_counts_as_long_as_its_signer_could_give_it_again() {
    let roles = |more: Vec<Draft>, domain: &Domain| {
        let drafts = [good(), more].concat();
        let (about, groups) = split(&drafts);
        let record = resolve(domain, &device(), &about, &groups, now()).expect("introduced");
        record.formerly_approved.iter().map(|by| (by.index, by.role.to_string())).collect::<Vec<_>>()
    };
    let over = || say(3, KEEPER, "maintainer", Act::Approval).until(500);
    let expected = vec![(3, "maintainer".to_owned())];
    assert_eq!(roles(vec![over()], &domain()), expected);
    assert_eq!(
        roles(vec![say(4, KEEPER, "maintainer", Act::Approval).ends(2)], &domain()),
        [(2, "maintainer".to_owned())]
    );
    // Its signer has lost the role since, or has taken it back after it expired.
    let lost = changed(50, |next| {
        next.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
    });
    assert_eq!(roles(vec![over()], &lost), []);
    assert_eq!(roles(vec![over(), say(4, KEEPER, "maintainer", Act::Withdrawal).ends(3)], &domain()), []);
    // A role by grant is enough, for as long as the grant holds.
    let sold = grant(5, MAKER, "manufacturer", BUYER, "maintainer");
    let by_buyer = || say(6, BUYER, "maintainer", Act::Approval).until(500);
    assert_eq!(roles(vec![sold.clone(), by_buyer()], &domain()), [(6, "maintainer".to_owned())]);
    assert_eq!(roles(vec![sold.until(900), by_buyer()], &domain()), []);
}

#[test]
fn several_reasons_are_all_given() {
    let both = vec![testimony("a.example", &with(status(3, KEEPER, "maintainer", "stolen")))];
    let peer = Asked { asked: DEVICE_ID, ..looked(both.clone()) };
    let verdict = answer("connect", looked(both), Some(peer), &policy(&["a.example", "b.example"]), now());
    assert_eq!((verdict.outcome, verdict.reasons.len()), (Outcome::Deny, 2));
    assert!(verdict.reasons[1].starts_with(&format!("the peer `{DEVICE_ID}` is `stolen`")));
    assert_eq!(verdict.derivation.iter().filter(|step| step.of == Party::Peer).count(), 4);
}

#[test]
fn a_pair_is_judged_together() {
    let ask = |peer: &[Draft]| {
        let (thing, peer) = (looked(vec![testimony("a.example", &good())]), looked(vec![testimony("a.example", peer)]));
        answer("connect", thing, Some(peer), &policy(&["a.example"]), now())
    };
    assert_eq!(ask(&good()).outcome, Outcome::Allow);
    let denied = ask(&good()[..1]);
    assert_eq!((denied.outcome, denied.reasons.len()), (Outcome::Deny, 3));
    assert_eq!(ask(&[]).outcome, Outcome::Unknown);
}

#[test]
fn a_name_of_several_things_is_unknown() {
    let ask = |candidates, told: &[Draft]| {
        let thing = Asked { candidates, ..looked(vec![testimony("a.example", told)]) };
        answer("operate", thing, None, &policy(&["a.example"]), now())
    };
    assert_eq!(ask(1, &good()).outcome, Outcome::Allow);
    let unknown = ask(2, &[]);
    assert_eq!((unknown.outcome, unknown.reason), (Outcome::Unknown, Reason::Ambiguous));
    assert!(unknown.reasons.contains(&"`serial:SN-1` fits 2 identities".to_owned()), "{:?}", unknown.reasons);
}

#[test]
fn an_answer_holds_until_something_begins_ends_or_grows_old() {
    let both = |draft| vec![testimony("a.example", &with(draft)), testimony("b.example", &[])];
    let begins = || both(status(3, KEEPER, "maintainer", "lost").from(1_000_005));
    assert_eq!(ask(begins()).fresh_until, Some(time(1_000_005)));
    let later = ask_at("operate", time(1_000_005), begins());
    assert_eq!(later.outcome, Outcome::Unknown);
    assert!(later.reasons[0].contains("something has begun or ended since"), "{:?}", later.reasons);
    // A shorter bound for this use.
    let installs = ask_at("install", now(), vec![testimony("a.example", &good()), testimony("b.example", &[])]);
    assert_eq!(installs.fresh_until, Some(time(999_990 + 60)));
    // News from the future is no fresher than news of now; if it is further ahead than clocks differ, the clock is
    // wrong, and the age of the news is unknown.
    let ahead = |at| {
        [("a.example", good()), ("b.example", Vec::new())]
            .map(|(domain, said)| {
                let mut told = testimony(domain, &said);
                told.testimony.as_of = time(at);
                told
            })
            .to_vec()
    };
    assert_eq!(ask(ahead(1_000_100)).fresh_until, Some(time(1_000_000 + 3_600)));
    let set_back = ask(ahead(2_000_000));
    assert_eq!(
        (set_back.outcome, set_back.reason, set_back.fresh_until),
        (Outcome::Unknown, Reason::ClockBehind, None)
    );
}

/// However old news may be, its home must have said once that there was no more.
#[test]
fn news_that_was_never_confirmed_is_never_recent_enough() {
    let patient = || Freshness { default: limits::JSON_INTEGER, uses: Default::default() };
    let document = TrustDocument { freshness: patient(), ..policy(&["a.example"]).document().clone() };
    let policy = TrustPolicy::compile(document).expect("a trust policy");
    for (seconds, expected) in [(1, Reason::Permitted), (0, Reason::Stale)] {
        let mut told = testimony("a.example", &good());
        (told.testimony.as_of, told.testimony.freshness) = (Timestamp::from_seconds(seconds), patient());
        let verdict = answer("operate", looked(vec![told]), None, &policy, now());
        assert_eq!(verdict.reason, expected, "{seconds}");
    }
}

#[test]
fn conflicts_and_unheard_domains_are_shown() {
    let other_model = [introduce(0).attribute(Attribute::Model, "P2"), status(4, KEEPER, "maintainer", "planned")];
    let verdict = ask(vec![
        testimony("a.example", &good()),
        testimony("b.example", &other_model),
        testimony("c.example", &good()),
    ]);
    assert_eq!(
        verdict.conflicts.iter().map(Conflict::in_words).collect::<Vec<_>>(),
        [
            "`model` is said to be `P1` (a.example entry 0) and `P2` (b.example entry 0)".to_owned(),
            "`status` is said to be `in-use` (a.example entry 1) and `planned` (b.example entry 4)".to_owned(),
        ]
    );
    assert_eq!(verdict.ignored, [origin("c.example")].into());
    assert!(verdict.derivation.iter().all(|step| step.domain != word("c.example")));
    let text = serde_json::to_string(&verdict).expect("JSON");
    assert_eq!(serde_json::from_str::<Verdict>(&text).expect("the same"), verdict);
}

#[test]
fn a_use_is_known_by_an_action_a_bound_or_a_rule() {
    let document = TrustDocument {
        domains: vec![origin("plant.example")],
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: Freshness { default: 3_600, uses: [("deploy".to_owned(), 60)].into() },
        rules: "@id(\"any\") permit (principal, action, resource);
            @id(\"back\") forbid (principal, action, resource) when { context.use == \"rollback\" };"
            .to_owned(),
    };
    let policy = TrustPolicy::compile(document).expect("a trust policy");
    for (usage, is_known) in [
        ("connect", true),
        ("operate", true),
        ("deploy", true),
        ("rollback", true),
        ("conect", false),
        ("roll", false),
        ("", false),
    ] {
        assert_eq!(policy.names_use(usage), is_known, "{usage}");
    }
}
