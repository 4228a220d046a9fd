//! Servers on loopback that send what a correct Atlas would not.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Opens a port on which nothing accepts connections yet. Also returns its base URL.
///
/// # Panics
/// If there is no free port.
#[must_use]
pub fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// A server that handles each connection with a function, in a thread of its own. It ends with the process.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoopbackServer {
    /// The address of its port.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl LoopbackServer {
    /// Starts a server that passes each connection to `serve`, with its number (counted from 0). A write fails if the
    /// client reads nothing for 30 seconds.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(
        serve: impl Fn(usize, TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let (listener, _) = listener();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || {
                    // The tests depend on which bytes arrive together, so nothing may be delayed and merged.
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
                    serve(number, stream)
                });
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Starts a server that responds to requests for page `n` with the status and the body of `page(n)`.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn with_pages(page: impl Fn(u32) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::start(move |_, mut stream| {
            while let Some(head) = read_head(&mut stream)? {
                let (status, body) = page(page_num_of(&head));
                stream.write_all(response(status, &body).as_bytes())?;
            }
            Ok(())
        })
    }

    /// Starts a server that sends these bytes after each request.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn with_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, mut stream| {
            while read_head(&mut stream)?.is_some() {
                stream.write_all(&bytes)?;
            }
            Ok(())
        })
    }

    /// Returns the base URL without TLS.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Returns a response with a `Content-Length`.
#[must_use]
pub fn response(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Reads the head of a request and nothing beyond it. Returns `None` if the connection ends instead.
///
/// # Errors
/// If the connection fails, if it ends within the head, or if the head is not UTF-8.
pub fn read_head(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return match head.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        head.extend(byte);
    }
    String::from_utf8(head).map(Some).map_err(io::Error::other)
}

/// Returns the page number that a request with this head asks for.
#[must_use]
pub fn page_num_of(head: &str) -> u32 {
    let page_num = head.split(['?', '&', ' ']).find_map(|part| {
        let number = part.strip_prefix("pageNum=")?;
        number.parse().ok()
    });
    page_num.unwrap_or(1)
}
