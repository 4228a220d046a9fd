//! What the blocking and the async client have in common: how they are set up, the session that their
//! threads or tasks share, the clock, and what an error of TLS or of a proxy means.
//!
//! Not a client, and not to be depended upon: use `atlas-model-keys-ureq` or `atlas-model-keys-hyper`.
//!
//! ```text
//!   transport-ureq      transport-hyper        connections; threads or tasks
//!         └──────┬──────────┘
//!            transport                         this: settings, shared session, clock, TLS, proxy
//!                │
//!              core                            the protocol, without I/O
//! ```

mod certificates;
mod failure;
mod reading;
mod room;
mod settings;
mod shared;
mod trace;

pub use failure::{NotTls, ProxyFailure, TunnelError, of_io, of_tls, permanent};
pub use reading::{TooLarge, TwoLengths, body_limit, is_gzip};
pub use room::Room;
pub use settings::{Connections, OnWait, Resolved, Settings, Timeouts};
pub use shared::{Guard, SharedSession, Wake};
pub use trace::{Trace, in_current_span, within_current_span};

/// How many pages are read ahead at most, whatever is asked for: each is a connection, with a thread in
/// the blocking client, and Atlas's buckets hold about a thousand requests a minute.
pub const MOST_READ_AHEAD: usize = 64;

#[doc(hidden)] // For the macro.
pub mod reexported {
    pub use atlas_model_keys_core::{ApiVersion, Limits, Wait};
}
