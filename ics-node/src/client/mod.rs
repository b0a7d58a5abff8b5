//! Use cases on the signer's side: what the command line does, without arguments and printing.

pub mod agent;
pub mod artifact;
pub mod backup;
pub mod batch;
pub mod bundle;
pub mod certificate;
pub mod deb;
pub mod descriptor;
pub mod erasure;
pub mod gate;
pub mod home;
pub mod import;
pub mod lookup;
pub mod moment;
pub mod node;
pub mod publish;
pub mod report;
pub mod restore;
pub mod signature;
pub mod signing;
pub mod submit;
pub mod taken_back;
pub mod thing;
