//! `ics export`.

mod bundle;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ics_core::evidence::{self, Evidence, ProvenEntry, Verified};
use ics_core::statement;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::session::InDomain;
use crate::cli::words::{Freshness, clean, counted};
use crate::openpgp::{self, Armor};
use crate::words::{path_text, shell_path};
use bundle::BundleArgs;
pub(super) use bundle::open;

/// What `ics export` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics export serial:SN-0001 -o pump.evidence.json
  $ ics verify --document pump.evidence.json

  $ ics export serial:SN-0001 --openpgp --armor > pump.asc
  $ gpg --allow-non-selfsigned-uid --import pump.asc
  $ gpg --check-sigs

  The proof that one entry is in the log, with the cosignatures of witnesses, and its body in a file beside it:
  $ ics export --entry 17 -o entry-17.tlog-proof

  Whole domains on a stick, for a node without a link that is a peer here (`ics peer add --key`); later only what is \
new. That node decides by them while they are fresh, by its trust policy and by `fresh for` in `ics domain show`:
  $ ics export --bundle --for ics.site4.example -o /media/stick/to-site4.bundle
  $ ics export --bundle --for ics.site4.example --since /media/stick/from-site4.bundle -o /media/stick/to-site4.bundle

  Software and groups are signed messages, each in a file of its own (firmware.pgp, firmware.2.pgp, …), and the \
certificates of their signers in another:
  $ ics export sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae --openpgp -o firmware.pgp
  $ gpg --import firmware.signers.pgp
  $ gpg --verify firmware.pgp

  The same as the JSON that is signed, which other programs read, and its signature (firmware.json, firmware.sig, …):
  $ ics export sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae --openpgp -o firmware.json
  $ gpg --verify firmware.sig firmware.json")]
pub(crate) struct Export {
    /// An id or a name, as `ics lookup` takes it; with --bundle, names of domains.
    #[arg(value_name = "ID|NAME", required_unless_present_any = ["entry", "bundle"])]
    query: Vec<String>,
    /// Export the proof of the entry at this index of the log (C2SP tlog-proof), and its body to a file beside it.
    #[arg(long, value_name = "INDEX", conflicts_with_all = ["query", "openpgp"], requires = "output")]
    entry: Option<u64>,
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    domain: InDomain,
    /// The file to write; an existing file is overwritten [default: standard output].
    #[arg(short, long, alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Export OpenPGP instead of evidence. Of software and groups, a file that ends in .json gets what is signed, and a
    /// file beside it the signature.
    #[arg(long)]
    openpgp: bool,
    /// Export OpenPGP in armor instead of binary.
    #[arg(long, requires = "openpgp")]
    armor: bool,
    /// Export OpenPGP objects of version 6 (RFC 9580) instead of version 4; gpg does not read them.
    #[arg(long, requires = "openpgp")]
    v6: bool,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if (self.bundle.bundle || self.entry.is_some()) && self.output.as_deref().is_some_and(files::is_standard) {
            let text = "a bundle, or a proof with the entry's body beside it, does not go to standard output";
            return Err(Failure::new(Exit::Usage, text).hint("name a file with -o FILE"));
        }
        if let (true, Some(path)) = (self.bundle.bundle, &self.output) {
            let path = path.clone();
            return self.bundle.run(context, &self.query, &path);
        }
        let config = context.config()?;
        let domain = self.domain.clone().or_default(&config)?;
        let node = context.node(&config)?;
        if let (Some(index), Some(path)) = (self.entry, &self.output) {
            let entry = context.wait(async { Ok(node.entry(&domain, index).await?) })?;
            return proof(context, &entry, path);
        }
        let [query] = self.query.as_slice() else {
            return Err(Failure::new(Exit::Usage, "one thing goes into one file"));
        };
        let pack = context.wait(async { Ok(node.evidence(&domain, query).await?) })?;
        let verified = evidence::verify(&pack, None, context.now())
            .map_err(|e| Failure::new(Exit::Network, format!("the node gave evidence that does not hold: {e}")))?;
        match (self.openpgp, verified.record.identity.kind.has_key()) {
            (false, _) => self.evidence(context, &pack, &verified)?,
            (true, true) => self.keyring(context, &pack, &verified)?,
            (true, false) => self.messages(context, &pack, &verified)?,
        }
        Ok(Exit::Ok)
    }

    fn evidence(self, context: &Context, pack: &Evidence, verified: &Verified) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec_pretty(pack).map_err(|e| Failure::new(Exit::Internal, e))?;
        bytes.push(b'\n');
        let Some(path) = &self.output else { return files::write(files::STANDARD.as_ref(), &bytes) };
        files::write(path, &bytes)?;
        let (origin, entries) = (&verified.origin, pack.entries.len());
        let shown = json!({ "file": path_text(path), "origin": origin, "entries": entries, "bytes": bytes.len() });
        context.output.written(path, &shown, || text(context, path, pack, verified))
    }

    fn keyring(self, context: &Context, pack: &Evidence, verified: &Verified) -> Result<(), Failure> {
        let keys = openpgp::keyring(pack, verified, self.version());
        if keys.is_empty() {
            return Err(self.nothing_of_the_version());
        }
        let path = self.file()?;
        let written = self.write(path, &keys, Armor::PublicKey)?;
        tell_written(context, path, &[written])
    }

    fn messages(self, context: &Context, pack: &Evidence, verified: &Verified) -> Result<(), Failure> {
        let messages = openpgp::messages(pack, verified, self.version());
        let path = self.file()?;
        if messages.is_empty() {
            return Err(self.nothing_of_the_version());
        }
        if path.as_os_str() == files::STANDARD && messages.len() > 1 {
            let count = messages.len();
            return Err(Failure::new(
                Exit::Usage,
                format!("there are {count} signed messages, and gpg takes one at a time"),
            )
            .hint("name a file with -o FILE: the others go to files beside it"));
        }
        let mut written = Vec::new();
        for (number, message) in (1..).zip(messages) {
            let path = if number == 1 { path.to_owned() } else { beside(path, &number.to_string()) };
            if is_document(&path) {
                written.extend(self.write_apart(&path, &message)?);
            } else {
                written.push(self.write(&path, &message, Armor::Message)?);
            }
        }
        if !files::is_standard(path) {
            let keys = if is_document(path) { path.with_extension("pgp") } else { path.to_owned() };
            let signers = openpgp::signers(pack, self.version());
            written.push(self.write(&beside(&keys, "signers"), &signers, Armor::PublicKey)?);
        }
        tell_written(context, path, &written)
    }

    /// Writes what a message signs, and its signature to a file beside that; returns both, as [`Self::write`] does.
    fn write_apart(&self, path: &Path, message: &[u8]) -> Result<[(PathBuf, usize); 2], Failure> {
        let apart = statement::detached(message);
        let (document, signature) =
            apart.ok_or_else(|| Failure::new(Exit::Internal, "a message without a document"))?;
        files::write(path, document)?;
        let signature = self.write(&path.with_extension("sig"), &signature, Armor::Signature)?;
        Ok([(path.to_owned(), document.len()), signature])
    }

    /// Where OpenPGP is written: never in binary to a terminal.
    fn file(&self) -> Result<&Path, Failure> {
        match &self.output {
            Some(path) => Ok(path),
            None if self.armor || !std::io::stdout().is_terminal() => Ok(files::STANDARD.as_ref()),
            None => Err(Failure::new(Exit::Usage, "binary OpenPGP does not go to a terminal")
                .hint("add --armor, or name a file with -o FILE")),
        }
    }

    /// Writes a file, and returns its path and how many bytes it has.
    fn write(&self, path: &Path, binary: &[u8], kind: Armor) -> Result<(PathBuf, usize), Failure> {
        let failed = |e| Failure::new(Exit::Internal, e);
        let armored = self.armor.then(|| openpgp::armored(binary, kind).map_err(failed)).transpose()?;
        let bytes = armored.as_deref().unwrap_or(binary);
        files::write(path, bytes)?;
        Ok((path.to_owned(), bytes.len()))
    }

    fn nothing_of_the_version(&self) -> Failure {
        let hint = if self.v6 { "leave out --v6" } else { "--v6 writes what is of version 6" };
        Failure::new(Exit::NotFound, format!("there is nothing of OpenPGP version {}", self.version())).hint(hint)
    }

    const fn version(&self) -> u8 {
        if self.v6 { 6 } else { 4 }
    }
}

/// Tells which files were written, unless it was standard output.
fn tell_written(context: &Context, path: &Path, written: &[(PathBuf, usize)]) -> Result<(), Failure> {
    let shown = |(path, bytes): &(PathBuf, usize)| json!({ "file": path_text(path), "bytes": bytes });
    let shown = json!({ "files": written.iter().map(shown).collect::<Vec<_>>() });
    context.output.written(path, &shown, || {
        let line = |(path, bytes): &(PathBuf, usize)| format!("{bytes} bytes in {}", path.display());
        written.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// Writes the proof of an entry and its body beside it; `ics verify --document` reads both.
fn proof(context: &Context, entry: &ProvenEntry, path: &Path) -> Result<Exit, Failure> {
    let body = path.with_extension("pgp");
    if body == path {
        return Err(Failure::new(Exit::Usage, "the file of a proof cannot end in .pgp: its body goes there")
            .hint("name it FILE.tlog-proof"));
    }
    files::write(path, entry.receipt.to_tlog_proof().as_bytes())?;
    files::write(&body, &entry.body)?;
    let (index, id) = (entry.receipt.index, entry.receipt.id);
    let (file, beside) = (path_text(path), path_text(&body));
    let shown = json!({ "file": file, "body": beside, "index": index, "statement": id });
    let rows = [
        ("proof", path.display().to_string()),
        ("body", body.display().to_string()),
        ("verify", format!("ics verify --document {} --log-key KEY", shell_path(path))),
    ];
    context.output.result(&shown, || card(&format!("entry {index}, a {}", clean(&entry.kind)), &rows))?;
    Ok(Exit::Ok)
}

/// Whether a file is to hold what is signed, without the signature.
fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// `firmware.pgp` becomes `firmware.2.pgp`.
fn beside(path: &Path, what: &str) -> PathBuf {
    let extension = path.extension().map(|it| format!(".{}", it.to_string_lossy())).unwrap_or_default();
    path.with_extension(format!("{what}{extension}"))
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
