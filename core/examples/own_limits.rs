//! Sets limits of your own: smaller pages, fewer attempts, and an error instead of a long wait.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example own_limits
//! ```

use std::time::Duration;

use atlas_model_keys_core::{Error, Limits, Reply, RetryPolicy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::default()
        .with_body_bytes(1 << 20)
        .with_pages(50)
        .with_retry(
            RetryPolicy::default()
                .with_attempts(3)
                .with_wait(Duration::from_secs(10)),
        );
    // Pass them to `Session::with_limits`, or to `limits` of a client's builder.

    let too_large = http::Response::new(vec![b' '; (1 << 20) + 1]);
    match Reply::from_response_with(too_large, &limits) {
        Err(error @ Error::Limit { .. }) => println!("refused: {error}"),
        other => return Err(format!("it was not refused: {other:?}").into()),
    }
    Ok(())
}
