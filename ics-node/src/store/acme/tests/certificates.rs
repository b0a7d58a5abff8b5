//! What is given out of certificates that were kept.

use super::*;

#[test]
fn a_certificate_is_given_without_the_root_and_with_it() {
    let one = |name: &str| format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    let chains = |pem: &[String]| {
        Issued { account: 1, pem: pem[0].clone(), above: pem[1..].concat().into(), identifiers: Vec::new() }.chains()
    };
    let [leaf, issuer, above, root] = ["leaf", "issuer", "above", "root"].map(one);
    let all = [leaf.clone(), issuer, above, root];
    assert_eq!(chains(&all), [all[..3].concat(), all.concat()]);
    assert_eq!(chains(&all[..3]), [all[..2].concat(), all[..3].concat()]);
    assert_eq!(chains(&all[..2]), [all[..2].concat()], "the root itself has issued it");
    assert_eq!(chains(&all[..1]), [leaf]);
}

/// Nobody trusts a certificate that comes without its issuers.
#[test]
fn a_certificate_whose_issuers_are_missing_is_not_given() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let issued = Issued { account: 1, pem: "a certificate".to_owned(), above: "b".into(), identifiers: Vec::new() };
    let added = store.with(Durability::Now, |tx| {
        tx.add_account(&domain, &account)?;
        tx.add_certificate(&domain, &[7; 32], at(100), &issued)
    });
    let number = added.expect("is kept");
    store.memory.forget();
    let by_number = || store.certificate(&domain, number);
    let by_digest = || store.look(|tx| tx.certificate_by_digest(&domain, &[7; 32]));
    assert!(by_number().is_ok() && by_digest().is_ok());
    let damage = "PRAGMA foreign_keys = OFF; DELETE FROM issuers";
    store.look(|tx| tx.0.execute_batch(damage)).expect("is damaged");
    assert!(by_number().is_err() && by_digest().is_err());
}
