//! HTTPS: the certificate, handshakes, faults and shutdown.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{End, LIMIT, NOW, PREVIEW, ask, ask_on, bearer, keys_path};
use atlas_model_keys_emulator::server::{Options, Server, Tls};
use atlas_model_keys_emulator::{Area, Config, Emulator, Fault};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The links are equal with and without TLS. The page is small, because faults send it slowly.
fn config() -> Config {
    Config::default()
        .with_link_base("https://cloud.mongodb.com")
        .with_keys_per_group(5)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn tls() -> Tls {
    Tls::generate(["atlas.test", "192.0.2.7"], now()).unwrap()
}

/// Starts a server with the clock of the tests, and returns it with the certificate of its CA.
fn start(options: Options) -> (Server, String) {
    let tls = tls();
    let ca = tls.ca_pem().to_owned();
    let options = options.with_clock(Arc::new(|| NOW)).with_tls(tls);
    let server = Server::start(Emulator::new(config()), options).unwrap();
    (server, ca)
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn client_config(ca: &str, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

fn connect_with(server: &Server, config: ClientConfig, name: &str) -> TlsStream {
    let socket = TcpStream::connect(server.address()).unwrap();
    // A test must fail rather than hang.
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let name = name.to_owned().try_into().unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        socket,
    )
}

fn connect(server: &Server, ca: &str) -> TlsStream {
    connect_with(server, client_config(ca, &[]), "localhost")
}

fn list_request(server: &Server) -> String {
    let (path, authorization) = server.with(|emulator| (keys_path(emulator), bearer(emulator)));
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {PREVIEW}\r\n\
         Authorization: {authorization}\r\nConnection: close\r\n\r\n"
    )
}

#[test]
fn links_and_the_environment_begin_with_https() {
    let tls = tls();
    let ca = tls.ca_pem().to_owned();
    let options = Options::default()
        .with_clock(Arc::new(|| NOW))
        .with_tls(tls);
    let emulator = Emulator::new(Config::default().with_control(true));
    let server = Server::start(emulator, options).unwrap();
    let environment =
        "GET /_emulator/environment HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n";
    for (request, expected) in [
        (
            list_request(&server),
            "\"href\":\"https://localhost/api/atlas/v2/",
        ),
        (
            environment.to_owned(),
            "{\"baseUrl\":\"https://localhost:1\"",
        ),
    ] {
        let mut stream = connect(&server, &ca);
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.contains(expected), "{response}");
    }
}

/// Sends a request and returns the status of the response, or the error of the connection.
fn status(mut stream: TlsStream, request: &str) -> Result<String, std::io::Error> {
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8(response).unwrap();
    Ok(response.split(' ').nth(1).unwrap().to_owned())
}

#[test]
fn certificate_is_for_local_names_and_the_given_ones() {
    let (server, ca) = start(Options::default());
    assert!(server.base_url().starts_with("https://127.0.0.1:"));
    let request = list_request(&server);
    let asks = |ca: &str, name| {
        let stream = connect_with(&server, client_config(ca, &[]), name);
        status(stream, &request).map_err(|error| error.to_string())
    };
    for name in ["localhost", "127.0.0.1", "::1", "atlas.test", "192.0.2.7"] {
        assert_eq!(asks(&ca, name).unwrap(), "200", "{name}");
    }
    let error = asks(&ca, "other.test").unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    let error = asks(tls().ca_pem(), "localhost").unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert_eq!(asks(&ca, "localhost").unwrap(), "200");
}

#[test]
fn certificate_is_valid_from_a_day_before_now_for_a_year() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (made, expected) in [
        (now() + day / 2, true),
        (now() + 2 * day, false),
        (now() - 365 * day, true),
        (now() - 367 * day, false),
        (Duration::ZERO, false),
        (Duration::MAX, false),
    ] {
        let tls = Tls::generate([""; 0], made).unwrap();
        let ca = tls.ca_pem().to_owned();
        let options = Options::default().with_tls(tls);
        let server = Server::start(Emulator::new(config()), options).unwrap();
        let outcome = status(connect(&server, &ca), &list_request(&server));
        assert_eq!(outcome.is_ok(), expected, "{made:?}: {outcome:?}");
    }
}

#[test]
fn name_that_no_certificate_can_have_is_an_error() {
    for name in [
        "",
        "a b",
        "b\u{fc}cher.example",
        "a.test:80",
        "https://a.test",
        "*",
    ] {
        let error = Tls::generate([name], now()).unwrap_err();
        assert!(error.to_string().contains("neither a host name"), "{error}");
    }
}

#[test]
fn only_http_1_1_is_negotiated() {
    let (server, ca) = start(Options::default());
    let request = list_request(&server);
    let connect = |protocols| connect_with(&server, client_config(&ca, protocols), "localhost");
    let mut stream = connect(&["h2", "http/1.1"]);
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let error = status(connect(&["h2"]), &request).unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[test]
fn every_socket_fault_sends_the_same_bytes_as_without_tls() {
    let faults: Vec<Fault> = Fault::all()
        .filter(|fault| fault.area() == Area::Socket)
        .collect();
    // Many of them wait, so some are tested at the same time.
    let ends: Vec<(&str, End)> = thread::scope(|scope| {
        let parts = faults.chunks(faults.len().div_ceil(8));
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(|| ends_with_and_without_tls(part)))
            .collect();
        let ends = parts.into_iter().flat_map(|part| part.join().unwrap());
        ends.collect()
    });
    assert_eq!(ends.len(), faults.len());
    for expected in [
        ("reset-before-head", End::Reset),
        ("reset-in-body", End::Reset),
        ("close-before-head", End::Truncated),
        ("close-in-head", End::Truncated),
        ("close-in-body", End::Truncated),
        ("stall-in-body", End::Silence),
        ("body-until-close", End::Closed),
        ("http-1-0", End::Closed),
        ("body-endless", End::StillSending),
    ] {
        assert!(ends.contains(&expected), "{expected:?}: {ends:?}");
    }
}

/// Checks that each fault sends the same bytes with and without TLS, and returns how the response over TLS ends.
fn ends_with_and_without_tls(faults: &[Fault]) -> Vec<(&'static str, End)> {
    /// With these, the server is silent until the client gives up.
    const STALLS: [&str; 4] = [
        "stall-before-head",
        "stall-in-head",
        "stall-in-body",
        "length-huge",
    ];
    let (server, ca) = start(Options::default());
    let options = Options::default().with_clock(Arc::new(|| NOW));
    let plain = Server::start(Emulator::new(config()), options).unwrap();
    let request = list_request(&server);
    let config = client_config(&ca, &[]);
    let mut ends = Vec::new();
    for fault in faults {
        for server in [&server, &plain] {
            server.with(|emulator| emulator.inject(fault.times(1)));
        }
        let silence = match STALLS.contains(&fault.name()) {
            true => Duration::from_millis(200),
            false => LIMIT,
        };
        let mut stream = connect_with(&server, config.clone(), "localhost");
        let socket = stream.sock.try_clone().unwrap();
        let (bytes, end) = ask_on(&mut stream, &socket, &request, silence);
        let (plain_bytes, plain_end) = ask(&plain, &request, silence);
        if end != End::StillSending {
            assert!(bytes == plain_bytes, "{fault}: {bytes:?} {plain_bytes:?}");
        }
        match end {
            End::Truncated => assert_eq!(plain_end, End::Closed, "{fault}"),
            end => assert_eq!(end, plain_end, "{fault}"),
        }
        ends.push((fault.name(), end));
        // The server goes on.
        assert_eq!(status(connect(&server, &ca), &request).unwrap(), "200");
        ask(&plain, &request, silence);
    }
    ends
}

#[test]
fn malformed_and_unfinished_handshakes_end_and_disturb_no_one() {
    let (server, ca) = start(Options::default().with_idle_timeout(Duration::from_millis(400)));
    let request = list_request(&server);
    let open = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.write_all(bytes).unwrap();
        socket
    };
    let mut hello = Vec::new();
    let name = "localhost".to_owned().try_into().unwrap();
    ClientConnection::new(Arc::new(client_config(&ca, &[])), name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    let half = &hello[..hello.len() / 2];
    let garbled: Vec<u8> = hello.iter().map(|byte| byte ^ 0x80).collect();
    let clients: Vec<_> = [b"get / HTTP/1.1\r\n\r\n", half, &garbled, &hello, b""]
        .into_iter()
        .map(open)
        .collect();
    // A client that sends a byte at a time is not idle, but its handshake takes too long.
    let mut slow = open(b"");
    let began = Instant::now();
    let ended = hello.iter().cycle().find(|byte| {
        thread::sleep(Duration::from_millis(20));
        assert!(
            began.elapsed() < LIMIT,
            "the server waits for the handshake"
        );
        slow.write_all(&[**byte]).is_err()
    });
    assert!(ended.is_some());
    assert_eq!(status(connect(&server, &ca), &request).unwrap(), "200");
    for mut client in clients {
        let mut received = Vec::new();
        // The rest is an alert, the server's part of the handshake, or nothing.
        if let Err(error) = client.read_to_end(&mut received) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert!(!received.starts_with(b"HTTP"));
    }
    assert_eq!(status(connect(&server, &ca), &request).unwrap(), "200");
}

#[test]
fn plain_http_gets_400_with_the_way_out() {
    let (server, ca) = start(Options::default());
    let (response, end) = ask(&server, &list_request(&server), LIMIT);
    let response = String::from_utf8(response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 400 ") && response.contains("https://"),
        "{response}"
    );
    assert_eq!(end, End::Closed);
    server.with(|emulator| {
        assert_eq!(emulator.requests(), 0);
        let seen: Vec<_> = emulator
            .seen()
            .iter()
            .map(|seen| (seen.route, seen.status.unwrap().as_u16()))
            .collect();
        assert_eq!(seen, [(None, 400)]);
    });
    assert_eq!(
        status(connect(&server, &ca), &list_request(&server)).unwrap(),
        "200"
    );
}

#[test]
fn connection_beyond_the_limit_gets_503() {
    let (server, ca) = start(Options::default().with_max_connections(0));
    for _ in 0..10 {
        let stream = connect(&server, &ca);
        assert_eq!(status(stream, &list_request(&server)).unwrap(), "503");
    }
    server.shutdown();
}

#[test]
fn shutdown_ends_connections_and_lets_responses_finish() {
    let (server, ca) = start(Options::default().with_latency(Duration::from_secs(3600)));
    let request = list_request(&server);
    // One is before the handshake, one after it, and one waits for its response.
    let _silent = TcpStream::connect(server.address()).unwrap();
    let mut idle = connect(&server, &ca);
    idle.conn.complete_io(&mut idle.sock).unwrap();
    let mut waiting = connect(&server, &ca);
    waiting.write_all(request.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    server.shutdown();
    assert!(began.elapsed() < Duration::from_secs(20));
    let mut response = String::new();
    waiting.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}
