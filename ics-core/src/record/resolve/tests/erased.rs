//! What comes later meets a remnant as it would have met the statement itself.

use super::*;
use crate::statement::Erasure;

/// The index of the erasure.
const ERASED: u64 = 1_500_100;

/// Statements about the device, each in its own entry; the owners erase one of them after all others.
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

    /// The log with the remnant that this erasure leaves, and with what is said after it.
    fn left(&self, erasure: &Erasure, later: &[Draft]) -> Vec<Logged> {
        let left = Logged::of_erasure(ERASED, time(ERASED), erasure, HEIR).expect("it is about the device");
        let mut about = self.about.clone();
        about.remove(self.erased);
        about.push(left);
        about.extend(split(later).0);
        about
    }
}

fn blocks(domain: &Domain, about: &[Logged], seconds: u64) -> bool {
    let record = resolve(domain, &device(), about, &[], time(seconds)).expect("something was said");
    record.effect().blocks()
}

/// The domain after it has declared a signer compromised from an entry on.
fn compromised(signer: Fingerprint, from_index: u64) -> Domain {
    changed(1_600_000, |descriptor| descriptor.compromised.push(Compromise { signer, domain: home(), from_index }))
}

/// A block, and what lifts it: a statement by its own signer, or in another role.
fn lifted() -> [(&'static str, Fingerprint, Vec<Draft>); 2] {
    let suspended = |signer, role: &str| status(2, signer, role, "suspended");
    let sold = grant(1, MAKER, "manufacturer", BUYER, "owner");
    let own = vec![introduce(0), suspended(KEEPER, "maintainer"), status(3, KEEPER, "maintainer", "in-use").ends(2)];
    let others = vec![
        introduce(0),
        sold,
        suspended(CONTROLLER, "security-controller"),
        status(3, BUYER, "owner", "in-use").ends(2),
    ];
    [("his own", KEEPER, own), ("another role's", BUYER, others)]
}

/// The positions of a story's two statuses among its statements: the block, and what lifts it.
fn block_and_lift(drafts: &[Draft]) -> [(&'static str, usize); 2] {
    [("the block", drafts.len() - 2), ("the lift", drafts.len() - 1)]
}

/// A home's clock was ahead and was then corrected: the time of its log still lies in the future.
#[test]
fn what_blocked_goes_on_to_block_where_the_logs_time_is_ahead_of_the_clock() {
    let suspended = status(1_500_000, KEEPER, "maintainer", "suspended");
    let story = Story::of(&[introduce(0), suspended], 1);
    assert!(blocks(&domain(), &story.about, 1_000_000), "it needs no `from`");
    let attributed = story.erasure();
    let unattributed = Erasure { said_by: None, ..attributed.clone() };
    for (what, erasure) in [("of who said it", attributed), ("of the owners", unattributed)] {
        assert_eq!(erasure.from, Some(time(1_500_000)), "{what}: certificates are on hold since then, and no sooner");
        for seconds in [1_000_000, 1_499_999, 1_500_000, 2_000_000] {
            assert!(blocks(&domain(), &story.left(&erasure, &[]), seconds), "{what}, at {seconds}");
        }
    }
}

#[test]
fn what_is_to_begin_later_waits_for_that_also_when_it_is_erased() {
    let suspended = status(2, KEEPER, "maintainer", "suspended").from(1_700_000);
    let story = Story::of(&[introduce(0), suspended], 1);
    let left = story.left(&story.erasure(), &[]);
    for about in [&story.about, &left] {
        assert_eq!((blocks(&domain(), about, 1_699_999), blocks(&domain(), about, 1_700_000)), (false, true));
    }
}

/// A thief has lifted the block. It comes back when the thief is exposed, whichever statement was erased before.
#[test]
fn a_block_comes_back_when_its_lifter_is_declared_compromised_whichever_of_the_two_is_erased() {
    for (who, signer, drafts) in lifted() {
        let later = compromised(signer, 3);
        for (what, erased) in block_and_lift(&drafts) {
            let story = Story::of(&drafts, erased);
            let left = story.left(&story.erasure(), &[]);
            for about in [&story.about, &left] {
                assert!(!blocks(&domain(), about, 1_550_000), "{what}, {who}: it is lifted");
                assert!(blocks(&later, about, 1_650_000), "{what}, {who}: the lift falls");
            }
        }
    }
}

#[test]
fn a_block_comes_back_when_what_lifted_it_is_withdrawn_whichever_of_the_two_is_erased() {
    for (who, signer, drafts) in lifted() {
        let role = if signer == KEEPER { "maintainer" } else { "owner" };
        let withdrawal = say(ERASED + 1, signer, role, Act::Withdrawal).ends(3);
        for (what, erased) in block_and_lift(&drafts) {
            let story = Story::of(&drafts, erased);
            let before = story.left(&story.erasure(), &[]);
            let context = Context { about: &before, groups: &[], unseen: false };
            let home = grown(domain(), ERASED + 1);
            assert!(home.check(&withdrawal.clone().log(), &context).is_ok(), "{what}, {who}: it is the signer's own");
            let after = story.left(&story.erasure(), core::slice::from_ref(&withdrawal));
            assert!(!blocks(&domain(), &before, 1_550_000), "{what}, {who}: it is lifted");
            assert!(blocks(&domain(), &after, 1_550_000), "{what}, {who}: it is lifted no longer");
        }
    }
}

#[test]
fn what_is_left_of_a_block_falls_with_its_signer_who_can_take_it_back() {
    let story = Story::of(&[introduce(0), status(2, KEEPER, "maintainer", "suspended")], 1);
    let withdrawal = say(ERASED + 1, KEEPER, "maintainer", Act::Withdrawal).ends(2);
    let left = story.left(&story.erasure(), &[]);
    assert!(blocks(&domain(), &left, 1_550_000));
    for (from, stays) in [(2, false), (3, true)] {
        let later = compromised(KEEPER, from);
        assert_eq!(blocks(&later, &story.about, 1_650_000), stays, "not erased, from {from}");
        assert_eq!(blocks(&later, &left, 1_650_000), stays, "erased, from {from}");
    }
    let context = Context { about: &left, groups: &[], unseen: false };
    assert!(grown(domain(), ERASED + 1).check(&withdrawal.clone().log(), &context).is_ok());
    assert!(!blocks(&domain(), &story.left(&story.erasure(), &[withdrawal]), 1_550_000));
}

/// A signer may be declared compromised where the statement was made, and not here.
#[test]
fn what_was_adopted_and_erased_falls_with_its_signer_where_it_came_from() {
    let story = Story::of(&[introduce(0), status(2, KEEPER, "maintainer", "suspended").adopted()], 1);
    let left = story.left(&story.erasure(), &[]);
    for (from_index, stays) in [(7, false), (8, true)] {
        let compromise = Compromise { signer: KEEPER, domain: word("maker.example"), from_index };
        let later = changed(1_600_000, |descriptor| descriptor.compromised.push(compromise));
        for about in [&story.about, &left] {
            assert_eq!(blocks(&later, about, 1_650_000), stays, "from {from_index}");
        }
    }
}

/// Logs have such erasures from before erasures named anybody: what they leave remains the owners' own word.
#[test]
fn an_erasure_that_names_nobody_is_judged_as_it_was() {
    let block = Story::of(&[introduce(0), status(2, KEEPER, "maintainer", "suspended")], 1);
    let unattributed = Erasure { said_by: None, ..block.erasure() };
    let withdrawal = say(ERASED + 1, KEEPER, "maintainer", Act::Withdrawal).ends(2);
    let left = block.left(&unattributed, &[withdrawal]);
    assert!(blocks(&compromised(KEEPER, 2), &left, 1_650_000), "it falls with nobody");
    assert!(blocks(&domain(), &left, 1_550_000), "the signer does not take it back");
    let context = Context { about: &left[..2], groups: &[], unseen: false };
    let refused = grown(domain(), ERASED + 1).check(&left[2], &context).expect_err("it is the owners'");
    assert_eq!(refused.code(), "statement-erased");
    for (who, signer, drafts) in lifted() {
        let lift = Story::of(&drafts, drafts.len() - 1);
        let unattributed = Erasure { said_by: None, ..lift.erasure() };
        let left = lift.left(&unattributed, &[]);
        assert!(!blocks(&compromised(signer, 3), &left, 1_650_000), "{who}: what it had ended stays ended");
    }
}

/// Whoever keeps a record keeps it until it changes, and would miss a block that comes back earlier.
#[test]
fn a_record_says_when_what_an_erased_statement_had_ended_comes_back() {
    let stolen = status(1, KEEPER, "maintainer", "stolen");
    let suspended = status(2, KEEPER, "maintainer", "suspended").ends(1).until(1_700_000);
    let story = Story::of(&[introduce(0), stolen, suspended], 2);
    let attributed = story.erasure();
    let unattributed = Erasure { said_by: None, ..attributed.clone() };
    let lifted = changed(1_600_000, |descriptor| descriptor.lifted.extend([id(2)]));
    for (what, erasure, blocked, changes_at) in [
        ("of who said it, it falls at once", attributed, true, None),
        ("of the owners, it ends in its time", unattributed, false, Some(time(1_700_000))),
    ] {
        let left = story.left(&erasure, &[]);
        let record = resolve(&lifted, &device(), &left, &[], time(1_650_000)).expect("something was said");
        assert_eq!((record.effect().blocks(), record.changes_at), (blocked, changes_at), "{what}");
        assert!(blocks(&lifted, &left, 1_700_000), "{what}: the theft is not over");
    }
}

/// The signer is named only if an effect depends on them.
#[test]
fn a_signer_of_what_has_no_effect_any_more_is_not_named() {
    let in_use = status(2, KEEPER, "maintainer", "in-use");
    let approval = say(3, KEEPER, "maintainer", Act::Approval);
    let over = status(4, KEEPER, "maintainer", "suspended").until(1_000);
    let drafts = [introduce(0), in_use, approval, over];
    for erased in 0..drafts.len() {
        let erasure = Story::of(&drafts, erased).erasure();
        assert_eq!((erasure.said_by, erasure.effect, erasure.until), (None, None, None), "entry {erased}");
    }
}
