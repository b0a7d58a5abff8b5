//! Use cases on the side of the person who signs: what the command line does, without the command line.

pub mod certificate;
pub mod descriptor;
pub mod home;
pub mod node;
