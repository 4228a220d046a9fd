//! The common parts of the blocking and the async client: settings, the session that threads or tasks share, the clock,
//! the reading of bodies, and the classification of TLS and proxy errors.
//!
//! This crate is not a client. Depend on `atlas-model-keys-ureq` or `atlas-model-keys-hyper` instead.
//!
//! ```text
//!   transport-ureq      transport-hyper        connections; threads or tasks
//!         └──────┬──────────┘
//!            transport                         this: settings, shared session, clock, bodies, TLS, proxy
//!                │
//!              core                            the protocol, without I/O
//! ```

mod body;
mod body_size;
mod certificates;
mod failure;
mod gzip;
mod reading;
mod settings;
mod shared;
mod time;
mod trace;

pub use body::BodyReader;
pub use body_size::BodySizeEstimate;
pub use failure::{
    NotTls, ProxyFailure, TunnelError, io_failure_kind, permanent, tls_failure_kind,
};
pub use gzip::GzipError;
pub use reading::{TooLarge, TwoLengths};
pub use settings::{Connections, MOST_READ_AHEAD, OnWait, Resolved, Settings, Timeouts};
pub use shared::{Guard, SharedSession, Wake};
pub use time::{SystemTimeExt, UnixTimeExt};
pub use trace::{Trace, in_current_span, within_current_span};

#[doc(hidden)] // For the macro.
pub mod reexported {
    pub use atlas_model_keys_core::{ApiVersion, Limits, Wait};
}
