//! `ics ca crl`: the list in which a root revokes authorities below it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use ics_core::limits;
use ics_core::time::Timestamp;

use super::{DAY, authority, check_key, refused, unlocked, written};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::words::counted;
use crate::words::shell_path;
use crate::x509::{
    Authority, ReadRevoked, Reason, RevocationList, Revoked, SerialNumber, pem, pem_block, read_certificate,
    read_revoked,
};

/// The label of a list in PEM (RFC 7468, 6).
const LABEL: &str = "X509 CRL";

/// A hint on who revokes a certificate that the root has not issued.
const NOT_ITS: &str = "its own issuer must revoke it: what a node has issued is revoked by the status of the thing \
                       (`ics status`), and appears on its issuer's list";

/// What `ics ca crl` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics ca crl --key root --certificate root.pem --out root.crl
  $ ics ca crl --certificate root.pem --revoke issuer-1.pem=cACompromise@2027-01-15T10:00:00Z --out root.crl
  $ ics ca crl --certificate root.pem --former root.crl --revoke issuer-2.pem=superseded --out root.crl")]
pub(crate) struct Crl {
    /// The root's key.
    #[arg(long, default_value = "root", value_name = "KEY")]
    key: String,
    /// The root's certificate.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The root's previous list, in PEM. Its entries are kept, with their times.
    #[arg(long, value_name = "FILE")]
    former: Option<PathBuf>,
    /// A certificate that is revoked, the reason by its name in RFC 5280, and since when [default: as in the former
    /// list or the one that is replaced, or now]. Without `--former`, name all revoked certificates each time.
    #[arg(long, value_name = "FILE=REASON[@TIME]", value_parser = to_revoke)]
    revoke: Vec<ToRevoke>,
    /// Days for which the list is valid.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// The file to write, in PEM; `-` is standard output. A list that is there is replaced only by one that revokes all
    /// that it revokes, and nothing else is.
    #[arg(short, long, alias = "output", value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// The value of `--revoke`.
#[derive(Debug, Clone)]
struct ToRevoke {
    certificate: PathBuf,
    reason: Reason,
    at: Option<Timestamp>,
}

fn to_revoke(text: &str) -> Result<ToRevoke, String> {
    let (certificate, why) = text.rsplit_once('=').ok_or_else(|| format!("`{text}` lacks its `=`"))?;
    let (reason, at) = match why.split_once('@') {
        Some((reason, at)) => (reason, Some(Timestamp::parse(at).map_err(|error| error.to_string())?)),
        None => (why, None),
    };
    Ok(ToRevoke { certificate: certificate.into(), reason: reason.parse()?, at })
}

impl Crl {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (authority, _) = authority(&[&self.certificate])?;
        let now = context.now();
        let former = self.former.as_deref().map(|path| former(path, &authority)).transpose()?.unwrap_or_default();
        let there = self.there(&authority)?;
        // Clients that compare lists accept no list with a smaller number (RFC 5280, 5.2.3), and on a machine without a
        // network clocks go wrong.
        let number = former.number.max(there.number).map_or(0, |number| number.saturating_add(1)).max(now.as_millis());
        let made = former.this_update.max(there.this_update);
        if made > now {
            context.output.note(&format!(
                "the former list was made at {made}, which is in the future by this machine's clock: set the clock and \
                 sign again, or the new list may be taken for the older one"
            ));
        }
        let revoked = self.revoked(&authority, former.revoked, &there.revoked, now)?;
        let lost = there.revoked.keys().filter(|serial| !revoked.contains_key(*serial)).count();
        if lost > 0 {
            let (file, lost) = (self.out.display(), counted(lost, "certificate"));
            return Err(refused(format!("`{file}` revokes {lost} that the new list would not"))
                .hint(format!("--former {} keeps what it revokes", shell_path(&self.out))));
        }
        let key = unlocked(context, &self.key)?;
        let signer = key.primary()?;
        check_key(&authority, signer, &self.key)?;
        let list = RevocationList {
            authority: &authority,
            urls: &[],
            revoked: &revoked,
            number,
            this_update: now,
            next_update: now.plus_millis(self.days * DAY),
        };
        let der = list.sign(signer).map_err(refused)?;
        files::write(&self.out, pem_block(LABEL, &der).as_bytes())?;
        written(context, &self.out, "put it where the `--crl-url` of `ics ca sign` says it is")
    }

    /// The list in whose place the new one comes: what it revokes must not be trusted again because nobody has named
    /// it.
    fn there(&self, authority: &Authority) -> Result<ReadRevoked, Failure> {
        let is_there = std::fs::metadata(&self.out).is_ok_and(|found| found.is_file() && found.len() > 0);
        if files::is_standard(&self.out) || !is_there {
            return Ok(ReadRevoked::default());
        }
        former(&self.out, authority).map_err(|failure| {
            let hint = "--out names another file, or remove this one if nothing rests on it";
            failure.after("it is not overwritten").hint(hint)
        })
    }

    /// Returns all entries of the new list: those of the former list and those to be revoked now. A later list must not
    /// change the time of a revocation (RFC 5280, 5.1.2.6): signatures made before it are believed, later ones are not.
    fn revoked(
        &self,
        authority: &Authority,
        mut revoked: BTreeMap<SerialNumber, Revoked>,
        there: &BTreeMap<SerialNumber, Revoked>,
        now: Timestamp,
    ) -> Result<BTreeMap<SerialNumber, Revoked>, Failure> {
        for ToRevoke { certificate: path, reason, at } in &self.revoke {
            let bytes = files::read(path, limits::X509_CERTIFICATE_BYTES * 2)?;
            let (certificate, _) = read_certificate(&bytes).map_err(|error| files::failed(path, error))?;
            // Nobody would look for it in this list.
            if !authority.has_issued(&certificate) {
                let text = format!("`{}` was not issued by `{}`", path.display(), self.certificate.display());
                return Err(refused(text).hint(NOT_ITS));
            }
            let serial = SerialNumber::read(certificate.tbs_certificate.serial_number.as_bytes())
                .ok_or_else(|| files::failed(path, "it was not issued by `ics ca sign`"))?;
            let former = revoked.get(&serial).or_else(|| there.get(&serial));
            let at = at.or_else(|| former.map(|former| former.at)).unwrap_or(now);
            if at > now {
                let text = format!("`{}` is to be revoked as of {at}, which is in the future", path.display());
                return Err(Failure::new(Exit::Usage, text).hint("name the time from which on it is not to be trusted"));
            }
            revoked.insert(serial, Revoked { at, reason: *reason });
        }
        Ok(revoked)
    }
}

/// Reads the entries of a former list of the root.
fn former(path: &Path, authority: &Authority) -> Result<ReadRevoked, Failure> {
    let text = files::read_text(path, limits::REVOCATION_LIST_BYTES * 2)?;
    pem(&text, LABEL).and_then(|der| read_revoked(&der, authority)).map_err(|error| files::failed(path, error))
}
