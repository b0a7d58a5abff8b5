//! What is said about a thing when it is introduced: the columns of a row, or the flags of the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ics_core::identity::{Fingerprint, IdentityError, IdentityId, Kind, excerpt, unnamed};
use ics_core::name::{Name, NameError};
use ics_core::record::Digest;
use ics_core::statement::Claims;
use ics_core::time::{TimeError, Timestamp};
use ics_core::vocabulary::{Attribute, WordError};

use crate::client::thing::{GivenKey, KeyThing, Thing, ThingError};

/// The columns that are not attributes.
const COLUMNS: [&str; 12] =
    ["key", "spki", "kind", "name", "urn", "serial", "host", "cert", "group", "replaces", "from", "until"];

/// What is said about a thing with a key when it is introduced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// A file with its public key.
    pub key: Option<PathBuf>,
    /// The public key itself: PEM, or DER in base64.
    pub spki: Option<String>,
    /// What kind of thing it is.
    pub kind: Option<Kind>,
    /// Its title.
    pub name: Option<String>,
    /// Names by which it is looked up.
    pub names: Vec<Name>,
    /// Attributes.
    pub attributes: BTreeMap<Attribute, String>,
    /// Groups of which it becomes a member.
    pub groups: Vec<[u8; 32]>,
    /// The identity that it succeeds.
    pub replaces: Option<IdentityId>,
    /// When the statement comes into force.
    pub from: Option<Timestamp>,
    /// When it ends.
    pub until: Option<Timestamp>,
}

/// Why the fields cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No such column.
    #[error("`{0}` is not a column: {known}", known = known_columns())]
    Unknown(String),
    /// A value is not valid for its column.
    #[error("column `{column}`: {reason}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no key, or there are two.
    #[error("a row needs a public key, either in a file (`key`) or in the row itself (`spki`), not both")]
    Key,
    /// The file with the key cannot be read.
    #[error("`{path}`: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The kind has no key.
    #[error("a {0} is not published by its key")]
    Kind(Kind),
}

fn known_columns() -> String {
    let attributes = Attribute::ALL.iter().map(|attribute| attribute.as_str());
    COLUMNS.into_iter().chain(attributes).collect::<Vec<_>>().join(", ")
}

impl Fields {
    /// Checks that there is a column of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn check_column(column: &str) -> Result<(), FieldError> {
        let is_known = COLUMNS.contains(&column) || column.parse::<Attribute>().is_ok();
        if is_known { Ok(()) } else { Err(FieldError::Unknown(excerpt(column))) }
    }

    /// Sets the value of a column; an empty value is ignored. Several URNs, hosts, certificates or groups in one column
    /// are separated by white space.
    ///
    /// # Errors
    /// When there is no such column, or the value is not valid for it.
    pub fn set(&mut self, column: &str, value: &str) -> Result<(), FieldError> {
        let value = value.trim();
        if value.is_empty() {
            return Self::check_column(column);
        }
        let wrong = |reason: String| FieldError::Value { column: column.to_owned(), reason };
        let time = |text: &str| Timestamp::parse(text).map_err(|e: TimeError| wrong(e.to_string()));
        match column {
            "key" => self.key = Some(PathBuf::from(value)),
            "spki" => self.spki = Some(value.to_owned()),
            "kind" => self.kind = Some(value.parse().map_err(|e: IdentityError| wrong(e.to_string()))?),
            "name" => self.name = Some(value.to_owned()),
            // A serial number may contain a space, and must not become two.
            "serial" => self.add_name(column, value)?,
            "urn" | "host" | "cert" => {
                for word in value.split_whitespace() {
                    self.add_name(column, word)?;
                }
            }
            "group" => {
                for word in value.split_whitespace() {
                    let Digest(group) = word.parse().map_err(|e: IdentityError| wrong(e.to_string()))?;
                    self.groups.push(group);
                }
            }
            "replaces" => self.replaces = Some(key_id(value).map_err(|e| wrong(e.to_string()))?),
            "from" => self.from = Some(time(value)?),
            "until" => self.until = Some(time(value)?),
            other => {
                Self::check_column(other)?;
                let attribute: Attribute = other.parse().map_err(|e: WordError| wrong(e.to_string()))?;
                self.attributes.insert(attribute, value.to_owned());
            }
        }
        Ok(())
    }

    /// Adds one name of a scheme, written with or without the scheme.
    ///
    /// # Errors
    /// When the text does not have the form that the scheme requires.
    pub fn add_name(&mut self, scheme: &str, text: &str) -> Result<(), FieldError> {
        let wrong = |e: NameError| FieldError::Value { column: scheme.to_owned(), reason: e.to_string() };
        let value = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text);
        self.names.push(Name::new(scheme, value).map_err(wrong)?);
        Ok(())
    }

    /// The fields as text by column, without the key.
    #[must_use]
    pub fn said(&self) -> BTreeMap<String, String> {
        let mut said: BTreeMap<String, String> =
            self.attributes.iter().map(|(attribute, value)| (attribute.to_string(), value.clone())).collect();
        let all = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(" "));
        let columns = [
            ("kind", self.kind.map(|kind| kind.to_string())),
            ("name", self.name.clone()),
            ("names", all(self.names.iter().map(ToString::to_string).collect())),
            ("group", all(self.groups.iter().map(|group| Digest(*group).to_string()).collect())),
            ("replaces", self.replaces.map(|id| id.to_string())),
            ("from", self.from.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
        ];
        said.extend(columns.into_iter().filter_map(|(column, text)| Some((column.to_owned(), text?))));
        said
    }

    /// The thing, and what is claimed about it on top of `claims`. Paths are relative to `directory`.
    ///
    /// # Errors
    /// When there is no key, or one that is not accepted.
    pub fn draft(self, claims: Claims, directory: &Path) -> Result<(Thing, Claims), FieldError> {
        let given = self.given_key(directory)?;
        let kind = self.kind.unwrap_or(Kind::Device);
        if !kind.has_key() {
            return Err(FieldError::Kind(kind));
        }
        let (user_id, self_signature) = match (&self.name, given.certified) {
            (None, Some((user_id, signature))) => (user_id, Some(signature)),
            (Some(name), Some((user_id, signature))) if *name == user_id => (user_id, Some(signature)),
            _ => (self.user_id(kind, &given.key.fingerprint()), None),
        };
        let claims = Claims {
            names: self.names,
            attributes: self.attributes,
            groups: self.groups,
            replaces: self.replaces,
            from: self.from,
            until: self.until,
            ..claims
        };
        Ok((Thing::Key(Box::new(KeyThing { key: given.key, kind, user_id, self_signature })), claims))
    }

    fn given_key(&self, directory: &Path) -> Result<GivenKey, FieldError> {
        match (&self.key, &self.spki) {
            (Some(path), None) => {
                let failed = |reason: String| FieldError::File { path: path.display().to_string(), reason };
                GivenKey::read(&directory.join(path)).map_err(failed)
            }
            (None, Some(text)) => GivenKey::parse(text.as_bytes())
                .map_err(|e: ThingError| FieldError::Value { column: "spki".to_owned(), reason: e.to_string() }),
            _ => Err(FieldError::Key),
        }
    }

    /// The title of a thing without one: its first name, or else its key.
    fn user_id(&self, kind: Kind, key: &Fingerprint) -> String {
        match (&self.name, self.names.first()) {
            (Some(name), _) => name.clone(),
            (None, Some(Name::Serial(serial))) => format!("{kind} {serial}"),
            (None, Some(Name::Host(host))) => format!("{kind} {host}"),
            (None, Some(name @ Name::Urn(_))) => name.to_string(),
            _ => unnamed(kind, key),
        }
    }
}

fn key_id(text: &str) -> Result<IdentityId, IdentityError> {
    text.parse().map(IdentityId::Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ics_core::vocabulary::Act;

    const SPKI: &str = "MCowBQYDK2VwAyEAnu+Sz94Qo2S/GmfarT6xaDBoPU0Fm3g4+R/rMouBu4E=";

    fn claims() -> Claims {
        Claims::new(Act::Identity, "manufacturer".parse().expect("role"), "d.example".parse().expect("domain"))
    }

    fn fields(pairs: &[(&str, &str)]) -> Result<Fields, FieldError> {
        let mut fields = Fields::default();
        pairs.iter().try_for_each(|(column, value)| fields.set(column, value))?;
        Ok(fields)
    }

    #[test]
    fn a_row_becomes_a_thing_and_its_claims() {
        let fields = fields(&[
            ("spki", SPKI),
            ("serial", "SN-1"),
            ("urn", "urn:dev:os:32473-1 dev:os:32473-2"),
            ("model", "P7"),
            ("lot", ""),
            ("until", "2030-01-01T00:00:00Z"),
        ]);
        let (thing, claims) = fields.expect("good").draft(claims(), Path::new(".")).expect("drafted");
        assert_eq!((thing.kind(), thing.title()), (Kind::Device, "device SN-1".to_owned()));
        let names: Vec<String> = claims.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["serial:SN-1", "urn:dev:os:32473-1", "urn:dev:os:32473-2"]);
        assert_eq!(claims.attributes, BTreeMap::from([(Attribute::Model, "P7".to_owned())]));
        assert!(claims.until.is_some() && claims.from.is_none());
    }

    #[test]
    fn what_a_thing_is_called() {
        for (pairs, expected) in [
            (vec![("name", "Pump 7"), ("serial", "1")], "Pump 7"),
            (vec![("host", "p7.acme.example")], "gateway p7.acme.example"),
            (vec![("urn", "urn:dev:os:32473-1")], "urn:dev:os:32473-1"),
            (vec![], "gateway"),
        ] {
            let all = [vec![("spki", SPKI), ("kind", "gateway")], pairs].concat();
            let (thing, _) = fields(&all).expect("good").draft(claims(), Path::new(".")).expect("drafted");
            assert!(thing.title().starts_with(expected), "{}", thing.title());
        }
    }

    #[test]
    fn refusals_name_the_column() {
        for (column, value, expected) in [
            ("colour", "red", "`colour` is not a column: key, spki, kind, name"),
            ("colour", "", "`colour` is not a column"),
            ("kind", "toaster", "column `kind`: `toaster` is not a kind of identity"),
            ("host", "a..b", "column `host`: `host:a..b` is not a name"),
            ("until", "soon", "column `until`: `soon` is not a time"),
            ("group", "lot7", "column `group`: `lot7` is not a digest"),
            ("serial", "SN 1006", "column `serial`: the name `serial:SN 1006` contains a control character"),
        ] {
            let refusal = fields(&[(column, value)]).expect_err("refused").to_string();
            assert!(refusal.starts_with(expected), "{refusal}");
        }
        for pairs in [vec![], vec![("spki", SPKI), ("key", "a.pem")]] {
            assert_eq!(fields(&pairs).expect("good").draft(claims(), Path::new(".")), Err(FieldError::Key));
        }
        let refusal = fields(&[("spki", "AAAA")]).expect("good").draft(claims(), Path::new(".")).expect_err("no key");
        assert!(refusal.to_string().starts_with("column `spki`: this is not a public key"), "{refusal}");
        let software = fields(&[("spki", SPKI), ("kind", "software")]).expect("good");
        assert_eq!(software.draft(claims(), Path::new(".")), Err(FieldError::Kind(Kind::Software)));
    }
}
