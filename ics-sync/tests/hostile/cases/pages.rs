//! Pages, in any form, that do not continue the log, and second looks.

use std::sync::LazyLock;

use super::*;

/// Sixty-four megabytes in a few kilobytes.
static MUCH_OF_NOTHING: LazyLock<Vec<u8>> =
    LazyLock::new(|| zstd::encode_all(&vec![0; 1 << 26][..], 1).expect("compresses"));

/// Pages that do not continue the log.
pub(super) fn all() -> Vec<Case> {
    vec![
        case(
            "a log without its first entry",
            page!(|page| {
                let identity = crate::speech::thing(1);
                let remnant = Remnant { statement: ics_core::statement::StatementId([5; 32]), identity };
                page.entries[0] = wire::Entry::Erased { leaf: page.entries[0].leaf_data(), remnant };
            }),
            Trouble("withholds"),
        )
        .fresh(),
        case("a page for people", text!(|_| "<html>Please log in</html>".to_owned()), NOT_JSON),
        case("a page from elsewhere in the log", page!(|page| page.from = 0), Trouble("nobody asked for")),
        case("a page that leads elsewhere", page!(|page| page.size = 39), Trouble("nobody asked for")),
        case("a page without entries", page!(|page| page.entries.clear()), Trouble("withholds")),
        case(
            "leaves only, as if nothing were hidden",
            page!(|page| {
                page.entries.iter_mut().for_each(|entry| *entry = wire::Entry::Hidden(entry.leaf_data()));
            }),
            Trouble("withholds"),
        ),
        case("an entry with another body", page!(|page| whole(page, 5).body.push(b'!')), UNPROVEN),
        case("an entry with another salt", page!(|page| whole(page, 5).salt[0] ^= 1), UNPROVEN),
        case("an entry with another header", page!(|page| whole(page, 5).header[9] ^= 1), UNPROVEN),
        case(
            "an entry whose header begins its body",
            page!(|page| {
                let entry = whole(page, 5);
                let last = entry.header.pop().expect("a header");
                entry.body.insert(0, last);
            }),
            Stop("the header of entry 25 is refused: the header is cut off"),
        ),
        case(
            "an entry whose body ends its header",
            page!(|page| {
                let entry = whole(page, 5);
                let first = entry.body.remove(0);
                entry.header.push(first);
            }),
            Stop("the header of entry 25 is refused: 1 bytes follow the header"),
        ),
        case("entries in another order", page!(|page| page.entries.swap(3, 4)), UNPROVEN),
        case("an entry twice", page!(|page| page.entries[4] = page.entries[3].clone()), UNPROVEN),
        case("an entry left out", page!(|page| drop(page.entries.remove(4))), UNPROVEN),
        case("an entry too many", page!(|page| page.entries.push(page.entries[0].clone())), UNPROVEN),
        case(
            "the entries of an early page",
            |home, request| {
                at_path("entries", request, || {
                    let early = home.page(0, 20, 40).expect("within the log");
                    ok(&serde_json::to_vec(&wire::Page { from: 20, ..early }).expect("JSON"))
                })
            },
            UNPROVEN,
        ),
        case("half a page with the proof of the whole", page!(|page| page.entries.truncate(10)), UNPROVEN),
        case("a proof that nobody needs", page!(|page| page.proof.push(Base64([7; 32]))), UNPROVEN),
        case("a proof longer than any", page!(|page| page.proof = vec![Base64([7; 32]); 65]), Trouble("65 hashes")),
        case(
            "a body longer than any",
            page!(|page| {
                whole(page, 0).body = vec![0; 1 + limits::PERSON_CERTIFICATE_BYTES];
            }),
            Trouble("the body of entry 0"),
        ),
        case(
            "a header longer than any",
            page!(|page| whole(page, 0).header = vec![0; 1 + limits::HEADER_BYTES]),
            Trouble("the header of entry 0"),
        ),
        case(
            "more entries than a page takes",
            page!(|page| page.entries = vec![page.entries[0].clone(); 1 + limits::FEED_ENTRIES]),
            Trouble("1001 entries"),
        ),
        case(
            "more bytes than a page takes",
            page!(|page| {
                whole(page, 0).body = vec![0; limits::PERSON_CERTIFICATE_BYTES];
                page.entries = vec![page.entries[0].clone(); 5];
            }),
            Trouble("the answer has more than"),
        ),
        case(
            "spaces without end",
            |_, request| {
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
                at_path("entries", request, || Reply::Endless(head, vec![b' '; 65536]))
            },
            Trouble("the answer has more than"),
        ),
        case("a member that nobody knows", text!(|json| json.replacen('{', "{\"colour\":\"red\",", 1)), NOT_JSON),
        case("a member twice", text!(|json| json.replacen('{', "{\"from\":20,", 1)), NOT_JSON),
        case("a number below nothing", text!(|json| json.replacen("\"from\":20", "\"from\":-20", 1)), NOT_JSON),
        case("a number that is none", text!(|json| json.replacen("\"from\":20", "\"from\":2e1", 1)), NOT_JSON),
        case("brackets in brackets", text!(|_| "[".repeat(1_000_000)), NOT_JSON),
        case("base64 that is not canonical", text!(|json| json.replacen("\"salt\":\"", "\"salt\":\"=", 1)), NOT_JSON),
        case(
            "more indices than belong to a page",
            page!(|page| {
                let earlier = vec![1; 1 + limits::SIGHT_INDICES];
                page.sight = Some(wire::Sight { rights: Base64([1; 16]), earlier, ended: Vec::new() });
            }),
            Trouble("indices"),
        ),
        case(
            "rights that nobody has",
            page!(|page| {
                page.sight = Some(wire::Sight { rights: Base64([1; 16]), earlier: Vec::new(), ended: Vec::new() });
            }),
            Trouble("has changed meanwhile"),
        ),
        case(
            "erased, and nobody has erased it",
            page!(|page| {
                let leaf = page.entries[5].leaf_data();
                let identity = crate::speech::thing(1);
                let remnant = Remnant { statement: ics_core::statement::StatementId([5; 32]), identity };
                page.entries[5] = wire::Entry::Erased { leaf, remnant };
            }),
            Doubt("no erasure among the 40 entries"),
        ),
        case(
            "erased, and not said what",
            text!(|json| {
                let at = json.find("\"header\"").expect("an entry");
                let end = at + json[at..].find('}').expect("its end");
                format!("{}\"leaf\":\"{}\",\"erased\":\"AAAA\"{}", &json[..at], Hash([1; 32]).to_base64(), &json[end..])
            }),
            NOT_JSON,
        ),
        case("a clock that went back", |_, _| None, Stop("the home's clock went back")).after(|home| {
            home.append("early", at(NOW - 1));
            home.sign(late());
        }),
        case("a kind of entry that nobody knows", |_, _| None, Stop("the header of entry 40 is refused")).after(
            |home| {
                let mut strange = entry(EntryKind::Statement, b"strange".to_vec(), late());
                strange.header[0] = 9;
                home.push(strange);
                home.sign(late());
            },
        ),
    ]
}

/// Packed pages that are malformed.
pub(super) fn packed() -> Vec<Case> {
    let packed_bytes = packed::PAGE_BYTES;
    // Made before anybody waits for it.
    LazyLock::force(&MUCH_OF_NOTHING);
    vec![
        case("no packed page", packed!(PACKED, |_| b"<html>".to_vec()), NOT_PACKED),
        case(
            "a packed page cut off",
            packed!(PACKED, |mut it| {
                it.truncate(it.len() / 2);
                it
            }),
            NOT_PACKED,
        ),
        case(
            "something behind a packed page",
            packed!(PACKED, |mut it| {
                it.push(0);
                it
            }),
            NOT_PACKED,
        ),
        case(
            "more entries than there are bytes",
            packed!(PACKED, |mut it| {
                it.splice(1..2, [0xff; 9]);
                it
            }),
            NOT_PACKED,
        ),
        case("packed, and called JSON", packed!("content-type: application/json\r\n", |it| it), NOT_JSON),
        case(
            "JSON, and called packed",
            packed!(PACKED, |it| serde_json::to_vec(&packed::unpack(&it).expect("a page")).expect("JSON")),
            NOT_PACKED,
        ),
        case(
            "compressed, and not said so",
            packed!(PACKED, |it| packed::compress(&it.repeat(50)).expect("smaller")),
            NOT_PACKED,
        ),
        case("said to be compressed", packed!(SQUEEZED, |it| it), NOT_PACKED),
        case(
            "compressed and cut off",
            packed!(SQUEEZED, |it| {
                let mut it = packed::compress(&it.repeat(50)).expect("smaller");
                it.truncate(it.len() / 2);
                it
            }),
            NOT_PACKED,
        ),
        case(
            "much of nothing, compressed",
            packed!(SQUEEZED, |_| MUCH_OF_NOTHING.clone()),
            Trouble("the answer has more than"),
        )
        .within(packed_bytes),
        case(
            "compressed for a window that nobody has",
            packed!(SQUEEZED, |_| vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00]),
            NOT_PACKED,
        ),
        case(
            "packed without end",
            |_, request| {
                let head = format!("HTTP/1.1 200 OK\r\n{PACKED}connection: close\r\n\r\n").into_bytes();
                at_path("entries", request, || Reply::Endless(head, vec![1; 65536]))
            },
            Trouble("the answer has more than"),
        )
        .within(packed_bytes),
        case(
            "an entry with another body, packed",
            packed!(PACKED, |it| {
                let mut page = packed::unpack(&it).expect("a page");
                whole(&mut page, 5).body.push(b'!');
                packed::pack(&page)
            }),
            UNPROVEN,
        ),
    ]
}

/// What a peer other than the home says may not be read by a mirror that may read a part.
pub(super) fn kept_back() -> Vec<Case> {
    fn bare(entry: &mut wire::Entry) {
        *entry = wire::Entry::Hidden(entry.leaf_data());
    }
    const UNCONFIRMED: Expected = Doubt("came from bad-peer, and the home has not yet said");
    vec![
        case("one entry left out of a part", page!(|page| page.entries.iter_mut().take(1).for_each(bare)), UNCONFIRMED)
            .aside(),
        case(
            "rights to nothing, given by who is not the home",
            page!(|page| {
                page.entries.iter_mut().for_each(bare);
                page.sight = Some(wire::Sight { rights: Base64([9; 16]), earlier: vec![], ended: (0..4).collect() });
            }),
            UNCONFIRMED,
        )
        .aside(),
        case("an honest part that the home has not confirmed", |_, _| None, UNCONFIRMED).aside(),
    ]
}

/// Second looks of a mirror that may read a part and whose rights have changed, and answers that do not fit.
pub(super) fn second_looks() -> Vec<Case> {
    let looks = |name, reply, expected| case(name, reply, expected).partial().after(turned);
    vec![
        looks(
            "another entry than was hidden",
            shown!(|shown, _| {
                if let Some(wire::Entry::Whole(entry)) = shown.entries.first_mut() {
                    entry.body.push(b'!');
                }
            }),
            Trouble("is not the one that the home signed"),
        ),
        looks(
            "more than was asked for",
            shown!(|shown, _| {
                let again = shown.entries.clone();
                shown.entries.extend(again);
            }),
            Trouble("nobody asked for"),
        ),
        looks("nothing of what was asked for", shown!(|shown, _| shown.entries.clear()), Trouble("nobody asked for")),
        looks("an answer to another question", shown!(|shown, _| shown.question ^= 1), Trouble("nobody asked for")),
        looks(
            "other rights in every answer",
            shown!(|shown, _| shown.rights = Some(Base64([9; 16]))),
            Trouble("has changed meanwhile"),
        ),
        looks("the loss of what nobody holds", shown!(|shown, _| shown.lost.push(99)), Trouble("nobody asked for")),
        looks(
            "more indices than belong to an answer",
            shown!(|shown, _| shown.lost = vec![1; 1 + limits::SIGHT_INDICES]),
            Trouble("indices"),
        ),
        looks(
            "a second look at something else",
            |_, request| at_path("entries/again", request, || ok(b"<html>")),
            NOT_JSON,
        ),
        looks(
            "a second look without end",
            |_, request| {
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
                at_path("entries/again", request, || Reply::Endless(head, vec![b' '; 65536]))
            },
            Trouble("the answer has more than"),
        ),
    ]
}
