//! Serves the emulator on a socket, for any HTTP client in any language.
//!
//! The server supports HTTP/1.1 and 1.0 with keep-alive, pipelining, chunked request bodies, `HEAD`
//! and `Expect: 100-continue`, but not HTTP/2. Each connection has one blocking thread. With the feature
//! `tls` it can serve HTTPS (`Options::with_tls`).
//!
//! Unless [`Options::with_address`] says otherwise, it listens on 127.0.0.1, because the credentials that
//! it accepts are not secret. A request for a host that is not an IP address, `localhost` or allowed
//! ([`Options::with_allowed_host`]) gets 421 (RFC 9110 §15.5.20): it may come from a web page whose name
//! resolves to this machine (DNS rebinding).

mod connection;
mod delivery;
mod host;
mod http1;
mod refused;
mod shared;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::emulator::Emulator;

use connection::Waiting;
use refused::RefusedConnections;
use shared::{Shared, Timeouts};
use stream::Stream;

pub use shared::{Clock, Log, Options, clock_from};
#[cfg(feature = "tls")]
pub use tls::Tls;

/// The time that a shutdown gives responses in progress to reach their clients.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// A running emulator. Dropping it has the effect of [`Server::shutdown`].
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

impl Server {
    /// Binds address and port and starts the server.
    ///
    /// # Errors
    /// Returns an error if the port is in use, the machine does not have the address, or the system has no
    /// socket or thread left.
    pub fn start(emulator: Emulator, options: Options) -> io::Result<Self> {
        Self::start_with(emulator, options, Timeouts::default())
    }

    fn start_with(emulator: Emulator, options: Options, timeouts: Timeouts) -> io::Result<Self> {
        let listener = listen(SocketAddr::new(options.address, options.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(emulator, options, timeouts));
        let refused = RefusedConnections::start()?;
        let acceptor = thread::Builder::new()
            .name("emulator-accept".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || accept(&listener, refused, &shared)
            })?;
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// Returns the base URL without a trailing slash, such as `http://127.0.0.1:8080` or `https://[::1]:8080`.
    /// For a server that listens on all addresses of the machine, it is that of the loopback address.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}://{}", self.shared.options.scheme(), self.reachable())
    }

    /// Returns the address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls a function with the emulator, between two requests. All requests wait until it returns.
    pub fn with<R>(&self, look: impl FnOnce(&mut Emulator) -> R) -> R {
        look(&mut self.shared.emulator())
    }

    /// Stops accepting requests, lets responses in progress finish for half a second at most, closes
    /// all connections and waits for all threads.
    pub fn shutdown(mut self) {
        self.stop();
    }

    /// Returns the address at which programs on this machine reach the server.
    fn reachable(&self) -> SocketAddr {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        address
    }

    fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.shared.stop();
        // This connection wakes the acceptor. If it fails, the listener itself has failed, and its
        // error has woken the acceptor.
        let _ = TcpStream::connect_timeout(&self.reachable(), SHUTDOWN_GRACE);
        // The thread has already reported its own panic.
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

/// Returns a listener with a longer queue than that of std (128 connections). If a burst of connections does
/// not fit, the system drops some, and their clients try again after a second or more.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    const QUEUE: i32 = 4096;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As std does: a port can be used again at once. On Windows this option would allow a port that is in use.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(QUEUE)?;
    Ok(socket.into())
}

/// Runs the accepting thread. It owns all connections and outlives them.
fn accept(listener: &TcpListener, refused: RefusedConnections, shared: &Arc<Shared>) {
    let mut connections = Connections {
        last_id: 0,
        open: HashMap::new(),
        refused,
    };
    while !shared.is_stopping() {
        match listener.accept() {
            Ok(_) if shared.is_stopping() => {}
            Ok((stream, _)) => connections.open(stream, shared),
            // Probably no file descriptor is left.
            Err(_) => {
                connections.evict(shared.timeouts.evict);
                shared.pause(Duration::from_millis(10));
            }
        }
    }
    connections.close();
}

struct Connections {
    last_id: u64,
    open: HashMap<u64, Connection>,
    refused: RefusedConnections,
}

struct Connection {
    /// For shutting down the socket that the thread is blocked on. It is weak, because it must not
    /// keep the socket open after the thread has ended: only the last close of a socket resets or
    /// ends a connection.
    stream: Weak<TcpStream>,
    waiting: Arc<Waiting>,
    thread: JoinHandle<()>,
}

impl Connections {
    fn open(&mut self, socket: TcpStream, shared: &Arc<Shared>) {
        let socket = Arc::new(socket);
        // Without the stream, the dropped socket closes the connection.
        let Ok(stream) = Stream::new(Arc::clone(&socket), &shared.options) else {
            return;
        };
        self.open
            .retain(|_, connection| !connection.thread.is_finished());
        if self.open.len() >= shared.options.max_connections && !self.evict(shared.timeouts.evict) {
            self.refused.add(stream);
            return;
        }
        let weak = Arc::downgrade(&socket);
        let waiting = Arc::new(Waiting::new());
        let shared = Arc::clone(shared);
        let spawned = thread::Builder::new()
            .name("emulator-connection".to_owned())
            .spawn({
                let waiting = Arc::clone(&waiting);
                move || connection::serve(stream, &shared, &waiting)
            });
        drop(socket);
        // If the thread could not be started, the dropped stream closes the connection.
        if let Ok(thread) = spawned {
            self.last_id += 1;
            let connection = Connection {
                stream: weak,
                waiting,
                thread,
            };
            self.open.insert(self.last_id, connection);
        }
    }

    /// Closes the connection that has waited longest for its request. Returns `false` if none has waited
    /// for this time. So clients that keep connections open, or send a request slowly, do not exclude others.
    fn evict(&mut self, after: Duration) -> bool {
        let longest = self
            .open
            .values()
            .filter_map(|connection| Some((connection.waiting.time()?, connection)))
            .max_by_key(|(time, _)| *time);
        let Some((time, connection)) = longest else {
            return false;
        };
        let is_long = time >= after;
        if is_long {
            // Its thread ends at once and is joined later, so it must not be chosen again.
            connection.waiting.end();
            if let Some(stream) = connection.stream.upgrade() {
                // This fails if the client has already closed the connection.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        is_long
    }

    fn close(&mut self) {
        let shut_down = |connections: &Self, how| {
            for stream in connections.open.values().filter_map(|c| c.stream.upgrade()) {
                // This fails if the client has already closed the connection.
                let _ = stream.shutdown(how);
            }
        };
        // A thread that waits for a request sees the end of the stream; one that writes a
        // response may finish.
        shut_down(self, Shutdown::Read);
        let deadline = Instant::now() + SHUTDOWN_GRACE;
        while Instant::now() < deadline && self.open.values().any(|c| !c.thread.is_finished()) {
            thread::sleep(Duration::from_millis(1));
        }
        // Now the threads whose clients do not read end too.
        shut_down(self, Shutdown::Both);
        for (_, connection) in self.open.drain() {
            // The thread has already reported its own panic.
            let _ = connection.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use crate::{Config, Fault};

    use super::*;

    /// The time limit of a test.
    const LIMIT: Duration = Duration::from_secs(20);

    fn start(max_connections: usize, timeouts: Timeouts) -> Server {
        let options = Options::default().with_max_connections(max_connections);
        Server::start_with(Emulator::new(Config::default()), options, timeouts).unwrap()
    }

    fn connect(server: &Server) -> TcpStream {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    #[test]
    fn too_slow_request_gets_408_and_its_connection_is_closed() {
        let server = start(
            9,
            Timeouts {
                request: Duration::from_millis(100),
                ..Timeouts::default()
            },
        );
        let head =
            "POST /api/oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n";
        // Too slow in the head, and in the body.
        for begin in ["POST / HTTP/1.1\r\nx-slow: ", head] {
            let mut client = connect(&server);
            client.write_all(begin.as_bytes()).unwrap();
            client
                .set_read_timeout(Some(Duration::from_millis(5)))
                .unwrap();
            let begun = Instant::now();
            let mut response = Vec::new();
            loop {
                let mut bytes = [0; 1024];
                match client.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(length) => response.extend_from_slice(&bytes[..length]),
                    // The client is never silent for long, because the idle timeout must not apply.
                    Err(_) => {
                        let _ = client.write_all(b"a");
                    }
                }
                assert!(
                    begun.elapsed() < LIMIT,
                    "the server still waits for the slow client"
                );
            }
            let response = String::from_utf8(response).unwrap();
            assert!(
                response.starts_with("HTTP/1.1 408 Request Timeout\r\n")
                    && response.contains("\r\nconnection: close\r\n"),
                "{response}"
            );
        }
        // The time before the first byte of a request does not count.
        let mut client = connect(&server);
        thread::sleep(Duration::from_millis(150));
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    }

    #[test]
    fn new_connection_takes_the_place_of_the_one_that_waits_longest_for_its_request() {
        let evict = Duration::from_millis(50);
        let timeouts = Timeouts {
            evict,
            ..Timeouts::default()
        };
        let server = start(3, timeouts);
        let slow: Vec<TcpStream> = (0..3)
            .map(|_| {
                let mut client = connect(&server);
                client.write_all(b"GET / HTTP/1.1\r\nx-slow: ").unwrap();
                client
            })
            .collect();
        let begun = Instant::now();
        let mut responses = Vec::new();
        while begun.elapsed() < LIMIT && !responses.iter().any(|r: &String| r.contains(" 404 ")) {
            let mut client = connect(&server);
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut response = String::new();
            client.read_to_string(&mut response).unwrap();
            responses.push(response);
        }
        let (served, refused) = responses.split_last().unwrap();
        assert!(served.starts_with("HTTP/1.1 404 "), "{served}");
        assert!(refused.iter().all(|r| r.starts_with("HTTP/1.1 503 ")));
        // Only the first of the slow clients has lost its connection.
        let mut slow = slow.into_iter();
        let mut first = slow.next().unwrap();
        let error = first.read(&mut [0]).err();
        assert!(error.is_none_or(|error| error.kind() == io::ErrorKind::ConnectionReset));
        for mut client in slow {
            client
                .write_all(b"a\r\nHost: h\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut response = String::new();
            client.read_to_string(&mut response).unwrap();
            assert!(response.starts_with("HTTP/1.1 "), "{response}");
        }
    }

    #[test]
    fn connection_of_a_client_that_never_reads_is_closed() {
        let server = start(
            1,
            Timeouts {
                write: Duration::from_millis(50),
                ..Timeouts::default()
            },
        );
        let (path, token) = server.with(|emulator| {
            emulator.inject(Fault::BODY_ENDLESS);
            let path = format!(
                "/api/atlas/v2/groups/{}/aiModelApiKeys",
                emulator.first_group()
            );
            (path, emulator.access_token().to_owned())
        });
        let mut client = connect(&server);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/vnd.atlas.preview+json\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        client.write_all(request.as_bytes()).unwrap();
        // The client keeps the connection open and does not read. The server must close it after a
        // while.
        let begun = Instant::now();
        let mut refusals = 0;
        loop {
            let mut other = connect(&server);
            other.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut response = String::new();
            other.read_to_string(&mut response).unwrap();
            if response.starts_with("HTTP/1.1 404 ") {
                break;
            }
            assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
            assert!(
                begun.elapsed() < LIMIT,
                "the server still keeps the connection open"
            );
            refusals += 1;
        }
        assert!(refusals > 0);
        drop(client);
    }
}
