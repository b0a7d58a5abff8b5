//! Authorizations, and by what they are found.

use super::*;
use crate::acme::authorization::Method;

#[test]
fn what_is_to_be_proven_is_found_however_much_follows_from_the_record() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let host = Identifier::dns("gw.acme.example").expect("a name");
    let found = store.with(Durability::Soon, |tx| {
        let id = tx.add_account(&domain, &account)?;
        let ways = [(Method::Http01, "a token".to_owned())];
        let to_prove = Authorization::to_prove(id, host.clone(), at(100), ways);
        tx.add_authorization(&to_prove)?;
        for _ in 0..40 {
            tx.add_authorization(&Authorization::by_record(id, host.clone(), at(100)))?;
        }
        assert_eq!(tx.authorizations(id, &host, at(99))?, [to_prove]);
        tx.authorizations(id, &host, at(100))
    });
    assert!(found.expect("works").is_empty(), "it has expired");
}
