//! Sends one request with ureq, and classifies its failures.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Body, Failure, FailureKind, Limits};
use atlas_model_keys_transport::{
    Connections, GzipError, NotTls, SendContext, TooLarge, Transport, TwoLengths,
};
use http::header::{ACCEPT_ENCODING, HeaderValue};
use http::{Request, Response};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, ProxyProtocol, Timeout};

use crate::connect::{Connect, LazyResolver};
use crate::failure::kind_of;
use crate::guard::{self, OverheadExceeded};

/// Sends requests with an agent of ureq.
pub(crate) struct UreqTransport {
    agent: Agent,
    connect_timeout: Duration,
    read_timeout: Duration,
    loopback: bool,
}

/// The largest number of header fields that ureq reads.
const MAX_HEADERS: usize = 128;

impl Transport for UreqTransport {
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        guard::request_begins(context.may_hold_token());
        let (mut head, body) = request.into_parts();
        // The decoder would leave copies of the body behind.
        let coding = HeaderValue::from_static(match context.may_hold_token() {
            false => "gzip",
            true => "identity",
        });
        head.headers.insert(ACCEPT_ENCODING, coding);
        if body.is_empty() {
            self.run(Request::from_parts(head, ()), context)
        } else {
            self.run(Request::from_parts(head, body.as_bytes()), context)
        }
    }
}

impl UreqTransport {
    pub(crate) fn new(connections: &Connections, agent: Option<Agent>) -> Self {
        Self {
            agent: agent.unwrap_or_else(|| own_agent(connections)),
            connect_timeout: connections.connect_timeout,
            read_timeout: connections.read_timeout,
            loopback: connections.base.is_loopback(),
        }
    }

    fn run(
        &self,
        request: Request<impl AsSendBody>,
        mut context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let limits = context.limits();
        let explain = |error, part| self.explain(error, part, limits);
        let left = context.remaining();
        if left.is_zero() {
            return Err(explain(ureq::Error::Timeout(Timeout::Global), Part::Head));
        }
        // Set for each request, because the agent may be the caller's own.
        let mut config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The core enforces the limit with a better error. ureq only has to stop far larger heads.
            .max_response_header_size(limits.head_bytes.saturating_mul(2).min(self.max_head()))
            .timeout_global(Some(left))
            // ureq has separate timeouts for the two.
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_per_read(Some(self.read_timeout))
            .timeout_per_write(Some(self.read_timeout))
            // The global timeout replaces other timeouts of a caller's agent.
            .timeout_per_call(None)
            .timeout_send_request(None)
            .timeout_send_body(None)
            .timeout_recv_response(None)
            .timeout_recv_body(None);
        if self.loopback {
            config = config.proxy(None);
        }
        let response = self
            .agent
            .run(config.build())
            .map_err(|error| explain(error, Part::Head))?;
        guard::head_received();

        let (mut head, body) = response.into_parts();
        // A connection whose response is not read completely is closed when the body is dropped.
        TwoLengths::refuse(&head.headers)?;
        let mut reader = context.body_reader(head.status, &mut head.headers);
        let body = body.into_with_config().limit(u64::MAX).reader();
        let outcome = reader.read_with(body, guard::content_received);
        match outcome.map_err(ureq::Error::from) {
            Ok(()) => {}
            // The status and the headers of an error are useful even if its body cannot be decompressed or never ends.
            Err(error) if !head.status.is_success() && is_of_body(&error) => {}
            Err(error) => return Err(explain(error, Part::Body)),
        }
        let body = reader.finish().map_err(io::Error::from);
        let body = body.map_err(|error| explain(error.into(), Part::Body))?;
        Ok(Response::from_parts(head, body))
    }

    /// Returns the largest head in bytes that ureq's buffer can hold, less one byte to detect a larger one.
    fn max_head(&self) -> usize {
        self.agent.config().input_buffer_size().saturating_sub(1)
    }

    /// Converts an error to a failure.
    fn explain(&self, error: ureq::Error, part: Part, limits: &Limits) -> Failure {
        use ureq::Error as E;

        let kind = kind_of(&error);
        // The kind of a protocol error is in its text only.
        let text = match &error {
            E::Protocol(error) => error.to_string(),
            _ => String::new(),
        };
        match error {
            E::Other(error) if error.is::<OverheadExceeded>() => match part {
                Part::Head => TooLarge::InterimResponses.into(),
                Part::Body => TooLarge::Trailers.into(),
            },
            // An error of this crate, with more details than ureq's.
            E::Other(error) => Failure::new(kind, error),
            E::LargeResponseHeader(..) => {
                TooLarge::HeadBytes(limits.head_bytes.min(self.max_head())).into()
            }
            _ if text.contains("too many headers") => {
                TooLarge::HeaderFields(limits.headers.min(MAX_HEADERS)).into()
            }
            // A retry would fail in the same way.
            _ if text.contains("output too small") => Failure::new(
                FailureKind::Permanent,
                "the head of the request is too long to be sent: the credential and the User-Agent are in it",
            ),
            _ if text.contains("authorization header is not a string") => Failure::new(
                FailureKind::Permanent,
                "the answer to the server's challenge would hold characters outside ASCII, which stand in the \
                 challenge (in its realm, for example), and ureq does not send them",
            ),
            E::Io(error) => match part {
                Part::Head => Failure::new(kind, NotTls::or(error.into())),
                Part::Body => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                    Some(gzip) => Failure::from(GzipError::clone(gzip)),
                    None => Failure::new(kind, error),
                },
            },
            E::ConnectProxyFailed(why) => {
                // From a caller's agent.
                let proxy = self.agent.config().proxy();
                let place = proxy.map(|proxy| format!(" {}:{}", proxy.host(), proxy.port()));
                let place = place.unwrap_or_default();
                Failure::new(
                    kind,
                    format!("the agent's proxy{place} opened no tunnel: {why}"),
                )
            }
            error => Failure::new(kind, error),
        }
    }
}

/// Returns the reason why a caller's agent cannot be used with this base URL. ureq panics if it was built without a feature
/// that the agent is configured for, and has no way to ask for its features.
pub(crate) fn agent_problem(agent: &Agent, base: &BaseUrl) -> Option<&'static str> {
    let config = agent.config();
    let proxy = config.proxy().filter(|_| !base.is_loopback());
    let needs_tls = match proxy.map(ureq::Proxy::protocol) {
        None | Some(ProxyProtocol::Http) => base.is_https(),
        Some(ProxyProtocol::Https) => true,
        Some(_) => {
            return Some(
                "the agent's proxy is none that is asked by http:// or https:// (SOCKS is not supported)",
            );
        }
    };
    let tls = config.tls_config();
    if !needs_tls {
        return None;
    }
    if tls.provider() != TlsProvider::Rustls {
        return Some("the agent's TLS is not by rustls (TlsProvider::Rustls)");
    }
    let provider = tls.unversioned_rustls_crypto_provider().clone();
    let Some(provider) = provider.or_else(|| CryptoProvider::get_default().cloned()) else {
        return Some(
            "the agent has no crypto provider for https: set one by \
             TlsConfig::builder().unversioned_rustls_crypto_provider(…)",
        );
    };
    if !tls.disable_verification() && !matches!(tls.root_certs(), RootCerts::Specific(_)) {
        return Some(
            "the agent has no root certificates of its own to check https with: set them by \
             TlsConfig::builder().root_certs(RootCerts::Specific(…))",
        );
    }
    // ureq does the same for each connection.
    let Ok(builder) =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS)
    else {
        return Some("the agent's crypto provider does not know all versions of TLS");
    };
    let certificate = tls.client_cert()?;
    let chain = certificate.certs().iter();
    let chain = chain.map(|certificate| CertificateDer::from(certificate.der()).into_owned());
    let usable = PrivateKeyDer::try_from(certificate.private_key().der()).is_ok_and(|key| {
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain.collect(), key.clone_key())
            .is_ok()
    });
    (!usable).then_some("the agent's client certificate or its key cannot be used")
}

/// Tells whether an error concerns the body and not the connection.
fn is_of_body(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Decompress(..) => true,
        ureq::Error::Other(error) => error.is::<OverheadExceeded>(),
        _ => false,
    }
}

/// A part of a response.
#[derive(Clone, Copy)]
enum Part {
    Head,
    Body,
}

/// The smallest buffer for the head of a request, in bytes. ureq's default of 128 KiB would take memory for each of many
/// connections.
const OUTPUT_BUFFER: usize = 32 << 10;

/// The smallest and the largest buffer for the bytes that arrive on a connection. The head of a response must fit into
/// it, and ureq allocates all of it at once. The smallest is ureq's default.
const INPUT_BUFFER: [usize; 2] = [128 << 10, 4 << 20];

fn input_buffer(limits: &Limits) -> usize {
    let [least, most] = INPUT_BUFFER;
    limits.head_bytes.saturating_mul(2).clamp(least, most)
}

/// Returns the buffer size for the head of a request. Its longest part is a token, or the answer to a challenge, which
/// repeats most of the challenge, in the worst case with a backslash before each byte.
fn output_buffer(limits: &Limits) -> usize {
    let longest = limits.token_bytes.max(limits.challenge_bytes);
    longest.saturating_mul(4).max(OUTPUT_BUFFER)
}

/// Makes an agent with rustls and *ring*.
fn own_agent(connections: &Connections) -> Agent {
    let roots = connections
        .roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())));
    let config = Agent::config_builder()
        .tls_config(tls.build())
        // The settings read the environment, and `Connect` asks the proxy.
        .proxy(None)
        .max_idle_connections(connections.max_idle)
        .max_idle_connections_per_host(connections.max_idle)
        .max_idle_age(connections.idle_timeout)
        .input_buffer_size(input_buffer(&connections.limits))
        .output_buffer_size(output_buffer(&connections.limits))
        .build();
    let connect = Connect::new(connections.proxy.clone(), connections.limits.clone());
    Agent::with_parts(config, connect, LazyResolver)
}
