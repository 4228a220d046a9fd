//! The server without TLS: HTTP/1.1, with a thread for each connection and the bytes of a response in one piece.

use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::str::FromStr as _;
use std::sync::Arc;
use std::thread;

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Request, Response};

use super::{BodyEncoding, Pages, Rendered};

/// Listens on a free port, and returns the base URL.
pub(super) fn listen(pages: Arc<Pages>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = Arc::new(Server {
        pages,
        rendered: Rendered::default(),
    });
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = Arc::clone(&server);
            // An error is ignored: the client has closed the connection.
            thread::spawn(move || drop(server.serve_connection(&stream)));
        }
    });
    base
}

struct Server {
    pages: Arc<Pages>,
    rendered: Rendered<Vec<u8>>,
}

impl Server {
    fn serve_connection(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(request) = request(&mut lines)? {
            let render = |response| self.render(response);
            let bytes = self.pages.response(&self.rendered, request, render);
            thread::sleep(self.pages.settings.latency);
            let mut stream = stream;
            stream.write_all(&bytes)?;
        }
        Ok(())
    }

    fn render(&self, mut response: Response<Vec<u8>>) -> Vec<u8> {
        const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
        if self.pages.settings.encoding == BodyEncoding::Chunks {
            let body = chunked(response.body(), 8192);
            *response.body_mut() = body;
            response.headers_mut().insert(TRANSFER_ENCODING, CHUNKED);
        }
        if !response.headers().contains_key(TRANSFER_ENCODING) {
            let length = HeaderValue::from(response.body().len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
        for (name, value) in response.headers() {
            bytes.extend_from_slice(
                &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat(),
            );
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(response.body());
        bytes
    }
}

/// Reads the next request of a connection. It has no body, because only listings are requested.
fn request(lines: &mut Lines<BufReader<&TcpStream>>) -> io::Result<Option<Request<&'static str>>> {
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let mut request = Request::get(first.split(' ').nth(1).unwrap_or("/"));
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let name = HeaderName::from_str(name).map_err(io::Error::other)?;
        request = request.header(name, value.trim());
    }
    request.body("").map(Some).map_err(io::Error::other)
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
