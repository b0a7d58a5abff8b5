//! A client that sends what no library would.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Directory;

/// BER, as far as tests need it.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(length as u8),
        128..=0xffff => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

pub(crate) fn text(content: &str) -> Vec<u8> {
    tlv(4, content.as_bytes())
}

pub(crate) fn message(id: u8, operation: &[u8], controls: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(2, &[id])[..], operation, controls].concat())
}

pub(crate) fn search(base: &[u8], scope: u8, filter: &[u8]) -> Vec<u8> {
    let parts = [
        tlv(4, base),
        tlv(10, &[scope]),
        tlv(10, &[0]),
        tlv(2, &[0]),
        tlv(2, &[0]),
        tlv(1, &[0]),
        filter.to_vec(),
        tlv(0x30, &text("1.1")),
    ];
    tlv(0x63, &parts.concat())
}

pub(crate) fn present() -> Vec<u8> {
    tlv(0x87, b"objectClass")
}

pub(crate) fn equality(name: &str, value: &[u8]) -> Vec<u8> {
    tlv(0xa3, &[text(name), tlv(4, value)].concat())
}

pub(crate) fn nested(depth: usize) -> Vec<u8> {
    (1..depth).fold(present(), |filter, _| tlv(0xa2, &filter))
}

pub(crate) fn bind(version: u8, name: &[u8], credentials: &[u8]) -> Vec<u8> {
    tlv(0x60, &[tlv(2, &[version]), tlv(4, name), credentials.to_vec()].concat())
}

pub(crate) fn extended(oid: &str, value: Option<&[u8]>) -> Vec<u8> {
    let value = value.map(|value| tlv(0x81, value)).unwrap_or_default();
    tlv(0x77, &[tlv(0x80, oid.as_bytes()), value].concat())
}

pub(crate) fn control(oid: &str, critical: bool, value: Option<&[u8]>) -> Vec<u8> {
    let critical = if critical { tlv(1, &[0xff]) } else { Vec::new() };
    tlv(0xa0, &tlv(0x30, &[text(oid), critical, value.map(|value| tlv(4, value)).unwrap_or_default()].concat()))
}

pub(crate) fn paged(cookie: &[u8]) -> Vec<u8> {
    let value = tlv(0x30, &[tlv(2, &[2]), tlv(4, cookie)].concat());
    control("1.2.840.113556.1.4.319", true, Some(&value))
}

pub(crate) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
pub(crate) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
pub(crate) const CANCEL: &str = "1.3.6.1.1.8";

/// An answer: the message id, the operation's tag, and the result code if it has one.
pub(crate) type Got = (i32, u8, Option<u16>);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(node: &Directory) -> Self {
        Self { stream: TcpStream::connect(node.plain).await.expect("connects"), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // A client that is cut off in the middle cannot send the rest.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next answer; `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Got> {
        loop {
            if let Some((got, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some(got);
            }
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(60), self.stream.read(&mut bytes));
            match read.await.expect("an answer or an end in time") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.read.extend(&bytes[..count]),
            }
        }
    }

    pub(crate) async fn ask(&mut self, bytes: &[u8]) -> Option<Got> {
        self.send(bytes).await;
        self.next().await
    }

    pub(crate) async fn is_alive(&mut self) -> bool {
        self.ask(&message(99, &extended(WHO_AM_I, None), &[])).await == Some((99, 0x78, Some(0)))
    }
}

fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? {
        length @ 0..=127 => Some((2, usize::from(length))),
        more => {
            let count = usize::from(more & 0x7f);
            let octets = bytes.get(2..2 + count)?;
            Some((2 + count, octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))))
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Got, usize)> {
    let (start, length) = head(bytes)?;
    let content = bytes.get(start..start + length)?;
    let id_length = usize::from(content[1]);
    let id = content[2..2 + id_length].iter().fold(0, |id, octet| id << 8 | i32::from(*octet));
    let operation = &content[2 + id_length..];
    let (inside, _) = head(operation)?;
    let code = (operation[inside] == 10).then(|| {
        let octets = &operation[inside + 2..inside + 2 + usize::from(operation[inside + 1])];
        octets.iter().fold(0, |code, octet| code << 8 | u16::from(*octet))
    });
    Some(((id, operation[0], code), start + length))
}

/// The notice of disconnection with this code.
pub(crate) const NOTICE: fn(u16) -> Got = |code| (0, 0x78, Some(code));
