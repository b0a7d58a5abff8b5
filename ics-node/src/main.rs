//! The ics program.
fn main() {}
