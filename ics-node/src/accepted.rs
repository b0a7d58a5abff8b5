//! Socket options of an accepted connection, whichever server serves it.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long a connection may be silent before the system probes whether the other side is still there.
const SILENCE: Duration = Duration::from_secs(30);

/// Ends a connection when its other side has accepted nothing that was sent for this long, or has vanished silently.
pub(crate) fn guard(connection: &impl AsFd, patience: Duration) {
    let socket = SockRef::from(connection);
    let alive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE);
    if let Err(error) = socket.set_tcp_keepalive(&alive).and_then(|()| socket.set_tcp_user_timeout(Some(patience))) {
        tracing::debug!(%error, "a connection is not looked after by the system");
    }
}
