//! Bundles that were truncated, damaged, mixed up, or made by a liar: each is refused with words, and without harm.

use ics_core::limits;
use ics_sync::bundle::{Cursor, Earlier};
use ics_sync::wire::{Base64, Entry, Page, Refusal, Refusals, Submission};
use sha2::{Digest as _, Sha256};

use crate::bundles::{bundle, head, held, open, pages, take, written};
use crate::home::{Home, at, signing_key};
use crate::rules::{DOMAIN, NOW, home};

/// A bundle in which one thing is wrong, and what is said about it.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    why: &'static str,
}

fn parts(home: &Home, change: impl FnOnce(&mut Vec<Page>, &mut String)) -> Vec<u8> {
    let (mut pages, mut note) = (pages(home, 0), home.note.clone());
    change(&mut pages, &mut note);
    written(|writer| {
        writer.domain(&home.origin).expect("memory");
        writer.descriptors(&home.descriptors(1)).expect("memory");
        if !note.is_empty() {
            writer.checkpoint(&note).expect("memory");
        }
        pages.iter().for_each(|page| writer.page(page).expect("memory"));
    })
}

/// Frames that no writer makes, with a matching digest.
fn framed(frames: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = b"ICSB\x01".to_vec();
    let all = core::iter::once((1, serde_json::to_vec(&head()).expect("JSON")));
    for (kind, body) in all.chain(frames.iter().map(|(kind, body)| (*kind, body.to_vec()))) {
        frame(&mut bytes, kind, &body);
    }
    let digest = Sha256::digest(&bytes);
    frame(&mut bytes, 0, &digest);
    bytes
}

fn many_refusals() -> Vec<u8> {
    let refusal = Refusal { body: Base64([7; 32]), problem: serde_json::Value::Null };
    let refusals = Refusals { from: String::new(), refused: vec![refusal; 1 + limits::BATCH_STATEMENTS] };
    serde_json::to_vec(&refusals).expect("JSON")
}

fn frame(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    let mut length = body.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(body);
}

fn case(name: &'static str, bytes: Vec<u8>, why: &'static str) -> Case {
    Case { name, bytes, why }
}

/// The home with five more entries.
fn grown(good: &Home) -> Home {
    let mut grown = good.clone();
    grown.append_many(5, "more", at(NOW));
    grown.sign(at(NOW));
    grown
}

/// Damage that happens to files.
fn torn(good: &Home) -> Vec<Case> {
    let whole = bundle(good, None);
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("a digest") ^= 1;
    vec![
        case("nothing at all", vec![], "this is not a bundle"),
        case("another file", b"%PDF-1.7 and so on".to_vec(), "this is not a bundle"),
        case("of another version", [b"ICSB\x02", &whole[5..]].concat(), "version 2"),
        case("torn in the middle", whole[..whole.len() / 2].to_vec(), "cut off"),
        case("torn at its end", whole[..whole.len() - 1].to_vec(), "cut off"),
        case("its last part is missing", whole[..whole.len() - 34].to_vec(), "cut off"),
        case("a bit is wrong in its digest", damaged, "damaged"),
        case("something behind it", [whole.as_slice(), b"\n"].concat(), "there is data after the end"),
        case("two in one file", [whole.as_slice(), &whole].concat(), "there is data after the end"),
    ]
}

/// Forms that no writer produces.
fn misshapen(good: &Home) -> Vec<Case> {
    let origin = serde_json::to_vec(&good.origin).expect("JSON");
    let whole = bundle(good, None);
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).expect("zeros");
    let hidden = Entry::Hidden([7; 32]);
    let earlier = |indices: &[u64]| {
        let entries = vec![hidden.clone(); indices.len()];
        serde_json::to_vec(&Earlier { indices: indices.to_vec(), entries }).expect("JSON")
    };
    let batch = Submission { statements: vec![Base64(vec![0]); limits::BATCH_STATEMENTS + 1] };
    let many: Vec<(u8, &[u8])> = core::iter::once((2, origin.as_slice()))
        .chain((0..limits::BUNDLE_PARTS).map(|_| (9, br#"{"statements":[]}"#.as_slice())))
        .collect();
    let other = |n: usize| format!("\"d{n}.example/{}\"", "0".repeat(64));
    let domains: Vec<String> = (0..=limits::BUNDLE_DOMAINS).map(other).collect();
    let domains: Vec<(u8, &[u8])> = domains.iter().map(|origin| (2, origin.as_bytes())).collect();
    let claims = |length: &[u8]| [b"ICSB\x01\x01", length, b"{}"].concat();
    vec![
        case("a part that claims to be endless", claims(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "has more than"),
        case("a length without an end", claims(&[0xff; 40]), "has more than"),
        case("a length longer than it need be", claims(b"\x82\x00"), "has more than"),
        case("a part without a head before it", [b"ICSB\x01\x05", whole.as_slice()].concat(), "who made the bundle"),
        case("two heads", framed(&[(1, &serde_json::to_vec(&head()).expect("JSON"))]), "belongs to no domain"),
        case("a part of no domain", framed(&[(5, good.note.as_bytes())]), "belongs to no domain"),
        case("a kind that is not known", framed(&[(2, &origin), (11, b"x")]), "does not know its kind"),
        case("refusals that are none", framed(&[(2, &origin), (10, b"{\"refused\":[7]}")]), "is not as expected"),
        case(
            "more refusals than a batch has",
            framed(&[(2, &origin), (10, &many_refusals())]),
            "are more than a batch",
        ),
        case("two sections of one domain", framed(&[(2, &origin), (2, &origin)]), "in two places"),
        case("a domain of no name", framed(&[(2, b"\"nonsense\"")]), "is refused"),
        case(
            "two checkpoints",
            framed(&[(2, &origin), (5, good.note.as_bytes()), (5, good.note.as_bytes())]),
            "only one of this kind",
        ),
        case("a checkpoint that is none", framed(&[(2, &origin), (5, b"log in here")]), "is refused"),
        case("a page that is none", framed(&[(2, &origin), (5, good.note.as_bytes()), (6, b"ICSP")]), "cut off"),
        case(
            "a page that unpacks to far more",
            framed(&[(2, &origin), (5, good.note.as_bytes()), (7, &bomb)]),
            "more than",
        ),
        case("earlier entries out of order", framed(&[(2, &origin), (8, &earlier(&[3, 2]))]), "not in order"),
        case(
            "earlier entries twice",
            framed(&[(2, &origin), (8, &earlier(&[2])), (8, &earlier(&[2]))]),
            "not in order",
        ),
        case("earlier entries of no index", framed(&[(2, &origin), (8, &earlier(&[]))]), "an index for each"),
        case(
            "too large a batch",
            framed(&[(2, &origin), (9, &serde_json::to_vec(&batch).expect("JSON"))]),
            "than a batch",
        ),
        case("too many parts", framed(&many), "more than 262144 parts"),
        case("too many domains", framed(&domains), "more than 1024 domains"),
    ]
}

/// Parts that do not belong together.
fn mixed(good: &Home) -> Vec<Case> {
    let grown = grown(good);
    let since = |size| Cursor { origin: good.origin.clone(), size, rights: None };
    vec![
        case(
            "pages in another order",
            parts(&grown, |pages, _| split(pages, &grown).reverse()),
            "do not follow one another",
        ),
        case(
            "a page twice",
            parts(&grown, |pages, _| {
                split(pages, &grown);
                let again = pages[0].clone();
                pages.insert(1, again);
            }),
            "do not follow one another",
        ),
        case("pages that lead elsewhere", parts(&grown, |pages, _| pages[0].size -= 1), "does not lead to"),
        case("pages without a checkpoint", parts(&grown, |_, note| note.clear()), "does not lead to"),
        case(
            "the checkpoint of another size",
            parts(&grown, |_, note| note.clone_from(&good.note)),
            "does not lead to",
        ),
        case(
            "no checkpoint and no pages",
            parts(&grown, |pages, note| {
                pages.clear();
                note.clear();
            }),
            "no checkpoint",
        ),
        case("a checkpoint without pages", parts(&grown, |pages, _| pages.clear()), "has no entries from 30"),
        case("news that begin too late", bundle(&grown, Some(&since(32))), "begins at entry 32, but the node has"),
    ]
}

/// Heads of other logs, and unsigned ones.
fn false_heads(good: &Home) -> Vec<Case> {
    let grown = grown(good);
    let mut fork = good.fork_at(5);
    fork.append_many(good.entries.len() - 5, "false", at(NOW));
    fork.sign(at(NOW));
    let mut ahead = good.fork_at(5);
    ahead.append_many(good.entries.len(), "false", at(NOW));
    ahead.sign(at(NOW));
    let mut behind = good.fork_at(5);
    behind.append_many(10, "false", at(NOW));
    behind.sign(at(NOW));
    let mut early = good.fork_at(4);
    early.sign(at(NOW));
    let mut stranger = grown.clone();
    stranger.key = signing_key(66);
    stranger.sign(at(NOW));
    let mut foreign = Home::new(DOMAIN, 77, at(NOW));
    foreign.append_many(40, "foreign", at(NOW));
    foreign.sign(at(NOW));
    vec![
        case(
            "another log of that name",
            written(|writer| {
                writer.domain(&good.origin).expect("memory");
                writer.descriptors(&foreign.descriptors(1)).expect("memory");
                writer.checkpoint(&foreign.note).expect("memory");
                pages(&foreign, 0).iter().for_each(|page| writer.page(page).expect("memory"));
            }),
            "this is a mirror of",
        ),
        case("a fork", bundle(&fork, None), "fork"),
        case("a fork ahead", bundle(&ahead, None), "do not lead from"),
        case("a fork behind", bundle(&behind, None), "two different roots for 15 entries"),
        case("an early state of the log", bundle(&early, None), "4 entries, but 30 are known here"),
        case("a checkpoint by a stranger", bundle(&stranger, None), "no signature of a home"),
        case(
            "a checkpoint that was changed",
            parts(&grown, |_, note| {
                *note = note.replacen("\n35\n", "\n36\n", 1);
            }),
            "does not lead to",
        ),
    ]
}

/// Entries that the home has not signed.
fn false_entries(good: &Home) -> Vec<Case> {
    let grown = grown(good);
    let (entry, hidden) = (grown.entries[1].clone(), Entry::Hidden([7; 32]));
    vec![
        case(
            "an entry with another body",
            parts(&grown, |pages, _| {
                change(pages, 33, |_| {
                    let mut changed = entry.clone();
                    changed.body = b"another".to_vec();
                    Entry::Whole(changed)
                })
            }),
            "do not lead from",
        ),
        case(
            "an entry with another salt",
            parts(&grown, |pages, _| {
                change(pages, 33, |kept| match kept {
                    Entry::Whole(mut whole) => {
                        whole.salt[0] ^= 1;
                        Entry::Whole(whole)
                    }
                    kept => kept,
                })
            }),
            "do not lead from",
        ),
        case(
            "an entry replaced by a leaf",
            parts(&grown, |pages, _| change(pages, 33, |_| hidden.clone())),
            "withholds some or all entries from 30 on",
        ),
        case("an entry left out", parts(&grown, |pages, _| drop(pages[0].entries.remove(33))), "do not lead from"),
        case(
            "two entries in another order",
            parts(&grown, |pages, _| pages[0].entries.swap(32, 33)),
            "do not lead from",
        ),
        case(
            "a proof with a bit wrong",
            parts(&grown, |pages, _| {
                *pages = vec![grown.page(0, 32, 35).expect("a page"), grown.page(32, 3, 35).expect("a page")];
                pages[0].proof[0].0[0] ^= 1;
            }),
            "do not lead from",
        ),
    ]
}

/// The one page split into two.
fn split<'p>(pages: &'p mut Vec<Page>, home: &Home) -> &'p mut Vec<Page> {
    *pages = vec![home.page(0, 20, home.size()).expect("a page"), home.page(20, 15, home.size()).expect("a page")];
    pages
}

fn change(pages: &mut [Page], index: usize, change: impl FnOnce(Entry) -> Entry) {
    let entry = pages[0].entries[index].clone();
    pages[0].entries[index] = change(entry);
}

#[test]
fn what_is_not_taken() {
    let good = home(30);
    let before = held(&good);
    let grown = grown(&good);
    let cases: Vec<Case> = [torn(&good), misshapen(&good), mixed(&good), false_heads(&good), false_entries(&good)]
        .into_iter()
        .flatten()
        .collect();
    assert!(cases.len() >= 45, "{} cases", cases.len());
    for Case { name, bytes, why } in cases {
        let mut memory = before.clone();
        let said = take(&mut memory, &good, bytes).expect_err(name);
        assert!(said.contains(why), "{name}: {said}");
        assert_eq!(memory.leaves, before.leaves, "{name}: nothing of it was stored");
        take(&mut memory, &good, bundle(&grown, None)).unwrap_or_else(|why| panic!("after {name}: {why}"));
        assert_eq!(memory.leaves, grown.leaves, "after {name} a good one is taken");
    }
}

#[test]
fn torn_or_with_one_bit_wrong_it_is_refused_wherever_that_is() {
    let whole = bundle(&home(12), None);
    for end in 0..whole.len() {
        assert!(open(whole[..end].to_vec()).is_err(), "cut off after {end} bytes");
    }
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        assert!(open(damaged).is_err(), "byte {byte}");
    }
}
