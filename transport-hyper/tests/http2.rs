//! HTTP/2 servers that refuse streams, close connections, or send without end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PING, PRIORITY, RST_STREAM,
    SETTINGS, STATUS_103, STATUS_200, WINDOW_UPDATE, frame, goaway,
};
use crate::support::{A_TURN, EMPTY, InMemory, LARGE_BUFFER, bearer, kind_of, request, told};
use atlas_model_keys_hyper::protocol::FailureKind;
use atlas_model_keys_hyper::{Client, Credentials, Error, Limits, RetryPolicy};
use atlas_model_keys_transport::TooLarge;
use tokio::io::DuplexStream;

fn once() -> Limits {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    limits
}

fn soon() -> Limits {
    let mut limits = Limits::default();
    limits.retry.base = Duration::from_millis(1);
    limits
}

/// Returns a server that handles each connection with this function. The first argument is the number of the connection.
fn server<F>(
    serve: impl Fn(usize, Http2<DuplexStream>) -> F + Clone + Send + Sync + 'static,
) -> InMemory
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let connections = Arc::new(AtomicUsize::new(0));
    let serve = move |stream| {
        let (serve, connections) = (serve.clone(), Arc::clone(&connections));
        async move {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            serve(number, Http2::accept(stream).await?).await
        }
    };
    InMemory::new(serve).http_2()
}

fn client(server: &InMemory, limits: Limits) -> Client {
    server.client(bearer()).limits(limits).build().unwrap()
}

/// Answers all requests with an empty page.
async fn answer_all(mut http2: Http2<DuplexStream>) -> io::Result<()> {
    loop {
        let stream = http2.request().await?;
        http2.respond(stream, EMPTY.as_bytes()).await?;
    }
}

#[tokio::test]
async fn token_in_the_debug_data_of_a_goaway_is_redacted() {
    let token = "xyzzy-Plugh.0123456789_abcdefghijkl";
    for (last, code) in [(0, 1), (0, 0), (1, 11)] {
        let server = server(move |_, mut http2| async move {
            http2.request().await?;
            let text = format!("forbidden: Bearer {token}\r\n");
            http2.send(&goaway(last, code, text.as_bytes())).await
        });
        let credentials = Credentials::bearer(token).unwrap();
        let client = server.client(credentials).limits(once()).build().unwrap();
        let error = client.list(&request()).await.unwrap_err();
        let text = told(&error);
        assert!(
            !text.contains("Plugh") && !text.contains("abcdefghijkl"),
            "{text}"
        );
        assert_eq!(text.contains("redacted"), last == 0, "{text}");
    }
}

#[tokio::test]
async fn request_that_the_server_did_not_process_is_not_sent() {
    let refused = |stream| frame(RST_STREAM, 0, stream, &7_u32.to_be_bytes());
    let gone = |_| goaway(0, 0, b"bye");
    for refusal in [refused as fn(u32) -> Vec<u8>, gone] {
        let refuses = server(move |_, mut http2| async move {
            let stream = http2.request().await?;
            http2.send(&refusal(stream)).await?;
            answer_all(http2).await
        });
        let error = client(&refuses, once()).list(&request()).await.unwrap_err();
        assert_eq!(kind_of(&error), FailureKind::NotSent, "{error:?}");

        let refuses_once = server(move |number, mut http2| async move {
            if number == 0 {
                let stream = http2.request().await?;
                http2.send(&refusal(stream)).await?;
            }
            answer_all(http2).await
        });
        let listed = client(&refuses_once, soon()).list(&request()).await;
        assert!(listed.unwrap().is_empty());
    }
}

#[tokio::test]
async fn request_that_the_server_may_have_processed_is_lost() {
    let server = server(|_, mut http2| async move {
        let stream = http2.request().await?;
        http2.send(&goaway(stream, 2, b"")).await
    });
    let error = client(&server, once()).list(&request()).await.unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Lost, "{error:?}");
}

#[tokio::test]
async fn body_in_small_frames_is_complete() {
    let keys: Vec<_> = (0..2000)
        .map(|n| format!(r#"{{"apiKeyId":"{n:050}"}}"#))
        .collect();
    let page = format!(r#"{{"results":[{}]}}"#, keys.join(","));
    let server = server(move |_, mut http2| {
        let mut frames: Vec<u8> = page
            .as_bytes()
            .chunks(100)
            .flat_map(|part| frame(DATA, 0, 1, part))
            .collect();
        frames.extend(frame(DATA, END_STREAM, 1, b""));
        async move {
            http2.request().await?;
            let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
            http2.send(&head).await?;
            let (mut stream, mut sink) = tokio::io::split(http2.0);
            // The client's window updates are read, or both sides would block.
            let drained =
                tokio::spawn(
                    async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await },
                );
            tokio::io::AsyncWriteExt::write_all(&mut sink, &frames).await?;
            let end = frame(DATA, 1, 1, b"");
            tokio::io::AsyncWriteExt::write_all(&mut sink, &end).await?;
            drained.await?.map(drop)
        }
    });
    let page = client(&server, once()).list(&request()).await.unwrap();
    assert_eq!(page.len(), 2000);
}

/// Returns a server that sends `start` after a request, and then endless repetitions of `flood`.
fn flooding(start: &[u8], flood: &[u8]) -> InMemory {
    let start: Arc<[u8]> = start.into();
    let flood: Arc<[u8]> = flood.repeat((64 << 10) / flood.len() + 1).into();
    server(move |_, mut http2| {
        let (start, flood) = (Arc::clone(&start), Arc::clone(&flood));
        async move {
            http2.request().await?;
            http2.send_and_drain(&start, &flood).await
        }
    })
}

/// Checks that the only attempt fails permanently before the deadline, and does not block other tasks.
async fn ends_at_a_limit(start: &[u8], flood: &[u8]) -> Error {
    let deadline = Duration::from_secs(20);
    let server = flooding(start, flood).with_buffer(LARGE_BUFFER);
    let builder = server.client(bearer()).limits(soon()).deadline(deadline);
    let client = builder.build().unwrap();
    let (other, most_read) = server.most_read_in_a_turn();
    let error = client.list(&request()).await.unwrap_err();
    other.abort();
    let Error::Transport { kind, attempts, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((kind, attempts), (FailureKind::Permanent, 1), "{error:?}");
    let most_read = most_read();
    assert!((1..=A_TURN).contains(&most_read), "{most_read}");
    error
}

fn too_large(error: &Error) -> Option<TooLarge> {
    let Error::Transport { source, .. } = error else {
        return None;
    };
    source.expose().downcast_ref().copied()
}

#[tokio::test]
async fn endless_head_ends_at_a_limit() {
    let interim = frame(HEADERS, END_HEADERS, 1, STATUS_103);
    let error = ends_at_a_limit(b"", &interim).await;
    assert_eq!(too_large(&error), Some(TooLarge::InterimResponses));

    // `x: yyyyyyyy`, not indexed and not compressed.
    let field = b"\x00\x01x\x08yyyyyyyy";
    let limit = TooLarge::HeadBytes(Limits::default().head_bytes);
    let start = frame(HEADERS, 0, 1, STATUS_200);
    for repeated in [0, 1, 1000] {
        let part = frame(CONTINUATION, 0, 1, &field.repeat(repeated));
        let error = ends_at_a_limit(&start, &part).await;
        assert_eq!(too_large(&error), Some(limit), "{error:?}");
    }
    // A complete head.
    let parts = frame(CONTINUATION, 0, 1, &field.repeat(1300)).repeat(7);
    let head = [start, parts, frame(CONTINUATION, END_HEADERS, 1, b"")].concat();
    let error = ends_at_a_limit(&head, &frame(PING, ACK, 0, &[0; 8])).await;
    assert_eq!(too_large(&error), Some(limit), "{error:?}");
}

#[tokio::test]
async fn endless_trailers_end_at_a_limit() {
    let page = [
        frame(HEADERS, END_HEADERS, 1, STATUS_200),
        frame(DATA, 0, 1, EMPTY.as_bytes()),
        frame(HEADERS, END_STREAM, 1, b""),
    ]
    .concat();
    for repeated in [1, 1000] {
        let field = b"\x00\x01x\x08yyyyyyyy".repeat(repeated);
        let error = ends_at_a_limit(&page, &frame(CONTINUATION, 0, 1, &field)).await;
        assert_eq!(too_large(&error), Some(TooLarge::Trailers), "{error:?}");
    }
}

#[tokio::test]
async fn endless_frames_outside_of_responses_end_at_a_limit() {
    let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
    for flood in [
        frame(PING, 0, 0, &[7; 8]),
        frame(PING, ACK, 0, &[7; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        frame(200, 0, 1, b"nobody knows what that is"),
    ] {
        for start in [&b""[..], &head] {
            let error = ends_at_a_limit(start, &flood).await;
            assert_eq!(too_large(&error), None);
            assert!(
                told(&error).contains("HTTP/2 frames without end"),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn endless_small_parts_of_a_body_are_an_error() {
    let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
    for part in [&b""[..], b" "] {
        let server = flooding(&head, &frame(DATA, 0, 1, part));
        let error = client(&server, once()).list(&request()).await.unwrap_err();
        // h2 limits their number itself.
        assert!(told(&error).contains("excessive load"), "{error:?}");
    }
}

#[tokio::test]
async fn deadline_is_kept_during_endless_frames() {
    let mut limits = soon();
    limits.head_bytes = usize::MAX;
    let server = flooding(b"", &frame(PING, 0, 0, &[7; 8]));
    let deadline = Duration::from_secs(1);
    let builder = server.client(bearer()).limits(limits).deadline(deadline);
    let client = builder.build().unwrap();
    let begun = Instant::now();
    let error = client.list(&request()).await.unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(20));
}
