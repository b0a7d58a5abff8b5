//! Questions at a given rate and at random moments, whether or not earlier ones were answered.
//!
//! wrk's own delays are whole milliseconds, after which it asks over all connections at once, so at any server the last
//! one waits for all others. Here the time is counted from the moment at which a question was due, so that a slow
//! server is not asked less. If the asking thread itself was held up, questions due or under way at that time do not
//! count, since they say nothing about the server.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Error;

/// The number of connections: more than ever wait for an answer at once.
const CONNECTIONS: usize = 64;
/// The size limit of an answer, in bytes.
const ANSWER_BYTES: usize = 1_024;

/// Between two steps, a client that has its processor makes a system call or two, which take some 20 microseconds at
/// most.
const HELD_UP: Duration = Duration::from_micros(200);

/// The measurements.
pub(crate) struct Paced {
    /// Answers per second.
    rate: f64,
    /// The times of the answers that count.
    took: Vec<Duration>,
    /// The share of the questions that do not count because the client was held up.
    left_out: f64,
}

/// Asks for a path from a processor of its own, for this long and at this rate per second. Each answer must begin with
/// `answer`, and end after its head or after a body of one byte.
pub(crate) fn ask(
    url: &str,
    path: &str,
    answer: &str,
    (rate, time): (f64, Duration),
    processor: usize,
) -> Result<Paced, Error> {
    let run = || {
        let mut processors = CpuSet::new();
        processors.set(processor);
        sched_setaffinity(None, &processors)?;
        Asking::begin(url, path, answer)?.go_on(rate, time)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).map_err(|_| "a thread panicked")?
}

/// The p99 of the median turn, of the best, and of all together.
pub(crate) fn p99(turns: Vec<Paced>) -> String {
    let left_out = mean(turns.iter().map(|turn| turn.left_out)) * 1e2;
    let mut each: Vec<f64> = turns.iter().map(|turn| p99_of(turn.took.clone())).collect();
    each.sort_by(f64::total_cmp);
    let middle = each.get(each.len() / 2).copied().unwrap_or(f64::NAN);
    let least = each.first().copied().unwrap_or(f64::NAN);
    let all = p99_of(turns.into_iter().flat_map(|turn| turn.took).collect());
    format!("{middle:.2} ms (best of {} turns {least:.2}, all {all:.2}; {left_out:.1} % not counted)", each.len())
}

/// The p99 in milliseconds.
fn p99_of(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() * 99 / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Answers per second.
pub(crate) fn rate(turns: &[Paced]) -> f64 {
    mean(turns.iter().map(|turn| turn.rate))
}

fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let count = numbers.len() as f64;
    let sum: f64 = numbers.sum();
    sum / count
}

struct Asking<'a> {
    question: String,
    answer: &'a str,
    connections: Vec<TcpStream>,
    free: Vec<usize>,
    /// The pending questions, and when each was due, if it counts: servers answer nearly in this order.
    asked: VecDeque<(usize, Option<Instant>)>,
    took: Vec<Duration>,
    left_out: usize,
}

impl<'a> Asking<'a> {
    fn begin(url: &str, path: &str, answer: &'a str) -> Result<Self, Error> {
        let host = url.strip_prefix("http://").ok_or("not an address of this machine")?;
        let connect = |_| {
            let connection = TcpStream::connect(host)?;
            connection.set_nodelay(true)?;
            connection.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(connection)
        };
        Ok(Self {
            question: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            answer,
            connections: (0..CONNECTIONS).map(connect).collect::<Result<_, _>>()?,
            free: (0..CONNECTIONS).collect(),
            asked: VecDeque::new(),
            took: Vec::new(),
            left_out: 0,
        })
    }

    fn go_on(mut self, rate: f64, time: Duration) -> Result<Paced, Error> {
        let began = Instant::now();
        let (mut due, mut state) = (began, 0x9e37_79b9_7f4a_7c15_u64);
        let (mut last, mut held_up_until) = (began, began);
        while due.duration_since(began) < time || !self.asked.is_empty() {
            let now = Instant::now();
            if now.duration_since(last) > HELD_UP {
                held_up_until = now;
                self.asked.iter_mut().for_each(|(_, due)| *due = None);
            }
            last = now;
            if due.duration_since(began) < time
                && due <= now
                && let Some(number) = self.free.pop()
            {
                self.send(number, (due >= held_up_until).then_some(due))?;
                due += gap(&mut state, rate);
            }
            self.receive()?;
        }
        #[expect(clippy::cast_precision_loss, reason = "some hundred thousands")]
        let (counted, left_out) = (self.took.len() as f64, self.left_out as f64);
        let all = counted + left_out;
        Ok(Paced { rate: all / began.elapsed().as_secs_f64(), took: self.took, left_out: left_out / all })
    }

    fn send(&mut self, number: usize, due: Option<Instant>) -> Result<(), Error> {
        let mut connection = self.connections.get(number).ok_or("no such connection")?;
        connection.write_all(self.question.as_bytes())?;
        self.asked.push_back((number, due));
        Ok(())
    }

    /// Takes the next answer, if it has arrived.
    fn receive(&mut self) -> Result<(), Error> {
        let Some((number, due)) = self.asked.front().copied() else { return Ok(()) };
        let mut connection = self.connections.get(number).ok_or("no such connection")?;
        let mut bytes = [0; ANSWER_BYTES];
        let length = match connection.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            read => read?,
        };
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        let is_whole = text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() <= 1);
        if !text.starts_with(self.answer) || !is_whole {
            return Err(format!("not the answer: {text}").into());
        }
        match due {
            Some(due) => self.took.push(due.elapsed()),
            None => self.left_out += 1,
        }
        self.asked.pop_front();
        self.free.push(number);
        Ok(())
    }
}

/// The time until the next question, exponentially distributed, as with many independent clients.
fn gap(state: &mut u64, rate: f64) -> Duration {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    #[expect(clippy::cast_precision_loss, reason = "a fraction")]
    let fraction = (*state >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::from_secs_f64(-(1.0 - fraction).ln() / rate)
}
