//! Lists the AI model API keys of MongoDB Atlas projects: the protocol, without I/O.
//!
//! Atlas issues API keys for its embedding and reranking models, per project (in the API: a group). It lists those of a
//! group with `GET /api/atlas/v2/groups/{groupId}/aiModelApiKeys`, and those of an organization with
//! `GET /api/atlas/v2/orgs/{orgId}/aiModelApiKeys`. One key, and the list of groups, have operations of their own
//! ([`KeyRequest`], [`OrgKeyRequest`], [`GroupsRequest`]). This crate builds the requests and interprets the responses. The caller
//! sends the bytes and supplies the time and randomness: with any HTTP client, in any runtime, in a test, or in a fuzzer.
//!
//! # Layers
//!
//! Each layer can be used without the others:
//!
//! | layer | takes | returns |
//! |---|---|---|
//! | [`ListRequest::to_http`] | parameters | an `http::Request`, without credentials |
//! | [`Reply::from_response`], [`Reply::into_page`] | an `http::Response` | a [`Page`] of [`ModelKey`]s, or an [`Error`] |
//! | [`Session`], [`Listing`] | credentials | each step of the dialogue: authentication, retries, versions, paging |
//! | [`wire`] | an `http::Request`; bytes in pieces of any size | HTTP/1.1 bytes; an `http::Response` |
//! | [`digest`] | a challenge | the `Authorization` header for it (RFC 7616) |
//!
//! # The dialogue
//!
//! The session returns a step, the caller carries it out, and the result has exactly one next step.
//! There is nothing to poll:
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
//!    │  response  failure  └── resume ───────────┤
//!    │     ▼        ▼                            │
//!    │  respond    fail ─────────────────────────┤
//!    └─────┘                       each of them ─┴─► Error
//! ```
//!
//! [`Pending`] and [`Wait`] are tickets: they are not `Clone`, and the call that takes one consumes it.
//! Using a ticket twice does not compile. Dropping it cancels the exchange.
//!
//! A driver is one short loop:
//!
//! ```
//! use atlas_model_keys_core::{
//!     Body, Error, Exchange, Failure, FailureKind, ListRequest, Moment, Reply, Session, Step,
//! };
//! use std::io;
//!
//! /// The network, the clock and the random source of the caller.
//! trait Transport {
//!     fn send(&self, request: http::Request<Body>) -> io::Result<http::Response<Vec<u8>>>;
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
//!                     // A `Lost` request may have reached the server; `NotSent` means it did not.
//!                     let kind = match error.kind() {
//!                         io::ErrorKind::ConnectionRefused => FailureKind::NotSent,
//!                         _ => FailureKind::Lost,
//!                     };
//!                     session.fail(pending, Failure::new(kind, error), net.moment())?
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
//! # // Runs the loop against two responses. The tests run such loops against the emulator.
//! # use atlas_model_keys_core::{BaseUrl, Credentials};
//! # struct TwoResponses;
//! # impl Transport for TwoResponses {
//! #     fn send(&self, request: http::Request<Body>) -> io::Result<http::Response<Vec<u8>>> {
//! #         let (status, body) = match request.headers().contains_key("authorization") {
//! #             false => (401, ""),
//! #             true => (200, r#"{"results":[{"name":"search-prod"}],"totalCount":1}"#),
//! #         };
//! #         let response = http::Response::builder().status(status);
//! #         let response = response.header("www-authenticate", r#"Digest realm="r", nonce="n", qop="auth""#);
//! #         response.body(body.into()).map_err(io::Error::other)
//! #     }
//! #     fn sleep(&self, _: std::time::Duration) { unreachable!() }
//! #     fn moment(&self) -> Moment { Moment::new(std::time::Duration::from_secs(1_790_000_000), [7; 16]) }
//! # }
//! # let (public_key, private_key) = ("abcdefgh", "01234567-89ab-cdef-0123-456789abcdef");
//! # let group = "69681d39c9e8cfd375386316".parse()?;
//! # let net = TwoResponses;
//! let credentials = Credentials::api_key(public_key, private_key)?;
//! let mut session = Session::new(BaseUrl::default(), credentials);
//! let page = drive(&mut session, &ListRequest::new(group), &net)?.into_page()?;
//! for key in &page {
//!     println!("{:?} {:?}", key.name(), key.last_used_at());
//! }
//! # assert_eq!(page.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Exchanges of a session may overlap: a hundred callers share one access token, no two use
//! the same digest nonce at a time, and one 429 slows all that have the same rate limit. A driver with several threads or
//! tasks locks the session for each call, never during I/O. After every request it wakes the callers whose
//! [`Wait::on_change`] is true.
//!
//! # What it promises
//!
//! - **No I/O**: the crate itself is `no_std` and has no access to sockets, files, threads, clocks or
//!   the environment. The same inputs give the same outputs. The dependency `http` needs `std`, so the
//!   crate works on wasm32, but not on bare metal.
//! - **Valid values only**: [`GroupId`], [`OrgId`], [`ApiKeyId`], [`ItemsPerPage`], [`PageNum`], [`BaseUrl`] and
//!   [`ApiVersion`] check their value; an [`InvalidValue`] names the value and the rule.
//! - **Parsed once, borrowed**: a [`Page`] owns its body and lends keys that point into it.
//! - **Tolerant of changes**: unknown fields and statuses, nulls and missing fields are accepted.
//! - **Secrets stay secret**: [`Secret`] and [`Body`] are redacted in `Debug` and overwritten when
//!   dropped; errors never hold one. The buffer of a header value (marked sensitive) and copies that
//!   the transport makes cannot be overwritten.
//! - **Credentials go to the [`BaseUrl`] only**: redirects and links are never followed.
//! - **Everything is bounded**: see [`Limits`].
//!
//! # What it does not do
//!
//! It opens no connections, and it does not create, change or delete keys. For a ready client, use `atlas-model-keys-ureq`
//! (blocking), `atlas-model-keys-hyper` (async), or `atlas-model-keys-transport` with any other HTTP library.
//!
//! # Features
//!
//! - `serde`: serializes keys (with Atlas's field names, without the secret), and the inputs of a session for recordings. A
//!   recording contains live tokens.
//!
//! The minimum supported Rust version is 1.88.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api_error;
mod base_url;
mod call;
mod conversions;
mod credentials;
mod date_header;
mod decode;
pub mod digest;
mod drift;
mod error;
mod groups;
mod groups_request;
mod invalid;
mod json;
mod key;
mod key_field;
mod key_request;
mod limits;
mod list_page;
mod listing;
mod moment;
mod numbers;
mod operation;
mod org_key_request;
mod org_request;
mod page;
mod parameters;
mod params;
mod proxy;
mod record;
mod redaction;
mod reply;
mod request;
mod retry;
mod secret;
mod session;
mod setters;
mod skim;
mod status;
mod text;
mod timestamp;
mod version;
pub mod wire;

pub use api_error::{ApiError, Endpoint, FieldViolation};
pub use base_url::BaseUrl;
pub use credentials::Credentials;
pub use drift::Drift;
pub use error::{Error, FailureKind, ForeignError, InvalidResponse, InvalidResponseKind, Refused};
pub use groups::{Group, Groups};
pub use groups_request::GroupsRequest;
pub use invalid::InvalidValue;
pub use key::{ModelKey, OwnedModelKey};
pub use key_field::KeyField;
pub use key_request::KeyRequest;
pub use limits::Limits;
pub use list_page::ListPage;
pub use listing::{Collected, Listing};
pub use moment::Moment;
pub use operation::{Operation, Paged};
pub use org_key_request::OrgKeyRequest;
pub use org_request::OrgListRequest;
pub use page::{Link, OwnedPageKeys, Page, PageKeys};
pub use params::{ApiKeyId, GroupId, ItemsPerPage, OrgId, PageNum};
pub use proxy::Proxy;
pub use record::{RecordedResponse, RequestOutline};
pub use reply::{RateLimit, Reply};
pub use request::ListRequest;
pub use retry::RetryPolicy;
pub use secret::{Body, Secret, SecretStr};
pub use session::{Exchange, Failure, Pending, Session, Step, Wait};
pub use text::is_unsafe_to_show;
pub use timestamp::{Timestamp, UnixTime};
pub use version::ApiVersion;
