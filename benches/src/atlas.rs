//! A server in a separate process that sends the emulator's pages over loopback.
//!
//! It renders each page only once. So the work of the server hardly affects the measurements of a client,
//! even if both share few cores.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fmt};

use atlas_model_keys_emulator::{Config, Emulator, Fault, Names};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use http::{Request, Response};

/// The encoding of response bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEncoding {
    /// The plain body with `Content-Length`.
    Length,
    /// Chunks of 8 KiB, as from most servers that do not know the length in advance.
    Chunks,
    /// Chunks of 1 to 1024 bytes, as the emulator's fault `chunked` sends them: the worst case.
    SmallChunks,
    /// The body compressed with gzip, with `Content-Length`.
    Gzip,
}

impl BodyEncoding {
    /// All encodings.
    pub const ALL: [Self; 4] = [Self::Length, Self::Chunks, Self::SmallChunks, Self::Gzip];
}

impl fmt::Display for BodyEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Length => "content-length",
            Self::Chunks => "chunked",
            Self::SmallChunks => "small chunks",
            Self::Gzip => "gzip",
        })
    }
}

impl FromStr for BodyEncoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|encoding| encoding.to_string() == text)
            .ok_or_else(|| format!("there is no body encoding {text:?}"))
    }
}

/// A server in a separate process. The process ends when this is dropped, or when its parent ends.
#[derive(Debug)]
#[non_exhaustive]
pub struct Atlas {
    process: Child,
    /// The base URL.
    pub base: String,
    /// The id of the group that has the keys.
    pub group: String,
    /// An access token with a long lifetime.
    pub token: String,
}

impl Atlas {
    /// Starts this executable again with the argument `serve`. Its `main` must pass the arguments after
    /// `serve` to [`serve`].
    ///
    /// # Panics
    /// Panics if the process cannot be started.
    #[must_use]
    pub fn start(keys: usize, latency: Duration, encoding: BodyEncoding) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["serve", &keys.to_string()])
            .args([&latency.as_millis().to_string(), &encoding.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (base, group, token) = (line(), line(), line());
        Self {
            process,
            base,
            group,
            token,
        }
    }
}

impl Drop for Atlas {
    fn drop(&mut self) {
        // The process ends at the end of its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs the process that [`Atlas::start`] starts.
///
/// # Panics
/// Panics if the arguments are not valid, or no port is free.
pub fn serve(arguments: &[&str]) {
    let [keys, latency, encoding] = arguments else {
        panic!("{arguments:?}");
    };
    let encoding = encoding.parse().unwrap();
    let mut emulator = Emulator::new(
        Config::default()
            .with_groups(1)
            .with_keys_per_group(keys.parse().unwrap())
            .with_names(Names::Hostile)
            .with_token_ttl(Duration::from_secs(24 * 3600))
            .with_rate_limit(None),
    );
    if encoding == BodyEncoding::SmallChunks {
        emulator.inject(Fault::CHUNKED);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    println!("{}", emulator.first_group());
    println!("{}", emulator.access_token());
    let server = Arc::new(Server {
        latency: Duration::from_millis(latency.parse().unwrap()),
        encoding,
        emulator: Mutex::new(emulator),
        rendered: Mutex::default(),
    });
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = Arc::clone(&server);
            // An error is ignored: the client has closed the connection.
            thread::spawn(move || drop(server.serve_connection(&stream)));
        }
    });
    // The input ends when the parent ends.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

struct Server {
    latency: Duration,
    encoding: BodyEncoding,
    emulator: Mutex<Emulator>,
    /// Rendered responses, by the parts of the request that they depend on.
    rendered: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl Server {
    fn serve_connection(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(mut request) = request(&mut lines)? {
            if self.encoding != BodyEncoding::Gzip {
                request.headers_mut().remove(ACCEPT_ENCODING);
            }
            let bytes = self.response_bytes(&request);
            thread::sleep(self.latency);
            let mut stream = stream;
            stream.write_all(&bytes)?;
        }
        Ok(())
    }

    fn response_bytes(&self, request: &Request<&str>) -> Arc<Vec<u8>> {
        let header = |name| request.headers().get(name);
        let key = format!(
            "{} {:?} {:?} {:?}",
            request.uri(),
            header(ACCEPT),
            header(ACCEPT_ENCODING),
            header(AUTHORIZATION)
        );
        if let Some(bytes) = self.rendered.lock().unwrap().get(&key) {
            return Arc::clone(bytes);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let response = self.emulator.lock().unwrap().handle(request, now);
        let bytes = Arc::new(self.render(response));
        let mut rendered = self.rendered.lock().unwrap();
        rendered.insert(key, Arc::clone(&bytes));
        bytes
    }

    fn render(&self, mut response: Response<Vec<u8>>) -> Vec<u8> {
        const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
        if self.encoding == BodyEncoding::Chunks {
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
