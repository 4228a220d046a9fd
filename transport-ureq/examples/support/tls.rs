//! A TLS server with a certificate of a private authority, like those of companies. It forwards the decrypted bytes.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};

pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    /// The authority's certificate, in PEM.
    pub(crate) root: String,
}

impl TlsServer {
    /// Starts a server on loopback that forwards to `behind`.
    pub(crate) fn start(behind: SocketAddr) -> Result<Self, Box<dyn Error>> {
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
        let config = Arc::new(config);

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                // A client that does not trust the certificate disconnects, which is no error here.
                thread::spawn(move || serve(&client, behind, config).ok());
            }
        });
        Ok(Self {
            address,
            root: authority.pem(),
        })
    }
}

/// Forwards bytes in both directions, with one thread for each. rustls does no I/O, so the threads can share its state: it is
/// locked while it processes bytes, and never while a thread waits for some.
fn serve(client: &TcpStream, behind: SocketAddr, config: Arc<ServerConfig>) -> io::Result<()> {
    let tls = Mutex::new(ServerConnection::new(config).map_err(io::Error::other)?);
    let lock = || tls.lock().unwrap_or_else(PoisonError::into_inner);
    let plain = TcpStream::connect(behind)?;

    let inwards = || -> io::Result<()> {
        let (mut sealed, mut opened) = ([0; 16 * 1024], Vec::new());
        loop {
            let n = (&*client).read(&mut sealed)?;
            if n == 0 {
                return Ok(());
            }
            let mut arrived = &sealed[..n];
            while !arrived.is_empty() {
                let mut tls = lock();
                if tls.read_tls(&mut arrived)? == 0 {
                    return Ok(()); // After close_notify.
                }
                let state = tls.process_new_packets();
                // Messages of the handshake, or an alert.
                while tls.wants_write() {
                    tls.write_tls(&mut &*client)?;
                }
                let length = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
                opened.resize(length, 0);
                tls.reader().read_exact(&mut opened)?;
                drop(tls);
                (&plain).write_all(&opened)?;
            }
        }
    };
    let outwards = || -> io::Result<()> {
        let mut opened = [0; 16 * 1024];
        loop {
            let n = (&plain).read(&mut opened)?;
            let mut tls = lock();
            match n {
                0 => tls.send_close_notify(),
                n => tls.writer().write_all(&opened[..n])?,
            }
            while tls.wants_write() {
                tls.write_tls(&mut &*client)?;
            }
            if n == 0 {
                return client.shutdown(Shutdown::Both);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(outwards);
        let result = inwards();
        // The direction that ends first ends the other.
        plain.shutdown(Shutdown::Both).and(result)
    })
}
