//! ureq's own way to connect, with an end: one that holds for all of it, however the bytes of a proxy or of a
//! TLS handshake drip. And what fails on the way is told apart from what fails afterwards: nothing was sent
//! by then.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_model_keys_core::FailureKind;
use http::Uri;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport, time,
};

use crate::http::kind_of;

thread_local! {
    /// When the connection that this thread is making must have come about. For one through a proxy ureq
    /// makes another one within.
    static CONNECTED_BY: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[derive(Debug, Default)]
pub(crate) struct InTime(DefaultConnector);

impl Connector<()> for InTime {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Box<dyn Transport>>, Error> {
        let _outermost = CONNECTED_BY.get().is_none().then(|| {
            CONNECTED_BY.set(Instant::now().checked_add(*details.timeout.after));
            Reset
        });
        match here_and_now(details).and_then(|details| self.0.connect(&details, chained)) {
            Ok(transport) => Ok(transport.map(|transport| Box::new(Timed(transport)) as _)),
            Err(error @ (Error::Io(_) | Error::Rustls(_))) => {
                Err(Error::Other(Box::new(ConnectFailure(error))))
            }
            Err(error) => Err(error),
        }
    }
}

/// What is known once a connection is really to be made.
fn here_and_now<'d>(details: &ConnectionDetails<'d>) -> Result<ConnectionDetails<'d>, Error> {
    let addrs = if details.addrs.is_empty() {
        // The proxy will know.
        details.resolver.empty()
    } else {
        look_up(details.uri, details.config, cut(details.timeout))?
    };
    Ok(ConnectionDetails {
        uri: details.uri,
        addrs,
        config: details.config,
        // ureq would make a TLS configuration for each connection of a request with settings of its own. None
        // of ours is about TLS: one serves them all, and its sessions can be resumed.
        request_level: false,
        resolver: details.resolver,
        now: (details.current_time)(),
        timeout: cut(details.timeout),
        current_time: Arc::clone(&details.current_time),
        run_connector: Arc::clone(&details.run_connector),
        register_shutdown: Arc::clone(&details.register_shutdown),
    })
}

/// For the sake of the timeout ureq does it in a thread; an address needs neither.
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

/// Leaves it to [`InTime`]: ureq asks before each request, and nearly all of them find a connection that
/// rests.
#[derive(Debug)]
pub(crate) struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addrs = self.empty();
        // No address would mean: not to be looked up.
        addrs.push((Ipv4Addr::UNSPECIFIED, 0).into());
        Ok(addrs)
    }
}

/// Whatever comes of it, the thread makes no connection any more.
struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        CONNECTED_BY.set(None);
    }
}

/// A transport that heeds the end of connecting.
#[derive(Debug)]
struct Timed(Box<dyn Transport>);

/// What is left, where that is less.
fn cut(timeout: NextTimeout) -> NextTimeout {
    let Some(end) = CONNECTED_BY.get() else {
        return timeout;
    };
    let left = end.saturating_duration_since(Instant::now());
    NextTimeout {
        // Zero could be taken for none at all.
        after: time::Duration::Exact(left.max(Duration::from_millis(1)).min(*timeout.after)),
        ..timeout
    }
}

impl Transport for Timed {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, cut(timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        // A drop at a time never waits long; so it is looked at here, too.
        if CONNECTED_BY.get().is_some_and(|end| end <= Instant::now()) {
            return Err(Error::Timeout(timeout.reason));
        }
        self.0.await_input(cut(timeout))
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// No connection, and so nothing was sent.
#[derive(Debug)]
pub(crate) struct ConnectFailure(Error);

impl ConnectFailure {
    pub(crate) fn kind(&self) -> FailureKind {
        match kind_of(&self.0) {
            FailureKind::Permanent => FailureKind::Permanent,
            _ => FailureKind::NotSent,
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection: {}", self.0)
    }
}

impl std::error::Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}
