//! Sends one request with hyper, and classifies its failures.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use atlas_model_keys_core::{Body, Failure, FailureKind, Limits};
use atlas_model_keys_transport::{
    AsyncTransport, Connections, SendContext, Task, TooLarge, TwoLengths,
};
use bytes::Bytes;
use h2::Reason;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use http::response::Parts;
use http::{Extensions, HeaderMap, Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::coop::{poll_proceed, unconstrained};
use tokio::time::Instant;
use zeroize::{Zeroize as _, Zeroizing};

use crate::byte_counter::{ByteCounter, Excess};
use crate::connect::Connector;
use crate::failure::{ConnectFailure, NoProgress};
use crate::read_timeout::{BodyTimeout, sleep_until};
use crate::socket::IdleFlag;

type Pool = Client<Connector, Full<Bytes>>;

/// Sends requests with hyper and its connection pools.
pub(crate) struct HyperTransport {
    pool: Pool,
    /// A pool for HTTP/1.1 only, if the first one may speak HTTP/2.
    fallback: Option<Pool>,
    /// Whether the server has asked for HTTP/1.1.
    falls_back: AtomicBool,
    read_timeout: Duration,
}

/// The interval of PINGs on an HTTP/2 connection with a request, and the time for their responses. Without them, all later
/// requests would use a dead connection.
const PING: Duration = Duration::from_secs(10);

/// The largest number of header fields that hyper reads.
const MAX_HEADERS: usize = 1024;

/// The smallest buffer that hyper accepts.
const SMALLEST_BUFFER: usize = 8192;

impl AsyncTransport for HyperTransport {
    async fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = request.map(|body| match body.is_empty() {
            true => Full::default(),
            // The body is overwritten when it is dropped.
            false => Full::new(Bytes::from_owner(body)),
        });
        if !context.may_hold_token() {
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let head = self.head(request, context.limits()).await?;
        self.read(head, context).await
    }

    async fn sleep(&self, delay: Duration) {
        // Otherwise a response that arrives too fast, and spends the budget of the task each time, would have no deadline.
        unconstrained(tokio::time::sleep(delay)).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        tokio::spawn(task);
        Ok(())
    }
}

impl HyperTransport {
    pub(crate) fn new(
        connections: &Connections,
        connector: Connector,
        fallback: Option<Connector>,
    ) -> Self {
        // The core enforces the limits with better errors. hyper only has to stop far larger heads.
        let head_bytes = connections.limits.head_bytes.saturating_mul(2);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(connections.max_idle)
            .pool_idle_timeout(connections.idle_timeout)
            // hyper allocates memory for all of them at once.
            .http1_max_headers(
                connections
                    .limits
                    .headers
                    .saturating_add(1)
                    .min(MAX_HEADERS),
            )
            .http1_max_buf_size(head_bytes.max(SMALLEST_BUFFER))
            // A user agent replaces them by spaces (RFC 9112 §5.2).
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            // The windows are hyper's defaults: 2 MiB for a stream and 5 MiB for all. With adaptive windows, h2 resets
            // a body of a few hundred small frames.
            .http2_max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING);
        Self {
            pool: builder.build(connector),
            fallback: fallback.map(|connector| builder.build(connector)),
            falls_back: AtomicBool::new(false),
            read_timeout: connections.read_timeout,
        }
    }

    /// Sends the request and waits for the head of the response. If the server asks for HTTP/1.1, it sends again.
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
        head.map_err(|failure| match failure {
            HeadFailure::Failed(failure) => failure,
            HeadFailure::Http1Required(error) => Failure::new(FailureKind::Permanent, error),
        })
    }

    /// Sends the request with this pool, and waits for the head of the response. The connection has its own timeout.
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
            let counter = counter_of(&known);
            let last = || {
                counter
                    .as_ref()
                    .map_or(sent, |counter| counter.last().max(sent))
            };
            // Each byte that arrives restarts the timeout.
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
            Err(error) => Err(explain(error, counter_of(&connection), limits)),
        }
    }

    /// Reads the body.
    async fn read(
        &self,
        mut head: Head,
        mut context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        if head.parts.version <= Version::HTTP_11
            && let Err(failure) = TwoLengths::refuse(&head.parts.headers)
        {
            head.stop_reuse();
            return Err(failure);
        }
        let is_secret = context.may_hold_token();
        let mut reader = context.body_reader(head.parts.status, &mut head.parts.headers);
        if reader.is_full() {
            // The rest of the response is not read.
            head.stop_reuse();
            return Ok(Response::from_parts(head.parts, Vec::new()));
        }
        let Head {
            mut parts,
            mut body,
            counter,
            idle_flag,
            ..
        } = head;
        let is_success = parts.status.is_success();
        let mut body_timeout = BodyTimeout::new(self.read_timeout);
        let mut secrets = Vec::new();
        while !reader.is_full() {
            let frame = poll_fn(|cx| {
                // There may be many parts that are available at once: other tasks get a turn between them.
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
                if let Some(idle_flag) = &idle_flag {
                    idle_flag.set();
                }
                break;
            };
            let frame = match frame.map_err(|error| explain_body(error, counter.as_ref())) {
                // The status of an error is useful even if its trailers are beyond a limit.
                Err(failure) if !is_success && failure.kind() == FailureKind::Permanent => break,
                frame => frame?,
            };
            body_timeout.part_arrived();
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if let Some(counter) = &counter {
                counter.part_taken(data.len());
            }
            let pushed = reader.push(&data);
            if is_secret {
                secrets.push(data);
            }
            pushed?;
        }
        // A token is overwritten if the call ends before this function.
        let mut body = Zeroizing::new(reader.finish()?);
        // A task of hyper returns the connection to the pool. It gets a turn here, so that the next request usually finds
        // the connection.
        tokio::task::yield_now().await;
        if is_secret {
            erase(secrets, &mut parts.headers);
        }
        let body = std::mem::take(&mut *body);
        Ok(Response::from_parts(parts, body))
    }
}

/// The head of a response, with its body and connection.
struct Head {
    parts: Parts,
    body: Incoming,
    connection: CaptureConnection,
    counter: Option<ByteCounter>,
    /// The idle flag of the connection; HTTP/1.1 only.
    idle_flag: Option<IdleFlag>,
}

impl Head {
    fn new(response: Response<Incoming>, connection: CaptureConnection) -> Self {
        let (parts, body) = response.into_parts();
        let counter: Option<ByteCounter> = parts.extensions.get().cloned();
        if let Some(counter) = &counter {
            counter.head_taken();
        }
        let idle_flag = match parts.version {
            Version::HTTP_2 => None,
            _ => parts.extensions.get().cloned(),
        };
        Self {
            parts,
            body,
            connection,
            counter,
            idle_flag,
        }
    }

    /// Stops the reuse of the connection. A connection of HTTP/2 stays usable for other requests.
    fn stop_reuse(&self) {
        if self.parts.version <= Version::HTTP_11
            && let Some(connected) = &*self.connection.connection_metadata()
        {
            connected.poison();
        }
    }
}

fn counter_of(connection: &CaptureConnection) -> Option<ByteCounter> {
    let mut extensions = Extensions::new();
    if let Some(connected) = &*connection.connection_metadata() {
        connected.get_extras(&mut extensions);
    }
    extensions.remove()
}

/// Overwrites the parts of a secret body, as far as nothing else refers to their memory. hyper's read buffer is shared by
/// the parts of the body, the values of the headers, and hyper itself until its next read. So a part is not overwritten if
/// it shares memory with another one, or if hyper still refers to it.
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

/// The failure of a request that got no response.
enum HeadFailure {
    Failed(Failure),
    /// The server asks for HTTP/1.1 (RFC 9113 §7).
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

/// Converts an error before the response. In doubt, the request was sent.
fn explain(error: Error, counter: Option<ByteCounter>, limits: &Limits) -> HeadFailure {
    match counter.as_ref().and_then(ByteCounter::excess) {
        Some(Excess::Fields) => return Failure::from(TooLarge::InterimResponses).into(),
        Some(excess) => return Failure::new(FailureKind::Permanent, excess).into(),
        None => {}
    }
    let is_long = counter.is_some_and(|counter| counter.is_beyond_a_head());
    let too_long = TooLarge::HeadBytes(limits.head_bytes);
    let mut kind = FailureKind::Lost;
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(failure) = inner.downcast_ref::<ConnectFailure>() {
            kind = failure.kind;
        }
        if let Some(error) = inner.downcast_ref::<hyper::Error>() {
            // The reason is in the text only.
            if error.is_parse() && error.to_string().contains("too large") {
                let fields = TooLarge::HeaderFields(limits.headers.min(MAX_HEADERS));
                let failure = match is_long {
                    true => too_long.into(),
                    false => Failure::new(FailureKind::Permanent, TooManyFields(fields)),
                };
                return failure.into();
            }
            if error.is_canceled() {
                // The request waited for a connection that failed.
                kind = FailureKind::NotSent;
            }
        }
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            let reason = h2.reason().unwrap_or(Reason::NO_ERROR);
            match reason {
                Reason::HTTP_1_1_REQUIRED if h2.is_remote() => {
                    return HeadFailure::Http1Required(error);
                }
                // The server has not processed the request: it refused this stream, or all streams after the
                // last one that it processed (RFC 9113 §6.8, §8.7). h2 reports a GOAWAY to those streams only.
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

/// Converts an error of an incomplete body.
fn explain_body(error: hyper::Error, counter: Option<&ByteCounter>) -> Failure {
    match counter.and_then(ByteCounter::excess) {
        Some(Excess::Fields) => return TooLarge::Trailers.into(),
        Some(excess) => return Failure::new(FailureKind::Permanent, excess),
        None => {}
    }
    let is_long = counter.is_some_and(ByteCounter::is_beyond_a_head);
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let io: Option<&io::Error> = inner.downcast_ref();
        // The reason is in the text only.
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

/// Tells whether h2 has ended a stream or the connection because of a head or trailers beyond its limit. h2 says so in the
/// text for too many frames, but not for too many bytes, for which `is_long` tells whether more bytes arrived than a head
/// may have.
fn is_oversized(error: &h2::Error, is_long: bool) -> bool {
    error.is_library()
        && match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) => error.to_string().contains("continuations"),
            _ => is_long,
        }
}

/// The error that hyper reports for too many header fields, and also for a `Content-Length` of 2^64 - 1.
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
    use atlas_model_keys_transport::{ClientSettings, ConnectionSettings};

    /// Tells whether the memory of this process holds a text. It is given as its characters at odd and at even places, because
    /// the whole text would find itself. The buffers of the search are too large to reuse freed memory.
    #[cfg(target_os = "linux")]
    fn memory_holds(odd: &str, even: &str) -> bool {
        use std::io::{Seek as _, SeekFrom};
        let mut maps = String::with_capacity(4 << 20);
        let mut file = std::fs::File::open("/proc/self/maps").unwrap();
        file.read_to_string(&mut maps).unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let length = 2 * odd.len();
        let starts_with_text = |bytes: &[u8]| {
            let (pairs, _) = bytes.as_chunks::<2>();
            let text = odd.bytes().zip(even.bytes()).map(|(odd, even)| [odd, even]);
            pairs.iter().copied().take(odd.len()).eq(text)
        };
        let holds = |bytes: &[u8]| {
            memchr::memchr_iter(odd.as_bytes()[0], bytes)
                .any(|start| starts_with_text(&bytes[start..]))
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
                    // Some of it cannot be read, or is given back by another thread meanwhile.
                    let mut filled = 0;
                    while let Ok(read @ 1..) = memory.read(&mut piece[filled..]) {
                        filled += read;
                    }
                    holds(&piece[..filled])
                })
            })
    }

    #[tokio::test]
    async fn sleep_ends_although_the_budget_of_the_task_is_spent() {
        let base = BaseUrl::new("http://127.0.0.1:9").unwrap();
        let settings = ClientSettings::new(base, Credentials::bearer("token").unwrap());
        let connections = ConnectionSettings::default()
            .resolve(&settings, false)
            .unwrap();
        let [connector, _] = Connector::by_tcp(&settings, &connections).unwrap();
        let transport = HyperTransport::new(&connections, connector, None);
        let mut sleep = pin!(transport.sleep(Duration::from_millis(1)));
        assert!(poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let has_ended = poll_fn(|cx| {
            while let Poll::Ready(turn) = poll_proceed(cx) {
                turn.made_progress();
            }
            Poll::Ready(sleep.as_mut().poll(cx).is_ready())
        });
        assert!(has_ended.await);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn parts_of_a_secret_body_are_overwritten() {
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
                // The token is in the middle, because memory is often reused at its start.
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
                // The system joins the slices.
                let length = stream.write_vectored(&slices).unwrap();
                assert_eq!(length, head.len() + 3024);
            }
        });

        let base = BaseUrl::new(&base).unwrap();
        let token = Credentials::bearer("token").unwrap();
        let settings = ClientSettings::new(base, token);
        let connections = ConnectionSettings::default()
            .resolve(&settings, false)
            .unwrap();
        let [connector, _] = Connector::by_tcp(&settings, &connections).unwrap();
        let uri = connections.base.to_string();
        let transport = HyperTransport::new(&connections, connector, None);
        let send = async |holds_token| {
            let request = Request::post(&uri).body(Body::empty()).unwrap();
            let time = Duration::from_secs(60);
            let context = SendContext::new(&connections.limits, time, holds_token);
            let response = transport.send(request, context).await;
            let body = response.unwrap().into_body();
            assert_eq!(body.len(), 6024);
            body
        };
        send(true).await.zeroize();
        assert!(!memory_holds(odd, even));
        // A body that is no secret is found, so the search works.
        let body = send(false).await;
        assert!(memory_holds(odd, even));
        drop(body);
    }
}
