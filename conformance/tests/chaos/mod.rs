//! An Atlas that answers late, wrongly or not at all, as chance decides.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::LoopbackServer;
use atlas_model_keys_conformance::loopback::{page_num_of, read_head};
use atlas_model_keys_core::{GroupId, ItemsPerPage, ListRequest};

/// The number of groups, each with its own rate limit.
const GROUPS: u64 = 32;

const PAGES: u32 = 3;

const KEYS_PER_PAGE: u32 = 2;

/// The lifetime of a token in seconds. Clients renew it a quarter earlier.
const TOKEN_LIFE: u64 = 1;

/// The time for which the server accepts a token: a little less than the client thinks.
const TOKEN_ACCEPTED: Duration = Duration::from_millis(740);

/// The time that a connection has to close after its token request was cancelled.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A generator of random numbers (xorshift64*).
pub(crate) struct Rng(u64);

impl Rng {
    /// Returns a generator whose numbers depend on both numbers only.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self((seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        rng.below(2);
        rng
    }

    /// Returns a number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// Returns a time below `micros` microseconds.
    pub(crate) fn micros(&mut self, micros: u64) -> Duration {
        Duration::from_micros(self.below(micros))
    }
}

/// Returns the request for the first page of a random group, and the ids of all keys of the group.
pub(crate) fn group(rng: &mut Rng) -> (ListRequest, Vec<String>) {
    let number = rng.below(GROUPS);
    let group = GroupId::new(&format!("{number:024x}")).unwrap();
    let per_page = ItemsPerPage::new(KEYS_PER_PAGE).unwrap();
    let ids = (1..=PAGES).flat_map(|page| (0..KEYS_PER_PAGE).map(move |key| id(number, page, key)));
    let request = ListRequest::new(group).with_items_per_page(per_page);
    (request, ids.collect())
}

fn id(group: u64, page: u32, key: u32) -> String {
    format!("{group}-{page}-{key}")
}

/// What happens after a request.
pub(crate) enum Answer {
    Response {
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: String,
    },
    /// The response ends within its body.
    Truncated(String),
    /// The connection is reset.
    Reset,
}

/// The state of the server, and what it has seen.
#[derive(Default)]
pub(crate) struct Chaos {
    /// When each token was issued. A token is its number.
    issued: Mutex<Vec<Instant>>,
    is_calm: AtomicBool,
    pub(crate) token_requests: AtomicUsize,
    pub(crate) list_requests: AtomicUsize,
    pub(crate) rate_limited: AtomicUsize,
    pub(crate) expired: AtomicUsize,
}

impl Chaos {
    /// From now on, all responses are correct.
    pub(crate) fn calm(&self) {
        self.is_calm.store(true, Ordering::SeqCst);
    }

    /// Returns the time before the answer to a request. Many calls wait for a token request, and are cancelled meanwhile.
    pub(crate) fn delay(&self, is_for_token: bool, rng: &mut Rng) -> Duration {
        match rng.below(50) {
            _ if self.is_calm.load(Ordering::SeqCst) => Duration::ZERO,
            _ if is_for_token => rng.micros(20_000),
            0 => rng.micros(40_000),
            1..20 => rng.micros(4_000),
            _ => Duration::ZERO,
        }
    }

    /// Answers a request with this target and this `Authorization`.
    pub(crate) fn answer(&self, target: &str, authorization: &str, rng: &mut Rng) -> Answer {
        let is_calm = self.is_calm.load(Ordering::SeqCst);
        let is_for_token = target.ends_with("/token");
        let count = match is_for_token {
            true => &self.token_requests,
            false => &self.list_requests,
        };
        count.fetch_add(1, Ordering::SeqCst);
        let status = |status, headers| Answer::Response {
            status,
            headers,
            body: "{}".to_owned(),
        };
        match rng.below(400) {
            _ if is_calm => {}
            0..8 => return Answer::Reset,
            8..16 => return status(503, &[]),
            16..20 => return status(503, &[("retry-after", "0")]),
            20..28 => {
                self.rate_limited.fetch_add(1, Ordering::SeqCst);
                return status(429, &[("retry-after", "0")]);
            }
            28 => {
                self.rate_limited.fetch_add(1, Ordering::SeqCst);
                return status(429, &[("retry-after", "1")]);
            }
            29..37 if is_for_token => return Answer::Truncated(r#"{"access_token"#.to_owned()),
            29..37 => return Answer::Truncated(r#"{"results":["#.to_owned()),
            _ => {}
        }
        if is_for_token {
            let mut issued = self.issued.lock().unwrap();
            issued.push(Instant::now());
            let token = issued.len() - 1;
            let body = format!(
                r#"{{"access_token":"{token}","expires_in":{TOKEN_LIFE},"token_type":"Bearer"}}"#
            );
            return Answer::Response {
                status: 200,
                headers: &[],
                body,
            };
        }
        if target.ends_with("/revoke") {
            return status(200, &[]);
        }
        let token = authorization.strip_prefix("Bearer ").unwrap();
        let token: usize = token.parse().unwrap();
        let age = self.issued.lock().unwrap()[token].elapsed();
        if !is_calm && (age > TOKEN_ACCEPTED || rng.below(1000) == 0) {
            self.expired.fetch_add(1, Ordering::SeqCst);
            return status(401, &[]);
        }
        let group = target.split('/').nth_back(1).unwrap();
        let group = u64::from_str_radix(group, 16).unwrap();
        let page = page_num_of(target);
        let key = |key| format!(r#"{{"apiKeyId":"{}"}}"#, id(group, page, key));
        let keys: Vec<_> = (0..KEYS_PER_PAGE).map(key).collect();
        let next = match page < PAGES {
            true => r#"{"rel":"next","href":"x"}"#,
            false => "",
        };
        let body = format!(r#"{{"links":[{next}],"results":[{}]}}"#, keys.join(","));
        // A few requests are left, or none: then one at a time is allowed.
        let headers: &[_] = match rng.below(20) {
            0 => &[("ratelimit-remaining", "0")],
            1 => &[("ratelimit-remaining", "3")],
            _ => &[("ratelimit-remaining", "1000")],
        };
        Answer::Response {
            status: 200,
            headers,
            body,
        }
    }
}

/// A [`Chaos`] behind a socket. It ends with the process.
///
/// A client that cancels the call with the token request starts the next one after the first was dropped. But the server may
/// receive the next one before it notices that the first connection was closed, and even before it reads the first one. So
/// token requests may overlap here, if the client waits for one of them only: a token request is answered when it is the only
/// one, and until then, the connections of the others must be closed. A blocking client leaves the connection of a cancelled
/// call open, so this is checked for the others only.
pub(crate) struct ChaosServer {
    server: LoopbackServer,
    pub(crate) chaos: Arc<Chaos>,
    violations: Arc<AtomicUsize>,
}

impl ChaosServer {
    pub(crate) fn start(seed: u64, closes_connections: bool) -> Self {
        let chaos: Arc<Chaos> = Arc::default();
        let violations = Arc::default();
        let (shared, violated) = (Arc::clone(&chaos), Arc::clone(&violations));
        let token_requests = Mutex::new(0);
        let server = LoopbackServer::start(move |number, stream| {
            let mut connection = Connection {
                stream: BufReader::new(stream),
                chaos: &shared,
                rng: Rng::new(seed, u64::try_from(number).unwrap()),
                token_requests: &token_requests,
                violations: &violated,
                closes_connections,
            };
            while connection.serve_one()? {}
            Ok(())
        });
        Self {
            server,
            chaos,
            violations,
        }
    }

    pub(crate) fn base(&self) -> String {
        self.server.base()
    }

    /// Returns how often a client waited for two token requests at the same time.
    pub(crate) fn violations(&self) -> usize {
        self.violations.load(Ordering::SeqCst)
    }
}

struct Connection<'s> {
    stream: BufReader<TcpStream>,
    chaos: &'s Chaos,
    rng: Rng,
    /// The number of token requests without an answer.
    token_requests: &'s Mutex<usize>,
    violations: &'s AtomicUsize,
    closes_connections: bool,
}

impl Connection<'_> {
    /// Answers one request. Returns false if the connection has ended.
    fn serve_one(&mut self) -> io::Result<bool> {
        let Some(head) = read_head(&mut self.stream)? else {
            return Ok(false);
        };
        let field = |name: &str| {
            let lines = head.lines();
            let mut fields = lines.filter_map(|line| line.split_once(": "));
            let field = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
            field.map_or("", |(_, value)| value)
        };
        if let Ok(length) = field("content-length").parse() {
            self.stream.read_exact(&mut vec![0; length])?;
        }
        let target = head.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let is_for_token = path.ends_with("/token");
        let delay = self.chaos.delay(is_for_token, &mut self.rng);
        if is_for_token && self.closes_connections {
            if !self.hold_token_request(delay) {
                return Ok(false);
            }
        } else {
            thread::sleep(delay);
        }
        // The page number is in the query.
        let target = if path.ends_with("/aiModelApiKeys") {
            target
        } else {
            path
        };
        let answer = self
            .chaos
            .answer(target, field("authorization"), &mut self.rng);
        let stream = self.stream.get_mut();
        match answer {
            Answer::Response {
                status,
                headers,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.extend([name, ": ", value, "\r\n"]);
                }
                stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
                Ok(true)
            }
            Answer::Truncated(start) => {
                let response = format!("HTTP/1.1 200 -\r\ncontent-length: 9999\r\n\r\n{start}");
                stream.write_all(response.as_bytes())?;
                Ok(false)
            }
            Answer::Reset => {
                socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
                Ok(false)
            }
        }
    }

    /// Keeps a token request for this time, and until it is the only one. Returns false if the client has closed the
    /// connection.
    fn hold_token_request(&self, mut delay: Duration) -> bool {
        let requests = || {
            let requests = self.token_requests.lock();
            requests.unwrap_or_else(PoisonError::into_inner)
        };
        *requests() += 1;
        let end = Instant::now() + delay + CLOSE_TIME;
        loop {
            let is_closed = self.is_closed_within(delay);
            let mut requests = requests();
            let is_only = *requests == 1;
            let is_late = Instant::now() > end;
            if is_closed || is_only || is_late {
                *requests -= 1;
                if !is_closed && !is_only {
                    self.violations.fetch_add(1, Ordering::SeqCst);
                }
                return !is_closed && is_only;
            }
            delay = Duration::ZERO;
        }
    }

    fn is_closed_within(&self, time: Duration) -> bool {
        let stream = self.stream.get_ref();
        let time = time.max(Duration::from_millis(1));
        stream.set_read_timeout(Some(time)).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_read_timeout(None).unwrap();
        match peeked {
            Ok(length) => length == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        }
    }
}
