//! A future or stream that is polled once and then left alone does not block other calls.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::support::{EMPTY, InMemory, bearer, read_head, request, service_account, whole};
use atlas_model_keys_hyper::{Client, Credentials, Event, WaitReason};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

/// Returns an Atlas that delays each response and allows one request at a time, and the number of its token requests.
fn slow(delay: Duration) -> (InMemory, Arc<AtomicUsize>) {
    let tokens = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tokens);
    let atlas = InMemory::new(move |mut stream| {
        let tokens = Arc::clone(&count);
        async move {
            while let Some(head) = read_head(&mut stream).await? {
                let answer = if head.starts_with("POST") {
                    // The body of the token request.
                    let mut form = [0; 29];
                    stream.read_exact(&mut form).await?;
                    tokens.fetch_add(1, Ordering::SeqCst);
                    whole(
                        "",
                        r#"{"access_token":"t","expires_in":3600,"token_type":"Bearer"}"#,
                    )
                } else {
                    whole("RateLimit-Remaining: 0\r\n", EMPTY)
                };
                sleep(delay).await;
                stream.write_all(answer.as_bytes()).await?;
            }
            io::Result::Ok(())
        }
    });
    (atlas, tokens)
}

/// A future or stream that is kept and never polled again.
type LeftAlone = Box<dyn Send>;

/// Polls a future or stream of the client once.
async fn leave_alone(client: &Client, which: usize) -> LeftAlone {
    async fn not_done<T>(polled: impl Future<Output = T>) {
        let polled = timeout(Duration::from_millis(10), polled).await;
        assert!(polled.is_err(), "it is done before it could be left alone");
    }
    match which {
        0 => {
            let mut pages = client.pages(&request());
            not_done(pages.next()).await;
            Box::new(pages)
        }
        1 => {
            let mut keys = client.keys(&request()).read_ahead(4);
            not_done(keys.next()).await;
            Box::new(keys)
        }
        2 => {
            let mut replies = client.replies(&request());
            not_done(replies.next()).await;
            Box::new(replies)
        }
        _ => {
            let client = client.clone();
            let mut list = Box::pin(async move { client.list(&request()).await.is_ok() });
            not_done(list.as_mut()).await;
            Box::new(list)
        }
    }
}

const KINDS: usize = 4;

fn client(atlas: &InMemory, credentials: Credentials) -> Client {
    atlas.client(credentials).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn unpolled_token_request_serves_other_calls() {
    for which in 0..KINDS {
        let (atlas, tokens) = slow(Duration::from_secs(5));
        let client = client(&atlas, service_account());
        let _left = leave_alone(&client, which).await;
        let begun = Instant::now();
        // The token, the page of the future that was left alone, and this page.
        client.list(&request()).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(16), "{which}");
        assert_eq!(tokens.load(Ordering::SeqCst), 1, "{which}");
    }
}

#[tokio::test(start_paused = true)]
async fn unpolled_request_gives_back_its_rate_limit_slot() {
    for which in 0..KINDS {
        let (atlas, _) = slow(Duration::from_secs(5));
        let client = client(&atlas, bearer());
        // From here on, one request at a time is allowed.
        client.list(&request()).await.unwrap();
        let _left = leave_alone(&client, which).await;
        let begun = Instant::now();
        client.list(&request()).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(11), "{which}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unpolled_calls_do_not_block_others_on_several_threads() {
    for credentials in [service_account, bearer] {
        for which in 0..KINDS {
            let (atlas, _) = slow(Duration::from_millis(50));
            let client = client(&atlas, credentials());
            client.list(&request()).await.unwrap();
            let _left = leave_alone(&client, which).await;
            let request = request();
            let list = timeout(Duration::from_secs(20), client.list(&request));
            list.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_call_ends_and_the_next_one_fetches_the_token() {
    for which in 0..KINDS {
        let (atlas, tokens) = slow(Duration::from_secs(5));
        let client = client(&atlas, service_account());
        let left = leave_alone(&client, which).await;
        drop(left);
        let begun = Instant::now();
        client.list(&request()).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(11), "{which}");
        assert_eq!(tokens.load(Ordering::SeqCst), 2, "{which}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_within_a_call_reaches_its_caller() {
    let atlas = InMemory::new(|mut stream| async move {
        while read_head(&mut stream).await?.is_some() {
            let answer = "HTTP/1.1 503 -\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    });
    let client = atlas.client(bearer()).on_event(panic_before_a_retry);
    let client = client.build().unwrap();
    let request = request();
    let mut list = pin!(client.list(&request));
    let panicked = std::future::poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| list.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) => Poll::Ready(false),
            Err(_) => Poll::Ready(true),
        }
    });
    assert!(panicked.await);
}

fn panic_before_a_retry(event: &Event<'_>) {
    if let Event::Waiting {
        reason: WaitReason::Response(_),
        ..
    } = event
    {
        panic!("before a retry");
    }
}
