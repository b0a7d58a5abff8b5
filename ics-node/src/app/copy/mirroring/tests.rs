//! How a mirror that has stopped goes on, and what is told of it.

use ics_core::time::Timestamp;
use ics_sync::mirror::{Ahead, Status, Trouble};

use super::progress::{fails, has_got_further};
use super::*;
use crate::api::MirrorInfo;
use crate::config::PeerConfig;
use crate::fixture::{Party, word};

fn status() -> Status {
    let (as_of, trouble, stopped, doubt) = (None, None, None, None);
    let (ahead, failures, is_partial, is_looking) = (None, 0, false, false);
    Status { size: 7, known: 7, as_of, ahead, failures, trouble, stopped, doubt, is_partial, is_looking }
}

/// Entries arrive, and only this reason tells why the copy does not get fresher.
#[test]
fn a_copy_whose_home_is_ahead_of_this_clock_says_why_it_waits() {
    let told = |ahead| {
        let status = Status { ahead, ..status() };
        let MirrorInfo { state, last_error, .. } = info(&[], &Progress { status, peer: 0 });
        (state, last_error.unwrap_or_default())
    };
    assert_eq!(told(None), ("current".to_owned(), String::new()));
    let ahead = Ahead { at: Timestamp::from_seconds(90_000), now: Timestamp::from_seconds(0) };
    let (state, why) = told(Some(ahead));
    assert!(state == "waiting" && why.contains("25 h ahead of this node's clock"), "{state}: {why}");
}

#[test]
fn a_copy_of_a_part_is_told_as_one() {
    let told = |is_partial| info(&[], &Progress { status: Status { is_partial, ..status() }, peer: 0 }).partial;
    assert_eq!([true, false].map(told), [true, false]);
}

#[test]
fn a_copy_that_has_stopped_says_how_it_goes_on() {
    let stop = |stop| info(&[], &Progress { status: Status { stopped: Some(stop), ..status() }, peer: 0 });
    let forked = stop(Stop::Fork { size: 7, ours: None, theirs: "a note".to_owned() });
    let (is_stopped, why) = (forked.is_stopped(), forked.last_error.unwrap_or_default());
    let ways = ["asked again", "home must be repaired", "ics domain forks", "ics domain recopy"];
    assert!(is_stopped && ways.iter().all(|way| why.contains(way)), "{why}");
    let unproven = || Stop::Unproven { from: 7, size: 9, ours: None, theirs: "a note".to_owned() };
    let why = stop(unproven()).last_error.unwrap_or_default();
    assert!(["asked again", "ics peer add", "ics domain forks"].iter().all(|way| why.contains(way)), "{why}");
    let by: PeerName = "relay".parse().expect("a name");
    let alarm = |is_fork| alarm_of(&unproven(), Some(&by), is_fork);
    assert!(alarm(false).starts_with("`relay` gave a bad proof: "), "{}", alarm(false));
    assert!(alarm(true).starts_with("fork: "), "{}", alarm(true));
    let unsigned = stop(Stop::Unsigned).last_error.unwrap_or_default();
    assert!(unsigned.ends_with("asked again every few minutes"), "{unsigned}");
}

#[test]
fn of_another_log_one_proof_is_enough_whichever_is_the_longer() {
    let head = |size| Stop::Fork { size, ours: None, theirs: format!("a note of {size}") };
    let entries = Stop::Unproven { from: 7, size: 9, ours: None, theirs: "a note of 9".to_owned() };
    let seal = Some("ours".to_owned());
    let told = Told { reason: head(6), seal: seal.clone(), is_kept: true };
    for (reason, reached, expected) in
        [(&head(8), &seal, true), (&entries, &seal, true), (&entries, &None, false), (&Stop::Unsigned, &seal, false)]
    {
        assert_eq!(told.covers(reason, reached.as_ref()), expected, "{reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_left_out_again_is_alarmed_once() {
    let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
    let home = maker.open();
    let mirror = vec![home.domain(&maker.domain).expect("here").info.origin];
    let peer = |name| PeerConfig {
        url: Some(word("http://127.0.0.1:1")),
        mirror: mirror.clone(),
        ..PeerConfig::new(word(name))
    };
    let app = site.open_for(vec![peer("one"), peer("other")]);
    let hosted = app.hosted(&maker.domain).expect("copied");
    let leave_out = |name, reason: &Stop| {
        let peer = app.peers_table().named(&word(name)).expect("a peer");
        app.leave_out(&hosted, &peer, reason).expect("left out");
        app.alarms_of(&hosted, LEFT_OUT).expect("alarms").len()
    };
    let told = || app.peers().into_iter().map(|peer| peer.pulls[0].last_error.clone()).collect::<Vec<_>>();
    let unproven = Stop::Unproven { from: 7, size: 9, ours: None, theirs: "a note".to_owned() };
    assert_eq!(leave_out("one", &Stop::Unsigned), 1);
    assert_eq!(leave_out("one", &unproven), 1);
    assert_eq!(leave_out("other", &unproven), 2);
    let is_told = |why: Option<String>| why.is_some_and(|why| why.starts_with("left out") && why.contains("lead"));
    assert!(told().into_iter().all(is_told), "whoever looks at the peers is told, too: {:?}", told());
    hosted.leave_out_nobody();
    assert_eq!(told(), [None, None]);
}

#[test]
fn what_had_stopped_goes_on_once_it_has_got_further() {
    assert!(!has_got_further(&status(), &status()));
    let known = Status { known: 9, failures: 3, ..status() };
    assert!(!has_got_further(&status(), &known), "nothing of it is held yet");
    assert!(has_got_further(&status(), &Status { as_of: Some(Timestamp::from_seconds(1)), ..status() }));
    assert!(has_got_further(&status(), &Status { size: 8, ..status() }));
}

/// While another peer stands in, nobody has to be woken at night; and not every attempt is news.
#[test]
fn a_copy_fails_when_all_its_peers_have_and_until_something_came() {
    let failed = |failures| Status { failures, trouble: Some(Trouble::Quorum { size: 9 }), ..status() };
    let (began, further) = (status(), Status { size: 8, ..status() });
    for (has_failed, peers, now, expected) in [
        (false, 1, failed(1), true),
        (false, 2, failed(1), false),
        (false, 2, failed(2), true),
        (false, 2, Status { is_looking: true, ..failed(2) }, false),
        (false, 1, Status { is_looking: true, ..failed(1) }, true),
        (true, 2, failed(1), true),
        (true, 1, status(), true),
        (true, 1, further.clone(), false),
        (false, 1, further, false),
    ] {
        assert_eq!(fails(has_failed, peers, &began, &now), expected, "{has_failed} {peers} {now:?}");
    }
}

#[tokio::test]
async fn no_second_look_is_broken_off_to_ask_a_peer_that_was_left_out() {
    let told = |is_looking| Progress { status: Status { is_looking, ..status() }, peer: 0 };
    let (progress, seen) = watch::channel(told(true));
    let retry = Retry { due: Some(Instant::now()), ..Retry::default() };
    let waits = timeout(Duration::from_millis(50), retry.may_break_off(seen.clone(), LONGEST_LOOK)).await;
    waits.expect_err("it is under way");
    // But it does not take for ever.
    retry.may_break_off(seen.clone(), Duration::from_millis(1)).await;
    progress.send_replace(told(false));
    retry.may_break_off(seen, LONGEST_LOOK).await;
}

#[test]
fn it_is_tried_again_later_each_time_and_soon_after_a_long_peace() {
    let (mut retry, mut now) = (Retry::default(), Instant::now());
    for seconds in [5, 10, 20, 40, 80, 160, 320, 320] {
        retry.plan(now);
        let pause = Duration::from_secs(seconds);
        assert!(!retry.take_due(now + pause / 2) && retry.take_due(now + pause), "{seconds}");
        assert!(!retry.take_due(now + pause), "once");
        now += pause;
    }
    now += LONGEST_PAUSE * 3;
    retry.plan(now);
    retry.plan(now + FIRST_PAUSE / 5);
    assert!(retry.take_due(now + FIRST_PAUSE), "another failure puts nothing off");
}
