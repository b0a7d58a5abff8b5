//! What evidence proves, and that nothing else passes for it.

mod story;
mod verdicts;
mod world;
