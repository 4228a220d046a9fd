//! Sends 503 to connections beyond [`Options::max_connections`](super::Options::max_connections),
//! all in one thread.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http1::MAX_HEAD;
use super::stream::Stream;

const RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
                        connection: close\r\n\r\n";

/// The maximum time that the response waits for the end of the request's head. A client that receives
/// a response before it has sent a request may treat the connection as broken. A client that sends no
/// request gets the response after this time.
const HEAD_WAIT: Duration = Duration::from_millis(500);

/// The time that a connection stays open, so that the client can read the response. Closing it with
/// unread bytes of the request would reset it, and the client could lose the response.
const KEEP_OPEN: Duration = Duration::from_secs(2);

/// The maximum number of refused connections that are open at a time, which is enough for a burst. A
/// further one closes the oldest.
const MAX_REFUSED: usize = 1024;

/// The interval at which open connections are polled.
const INTERVAL: Duration = Duration::from_millis(2);

/// The maximum number of reads from one connection before the others have their turn.
const READS_PER_TURN: usize = 16;

/// The thread that refuses connections beyond the limit. Dropping it closes them and waits for the
/// thread.
pub(super) struct RefusedConnections {
    sender: Option<Sender<Stream>>,
    thread: Option<JoinHandle<()>>,
}

impl RefusedConnections {
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

    pub(super) fn add(&self, stream: Stream) {
        if let Some(sender) = &self.sender {
            // This cannot fail, because the thread ends only after the sender is dropped.
            let _ = sender.send(stream);
        }
    }
}

impl Drop for RefusedConnections {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // The thread has already reported its own panic.
            let _ = thread.join();
        }
    }
}

fn run(receiver: &Receiver<Stream>) {
    let mut open: VecDeque<RefusedConnection> = VecDeque::new();
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
                open.extend(arrived.filter_map(RefusedConnection::new));
            }
        }
        open.drain(..open.len().saturating_sub(MAX_REFUSED));
        open.retain_mut(RefusedConnection::advance);
    }
}

/// A connection beyond the limit.
struct RefusedConnection {
    stream: Stream,
    since: Instant,
    /// The received part of the request's head; `None` after the response.
    head: Option<Vec<u8>>,
}

impl RefusedConnection {
    /// Returns `None` if the socket cannot be made non-blocking.
    fn new(stream: Stream) -> Option<Self> {
        stream.socket().set_nonblocking(true).ok()?;
        Some(Self {
            stream,
            since: Instant::now(),
            head: Some(Vec::new()),
        })
    }

    /// Reads received bytes, and responds when it is time. Returns `false` if the connection must be
    /// closed.
    fn advance(&mut self) -> bool {
        for _ in 0..READS_PER_TURN {
            let mut chunk = [0; 8192];
            match self.stream.receive(&mut chunk, KEEP_OPEN) {
                // The client will send nothing more, and may have closed the connection.
                Ok(0) => {
                    self.respond();
                    return false;
                }
                Ok(length) => {
                    if let Some(head) = &mut self.head {
                        head.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        let age = self.since.elapsed();
        let is_time = self.head.as_ref().is_some_and(|head| {
            age >= HEAD_WAIT || head.len() > MAX_HEAD || head.windows(4).any(|w| w == b"\r\n\r\n")
        });
        if is_time {
            self.respond();
        }
        age < KEEP_OPEN
    }

    /// Writes the response once. It fits into the empty buffer of the socket, so this does not block.
    /// An error is ignored, because it affects only this client.
    fn respond(&mut self) {
        if self.head.take().is_some() {
            let _ = self.stream.send(RESPONSE);
            self.stream.end();
        }
    }
}
