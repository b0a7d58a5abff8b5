//! `ics verify`.

mod case;
mod document;
mod pin;
mod proof;
mod report;
mod software;

use std::path::PathBuf;

use clap::Args;
use ics_core::evidence::EvidenceRefusal;
use ics_core::log::checkpoint::Origin;
use ics_core::log::note::VerifierKey;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// What `ics verify` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  May this file be installed?
  $ ics verify hello_2.10-3_amd64.deb
  $ ics verify firmware.bin --domain code.soft.example --node https://ics.soft.example
  $ ics verify firmware.bin --evidence firmware.evidence.json --pin \
code.soft.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  Is this evidence genuine?
  $ ics verify --document pump.evidence.json
  $ ics verify --document pump.evidence.json --pin \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  What held on a certain day:
  $ ics verify --document pump.evidence.json --at 2026-11-20T08:30:00Z

  A proof that an entry is in a log, checked with the keys that its home and a witness have told you:
  $ ics verify --document entry-17.tlog-proof --log-key \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455+1e044bcd+\
AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea \
--witness ics.cert.example+e67d9286+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea

  A verdict that `ics explain --save` or a node has given, and the trust policy that must have decided it:
  $ ics verify --document pump.case.json --trust trust.json

For a file, exit code 0 says that it may be used now. For a document it says that it is genuine, even if it has \
expired, is of a domain that nobody has pinned, or was decided by a trust policy that nobody has named: the first \
line says so, as do `fresh`, `pinned` and `trusted` in --json.")]
pub(crate) struct Verify {
    /// The file that is to be used, whatever it holds: it is judged by --evidence, or by what a node says of its hash.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// FILE is not a file to be used, but evidence, a verdict or a proof, as `ics export` and `ics explain --save`
    /// write them: check whether it is genuine.
    #[arg(long, conflicts_with_all = ["evidence", "domain"])]
    document: bool,
    /// The file with evidence about FILE; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "domain")]
    evidence: Option<PathBuf>,
    /// Ask the node for what this domain says of FILE [default: that of `[client]` in ics.toml, or else the only one at
    /// the node that speaks of it].
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,
    /// The domain's name and the hash of its entry 0, as its owners told you [default: that of a peer, a home or the
    /// trust policy in ics.toml]. Without a pin, evidence at hand never permits the use of a file, nor does what
    /// another machine says over plain HTTP.
    #[arg(long, value_name = "ORIGIN")]
    pin: Option<Origin>,
    /// For a file to be used: also accept evidence that its home has not signed as complete. Whoever made or carried it
    /// may have left out that the file was withdrawn.
    #[arg(long, requires = "evidence")]
    incomplete: bool,
    /// For a proof: the key of the log's home, which `ics domain show DOMAIN --node URL` shows as `log key`.
    #[arg(long, value_name = "KEY", requires = "document")]
    log_key: Option<VerifierKey>,
    /// For a proof: the key of a witness that must have cosigned, in the same form, with type 4.
    #[arg(long, value_name = "KEY", requires = "log_key")]
    witness: Vec<VerifierKey>,
    /// For a proof: how many of these witnesses are enough [default: all].
    #[arg(long, value_name = "COUNT", requires = "witness")]
    quorum: Option<usize>,
    /// For a proof: the file with the entry's body [default: the file beside the proof that ends in .pgp].
    #[arg(long, value_name = "FILE", requires = "log_key")]
    body: Option<PathBuf>,
    /// For a verdict: the trust policy that must have decided [default: the one in ics.toml, if there is one].
    #[arg(long, value_name = "FILE", requires = "document", conflicts_with = "log_key")]
    trust: Option<PathBuf>,
    /// Judge as of this time, in RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|e| e.to_string())
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.document {
            true => document::run(&self, context),
            false => software::run(&self, context),
        }
    }

    /// Refuses a flag that does not apply to such a document: whoever gives it would believe that the document was
    /// checked against it.
    fn refuse_what_says_nothing(&self, what: &str, flags: &[(&str, bool)], hint: &str) -> Result<(), Failure> {
        match flags.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => {
                let message = format!("`{}` is {what}, for which {flag} says nothing", self.file.display());
                Err(Failure::new(Exit::Usage, message).hint(hint))
            }
            None => Ok(()),
        }
    }
}

impl From<EvidenceRefusal> for Failure {
    fn from(refusal: EvidenceRefusal) -> Self {
        let failure = Self::new(Exit::Refused, format!("the evidence is refused: {refusal}"));
        match refusal {
            EvidenceRefusal::Pin { .. } => {
                failure.hint("two domains may have one name: ask the owners which origin is theirs")
            }
            _ => failure,
        }
    }
}
