//! `ics ca`: authorities that issue X.509 certificates. A root is kept on a machine without a network; what travels
//! between it and the node are requests and certificates, in PEM.

mod crl;
mod import;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use console::style;
use ics_core::descriptor::Issuer;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::vocabulary::CertificateUse;
use serde_json::json;

use self::crl::Crl;
use self::import::Import;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::keys::UnlockedKey;
use crate::words::path_text;
use crate::x509::{
    Authority, Constraints, NewAuthority, SerialNumber, ca_request, certificate_pem, issue_authority, pem, pem_block,
    read_certificates,
};

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// Commands about authorities.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the certificate of a root.
    ///
    /// Makes the self-signed certificate of a root, for a key in this home directory or in a token. The key must be
    /// P-256, as `ics key make --algorithm p256` makes it. Keep it on a machine without a network.
    Root(Root),
    /// Ask for the certificate of an issuing authority.
    ///
    /// Writes a certificate request for a key of this home directory, to be carried to the root. A request that is made
    /// in the same way also serves a node that is to answer OCSP: it is submitted to the issuer, not the root, by EST
    /// with the label `DOMAIN:ocsp`.
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
    /// earlier authorities only answer for, and revoke, what they have issued. This is how issuing keys are rotated.
    /// First add the key to `[node] issuers` in ics.toml, beside the former ones, which stay there for as long as what
    /// they have issued counts, and restart the node; then put the new version into force with `ics domain submit`.
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
    /// The name of the authority.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// The organization that it belongs to.
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// Days for which the certificate is valid.
    #[arg(long, default_value_t = 7300, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// The file to write; `-` is standard output.
    #[arg(short, long, alias = "output", value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// What `ics ca request` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics key make issuer --algorithm p256
  $ ics ca request --key issuer --name 'Acme Issuing 1' --organization Acme --out issuer.csr

  For a mirror that is to answer OCSP; the issuer's operator submits it by EST (not `ics ca sign`):
  $ ics ca request --key ocsp --name 'OCSP of site 4' --out ocsp.csr")]
pub(crate) struct Request {
    /// The key.
    #[arg(long, default_value = "issuer", value_name = "KEY")]
    key: String,
    /// The name of the authority.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// The organization that it belongs to.
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, alias = "output", value_name = "FILE", default_value = "-")]
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
    /// Names that the authority may certify: a host name with everything below it, or a network; may be given several
    /// times [default: all]. If only host names are given, it may certify no addresses, and if only networks are given,
    /// no host names. Some clients (strongSwan) load no authority with constraints on addresses, which `--permit
    /// acme.example` alone makes as well: if they are to accept its certificates, give neither --permit nor --exclude.
    /// Profiles and names in the descriptor then say what it issues.
    #[arg(long, value_name = "NAME")]
    permit: Vec<String>,
    /// Names that the authority may not certify; may be given several times.
    #[arg(long, value_name = "NAME")]
    exclude: Vec<String>,
    /// Uses that the authority may certify: client, server, ocsp [default: all].
    #[arg(long = "use", value_name = "USE", value_parser = certificate_use)]
    uses: Vec<CertificateUse>,
    /// Days for which the certificate is valid; it cannot outlive the root's.
    #[arg(long, default_value_t = 1825, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// The address at which the root's revocation list will be.
    #[arg(long, value_name = "URL")]
    crl_url: Option<String>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, alias = "output", value_name = "FILE", default_value = "-")]
    out: PathBuf,
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

fn certificate_use(text: &str) -> Result<CertificateUse, String> {
    let names = || CertificateUse::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| format!("`{text}` is not a use of certificates: {}", names()))
}

fn unlocked(context: &Context, key: &str) -> Result<UnlockedKey, Failure> {
    context.unlock(&context.keys().find(key)?)
}

/// Tells which file was written, unless it went to standard output, and what to do with it.
fn written(context: &Context, out: &Path, next: &str) -> Result<Exit, Failure> {
    if out.as_os_str() != files::STANDARD {
        let file = path_text(out);
        context.output.result(&json!({ "file": file }), || format!("{} {file}", style("✓").green()))?;
    }
    context.output.note(next);
    Ok(Exit::Ok)
}

fn serial() -> Result<SerialNumber, Failure> {
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(|error| Failure::new(Exit::Internal, error))?;
    Ok(SerialNumber::new(random))
}

/// Reads the certificates in a file, which may contain a whole chain.
fn read(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = files::read(path, limits::X509_CERTIFICATE_BYTES * 2 * limits::X509_CHAIN)?;
    read_certificates(&bytes).map_err(|error| files::failed(path, error))
}

/// Reads an authority from its certificate and those above it.
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

/// What to do with a request, which does not itself say what it was made for.
const REQUESTED: &str = "for an issuing authority, ics ca sign on the machine of the root makes its certificate; for \
                         a node that answers OCSP in the issuer's place, never use it: that would make the node's key \
                         an authority. Such a request goes to the issuer's node, by EST at \
                         /.well-known/est/DOMAIN:ocsp/simpleenroll";

/// Refuses a key that does not belong to the certificate.
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
        written(context, &self.out, "`ics ca sign` issues the certificates of authorities below it")
    }
}

impl Request {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = unlocked(context, &self.key)?;
        let der = ca_request(key.primary()?, &self.name, self.organization.as_deref()).map_err(refused)?;
        files::create(&self.out, pem_block("CERTIFICATE REQUEST", &der).as_bytes())?;
        written(context, &self.out, REQUESTED)
    }
}

impl Sign {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (above, _) = authority(&[&self.certificate])?;
        let text = files::read_text(&self.request, limits::CSR_BYTES * 2)?;
        let request = pem(&text, "CERTIFICATE REQUEST").map_err(|error| files::failed(&self.request, error))?;
        let uses = (!self.uses.is_empty()).then_some(self.uses);
        let constraints = Constraints::parse(&self.permit, &self.exclude, uses);
        let constraints = constraints.map_err(|error| Failure::new(Exit::Usage, error))?;
        let key = unlocked(context, &self.key)?;
        let signer = key.primary()?;
        check_key(&above, signer, &self.key)?;
        let now = context.now();
        if above.not_after <= now {
            let text = format!("the certificate `{}` has expired: {}", self.certificate.display(), above.not_after);
            return Err(refused(text).hint("make a new root with `ics ca root`, or correct this machine's clock"));
        }
        let not_after = now.plus_millis(self.days * DAY);
        let new = NewAuthority {
            common_name: String::new(),
            organization: None,
            path_length: 0,
            constraints,
            validity: (now, not_after.min(above.not_after)),
            crl_url: self.crl_url,
        };
        let der = issue_authority(signer, Some(&above), Some(&request), &new, &serial()?).map_err(refused)?;
        files::create(&self.out, certificate_pem(&der).as_bytes())?;
        if not_after > above.not_after {
            let (days, ends) = (self.days, above.not_after);
            context.output.note(&format!("it ends with the root, at {ends}, and not after {days} days"));
        }
        written(context, &self.out, "`ics ca import` lets a domain issue with it")
    }
}
