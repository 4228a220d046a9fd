//! A cancelled call of a blocking client ends at once, wherever it waits, and other calls of the client go on.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::LoopbackServer;
use atlas_model_keys_conformance::client::fast_retries;
use atlas_model_keys_conformance::fixtures::{failure, request, token};
use atlas_model_keys_conformance::loopback::{page_num_of, read_head};
use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Failure, FailureKind, GroupId, ListRequest,
};
use atlas_model_keys_transport::blocking::Client;
use atlas_model_keys_transport::{CancelHandle, ClientSettings, SendContext, Transport};
use http::{Request, Response};
use socket2::{Domain, Socket, Type};

/// The longest time from the cancellation until the call has ended. On an idle machine it takes some milliseconds.
const PROMPT: Duration = Duration::from_secs(2);

/// The time before a cancellation, in which the call comes to its wait.
const BEFORE: Duration = Duration::from_millis(100);

/// The time of a stall, after which the server goes on.
const STALL: Duration = Duration::from_secs(9);

const EMPTY: &str = r#"{"links":[],"results":[]}"#;

const TOKEN: &str = r#"{"access_token":"t","expires_in":3600,"token_type":"Bearer"}"#;

/// What a server does after a request: it waits, sends the head, waits, and sends the body.
#[derive(Clone, Default)]
struct Answer {
    before_head: Duration,
    status: u16,
    /// The fields of the head, each with its line end.
    fields: &'static str,
    before_body: Duration,
    body: String,
}

impl Answer {
    fn ok(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }
}

/// Tells what happens after a request with this method and target, and this number among all requests.
type Script = Arc<dyn Fn(&str, usize) -> Answer + Send + Sync>;

/// A blocking transport that waits in `send`, whatever the deadline is.
struct Scripted {
    script: Script,
    requests: Arc<AtomicUsize>,
}

impl Transport for Scripted {
    fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let answer = (self.script)(&format!("{} {}", request.method(), request.uri()), number);
        thread::sleep(answer.before_head + answer.before_body);
        let mut response = Response::builder().status(answer.status);
        for field in answer.fields.lines() {
            let (name, value) = field.split_once(": ").unwrap();
            response = response.header(name, value);
        }
        Ok(response.body(answer.body.into_bytes()).unwrap())
    }
}

/// Starts a server with this script.
fn serve(script: Script, requests: Arc<AtomicUsize>) -> LoopbackServer {
    LoopbackServer::start(move |_, mut stream| {
        while let Some(head) = read_head(&mut stream)? {
            if head.starts_with("POST") {
                let length = head.to_lowercase();
                let length = length.split_once("content-length: ").unwrap().1;
                let length = length.lines().next().unwrap().parse().unwrap();
                stream.read_exact(&mut vec![0; length])?;
            }
            let number = requests.fetch_add(1, Ordering::SeqCst);
            let answer = script(head.lines().next().unwrap(), number);
            let Answer { status, fields, .. } = answer;
            thread::sleep(answer.before_head);
            let length = answer.body.len();
            write!(
                stream,
                "HTTP/1.1 {status} -\r\n{fields}content-length: {length}\r\n\r\n"
            )?;
            thread::sleep(answer.before_body);
            stream.write_all(answer.body.as_bytes())?;
        }
        io::Result::Ok(())
    })
}

/// A client, and the number of requests that were sent.
struct Scene {
    client: Client,
    requests: Arc<AtomicUsize>,
}

impl Scene {
    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Makes a call on another thread, cancels it after a while, and returns its result. Checks that it has not ended before,
    /// and that it ends promptly.
    fn cancelled<T: Send + 'static>(&self, call: impl FnOnce(&Client) -> T + Send + 'static) -> T {
        self.time_to_cancel(call).0
    }

    /// Does what [`cancelled`](Scene::cancelled) does, and returns also the time from the cancellation until the end.
    fn time_to_cancel<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> (T, Duration) {
        let handle = CancelHandle::new();
        let client = self.client.with_cancel_handle(&handle);
        let (sender, result) = mpsc::channel();
        thread::spawn(move || sender.send(call(&client)));
        assert!(result.recv_timeout(BEFORE).is_err(), "it does not wait");
        let begun = Instant::now();
        handle.cancel();
        let result = result.recv_timeout(STALL).unwrap();
        let elapsed = begun.elapsed();
        assert!(elapsed < PROMPT, "{elapsed:?}");
        (result, elapsed)
    }

    /// Checks that another call succeeds, and does not wait for a stall.
    fn goes_on(&self) {
        let begun = Instant::now();
        self.client.list(&other_request()).unwrap();
        assert!(begun.elapsed() < STALL / 2);
    }
}

/// A request that every script answers at once.
fn other_request() -> ListRequest {
    ListRequest::new(GroupId::new("f".repeat(24).as_str()).unwrap())
}

/// Runs a scenario with both transports.
fn with_both(
    credentials: fn() -> Credentials,
    script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    scenario: impl Fn(&Scene),
) {
    let script: Script = Arc::new(move |head: &str, number| match head.contains("ffffff") {
        true => Answer::ok(EMPTY),
        false => script(head, number),
    });
    let requests: Arc<AtomicUsize> = Arc::default();
    let server = serve(Arc::clone(&script), Arc::clone(&requests));
    let client = ureq(&server.base(), credentials());
    scenario(&Scene { client, requests });

    let requests: Arc<AtomicUsize> = Arc::default();
    let transport = Scripted {
        script,
        requests: Arc::clone(&requests),
    };
    let settings = ClientSettings::new(BaseUrl::default(), credentials()).limits(fast_retries());
    let client = Client::new(settings, transport).unwrap();
    scenario(&Scene { client, requests });
}

fn ureq(base: &str, credentials: Credentials) -> Client {
    let base = BaseUrl::new(base).unwrap();
    let builder = atlas_model_keys_ureq::Client::builder(base, credentials);
    let client = builder.limits(fast_retries()).build().unwrap();
    Client::clone(&client)
}

fn service_account() -> Credentials {
    Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap()
}

fn assert_timed_out<T>(result: Result<T, Error>) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(failure(&error).0, FailureKind::TimedOut, "{error:?}");
}

#[test]
fn wait_for_a_retry_ends_with_its_cause() {
    let script = |_: &str, _| Answer {
        status: 503,
        fields: "retry-after: 30\r\n",
        ..Answer::default()
    };
    with_both(token, script, |scene| {
        let error = scene.cancelled(|client| client.list(&request()).unwrap_err());
        assert!(
            matches!(error, Error::GaveUp { attempts: 1, .. }),
            "{error:?}"
        );
        assert_eq!(error.status().unwrap().as_u16(), 503);
        scene.goes_on();
    });
}

#[test]
fn wait_for_the_token_of_another_call_ends_and_that_call_goes_on() {
    let script = |head: &str, _| match head.starts_with("POST") {
        true => Answer {
            before_head: STALL / 3,
            ..Answer::ok(TOKEN)
        },
        false => Answer::ok(EMPTY),
    };
    with_both(service_account, script, |scene| {
        let client = scene.client.clone();
        let leader = thread::spawn(move || client.list(&request()).map(drop));
        while scene.requests() == 0 {
            thread::yield_now();
        }
        assert_timed_out(scene.cancelled(|client| client.list(&request())));
        leader.join().unwrap().unwrap();
        scene.goes_on();
    });
}

#[test]
fn cancelled_token_request_does_not_block_the_calls_that_wait_for_it() {
    let script = |head: &str, number| match head.starts_with("POST") {
        true if number == 0 => Answer {
            before_head: STALL,
            ..Answer::ok(TOKEN)
        },
        true => Answer::ok(TOKEN),
        false => Answer::ok(EMPTY),
    };
    with_both(service_account, script, |scene| {
        let (client, begun) = (scene.client.clone(), Instant::now());
        let requests = Arc::clone(&scene.requests);
        let follower = thread::spawn(move || {
            while requests.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            client.list(&request()).map(drop)
        });
        assert_timed_out(scene.cancelled(|client| client.list(&request())));
        follower.join().unwrap().unwrap();
        assert!(begun.elapsed() < STALL / 2);
        scene.goes_on();
    });
}

#[test]
fn head_that_never_comes_and_body_that_stalls_are_left_alone() {
    for (before_head, before_body) in [(STALL, Duration::ZERO), (Duration::ZERO, STALL)] {
        let script = move |_: &str, _| Answer {
            before_head,
            before_body,
            ..Answer::ok(EMPTY)
        };
        with_both(token, script, |scene| {
            assert_timed_out(scene.cancelled(|client| client.list(&request())));
            assert_timed_out(scene.cancelled(|client| client.list_all(&request())));
            scene.goes_on();
        });
    }
}

#[test]
fn cancelled_call_ends_within_a_quarter_of_a_second() {
    let script = |_: &str, _| Answer {
        before_head: STALL,
        ..Answer::ok(EMPTY)
    };
    with_both(token, script, |scene| {
        // A busy machine may delay some of them.
        let times = (0..5).map(|_| scene.time_to_cancel(|client| client.list(&request())).1);
        let shortest = times.min().unwrap();
        assert!(shortest < Duration::from_millis(250), "{shortest:?}");
    });
}

#[test]
fn revocation_that_stalls_is_left_alone() {
    let script = |head: &str, _| match head.contains("/revoke") {
        true => Answer {
            before_head: STALL,
            ..Answer::ok("")
        },
        false if head.starts_with("POST") => Answer::ok(TOKEN),
        false => Answer::ok(EMPTY),
    };
    with_both(service_account, script, |scene| {
        scene.goes_on();
        assert_timed_out(scene.cancelled(Client::revoke_token));
        scene.goes_on();
    });
}

/// Returns an address at which connections are never opened, and what keeps it that way.
fn full_backlog() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any_port.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&address, BEFORE);
    let waiting = std::iter::from_fn(|| connect().ok()).take(64).collect();
    (address, socket, waiting)
}

/// Other systems refuse a connection beyond the backlog.
#[cfg(target_os = "linux")]
#[test]
fn connection_that_is_never_opened_is_left_alone() {
    let (address, _socket, _waiting) = full_backlog();
    let client = ureq(&format!("http://{address}"), token());
    let requests = Arc::default();
    let scene = Scene { client, requests };
    assert_timed_out(scene.cancelled(|client| client.list(&request())));
}

#[test]
fn listing_ends_between_its_pages() {
    let script = |head: &str, _| match page_num_of(head) {
        1 => Answer::ok(
            r#"{"links":[{"rel":"next","href":"x"}],"results":[{"apiKeyId":"1"}],"totalCount":9}"#,
        ),
        _ => Answer {
            before_head: STALL,
            ..Answer::ok(EMPTY)
        },
    };
    for ahead in [1, 3] {
        with_both(token, script, |scene| {
            let items = scene.cancelled(move |client| {
                client
                    .keys(&request())
                    .read_ahead(ahead)
                    .collect::<Vec<_>>()
            });
            let [Ok(first), Err(error)] = &items[..] else {
                panic!("{items:?}")
            };
            assert_eq!(first.api_key_id(), Some("1"));
            assert_eq!(failure(error).0, FailureKind::TimedOut, "{error:?}");
            scene.goes_on();
        });
    }
}

#[test]
fn call_with_a_cancelled_handle_sends_nothing() {
    for credentials in [token, service_account] {
        let script = |head: &str, _| match head.starts_with("POST") {
            true => Answer::ok(TOKEN),
            false => Answer::ok(EMPTY),
        };
        with_both(credentials, script, |scene| {
            scene.goes_on();
            let before = scene.requests();
            let handle = CancelHandle::new();
            handle.cancel();
            let client = scene.client.with_cancel_handle(&handle);
            let begun = Instant::now();
            assert_timed_out(client.list(&request()));
            assert_timed_out(client.reply(&request()));
            assert_timed_out(client.list_all(&request()));
            for ahead in [1, 3] {
                let mut pages = client.pages(&request()).read_ahead(ahead);
                assert_timed_out(pages.next().unwrap());
                assert!(pages.next().is_none());
            }
            // Without a token nothing is revoked.
            let has_token = client.export_token().is_some();
            let revoked = client.revoke_token();
            assert_eq!(revoked.is_err(), has_token);
            assert!(begun.elapsed() < PROMPT);
            // A thread could still send what its call has left behind.
            thread::sleep(BEFORE);
            assert_eq!(scene.requests(), before);
            scene.goes_on();
        });
    }
}
