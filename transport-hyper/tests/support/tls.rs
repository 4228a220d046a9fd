//! TLS servers with a certificate of a private authority.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use atlas_model_keys_hyper::{BaseUrl, Client, ClientBuilder};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::bearer;

/// A server on loopback.
pub(crate) struct Tls {
    pub(crate) base: String,
    root: String,
}

impl Tls {
    /// Starts a server with a task for each connection. `protocols` are those of ALPN in order of preference.
    pub(crate) async fn start<F>(
        protocols: &[&[u8]],
        serve: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()]);
        let certificate = certificate.unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key.into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, serve) = (acceptor.clone(), serve.clone());
                // Small writes are sent at once.
                client.set_nodelay(true).unwrap();
                tokio::spawn(async move { serve(acceptor.accept(client).await?).await });
            }
        });
        Self {
            base,
            root: authority.pem(),
        }
    }

    /// Returns a builder of a client that trusts the server.
    pub(crate) fn client(&self) -> ClientBuilder {
        let base = BaseUrl::new(&self.base).unwrap();
        Client::builder(base, bearer()).root_certificates(&self.root)
    }
}

/// Tells whether HTTP/2 was negotiated.
pub(crate) fn is_http_2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}
