//! `ics import`.

mod bundle;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use ics_core::vocabulary::DomainName;
use indicatif::ProgressBar;

use crate::api::SIGNER_REVOKED;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::progress;
use crate::cli::session::InDomain;
use crate::cli::words::{clean, counted};
use crate::client::import::{ImportError, Reason, Tally, import};
use crate::client::node::Node;

/// What `ics import` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ gpg --export > keyring.pgp
  $ ics import keyring.pgp
  $ ics import /usr/share/keyrings/debian-keyring.gpg --json
  $ ics import --bundle /media/stick/to-site4.bundle
  $ ics import factory.asc --domain devices.acme.example --node https://ics.acme.example")]
pub(crate) struct Import {
    /// The keyring, binary or armored, or `-` for one from standard input; or the bundle.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Import a bundle of whole domains that another node has made for this node with `ics export --bundle`. The node
    /// verifies it like everything that comes over the network.
    #[arg(long, conflicts_with = "domain")]
    bundle: bool,
    #[command(flatten)]
    domain: InDomain,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.bundle {
            return bundle::run(context, &self.file);
        }
        if is_bundle(&self.file) {
            return Err(Failure::new(Exit::Usage, format!("`{}` is a bundle, not a keyring", self.file.display()))
                .hint("`ics import --bundle` takes it"));
        }
        let config = context.config()?;
        let domain = self.domain.or_default(&config)?;
        let node = context.node(&config)?;
        let bar = progress::counter(context, "submitting");
        let tally = context.wait(async {
            let moved = |total, done| advance(&bar, total, done);
            Ok(import(&node, &domain, &self.file, moved).await?)
        });
        bar.finish_and_clear();
        let tally = tally?;
        context.output.result(&tally, || text(domain.as_str(), &tally))?;
        if tally.certificates > 0 {
            tell_revoked(context, &node, &domain);
        }
        Ok(if is_all(&tally) { Exit::Ok } else { Exit::Refused })
    }
}

/// Tells what remains for the owners to do if signers have revoked their keys: importing the revocation ends nothing
/// that they said before. The home has raised an alarm about it; for statements that wait for another home, that home
/// does.
fn tell_revoked(context: &Context, node: &Node, domain: &DomainName) {
    let Ok(shown) = context.wait(async { Ok(node.domain(domain).await?) }) else { return };
    for alarm in shown.alarms.iter().filter(|alarm| alarm.kind == SIGNER_REVOKED) {
        context.output.note(&format!("{} {}", style("!").yellow().bold(), clean(&alarm.text)));
    }
}

/// Whether a file begins like a bundle. What can be read only once, such as a pipe, is never taken for one.
fn is_bundle(path: &Path) -> bool {
    let mut first = [0; 4];
    path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"ICSB"
}

/// Whether all statements that belong to a domain are in the log or on their way there.
fn is_all(tally: &Tally) -> bool {
    tally.refused.is_empty() && tally.malformed.is_empty()
}

fn advance(bar: &ProgressBar, total: Option<u64>, done: u64) {
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
}

fn text(domain: &str, tally: &Tally) -> String {
    let mut rows = vec![("in the log", in_log(tally))];
    if tally.waiting > 0 {
        rows.push(("waiting", format!("{} for the home of the domain: `ics outbox`", tally.waiting)));
    }
    if !tally.refused.is_empty() {
        rows.push(("refused", tally.refused.values().map(refused).collect::<Vec<_>>().join("\n")));
    }
    if !tally.malformed.is_empty() {
        let line = |(reason, count): (&String, &u64)| format!("{count}: {}", clean(reason));
        rows.push(("not legal", tally.malformed.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    if !tally.left_out.is_empty() {
        let line = |(why, count): (&&str, &u64)| format!("{count}: {why}");
        rows.push(("left out", tally.left_out.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    let mark = match tally.waiting {
        _ if !is_all(tally) => style("!").yellow().bold(),
        0 => style("✓").green(),
        _ => style("…").yellow(),
    };
    card(&format!("{mark} {domain}"), &rows)
}

fn in_log(tally: &Tally) -> String {
    let certificates = counted(tally.certificates, "certificate");
    let others = counted(tally.in_log - tally.certificates, "other");
    format!("{} of {}: {certificates}, {others}", tally.in_log, tally.found)
}

fn refused(reason: &Reason) -> String {
    let dim = |text: &str| style(clean(text)).dim().to_string();
    let hint = reason.hint.as_deref().map(|hint| format!("\n  {}", dim(hint))).unwrap_or_default();
    format!("{}: {}\n  {}{hint}", reason.count, clean(&reason.title), dim(&reason.first))
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::File { .. } => Self::new(Exit::Local, error),
            ImportError::Node(error) => {
                Self::from(error).after("what came before is in the log, and the same command goes on from there")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_bundle_is_told_from_a_keyring() {
        let dir = tempfile::tempdir().expect("a directory");
        for (content, expected) in [(&b"ICSB\x01rest"[..], true), (b"-----BEGIN PGP", false), (b"ICS", false)] {
            let path = dir.path().join("file");
            std::fs::write(&path, content).expect("written");
            assert_eq!(is_bundle(&path), expected, "{content:?}");
        }
        assert!(!is_bundle(dir.path()), "nor is a directory one");
    }

    /// As the help says.
    #[test]
    fn what_is_left_out_is_no_refusal() {
        let (none, one) = (Tally::default, BTreeMap::from([("unknown-signer".to_owned(), 1)]));
        let reason = Reason { count: 1, title: String::new(), first: String::new(), hint: None };
        let refused = BTreeMap::from([("unknown-signer".to_owned(), reason)]);
        for (tally, expected) in [
            (none(), true),
            (Tally { waiting: 1, ..none() }, true),
            (Tally { left_out: BTreeMap::from([("signatures that stand there twice", 7)]), ..none() }, true),
            (Tally { malformed: one, ..none() }, false),
            (Tally { refused, ..none() }, false),
        ] {
            assert_eq!(is_all(&tally), expected, "{tally:?}");
        }
    }

    #[test]
    fn what_became_of_a_keyring() {
        let reason = Reason {
            count: 2,
            title: "the domain does not know the signer".to_owned(),
            first: "no certificate holds the key `ab`".to_owned(),
            hint: Some("submit the signer's certificate first".to_owned()),
        };
        let tally = Tally {
            found: 5,
            in_log: 3,
            certificates: 1,
            waiting: 0,
            refused: BTreeMap::from([("unknown-signer".to_owned(), reason)]),
            malformed: BTreeMap::from([("it is a v3 key".to_owned(), 1)]),
            left_out: BTreeMap::from([("signatures that stand there twice", 7)]),
        };
        assert_eq!(
            console::strip_ansi_codes(&text("a.example", &tally)),
            "! a.example\n  in the log  3 of 5: 1 certificate, 2 others\n  refused     2: the domain does not know the signer\n                \
             no certificate holds the key `ab`\n                submit the signer's certificate first\n  \
             not legal   1: it is a v3 key\n  \
             left out    7: signatures that stand there twice\n"
        );
        let waits = Tally { found: 2, waiting: 2, ..Tally::default() };
        assert_eq!(
            console::strip_ansi_codes(&text("a.example", &waits)),
            "… a.example\n  in the log  0 of 2: 0 certificates, 0 others\n  \
             waiting     2 for the home of the domain: `ics outbox`\n"
        );
    }
}
