//! Atlas in a process of its own: the pages of the emulator, on loopback, each rendered once and then
//! sent in the way that a bench asks for. So the work of the server is hardly seen in what a client's
//! takes, also where both share few cores.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fmt};

use atlas_model_keys_emulator::{Config, Emulator};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use http::{Request, Response};

/// How a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// As it is, with its length.
    Length,
    /// In chunks of 8 KiB, as from most servers that do not know the length beforehand.
    Chunks,
    /// In chunks of 1 to 1024 bytes, as the emulator's fault `chunked` makes them: the worst case.
    SmallChunks,
    /// Packed, with its length.
    Gzip,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Length, Self::Chunks, Self::SmallChunks, Self::Gzip];
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Length => "content-length",
            Self::Chunks => "chunked",
            Self::SmallChunks => "small chunks",
            Self::Gzip => "gzip",
        })
    }
}

impl FromStr for Delivery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|delivery| delivery.to_string() == text)
            .ok_or_else(|| format!("there is no delivery {text:?}"))
    }
}

/// An Atlas in a process of its own. It ends when this is dropped, and with the process that started it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Atlas {
    process: Child,
    /// Its URL.
    pub base: String,
    /// The group that has the keys.
    pub group: String,
    /// An access token that is good for long.
    pub token: String,
}

impl Atlas {
    /// Starts this executable again, which has to give what follows `serve` among its arguments to
    /// [`serve`].
    ///
    /// # Panics
    /// Where there is no such process.
    #[must_use]
    pub fn start(keys: usize, latency: Duration, delivery: Delivery) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["serve", &keys.to_string()])
            .args([&latency.as_millis().to_string(), &delivery.to_string()])
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
        // It ends with its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What the process that [`Atlas::start`] starts does with its arguments.
///
/// # Panics
/// With arguments that are none, or without a port.
pub fn serve(arguments: &[&str]) {
    let [keys, latency, delivery] = arguments else {
        panic!("{arguments:?}");
    };
    let delivery = delivery.parse().unwrap();
    let mut emulator = Emulator::new(Config {
        groups: 1,
        keys_per_group: keys.parse().unwrap(),
        token_ttl: Duration::from_secs(24 * 3600),
        rate_limit: None,
        ..Config::default()
    });
    if delivery == Delivery::SmallChunks {
        emulator.inject("chunked".parse().unwrap(), None);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    println!("{}", emulator.first_group());
    println!("{}", emulator.access_token());
    let server = Arc::new(Server {
        latency: Duration::from_millis(latency.parse().unwrap()),
        delivery,
        emulator: Mutex::new(emulator),
        rendered: Mutex::default(),
    });
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = Arc::clone(&server);
            // A client that leaves in the middle is no concern.
            thread::spawn(move || drop(server.converse(&stream)));
        }
    });
    // Until whoever started it has ended.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

struct Server {
    latency: Duration,
    delivery: Delivery,
    emulator: Mutex<Emulator>,
    /// Answers, by all of the request that they depend on.
    rendered: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl Server {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(mut request) = request(&mut lines)? {
            if self.delivery != Delivery::Gzip {
                request.headers_mut().remove(ACCEPT_ENCODING);
            }
            let answer = self.answer(&request);
            thread::sleep(self.latency);
            let mut stream = stream;
            stream.write_all(&answer)?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request<&str>) -> Arc<Vec<u8>> {
        let header = |name| request.headers().get(name);
        let key = format!(
            "{} {:?} {:?} {:?}",
            request.uri(),
            header(ACCEPT),
            header(ACCEPT_ENCODING),
            header(AUTHORIZATION)
        );
        if let Some(answer) = self.rendered.lock().unwrap().get(&key) {
            return Arc::clone(answer);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let response = self.emulator.lock().unwrap().handle(request, now);
        let answer = Arc::new(self.render(response));
        let mut rendered = self.rendered.lock().unwrap();
        rendered.insert(key, Arc::clone(&answer));
        answer
    }

    fn render(&self, mut response: Response<Vec<u8>>) -> Vec<u8> {
        const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
        if self.delivery == Delivery::Chunks {
            let body = chunked(response.body(), 8192);
            *response.body_mut() = body;
            response.headers_mut().insert(TRANSFER_ENCODING, CHUNKED);
        }
        if !response.headers().contains_key(TRANSFER_ENCODING) {
            let length = HeaderValue::from(response.body().len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        let mut answer = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
        for (name, value) in response.headers() {
            answer.extend_from_slice(
                &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat(),
            );
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(response.body());
        answer
    }
}

/// The next request of a connection. Only listings are asked for here: none of them has a body.
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
