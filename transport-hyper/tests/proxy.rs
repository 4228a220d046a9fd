//! Responses of a proxy to CONNECT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{EMPTY, bearer, read_head, request, told, whole};
use atlas_model_keys_hyper::protocol::FailureKind;
use atlas_model_keys_hyper::{BaseUrl, Client, Error, Limits};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Starts a proxy that sends this response to each CONNECT, and responds like Atlas within the tunnels. Returns its address
/// and the number of its requests.
async fn proxy(answer: Vec<u8>) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, count) = (answer.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                if read_head(&mut stream).await?.is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                    stream.write_all(&answer).await?;
                }
                while read_head(&mut stream).await?.is_some() {
                    stream.write_all(whole("", EMPTY).as_bytes()).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    (address, asked)
}

fn client(base: &str, proxy: &str) -> Client {
    let base = BaseUrl::allowing_plain_http(base).unwrap();
    let mut limits = Limits::default();
    limits.retry.base = Duration::from_millis(1);
    limits.retry.attempts = 3;
    let builder = Client::builder(base, bearer()).limits(limits).proxy(proxy);
    builder.build().unwrap()
}

const BASES: [&str; 2] = ["http://atlas.example", "https://atlas.example"];

#[tokio::test]
async fn any_2xx_opens_the_tunnel_also_after_interim_responses() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
        "HTTP/1.1 201 Created\r\n\r\n",
        "HTTP/1.1 299 -\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (address, _) = proxy(answer.into()).await;
        let listed = client(BASES[0], &address).list(&request()).await;
        assert!(listed.is_ok(), "{answer} {listed:?}");
    }
}

#[tokio::test]
async fn only_502_503_and_504_of_a_proxy_are_retried() {
    for (status, kind, attempts) in [
        (502, FailureKind::NotSent, 3),
        (503, FailureKind::NotSent, 3),
        (504, FailureKind::NotSent, 3),
        (302, FailureKind::Permanent, 1),
        (400, FailureKind::Permanent, 1),
        (403, FailureKind::Permanent, 1),
        (407, FailureKind::Permanent, 1),
        (500, FailureKind::Permanent, 1),
    ] {
        // The client does not wait for the body, which never arrives.
        let answer = format!("HTTP/1.1 {status} -\r\nContent-Length: 5\r\n\r\n");
        let (address, asked) = proxy(answer.into()).await;
        for base in BASES {
            asked.store(0, Ordering::SeqCst);
            let error = client(base, &address).list(&request()).await.unwrap_err();
            let Error::Transport {
                kind: k,
                attempts: a,
                ..
            } = &error
            else {
                panic!("{error:?}");
            };
            assert_eq!((*k, *a), (kind, attempts), "{status}");
            assert_eq!(asked.load(Ordering::SeqCst), attempts);
            let text = told(&error);
            assert!(text.contains(&address), "{text}");
            assert!(text.contains(&status.to_string()), "{text}");
        }
    }
}

#[tokio::test]
async fn proxy_that_does_not_speak_http_is_named() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    for answer in [
        &b"SSH-2.0-OpenSSH_9.9\r\n"[..],
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        long.as_bytes(),
    ] {
        let (address, asked) = proxy(answer.into()).await;
        for base in BASES {
            let error = client(base, &address).list(&request()).await.unwrap_err();
            let text = told(&error);
            assert!(
                text.contains(&format!("the proxy http://{address}")),
                "{text}"
            );
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
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn endless_head_of_a_proxy_ends_at_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.write_all(b"HTTP/1.1 100 -\r\n\r\n").await.is_ok() {}
            });
        }
    });
    let begun = Instant::now();
    let error = client(BASES[1], &address)
        .list(&request())
        .await
        .unwrap_err();
    assert!(told(&error).contains(&address), "{}", told(&error));
    assert!(begun.elapsed() < Duration::from_secs(20));
}
