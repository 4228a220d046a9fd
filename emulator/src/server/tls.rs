//! TLS: a certificate that is made at the start, and the sessions of connections.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

/// The names that every certificate has.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The lifetime of the certificates. Apple's systems refuse a server's certificate of more than 825 days,
/// and no emulator runs for a year.
const LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The last year whose dates a certificate can have is 9999 (RFC 5280 §4.1.2.5).
const LAST_NOW: Duration = Duration::from_secs(253_402_300_799 - 2 * LIFETIME.as_secs());

/// A certificate for a [`Server`](super::Server), signed by a certificate authority (CA) of its own.
///
/// Clients need the CA's certificate, [`ca_pem`](Tls::ca_pem). The CA's private key is dropped as soon as
/// it has signed this certificate, so trusting the CA means trusting this server only.
///
/// ```
/// use std::time::{SystemTime, UNIX_EPOCH};
/// use atlas_model_keys_emulator::{Config, Emulator, server::{Options, Server, Tls}};
///
/// let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
/// let tls = Tls::generate(["atlas.test"], now)?;
/// let ca = tls.ca_pem().to_owned();
/// assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
/// let options = Options::default().with_allowed_host("atlas.test").with_tls(tls);
/// let server = Server::start(Emulator::new(Config::default()), options)?;
/// assert!(server.base_url().starts_with("https://127.0.0.1:"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    ca_pem: String,
}

impl Tls {
    /// Generates a certificate for `localhost`, 127.0.0.1, `::1` and these names, which are host names or IP
    /// addresses.
    ///
    /// It is valid from a day before `now`, the time since the Unix epoch, for a year. Use the real time,
    /// also if the emulator has another clock: a client compares it with its own clock.
    ///
    /// # Errors
    /// Returns an error if a name cannot be in a certificate, or the system has no randomness.
    pub fn generate<N: AsRef<str>>(
        names: impl IntoIterator<Item = N>,
        now: Duration,
    ) -> io::Result<Self> {
        let mut all = LOCAL_NAMES.map(str::to_owned).to_vec();
        for name in names {
            let name = name.as_ref().to_ascii_lowercase();
            if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() {
                return Err(io::Error::new(
                    ErrorKind::InvalidInput,
                    format!("{name:?} is neither a host name nor an IP address"),
                ));
            }
            if !all.contains(&name) {
                all.push(name);
            }
        }
        generate(all, now).map_err(io::Error::other)
    }

    /// Returns the certificate of the CA in PEM, as clients read it.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(super) fn session(&self) -> io::Result<Session> {
        ServerConnection::new(Arc::clone(&self.config))
            .map(|connection| Session {
                connection: Box::new(connection),
                has_begun: false,
            })
            .map_err(io::Error::other)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn generate(
    names: Vec<String>,
    now: Duration,
) -> Result<Tls, Box<dyn std::error::Error + Send + Sync>> {
    let now = date_time_ymd(1970, 1, 1) + now.clamp(DAY, LAST_NOW);
    let parameters = |name: &str, names| -> Result<CertificateParams, rcgen::Error> {
        let mut parameters = CertificateParams::new(names)?;
        parameters.not_before = now - DAY;
        parameters.not_after = now + LIFETIME;
        parameters.distinguished_name.push(DnType::CommonName, name);
        Ok(parameters)
    };
    let mut ca = parameters("atlas-model-keys emulator CA", Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();

    let mut leaf = parameters("atlas-model-keys emulator", names)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Python 3.13 refuses a certificate without it.
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )?;
    // A client that insists on HTTP/2 is refused in the handshake (RFC 7301 §3.2).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls {
        config: Arc::new(config),
        ca_pem,
    })
}

/// The TLS session of a connection.
pub(super) struct Session {
    connection: Box<ServerConnection>,
    has_begun: bool,
}

impl Session {
    /// Returns whether something was read.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Reads some decrypted bytes, after the handshake if it is not complete.
    pub(super) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        self.has_begun = true;
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.connection.complete_io(socket)?;
                }
                // The client closed the connection without close_notify, as many do.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
        }
    }

    pub(super) fn write(&mut self, mut socket: impl Write, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let length = self.connection.writer().write(bytes)?;
            bytes = bytes.get(length..).unwrap_or_default();
            self.flush(&mut socket)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, mut socket: impl Write) {
        self.connection.send_close_notify();
        let _ = self.flush(&mut socket);
    }

    fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
