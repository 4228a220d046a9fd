//! List the AI model API keys of MongoDB Atlas projects: the blocking client, over [ureq](https://docs.rs/ureq).
//!
//! Start with [`Client`]. The crate [`atlas_model_keys_core`] decides what to send and interprets the responses,
//! [`atlas_model_keys_transport`] drives it and lets threads wait for each other, and this crate moves the bytes.
//!
//! ```text
//!              your threads
//!            ┌──────┴───────┐
//!            ▼              ▼
//!         Client ──────► driver ◄──────► Session (core)      start · respond · fail · resume
//!                          │                                 Send · Wait · Done
//!                          ▼
//!                     ureq::Agent ─────► Atlas               one request at a time; no redirect is followed
//! ```
//!
//! ```
//! use atlas_model_keys_ureq::{BaseUrl, Client, Credentials, GroupId, ListRequest};
//! # use atlas_model_keys_emulator::{Config, Emulator, server::{Options, Server}};
//! # let emulator = Emulator::new(Config::default());
//! # let group = emulator.first_group();
//! # let account = emulator.service_account();
//! # let (id, secret) = (account.client_id.clone(), account.client_secret.clone());
//! # let server = Server::start(emulator, Options::default())?;
//! # let base = server.base_url();
//!
//! // For Atlas itself: BaseUrl::default().
//! let client = Client::new(BaseUrl::new(&base)?, Credentials::service_account(id, secret)?)?;
//! for key in client.keys(&ListRequest::new(group)) {
//!     let key = key?;
//!     if key.last_used_at().is_none() {
//!         println!("never used: {:?}, made by {:?}", key.name(), key.created_by());
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The loop
//!
//! A session returns one [`Step`](atlas_model_keys_core::Step) at a time, and each step has exactly one next call. This is
//! the loop of the driver, without the parts that wait for other threads and report events:
//!
//! ```
//! use atlas_model_keys_ureq::protocol::{Error, Exchange, Failure, ListRequest, Moment, Reply, Session, Step};
//! use atlas_model_keys_ureq::protocol::{Body, FailureKind};
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
//! # Errors of the transport
//!
//! The source of [`Error::Transport`] is a [`ForeignError`]. Its text is that of the whole chain of
//! errors, without secrets. [`expose`](ForeignError::expose) returns the first error of the chain: a
//! [`ureq::Error`], a [`std::io::Error`], or an error of this crate that names the cause better: [`NotTls`],
//! [`ProxyFailure`], [`TooLarge`], [`TwoLengths`] or [`GzipError`]. After a failed connection, look for them with
//! [`source`](std::error::Error::source).
//!
//! # Features
//!
//! - `emulator`: [`transport::InMemoryAtlas`](transport), an emulated Atlas in memory, for the tests of your program.
//! - `tracing`: a span (`exchange`, level debug, target `atlas_model_keys`) for each request, with method,
//!   path, attempt, status or failure, and duration, but no header and no body; and an event for each wait and each new token.
//!
//! # Versions
//!
//! The minimum supported Rust version is 1.88. ureq must be 3.5: its API for connectors may change with a minor version, so
//! this crate does not accept others. With [`ClientBuilder::agent`], the agent must be of that version, too.

mod client;
mod connect;
mod failure;
mod guard;
mod send;

/// The transport crate, for other transports and for tests.
pub use atlas_model_keys_transport as transport;
pub use atlas_model_keys_transport::CancelHandle;
pub use atlas_model_keys_transport::blocking::{self, Keys, Pages, Replies};
#[doc(no_inline)]
pub use atlas_model_keys_transport::common::*;
pub use atlas_model_keys_transport::{GzipError, NotTls, ProxyFailure, TooLarge, TwoLengths};
pub use client::{Client, ClientBuilder};

/// The examples of this crate's README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
