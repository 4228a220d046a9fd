//! The protocol of listing the AI model API keys of MongoDB Atlas projects, without I/O.
//!
//! Atlas hands out API keys for its embedding and reranking models, per project, and lists them by
//! one operation: `GET /api/atlas/v2/groups/{groupId}/aiModelApiKeys`. This crate says *what* to send
//! for that, and understands *what came back*. Moving the bytes, telling the time and finding
//! randomness is the caller's: with any HTTP client, in any runtime, in a test, or in a fuzzer.
//!
//! # Layers
//!
//! Each is usable without the others:
//!
//! | layer | from | to |
//! |---|---|---|
//! | [`ListRequest::to_http`] | parameters | an `http::Request`, without credentials |
//! | [`Reply::from_response`], [`Reply::into_page`] | an `http::Response` | a [`Page`] of [`ModelKey`]s, or an [`Error`] |
//! | [`Session`], [`Listing`] | credentials | the whole dialogue: authentication, retries, versions, paging |
//! | [`wire`] | an `http::Request`; bytes | HTTP/1.1 bytes; an `http::Response`, however the bytes were cut |
//! | [`digest`] | a challenge | its answer (RFC 7616) |
//!
//! # The dialogue
//!
//! A request goes out, a response or a failure comes in, and each input has exactly one next step. So
//! there is nothing to poll, and no order to get wrong:
//!
//! ```text
//!                        start
//!                          │
//!            ┌─────────────▼─────────────┐
//!    ┌──────►│           Step            │◄──────┐
//!    │       └──┬──────────┬──────────┬──┘       │
//!    │        Send       Wait       Done         │
//!    │          │          │          │          │
//!    │   send the request  │   Reply ─► Page     │
//!    │     │        │      │                     │
//!    │     │ answer │ none └── resume ───────────┤
//!    │     ▼        ▼                            │
//!    │  respond   failed ────────────────────────┤
//!    └─────┘                        any of them ─┴─► Error
//! ```
//!
//! [`Pending`] and [`Wait`] are tickets: not `Clone`, consumed by the call that answers them.
//! Answering twice does not compile, and dropping a ticket is cancelling.
//!
//! A driver is one short loop:
//!
//! ```
//! use atlas_model_keys_core::{
//!     Body, Error, Exchange, Failure, FailureKind, ListRequest, Moment, Reply, Session, Step,
//! };
//!
//! /// What a transport brings along.
//! trait Transport {
//!     fn send(&self, request: http::Request<Body>) -> Result<http::Response<Vec<u8>>, std::io::Error>;
//!     fn sleep(&self, delay: std::time::Duration);
//!     fn moment(&self) -> Moment;
//! }
//!
//! fn drive(session: &mut Session, list: &ListRequest, net: &impl Transport) -> Result<Reply<Vec<u8>>, Error> {
//!     let mut step = session.start(list, net.moment())?;
//!     loop {
//!         step = match step {
//!             Step::Done(reply) => return Ok(reply),
//!             Step::Send(Exchange { request, pending }) => match net.send(request) {
//!                 Ok(response) => session.respond(pending, response, net.moment())?,
//!                 Err(error) => {
//!                     let failure = Failure::new(FailureKind::Lost, error);
//!                     session.fail(pending, failure, net.moment())?
//!                 }
//!             },
//!             Step::Wait(wait) => {
//!                 net.sleep(wait.delay());
//!                 session.resume(wait, net.moment())?
//!             }
//!         };
//!     }
//! }
//!
//! # // The loop at work: against the emulator, under a clock that jumps.
//! # use atlas_model_keys_core::{BaseUrl, Credentials};
//! # use atlas_model_keys_emulator::{Config, Emulator};
//! # use std::{cell::{Cell, RefCell}, time::Duration};
//! # struct InMemory { atlas: RefCell<Emulator>, now: Cell<Duration> }
//! # impl Transport for InMemory {
//! #     fn send(&self, request: http::Request<Body>) -> Result<http::Response<Vec<u8>>, std::io::Error> {
//! #         Ok(self.atlas.borrow_mut().handle(&request, self.now.get()))
//! #     }
//! #     fn sleep(&self, delay: Duration) { self.now.set(self.now.get() + delay) }
//! #     fn moment(&self) -> Moment { Moment::new(self.now.get(), [7; 16]) }
//! # }
//! # let atlas = Emulator::new(Config::default());
//! # let group = atlas.first_group();
//! # let key = atlas.api_key().clone();
//! # let net = InMemory { atlas: RefCell::new(atlas), now: Cell::new(Duration::from_secs(1_790_000_000)) };
//! let credentials = Credentials::api_key(key.public_key, key.private_key)?;
//! let mut session = Session::new(BaseUrl::default(), credentials);
//! let page = drive(&mut session, &ListRequest::new(group), &net)?.into_page()?;
//! for key in &page {
//!     println!("{:?} {:?}", key.name(), key.last_used_at());
//! }
//! # assert_eq!(page.len(), 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Exchanges of a session may overlap: a hundred callers fetch one token, never share a digest nonce,
//! and are slowed down together by one 429. A driver with several threads or tasks holds the session
//! for each call and never across I/O, and wakes those whose [`Wait`] says
//! [`on_change`](Wait::on_change) after every exchange.
//!
//! # What it promises
//!
//! - **No I/O**: the crate is `no_std`; sockets, files, threads, clocks and the environment do not
//!   even have names in it. The same inputs give the same outputs.
//! - **No wrong value**: [`GroupId`], [`ItemsPerPage`], [`PageNum`], [`BaseUrl`] and [`ApiVersion`]
//!   cannot hold one; an [`InvalidValue`] names the value and the rule.
//! - **Parsed once, borrowed**: a [`Page`] owns its body and lends keys that point into it.
//! - **An open world**: unknown fields and statuses, nulls and missing fields break nothing.
//! - **Secrets stay secret**: [`Secret`] and [`Body`] are redacted in `Debug` and overwritten when
//!   dropped; errors never hold one. What cannot be overwritten is the buffer of a header value
//!   (marked sensitive) and whatever the transport copies.
//! - **Credentials go to the [`BaseUrl`] and nowhere else**: no redirect is followed, no link is.
//! - **Everything is bounded**: see [`Limits`].
//!
//! # What it does not do
//!
//! It opens no connection, and makes, changes and deletes no keys: it lists.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api_error;
mod base_url;
mod credentials;
mod decode;
pub mod digest;
mod drift;
mod error;
mod invalid;
mod key;
mod key_field;
mod limits;
mod listing;
mod page;
mod params;
mod proxy;
mod record;
mod redaction;
mod reply;
mod request;
mod retry;
mod secret;
mod session;
mod skim;
mod text;
mod timestamp;
mod version;
pub mod wire;

pub use api_error::{ApiError, Endpoint, FieldViolation};
pub use base_url::BaseUrl;
pub use credentials::Credentials;
pub use drift::Drift;
pub use error::{Error, FailureKind, ForeignError, InvalidResponse, InvalidResponseKind, Refused};
pub use invalid::InvalidValue;
pub use key::{ModelKey, OwnedModelKey};
pub use key_field::KeyField;
pub use limits::Limits;
pub use listing::{Collected, Listing};
pub use page::{Keys, Link, OwnedKeys, Page};
pub use params::{GroupId, ItemsPerPage, PageNum};
pub use proxy::Proxy;
pub use record::{RecordedResponse, RequestOutline};
pub use reply::{RateLimit, Reply};
pub use request::ListRequest;
pub use retry::RetryPolicy;
pub use secret::{Body, Secret, SecretStr};
pub use session::{Exchange, Failure, Moment, Pending, Session, Step, Wait};
pub use text::is_unsafe_to_show;
pub use timestamp::{Timestamp, UnixTime};
pub use version::ApiVersion;
