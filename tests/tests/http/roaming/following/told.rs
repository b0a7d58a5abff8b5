//! What is reported about things that are followed: that they are no longer shown, or erased, or who said what.

use super::*;

/// It is reported without a copy too, until something about the thing is taken over again.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_home_does_not_let_be_followed_any_more_is_told() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(|_| ())).await.expect("a world")).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    let following = Following::begin(&node);
    assert_eq!(node.app.adopt(&care(), request(&[20], Some(true))).await.expect("adopts").barred, 0);
    amend(&home, ALL, READ_ALONE).await;
    assert_eq!(node.app.adopt(&care(), request(&[21], Some(true))).await.expect("adopts").barred, 1);
    node.app.adopt(&care(), request(&[21], Some(false))).await.expect("ends");
    say(&home, vec![stolen(&maker(), 20)]).await;
    let state = || node.app.domain(&care()).expect("here").follows[0].state.clone();
    until("it is told of", || not_taken(&node).len() == 1 && state() == "failing").await;
    assert!(not_taken(&node)[0].starts_with("the rules of devices.acme.example do not let"), "{:?}", not_taken(&node));
    assert_eq!(status(&node, 20).as_deref(), Some(""));
    amend(&home, READ_ALONE, ALL).await;
    say(&home, vec![recall(Attribute::Lot, "L1")]).await;
    until("all is taken over", || status(&node, 20).as_deref() == Some("stolen")).await;
    until("the alarm ends", || not_taken(&node).is_empty() && state() != "failing").await;
    following.end().await;
}

/// The home tells nothing of a lot to a follower that may read nothing of it: what it had of the lot is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn a_lot_of_which_nothing_is_shown_any_more_is_told() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(|_| ())).await.expect("a world")).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    let following = Following::begin(&node);
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], Some(true)) };
    node.app.adopt(&care(), lot).await.expect("is followed");
    until("what there is of it", || status(&node, 20).as_deref() == Some("")).await;
    let state = || node.app.domain(&care()).expect("here").follows[0].state.clone();
    until("nothing is missed", || not_taken(&node).is_empty() && state() == "current").await;
    let both = "action in [Action::\"read\", Action::\"follow\"]";
    let barred = lots(&["L9"]).replace("action == Action::\"read\"", both);
    amend(&home, ALL, &barred).await;
    until("it is told of", || not_taken(&node).len() == 1 && state() == "failing").await;
    assert!(not_taken(&node)[0].starts_with("the rules of devices.acme.example do not let"), "{:?}", not_taken(&node));
    amend(&home, &barred, ALL).await;
    until("the alarm ends", || not_taken(&node).is_empty() && state() == "current").await;
    following.end().await;
}

/// What was said and erased before it was heard of still blocks at the home, and is reported as with a copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_left_of_what_was_erased_is_told_without_a_copy() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(|_| ())).await.expect("a world")).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    node.app.adopt(&care(), request(&[21], Some(true))).await.expect("adopts");
    let index = home.app().domain(&domain()).expect("here").info.size;
    say(&home, vec![stolen(&maker(), 21)]).await;
    erase(&home, index).await;
    let following = Following::begin(&node);
    until("it is told of", || not_taken(&node).len() == 1).await;
    let (told, erasure) = (not_taken(&node), index + 1);
    let text = &told[0];
    assert!(text.starts_with(&format!("entry {erasure} of {DOMAIN}, what is left of a block")), "{text}");
    assert!(text.contains("block the thing here yourself (`ics status`)") && !text.contains("SN-21"), "{text}");
    assert_eq!(status(&node, 21).as_deref(), Some(""));
    let again = node.app.adopt(&care(), request(&[21], None)).await.expect("adopts");
    let told: Vec<_> = again.refused.iter().map(|problem| (problem.code(), problem.detail.as_str())).collect();
    assert!(matches!(told.as_slice(), [("statement-erased", detail)] if detail.contains(&id(21))), "{told:?}");
    following.end().await;
}

/// An introduction that its home erases still stands here, where only the owners of this domain can erase it.
#[tokio::test(flavor = "multi_thread")]
async fn holders_of_what_its_home_has_erased_are_told_without_a_copy() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(|_| ())).await.expect("a world")).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    node.app.adopt(&care(), request(&[20], Some(true))).await.expect("adopts");
    let following = Following::begin(&node);
    let alarms = || {
        let alarms = node.app.domain(&care()).expect("here").alarms.into_iter();
        alarms.filter(|alarm| alarm.kind == "copy-of-erased").map(|alarm| alarm.text).collect::<Vec<_>>()
    };
    assert_eq!(alarms(), Vec::<String>::new());
    let index = introduced(&home, 20).index;
    erase(&home, index).await;
    until("it is told of", || alarms().len() == 1).await;
    let (told, held) = (alarms(), node.app.record(Reader::Operator, &care(), &id(20)).expect("is here").record);
    let held = held.statements.first().expect("a statement").by.index;
    assert!(told[0].starts_with(&format!("entry {index} of {DOMAIN} was erased")), "{told:?}");
    assert!(told[0].contains(&format!("`ics erase --domain {CARE} --entry {held}`")), "{told:?}");
    assert!(!told[0].contains("SN-20"), "{told:?}");
    following.end().await;
}

/// What the home declares comes with the next answer about a followed thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_whom_the_home_declares_compromised_is_reported_without_a_copy() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let node = caring(&origin(&home), &asked.url(), 50);
    let from_index = home.app().domain(&domain()).expect("here").info.size;
    say(&home, vec![device(23, "L1")]).await;
    node.app.adopt(&care(), request(&[23], Some(true))).await.expect("adopts");
    let following = Following::begin(&node);
    let signer = maker().public_key().fingerprint();
    let declare = |descriptor: &mut Descriptor| {
        descriptor.compromised.push(Compromise { signer, domain: domain(), from_index });
    };
    let alarms = || {
        let alarms = node.app.domain(&care()).expect("here").alarms.into_iter();
        alarms.filter(|alarm| alarm.kind == "compromised-at-source").count()
    };
    change(home.app(), DOMAIN, declare).await;
    until("it is told of", || alarms() == 1).await;
    change(&node.app, CARE, declare).await;
    until("it is declared here too", || alarms() == 0).await;
    asked.set(|_, _| Reply::Hangup);
    following.end().await;
}
