//! Serves one connection: reads requests, passes them to the emulator, writes the responses.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, header};
use socket2::SockRef;

use crate::errors::AtlasError;
use crate::fault::Delivery;
use crate::seen::Seen;

use super::delivery::{DeliveryRun, Next};
use super::host;
use super::http1::{self, Head, Malformed, SendOptions};
use super::shared::Shared;
use super::stream::Stream;

/// The time and the number of reads for the rest of a refused request. A socket that is closed with
/// unread bytes resets the connection, and the client could lose the response.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_READS: usize = 128;

/// Serves a connection until the client closes it, a request is malformed, or the server stops. An
/// error of the socket ends it too; it is not reported, because it affects only this client.
pub(super) fn serve(stream: Stream, shared: &Shared, waiting: &Waiting) {
    let _ = stream.socket().set_nodelay(true);
    let _ = stream
        .socket()
        .set_write_timeout(Some(shared.timeouts.write));
    let mut connection = Connection {
        stream,
        received: Vec::new(),
    };
    let ended = loop {
        match connection.exchange(shared, waiting) {
            Ok(Next::Request) => {}
            ended => break ended,
        }
    };
    match ended {
        Ok(Next::Reset) => {
            // With this option, the close discards unsent bytes and sends an RST.
            let _ = SockRef::from(connection.stream.socket()).set_linger(Some(Duration::ZERO));
            return;
        }
        Ok(Next::Cut) => {
            connection.stream.cut();
            connection.linger();
        }
        Ok(Next::Request | Next::Close) => {
            connection.stream.end();
            connection.linger();
        }
        Err(_) => {}
    }
    let _ = connection.stream.socket().shutdown(Shutdown::Both);
}

/// The time since which a connection waits for the end of a request, for the thread that may close it.
pub(super) struct Waiting(Mutex<Option<Instant>>);

impl Waiting {
    /// A new connection waits for its first request.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    fn begin(&self) {
        self.since().get_or_insert_with(Instant::now);
    }

    pub(super) fn end(&self) {
        *self.since() = None;
    }

    /// Returns how long the connection has waited, or `None` if it does not wait.
    pub(super) fn time(&self) -> Option<Duration> {
        self.since().map(|since| since.elapsed())
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    stream: Stream,
    /// Bytes that were received but not parsed yet: a part of a request, or several requests
    /// (pipelining).
    received: Vec<u8>,
}

impl Connection {
    /// Handles one request and writes its response.
    fn exchange(&mut self, shared: &Shared, waiting: &Waiting) -> io::Result<Next> {
        waiting.begin();
        let received = self.request(shared);
        waiting.end();
        let (mut request, mut keep_alive) = match received? {
            Received::Request(request, keep_alive) => (request, keep_alive),
            Received::Malformed(status) => {
                let mut response = Response::new(Vec::new());
                *response.status_mut() = status;
                let send_options = SendOptions {
                    now: shared.emulator().time((shared.options.clock)()),
                    to_head: false,
                    keep_alive: false,
                };
                self.stream
                    .send(&http1::write_response(&response, send_options))?;
                return Ok(Next::Close);
            }
            Received::ClientLeft => return Ok(Next::Close),
        };
        let refusal = self.refusal(&request, shared);
        if refusal.is_none() {
            if shared.options.scheme() == "https" {
                make_absolute(&mut request);
            }
            let latency = shared.options.latency;
            if !latency.is_zero() && !shared.emulator().is_control(request.uri()) {
                // The emulator is not locked during this wait, so other connections are served.
                shared.pause(latency);
            }
        }
        let log: Option<&dyn Fn(&Seen)> = match &shared.options.log {
            Some(log) => Some(&**log),
            None => None,
        };
        let clock_time = (shared.options.clock)();
        let (response, now) = {
            let mut emulator = shared.emulator();
            let response = emulator.handle_and_log(&request, clock_time, refusal, log);
            // The request may have changed the time.
            (response, emulator.time(clock_time))
        };
        keep_alive &= http1::can_keep_alive(&response) && !shared.is_stopping();
        let send_options = SendOptions {
            now,
            to_head: request.method() == Method::HEAD,
            keep_alive,
        };
        if let Some(delivery) = response.extensions().get::<Delivery>() {
            let run = DeliveryRun::new(&mut self.stream, shared);
            return run.deliver(&delivery.steps, &response, send_options);
        }
        self.stream
            .send(&http1::write_response(&response, send_options))?;
        Ok(if keep_alive {
            Next::Request
        } else {
            Next::Close
        })
    }

    /// Returns the error for a request that does not reach the emulator.
    fn refusal(&self, request: &Request<Vec<u8>>, shared: &Shared) -> Option<AtlasError> {
        if self.stream.is_http_on_https() {
            return Some(AtlasError::https_only());
        }
        host::misdirected(request, &shared.options.allowed_hosts)
            .map(|host| AtlasError::misdirected(&host))
    }

    /// Waits for the first byte of a request, then for the rest; each wait has its own time limit.
    fn request(&mut self, shared: &Shared) -> io::Result<Received> {
        let idle = shared.options.idle_timeout.max(LINGER);
        if self.received.is_empty() && !self.receive(idle)? {
            return Ok(Received::ClientLeft);
        }
        let deadline = Instant::now() + shared.timeouts.request;
        match self.whole_request(deadline, idle) {
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                Ok(Received::Malformed(StatusCode::REQUEST_TIMEOUT))
            }
            received => received,
        }
    }

    fn whole_request(&mut self, deadline: Instant, idle: Duration) -> io::Result<Received> {
        let (head, length) = loop {
            match http1::parse_head(&self.received) {
                Ok(Some(parsed)) => break parsed,
                Ok(None) if self.receive_by(deadline, idle)? => {}
                Ok(None) => return Ok(Received::ClientLeft),
                Err(status) => return Ok(Received::Malformed(status)),
            }
        };
        self.received.drain(..length);
        let Head {
            request,
            body: framing,
            keep_alive,
            mut expects_continue,
        } = head;
        loop {
            match http1::parse_body(&self.received, framing) {
                Ok(Some((body, length))) => {
                    self.received.drain(..length);
                    let request = Box::new(request.map(|()| body));
                    return Ok(Received::Request(request, keep_alive));
                }
                Ok(None) => {}
                Err(status) => return Ok(Received::Malformed(status)),
            }
            if std::mem::take(&mut expects_continue) {
                self.stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            if !self.receive_by(deadline, idle)? {
                return Ok(Received::ClientLeft);
            }
        }
    }

    fn receive_by(&mut self, deadline: Instant, idle: Duration) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        // A read timeout of zero is not allowed.
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.receive(left.min(idle))
    }

    /// Reads more bytes. Returns `false` at the end of the stream, and an error after the timeout.
    fn receive(&mut self, timeout: Duration) -> io::Result<bool> {
        let mut chunk = [0; 8192];
        let length = self.stream.receive(&mut chunk, timeout)?;
        self.received
            .extend_from_slice(chunk.get(..length).unwrap_or_default());
        Ok(length > 0)
    }

    /// Reads the rest of the request for a short time.
    fn linger(&mut self) {
        for _ in 0..LINGER_READS {
            self.received.clear();
            if !self.receive(LINGER).unwrap_or(false) {
                break;
            }
        }
    }
}

/// Adds the scheme `https` and the host to the URI of a request, because links begin with them.
fn make_absolute(request: &mut Request<Vec<u8>>) {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() && host.is_some() {
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = host;
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

enum Received {
    /// The request, and whether another may follow.
    Request(Box<Request<Vec<u8>>>, bool),
    Malformed(Malformed),
    /// The client closed the connection.
    ClientLeft,
}
