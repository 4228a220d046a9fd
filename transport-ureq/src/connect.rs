//! ureq's own way to connect, with an end: one that holds for all of it, however the bytes of a proxy or of a
//! TLS handshake drip. And what fails on the way is told apart from what fails afterwards: nothing was sent
//! by then.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use atlas_model_keys_core::FailureKind;
use ureq::Error;
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
        match self.0.connect(details, chained) {
            Ok(transport) => Ok(transport.map(|transport| Box::new(Timed(transport)) as _)),
            Err(error @ (Error::Io(_) | Error::Rustls(_))) => {
                Err(Error::Other(Box::new(ConnectFailure(error))))
            }
            Err(error) => Err(error),
        }
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
