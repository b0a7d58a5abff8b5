//! X.509 as stock tools see it: openssl, gnutls, strongSwan, nginx, pkilint; and what none of them may get.

#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod answerers;
mod cmp;
mod command;
mod est;
mod issuing;
mod lifecycle;
mod lint;
mod lists;
mod mirrors;
mod misnamed;
mod node;
mod parties;
mod recovery;
mod refusals;
mod registrars;
mod revocation;
mod rotation;
mod tokens;
mod tools;
mod town;
mod witnesses;
mod world;
