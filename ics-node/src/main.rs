//! `ics`: the node and the command line of CM4IT ICS.

use std::process::ExitCode;

// Parsing OpenPGP and answering look-ups are mostly small allocations, and what the threads that check have allocated is
// freed by the one that writes: see BENCHMARKS.md on ingest for what other allocators take.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ics_node::cli::run()
}
