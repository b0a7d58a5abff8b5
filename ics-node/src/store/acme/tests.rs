use super::*;
use crate::acme::jwk::Jwk;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn store() -> (tempfile::TempDir, AcmeStore, DomainName, Holder) {
    let dir = tempfile::tempdir().expect("dir");
    let store = AcmeStore::open(dir.path()).expect("opens");
    let holder = Holder::Thing("ab".repeat(20).parse().expect("a fingerprint"));
    (dir, store, "devices.acme.example".parse().expect("a domain"), holder)
}

#[test]
fn credentials_end_and_serve_once() {
    let (_dir, store, domain, holder) = store();
    let credential = |kid: &str| Credential {
        kid: kid.to_owned(),
        domain: domain.clone(),
        holder,
        secret: Zeroizing::new(vec![7; 32]),
        expires: at(100),
    };
    let counted = store.with(Durability::Now, |tx| {
        tx.add_credential(&credential("a"))?;
        tx.add_credential(&credential("b"))?;
        assert_eq!(tx.credential("a", at(99))?, Some(credential("a")));
        tx.use_credential("a")?;
        assert_eq!(tx.credential("a", at(99))?, None);
        assert_eq!(tx.credential("b", at(100))?, None);
        tx.count_credentials(&domain, &holder, at(99))
    });
    assert_eq!(counted.map_err(|error| error.to_string()), Ok(0), "what has ended was forgotten");
}

#[test]
fn nothing_stays_of_what_fails_and_everything_else_is_there_again() {
    let (dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let id = store.with(Durability::Now, |tx| tx.add_account(&domain, &account)).expect("is kept");
    let failed = store.with(Durability::Now, |tx| {
        tx.block(id, &Identifier::dns("a.example").expect("a name"), at(2), "by hand")?;
        Err::<(), _>(StoreError::not_found("anything"))
    });
    assert!(failed.is_err());
    drop(store);
    let store = AcmeStore::open(dir.path()).expect("opens again");
    let found = store.with(Durability::Soon, |tx| {
        assert_eq!(tx.blocked(id, &Identifier::dns("a.example").expect("a name"))?, None);
        assert_eq!(tx.account(&"other.example".parse().expect("a domain"), id)?, None);
        tx.account_by_key(&domain, &account.key.thumbprint())
    });
    assert_eq!(found.expect("reads"), Some((id, account)));
}

#[test]
fn what_ended_long_ago_is_cleared_away() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let order = |expires| Order {
        account: 1,
        identifiers: Vec::new(),
        authorizations: Vec::new(),
        profile: "server".parse().expect("a profile"),
        profile_named: false,
        thing: "ab".repeat(20).parse().expect("a fingerprint"),
        replaces: None,
        expires,
        progress: crate::acme::order::Progress::Open,
    };
    let late = at(100).plus_millis(KEPT_MILLIS + 1);
    let left = store.with(Durability::Soon, |tx| {
        tx.add_account(&domain, &account)?;
        let first = tx.add_order(&order(at(100)), at(1))?;
        let second = tx.add_order(&order(late), at(1))?;
        let third = tx.add_order(&order(late), late)?;
        assert_eq!((tx.order(first)?, tx.count_orders(1, at(1))?), (None, 1));
        Ok::<_, StoreError>((tx.newest_orders(1, 10)?, [third, second]))
    });
    let (left, expected) = left.expect("works");
    assert_eq!(left, expected);
}
