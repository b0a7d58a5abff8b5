//! A new epoch: the owners' descriptor cites the head that is left, and a new key of the node signs from there.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use console::style;
use ics_core::descriptor::{Descriptor, Head};
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::super::domain::unlock_all;
use super::super::serve::{failed, node_keys};
use super::unused;
use crate::app::{App, NodeKeys};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::words::counted_entries;
use crate::client::descriptor::{self, DescriptorFile};
use crate::config::{Config, FILE_NAME, NodeConfig, edit};
use crate::keys::{Algorithm, KeyError, KeyName, KeyVersion, StoredKey, file};
use crate::service::Service;
use crate::words::shell_path;

pub(super) fn begin(
    context: &Context,
    config: &Config,
    node: &NodeConfig,
    domain: &DomainName,
    owners: &[String],
    signed: Option<&Path>,
    held: bool,
) -> Result<Exit, Failure> {
    let local = |error: &dyn core::fmt::Display| Failure::new(Exit::Local, error);
    make_named(context, node, held)?;
    let keys = node_keys(context, node)?;
    let own = STANDARD.encode(keys.key.public());
    let app = Service::open_under_any_key(config, keys).map_err(|error| failed(&error))?;
    let former = rules(&app, domain, None)?;
    let key_name = next_key((context, &app), config, node, (&former, &own), held)?;
    let head = head(&app, domain)?;
    drop(app);
    let file = match signed {
        Some(path) => DescriptorFile::read(path)?,
        None => make(context, node, &former, &head, &key_name, owners)?,
    };
    let key = key_of(context, &file.descriptor, node, &key_name)?;
    let missing =
        u32::try_from(file.signed_by(&former.owners.keys).len()).unwrap_or(u32::MAX) < former.owners.threshold;
    if missing {
        let path = descriptor::path(&context.home, domain, file.descriptor.version);
        let file = shell_path(&path);
        let hold = if held { "--hold " } else { "" };
        let hint = format!(
            "the owners sign it with `ics domain sign {file}`; then `ics restore {hold}--begin-anew {domain} \
             --descriptor {file}`"
        );
        return Err(Failure::new(Exit::Refused, "other owners must sign the descriptor of the new epoch").hint(hint));
    }
    // Before the epoch begins, which cannot be taken back.
    let path = context.home.join(FILE_NAME);
    let text = std::fs::read_to_string(&path).map_err(|error| local(&error))?;
    let text = edit::set_node_key(&text, &path, &key_name).map_err(|error| local(&error))?;
    let keys = NodeKeys { name: node.name.clone(), key: context.unlock(&key)?.node_key()?, issuers: Vec::new() };
    let app = Service::open_under_any_key(config, keys).map_err(|error| failed(&error))?;
    unused::end(context, &key)?;
    let index = app.begin_anew(domain, file.body()).map_err(|error| Failure::new(Exit::Refused, error))?;
    let others = others(&app, config, domain, |key| key != file.descriptor.home.key);
    drop(app);
    file::replace_alike(&path, text.as_bytes()).map_err(|error| {
        let hint = format!("the new epoch has begun: write `key = \"{key_name}\"` into [node] of ics.toml");
        files::failed(&path, error).hint(hint)
    })?;
    let shown = json!({ "domain": domain, "version": file.descriptor.version, "index": index, "key": key_name,
        "last_head": { "size": head.size, "root": head.root.to_string() }, "under_the_former_key": others });
    context.output.result(&shown, || {
        let rows = [
            ("after", format!("{}, root {}", counted_entries(head.size), head.root)),
            ("rules", format!("version {}, entry {index}", file.descriptor.version)),
            ("key", format!("{key_name}; ics.toml names it now")),
            ("next", next(&others)),
        ];
        card(&format!("{} a new epoch of {domain}", style("✓").green()), &rows)
    })?;
    Ok(Exit::Ok)
}

/// Returns the key that will sign. Refuses a descriptor that names another key: once it was in the log, no node would
/// start.
fn key_of(context: &Context, descriptor: &Descriptor, node: &NodeConfig, key_name: &str) -> Result<StoredKey, Failure> {
    let key = match context.keys().find(key_name) {
        Err(KeyError::Missing { .. }) => None,
        found => Some(found?),
    };
    let names = |key: &StoredKey| descriptor::node(&node.name, key).is_some_and(|own| own.key == descriptor.home.key);
    key.filter(names).ok_or_else(|| {
        let problem = format!("the descriptor names another key of the home than `{key_name}`, which will sign");
        let hint = format!(
            "a new epoch needs a key that has signed nothing yet; make it again, by `ics restore --begin-anew {}` \
             without --descriptor, and have it signed again",
            descriptor.domain
        );
        Failure::new(Exit::Refused, problem).hint(hint)
    })
}

/// What must be done next.
fn next(others: &[DomainName]) -> String {
    let first = match others.first() {
        None => "start the node; a mirror that has seen more of the former epoch stops and says so".to_owned(),
        Some(other) => {
            format!("`ics restore --begin-anew {other}`: this node is its home too, and has one key for all")
        }
    };
    format!("{first}\ndomains that adopt from it must name the new key: `ics domain update --add-source`")
}

/// The name of the key for a new epoch: a new one, or the one that the node has had since it began a new epoch of
/// another of its domains. `own` is the node's key as configured; `held` means that the operator wants a new key
/// although nothing was lost.
fn next_key(
    (context, app): (&Context, &App),
    config: &Config,
    node: &NodeConfig,
    (former, own): (&Descriptor, &str),
    held: bool,
) -> Result<String, Failure> {
    let domain = &former.domain;
    if former.home.key == own {
        if !held && !app.silent().contains(domain) {
            let failure = Failure::new(Exit::Refused, format!("`{domain}` is not silent: it needs no new epoch"));
            return Err(failure.hint("to give the node a new key, where nothing is lost: --hold as well"));
        }
        // The new key is kept in a file even if the former one is in a token: keys in tokens are made with the token's
        // own tools.
        let former_key = node.key.parse::<KeyName>().map_or_else(|_| "node".to_owned(), |name| name.to_string());
        let began = began(app, (domain, former.version), own)?;
        return Ok(next_name(&former_key, former.version, began, |name| unused::may_be_called(context, name)));
    }
    let is_moved = !others(app, config, domain, |key| key == own).is_empty();
    // Made in the place of one that is lost.
    let is_new = held && unused::may_be_called(context, &node.key);
    let mut versions = (1..former.version).map(|version| rules(app, domain, Some(version)));
    // With a key that it had before, the node would sign again positions that this key has already signed.
    let is_former = versions.try_fold(false, |was, rules| Ok::<_, Failure>(was || rules?.home.key == own))?;
    if !(is_moved || is_new) || is_former {
        let problem = format!("the home of `{domain}` has another key than `{}`", node.key);
        let hint = "`[node] key` in ics.toml names the node's present key; if that is lost, it names one that is yet to \
                    be made, with --hold";
        return Err(Failure::new(Exit::Refused, problem).hint(hint));
    }
    Ok(node.key.clone())
}

/// The version in which the home changed to this key.
fn began(app: &App, (domain, newest): (&DomainName, u64), key: &str) -> Result<Option<u64>, Failure> {
    let is_it = |version| Ok::<_, Failure>(rules(app, domain, Some(version))?.home.key == key);
    for version in 2..=newest {
        if is_it(version)? && !is_it(version - 1)? {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// Names a new key after the present one and the version that brings it, or with the next free number. If the present
/// name was itself formed so, which `began` tells by its version, it is named after that name's base.
fn next_name(present: &str, version: u64, began: Option<u64>, is_free: impl Fn(&str) -> bool) -> String {
    let numbered = present.rsplit_once('-').and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)));
    let name = match numbered {
        Some((name, number)) if began.is_some_and(|began| began <= number) => name,
        _ => present,
    };
    let mut names = (version.saturating_add(1)..=u64::MAX).map(|number| format!("{name}-{number}"));
    names.find(|name| is_free(name)).unwrap_or_else(|| present.to_owned())
}

/// The other domains of which this node is the home and whose rules name a matching key as the home's.
fn others(app: &App, config: &Config, domain: &DomainName, is_such: impl Fn(&str) -> bool) -> Vec<DomainName> {
    let is_meant =
        |other: &&DomainName| *other != domain && rules(app, other, None).is_ok_and(|rules| is_such(&rules.home.key));
    config.homes.iter().map(|home| home.domain.get_ref()).filter(is_meant).cloned().collect()
}

/// The rules of a domain: those in force, or those of a version.
fn rules(app: &App, domain: &DomainName, version: Option<u64>) -> Result<Descriptor, Failure> {
    let answer = app.descriptor(domain, version).map_err(|error| Failure::new(Exit::Local, error))?;
    Descriptor::parse(&answer.json).map_err(|error| Failure::new(Exit::Local, error))
}

/// The head of the log that is left.
fn head(app: &App, domain: &DomainName) -> Result<Head, Failure> {
    let (size, root) = app.left(domain).map_err(|error| Failure::new(Exit::Local, error))?;
    Ok(Head { size, root })
}

/// Makes the next version with a new key of the node, signed by owners of this home directory. Owners who may not sign
/// it are refused before anything is made, and what an earlier attempt has made is reused: there is one new epoch, not
/// one for each attempt.
fn make(
    context: &Context,
    node: &NodeConfig,
    former: &Descriptor,
    head: &Head,
    key_name: &str,
    owners: &[String],
) -> Result<DescriptorFile, Failure> {
    let unlocked = unlock_all(context, owners)?;
    let signers = unlocked.iter().map(|key| key.primary()).collect::<Result<Vec<_>, _>>()?;
    descriptor::refuse_strangers(&former.owners.keys, &signers)?;
    let key = new_key(context, node, former, key_name)?;
    let home = descriptor::node(&node.name, &key).ok_or_else(|| {
        Failure::new(Exit::Local, format!("the key `{key_name}` is not Ed25519, as a node's must be"))
            .hint("it was not made for this: rename its file in `keys`")
    })?;
    let next = Descriptor { home, last_head: Some(head.clone()), ..former.clone() };
    let next = descriptor::follow(former, next)?;
    let path = descriptor::path(&context.home, &former.domain, next.version);
    if let Some(made) = DescriptorFile::read(&path).ok().filter(|made| made.descriptor == next) {
        return Ok(made);
    }
    if path.exists() {
        keep_aside(context, &path)?;
    }
    let file = DescriptorFile::sign_new(next, &signers, context.now())?;
    file.write(&path)?;
    Ok(file)
}

/// Renames the file of a version that is not in this log: what it was made for is lost or was overtaken.
fn keep_aside(context: &Context, path: &Path) -> Result<(), Failure> {
    let local = |error: &dyn core::fmt::Display| Failure::new(Exit::Local, format!("`{}`: {error}", path.display()));
    let named = |number: u64| path.with_extension(format!("pgp.lost-{number}"));
    let place = (1..=u64::MAX).map(named).find(|place| !place.exists()).ok_or_else(|| local(&"it cannot be kept"))?;
    std::fs::rename(path, &place).map_err(|error| local(&error))?;
    context.output.note(&format!(
        "`{}` was there already: an earlier epoch was begun with that version, or the version was made from a log that \
         went further than what is left. It is kept as `{}`; tell those who have seen that epoch about this one",
        path.display(),
        place.display()
    ));
    Ok(())
}

/// Makes the key that ics.toml names if there is none. A node whose key is lost, with its token say, cannot be opened with
/// it, so its operator names one that is yet to be made.
fn make_named(context: &Context, node: &NodeConfig, held: bool) -> Result<(), Failure> {
    match context.keys().find(&node.key) {
        Err(KeyError::Missing { .. }) if held => make_key(context, node, &node.key, KeyVersion::V4).map(drop),
        // Anything else that is wrong with it is told when it is opened.
        _ => Ok(()),
    }
}

/// The node's key of the new epoch: the one of the name that [`next_key`] has found, or else a new one.
fn new_key(context: &Context, node: &NodeConfig, former: &Descriptor, name: &str) -> Result<StoredKey, Failure> {
    match context.keys().find(name) {
        Err(KeyError::Missing { .. }) => (),
        found => return Ok(found?),
    }
    let is_v6 = former.owners.keys.iter().any(|owner| owner.fingerprint.version() == 6);
    make_key(context, node, name, if is_v6 { KeyVersion::V6 } else { KeyVersion::V4 })
}

/// Makes a key of the node that has signed nothing, and notes that.
fn make_key(context: &Context, node: &NodeConfig, name: &str, version: KeyVersion) -> Result<StoredKey, Failure> {
    let passphrase = context.passphrases().choose()?;
    let (algorithm, name) = ((Algorithm::Ed25519, version), name.parse::<KeyName>()?);
    let key = context.keys().make(&name, &format!("Node {}", node.name), algorithm, &passphrase, context.now())?;
    unused::note(context, &key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_covers_domains_that_adopt_from_the_domain() {
        let other: DomainName = "code.acme.example".parse().expect("a name");
        let nobody: &[DomainName] = &[];
        for others in [nobody, &[other]] {
            let told = next(others);
            assert!(told.contains("`ics domain update --add-source`"), "{told}");
            assert!(others.is_empty() || told.contains("`ics restore --begin-anew"), "{told}");
        }
    }

    #[test]
    fn a_second_epoch_does_not_lengthen_the_name_of_the_first() {
        for (present, version, began, next) in [
            ("node", 1, None, "node-2"),
            ("node-2", 2, Some(2), "node-3"),
            ("node-2", 5, Some(2), "node-6"),
            ("node-11", 12, Some(10), "node-13"),
            ("site-2", 2, None, "site-2-3"),
            ("site-a", 2, None, "site-a-3"),
        ] {
            assert_eq!(next_name(present, version, began, |_| true), next, "after {present}");
        }
    }

    #[test]
    fn a_new_key_never_has_the_name_of_one_that_is_there() {
        let is_free = |name: &str| !["node-10", "node-11"].contains(&name);
        assert_eq!(next_name("node", 9, None, is_free), "node-12");
    }
}
