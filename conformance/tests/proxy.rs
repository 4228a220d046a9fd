//! Proxies: tinyproxy, where it is installed, and one written here that notes what it sees.

#[macro_use]
mod scripted;

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::{Atlas, Blocking, Front, Kind, NonBlocking, Setup};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind, GroupId, ListRequest};
use scripted::{Authority, Scripted, Step, failed, once, request, soon, told};

/// A host that is not this machine as far as a client can tell, and that only the proxies here know.
const HOST: &str = "atlas.example";

/// A proxy that leads every tunnel to one place, and notes the heads of the requests for them.
struct Noting {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Noting {
    /// With `target` it opens tunnels to it, else it answers with the status.
    fn start(target: Option<String>, status: &'static str) -> Self {
        Self::answering(
            target,
            status,
            "HTTP/1.1 200 Connection established\r\n\r\n",
        )
    }

    /// It says so before it opens a tunnel.
    fn answering(target: Option<String>, status: &'static str, opened: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (target, noted) = (target.clone(), Arc::clone(&noted));
                thread::spawn(move || tunnel(stream, target.as_deref(), status, opened, &noted));
            }
        });
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
    noted: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(client.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    noted.lock().unwrap().push(head);
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
    copy(reader, up);
    drop(back.join());
    Ok(())
}

fn copy(mut from: impl Read, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn through<C: Front>(base: &str, credentials: Credentials, proxy: &str) -> C {
    let setup = Setup {
        proxy: Some(proxy.to_owned()),
        ..Setup::default()
    };
    let base = BaseUrl::allowing_plain_http(base).unwrap();
    C::new(base, credentials, setup).unwrap()
}

fn a_tunnel_is_asked_for_with_the_proxys_login_and_nothing_else<C: Front>() {
    let atlas = Atlas::with_keys(250);
    for (port, base) in [(80, HOST.to_owned()), (8080, format!("{HOST}:8080"))] {
        for (login, sent) in [("", None), ("me:p%40ss@", Some("Basic bWU6cEBzcw=="))] {
            let target = atlas.server.address().to_string();
            let proxy = Noting::start(Some(target), "");
            let url = format!("http://{login}{}", proxy.address);
            let credentials = atlas.credentials(Kind::ApiKey);
            let client: C = through(&format!("http://{base}"), credentials, &url);
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
            // Atlas's credentials are for Atlas.
            let lines = head.lines().map(str::to_lowercase);
            assert!(!lines.into_iter().any(|l| l.starts_with("authorization")));
        }
    }
}

fn a_refusal_names_the_proxy_and_is_final<C: Front>() {
    for (status, words) in [("407", "wants a login"), ("403", "opened no tunnel")] {
        let proxy = Noting::start(None, status);
        for base in ["https://atlas.example", "http://atlas.example"] {
            let before = proxy.heads().len();
            let key = Credentials::api_key("public", "private-private").unwrap();
            let client: C = through(base, key, &proxy.address);
            let group = GroupId::new("0123456789abcdef01234567").unwrap();
            let error = client.list(&ListRequest::new(group)).unwrap_err();
            let text = told(&error);
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
            // It was asked once, and got no answer to a challenge that is none of its business.
            let heads = proxy.heads().split_off(before);
            assert_eq!(heads.len(), 1);
            assert!(!heads.concat().to_lowercase().contains("authorization"));
        }
    }
}

fn an_unreachable_proxy_is_named<C: Front>() {
    let (nobody, address) = atlas_model_keys_conformance::atlas::listener();
    drop(nobody);
    let setup = Setup {
        proxy: Some(address.replace("http://", "http://me:hunter2@")),
        limits: Some(atlas_model_keys_conformance::atlas::once()),
        ..Setup::default()
    };
    let base = BaseUrl::new("https://atlas.example").unwrap();
    let token = Credentials::bearer("token").unwrap();
    let client = C::new(base, token, setup).unwrap();
    let group = GroupId::new("0123456789abcdef01234567").unwrap();
    let error = client.list(&ListRequest::new(group)).unwrap_err();
    let text = told(&error);
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

fn a_proxy_that_drips_ends_with_the_connect_timeout<C: Front>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Always something, and never the end of it.
            thread::spawn(move || {
                while stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let setup = Setup {
        proxy: Some(address.clone()),
        connect_timeout: Some(Duration::from_millis(200)),
        limits: Some(atlas_model_keys_conformance::atlas::once()),
        ..Setup::default()
    };
    let base = BaseUrl::new("https://atlas.example").unwrap();
    let token = Credentials::bearer("token").unwrap();
    let client = C::new(base, token, setup).unwrap();
    let group = GroupId::new("0123456789abcdef01234567").unwrap();
    let begun = Instant::now();
    let error = client.list(&ListRequest::new(group)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(told(&error).contains(&address), "{}", told(&error));
}

fn loopback_goes_through_none<C: Front>() {
    let proxy = Noting::start(None, "407");
    let atlas = Atlas::with_keys(1);
    let credentials = atlas.credentials(Kind::ServiceAccount);
    let client: C = through(&atlas.server.base_url(), credentials, &proxy.address);
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 1);
    assert!(proxy.heads().is_empty());
}

/// The error of a client whose proxy answers `CONNECT` so, and how often it was asked.
fn error_of<C: Front>(base: &str, setup: Setup, steps: Vec<Step>) -> (Error, String, usize) {
    let proxy = Scripted::plain(move |_| steps.clone());
    let address = proxy.address.to_string();
    let setup = Setup {
        proxy: Some(format!("http://me:hunter2@{address}")),
        ..setup
    };
    let base = BaseUrl::allowing_plain_http(base).unwrap();
    let client = C::new(base, scripted::token(), setup).unwrap();
    let error = client.list(&request()).unwrap_err();
    let text = told(&error);
    // A deadline that passes says so, and not what was waited for then.
    let is_timeout = failed(&error).0 == FailureKind::TimedOut;
    assert!(is_timeout || text.contains(&address), "{text}");
    let shown = format!("{text} {error:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("token"),
        "{shown}"
    );
    (error, text, proxy.connections())
}

const BASES: [&str; 2] = ["https://atlas.example", "http://atlas.example"];

fn what_a_proxy_answers_is_told_apart_and_names_it<C: Front>() {
    let head = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    for (answer, kind, words) in [
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
            let steps = vec![Step::Send(answer.clone().into_bytes()), Step::Hold];
            let (error, text, asked) = error_of::<C>(base, soon(), steps);
            // What may pass is tried again.
            let attempts = if kind == FailureKind::NotSent { 5 } else { 1 };
            assert_eq!(failed(&error), (kind, attempts), "{text}");
            assert_eq!(asked, usize::try_from(attempts).unwrap());
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("certificate"), "{text}");
        }
    }
}

fn a_proxy_that_leaves_or_keeps_silent_may_be_asked_again<C: Front>() {
    for base in BASES {
        let (error, text, asked) = error_of::<C>(base, soon(), vec![Step::Close]);
        assert_eq!(
            (failed(&error), asked),
            ((FailureKind::NotSent, 5), 5),
            "{text}"
        );
        let short = Some(Duration::from_millis(200));
        for (setup, kind) in [
            (
                Setup {
                    connect_timeout: short,
                    ..once()
                },
                FailureKind::NotSent,
            ),
            (
                Setup {
                    deadline: short,
                    ..soon()
                },
                FailureKind::TimedOut,
            ),
        ] {
            let (error, text, _) = error_of::<C>(base, setup, vec![Step::Hold]);
            assert_eq!(failed(&error), (kind, 1), "{text}");
        }
    }
}

fn a_tunnel_is_opened_by_any_success_after_any_interim_answer<C: Front>() {
    let atlas = Atlas::with_keys(250);
    for opened in [
        "HTTP/1.0 200\r\n\r\n",
        "HTTP/1.1 201 Created\r\nVia: 1.1 proxy\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 103 -\r\nLink: x\r\n\r\nHTTP/1.1 204 -\r\n\r\n",
    ] {
        let target = atlas.server.address().to_string();
        let proxy = Noting::answering(Some(target), "", opened);
        let credentials = atlas.credentials(Kind::ApiKey);
        let client: C = through(&format!("http://{HOST}"), credentials, &proxy.address);
        assert_eq!(
            client.list_all(&atlas.request()).unwrap().len(),
            250,
            "{opened}"
        );
    }
}

fn an_answer_that_comes_with_the_tunnel_is_nobodys<C: Front>() {
    let extra = scripted::answer(200, &scripted::page("unrequested"));
    let opened = b"HTTP/1.1 200 -\r\n\r\n".to_vec();
    let steps = vec![Step::Send([opened, extra].concat()), Step::Hold];
    let (error, text, _) = error_of::<C>("http://atlas.example", once(), steps);
    assert_eq!(failed(&error), (FailureKind::Permanent, 1), "{text}");
}

fn tls_through_a_tunnel_is_with_the_target<C: Front>() {
    let authority = Authority::new();
    let tls = authority.config(HOST, false);
    let server = Scripted::start(Some(tls), |_| {
        vec![Step::Send(scripted::answer(200, &scripted::page("secret")))]
    });
    let proxy = Noting::start(Some(server.address.to_string()), "");
    let client = |roots: Option<String>| {
        let setup = Setup {
            proxy: Some(proxy.address.clone()),
            root_certificates: roots,
            ..once()
        };
        let base = BaseUrl::new(&format!("https://{HOST}")).unwrap();
        C::new(base, scripted::token(), setup).unwrap()
    };
    let known = client(Some(authority.pem.clone()));
    for _ in 0..3 {
        assert_eq!(scripted::names(&known).unwrap(), ["secret"]);
    }
    // One tunnel for all of them, unless it is given back too late, and nothing else for the proxy to see.
    let heads = proxy.heads();
    assert!((1..=3).contains(&heads.len()), "{heads:?}");
    let asks = |head: &String| head.starts_with("CONNECT atlas.example:443 ");
    assert!(heads.iter().all(asks), "{heads:?}");
    let error = client(None).list(&request()).unwrap_err();
    assert_eq!(failed(&error), (FailureKind::Permanent, 1));
    assert!(told(&error).contains("UnknownIssuer"), "{}", told(&error));
}

fn an_https_proxy_on_a_plain_port_is_told_as_that<C: Front>() {
    let (listener, address) = atlas_model_keys_conformance::atlas::listener();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 16]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let address = address.replace("http://", "https://");
    for base in BASES {
        let base = BaseUrl::allowing_plain_http(base).unwrap();
        let setup = Setup {
            proxy: Some(address.clone()),
            ..soon()
        };
        let client = C::new(base, scripted::token(), setup).unwrap();
        let error = client.list(&request()).unwrap_err();
        let text = told(&error);
        assert_eq!(failed(&error), (FailureKind::Permanent, 1), "{text}");
        assert!(text.contains(&format!("the proxy {address} ")), "{text}");
        assert!(text.contains("does not speak TLS"), "{text}");
    }
}

/// tinyproxy, with a login.
struct Tinyproxy {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Tinyproxy {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let program = "/usr/bin/tinyproxy";
        if !fs::exists(program).unwrap_or(false) {
            assert!(
                std::env::var_os("REQUIRE_INTEROP").is_none(),
                "tinyproxy is not installed"
            );
            println!("skipped: no tinyproxy here");
            return None;
        }
        // Below those that the system gives away: one of them could connect to itself.
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

fn a_real_proxy_lets_through_who_has_its_login<C: Front>() {
    let Some(tinyproxy) = Tinyproxy::start() else {
        return;
    };
    let address = format!("127.0.0.1:{}", tinyproxy.port);
    let atlas = Atlas::with_keys(250);
    // Leads to this machine, but does not say so: Linux takes it for loopback, the client does not.
    let base = format!("http://0.0.0.0:{}", atlas.server.address().port());
    // tinyproxy answers a wrong login with 401.
    for (login, words) in [("", "wants a login"), ("me:wrong@", "opened no tunnel")] {
        let url = format!("http://{login}{address}");
        let client: C = through(&base, atlas.credentials(Kind::ApiKey), &url);
        let error = client.list(&atlas.request()).unwrap_err();
        let text = told(&error);
        assert!(text.contains(&address) && text.contains(words), "{text}");
        assert!(!text.contains("wrong"), "{text}");
        assert_eq!(atlas.requests(), (0, 0));
    }
    for kind in Kind::ALL {
        let url = format!("http://me:hunter2@{address}");
        let client: C = through(&base, atlas.credentials(kind), &url);
        assert_eq!(client.list_all(&atlas.request()).unwrap().len(), 250);
    }
}

macro_rules! test_both {
    ($($scenario:ident,)*) => {
        mod both_clients { $(
            #[test]
            fn $scenario() {
                // One after the other, so that no two of them want the same port.
                super::$scenario::<super::Blocking>();
                super::$scenario::<super::NonBlocking>();
            }
        )* }
    };
}

test_both! {
    a_tunnel_is_asked_for_with_the_proxys_login_and_nothing_else,
    a_refusal_names_the_proxy_and_is_final,
    an_unreachable_proxy_is_named,
    a_proxy_that_drips_ends_with_the_connect_timeout,
    loopback_goes_through_none,
    a_real_proxy_lets_through_who_has_its_login,
}

test_with_both! {
    what_a_proxy_answers_is_told_apart_and_names_it,
    a_proxy_that_leaves_or_keeps_silent_may_be_asked_again,
    a_tunnel_is_opened_by_any_success_after_any_interim_answer,
    an_answer_that_comes_with_the_tunnel_is_nobodys,
    tls_through_a_tunnel_is_with_the_target,
    an_https_proxy_on_a_plain_port_is_told_as_that,
}
