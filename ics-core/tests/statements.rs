//! Statements made, read and verified: what must work, and what must be refused.

mod common;

use common::{SALT, Signers, at, certificate, device, sample_claims, unverified};
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::{make, verify, verify_batch};

#[test]
fn statements_of_every_act_are_read_back_and_verified() {
    for signer in Signers::all() {
        let certificate = certificate(&*signer);
        for (kind, claims) in sample_claims() {
            let revokes = claims.revokes(kind).unwrap_or(false);
            let body = if kind.has_key() {
                let key = device(1);
                make::certify(
                    &*signer,
                    key.public_key(),
                    "urn:dev:os:32473-1",
                    None,
                    kind,
                    &claims,
                    revokes,
                    at(),
                    &SALT,
                )
            } else {
                make::sign_document(&*signer, &common::subject(kind), &claims, at(), &SALT)
            };
            let body = body.unwrap_or_else(|error| panic!("{claims:?}: {error}"));
            let statement = unverified(&body);
            assert_eq!((statement.claims(), statement.revokes()), (&claims, revokes));
            assert_eq!(statement.subject().kind(), kind);
            assert_eq!((statement.issuer(), statement.signed_at()), (signer.public_key().fingerprint(), at()));
            let id = statement.id();
            let single = verify(statement.clone(), &certificate, at()).expect("good");
            let batch = verify_batch(vec![(statement, &certificate, at())], [1; 32]);
            assert_eq!(batch, [Ok(single.clone())]);
            assert_eq!((single.id(), single.signer()), (id, signer.public_key().fingerprint()));
        }
    }
}
