//! Makes connections: name resolution, TCP, the tunnel of a proxy, and TLS. One deadline covers all of these steps, so a
//! proxy or server that sends its bytes slowly cannot extend it. A failure here means that no request was sent.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use atlas_model_keys_core::{Limits, Proxy};
use atlas_model_keys_transport::TunnelOpening;
use http::Uri;
use http::uri::Scheme;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport,
    TransportAdapter, time,
};

use crate::failure::ConnectFailure;
use crate::guard::{BelowTls, GuardedTransport};

/// The name and the version of this client in the `User-Agent`.
pub(crate) const USER_AGENT: &str = concat!("atlas-model-keys-ureq/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(crate) struct Connect {
    /// ureq's own code accepts a tunnel only with status 200.
    proxy: Option<Proxy>,
    limits: Limits,
    tcp: TcpConnector,
    tls: RustlsConnector,
}

impl Connect {
    /// Makes connections through the proxy, if there is one.
    pub(crate) fn new(proxy: Option<Proxy>, limits: Limits) -> Self {
        Self {
            proxy,
            limits,
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
        let stream = tunnel(stream, proxy, target, &self.limits, steps)?;
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
            Ok(stream) => Ok(Some(GuardedTransport::new(stream, self.limits.head_bytes))),
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

/// Asks the proxy for a tunnel to the target.
fn tunnel(
    stream: Box<dyn Transport>,
    proxy: &Proxy,
    target: &Uri,
    limits: &Limits,
    steps: &ConnectSteps<'_>,
) -> Result<Box<dyn Transport>, ConnectFailure> {
    let (request, mut opening) = TunnelOpening::new(target, proxy, USER_AGENT, limits);
    let mut stream =
        write(stream, &request, steps).map_err(|error| ConnectFailure::of_proxy(proxy, error))?;
    loop {
        let arrived = steps
            .timeout()
            .and_then(|timeout| stream.await_input(timeout))
            .map_err(|error| ConnectFailure::of_proxy(proxy, error))?;
        let bytes = stream.buffers().input();
        let length = bytes.len();
        // Without new bytes, the proxy has closed the connection.
        let opened = opening.push(if arrived { bytes } else { b"" });
        stream.buffers().input_consume(length);
        match opened {
            Ok(true) => return Ok(stream),
            Ok(false) => {}
            Err(error) => return Err(ConnectFailure::refused(proxy, error)),
        }
    }
}

/// Writes the request for a tunnel, and overwrites the buffer, because a login may be in it.
fn write(
    stream: Box<dyn Transport>,
    request: &[u8],
    steps: &ConnectSteps<'_>,
) -> Result<Box<dyn Transport>, Error> {
    let clock = Arc::clone(&steps.details.current_time);
    let mut adapter = TransportAdapter::new(stream, clock);
    adapter.set_timeout(steps.timeout()?);
    adapter.write_all(request)?;
    let mut stream = adapter.into_inner();
    stream.buffers().output().fill(0);
    Ok(stream)
}
