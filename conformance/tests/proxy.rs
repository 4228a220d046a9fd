//! Proxies: tinyproxy, if it is installed, and a proxy of these tests that records what it receives.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::{self, Action, Authority, ScriptedServer, error_chain};
use atlas_model_keys_conformance::fixtures::{client_for, failure, request, token};
use atlas_model_keys_conformance::loopback::{listener, read_head};
use atlas_model_keys_conformance::{
    CredentialKind, EmulatedAtlas, HyperClient, LoopbackServer, Setup, TestClient, UreqClient,
};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind};
use atlas_model_keys_emulator::Config;
use atlas_model_keys_emulator::server::Options;

/// A host that is not loopback for a client. Only the proxies of these tests can reach it.
const HOST: &str = "atlas.example";

/// Returns an emulated Atlas that serves requests for [`HOST`].
fn atlas_at_host() -> EmulatedAtlas {
    let config = Config::default()
        .with_keys_per_group(250)
        .with_rate_limit(None);
    EmulatedAtlas::start(config, Options::default().with_allowed_host(HOST))
}

/// A proxy that connects every tunnel to one target, and records the heads of the requests for tunnels.
struct RecordingProxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl RecordingProxy {
    /// Starts a proxy that opens tunnels to `target`, or responds with `status` if there is no target.
    fn start(target: Option<String>, status: &'static str) -> Self {
        let opened = "HTTP/1.1 200 Connection established\r\n\r\n";
        Self::with_response(target, status, opened)
    }

    /// Starts a proxy that sends `opened` when it has opened a tunnel.
    fn with_response(target: Option<String>, status: &'static str, opened: &'static str) -> Self {
        let heads = Arc::default();
        let received = Arc::clone(&heads);
        let server = LoopbackServer::start(move |_, stream| {
            tunnel(stream, target.as_deref(), status, opened, &received)
        });
        let address = server.address.to_string();
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn tunnel(
    mut client: TcpStream,
    target: Option<&str>,
    status: &str,
    opened: &str,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let Some(head) = read_head(&mut client)? else {
        return Ok(());
    };
    heads.lock().unwrap().push(head);
    let Some(target) = target else {
        return write!(
            client,
            "HTTP/1.1 {status} -\r\nProxy-Authenticate: Basic realm=\"p\"\r\n\
             WWW-Authenticate: Digest realm=\"p\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"
        );
    };
    let server = TcpStream::connect(target)?;
    client.write_all(opened.as_bytes())?;
    let (up, down) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || copy(server, down));
    copy(client, up);
    drop(back.join());
    Ok(())
}

fn copy(mut from: impl Read, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// Returns a client that uses this proxy.
fn client_through<C: TestClient>(base: &str, credentials: Credentials, proxy: &str) -> C {
    let setup = Setup {
        proxy: Some(proxy.to_owned()),
        ..Setup::default()
    };
    let base = BaseUrl::allowing_plain_http(base).unwrap();
    C::new(base, credentials, setup).unwrap()
}

fn tunnel_request_has_only_the_login_of_the_proxy<C: TestClient>() {
    let atlas = atlas_at_host();
    for (port, base) in [(80, HOST.to_owned()), (8080, format!("{HOST}:8080"))] {
        for (login, sent) in [("", None), ("me:p%40ss@", Some("Basic bWU6cEBzcw=="))] {
            let target = atlas.server.address().to_string();
            let proxy = RecordingProxy::start(Some(target), "");
            let url = format!("http://{login}{}", proxy.address);
            let credentials = atlas.credentials(CredentialKind::ApiKey);
            let client: C = client_through(&format!("http://{base}"), credentials, &url);
            assert_eq!(client.list_all(&atlas.request()).unwrap().len(), 250);
            let heads = proxy.heads();
            let head = heads.first().unwrap();
            let line = format!("CONNECT {HOST}:{port} HTTP/1.1\r\n");
            assert!(head.starts_with(&line), "{head}");
            let authorization = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
            assert_eq!(authorization.map(|(_, value)| value), sent);
            // The proxy gets none of Atlas's credentials.
            let lines = head.lines().map(str::to_lowercase);
            assert!(!lines.into_iter().any(|l| l.starts_with("authorization")));
        }
    }
}

fn refusal_names_the_proxy_and_is_not_retried<C: TestClient>() {
    for (status, words) in [("407", "wants a login"), ("403", "opened no tunnel")] {
        let proxy = RecordingProxy::start(None, status);
        for base in ["https://atlas.example", "http://atlas.example"] {
            let before = proxy.heads().len();
            let key = Credentials::api_key("public", "private-private").unwrap();
            let client: C = client_through(base, key, &proxy.address);
            let error = client.list(&request()).unwrap_err();
            let text = error_chain(&error);
            assert!(
                matches!(
                    error,
                    Error::Transport {
                        kind: FailureKind::Permanent,
                        attempts: 1,
                        ..
                    }
                ),
                "{error:?}"
            );
            assert!(
                text.contains(&proxy.address) && text.contains(words),
                "{text}"
            );
            // The client sent one request, and answered none of the challenges.
            let heads = proxy.heads().split_off(before);
            assert_eq!(heads.len(), 1);
            assert!(!heads.concat().to_lowercase().contains("authorization"));
        }
    }
}

fn unreachable_proxy_is_named<C: TestClient>() {
    let (closed, address) = listener();
    drop(closed);
    let setup = Setup {
        proxy: Some(address.replace("http://", "http://me:hunter2@")),
        ..Setup::without_retries()
    };
    let client: C = client_for("https://atlas.example", setup);
    let error = client.list(&request()).unwrap_err();
    let text = error_chain(&error);
    assert!(
        matches!(
            error,
            Error::Transport {
                kind: FailureKind::NotSent,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(text.contains(&address), "{text}");
    assert!(!text.contains("hunter2") && !format!("{error:?}").contains("hunter2"));
}

fn slow_proxy_ends_at_the_connect_timeout<C: TestClient>() {
    // The head of this response never ends.
    let server = LoopbackServer::start(|_, mut stream| {
        loop {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
            thread::sleep(Duration::from_millis(20));
        }
    });
    let address = server.address.to_string();
    let setup = Setup {
        proxy: Some(address.clone()),
        connect_timeout: Some(Duration::from_millis(200)),
        ..Setup::without_retries()
    };
    let client: C = client_for("https://atlas.example", setup);
    let begun = Instant::now();
    let error = client.list(&request()).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(
        error_chain(&error).contains(&address),
        "{}",
        error_chain(&error)
    );
}

fn loopback_request_uses_no_proxy<C: TestClient>() {
    let proxy = RecordingProxy::start(None, "407");
    let atlas = EmulatedAtlas::with_keys(1);
    let credentials = atlas.credentials(CredentialKind::ServiceAccount);
    let client: C = client_through(&atlas.server.base_url(), credentials, &proxy.address);
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 1);
    assert!(proxy.heads().is_empty());
}

/// Returns the error of a client whose proxy reacts to `CONNECT` with these actions, the text of the error, and the
/// number of connections to the proxy.
fn error_of<C: TestClient>(base: &str, setup: Setup, steps: Vec<Action>) -> (Error, String, usize) {
    let proxy = ScriptedServer::plain(move |_| steps.clone());
    let address = proxy.address().to_string();
    let setup = Setup {
        proxy: Some(format!("http://me:hunter2@{address}")),
        ..setup
    };
    let client: C = client_for(base, setup);
    let error = client.list(&request()).unwrap_err();
    let text = error_chain(&error);
    // The error of a deadline does not name the proxy.
    let is_timeout = failure(&error).0 == FailureKind::TimedOut;
    assert!(is_timeout || text.contains(&address), "{text}");
    let shown = format!("{text} {error:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("token"),
        "{shown}"
    );
    (error, text, proxy.connections())
}

const BASES: [&str; 2] = ["https://atlas.example", "http://atlas.example"];

fn error_of_a_proxy_names_it_and_is_retried_if_temporary<C: TestClient>() {
    let head = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    for (response, kind, words) in [
        (head("502 Bad Gateway"), FailureKind::NotSent, "502"),
        (head("503 Service Unavailable"), FailureKind::NotSent, "503"),
        (head("504 Gateway Timeout"), FailureKind::NotSent, "504"),
        (head("403 Forbidden"), FailureKind::Permanent, "403"),
        (head("407 -"), FailureKind::Permanent, "refused its login"),
        (head("500 -"), FailureKind::Permanent, "500"),
        (head("302 Found"), FailureKind::Permanent, "302"),
        (head("101 -"), FailureKind::Permanent, "101"),
        (
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            FailureKind::Permanent,
            "is it one?",
        ),
        (
            "\0\u{7f}\r\n\r\n".to_owned(),
            FailureKind::Permanent,
            "is it one?",
        ),
        (
            format!("HTTP/1.1 200 -\r\nx: {}", "y".repeat(1 << 18)),
            FailureKind::Permanent,
            "too large",
        ),
    ] {
        for base in BASES {
            let steps = vec![Action::Send(response.clone().into_bytes()), Action::Stall];
            let (error, text, connections) = error_of::<C>(base, Setup::with_fast_retries(), steps);
            // Temporary failures are retried.
            let attempts = if kind == FailureKind::NotSent { 5 } else { 1 };
            assert_eq!(failure(&error), (kind, attempts), "{text}");
            assert_eq!(connections, usize::try_from(attempts).unwrap());
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("certificate"), "{text}");
        }
    }
}

fn closed_or_silent_proxy_is_reported_as_not_sent<C: TestClient>() {
    for base in BASES {
        let (error, text, connections) =
            error_of::<C>(base, Setup::with_fast_retries(), vec![Action::Close]);
        assert_eq!(
            (failure(&error), connections),
            ((FailureKind::NotSent, 5), 5),
            "{text}"
        );
        let short = Some(Duration::from_millis(200));
        for (setup, kind) in [
            (
                Setup {
                    connect_timeout: short,
                    ..Setup::without_retries()
                },
                FailureKind::NotSent,
            ),
            (
                Setup {
                    deadline: short,
                    ..Setup::with_fast_retries()
                },
                FailureKind::TimedOut,
            ),
        ] {
            let (error, text, _) = error_of::<C>(base, setup, vec![Action::Stall]);
            assert_eq!(failure(&error), (kind, 1), "{text}");
        }
    }
}

fn any_2xx_after_interim_responses_opens_a_tunnel<C: TestClient>() {
    let atlas = atlas_at_host();
    for opened in [
        "HTTP/1.0 200\r\n\r\n",
        "HTTP/1.1 201 Created\r\nVia: 1.1 proxy\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 103 -\r\nLink: x\r\n\r\nHTTP/1.1 204 -\r\n\r\n",
    ] {
        let target = atlas.server.address().to_string();
        let proxy = RecordingProxy::with_response(Some(target), "", opened);
        let credentials = atlas.credentials(CredentialKind::ApiKey);
        let client: C = client_through(&format!("http://{HOST}"), credentials, &proxy.address);
        assert_eq!(
            client.list_all(&atlas.request()).unwrap().len(),
            250,
            "{opened}"
        );
    }
}

fn bytes_after_the_response_to_connect_fail_permanently<C: TestClient>() {
    let extra = scripted::response(200, &scripted::page("unrequested"));
    let opened = b"HTTP/1.1 200 -\r\n\r\n".to_vec();
    let steps = vec![Action::Send([opened, extra].concat()), Action::Stall];
    let (error, text, _) = error_of::<C>("http://atlas.example", Setup::without_retries(), steps);
    assert_eq!(failure(&error), (FailureKind::Permanent, 1), "{text}");
}

fn tls_in_a_tunnel_verifies_the_target<C: TestClient>() {
    let authority = Authority::new();
    let tls = authority.config(HOST, false);
    let server = ScriptedServer::start(Some(tls), |_| {
        vec![Action::Send(scripted::response(
            200,
            &scripted::page("secret"),
        ))]
    });
    let proxy = RecordingProxy::start(Some(server.address().to_string()), "");
    let client = |roots: Option<String>| {
        let setup = Setup {
            proxy: Some(proxy.address.clone()),
            root_certificates: roots,
            ..Setup::without_retries()
        };
        let base = BaseUrl::new(&format!("https://{HOST}")).unwrap();
        C::new(base, token(), setup).unwrap()
    };
    let known = client(Some(authority.pem.clone()));
    for _ in 0..3 {
        assert_eq!(scripted::names(&known).unwrap(), ["secret"]);
    }
    // One tunnel serves all requests, unless a request starts before its connection is back in the pool. The proxy sees
    // nothing else.
    let heads = proxy.heads();
    assert!((1..=3).contains(&heads.len()), "{heads:?}");
    let is_connect = |head: &String| head.starts_with("CONNECT atlas.example:443 ");
    assert!(heads.iter().all(is_connect), "{heads:?}");
    let error = client(None).list(&request()).unwrap_err();
    assert_eq!(failure(&error), (FailureKind::Permanent, 1));
    assert!(
        error_chain(&error).contains("UnknownIssuer"),
        "{}",
        error_chain(&error)
    );
}

fn https_proxy_without_tls_is_named_as_the_cause<C: TestClient>() {
    let server = LoopbackServer::start(|_, mut stream| {
        let _ = stream.read(&mut [0; 16])?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let address = server.base().replace("http://", "https://");
    for base in BASES {
        let setup = Setup {
            proxy: Some(address.clone()),
            ..Setup::with_fast_retries()
        };
        let client: C = client_for(base, setup);
        let error = client.list(&request()).unwrap_err();
        let text = error_chain(&error);
        assert_eq!(failure(&error), (FailureKind::Permanent, 1), "{text}");
        assert!(text.contains(&format!("the proxy {address} ")), "{text}");
        assert!(text.contains("does not speak TLS"), "{text}");
    }
}

/// A tinyproxy that requires a login.
struct Tinyproxy {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Tinyproxy {
    /// Starts tinyproxy. Returns `None` if it is not installed, unless `REQUIRE_INTEROP` is set.
    fn start() -> Option<Self> {
        let program = "/usr/bin/tinyproxy";
        if !fs::exists(program).unwrap_or(false) {
            assert!(
                std::env::var_os("REQUIRE_INTEROP").is_none(),
                "tinyproxy is not installed"
            );
            println!("skipped: tinyproxy is not installed");
            return None;
        }
        // Below the ephemeral ports: while tinyproxy does not listen yet, a connection from an ephemeral port to itself
        // would succeed.
        let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        let port = (first..32_000)
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        let unique = format!("atlas-model-keys-{}-{port}", std::process::id());
        let folder = std::env::temp_dir().join(unique);
        fs::create_dir_all(&folder).unwrap();
        let configuration = folder.join("tinyproxy.conf");
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 20\nBasicAuth me hunter2\n");
        fs::write(&configuration, text).unwrap();
        let process = Command::new(program)
            .arg("-d")
            .arg("-c")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tinyproxy = Self {
            process,
            port,
            folder,
        };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "tinyproxy does not listen");
            thread::yield_now();
        }
        Some(tinyproxy)
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn tinyproxy_accepts_only_its_login<C: TestClient>() {
    let Some(tinyproxy) = Tinyproxy::start() else {
        return;
    };
    let address = format!("127.0.0.1:{}", tinyproxy.port);
    let atlas = EmulatedAtlas::with_keys(250);
    // Linux connects this address to loopback, but the client does not know it as loopback.
    let base = format!("http://0.0.0.0:{}", atlas.server.address().port());
    // tinyproxy responds with 401 to a wrong login.
    for (login, words) in [("", "wants a login"), ("me:wrong@", "opened no tunnel")] {
        let url = format!("http://{login}{address}");
        let client: C = client_through(&base, atlas.credentials(CredentialKind::ApiKey), &url);
        let error = client.list(&atlas.request()).unwrap_err();
        let text = error_chain(&error);
        assert!(text.contains(&address) && text.contains(words), "{text}");
        assert!(!text.contains("wrong"), "{text}");
        assert_eq!(atlas.requests(), (0, 0));
    }
    for kind in CredentialKind::ALL {
        let url = format!("http://me:hunter2@{address}");
        let client: C = client_through(&base, atlas.credentials(kind), &url);
        assert_eq!(client.list_all(&atlas.request()).unwrap().len(), 250);
    }
}

/// Makes one test of each function for both clients.
macro_rules! test_both {
    ($($scenario:ident,)*) => {
        mod both_clients { $(
            #[test]
            fn $scenario() {
                // One after the other, so that two tinyproxies do not choose the same port.
                super::$scenario::<super::UreqClient>();
                super::$scenario::<super::HyperClient>();
            }
        )* }
    };
}

test_both! {
    tunnel_request_has_only_the_login_of_the_proxy,
    refusal_names_the_proxy_and_is_not_retried,
    unreachable_proxy_is_named,
    slow_proxy_ends_at_the_connect_timeout,
    loopback_request_uses_no_proxy,
    tinyproxy_accepts_only_its_login,
}

test_with_both! {
    error_of_a_proxy_names_it_and_is_retried_if_temporary,
    closed_or_silent_proxy_is_reported_as_not_sent,
    any_2xx_after_interim_responses_opens_a_tunnel,
    bytes_after_the_response_to_connect_fail_permanently,
    tls_in_a_tunnel_verifies_the_target,
    https_proxy_without_tls_is_named_as_the_cause,
}
