//! Ends the calls of a blocking client from another thread.

use std::fmt;
use std::sync::Arc;

use crate::watched::Watched;

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
pub struct CancelHandle(Arc<Watched<bool>>);

impl CancelHandle {
    /// Creates a handle that has not cancelled anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all calls that use this handle, now and later. Each of them returns
    /// [`Error::Transport`](atlas_model_keys_core::Error::Transport) with the kind
    /// [`TimedOut`](atlas_model_keys_core::FailureKind::TimedOut), or the error that caused its last retry. To tell it from a
    /// deadline, ask [`is_cancelled`](CancelHandle::is_cancelled). A cancelled handle stays cancelled.
    pub fn cancel(&self) {
        *self.0.lock() = true;
        self.0.wake_all();
    }

    /// Returns whether [`cancel`](CancelHandle::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.lock()
    }

    /// Waits until the handle is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.0.until(|is_cancelled| *is_cancelled).await;
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
