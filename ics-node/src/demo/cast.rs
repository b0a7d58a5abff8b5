//! The cast: five parties with a node each, and two people who only sign. Their home directories are made by the same
//! functions that `ics init` uses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use ics_core::descriptor::Template;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};

use super::error::{DemoError, Result, unexpected};
use super::props::random;
use crate::client::descriptor::DescriptorFile;
use crate::client::home::{self, NewHome};
use crate::client::signing::Signing;
use crate::keys::{Algorithm, KeyStore, KeyVersion, Passphrase};

/// A party in the cast list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Its name for people.
    pub(super) who: &'static str,
    /// Its trade, and the name of its home directory.
    pub(super) template: Template,
    /// Its domain.
    pub(super) domain: &'static str,
    /// Its node's name.
    node: &'static str,
    /// Patterns of the names that it may give.
    pub(super) names: &'static [&'static str],
    description: &'static str,
}

/// The parties in order of appearance.
pub(super) const PARTS: [Part; 5] = [
    Part {
        who: "Acme Pumps",
        template: Template::Manufacturer,
        domain: "devices.acme.example",
        node: "ics.acme.example",
        names: &["urn:dev:os:32473-*", "serial:P7-*"],
        description: "Every pump that Acme has made and sold",
    },
    Part {
        who: "Softmed",
        template: Template::Developer,
        domain: "code.softmed.example",
        node: "ics.softmed.example",
        names: &[],
        description: "Firmware for medical pumps",
    },
    Part {
        who: "Medical Board",
        template: Template::Certification,
        domain: "labels.board.example",
        node: "ics.board.example",
        names: &[],
        description: "Approved medical devices",
    },
    Part {
        who: "MediServe",
        template: Template::Maintenance,
        domain: "assets.mediserve.example",
        node: "ics.mediserve.example",
        names: &["urn:dev:os:32473-*", "serial:P7-*"],
        description: "All that MediServe has selected, approved and looks after",
    },
    Part {
        who: "Ward 7 gateway",
        template: Template::Infield,
        domain: "ward7.hospital.example",
        node: "gateway.ward7.hospital.example",
        names: &[],
        description: "The infusion system of ward 7",
    },
];

/// A party with its home directory, before its node runs.
pub(super) struct Actor {
    pub(super) part: Part,
    pub(super) home: PathBuf,
    pub(super) address: SocketAddr,
    /// The signer in the party's own role and domain.
    pub(super) signer: Signing,
    pub(super) passphrase: Passphrase,
}

/// Makes the home directories of all parties concurrently, since deriving keys from passphrases takes most of the time.
pub(super) fn make_all(directory: &Path, at: Timestamp) -> Result<Vec<Actor>> {
    let addresses = free_addresses(PARTS.len())?;
    std::thread::scope(|scope| {
        let made: Vec<_> = PARTS
            .iter()
            .zip(addresses)
            .map(|(part, address)| scope.spawn(move || make(directory, *part, address, at)))
            .collect();
        made.into_iter().map(|it| it.join().map_err(|_| unexpected("a home directory was not made"))?).collect()
    })
}

fn make(directory: &Path, part: Part, address: SocketAddr, at: Timestamp) -> Result<Actor> {
    let passphrase = Passphrase::generate().map_err(|error| DemoError::System(error.to_string()))?;
    let home = directory.join(part.template.as_str());
    let domain: DomainName = part.domain.parse().map_err(unexpected)?;
    let new = NewHome {
        template: part.template,
        party: Some(part.who.to_owned()),
        domain: domain.clone(),
        node_name: part.node.to_owned(),
        listen: address,
        public_url: None,
        names: part.names.iter().map(|&pattern| pattern.to_owned()).collect::<BTreeSet<_>>(),
        description: part.description.to_owned(),
        algorithm: (Algorithm::Ed25519, KeyVersion::V4),
        passphrase: (passphrase.clone(), true),
    };
    let made = home::make(&home, &new, at)?;
    let key = KeyStore::new(&home).find("signer")?.unlock(&passphrase)?;
    let descriptor = DescriptorFile::newest(&home, &domain)?.descriptor;
    Ok(Actor { part, home, address, signer: Signing::new(key, made.signer.1, descriptor), passphrase })
}

/// A person who signs and has no node.
pub(super) fn person(
    directory: &Path,
    name: &str,
    user_id: &str,
    role: &Role,
    domain: &Signing,
    at: Timestamp,
) -> Result<Signing> {
    let passphrase = Passphrase::generate().map_err(|error| DemoError::System(error.to_string()))?;
    let keys = KeyStore::new(&directory.join(name));
    let algorithm = (Algorithm::Ed25519, KeyVersion::V4);
    let key = keys.make(&"signer".parse()?, user_id, algorithm, &passphrase, at)?.unlock(&passphrase)?;
    Ok(Signing::new(key, role.clone(), domain.descriptor.clone()))
}

/// The ports of the demo's nodes. Systems take ephemeral ports from a higher range (Linux from 32768, RFC 6335 from
/// 49152), where one could be taken before its node listens, or while it is down.
const PORTS: core::ops::Range<u16> = 16_384..32_768;
/// How many ports are tried.
const TRIES: usize = 1_000;

/// Finds ports on which nobody listens, at random, since other demos may be looking for theirs; all are held until the
/// last is found, so that they differ.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let mut held = Vec::new();
    for _ in 0..TRIES {
        let port = PORTS.start + u16::from_be_bytes(random()?) % (PORTS.end - PORTS.start);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if held.len() == count {
            break;
        }
    }
    if held.len() < count {
        return Err(DemoError::System(format!("of {TRIES} ports on loopback fewer than {count} are free")));
    }
    held.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>().map_err(unexpected)
}
