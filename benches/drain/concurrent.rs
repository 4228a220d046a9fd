//! What the async loops by hand have in common.

use atlas_model_keys_benches::drain::{Outcome, Task};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Builder;

/// Runs a loop on one thread, so that async loops have equal conditions.
pub(crate) fn block_on(outcome: impl Future<Output = Outcome>) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(outcome)
}

/// Runs a loop on as many threads as there are cores, as `tokio::main` does, for the table of reading ahead.
pub(crate) fn block_on_all_cores(outcome: impl Future<Output = Outcome>) -> Outcome {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(outcome)
}

/// Reads the first page, and then the others with several requests in flight. `page` returns the number of keys on a page.
pub(crate) async fn all_pages<F>(task: &Task, page: impl Fn(usize) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let first = page(1).await?;
    let others = stream::iter(2..=task.pages)
        .map(page)
        .buffered(task.in_flight);
    others
        .try_fold(first, async |sum, count| Ok(sum + count))
        .await
}
