//! A flood of HTTP/1.1 data neither extends the deadline nor blocks other tasks.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{A_TURN, InMemory, LARGE_BUFFER, bearer, kind_of, read_head, request, told};
use atlas_model_keys_hyper::Limits;
use atlas_model_keys_hyper::protocol::FailureKind;
use tokio::io::AsyncWriteExt as _;

/// Returns a server that sends `start` after a request, and then endless repetitions of `part`.
fn flooding(start: &'static str, part: &str) -> InMemory {
    let parts: Arc<str> = part.repeat((64 << 10) / part.len() + 1).into();
    InMemory::new(move |mut stream| {
        let parts = Arc::clone(&parts);
        async move {
            read_head(&mut stream).await?;
            stream.write_all(start.as_bytes()).await?;
            loop {
                stream.write_all(parts.as_bytes()).await?;
            }
            #[allow(unreachable_code)] // It tells the type.
            io::Result::Ok(())
        }
    })
}

#[tokio::test]
async fn deadline_is_kept_without_limits() {
    let mut limits = Limits::default();
    limits.head_bytes = usize::MAX;
    limits.body_bytes = usize::MAX;
    limits.error_body_bytes = usize::MAX;
    let deadline = Duration::from_secs(1);
    for (start, part) in [
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\n \r\n",
        ),
        (
            "HTTP/1.1 500 -\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\n \r\n",
        ),
    ] {
        let server = flooding(start, part).with_buffer(LARGE_BUFFER);
        let builder = server.client(bearer()).limits(limits.clone());
        let client = builder.deadline(deadline).build().unwrap();
        let (other, most_read) = server.most_read_in_a_turn();
        let begun = Instant::now();
        let error = client.list(&request()).await.unwrap_err();
        let elapsed = begun.elapsed();
        other.abort();
        assert_eq!(kind_of(&error), FailureKind::TimedOut, "{error:?}");
        assert!(elapsed < Duration::from_secs(20), "{start}: {elapsed:?}");
        let most_read = most_read();
        assert!((1..=A_TURN).contains(&most_read), "{start}: {most_read}");
    }
}

#[tokio::test]
async fn impossible_content_length_is_named() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n";
    let server = flooding(answer, " ");
    let client = server.client(bearer()).build().unwrap();
    let error = client.list(&request()).await.unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Permanent, "{error:?}");
    assert!(told(&error).contains("Content-Length"), "{error:?}");
}
