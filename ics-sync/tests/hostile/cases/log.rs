//! Checkpoints and descriptors that are malformed or not the home's.

use super::*;

/// Checkpoints that are malformed, not the home's, or not new.
pub(super) fn notes() -> Vec<Case> {
    vec![
        case(
            "a checkpoint of another beginning",
            note!(|home| { signed(Origin { entry0: [9; 32], ..home.origin.clone() }, 40, home.head().1, 1) }),
            Stop("the peer serves the log of"),
        ),
        case(
            "a checkpoint of another domain",
            note!(|home| {
                let domain = "devices.other.example".parse().expect("a domain");
                signed(Origin { domain, ..home.origin.clone() }, 40, home.head().1, 1)
            }),
            Stop("the peer serves the log of"),
        ),
        case(
            "a size that was not signed",
            note!(|home| lines(home, |it| it[1] = "41".to_owned())),
            Stop("the checkpoint is refused"),
        ),
        case(
            "a root that was not signed",
            note!(|home| lines(home, |it| it[2] = Hash([1; 32]).to_base64())),
            Stop("the checkpoint is refused"),
        ),
        case(
            "a checkpoint without a signature",
            note!(|home| home.note.split("\n\n").next().expect("a text").to_owned() + "\n"),
            NO_NOTE,
        ),
        case(
            "signed by a stranger in the home's name",
            note!(|home| signed(home.origin.clone(), 40, home.head().1, 99)),
            Stop("no signature of a home"),
        ),
        case(
            "an old checkpoint",
            note!(|home| signed(home.origin.clone(), 10, home.fork_at(10).head().1, 1)),
            Trouble("lags behind or was rolled back"),
        ),
        case(
            "another root for a part of what is held",
            note!(|home| signed(home.origin.clone(), 10, Hash([1; 32]), 1)),
            Stop("fork"),
        ),
        case(
            "a checkpoint of nothing",
            note!(|home| signed(home.origin.clone(), 0, ics_core::log::merkle::empty_root(), 1)),
            Trouble("lags behind or was rolled back"),
        ),
        case(
            "another root for what is held",
            note!(|home| signed(home.origin.clone(), 20, Hash([1; 32]), 1)),
            Stop("fork"),
        ),
        case("another root for what comes", note!(|home| signed(home.origin.clone(), 40, Hash([1; 32]), 1)), UNPROVEN),
        case(
            "more signatures than a note may have",
            note!(|home| {
                home.note.clone() + &format!("— x {}\n", Hash([0; 32]).to_base64()).repeat(1 + limits::NOTE_SIGNATURES)
            }),
            Trouble("checkpoint"),
        ),
        case("lines that end otherwise", note!(|home| home.note.replace('\n', "\r\n")), NO_NOTE),
        case("a size with a zero before it", note!(|home| lines(home, |it| it[1] = "040".to_owned())), NO_NOTE),
        case(
            "a size beyond all numbers",
            note!(|home| lines(home, |it| it[1] = "99999999999999999999999".to_owned())),
            NO_NOTE,
        ),
        case("a root that is no hash", note!(|home| lines(home, |it| it[2] = "AAAA".to_owned())), NO_NOTE),
        case("a control character in the text", note!(|home| home.note.replacen('4', "\u{7}4", 1)), NO_NOTE),
    ]
}

/// Descriptors that the owners did not put in force.
pub(super) fn descriptor_lists() -> Vec<Case> {
    vec![
        case(
            "no descriptor at all",
            |_, request| at_path("descriptors", request, || descriptors(1, Vec::new())),
            Trouble("no descriptor of the domain"),
        )
        .fresh(),
        case(
            "another domain's first entry",
            |_, request| {
                at_path("descriptors", request, || {
                    let other = Home::new("devices.acme.example", 7, at(NOW));
                    ok(&serde_json::to_vec(&other.descriptors(1)).expect("JSON"))
                })
            },
            Stop("the peer serves the log of"),
        )
        .fresh(),
        case(
            "a first entry without its signature",
            |home, request| {
                at_path("descriptors", request, || {
                    let mut body = home.entries[0].body.clone();
                    body.truncate(body.len() - 70);
                    descriptors(1, vec![body])
                })
            },
            Stop("the peer serves the log of"),
        )
        .fresh(),
        case(
            "a descriptor that a stranger signed",
            |home, request| {
                at_path("descriptors", request, || descriptors(2, vec![owners::sign_by(66, &strangers(home))]))
            },
            Stop("does not come from the owners"),
        )
        .after(new_key),
        case(
            "a descriptor that nobody signed",
            |home, request| at_path("descriptors", request, || descriptors(2, vec![strangers(home).to_json()])),
            Stop("does not come from the owners"),
        )
        .after(new_key),
        case(
            "a version left out",
            |home, request| {
                at_path("descriptors", request, || {
                    let next = Descriptor { version: 3, ..strangers(home) };
                    descriptors(2, vec![owners::sign(&next)])
                })
            },
            Stop("does not come from the owners"),
        )
        .after(new_key),
        case(
            "a descriptor that is hidden",
            |home, request| {
                at_path("descriptors", request, || {
                    let entries = vec![wire::Entry::Hidden(home.leaves[0])];
                    ok(&serde_json::to_vec(&wire::Descriptors { from: 2, entries }).expect("JSON"))
                })
            },
            Stop("does not come from the owners"),
        )
        .after(new_key),
        case(
            "rules that nobody knows",
            |home, request| {
                at_path("descriptors", request, || {
                    let next = Descriptor { rules: 9, ..strangers(home) };
                    descriptors(2, vec![owners::sign(&next)])
                })
            },
            Stop("needs newer software"),
        )
        .after(new_key),
        case(
            "rules that nobody knows, named by a stranger",
            |home, request| {
                at_path("descriptors", request, || {
                    let next = Descriptor { rules: 9, ..strangers(home) };
                    descriptors(2, vec![owners::sign_by(66, &next)])
                })
            },
            Stop("does not come from the owners"),
        )
        .after(new_key),
        case(
            "descriptors of another question",
            |home, request| at_path("descriptors", request, || descriptors(7, vec![owners::sign(&strangers(home))])),
            Trouble("nobody asked for"),
        )
        .after(new_key),
        case(
            "more descriptors than a page takes",
            |home, request| {
                at_path("descriptors", request, || {
                    descriptors(2, vec![owners::sign(&strangers(home)); 1 + limits::FEED_ENTRIES])
                })
            },
            Trouble("1001 entries"),
        )
        .after(new_key),
        case(
            "something else instead of descriptors",
            |_, request| at_path("descriptors", request, || ok(b"[]")),
            NOT_JSON,
        )
        .after(new_key),
        case(
            "the key that was replaced",
            note!(|home| signed(home.origin.clone(), 41, home.head().1, 1)),
            Stop("which was replaced"),
        )
        .after(new_key),
    ]
}
