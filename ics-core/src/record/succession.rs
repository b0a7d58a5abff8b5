//! Which thing a name belongs to once a successor has taken another thing's place.

use std::collections::{BTreeMap, BTreeSet};

use super::{By, Record};
use crate::identity::Fingerprint;
use crate::name::Name;

impl Record {
    /// Whether a name of this thing now belongs to its successor. This is so once everybody who gave it to this thing
    /// has since said, in one statement, that the other thing replaces it and has the name: they do no more than they
    /// could by taking the name back, and nobody loses what somebody else has given. The order in time keeps two things
    /// from succeeding each other.
    #[must_use]
    pub fn gives_up(&self, name: &Name, successor: &Self) -> bool {
        let old = self.identity.id.to_string();
        let named: BTreeSet<u64> =
            successor.names.iter().filter(|it| it.value == *name).map(|it| it.by.index).collect();
        // For each signer, the last statement that says both.
        let mut last: BTreeMap<Fingerprint, u64> = BTreeMap::new();
        for By { signer, index, .. } in successor.replaces.iter().filter(|it| it.value == old).map(|it| &it.by) {
            if named.contains(index) {
                last.entry(*signer).and_modify(|last| *last = (*last).max(*index)).or_insert(*index);
            }
        }
        let passes_on = |given: &By| last.get(&given.signer).is_some_and(|index| *index > given.index);
        let is_of_certificate = self.certificates.iter().any(|it| it.value.names().contains(&name));
        let mut givers = self.names.iter().filter(|it| it.value == *name).map(|it| &it.by).peekable();
        !is_of_certificate && givers.peek().is_some() && givers.all(passes_on)
    }
}

#[cfg(test)]
mod tests {
    use crate::identity::{Fingerprint, IdentityId, Kind};
    use crate::name::Name;
    use crate::record::{Record, resolve};
    use crate::samples::*;
    use crate::statement::Subject;
    use crate::vocabulary::Act;

    const NAME: &str = "serial:SN-1";
    const HOST: &str = "host:pump.example";

    /// Makes a statement one about the successor instead.
    fn of_heir(draft: Draft) -> Draft {
        draft.with(|said| {
            said.identity = IdentityId::Key(HEIR);
            said.subject = Subject::Key { fingerprint: HEIR, kind: Kind::Device, user_id: "Pump 7".to_owned() };
        })
    }

    fn replacing(draft: Draft, old: Fingerprint) -> Draft {
        draft.with(|said| said.claims.replaces = Some(IdentityId::Key(old)))
    }

    fn record(id: IdentityId, drafts: &[Draft]) -> Record {
        let about: Vec<_> = drafts.iter().cloned().map(Draft::log).filter(|it| it.subject_id() == id).collect();
        resolve(&domain(), &id, &about, &[], now()).expect("something was said")
    }

    #[test]
    fn a_name_goes_on_by_the_word_of_all_who_gave_it() {
        let named = |n| introduce(n).name(NAME);
        let kept = |n| say(n, KEEPER, "maintainer", Act::Identity).name(HOST);
        let heir = |n| of_heir(replacing(named(n), DEVICE));
        let nameless = |n| of_heir(replacing(introduce(n), DEVICE));
        let usurper = |n| of_heir(replacing(say(n, KEEPER, "maintainer", Act::Identity).name(NAME), DEVICE));
        let taken_back = |n| of_heir(say(n, MAKER, "manufacturer", Act::Withdrawal)).ends(1);
        let another = vec![
            kept(0),
            of_heir(grant(1, KEEPER, "maintainer", BUYER, "maintainer")),
            of_heir(replacing(say(2, BUYER, "maintainer", Act::Identity).name(HOST), DEVICE)),
        ];
        let cases = [
            ("its giver names a successor", vec![named(0), heir(1)], NAME, true),
            ("a maintainer does", vec![kept(0), of_heir(replacing(kept(1), DEVICE))], HOST, true),
            ("a thing of the same name is none", vec![named(0), of_heir(named(1))], NAME, false),
            ("a successor without the name", vec![named(0), nameless(1)], NAME, false),
            ("the name is in another statement", vec![named(0), of_heir(named(1)), nameless(2)], NAME, false),
            ("it is given anew since", vec![named(0), heir(1), named(2)], NAME, false),
            ("it was said before", vec![heir(0), named(1)], NAME, false),
            ("that has been taken back", vec![named(0), heir(1), taken_back(2)], NAME, false),
            ("another than its giver says so", vec![kept(0), heir(1), of_heir(kept(2))], HOST, false),
            ("somebody who may give no such name", vec![named(0), usurper(1)], NAME, false),
            ("another who may give such a name", another, HOST, false),
            ("it is said to replace itself", vec![replacing(named(0), DEVICE), of_heir(named(1))], NAME, false),
        ];
        for (case, drafts, name, goes_on) in cases {
            let [old, new] = [device(), IdentityId::Key(HEIR)].map(|id| record(id, &drafts));
            let name: Name = word(name);
            assert_eq!(old.gives_up(&name, &new), goes_on, "{case}");
            assert!(!new.gives_up(&name, &old), "{case}: never back");
            assert!(!old.gives_up(&name, &old), "{case}: nor to itself");
        }
    }

    #[test]
    fn of_two_that_succeed_each_other_the_later_one_counts() {
        let heir = of_heir(replacing(introduce(1).name(NAME), DEVICE));
        let drafts = [introduce(0).name(NAME), heir, replacing(introduce(2).name(NAME), HEIR)];
        let [old, new] = [device(), IdentityId::Key(HEIR)].map(|id| record(id, &drafts));
        assert!(!old.gives_up(&word(NAME), &new));
        assert!(new.gives_up(&word(NAME), &old));
    }
}
