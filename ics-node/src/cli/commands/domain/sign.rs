//! `ics domain sign`.

use std::path::PathBuf;

use clap::Args;

use super::show::{card_to_sign, put};
use super::{entitled, unlock_all};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::client::descriptor::DescriptorFile;

/// What `ics domain sign` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain show devices.acme.example.v2.pgp
  $ ics domain sign devices.acme.example.v2.pgp --owner owner-b")]
pub(crate) struct Sign {
    /// The file, which takes the signature; `-` is standard input, and what is signed then goes to standard output.
    file: PathBuf,
    /// The owner's key that signs.
    #[arg(long, default_value = "owner", value_name = "KEY")]
    owner: String,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut file = DescriptorFile::read(&self.file)?;
        // The only question is the one for the passphrase.
        context.output.review(&card_to_sign(context, &file.descriptor, Vec::new()), true);
        let owners = entitled(context, &file.descriptor);
        for key in unlock_all(context, &[self.owner])? {
            file = file.add_signature(&owners.keys, key.primary()?, context.now())?;
        }
        put(context, &file, &self.file)
    }
}
