//! Peers that lie or withhold.

use super::liar::SILENCE;
use super::*;

/// A lie, what comes of it, what the verdict says, and how the peer tells it.
type Lie = (&'static str, &'static str, &'static str, fn(&App, &str) -> Reply);

/// A record head signed by a key that has no right to.
fn forged(answer: &Attestation) -> String {
    let evidence = &answer.evidence;
    let head = RecordHead {
        origin: evidence.entries[0].receipt.origin.clone(),
        asked: serial(20),
        finding: Finding::Nothing(None),
        at: ics_core::time::Timestamp::from_seconds(1_767_225_700),
        size: 6,
        root: ics_core::log::Hash([1; 32]),
        indices: vec![0],
    };
    head.sign(&SigningKey::from_bytes(&[66; 32])).expect("signs")
}

fn lies() -> Vec<Lie> {
    vec![
        ("the block is left out", "refused", "names entry 5, which is left out", |home, asked| {
            changed(home, asked, |answer| drop(answer.evidence.entries.pop()))
        }),
        ("no record head", "refused", "nothing says that this is all", |home, asked| {
            changed(home, asked, |answer| answer.evidence.head = None)
        }),
        ("the answer for another thing", "refused", "the record head answers to", |home, _| {
            changed(home, &serial(21), |_| ())
        }),
        ("a record head by another key", "refused", "is not signed by", |home, asked| {
            changed(home, asked, |answer| answer.evidence.head = Some(forged(answer)))
        }),
        ("no JSON", "refused", "is not as expected", |_, _| Reply::Json(b"{".to_vec())),
        ("more than is read", "refused", "more than", |_, _| Reply::Json(vec![b' '; 5 * 1024 * 1024])),
        ("elsewhere", "unanswered", "HTTP status 302", |_, _| Reply::Elsewhere),
        ("nothing known", "unanswered", "HTTP status 404", |_, _| Reply::Missing),
        ("nobody", "unreachable", "cannot be reached", |_, _| Reply::Hangup),
        ("silence", "unreachable", "operation timed out", |_, _| Reply::Silence),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lies_or_withholds_makes_it_unknown_and_is_told_of() {
    let home = home().await;
    say(&home, vec![stolen(&maker(), 20)]).await;
    let pause = Duration::from_millis(limits::ROAMING_PAUSE_MILLIS);
    for (what, outcome, why, lie) in lies() {
        let upstream = Liar::honest(&home).await;
        upstream.set(lie);
        let gateway = Gateway::asking(&origin(&home), &upstream.url(), 60);
        let begun = Instant::now();
        let check = gateway.check_once(&serial(20)).await;
        assert_eq!((check.verdict, check.reason), (Outcome::Unknown, Reason::NotHeard), "{what}: {check:?}");
        assert!(begun.elapsed() < SILENCE, "{what}: it took {:?}", begun.elapsed());
        // The reason is known for a moment only, and on a busy machine it may be that the answer came too late.
        let mut reasons = gateway.reasons(&serial(20)).await;
        while !reasons.contains("nobody answers for it now: upstream: ") || !reasons.contains(why) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {reasons}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            gateway.check_once(&serial(20)).await;
            reasons = gateway.reasons(&serial(20)).await;
        }
        assert!(gateway.count(outcome) >= 1, "{what}: {:?}", gateway.app.roaming_counts());
        assert_eq!(gateway.alarms(LIES), usize::from(outcome == "refused"), "{what}");
        // From now on there is an answer at once, and each question that brings none keeps the next from being asked.
        upstream.set(|_, _| Reply::Missing);
        let (asked, begun) = (upstream.asked(), Instant::now());
        for _ in 0..5 {
            gateway.check_once(&serial(20)).await;
        }
        let most = 1 + begun.elapsed().as_millis() / pause.as_millis();
        let again = upstream.asked() - asked;
        assert!(most >= again as u128, "{what}: a moment later nobody is asked again, but {again} times: {most}");
        upstream.set_honest(&home);
        gateway.says(&serial(20), Outcome::Deny, Reason::Blocked).await;
    }
}

/// A node that is told that nothing exists cannot pass that on to someone who may read more.
#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_nothing_cannot_be_passed_on() {
    let home = home().await;
    let upstream = Liar::honest(&home).await;
    upstream.set(|home, asked| {
        let (other, query) = (Reader::Key(KeyPin::of(b"another")), Query::parse(asked).expect("a query"));
        let said = home.attest(other, &domain(), &query, 0).expect("attests").expect("at home");
        Reply::Json(serde_json::to_vec(&said).expect("JSON"))
    });
    let gateway = Gateway::asking(&origin(&home), &upstream.url(), 60);
    assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow, "what there is, is the same for all");
    assert!(gateway.unanswered(&serial(99)).await.contains("told another reader, not this one"), "said in words");
    assert!(gateway.count("refused") >= 1 && gateway.alarms(LIES) == 1);

    // The alarm is not about a domain held here; the operator acknowledges it all the same.
    let told = gateway.app.alarms_about_none().expect("alarms");
    assert_eq!(told.iter().map(|alarm| &*alarm.kind).collect::<Vec<_>>(), [LIES]);
    assert_eq!(gateway.app.acknowledge(None, told[0].at).expect("acknowledged").alarms, 1);
    assert_eq!(gateway.alarms(LIES), 0);
}
