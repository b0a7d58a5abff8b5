//! What several self-signatures state about one key, taken together.

use core::cmp::Reverse;
use std::collections::BTreeMap;

use super::Binding;

/// What the self-signatures of a key that count state about it.
pub(super) struct Said {
    pub(super) flags: Option<u8>,
    pub(super) key_expires_after: Option<u32>,
    pub(super) is_mutual: bool,
}

/// Combines the self-signatures that count; `None` if there are none.
///
/// On the key itself, and on each User ID, the newest replaces the others. What that does not state is taken from the
/// rest: GnuPG writes a direct-key signature that only names a designated revoker, and this must not end an expiration
/// of the key.
pub(super) fn said(bindings: &[Binding], counts: impl Fn(&Binding) -> bool) -> Option<Said> {
    let mut newest: BTreeMap<usize, &Binding> = BTreeMap::new();
    for binding in bindings.iter().filter(|binding| counts(binding)) {
        let of_component = newest.entry(binding.component).or_insert(binding);
        if binding.created >= of_component.created {
            *of_component = binding;
        }
    }
    let mut heard: Vec<&Binding> = newest.into_values().collect();
    heard.sort_by_key(|binding| (binding.component > 0, Reverse((binding.created, binding.component))));
    heard.first()?;
    Some(Said {
        flags: heard.iter().find_map(|binding| binding.flags),
        key_expires_after: heard.iter().find_map(|binding| binding.key_expires_after),
        is_mutual: heard.iter().any(|binding| binding.is_mutual),
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn binding(component: usize, second: u64, flags: Option<u8>, key_expires_after: Option<u32>) -> Binding {
        let created = Timestamp::from_seconds(second);
        Binding { component, created, expires: None, flags, key_expires_after, void_from: None, is_mutual: false }
    }

    fn bindings() -> impl Strategy<Value = Vec<Binding>> {
        let one = (1..4_usize, 0..20_u64, any::<Option<u8>>(), any::<Option<u32>>());
        vec(one.prop_map(|(component, second, flags, expires)| binding(component, second, flags, expires)), 1..8)
    }

    fn told(bindings: &[Binding]) -> Option<(Option<u8>, Option<u32>)> {
        said(bindings, |_| true).map(|said| (said.flags, said.key_expires_after))
    }

    proptest! {
        #[test]
        fn what_a_key_does_not_say_of_itself_is_as_before(all in bindings(), second in 0..20_u64) {
            let with = [&all[..], &[binding(0, second, None, None)]].concat();
            prop_assert_eq!(told(&with), told(&all));
        }

        #[test]
        fn what_a_key_says_of_itself_decides(all in bindings(), second in 0..20_u64, flags: u8, expires: u32) {
            let with = [&[binding(0, second, Some(flags), Some(expires))][..], &all[..]].concat();
            prop_assert_eq!(told(&with), Some((Some(flags), Some(expires))));
        }
    }

    #[test]
    fn of_user_ids_the_newest_that_says_it_decides() {
        let older = binding(1, 1, Some(1), Some(100));
        let newer = binding(2, 2, None, Some(200));
        assert_eq!(told(&[older.clone(), newer.clone()]), Some((Some(1), Some(200))));
        let taken_back = binding(2, 3, Some(3), None);
        assert_eq!(told(&[older, newer, taken_back]), Some((Some(3), Some(100))));
        assert_eq!(told(&[]), None);
    }
}
