//! The last entries of a copy, which are given up and come again.

use ics_node::store::{Seal, WriteTx};

use crate::common::{assert_sound, copied, fill, find, head, name, note, open};

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
    let give_up = || store.give_up_unshown(copy, None).expect("given up");
    assert_eq!([give_up(), give_up(), give_up()], [616, 300, 300]);
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
    assert_eq!(store.give_up_unshown(copy, None).expect("given up"), 0);
    drop(store);
    let store = open(dir.path());
    assert_eq!((head(&store, copy).size, find(&store, copy, &["n7"])), (0, vec![]));
    fill(&store, copy, 0..20);
    assert_eq!(find(&store, copy, &["n7"]), [7]);
    assert_sound(&store);
}
