//! Sending one request with hyper, safely, and telling what became of it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use atlas_model_keys_core::{Body, Failure, FailureKind, Limits};
use atlas_model_keys_transport::{BodySizeEstimate, Resolved, TooLarge, TwoLengths, body_limit};
use bytes::Bytes;
use h2::Reason;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::response::Parts;
use http::{Extensions, HeaderMap, Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;
use zeroize::Zeroize as _;

use crate::body::{BoundedBuffer, Sink};
use crate::byte_counter::{ByteCounter, Excess};
use crate::connect::Connector;
use crate::deadline::{BodyTimeout, Deadline, sleep_until};
use crate::failure::{ConnectFailure, NoProgress};
use crate::socket::IdleFlag;

type Pool = Client<Connector, Full<Bytes>>;

/// hyper with its pool, and how it is to be used.
pub(crate) struct Http {
    pool: Pool,
    /// For HTTP/1.1 alone, where the first one may speak HTTP/2.
    fallback: Option<Pool>,
    /// Whether the server has asked for it.
    falls_back: AtomicBool,
    read_timeout: Duration,
    body_size: BodySizeEstimate,
}

/// Where the body of a response goes.
pub(crate) enum Destination {
    /// Into this buffer, in place of its content.
    Buffer(Vec<u8>),
    /// Into a buffer of its own, of which no copy is left behind, because it may hold a token.
    Erased,
}

/// An HTTP/2 connection that carries a request is asked for a sign of life this often, and given up
/// without one: all requests to come would go to it otherwise.
const PING: Duration = Duration::from_secs(10);

/// Header fields that hyper looks at, however many the limits allow.
const MOST_HEADERS: usize = 1024;

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;

impl Http {
    pub(crate) fn new(
        resolved: &Resolved,
        connector: Connector,
        fallback: Option<Connector>,
    ) -> Self {
        // The core counts, and says so in an error of its own; these are for what is far beyond.
        let head_bytes = resolved.limits.head_bytes.saturating_mul(2);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(resolved.connections.max_idle)
            .pool_idle_timeout(resolved.connections.idle_timeout)
            // hyper makes room for all of them at once.
            .http1_max_headers(resolved.limits.headers.saturating_add(1).min(MOST_HEADERS))
            .http1_max_buf_size(head_bytes.max(SMALLEST_BUFFER))
            // RFC 9112 §5.2 has a user agent make spaces of them.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            // Windows are hyper's, 2 MiB for a stream and 5 MiB for all of them. With windows that adapt, h2
            // gives up a body of a few hundred small frames.
            .http2_max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING);
        Self {
            pool: builder.build(connector),
            fallback: fallback.map(|connector| builder.build(connector)),
            falls_back: AtomicBool::new(false),
            read_timeout: resolved.timeouts.read,
            body_size: BodySizeEstimate::default(),
        }
    }

    /// Sends the request and reads the whole answer, one byte beyond the limit at most: the core refuses what
    /// is too large.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        deadline: Deadline,
        into: Destination,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = request.map(|body| match body.is_empty() {
            true => Full::default(),
            // Erased when it is dropped.
            false => Full::new(Bytes::from_owner(body)),
        });
        if let Destination::Buffer(_) = into {
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let exchange = async {
            let head = deadline.end(self.head(request, limits)).await?;
            self.read(head, deadline, into, limits).await
        };
        exchange.await.map_err(|failure| deadline.judge(failure))
    }

    /// Sends, again by HTTP/1.1 where the server asks for that, and waits for the head of the answer.
    async fn head(&self, request: Request<Full<Bytes>>, limits: &Limits) -> Result<Head, Failure> {
        let head = match &self.fallback {
            None => self.head_by(&self.pool, request, limits).await,
            Some(http_1) if self.falls_back.load(Ordering::Relaxed) => {
                self.head_by(http_1, request, limits).await
            }
            Some(http_1) => {
                let head = self.head_by(&self.pool, request.clone(), limits).await;
                if let Err(HeadFailure::Http1Required(_)) = head {
                    self.falls_back.store(true, Ordering::Relaxed);
                    self.head_by(http_1, request, limits).await
                } else {
                    head
                }
            }
        };
        head.map_err(|trouble| match trouble {
            HeadFailure::Failed(failure) => failure,
            HeadFailure::Http1Required(error) => Failure::new(FailureKind::Permanent, error),
        })
    }

    /// Sends by this pool, and waits for the head of the answer. Making a connection has a timeout of its own.
    async fn head_by(
        &self,
        pool: &Pool,
        mut request: Request<Full<Bytes>>,
        limits: &Limits,
    ) -> Result<Head, HeadFailure> {
        let connection = capture_connection(&mut request);
        let mut response = pin!(pool.request(request));
        let mut known = connection.clone();
        let mut silence = pin!(async {
            let _ = known.wait_for_connection_metadata().await;
            let sent = Instant::now();
            let heard = heard(&known);
            let last = || heard.as_ref().map_or(sent, |heard| heard.last().max(sent));
            // Each byte that comes puts the end off.
            while last().elapsed() < self.read_timeout {
                sleep_until(last().checked_add(self.read_timeout)).await;
            }
        });
        let outcome = poll_fn(|cx| match response.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending => silence
                .as_mut()
                .poll(cx)
                .map(|()| Err(lost(NoProgress("answer", self.read_timeout)))),
        });
        match outcome.await.map_err(HeadFailure::Failed)? {
            Ok(response) => Ok(Head::new(response, connection)),
            Err(error) => Err(explain(error, heard(&connection), limits)),
        }
    }

    /// Reads the body.
    async fn read(
        &self,
        head: Head,
        deadline: Deadline,
        into: Destination,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        if head.parts.version <= Version::HTTP_11
            && let Err(failure) = TwoLengths::refuse(&head.parts.headers)
        {
            head.give_connection_up();
            return Err(failure);
        }
        let promised = head.body.size_hint().exact();
        let most = body_limit(head.parts.status, promised, limits);
        if most == 0 {
            // Nobody reads what is still to come.
            head.give_connection_up();
            return Ok(Response::from_parts(head.parts, Vec::new()));
        }
        let Head {
            mut parts,
            mut body,
            heard,
            rests,
            ..
        } = head;
        let is_success = parts.status.is_success();
        let codings = parts.headers.get_all(CONTENT_ENCODING);
        let is_secret = matches!(into, Destination::Erased);
        let bounded = match into {
            Destination::Buffer(mut buffer) => {
                // What comes out of a decompression, nobody promises.
                let promised = promised.filter(|_| codings.iter().next().is_none());
                buffer.clear();
                buffer.reserve_exact(self.body_size.expected(promised).min(most));
                BoundedBuffer::new(buffer, most)
            }
            Destination::Erased => {
                BoundedBuffer::secret(most.min(limits.error_body_bytes.saturating_add(1)))
            }
        };
        let mut sink = Sink::new(&parts.headers, bounded);
        let mut body_timeout = BodyTimeout::new(deadline, self.read_timeout);
        let mut secrets = Vec::new();
        while !sink.is_full() {
            let frame = poll_fn(|cx| {
                // Parts that are there already, and there may be many, leave others their turn.
                let Poll::Ready(turn) = poll_proceed(cx) else {
                    return body_timeout.poll_end(cx).map(Err);
                };
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        turn.made_progress();
                        Poll::Ready(Ok(frame))
                    }
                    Poll::Pending => body_timeout.poll_end(cx).map(Err),
                }
            });
            let Some(frame) = frame.await? else {
                if let Some(rests) = &rests {
                    rests.begin();
                }
                break;
            };
            let frame = match frame.map_err(|error| explain_body(error, heard.as_ref())) {
                // The status of an error counts, even if what comes with its body is beyond a limit.
                Err(failure) if !is_success && failure.kind() == FailureKind::Permanent => break,
                frame => frame?,
            };
            body_timeout.heard();
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if let Some(heard) = &heard {
                heard.took_part(data.len());
            }
            let written = sink.write(&data);
            if is_secret {
                secrets.push(data);
            }
            match written {
                Ok(()) => {}
                // The status and the headers of an error count, even if its body cannot be unpacked.
                Err(_) if !is_success => break,
                Err(error) => return Err(unpacked(error)),
            }
        }
        if sink.decodes() {
            parts.headers.remove(CONTENT_ENCODING);
            parts.headers.remove(CONTENT_LENGTH);
        }
        let body = match sink.finish() {
            Ok(mut body) => {
                if !is_secret {
                    self.body_size.came(&mut body);
                }
                body
            }
            Err(_) if !is_success => Vec::new(),
            Err(error) => return Err(unpacked(error)),
        };
        // The connection is given back to the pool by a task of its own. It gets its turn, so that the next
        // request seldom makes another one.
        tokio::task::yield_now().await;
        if is_secret {
            erase(secrets, &mut parts.headers);
        }
        Ok(Response::from_parts(parts, body))
    }
}

/// The head of an answer, and what belongs to it.
struct Head {
    parts: Parts,
    body: Incoming,
    connection: CaptureConnection,
    heard: Option<ByteCounter>,
    /// Of HTTP/1.1.
    rests: Option<IdleFlag>,
}

impl Head {
    fn new(response: Response<Incoming>, connection: CaptureConnection) -> Self {
        let (parts, body) = response.into_parts();
        let heard: Option<ByteCounter> = parts.extensions.get().cloned();
        if let Some(heard) = &heard {
            heard.took_head();
        }
        let rests = match parts.version {
            Version::HTTP_2 => None,
            _ => parts.extensions.get().cloned(),
        };
        Self {
            parts,
            body,
            connection,
            heard,
            rests,
        }
    }

    /// No other request goes out on its connection. One of HTTP/2 is good for others.
    fn give_connection_up(&self) {
        if self.parts.version <= Version::HTTP_11
            && let Some(connected) = &*self.connection.connection_metadata()
        {
            connected.poison();
        }
    }
}

fn heard(connection: &CaptureConnection) -> Option<ByteCounter> {
    let mut extensions = Extensions::new();
    if let Some(connected) = &*connection.connection_metadata() {
        connected.get_extras(&mut extensions);
    }
    extensions.remove()
}

/// Overwrites the parts of a secret body that nobody else holds. What hyper reads into is shared by the parts of
/// the body and the values of the headers, and by hyper itself until it makes room for the next read: a part
/// stays behind where there are several in one piece of memory, or hyper has not come to that yet.
fn erase(parts: Vec<Bytes>, headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    for part in parts {
        if let Ok(mut part) = part.try_into_mut() {
            part.zeroize();
        }
    }
}

/// What became of a request without an answer.
enum HeadFailure {
    Failed(Failure),
    /// The server wants it by HTTP/1.1 (RFC 9113 §7).
    Http1Required(Error),
}

impl From<Failure> for HeadFailure {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(FailureKind::Lost, error)
}

/// A body that cannot be unpacked was damaged on its way, unless it has no end.
fn unpacked(error: io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::FileTooLarge => FailureKind::Permanent,
        _ => FailureKind::Lost,
    };
    Failure::new(kind, error)
}

/// Tells what became of the request. In doubt it was sent.
fn explain(error: Error, heard: Option<ByteCounter>, limits: &Limits) -> HeadFailure {
    match heard.as_ref().and_then(ByteCounter::excess) {
        Some(Excess::Fields) => return Failure::from(TooLarge::InterimResponses).into(),
        Some(excess) => return Failure::new(FailureKind::Permanent, excess).into(),
        None => {}
    }
    let is_long = heard.is_some_and(|heard| heard.is_beyond_a_head());
    let too_long = TooLarge::HeadBytes(limits.head_bytes);
    let mut kind = FailureKind::Lost;
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(failure) = inner.downcast_ref::<ConnectFailure>() {
            kind = failure.kind;
        }
        if let Some(error) = inner.downcast_ref::<hyper::Error>() {
            // Told by its text alone.
            if error.is_parse() && error.to_string().contains("too large") {
                let fields = TooLarge::HeaderFields(limits.headers.min(MOST_HEADERS));
                let failure = match is_long {
                    true => too_long.into(),
                    false => Failure::new(FailureKind::Permanent, TooManyFields(fields)),
                };
                return failure.into();
            }
            if error.is_canceled() {
                // It waited for a connection that came to nothing.
                kind = FailureKind::NotSent;
            }
        }
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            let reason = h2.reason().unwrap_or(Reason::NO_ERROR);
            match reason {
                Reason::HTTP_1_1_REQUIRED if h2.is_remote() => {
                    return HeadFailure::Http1Required(error);
                }
                // The server has not looked at it: it says so of this stream, or of all after the last one
                // that it did look at (RFC 9113 §6.8, §8.7). h2 gives a GOAWAY to no other streams.
                _ if h2.is_remote() && (h2.is_go_away() || reason == Reason::REFUSED_STREAM) => {
                    kind = FailureKind::NotSent;
                }
                _ if is_oversized(h2, is_long) => return Failure::from(too_long).into(),
                _ => {}
            }
        }
        cause = inner.source();
    }
    Failure::new(kind, error).into()
}

/// Tells why a body did not come whole.
fn explain_body(error: hyper::Error, heard: Option<&ByteCounter>) -> Failure {
    match heard.and_then(ByteCounter::excess) {
        Some(Excess::Fields) => return TooLarge::Trailers.into(),
        Some(excess) => return Failure::new(FailureKind::Permanent, excess),
        None => {}
    }
    let is_long = heard.is_some_and(ByteCounter::is_beyond_a_head);
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let io: Option<&io::Error> = inner.downcast_ref();
        // Told by its text alone.
        if io.is_some_and(|io| io.to_string().starts_with("chunk trailers")) {
            return TooLarge::Trailers.into();
        }
        let h2: Option<&h2::Error> = inner.downcast_ref();
        if h2.is_some_and(|h2| is_oversized(h2, is_long)) {
            return TooLarge::Trailers.into();
        }
        cause = inner.source();
    }
    lost(error)
}

/// Whether h2 has ended a stream, or the connection, because of a head or trailers beyond its limit. Of too many
/// pieces of one it tells by a text, of too many bytes not at all: then what came tells.
fn is_oversized(error: &h2::Error, is_long: bool) -> bool {
    error.is_library()
        && match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) => error.to_string().contains("continuations"),
            _ => is_long,
        }
}

/// Too many header fields, or so hyper says: it says the same of a `Content-Length` of 2^64 - 1.
#[derive(Debug)]
struct TooManyFields(TooLarge);

impl fmt::Display for TooManyFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a Content-Length that no body could have", self.0)
    }
}

impl std::error::Error for TooManyFields {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{IoSlice, Read as _, Write as _};
    use std::net::TcpListener;

    use atlas_model_keys_core::{BaseUrl, Credentials};
    use atlas_model_keys_transport::Settings;

    /// Whether the memory of this process holds the text, which is given as its characters at odd and at even
    /// places: put together, it would be found here. What it needs itself is too large to take the place of
    /// something that was given back.
    #[cfg(target_os = "linux")]
    fn memory_holds(odd: &str, even: &str) -> bool {
        use std::io::{Seek as _, SeekFrom};
        let mut maps = String::with_capacity(4 << 20);
        let mut file = std::fs::File::open("/proc/self/maps").unwrap();
        file.read_to_string(&mut maps).unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let length = 2 * odd.len();
        let holds = |bytes: &[u8]| {
            bytes.windows(length).any(|window| {
                let (pairs, _) = window.as_chunks::<2>();
                let mut pairs = pairs.iter().zip(odd.bytes().zip(even.bytes()));
                pairs.all(|(pair, (odd, even))| *pair == [odd, even])
            })
        };
        let mut bytes = vec![0; 4 << 20];
        maps.lines()
            .filter(|line| line.contains(" rw"))
            .any(|line| {
                let (range, _) = line.split_once(' ').unwrap();
                let (start, end) = range.split_once('-').unwrap();
                let [start, end] = [start, end].map(|n| usize::from_str_radix(n, 16).unwrap());
                let mut starts = (start..end).step_by(bytes.len() - length);
                starts.any(|start| {
                    let piece = bytes.len().min(end - start);
                    let piece = &mut bytes[..piece];
                    let start = SeekFrom::Start(u64::try_from(start).unwrap());
                    memory.seek(start).unwrap();
                    // Some of it cannot be read.
                    memory.read_exact(piece).is_ok() && holds(piece)
                })
            })
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_parts_of_a_secret_body_are_overwritten() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (odd, even) = ("Ks7Qp2Zt9Xw4", "mB3vN8cR1yF6");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.extend(byte);
                }
                // The token is in the middle, so that what is freed and used again is seldom that.
                let head = format!(
                    "HTTP/1.1 200 OK\r\nX-Some: field\r\nContent-Length: 6024\r\n\r\n{:3000}",
                    ""
                );
                let end = [b' '; 3000];
                let (odd, even) = (odd.as_bytes().chunks(1), even.as_bytes().chunks(1));
                let body = odd.zip(even).flat_map(|(odd, even)| [odd, even]);
                let slices: Vec<_> = std::iter::once(head.as_bytes())
                    .chain(body)
                    .chain([&end[..]])
                    .map(IoSlice::new)
                    .collect();
                // The system puts it together.
                let length = stream.write_vectored(&slices).unwrap();
                assert_eq!(length, head.len() + 3024);
            }
        });

        let base = BaseUrl::new(&base).unwrap();
        let token = Credentials::bearer("token").unwrap();
        let resolved = Settings::new(base, token, "test").resolve(false).unwrap();
        let [connector, _] = Connector::by_tcp(&resolved).unwrap();
        let uri = resolved.session.base().to_string();
        let http = Http::new(&resolved, connector, None);
        let send = async |reading| {
            let request = Request::post(&uri).body(Body::empty()).unwrap();
            let deadline = Deadline::after(Duration::from_secs(60));
            let response = http
                .send(request, deadline, reading, &resolved.limits)
                .await;
            let body = response.unwrap().into_body();
            assert_eq!(body.len(), 6024);
            body
        };
        send(Destination::Erased).await.zeroize();
        assert!(!memory_holds(odd, even));
        // What is no secret is found: the search can.
        let body = send(Destination::Buffer(Vec::new())).await;
        assert!(memory_holds(odd, even));
        drop(body);
    }
}
