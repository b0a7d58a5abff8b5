//! Both programs judge remnants alike, whether or not the erasure names who had made the statement.

use proptest::sample::{Index, select};

use super::*;
use crate::descriptor::Compromise;
use crate::statement::Erasure;

/// What a domain says after one of the statements about the device was erased.
struct Left {
    domain: Domain,
    about: Vec<Logged>,
    groups: Vec<Logged>,
}

impl Left {
    fn of(domain: &Domain, drafts: &[Draft], which: &Index, is_named: bool, at: Timestamp) -> Option<Self> {
        let (mut about, groups) = split(drafts);
        let place = which.index(about.len());
        let context = Context { about: &about, groups: &groups, unseen: false };
        let erasure = domain.erasure_of(&about[place], &context, at).ok()?;
        let erasure = if is_named { erasure } else { Erasure { said_by: None, ..erasure } };
        about.remove(place);
        about.push(Logged::of_erasure(1_000, at, &erasure, HEIR).expect("it is about the device"));
        Some(Self { domain: domain.clone(), about, groups })
    }

    fn compromised(mut self, signer: Fingerprint, from_index: u64) -> Self {
        let mut rules = self.domain.descriptor().clone();
        rules.compromised.push(Compromise { signer, domain: home(), from_index });
        self.domain.take_descriptor(2_000, rules, now()).expect("access rules are valid");
        self
    }

    fn asked(&self) -> (Verdict, Premises) {
        let says = Says { domain: self.domain.clone(), drafts: Vec::new(), age: 10 };
        let (_, mut premises) = asked("operate", core::slice::from_ref(&says), 1);
        let record = resolve(&self.domain, &device(), &self.about, &self.groups, now());
        let record = record.map(|record| Record { domain: origin(0).domain, ..record });
        let testimonies = vec![Testimony { record, ..says.testimony(0) }];
        let thing = Looked { asked: ID.to_owned(), candidates: 1, testimonies };
        let given = verdict(&Question { usage: "operate".to_owned(), thing, peer: None }, &POLICIES[0], now());
        let heard = &mut premises.thing.heard[0];
        heard.id = Some(device());
        heard.statements = [self.about.as_slice(), &self.groups].concat();
        heard.statements.sort_by_key(Logged::index);
        (given, premises)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_left_of_erased_statements_is_judged_alike(
        (domain, drafts) in (domains(), logs()),
        which in any::<Index>(),
        is_named in any::<bool>(),
        (signer, from_index) in (select(vec![MAKER, KEEPER, CONTROLLER, BUYER]), 0_u64..20),
        is_ahead in any::<bool>(),
        withdrawn in 0_u64..20,
    ) {
        // The log's time may be ahead of the clock.
        let at = if is_ahead { time(2_500_000) } else { now() };
        if let Some(mut left) = Left::of(&domain, &drafts, &which, is_named, at) {
            left.about.push(say(1_001, KEEPER, "maintainer", Act::Withdrawal).ends(withdrawn).log());
            let (given, premises) = left.asked();
            prop_assert_eq!(check(&given, &premises), Ok(()));
            let (given, premises) = left.compromised(signer, from_index).asked();
            prop_assert_eq!(check(&given, &premises), Ok(()));
        }
    }

    /// Whatever is said next, here or at a source, that names what was erased.
    #[test]
    fn what_names_something_erased_is_admitted_alike(
        (domain, drafts) in (domains(), logs()),
        which in any::<Index>(),
        is_named in any::<bool>(),
        (next, is_adopted) in (drafts(1_001), any::<bool>()),
    ) {
        if let Some(left) = Left::of(&domain, &drafts, &which, is_named, time(1_000)) {
            let erased = left.about.last().expect("what is left").id();
            let next = next.with(|said| said.claims.supersedes.push(erased));
            let next = if is_adopted { next.adopted() } else { next };
            let mut before = [left.about, left.groups].concat();
            before.sort_by_key(Logged::index);
            // It asserts that the programs agree.
            drop(decided_behind(left.domain, &before, &next.log()));
        }
    }
}
