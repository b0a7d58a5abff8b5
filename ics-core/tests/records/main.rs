//! Real entries through the public interface: bodies are parsed, verified and admitted, and give records.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod certificates;
mod replay;
mod story;
mod vectors;
