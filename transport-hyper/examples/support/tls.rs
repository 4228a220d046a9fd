//! A TLS server with a certificate of a private authority, like those of companies. It forwards the decrypted bytes.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    /// The authority's certificate, in PEM.
    pub(crate) root: String,
}

impl TlsServer {
    /// Starts a server on loopback that forwards to `behind`.
    pub(crate) async fn start(behind: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = [Ipv4Addr::LOCALHOST.to_string()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.into()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        // Without ALPN, the client speaks HTTP/1.1, like the emulator.
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that does not trust the certificate disconnects, which is no error here.
                tokio::spawn(serve(client, behind, acceptor.clone()));
            }
        });
        Ok(Self {
            address,
            root: authority.pem(),
        })
    }
}

async fn serve(client: TcpStream, behind: SocketAddr, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut opened = acceptor.accept(client).await?;
    let mut plain = TcpStream::connect(behind).await?;
    copy_bidirectional(&mut opened, &mut plain).await?;
    Ok(())
}
