//! As much of MQTT 3.1.1 as it takes to give commands to a broker on this machine and read its answers: one subscribed
//! topic, at most once delivery, no keep-alive (a connection to the same machine does not die unnoticed).

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use zeroize::Zeroizing;

// Types of packets with their flags (section 2.2).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// The size limit of a received packet, in bytes.
const PACKET_BYTES: usize = 8 << 20;

/// The half of the connection that sends to the broker.
pub(super) struct Speaker(OwnedWriteHalf);

/// The half that receives from it.
pub(super) struct Hearer(OwnedReadHalf);

/// Connects, logs in and subscribes to a topic.
pub(super) async fn connect(
    address: (&str, u16),
    client: &str,
    (user, password): (&str, &str),
    topic: &str,
) -> io::Result<(Speaker, Hearer)> {
    let (reading, writing) = TcpStream::connect(address).await?.into_split();
    let (mut speaker, mut hearer) = (Speaker(writing), Hearer(reading));
    // A clean session, with user name and password, and no keep-alive.
    let mut hello = Zeroizing::new(Vec::with_capacity(64 + user.len() + password.len()));
    hello.extend_from_slice(b"\0\x04MQTT\x04\xc2\0\0");
    for text in [client, user, password] {
        put(&mut hello, text)?;
    }
    speaker.send(CONNECT, &hello).await?;
    match hearer.packet().await? {
        (CONNACK, answer) if answer.get(1) == Some(&0) => {}
        (CONNACK, _) => return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it refuses user or password")),
        _ => return Err(malformed()),
    }
    let mut wish = vec![0, 1];
    put(&mut wish, topic)?;
    wish.push(0);
    speaker.send(SUBSCRIBE, &wish).await?;
    match hearer.packet().await? {
        (SUBACK, answer) if answer.get(2) == Some(&0) => Ok((speaker, hearer)),
        (SUBACK, _) => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not let the agent hear its answers"))
        }
        _ => Err(malformed()),
    }
}

impl Speaker {
    pub(super) async fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let mut packet = Vec::with_capacity(topic.len() + payload.len() + 2);
        put(&mut packet, topic)?;
        packet.extend_from_slice(payload);
        self.send(PUBLISH, &packet).await
    }

    async fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let mut packet = Zeroizing::new(Vec::with_capacity(content.len() + 5));
        packet.push(kind);
        let mut rest = u32::try_from(content.len()).map_err(|_| malformed())?;
        // Section 2.2.3: seven bits in each byte, the lowest first.
        loop {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            packet.push(if rest == 0 { low } else { low | 0x80 });
            if rest == 0 {
                break;
            }
        }
        packet.extend_from_slice(content);
        self.0.write_all(&packet).await
    }
}

impl Hearer {
    /// Returns the payload of the next message.
    pub(super) async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let (kind, content) = self.packet().await?;
            if kind & 0xf0 != PUBLISH {
                continue;
            }
            let length = content.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes)));
            let payload = length.and_then(|length| content.get(2 + length..)).ok_or_else(malformed)?;
            return Ok(payload.to_vec());
        }
    }

    async fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let kind = self.0.read_u8().await?;
        let mut length = 0_usize;
        for place in 0..4 {
            let byte = self.0.read_u8().await?;
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length > PACKET_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut content = vec![0; length];
        self.0.read_exact(&mut content).await?;
        Ok((kind, content))
    }
}

/// Appends a text preceded by its length in two bytes (section 1.5.3).
fn put(packet: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = u16::try_from(text.len()).map_err(|_| malformed())?;
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
    Ok(())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not speak MQTT as expected")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A broker that accepts anything and answers with these bytes.
    async fn broker(answers: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.write_all(answers).await.expect("sent");
            // Until the client disconnects.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        port
    }

    #[tokio::test]
    async fn what_brokers_say() {
        let hello = async |answers: &'static [u8]| {
            let port = broker(answers).await;
            let (_speaker, mut hearer) = connect(("127.0.0.1", port), "a", ("u", "p"), "t").await?;
            hearer.next().await
        };
        let good = b"\x20\x02\0\0\x90\x03\0\x01\0\xd0\0\x30\x05\0\x01thi";
        assert_eq!(hello(good).await.expect("a message"), b"hi");
        for (answers, expected) in [
            (&b"\x20\x02\0\x05"[..], "it refuses user or password"),
            (b"\x20\x02\0\0\x90\x03\0\x01\x80", "it does not let the agent hear its answers"),
            (
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\nthis is a web server, whatever",
                "it does not speak MQTT as expected",
            ),
            (b"\x20\x02\0\0\x90\x03\0\x01\0\x30\x01\0", "it does not speak MQTT as expected"),
            (b"\x20\xff\xff\xff\x7f", "file too large"),
        ] {
            let error = hello(answers).await.expect_err("refused");
            assert_eq!(error.to_string(), expected, "{answers:?}");
        }
    }
}
