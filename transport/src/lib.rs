//! The transport traits, and the client that drives them.

pub mod asynchronous;
pub mod blocking;
mod body_size;
mod cancel;
#[cfg(feature = "rustls")]
mod certificates;
mod client;
mod clock;
#[cfg(feature = "rustls")]
mod connections;
mod deadline;
mod driver;
mod event;
mod failure;
#[cfg(feature = "emulator")]
mod in_memory;
mod io;
mod job;
mod listing;
#[cfg(feature = "rustls")]
mod proxy;
mod race;
mod reading;
mod settings;
mod shared;
mod time;
#[cfg(feature = "rustls")]
mod tls;
mod transport;
mod wakers;

#[cfg(feature = "emulator")]
pub use atlas_model_keys_emulator as emulator;
pub use body_size::BodySizeEstimate;
pub use cancel::CancelHandle;
pub use clock::{Clock, JumpingClock, SystemClock};
#[cfg(feature = "rustls")]
pub use connections::{ConnectionSettings, Connections};
pub use event::{Event, SentRequest, WaitReason};
pub use failure::io_failure_kind;
#[cfg(feature = "emulator")]
pub use in_memory::InMemoryAtlas;
pub use listing::MOST_READ_AHEAD;
#[cfg(feature = "rustls")]
pub use proxy::{ProxyFailure, TunnelError};
pub use reading::{TooLarge, TwoLengths, is_gzip};
pub use settings::ClientSettings;
pub use time::{SystemTimeExt, UnixTimeExt};
#[cfg(feature = "rustls")]
pub use tls::{NotTls, tls_failure_kind};
pub use transport::{AsyncTransport, SendContext, Task, Transport};

#[doc(hidden)] // For the macro.
pub mod reexported {
    pub use atlas_model_keys_core::{ApiVersion, Limits};
}
