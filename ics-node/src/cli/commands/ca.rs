//! `ics ca`: authorities that issue X.509 certificates. A root is kept on a machine without a network; what travels
//! between it and the node are requests and certificates, in PEM.

mod crl;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use ics_core::descriptor::{CertificateProfile, Certificates, Descriptor, ISSUER_ROLE, Issuer};
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::vocabulary::{CertificateUse, DomainName, KeyType, ProfileName, Requirement};
use serde_json::json;

use self::crl::Crl;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::descriptor::{self, DescriptorFile};
use crate::keys::{StoredKey, UnlockedKey};
use crate::x509::{
    Authority, Constraints, NewAuthority, SerialNumber, ca_request, certificate_pem, issue_authority, pem, pem_block,
    read_certificates,
};

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// Patterns of the names that the issuer of certificates gives.
const ISSUER_NAMES: [&str; 3] = ["serial:*", "spki:*", "cert:*"];

/// Commands about authorities.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the certificate of a root.
    ///
    /// Makes a root's own certificate of a key in this home directory, or in a token: P-256, as `ics key make --algorithm
    /// p256` makes them. Keep it on a machine without a network.
    Root(Root),
    /// Ask for the certificate of an issuing authority.
    ///
    /// Writes a request for a key of this home directory, to be carried to the root. With the same request a node asks the
    /// issuer, not the root, for the certificate by which it answers OCSP: by EST, with the label `DOMAIN:ocsp`.
    Request(Request),
    /// Issue the certificate of an issuing authority.
    ///
    /// Signs a request as the root. What the authority may issue is fixed here: names, networks, uses.
    Sign(Sign),
    /// Sign the root's revocation list.
    ///
    /// Signs a list of the authorities that the root has revoked, or an empty one: servers that check lists want one of
    /// every authority in a chain.
    Crl(Crl),
    /// Let a domain issue with an authority's certificate.
    ///
    /// Makes the next version of the descriptor: the authority issues from then on, its key gets the role `issuer`, and
    /// authorities that were there before only answer for what they have issued, and take it back. So keys are rotated.
    /// First `[node] issuers` in ics.toml names the key, beside the former ones, which stay there for as long as what
    /// they have issued counts, and the node is started again; then `ics domain submit` puts the version into force.
    Import(Import),
}

/// What `ics ca root` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key make root --algorithm p256
  $ ics ca root --key root --name 'Acme Root' --organization Acme --out root.pem")]
pub(crate) struct Root {
    /// The key.
    #[arg(long, default_value = "root", value_name = "KEY")]
    key: String,
    /// What the authority is called.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Whose it is.
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// Days for which the certificate is valid.
    #[arg(long, default_value_t = 7300, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// Where it goes.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// What `ics ca request` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key make issuer --algorithm p256
  $ ics ca request --key issuer --name 'Acme Issuing 1' --organization Acme --out issuer.csr

  Of a mirror that is to answer OCSP; the issuer's operator hands it in by EST (no `ics ca sign`):
  $ ics ca request --key ocsp --name 'OCSP of site 4' --out ocsp.csr")]
pub(crate) struct Request {
    /// The key.
    #[arg(long, default_value = "issuer", value_name = "KEY")]
    key: String,
    /// What the authority is called.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Whose it is.
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// Where it goes.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// What `ics ca sign` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics ca sign issuer.csr --key root --certificate root.pem --permit acme.example --use client --use server --out issuer.pem
  $ ics ca sign issuer.csr --certificate root.pem --permit acme.example --permit 10.0.0.0/8 \
--exclude secret.acme.example --days 365")]
pub(crate) struct Sign {
    /// The request.
    request: PathBuf,
    /// The root's key.
    #[arg(long, default_value = "root", value_name = "KEY")]
    key: String,
    /// The root's certificate.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Names that it may certify: a host name with all below it, or a network. Without, all; with host names only, no
    /// addresses, and with networks only, no host names. Some clients load no authority with constraints on addresses
    /// (strongSwan), and `--permit acme.example` alone makes such, too: where they are to take its certificates, leave
    /// --permit and --exclude away. Profiles and names in the descriptor then say what it issues.
    #[arg(long, value_name = "NAME")]
    permit: Vec<String>,
    /// Names that it may not certify.
    #[arg(long, value_name = "NAME")]
    exclude: Vec<String>,
    /// Uses that it may certify (client, server, ocsp). Without, all.
    #[arg(long = "use", value_name = "USE")]
    uses: Vec<CertificateUse>,
    /// Days for which the certificate is valid.
    #[arg(long, default_value_t = 1825, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// Where the root's revocation list will be.
    #[arg(long, value_name = "URL")]
    crl_url: Option<String>,
    /// Where it goes.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// What `ics ca import` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics ca import issuer.pem --chain root.pem --url http://pki.acme.example/x509/devices.acme.example
  $ ics ca import issuer-2.pem --chain root.pem --domain devices.acme.example --profiles profiles.json")]
pub(crate) struct Import {
    /// The authority's certificate.
    certificate: PathBuf,
    /// The certificates above it, up to the root: one file for each, or one with all of them.
    #[arg(long, value_name = "FILE")]
    chain: Vec<PathBuf>,
    /// The domain [default: that of ics.toml].
    #[arg(long)]
    domain: Option<DomainName>,
    /// Where the node answers for revocation: its address with `/x509/DOMAIN` behind it, or what leads there. It stands in
    /// each certificate, so it changes with the authority only [default: as before].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Profiles of certificates, as JSON [default: as before, or one each for devices, servers and answerers of OCSP, which
    /// let things ask for themselves only: signers ask in the roles that a profile lists in `requesters`].
    #[arg(long, value_name = "FILE")]
    profiles: Option<PathBuf>,
    /// Revocation lists among which its certificates are divided; changes with the authority only [default: as before, or
    /// 16].
    #[arg(long, value_name = "COUNT")]
    shards: Option<u16>,
    /// The owner's key that signs.
    #[arg(long = "owner", default_value = "owner", value_name = "KEY")]
    owners: Vec<String>,
}

impl CaCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Root(command) => command.run(context),
            Self::Request(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Crl(command) => command.run(context),
            Self::Import(command) => command.run(context),
        }
    }
}

fn unlocked(context: &Context, key: &str) -> Result<UnlockedKey, Failure> {
    context.unlock(&context.keys().find(key)?)
}

fn serial() -> Result<SerialNumber, Failure> {
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(|error| Failure::new(Exit::Internal, error))?;
    Ok(SerialNumber::new(random))
}

/// The certificates of a file, which may be a whole chain.
fn read(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = files::read(path, limits::X509_CERTIFICATE_BYTES * 2 * limits::X509_CHAIN)?;
    read_certificates(&bytes).map_err(|error| files::failed(path, error))
}

/// An authority by its certificate and those above it.
fn authority(paths: &[&Path]) -> Result<(Authority, Issuer), Failure> {
    let mut chain = Vec::new();
    for path in paths {
        chain.extend(read(path)?.iter().map(|der| STANDARD.encode(der)));
    }
    let mut texts = chain.into_iter();
    let certificate = texts.next().ok_or_else(|| Failure::new(Exit::Usage, "no certificate is named"))?;
    let issuer = Issuer { certificate, chain: texts.collect() };
    let authority = Authority::read(&issuer).map_err(|error| Failure::new(Exit::Refused, error))?;
    Ok((authority, issuer))
}

/// What to do with a request: it does not say what for it was made.
const REQUESTED: &str = "for an issuing authority: `ics ca sign` on the machine of the root makes a certificate of it; for \
                         a node that answers OCSP in the issuer's place, never: that would make its key an authority. \
                         Such a request goes to the issuer's node, by EST at /.well-known/est/DOMAIN:ocsp/simpleenroll";

/// Refuses a key that is not that of the certificate.
fn check_key(authority: &Authority, signer: &dyn Signer, name: &str) -> Result<(), Failure> {
    if signer.public_key().to_spki_der().as_ref() == Some(&authority.spki) {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, format!("the key `{name}` is not that of the certificate")))
}

fn refused(error: impl core::fmt::Display) -> Failure {
    Failure::new(Exit::Refused, error)
}

impl Root {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = unlocked(context, &self.key)?;
        let now = context.now();
        let new = NewAuthority {
            common_name: self.name,
            organization: self.organization,
            path_length: 0,
            constraints: Constraints::default(),
            validity: (now, now.plus_millis(self.days * DAY)),
            crl_url: None,
        };
        let der = issue_authority(key.primary()?, None, None, &new, &serial()?).map_err(refused)?;
        files::create(&self.out, certificate_pem(&der).as_bytes())?;
        context.output.note("`ics ca sign` issues the certificates of authorities below it");
        Ok(Exit::Ok)
    }
}

impl Request {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = unlocked(context, &self.key)?;
        let der = ca_request(key.primary()?, &self.name, self.organization.as_deref()).map_err(refused)?;
        files::create(&self.out, pem_block("CERTIFICATE REQUEST", &der).as_bytes())?;
        context.output.note(REQUESTED);
        Ok(Exit::Ok)
    }
}

impl Sign {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (above, _) = authority(&[&self.certificate])?;
        let text = files::read(&self.request, limits::CSR_BYTES * 2)?;
        let text = String::from_utf8(text).map_err(|error| files::failed(&self.request, error))?;
        let request = pem(&text, "CERTIFICATE REQUEST").map_err(|error| files::failed(&self.request, error))?;
        let uses = (!self.uses.is_empty()).then_some(self.uses);
        let constraints = Constraints::parse(&self.permit, &self.exclude, uses);
        let constraints = constraints.map_err(|error| Failure::new(Exit::Usage, error))?;
        let key = unlocked(context, &self.key)?;
        let signer = key.primary()?;
        check_key(&above, signer, &self.key)?;
        let now = context.now();
        if above.not_after <= now {
            let text = format!("the certificate `{}` has ended: {}", self.certificate.display(), above.not_after);
            return Err(refused(text).hint("make a new root with `ics ca root`, or set this machine's clock"));
        }
        let new = NewAuthority {
            common_name: String::new(),
            organization: None,
            path_length: 0,
            constraints,
            validity: (now, now.plus_millis(self.days * DAY).min(above.not_after)),
            crl_url: self.crl_url,
        };
        let der = issue_authority(signer, Some(&above), Some(&request), &new, &serial()?).map_err(refused)?;
        files::create(&self.out, certificate_pem(&der).as_bytes())?;
        context.output.note("`ics ca import` lets a domain issue with it");
        Ok(Exit::Ok)
    }
}

impl Import {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let domain = super::domain::domain_or_default(context, self.domain.clone())?;
        let paths: Vec<&Path> = core::iter::once(&self.certificate).chain(&self.chain).map(PathBuf::as_path).collect();
        let (authority, issuer) = authority(&paths)?;
        if !authority.has_root() {
            let text = "the chain ends below its root: the last of these certificates was not issued by itself";
            return Err(refused(text).hint("name all certificates above the authority's with --chain, the root's last"));
        }
        let previous = super::domain::newest(context, &domain)?.descriptor;
        let (next, key) = self.next(context, &previous, &authority, issuer)?;
        let unlocked = super::domain::unlock_all(context, &self.owners)?;
        let signers = unlocked.iter().map(UnlockedKey::primary).collect::<Result<Vec<_>, _>>()?;
        descriptor::refuse_strangers(&previous.owners.keys, &signers)?;
        let file = DescriptorFile::sign_new(descriptor::follow(&previous, next)?, &signers, context.now())?;
        let path = descriptor::path(&context.home, &domain, file.descriptor.version);
        file.write(&path)?;
        let version = file.descriptor.version;
        let shown = json!({ "domain": domain, "version": version, "file": path.display().to_string() });
        context.output.result(&shown, || format!("version {version} of {domain} is in {}\n", path.display()))?;
        if let Some(certificates) = &file.descriptor.certificates {
            let notes = short_profiles(certificates).into_iter().chain(elsewhere(&certificates.url, &domain));
            notes.for_each(|note| context.output.note(&note));
        }
        if let Some(note) = for_node(context, &key)? {
            context.output.note(&note);
        }
        context.output.note("`ics domain submit` puts it into force once enough owners have signed");
        Ok(Exit::Ok)
    }

    /// The next descriptor, and the authority's key.
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
            Failure::new(Exit::NotFound, "no key of this home directory is that of the certificate")
                .hint("`ics ca request` makes the request with the node's own key")
        })?;
        // Whoever has the key could speak as the issuer again. The domain's log would take nothing of it, but the new
        // descriptor would give it the role.
        if let Some(key) = keys.iter().filter(|key| holds(key)).find(|key| previous.is_compromised(&key.fingerprint()))
        {
            let text = format!("the key `{}` of the certificate is declared compromised by the descriptor", key.name());
            return Err(refused(text).hint("make another with `ics key make`, and ask the root for its certificate"));
        }
        let role = ISSUER_ROLE.parse().map_err(|error: ics_core::vocabulary::WordError| refused(error))?;
        let spec = next.roles.entry(role).or_default();
        spec.signers.insert(key.fingerprint());
        spec.names.extend(ISSUER_NAMES.map(str::to_owned));
        let url = self.url.clone().or_else(|| previous.certificates.as_ref().map(|it| it.url.clone()));
        let url = url.ok_or_else(|| {
            Failure::new(Exit::Usage, "it is not said where the node answers for revocation").hint("name it with --url")
        })?;
        if url.starts_with("https://") {
            context.output.note(
                "certificates will name an address of https, which many clients do not follow to ask about revocation: \
                 lists and answers are signed, so `http://…` is as safe and serves all",
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

/// What there is to say of an address that is not one at which a node answers: a proxy may lead there, or nothing.
fn elsewhere(url: &str, domain: &DomainName) -> Option<String> {
    let place = format!("/x509/{domain}");
    if url.trim_end_matches('/').ends_with(&place) {
        return None;
    }
    Some(format!(
        "certificates will name `{url}` for their whole time, and a node answers at `{place}` of its address: unless \
         something leads from there to it, nobody can ask about revocation; then delete that file instead of submitting \
         it, and import again with another --url"
    ))
}

/// What ics.toml must say before the authority issues, unless it does: without the former keys nobody would answer for
/// what they have issued.
fn for_node(context: &Context, key: &StoredKey) -> Result<Option<String>, Failure> {
    let keys = context.keys();
    let is_it = |name: &String| keys.find(name).is_ok_and(|other| other.fingerprint() == key.fingerprint());
    let mut names = context.config()?.node.map(|node| node.issuers).unwrap_or_default();
    if names.iter().any(is_it) {
        return Ok(None);
    }
    names.insert(0, key.name().to_string());
    Ok(Some(format!(
        "before `ics domain submit` the node needs the key: put `[node] issuers = {names:?}` into its ics.toml, and \
         start it again; keys that stand there already stay for as long as what they have issued counts"
    )))
}

/// Days for which the record of a thing should have room for its certificates.
const ROOM_DAYS: u64 = 3_650;

/// What there is to say of profiles of so short a time that things which renew such certificates fill their records with
/// them. Clients renew when 60 to 66 hundredths of the time are over, as ACME tells them.
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

/// What a domain issues unless it says otherwise: certificates of 90 days for devices as clients, of 30 for servers, of 7
/// for those who answer OCSP elsewhere.
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
