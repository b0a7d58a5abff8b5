//! News that is none: what the home has signed still arrives, by asking.

use super::*;
use ics_sync::news::EVENT_BYTES;

/// News that is none: what the home has signed still arrives, by asking.
pub(super) fn all() -> Vec<Case> {
    // The mirror is up to date as of the honest answer, and hears of later entries only through this stream.
    vec![
        case("a stream that is a page for people", |_, request| at_path("feed", request, || ok(b"<html>")), Harmless)
            .listens(),
        case(
            "a line without end",
            |_, request| at_path("feed", request, || Reply::Endless([STREAM, b"data: "].concat(), vec![b'x'; 65536])),
            Harmless,
        )
        .listens()
        .within(EVENT_BYTES),
        case("an event of something else", event!(|_| b"event: page\ndata: {}\n\n".to_vec()), Harmless).listens(),
        case("an event that is no text", event!(|_| b"event: page\ndata: \xff\n\n".to_vec()), Harmless).listens(),
        case("events that nobody knows", event!(|_| b"event: weather\ndata: 1\n\n".repeat(1000)), Harmless).listens(),
        case(
            "a page of news that is behind",
            event!(|home| { News::Page(wire::Page { from: 5, ..told(home) }).to_event(SIGNED as u64) }),
            Harmless,
        )
        .listens(),
        case("a stream that ends at once", event!(|_| Vec::new()), Harmless).listens(),
        case("comments only", event!(|_| b": hello\n\n".repeat(1000)), Harmless).listens(),
        case(
            "news of another entry than was signed",
            event!(|home| {
                let mut page = told(home);
                whole(&mut page, 5).body.push(b'!');
                News::Page(page).to_event(SIGNED as u64)
            }),
            UNPROVEN,
        )
        .listens(),
        case(
            "news of another beginning",
            event!(|home| {
                let origin = Origin { entry0: [9; 32], ..home.origin.clone() };
                News::Checkpoint(signed(origin, 40, home.head().1, 1)).to_event(SIGNED as u64)
            }),
            Stop("the peer serves the log of"),
        )
        .listens(),
        case(
            "news of a fork",
            event!(|home| {
                News::Checkpoint(signed(home.origin.clone(), 20, Hash([1; 32]), 1)).to_event(SIGNED as u64)
            }),
            Stop("fork"),
        )
        .listens(),
        case(
            "a waiting request that is answered with something else",
            |_, request| (request.number("wait").is_some()).then(|| ok(b"<html>")),
            Harmless,
        )
        .listens(),
        case(
            "a waiting request that is answered without end",
            |_, request| {
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
                (request.number("wait").is_some()).then(|| Reply::Endless(head, vec![b' '; 65536]))
            },
            Harmless,
        )
        .listens(),
    ]
}
