//! `ics gate`.

mod apt;
mod swupdate;

use clap::Subcommand;
use console::style;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::refuse_exposed;
use crate::cli::words::clean;
use crate::client::gate::{Passed, Piece, ROLLBACK, judge};

/// Who is about to install something.
#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    /// Let apt install only what the node allows.
    ///
    /// Reads what apt is about to unpack, as `DPkg::Pre-Install-Pkgs` gives it (versions 1 to 3), and asks the node
    /// about the SHA-256 of every package: whether it may be used for `install`, or for `rollback` if it replaces a
    /// newer version. If any package is not allowed, apt installs nothing.
    ///
    /// The node must be asked over https, or be on this machine: over plain HTTP anybody on the way could allow it.
    Apt(apt::Apt),
    /// Let SWUpdate install only what the node allows.
    ///
    /// For SWUpdate's option `-P`, which runs a program when the signature of `sw-description` is verified and nothing
    /// is installed yet. The node must allow the SHA-256 of the description, which is what the developer publishes of
    /// an update, and none of the files that it names by hash may be blocked. A description is refused if it names a
    /// file without its SHA-256, includes another description, or cannot be read in full as libconfig or JSON. Scripts
    /// in a description are judged as a part of it.
    ///
    /// The node must be asked over https, or be on this machine: over plain HTTP anybody on the way could allow it.
    Swupdate(swupdate::Swupdate),
}

impl GateCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Apt(command) => command.run(context),
            Self::Swupdate(command) => command.run(context),
        }
    }
}

/// Asks the node, and reports the decision on each piece.
fn pass(context: &Context, pieces: &[Piece]) -> Result<Exit, Failure> {
    let node = context.node(&context.config()?)?;
    refuse_exposed(&node)?;
    let passed = context.wait(async { Ok(judge(&node, pieces).await?) })?;
    context.output.result(&passed, || passed.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    let refused: Vec<&Passed> = passed.iter().filter(|it| !it.passes).collect();
    let Some(first) = refused.first() else { return Ok(Exit::Ok) };
    // SWUpdate logs only what a program complains of, so that must name what is refused.
    let (name, verdict, reason) = (clean(&first.name), first.verdict.as_str(), first.reason.as_str());
    let text = format!("{} of {} may not be installed, {name}: {verdict}, {reason}", refused.len(), passed.len());
    let hint = format!("`ics explain {} --use {}` says who would have to say what", first.id, first.usage);
    Err(Failure::new(Exit::Refused, text).hint(hint))
}

fn line(passed: &Passed) -> String {
    let way = if passed.usage == ROLLBACK { " (back to an older version)" } else { "" };
    let name = clean(&passed.name);
    if passed.passes {
        return format!("{} {name}{way}", style("✓").green());
    }
    let mut text = format!(
        "{} {name}{way}: {}, {}\n  {}",
        style("✗").red(),
        passed.verdict.as_str(),
        passed.reason.as_str(),
        passed.id
    );
    for reason in &passed.reasons {
        text.push_str(&format!("\n  {}", clean(reason)));
    }
    text
}
