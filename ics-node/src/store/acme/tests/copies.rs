//! Copies of the file, what puts them back, and what is found in one that is damaged.

use super::*;
use crate::store::check::Report;

fn is_blocked(dir: &Path, id: u64, identifier: &Identifier) -> bool {
    let store = AcmeStore::open(dir).expect("opens");
    store.with(Durability::Soon, |tx| Ok::<_, StoreError>(tx.blocked(id, identifier)?.is_some())).expect("reads")
}

#[test]
fn a_copy_has_accounts_and_blocks_and_no_secrets() {
    let (dir, copy) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    // Left open, as while the node runs.
    let (_store, _, id, identifier) = blocked(dir.path());
    keeping::copy(dir.path(), copy.path()).expect("copies");
    let bytes = std::fs::read(copy.path().join(FILE)).expect("is there");
    assert!(!bytes.windows(8).any(|window| window == b"a secret"), "not even in free pages");
    assert!(is_blocked(copy.path(), id, &identifier));
    let mut report = Report::default();
    keeping::check(copy.path(), &mut report).expect("reads");
    assert_eq!(report.findings, Vec::<String>::new());
}

/// After a copy is restored, the accounts of these holders may have to be revoked again.
#[test]
fn for_whom_accounts_speak_is_told_by_domain_and_holder() {
    let (dir, store, domain, holder) = store();
    let account =
        |key: u8, status| Account { status, ..Account::new(Jwk::Ed25519([key; 32]), holder, Vec::new(), at(1)) };
    store
        .with(Durability::Now, |tx| {
            for (key, status) in [(1, AccountStatus::Valid), (2, AccountStatus::Valid), (3, AccountStatus::Revoked)] {
                tx.add_account(&domain, &account(key, status))?;
            }
            tx.add_account(&domain, &account(4, AccountStatus::Deactivated))
        })
        .expect("is kept");
    let speaking = keeping::speaking(dir.path()).expect("reads");
    let told: Vec<_> = speaking.iter().map(|it| (it.domain.as_str(), it.holder.to_string(), it.accounts)).collect();
    assert_eq!(told, [("devices.acme.example", "ab".repeat(20), 2)]);
    let nothing = keeping::speaking(&dir.path().join("none")).expect("there is none");
    assert!(nothing.is_empty());
}

#[test]
fn a_copy_takes_the_place_of_what_is_gone_or_damaged_only() {
    let (dir, copy) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let aside = dir.path().join("aside");
    let (store, _, id, identifier) = blocked(dir.path());
    keeping::copy(dir.path(), copy.path()).expect("copies");
    let later = Identifier::dns("pump-8.acme.example").expect("a name");
    store.with(Durability::Now, |tx| tx.block(id, &later, &block(5, "later"))).expect("is kept");
    drop(store);
    assert!(!keeping::put_back(copy.path(), dir.path(), &aside).expect("looks"));
    let is_of_copy = || keeping::is_of_copy(copy.path(), dir.path()).expect("reads");
    assert!(!is_of_copy(), "it knows more");
    assert!(is_blocked(dir.path(), id, &later), "what was blocked since stays blocked");

    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).expect("is there");
    bytes[..16].fill(0);
    std::fs::write(&path, bytes).expect("writes");
    let mut report = Report::default();
    keeping::check(dir.path(), &mut report).expect("looks");
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(keeping::put_back(copy.path(), dir.path(), &aside).expect("puts back"));
    assert!(
        aside.join(FILE).exists() && is_blocked(dir.path(), id, &identifier) && !is_blocked(dir.path(), id, &later)
    );

    std::fs::remove_file(&path).expect("removes");
    assert!(!keeping::put_back(copy.path(), dir.path(), &aside).expect("puts back"), "nothing was there");
    assert!(is_of_copy(), "whoever puts it back is told");
    assert!(is_blocked(dir.path(), id, &identifier));
}

/// The last commits of a node that was killed are only in the write-ahead log.
#[test]
fn what_a_killed_node_has_kept_comes_back() {
    let (dir, copy, home) =
        (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (store, _, id, identifier) = blocked(dir.path());
    for name in [FILE.to_owned(), format!("{FILE}-wal")] {
        std::fs::copy(dir.path().join(&name), copy.path().join(&name)).expect("copies");
    }
    drop(store);
    keeping::put_back(copy.path(), home.path(), &home.path().join("aside")).expect("puts back");
    assert!(keeping::is_of_copy(copy.path(), home.path()).expect("reads"), "whoever puts it back is told");
    assert!(is_blocked(home.path(), id, &identifier));
}

#[test]
fn what_does_not_fit_is_found() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, ..) = blocked(dir.path());
    drop(store);
    let direct = rusqlite::Connection::open(dir.path().join(FILE)).expect("opens");
    direct
        .execute_batch(
            "PRAGMA foreign_keys = OFF; UPDATE account SET document = '{}';
         INSERT INTO block (account, identifier, since, why) VALUES (99, 'host:x', 1, 'nobody');",
        )
        .expect("writes");
    drop(direct);
    let mut report = Report::default();
    keeping::check(dir.path(), &mut report).expect("reads");
    let [orphan, account] = report.findings.as_slice() else { panic!("{report:?}") };
    assert!(
        orphan.contains("1 rows refer to others that are not there") && account.contains("account 1"),
        "{report:?}"
    );
}
