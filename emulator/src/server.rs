//! The emulator on a loopback socket: for any HTTP client, in any language.
//!
//! HTTP/1.1 and 1.0 with keep-alive, pipelining, chunked request bodies, `HEAD` and
//! `Expect: 100-continue`; one blocking thread per connection. No TLS, no HTTP/2, and never any
//! other address than 127.0.0.1: the credentials it accepts are no secrets.

mod connection;
mod delivery;
mod http1;
mod refused;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Emulator;

use refused::Refusals;

/// How long a request may take from its first byte to its last. An honest one needs milliseconds; half
/// a minute is what the slowest fault may take for an answer, so that a slow client holds a connection no
/// longer than a slow answer does. Without it one byte a minute would hold it for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take nothing of an answer. An honest one reads at once; ten seconds are for
/// a machine that is busy, or a person with a debugger.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a shutdown lets answers that are on their way reach their clients.
const GRACE: Duration = Duration::from_millis(500);

/// What tells the server the time, counted from the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How a [`Server`] behaves, beside what its emulator says.
#[derive(Clone)]
pub struct Options {
    /// The port on 127.0.0.1; 0: any that is free.
    pub port: u16,
    /// How long each answer is held back.
    pub latency: Duration,
    /// How many connections there are at a time, each with a thread. One more is told 503, after its
    /// request.
    pub max_connections: usize,
    /// How long a connection may be silent before it is closed. A request that has begun must be
    /// there within 30 seconds besides, or it is answered with 408.
    pub idle_timeout: Duration,
    /// What the emulator takes for the time. A test may hold it still, or let it jump.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            latency: Duration::ZERO,
            max_connections: 1024,
            idle_timeout: Duration::from_secs(60),
            clock: Arc::new(|| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
            }),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("port", &self.port)
            .field("latency", &self.latency)
            .field("max_connections", &self.max_connections)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// A running emulator. Dropping it is [`Server::shutdown`].
///
/// ```
/// use atlas_model_keys_emulator::{Config, Emulator, server::{Options, Server}};
/// let server = Server::start(Emulator::new(Config::default()), Options::default())?;
/// assert!(server.base_url().starts_with("http://127.0.0.1:"));
/// server.with(|emulator| emulator.revoke_tokens());
/// server.shutdown();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// How long the server waits for clients that are slow on purpose. Tests have less.
#[derive(Clone, Copy)]
struct Patience {
    request: Duration,
    write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: REQUEST_TIMEOUT,
            write: WRITE_TIMEOUT,
        }
    }
}

/// What the threads have in common.
struct Shared {
    emulator: Mutex<Emulator>,
    options: Options,
    patience: Patience,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Server {
    /// Binds 127.0.0.1 and begins to answer.
    ///
    /// # Errors
    /// The port is taken, or the system has no socket or thread left.
    pub fn start(emulator: Emulator, options: Options) -> io::Result<Self> {
        Self::start_with(emulator, options, Patience::default())
    }

    fn start_with(emulator: Emulator, options: Options, patience: Patience) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            emulator: Mutex::new(emulator),
            options,
            patience,
            stopping: Mutex::new(false),
            stopped: Condvar::new(),
        });
        let refusals = Refusals::start()?;
        let acceptor = thread::Builder::new()
            .name("emulator-accept".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || accept(&listener, refusals, &shared)
            })?;
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// Where it listens, without a trailing slash: `http://127.0.0.1:` and the port.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks into the emulator, or changes it, between two requests. All requests wait meanwhile.
    pub fn with<R>(&self, look: impl FnOnce(&mut Emulator) -> R) -> R {
        look(&mut self.shared.emulator())
    }

    /// Takes no more requests, lets the answers under way out (for half a second at most), closes
    /// every connection and waits for all threads.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.shared.stop();
        // Wakes the acceptor. Where that fails, the listener is beyond accepting anyway, and its
        // error wakes it.
        let _ = TcpStream::connect_timeout(&self.address, GRACE);
        // A panic of its own was already reported by the thread.
        let _ = acceptor.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A panic in [`Server::with`] is its caller's: the emulator itself stays usable.
    fn emulator(&self) -> MutexGuard<'_, Emulator> {
        self.emulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        *self.stopping() = true;
        self.stopped.notify_all();
    }

    fn is_stopping(&self) -> bool {
        *self.stopping()
    }

    /// A sleep that a shutdown ends.
    fn pause(&self, time: Duration) {
        if !time.is_zero() {
            drop(
                self.stopped
                    .wait_timeout_while(self.stopping(), time, |stopping| !*stopping),
            );
        }
    }
}

/// The accepting thread: owns all connections, and outlives them.
fn accept(listener: &TcpListener, refusals: Refusals, shared: &Arc<Shared>) {
    let mut connections = Connections {
        last_id: 0,
        open: HashMap::new(),
        refusals,
    };
    while !shared.is_stopping() {
        match listener.accept() {
            Ok(_) if shared.is_stopping() => {}
            Ok((stream, _)) => connections.open(stream, shared),
            // Out of file descriptors, most likely: others will be closed in a moment.
            Err(_) => shared.pause(Duration::from_millis(10)),
        }
    }
    connections.close();
}

struct Connections {
    last_id: u64,
    open: HashMap<u64, Connection>,
    refusals: Refusals,
}

struct Connection {
    /// To shut down what its thread is blocked on. It must not keep the socket open when the thread
    /// is done with it: only the last close of a socket resets or ends a connection.
    stream: Weak<TcpStream>,
    thread: JoinHandle<()>,
}

impl Connections {
    fn open(&mut self, stream: TcpStream, shared: &Arc<Shared>) {
        self.open
            .retain(|_, connection| !connection.thread.is_finished());
        if self.open.len() >= shared.options.max_connections {
            self.refusals.add(stream);
            return;
        }
        let stream = Arc::new(stream);
        let weak = Arc::downgrade(&stream);
        let shared = Arc::clone(shared);
        let spawned = thread::Builder::new()
            .name("emulator-connection".to_owned())
            .spawn(move || connection::serve(stream, &shared));
        // Where there is no thread left, dropping the stream closes the connection.
        if let Ok(thread) = spawned {
            self.last_id += 1;
            let stream = weak;
            self.open
                .insert(self.last_id, Connection { stream, thread });
        }
    }

    fn close(&mut self) {
        let shut_down = |connections: &Self, how| {
            for stream in connections.open.values().filter_map(|c| c.stream.upgrade()) {
                // Fails where the client was first.
                let _ = stream.shutdown(how);
            }
        };
        // A thread that waits for a request sees the end of it; one that writes an answer may
        // finish.
        shut_down(self, Shutdown::Read);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && self.open.values().any(|c| !c.thread.is_finished()) {
            thread::sleep(Duration::from_millis(1));
        }
        // And one whose client does not read, now.
        shut_down(self, Shutdown::Both);
        for (_, connection) in self.open.drain() {
            // A panic was already reported by its thread.
            let _ = connection.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use crate::Config;

    use super::*;

    /// As long as no test should last.
    const LIMIT: Duration = Duration::from_secs(20);

    fn start(max_connections: usize, patience: Patience) -> Server {
        let options = Options {
            max_connections,
            ..Options::default()
        };
        Server::start_with(Emulator::new(Config::default()), options, patience).unwrap()
    }

    fn connect(server: &Server) -> TcpStream {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    #[test]
    fn a_request_that_comes_too_slowly_is_answered_with_408_and_loses_its_connection() {
        let server = start(
            9,
            Patience {
                request: Duration::from_millis(100),
                ..Patience::default()
            },
        );
        let head = "POST /api/oauth/token HTTP/1.1\r\nHost: h\r\nContent-Length: 999\r\n\r\n";
        // In the head, and in the body.
        for begin in ["POST / HTTP/1.1\r\nx-slow: ", head] {
            let mut client = connect(&server);
            client.write_all(begin.as_bytes()).unwrap();
            client
                .set_read_timeout(Some(Duration::from_millis(5)))
                .unwrap();
            let begun = Instant::now();
            let mut answer = Vec::new();
            loop {
                let mut bytes = [0; 1024];
                match client.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(length) => answer.extend_from_slice(&bytes[..length]),
                    // Never silent for long, which would be another reason to be closed.
                    Err(_) => {
                        let _ = client.write_all(b"a");
                    }
                }
                assert!(begun.elapsed() < LIMIT, "a slow client is waited for");
            }
            let answer = String::from_utf8(answer).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 408 Request Timeout\r\n")
                    && answer.contains("\r\nconnection: close\r\n"),
                "{answer}"
            );
        }
        // Waiting for a request to begin is another matter.
        let mut client = connect(&server);
        thread::sleep(Duration::from_millis(150));
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }

    #[test]
    fn a_client_that_never_reads_loses_its_connection() {
        let server = start(
            1,
            Patience {
                write: Duration::from_millis(50),
                ..Patience::default()
            },
        );
        let (path, token) = server.with(|emulator| {
            let fault = "body-endless".parse().unwrap();
            emulator.inject(fault, Some(1));
            let path = format!(
                "/api/atlas/v2/groups/{}/aiModelApiKeys",
                emulator.first_group()
            );
            (path, emulator.access_token().to_owned())
        });
        let mut client = connect(&server);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nAccept: application/vnd.atlas.preview+json\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        client.write_all(request.as_bytes()).unwrap();
        // Kept open, and not read: it held its connection for a while, and not for ever.
        let begun = Instant::now();
        let mut refusals = 0;
        loop {
            let mut other = connect(&server);
            other.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            other.read_to_string(&mut answer).unwrap();
            if answer.starts_with("HTTP/1.1 404 ") {
                break;
            }
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(begun.elapsed() < LIMIT, "the connection is still held");
            refusals += 1;
        }
        assert!(refusals > 0);
        drop(client);
    }
}
