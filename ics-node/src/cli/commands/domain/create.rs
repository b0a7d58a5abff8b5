//! `ics domain create`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use ics_core::descriptor::{NodeKey, Owners, RoleSpec, Template, TemplateInput};
use ics_core::vocabulary::{DomainName, Role};

use super::falls::Falls;
use super::update::prepare;
use super::{name_and_key, new_signers, owner, role_and_key, source, unlock_all};
use crate::cli::commands::init::template;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::client::descriptor::{self, DescriptorFile};

/// What `ics domain create` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain create code.soft.example --template developer --owner owner --signer developer=signer \
--home-node ics.soft.example=node

  Three owners, any two of whom can change the rules later:
  $ ics domain create devices.acme.example --template manufacturer --owner owner --owner b.asc --owner c.asc \
--threshold 2 --signer manufacturer=factory.asc --names 'manufacturer=serial:*' --home-node ics.acme.example=node

Every template makes the domain public: its first rule of access lets anybody read, follow and copy. The comment at that
rule shows how to name a role there instead, for instance `Role::\"owner\"`, the role over a thing:
  - A signer who was granted it reads, through the peer that names that signer (`ics peer add --signer`).
  - A domain that follows asks by the keys of its own descriptor's owners, and by none of its signers. So only that one may
    follow whose owner's key was granted the role as well: `ics grant owner --to OWNER.asc THING`.")]
pub(crate) struct Create {
    /// The domain's name.
    domain: DomainName,
    /// The template: manufacturer, developer, maintenance, infield or certification.
    #[arg(long, value_parser = template)]
    template: Template,
    /// An owner: a key of this home directory, or a file with the owner's certificate.
    #[arg(long = "owner", value_name = "KEY", required = true)]
    owners: Vec<String>,
    /// How many owners must sign a new version.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    threshold: u32,
    /// The home node's name and its key: a key of this home directory, or 32 bytes in base64.
    #[arg(long, value_name = "NAME=KEY", value_parser = name_and_key)]
    home_node: (String, String),
    /// A role and who holds it: a fingerprint, a key of this home directory, or a file with one certificate or a
    /// keyring of many.
    #[arg(long = "signer", value_name = "ROLE=KEY", value_parser = role_and_key)]
    signers: Vec<(Role, String)>,
    /// A role and a pattern for the names that it may give.
    #[arg(long, value_name = "ROLE=PATTERN", value_parser = role_and_key)]
    names: Vec<(Role, String)>,
    /// A file about a domain from which entries may be adopted, as a node gives it at /v1/domains/DOMAIN.
    #[arg(long = "source", value_name = "FILE")]
    sources: Vec<PathBuf>,
    /// What the domain is for and whom to ask.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// Sign nothing: write the descriptor to this file, for `ics sign` on the machine that has the first owner's key.
    #[arg(long, value_name = "FILE")]
    unsigned: Option<PathBuf>,
}

impl Create {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut roles: BTreeMap<Role, RoleSpec> = BTreeMap::new();
        for (role, signer) in new_signers(context, self.signers)? {
            roles.entry(role).or_default().signers.insert(signer);
        }
        for (role, pattern) in self.names {
            roles.entry(role).or_default().names.insert(pattern);
        }
        let keys = self.owners.iter().map(|key| owner(context, key)).collect::<Result<_, _>>()?;
        let input = TemplateInput {
            domain: self.domain,
            description: self.description,
            owners: Owners { threshold: self.threshold, keys },
            home: home_node(context, self.home_node)?,
            roles,
            sources: self.sources.iter().map(|path| source(path)).collect::<Result<_, _>>()?,
        };
        let made = self.template.fill(input).map_err(|e| Failure::new(Exit::Usage, e))?;
        if let Some(path) = &self.unsigned {
            return prepare(context, &made, &Falls::default(), self.owners.get(..1).unwrap_or_default(), path);
        }
        let is_local = |owner: &&String| context.keys().find(owner).is_ok();
        let local: Vec<String> = self.owners.iter().filter(is_local).cloned().collect();
        let unlocked = unlock_all(context, &local)?;
        let signers = unlocked.iter().map(|key| key.primary()).collect::<Result<Vec<_>, _>>()?;
        let file = DescriptorFile::sign_new(made, &signers, context.now())?;
        let path = descriptor::path(&context.home, &file.descriptor.domain, 1);
        file.write(&path)?;
        super::show::print(context, &file, &path)
    }
}

fn home_node(context: &Context, (name, key): (String, String)) -> Result<NodeKey, Failure> {
    // 32 bytes in base64 are 44 characters, the last of them `=`, which no name of a key has.
    if key.ends_with('=') {
        return Ok(NodeKey { name, key });
    }
    let stored = context.keys().find(&key)?;
    descriptor::node(&name, &stored).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("the key `{key}` is not an Ed25519 key")).hint("nodes sign with Ed25519 keys")
    })
}
