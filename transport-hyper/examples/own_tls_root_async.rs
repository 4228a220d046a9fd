//! Trusts the root certificate of a private authority, such as that of a company proxy that intercepts
//! TLS: the async client.
//!
//! ```sh
//! cargo run -p atlas-model-keys-hyper --example own_tls_root_async
//! ```
//!
//! It starts the emulator and, in front of it, a TLS server with a certificate of a new
//! private authority. Without the root certificate the client refuses to talk to it.

mod support;

use std::error::Error;

use atlas_model_keys_hyper::{BaseUrl, Client, ListRequest};
use support::Atlas;
use support::tls::TlsServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let atlas = Atlas::emulated()?;
    let server = TlsServer::start(atlas.address()?).await?;
    let base = BaseUrl::new(&format!("https://{}", server.address))?;
    let request = ListRequest::new(atlas.group);

    // The platform does not trust the authority. Nothing is sent, in particular no credentials, and nothing is retried,
    // because another attempt would fail in the same way.
    let stranger = Client::new(base.clone(), atlas.credentials.clone());
    let refused = async { stranger?.list(&request).await }.await;
    match refused {
        Ok(_) => return Err("a certificate of an unknown authority was trusted".into()),
        Err(error) => println!("without the root certificate: {}", with_reasons(&error)),
    }

    // Usually std::fs::read("authority.pem")?. This client trusts it in addition to the platform's root
    // certificates.
    let client = Client::builder(base, atlas.credentials)
        .root_certificates(&server.root)
        .build()?;
    let keys = client.list_all(&request).await?;
    println!("with it: {} keys", keys.len());
    Ok(())
}

/// Returns the text of an error and its sources, which give the reasons.
fn with_reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text = format!("{text}: {reason}");
        source = reason.source();
    }
    text
}
