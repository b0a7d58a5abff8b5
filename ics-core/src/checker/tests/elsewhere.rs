//! Roles that rest on other domains give fewer rights, according to both programs.

use super::*;
use crate::statement::Erasure;

/// The rules of the templates about what rests on other domains.
const ELSEWHERE: &str = r#"
@id("elsewhere-makes-owners-alone") forbid (principal, action == Action::"grant", resource)
when { (context.adopted || context.granted_elsewhere) && context.grants != Role::"owner" };
@id("elsewhere-lifts-nothing") forbid (principal, action == Action::"status", resource)
when { context.granted_elsewhere && context.lifts };
"#;

/// The domain with these rules.
fn guarded() -> Domain {
    changed(0, |descriptor| descriptor.access.push_str(ELSEWHERE))
}

/// The rule of [`ELSEWHERE`] by which the last draft is refused, if it is: by both programs alike.
fn refused_by(drafts: &[Draft]) -> Option<String> {
    rule_of(decided(guarded(), drafts))
}

fn rule_of(decided: Result<Admitted, Refusal>) -> Option<String> {
    match decided {
        Ok(_) => None,
        Err(Refusal::NotPermitted { rules, .. }) => Some(rules.join(" ")),
        Err(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn a_source_makes_owners_and_gives_no_other_role() {
    let given = |n: u64, role: &str| grant(n, MAKER, "manufacturer", BUYER, role);
    let hands_on = |n: u64, role: &str| grant(n, BUYER, "manufacturer", HEIR, role);
    for role in ["owner", "maintainer", "certification-body", "security-controller", "manufacturer"] {
        let only_here = (role != "owner").then(|| "elsewhere-makes-owners-alone".to_owned());
        for (case, drafts, refused) in [
            ("here", vec![introduce(1), given(2, role)], None),
            ("adopted", vec![introduce(1), given(2, role).adopted()], only_here.clone()),
            ("by whom it has named", vec![given(2, "manufacturer").adopted(), hands_on(3, role)], only_here),
            ("by whom this domain has named", vec![given(2, "manufacturer"), hands_on(3, role)], None),
        ] {
            assert_eq!(refused_by(&drafts), refused, "{case}: {role}");
        }
    }
}

/// If there never was a source, every role is from here, even if it is no longer known who gave it.
#[test]
fn nothing_is_from_elsewhere_where_nothing_is_adopted() {
    let sold = grant(2, MAKER, "manufacturer", BUYER, "owner").on(&group("lot 7", &[(Attribute::Lot, "7")]));
    let of_lot = |n, lot| introduce(n).attribute(Attribute::Lot, lot);
    let drafts = [
        of_lot(1, "7"),
        sold,
        status(3, CONTROLLER, "security-controller", "suspended"),
        grant(4, BUYER, "owner", HEIR, "owner").ends(2),
        of_lot(5, "8").ends(1),
        status(6, HEIR, "owner", "in-use").ends(3),
    ];
    assert_eq!(refused_by(&drafts), Some("elsewhere-lifts-nothing".to_owned()), "nobody knows any more who sold it");
    let mut alone = descriptor();
    alone.access.push_str(ELSEWHERE);
    alone.sources.clear();
    let alone = Domain::found([0; 32], alone, time(0)).expect("access rules are valid");
    assert_eq!(decided(alone, &drafts).err(), None);
}

/// On whose word somebody is an owner, through how many hands the role came, and whose status they lift.
#[test]
fn an_owner_by_the_word_of_a_source_lifts_only_what_came_from_there() {
    let sold = || grant(2, MAKER, "manufacturer", BUYER, "owner");
    let sold_again = |n| grant(n, MAKER, "manufacturer", BUYER, "owner");
    let suspended = || status(3, CONTROLLER, "security-controller", "suspended");
    let in_use = |n, owner| status(n, owner, "owner", "in-use").ends(3);
    let hands_on = |n| grant(n, BUYER, "owner", HEIR, "owner").ends(2);
    let taken_back = |n| say(n, MAKER, "manufacturer", Act::Withdrawal).ends(2);
    let hands_on_again = |n| grant(n, BUYER, "owner", HEIR, "owner").ends(n - 1);
    let wide = group("all P1", &[(Attribute::Model, "P1")]);
    let pump = || introduce(1).attribute(Attribute::Model, "P1");
    let own = status(3, BUYER, "owner", "suspended");
    let stolen = status(4, BUYER, "owner", "stolen");
    for (case, drafts, lifts) in [
        ("sold here", vec![sold(), suspended(), in_use(4, BUYER)], true),
        ("sold at the source", vec![sold().adopted(), suspended(), in_use(4, BUYER)], false),
        ("and lifted there", vec![sold().adopted(), suspended(), in_use(4, BUYER).adopted()], false),
        ("it was suspended there too", vec![sold().adopted(), suspended().adopted(), in_use(4, BUYER).adopted()], true),
        ("that is lifted here", vec![sold().adopted(), suspended().adopted(), in_use(4, BUYER)], false),
        ("here as well", vec![sold().adopted(), suspended(), sold_again(4), in_use(5, BUYER)], true),
        ("sold on here", vec![sold().adopted(), suspended(), hands_on(4), in_use(5, HEIR)], false),
        ("sold twice here", vec![sold(), suspended(), hands_on(4), in_use(5, HEIR)], true),
        (
            "bought back at the source",
            vec![sold(), suspended(), taken_back(4), sold_again(5).adopted(), in_use(6, BUYER)],
            false,
        ),
        (
            "sold on by whom it was lent to once",
            vec![sold().until(4), suspended(), sold_again(5).adopted(), hands_on(6), in_use(7, HEIR)],
            false,
        ),
        ("its model is sold here", vec![pump(), sold().on(&wide), suspended(), in_use(4, BUYER)], true),
        ("that at the source", vec![pump(), sold().on(&wide).adopted(), suspended(), in_use(4, BUYER)], false),
        (
            "its model is taken back, and it is sold on from the source",
            vec![
                pump(),
                sold().on(&wide),
                suspended(),
                taken_back(4).on(&wide),
                sold_again(5).adopted(),
                hands_on_again(6),
                in_use(7, HEIR),
            ],
            false,
        ),
        (
            "it was sold on before that",
            vec![pump(), sold().on(&wide), suspended(), hands_on(4), taken_back(5).on(&wide), in_use(6, HEIR)],
            true,
        ),
        ("it was the signer's own word", vec![sold().adopted(), own, in_use(4, BUYER)], true),
        ("it blocks", vec![sold().adopted(), suspended(), stolen], true),
    ] {
        let refused = (!lifts).then(|| "elsewhere-lifts-nothing".to_owned());
        assert_eq!(refused_by(&drafts), refused, "{case}");
    }
}

/// What came from a source and was erased here is lifted by who may there, as before: its erasure says where it came from.
/// One that names nobody has made it a word of this domain.
#[test]
fn a_source_lifts_what_came_from_there_also_once_that_is_erased() {
    let sold = grant(2, MAKER, "manufacturer", BUYER, "owner").adopted().log();
    let suspended = status(3, CONTROLLER, "security-controller", "suspended").adopted().log();
    let about = [sold, suspended];
    let context = Context { about: &about, groups: &[], unseen: false };
    let erasure = guarded().erasure_of(&about[1], &context, time(4)).expect("it may be erased");
    let in_use = status(5, BUYER, "owner", "in-use").ends(3);
    let refused = Some("elsewhere-lifts-nothing".to_owned());
    for (what, erasure, lift, expected) in [
        ("from there", erasure.clone(), in_use.clone().adopted(), None),
        ("said here", erasure.clone(), in_use.clone(), refused.clone()),
        ("of the owners' own word", Erasure { said_by: None, ..erasure }, in_use.adopted(), refused),
    ] {
        let left = Logged::of_erasure(4, time(4), &erasure, HEIR).expect("it is about the device");
        let before = [about[0].clone(), left];
        assert_eq!(rule_of(decided_behind(guarded(), &before, &lift.log())), expected, "{what}");
    }
}

/// A signer names in each statement the one whose place it takes, and may not know which of those were erased here.
#[test]
fn neither_a_block_nor_what_a_source_says_later_is_kept_out_by_naming_what_was_erased_here() {
    let sold = grant(2, MAKER, "manufacturer", BUYER, "owner");
    let approval = say(3, KEEPER, "maintainer", Act::Approval);
    for (signer, role) in [(KEEPER, "maintainer"), (BUYER, "owner")] {
        let used = status(4, signer, role, "in-use");
        let about = [introduce(1), sold.clone(), approval.clone(), used].map(|draft| draft.adopted().log());
        let context = Context { about: &about, groups: &[], unseen: false };
        let erasure = guarded().erasure_of(&about[3], &context, time(5)).expect("it may be erased");
        assert_eq!((&erasure.said_by, &erasure.status), (&None, &None), "nothing goes on to have effect");
        let left = Logged::of_erasure(5, time(5), &erasure, HEIR).expect("it is about the device");
        let before = [&about[..3], &[left]].concat();
        let stolen = status(6, signer, role, "stolen").ends(4);
        let taken_back = say(6, signer, role, Act::Withdrawal).ends(4);
        let used_again = status(6, signer, role, "in-use").ends(4);
        let of_others = status(6, signer, role, "stolen").ends(4).ends(3);
        for (what, draft, expected) in [
            ("a block", stolen.clone().adopted(), Ok(())),
            ("a withdrawal", taken_back.clone().adopted(), Ok(())),
            ("what permits", used_again.clone().adopted(), Ok(())),
            ("what also names something else", of_others.adopted(), Err("supersedes-other-act")),
            ("a block that is said here", stolen, Ok(())),
            ("a withdrawal that is said here", taken_back, Err("statement-erased")),
            ("what permits and is said here", used_again, Err("statement-erased")),
        ] {
            let decided = decided_behind(guarded(), &before, &draft.log());
            assert_eq!(decided.map(drop).map_err(|refusal| refusal.code()), expected, "{what} as {role}");
        }
    }
}

/// What had ended something is left as its signer's word: nobody else can end anything of it, nor must it keep anybody
/// from blocking.
#[test]
fn nor_is_a_block_kept_out_by_naming_what_is_left_of_what_others_said() {
    let planned = status(3, KEEPER, "maintainer", "planned");
    let about = [introduce(1), planned, status(4, KEEPER, "maintainer", "in-use").ends(3)].map(Draft::log);
    let context = Context { about: &about, groups: &[], unseen: false };
    let erasure = guarded().erasure_of(&about[2], &context, time(5)).expect("it may be erased");
    assert!(erasure.said_by.is_some() && erasure.status.is_none(), "what it had ended stays ended: {erasure:?}");
    let left = Logged::of_erasure(5, time(5), &erasure, HEIR).expect("it is about the device");
    let before = [&about[..2], &[left]].concat();
    let says = |signer, role, word| status(6, signer, role, word).ends(4);
    for (what, draft, expected) in [
        ("a block", says(MAKER, "manufacturer", "stolen"), Ok(())),
        ("a block by who had said it", says(KEEPER, "maintainer", "stolen"), Ok(())),
        ("what permits, at a source", says(MAKER, "manufacturer", "in-use").adopted(), Ok(())),
        ("what permits", says(MAKER, "manufacturer", "in-use"), Err("statement-erased")),
    ] {
        let decided = decided_behind(guarded(), &before, &draft.log());
        assert_eq!(decided.map(drop).map_err(|refusal| refusal.code()), expected, "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is said in whatever order, here or at a source, both programs admit the same of it under these rules.
    #[test]
    fn what_is_from_elsewhere_is_found_twice(drafts in logs(), adopted in vec(any::<bool>(), 20)) {
        let guarded = guarded();
        let at_source = |(draft, is_adopted): (Draft, bool)| if is_adopted { draft.adopted() } else { draft };
        let said: Vec<Draft> = drafts.into_iter().zip(adopted).map(at_source).collect();
        for last in 1..said.len() {
            // `decided` asserts that the programs agree.
            drop(decided(guarded.clone(), &said[..=last]));
        }
    }
}
