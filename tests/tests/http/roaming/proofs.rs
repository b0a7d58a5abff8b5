//! Proofs that prove nothing: the fault is the sender's, not the home's.

use ics_core::trust::{Outcome, Reason};
use ics_sync::wire::Base64;

use super::{LIES, asking, changed};
use crate::hidden::say;
use crate::world::{maker, serial, stolen};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_proof_is_no_fork_and_somebody_else_may_give_a_better_one() {
    let (home, upstream, gateway) = asking().await;
    assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow);
    say(&home, vec![stolen(&maker(), 20)]).await;
    upstream.set(|home, asked| {
        changed(home, asked, |answer| answer.consistency = [[7; 32]; 3].map(Base64).into_iter().collect())
    });
    assert!(gateway.unanswered(&serial(21)).await.contains("it gave a bad proof"), "said in words");
    assert!(gateway.count("refused") >= 1 && gateway.count("forked") == 0);
    assert_eq!((gateway.alarms(LIES), gateway.alarms("fork")), (1, 0));
    assert!(gateway.app.forks_about_none().expect("forks").is_empty());
    let told = gateway.app.peers()[0].asks[0].last_error.clone();
    assert!(told.as_ref().is_some_and(|why| why.contains("it gave a bad proof")), "{told:?}");

    upstream.set_honest(&home);
    gateway.says(&serial(21), Outcome::Allow, Reason::Permitted).await;
}
