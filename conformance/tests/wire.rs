//! Responses of faulty or hostile servers: each has the right error, in time, and is never taken for the response to
//! another request.

use std::time::{Duration, Instant};

use crate::scripted::{Action, ScriptedServer, error_chain, names, page, response};
use atlas_model_keys_conformance::fixtures::{failure, request};
use atlas_model_keys_conformance::{HyperClient, Setup, TestClient, UreqClient};
use atlas_model_keys_core::{Credentials, Error, FailureKind, PageNum};

/// Returns a response without a length: the body ends with the connection.
fn until_close(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes()
}

/// Returns the error of a request to a server with these actions, and the time it took.
fn error_of<C: TestClient>(setup: Setup, steps: Vec<Action>) -> (Error, Duration) {
    let server = ScriptedServer::plain(move |_| steps.clone());
    let client: C = server.client(setup);
    let begun = Instant::now();
    let error = client.list(&request()).unwrap_err();
    (error, begun.elapsed())
}

fn second_response_in_one_write_is_never_the_next_page<C: TestClient>() {
    let server = ScriptedServer::plain(|received| {
        let right = response(200, &page(&format!("{}", received.connection)));
        let wrong = response(200, &page("unrequested"));
        vec![Action::Send([right, wrong].concat())]
    });
    let client: C = server.client(Setup::without_retries());
    for number in 0..50 {
        assert_eq!(names(&client).unwrap(), [number.to_string()]);
    }
    assert_eq!(server.connections(), 50);
}

fn body_without_length_is_complete_at_close_and_lost_at_reset<C: TestClient>() {
    let body = page("whole");
    let whole = body.clone();
    let server =
        ScriptedServer::plain(move |_| vec![Action::Send(until_close(&whole)), Action::Close]);
    assert_eq!(
        names::<C>(&server.client(Setup::without_retries())).unwrap(),
        ["whole"]
    );

    // Half of the body and a reset. It is also an error for a caller that does not decode the body.
    let half = body[..body.len() / 2].to_owned();
    let server = ScriptedServer::plain(move |received| match received.connection {
        0 | 2 => vec![
            Action::Send(until_close(&half)),
            // Gives the client time to read the first half: a reset discards unread bytes.
            Action::SendSlowly(b" ".to_vec(), Duration::from_millis(100)),
            Action::Abort,
        ],
        _ => vec![Action::Send(response(200, &body))],
    });
    let error = server
        .client::<C>(Setup::without_retries())
        .reply(&request())
        .unwrap_err();
    assert_eq!(
        failure(&error),
        (FailureKind::Lost, 1),
        "{}",
        error_chain(&error)
    );
    let client: C = server.client(Setup::with_fast_retries());
    assert_eq!(names(&client).unwrap(), ["whole"]);
    assert_eq!(server.connections(), 2);
    assert!(client.reply(&request()).is_ok());
}

/// A chunked response, up to its trailers.
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n";

fn endless_responses_end_at_a_named_limit<C: TestClient>() {
    let repeat = |bytes: &[u8]| Action::SendEndlessly(bytes.repeat(100));
    let send = |bytes: &[u8]| Action::Send(bytes.to_vec());
    let field = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    let many: String = (0..10_000).map(|n| format!("x-many-{n}: 1\r\n")).collect();
    let start = "HTTP/1.1 200 OK\r\n";
    let end = "content-length: 2\r\n\r\n{}";
    for (what, steps, words) in [
        (
            "trailers",
            vec![send(CHUNKED), repeat(b"x-trailer: 1\r\n")],
            "Trailers",
        ),
        ("a trailer", vec![send(CHUNKED), repeat(b"x")], "Trailers"),
        (
            "interim responses",
            vec![repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n")],
            "InterimResponses",
        ),
        (
            "interim responses with fields",
            vec![repeat(b"HTTP/1.1 102 -\r\nx: 1\r\n\r\n")],
            "InterimResponses",
        ),
        (
            "a long field",
            vec![
                send(format!("{start}{field}{end}").as_bytes()),
                Action::Stall,
            ],
            "HeadBytes",
        ),
        (
            "many fields",
            vec![
                send(format!("{start}{many}{end}").as_bytes()),
                Action::Stall,
            ],
            "HeaderFields",
        ),
        (
            "endless fields",
            vec![send(start.as_bytes()), repeat(b"x: 1\r\n")],
            // The client may count either bytes or fields first.
            "Head",
        ),
        (
            "an endless field",
            vec![send(b"HTTP/1.1 200 OK\r\nx: "), repeat(b"x")],
            "HeadBytes",
        ),
        (
            "an endless status line",
            vec![send(b"HTTP/1.1 200 "), repeat(b"x")],
            "HeadBytes",
        ),
    ] {
        // A retry would mean that the client takes the failure for a temporary one.
        let (error, took) = error_of::<C>(Setup::with_fast_retries(), steps);
        assert_eq!(failure(&error), (FailureKind::Permanent, 1), "{what}");
        let Error::Transport { source, .. } = &error else {
            unreachable!();
        };
        let shown = format!("{:?}", source.expose());
        assert!(shown.contains(words), "{what}: {shown}");
        assert!(source.to_string().contains("limit"), "{what}: {source}");
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
    }
}

fn slow_response_ends_at_the_deadline<C: TestClient>() {
    let slowly = |bytes: &[u8]| Action::SendSlowly(bytes.repeat(1000), Duration::from_millis(10));
    let send = |bytes: &[u8]| Action::Send(bytes.to_vec());
    let deadline = Duration::from_millis(400);
    for (what, steps) in [
        (
            "head",
            vec![send(b"HTTP/1.1 200 OK\r\n"), slowly(b"x: y\r\n")],
        ),
        ("interim", vec![slowly(b"HTTP/1.1 103 -\r\n\r\n")]),
        ("trailers", vec![send(CHUNKED), slowly(b"x: y\r\n")]),
        ("body", vec![send(&until_close("")), slowly(b" ")]),
        (
            "chunks",
            vec![
                send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
                slowly(b"1\r\n \r\n"),
            ],
        ),
        ("nothing", vec![Action::Stall]),
        (
            "no body",
            vec![
                send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
                Action::Stall,
            ],
        ),
    ] {
        let setup = Setup {
            deadline: Some(deadline),
            ..Setup::with_fast_retries()
        };
        let (error, took) = error_of::<C>(setup, steps);
        assert_eq!(failure(&error), (FailureKind::TimedOut, 1), "{what}");
        // The server sends for 10 s or more, and the machine may be busy.
        assert!(took >= deadline, "{what}: {took:?}");
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
    }
}

fn error_status_counts_if_its_body_is_endless<C: TestClient>() {
    let spaces = " ".repeat(1 << 16);
    for (head, body) in [
        ("", spaces.as_str()),
        ("content-length: 17825792\r\n", spaces.as_str()),
        ("transfer-encoding: chunked\r\n\r\n0", "x-trailer: 1\r\n"),
    ] {
        let steps = vec![
            Action::Send(format!("HTTP/1.1 500 -\r\n{head}\r\n").into_bytes()),
            Action::SendEndlessly(body.repeat(100).into_bytes()),
        ];
        let (error, took) = error_of::<C>(Setup::without_retries(), steps);
        assert_eq!(error.status().map(|s| s.as_u16()), Some(500), "{error:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

fn page_with_too_large_content_length_is_refused_at_once<C: TestClient>() {
    let server = ScriptedServer::plain(|received| match received.number {
        0 => {
            let first = r#"{"links":[{"rel":"next"}],"results":[{"name":"first"}]}"#;
            vec![Action::Send(response(200, first))]
        }
        _ => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 17825792\r\n\r\n{";
            vec![Action::Send(head.to_vec()), Action::Stall]
        }
    });
    let client: C = server.client(Setup::with_fast_retries());
    let begun = Instant::now();
    let mut keys = client.keys(&request(), 1);
    assert_eq!(keys.next().unwrap().unwrap().name(), Some("first"));
    let error = keys.next().unwrap().unwrap_err();
    // The core refuses the response, and the request is not retried.
    assert!(
        matches!(error, Error::Limit { .. } | Error::InvalidResponse(_)),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(server.heads().len(), 2);
}

fn body_with_two_lengths_is_lost_and_its_connection_not_reused<C: TestClient>() {
    let server = ScriptedServer::plain(|received| {
        let body = page("whole");
        let length = body.len();
        let both = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n\
             {length:x}\r\n{body}\r\n0\r\n\r\n"
        );
        match received.connection {
            0 | 1 => vec![Action::Send(both.into_bytes())],
            _ => vec![Action::Send(response(200, &body))],
        }
    });
    let error = server
        .client::<C>(Setup::without_retries())
        .list(&request())
        .unwrap_err();
    assert_eq!(failure(&error), (FailureKind::Lost, 1));
    assert!(
        error_chain(&error).contains("RFC 9112 §6.3"),
        "{}",
        error_chain(&error)
    );
    let client: C = server.client(Setup::with_fast_retries());
    assert_eq!(names(&client).unwrap(), ["whole"]);
    assert_eq!(server.connections(), 3);
}

fn unknown_status_reaches_the_caller<C: TestClient>() {
    for status in [600, 750, 999] {
        let (error, _) = error_of::<C>(
            Setup::without_retries(),
            vec![Action::Send(response(status, "{}"))],
        );
        assert_eq!(
            error.status().map(|s| s.as_u16()),
            Some(status),
            "{error:?}"
        );
    }
}

/// Returns a client with an API key.
fn client_with_api_key<C: TestClient>(server: &ScriptedServer, setup: Setup) -> C {
    let base = format!("http://{}", server.address());
    let key = Credentials::api_key("public", "private-private").unwrap();
    C::new(base.parse().unwrap(), key, setup).unwrap()
}

/// Starts a server that sends this challenge and then accepts any Digest authorization.
fn challenging(challenge: &'static [u8]) -> ScriptedServer {
    ScriptedServer::plain(move |received| {
        if received
            .head
            .to_lowercase()
            .contains("authorization: digest")
        {
            return vec![Action::Send(response(200, &page("found")))];
        }
        let start = b"HTTP/1.1 401 -\r\ncontent-length: 0\r\n";
        vec![Action::Send([start, challenge, b"\r\n"].concat())]
    })
}

fn folded_challenge_is_answered<C: TestClient>() {
    let server = challenging(
        b"WWW-Authenticate: Digest realm=\"r\",\r\n  nonce=\"n\",\r\n\tqop=\"auth\", algorithm=SHA-256\r\n",
    );
    let client: C = client_with_api_key(&server, Setup::without_retries());
    assert_eq!(names(&client).unwrap(), ["found"]);
}

fn challenge_outside_ascii_is_answered_or_refused_with_a_reason<C: TestClient>() {
    let server = challenging(
        "WWW-Authenticate: Digest realm=\"Área\", nonce=\"n\", qop=\"auth\"\r\n".as_bytes(),
    );
    let client: C = client_with_api_key(&server, Setup::with_fast_retries());
    match names(&client) {
        Ok(names) => assert_eq!(names, ["found"]),
        Err(error) => {
            assert_eq!(failure(&error), (FailureKind::Permanent, 1));
            assert!(
                error_chain(&error).contains("outside ASCII"),
                "{}",
                error_chain(&error)
            );
        }
    }
}

fn unread_listing_blocks_no_other_request<C: TestClient>() {
    // `ratelimit-remaining: 0` allows one request in flight for this group.
    let server = ScriptedServer::plain(|received| {
        let body = r#"{"links":[{"rel":"next"}],"results":[{"apiKeyId":"1"},{"apiKeyId":"2"}]}"#;
        let body = match received.head.contains("pageNum=9") {
            true => page("other"),
            false => body.replace(
                "\"1\"",
                &format!("\"{}\"", received.connection * 1000 + received.number),
            ),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nratelimit-remaining: 0\r\ncontent-length: {length}\r\n\r\n"
        );
        vec![Action::Send([head.as_bytes(), body.as_bytes()].concat())]
    });
    let setup = Setup {
        deadline: Some(Duration::from_secs(8)),
        ..Setup::without_retries()
    };
    let client: C = server.client(setup);
    for ahead in [1, 4] {
        let mut kept = client.keys(&request(), ahead);
        assert!(kept.by_ref().take(3).all(|key| key.is_ok()));
        let begun = Instant::now();
        let other = request().with_page_num(PageNum::new(9).unwrap());
        let page = client.list(&other).unwrap();
        assert_eq!(page.keys().next().unwrap().name(), Some("other"));
        assert!(begun.elapsed() < Duration::from_secs(4), "{ahead}");
        drop(kept);
    }
}

test_with_both! {
    second_response_in_one_write_is_never_the_next_page,
    body_without_length_is_complete_at_close_and_lost_at_reset,
    endless_responses_end_at_a_named_limit,
    slow_response_ends_at_the_deadline,
    error_status_counts_if_its_body_is_endless,
    page_with_too_large_content_length_is_refused_at_once,
    body_with_two_lengths_is_lost_and_its_connection_not_reused,
    unknown_status_reaches_the_caller,
    folded_challenge_is_answered,
    challenge_outside_ascii_is_answered_or_refused_with_a_reason,
    unread_listing_blocks_no_other_request,
}
