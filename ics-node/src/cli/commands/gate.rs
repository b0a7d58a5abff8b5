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

/// How many refused pieces a complaint names.
const NAMED: usize = 16;

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
    let text = format!("{} of {} may not be installed, {}", refused.len(), passed.len(), named(&refused));
    let hint = format!("`ics explain {} --use {}` says who would have to say what", first.id, first.usage);
    Err(Failure::new(Exit::Refused, text).hint(hint))
}

/// The pieces that are refused, as far as one line takes them.
fn named(refused: &[&Passed]) -> String {
    let name = |it: &&Passed| format!("{}: {}, {}", clean(&it.name), it.verdict.as_str(), it.reason.as_str());
    let mut names: Vec<String> = refused.iter().take(NAMED).map(name).collect();
    let left = refused.len().saturating_sub(NAMED);
    names.extend((left > 0).then(|| format!("and {left} more")));
    names.join("; ")
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

#[cfg(test)]
mod tests {
    use ics_core::trust::{Outcome, Reason};

    use super::*;

    #[test]
    fn a_complaint_names_all_that_is_refused_as_far_as_it_has_room() {
        let passed = |name: String| Passed {
            name,
            id: String::new(),
            usage: ROLLBACK,
            passes: false,
            verdict: Outcome::Deny,
            reason: Reason::Blocked,
            reasons: Vec::new(),
        };
        let many: Vec<Passed> = (1..=18).map(|number| passed(format!("p{number}\n"))).collect();
        let many: Vec<&Passed> = many.iter().collect();
        assert_eq!(named(&many[..2]), "p1\u{fffd}: deny, blocked; p2\u{fffd}: deny, blocked");
        let all = named(&many);
        assert!(all.contains("; p16\u{fffd}: deny") && all.ends_with("; and 2 more"), "{all}");
    }
}
