//! Awaits the first of two futures.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Awaits the first of two futures, and drops the other. `None` means that `other` was first.
pub(crate) async fn first<T>(
    future: impl Future<Output = T>,
    other: impl Future<Output = ()>,
) -> Option<T> {
    let (mut future, mut other) = (pin!(future), pin!(other));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => other.as_mut().poll(cx).map(|()| None),
    })
    .await
}
