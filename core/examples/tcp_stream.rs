//! Drives the core with the standard library's `TcpStream` only: without an HTTP client or a runtime.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example tcp_stream
//! ```
//!
//! It starts the emulator and lists from it with an API key, by HTTP Digest, with one connection for
//! all requests. The emulator first responds with 503, so that the session waits, and closes the idle connection
//! meanwhile. Atlas itself accepts only TLS: put a `rustls::StreamOwned` around the stream.

mod support;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::wire::{Decoder, Progress, encode};
use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Exchange, Failure, FailureKind, ListRequest, Listing, Reply,
    Session, Step,
};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Route};
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use support::{BoxError, moment};

/// The time limit for connecting, and again for the request with its response. After it, the session may try again.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), BoxError> {
    let mut atlas = Emulator::new(Config::default().with_keys_per_group(250));
    let (key, group) = (atlas.api_key().clone(), atlas.first_group());
    let busy = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("1"))]);
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    atlas.fail_next(1, Route::ListGroupKeys, unavailable, &busy);
    let options = Options::default().with_idle_timeout(Duration::from_millis(500));
    let server = Server::start(atlas, options)?;

    let credentials = Credentials::api_key(key.public_key, key.private_key)?;
    let mut client = Client {
        session: Session::new(BaseUrl::new(&server.base_url())?, credentials),
        address: server.address(),
        connection: None,
    };
    let mut listing = Listing::new(ListRequest::new(group), client.session.limits());
    let (mut all, mut unused) = (0, 0);
    while let Some(request) = listing.request()? {
        let page = client.list(&request)?.into_page()?;
        // These keys point into the page. `accept_owned` gives keys to keep.
        for key in listing.accept(&page) {
            all += 1;
            unused += u32::from(key.last_used_at().is_none());
        }
        println!("page {}: {} keys", request.page_num(), page.len());
    }
    println!("{unused} of {all} keys were never used");
    Ok(())
}

struct Client {
    session: Session,
    address: SocketAddr,
    /// The connection for the next request.
    connection: Option<TcpStream>,
}

impl Client {
    /// Fetches one page: carries out each step of the session.
    fn list(&mut self, request: &ListRequest) -> Result<Reply<Vec<u8>>, BoxError> {
        let mut step = self.session.start(request, moment()?)?;
        loop {
            step = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => match self.exchange(&request) {
                    Ok(response) => self.session.respond(pending, response, moment()?)?,
                    Err(failure) => self.session.fail(pending, failure, moment()?)?,
                },
                Step::Wait(wait) => {
                    // Only this thread uses the session, so no other call can end a wait sooner (Wait::on_change).
                    println!("waiting {:.1} s", wait.delay().as_secs_f32());
                    thread::sleep(wait.delay());
                    self.session.resume(wait, moment()?)?
                }
            };
        }
    }

    /// Sends one request and reads its response.
    ///
    /// A failure says how far the request came, which decides whether it is tried again: `NotSent` before there is a
    /// connection, and `Lost` after that, because the server may have read the request. `?` makes a `Failure` of the
    /// errors of `wire`.
    fn exchange(&mut self, request: &Request<Body>) -> Result<Response<Vec<u8>>, Failure> {
        let bytes = encode(request)?;
        let mut stream = match self.connection.take().filter(is_open) {
            Some(stream) => stream,
            None => connect(self.address).map_err(not_sent)?,
        };
        let deadline = Instant::now() + TIMEOUT;
        stream.write_all(bytes.as_bytes()).map_err(lost)?;

        let mut decoder = Decoder::new(request.method(), self.session.limits());
        let mut buffer = [0; 16 * 1024];
        loop {
            let n = read_until(deadline, &mut stream, &mut buffer).map_err(lost)?;
            if n == 0 {
                return Ok(decoder.close()?.response);
            }
            decoder = match decoder.push(&buffer[..n])? {
                Progress::More(decoder) => decoder,
                Progress::Done { message, leftover } => {
                    // Only one response was requested: with bytes after it, the connection is unreliable.
                    if message.keep_alive && leftover.is_empty() {
                        self.connection = Some(stream);
                    }
                    return Ok(message.response);
                }
            };
        }
    }
}

fn not_sent(error: io::Error) -> Failure {
    Failure::new(FailureKind::NotSent, error)
}

fn lost(error: io::Error) -> Failure {
    Failure::new(FailureKind::Lost, error)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    println!("connected");
    Ok(stream)
}

/// Returns whether a kept connection can be used: there must be nothing to read, neither bytes nor the end of the stream.
/// If the server closes it just after this check, the request fails as `Lost`.
fn is_open(stream: &TcpStream) -> bool {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    let is_silent = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    is_silent && stream.set_nonblocking(false).is_ok()
}

/// Reads with the remaining time as the timeout, so that a slow server cannot exceed the deadline.
fn read_until(deadline: Instant, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
