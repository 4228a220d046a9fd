//! What the driver needs of a transport, blocking or not.

use std::time::Duration;

use atlas_model_keys_core::{Body, Failure};
use http::{Request, Response};

use crate::transport::{SendContext, Task};

/// What the driver needs: sending, waiting and starting tasks. A blocking transport implements it with futures that block.
pub(crate) trait Io: Send + Sync + 'static {
    /// Where the tasks of one stream run.
    type Spawner: Default + Send;

    /// Whether a task is started for a page even if only one is fetched at a time.
    const SPAWNS_SINGLE: bool;

    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> impl Future<Output = Result<Response<Vec<u8>>, Failure>> + Send;

    fn sleep(&self, delay: Duration) -> impl Future<Output = ()> + Send;

    /// Starts a task, or returns it if that is not possible. Of the earlier tasks of the spawner, no more than `running`
    /// may still run.
    fn spawn(&self, spawner: &mut Self::Spawner, running: usize, task: Task) -> Result<(), Task>;
}
