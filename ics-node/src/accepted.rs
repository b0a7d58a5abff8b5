//! What the system does about a connection that was accepted, whoever serves it.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// After how much silence it is asked whether the other side is still there.
const SILENCE: Duration = Duration::from_secs(30);

/// Ends a connection once its other side has taken nothing of what is sent to it for so long, or is gone without a word.
pub(crate) fn guard(connection: &impl AsFd, patience: Duration) {
    let socket = SockRef::from(connection);
    let alive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE);
    if let Err(error) = socket.set_tcp_keepalive(&alive).and_then(|()| socket.set_tcp_user_timeout(Some(patience))) {
        tracing::debug!(%error, "a connection is not looked after by the system");
    }
}
