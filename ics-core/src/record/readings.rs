//! The readings of a thing about which access rules are asked: by what is agreed on, and by each choice of what single
//! statements say.

use std::collections::BTreeMap;

use super::{Given, Record};
use crate::limits;
use crate::vocabulary::Attribute;

/// The attributes on which all agree who give them.
pub(super) fn agreed(
    attributes: &BTreeMap<Attribute, Vec<Given<String>>>,
) -> impl Iterator<Item = (Attribute, &String)> {
    attributes.iter().filter_map(|(attribute, given)| {
        let first = &given.first()?.value;
        given.iter().all(|other| other.value == *first).then_some((*attribute, first))
    })
}

impl Record {
    /// The attributes on which all entitled signers agree.
    #[must_use]
    pub fn agreed_attributes(&self) -> BTreeMap<Attribute, String> {
        agreed(&self.attributes).map(|(attribute, value)| (attribute, value.clone())).collect()
    }

    /// The readings of a thing for access rules: the attributes on which all agree, and these with each choice of what
    /// single statements say. Otherwise a rule that hides a thing by an attribute would show all of it, bodies
    /// included, once a signer loses their role or takes back what they said. `None` if there are more than
    /// [`limits::READINGS`].
    #[must_use]
    pub fn readings(&self) -> Option<Vec<BTreeMap<Attribute, String>>> {
        let mut readings = vec![self.agreed_attributes()];
        for (attribute, values) in &self.also_said {
            if readings.len().saturating_mul(values.len() + 1) > limits::READINGS {
                return None;
            }
            let with = |value: &String| {
                let mut changed = readings.clone();
                changed.iter_mut().for_each(|reading| drop(reading.insert(*attribute, value.clone())));
                changed
            };
            let others: Vec<_> = values.iter().flat_map(with).collect();
            readings.extend(others);
        }
        Some(readings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::limits;
    use crate::record::resolve;
    use crate::samples::*;
    use crate::vocabulary::Attribute;

    /// The number of readings of a thing for which single statements give this many more values of these attributes.
    fn readings(also_said: &[(Attribute, usize)]) -> Option<usize> {
        let said = [introduce(0).log()];
        let mut record = resolve(&domain(), &device(), &said, &[], now()).expect("something was said");
        let values = |count: usize| -> BTreeSet<String> { (0..count).map(|n| n.to_string()).collect() };
        record.also_said = also_said.iter().map(|(attribute, count)| (*attribute, values(*count))).collect();
        Some(record.readings()?.len())
    }

    /// Each attribute has its agreed value or one of the values given for it, and rules are asked for each combination.
    #[test]
    fn a_thing_is_read_in_as_many_ways_as_rules_are_asked_and_in_no_more() {
        let all = limits::READINGS;
        for (lots, models, expected) in [
            (0, 0, Some(1)),
            (1, 0, Some(2)),
            (2, 3, Some(12)),
            (all - 1, 0, Some(all)),
            (all, 0, None),
            (all / 16 - 1, 15, Some(all)),
            (all / 16, 15, None),
        ] {
            let found = readings(&[(Attribute::Lot, lots), (Attribute::Model, models)]);
            assert_eq!(found, expected, "{lots} lots, {models} models");
        }
    }
}
