//! What a server that is out of order, or means harm, can put on the wire: every answer ends with the right error,
//! soon, and is never taken for another one.

#[macro_use]
mod scripted;

use std::time::{Duration, Instant};

use atlas_model_keys_conformance::{Blocking, Front, NonBlocking, Setup};
use atlas_model_keys_core::{Credentials, Error, FailureKind, PageNum};
use scripted::{Scripted, Step, answer, failed, names, once, page, request, soon, told};

/// Without a length: the body ends with the connection.
fn until_close(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes()
}

/// The error of one request to a server that answers so, and how long it took.
fn error_of<C: Front>(setup: Setup, steps: Vec<Step>) -> (Error, Duration) {
    let server = Scripted::plain(move |_| steps.clone());
    let client: C = server.client(setup);
    let begun = Instant::now();
    let error = client.list(&request()).unwrap_err();
    (error, begun.elapsed())
}

fn a_second_answer_in_one_write_is_never_the_next_page<C: Front>() {
    let server = Scripted::plain(|asked| {
        let right = answer(200, &page(&format!("{}", asked.connection)));
        let wrong = answer(200, &page("unrequested"));
        vec![Step::Send([right, wrong].concat())]
    });
    let client: C = server.client(once());
    for number in 0..50 {
        assert_eq!(names(&client).unwrap(), [number.to_string()]);
    }
    assert_eq!(server.connections(), 50);
}

fn a_body_without_a_length_ends_in_order_or_is_lost<C: Front>() {
    let body = page("whole");
    let whole = body.clone();
    let server = Scripted::plain(move |_| vec![Step::Send(until_close(&whole)), Step::Close]);
    assert_eq!(names::<C>(&server.client(once())).unwrap(), ["whole"]);

    // Half of it, and a reset: even where nobody looks into the body.
    let half = body[..body.len() / 2].to_owned();
    let server = Scripted::plain(move |asked| match asked.connection {
        0 | 2 => vec![
            Step::Send(until_close(&half)),
            // It is there before the reset.
            Step::Drip(b" ".to_vec(), Duration::from_millis(100)),
            Step::Break,
        ],
        _ => vec![Step::Send(answer(200, &body))],
    });
    let error = server.client::<C>(once()).reply(&request()).unwrap_err();
    assert_eq!(failed(&error), (FailureKind::Lost, 1), "{}", told(&error));
    let client: C = server.client(soon());
    assert_eq!(names(&client).unwrap(), ["whole"]);
    assert_eq!(server.connections(), 2);
    assert!(client.reply(&request()).is_ok());
}

const FLOOD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n";

fn floods_end_at_a_limit_that_is_named<C: Front>() {
    let endlessly = |bytes: &[u8]| Step::Endlessly(bytes.repeat(100));
    let send = |bytes: &[u8]| Step::Send(bytes.to_vec());
    let field = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    let many: String = (0..10_000).map(|n| format!("x-many-{n}: 1\r\n")).collect();
    let start = "HTTP/1.1 200 OK\r\n";
    let end = "content-length: 2\r\n\r\n{}";
    for (what, steps, words) in [
        (
            "trailers",
            vec![send(FLOOD), endlessly(b"x-trailer: 1\r\n")],
            "Trailers",
        ),
        ("a trailer", vec![send(FLOOD), endlessly(b"x")], "Trailers"),
        (
            "interim responses",
            vec![endlessly(b"HTTP/1.1 103 Early Hints\r\n\r\n")],
            "InterimResponses",
        ),
        (
            "interim responses with fields",
            vec![endlessly(b"HTTP/1.1 102 -\r\nx: 1\r\n\r\n")],
            "InterimResponses",
        ),
        (
            "a long field",
            vec![send(format!("{start}{field}{end}").as_bytes()), Step::Hold],
            "HeadBytes",
        ),
        (
            "many fields",
            vec![send(format!("{start}{many}{end}").as_bytes()), Step::Hold],
            "HeaderFields",
        ),
        (
            "endless fields",
            vec![send(start.as_bytes()), endlessly(b"x: 1\r\n")],
            // Bytes or fields, whichever is counted first.
            "Head",
        ),
        (
            "an endless field",
            vec![send(b"HTTP/1.1 200 OK\r\nx: "), endlessly(b"x")],
            "HeadBytes",
        ),
        (
            "an endless status line",
            vec![send(b"HTTP/1.1 200 "), endlessly(b"x")],
            "HeadBytes",
        ),
    ] {
        // Repeated, if it were taken for something that passes.
        let (error, took) = error_of::<C>(soon(), steps);
        assert_eq!(failed(&error), (FailureKind::Permanent, 1), "{what}");
        let Error::Transport { source, .. } = &error else {
            unreachable!();
        };
        let shown = format!("{:?}", source.expose());
        assert!(shown.contains(words), "{what}: {shown}");
        assert!(source.to_string().contains("limit"), "{what}: {source}");
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
    }
}

fn what_drips_ends_with_the_deadline<C: Front>() {
    let drip = |bytes: &[u8]| Step::Drip(bytes.repeat(1000), Duration::from_millis(10));
    let send = |bytes: &[u8]| Step::Send(bytes.to_vec());
    let deadline = Duration::from_millis(400);
    for (what, steps) in [
        (
            "head",
            vec![send(b"HTTP/1.1 200 OK\r\n"), drip(b"x: y\r\n")],
        ),
        ("interim", vec![drip(b"HTTP/1.1 103 -\r\n\r\n")]),
        ("trailers", vec![send(FLOOD), drip(b"x: y\r\n")]),
        ("body", vec![send(&until_close("")), drip(b" ")]),
        (
            "chunks",
            vec![
                send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
                drip(b"1\r\n \r\n"),
            ],
        ),
        ("nothing", vec![Step::Hold]),
        (
            "no body",
            vec![
                send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
                Step::Hold,
            ],
        ),
    ] {
        let setup = Setup {
            deadline: Some(deadline),
            ..soon()
        };
        let (error, took) = error_of::<C>(setup, steps);
        assert_eq!(failed(&error), (FailureKind::TimedOut, 1), "{what}");
        // Machines are busy.
        assert!(took >= deadline && took < deadline * 3, "{what}: {took:?}");
    }
}

fn the_status_of_an_error_counts_however_large_its_body<C: Front>() {
    let spaces = " ".repeat(1 << 16);
    for (head, body) in [
        ("", spaces.as_str()),
        ("content-length: 17825792\r\n", spaces.as_str()),
        ("transfer-encoding: chunked\r\n\r\n0", "x-trailer: 1\r\n"),
    ] {
        let steps = vec![
            Step::Send(format!("HTTP/1.1 500 -\r\n{head}\r\n").into_bytes()),
            Step::Endlessly(body.repeat(100).into_bytes()),
        ];
        let (error, took) = error_of::<C>(once(), steps);
        assert_eq!(error.status().map(|s| s.as_u16()), Some(500), "{error:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

fn a_page_that_promises_too_much_is_refused_at_once<C: Front>() {
    let server = Scripted::plain(|asked| match asked.request {
        0 => {
            let first = r#"{"links":[{"rel":"next"}],"results":[{"name":"first"}]}"#;
            vec![Step::Send(answer(200, first))]
        }
        _ => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 17825792\r\n\r\n{";
            vec![Step::Send(head.to_vec()), Step::Hold]
        }
    });
    let client: C = server.client(soon());
    let begun = Instant::now();
    let mut keys = client.keys(&request(), 1);
    assert_eq!(keys.next().unwrap().unwrap().name(), Some("first"));
    let error = keys.next().unwrap().unwrap_err();
    // The core refuses it, and it is not repeated.
    assert!(
        matches!(error, Error::Limit { .. } | Error::InvalidResponse(_)),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(server.heads().len(), 2);
}

fn a_body_with_two_lengths_is_refused_and_its_connection_not_used_again<C: Front>() {
    let server = Scripted::plain(|asked| {
        let body = page("whole");
        let length = body.len();
        let both = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n\
             {length:x}\r\n{body}\r\n0\r\n\r\n"
        );
        match asked.connection {
            0 | 1 => vec![Step::Send(both.into_bytes())],
            _ => vec![Step::Send(answer(200, &body))],
        }
    });
    let error = server.client::<C>(once()).list(&request()).unwrap_err();
    assert_eq!(failed(&error), (FailureKind::Lost, 1));
    assert!(told(&error).contains("RFC 9112 §6.3"), "{}", told(&error));
    let client: C = server.client(soon());
    assert_eq!(names(&client).unwrap(), ["whole"]);
    assert_eq!(server.connections(), 3);
}

fn a_status_that_nobody_knows_comes_through<C: Front>() {
    for status in [600, 750, 999] {
        let (error, _) = error_of::<C>(once(), vec![Step::Send(answer(status, "{}"))]);
        assert_eq!(
            error.status().map(|s| s.as_u16()),
            Some(status),
            "{error:?}"
        );
    }
}

fn a_client_with_a_key<C: Front>(server: &Scripted, setup: Setup) -> C {
    let base = format!("http://{}", server.address);
    let key = Credentials::api_key("public", "private-private").unwrap();
    C::new(base.parse().unwrap(), key, setup).unwrap()
}

/// A server that wants a digest with this challenge, and looks at the realm only.
fn challenging(challenge: &'static [u8]) -> Scripted {
    Scripted::plain(move |asked| {
        if asked.head.to_lowercase().contains("authorization: digest") {
            return vec![Step::Send(answer(200, &page("found")))];
        }
        let start = b"HTTP/1.1 401 -\r\ncontent-length: 0\r\n";
        vec![Step::Send([start, challenge, b"\r\n"].concat())]
    })
}

fn a_challenge_that_is_folded_is_answered<C: Front>() {
    let server = challenging(
        b"WWW-Authenticate: Digest realm=\"r\",\r\n  nonce=\"n\",\r\n\tqop=\"auth\", algorithm=SHA-256\r\n",
    );
    let client: C = a_client_with_a_key(&server, once());
    assert_eq!(names(&client).unwrap(), ["found"]);
}

fn a_challenge_outside_ascii_is_answered_or_refused_with_the_reason<C: Front>() {
    let server = challenging(
        "WWW-Authenticate: Digest realm=\"Área\", nonce=\"n\", qop=\"auth\"\r\n".as_bytes(),
    );
    let client: C = a_client_with_a_key(&server, soon());
    match names(&client) {
        Ok(names) => assert_eq!(names, ["found"]),
        Err(error) => {
            assert_eq!(failed(&error), (FailureKind::Permanent, 1));
            assert!(told(&error).contains("outside ASCII"), "{}", told(&error));
        }
    }
}

fn nobody_waits_for_a_listing_that_is_not_read_on<C: Front>() {
    // One request at a time for this group.
    let server = Scripted::plain(|asked| {
        let body = r#"{"links":[{"rel":"next"}],"results":[{"apiKeyId":"1"},{"apiKeyId":"2"}]}"#;
        let body = match asked.head.contains("pageNum=9") {
            true => page("other"),
            false => body.replace(
                "\"1\"",
                &format!("\"{}\"", asked.connection * 1000 + asked.request),
            ),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nratelimit-remaining: 0\r\ncontent-length: {length}\r\n\r\n"
        );
        vec![Step::Send([head.as_bytes(), body.as_bytes()].concat())]
    });
    let setup = Setup {
        deadline: Some(Duration::from_secs(8)),
        ..once()
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
    a_second_answer_in_one_write_is_never_the_next_page,
    a_body_without_a_length_ends_in_order_or_is_lost,
    floods_end_at_a_limit_that_is_named,
    what_drips_ends_with_the_deadline,
    the_status_of_an_error_counts_however_large_its_body,
    a_page_that_promises_too_much_is_refused_at_once,
    a_body_with_two_lengths_is_refused_and_its_connection_not_used_again,
    a_status_that_nobody_knows_comes_through,
    a_challenge_that_is_folded_is_answered,
    a_challenge_outside_ascii_is_answered_or_refused_with_the_reason,
    nobody_waits_for_a_listing_that_is_not_read_on,
}
