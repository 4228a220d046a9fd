//! The transports of the examples keep the contract of `Transport`, as far as their libraries allow.
#![allow(dead_code)] // The tests start no tasks.

#[path = "../examples/over_attohttpc/transport.rs"]
mod attohttpc_transport;
#[path = "../examples/over_reqwest/transport.rs"]
mod reqwest_transport;
#[path = "../examples/over_smol/transport.rs"]
mod smol_transport;
#[path = "../examples/over_tcp_stream/transport.rs"]
mod tcp_transport;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::{Body, Failure, FailureKind, Limits};
use atlas_model_keys_transport::{AsyncTransport, SendContext, Transport};
use http::{Request, Response};

type Outcome = Result<Response<Vec<u8>>, Failure>;
type SendFn = fn(Request<Body>, SendContext<'_>) -> Outcome;

const BLOCKING: [(&str, SendFn); 2] = [
    ("TcpStream", |request, context| {
        tcp_transport::TcpTransport.send(request, context)
    }),
    ("attohttpc", |request, context| {
        attohttpc_transport::AttohttpcTransport.send(request, context)
    }),
];

const ALL: [(&str, SendFn); 4] = [
    BLOCKING[0],
    BLOCKING[1],
    ("smol", |request, context| {
        smol::block_on(smol_transport::SmolTransport.send(request, context))
    }),
    ("reqwest", |request, context| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().tls_certs_only([]).no_proxy();
        let transport = reqwest_transport::ReqwestTransport::new(builder).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(transport.send(request, context))
    }),
];

/// Starts a server for one request, which it answers with `respond`. Returns its URL and the head of the request.
fn serve(respond: impl FnOnce(&mut TcpStream) + Send + 'static) -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, head) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let _ = sender.send(lines.take_while(|line| !line.is_empty()).collect());
        respond(&mut stream);
    });
    (url, head)
}

fn serve_text(text: impl Into<String>) -> (String, Receiver<Vec<String>>) {
    let text = text.into();
    serve(move |stream| drop(stream.write_all(text.as_bytes())))
}

fn get(url: &str) -> Request<Body> {
    let request = Request::get(url).header("authorization", "Bearer token");
    request.body(Body::empty()).unwrap()
}

fn context(limits: &Limits) -> SendContext<'_> {
    SendContext::new(limits, Duration::from_secs(20), false)
}

#[test]
fn request_is_sent_unchanged() {
    for (name, send) in ALL {
        let (url, head) = serve_text("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        let target = "/a/b;c=(1)/d?e=1&f=%2B%7e";
        let response = send(get(&(url + target)), context(&Limits::default())).unwrap();
        assert_eq!(response.body(), b"{}", "{name}");
        let head = head.recv().unwrap();
        assert_eq!(head[0], format!("GET {target} HTTP/1.1"), "{name}");
        let head: Vec<String> = head.iter().map(|line| line.to_lowercase()).collect();
        assert!(head.contains(&"authorization: bearer token".to_owned()));
        for absent in ["content-length:", "content-type:", "cookie:", "transfer-"] {
            assert!(
                !head.iter().any(|line| line.starts_with(absent)),
                "{name} {head:?}"
            );
        }
    }
}

#[test]
fn each_status_is_a_response() {
    for (name, send) in ALL {
        for status in [204, 302, 304, 401, 404, 500] {
            let fields =
                "location: /\r\nset-cookie: a=b\r\nwww-authenticate: Basic\r\nx: 1\r\nx: 2";
            let (url, _) = serve_text(format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n"));
            let response = send(get(&url), context(&Limits::default())).unwrap();
            assert_eq!(response.status(), status, "{name}");
            let values = response.headers().get_all("x").iter().count();
            assert_eq!((response.headers().len(), values), (5, 2), "{name}");
        }
    }
}

#[test]
fn failure_tells_whether_the_request_was_sent() {
    for (name, send) in ALL {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let failure = send(get(&url), context(&Limits::default())).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::NotSent, "{name} {failure:?}");
        for text in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        ] {
            let (url, _) = serve_text(text);
            let failure = send(get(&url), context(&Limits::default())).unwrap_err();
            assert_eq!(failure.kind(), FailureKind::Lost, "{name} {text:?}");
        }
    }
}

#[test]
fn body_is_read_up_to_its_limit() {
    let mut limits = Limits::default();
    (limits.body_bytes, limits.error_body_bytes) = (1000, 100);
    for (name, send) in ALL {
        for (status, holds_token, limit) in [
            (200, false, 1001),
            (500, false, 101),
            (200, true, 101),
            (400, true, 101),
        ] {
            let (url, _) = serve_text(format!("HTTP/1.1 {status} X\r\n\r\n{}", "x".repeat(5000)));
            let context = SendContext::new(&limits, Duration::from_secs(20), holds_token);
            match send(get(&url), context) {
                Ok(response) => assert_eq!(response.body().len(), limit, "{name}"),
                // A decoder of core refuses a larger body of a success itself.
                Err(failure) => {
                    assert_eq!(failure.kind(), FailureKind::Permanent, "{name} {failure:?}");
                    assert!(status == 200 && ["TcpStream", "smol"].contains(&name));
                }
            }
        }
    }
}

#[test]
fn blocking_transport_ends_with_the_remaining_time() {
    for (name, send) in BLOCKING {
        for (start, part) in [
            ("", ""),
            ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
            ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        ] {
            let (url, _) = serve(move |stream| {
                let mut alive = stream.write_all(start.as_bytes()).is_ok();
                for _ in 0..200 {
                    thread::sleep(Duration::from_millis(50));
                    alive = alive && stream.write_all(part.as_bytes()).is_ok();
                }
            });
            let begun = Instant::now();
            let limits = Limits::default();
            let context = SendContext::new(&limits, Duration::from_millis(300), false);
            let failure = send(get(&url), context).unwrap_err();
            // The client reports it as `TimedOut`, because the time is over.
            let is_right = matches!(failure.kind(), FailureKind::Lost | FailureKind::TimedOut);
            assert!(is_right, "{name} {failure:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{name} {start:?}");
        }
    }
}
