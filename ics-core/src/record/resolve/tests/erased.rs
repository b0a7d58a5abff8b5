//! What is left of an erased statement meets what comes later as the statement itself would have.

use super::*;
use crate::statement::Erasure;

/// Where the erasure stands.
const ERASED: u64 = 1_500_100;

/// What is said of the device, each in a separate entry, and one of them that the owners erase behind all others.
struct Story {
    about: Vec<Logged>,
    erased: usize,
}

impl Story {
    fn of(drafts: &[Draft], erased: usize) -> Self {
        Self { about: split(drafts).0, erased }
    }

    fn erasure(&self) -> Erasure {
        let context = Context { about: &self.about, groups: &[], unseen: false };
        domain().erasure_of(&self.about[self.erased], &context, time(ERASED)).expect("it may be erased")
    }

    /// The log with what this erasure leaves.
    fn left(&self, erasure: &Erasure) -> Vec<Logged> {
        let left = Logged::of_erasure(ERASED, time(ERASED), erasure, HEIR).expect("it is about the device");
        let mut about = self.about.clone();
        about.remove(self.erased);
        about.push(left);
        about
    }
}

fn blocks(domain: &Domain, about: &[Logged], seconds: u64) -> bool {
    let record = resolve(domain, &device(), about, &[], time(seconds)).expect("something was said");
    record.effect().blocks()
}

/// A home's clock was ahead once, and was put right: the time of its log is still to come.
#[test]
fn what_blocked_goes_on_to_block_where_the_logs_time_is_ahead_of_the_clock() {
    let suspended = status(1_500_000, KEEPER, "maintainer", "suspended");
    let story = Story::of(&[introduce(0), suspended], 1);
    assert!(blocks(&domain(), &story.about, 1_000_000), "it needs no `from`");
    let erasure = story.erasure();
    assert_eq!(erasure.from, Some(time(1_500_000)), "certificates are on hold since then, and no sooner");
    for seconds in [1_000_000, 1_499_999, 1_500_000, 2_000_000] {
        assert!(blocks(&domain(), &story.left(&erasure), seconds), "at {seconds}");
    }
}

#[test]
fn what_is_to_begin_later_waits_for_that_also_when_it_is_erased() {
    let suspended = status(2, KEEPER, "maintainer", "suspended").from(1_700_000);
    let story = Story::of(&[introduce(0), suspended], 1);
    let left = story.left(&story.erasure());
    for about in [&story.about, &left] {
        assert_eq!((blocks(&domain(), about, 1_699_999), blocks(&domain(), about, 1_700_000)), (false, true));
    }
}
