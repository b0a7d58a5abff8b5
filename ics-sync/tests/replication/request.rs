//! Reads a mirror's requests from a real socket.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// A request: its first line without the version, and its body.
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) body: Vec<u8>,
}

/// The next request; `None` if the other side closes before its end.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
    while bytes.len() < end + length.unwrap_or(0) {
        stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
    }
    let line = String::from_utf8_lossy(&bytes[..end]).split(" HTTP/").next()?.to_owned();
    Some(Request { line, body: bytes.split_off(end) })
}
