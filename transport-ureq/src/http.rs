//! Sending one request with ureq, safely, and telling what became of it.

use std::io::{self, Read};
use std::sync::Arc;

use atlas_model_keys_core::{Body, Failure, FailureKind, Limits, Proxy};
use atlas_model_keys_transport::{ProxyFailure, Resolved, Room, Timeouts, of_io, of_tls};
use http::{Request, Response};
use rustls::crypto::ring;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, ProxyProtocol, Timeout};

use crate::client::Deadline;
use crate::connect::{ConnectFailure, InTime, Later};

/// ureq, and how it is to be used.
pub(crate) struct Http {
    agent: Agent,
    timeouts: Timeouts,
    loopback: bool,
    proxy: Option<Proxy>,
    room: Room,
}

impl Http {
    pub(crate) fn new(resolved: &Resolved, agent: Option<Agent>) -> Self {
        Self {
            agent: agent.unwrap_or_else(|| own_agent(resolved)),
            timeouts: resolved.timeouts,
            loopback: resolved.session.base().is_loopback(),
            proxy: resolved.proxy.clone(),
            room: Room::default(),
        }
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
            return Err(self.explain(ureq::Error::Timeout(Timeout::Global)));
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
            .map_err(|error| self.explain(error))?;

        let (head, body) = response.into_parts();
        let expected = self.room.expected(body.content_length());
        // What is bounded is what comes out of the decompression.
        let body = body.into_with_config().limit(u64::MAX).reader();
        let most = limits.body_bytes.saturating_add(1);
        match read(body, &mut buffer, expected, most).map_err(ureq::Error::from) {
            Ok(()) => self.room.came(&mut buffer),
            // The status and the headers of an error count, even if its body cannot be unpacked.
            Err(ureq::Error::Decompress(..)) if !head.status.is_success() => {}
            Err(error) => return Err(self.explain(error)),
        }
        Ok(Response::from_parts(head, buffer))
    }

    /// Tells what became of the request, and names the proxy if it is the proxy's.
    fn explain(&self, error: ureq::Error) -> Failure {
        let kind = kind_of(&error);
        if is_too_long(&error) {
            return Failure::new(
                kind,
                "the head of the request is too long to be sent: the credential and the User-Agent are in it",
            );
        }
        let refused = matches!(error, ureq::Error::ConnectProxyFailed(_));
        match &self.proxy {
            // What failed before the tunnel stood is between this machine and the proxy.
            Some(proxy) if refused || kind == FailureKind::NotSent => {
                // ureq tells the status by its text alone.
                let wants_login = error.to_string().contains("responded 407");
                Failure::new(kind, ProxyFailure::new(proxy, wants_login, error))
            }
            _ => Failure::new(kind, error),
        }
    }
}

/// Reads all there is, `most` bytes at most, over what the buffer holds. (`read_to_end` would clear the rest
/// of the buffer before each of many small reads: as much work as everything else together.)
fn read(mut body: impl Read, buffer: &mut Vec<u8>, expected: usize, most: usize) -> io::Result<()> {
    let mut filled = 0;
    let outcome = loop {
        if filled >= most {
            break Ok(());
        }
        if filled == buffer.len() {
            let more = match filled {
                // One more than expected, to see that this was all.
                0 if expected > 0 => expected.saturating_add(1),
                _ => (filled / 4).saturating_add(LEAST_MORE),
            };
            let length = filled.saturating_add(more).min(most);
            buffer.reserve_exact(length - filled);
            buffer.resize(length, 0);
        }
        match body.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break Ok(()),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    buffer.truncate(filled.min(most));
    outcome
}

/// By how much a buffer grows at least.
const LEAST_MORE: usize = 16 << 10;

/// The least for the head of a connection's request. ureq's own is 128 KiB, which each of many connections
/// would touch.
const OUTPUT_BUFFER: usize = 32 << 10;

/// Room for a request's head: what is long in it is a token, or an answer to a challenge, which repeats most
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
        // Not ureq's own reading of the environment.
        .proxy(resolved.proxy.as_ref().and_then(of_ureq))
        .max_idle_connections(resolved.connections.max_idle)
        .max_idle_connections_per_host(resolved.connections.max_idle)
        .max_idle_age(resolved.connections.idle_timeout)
        .output_buffer_size(output_buffer(resolved))
        .build();
    Agent::with_parts(config, InTime::default(), Later)
}

/// The proxy in ureq's words. The parts come from a parsed URL, so ureq takes them.
fn of_ureq(proxy: &Proxy) -> Option<ureq::Proxy> {
    let uri = proxy.uri();
    let (protocol, default_port) = match uri.scheme_str() {
        Some("https") => (ProxyProtocol::Https, 443),
        _ => (ProxyProtocol::Http, 80),
    };
    let mut builder = ureq::Proxy::builder(protocol)
        .host(uri.host()?)
        .port(uri.port_u16().unwrap_or(default_port));
    if let Some((user, password)) = proxy.login() {
        builder = builder.username(user).password(password.expose());
    }
    builder.build().ok()
}

/// What became of the request. In doubt it was sent.
pub(crate) fn kind_of(error: &ureq::Error) -> FailureKind {
    use FailureKind::{Lost, NotSent, Permanent, TimedOut};
    use ureq::Error as E;

    match error {
        E::HostNotFound | E::ConnectionFailed | E::Timeout(Timeout::Resolve | Timeout::Connect) => {
            NotSent
        }
        E::Io(error) => of_io(error),
        E::Other(error) => match error.downcast_ref::<ConnectFailure>() {
            Some(failure) => failure.kind(),
            None => Lost,
        },
        E::Rustls(tls) => of_tls(tls),
        E::Timeout(Timeout::Global) => TimedOut,
        // Something is set up wrongly, here or at a proxy.
        E::Http(_)
        | E::BadUri(_)
        | E::InvalidProxyUrl
        | E::ConnectProxyFailed(_)
        | E::RequireHttpsOnly(_)
        | E::Tls(_)
        | E::TlsRequired
        | E::Pem(_)
        | E::LargeResponseHeader(..) => Permanent,
        // It would come again.
        _ if is_too_long(error) => Permanent,
        // Told by its text alone.
        E::Protocol(error) if error.to_string().contains("too many headers") => Permanent,
        _ => Lost,
    }
}

/// Whether the request's head has no room in ureq's buffer, which is told by its text alone.
fn is_too_long(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Protocol(error) if error.to_string().contains("output too small"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn failures_are_told_apart_by_what_became_of_the_request() {
        let io = |kind: io::ErrorKind| ureq::Error::Io(kind.into());
        for (error, kind) in [
            (ureq::Error::HostNotFound, FailureKind::NotSent),
            (ureq::Error::Timeout(Timeout::Connect), FailureKind::NotSent),
            (io(io::ErrorKind::ConnectionRefused), FailureKind::NotSent),
            (io(io::ErrorKind::UnexpectedEof), FailureKind::Lost),
            (ureq::Error::Timeout(Timeout::PerRead), FailureKind::Lost),
            (ureq::Error::Timeout(Timeout::Global), FailureKind::TimedOut),
            (
                ureq::Error::ConnectProxyFailed("407".into()),
                FailureKind::Permanent,
            ),
        ] {
            assert_eq!(kind_of(&error), kind, "{error}");
        }
    }
}
