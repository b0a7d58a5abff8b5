//! A man in the middle between a client and its node, who forwards selectively.

use std::io::{Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The head that is forwarded to the node in place of a request's own, or the status with which to answer instead.
pub(crate) type Fate = core::result::Result<String, u16>;

/// Stands before a node and decides the fate of each request by its head; returns its own address.
pub(crate) fn stands_before(node: &str, judge: impl Fn(&str) -> Fate + Send + Sync + 'static) -> String {
    let node = node.trim_start_matches("http://").trim_end_matches('/').to_owned();
    listens(move |stream| serve(stream, &node, &judge))
}

/// Answers each request in place of a node with JSON that depends on the head; returns its own address.
pub(crate) fn stands_in(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    listens(move |mut client| {
        let Some((head, _)) = request(&mut client)? else { return Ok(()) };
        let body = answer(&head);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        client.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
    })
}

/// Listens at an address of its own, which it returns, and serves each connection with `served`.
fn listens(served: impl Fn(TcpStream) -> Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let served = Arc::new(served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let served = Arc::clone(&served);
            // Errors of clients that hang up do not matter.
            std::thread::spawn(move || served(stream).unwrap_or_default());
        }
    });
    url
}

/// As [`stands_before`], for submissions in turn: forwards those for which `fates` has 200, answers others with the
/// status there, and forwards all after the last.
pub(crate) fn answers_submissions(node: &str, fates: &'static [u16]) -> String {
    let count = AtomicUsize::new(0);
    stands_before(node, move |head| {
        let is_submission = head.starts_with("POST ") && head.contains("/statements ");
        let fate = if is_submission { fates.get(count.fetch_add(1, Ordering::SeqCst)) } else { None };
        fate.filter(|status| **status != 200).map_or_else(|| Ok(head.to_owned()), |status| Err(*status))
    })
}

/// Serves one request of each connection.
fn serve(mut client: TcpStream, node: &str, judge: &impl Fn(&str) -> Fate) -> Result<()> {
    let Some((head, body)) = request(&mut client)? else { return Ok(()) };
    match judge(&head) {
        Ok(head) => {
            let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            let mut server = TcpStream::connect(node)?;
            server.write_all(&[head.as_bytes(), &body].concat())?;
            std::io::copy(&mut server, &mut client).map(drop)
        }
        Err(status) => {
            let problem = format!(
                r#"{{"type":"urn:ics:problem:internal","title":"no","status":{status},"detail":"the node says {status}"}}"#
            );
            let length = problem.len();
            let head = format!("HTTP/1.1 {status} No\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            client.write_all((head + &problem).as_bytes())
        }
    }
}

/// The head of a request with its empty line, and its body; `None` if there is no request.
fn request(client: &mut TcpStream) -> Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 4]).into_owned();
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0_usize) {
                return Ok(Some((head, bytes.split_off(end + 4))));
            }
        }
        match client.read(&mut chunk)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
