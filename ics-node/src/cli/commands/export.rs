//! `ics export`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ics_core::evidence::{self, Evidence, Verified};
use ics_core::statement::split;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::session::InDomain;
use crate::cli::words::{Freshness, clean, counted};
use crate::client::node::Node;

/// What `ics export` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics export serial:SN-0001 -o pump.evidence.json
  $ ics verify pump.evidence.json

  $ ics export serial:SN-0001 --openpgp --armor > pump.asc
  $ gpg --allow-non-selfsigned-uid --import pump.asc

  Software and groups are signed messages, each in a file of its own (firmware.pgp, firmware.2.pgp, …):
  $ ics export sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae --openpgp -o firmware.pgp
  $ gpg --verify firmware.pgp")]
pub(crate) struct Export {
    /// An id or a name, as `ics lookup` takes.
    query: String,
    #[command(flatten)]
    domain: InDomain,
    /// The file; it is overwritten [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// OpenPGP instead of evidence.
    #[arg(long)]
    openpgp: bool,
    /// OpenPGP in armor instead of binary.
    #[arg(long, requires = "openpgp")]
    armor: bool,
    /// OpenPGP objects of version 6 (RFC 9580) instead of version 4; gpg does not read them.
    #[arg(long, requires = "openpgp")]
    v6: bool,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let domain = self.domain.clone().or_default(&config)?;
        let node = context.node(&config)?;
        if self.openpgp { self.openpgp(context, &node, &domain) } else { self.evidence(context, &node, &domain) }
    }

    fn evidence(self, context: &Context, node: &Node, domain: &DomainName) -> Result<Exit, Failure> {
        let pack = context.wait(async { Ok(node.evidence(domain, &self.query).await?) })?;
        let verified = evidence::verify(&pack, None, context.now())
            .map_err(|e| Failure::new(Exit::Network, format!("the node gave evidence that does not hold: {e}")))?;
        let mut bytes = serde_json::to_vec_pretty(&pack).map_err(|e| Failure::new(Exit::Internal, e))?;
        bytes.push(b'\n');
        let Some(path) = &self.output else {
            files::write(files::STANDARD.as_ref(), &bytes)?;
            return Ok(Exit::Ok);
        };
        files::write(path, &bytes)?;
        let shown =
            json!({ "file": path, "origin": verified.origin, "entries": pack.entries.len(), "bytes": bytes.len() });
        context.output.result(&shown, || text(context, path, &pack, &verified))?;
        Ok(Exit::Ok)
    }

    fn openpgp(self, context: &Context, node: &Node, domain: &DomainName) -> Result<Exit, Failure> {
        if self.output.is_none() && !self.armor && std::io::stdout().is_terminal() {
            return Err(Failure::new(Exit::Usage, "binary OpenPGP does not go to a terminal")
                .hint("add --armor, or name a file with -o FILE"));
        }
        let version = if self.v6 { 6 } else { 4 };
        let bytes = context.wait(async { Ok(node.record_openpgp(domain, &self.query, version, self.armor).await?) })?;
        let path = self.output.unwrap_or_else(|| files::STANDARD.into());
        if path.as_os_str() == files::STANDARD {
            files::write(&path, &bytes)?;
            return Ok(Exit::Ok);
        }
        for (number, message) in (1..).zip(messages(bytes)) {
            let path = if number == 1 { path.clone() } else { numbered(&path, number) };
            files::write(&path, &message)?;
            context.output.note(&format!("{} bytes in {}", message.len(), path.display()));
        }
        Ok(Exit::Ok)
    }
}

/// What goes into one file each: signed messages (they begin with a one-pass signature, tag 4) singly, because gpg
/// verifies one at a time; all else together.
fn messages(bytes: Vec<u8>) -> Vec<Vec<u8>> {
    match split(&bytes) {
        Ok(split) if bytes.first() == Some(&0xc4) => split.bodies,
        _ => vec![bytes],
    }
}

/// `firmware.pgp` becomes `firmware.2.pgp`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let extension = path.extension().map(|it| format!(".{}", it.to_string_lossy())).unwrap_or_default();
    path.with_extension(format!("{number}{extension}"))
}

fn text(context: &Context, path: &Path, pack: &Evidence, verified: &Verified) -> String {
    let freshness = Freshness::of_evidence(verified, context.now());
    let rows = [
        ("of", format!("{} {}", verified.record.identity.kind, verified.record.identity.id)),
        ("domain", verified.origin.domain.to_string()),
        (
            "holds",
            format!("{}, in {} proven entries", counted(verified.statements.len(), "statement"), pack.entries.len()),
        ),
        ("as of", freshness.text()),
        ("pin", format!("{}\ntell the verifier, by another way than the file", verified.origin)),
    ];
    card(&format!("{} in {}", clean(&verified.record.title), path.display()), &rows)
}
