//! Makes connections: name resolution, TCP, the tunnel of a proxy, and TLS. One deadline covers all of these steps, so a
//! proxy or server that sends its bytes slowly cannot extend it. A failure here means that no request was sent.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use atlas_model_keys_core::Proxy;
use atlas_model_keys_transport::TunnelError;
use http::uri::Scheme;
use http::{StatusCode, Uri};
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport,
    TransportAdapter, time,
};
use zeroize::Zeroizing;

use crate::failure::ConnectFailure;
use crate::guard::{BelowTls, GuardedTransport};

/// The name and the version of this client in the `User-Agent`.
pub(crate) const USER_AGENT: &str = concat!("atlas-model-keys-ureq/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(crate) struct Connect {
    /// ureq's own code accepts a tunnel only with status 200.
    proxy: Option<Proxy>,
    /// See [`GuardedTransport`].
    max_overhead: usize,
    tcp: TcpConnector,
    tls: RustlsConnector,
}

impl Connect {
    /// Makes connections through the proxy, if there is one.
    pub(crate) fn new(proxy: Option<Proxy>, max_overhead: usize) -> Self {
        Self {
            proxy,
            max_overhead,
            tcp: TcpConnector::default(),
            tls: RustlsConnector::default(),
        }
    }

    fn to(
        &self,
        target: &Uri,
        steps: &ConnectSteps<'_>,
    ) -> Result<Box<dyn Transport>, ConnectFailure> {
        let Some(proxy) = &self.proxy else {
            return self
                .hop(target, steps)
                .map_err(|error| ConnectFailure::new(error, None));
        };
        let stream = self
            .hop(proxy.uri(), steps)
            .map_err(|error| ConnectFailure::of_proxy(proxy, error))?;
        let stream = tunnel(stream, proxy, target, steps)?;
        self.secured(stream, target, steps)
            .map_err(|error| ConnectFailure::new(error, Some(proxy)))
    }

    fn hop(&self, to: &Uri, steps: &ConnectSteps<'_>) -> Result<Box<dyn Transport>, Error> {
        let addrs = look_up(to, steps.details.config, steps.timeout()?)?;
        let details = steps.details(to, addrs)?;
        let stream = self.tcp.connect(&details, None::<()>)?;
        let stream = stream.ok_or(Error::ConnectionFailed)?;
        self.secured(Box::new(stream), to, steps)
    }

    /// Adds TLS for `https`.
    fn secured(
        &self,
        stream: Box<dyn Transport>,
        with: &Uri,
        steps: &ConnectSteps<'_>,
    ) -> Result<Box<dyn Transport>, Error> {
        if with.scheme() != Some(&Scheme::HTTPS) {
            return Ok(stream);
        }
        let details = steps.details(with, steps.details.resolver.empty())?;
        let stream = self.tls.connect(&details, Some(BelowTls(stream)))?;
        Ok(Box::new(stream.ok_or(Error::ConnectionFailed)?))
    }
}

impl Connector<()> for Connect {
    type Out = GuardedTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<GuardedTransport>, Error> {
        let steps = ConnectSteps {
            details,
            end: Instant::now().checked_add(*details.timeout.after),
        };
        match self.to(details.uri, &steps) {
            Ok(stream) => Ok(Some(GuardedTransport::new(stream, self.max_overhead))),
            Err(failure) => Err(Error::Other(Box::new(failure))),
        }
    }
}

/// The steps of making a connection, with a common deadline.
struct ConnectSteps<'d> {
    details: &'d ConnectionDetails<'d>,
    end: Option<Instant>,
}

impl ConnectSteps<'_> {
    /// Returns the time that is left for the next step.
    fn timeout(&self) -> Result<NextTimeout, Error> {
        let timeout = self.details.timeout;
        let Some(end) = self.end else {
            return Ok(timeout);
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        Ok(NextTimeout {
            after: time::Duration::Exact(left),
            ..timeout
        })
    }

    fn details<'s>(
        &'s self,
        uri: &'s Uri,
        addrs: ResolvedSocketAddrs,
    ) -> Result<ConnectionDetails<'s>, Error> {
        let details = self.details;
        Ok(ConnectionDetails {
            uri,
            addrs,
            config: details.config,
            // With `true`, ureq would make a new TLS configuration for each request that has settings of its own. The
            // settings of our requests do not concern TLS, and with one configuration sessions can be resumed.
            request_level: false,
            resolver: details.resolver,
            now: (details.current_time)(),
            timeout: self.timeout()?,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        })
    }
}

/// Resolves the host. ureq starts a thread for this if there is a timeout, so an IP address gets none.
fn look_up(
    uri: &Uri,
    config: &Config,
    mut timeout: NextTimeout,
) -> Result<ResolvedSocketAddrs, Error> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok() {
        timeout.after = time::Duration::NotHappening;
    }
    DefaultResolver::default().resolve(uri, config, timeout)
}

/// Leaves name resolution to [`Connect`]. ureq resolves before each request, but most requests reuse an idle connection.
#[derive(Debug)]
pub(crate) struct LazyResolver;

impl Resolver for LazyResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addrs = self.empty();
        // An empty list would mean that a proxy resolves the name.
        addrs.push((Ipv4Addr::UNSPECIFIED, 0).into());
        Ok(addrs)
    }
}

/// Asks the proxy for a tunnel to the target (RFC 9110 §9.3.6).
fn tunnel(
    stream: Box<dyn Transport>,
    proxy: &Proxy,
    target: &Uri,
    steps: &ConnectSteps<'_>,
) -> Result<Box<dyn Transport>, ConnectFailure> {
    let asked = ask(stream, proxy, target, steps).and_then(|mut stream| {
        let response = read_response(&mut *stream, steps)?;
        Ok((stream, response))
    });
    let (mut stream, response) = asked.map_err(|error| ConnectFailure::of_proxy(proxy, error))?;
    let error = match response {
        ConnectResponse::Status(status) if status.is_success() => {
            // TLS checks the bytes that follow.
            if target.scheme() == Some(&Scheme::HTTPS) || stream.buffers().input().is_empty() {
                return Ok(stream);
            }
            TunnelError::Early
        }
        ConnectResponse::Status(status) => TunnelError::Status(status),
        ConnectResponse::NotHttp => TunnelError::NotHttp,
        ConnectResponse::TooLarge => TunnelError::TooLarge,
        ConnectResponse::Closed => TunnelError::Closed,
    };
    Err(ConnectFailure::refused(proxy, error))
}

fn ask(
    stream: Box<dyn Transport>,
    proxy: &Proxy,
    target: &Uri,
    steps: &ConnectSteps<'_>,
) -> Result<Box<dyn Transport>, Error> {
    let host = target.host().unwrap_or_default();
    let port = match target.port_u16() {
        Some(port) => port,
        None if target.scheme() == Some(&Scheme::HTTPS) => 443,
        None => 80,
    };
    let mut request = Zeroizing::new(Vec::with_capacity(1 << 10));
    write!(
        request,
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {USER_AGENT}\r\n"
    )?;
    if let Some(login) = proxy.authorization() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(login.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let clock = Arc::clone(&steps.details.current_time);
    let mut adapter = TransportAdapter::new(stream, clock);
    adapter.set_timeout(steps.timeout()?);
    adapter.write_all(&request)?;
    let mut stream = adapter.into_inner();
    // The login is still in it.
    stream.buffers().output().fill(0);
    Ok(stream)
}

/// The outcome of a `CONNECT`.
#[derive(Debug, PartialEq, Eq)]
enum ConnectResponse {
    Status(StatusCode),
    NotHttp,
    TooLarge,
    Closed,
}

/// The largest response to `CONNECT` in bytes, including interim responses. Proxies send a few hundred.
const MAX_RESPONSE: usize = 64 << 10;

fn read_response(
    stream: &mut dyn Transport,
    steps: &ConnectSteps<'_>,
) -> Result<ConnectResponse, Error> {
    let mut taken = 0;
    loop {
        let input = stream.buffers().input();
        match head(input) {
            Some(Ok((status, length))) => {
                stream.buffers().input_consume(length);
                taken += length;
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Ok(ConnectResponse::Status(status));
                }
            }
            Some(Err(response)) => return Ok(response),
            None if taken + input.len() >= MAX_RESPONSE => return Ok(ConnectResponse::TooLarge),
            None => {
                if !stream.await_input(steps.timeout()?)? {
                    return Ok(ConnectResponse::Closed);
                }
            }
        }
    }
}

/// Returns the status and the length of a head, or `None` if it is incomplete.
fn head(input: &[u8]) -> Option<Result<(StatusCode, usize), ConnectResponse>> {
    const START: &[u8] = b"HTTP/1.";
    // Checked early, because a peer with another protocol may wait for us.
    if input.iter().zip(START).any(|(byte, start)| byte != start) {
        return Some(Err(ConnectResponse::NotHttp));
    }
    let is_end = |at: &usize| {
        let rest = input.get(*at..).unwrap_or_default();
        rest.starts_with(b"\n\r\n") || rest.starts_with(b"\n\n")
    };
    let end = (0..input.len()).find(is_end)?;
    let blank = input.get(end + 1..).unwrap_or_default();
    let length = end + if blank.starts_with(b"\r") { 3 } else { 2 };
    // "HTTP/1.1 200 …"
    let status = match (input.get(8), input.get(9..12), input.get(12)) {
        (Some(b' '), Some(digits), Some(b' ' | b'\r' | b'\n')) => StatusCode::from_bytes(digits),
        _ => return Some(Err(ConnectResponse::NotHttp)),
    };
    Some(status.map_or(Err(ConnectResponse::NotHttp), |status| Ok((status, length))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_of_a_proxy_response_ends_with_an_empty_line() {
        let status = |status, length| {
            let status = StatusCode::from_u16(status).unwrap();
            Some(Ok((status, length)))
        };
        for (input, expected) in [
            ("", None),
            ("HTTP/1", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\nmore", status(200, 19)),
            ("HTTP/1.0 200\r\nVia: x\r\n\r\n", status(200, 24)),
            ("HTTP/1.1 407 -\n\nmore", status(407, 16)),
            ("SSH-2.0-", Some(Err(ConnectResponse::NotHttp))),
            ("HTTP/2 200\r\n\r\n", Some(Err(ConnectResponse::NotHttp))),
            ("HTTP/1.1 2000\r\n\r\n", Some(Err(ConnectResponse::NotHttp))),
            (
                "HTTP/1.1 2OO OK\r\n\r\n",
                Some(Err(ConnectResponse::NotHttp)),
            ),
            ("HTTP/1.1\r\n\r\n", Some(Err(ConnectResponse::NotHttp))),
        ] {
            assert_eq!(head(input.as_bytes()), expected, "{input}");
        }
    }
}
