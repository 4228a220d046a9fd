//! Sending one request with ureq, safely, and telling what became of it.

use std::io::{self, Read};
use std::sync::Arc;

use atlas_model_keys_core::{BaseUrl, Body, Failure, FailureKind, Limits};
use atlas_model_keys_transport::{
    BodySizeEstimate, NotTls, Resolved, Timeouts, TooLarge, TwoLengths, body_limit, is_gzip,
};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{Request, Response};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, ProxyProtocol, Timeout};
use zeroize::Zeroizing;

use crate::connect::{Connect, LazyResolver};
use crate::deadline::Deadline;
use crate::failure::kind_of;
use crate::guard::{self, OverheadExceeded};
use crate::gzip::Gunzip;

/// ureq, and how it is to be used.
pub(crate) struct Http {
    agent: Agent,
    timeouts: Timeouts,
    loopback: bool,
    body_size: BodySizeEstimate,
}

/// Where the body of an answer goes.
pub(crate) enum Destination {
    /// Over what this buffer holds.
    Buffer(Vec<u8>),
    /// Into memory of its own, of which no copy is left behind: it may hold a token.
    Erased,
}

/// Header fields that ureq reads, however many the limits allow.
const MOST_HEADERS: usize = 128;

impl Http {
    pub(crate) fn new(resolved: &Resolved, agent: Option<Agent>) -> Self {
        Self {
            agent: agent.unwrap_or_else(|| own_agent(resolved)),
            timeouts: resolved.timeouts,
            loopback: resolved.session.base().is_loopback(),
            body_size: BodySizeEstimate::default(),
        }
    }

    /// Sends the request and reads the whole answer, one byte beyond the limit at most: the core refuses what
    /// is too large.
    pub(crate) fn send(
        &self,
        request: Request<Body>,
        deadline: &Deadline,
        into: Destination,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        guard::request_begins(matches!(into, Destination::Erased));
        let (mut head, body) = request.into_parts();
        // The state of a decompression is not erased.
        let coding = HeaderValue::from_static(match into {
            Destination::Buffer(_) => "gzip",
            Destination::Erased => "identity",
        });
        head.headers.insert(ACCEPT_ENCODING, coding);
        if body.is_empty() {
            self.run(Request::from_parts(head, ()), deadline, into, limits)
        } else {
            let request = Request::from_parts(head, body.as_bytes());
            self.run(request, deadline, into, limits)
        }
    }

    fn run(
        &self,
        request: Request<impl AsSendBody>,
        deadline: &Deadline,
        into: Destination,
        limits: &Limits,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let left = deadline.left();
        let explain = |error, part| self.explain(error, part, deadline, limits);
        if left.is_zero() {
            return Err(explain(ureq::Error::Timeout(Timeout::Global), Part::Head));
        }
        // Set for each request, since the agent may be the caller's own.
        let mut config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The core counts, and says so in an error of its own; this one is for what is far beyond.
            .max_response_header_size(limits.head_bytes.saturating_mul(2).min(self.most_of_head()))
            .timeout_global(Some(left))
            // ureq counts the two apart.
            .timeout_resolve(Some(self.timeouts.connect))
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_per_read(Some(self.timeouts.read))
            .timeout_per_write(Some(self.timeouts.read))
            // What else the caller's agent may have set; the global one covers them.
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
        // What is not read to its end is closed with it.
        TwoLengths::refuse(&head.headers)?;
        let promised = body.content_length();
        let most = match into {
            Destination::Buffer(_) => body_limit(head.status, promised, limits),
            // A token's answer is bounded like an error's.
            Destination::Erased => limits.error_body_bytes.saturating_add(1),
        };
        let mut memory = match into {
            Destination::Buffer(buffer) => {
                let expected = self
                    .body_size
                    .expected(promised.filter(|_| !is_gzip(&head.headers)));
                BodyBuffer::new(buffer, expected, most)
            }
            Destination::Erased => BodyBuffer::erased(most),
        };
        let body = body.into_with_config().limit(u64::MAX).reader();
        // What is bounded is what comes out of the decompression.
        let outcome = if most > 0 && is_gzip(&head.headers) {
            head.headers.remove(CONTENT_ENCODING);
            head.headers.remove(CONTENT_LENGTH);
            memory.read(Gunzip::new(body), deadline)
        } else {
            memory.read(body, deadline)
        };
        match outcome.map_err(ureq::Error::from) {
            Ok(()) => {}
            // The status and the headers of an error count, even if its body cannot be unpacked or never ends.
            Err(error) if !head.status.is_success() && is_of_body(&error) => {}
            Err(error) => return Err(explain(error, Part::Body)),
        }
        Ok(Response::from_parts(head, memory.body(&self.body_size)))
    }

    /// Bytes of a head that have room in ureq's buffer, with one more to see that they are too many.
    fn most_of_head(&self) -> usize {
        self.agent.config().input_buffer_size().saturating_sub(1)
    }

    /// Tells what became of the request, and why.
    fn explain(
        &self,
        error: ureq::Error,
        part: Part,
        deadline: &Deadline,
        limits: &Limits,
    ) -> Failure {
        use ureq::Error as E;

        let kind = match kind_of(&error) {
            // However it ended, it took too long.
            FailureKind::NotSent | FailureKind::Lost if deadline.left().is_zero() => {
                FailureKind::TimedOut
            }
            kind => kind,
        };
        // What a protocol's error is about is told by its text alone.
        let text = match &error {
            E::Protocol(error) => error.to_string(),
            _ => String::new(),
        };
        match error {
            E::Other(error) if error.is::<OverheadExceeded>() => match part {
                Part::Head => TooLarge::InterimResponses.into(),
                Part::Body => TooLarge::Trailers.into(),
            },
            // One of ours, which says more than ureq's.
            E::Other(error) => Failure::new(kind, error),
            E::LargeResponseHeader(..) => {
                TooLarge::HeadBytes(limits.head_bytes.min(self.most_of_head())).into()
            }
            _ if text.contains("too many headers") => {
                TooLarge::HeaderFields(limits.headers.min(MOST_HEADERS)).into()
            }
            // These would come again.
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
                Part::Body => Failure::new(kind, error),
            },
            E::ConnectProxyFailed(why) => {
                // Of a caller's agent.
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

/// Why a caller's agent could not be used with this base URL: ureq panics where it was built without what the agent
/// is set up for, and nobody can ask it what it was built with.
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
    // As ureq will do it.
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

/// Whether the connection is in order, and what comes on it is not.
fn is_of_body(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Decompress(..) => true,
        ureq::Error::Other(error) => error.is::<OverheadExceeded>(),
        _ => false,
    }
}

/// Of an answer.
#[derive(Clone, Copy)]
enum Part {
    Head,
    Body,
}

/// Where a body is read to, and how much of it at most.
struct BodyBuffer {
    /// Not left behind where reading fails.
    bytes: Zeroizing<Vec<u8>>,
    expected: usize,
    most: usize,
    /// Whether a copy is left behind where it grows.
    leaves_no_copy: bool,
}

/// By how much a buffer grows at least.
const LEAST_MORE: usize = 16 << 10;

/// After so many bytes of a body the clock is looked at.
const LOOK: usize = 1 << 20;

/// BodySizeEstimate for a token's answer from the beginning: all that the default limits allow.
const TOKEN_ANSWER: usize = 64 << 10;

impl BodyBuffer {
    /// Over what the buffer holds.
    fn new(buffer: Vec<u8>, expected: usize, most: usize) -> Self {
        Self {
            bytes: Zeroizing::new(buffer),
            expected,
            most,
            leaves_no_copy: false,
        }
    }

    /// Of which no copy is left behind.
    fn erased(most: usize) -> Self {
        Self {
            bytes: Zeroizing::default(),
            expected: TOKEN_ANSWER,
            most,
            leaves_no_copy: true,
        }
    }

    /// Reads all there is, over what the memory holds. (`read_to_end` would clear the rest of the memory before
    /// each of many small reads: as much work as everything else together.)
    fn read(&mut self, mut body: impl Read, deadline: &Deadline) -> io::Result<()> {
        let (mut filled, mut look) = (0, LOOK);
        let outcome = loop {
            if filled >= self.most {
                break Ok(());
            }
            // ureq looks at the clock where it waits for bytes, which may hold a thousand times as many.
            if filled >= look {
                if deadline.left().is_zero() {
                    break Err(ureq::Error::Timeout(Timeout::Global).into_io());
                }
                look = filled.saturating_add(LOOK);
            }
            if filled == self.bytes.len() {
                self.grow(filled);
            }
            match body.read(self.bytes.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break Ok(()),
                Ok(more) => {
                    filled += more;
                    guard::content_received();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.bytes.truncate(filled.min(self.most));
        outcome
    }

    fn grow(&mut self, filled: usize) {
        let more = match filled {
            // One more than expected, to see that this was all.
            0 if self.expected > 0 => self.expected.saturating_add(1),
            _ => (filled / 4).saturating_add(LEAST_MORE),
        };
        let length = filled.saturating_add(more).min(self.most);
        if self.leaves_no_copy && length > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(length);
            larger.extend_from_slice(&self.bytes);
            // What was there before is overwritten.
            self.bytes = Zeroizing::new(larger);
        }
        self.bytes.reserve_exact(length.saturating_sub(filled));
        self.bytes.resize(length, 0);
    }

    fn body(mut self, room: &BodySizeEstimate) -> Vec<u8> {
        let mut body = std::mem::take(&mut *self.bytes);
        if !self.leaves_no_copy {
            room.came(&mut body);
        }
        body
    }
}

/// The least for the head of a connection's request. ureq's own is 128 KiB, which each of many connections
/// would touch.
const OUTPUT_BUFFER: usize = 32 << 10;

/// The least and the most for what arrives on a connection: a head must fit into it, and ureq makes room for all of
/// it at once. The least is ureq's own.
const INPUT_BUFFER: [usize; 2] = [128 << 10, 4 << 20];

fn input_buffer(limits: &Limits) -> usize {
    let [least, most] = INPUT_BUFFER;
    limits.head_bytes.saturating_mul(2).clamp(least, most)
}

/// BodySizeEstimate for a request's head: what is long in it is a token, or an answer to a challenge, which repeats most
/// of that with a backslash before each byte at the worst.
fn output_buffer(resolved: &Resolved) -> usize {
    let limits = &resolved.limits;
    let longest = limits.token_bytes.max(limits.challenge_bytes);
    longest.saturating_mul(4).max(OUTPUT_BUFFER)
}

/// An agent with rustls and *ring*.
fn own_agent(resolved: &Resolved) -> Agent {
    let roots = resolved
        .roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())));
    let config = Agent::config_builder()
        .tls_config(tls.build())
        // Neither ureq's own reading of the environment, nor its own way to ask a proxy.
        .proxy(None)
        .max_idle_connections(resolved.connections.max_idle)
        .max_idle_connections_per_host(resolved.connections.max_idle)
        .max_idle_age(resolved.connections.idle_timeout)
        .input_buffer_size(input_buffer(&resolved.limits))
        .output_buffer_size(output_buffer(resolved))
        .build();
    let connect = Connect::new(resolved.proxy.clone(), resolved.limits.head_bytes);
    Agent::with_parts(config, connect, LazyResolver)
}
