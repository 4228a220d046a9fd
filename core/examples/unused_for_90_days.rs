//! Finds the keys that have not been used for 90 days, or were never used and are older than that.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example unused_for_90_days
//! ```

#[path = "support/in_memory.rs"]
mod in_memory;

use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, BaseUrl, ListRequest, Reply, UnixTime};
use http::header::AUTHORIZATION;

use in_memory::{InMemory, now};

const NINETY_DAYS: Duration = Duration::from_secs(90 * 24 * 60 * 60);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = InMemory::new();
    let list = ListRequest::new(http.group());
    let mut request = list
        .to_http(&BaseUrl::default(), &ApiVersion::PREVIEW)
        .map(|()| "");
    let token = format!("Bearer {}", http.access_token());
    request.headers_mut().insert(AUTHORIZATION, token.parse()?);
    let page = Reply::from_response(http.send(&request)?)?.into_page()?;

    let now = UnixTime::from_duration(now());
    let is_unused = |key: &atlas_model_keys_core::ModelKey<'_>| {
        key.is_unused_for(NINETY_DAYS, now) == Some(true)
    };
    let mut unused = 0;
    for key in page.keys().filter(is_unused) {
        println!("{:?}, created by {:?}", key.name(), key.created_by());
        unused += 1;
    }
    println!("{unused} of {} keys are unused for 90 days", page.len());
    Ok(())
}
