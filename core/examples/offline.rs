//! Reads a page that was saved: no network, no credentials, no session. And tells how it differs from
//! what Atlas documents, which a preview API may on any day.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example offline               # the documentation's own example
//! cargo run -p atlas-model-keys-core --example offline page.json     # as from: atlas-model-keys list -o raw
//! ```

use std::error::Error;

use atlas_model_keys_core::{Reply, Timestamp};

fn main() -> Result<(), Box<dyn Error>> {
    let body = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => include_bytes!("../tests/fixtures/200-list.json").to_vec(),
    };
    // From a client of your own it would have a status and headers, too. An error that was saved is one
    // all the same: the body says so.
    let page = Reply::from_response(http::Response::new(body))?.into_page()?;

    // The keys point into the body: nothing is copied.
    for key in &page {
        let used = key.last_used_at().map(Timestamp::as_str);
        println!("{:?}: {:?}, last used {used:?}", key.name(), key.status());
    }
    println!("the page is {}", page.drift());
    Ok(())
}
