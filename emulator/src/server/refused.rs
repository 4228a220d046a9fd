//! Connections beyond [`Options::max_connections`](super::Options::max_connections): one thread
//! tells all of them so.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http1::MAX_HEAD;

const ANSWER: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
                        connection: close\r\n\r\n";

/// How long the answer waits for the end of a request's head. A client that sees an answer before it
/// asked may take the connection for broken; one that never asks gets its answer all the same.
const HEAD_WAIT: Duration = Duration::from_millis(500);

/// How long a connection is kept for the client to read the answer. Closing it while bytes of the
/// request are unread would reset it, and the answer could be lost.
const KEPT: Duration = Duration::from_secs(2);

/// How many connections are kept so: what a burst may bring. The oldest is closed for one more.
const MOST: usize = 1024;

/// How often the connections are looked at while there are any.
const INTERVAL: Duration = Duration::from_millis(2);

/// How many reads one connection gets before the others have their turn.
const READS_PER_TURN: usize = 16;

/// The thread that answers connections beyond the limit. Dropping it closes them and waits for
/// the thread.
pub(super) struct Refusals {
    sender: Option<Sender<TcpStream>>,
    thread: Option<JoinHandle<()>>,
}

impl Refusals {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("emulator-refuse".to_owned())
            .spawn(move || run(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    pub(super) fn add(&self, stream: TcpStream) {
        if let Some(sender) = &self.sender {
            // The thread ends after the sender only.
            let _ = sender.send(stream);
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by the thread.
            let _ = thread.join();
        }
    }
}

fn run(receiver: &Receiver<TcpStream>) {
    let mut open: VecDeque<Refused> = VecDeque::new();
    loop {
        let first = if open.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(INTERVAL)
        };
        match first {
            Err(RecvTimeoutError::Disconnected) => return,
            first => {
                let arrived = first.into_iter().chain(receiver.try_iter());
                open.extend(arrived.filter_map(Refused::new));
            }
        }
        open.drain(..open.len().saturating_sub(MOST));
        open.retain_mut(Refused::goes_on);
    }
}

/// One connection beyond the limit.
struct Refused {
    stream: TcpStream,
    since: Instant,
    /// What came of the request's head; `None` after the answer.
    head: Option<Vec<u8>>,
}

impl Refused {
    /// `None` where the system cannot serve it beside others.
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Self {
            stream,
            since: Instant::now(),
            head: Some(Vec::new()),
        })
    }

    /// Reads what came, and answers when it is time. `false` where the connection is to be closed.
    fn goes_on(&mut self) -> bool {
        for _ in 0..READS_PER_TURN {
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk) {
                // The client has left, or has at least said all that it had to say.
                Ok(0) => {
                    self.answer();
                    return false;
                }
                Ok(length) => {
                    if let Some(head) = &mut self.head {
                        head.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        let age = self.since.elapsed();
        let is_time = self.head.as_ref().is_some_and(|head| {
            age >= HEAD_WAIT || head.len() > MAX_HEAD || head.windows(4).any(|w| w == b"\r\n\r\n")
        });
        if is_time {
            self.answer();
        }
        age < KEPT
    }

    /// A few bytes into an empty buffer, so that this does not block. Where it fails there is nobody
    /// to tell.
    fn answer(&mut self) {
        if self.head.take().is_some() {
            let _ = self.stream.write_all(ANSWER);
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}
