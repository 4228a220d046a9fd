//! Sending one request with ureq, safely, and telling what became of it.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Body, Error, Failure, FailureKind, Limits};
use http::{Request, Response};
use rustls::crypto::ring;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, Proxy, ProxyProtocol, Timeout};

use crate::client::{Deadline, permanent};

/// ureq, and how it is to be used.
pub(crate) struct Http {
    agent: Agent,
    timeouts: Timeouts,
    loopback: bool,
}

pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
        }
    }
}

impl Http {
    pub(crate) fn new(
        base: &BaseUrl,
        agent: Option<Agent>,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let agent = match agent {
            Some(agent) => agent,
            None => own_agent(base)?,
        };
        Ok(Self {
            agent,
            timeouts,
            loopback: base.is_loopback(),
        })
    }

    /// Sends the request and reads the whole answer into `buffer`, one byte beyond the limit at
    /// most: the core refuses what is too large.
    pub(crate) fn send(
        &self,
        request: Request<Body>,
        deadline: &Deadline,
        buffer: Vec<u8>,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let (head, body) = request.into_parts();
        if body.is_empty() {
            self.run(Request::from_parts(head, ()), deadline, buffer, limits)
        } else {
            let request = Request::from_parts(head, body.as_bytes());
            self.run(request, deadline, buffer, limits)
        }
    }

    fn run(
        &self,
        request: Request<impl AsSendBody>,
        deadline: &Deadline,
        mut buffer: Vec<u8>,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let left = deadline.left();
        if left.is_zero() {
            return Err(explain(ureq::Error::Timeout(Timeout::Global)));
        }
        // Set for each request, since the agent may be the caller's own.
        let mut config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The core counts, and says so in an error of its own; this one is for what is far beyond.
            .max_response_header_size(limits.head_bytes.saturating_mul(2))
            .timeout_global(bounded(left))
            .timeout_connect(bounded(self.timeouts.connect))
            .timeout_per_read(bounded(self.timeouts.read))
            .timeout_per_write(bounded(self.timeouts.read))
            // What else the caller's agent may have set; the global one covers them.
            .timeout_per_call(None)
            .timeout_resolve(None)
            .timeout_send_request(None)
            .timeout_send_body(None)
            .timeout_recv_response(None)
            .timeout_recv_body(None);
        if self.loopback {
            config = config.proxy(None);
        }
        let response = self.agent.run(config.build()).map_err(explain)?;

        let (head, body) = response.into_parts();
        buffer.clear();
        let one_more = u64::try_from(limits.body_bytes)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        // What is bounded is what comes out of the decompression.
        body.into_with_config()
            .limit(u64::MAX)
            .reader()
            .take(one_more)
            .read_to_end(&mut buffer)
            .map_err(|error| explain(error.into()))?;
        Ok(Response::from_parts(head, buffer))
    }
}

/// ureq adds timeouts to the time, which overflows with one of many years: as good as none.
fn bounded(timeout: Duration) -> Option<Duration> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    (timeout < YEAR).then_some(timeout)
}

/// An agent with this platform's root certificates, rustls and *ring*.
fn own_agent(base: &BaseUrl) -> Result<Agent, Error> {
    let mut config = Agent::config_builder();
    if !base.is_loopback() {
        check_proxy(|name| std::env::var(name).ok())?;
    }
    if base.is_https() {
        let loaded = rustls_native_certs::load_native_certs();
        if loaded.certs.is_empty() {
            let reasons: Vec<_> = loaded
                .errors
                .iter()
                .map(|error| format!(": {error}"))
                .collect();
            return Err(permanent(format!(
                "no root certificates were found to check https with (install the package \
                 ca-certificates, or set SSL_CERT_FILE or SSL_CERT_DIR){}",
                reasons.concat()
            )));
        }
        let roots = loaded
            .certs
            .iter()
            .map(|root| Certificate::from_der(root).to_owned());
        config = config.tls_config(
            TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
                .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
                .build(),
        );
    }
    Ok(config.build().new_agent())
}

/// The environment's variables that name a proxy; the first one that is set counts. Not looked at for a
/// base URL on loopback.
pub const PROXY_VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// Where ureq cannot use a proxy it goes without, which is not what whoever has set one wants.
fn check_proxy(variable: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let first = PROXY_VARIABLES
        .iter()
        .find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)));
    let Some((name, value)) = first else {
        return Ok(());
    };
    let usable = Proxy::new(&value)
        .is_ok_and(|proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https));
    if usable {
        return Ok(());
    }
    // The value may hold a password.
    Err(permanent(format!(
        "{name} is set, and cannot be used: a proxy is given as http://host:port or https://host:port \
         (SOCKS is not supported)"
    )))
}

/// Tells what became of the request. In doubt it was sent.
fn explain(error: ureq::Error) -> Failure {
    use FailureKind::{Lost, NotSent, Permanent};
    use ureq::Error as E;

    let kind = match &error {
        E::HostNotFound | E::ConnectionFailed | E::Timeout(Timeout::Resolve | Timeout::Connect) => {
            NotSent
        }
        E::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls) => of_tls(tls),
            None => match error.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown => NotSent,
                _ if is_of_resolver(error) => NotSent,
                _ => Lost,
            },
        },
        E::Rustls(tls) => of_tls(tls),
        // The deadline is over; the rest is set up wrongly, here or at a proxy.
        E::Timeout(Timeout::Global)
        | E::Http(_)
        | E::BadUri(_)
        | E::InvalidProxyUrl
        | E::ConnectProxyFailed(_)
        | E::RequireHttpsOnly(_)
        | E::Tls(_)
        | E::TlsRequired
        | E::Pem(_)
        | E::LargeResponseHeader(..) => Permanent,
        _ => Lost,
    };
    Failure::new(kind, error)
}

/// The standard library tells a name that was not found by its text alone.
fn is_of_resolver(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.to_string().starts_with("failed to lookup address")
}

/// Whether trying again could help: not where one side does not trust or understand the other.
fn of_tls(error: &rustls::Error) -> FailureKind {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(_)
        | E::NoCertificatesPresented
        | E::UnsupportedNameType
        | E::InvalidMessage(_)
        | E::PeerIncompatible(_)
        | E::NoApplicationProtocol
        | E::AlertReceived(_) => FailureKind::Permanent,
        _ => FailureKind::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::CertificateError;

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_and_not_gone_around() {
        let check = |name: &'static str, value: &'static str| {
            check_proxy(move |asked| (asked == name).then(|| value.to_owned()))
        };
        for value in [
            "",
            "http://proxy.example:3128",
            "https://me:hunter2@proxy.example",
            "proxy.example:3128",
        ] {
            assert!(check("HTTPS_PROXY", value).is_ok(), "{value}");
        }
        for value in [
            "socks5://me:hunter2@127.0.0.1:1",
            "nonsense:::///hunter2",
            "http://",
            "ftp://hunter2",
        ] {
            for name in PROXY_VARIABLES {
                let Err(Error::Transport { source, .. }) = check(name, value) else {
                    panic!("{name}={value} is accepted");
                };
                let text = source.to_string();
                assert!(
                    text.starts_with(name) && !text.contains("hunter2"),
                    "{text}"
                );
            }
        }
        assert!(check("NO_PROXY", "nonsense:::///").is_ok());
    }

    #[test]
    fn failures_are_told_apart_by_what_became_of_the_request() {
        let io = |kind: io::ErrorKind| ureq::Error::Io(kind.into());
        let untrusted = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for (error, kind) in [
            (ureq::Error::HostNotFound, FailureKind::NotSent),
            (ureq::Error::Timeout(Timeout::Connect), FailureKind::NotSent),
            (io(io::ErrorKind::ConnectionRefused), FailureKind::NotSent),
            (
                ureq::Error::Io(io::Error::other(
                    "failed to lookup address information: Name or service not known",
                )),
                FailureKind::NotSent,
            ),
            (io(io::ErrorKind::ConnectionReset), FailureKind::Lost),
            (io(io::ErrorKind::UnexpectedEof), FailureKind::Lost),
            (ureq::Error::Timeout(Timeout::PerRead), FailureKind::Lost),
            (
                ureq::Error::Timeout(Timeout::Global),
                FailureKind::Permanent,
            ),
            (
                ureq::Error::Io(io::Error::other(untrusted)),
                FailureKind::Permanent,
            ),
            (
                ureq::Error::ConnectProxyFailed("407".into()),
                FailureKind::Permanent,
            ),
        ] {
            let failure = format!("{:?}", explain(error));
            assert!(failure.contains(&format!("kind: {kind:?}")), "{failure}");
        }
    }
}
