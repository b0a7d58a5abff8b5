//! The benchmarks of CM4IT ICS. Each compares with another program in the same run and prints rows for `BENCHMARKS.md`.
//!
//! To add one, write a module here with `pub(crate) fn run(report: &mut Report, options: &Options) -> Outcome`, and add
//! a line for it to [`BENCHMARKS`].

mod acme;
mod answers;
mod catchup;
mod device;
mod directory;
mod gateway;
mod home;
mod import;
mod ingest;
mod paced;
mod refresh;
mod report;
mod revocation;
mod scale;
mod sign;
mod slapd;
mod subscriber;
mod subscribers;
#[path = "../../tests/x509/world.rs"]
#[expect(dead_code, clippy::expect_used, clippy::panic, reason = "the tests of X.509 use more of it, and it is theirs")]
mod world;

use std::process::ExitCode;

use clap::Parser;

use crate::report::Report;

// The allocator of `ics` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The result of a benchmark; its measurements are in the report, even if it fails on the way.
type Outcome = Result<(), Error>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// A benchmark.
struct Benchmark {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Report, &Options) -> Outcome,
}

/// All benchmarks, in the order in which they run.
const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "acme",
        about: "whole ACME orders with P-256 and nothing to prove, against pebble without its sleeps",
        run: acme::run,
    },
    Benchmark {
        name: "answers",
        about: "verdicts in this process; checks and look-ups over HTTP on one core against nginx, asked by wrk",
        run: answers::run,
    },
    Benchmark {
        name: "ingest",
        about: "statements through app::submit, verified and durable, against ed25519-dalek's verify_batch",
        run: ingest::run,
    },
    Benchmark {
        name: "catchup",
        about: "a mirror that catches up over HTTP, verified and durable, against the bulk ingest of the same run; bytes",
        run: catchup::run,
    },
    Benchmark {
        name: "subscribers",
        about: "from a blocking status to the changed verdict at 1,000 live subscribers, against slapd's syncrepl; heartbeats",
        run: subscribers::run,
    },
    Benchmark {
        name: "ldap",
        about: "equality searches by fingerprint over LDAP, against slapd with the same entries; idle connections",
        run: directory::run,
    },
    Benchmark {
        name: "refresh",
        about: "the first refresh of a slapd that keeps a copy, from a node and from slapd with the same entries",
        run: refresh::run,
    },
    Benchmark {
        name: "import",
        about: "Debian's keyring through ics import, against gpg --import of the same file",
        run: import::run,
    },
    Benchmark {
        name: "gateway",
        about: "from a blocking status at one node to the refusal at nginx and the ended session at mosquitto beside another",
        run: gateway::run,
    },
    Benchmark {
        name: "revocation",
        about: "OCSP from memory against nginx; a revocation among 1,000 certificates and among many",
        run: revocation::run,
    },
    Benchmark {
        name: "scale",
        about: "start, memory, look-up and append of a node from 1,000 identities on",
        run: scale::run,
    },
    Benchmark {
        name: "sign",
        about: "signatures by keys in files and by keys in a PKCS#11 token (SoftHSM)",
        run: sign::run,
    },
];

/// What every benchmark is told.
#[derive(Debug, Parser)]
#[command(name = "tests/bench", about = "Runs benchmarks and prints rows for BENCHMARKS.md", after_help = list())]
struct Options {
    /// The benchmarks to run.
    #[arg(required = true, value_name = "NAME", value_parser = names())]
    names: Vec<String>,
    /// Statements or identities where a benchmark has many.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    entries: usize,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn names() -> Vec<&'static str> {
    BENCHMARKS.iter().map(|benchmark| benchmark.name).chain(["all"]).collect()
}

fn list() -> String {
    let lines = BENCHMARKS.iter().map(|benchmark| format!("  {:<11} {}", benchmark.name, benchmark.about));
    format!(
        "Benchmarks:\n{}\n  all         every one of them\n\n`tests/bench --small NAME…` runs them as they are built for a \
         gateway with little memory.",
        lines.collect::<Vec<_>>().join("\n")
    )
}

fn main() -> ExitCode {
    if let Some(outcome) = acme::node() {
        return outcome.map_or_else(failed("acme, the node"), |()| ExitCode::SUCCESS);
    }
    let options = Options::parse();
    let wanted = |benchmark: &&Benchmark| options.names.iter().any(|name| name == benchmark.name || name == "all");
    report::heading();
    let mut code = ExitCode::SUCCESS;
    for benchmark in BENCHMARKS.iter().filter(wanted) {
        let mut report = Report::new(benchmark.name);
        if let Err(error) = (benchmark.run)(&mut report, &options) {
            code = failed(benchmark.name)(error);
        }
    }
    code
}

fn failed(what: &str) -> impl Fn(Error) -> ExitCode {
    move |error| {
        eprintln!("error: {what}: {error}");
        ExitCode::FAILURE
    }
}
