//! `ics`: the node and the command line of CM4IT ICS.

use std::process::ExitCode;

// Parsing OpenPGP and answering look-ups are mostly small allocations, at which the system's allocator is slower by a
// third.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ics_node::cli::run()
}
