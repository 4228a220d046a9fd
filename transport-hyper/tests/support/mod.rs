//! Servers with scripted bytes, over connections within this process or over TCP.

pub(crate) mod http2;
pub(crate) mod tls;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use atlas_model_keys_hyper::protocol::FailureKind;
use atlas_model_keys_hyper::{
    BaseUrl, BoxError, Client, ClientBuilder, Credentials, Error, GroupId, ListRequest,
};
use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tower_service::Service;

type Served = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A buffer of a connection that holds so much that a client which reads all of it at once would block other tasks.
pub(crate) const LARGE_BUFFER: usize = 8 << 20;

/// The most that a client may read before other tasks get a turn: four parts of 16 KiB.
pub(crate) const A_TURN: usize = 64 << 10;

/// A connector for connections within this process, whose other ends are served by tasks. Time may be paused.
#[derive(Clone)]
pub(crate) struct InMemory {
    serve: Arc<dyn Fn(DuplexStream) -> Served + Send + Sync>,
    is_http_2: bool,
    /// The number of bytes that a side can send before the other one reads.
    buffer: usize,
    /// The number of bytes that clients have read.
    read: Arc<AtomicUsize>,
}

impl InMemory {
    pub(crate) fn new<F>(serve: impl Fn(DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self {
            serve: Arc::new(move |stream| Box::pin(serve(stream))),
            is_http_2: false,
            buffer: 64 << 10,
            read: Arc::default(),
        }
    }

    /// Makes connections of HTTP/2.
    pub(crate) fn http_2(self) -> Self {
        Self {
            is_http_2: true,
            ..self
        }
    }

    /// Lets each side send this number of bytes before the other one reads.
    pub(crate) fn with_buffer(self, buffer: usize) -> Self {
        Self { buffer, ..self }
    }

    /// Measures the largest number of bytes that clients read between two polls of another task of this runtime, until the
    /// returned task is aborted.
    pub(crate) fn most_read_in_a_turn(&self) -> (JoinHandle<()>, impl Fn() -> usize) {
        let most = Arc::new(AtomicUsize::new(0));
        let (noted, read) = (Arc::clone(&most), Arc::clone(&self.read));
        let other = tokio::spawn(async move {
            loop {
                let before = read.load(Ordering::SeqCst);
                let mut has_yielded = false;
                // `yield_now` wakes a task only after tokio has polled its driver, which may be dozens of polls later.
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    match std::mem::replace(&mut has_yielded, true) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
                noted.fetch_max(read.load(Ordering::SeqCst) - before, Ordering::SeqCst);
            }
        });
        (other, move || most.load(Ordering::SeqCst))
    }

    /// Returns a builder of a client with this connector.
    pub(crate) fn client(&self, credentials: Credentials) -> ClientBuilder {
        let base = BaseUrl::new("http://127.0.0.1:9").unwrap();
        Client::builder(base, credentials).connector(self.clone())
    }
}

impl Service<Uri> for InMemory {
    type Response = Pipe;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Pipe, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (client, server) = duplex(self.buffer);
        tokio::spawn((self.serve)(server));
        std::future::ready(Ok(Pipe {
            stream: TokioIo::new(client),
            is_http_2: self.is_http_2,
            read: Arc::clone(&self.read),
        }))
    }
}

pub(crate) struct Pipe {
    stream: TokioIo<DuplexStream>,
    is_http_2: bool,
    read: Arc<AtomicUsize>,
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        match self.is_http_2 {
            true => Connected::new().negotiated_h2(),
            false => Connected::new(),
        }
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = vec![0; buffer.remaining()];
        let mut read = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, read.unfilled()))?;
        buffer.put_slice(read.filled());
        self.read.fetch_add(read.filled().len(), Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Reads the head of an HTTP/1.1 request, or returns `None` if the connection ends.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// Returns a complete HTTP/1.1 response with these header fields.
pub(crate) fn whole(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}")
}

pub(crate) const EMPTY: &str = r#"{"results":[]}"#;

pub(crate) fn bearer() -> Credentials {
    Credentials::bearer("token").unwrap()
}

pub(crate) fn service_account() -> Credentials {
    Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap()
}

pub(crate) fn request() -> ListRequest {
    ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap())
}

pub(crate) fn kind_of(error: &Error) -> FailureKind {
    match error {
        Error::Transport { kind, .. } => *kind,
        other => panic!("not a transport's error: {other:?}"),
    }
}

/// Returns the text of an error and its causes, in every form that can be printed.
pub(crate) fn told(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text += &format!(" {inner} {inner:?}");
        cause = inner.source();
    }
    text
}
