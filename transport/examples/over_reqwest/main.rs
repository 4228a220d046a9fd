//! The async client over reqwest and tokio. Its transport, `transport.rs`, is a template for your own.
//!
//! ```sh
//! cargo run -p atlas-model-keys-transport --example over_reqwest
//! ```
//!
//! It starts the emulator and lists from it.

#[path = "../support/mod.rs"]
mod support;
mod transport;

use std::error::Error;
use std::time::Duration;

use atlas_model_keys_core::ListRequest;
use atlas_model_keys_transport::{ClientSettings, asynchronous::Client};
use rustls::crypto::ring;
use support::Atlas;
use transport::ReqwestTransport;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let atlas = Atlas::emulated()?;
    let settings = ClientSettings::new(atlas.base, atlas.credentials).product("over-reqwest/1.0");
    // This workspace builds reqwest without a crypto provider.
    let _ = ring::default_provider().install_default();
    let connections = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
        // The emulator has no certificate to check. Leave this out for Atlas, and the platform's roots are used.
        .tls_certs_only([]);
    let client = Client::new(settings, ReqwestTransport::new(connections)?)?;

    let mut keys = client.keys(&ListRequest::new(atlas.group)).read_ahead(4);
    let (mut all, mut unused) = (0, 0);
    while let Some(key) = keys.next().await {
        all += 1;
        unused += u32::from(key?.last_used_at().is_none());
    }
    println!("{unused} of {all} keys were never used");
    Ok(())
}
