//! Changing `ics.toml` without touching what its operator wrote around it.

use std::path::Path;

use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::{Config, ConfigError, Url};

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file, or what would become of it, is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The section is written in another form than this program writes.
    #[error("`{0}` is not written as [[{0}]] sections: change it by hand")]
    Form(&'static str),
    /// A peer of that name has another address.
    #[error("the peer `{name}` has the address `{known}`, not `{given}`")]
    OtherUrl {
        /// Its name.
        name: String,
        /// The address in the file.
        known: String,
        /// The address that was given.
        given: String,
    },
    /// No address is known for a new peer.
    #[error("there is no peer `{0}` yet")]
    NoUrl(String),
    /// The node holds the domain already.
    #[error("`{0}` stands in the file already, as a mirror or with its home here")]
    Known(DomainName),
    /// Nothing to remove.
    #[error("`{0}` is not mirrored")]
    NotMirrored(DomainName),
}

/// The text of a configuration with one more mirror, and the peer to pull from where it is new.
///
/// # Errors
/// When the outcome would be refused, or the peer has no address or another one.
pub fn add_mirror(text: &str, path: &Path, origin: &Origin, peer: &str, url: &Url) -> Result<String, EditError> {
    let config = Config::parse(text, path)?;
    let mut known = config.mirrors.iter().map(|mirror| &mirror.origin.get_ref().domain);
    let mut homes = config.homes.iter().map(|home| home.domain.get_ref());
    if known.any(|domain| *domain == origin.domain) || homes.any(|domain| *domain == origin.domain) {
        return Err(EditError::Known(origin.domain.clone()));
    }
    let mut document = document(text, path)?;
    if config.peer(peer).is_none() {
        let mut table = section();
        table.insert("name", value(peer));
        table.insert("url", value(url.as_str()));
        sections(&mut document, "peer")?.push(table);
    }
    let mut table = section();
    table.insert("origin", value(origin.to_string()));
    table.insert("peer", value(peer));
    sections(&mut document, "mirror")?.push(table);
    checked(&document, path)
}

/// The text of a configuration whose node has another key.
///
/// # Errors
/// When there is no node in it, or the outcome would be refused.
pub fn set_node_key(text: &str, path: &Path, key: &str) -> Result<String, EditError> {
    let mut document = document(text, path)?;
    let node = document.get_mut("node").and_then(Item::as_table_mut).ok_or(EditError::Form("node"))?;
    node.insert("key", value(key));
    checked(&document, path)
}

/// The text of a configuration without a mirror, and without its peer where nothing else is pulled from there; and the
/// name of that peer.
///
/// # Errors
/// When the domain is not mirrored, or the outcome would be refused.
pub fn remove_mirror(text: &str, path: &Path, domain: &DomainName) -> Result<(String, Option<String>), EditError> {
    let config = Config::parse(text, path)?;
    let found = config.mirrors.iter().position(|mirror| mirror.origin.get_ref().domain == *domain);
    let position = found.ok_or_else(|| EditError::NotMirrored(domain.clone()))?;
    let mut document = document(text, path)?;
    sections(&mut document, "mirror")?.remove(position);
    let peers = config.mirrors.iter().map(|mirror| mirror.peer.get_ref());
    let removed = peers.clone().nth(position).filter(|peer| peers.clone().filter(|other| other == peer).count() == 1);
    let peer = removed.and_then(|peer| config.peers.iter().position(|known| known.name.get_ref() == peer));
    if let Some(peer) = peer {
        sections(&mut document, "peer")?.remove(peer);
    }
    Ok((checked(&document, path)?, removed.cloned()))
}

/// The address of a peer: the one in the configuration, or the one that is given for a new one.
///
/// # Errors
/// When there is none, or they differ.
pub fn peer_url(config: &Config, peer: &str, given: Option<&Url>) -> Result<Url, EditError> {
    let name = peer.to_owned();
    match (config.peer(peer), given) {
        (Some(known), Some(given)) if known.url != *given => {
            Err(EditError::OtherUrl { name, known: known.url.to_string(), given: given.to_string() })
        }
        (Some(known), _) => Ok(known.url.clone()),
        (None, Some(given)) => Ok(given.clone()),
        (None, None) => Err(EditError::NoUrl(name)),
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

    fn origin(name: &str) -> Origin {
        Origin { domain: name.parse().expect("name"), entry0: [7; 32] }
    }

    fn url(text: &str) -> Url {
        text.parse().expect("URL")
    }

    fn add(text: &str, domain: &str, peer: &str) -> Result<String, EditError> {
        add_mirror(text, Path::new("ics.toml"), &origin(domain), peer, &url("https://p.example"))
    }

    fn remove(text: &str, domain: &str) -> Result<(String, Option<String>), EditError> {
        remove_mirror(text, Path::new("ics.toml"), &domain.parse().expect("name"))
    }

    #[test]
    fn what_was_written_stays() {
        let one = add(FILE, "a.example", "p").expect("added");
        let sevens = "07".repeat(32);
        let added = format!(
            "\n[[peer]]\nname = \"p\"\nurl = \"https://p.example\"\n\n[[mirror]]\norigin = \"a.example/{sevens}\"\npeer = \"p\"\n"
        );
        assert_eq!(one, format!("{FILE}{added}"));
        let two = add(&one, "b.example", "p").expect("added");
        assert_eq!(two, format!("{one}\n[[mirror]]\norigin = \"b.example/{sevens}\"\npeer = \"p\"\n"));
        let (without_b, peer) = remove(&two, "b.example").expect("removed");
        assert_eq!((without_b.as_str(), peer), (one.as_str(), None), "the peer is still needed");
        let (without_a, peer) = remove(&one, "a.example").expect("removed");
        assert_eq!((without_a.as_str(), peer.as_deref()), (FILE, Some("p")));
    }

    #[test]
    fn what_would_be_refused_is_not_written() {
        let one = add(FILE, "a.example", "p").expect("added");
        assert!(matches!(add(&one, "a.example", "p"), Err(EditError::Known(_))));
        let home = format!("{FILE}[[home]]\ndomain = \"a.example\"\ndescriptor = \"d\"\n");
        assert!(matches!(add(&home, "a.example", "p"), Err(EditError::Known(_))));
        assert!(matches!(remove(FILE, "a.example"), Err(EditError::NotMirrored(_))));
        assert!(matches!(add("mirror = []\n", "a.example", "p"), Err(EditError::Form("mirror"))));
        assert!(matches!(add("nonsense", "a.example", "p"), Err(EditError::Config(ConfigError::Refused { .. }))));
    }

    #[test]
    fn a_peer_has_one_address() {
        let one = add(FILE, "a.example", "p").expect("added");
        let config = Config::parse(&one, Path::new("ics.toml")).expect("good");
        let known = url("https://p.example");
        assert_eq!(peer_url(&config, "p", None).expect("known"), known);
        assert_eq!(peer_url(&config, "p", Some(&known)).expect("the same"), known);
        assert_eq!(peer_url(&config, "q", Some(&known)).expect("new"), known);
        assert!(matches!(peer_url(&config, "q", None), Err(EditError::NoUrl(_))));
        assert!(matches!(peer_url(&config, "p", Some(&url("https://q.example"))), Err(EditError::OtherUrl { .. })));
    }
}
