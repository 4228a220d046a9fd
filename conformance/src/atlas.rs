//! An emulator that serves, and what a client needs for it.

use std::io::{self, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Credentials, GroupId, Limits, ListRequest, RetryPolicy};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Route};
use http::Response;

use crate::{Front, Setup};

/// The kinds of credentials.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums)] // All there are.
pub enum Kind {
    /// An access token.
    Bearer,
    /// OAuth.
    ServiceAccount,
    /// Digest.
    ApiKey,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Bearer, Self::ServiceAccount, Self::ApiKey];
}

/// An emulator that serves, and the first of its groups.
#[derive(Debug)]
#[non_exhaustive]
pub struct Atlas {
    /// The server.
    pub server: Server,
    /// The group that has keys.
    pub group: GroupId,
}

impl Atlas {
    /// One with this configuration and these options.
    ///
    /// # Panics
    /// Without a port or a thread.
    #[must_use]
    pub fn start(config: Config, options: Options) -> Self {
        let emulator = Emulator::new(config);
        let group = emulator.first_group();
        let server = Server::start(emulator, options).unwrap();
        Self { server, group }
    }

    /// One with so many keys.
    #[must_use]
    pub fn with_keys(keys_per_group: usize) -> Self {
        let config = Config {
            keys_per_group,
            rate_limit: None,
            ..Config::default()
        };
        Self::start(config, Options::default())
    }

    /// One that takes its time.
    #[must_use]
    pub fn with_latency(keys_per_group: usize, latency: Duration) -> Self {
        let config = Config {
            keys_per_group,
            rate_limit: None,
            ..Config::default()
        };
        let options = Options {
            latency,
            ..Options::default()
        };
        Self::start(config, options)
    }

    /// Where it is.
    ///
    /// # Panics
    /// Never: it is on loopback.
    #[must_use]
    pub fn base(&self) -> BaseUrl {
        BaseUrl::new(&self.server.base_url()).unwrap()
    }

    /// A credential that it accepts.
    ///
    /// # Panics
    /// Never: the emulator's are well-formed.
    #[must_use]
    pub fn credentials(&self, kind: Kind) -> Credentials {
        self.server.with(|emulator| {
            let account = emulator.service_account().clone();
            let key = emulator.api_key().clone();
            match kind {
                Kind::Bearer => Credentials::bearer(emulator.access_token()),
                Kind::ServiceAccount => {
                    Credentials::service_account(account.client_id, account.client_secret)
                }
                Kind::ApiKey => Credentials::api_key(key.public_key, key.private_key),
            }
            .unwrap()
        })
    }

    /// A client for it.
    ///
    /// # Panics
    /// Where the setup is wrong.
    #[must_use]
    pub fn client<C: Front>(&self, kind: Kind, setup: Setup) -> C {
        C::new(self.base(), self.credentials(kind), setup).unwrap()
    }

    /// The first page of the first group.
    pub fn request(&self) -> ListRequest {
        ListRequest::new(self.group)
    }

    /// The ids of all keys, in order.
    ///
    /// # Panics
    /// Never: each of them has one.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.server.with(|emulator| {
            let keys = emulator.keys(self.group).iter();
            keys.map(|key| key.api_key_id.clone().unwrap()).collect()
        })
    }

    /// How the next listing is answered.
    pub fn answer_next(&self, answer: Response<Vec<u8>>) {
        self.server
            .with(|emulator| emulator.answer_next(Route::ListGroupKeys, answer));
    }

    /// Requests for keys, and for tokens.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        self.server.with(|emulator| {
            let lists = emulator.requests_for(Route::ListGroupKeys);
            (lists, emulator.token_requests())
        })
    }
}

/// Nothing is repeated, so that failures show at once.
#[must_use]
pub fn once() -> Limits {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    limits
}

/// Repeated as ever, but soon.
#[must_use]
pub fn soon() -> Limits {
    let mut limits = Limits::default();
    limits.retry.base = Duration::from_millis(1);
    limits
}

/// A socket that takes connections and answers nothing, and its base URL.
///
/// # Panics
/// Without a port.
#[must_use]
pub fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// A server that answers each page as it is told, for what an honest Atlas would not do. It ends with the
/// process.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scripted {
    /// Where it is.
    pub base: String,
    /// How many connections were made so far.
    pub connections: Arc<AtomicUsize>,
}

impl Scripted {
    /// Answers page `n` with the status and the body of `answer(n)`.
    ///
    /// # Panics
    /// Without a port.
    pub fn start(answer: impl Fn(u32) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::with(move |stream| {
            while let Some(head) = read_head(stream)? {
                let (status, body) = answer(page_of(&head));
                let head = format!(
                    "HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes())?;
            }
            Ok(())
        })
    }

    /// Serves each connection with `serve`, byte by byte. Writing fails after 30 seconds without a reader.
    ///
    /// # Panics
    /// Without a port.
    pub fn with(serve: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let (listener, base) = listener();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || {
                    // What is written is on its way at once.
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
                    serve(&mut stream)
                });
            }
        });
        Self { base, connections }
    }
}

/// Reads the head of a request, and nothing beyond; `None` where the connection ends instead.
///
/// # Errors
/// Those of the connection, and its end within a head.
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
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// The number of the page that a request with this head is for.
#[must_use]
pub fn page_of(head: &str) -> u32 {
    let page = head.split(['?', '&', ' ']).find_map(|part| {
        let number = part.strip_prefix("pageNum=")?;
        number.parse().ok()
    });
    page.unwrap_or(1)
}
