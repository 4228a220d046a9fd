//! Loops that list all keys with reqwest and a loop by hand.

use std::error::Error;
use std::hint::black_box;

use atlas_model_keys_benches::drain::{Loop, Outcome, Task};
use atlas_model_keys_benches::naive::PageBody;
use reqwest::Client;

use crate::{concurrent, tls};

pub(crate) const LOOPS: &[Loop] = &[
    ("owned", |task| block_on(owned(task))),
    ("owned, concurrently", |task| {
        block_on(owned_concurrently(task))
    }),
];

fn block_on(outcome: impl Future<Output = Outcome>) -> Outcome {
    // reqwest needs one if it is built together with packages that use its TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    concurrent::block_on(outcome)
}

/// Makes a client that loads no root certificates of the platform.
fn client(task: &Task) -> Result<Client, Box<dyn Error>> {
    let tls = tls::client_config(task)?;
    let client = Client::builder().tls_backend_preconfigured((*tls).clone());
    Ok(client.build()?)
}

async fn get(client: &Client, task: &Task, url: String) -> Result<PageBody, reqwest::Error> {
    let request = client.get(url).header("accept", Task::ACCEPT);
    let response = request.bearer_auth(&task.token).send().await?;
    response.error_for_status()?.json().await
}

/// Decodes every page, and follows the links to the next page.
async fn owned(task: &Task) -> Outcome {
    let client = client(task)?;
    let mut count = 0;
    let mut next = Some(task.url(1));
    while let Some(url) = next {
        let page = black_box(get(&client, task, url).await?);
        count += page.results.len();
        next = page.next_url();
    }
    Ok(count)
}

/// Decodes the first page, and then the others with several requests in flight.
async fn owned_concurrently(task: &Task) -> Outcome {
    let client = client(task)?;
    let page = async |page| -> Outcome {
        let page = black_box(get(&client, task, task.url(page)).await?);
        Ok(page.results.len())
    };
    concurrent::all_pages(task, page).await
}
