//! `ics gate apt`.

use std::fs::File;

use clap::Args;

use super::pass;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::gate::apt::{AptError, Archive, CHANNEL, hears, read};
use crate::client::gate::{Demand, INSTALL, Piece, ROLLBACK};
use crate::client::thing::sha256;

/// What `ics gate apt` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Run by hand, it reads the absolute paths of packages, one per line:
  $ ics gate apt
  $ realpath valve_1.0_all.deb | ics gate apt

  In /etc/apt/apt.conf.d/90ics, for a node on this machine; with version 3 apt says which packages are downgraded:
    DPkg::Pre-Install-Pkgs { \"/usr/bin/ics --home /etc/ics gate apt\"; };
    DPkg::Tools::Options::/usr/bin/ics::Version \"3\";")]
pub(crate) struct Apt {}

impl Apt {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        hears(std::env::var_os(CHANNEL).as_deref())?;
        let archives = read(std::io::stdin().lock())?;
        if archives.is_empty() {
            return Ok(Exit::Ok);
        }
        let pieces = archives.iter().map(piece).collect::<Result<Vec<_>, _>>()?;
        pass(context, &pieces)
    }
}

fn piece(archive: &Archive) -> Result<Piece, Failure> {
    let failed = |error: std::io::Error| files::failed(&archive.path, error);
    let digest = sha256(File::open(&archive.path).map_err(failed)?).map_err(failed)?;
    let name = archive.path.file_name().unwrap_or(archive.path.as_os_str()).to_string_lossy().into_owned();
    let usage = if archive.goes_back { ROLLBACK } else { INSTALL };
    Ok(Piece { name, digest, usage, demand: Demand::Allowed })
}

impl From<AptError> for Failure {
    fn from(error: AptError) -> Self {
        Self::new(Exit::Local, error)
    }
}
