//! Proxies: tinyproxy, where it is installed, and one written here that notes what it sees.

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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (target, noted) = (target.clone(), Arc::clone(&noted));
                thread::spawn(move || tunnel(stream, target.as_deref(), status, &noted));
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
    write!(client, "HTTP/1.1 200 Connection established\r\n\r\n")?;
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

/// An error and its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
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
