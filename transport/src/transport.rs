//! The traits that connect a client to an HTTP library.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::wire::Decoder;
use atlas_model_keys_core::{Body, Failure, Limits};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use crate::body::BodyReader;
use crate::body_size::BodySizeEstimate;
use crate::clock::{Clock, SystemClock};
use crate::deadline::Deadline;
use crate::settings::bounded;

/// Sends requests for a [`blocking::Client`](crate::blocking::Client): a blocking HTTP library.
///
/// # Contract
///
/// A transport moves bytes. Everything else is the client's: credentials, retries, deadlines over several requests, paging.
/// `send` is called by several threads or tasks at once, up to 64 for each listing that reads ahead. A transport must:
///
/// - **Send the request unchanged**: method, path and query, all headers and the body. The URI is absolute. Some libraries parse
///   and normalize a URL again, but a digest signs the path and the query exactly as they are in the request. An
///   [empty body](Body::is_empty) is sent as no body, without `Content-Length: 0`. A transport may add `Host`, `Connection`,
///   the length of a body, and `Accept-Encoding: gzip`, but none or `identity` if the response
///   [may hold a token](SendContext::may_hold_token). It must not replace a header.
/// - **Add nothing of its own**: no credentials, no cookies, no answers to challenges, no redirects, no retries.
/// - **Return every status as a response.** A 404 is not a failure of the transport. If the body of an error status cannot be
///   decompressed, the response is returned anyway.
/// - **Read the body with [`SendContext::body_reader`]**, which keeps the limits and decompresses. When the reader
///   [is full](BodyReader::is_full), the rest is not read, and the connection is closed (in HTTP/2, the stream is cancelled). A
///   body that ends too early is a failure ([`Lost`](atlas_model_keys_core::FailureKind::Lost)). The headers are
///   returned as received, except for those that the reader removes.
/// - **Never take a response for another request.** A connection on which bytes arrived before a request is not used again, and
///   a response with two lengths is [refused](crate::TwoLengths::refuse).
/// - **End by [`SendContext::remaining`]**, with connecting and reading. Shorter timeouts for connecting and for a silent server
///   are a good idea, because the client retries what they end. Report your own timeouts as
///   [`NotSent`](atlas_model_keys_core::FailureKind::NotSent) (while connecting) or
///   [`Lost`](atlas_model_keys_core::FailureKind::Lost) (afterwards). Return
///   [`TimedOut`](atlas_model_keys_core::FailureKind::TimedOut) only at the end of `remaining`: it ends the call. After the
///   deadline, the client reports `NotSent` and `Lost` as `TimedOut`.
/// - **Tell whether the server may have received the request**:
///   [`NotSent`](atlas_model_keys_core::FailureKind::NotSent) only if it was certainly not sent,
///   [`Lost`](atlas_model_keys_core::FailureKind::Lost) if it may have been sent or the response is incomplete, and
///   [`Permanent`](atlas_model_keys_core::FailureKind::Permanent) if no retry can help, such as an untrusted certificate.
///   [`failure_kind`](crate::failure_kind) knows the usual causes; with rustls, enable the feature `rustls`, because otherwise
///   an untrusted certificate counts as `Lost` and is retried.
/// - **Check certificates**, and send a request for `https` over TLS only.
///
/// The client redacts the texts of failures, so a transport may pass the errors of its library.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request and returns its response with the whole body.
    ///
    /// # Errors
    /// The failure to deliver the request or its response; see the contract above.
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure>;
}

/// Sends requests for an [`asynchronous::Client`](crate::asynchronous::Client): an async HTTP library and its runtime.
///
/// The [contract of `Transport`](Transport#contract) applies, with two differences: the client ends `send` itself at the
/// deadline, and any future may be dropped at any time, which must cancel the request and leave the transport usable.
pub trait AsyncTransport: Send + Sync + 'static {
    /// Sends one request and returns its response with the whole body.
    ///
    /// # Errors
    /// The failure to deliver the request or its response; see the [contract](Transport#contract).
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> impl Future<Output = Result<Response<Vec<u8>>, Failure>> + Send;

    /// Waits for this time, up to a year.
    ///
    /// The client ends `send` with it at the deadline, so it must end on time even if `send` has used up the task's budget.
    /// With tokio: `tokio::task::unconstrained(tokio::time::sleep(delay)).await`.
    fn sleep(&self, delay: Duration) -> impl Future<Output = ()> + Send;

    /// Runs a task until it is complete, whether or not anybody waits for it, or returns it if that is not possible.
    ///
    /// Clients spawn the fetch of each page. Without a spawned task, a fetch makes progress only while its future or stream
    /// is polled. If a caller keeps such a future without polling it, other calls that wait for the same token request, or
    /// for a place under the rate limit, wait for 60 to 90 seconds. [Reading ahead](crate::asynchronous::Pages::read_ahead)
    /// then has no effect either. The default returns the task.
    ///
    /// # Errors
    /// The task, which was not started.
    fn spawn(&self, task: Task) -> Result<(), Task> {
        Err(task)
    }
}

/// A shared transport, for example to keep it for statistics.
impl<T: Transport> Transport for Arc<T> {
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        (**self).send(request, context)
    }
}

/// A shared transport, for example to keep it for statistics.
impl<T: AsyncTransport> AsyncTransport for Arc<T> {
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> impl Future<Output = Result<Response<Vec<u8>>, Failure>> + Send {
        (**self).send(request, context)
    }

    fn sleep(&self, delay: Duration) -> impl Future<Output = ()> + Send {
        (**self).sleep(delay)
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        (**self).spawn(task)
    }
}

/// A task for a runtime. It handles its own panics and its cancellation.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a transport has to know about one request, apart from the request itself.
pub struct SendContext<'c> {
    deadline: Deadline,
    limits: &'c Limits,
    holds_token: bool,
    buffer: Vec<u8>,
    body_size: Option<&'c Arc<BodySizeEstimate>>,
}

impl<'c> SendContext<'c> {
    /// Makes the context of a single request, for a test of a transport. Clients make their own.
    #[must_use]
    pub fn new(limits: &'c Limits, remaining: Duration, holds_token: bool) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let deadline = Deadline::after(bounded(remaining), &clock, None, None);
        Self::for_call(&deadline, limits, holds_token)
    }

    pub(crate) fn for_call(deadline: &Deadline, limits: &'c Limits, holds_token: bool) -> Self {
        Self {
            deadline: deadline.clone(),
            limits,
            holds_token,
            buffer: Vec::new(),
            body_size: None,
        }
    }

    /// Gives the buffer of an earlier body, and the lengths of earlier ones, to a response without a token.
    pub(crate) fn with_buffer(
        mut self,
        buffer: Vec<u8>,
        body_size: &'c Arc<BodySizeEstimate>,
    ) -> Self {
        self.buffer = buffer;
        self.body_size = Some(body_size);
        self
    }

    /// Returns the time until the deadline of the call; zero after it, and after a cancellation.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.remaining()
    }

    /// Returns whether the result is no longer needed, because the call was cancelled. Checking it is optional:
    /// [`remaining`](SendContext::remaining) is zero then.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.deadline.is_cancelled()
    }

    /// Returns the limits of the client: the sizes of heads and bodies, and others.
    #[must_use]
    pub fn limits(&self) -> &'c Limits {
        self.limits
    }

    /// Returns whether the response may hold an access token. Ask for such a response without compression, and leave no
    /// copies of its body behind. The client overwrites the body that it gets.
    #[must_use]
    pub fn may_hold_token(&self) -> bool {
        self.holds_token
    }

    /// Returns the remaining time, but at most this one, and at least a millisecond. It is a timeout for the socket of a
    /// blocking transport, where zero would be an error or mean that there is no timeout. It is for a single read: check
    /// [`remaining`](SendContext::remaining) between reads, because a slow server restarts it with each byte.
    #[must_use]
    pub fn timeout(&self, at_most: Duration) -> Duration {
        self.remaining().min(at_most).max(Duration::from_millis(1))
    }

    /// Starts to read the body of the response with this status and these headers.
    ///
    /// The reader keeps the limits, decompresses gzip, and leaves no copy of a body that may hold a token.
    pub fn body_reader(&mut self, status: StatusCode, headers: &mut HeaderMap) -> BodyReader<'c> {
        if self.holds_token {
            let reader = BodyReader::secret(status, headers, self.limits);
            return reader.with_deadline(&self.deadline);
        }
        let buffer = std::mem::take(&mut self.buffer);
        let reader = BodyReader::new(status, headers, buffer, self.limits);
        let reader = reader.with_deadline(&self.deadline);
        match self.body_size {
            Some(estimate) => reader.with_estimate(estimate),
            None => reader,
        }
    }

    /// Starts to read the response from the bytes of a connection, for a transport without an HTTP library.
    ///
    /// The decoder keeps the limits. It does not decompress: do not ask for gzip. Unlike the [body
    /// reader](SendContext::body_reader), it leaves copies of a token in memory that is freed. Each response needs its own decoder. A
    /// connection may be used again only if the message says
    /// [`keep_alive`](atlas_model_keys_core::wire::Message::keep_alive) and no bytes are left over.
    pub fn decoder(&self, method: &Method) -> Decoder {
        let mut limits = self.limits.clone();
        if self.holds_token {
            let most = limits.error_body_bytes.saturating_add(1);
            limits.body_bytes = limits.body_bytes.min(most);
        }
        Decoder::new(method, &limits)
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Copies what the context borrows, for another thread.
    pub(crate) fn into_owned(self) -> OwnedContext {
        OwnedContext {
            deadline: self.deadline,
            limits: self.limits.clone(),
            holds_token: self.holds_token,
            buffer: self.buffer,
            body_size: self.body_size.cloned(),
        }
    }
}

/// A [`SendContext`] that borrows nothing.
pub(crate) struct OwnedContext {
    deadline: Deadline,
    limits: Limits,
    holds_token: bool,
    buffer: Vec<u8>,
    body_size: Option<Arc<BodySizeEstimate>>,
}

impl OwnedContext {
    pub(crate) fn borrow(&mut self) -> SendContext<'_> {
        SendContext {
            buffer: std::mem::take(&mut self.buffer),
            body_size: self.body_size.as_ref(),
            ..SendContext::for_call(&self.deadline, &self.limits, self.holds_token)
        }
    }
}

/// Leaves out the buffer, because it contains a body.
impl fmt::Debug for SendContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendContext")
            .field("deadline", &self.deadline)
            .field("holds_token", &self.holds_token)
            .finish_non_exhaustive()
    }
}
