//! The async client over smol, without tokio. Its transport, `transport.rs`, is a template for your own.
//!
//! ```sh
//! cargo run -p atlas-model-keys-transport --example over_smol
//! ```
//!
//! It starts the emulator and lists from it.

#[path = "../support/mod.rs"]
mod support;
mod transport;

use std::error::Error;

use atlas_model_keys_core::ListRequest;
use atlas_model_keys_transport::{ClientSettings, asynchronous::Client};
use support::Atlas;
use transport::SmolTransport;

fn main() -> Result<(), Box<dyn Error>> {
    let atlas = Atlas::emulated()?;
    let settings = ClientSettings::new(atlas.base, atlas.credentials).product("over-smol/1.0");
    let client = Client::new(settings, SmolTransport)?;

    let (all, unused) = smol::block_on(async {
        let mut keys = client.keys(&ListRequest::new(atlas.group)).read_ahead(4);
        let (mut all, mut unused) = (0, 0);
        while let Some(key) = keys.next().await {
            all += 1;
            unused += u32::from(key?.last_used_at().is_none());
        }
        Ok::<_, Box<dyn Error>>((all, unused))
    })?;
    println!("{unused} of {all} keys were never used");
    Ok(())
}
