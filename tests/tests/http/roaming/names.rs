//! What a name that was asked for before means once more of the log is known.

use std::time::Duration;

use ics_core::identity::IdentityId;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::Claims;
use ics_core::trust::{Outcome, Reason};
use ics_core::vocabulary::{Act, Attribute};

use super::liar::Reply;
use super::{asking, id};
use crate::hidden::{device, say};
use crate::world::{DOMAIN, domain, maker, of_device, serial, signer, stolen};

/// A device of the first lot that replaces another one and takes its name.
fn successor(seed: u8, old: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.names = vec![serial(old).parse().expect("a name")];
    claims.attributes = [(Attribute::Model, "T-1000"), (Attribute::Lot, "L1")].map(|(a, v)| (a, v.to_owned())).into();
    claims.replaces = Some(IdentityId::Key(signer(old).public_key().fingerprint()));
    of_device(&maker(), seed, &claims, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_thing_has_by_a_newer_answer_is_asked_for_again() {
    let (home, upstream, gateway) = asking().await;
    assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow);
    say(&home, vec![successor(30, 20)]).await;
    assert_eq!(gateway.check(&serial(20)).await.view, format!("{DOMAIN}=5"), "fresh, and nothing newer is known");
    assert_eq!(gateway.check(&id(30)).await.verdict, Outcome::Allow);

    upstream.set(|_, _| Reply::Hangup);
    let unknown = gateway.check(&serial(20)).await;
    assert_eq!((unknown.verdict, unknown.reason), (Outcome::Unknown, Reason::NotHeard), "{unknown:?}");
    upstream.set_honest(&home);
    gateway.says(&serial(20), Outcome::Allow, Reason::Permitted).await;
    assert_eq!(gateway.check(&serial(20)).await.view, format!("{DOMAIN}=6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_meant_nothing_is_asked_for_again_once_something_has_it() {
    let (home, _upstream, gateway) = asking().await;
    assert_eq!(gateway.check(&serial(31)).await.reason, Reason::NotHeard);
    say(&home, vec![device(31, "L1")]).await;
    assert_eq!(gateway.check(&serial(31)).await.reason, Reason::NotHeard, "fresh, and nothing newer is known");
    assert_eq!(gateway.check(&id(31)).await.verdict, Outcome::Allow);
    let allowed = gateway.check(&serial(31)).await;
    assert_eq!((allowed.verdict, allowed.reason), (Outcome::Allow, Reason::Permitted), "{allowed:?}");
}

/// What a name means is known only as of the time of that answer, even if the home has signed another answer about the
/// thing after the checkpoint that this one has.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_answer_by_another_name_is_proven_as_of_the_older_one() {
    let (home, _upstream, gateway) = asking().await;
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    let [one, other] = ["serial:ONE", "serial:OTHER"];
    claims.attributes = [(Attribute::Model, "T-1000"), (Attribute::Lot, "L1")].map(|(a, v)| (a, v.to_owned())).into();
    claims.names = [one, other].map(|name| name.parse().expect("a name")).into();
    say(&home, vec![of_device(&maker(), 40, &claims, false)]).await;
    assert_eq!(gateway.check(one).await.verdict, Outcome::Allow);
    say(&home, vec![stolen(&maker(), 40)]).await;
    // The home's times are in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(gateway.check(other).await.reason, Reason::Blocked);
    let denied = gateway.check(one).await;
    assert_eq!((denied.verdict, denied.reason), (Outcome::Deny, Reason::Blocked), "{denied:?}");
}

/// That another thing has the name too does not improve the verdict.
#[tokio::test(flavor = "multi_thread")]
async fn what_blocks_by_a_name_blocks_on_beside_a_newer_answer() {
    let (home, upstream, gateway) = asking().await;
    say(&home, vec![stolen(&maker(), 20)]).await;
    assert_eq!(gateway.check(&serial(20)).await.reason, Reason::Blocked);
    say(&home, vec![successor(30, 20)]).await;
    assert_eq!(gateway.check(&id(30)).await.verdict, Outcome::Allow);
    upstream.set(|_, _| Reply::Hangup);
    let denied = gateway.check(&serial(20)).await;
    assert_eq!((denied.verdict, denied.reason), (Outcome::Deny, Reason::Blocked), "{denied:?}");
}
