mod authorizations;
mod certificates;
mod copies;

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::acme::account::AccountStatus;
use crate::acme::jwk::Jwk;
use crate::acme::order::Progress;

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
    let shown = format!("{:?}", credential("a"));
    assert!(shown.contains("kid") && !shown.contains("secret"), "{shown}");
    let counted = store.with(Durability::Now, |tx| {
        tx.add_credential(&credential("a"), at(1))?;
        tx.add_credential(&credential("b"), at(1))?;
        assert_eq!(tx.credential("a", at(99))?, Some(credential("a")));
        tx.use_credential("a")?;
        assert_eq!(tx.credential("a", at(99))?, None);
        assert_eq!(tx.credential("b", at(100))?, None);
        tx.add_credential(&credential("c"), at(100))?;
        tx.count_credentials(&domain, &holder, at(99))
    });
    assert_eq!(counted.map_err(|error| error.to_string()), Ok(1), "what has ended was forgotten");
}

#[test]
fn nothing_stays_of_what_fails_and_everything_else_is_there_again() {
    let (dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let id = store.with(Durability::Now, |tx| tx.add_account(&domain, &account)).expect("is kept");
    let failed = store.with(Durability::Now, |tx| {
        tx.block(id, &Identifier::dns("a.example").expect("a name"), &block(4, "by hand"))?;
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
fn what_a_holder_makes_is_counted_by_the_hour() {
    let (_dir, store, domain, holder) = store();
    let other = Holder::Signer("cd".repeat(20).parse().expect("a fingerprint"));
    let count = |holder: &Holder, made, second| {
        store.with(Durability::Soon, |tx| tx.count_one((&domain, holder), made, 2, at(second))).expect("counts")
    };
    let orders = |second| count(&holder, Made::Order, second);
    assert_eq!((orders(1_000), orders(1_001), orders(1_001)), (None, None, Some(3_599_000)));
    assert_eq!(count(&holder, Made::Authorization, 1_002), None, "these are counted for themselves");
    assert_eq!(count(&other, Made::Order, 1_002), None);
    assert_eq!((orders(4_599), orders(4_600), orders(4_600)), (Some(1_000), None, None));
    assert_eq!(orders(4_600), Some(3_600_000));
    assert_eq!(orders(4_000), None, "a clock that was ahead keeps nobody from anything");
}

#[test]
fn accounts_are_found_by_whom_they_speak_for() {
    let (_dir, store, domain, holder) = store();
    let account = |key, holder| Account::new(Jwk::Ed25519([key; 32]), holder, Vec::new(), at(1));
    let other = Holder::Signer("ab".repeat(20).parse().expect("a fingerprint"));
    let found = store.with(Durability::Now, |tx| {
        let first = tx.add_account(&domain, &account(7, holder))?;
        tx.add_account(&domain, &account(8, other))?;
        tx.add_account(&"other.example".parse().expect("a domain"), &account(9, holder))?;
        let second = tx.add_account(&domain, &account(10, holder))?;
        let found: Vec<u64> = tx.accounts_of(&domain, &holder)?.into_iter().map(|(id, _)| id).collect();
        Ok::<_, StoreError>((found, vec![first, second]))
    });
    let (found, expected) = found.expect("is kept");
    assert_eq!(found, expected);
}

#[test]
fn no_contact_is_kept_once_the_account_has_ended() {
    let (dir, store, domain, holder) = store();
    let contact = |name: &str| vec![format!("mailto:{}@acme.example", name.repeat(20))];
    let account = |key: u8, name: &str| Account::new(Jwk::Ed25519([key; 32]), holder, contact(name), at(1));
    let add = |key: u8, name: &str| {
        let added = store.with(Durability::Now, |tx| tx.add_account(&domain, &account(key, name)));
        added.expect("is kept")
    };
    let is_there = |name: &str| {
        let files = ["acme.db", "acme.db-wal"].map(|file| std::fs::read(dir.path().join(file)).unwrap_or_default());
        files.concat().windows(20).any(|bytes| bytes == &name.repeat(20).as_bytes()[..20])
    };
    let (ended, _) = (add(1, "jo"), add(2, "al"));
    assert!(is_there("jo"));
    let mut over = account(1, "jo");
    over.end(AccountStatus::Revoked);
    store.with(Durability::Now, |tx| tx.put_account(ended, &over)).expect("is kept");
    store.clean().expect("nobody reads");
    assert_eq!((is_there("jo"), is_there("al")), (false, true));
}

#[test]
fn it_is_known_after_a_crash_that_an_ended_account_may_have_left_something() {
    let (dir, store, domain, holder) = store();
    let must_clean = |store: &AcmeStore| store.must_clean().expect("reads");
    let mut account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let id = store.with(Durability::Now, |tx| tx.add_account(&domain, &account)).expect("is kept");
    store.with(Durability::Now, |tx| tx.put_account(id, &account)).expect("is kept");
    assert!(!must_clean(&store), "none has ended");
    account.end(AccountStatus::Deactivated);
    store.with(Durability::Now, |tx| tx.put_account(id, &account)).expect("is kept");
    drop(store);
    let store = AcmeStore::open(dir.path()).expect("opens again");
    assert!(must_clean(&store));
    store.clean().expect("nobody reads");
    assert!(!must_clean(&store));
    drop(store);
    let store = AcmeStore::open(dir.path()).expect("opens again");
    assert!(!must_clean(&store), "that is known as well");
}

#[test]
fn while_somebody_reads_what_an_account_has_left_it_stays_to_be_removed() {
    let (dir, store, domain, holder) = store();
    let mut account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let id = store.with(Durability::Now, |tx| tx.add_account(&domain, &account)).expect("is kept");
    let reader = schema::open_reader(&dir.path().join(FILE)).expect("opens");
    reader.execute_batch("BEGIN").expect("begins");
    let read = || reader.query_row("SELECT count(*) FROM account", [], |row| row.get::<_, i64>(0));
    assert_eq!(read().expect("reads"), 1);
    account.end(AccountStatus::Deactivated);
    store.with(Durability::Now, |tx| tx.put_account(id, &account)).expect("is kept");
    assert!(store.clean().is_err() && store.must_clean().expect("reads"));
    reader.execute_batch("COMMIT").expect("ends");
    assert!(store.clean().is_ok() && !store.must_clean().expect("reads"));
}

/// What another process would find in the file.
fn accounts_in_file(dir: &tempfile::TempDir) -> i64 {
    let file = schema::open_reader(&dir.path().join(FILE)).expect("opens");
    file.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).expect("reads")
}

#[test]
fn what_waits_is_seen_here_at_once_and_is_in_the_file_a_moment_later() {
    let (dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let id = store.with(Durability::Soon, |tx| tx.add_account(&domain, &account)).expect("is kept");
    let found = store.with(Durability::Soon, |tx| tx.account(&domain, id));
    assert_eq!(found.expect("reads"), Some(account));
    let began = std::time::Instant::now();
    while accounts_in_file(&dir) == 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "it still waits");
        std::thread::yield_now();
    }
}

/// SQLite begins the write-ahead log anew only if all of it was copied when a transaction began. Where one follows the
/// other it would grow for ever; and so it would if nobody looked after what does not wait.
#[test]
fn the_write_ahead_log_begins_anew_however_much_comes() {
    for durability in [Durability::Soon, Durability::Now] {
        let (dir, store, domain, holder) = store();
        let salt = || {
            // Its header, as the documentation of SQLite's file format has it.
            let mut header = [0; 24];
            let wal = std::fs::File::open(dir.path().join("acme.db-wal")).expect("opens");
            wal.read_exact_at(&mut header, 0).expect("has a header");
            header[16..].to_vec()
        };
        let (first, began) = (salt(), std::time::Instant::now());
        for round in 0_u32.. {
            if salt() != first {
                break;
            }
            let added = store.with(durability, |tx| {
                for number in 0_u32..100 {
                    let mut key = [0; 32];
                    key[..4].copy_from_slice(&round.to_be_bytes());
                    key[4..8].copy_from_slice(&number.to_be_bytes());
                    tx.add_account(&domain, &Account::new(Jwk::Ed25519(key), holder, Vec::new(), at(1)))?;
                }
                Ok::<_, StoreError>(())
            });
            added.expect("is kept");
            let is_late = began.elapsed() > std::time::Duration::from_secs(120);
            assert!(!is_late, "{durability:?}: it still grows after {round} rounds");
        }
    }
}

#[test]
fn it_is_known_whether_one_would_have_to_wait_for_the_disk() {
    let (_dir, store, ..) = store();
    for (durability, is_quick) in [(Durability::Now, false), (Durability::Soon, true)] {
        let seen = store.with(durability, |_| Ok::<_, StoreError>(store.is_quick()));
        assert_eq!(seen.expect("looks"), is_quick, "{durability:?}");
        assert!(store.is_quick(), "{durability:?}: nobody is left");
    }
}

#[test]
fn what_must_be_on_the_disk_takes_along_what_waits() {
    let (dir, store, domain, holder) = store();
    let account = |key| Account::new(Jwk::Ed25519([key; 32]), holder, Vec::new(), at(1));
    store.with(Durability::Soon, |tx| tx.add_account(&domain, &account(7))).expect("is kept");
    store.with(Durability::Now, |tx| tx.add_account(&domain, &account(8))).expect("is kept");
    assert_eq!(accounts_in_file(&dir), 2);
}

#[test]
fn what_is_refused_takes_nothing_with_it_that_waits() {
    let (dir, store, domain, holder) = store();
    let account = |key| Account::new(Jwk::Ed25519([key; 32]), holder, Vec::new(), at(1));
    let kept = store.with(Durability::Soon, |tx| tx.add_account(&domain, &account(7))).expect("is kept");
    let refused = |tx: &AcmeTx<'_>| {
        tx.accounts_of(&domain, &holder)?;
        Err::<(), _>(StoreError::not_found("anything"))
    };
    let written = |tx: &AcmeTx<'_>| {
        tx.add_account(&domain, &account(8))?;
        Err::<(), _>(StoreError::not_found("anything"))
    };
    assert!(store.with(Durability::Soon, refused).is_err());
    assert!(store.with(Durability::Now, written).is_err());
    drop(store);
    assert_eq!(accounts_in_file(&dir), 1, "closing writes what waits");
    let store = AcmeStore::open(dir.path()).expect("opens again");
    let found = store.with(Durability::Soon, |tx| tx.account(&domain, kept));
    assert_eq!(found.expect("reads"), Some(account(7)));
}

#[test]
fn nothing_stays_of_what_fails_after_it_has_written() {
    let (dir, store, domain, holder) = store();
    let account = |key| Account::new(Jwk::Ed25519([key; 32]), holder, Vec::new(), at(1));
    let add = |tx: &AcmeTx<'_>, key| tx.add_account(&domain, &account(key));
    let failed = store.with(Durability::Soon, |tx| {
        add(tx, 7)?;
        Err::<(), _>(StoreError::not_found("anything"))
    });
    assert!(failed.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.with(Durability::Soon, |tx| {
            add(tx, 8)?;
            assert_eq!(add(tx, 9)?, 0, "no account has this number");
            Ok::<_, StoreError>(())
        })
    }));
    assert!(panicked.is_err());
    let kept = store.with(Durability::Soon, |tx| add(tx, 10)).expect("the next one is kept");
    drop(store);
    assert_eq!(accounts_in_file(&dir), 1);
    let store = AcmeStore::open(dir.path()).expect("opens again");
    assert_eq!(store.account(&domain, kept).expect("reads").as_deref(), Some(&account(10)));
}

/// An order of the first account.
fn order(expires: Timestamp) -> Order {
    Order {
        account: 1,
        identifiers: Vec::new(),
        authorizations: Vec::new(),
        profile: "server".parse().expect("a profile"),
        profile_named: false,
        thing: "ab".repeat(20).parse().expect("a fingerprint"),
        replaces: None,
        expires,
        progress: Progress::Open,
    }
}

/// What a client asks for a moment later is in memory, and must not outlast its transaction.
#[test]
fn what_was_taken_back_is_not_remembered() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let issued = Issued { account: 1, pem: "a certificate".to_owned(), above: "b".into(), identifiers: Vec::new() };
    let added = store.with(Durability::Soon, |tx| {
        tx.add_account(&domain, &account)?;
        Ok::<_, StoreError>((
            tx.add_order(&order(at(100)), at(1))?,
            tx.add_certificate(&domain, &[7; 32], at(100), &issued)?,
        ))
    });
    let (number, certificate) = added.expect("is kept");
    let found = || {
        let order = store.look(|tx| tx.order(number)).expect("reads");
        (order, store.certificate(&domain, certificate).expect("reads"))
    };
    assert_eq!(found(), (Some(order(at(100))), Some(issued.clone())));
    let elsewhere = "other.example".parse().expect("a domain");
    assert_eq!(store.certificate(&elsewhere, certificate).expect("reads"), None);
    let failed = store.with(Durability::Soon, |tx| {
        tx.put_order(number, &Order { progress: Progress::Processing, ..order(at(100)) })?;
        Err::<(), _>(StoreError::not_found("anything"))
    });
    assert!(failed.is_err());
    assert_eq!(found(), (None, None));
    // Its certificate may have been under way all the time.
    store.with(Durability::Soon, |tx| tx.put_order(number, &order(at(100)))).expect("works");
    assert_eq!(found(), (None, None), "it is not there any more");
    // Nor are its issuers.
    let again = store.with(Durability::Now, |tx| {
        tx.add_account(&domain, &account)?;
        tx.add_certificate(&domain, &[7; 32], at(100), &issued)
    });
    let again = again.expect("is kept");
    store.memory.forget();
    assert_eq!(store.certificate(&domain, again).expect("reads"), Some(issued));
}

/// Whoever finalizes an order waits for the log without holding the store.
#[test]
fn an_order_that_was_taken_back_takes_the_place_of_no_other() {
    let (_dir, store, domain, holder) = store();
    let account = |key| Account::new(Jwk::Ed25519([key; 32]), holder, Vec::new(), at(1));
    let accounts = store.with(Durability::Now, |tx| {
        Ok::<_, StoreError>((tx.add_account(&domain, &account(7))?, tx.add_account(&domain, &account(8))?))
    });
    let (one, other) = accounts.expect("is kept");
    let of = |account, expires| Order { account, ..order(at(expires)) };
    for whose in [other, one] {
        let mut taken_back = None;
        let failed = store.with(Durability::Soon, |tx| {
            taken_back = Some(tx.add_order(&of(one, 100), at(1))?);
            Err::<(), _>(StoreError::not_found("anything"))
        });
        let number = taken_back.filter(|_| failed.is_err()).expect("was made");
        let found = store.with(Durability::Now, |tx| {
            assert_eq!(tx.add_order(&of(whose, 300), at(1))?, number, "the number is given again");
            tx.put_order(number, &Order { progress: Progress::Valid(7), ..of(one, 100) })?;
            let in_memory = tx.order(number)?;
            tx.1.forget();
            Ok::<_, StoreError>([in_memory, tx.order(number)?])
        });
        assert_eq!(found.expect("works"), [Some(of(whose, 300)), Some(of(whose, 300))]);
    }
}

#[test]
fn what_ended_long_ago_is_cleared_away() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let day = |day: u64| at(100).plus_millis(day * days::DAY_MILLIS);
    let late = day(31);
    let left = store.with(Durability::Soon, |tx| {
        tx.add_account(&domain, &account)?;
        let first = tx.add_order(&order(at(100)), at(1))?;
        let second = tx.add_order(&order(late), at(1))?;
        // The clock is ahead by years for some days, which do not count once it is right again.
        for seen in (1..=20).chain(4_000..4_010).chain(21..=30) {
            tx.clear(day(seen))?;
            assert!(tx.order(first)?.is_some(), "on day {seen}");
        }
        let others = (2..CLEARED_EACH).map(|_| tx.add_order(&order(late), late)).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(tx.order(first)?, None);
        let left: Vec<u64> = others.into_iter().rev().chain([second]).collect();
        Ok::<_, StoreError>((tx.newest_orders(1, 100)?, left))
    });
    let (left, expected) = left.expect("works");
    assert_eq!(left, expected);
}

/// Each row may name people, and for copies the whole file is read.
#[test]
fn copies_of_what_is_cleared_away_are_looked_for_once_all_of_it_is_deleted() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let day = |day: u64| at(100).plus_millis(day * days::DAY_MILLIS);
    let kept = store.with(Durability::Soon, |tx| {
        tx.add_account(&domain, &account)?;
        (0..=CLEARED_AT_ONCE).try_for_each(|_| tx.add_order(&order(at(100)), at(1)).map(drop))?;
        (1..=30).try_for_each(|seen| tx.clear(day(seen)))
    });
    kept.expect("is kept");
    let clear = || store.with(Durability::Soon, |tx| tx.clear(day(31))).expect("is cleared");
    let must_clean = || store.must_clean().expect("reads");
    assert!(!must_clean(), "nothing is deleted yet");
    clear();
    assert!(!must_clean(), "one is left");
    clear();
    assert!(must_clean());
    store.clean().expect("nobody reads");
    clear();
    assert!(!must_clean(), "there was nothing more");
}

/// A block that can be lifted only by an entry after `follows`.
fn block(follows: u64, why: &str) -> Block {
    Block { since: at(2), follows: Some(follows), why: why.to_owned() }
}

/// Repeating an earlier revocation shortens no block.
#[test]
fn of_two_blocks_the_one_stays_that_holds_longer() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _, id, identifier) = blocked(dir.path());
    let found = store.with(Durability::Now, |tx| {
        tx.block(id, &identifier, &block(9, "the second"))?;
        tx.block(id, &identifier, &block(4, "the first again"))?;
        tx.blocked(id, &identifier)
    });
    assert_eq!(found.expect("works"), Some(block(9, "the second")));
}

/// An ACME store with an account that is blocked for a name, and a credential that waits.
fn blocked(dir: &Path) -> (AcmeStore, DomainName, u64, Identifier) {
    let store = AcmeStore::open(dir).expect("opens");
    let domain: DomainName = "devices.acme.example".parse().expect("a domain");
    let holder = Holder::Thing("ab".repeat(20).parse().expect("a fingerprint"));
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let identifier = Identifier::dns("pump-7.acme.example").expect("a name");
    let id = store.with(Durability::Now, |tx| {
        let secret = Zeroizing::new(b"a secret of thirty-two octets...".to_vec());
        let credential =
            Credential { kid: "waits".to_owned(), domain: domain.clone(), holder, secret, expires: at(100) };
        tx.add_credential(&credential, at(1))?;
        let id = tx.add_account(&domain, &account)?;
        tx.block(id, &identifier, &block(4, "somebody else had it revoked"))?;
        Ok::<_, StoreError>(id)
    });
    (store, domain, id.expect("is kept"), identifier)
}

/// Anybody can be refused, and what is in memory serves all.
#[test]
fn only_what_was_written_and_taken_back_costs_what_is_in_memory() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let made = store.with(Durability::Now, |tx| {
        let id = tx.add_account(&domain, &account)?;
        Ok::<_, StoreError>((id, tx.add_order(&order(at(100)), at(1))?))
    });
    let (id, made) = made.expect("is kept");
    let is_left_if = |writes: bool| {
        let refused = store.with(Durability::Now, |tx| {
            if writes {
                tx.put_account(id, &account)?;
            }
            Err::<(), _>(StoreError::not_found("anything"))
        });
        assert!(refused.is_err());
        store.memory.orders.get(made).is_some()
    };
    assert_eq!([false, false, true].map(is_left_if), [true, true, false]);
}

#[test]
fn a_credential_that_has_ended_costs_nothing_that_is_in_memory() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, ..) = blocked(dir.path());
    let made = store.with(Durability::Now, |tx| tx.add_order(&order(at(200)), at(1))).expect("is kept");
    let refused = store.with(Durability::Now, |tx| {
        tx.credential("waits", at(100))?.ok_or_else(|| StoreError::not_found("credential"))
    });
    assert!(refused.is_err() && store.memory.orders.get(made).is_some());
}

#[test]
fn an_account_in_memory_is_what_the_file_says() {
    let (_dir, store, domain, holder) = store();
    let account = Account::new(Jwk::Ed25519([7; 32]), holder, Vec::new(), at(1));
    let id = store.with(Durability::Now, |tx| tx.add_account(&domain, &account)).expect("is kept");
    let known = || store.account(&domain, id).expect("reads").map(|it| it.key.clone());
    assert_eq!((known(), known()), (Some(Jwk::Ed25519([7; 32])), Some(Jwk::Ed25519([7; 32]))));
    assert_eq!(store.account(&"other.example".parse().expect("a domain"), id).expect("reads"), None);
    let changed = Account { key: Jwk::Ed25519([8; 32]), ..account };
    let failed = store.with(Durability::Now, |tx| {
        tx.put_account(id, &changed)?;
        Err::<(), _>(StoreError::not_found("anything"))
    });
    assert_eq!((failed.is_err(), known()), (true, Some(Jwk::Ed25519([7; 32]))));
    store.with(Durability::Now, |tx| tx.put_account(id, &changed)).expect("is kept");
    assert_eq!(known(), Some(Jwk::Ed25519([8; 32])));
}
