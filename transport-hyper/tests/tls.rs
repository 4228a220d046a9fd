//! TLS: the negotiated protocol, and bytes that arrive without a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::http2::{Http2, RST_STREAM, frame, goaway};
use crate::support::tls::{Tls, is_http_2};
use crate::support::{EMPTY, InMemory, bearer, kind_of, read_head, request, whole};
use atlas_model_keys_hyper::protocol::FailureKind;
use atlas_model_keys_hyper::{Limits, RetryPolicy};
use tokio::io::AsyncWriteExt as _;

const HTTP_1_1_REQUIRED: u32 = 13;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

fn once() -> Limits {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    limits
}

/// Starts a server that responds over HTTP/1.1, and refuses requests over HTTP/2 with these frames. Returns the number of
/// connections of each protocol, too.
async fn http_1_only(
    refusal: fn(u32) -> Vec<u8>,
    before_a_request: bool,
) -> (Tls, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let counted = Arc::clone(&counts);
    let server = Tls::start(BOTH, move |mut stream| {
        let counts = Arc::clone(&counted);
        async move {
            let count = &counts[usize::from(is_http_2(&stream))];
            count.fetch_add(1, Ordering::SeqCst);
            if is_http_2(&stream) {
                let mut http2 = Http2::accept(stream).await?;
                if before_a_request {
                    http2.send(&refusal(1)).await?;
                }
                loop {
                    let stream = http2.request().await?;
                    http2.send(&refusal(stream)).await?;
                }
            }
            while read_head(&mut stream).await?.is_some() {
                stream.write_all(whole("", EMPTY).as_bytes()).await?;
            }
            Ok(())
        }
    });
    (server.await, counts)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &HTTP_1_1_REQUIRED.to_be_bytes())
}

fn gone(_: u32) -> Vec<u8> {
    goaway(0, HTTP_1_1_REQUIRED, b"speak HTTP/1.1")
}

#[tokio::test]
async fn http_1_1_required_is_obeyed_at_once_and_from_then_on() {
    for (refusal, before) in [(reset as fn(u32) -> _, false), (gone, false), (gone, true)] {
        let (server, counts) = http_1_only(refusal, before).await;
        let client = server.client().limits(once()).build().unwrap();
        for _ in 0..3 {
            assert!(client.list(&request()).await.unwrap().is_empty());
        }
        let [_, http_2] = counts.each_ref().map(|n| n.load(Ordering::SeqCst));
        assert_eq!(http_2, 1);
    }
}

#[tokio::test]
async fn http1_only_client_agrees_on_http_1_1() {
    let (server, counts) = http_1_only(reset, false).await;
    let client = server.client().http1_only().build().unwrap();
    assert!(client.list(&request()).await.unwrap().is_empty());
    assert_eq!(counts.each_ref().map(|n| n.load(Ordering::SeqCst)), [1, 0]);
}

#[tokio::test]
async fn own_connector_that_agreed_on_http_2_cannot_fall_back() {
    let server = InMemory::new(|stream| async move {
        let mut http2 = Http2::accept(stream).await?;
        let stream = http2.request().await?;
        http2.send(&reset(stream)).await
    });
    let client = server.http_2().client(bearer());
    let error = client.build().unwrap().list(&request()).await.unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Permanent, "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("HTTP/1.1"), "{source}");

    let server = InMemory::new(|_| async { Ok(()) }).http_2();
    let client = server.client(bearer()).http1_only().build().unwrap();
    let error = client.list(&request()).await.unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Permanent, "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("HTTP/1.1 only"), "{source}");
}

/// Starts a server that sends another response after each one, if there is a foreign body.
async fn unasked(foreign: Option<&'static str>) -> (Tls, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Tls::start(&[], move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            while read_head(&mut stream).await?.is_some() {
                stream.write_all(whole("", EMPTY).as_bytes()).await?;
                stream.flush().await?;
                if let Some(foreign) = foreign {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    stream.write_all(whole("", foreign).as_bytes()).await?;
                    stream.flush().await?;
                }
            }
            Ok(())
        }
    });
    (server.await, connections)
}

#[test]
fn bytes_on_an_idle_connection_are_not_the_next_response() {
    // The server has its own thread, so that it continues while the thread of the client is busy.
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let client_runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let foreign = r#"{"results":[{"apiKeyId":"foreign"}]}"#;
    for (foreign, expected) in [(None, 1..=2), (Some(foreign), 10..=10)] {
        let (tls, connections) = server.block_on(unasked(foreign));
        let client = tls.client().limits(once()).build().unwrap();
        for _ in 0..10 {
            let page = client_runtime.block_on(client.list(&request())).unwrap();
            assert!(page.is_empty());
            // Meanwhile the runtime does not poll the socket.
            std::thread::sleep(Duration::from_millis(20));
        }
        // Session tickets of TLS 1.3 do not prevent the reuse of a connection.
        assert!(expected.contains(&connections.load(Ordering::SeqCst)));
    }
}
