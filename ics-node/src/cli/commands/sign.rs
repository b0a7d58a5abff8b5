//! `ics sign`: for the machine that has the key and no network.

use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use ics_core::descriptor::{Descriptor, Owners};
use ics_core::limits;
use serde_json::json;

use super::domain::show;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::progress;
use crate::cli::review;
use crate::cli::say::{Asking, confirm};
use crate::cli::words::{counted, when};
use crate::client::batch::{BatchError, Done, Ledger, Noted, UnsignedBatch};
use crate::client::descriptor::{self, DescriptorFile};
use crate::client::moment;
use crate::keys::UnlockedKey;
use crate::words::shell_path;

/// What `ics sign` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  On the machine with the network, without the key:
  $ ics status suspended --group 'Lot 2026-11' --signer factory.asc --unsigned recall.ics

  On the machine with the key, without the network:
  $ ics sign recall.ics --show
  $ ics sign recall.ics

  Back on the first machine:
  $ ics submit recall.signed.ics

  The same without files on the machine with the key:
  $ ssh vault ics sign - --yes < recall.ics | ics submit -")]
pub(crate) struct Sign {
    /// The batch, or a descriptor, signed by other owners or not yet signed; `-` is standard input.
    file: PathBuf,
    /// The key that signs: its name here, its fingerprint or its `pkcs11:` URI [default: the one that the batch names].
    #[arg(long, value_name = "KEY")]
    signer: Option<String>,
    /// The file to write what was signed to; an existing file is overwritten, and `-` is standard output [default: a
    /// file beside the batch, or standard output if the batch comes from standard input].
    #[arg(short, long, alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only show what would be signed, as --dry-run does.
    #[arg(long)]
    show: bool,
    /// Show all statements, however many there are.
    #[arg(long)]
    all: bool,
    /// Sign a batch that was signed here before, and overwrite the file with what was signed then.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Sign {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        self.show |= self.asking.is_dry_run();
        let content = files::read(&self.file, limits::BATCH_FILE_BYTES)?;
        if !is_batch(&self.file, &content)? {
            let file = DescriptorFile::parse(&self.file, &content)?;
            return self.co_sign(context, &file);
        }
        let batch = UnsignedBatch::parse(&self.file, &content)?;
        match batch.descriptor.clone() {
            Some(descriptor) => self.descriptor(context, &batch, &descriptor),
            None => self.statements(context, &batch),
        }
    }

    fn statements(self, context: &Context, batch: &UnsignedBatch) -> Result<Exit, Failure> {
        if self.show {
            context.output.result(&review::json(batch), || review::text(batch, self.all))?;
            return Ok(Exit::Ok);
        }
        context.output.review(&review::text(batch, self.all), self.asking.asks());
        let ledger = Ledger::new(&context.home);
        if let Some(before) = ledger.find(Done::Signed, batch.digest())?.filter(|_| !self.again) {
            let message = format!("this batch was signed here at {}", when(before.at));
            return Err(Failure::new(Exit::Refused, message)
                .hint("its statements would be made twice; --again signs it once more all the same"));
        }
        let now = context.now();
        let lead = batch.times(now)?.into_iter().max().and_then(|at| moment::told_of_lead(at, now));
        lead.iter().for_each(|told| context.output.note(told));
        let output = self.place(signed_beside(&self.file))?;
        let key = self.key(context, batch)?;
        let question = format!("Sign {} as {}?", counted(batch.items.len(), "statement"), batch.head.signer);
        confirm(self.asking.asks(), &question)?;
        let bar = progress::bar(context, batch.items.len(), "signing");
        let signed = batch.sign(&key, context.now(), || bar.inc(1))?;
        bar.finish_and_clear();
        let digest = signed.write(&output)?;
        let noted = Noted { done: Done::Signed, batch: batch.digest().to_owned(), signed: digest, at: context.now() };
        ledger.note(&noted)?;
        let file = output.display().to_string();
        let said = json!({ "signed": file, "statements": signed.bodies.len(), "batch": batch.digest() });
        context.output.written(&output, &said, || {
            let there = format!("on a machine that reaches the home of {}", batch.head.domain);
            let rows = [("next", format!("ics submit {}\n{there}", shell_path(&output)))];
            card(&format!("{} {file}: {} signed", style("✓").green(), signed.bodies.len()), &rows)
        })?;
        Ok(Exit::Ok)
    }

    /// Where the result is written. A file that already exists may hold the signatures of others.
    fn place(&self, default: PathBuf) -> Result<PathBuf, Failure> {
        match &self.output {
            Some(path) => Ok(path.clone()),
            None if files::is_standard(&self.file) => Ok(self.file.clone()),
            None if default.exists() && !self.again => {
                Err(files::failed(&default, "it is there already, and is not overwritten")
                    .hint("--output names another file; --again writes over this one"))
            }
            None => Ok(default),
        }
    }

    /// The key that the batch is for. If another one is named, this is an error: a batch has one signer.
    fn key(&self, context: &Context, batch: &UnsignedBatch) -> Result<UnlockedKey, Failure> {
        let stored = match &self.signer {
            Some(name) => context.keys().find(name)?,
            None => context.keys().find(&batch.head.signer.to_string())?,
        };
        batch.check_signer(stored.fingerprint())?;
        context.unlock(&stored)
    }

    /// Signs a descriptor as the first owner.
    fn descriptor(self, context: &Context, batch: &UnsignedBatch, next: &Descriptor) -> Result<Exit, Failure> {
        let rows = vec![("batch", batch.digest().to_owned())];
        if self.show {
            context.output.result(next, || show::card_to_sign(context, next, rows))?;
            return Ok(Exit::Ok);
        }
        context.output.review(&show::card_to_sign(context, next, rows), self.asking.asks());
        let output = self.place(self.file.with_file_name(format!("{}.v{}.pgp", next.domain, next.version)))?;
        let key = self.key(context, batch)?;
        let owners = show::entitled_to(context, next);
        let signer = key.primary()?;
        descriptor::refuse_strangers(&owners.keys, &[signer])?;
        confirm(self.asking.asks(), &format!("Sign version {} of {} as an owner?", next.version, next.domain))?;
        let file = DescriptorFile::sign_new(next.clone(), &[signer], context.now())?;
        refuse_to_lose(&file, &owners, &output)?;
        show::put(context, &file, &output)
    }

    /// Adds an owner's signature to a descriptor that others have signed.
    fn co_sign(self, context: &Context, file: &DescriptorFile) -> Result<Exit, Failure> {
        if self.show {
            return show::print_to_sign(context, file, &self.file);
        }
        context.output.review(&show::card_to_sign(context, &file.descriptor, Vec::new()), self.asking.asks());
        let stored = context.keys().find(self.signer.as_deref().unwrap_or("owner"))?;
        let key = context.unlock(&stored)?;
        let question = format!("Sign version {} of {} as an owner?", file.descriptor.version, file.descriptor.domain);
        confirm(self.asking.asks(), &question)?;
        let owners = show::entitled_to(context, &file.descriptor);
        let signed = file.add_signature(&owners.keys, key.primary()?, context.now())?;
        let output = self.output.unwrap_or(self.file);
        refuse_to_lose(&signed, &owners, &output)?;
        show::put(context, &signed, &output)
    }
}

/// Turns `recall.ics` into `recall.signed.ics`. Any other extension is part of the name, as in `lot-2026.11`.
fn signed_beside(batch: &Path) -> PathBuf {
    if batch.extension().is_some_and(|extension| extension == "ics") {
        return batch.with_extension("signed.ics");
    }
    let mut path = batch.as_os_str().to_owned();
    path.push(".signed.ics");
    path.into()
}

/// Refuses to overwrite the same descriptor if the file there has owners' signatures that this one lacks.
fn refuse_to_lose(file: &DescriptorFile, owners: &Owners, path: &Path) -> Result<(), Failure> {
    if files::is_standard(path) {
        return Ok(());
    }
    let there = DescriptorFile::read(path).ok().filter(|there| there.descriptor == file.descriptor);
    let signed = there.map(|there| there.signed_by(&owners.keys)).unwrap_or_default();
    match signed.difference(&file.signed_by(&owners.keys)).next() {
        Some(owner) => Err(Failure::new(
            Exit::Refused,
            format!("`{}` has the signature of {owner}, which would be lost", path.display()),
        )
        .hint(format!("`ics sign {}` adds a signature to those that it has", shell_path(path)))),
        None => Ok(()),
    }
}

/// Whether a file begins like a batch; descriptors are OpenPGP, whose packets begin with a byte of 128 at least.
pub(super) fn is_batch(path: &Path, content: &[u8]) -> Result<bool, Failure> {
    match content.first().copied() {
        // Whoever reads batches says that it is empty.
        None | Some(b'{') => Ok(true),
        Some(0x80..) => Ok(false),
        Some(_) => Err(files::failed(path, "it is neither a batch nor a descriptor")
            .hint("commands that sign write batches with `--unsigned FILE`, `ics domain update` writes descriptors")),
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::File { .. } | BatchError::Form { .. } => Self::new(Exit::Local, error),
            BatchError::Kind { .. } | BatchError::Empty | BatchError::TooMuch(..) => Self::new(Exit::Usage, error),
            BatchError::Damaged(_) => {
                Self::new(Exit::Refused, error).hint("carry it over once more; its digest must be the one shown there")
            }
            BatchError::Signer { .. } => {
                Self::new(Exit::Refused, error).hint("a batch has one signer; make another batch for another one")
            }
            BatchError::Item { .. } => Self::new(Exit::Refused, error),
        }
    }
}
