//! Lists keys with authentication of your own, without a session: the core makes the request and reads the response.
//!
//! ```sh
//! cargo run -p atlas-model-keys-core --example own_authentication
//! ```

#[path = "support/in_memory.rs"]
mod in_memory;

use atlas_model_keys_core::{ApiVersion, BaseUrl, Limits, ListRequest, Listing, Reply};
use http::HeaderValue;
use http::header::AUTHORIZATION;

use in_memory::InMemory;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = InMemory::new();
    // Your program has its own source of tokens.
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", http.access_token()))?;
    authorization.set_sensitive(true);

    let limits = Limits::default();
    let mut listing = Listing::new(ListRequest::new(http.group()), &limits);
    let mut count = 0;
    while let Some(list) = listing.request()? {
        let mut request = list
            .to_http(&BaseUrl::default(), &ApiVersion::PREVIEW)
            .map(|()| "");
        request
            .headers_mut()
            .insert(AUTHORIZATION, authorization.clone());
        let reply = Reply::from_response_with(http.send(&request)?, &limits)?;
        count += listing.accept(&reply.into_page()?).count();
    }
    println!("{count} keys");
    Ok(())
}
