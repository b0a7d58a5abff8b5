//! What evidence proves, and that nothing else passes for it.

mod adopted;
mod cases;
mod erasures;
mod flips;
mod heads;
mod story;
mod tampering;
mod vectors;
mod verdicts;
mod world;
