//! Which groups a thing belongs to, and how a store finds the groups that may concern it.
//!
//! A thing belongs to a group when a standing statement about it names the group, or when the group selects by
//! attributes and the thing has all of them. What vouches must be sure of that; for what blocks, a possibility is
//! enough: see [`Belongs`].

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::Logged;
use crate::limits;
use crate::statement::{Group, Subject};
use crate::vocabulary::{Act, Attribute};

/// Values by attribute, as different signers give them.
pub(crate) type Values = BTreeMap<Attribute, BTreeSet<String>>;

/// How sure it is that a thing belongs to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Belongs {
    No,
    /// Said by somebody who may no longer vouch, or contradicted by another: blocks on the group hold, or a second
    /// statement with another lot would take a device out of a recall.
    Perhaps,
    /// All entitled signers who speak of it agree: everything said about the group holds.
    Surely,
}

/// What is known of a thing's groups.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// Groups named, and values given, by those who may vouch.
    pub(crate) sure: Told,
    /// The same, from anybody whose statement stands, vouching or not.
    pub(crate) feared: Told,
    /// Values that erasures restate. They contradict others, as the erased statement did; otherwise a thing would
    /// surely belong to a group only because a contradicting statement is gone.
    erased: Values,
}

#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) named: BTreeSet<[u8; 32]>,
    pub(crate) values: Values,
}

impl Told {
    pub(crate) fn take(&mut self, statement: &Logged) {
        let claims = statement.claims();
        self.named.extend(&claims.groups);
        if claims.act == Act::Identity {
            self.take_values(&claims.attributes);
        }
    }

    /// Takes whatever a statement ever gave, whatever became of it.
    fn take_ever(&mut self, statement: &Logged) {
        if statement.is_erased() {
            self.take_erased(statement);
        }
        self.take(statement);
    }

    /// Takes what an erasure restates, whatever the erased statement did.
    fn take_erased(&mut self, erased: &Logged) {
        self.named.extend(&erased.claims().groups);
        self.take_values(&erased.claims().attributes);
    }

    fn take_values(&mut self, attributes: &BTreeMap<Attribute, String>) {
        add(&mut self.values, attributes);
    }
}

fn add(values: &mut Values, attributes: &BTreeMap<Attribute, String>) {
    for (attribute, value) in attributes {
        values.entry(*attribute).or_default().insert(value.clone());
    }
}

impl Membership {
    /// What a group's own selector says about the groups around it.
    pub(crate) fn of_group(group: &Group) -> Self {
        let mut membership = Self::default();
        membership.sure.take_values(&group.attributes);
        membership.feared.take_values(&group.attributes);
        membership
    }

    /// Takes what an erasure restates: it no longer vouches for anything, but the thing may belong to a group because
    /// of it.
    pub(crate) fn take_erased(&mut self, erased: &Logged) {
        self.feared.take_erased(erased);
        add(&mut self.erased, &erased.claims().attributes);
    }

    /// Whether the thing belongs to a group.
    pub(crate) fn of(&self, id: &[u8; 32], group: &Group) -> Belongs {
        let surely = |attribute: &Attribute, value: &String| {
            let is_given = self.sure.values.get(attribute).is_some_and(|values| values.contains(value));
            let given =
                [&self.sure.values, &self.erased].into_iter().filter_map(|values| values.get(attribute)).flatten();
            is_given && given.into_iter().all(|given| given == value)
        };
        let perhaps = |attribute: &Attribute, value: &String| {
            self.feared.values.get(attribute).is_some_and(|values| values.contains(value))
        };
        if self.sure.named.contains(id) || group.selects_by(surely) {
            Belongs::Surely
        } else if self.feared.named.contains(id) || group.selects_by(perhaps) {
            Belongs::Perhaps
        } else {
            Belongs::No
        }
    }
}

impl Subject {
    /// The group, if the subject is one.
    pub(crate) const fn as_group(&self) -> Option<&Group> {
        match self {
            Self::Group(group) => Some(group),
            Self::Key { .. } | Self::Software(_) => None,
        }
    }
}

impl Group {
    /// Whether it selects by attributes and `has` holds for every one of them.
    fn selects_by(&self, has: impl Fn(&Attribute, &String) -> bool) -> bool {
        !self.attributes.is_empty()
            && self
                .attributes
                .iter()
                .all(|(attribute, value)| Attribute::SELECTING.contains(attribute) && has(attribute, value))
    }

    /// The key under which a store files the group by what it selects, if it selects by attributes: see
    /// [`CandidateGroups`].
    #[must_use]
    pub fn selector_key(&self) -> Option<[u8; 32]> {
        (!self.attributes.is_empty())
            .then(|| selector_key(self.attributes.iter().map(|(attribute, value)| (*attribute, value.as_str()))))
    }
}

/// SHA-256 over the pairs in the order of [`Attribute`], each part preceded by its length (8 bytes, big-endian).
fn selector_key<'a>(pairs: impl Iterator<Item = (Attribute, &'a str)>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in pairs.flat_map(|(attribute, value)| [attribute.as_str(), value]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// The keys of all selectors that take at most one value of each selecting attribute, and at least one in all: 15 if
/// each attribute has one value.
fn keys_of_values(values: &Values) -> Vec<[u8; 32]> {
    let mut selectors: Vec<Vec<(Attribute, &str)>> = vec![Vec::new()];
    for (attribute, given) in values.iter().filter(|(attribute, _)| Attribute::SELECTING.contains(attribute)) {
        let longer: Vec<_> = given
            .iter()
            .take(limits::SELECTING_VALUES)
            .flat_map(|value| selectors.iter().map(move |selector| with(selector, *attribute, value)))
            .collect();
        selectors.extend(longer);
    }
    selectors.iter().filter(|selector| !selector.is_empty()).map(|s| selector_key(s.iter().copied())).collect()
}

fn with<'a>(selector: &[(Attribute, &'a str)], attribute: Attribute, value: &'a str) -> Vec<(Attribute, &'a str)> {
    selector.iter().copied().chain([(attribute, value)]).collect()
}

/// The groups that may concern an identity: to resolve it, or to check a statement about it, all statements about these
/// groups are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CandidateGroups {
    /// Groups named by a statement about it, by id.
    pub named: BTreeSet<[u8; 32]>,
    /// Keys of the selectors that fit it: see [`Group::selector_key`].
    pub selectors: BTreeSet<[u8; 32]>,
}

/// The groups that may concern an identity, from all statements about it.
///
/// If signers give a thing different values of an attribute, it has selectors for each of them, up to
/// [`limits::SELECTING_VALUES`] values; admission keeps further values out.
#[must_use]
pub fn candidate_groups<'a>(about: impl IntoIterator<Item = &'a Logged>) -> CandidateGroups {
    let mut said = Told::default();
    for statement in about.into_iter().filter(|statement| !statement.is_refused()) {
        said.take_ever(statement);
        if let Some(group) = statement.subject().as_group() {
            said.take_values(&group.attributes);
        }
    }
    CandidateGroups { named: said.named, selectors: keys_of_values(&said.values).into_iter().collect() }
}

/// What all statements about a thing have ever given it, including those that were taken back or replaced, have lapsed,
/// or whose signers have lost their roles, and what erasures restate. Only what was refused gave nothing.
#[must_use]
pub fn ever_given<'a>(about: impl IntoIterator<Item = &'a Logged>) -> BTreeMap<Attribute, BTreeSet<String>> {
    let mut said = Told::default();
    about.into_iter().filter(|statement| !statement.is_refused()).for_each(|statement| said.take_ever(statement));
    said.values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Context;
    use crate::samples::*;

    /// Whoever would hide it by such a value asks what it was ever given; what was never admitted hides nothing.
    #[test]
    fn a_thing_was_given_whatever_was_once_said_of_it_and_not_refused() {
        let of_lot = |n: u64, lot: &str| introduce(n).attribute(Attribute::Lot, lot);
        let erased = of_lot(5, "6").attribute(Attribute::Location, "48.1,11.5").log();
        let about = [erased.clone()];
        let context = Context { about: &about, groups: &[], unseen: false };
        let erasure = domain().erasure_of(&erased, &context, now()).expect("it may be erased");
        let said = [
            of_lot(0, "1").attribute(Attribute::Model, "P1").log(),
            say(1, MAKER, "manufacturer", Act::Withdrawal).ends(0).log(),
            of_lot(2, "2").until(10).log(),
            say(3, BUYER, "owner", Act::Identity).attribute(Attribute::Lot, "3").log(),
            of_lot(4, "4").ends(2).log(),
            Logged::of_erasure(6, now(), &erasure, HEIR).expect("it is about the device"),
            of_lot(7, "7").refused().log(),
        ];
        let lots = ["1", "2", "3", "4", "6"].map(str::to_owned).into();
        let models = BTreeSet::from(["P1".to_owned()]);
        let expected = BTreeMap::from([(Attribute::Model, models), (Attribute::Lot, lots)]);
        assert_eq!(ever_given(&said), expected, "of what was erased, what is restated");
    }
}
