//! The emulator on a loopback socket: for any HTTP client, in any language.
//!
//! HTTP/1.1 and 1.0 with keep-alive, pipelining, chunked request bodies, `HEAD` and
//! `Expect: 100-continue`; one blocking thread per connection. No TLS, no HTTP/2, and never any
//! other address than 127.0.0.1: the credentials it accepts are no secrets.

mod connection;
mod delivery;
mod http1;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Emulator;

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
    /// How many connections there are at a time, each with a thread. One more is told 503.
    pub max_connections: usize,
    /// How long a connection may be silent before it is closed.
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

/// What the threads have in common.
struct Shared {
    emulator: Mutex<Emulator>,
    options: Options,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Server {
    /// Binds 127.0.0.1 and begins to answer.
    ///
    /// # Errors
    /// The port is taken, or the system has no socket or thread left.
    pub fn start(emulator: Emulator, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            emulator: Mutex::new(emulator),
            options,
            stopping: Mutex::new(false),
            stopped: Condvar::new(),
        });
        let acceptor = thread::Builder::new()
            .name("emulator-accept".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || accept(&listener, &shared)
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
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Connections::default();
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

#[derive(Default)]
struct Connections {
    last_id: u64,
    open: HashMap<u64, Connection>,
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
            connection::turn_away(stream);
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
