//! What is too long, or refused, holds up nothing else.

use super::*;

/// One record is longer than what is read: the others are heard of, and it is taken over once it can be.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_keeps_nobody_from_the_others() {
    let (home, asked, node) = too_much_is_said().await;
    let made = origin(&home);
    let size = home.app().domain(&domain()).expect("founded").info.size;
    let heads = vec![hint(&made, 20, size), hint(&made, 21, size)];
    asked.push(Some(Heads { upto: size, size, heads, checkpoint: None, rights: None }));
    let following = Following::begin(&node);
    until("the other one is taken over", || status(&node, 21).as_deref() == Some("stolen")).await;
    let error = || node.app.domain(&care()).expect("here").follows[0].last_error.clone().unwrap_or_default();
    let alarms = || node.app.domain(&care()).expect("here").alarms;
    let is_told = || error().contains("more than") && alarms().iter().any(|alarm| alarm.kind == "not-taken-over");
    until("it is told of", is_told).await;
    assert!(alarms().iter().all(|alarm| !alarm.text.contains(&id(20))), "all may read them: {:?}", alarms());
    assert_eq!(status(&node, 20).as_deref(), Some(""));
    asked.set_honest(&home);
    until("it is taken over", || status(&node, 20).as_deref() == Some("stolen")).await;
    until("the alarm ends", || alarms().iter().all(|alarm| alarm.kind != "not-taken-over")).await;
    following.end().await;
}

/// Nothing is pushed: what is refused about one thing is asked for again, and nothing else with it. Each time raises
/// its alarm, for as long as it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_in_a_look_has_nothing_else_fetched_again() {
    let home = home().await;
    let (made, asked) = (origin(&home), Liar::honest(&home).await);
    let node = caring(&made, &asked.url(), 50);
    adopts(&node, request(&[20, 21], Some(true))).await;
    let size = || home.app().domain(&domain()).expect("founded").info.size;
    let seen = size();
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    // They are looked at in the order of their ids.
    let (first, last) = if id(20) < id(21) { (20, 21) } else { (21, 20) };
    let [others, long] = too_long(&asked, last, seen);
    let following = Following::begin(&node);
    until("it is asked for again", || long.load(Ordering::SeqCst) >= 2).await;
    assert_eq!((others.load(Ordering::SeqCst), status(&node, first).as_deref()), (1, Some("stolen")));
    let error = || node.app.domain(&care()).expect("here").follows[0].last_error.clone().unwrap_or_default();
    let alarms = || not_taken(&node);
    let is_told = |seed: u8, count: usize| error().contains(&id(seed)) && alarms().len() == count;
    until("it is told of", || is_told(last, 1)).await;
    asked.set_honest(&home);
    until("it is taken over", || status(&node, last).as_deref() == Some("stolen") && error().is_empty()).await;
    assert_eq!(alarms(), Vec::<String>::new());

    too_long(&asked, first, size());
    say(&home, vec![device(23, "L1")]).await;
    until("the other one is told of", || is_told(first, 1)).await;
    assert!(alarms()[0].contains(&format!("news at {} entries", size())), "{:?}", alarms());
    following.end().await;
}
