//! Real entries through the public interface: bodies are parsed, verified and admitted, and give records.

mod certificates;
mod replay;
mod story;
mod vectors;
