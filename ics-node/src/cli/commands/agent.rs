//! `ics agent`.

mod mosquitto;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// Which program to keep in step.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Give a mosquitto broker's clients their role while they may connect, and end their sessions when they may not.
    ///
    /// Follows the node and asks it about every client in a group of the broker's dynamic security plugin. A client
    /// that may connect has the role. A client that may not, or of which nothing fresh is known, loses the role within
    /// a second, and every session with it. The agent makes the broker forbid whatever no role allows.
    ///
    /// The node must be asked over https, or be on this machine: over plain HTTP anybody on the way could let anybody
    /// in.
    ///
    /// While the agent is not running, the broker learns of no changes: have the service manager keep the agent
    /// running.
    Mosquitto(mosquitto::Mosquitto),
}

impl AgentCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Mosquitto(command) => command.run(context),
        }
    }
}
