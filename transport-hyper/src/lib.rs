//! List the AI model API keys of MongoDB Atlas projects: the async client, over [hyper](https://docs.rs/hyper) and tokio.
//!
//! Start with [`Client`]. The crate [`atlas_model_keys_core`] decides what to send and interprets the responses,
//! [`atlas_model_keys_transport`] drives it and lets tasks wait for each other, and this crate moves the bytes.
//!
//! ```text
//!               your tasks
//!            ┌──────┴───────┐
//!            ▼              ▼
//!         Client ──────► driver ◄──────► Session (core)      start · respond · fail · resume
//!                          │                                 Send · Wait · Done
//!                          ▼
//!                    hyper's pool ─────► Atlas               HTTP/2 or 1.1; no redirect is followed
//! ```
//!
//! ```
//! use atlas_model_keys_hyper::{BaseUrl, Client, Credentials, GroupId, ListRequest};
//! # use atlas_model_keys_emulator::{Config, Emulator, server::{Options, Server}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let emulator = Emulator::new(Config::default());
//! # let group = emulator.first_group();
//! # let account = emulator.service_account();
//! # let (id, secret) = (account.client_id.clone(), account.client_secret.clone());
//! # let server = Server::start(emulator, Options::default())?;
//! # let base = server.base_url();
//!
//! // For Atlas itself: BaseUrl::default().
//! let client = Client::new(BaseUrl::new(&base)?, Credentials::service_account(id, secret)?)?;
//! let mut keys = client.keys(&ListRequest::new(group)).read_ahead(4);
//! while let Some(key) = keys.next().await {
//!     let key = key?;
//!     if key.last_used_at().is_none() {
//!         println!("never used: {:?}, made by {:?}", key.name(), key.created_by());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Keys`], [`Pages`] and [`Replies`] also implement `Stream`, for use with combinators.
//!
//! # The loop
//!
//! A session returns one [`Step`](atlas_model_keys_core::Step) at a time, and each step has exactly one next call. This is
//! the loop of the driver, without the parts that wait for other tasks and report events:
//!
//! ```
//! use atlas_model_keys_hyper::protocol::{Error, Exchange, Failure, ListRequest, Moment, Reply, Session, Step};
//! use atlas_model_keys_hyper::protocol::{Body, FailureKind};
//!
//! async fn list(
//!     session: &mut Session,
//!     request: &ListRequest,
//!     send: impl AsyncFn(http::Request<Body>) -> Result<http::Response<Vec<u8>>, std::io::Error>,
//!     moment: impl Fn() -> Moment,
//! ) -> Result<Reply<Vec<u8>>, Error> {
//!     let mut step = session.start(request, moment())?;
//!     loop {
//!         step = match step {
//!             Step::Done(reply) => return Ok(reply),
//!             Step::Send(Exchange { request, pending }) => match send(request).await {
//!                 Ok(response) => session.respond(pending, response, moment())?,
//!                 Err(error) => {
//!                     let failure = Failure::new(FailureKind::Lost, error);
//!                     session.fail(pending, failure, moment())?
//!                 }
//!             },
//!             Step::Wait(wait) => {
//!                 tokio::time::sleep(wait.delay()).await;
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
//! errors, without secrets. [`expose`](ForeignError::expose) returns the first error of the chain: an
//! [`Error`](hyper_util::client::legacy::Error) of hyper-util, a [`hyper::Error`], or an error of this crate that names the
//! cause better: [`NotTls`], [`ProxyFailure`], [`TooLarge`], [`TwoLengths`] or [`GzipError`]. After a failed connection,
//! look for them with [`source`](std::error::Error::source).
//!
//! # Features
//!
//! - `emulator`: [`transport::InMemoryAtlas`](transport), an emulated Atlas in memory, for the tests of your program.
//! - `tracing`: a span (`exchange`, level debug, target `atlas_model_keys`) for each request, with method,
//!   path, attempt, status or failure, and duration, but no header and no body; and an event for each wait and each new token.
//!
//! The minimum supported Rust version is 1.88.

mod byte_counter;
mod client;
mod connect;
mod failure;
mod read_timeout;
mod send;
mod socket;
mod tunnel;

/// The transport crate, for other transports and for tests.
pub use atlas_model_keys_transport as transport;
pub use atlas_model_keys_transport::asynchronous::{self, Keys, Pages, Replies};
#[doc(no_inline)]
pub use atlas_model_keys_transport::common::*;
pub use atlas_model_keys_transport::{GzipError, NotTls, ProxyFailure, TooLarge, TwoLengths};
pub use client::{Client, ClientBuilder};
pub use failure::BoxError;

/// The examples of this crate's README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
