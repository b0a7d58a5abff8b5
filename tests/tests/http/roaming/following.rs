//! A domain that takes over what another one says of single things, without a copy of it.

use core::time::Duration;

use ics_core::descriptor::{Source, Template};
use ics_core::log::Hash;
use ics_core::vocabulary::DomainName;
use ics_node::api::AdoptionRequest;
use ics_node::app::Reader;
use tokio::sync::watch;

use super::liar::{Liar, Reply};
use super::{Gateway, changed, home, origin, upstream};
use crate::hidden::say;
use crate::world::{CARE, DOMAIN, changed_descriptor, domain, home as home_key, maker, serial, stolen};

fn care() -> DomainName {
    CARE.parse().expect("a domain")
}

fn status(gateway: &Gateway, seed: u8) -> Option<String> {
    let record = gateway.app.record(Reader::Operator, &care(), &serial(seed)).ok()?.record;
    Some(record.status.map(|status| status.decides.name.to_string()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn single_things_are_adopted_and_followed_without_a_copy() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let made = origin(&home);
    let peer = ics_node::config::PeerConfig { interval_ms: 50, ..upstream(&made, &asked.url()) };
    let node = Gateway::open(vec![made.clone()], 60, peer, 9);
    let source = Source { domain: domain(), entry0: Hash(made.entry0), home: home_key() };
    let descriptor = changed_descriptor(Template::Maintenance, CARE, vec![source], |_| {});
    tokio::task::block_in_place(|| node.app.found(&descriptor)).expect("founds");
    let request = |ids: &[u8], follow| AdoptionRequest {
        source: DOMAIN.to_owned(),
        ids: ids.iter().map(|seed| serial(*seed)).collect(),
        follow,
        ..AdoptionRequest::default()
    };
    let adopted = node.app.adopt(&care(), request(&[20], Some(true))).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (1, 0), "{adopted:?}");
    assert!(adopted.adopted >= 2, "the certificate of who said it, and what he said: {adopted:?}");
    node.app.adopt(&care(), request(&[21], None)).await.expect("adopts");
    assert_eq!((status(&node, 20).as_deref(), status(&node, 21).as_deref()), (Some(""), Some("")));
    let hidden = node.app.adopt(&care(), request(&[22], None)).await.expect_err("nobody may read it");
    assert_eq!(hidden.problem().code(), "unknown-identity", "{hidden}");
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], None) };
    let refused = node.app.adopt(&care(), lot).await.expect_err("nobody knows what is in a lot");
    assert!(refused.to_string().contains("only things that are named"), "{refused}");

    // The peer withholds the block first: nothing is taken from it, and it is told of.
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(node.app.clone().follow_sources(stopped));
    asked.set(|home, asked| changed(home, asked, |answer| drop(answer.evidence.entries.pop())));
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    until("the lie is told of", || node.alarms(super::LIES) == 1).await;
    assert_eq!(status(&node, 20).as_deref(), Some(""));
    asked.set_honest(&home);
    until("the recall is taken over", || status(&node, 20).as_deref() == Some("stolen")).await;
    assert_eq!(status(&node, 21).as_deref(), Some(""), "it is not followed");
    let follows = node.app.domain(&care()).expect("here").follows;
    assert_eq!((follows[0].source.clone(), follows[0].identities), (domain(), 1));

    node.app.adopt(&care(), request(&[20], Some(false))).await.expect("ends");
    assert!(node.app.domain(&care()).expect("here").follows.is_empty());
    asked.set(|_, _| Reply::Hangup);
    stop.send_replace(true);
    following.await.expect("ends");
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !tokio::task::block_in_place(&mut is_so) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
