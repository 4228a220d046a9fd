//! One connection: reads requests, has them answered, writes the answers.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use socket2::SockRef;

use crate::fault::Delivery;

use super::Shared;
use super::delivery::Delivering;
use super::http1::{self, Head, Malformed, Sending};

/// How long, and how much, is read of a request that was refused, so that its answer arrives: a
/// socket closed with bytes unread resets the connection, and the answer with it.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_READS: usize = 128;

/// What happens after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request may follow.
    Request,
    Close,
    Reset,
}

/// Until the client leaves, a request is malformed, or the server stops. Errors of the socket end
/// it too, and there is nobody to tell.
pub(super) fn serve(stream: Arc<TcpStream>, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(shared.patience.write));
    let mut connection = Connection {
        stream,
        received: Vec::new(),
    };
    let ended = loop {
        match connection.exchange(shared) {
            Ok(Next::Request) => {}
            ended => break ended,
        }
    };
    match ended {
        Ok(Next::Reset) => {
            // Closing then discards what is not yet sent, and says so with an RST.
            let _ = SockRef::from(&*connection.stream).set_linger(Some(Duration::ZERO));
            return;
        }
        Ok(_) => connection.linger(),
        Err(_) => {}
    }
    let _ = connection.stream.shutdown(Shutdown::Both);
}

struct Connection {
    stream: Arc<TcpStream>,
    /// What came and was not used yet: a part of a request, or several (pipelining).
    received: Vec<u8>,
}

impl Connection {
    /// One request and its answer.
    fn exchange(&mut self, shared: &Shared) -> io::Result<Next> {
        let (request, mut keep_alive) = match self.request(shared)? {
            Received::Request(request, keep_alive) => (request, keep_alive),
            Received::Malformed(status) => {
                let mut response = Response::new(Vec::new());
                *response.status_mut() = status;
                let sending = Sending {
                    now: (shared.options.clock)(),
                    to_head: false,
                    keep_alive: false,
                };
                self.send(&http1::write_response(&response, sending))?;
                return Ok(Next::Close);
            }
            Received::Nothing => return Ok(Next::Close),
        };
        // Each connection for itself: the emulator is not locked meanwhile.
        shared.pause(shared.options.latency);
        let now = (shared.options.clock)();
        let response = shared.emulator().handle(&request, now);
        keep_alive &= http1::can_follow(&response) && !shared.is_stopping();
        let sending = Sending {
            now,
            to_head: request.method() == Method::HEAD,
            keep_alive,
        };
        if let Some(delivery) = response.extensions().get::<Delivery>() {
            let delivering = Delivering::new(&self.stream, shared);
            return delivering.deliver(&delivery.steps, &response, sending);
        }
        self.send(&http1::write_response(&response, sending))?;
        Ok(if keep_alive {
            Next::Request
        } else {
            Next::Close
        })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(bytes)
    }

    /// Waits for a request, and then for all of it: each for a time of its own.
    fn request(&mut self, shared: &Shared) -> io::Result<Received> {
        let idle = shared.options.idle_timeout.max(LINGER);
        if self.received.is_empty() && !self.receive(idle)? {
            return Ok(Received::Nothing);
        }
        let deadline = Instant::now() + shared.patience.request;
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
                Ok(None) => return Ok(Received::Nothing),
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
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            if !self.receive_by(deadline, idle)? {
                return Ok(Received::Nothing);
            }
        }
    }

    fn receive_by(&mut self, deadline: Instant, idle: Duration) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean: no timeout at all.
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.receive(left.min(idle))
    }

    /// Whether anything more came. It is an error if nothing does for so long.
    fn receive(&mut self, timeout: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(timeout))?;
        let mut chunk = [0; 8192];
        let length = loop {
            match (&*self.stream).read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received
            .extend_from_slice(chunk.get(..length).unwrap_or_default());
        Ok(length > 0)
    }

    fn linger(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        for _ in 0..LINGER_READS {
            self.received.clear();
            if !self.receive(LINGER).unwrap_or(false) {
                break;
            }
        }
    }
}

enum Received {
    /// And whether another may follow.
    Request(Box<Request<Vec<u8>>>, bool),
    Malformed(Malformed),
    /// The client left.
    Nothing,
}
