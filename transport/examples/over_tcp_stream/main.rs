//! The blocking client over the standard library's `TcpStream`. Its transport, `transport.rs`, is a template for your own.
//!
//! ```sh
//! cargo run -p atlas-model-keys-transport --example over_tcp_stream
//! ```
//!
//! It starts the emulator and lists from it.

#[path = "../support/mod.rs"]
mod support;
mod transport;

use std::error::Error;

use atlas_model_keys_core::ListRequest;
use atlas_model_keys_transport::{ClientSettings, blocking::Client};
use support::Atlas;
use transport::TcpTransport;

fn main() -> Result<(), Box<dyn Error>> {
    let atlas = Atlas::emulated()?;
    let settings = ClientSettings::new(atlas.base, atlas.credentials).product("over-tcp/1.0");
    let client = Client::new(settings, TcpTransport)?;

    let (mut all, mut unused) = (0, 0);
    for key in client.keys(&ListRequest::new(atlas.group)).read_ahead(4) {
        all += 1;
        unused += u32::from(key?.last_used_at().is_none());
    }
    println!("{unused} of {all} keys were never used");
    Ok(())
}
