//! Random, malformed, slow and very many requests: none causes a panic, and good ones are still served.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, DigestAlgorithm, Emulator, Names, Route};
use http::{HeaderValue, Method, Request};
use support::{Cases, DATED, LIMIT, NOW, PREVIEW, bearer, digest, get, keys_path, token_request};

impl Cases {
    fn mutate(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            let byte = b"\"\\,=% ;&?/\0\x1b\xff09azA+-:\r\n"[self.below(23)];
            match self.below(4) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }

    fn pick<'a>(&mut self, items: &'a [String]) -> &'a str {
        &items[self.below(items.len())]
    }
}

#[test]
fn random_requests_never_panic_and_always_get_a_response() {
    let mut emulator = Emulator::new(
        Config::default()
            .with_digest(vec![DigestAlgorithm::Md5, DigestAlgorithm::Sha512_256Sess])
            .with_names(Names::Hostile),
    );
    let mut cases = Cases(0x5eed);
    let path = keys_path(&emulator);
    let token = token_request(&emulator, "");
    let basic = token.headers()["authorization"]
        .to_str()
        .unwrap()
        .to_owned();
    let targets = [
        format!("{path}?itemsPerPage=5&pageNum=2&envelope=true&pretty=true"),
        format!("https://cloud.mongodb.com{path}?pageNum=2147483647&itemsPerPage=500"),
        format!("/api/atlas/v2/orgs/{}/aiModelApiKeys", emulator.first_org()),
        "/api/atlas/v2/groups".to_owned(),
        "/api/oauth/token".to_owned(),
        "/api/oauth/revoke".to_owned(),
        "*".to_owned(),
    ];
    let authorizations = [
        bearer(&emulator),
        basic,
        digest(
            &emulator.api_key().public_key,
            "wrong",
            "n",
            u32::MAX,
            &path,
        ),
        String::new(),
    ];
    let accepts = [PREVIEW, DATED, "application/vnd.atlas.9999-12-31+json;q=0"].map(str::to_owned);
    let encodings = ["gzip;q=1", "br, gzip;q=nan"].map(str::to_owned);
    let forms = ["grant_type=client_credentials", "token=%41"].map(str::to_owned);
    let nows = [NOW, Duration::ZERO, Duration::MAX];
    let mut responses = 0;
    for _ in 0..5_000 {
        let target = cases.pick(&targets);
        let target = cases.mutate(target);
        let Ok(uri) = http::Uri::try_from(target) else {
            continue;
        };
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = uri;
        *request.method_mut() = match cases.below(4) {
            0 => Method::POST,
            1 => Method::HEAD,
            2 => Method::OPTIONS,
            _ => Method::GET,
        };
        for (name, values) in [
            ("authorization", authorizations.as_slice()),
            ("accept", &accepts),
            ("accept-encoding", &encodings),
            ("host", &targets),
            (
                "content-type",
                &["application/x-www-form-urlencoded".to_owned()],
            ),
        ] {
            let value = cases.pick(values);
            if let Ok(value) = HeaderValue::from_bytes(&cases.mutate(value)) {
                request.headers_mut().append(name, value);
            }
        }
        let form = cases.pick(&forms);
        *request.body_mut() = cases.mutate(form);
        let now = nows[cases.below(nows.len())];
        let response = emulator.handle(&request, now);
        assert!(response.status().as_u16() >= 200);
        responses += 1;
    }
    assert!(responses > 2_500, "{responses}");
    assert_eq!(emulator.requests(), responses);
}

/// Starts a server without a rate limit. Returns also a good request, for a page with one key.
fn serve(config: Config, options: Options) -> (Server, String) {
    let server = Server::start(Emulator::new(config.with_rate_limit(None)), options).unwrap();
    let (path, authorization) = server.with(|emulator| (keys_path(emulator), bearer(emulator)));
    let good = format!(
        "GET {path}?itemsPerPage=1 HTTP/1.1\r\nHost: localhost\r\nAccept: {DATED}\r\n\
         Authorization: {authorization}\r\n\r\n"
    );
    (server, good)
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends everything, and then no more. Returns everything that the server sends.
fn exchange(server: &Server, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(server);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    response
}

/// Sends good requests on one connection, and checks that each gets a page.
fn keep_alive(server: &Server, good: &str, times: usize) {
    let mut stream = connect(server);
    let mut received = Vec::new();
    let mut chunk = [0; 8192];
    for _ in 0..times {
        stream.write_all(good.as_bytes()).unwrap();
        received.clear();
        // The end of the page. It is short, and the next response follows only the next request.
        while !received.ends_with(b"}") {
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&chunk[..length]);
        }
        assert!(received.starts_with(b"HTTP/1.1 200 "));
    }
}

#[test]
fn malformed_requests_do_not_disturb_good_ones() {
    const THREADS: u64 = 4;
    const EACH: usize = 1000;
    let (server, good) = serve(Config::default(), Options::default());
    let token = "POST /api/oauth/token HTTP/1.1\r\nHost: localhost\r\n";
    let requests = [
        good.clone(),
        format!("{token}Content-Length: 29\r\n\r\ngrant_type=client_credentials"),
        format!("{token}Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n0\r\n\r\n"),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
    ];
    let refused: usize = thread::scope(|scope| {
        let clients: Vec<_> = (1..=THREADS)
            .map(|seed| {
                let (server, requests, good) = (&server, &requests, &good);
                scope.spawn(move || {
                    let mut cases = Cases(seed);
                    let mut refused = 0;
                    for index in 0..EACH {
                        let request = cases.pick(requests).to_owned();
                        let mut bytes = cases.mutate(&request);
                        while bytes == request.as_bytes() {
                            bytes = cases.mutate(&request);
                        }
                        let response = exchange(server, &bytes);
                        // Nothing is sent for a request whose end is missing.
                        assert!(response.is_empty() || response.starts_with(b"HTTP/1.1 "));
                        refused += usize::from(response.starts_with(b"HTTP/1.1 400 "));
                        if index % 100 == 0 {
                            let response = exchange(server, good.as_bytes());
                            assert!(response.starts_with(b"HTTP/1.1 200 "));
                        }
                    }
                    refused
                })
            })
            .collect();
        keep_alive(&server, &good, 100);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert!(refused > 400, "{refused}");
    keep_alive(&server, &good, 1);
}

/// Returns the maximum number of slow clients: each needs two of the files that this process may open.
fn slow_clients() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok());
    (limit.unwrap_or(256_usize) / 4).min(1024)
}

#[test]
fn slow_clients_on_all_connections_do_not_exclude_others() {
    let slow_clients = slow_clients();
    let options = Options::default().with_max_connections(slow_clients);
    let (server, good) = serve(Config::default(), options);
    let mut slow: Vec<_> = (0..slow_clients).map(|_| connect(&server)).collect();
    for client in &mut slow {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nx-slow: ")
            .unwrap();
    }
    let is_over = AtomicBool::new(false);
    let (served, mut slow) = thread::scope(|scope| {
        let dripping = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for client in &mut slow {
                    // This fails if the server has closed the connection for another client.
                    let _ = client.write_all(b"a");
                }
                thread::sleep(Duration::from_millis(20));
            }
            slow
        });
        let begun = Instant::now();
        let mut served = 0;
        while served < 50 && begun.elapsed() < LIMIT {
            let response = exchange(&server, good.as_bytes());
            // 503, until the first of the slow clients has waited for 100 ms.
            let is_busy = response.starts_with(b"HTTP/1.1 503 ");
            assert!(is_busy || response.starts_with(b"HTTP/1.1 200 "));
            served += usize::from(!is_busy);
        }
        is_over.store(true, Ordering::Relaxed);
        (served, dripping.join().unwrap())
    });
    assert_eq!(served, 50);
    // The last one has kept its connection, and may finish its request.
    let last = slow.last_mut().unwrap();
    last.write_all(b"\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = Vec::new();
    last.read_to_end(&mut response).unwrap();
    assert!(
        response.starts_with(b"HTTP/1.1 404 "),
        "{}",
        String::from_utf8_lossy(&response)
    );
}

#[test]
fn many_requests_over_few_connections_keep_a_bounded_record() {
    let (server, good) = serve(Config::default().with_seen_limit(100), Options::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| keep_alive(&server, &good, 2500));
        }
    });
    server.with(|emulator| assert_record(emulator, 10_000));
}

#[test]
fn many_requests_in_memory_keep_a_bounded_record() {
    let mut emulator = Emulator::new(Config::default().with_seen_limit(100).with_rate_limit(None));
    let path = keys_path(&emulator);
    let page = format!("{path}?itemsPerPage=1");
    // The second one gets a challenge, with a new nonce.
    let requests = [
        get(&page, DATED, &bearer(&emulator)),
        get(&page, DATED, ""),
        token_request(&emulator, "grant_type=client_credentials"),
        get("/nothing", DATED, ""),
    ];
    for request in requests.iter().cycle().take(40_000) {
        let _ = emulator.handle(request, NOW);
        assert!(emulator.seen().len() <= 100);
    }
    assert_eq!(emulator.requests_for(Route::ListGroupKeys), 20_000);
    assert_record(&emulator, 40_000);
}

/// Checks that the last hundred of this number of requests are kept.
fn assert_record(emulator: &Emulator, requests: u64) {
    let orders: Vec<u64> = emulator.seen().iter().map(|seen| seen.order).collect();
    assert!(orders.into_iter().eq(requests - 99..=requests));
    assert_eq!(emulator.seen_dropped(), requests - 100);
    assert_eq!(emulator.requests(), requests);
}
