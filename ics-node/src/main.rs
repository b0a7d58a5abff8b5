//! `ics`: the node and the command line of CM4IT ICS.

use std::process::ExitCode;

// Parsing OpenPGP and answering look-ups mostly make small allocations, and what the verifying threads allocate is
// freed by the writer: see BENCHMARKS.md on ingest for a comparison with other allocators.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ics_node::cli::run()
}
