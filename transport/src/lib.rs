//! List the AI model API keys of MongoDB Atlas projects over any HTTP library: the transport traits, and the clients that
//! use them.
//!
//! For a ready client, use `atlas-model-keys-ureq` (blocking) or `atlas-model-keys-hyper` (async). This crate is for programs
//! that use another HTTP library: one small `impl` of [`Transport`] or [`AsyncTransport`] is enough. The client adds the rest:
//! authentication, one token request for all callers, retries, the rate limit, deadlines, paging, reading ahead, and events.
//!
//! ```text
//!                  your threads or tasks
//!               ┌───────────┴───────────┐
//!               ▼                       ▼
//!      blocking::Client        asynchronous::Client       list · pages · keys · list_all · replies
//!               │                       │                  get · groups · sweep
//!               └───────────┬───────────┘
//!                        driver ◄─────────► Session (core)  start · respond · fail · resume
//!               ┌───────────┴───────────┐                   Send · Wait · Done
//!               ▼                       ▼
//!           Transport            AsyncTransport           one request at a time; no redirect is followed
//!               │                       │
//!     ureq, attohttpc, a socket    hyper, reqwest, smol ─────► Atlas
//! ```
//!
//! # A transport of your own
//!
//! This one (`examples/over_tcp_stream`) sends each request on a connection of its own, with the core's
//! [`wire`](atlas_model_keys_core::wire) module for HTTP/1.1. It has no TLS: use it only on loopback.
//!
//! ```
#![doc = include_str!("../examples/over_tcp_stream/transport.rs")]
//! # fn main() {}
//! ```
//!
//! A client needs nothing else:
//!
//! ```
//! use atlas_model_keys_transport::blocking::Client;
//! use atlas_model_keys_transport::{ClientSettings, Error, ListRequest, Transport};
//!
//! fn print_names(
//!     settings: ClientSettings,
//!     transport: impl Transport,
//!     request: &ListRequest,
//! ) -> Result<(), Error> {
//!     let client = Client::new(settings, transport)?;
//!     for key in client.keys(request).read_ahead(4) {
//!         println!("{:?}", key?.name());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The [contract](Transport#contract) says what a transport must do and must not do. The folder `examples` of this crate has
//! complete transports over attohttpc, reqwest, a `TcpStream`, and smol, each in about 60 lines.
//!
//! # The loop
//!
//! This is the loop that drives the core, without the parts that wait for other calls and report events:
//!
//! ```
//! use atlas_model_keys_core::{Body, Error, Exchange, Failure, FailureKind, ListRequest, Moment};
//! use atlas_model_keys_core::{Reply, Session, Step};
//!
//! fn list(
//!     session: &mut Session,
//!     request: &ListRequest,
//!     send: impl Fn(http::Request<Body>) -> Result<http::Response<Vec<u8>>, std::io::Error>,
//!     moment: impl Fn() -> Moment,
//! ) -> Result<Reply<Vec<u8>>, Error> {
//!     let mut step = session.start(request, moment())?;
//!     loop {
//!         step = match step {
//!             Step::Done(reply) => return Ok(reply),
//!             Step::Send(Exchange { request, pending }) => match send(request) {
//!                 Ok(response) => session.respond(pending, response, moment())?,
//!                 Err(error) => {
//!                     let failure = Failure::new(FailureKind::Lost, error);
//!                     session.fail(pending, failure, moment())?
//!                 }
//!             },
//!             Step::Wait(wait) => {
//!                 std::thread::sleep(wait.delay());
//!                 session.resume(wait, moment())?
//!             }
//!         };
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! # Metrics
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use atlas_model_keys_core::{BaseUrl, Credentials};
//! use atlas_model_keys_transport::{ClientSettings, Event};
//!
//! # let credentials = Credentials::bearer("token")?;
//! let [requests, retries] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
//! let counters = (Arc::clone(&requests), Arc::clone(&retries));
//! let settings = ClientSettings::new(BaseUrl::default(), credentials).on_event(move |event| {
//!     if let Event::Sent(request) = event {
//!         counters.0.fetch_add(1, Ordering::Relaxed);
//!         counters.1.fetch_add(u64::from(request.attempt > 1), Ordering::Relaxed);
//!     }
//! });
//! # let _ = settings;
//! # Ok::<(), atlas_model_keys_core::InvalidValue>(())
//! ```
//!
//! # Your own tests
//!
//! With the feature `emulator`, `InMemoryAtlas` is a transport to an emulated Atlas in memory, and makes clients that use it. Its
//! clock, [`JumpingClock`], jumps over the waits before a retry: tests need no sockets and no real time.
//!
//! # Errors of the transport
//!
//! The source of [`Error::Transport`] is a
//! [`ForeignError`]. Its text is that of the whole chain of errors of the transport,
//! without secrets. [`expose`](atlas_model_keys_core::ForeignError::expose) returns the error that the transport passed to
//! [`Failure::new`](atlas_model_keys_core::Failure::new).
//!
//! # Features
//!
//! - `tracing`: a span (`exchange`, level debug, target `atlas_model_keys`) for each request, with method, path, attempt,
//!   status or failure, and duration, but no header and no body; and an event for each wait and each new token.
//! - `emulator`: [an emulated Atlas in memory](#your-own-tests), for the tests of programs that use a client.
//! - `rustls`: for transports that make their own connections with rustls: root certificates, proxies, and the errors of TLS. Its
//!   items may change with a minor version, because they depend on rustls 0.23.
//!
//! The minimum supported Rust version is 1.88.

pub mod asynchronous;
pub mod blocking;
mod body;
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
mod gzip;
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
mod sweep;
mod time;
#[cfg(feature = "rustls")]
mod tls;
mod transport;
mod watched;

#[cfg(feature = "emulator")]
pub use atlas_model_keys_emulator as emulator;
pub use body::BodyReader;
pub use cancel::CancelHandle;
pub use common::*;
#[cfg(feature = "rustls")]
pub use connections::{ConnectionSettings, Connections};
pub use failure::{failure_kind, io_failure_kind};
pub use gzip::GzipError;
#[cfg(feature = "emulator")]
pub use in_memory::InMemoryAtlas;
pub use listing::MAX_READ_AHEAD;
#[cfg(feature = "rustls")]
pub use proxy::{ProxyFailure, TunnelError, TunnelOpening};
pub use reading::{TooLarge, TwoLengths};
pub use settings::ClientSettings;
pub use sweep::SweepItem;
#[cfg(feature = "rustls")]
pub use tls::{NotTls, tls_failure_kind};
pub use transport::{AsyncTransport, SendContext, Task, Transport};

#[doc(hidden)] // For the transport crates.
pub mod common {
    pub use atlas_model_keys_core as protocol;
    pub use atlas_model_keys_core::{
        ApiError, ApiKeyId, ApiVersion, BaseUrl, Body, Credentials, Drift, Endpoint, Error,
        Failure, FailureKind, FieldViolation, ForeignError, Group, GroupId, Groups, GroupsRequest,
        InvalidResponse, InvalidResponseKind, InvalidValue, ItemsPerPage, KeyField, KeyRequest,
        Limits, Link, ListPage, ListRequest, ModelKey, Operation, OrgId, OrgKeyRequest,
        OrgListRequest, OwnedModelKey, Page, PageKeys, PageNum, Paged, Proxy, RateLimit, Refused,
        Reply, RetryPolicy, Secret, Timestamp, UnixTime,
    };
    pub use http;

    pub use crate::clock::{Clock, JumpingClock, SystemClock};
    pub use crate::event::{Event, SentRequest, WaitReason};
    pub use crate::time::{SystemTimeExt, UnixTimeExt};
}

/// The examples of this crate's README compile and run.
#[cfg(all(doctest, feature = "emulator"))]
#[doc = include_str!("../README.md")]
struct Readme;
