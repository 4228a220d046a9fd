//! Trusts the root certificate of a private authority, as a company has one for its proxy that looks
//! into TLS: the blocking client.
//!
//! ```sh
//! cargo run -p atlas-model-keys-ureq --example own_tls_root_blocking
//! ```
//!
//! It starts the emulator and, in front of it, a TLS server with a certificate that such an authority
//! made a moment ago. Without the root certificate the client refuses to talk to it.

mod support;

use std::error::Error;

use atlas_model_keys_ureq::{BaseUrl, Client, ListRequest};
use support::Atlas;
use support::tls::TlsServer;

fn main() -> Result<(), Box<dyn Error>> {
    let atlas = Atlas::emulated()?;
    let server = TlsServer::start(atlas.address()?)?;
    let base = BaseUrl::new(&format!("https://{}", server.address))?;
    let request = ListRequest::new(atlas.group);

    // The platform does not know the authority: nothing is sent, credentials least of all, and since
    // another time would be no different, it is not tried again.
    let stranger = Client::new(base.clone(), atlas.credentials.clone());
    match stranger.and_then(|client| client.list(&request)) {
        Ok(_) => return Err("a certificate of an unknown authority was trusted".into()),
        Err(error) => println!("without the root certificate: {}", with_reasons(&error)),
    }

    // Usually std::fs::read("authority.pem")?. It is trusted beside the platform's root certificates,
    // not instead of them, and by this client only.
    let client = Client::builder(base, atlas.credentials)
        .root_certificates(&server.root)
        .build()?;
    let keys = client.list_all(&request)?;
    println!("with it: {} keys", keys.len());
    Ok(())
}

/// An error says what happened; its sources say why.
fn with_reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text = format!("{text}: {reason}");
        source = reason.source();
    }
    text
}
