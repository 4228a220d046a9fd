//! Connections: reuse, and bytes that nobody requested.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::client::{Setup, TestClient};
use crate::fixtures::{client_for, ids, request};
use crate::loopback::{self, LoopbackServer, page_num_of, read_head};

/// An empty page, compressed with gzip.
const GZIP: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 74, 45, 46, 205, 41, 41, 86, 178, 138, 142, 173,
    5, 0, 10, 39, 124, 158, 14, 0, 0, 0,
];

/// Starts a server of two pages with one key each. For each request, `send` is called with the page and with a response
/// that was not requested.
fn serve_twice(
    send: impl Fn(&mut TcpStream, &str, &str) -> io::Result<()> + Send + Sync + 'static,
) -> LoopbackServer {
    let page = |id, links| {
        let body = format!(r#"{{"links":[{links}],"results":[{{"apiKeyId":"{id}"}}]}}"#);
        loopback::response(200, &body)
    };
    let (first, second) = (page("a", r#"{"rel":"next"}"#), page("b", ""));
    let unrequested = page("unrequested", "");
    LoopbackServer::start(move |_, mut stream| {
        while let Some(head) = read_head(&mut stream)? {
            let page = match page_num_of(&head) {
                1 => &first,
                _ => &second,
            };
            send(&mut stream, page, &unrequested)?;
        }
        Ok(())
    })
}

scenarios!(connections, {
    fn connections_are_reused_unless_none_may_be_idle<C: TestClient>() {
        let server = LoopbackServer::with_pages(|_| (200, r#"{"results":[]}"#.to_owned()));
        let client: C = client_for(&server.base(), Setup::default());
        for _ in 0..5 {
            client.list(&request()).unwrap();
        }
        // An asynchronous client may open a second connection if a request starts before the first one is back in
        // the pool.
        let before = server.connections();
        assert!((1..=2).contains(&before), "{before}");
        let none = Setup {
            idle: Some((0, Duration::ZERO)),
            ..Setup::default()
        };
        let client: C = client_for(&server.base(), none);
        for _ in 0..5 {
            client.list(&request()).unwrap();
        }
        assert_eq!(server.connections(), before + 5);
    }

    fn unrequested_second_response_is_never_a_page<C: TestClient>() {
        let server = serve_twice(|stream, page, unrequested| {
            stream.write_all((page.to_owned() + unrequested).as_bytes())
        });
        for _ in 0..60 {
            let client: C = client_for(&server.base(), Setup::without_retries());
            assert_eq!(ids(&client, &request(), 1), ["a", "b"]);
        }
    }

    fn late_unrequested_response_is_never_a_page<C: TestClient>() {
        if !C::CAPABILITIES.refuses_early_responses {
            return;
        }
        let (sender, sent) = mpsc::channel();
        let server = serve_twice(move |stream, page, unrequested| {
            stream.write_all(page.as_bytes())?;
            thread::sleep(Duration::from_millis(1));
            stream.write_all(unrequested.as_bytes())?;
            let _ = sender.send(());
            Ok(())
        });
        for _ in 0..60 {
            let client: C = client_for(&server.base(), Setup::without_retries());
            let mut keys = client.keys(&request(), 1);
            let mut next_id = || {
                let key = keys.next()?.unwrap();
                Some(key.api_key_id().unwrap().to_owned())
            };
            assert_eq!(next_id().as_deref(), Some("a"));
            sent.recv().unwrap();
            assert_eq!(next_id().as_deref(), Some("b"));
            assert_eq!(next_id(), None);
            sent.recv().unwrap();
        }
    }

    fn zeros_after_a_gzip_body_are_ignored<C: TestClient>() {
        for zeros in [0, 1, 7, 512, 100_000] {
            let body = [GZIP, &vec![0; zeros]].concat();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
            );
            let server = LoopbackServer::with_bytes([head.as_bytes(), &body].concat());
            let client: C = client_for(&server.base(), Setup::without_retries());
            assert!(client.list(&request()).unwrap().is_empty(), "{zeros}");
        }
    }
});
