//! The bytes of a connection, with or without TLS.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Options;

/// A connection. Writes are not buffered.
pub(super) struct Stream {
    socket: Arc<TcpStream>,
    #[cfg(feature = "tls")]
    session: Option<super::tls::Session>,
    /// Whether the client speaks plain HTTP, although the server serves HTTPS. The session is gone then, so
    /// that the client can be told.
    is_http_on_https: bool,
}

impl Stream {
    #[cfg_attr(not(feature = "tls"), expect(unused_variables))]
    pub(super) fn new(socket: Arc<TcpStream>, options: &Options) -> io::Result<Self> {
        Ok(Self {
            socket,
            #[cfg(feature = "tls")]
            session: options
                .tls
                .as_ref()
                .map(super::tls::Tls::session)
                .transpose()?,
            is_http_on_https: false,
        })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads some bytes. Returns 0 at the end of the stream. It waits for this time at most, however many
    /// reads of the socket the TLS handshake or a TLS record needs.
    pub(super) fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        let mut socket = TimedSocket {
            socket: &self.socket,
            since: Instant::now(),
            timeout,
        };
        #[cfg(feature = "tls")]
        if let Some(session) = &mut self.session {
            let mut first = [0];
            if session.has_begun() || {
                socket.timed(|socket| socket.peek(&mut first))?;
                // A TLS handshake begins with the byte 22 (RFC 8446 §5.1), a method with a letter.
                !first[0].is_ascii_uppercase()
            } {
                return session.read(&mut socket, buffer);
            }
            self.session = None;
            self.is_http_on_https = true;
        }
        socket.read(buffer)
    }

    pub(super) fn is_http_on_https(&self) -> bool {
        self.is_http_on_https
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(session) = &mut self.session {
            return session.write(&*self.socket, bytes);
        }
        (&*self.socket).write_all(bytes)
    }

    /// Ends the response in the correct way, over TLS with `close_notify` (RFC 8446 §6.1). An error is
    /// ignored, because the connection ends anyway.
    pub(super) fn end(&mut self) {
        #[cfg(feature = "tls")]
        if let Some(session) = &mut self.session {
            session.close(&*self.socket);
        }
        self.cut();
    }

    /// Ends the response with FIN alone. Over TLS, a client cannot tell it from a truncation by an
    /// attacker.
    pub(super) fn cut(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

/// The time after which a read sees that another thread has shut the socket down. On Unix it sees this at once; on
/// Windows, a read that waits already may not end.
const SHUTDOWN_CHECK: Duration = if cfg!(unix) {
    Duration::MAX
} else {
    Duration::from_millis(50)
};

/// A socket with a time limit for all reads together.
struct TimedSocket<'s> {
    socket: &'s TcpStream,
    since: Instant,
    timeout: Duration,
}

impl TimedSocket<'_> {
    fn timed(&self, mut read: impl FnMut(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let left = self.timeout.saturating_sub(self.since.elapsed());
            // A read timeout of zero is not allowed.
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let wait = left.min(SHUTDOWN_CHECK);
            self.socket.set_read_timeout(Some(wait))?;
            match read(self.socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if wait < left && is_timeout(&error) => {}
                read => return read,
            }
        }
    }
}

/// Windows reports a timeout of a read as `TimedOut`, Unix as `WouldBlock`.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

impl Read for TimedSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.timed(|mut socket| socket.read(buffer))
    }
}

impl Write for TimedSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    /// After a malformed handshake, rustls writes once. The alert is not the first of its buffers.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
