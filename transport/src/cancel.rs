//! Ends the calls of a blocking client from another thread.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::wakers::{Wakers, lock, wake};

/// Cancels the calls of a blocking client, for example when a user presses Ctrl-C or a service shuts down.
///
/// Give it to a client with [`blocking::Client::with_cancel_handle`](crate::blocking::Client::with_cancel_handle).
/// Clones cancel the same calls.
///
/// ```
/// # use atlas_model_keys_transport::CancelHandle;
/// let handle = CancelHandle::new();
/// let other = handle.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(handle.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct CancelHandle(Arc<State>);

#[derive(Default)]
struct State {
    is_cancelled: AtomicBool,
    waiting: Mutex<Wakers>,
}

impl CancelHandle {
    /// Creates a handle that has not cancelled anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all calls that use this handle, now and later. Each of them returns
    /// [`Error::Transport`](atlas_model_keys_core::Error::Transport) with the kind
    /// [`TimedOut`](atlas_model_keys_core::FailureKind::TimedOut), or the error that caused its last retry. A cancelled
    /// handle stays cancelled.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Release);
        let waiting = lock(&self.0.waiting).take();
        wake(waiting);
    }

    /// Returns whether [`cancel`](CancelHandle::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Acquire)
    }

    /// Waits until the handle is cancelled.
    pub(crate) fn cancelled(&self) -> Cancelled<'_> {
        Cancelled {
            handle: self,
            id: None,
        }
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The future of [`CancelHandle::cancelled`].
pub(crate) struct Cancelled<'h> {
    handle: &'h CancelHandle,
    id: Option<u64>,
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let handle = self.handle;
        lock(&handle.0.waiting).register(&mut self.id, cx.waker());
        // Checked after the registration, so that no cancellation is missed.
        if handle.is_cancelled() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.handle.0.waiting).remove(id);
        }
    }
}
