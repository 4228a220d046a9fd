//! TLS for the loops by hand.

use std::error::Error;
use std::fs;
use std::sync::Arc;

use atlas_model_keys_benches::drain::Task;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Returns the certificate that is trusted.
pub(crate) fn authority(task: &Task) -> Result<CertificateDer<'static>, Box<dyn Error>> {
    let file = task.authority.as_ref().ok_or("the server speaks no TLS")?;
    Ok(CertificateDer::from_pem_slice(&fs::read(file)?)?)
}

/// Returns a configuration that offers HTTP/2 and HTTP/1.1. It trusts nothing if the server speaks no TLS. Like every
/// configuration of rustls, it resumes sessions.
pub(crate) fn client_config(task: &Task) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    if task.authority.is_some() {
        roots.add(authority(task)?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
