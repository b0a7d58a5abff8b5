//! Changes `ics.toml` without touching what its operator wrote around the change.

use std::path::Path;

use ics_core::log::checkpoint::Origin;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::{Config, ConfigError, Direction, PeerConfig, PeerName};

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file, or the result of the change, is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The section is not written in the form that this program writes.
    #[error("`{0}` is not written as [[{0}]] sections: change it by hand")]
    Form(&'static str),
    /// There is no such peer to remove.
    #[error("there is no peer `{0}`")]
    Unknown(PeerName),
}

/// The text of a configuration with this peer added or changed.
///
/// # Errors
/// When the result would be refused.
pub fn put_peer(text: &str, path: &Path, peer: &PeerConfig) -> Result<String, EditError> {
    let position = position(text, path, &peer.name)?;
    let mut document = document(text, path)?;
    let sections = sections(&mut document, "peer")?;
    match position.and_then(|position| sections.get_mut(position)) {
        Some(table) => write(table, peer),
        None => {
            let mut table = section();
            write(&mut table, peer);
            sections.push(table);
        }
    }
    checked(&document, path)
}

/// The text of a configuration with another key for the node.
///
/// # Errors
/// When it has no node, or the result would be refused.
pub fn set_node_key(text: &str, path: &Path, key: &str) -> Result<String, EditError> {
    let mut document = document(text, path)?;
    let node = document.get_mut("node").and_then(Item::as_table_mut).ok_or(EditError::Form("node"))?;
    node.insert("key", value(key));
    checked(&document, path)
}

/// The text of a configuration without a peer.
///
/// # Errors
/// When there is no such peer.
pub fn remove_peer(text: &str, path: &Path, name: &PeerName) -> Result<String, EditError> {
    let position = position(text, path, name)?.ok_or_else(|| EditError::Unknown(name.clone()))?;
    let mut document = document(text, path)?;
    sections(&mut document, "peer")?.remove(position);
    checked(&document, path)
}

fn position(text: &str, path: &Path, name: &PeerName) -> Result<Option<usize>, EditError> {
    Ok(Config::parse(text, path)?.peers().position(|peer| peer.name == *name))
}

/// Writes the members of a section; those with their default value are left out.
fn write(table: &mut Table, peer: &PeerConfig) {
    let default = PeerConfig::new(peer.name.clone());
    let text = |given: Option<String>| given.map(Value::from);
    let number = |given: Option<u64>| given.and_then(|given| i64::try_from(given).ok()).map(Value::from);
    let origins = |given: &[Origin]| {
        let array: Array = given.iter().map(ToString::to_string).collect();
        (!array.is_empty()).then(|| Value::from(lines(array)))
    };
    let direction = match peer.direction {
        Direction::Pull => Some("pull"),
        Direction::Serve => Some("serve"),
        Direction::Both => None,
    };
    let members = [
        ("name", text(Some(peer.name.to_string()))),
        ("url", text(peer.url.as_ref().map(ToString::to_string))),
        ("key", text(peer.key.as_ref().map(ToString::to_string))),
        ("signer", text(peer.signer.as_ref().map(ToString::to_string))),
        ("direction", direction.map(Value::from)),
        ("mirror", origins(&peer.mirror)),
        ("roam", origins(&peer.roam)),
        ("witness", peer.witness.then(|| Value::from(true))),
        ("cosign", origins(&peer.cosign)),
        ("interval_ms", number(Some(peer.interval_ms).filter(|millis| *millis != default.interval_ms))),
        ("bytes_per_second", number(peer.bytes_per_second)),
        ("requests_per_minute", number(peer.requests_per_minute)),
    ];
    for (name, member) in members {
        match (member, table.get(name)) {
            (None, _) => drop(table.remove(name)),
            // An unchanged member keeps its comment and its place.
            (Some(new), Some(old)) if same(&new, old) => {}
            (Some(new), _) => drop(table.insert(name, value(new))),
        }
    }
}

/// Puts several origins on a line each.
fn lines(mut origins: Array) -> Array {
    if origins.len() > 1 {
        origins.iter_mut().for_each(|origin| origin.decor_mut().set_prefix("\n    "));
        origins.set_trailing("\n");
        origins.set_trailing_comma(true);
    }
    origins
}

fn same(new: &Value, old: &Item) -> bool {
    let texts = |array: &Array| array.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>();
    match (new, old.as_value()) {
        (Value::String(new), Some(Value::String(old))) => new.value() == old.value(),
        (Value::Integer(new), Some(Value::Integer(old))) => new.value() == old.value(),
        (Value::Boolean(new), Some(Value::Boolean(old))) => new.value() == old.value(),
        (Value::Array(new), Some(Value::Array(old))) => texts(new) == texts(old),
        _ => false,
    }
}

fn document(text: &str, path: &Path) -> Result<DocumentMut, EditError> {
    let refused = |error: toml_edit::TomlError| ConfigError::Refused {
        path: path.to_owned(),
        line: 1,
        message: error.message().to_owned(),
    };
    Ok(text.parse::<DocumentMut>().map_err(refused)?)
}

fn checked(document: &DocumentMut, path: &Path) -> Result<String, EditError> {
    let text = document.to_string();
    Config::parse(&text, path)?;
    Ok(text)
}

fn sections<'d>(document: &'d mut DocumentMut, name: &'static str) -> Result<&'d mut ArrayOfTables, EditError> {
    let item = document.entry(name).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or(EditError::Form(name))
}

/// A section with an empty line before it.
fn section() -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[node]\nname = \"n.example\"   # the name\n\n[client]\ndomain = \"n.example\"\n";

    fn peer(name: &str, domains: &[&str]) -> PeerConfig {
        let origin = |domain: &&str| format!("{domain}/{}", "07".repeat(32)).parse().expect("an origin");
        PeerConfig {
            url: Some("https://p.example".parse().expect("a URL")),
            mirror: domains.iter().map(origin).collect(),
            ..PeerConfig::new(name.parse().expect("a name"))
        }
    }

    fn put(text: &str, peer: &PeerConfig) -> Result<String, EditError> {
        put_peer(text, Path::new("ics.toml"), peer)
    }

    fn remove(text: &str, name: &str) -> Result<String, EditError> {
        remove_peer(text, Path::new("ics.toml"), &name.parse().expect("a name"))
    }

    #[test]
    fn what_was_written_stays() {
        let one = put(FILE, &peer("p", &["a.example"])).expect("added");
        let sevens = "07".repeat(32);
        let added =
            format!("\n[[peer]]\nname = \"p\"\nurl = \"https://p.example\"\nmirror = [\"a.example/{sevens}\"]\n");
        assert_eq!(one, format!("{FILE}{added}"));
        let two = put(&one, &peer("q", &[])).expect("added");
        assert_eq!(two, format!("{one}\n[[peer]]\nname = \"q\"\nurl = \"https://p.example\"\n"));
        assert_eq!(remove(&two, "q").expect("removed"), one);
        assert_eq!(remove(&one, "p").expect("removed"), FILE);
    }

    #[test]
    fn a_peer_is_changed_where_it_stands() {
        let noted = put(FILE, &peer("p", &["a.example"])).expect("added");
        let noted = noted.replace("\"https://p.example\"\n", "\"https://p.example\"   # behind the wall\n");
        let more = PeerConfig { requests_per_minute: Some(60), ..peer("p", &["a.example", "b.example"]) };
        let changed = put(&noted, &more).expect("changed");
        assert!(changed.contains("# behind the wall") && changed.contains("requests_per_minute = 60"), "{changed}");
        let config = Config::parse(&changed, Path::new("ics.toml")).expect("good");
        assert_eq!(config.peers().collect::<Vec<_>>(), [&more]);
        assert_eq!(put(&changed, &more).expect("the same"), changed);
        let fewer = put(&changed, &peer("p", &["a.example"])).expect("changed");
        assert_eq!(fewer, noted);
    }

    #[test]
    fn what_would_be_refused_is_not_written() {
        let home = format!("{FILE}[[home]]\ndomain = \"a.example\"\ndescriptor = \"d\"\n");
        let refused = |text: &str| matches!(put(text, &peer("p", &["a.example"])), Err(EditError::Config(_)));
        assert!(refused(&home) && refused("nonsense"));
        assert!(matches!(put("peer = []\n", &peer("p", &[])), Err(EditError::Form("peer"))));
        assert!(matches!(remove(FILE, "p"), Err(EditError::Unknown(_))));
    }
}
