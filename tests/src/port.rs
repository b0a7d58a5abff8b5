//! Loopback ports for servers whose addresses must be known before they listen, and must stay the same across restarts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port reserved for as long as this value lives.
///
/// It is bound, and nobody listens on it. So the system gives it to no program that asks for any free port, whether for
/// listening or for outgoing connections; but a program that names it and sets `SO_REUSEADDR`, as servers do, can
/// listen on it as often as it starts.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Errors
    /// When the system has none.
    pub fn take() -> io::Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.set_reuseaddr(true)?;
        held.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: held.local_addr()?, _held: held })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.address.port()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_server_listens_there_as_often_as_it_starts() {
        let port = Port::take().expect("a port");
        assert!(TcpStream::connect(port.address()).is_err(), "nobody listens yet");
        for _ in 0..2 {
            let server = TcpListener::bind(port.address()).expect("listens");
            drop(TcpStream::connect(port.address()).expect("is heard"));
            drop(server.accept().expect("a client"));
        }
        assert_ne!(Port::take().expect("another").number(), port.number());
    }
}
