//! The loopback server: framing, connections, limits and shutdown.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{PREVIEW, bearer, keys_path, token_request};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Fault, Names, Route};
use http::Response;

fn start(options: Options) -> Server {
    Server::start(
        Emulator::new(Config::default().with_names(Names::Hostile)),
        options,
    )
    .unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    // A test must fail rather than hang.
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Reads head and body of the next response, using its `content-length`.
fn read_response(stream: &mut TcpStream, to_head: bool) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; if to_head { 0 } else { length }];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

fn list_request(server: &Server, method: &str, more: &str) -> String {
    let (path, authorization) = server.with(|emulator| (keys_path(emulator), bearer(emulator)));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {PREVIEW}\r\n\
         Authorization: {authorization}\r\n{more}\r\n"
    )
}

fn token_head(server: &Server, more: &str) -> String {
    let request = server.with(|emulator| token_request(emulator, ""));
    let authorization = request.headers()["authorization"].to_str().unwrap();
    format!(
        "POST /api/oauth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n{more}\r\n"
    )
}

const FORM: &str = "grant_type=client_credentials";

#[test]
fn pipelined_and_split_requests_are_served_on_one_connection() {
    let server = start(Options::default());
    let mut client = connect(&server);
    let get = list_request(&server, "GET", "");
    let head = list_request(&server, "HEAD", "");
    client
        .write_all(format!("{get}{head}{get}").as_bytes())
        .unwrap();
    let (first, page) = read_response(&mut client, false);
    assert_eq!(status(&first), "200");
    assert!(first.contains("\r\nconnection: keep-alive\r\n") && first.contains("\r\ndate: "));
    let (second, _) = read_response(&mut client, true);
    assert!(second.contains(&format!("content-length: {}\r\n", page.len())));
    assert_eq!(read_response(&mut client, false).1, page);

    client.set_nodelay(true).unwrap();
    for piece in get.as_bytes().chunks(40) {
        client.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(read_response(&mut client, false).1, page);
    assert_eq!(server.with(|emulator| emulator.requests()), 4);

    let last = list_request(&server, "GET", "Connection: close\r\n");
    client.write_all(last.as_bytes()).unwrap();
    let (head, _) = read_response(&mut client, false);
    assert!(head.contains("\r\nconnection: close\r\n"));
    assert!(is_closed(&mut client));
}

#[test]
fn http_1_0_closes_the_connection_unless_keep_alive_is_requested() {
    let server = start(Options::default());
    let mut client = connect(&server);
    let keep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    client.write_all(keep.as_bytes()).unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "404");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "404");
    assert!(is_closed(&mut client));
}

#[test]
fn bodies_with_a_length_in_chunks_or_after_100_continue_are_read() {
    let server = start(Options::default());
    let mut client = connect(&server);
    let length = format!("Content-Length: {}\r\n", FORM.len());
    let request = token_head(&server, &length) + FORM;
    client.write_all(request.as_bytes()).unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "200");

    let (start, end) = FORM.split_at(5);
    let chunks = format!(
        "5\r\n{start}\r\n{:x};x=y\r\n{end}\r\n0\r\nT: t\r\n\r\n",
        end.len()
    );
    let request = token_head(&server, "Transfer-Encoding: chunked\r\n") + &chunks;
    client.write_all(request.as_bytes()).unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "200");

    let request = token_head(&server, &format!("{length}Expect: 100-continue\r\n"));
    client.write_all(request.as_bytes()).unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "100");
    client.write_all(FORM.as_bytes()).unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "200");
    assert_eq!(server.with(|emulator| emulator.token_requests()), 3);
}

#[test]
fn malformed_request_is_refused_and_its_connection_closed() {
    let server = start(Options::default());
    let long = "a".repeat(70_000);
    for (bytes, expected) in [
        ("\u{16}\u{3}\u{1}".to_owned(), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET /{long} HTTP/1.1\r\n"), "431"),
        (
            token_head(&server, "Content-Length: 2000000\r\n") + &long,
            "413",
        ),
    ] {
        let mut client = connect(&server);
        client.write_all(bytes.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(status(&read_response(&mut client, false).0), expected);
        assert!(is_closed(&mut client));
    }
    assert_eq!(server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn configured_clock_sets_the_date_and_expires_tokens() {
    let seconds = Arc::new(AtomicU64::new(784_111_777));
    let clock = Arc::clone(&seconds);
    let server = start(Options::default().with_clock(Arc::new(move || {
        Duration::from_secs(clock.load(Ordering::Relaxed))
    })));
    let mut client = connect(&server);
    let length = format!("Content-Length: {}\r\n", FORM.len());
    let request = token_head(&server, &length) + FORM;
    client.write_all(request.as_bytes()).unwrap();
    let (head, body) = read_response(&mut client, false);
    assert!(head.contains("\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    let granted: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let token = granted["access_token"].as_str().unwrap();
    let long_lived = server.with(|emulator| emulator.access_token().to_owned());
    let request = list_request(&server, "GET", "").replace(&long_lived, token);
    for (elapsed, expected) in [(3599, "200"), (1, "401")] {
        seconds.fetch_add(elapsed, Ordering::Relaxed);
        client.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&read_response(&mut client, false).0), expected);
    }
}

#[test]
fn scripted_response_may_have_a_wrong_content_length() {
    let server = start(Options::default());
    let cut_off = Response::builder()
        .header("content-length", "100")
        .body(b"{\"results\":[".to_vec())
        .unwrap();
    server.with(|emulator| emulator.respond_next(Route::ListGroupKeys, cut_off));
    let mut client = connect(&server);
    let request = list_request(&server, "GET", "");
    client.write_all(request.as_bytes()).unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("\r\n\r\n{\"results\":["), "{all}");
}

/// Returns clients whose responses do not come, so that their connections never wait for a request, and do not give way.
fn stalled_clients(server: &Server, count: u32) -> Vec<TcpStream> {
    let request = list_request(server, "GET", "");
    server.with(|emulator| emulator.inject(Fault::STALL_BEFORE_HEAD.times(count)));
    let clients: Vec<_> = (0..count).map(|_| connect(server)).collect();
    for mut client in &clients {
        client.write_all(request.as_bytes()).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.with(|emulator| emulator.requests()) < u64::from(count) {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
    clients
}

#[test]
fn connection_beyond_the_limit_gets_503() {
    let server = start(Options::default().with_max_connections(2));
    let request = list_request(&server, "GET", "");
    let mut kept = stalled_clients(&server, 2);
    let mut third = connect(&server);
    assert_eq!(status(&read_response(&mut third, false).0), "503");
    assert!(is_closed(&mut third));
    // After one connection is closed, a new one is served as soon as the server has noticed.
    drop(kept.pop());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut client = connect(&server);
        // The server may refuse the connection before the request is written.
        let _ = client.write_all(request.as_bytes());
        if status(&read_response(&mut client, false).0) == "200" {
            break;
        }
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_hundred_connections_beyond_the_limit_all_get_503() {
    let server = start(Options::default().with_max_connections(2));
    let request = list_request(&server, "GET", "");
    let _kept = stalled_clients(&server, 2);
    // Every tenth client sends nothing, and the others send their request only after all are connected.
    let mut clients: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 10 > 0 {
            client.write_all(request.as_bytes()).unwrap();
        }
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut response = String::new();
        // A reset would be an error.
        let ended = client.read_to_string(&mut response);
        assert!(
            ended.is_ok(),
            "connection {number}: {ended:?} after {response:?}"
        );
        assert_eq!(
            response,
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n"
        );
    }
    assert_eq!(server.with(|emulator| emulator.requests()), 2);
    server.shutdown();
}

#[test]
fn connection_beyond_the_limit_gets_503_only_after_its_request() {
    let server = start(Options::default().with_max_connections(0));
    let mut client = connect(&server);
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    // A client that receives a response before its request may treat the connection as broken.
    let early = client.read(&mut [0]).unwrap_err();
    assert!(matches!(
        early.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // More than all buffers together can hold, so the server must read the body.
    let head = token_head(&server, "Content-Length: 1000000\r\n");
    client.write_all(head.as_bytes()).unwrap();
    client.write_all(&vec![b'a'; 1_000_000]).unwrap();
    assert_eq!(status(&read_response(&mut client, false).0), "503");
    assert!(is_closed(&mut client));
}

#[test]
fn shutdown_does_not_wait_for_idle_or_slow_clients() {
    let server = start(Options::default().with_latency(Duration::from_secs(3600)));
    let _idle = connect(&server);
    let mut half = connect(&server);
    half.write_all(b"GET / HT").unwrap();
    let mut waiting = connect(&server);
    let request = list_request(&server, "GET", "");
    waiting.write_all(request.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    server.shutdown();
    assert!(began.elapsed() < Duration::from_secs(20));
    // A request that was received before the shutdown still gets its response.
    let (head, _) = read_response(&mut waiting, false);
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert!(is_closed(&mut half));
}

#[test]
fn response_is_delayed_by_the_latency() {
    let server = start(Options::default().with_latency(Duration::from_millis(60)));
    let mut client = connect(&server);
    let request = list_request(&server, "GET", "");
    let began = Instant::now();
    client.write_all(request.as_bytes()).unwrap();
    read_response(&mut client, false);
    assert!(began.elapsed() >= Duration::from_millis(60));
}

#[test]
fn sixteen_concurrent_clients_are_all_served() {
    let server = start(Options::default());
    let request = list_request(&server, "GET", "");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = connect(&server);
                for _ in 0..20 {
                    client.write_all(request.as_bytes()).unwrap();
                    assert_eq!(status(&read_response(&mut client, false).0), "200");
                }
            });
        }
    });
    assert_eq!(server.with(|emulator| emulator.requests()), 320);
}

/// Returns status and body of the response to a request with these first lines.
fn response_to(server: &Server, start: &str) -> (String, String) {
    let mut client = connect(server);
    let request = format!("{start}\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let (head, body) = read_response(&mut client, false);
    (status(&head).to_owned(), String::from_utf8(body).unwrap())
}

#[test]
fn host_that_is_not_allowed_gets_421_with_the_way_out() {
    let server = start(Options::default().with_allowed_host("Atlas.test"));
    for host in ["evil.example", "evil.example:8080", "", "\u{fc}"] {
        let request = format!("GET /api/atlas/v2/groups HTTP/1.1\r\nHost: {host}");
        let (status, body) = response_to(&server, &request);
        assert_eq!(status, "421", "{host:?}");
        assert!(
            body.contains("--allow-host") && body.contains("with_allowed_host"),
            "{body}"
        );
    }
    let absolute = "GET http://evil.example/api/atlas/v2/groups HTTP/1.1\r\nHost: localhost";
    assert_eq!(response_to(&server, absolute).0, "421");
    // The emulator does not see these requests.
    assert_eq!(server.with(|emulator| emulator.requests()), 0);
    for host in ["localhost", "127.0.0.1:1", "[::1]", "atlas.TEST:8080"] {
        let request = format!("GET /api/atlas/v2/groups HTTP/1.1\r\nHost: {host}");
        assert_eq!(response_to(&server, &request).0, "401", "{host}");
    }
    assert_eq!(response_to(&server, "GET / HTTP/1.0").0, "404");
}

#[test]
fn connection_stays_usable_after_421() {
    let server = start(Options::default());
    let mut client = connect(&server);
    let request = list_request(&server, "GET", "");
    let refused = request.replace("Host: localhost", "Host: evil.example");
    for (request, expected) in [(&refused, "421"), (&request, "200"), (&refused, "421")] {
        client.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&read_response(&mut client, false).0), expected);
    }
}

#[test]
fn base_url_is_that_of_the_address() {
    for (address, base) in [
        ("127.0.0.1", "http://127.0.0.1"),
        ("127.0.0.2", "http://127.0.0.2"),
        ("0.0.0.0", "http://127.0.0.1"),
        ("::1", "http://[::1]"),
        ("::", "http://[::1]"),
    ] {
        let address: IpAddr = address.parse().unwrap();
        if TcpListener::bind((address, 0)).is_err() {
            println!("{address} is skipped, because this machine does not have it");
            continue;
        }
        let server = start(Options::default().with_address(address));
        let port = server.address().port();
        assert_eq!(server.base_url(), format!("{base}:{port}"));
        assert_eq!(server.address().ip(), address);
        let reached = server.base_url().replace("http://", "");
        let mut client = TcpStream::connect(&reached).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {reached}\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&read_response(&mut client, false).0), "404");
        let began = Instant::now();
        server.shutdown();
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn address_or_port_that_cannot_be_bound_is_an_error() {
    let taken = start(Options::default());
    let again = Options::default().with_port(taken.address().port());
    let start = |options| Server::start(Emulator::new(Config::default()), options).map(drop);
    assert_eq!(start(again).unwrap_err().kind(), ErrorKind::AddrInUse);
    // RFC 5737: an address for documentation.
    let foreign = Options::default().with_address(Ipv4Addr::new(192, 0, 2, 1).into());
    assert!(start(foreign).is_err());
}
