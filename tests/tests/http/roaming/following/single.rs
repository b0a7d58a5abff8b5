//! Single things that are adopted and followed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn single_things_are_adopted_and_followed_without_a_copy() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let made = origin(&home);
    let node = caring(&made, &asked.url(), 50);
    let adopted = adopts(&node, request(&[20], Some(true))).await;
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (1, 0), "{adopted:?}");
    assert!(adopted.adopted >= 2, "the certificate of who said it, and what he said: {adopted:?}");
    adopts(&node, request(&[21], None)).await;
    assert_eq!((status(&node, 20).as_deref(), status(&node, 21).as_deref()), (Some(""), Some("")));
    let hidden = tries_to_adopt(&node, request(&[22], None)).await.expect_err("nobody may read it");
    assert_eq!(hidden.problem().code(), "unknown-identity", "{hidden}");
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], None) };
    let refused = node.app.adopt(&care(), lot).await.expect_err("nobody knows what is in a lot");
    assert!(refused.to_string().contains("without one, follow it (`--follow`)"), "{refused}");

    // The peer first withholds the block: nothing is taken from it, and the lie is reported.
    let following = Following::begin(&node);
    asked.set(|home, asked| changed(home, asked, |answer| drop(answer.evidence.entries.pop())));
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    until("the lie is told of", || node.alarms(super::super::LIES) == 1).await;
    assert_eq!(status(&node, 20).as_deref(), Some(""));
    asked.set_honest(&home);
    until("the recall is taken over", || status(&node, 20).as_deref() == Some("stolen")).await;
    assert_eq!(status(&node, 21).as_deref(), Some(""), "it is not followed");
    let follows = node.app.domain(&care()).expect("here").follows;
    assert_eq!((follows[0].source.clone(), follows[0].identities), (domain(), 1));

    node.app.adopt(&care(), request(&[20], Some(false))).await.expect("ends");
    assert!(node.app.domain(&care()).expect("here").follows.is_empty());
    asked.set(|_, _| Reply::Hangup);
    following.end().await;
}

/// A peer in between that has lost its link answers with what it has kept.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_keeps_nobody_from_hearing_of_what_is_followed() {
    let home = home().await;
    let [first, next] = [Liar::honest(&home).await, Liar::honest(&home).await];
    let made = origin(&home);
    let node = caring(&made, &first.url(), 50);
    adopts(&node, request(&[20], Some(true))).await;
    let old = tokio::task::block_in_place(|| {
        let query = Query::parse(&id(20)).expect("a query");
        home.app().attest(Reader::Anonymous, &domain(), &query, 0).expect("attests").expect("at home")
    });
    let old = serde_json::to_vec(&old).expect("JSON");
    first.set(move |_, _| Reply::Json(old.clone()));
    let next = PeerConfig { name: "next".parse().expect("a name"), ..upstream(&made, &next.url()) };
    tokio::task::block_in_place(|| node.app.put_peer(next)).expect("one more");
    let following = Following::begin(&node);
    say(&home, vec![stolen(&maker(), 20)]).await;
    until("the block is taken over", || status(&node, 20).as_deref() == Some("stolen")).await;
    following.end().await;
}
