//! Loops that list all keys with reqwest and a loop by hand.

use std::hint::black_box;

use atlas_model_keys_benches::drain::{Loop, Outcome, Task};
use atlas_model_keys_benches::naive::PageBody;
use reqwest::Client;
use tokio::runtime::Builder;

pub(crate) const LOOPS: &[Loop] = &[("owned", |task| {
    // reqwest needs one if it is built together with packages that use its TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(owned(task))
})];

/// Decodes every page, and follows the links to the next page.
async fn owned(task: &Task) -> Outcome {
    let client = Client::new();
    let mut count = 0;
    let mut next = Some(task.url(1));
    while let Some(url) = next {
        let request = client.get(url).header("accept", Task::ACCEPT);
        let response = request.bearer_auth(&task.token).send().await?;
        let page: PageBody = black_box(response.error_for_status()?.json().await?);
        count += page.results.len();
        next = page.next_url();
    }
    Ok(count)
}
