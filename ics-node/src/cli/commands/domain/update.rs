//! `ics domain update`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use ics_core::descriptor::{Compromise, Descriptor, NodeKey};
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::statement::StatementId;
use ics_core::vocabulary::{DomainName, Role};

use super::falls::{Falls, tell_falls};
use super::leaving::tell_orphans;
use super::missing::{tell_idle_roles, tell_new_signers};
use super::show::BESIDE;
use super::submit::beyond_the_log;
use super::{domain_or_default, new_signers, newest, owner, role_and_key, signer, signers, source, unlock_all};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::say;
use crate::client::batch::Head;
use crate::client::descriptor::{self, Changes, DescriptorFile};

/// What `ics domain update` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("changes").multiple(true).conflicts_with("from_file")), after_long_help = "\
Examples:
  $ ics domain update --add-signer manufacturer=factory-2.asc
  $ ics domain update --add-signer developer=debian-keyring.gpg --certificate-bytes 1048576
  $ ics domain update --add-owner b.asc --threshold 2
  $ ics domain update --compromised 0123456789abcdef0123456789abcdef01234567@4711
  $ ics domain update --compromised devices.maker.example/0123456789abcdef0123456789abcdef01234567@16
  $ ics domain update --add-witness ics.cert.example=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= --quorum 1

  To change anything else, such as for how long news is fresh (`freshness`, in seconds), edit the JSON itself:
  $ ics --json domain show > next.json
  $ ics domain update --from-file next.json")]
pub(crate) struct Update {
    /// The domain [default: that of ics.toml].
    domain: Option<DomainName>,
    /// Take the whole descriptor from a JSON file; version and previous hash are filled in.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// What the domain is for and whom to ask.
    #[arg(long, value_name = "TEXT", group = "changes")]
    description: Option<String>,
    /// Add an owner: a key of this home directory, or a file with the owner's certificate.
    #[arg(long, value_name = "KEY", group = "changes")]
    add_owner: Vec<String>,
    /// Remove an owner.
    #[arg(long, value_name = "FINGERPRINT", group = "changes")]
    remove_owner: Vec<Fingerprint>,
    /// How many owners must sign the versions after this one.
    #[arg(long, value_name = "COUNT", group = "changes")]
    threshold: Option<u32>,
    /// Give a role to a signer: a fingerprint, a key of this home directory, or a file with one certificate or a
    /// keyring of many. The command names those in a file who can sign nothing, and says why.
    #[arg(long, value_name = "ROLE=KEY", value_parser = role_and_key, group = "changes")]
    add_signer: Vec<(Role, String)>,
    /// Let --add-signer and --add-names define roles that the descriptor does not have yet.
    #[arg(long)]
    new_role: bool,
    /// Take a role from a signer. What the signer has said in it no longer counts, except blocks and grants: the
    /// command shows what will no longer count, so that another signer can say it again first.
    #[arg(long, value_name = "ROLE=KEY", value_parser = role_and_key, group = "changes")]
    remove_signer: Vec<(Role, String)>,
    /// Let a role give names that match a pattern.
    #[arg(long, value_name = "ROLE=PATTERN", value_parser = role_and_key, group = "changes")]
    add_names: Vec<(Role, String)>,
    /// No longer let a role give names that match a pattern.
    #[arg(long, value_name = "ROLE=PATTERN", value_parser = role_and_key, group = "changes")]
    remove_names: Vec<(Role, String)>,
    /// How many bytes a certificate may have, with what others have certified of it [default: 65536; up to 1048576, the
    /// last 16384 of them for a revocation of its key]. Such a revocation ends all subkeys too: if there is no room for
    /// theirs, send it alone.
    #[arg(long, value_name = "BYTES", group = "changes")]
    certificate_bytes: Option<usize>,
    /// A file about a domain from which entries may be adopted, as a node gives it at /v1/domains/DOMAIN. If the domain
    /// is a source already, it gets the key that its home has now; compare that key with what its owners say.
    #[arg(long, value_name = "FILE", group = "changes")]
    add_source: Vec<PathBuf>,
    /// A signer whose statements no longer count from an index of this domain's log on; or, for what was adopted from a
    /// source, from an index of that source's log on: what the source itself declares does not count here. The command
    /// shows which blocks this ends, so that another signer can say them again first.
    #[arg(long, value_name = "[SOURCE/]FINGERPRINT@INDEX", value_parser = compromise, group = "changes")]
    compromised: Vec<Declared>,
    /// Lift this statement, named by its id as `ics history` shows it, regardless of who made it and how it blocks,
    /// even for ever or after its erasure. X.509 certificates that were revoked for good stay revoked: new ones must be
    /// issued, and to another key (`ics replace`) if two roles have called the key compromised.
    #[arg(long, value_name = "STATEMENT", group = "changes")]
    lift: Vec<StatementId>,
    /// Add a node that is to cosign checkpoints: its name and key as its /v1/node shows them. The home asks it once
    /// `ics peer add NAME --witness` has said where it is.
    #[arg(long, value_name = "NAME=BASE64", value_parser = witness, group = "changes")]
    add_witness: Vec<NodeKey>,
    /// Remove a node that is no longer to cosign checkpoints.
    #[arg(long, value_name = "NAME", group = "changes")]
    remove_witness: Vec<String>,
    /// How many witnesses must have cosigned before anything is acknowledged or shown [default: all, when the first
    /// ones are added].
    #[arg(long, value_name = "COUNT", group = "changes")]
    quorum: Option<u32>,
    /// The owner's key that signs.
    #[arg(long = "owner", default_value = "owner", value_name = "KEY")]
    owners: Vec<String>,
    /// Sign nothing: write the new version to this file, for `ics sign` on the machine that has the owner's key.
    #[arg(long, value_name = "FILE")]
    unsigned: Option<PathBuf>,
}

/// What lifting a block does not do.
const REVOKED: &str = "a block for ever has revoked the X.509 certificates that were issued before it: they stay \
                       revoked, and new ones must be issued. A key that two roles have called compromised gets no more \
                       certificates: `ics replace` gives the thing another key";

/// A signer declared compromised: from where on, and in which domain if not in the one that declares it.
#[derive(Debug, Clone)]
struct Declared {
    source: Option<DomainName>,
    signer: Fingerprint,
    from_index: u64,
}

fn compromise(text: &str) -> Result<Declared, String> {
    let (source, rest) = text.split_once('/').map_or((None, text), |(source, rest)| (Some(source), rest));
    let (signer, index) = rest.split_once('@').ok_or_else(|| format!("`{text}` lacks its `@`"))?;
    let from_index = index.parse().map_err(|_| format!("`{index}` is not an index of the log"))?;
    let signer = signer.parse().map_err(|e: ics_core::identity::IdentityError| e.to_string())?;
    let source = source.map(str::parse::<DomainName>).transpose().map_err(|e| e.to_string())?;
    Ok(Declared { source, signer, from_index })
}

fn witness(text: &str) -> Result<NodeKey, String> {
    let (name, key) = text.split_once('=').ok_or_else(|| format!("`{text}` lacks its `=`"))?;
    Ok(NodeKey { name: name.to_owned(), key: key.to_owned() })
}

impl Update {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        let domain = domain_or_default(context, self.domain.take())?;
        let (owners, unsigned) = (core::mem::take(&mut self.owners), self.unsigned.take());
        let previous = newest(context, &domain)?.descriptor;
        self.refuse_unknown_roles(&previous)?;
        let next = match &self.from_file {
            Some(path) => descriptor::follow(&previous, edited(path)?)?,
            None => descriptor::next_version(&previous, self.changes(context, &domain)?)?,
        };
        refuse_unchanged(&previous, &next)?;
        if next.certificates.is_some() && !next.lifted.is_subset(&previous.lifted) {
            context.output.note(REVOKED);
        }
        tell_no_sources(context, &previous, &next);
        tell_idle_roles(context, &previous, &next);
        tell_new_signers(context, &previous, &next);
        tell_orphans(context, &previous, &next);
        // Owners sign a digit too many like anything else; only the log shows that it is one.
        let node = context.config().and_then(|config| context.node(&config)).ok();
        if let Some(node) = &node {
            beyond_the_log(context, node, &next);
        }
        let falls = tell_falls(context, node.as_ref(), &previous, &next);
        if let Some(path) = &unsigned {
            return prepare(context, &next, &falls, &owners, path);
        }
        let unlocked = unlock_all(context, &owners)?;
        let signers = unlocked.iter().map(|key| key.primary()).collect::<Result<Vec<_>, _>>()?;
        descriptor::refuse_strangers(&previous.owners.keys, &signers)?;
        let file = DescriptorFile::sign_new(next, &signers, context.now())?;
        let path = descriptor::path(&context.home, &domain, file.descriptor.version);
        file.write(&path)?;
        let exit = super::show::print_with(context, &file, &path, &falls)?;
        super::tell_of_submit(context, &file, &previous);
        Ok(exit)
    }

    /// Refuses unknown roles: a mistyped role would be created, and the intended one would have no signer.
    fn refuse_unknown_roles(&self, previous: &Descriptor) -> Result<(), Failure> {
        let mut roles = self.add_signer.iter().chain(&self.add_names).map(|(role, _)| role);
        match roles.find(|role| !self.new_role && !previous.roles.contains_key(*role)) {
            None => Ok(()),
            Some(role) => {
                let known: Vec<&str> = previous.roles.keys().map(Role::as_str).collect();
                Err(Failure::new(Exit::Usage, format!("`{}` has no role `{role}`", previous.domain))
                    .hint(format!("it has {}; --new-role makes another", known.join(", "))))
            }
        }
    }

    fn changes(self, context: &Context, domain: &DomainName) -> Result<Changes, Failure> {
        let compromise = |Declared { source, signer, from_index }| {
            let domain = source.unwrap_or_else(|| domain.clone());
            Compromise { signer, domain, from_index }
        };
        Ok(Changes {
            description: self.description,
            add_owners: self.add_owner.iter().map(|key| owner(context, key)).collect::<Result<_, _>>()?,
            remove_owners: self.remove_owner,
            threshold: self.threshold,
            add_signers: new_signers(context, self.add_signer)?,
            remove_signers: signers(context, self.remove_signer)?,
            add_names: self.add_names,
            remove_names: self.remove_names,
            certificate_bytes: self.certificate_bytes,
            add_sources: self.add_source.iter().map(|path| source(path)).collect::<Result<_, _>>()?,
            compromised: self.compromised.into_iter().map(compromise).collect(),
            lift: self.lift,
            add_witnesses: self.add_witness,
            remove_witnesses: self.remove_witness,
            quorum: self.quorum,
        })
    }
}

/// Refuses a version that changes nothing: owners would sign it, and each later one would have to wait for it.
fn refuse_unchanged(previous: &Descriptor, next: &Descriptor) -> Result<(), Failure> {
    let (version, before) = (previous.version, previous.previous);
    if (Descriptor { version, previous: before, ..next.clone() }) != *previous {
        return Ok(());
    }
    let same = format!("nothing is to change: version {version} of {} says all of that", next.domain);
    Err(Failure::new(Exit::Usage, same).hint("`ics domain update --help` lists what changes the rules"))
}

/// Warns of newly declared compromises in domains that are no source: their names may be mistyped.
fn tell_no_sources(context: &Context, previous: &Descriptor, next: &Descriptor) {
    let is_known = |it: &&Compromise| it.domain == next.domain || next.sources.iter().any(|of| of.domain == it.domain);
    let new = next.compromised.iter().filter(|it| !previous.compromised.contains(it));
    for Compromise { signer, domain, .. } in new.filter(|it| !is_known(it)) {
        context.output.note(&format!(
            "`{domain}` is not a source of {}: declaring {signer} compromised there affects only what was adopted \
             through a source",
            next.domain
        ));
    }
}

/// Writes a version for its first owner to sign, and reports what falls by it.
pub(super) fn prepare(
    context: &Context,
    next: &Descriptor,
    falls: &Falls,
    owners: &[String],
    path: &Path,
) -> Result<Exit, Failure> {
    let [owner] = owners else {
        return Err(Failure::new(Exit::Usage, "one owner signs first")
            .hint("name one with --owner; the others add their signatures with ics sign"));
    };
    let head = Head::new(next.domain.clone(), signer(context, owner)?, None, context.now());
    let digest = head.write_descriptor(path, next)?;
    let what = format!("version {} of {}", next.version, next.domain);
    say::say_prepared(context, path, (what.as_str(), falls), &digest, &head)
}

fn edited(path: &std::path::Path) -> Result<Descriptor, Failure> {
    let failed = |error: serde_json::Error| files::failed(path, error);
    // As people write it, with spaces and line breaks, and with what is shown beside it.
    let text = files::read_text(path, 4 * limits::DESCRIPTOR_BYTES)?;
    let mut shown: serde_json::Value = serde_json::from_str(&text).map_err(failed)?;
    // Members that `ics domain show` prints beside the descriptor.
    let members = shown.as_object_mut();
    let removed = members.map(|members| BESIDE.iter().filter(|name| members.remove(**name).is_some()).count());
    let is_shown = removed.is_some_and(|removed| removed > 0);
    let edited = if is_shown { serde_json::from_value(shown) } else { serde_json::from_str(&text) };
    edited.map_err(failed)
}
