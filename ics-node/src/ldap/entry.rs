//! Entries of the directory: what the use cases return, as attributes and values.

use std::collections::BTreeSet;

use ics_core::identity::IdentityId;
use ics_core::record::{By, Given, Listed, Record};
use ics_core::statement::StatementId;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Attribute as Told, DomainName};
use ics_sync::wire;
use sha2::{Digest as _, Sha256};

use super::dn::escape;
use super::schema::{self, Attribute, Class};
use super::tree::Tree;
use crate::api::{AsOf, DomainInfo, Position};
use crate::app::DomainNumber;
use crate::explain;

/// An entry: its name, and its attributes, each once and with at least one value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) dn: String,
    pub(super) attributes: Vec<(&'static Attribute, Vec<Vec<u8>>)>,
    /// The domain whose completeness and freshness the entry states, if nothing else in the entry changes with that.
    pub(super) dated: Option<DomainNumber>,
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Entry {
    /// An entry with a name and no attributes.
    pub(super) const fn empty(dn: String) -> Self {
        Self { dn, attributes: Vec::new(), dated: None }
    }

    pub(super) fn new(dn: String, class: &'static Class) -> Self {
        let mut entry = Self::empty(dn);
        entry.put(&schema::OBJECT_CLASS, ["top", class.name]);
        entry.put(&schema::STRUCTURAL_CLASS, [class.name]);
        entry
    }

    /// Adds an attribute, unless there are no values.
    pub(super) fn put<T: AsRef<[u8]>>(&mut self, attribute: &'static Attribute, values: impl IntoIterator<Item = T>) {
        let values: Vec<Vec<u8>> = values.into_iter().map(|value| value.as_ref().to_vec()).collect();
        if !values.is_empty() {
            self.attributes.push((attribute, values));
        }
    }

    pub(super) fn number(&mut self, attribute: &'static Attribute, value: u64) {
        self.put(attribute, [value.to_string()]);
    }

    pub(super) fn time(&mut self, attribute: &'static Attribute, value: Option<Timestamp>) {
        self.put(attribute, value.map(generalized_time));
    }

    /// The values of an attribute; empty if the entry lacks it.
    pub(super) fn values(&self, attribute: &Attribute) -> &[Vec<u8>] {
        self.attributes.iter().find(|(held, _)| *held == attribute).map_or(&[], |(_, values)| values)
    }

    /// Adds the operational attributes that every entry has (RFC 4512, 3.4; RFC 4530; RFC 5020).
    pub(super) fn finish(&mut self, tree: &Tree, times: Option<(Timestamp, Timestamp)>, has_children: bool) {
        let dn = self.dn.clone();
        self.put(&schema::ENTRY_UUID, [uuid_text(entry_uuid(tree, &dn))]);
        self.put(&schema::ENTRY_DN, [&dn]);
        if let Some((created, modified)) = times {
            // GnuPG's client cannot read a modifyTimestamp with fractions.
            let seconds = |at: Timestamp| Some(Timestamp::from_seconds(at.as_seconds()));
            self.put(&schema::CREATORS_NAME, [tree.suffix_text()]);
            self.time(&schema::CREATE_TIME, seconds(created));
            self.put(&schema::MODIFIERS_NAME, [tree.suffix_text()]);
            self.time(&schema::MODIFY_TIME, seconds(modified));
        }
        self.put(&schema::SUBSCHEMA, [super::tree::SUBSCHEMA]);
        self.put(&schema::HAS_SUBORDINATES, [if has_children { "TRUE" } else { "FALSE" }]);
    }
}

/// The UUID by which replicas match entries. It does not depend on the suffix, so it is the same on every node.
pub(super) fn entry_uuid(tree: &Tree, dn: &str) -> [u8; 16] {
    let below = dn.strip_suffix(tree.suffix_text()).unwrap_or(dn);
    let digest: [u8; 32] = Sha256::digest([b"ics-ldap-entry\0", below.as_bytes()].concat()).into();
    let [mut uuid @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    // RFC 9562: version 8, made from a digest of our own; variant 10.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let hex = data_encoding::HEXLOWER.encode(&uuid);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Formats a time as `GeneralizedTime` (RFC 4517, 3.3.13), with milliseconds only if they are not zero.
pub(super) fn generalized_time(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.as_seconds()).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match at.as_millis() % 1000 {
        0 => format!("{digits}Z"),
        millis => format!("{digits}.{millis:03}Z"),
    }
}

/// The entry of a domain.
pub(super) fn domain(tree: &Tree, info: &DomainInfo, checkpoint: Option<&str>) -> Entry {
    let name = &info.info.domain;
    let mut entry = Entry::new(tree.domain_dn(name), &schema::ICS_DOMAIN);
    entry.put(&schema::DOMAIN, [name.as_str()]);
    entry.put(&schema::DESCRIPTION, Some(&info.description).filter(|text| !text.is_empty()));
    entry.put(&schema::ORIGIN, [info.info.origin.to_string()]);
    entry.put(&schema::POSITION, [if info.position == Position::Home { "home" } else { "mirror" }]);
    entry.put(&schema::CHECKPOINT, checkpoint);
    if let Some(shown) = &info.shown {
        entry.put(&schema::ROOT, [&shown.root]);
        entry.number(&schema::AS_OF_SIZE, shown.size);
    }
    entry.time(&schema::AS_OF_TIME, info.info.as_of);
    entry.number(&schema::FRESH_FOR, info.fresh_for_seconds);
    entry.number(&schema::DESCRIPTOR_VERSION, info.info.descriptor);
    entry.finish(tree, None, true);
    entry
}

/// What a domain says of a thing; with `as_of`, also how complete and fresh that is.
pub(super) fn identity(tree: &Tree, record: &Record, as_of: Option<(&AsOf, DomainNumber)>) -> Entry {
    let mut entry = Entry::new(tree.identity_dn(&record.domain, &record.identity.id), &schema::ICS_IDENTITY);
    entry.put(&schema::DOMAIN, [record.domain.as_str()]);
    entry.put(&schema::IDENTITY, [record.identity.id.to_string()]);
    entry.put(&schema::KIND, [record.identity.kind.as_str()]);
    entry.put(&schema::COMMON_NAME, Some(&record.title).filter(|title| !title.is_empty()));
    put_status(&mut entry, record);
    entry.put(&schema::VOUCHED_BY, signers(&record.vouched));
    entry.put(&schema::APPROVED_BY, signers(&record.approvals));
    entry.put(&schema::NAME, values(&record.names));
    let labels: BTreeSet<&str> = record.labels.iter().map(|it| it.value.as_str()).collect();
    entry.put(&schema::LABEL, labels);
    entry.put(&schema::GROUP, values(&record.groups));
    entry.put(&schema::INSTALLED, values(&record.installed));
    entry.put(&schema::REPLACES, values(&record.replaces));
    let grants: BTreeSet<String> = record.grants.iter().map(|it| format!("{} {}", it.role, it.grantee)).collect();
    entry.put(&schema::GRANT, grants);
    for (attribute, given) in &record.attributes {
        entry.put(told(*attribute), values(given));
    }
    entry.time(&schema::CHANGES_AT, record.changes_at);
    if let Some((as_of, domain)) = as_of {
        entry.dated = Some(domain);
        entry.attributes.extend(as_of_attributes(as_of));
    }
    let times: Vec<Timestamp> = direct(record).map(|it| it.admitted_at).collect();
    let times = times.iter().min().copied().zip(times.iter().max().copied());
    entry.finish(tree, times, true);
    entry
}

fn put_status(entry: &mut Entry, record: &Record) {
    entry.put(&schema::EFFECT, [record.effect().as_str()]);
    let Some(status) = &record.status else { return };
    entry.put(&schema::STATUS, [status.decides.name.as_str()]);
    entry.time(&schema::STATUS_SINCE, Some(status.decides.since));
    entry.put(&schema::STATUS_BY, [status.decides.by.signer.to_string()]);
    entry.put(&schema::REASON, &status.decides.reason);
    let others: BTreeSet<&str> = status.conflict.iter().map(|it| it.name.as_str()).collect();
    entry.put(&schema::OTHER_STATUS, others);
}

/// The attributes that say how complete and how fresh an answer is.
pub(super) const AS_OF: [&Attribute; 3] = [&schema::AS_OF_SIZE, &schema::AS_OF_TIME, &schema::FRESH_FOR];

pub(super) fn as_of_attributes(as_of: &AsOf) -> Vec<(&'static Attribute, Vec<Vec<u8>>)> {
    let mut entry = Entry::empty(String::new());
    entry.number(&schema::AS_OF_SIZE, as_of.size);
    entry.time(&schema::AS_OF_TIME, as_of.time);
    entry.number(&schema::FRESH_FOR, as_of.fresh_for_seconds);
    entry.attributes
}

/// Values are a set (RFC 4512, 2.2): a value that two signers give appears once.
fn values<T: ToString>(given: &[Given<T>]) -> BTreeSet<String> {
    given.iter().map(|given| given.value.to_string()).collect()
}

fn signers(by: &[By]) -> BTreeSet<String> {
    by.iter().map(|by| by.signer.to_string()).collect()
}

/// The statements about the thing itself; those about its groups are listed under the groups.
pub(super) fn direct(record: &Record) -> impl Iterator<Item = &Listed> {
    record.statements.iter().filter(|statement| statement.by.group.is_none())
}

/// The attribute type for what a manufacturer states.
pub(super) const fn told(attribute: Told) -> &'static Attribute {
    match attribute {
        Told::Manufacturer => &schema::MANUFACTURER,
        Told::Make => &schema::MAKE,
        Told::Model => &schema::MODEL,
        Told::ProductId => &schema::PRODUCT_ID,
        Told::ProductVersion => &schema::PRODUCT_VERSION,
        Told::Lot => &schema::LOT,
        Told::Quantity => &schema::QUANTITY,
        Told::Location => &schema::LOCATION,
        Told::Destination => &schema::DESTINATION,
    }
}

/// The name of a statement's entry.
pub(super) fn statement_dn(tree: &Tree, domain: &DomainName, id: &IdentityId, statement: &StatementId) -> String {
    let above = tree.identity_dn(domain, id);
    format!("{}={},{above}", schema::STATEMENT.name(), escape(&statement.to_string()))
}

/// The entry of one statement about a thing.
pub(super) fn statement(tree: &Tree, record: &Record, said: &Listed, body: Option<&[u8]>) -> Entry {
    let dn = statement_dn(tree, &record.domain, &record.identity.id, &said.by.statement);
    let mut entry = Entry::new(dn, &schema::ICS_STATEMENT);
    entry.put(&schema::STATEMENT, [said.by.statement.to_string()]);
    entry.number(&schema::INDEX, said.by.index);
    entry.put(&schema::ACT, [said.act.as_str()]);
    // An owner of the domain, which is not a role, erased the statement; the role in which it was said is lost.
    entry.put(&schema::ROLE, Some(said.by.role.as_str()).filter(|_| !explain::is_of_owners(said)));
    entry.put(&schema::SIGNER, [said.by.signer.to_string()]);
    entry.put(&schema::SIGNER_NAME, said.by.name.as_ref().filter(|name| !name.is_empty()));
    entry.time(&schema::ADMITTED_AT, Some(said.admitted_at));
    entry.time(&schema::SIGNED_AT, Some(said.signed_at));
    entry.put(&schema::STANDING, [standing(said)]);
    entry.put(&schema::BECAUSE, [&said.because]);
    entry.put(&schema::ENDED_BY, said.ended_by.map(|id| id.to_string()));
    entry.put(&schema::STATUS, said.status.as_ref().map(|status| status.as_str()));
    entry.put(&schema::EFFECT, said.effect.map(|effect| effect.as_str()));
    entry.put(&schema::LABEL, &said.label);
    entry.put(&schema::REASON, &said.reason);
    entry.put(&schema::SUPERSEDES, said.supersedes.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    entry.time(&schema::FROM, said.from);
    entry.time(&schema::UNTIL, said.until);
    entry.put(
        &schema::SOURCE,
        said.source.iter().map(|it| format!("{} {}", it.domain, it.index)).collect::<BTreeSet<_>>(),
    );
    entry.put(&schema::BODY, body);
    entry.finish(tree, Some((said.admitted_at, said.admitted_at)), false);
    entry
}

/// The entry of a log entry.
pub(super) fn log_entry(tree: &Tree, domain: &DomainName, index: u64, told: &wire::Entry) -> Entry {
    let dn = format!("{}={index},{}", schema::INDEX.name(), Tree::log_dn(domain));
    let mut entry = Entry::new(dn, &schema::ICS_LOG_ENTRY);
    entry.number(&schema::INDEX, index);
    put_told(&mut entry, told);
    entry.finish(tree, None, false);
    entry
}

/// A version of the descriptor, as an entry of the log.
pub(super) fn log_descriptor(tree: &Tree, domain: &DomainName, version: u64, told: &wire::Entry) -> Entry {
    let dn = format!("{}={version},{}", schema::DESCRIPTOR_VERSION.name(), Tree::log_dn(domain));
    let mut entry = Entry::new(dn, &schema::ICS_LOG_ENTRY);
    entry.number(&schema::DESCRIPTOR_VERSION, version);
    put_told(&mut entry, told);
    entry.finish(tree, None, false);
    entry
}

fn put_told(entry: &mut Entry, told: &wire::Entry) {
    match told {
        wire::Entry::Whole(whole) => {
            entry.put(&schema::HEADER, [&whole.header]);
            entry.put(&schema::SALT, [whole.salt]);
            entry.put(&schema::BODY, [&whole.body]);
        }
        wire::Entry::Hidden(leaf) => entry.put(&schema::LEAF, [leaf]),
        wire::Entry::Erased { leaf, remnant } => {
            entry.put(&schema::LEAF, [leaf]);
            entry.put(&schema::REMNANT, [remnant.to_bytes()]);
        }
    }
}

/// The entry of a domain's log: its size and, if entries were sent before it, the proof that they lead there.
pub(super) fn log(tree: &Tree, info: &DomainInfo, size: u64, checkpoint: Option<&str>, proof: &[u8]) -> Entry {
    let domain = &info.info.domain;
    let mut entry = Entry::new(Tree::log_dn(domain), &schema::ICS_LOG);
    entry.put(&schema::DOMAIN, [domain.as_str()]);
    entry.put(&schema::ORIGIN, [info.info.origin.to_string()]);
    entry.number(&schema::AS_OF_SIZE, size);
    entry.put(&schema::CHECKPOINT, checkpoint);
    entry.put(&schema::PROOF, Some(proof).filter(|proof| !proof.is_empty()));
    entry.finish(tree, None, true);
    entry
}

/// The word that the record's JSON uses for the statement's standing.
fn standing(said: &Listed) -> String {
    serde_json::to_value(said.standing).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tree::Suffix;
    use super::*;

    #[test]
    fn what_is_left_of_an_erased_statement_was_said_in_no_role_that_is_known() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../schemas/vectors/records.json")).expect("vectors");
        let records = vectors["plant.example"]["records"].as_array().expect("records");
        let last = records.iter().rfind(|it| it["record"]["title"] == "Pump 1").expect("pump 1");
        let record: Record = serde_json::from_value(last["record"].clone()).expect("a record");
        let tree = Tree::new(Suffix::default());
        let mut said = record.statements.last().expect("the block").clone();
        let role = |said: &Listed| statement(&tree, &record, said, None).values(&schema::ROLE).to_vec();
        assert_eq!(role(&said), [b"manufacturer".to_vec()]);
        said.erased = true;
        assert_eq!(role(&said), Vec::<Vec<u8>>::new());
        said.standing = ics_core::record::Standing::Refused;
        assert_eq!(role(&said), [b"manufacturer".to_vec()], "it erased nothing");
    }

    #[test]
    fn a_domain_is_as_of_what_is_shown_of_its_log_and_not_of_what_is_held() {
        let (tree, held) = (Tree::new(Suffix::default()), DomainInfo::held(9, Some(7)));
        let entry = domain(&tree, &held, None);
        assert_eq!(entry.values(&schema::AS_OF_SIZE), [b"7".to_vec()]);
        assert_eq!(entry.values(&schema::ROOT), [b"root of 7".to_vec()]);
        let entry = domain(&tree, &DomainInfo::held(9, None), None);
        assert!(entry.values(&schema::AS_OF_SIZE).is_empty(), "it shows none");
    }

    #[test]
    fn times_as_directories_write_them() {
        for (text, expected) in [
            ("2026-11-25T23:05:41Z", "20261125230541Z"),
            ("2026-11-25T23:05:41.007Z", "20261125230541.007Z"),
            ("1970-01-01T00:00:00.900Z", "19700101000000.900Z"),
        ] {
            assert_eq!(generalized_time(Timestamp::parse(text).expect(text)), expected);
        }
    }
}
