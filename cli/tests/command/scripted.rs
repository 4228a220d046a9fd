//! A server that sends the responses of a test, and nothing before the test provides them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The maximum lifetime of a thread. It is far longer than any test needs.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Scripted {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Starts a server that responds to each request with the next body from the channel. After the channel is
    /// closed, it sends no response.
    pub(crate) fn new() -> (Self, Sender<String>) {
        let (send, bodies) = mpsc::channel::<String>();
        let scripted = Self::serve(move |stream| {
            let body = bodies.recv_timeout(LIMIT);
            match body {
                Ok(body) => {
                    let length = body.len();
                    let response =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    stream.write_all(response.as_bytes()).is_ok()
                }
                Err(_) => wait_for_end(stream),
            }
        });
        (scripted, send)
    }

    /// Starts a server that responds to each request with these bytes and closes the connection.
    pub(crate) fn responding_with(bytes: &'static [u8]) -> Self {
        Self::serve(move |stream| {
            let _ = stream.write_all(bytes);
            false
        })
    }

    /// Starts a server. `respond` returns whether the connection stays open.
    fn serve(respond: impl Fn(&mut TcpStream) -> bool + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        thread::spawn(move || {
            // A listing never has two connections at once.
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                while let Some(head) = head(&mut stream) {
                    seen.lock().unwrap().push(head);
                    if !respond(&mut stream) {
                        break;
                    }
                }
            }
        });
        Self { port, heads }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Returns the environment for this server, with an access token.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MONGODB_ATLAS_BASE_URL", self.url()),
            ("MONGODB_ATLAS_PROJECT_ID", GROUP.to_owned()),
            ("MONGODB_ATLAS_ACCESS_TOKEN", "a.token".to_owned()),
        ]
    }
}

pub(crate) const GROUP: &str = "69681d39c9e8cfd375386316";

/// Reads the head of a request. Returns `None` at the end of the connection.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.extend(byte);
    }
    String::from_utf8(head).ok()
}

/// Waits until the client closes the connection.
fn wait_for_end(stream: &mut TcpStream) -> bool {
    while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    false
}

/// Returns a page of keys with these names and without ids.
pub(crate) fn page<N: AsRef<str>>(names: &[N], has_next: bool, total: u64) -> String {
    let rel = if has_next { "next" } else { "self" };
    let keys: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"name":"{}"}}"#, name.as_ref()))
        .collect();
    let keys = keys.join(",");
    format!(r#"{{"links":[{{"rel":"{rel}"}}],"results":[{keys}],"totalCount":{total}}}"#)
}
