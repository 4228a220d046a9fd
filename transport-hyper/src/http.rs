//! Sending one request with hyper, safely, and telling what became of it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use atlas_model_keys_core::{Body, Failure, FailureKind, Limits};
use atlas_model_keys_transport::{Resolved, Room};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{Extensions, Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::body::Sink;
use crate::connect::{ConnectFailure, Connector, Heard, Silence};
use crate::patience::{Deadline, Patience, sleep_until};

/// hyper with its pool, and how it is to be used.
pub(crate) struct Http {
    client: Client<Connector, Full<Bytes>>,
    read_timeout: Duration,
    room: Room,
}

/// An HTTP/2 connection that carries a request is asked for a sign of life this often, and given up
/// without one: all requests to come would go to it otherwise.
const PING: Duration = Duration::from_secs(10);

/// Header fields that hyper looks at, however many the limits allow.
const MOST_HEADERS: usize = 1024;

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;

impl Http {
    pub(crate) fn new(resolved: &Resolved, connector: Connector) -> Self {
        // The core counts, and says so in an error of its own; these are for what is far beyond.
        let head_bytes = resolved.limits.head_bytes.saturating_mul(2);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(resolved.connections.max_idle)
            .pool_idle_timeout(resolved.connections.idle_timeout)
            // hyper makes room for all of them at once.
            .http1_max_headers(resolved.limits.headers.saturating_add(1).min(MOST_HEADERS))
            .http1_max_buf_size(head_bytes.max(SMALLEST_BUFFER))
            .http2_max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .build(connector);
        Self {
            client,
            read_timeout: resolved.timeouts.read,
            room: Room::default(),
        }
    }

    /// Sends the request and reads the whole answer into `buffer`, one byte beyond the limit at
    /// most: the core refuses what is too large.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        deadline: Deadline,
        mut buffer: Vec<u8>,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = request.map(|body| match body.is_empty() {
            true => Full::default(),
            // Erased when it is dropped.
            false => Full::new(Bytes::from_owner(body)),
        });
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let (mut head, mut body) = deadline.end(self.head(request)).await?.into_parts();
        let is_success = head.status.is_success();
        let codings = head.headers.get_all(CONTENT_ENCODING);
        let promised = match codings.iter().next() {
            None => body.size_hint().exact(),
            Some(_) => None,
        };
        buffer.clear();
        buffer.reserve_exact(self.room.expected(promised));
        let mut sink = Sink::new(&codings, buffer, limits.body_bytes.saturating_add(1));
        let mut patience = Patience::new(deadline, self.read_timeout);
        while !sink.is_full() {
            let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => patience.poll_end(cx).map(Err),
            });
            let Some(frame) = frame.await? else { break };
            let frame = frame.map_err(lost)?;
            patience.heard();
            match frame.data_ref().map_or(Ok(()), |data| sink.write(data)) {
                Ok(()) => {}
                // The status and the headers of an error count, even if its body cannot be unpacked.
                Err(_) if !is_success => break,
                Err(error) => return Err(lost(error)),
            }
        }
        if sink.decodes() {
            head.headers.remove(CONTENT_ENCODING);
            head.headers.remove(CONTENT_LENGTH);
        }
        let buffer = match sink.finish() {
            Ok(mut buffer) => {
                self.room.came(&mut buffer);
                buffer
            }
            Err(_) if !is_success => Vec::new(),
            Err(error) => return Err(lost(error)),
        };
        // The connection is given back to the pool by a task of its own. It gets its turn, so that the next
        // request seldom makes another one.
        tokio::task::yield_now().await;
        Ok(Response::from_parts(head, buffer))
    }

    /// Sends, and waits for the head of the answer. Making a connection has a timeout of its own.
    async fn head(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut connection = capture_connection(&mut request);
        let mut response = pin!(self.client.request(request));
        let mut silence = pin!(async {
            let mut extensions = Extensions::new();
            if let Some(connected) = &*connection.wait_for_connection_metadata().await {
                connected.get_extras(&mut extensions);
            }
            let sent = Instant::now();
            let heard: Option<&Heard> = extensions.get();
            let last = || heard.map_or(sent, |heard| heard.last().max(sent));
            // Each byte that comes puts the end off.
            while last().elapsed() < self.read_timeout {
                sleep_until(last().checked_add(self.read_timeout)).await;
            }
        });
        poll_fn(|cx| match response.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map_err(explain)),
            Poll::Pending => silence
                .as_mut()
                .poll(cx)
                .map(|()| Err(lost(Silence("answer", self.read_timeout)))),
        })
        .await
    }
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(FailureKind::Lost, error)
}

/// Tells what became of the request. In doubt it was sent.
fn explain(error: Error) -> Failure {
    let mut kind = FailureKind::Lost;
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(failure) = inner.downcast_ref::<ConnectFailure>() {
            kind = failure.kind;
        }
        if let Some(error) = inner.downcast_ref::<hyper::Error>() {
            if error.is_canceled() {
                // It waited for a connection that came to nothing.
                kind = FailureKind::NotSent;
            }
            // Told by its text alone.
            if error.to_string().contains("too large") {
                kind = FailureKind::Permanent;
            }
        }
        // An HTTP/2 server that says so has not looked at it (RFC 9113 §8.7); told by its text alone.
        if inner.to_string().contains("refused stream") {
            kind = FailureKind::NotSent;
        }
        cause = inner.source();
    }
    Failure::new(kind, error)
}
