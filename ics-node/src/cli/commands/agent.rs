//! `ics agent`.

mod mosquitto;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// Whom to keep in step.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Give a mosquitto broker's clients their role while they may connect, and end their sessions when they may not.
    ///
    /// Follows the node and asks it about every client in a group of the broker's dynamic security plugin. Who may connect
    /// has the role; who may not, or of whom nothing fresh is known, loses it within a second, and every session with it.
    /// What no role allows, the agent forbids to everybody.
    ///
    /// The node is asked by https, or on this machine: over plain HTTP anybody on the way could let anybody in.
    ///
    /// While the agent does not run the broker knows no news: let the service manager keep it running.
    Mosquitto(mosquitto::Mosquitto),
}

impl AgentCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Mosquitto(command) => command.run(context),
        }
    }
}
