//! Atlas's side of listing AI model API keys: an emulator, for tests, demonstrations, and the CI
//! of whoever talks to that API.
//!
//! It is a function. A request and the time go in, a response comes out; nothing is read from a
//! socket, a clock or the environment, and the same [`Config`] gives the same answers byte for
//! byte. Around it, for clients that want to see a socket, there is a loopback [`server`].
//!
//! ```text
//!  a client in memory ── http::Request, now ──▶ ┌──────────────────────────────────────────┐
//!                     ◀──── http::Response ──── │ Emulator::handle                         │
//!                                               │                                          │
//!  any HTTP client      ┌────────┐  the same    │ route ▸ script ▸ credential ▸ version    │
//!  (curl, a browser) ◀─▶│ server │ ◀──────────▶ │       ▸ group and role ▸ parameters      │
//!        127.0.0.1      └────────┘              │       ▸ rate limit ▸ page                │
//!                                               │       ▸ faults ▸ gzip                    │
//!                                               └──────────────────────────────────────────┘
//! ```
//!
//! In memory, with a token that was handed out beforehand:
//!
//! ```
//! use std::time::Duration;
//! use atlas_model_keys_emulator::{Config, Emulator};
//!
//! let mut emulator = Emulator::new(Config { keys_per_group: 3, ..Config::default() });
//! let request = http::Request::get(format!(
//!         "https://cloud.mongodb.com/api/atlas/v2/groups/{}/aiModelApiKeys?itemsPerPage=2",
//!         emulator.first_group(),
//!     ))
//!     .header("Accept", "application/vnd.atlas.preview+json")
//!     .header("Authorization", format!("Bearer {}", emulator.access_token()))
//!     .body("")?;
//!
//! let response = emulator.handle(&request, Duration::from_secs(1_790_000_000));
//! assert_eq!(response.status(), 200);
//! let page: serde_json::Value = serde_json::from_slice(response.body())?;
//! assert_eq!(page["results"].as_array().map(Vec::len), Some(2));
//! assert_eq!(page["totalCount"], 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On a socket, where a client without a credential is challenged:
//!
//! ```
//! use std::io::{Read, Write};
//! use atlas_model_keys_emulator::{Config, Emulator, server::{Options, Server}};
//!
//! let server = Server::start(Emulator::new(Config::default()), Options::default())?;
//! let mut client = std::net::TcpStream::connect(server.address())?;
//! client.write_all(b"GET /api/atlas/v2/groups HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
//! assert!(answer.contains("www-authenticate: Digest realm=\"MMS Public API\""));
//! assert_eq!(server.with(|emulator| emulator.requests()), 1);
//! server.shutdown();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it does
//!
//! - `GET /api/atlas/v2/groups/{groupId}/aiModelApiKeys`, the same under `orgs/{orgId}`,
//!   `GET /api/atlas/v2/groups`, `POST /api/oauth/token` and `POST /api/oauth/revoke`.
//! - Digest (RFC 7616) verified for real: nonces expire and their count must rise. Access tokens
//!   that expire, and no more than 100 at a time.
//! - Paging with Atlas's odd links, `envelope`, `pretty`, versions with 406 and 410 and their
//!   `Deprecation` and `Sunset`, a token bucket with 429 and `Retry-After`, gzip.
//! - Keys with all that a client must bear: names in many scripts, control characters, 250
//!   characters; keys without a name, never used, long unused.
//! - Faults on demand, by name: [`Fault::all`] is the catalogue, from a connection that is reset in
//!   the body to a nonce that is stale for ever, and [`Emulator::inject`] lets one strike. Beside
//!   them, [`Emulator::answer_next`], [`Emulator::fail_next`], [`Emulator::expire_nonces`],
//!   [`Emulator::revoke_tokens`], [`Emulator::withdraw`] …
//!
//! # Where Atlas's documentation is silent
//!
//! Nobody has recorded these, so a client must not depend on them. Here it is like this:
//!
//! - Credentials are checked before the version, the version before the group, the group before
//!   the role, and the query after all of them; only what passes takes from the rate limit.
//! - No versioned `Accept` is 406, like a version that does not exist.
//! - A group id that is malformed is 404 `RESOURCE_NOT_FOUND`, one that is unknown 404
//!   `GROUP_NOT_FOUND`; a query parameter that breaks its rule is 400 `VALIDATION_ERROR`, an unknown
//!   one is ignored.
//! - With `envelope=true` an error is HTTP 200, with `status` beside the error's own fields. The 401
//!   that asks for a credential is not enveloped: its challenge is in the headers.
//! - A bearer token that is not valid is answered without a digest challenge.
//! - What a key does not have is absent in the preview version and `null` in `2025-03-12`.
//! - Groups whose keys the caller may not list are in the list of groups, and their keys in the
//!   listing of the organization.
//!
//! # What it is not
//!
//! A model of the rest of Atlas; a way to make, change or delete keys over HTTP; a safe place for
//! real credentials. Its own are derived from the seed, and guard nothing.

mod bucket;
mod calendar;
mod config;
mod credentials;
mod digest;
mod emulator;
mod errors;
mod fault;
mod generate;
mod listing;
mod oauth;
mod prng;
mod query;
mod render;
mod route;
pub mod server;
mod version;

pub use bucket::RateLimit;
pub use config::{Config, Deprecated, TotalCount};
pub use credentials::{ApiKey, Credential, ServiceAccount};
pub use digest::DigestAlgorithm;
pub use emulator::Emulator;
pub use errors::error_answer;
pub use fault::{Area, Delivery, Fault, InvalidFault, Step};
pub use generate::Key;
pub use route::Operation;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
