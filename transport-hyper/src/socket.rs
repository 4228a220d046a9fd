//! TCP connections that notice bytes that arrive while they are idle.

use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tower_service::Service;

/// Makes TCP connections with hyper-util.
#[derive(Clone)]
pub(crate) struct TcpConnector(pub(crate) HttpConnector);

impl Service<Uri> for TcpConnector {
    type Response = Socket;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            Ok(Socket {
                tcp: connecting.await?,
                idle_flag: IdleFlag(Arc::default()),
            })
        })
    }
}

/// A TCP connection.
///
/// Bytes that arrive on an idle connection of HTTP/1.1 are not the response to the next request, so hyper closes the
/// connection. But tokio learns of them only between turns of its tasks: a program that computes for a while and then
/// requests the next page would send the request first, and take the old bytes for the response. So a read of an
/// [idle](IdleFlag) connection asks the system itself.
pub(crate) struct Socket {
    tcp: TokioIo<TcpStream>,
    idle_flag: IdleFlag,
}

/// Whether a connection is idle: a response has ended, and no request was sent since. Its `Connected` has a clone.
#[derive(Clone, Debug)]
pub(crate) struct IdleFlag(Arc<AtomicBool>);

impl IdleFlag {
    /// Notes that a response has ended.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        self.tcp.connected().extra(self.idle_flag.clone())
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.idle_flag.is_set() {
            return Pin::new(&mut self.tcp).poll_read(cx, buffer);
        }
        let tcp = self.tcp.inner();
        if tcp.poll_read_ready(cx).is_ready() {
            return Pin::new(&mut self.tcp).poll_read(cx, buffer);
        }
        // The task is woken by bytes that arrive from here on.
        let mut bytes = [0; 512];
        let room = buffer.remaining().min(bytes.len());
        let (bytes, _) = bytes.split_at_mut(room);
        match (&*SockRef::from(tcp)).read(bytes) {
            Ok(length) => {
                let (came, _) = bytes.split_at(length);
                buffer.put_slice(came);
                Poll::Ready(Ok(()))
            }
            Err(error) if is_nothing(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, bytes));
        self.idle_flag.clear();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, slices));
        self.idle_flag.clear();
        Poll::Ready(written)
    }
}
