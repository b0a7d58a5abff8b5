//! `ics ca import`: makes the next version of a descriptor, under which an authority issues certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use ics_core::descriptor::{CertificateProfile, Certificates, Descriptor, ISSUER_ROLE, Issuer};
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::vocabulary::{CertificateUse, DomainName, KeyType, ProfileName, Requirement};
use serde_json::json;

use super::super::domain;
use super::{DAY, authority, refused};
use crate::api::DEFAULT_PROFILE;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::descriptor::{self, DescriptorFile};
use crate::keys::{StoredKey, UnlockedKey};
use crate::x509::Authority;

/// Patterns of the names that an issuer of certificates gives.
const ISSUER_NAMES: [&str; 3] = ["serial:*", "spki:*", "cert:*"];

/// What to do if a key cannot be that of the next authority.
const ANOTHER_KEY: &str = "make another with `ics key make`, and ask the root for its certificate";

/// What `ics ca import` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics ca import issuer.pem --chain root.pem --url http://pki.acme.example/x509/devices.acme.example
  $ ics ca import issuer-2.pem --chain root.pem --domain devices.acme.example --profiles profiles.json

A file of profiles lists each under its name (seconds and requesters may be left out; `ics --json domain show` prints
all):
  {\"ldevid\": {\"kinds\": [\"device\"], \"uses\": [\"client\"], \"keys\": [\"p256\", \"ed25519\"],
    \"names\": [\"serial:*\", \"urn:*\"], \"seconds\": 7776000, \"requesters\": [\"manufacturer\"]}}

EST and CMP use the profile `ldevid` if their address names none (`DOMAIN:PROFILE`). An ACME client that names no
profile gets the profile with the shortest validity that fits the thing and the names; it is chosen before the client's
key is known. So if you add a profile with a shorter validity, such clients get that one from then on.")]
pub(crate) struct Import {
    /// The authority's certificate.
    certificate: PathBuf,
    /// The certificates above it, up to the root: one file for each, or one with all of them.
    #[arg(long, value_name = "FILE")]
    chain: Vec<PathBuf>,
    /// The domain [default: that of ics.toml].
    #[arg(long)]
    domain: Option<DomainName>,
    /// Where the node answers for revocation: its address followed by `/x509/DOMAIN`, or an address that leads there.
    /// It is written into each certificate, so it can only be changed together with the authority [default: as before].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Profiles of certificates, as JSON [default: as before, or one each for devices, servers and OCSP responders, by
    /// which things can request certificates only for themselves: signers can request them in the roles that a profile
    /// lists in `requesters`].
    #[arg(long, value_name = "FILE")]
    profiles: Option<PathBuf>,
    /// How many revocation lists its certificates are divided among; can only be changed together with the authority
    /// [default: as before, or 16].
    #[arg(long, value_name = "COUNT")]
    shards: Option<u16>,
    /// The owner's key that signs.
    #[arg(long = "owner", default_value = "owner", value_name = "KEY")]
    owners: Vec<String>,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let domain = domain::domain_or_default(context, self.domain.clone())?;
        let paths: Vec<&Path> = core::iter::once(&self.certificate).chain(&self.chain).map(PathBuf::as_path).collect();
        let (authority, issuer) = authority(&paths)?;
        if !authority.has_root() {
            let text = "the chain ends below its root: the last of these certificates is not self-issued";
            return Err(refused(text).hint("name all certificates above the authority's with --chain, the root's last"));
        }
        let previous = domain::newest(context, &domain)?.descriptor;
        refuse_ninth(context, &previous, &issuer)?;
        let (next, key) = self.next(context, &previous, &authority, issuer)?;
        let unlocked = domain::unlock_all(context, &self.owners)?;
        let signers = unlocked.iter().map(UnlockedKey::primary).collect::<Result<Vec<_>, _>>()?;
        descriptor::refuse_strangers(&previous.owners.keys, &signers)?;
        let file = DescriptorFile::sign_new(descriptor::follow(&previous, next)?, &signers, context.now())?;
        let path = descriptor::path(&context.home, &domain, file.descriptor.version);
        file.write(&path)?;
        let version = file.descriptor.version;
        let shown = json!({ "domain": domain, "version": version, "file": path.display().to_string() });
        context.output.result(&shown, || format!("version {version} of {domain} is in {}\n", path.display()))?;
        if let Some(certificates) = &file.descriptor.certificates {
            let asked = self.profiles.as_ref().map(|_| unnamed(certificates)).unwrap_or_default();
            let notes = short_profiles(certificates).into_iter().chain(asked);
            let notes = notes.chain(elsewhere(&certificates.url, &domain));
            notes.for_each(|note| context.output.note(&note));
        }
        if let Some(note) = for_node(context, &key)? {
            context.output.note(&note);
        }
        domain::tell_of_submit(context, &file, &previous);
        Ok(Exit::Ok)
    }

    /// Returns the next descriptor and the authority's key.
    fn next(
        &self,
        context: &Context,
        previous: &Descriptor,
        authority: &Authority,
        issuer: Issuer,
    ) -> Result<(Descriptor, StoredKey), Failure> {
        let mut next = previous.clone();
        let keys = context.keys().list()?;
        let holds =
            |key: &StoredKey| key.public_key().is_ok_and(|key| key.to_spki_der().as_ref() == Some(&authority.spki));
        let key = keys.iter().find(|key| holds(key)).ok_or_else(|| {
            Failure::new(Exit::Local, "no key of this home directory is that of the certificate")
                .hint("`ics ca request` makes the request with the node's own key")
        })?;
        // Whoever has the key could speak as the issuer again. The domain's log would take nothing from it, but the new
        // descriptor would give it the role.
        if let Some(key) = keys.iter().filter(|key| holds(key)).find(|key| previous.is_compromised(&key.fingerprint()))
        {
            let text = format!("the key `{}` of the certificate is declared compromised by the descriptor", key.name());
            return Err(refused(text).hint(ANOTHER_KEY));
        }
        refuse_other_name(previous, authority)?;
        let role = ISSUER_ROLE.parse().map_err(|error: ics_core::vocabulary::WordError| refused(error))?;
        let spec = next.roles.entry(role).or_default();
        spec.signers.insert(key.fingerprint());
        spec.names.extend(ISSUER_NAMES.map(str::to_owned));
        let url = self.url.clone().or_else(|| previous.certificates.as_ref().map(|it| it.url.clone()));
        let url = url.ok_or_else(|| {
            Failure::new(Exit::Usage, "no address is given at which revocation is answered").hint("name it with --url")
        })?;
        if url.starts_with("https://") {
            context.output.note(
                "certificates will name an https address, which many clients do not follow to ask about revocation: \
                 lists and answers are signed, so `http://…` is as safe and serves all clients",
            );
        }
        let mut certificates = previous.certificates.clone().unwrap_or_else(|| Certificates {
            url: url.clone(),
            issuers: Vec::new(),
            shards: 16,
            answers_hold: 86_400,
            profiles: profiles(),
        });
        certificates.url = url;
        certificates.shards = self.shards.unwrap_or(certificates.shards);
        certificates.issuers.retain(|other| other.certificate != issuer.certificate);
        certificates.issuers.insert(0, issuer);
        if let Some(path) = &self.profiles {
            let json = files::read(path, limits::DESCRIPTOR_BYTES)?;
            certificates.profiles = serde_json::from_slice(&json).map_err(|error| files::failed(path, error))?;
        }
        next.certificates = Some(certificates);
        Ok((next, key.clone()))
    }
}

/// Refuses a key that issues under another name: its revocation lists bear one name, and certificates under the other
/// would be looked for in vain.
fn refuse_other_name(previous: &Descriptor, authority: &Authority) -> Result<(), Failure> {
    let listed = previous.certificates.iter().flat_map(|certificates| &certificates.issuers);
    let mut listed = listed.filter_map(|issuer| Authority::read(issuer).ok());
    let other = listed.find(|other| other.spki == authority.spki && other.name != authority.name);
    other.map_or(Ok(()), |other| {
        let text = format!("the key of the certificate issues as `{}`, and its revocation lists say so", other.name);
        Err(refused(text).hint(ANOTHER_KEY))
    })
}

/// Refuses an authority beyond the number that a descriptor may list, and says how to make room.
fn refuse_ninth(context: &Context, previous: &Descriptor, issuer: &Issuer) -> Result<(), Failure> {
    let listed = previous.certificates.iter().flat_map(|certificates| &certificates.issuers);
    if listed.filter(|other| other.certificate != issuer.certificate).count() < limits::CERTIFICATE_ISSUERS {
        return Ok(());
    }
    let most = limits::CERTIFICATE_ISSUERS;
    let text = format!("a descriptor lists {most} authorities, with former ones, and `{}` has them", previous.domain);
    Err(refused(text).hint(format!(
        "once an authority is not listed, nobody can learn any more whether what it has issued is revoked: so take out \
         one whose certificates have all expired, and import again: `ics --json domain show > next.json`, delete it \
         from `issuers` there, `ics domain update --from-file next.json`, `ics domain submit`. {}",
        domain::leaving::listed(context, previous)
    )))
}

/// Describes what requesters get that name no profile.
fn unnamed(certificates: &Certificates) -> Vec<String> {
    let mut profiles: Vec<_> =
        certificates.profiles.iter().filter(|(_, profile)| !profile.uses.contains(&CertificateUse::Ocsp)).collect();
    profiles.sort_by_key(|(_, profile)| profile.seconds.unwrap_or(u64::MAX));
    let acme = profiles.first().filter(|_| profiles.len() > 1).map(|(name, _)| {
        format!(
            "an ACME client that names no profile gets the one of the shortest time that fits the thing and its names, \
             `{name}` before all others"
        )
    });
    let has_default = certificates.profiles.keys().any(|name| name.as_str() == DEFAULT_PROFILE);
    let est = (!has_default).then(|| {
        format!(
            "no profile is called `{DEFAULT_PROFILE}`, for which EST and CMP ask where the address has none: so \
             devices must name one, as in `/.well-known/est/DOMAIN:PROFILE/simpleenroll`"
        )
    });
    est.into_iter().chain(acme).collect()
}

/// Warns of an address that is not one at which a node answers: a proxy may lead there, or nothing.
fn elsewhere(url: &str, domain: &DomainName) -> Option<String> {
    let place = format!("/x509/{domain}");
    if url.trim_end_matches('/').ends_with(&place) {
        return None;
    }
    Some(format!(
        "certificates will name `{url}` for their whole lifetime, and a node answers at `{place}` of its address: \
         unless something forwards from there to the node, nobody can ask about revocation; in that case delete that \
         file instead of submitting it, and import again with another --url"
    ))
}

/// Returns what must be added to ics.toml before the authority issues, if anything. Without the former keys nobody
/// would answer for what they have issued.
fn for_node(context: &Context, key: &StoredKey) -> Result<Option<String>, Failure> {
    let keys = context.keys();
    let is_it = |name: &String| keys.find(name).is_ok_and(|other| other.fingerprint() == key.fingerprint());
    let mut names = context.config()?.node.map(|node| node.issuers).unwrap_or_default();
    if names.iter().any(is_it) {
        return Ok(None);
    }
    names.insert(0, key.name().to_string());
    Ok(Some(format!(
        "the node needs the key before `ics domain submit`: put `[node] issuers = {names:?}` into its ics.toml, and \
         start it again; keys that stand there already stay for as long as what they have issued counts"
    )))
}

/// How many days of certificates the record of a thing should have room for.
const ROOM_DAYS: u64 = 3_650;

/// Warns of profiles with such short lifetimes that renewals fill the records of things. Clients renew after 60 to 66
/// hundredths of the lifetime, as ACME tells them.
fn short_profiles(certificates: &Certificates) -> Vec<String> {
    let room = u64::try_from(limits::RECORD_STATEMENTS_ISSUED).unwrap_or(u64::MAX);
    let days = |profile: &CertificateProfile| Some((profile.seconds? / 100 * 63).saturating_mul(room) / (DAY / 1000));
    let profiles = certificates.profiles.iter();
    let short = profiles.filter_map(|(name, profile)| Some((name, days(profile).filter(|days| *days < ROOM_DAYS)?)));
    let text = |(name, days): (&ProfileName, u64)| {
        format!(
            "a thing that renews its certificates of the profile `{name}` in time has room for {days} days of them in its \
             record; after that it needs a new identity (`ics replace`)"
        )
    };
    short.map(text).collect()
}

/// The default profiles of a domain: 90 days for devices as clients, 30 for servers, and 7 for those that answer OCSP
/// elsewhere.
fn profiles() -> BTreeMap<ProfileName, CertificateProfile> {
    use Kind::{Device, Gateway, Node, Service};
    let profile = |kinds: &[Kind], uses: &[CertificateUse], names: &[&str], days: u64| CertificateProfile {
        kinds: kinds.iter().copied().collect(),
        uses: uses.iter().copied().collect(),
        keys: BTreeSet::from([KeyType::P256, KeyType::P384, KeyType::Ed25519]),
        names: names.iter().map(|pattern| (*pattern).to_owned()).collect(),
        seconds: Some(days * DAY / 1000),
        hardware_type: None,
        requires: Requirement::Permitted,
        requesters: BTreeSet::new(),
    };
    let client = profile(&[Device, Gateway], &[CertificateUse::Client], &["serial:*", "urn:*"], 90);
    let server = profile(&[Gateway, Service, Node], &[CertificateUse::Server, CertificateUse::Client], &["host:*"], 30);
    let ocsp = profile(&[Node, Service], &[CertificateUse::Ocsp], &[], 7);
    let all = [("ldevid", client), ("server", server), ("ocsp", ocsp)];
    all.into_iter().filter_map(|(name, profile)| Some((name.parse().ok()?, profile))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_at_which_no_node_answers_is_told() {
        let domain: DomainName = "devices.acme.example".parse().expect("a domain");
        for url in
            ["http://pki.acme.example/x509/devices.acme.example", "http://127.0.0.1:1/x509/devices.acme.example/"]
        {
            assert_eq!(elsewhere(url, &domain), None, "{url}");
        }
        for url in ["http://127.0.0.1:24102", "http://127.0.0.1:1/x509", "http://127.0.0.1:1/x509/other.acme.example"] {
            let told = elsewhere(url, &domain).expect("is told");
            assert!(told.contains(url) && told.contains("`/x509/devices.acme.example`"), "{told}");
        }
    }
}
