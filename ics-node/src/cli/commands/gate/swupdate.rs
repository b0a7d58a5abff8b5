//! `ics gate swupdate`.

use std::path::PathBuf;

use clap::Args;

use super::pass;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::gate::swupdate::{DESCRIPTION_BYTES, DescriptionError, description, pieces};

/// What `ics gate swupdate` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Whether an update would be allowed:
  $ ics gate swupdate sw-description

  SWUpdate calls a program without arguments, so wrap the command in a script, /etc/swupdate/gate:
    #!/bin/sh
    exec /usr/bin/ics --home /etc/ics gate swupdate
  $ swupdate -k developer.pem -P /etc/swupdate/gate -i update.swu

  The developer publishes the description, and the integrator approves it:
  $ ics publish --file sw-description --name p7-system --version 2.4.1")]
pub(crate) struct Swupdate {
    /// The description [default: sw-description in $TMPDIR or /tmp, where SWUpdate leaves it].
    #[arg(value_name = "FILE")]
    description: Option<PathBuf>,
}

impl Swupdate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = self.description.unwrap_or_else(description);
        let bytes = files::read(&path, DESCRIPTION_BYTES)?;
        pass(context, &pieces(&path, &bytes)?)
    }
}

impl From<DescriptionError> for Failure {
    fn from(error: DescriptionError) -> Self {
        let advice = match &error {
            DescriptionError::Include(_) => "write what the included file holds into the description",
            DescriptionError::NoHash(_) | DescriptionError::WithoutHash(_) => {
                "name every file with its SHA-256, as SWUpdate demands of signed updates"
            }
            DescriptionError::Form { .. } | DescriptionError::Json(_) => return Self::new(Exit::Local, error),
        };
        Self::new(Exit::Local, error).hint(advice)
    }
}
