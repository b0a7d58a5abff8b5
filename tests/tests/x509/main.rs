//! X.509 as stock tools see it: openssl, gnutls, strongSwan, nginx, pkilint; and what none of them may get.

#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod issuing;
mod refusals;
mod tools;
mod world;
