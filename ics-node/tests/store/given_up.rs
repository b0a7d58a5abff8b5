//! The last entries of a copy, which are given up and come again.

use ics_node::store::{Seal, WriteTx};
use rusqlite::Connection;

use crate::common::{assert_sound, bare, copied, fill, find, head, name, note, open};

#[test]
fn what_no_checkpoint_covers_is_given_up_and_may_come_again() {
    let (dir, store, copy) = copied();
    fill(&store, copy, 0..300);
    let info = store.domain(&name("d.example")).expect("here");
    let (size, root) = (300, head(&store, copy).root);
    let seal = Seal { size, root, note: note(&info, size, &root), cosigned_at: None };
    store.write(copy, move |tx: &mut WriteTx<'_>| tx.seal(seal)).expect("queue").wait().expect("sealed");
    fill(&store, copy, 300..17_000);
    let whole = head(&store, copy).root;

    // All of them at once would take too long.
    let give_up = || store.give_up_unshown(copy, None, 0).expect("given up");
    assert_eq!([give_up(), give_up(), give_up()], [316, 0, 0]);
    let found = || ["n299", "n300", "n16999"].map(|word| find(&store, copy, &[word]));
    assert_eq!(found(), [vec![299], vec![], vec![]]);
    let left = head(&store, copy);
    assert_eq!((left.size, left.root), (300, root));
    assert_sound(&store);

    fill(&store, copy, 300..17_000);
    assert_eq!(found(), [vec![299], vec![300], vec![16_999]]);
    assert_eq!(head(&store, copy).root, whole);
    assert_sound(&store);
    drop(store);
    let store = open(dir.path());
    assert_eq!(head(&store, copy).root, whole);
    assert_sound(&store);
}

/// The index knows more then than there is.
#[test]
fn a_store_that_has_given_something_up_opens_again() {
    let (dir, store, copy) = copied();
    fill(&store, copy, 0..20);
    assert_eq!(store.give_up_unshown(copy, None, 12).expect("given up"), 0);
    drop(store);
    let store = open(dir.path());
    assert_eq!((head(&store, copy).size, find(&store, copy, &["n7"])), (0, vec![]));
    assert_eq!(store.given_up(copy).expect("a copy"), 12, "what was erased until there is still to come again");
    fill(&store, copy, 0..20);
    assert_eq!(find(&store, copy, &["n7"]), [7]);
    assert_sound(&store);
}

/// After a crash the next start would take for indexed what has come again, and nobody would find it.
#[test]
fn the_index_goes_back_even_if_only_leaves_are_given_up() {
    let (dir, store, copy) = copied();
    fill(&store, copy, 0..20);
    let leaves = store.leaves(copy, 0..20).expect("leaves");
    assert_eq!(store.give_up_unshown(copy, None, 0).expect("given up"), 0);
    let hide = move |tx: &mut WriteTx<'_>| leaves.into_iter().try_for_each(|leaf| tx.append(bare(leaf)).map(drop));
    store.write(copy, hide).expect("queue").wait().expect("leaves");
    drop(store);
    let store = open(dir.path());
    let index = Connection::open(dir.path().join("index.db")).expect("open");
    let indexed = || index.query_row("SELECT indexed_upto FROM progress", [], |row| row.get::<_, i64>(0));
    assert_eq!(indexed(), Ok(20));
    assert_eq!(store.give_up_unshown(copy, None, 0).expect("given up"), 0);
    assert_eq!(indexed(), Ok(0));
    fill(&store, copy, 0..20);
    assert_eq!(find(&store, copy, &["n7"]), [7]);
    assert_sound(&store);
}
