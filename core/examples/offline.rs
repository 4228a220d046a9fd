//! Reads a saved page, without a network, credentials or a session, and shows how it differs from
//! Atlas's documentation, since a preview API may change at any time.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example offline               # the documentation's own example
//! cargo run -p atlas-model-keys-core --example offline page.json     # from: atlas-model-keys list -o raw
//! ```

use std::error::Error;

use atlas_model_keys_core::{Reply, Timestamp};

fn main() -> Result<(), Box<dyn Error>> {
    let body = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => include_bytes!("../tests/fixtures/200-list.json").to_vec(),
    };
    // A response from your own client has a status and headers, too. Without them, a saved error is still
    // recognised by its body.
    let page = Reply::from_response(http::Response::new(body))?.into_page()?;

    // The keys point into the body; nothing is copied.
    for key in &page {
        let used = key.last_used_at().map(Timestamp::as_str);
        println!("{:?}: {:?}, last used {used:?}", key.name(), key.status());
    }
    println!("the page is {}", page.drift());
    Ok(())
}
