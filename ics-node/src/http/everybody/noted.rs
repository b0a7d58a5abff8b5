//! What is read of a client, and what is noted of its connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ics_core::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use super::SEAT;
use crate::room::{Held, Room};
use crate::seats::{Seated, Sending};

/// How much is read before actix looks at it. It makes requests of all that it has then, 128 KiB if it is left to
/// itself, and a request takes some fifty times the room of the few bytes that can ask for something.
const BURST: usize = 8 * 1024;
/// How much a client may send while it has nothing to say: enough to notice soon that it is gone. actix would hold 16
/// requests of 128 KiB each and, with as much besides, look at them again and again without a pause.
const AHEAD: usize = 16 * 1024;

/// A connection that notes in its seat whether anything comes or is sent over it. Nothing more is read from a client
/// that does not take its answers, and nearly nothing from one that only waits for an answer or listens: actix would
/// queue 16 more requests, whose heads may have 128 KiB each. Nor is more of a head read than it may have, except
/// over a few connections.
pub(super) struct Noted<T: AsyncRead + AsyncWrite + Unpin> {
    /// What may be read before actix flushes, as it does each time that it has looked at everything.
    io: Take<T>,
    sending: Arc<Sending>,
    /// Whether actix wanted to read, and is to be woken once it may.
    is_unread: bool,
    /// How much was read since the client has nothing to say.
    ahead: usize,
    /// How much was read since anything was written, or a request was last seen to be worked on.
    begun: usize,
    long_heads: Room,
    /// The place of a connection over which a long head has come. actix keeps the buffer for it until the end.
    long: Option<Held>,
    /// Whether its end was told.
    is_shut: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Noted<T> {
    /// Must be called in the connection's seat.
    pub(super) fn new(io: T, long_heads: Room) -> Self {
        let (io, sending) = (io.take(BURST as u64), SEAT.try_with(Seated::sending).unwrap_or_default());
        Self { io, sending, is_unread: false, ahead: 0, begun: 0, long_heads, long: None, is_shut: false }
    }

    /// The connection itself.
    pub(super) fn get_ref(&self) -> &T {
        self.io.get_ref()
    }

    /// Whether nothing is to be read until more was sent.
    fn waits(&self) -> bool {
        self.sending.is_held_up() || (self.sending.is_paused() && self.ahead >= AHEAD)
    }

    /// Whether a client may go on that has sent so much: if it is the body of a request that is worked on, or there is
    /// a place for a long head. Otherwise it waits, and is not cut: it may be sending the rest of a body that was
    /// refused, which actix reads away for a moment so that its client learns why. A head that never ends takes its
    /// time, and no more room.
    fn goes_on(&mut self) -> bool {
        if self.begun < limits::HTTP_HEADER_BYTES || self.long.is_some() {
            return true;
        }
        let Ok((is_kept, network)) = SEAT.try_with(|seat| (seat.is_kept(), seat.network())) else { return true };
        if is_kept {
            self.begun = 0;
            return true;
        }
        self.long = self.long_heads.take(true, network).ok();
        self.long.is_some()
    }
}

/// Whoever is cut off is told that nothing more comes, if that can be sent at once: over TLS the client could not tell
/// it from a truncation by somebody else (RFC 9112, section 9.8). That of an answer shows by its length.
impl<T: AsyncRead + AsyncWrite + Unpin> Drop for Noted<T> {
    fn drop(&mut self) {
        if !self.is_shut && !self.sending.is_held_up() {
            let _ = Pin::new(self.io.get_mut()).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Noted<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.waits() {
            this.is_unread = true;
            return Poll::Pending;
        }
        // `Take` would call this the end.
        if this.io.limit() == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !this.goes_on() {
            this.is_unread = true;
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, into);
        let count = into.filled().len() - before;
        if count > 0 && !this.sending.hear() {
            // It would be cut while it is answered. So its client learns that nothing of this was read.
            into.set_filled(before);
            return Poll::Ready(Ok(()));
        }
        this.ahead = if this.sending.is_paused() { this.ahead + count } else { 0 };
        this.begun += count;
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(this.io.get_mut()).poll_write(context, bytes);
        this.sending.note(written.is_pending());
        if written.is_ready() {
            this.begun = 0;
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.io.set_limit(BURST as u64);
        let flushed = Pin::new(this.io.get_mut()).poll_flush(context);
        // actix flushes whenever something has arrived, too: only what TLS holds back is sent by that.
        if flushed.is_pending() || this.sending.is_held_up() {
            this.sending.note(flushed.is_pending());
        }
        // actix flushes once it has written all that there is.
        if this.is_unread && flushed.is_ready() && !this.waits() && this.goes_on() {
            this.is_unread = false;
            context.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_shut = true;
        Pin::new(this.io.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use futures_util::future::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::super::{in_seat, kept, paused};
    use super::*;
    use crate::seats::Seats;

    /// A single place for a long head.
    fn one() -> Room {
        Room::parted(1, 1, 1)
    }

    /// How often something was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn actix_looks_at_what_was_read_before_there_is_more() {
        let (mut client, server) = tokio::io::duplex(4 * BURST);
        let mut noted = Noted::new(server, one());
        client.write_all(&vec![0; 3 * BURST]).await.expect("there is room");
        let mut read = vec![0; 4 * BURST];
        for _ in 0..3 {
            let count = noted.read(&mut read).now_or_never().expect("something has come").expect("reads");
            assert_eq!(count, BURST);
            assert!(noted.read(&mut read).now_or_never().is_none(), "this comes first");
            noted.flush().await.expect("has looked");
        }
    }

    #[tokio::test]
    async fn nearly_nothing_is_read_of_who_only_waits() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, _cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let waits = async {
            let (mut client, server) = tokio::io::duplex(4 * AHEAD);
            let mut noted = Noted::new(server, one());
            client.write_all(&vec![0; 3 * AHEAD]).await.expect("there is room");
            // The request waits for its answer, and for news.
            let [first, second] = [(); 2].map(|()| paused().expect("a seat"));
            drop(first);
            let (mut read, mut came) = (vec![0; BURST], 0);
            while let Some(count) = noted.read(&mut read).now_or_never() {
                came += count.expect("reads");
                noted.flush().await.expect("has looked");
            }
            assert_eq!(came, AHEAD);
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut flush = || Pin::new(&mut noted).poll_flush(&mut Context::from_waker(&waker)).is_ready();
            assert!(flush());
            assert_eq!(woken.0.load(Ordering::Relaxed), 0, "actix sleeps");
            drop(second);
            assert!(flush());
            assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it is told that it may read");
            assert_eq!(noted.read(&mut read).await.expect("reads"), BURST, "the rest comes after the answer");
        };
        in_seat(seat, waits).await;
    }

    /// Otherwise its client may have what it asks for done, and not learn of it.
    #[tokio::test]
    async fn what_comes_over_a_connection_that_has_ended_is_not_read() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let cut = cut.handle();
        let late = async {
            let (mut client, server) = tokio::io::duplex(BURST);
            let mut noted = Noted::new(server, one());
            let mut read = [0; 4];
            client.write_all(b"once").await.expect("there is room");
            assert_eq!(noted.read(&mut read).await.expect("reads"), 4);
            noted.write_all(b"answered").await.expect("there is room");
            (0..2).for_each(|_| seats.cut_ended());
            assert!(cut.is_aborted());
            client.write_all(b"more").await.expect("there is room");
            assert_eq!(noted.read(&mut read).await.expect("reads"), 0, "it seems closed");
        };
        in_seat(seat, late).await;
    }

    #[tokio::test]
    async fn who_takes_no_answers_is_read_no_further() {
        let (mut client, server) = tokio::io::duplex(8);
        let mut noted = Noted::new(server, one());
        client.write_all(b"more").await.expect("there is room");
        noted.write_all(b"answered").await.expect("there is room");
        assert!(noted.write_all(b"!").now_or_never().is_none(), "the client has to take the answer first");
        let mut read = [0; 8];
        assert!(noted.read(&mut read).now_or_never().is_none(), "its answers come first");
        client.read_exact(&mut read).await.expect("an answer");
        noted.write_all(b"!").await.expect("there is room again");
        noted.flush().await.expect("is sent");
        assert_eq!(noted.read(&mut read).await.expect("reads"), 4, "what has come is read now");
    }

    /// Reads what a client in this seat sends without an end, as far as that is read; also returns the connection.
    async fn read_of(seat: Seated, long_heads: Room, is_worked_on: bool) -> (usize, Noted<DuplexStream>) {
        let reads = async {
            let _kept = is_worked_on.then(|| kept().expect("a seat"));
            let (mut client, server) = tokio::io::duplex(8 * BURST);
            client.write_all(&vec![b'a'; 6 * BURST]).await.expect("there is room");
            let (mut noted, mut read, mut came) = (Noted::new(server, long_heads), vec![0; BURST], 0);
            while let Some(count) = noted.read(&mut read).now_or_never() {
                came += count.expect("reads");
                noted.flush().await.expect("has looked");
            }
            (came, noted)
        };
        in_seat(seat, reads).await
    }

    /// Otherwise each of all connections could hold 128 KiB.
    #[tokio::test]
    async fn few_heads_may_be_long() {
        let (seats, room) = (Arc::new(Seats::new("test", 9)), one());
        let seat = |last: u8| seats.take([192, 0, 2, last].into()).expect("room").0;
        let (first, long) = read_of(seat(1), room.clone(), false).await;
        let (second, _) = read_of(seat(2), room.clone(), false).await;
        assert_eq!((first, second), (6 * BURST, limits::HTTP_HEADER_BYTES), "there is one place");
        let (body, _) = read_of(seat(3), room.clone(), true).await;
        assert_eq!(body, 6 * BURST, "a body needs none");
        drop(long);
        assert_eq!(read_of(seat(4), room, false).await.0, 6 * BURST, "there is a place again");
    }

    /// It may be the rest of a body that was refused: cut off, its client would perhaps not learn why.
    #[tokio::test]
    async fn whoever_has_no_place_for_a_long_head_waits() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, _cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let waits = async {
            let (mut client, server) = tokio::io::duplex(8 * BURST);
            client.write_all(&vec![b'a'; 6 * BURST]).await.expect("there is room");
            let (mut noted, mut read) = (Noted::new(server, Room::parted(0, 0, 1)), vec![0; BURST]);
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let flush = |noted: &mut Noted<DuplexStream>| {
                assert!(Pin::new(noted).poll_flush(&mut Context::from_waker(&waker)).is_ready());
                woken.0.swap(0, Ordering::Relaxed)
            };
            for _ in 0..limits::HTTP_HEADER_BYTES / BURST {
                assert_eq!(noted.read(&mut read).await.expect("reads"), BURST);
                assert_eq!(flush(&mut noted), 0, "nothing was left unread");
            }
            assert!(noted.read(&mut read).now_or_never().is_none(), "it does not seem closed");
            assert_eq!(flush(&mut noted), 0, "actix sleeps");
            let worked_on = kept().expect("a seat");
            assert_eq!(flush(&mut noted), 1, "what comes is a body now");
            assert_eq!(noted.read(&mut read).await.expect("reads"), BURST);
            drop(worked_on);
            noted.write_all(b"answered").await.expect("there is room");
            assert_eq!(flush(&mut noted), 0, "nothing was left unread");
            assert_eq!(noted.read(&mut read).await.expect("reads"), BURST, "the next head may come");
        };
        in_seat(seat, waits).await;
    }

    #[test]
    fn one_network_has_a_quarter_of_the_long_heads() {
        let room = Room::parted(limits::HTTP_LONG_HEADS, limits::HTTP_LONG_HEADS, 4);
        let all = limits::HTTP_LONG_HEADS;
        let held = |network| (0..=all).map_while(|_| room.take(true, network).ok()).collect::<Vec<_>>();
        let first = held(Some(1));
        assert_eq!((first.len(), held(None).len()), (all / 4, all - all / 4), "others have the rest");
    }

    /// A connection whose other side takes what is sent, or nothing; it counts how often it was shut.
    struct Ending(bool, Rc<Cell<u32>>);

    impl AsyncRead for Ending {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Ending {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.0 { Poll::Ready(Ok(bytes.len())) } else { Poll::Pending }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.1.set(self.1.get() + 1);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn whoever_is_cut_off_is_told_once() {
        for (takes, is_shut, told) in [(true, false, 1), (true, true, 1), (false, false, 0)] {
            let count = Rc::new(Cell::new(0));
            let mut noted = Noted::new(Ending(takes, Rc::clone(&count)), one());
            assert_eq!(noted.write_all(b"answered").now_or_never().is_some(), takes);
            if is_shut {
                noted.shutdown().await.expect("ends");
            }
            drop(noted);
            assert_eq!(count.get(), told, "takes what is sent: {takes}; shut before: {is_shut}");
        }
    }
}
