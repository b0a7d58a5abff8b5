//! What a thing may be to whoever wants to read it.

use std::collections::BTreeMap;

use super::{Given, Record};
use crate::limits;
use crate::vocabulary::Attribute;

impl Record {
    /// The attributes on which all entitled signers agree.
    #[must_use]
    pub fn agreed_attributes(&self) -> BTreeMap<Attribute, String> {
        let agreed = |given: &[Given<String>]| {
            let first = given.first()?;
            given.iter().all(|other| other.value == first.value).then(|| first.value.clone())
        };
        self.attributes.iter().filter_map(|(attribute, given)| Some((*attribute, agreed(given)?))).collect()
    }

    /// What it may be to whoever wants to read it: the attributes on which all agree, and these with each choice of what
    /// single statements say. A rule that hides a thing by an attribute would else show all of it, bodies included, once a
    /// signer has lost his role or takes back what he said. `None` if these are more than [`limits::READINGS`].
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
