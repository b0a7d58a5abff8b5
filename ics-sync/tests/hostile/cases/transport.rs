//! Answers that are no answers at all.

use super::*;

/// Answers that are no answers at all.
pub(super) fn all() -> Vec<Case> {
    let note = limits::NOTE_BYTES;
    vec![
        case("a page that asks people to log in", checkpoint!(ok(b"<html>Please log in</html>")), NO_NOTE).within(note),
        case("an empty answer", checkpoint!(ok(b"")), NO_NOTE).within(note),
        case("no content", checkpoint!(raw("HTTP/1.1 204 No Content\r\n\r\n")), NO_NOTE).within(note),
        case("bytes that are no text", checkpoint!(ok(b"\xff\xfe")), Trouble("not UTF-8")).within(note),
        case("too long by its own word", checkpoint!(ok(&vec![b'x'; 1 << 24])), Trouble("more than 16384 bytes"))
            .within(1 << 24),
        case("too long in chunks", checkpoint!(raw([CHUNKED, &chunk(1 << 20)].concat())), Trouble("more than 16384"))
            .within(1 << 20),
        case(
            "without end, in chunks",
            checkpoint!(Reply::Endless(CHUNKED.to_vec(), chunk(4096))),
            Trouble("more than"),
        )
        .within(note),
        case(
            "without end, and without length",
            checkpoint!(Reply::Endless(STREAM.to_vec(), vec![b'x'; 4096])),
            Trouble("more than"),
        )
        .within(note),
        case(
            "a redirect to another host",
            checkpoint!(response("302 Found", "location: http://127.0.0.1:1/\r\n", b"")),
            Trouble("HTTP status 302"),
        )
        .within(note),
        case(
            "a redirect to itself",
            |_, request| {
                at_path("checkpoint", request, || response("307 Temporary Redirect", "location: checkpoint\r\n", b""))
            },
            Trouble("HTTP status 307"),
        )
        .within(note),
        case(
            "a redirect into a file",
            checkpoint!(response("301 Moved", "location: file:///etc/passwd\r\n", b"")),
            Trouble("HTTP status 301"),
        )
        .within(note),
        case(
            "not found, with a reason",
            checkpoint!(response("404 Not Found", "", br#"{"detail":"no such domain"}"#)),
            Trouble("no such domain"),
        )
        .within(note),
        case(
            "an error with a body without end",
            checkpoint!(Reply::Endless(b"HTTP/1.1 500 Oh\r\n\r\n".to_vec(), vec![b'y'; 4096])),
            Trouble("HTTP status 500"),
        )
        .within(wire::ANSWER_BYTES),
        case("not entitled", checkpoint!(response("401 Unauthorized", "", b"")), Trouble("HTTP status 401"))
            .within(note),
        case("busy", checkpoint!(response("503 Busy", "retry-after: 1000000\r\n", b"")), Trouble("HTTP status 503"))
            .within(note),
        case("cut off", checkpoint!(raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")), UNREACHED).within(note),
        case(
            "silent after the head",
            checkpoint!(Reply::Silence(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec())),
            LATE,
        )
        .hurried()
        .within(note),
        case("silent from the beginning", checkpoint!(Reply::Silence(Vec::new())), UNREACHED).hurried().within(note),
        case("hangs up", checkpoint!(raw("")), UNREACHED).within(note),
        case("another protocol", checkpoint!(raw("SSH-2.0-OpenSSH\r\n")), UNREACHED).within(note),
        case("a version of HTTP that is none", checkpoint!(raw("HTTP/9.9 200 OK\r\n\r\n")), UNREACHED).within(note),
        case(
            "headers without end",
            checkpoint!(Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(100))),
            UNREACHED,
        )
        .within(1 << 20),
        case(
            "one header without end",
            checkpoint!(Reply::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'z'; 4096])),
            UNREACHED,
        )
        .within(1 << 20),
        case(
            "a body drop by drop",
            checkpoint!(Reply::Drip(
                [b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n".to_vec(), vec![b'x'; 9999]].concat()
            )),
            UNREACHED,
        )
        .hurried()
        .within(note),
        // With the timeouts of a node's mirror, not only once the whole request would have taken too long.
        case(
            "a body drop by drop for whoever is patient",
            checkpoint!(Reply::Drip(
                [b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n".to_vec(), vec![b'x'; 9999]].concat()
            )),
            Trouble("its answer comes too slowly"),
        )
        .within(note),
        case("headers drop by drop", checkpoint!(Reply::Drip(b"HTTP/1.1 200 OK\r\nx: y\r\n".repeat(99))), UNREACHED)
            .hurried()
            .within(note),
        case(
            "two lengths",
            checkpoint!(raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!")),
            UNREACHED,
        )
        .within(note),
        case(
            "a length below nothing",
            checkpoint!(raw("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello")),
            UNREACHED,
        )
        .within(note),
        case(
            "a chunk longer than numbers are",
            checkpoint!(raw([CHUNKED, b"fffffffffffffffff\r\nx"].concat())),
            UNREACHED,
        )
        .within(note),
        case(
            "compressed as nobody asked for",
            checkpoint!(response("200 OK", "content-encoding: gzip\r\n", b"\x1f\x8b\x08\x00bomb")),
            Trouble("the peer"),
        )
        .within(note),
        case(
            "continue, without end",
            checkpoint!(Reply::Endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())),
            UNREACHED,
        )
        .hurried()
        .within(1 << 26),
    ]
}
