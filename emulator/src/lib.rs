//! Emulates the part of MongoDB Atlas that lists AI model API keys, for tests, demonstrations and
//! the CI of programs that call this API.
//!
//! The emulator is a function: a request and the time go in, a response comes out. It reads
//! nothing from a socket, a clock or the environment, and an equal [`Config`] gives equal
//! responses, byte for byte. So the default dates of keys are constant, too; set [`Config::present`]
//! to the current time for recent ones. For clients that need a socket, there is a [`server`]
//! around it, over HTTP or HTTPS.
//!
//! ```text
//!  a client in memory ── http::Request, now ──▶ ┌──────────────────────────────────────────┐
//!                     ◀──── http::Response ──── │ Emulator::handle                         │
//!                                               │                                          │
//!  any HTTP client      ┌────────┐   as above   │ route ▸ script ▸ credential ▸ version    │
//!  (curl, a browser) ◀─▶│ server │ ◀──────────▶ │       ▸ group and role ▸ parameters      │
//!        127.0.0.1      └────────┘              │       ▸ rate limit ▸ page                │
//!                                               │       ▸ faults ▸ gzip ▸ record           │
//!                                               │                                          │
//!  a test, in Rust ──── Emulator's methods ───▶ │ control: faults, time, roles, keys,      │
//!  or over HTTP ──────── /_emulator/… ────────▶ │          the record, reset               │
//!                                               └──────────────────────────────────────────┘
//! ```
//!
//! In memory, with the access token that exists from the start:
//!
//! ```
//! use std::time::Duration;
//! use atlas_model_keys_emulator::{Config, Emulator};
//!
//! let mut emulator = Emulator::new(Config::default().with_keys_per_group(3));
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
//!
//! // The record, for assertions.
//! assert_eq!(emulator.seen()[0].query_value("itemsPerPage").as_deref(), Some("2"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On a socket, where a client without a credential gets a challenge:
//!
//! ```
//! use std::io::{Read, Write};
//! use atlas_model_keys_emulator::{Config, Emulator, server::{Options, Server}};
//!
//! let server = Server::start(Emulator::new(Config::default()), Options::default())?;
//! let mut client = std::net::TcpStream::connect(server.address())?;
//! client.write_all(b"GET /api/atlas/v2/groups HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut response = String::new();
//! client.read_to_string(&mut response)?;
//! assert!(response.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
//! assert!(response.contains("www-authenticate: Digest realm=\"MMS Public API\""));
//! assert_eq!(server.with(|emulator| emulator.requests()), 1);
//! server.shutdown();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it emulates
//!
//! - `GET /api/atlas/v2/groups/{groupId}/aiModelApiKeys`,
//!   `GET /api/atlas/v2/orgs/{orgId}/aiModelApiKeys`, each also with `/{apiKeyId}` for one key,
//!   `GET /api/atlas/v2/groups`, `POST /api/oauth/token` and `POST /api/oauth/revoke`.
//! - Digest authentication (RFC 7616) with real verification: nonces expire, and the count of a
//!   nonce must rise. Access tokens expire, and each service account can have no more than 100.
//! - Paging with Atlas's unusual links, `envelope`, `pretty`, `includeCount`, versions with 406 and 410 and with
//!   `Deprecation` and `Sunset`, a token bucket with 429 and `Retry-After`, gzip.
//! - Plausible keys: created by people and programs, some used today, some unused for months, some never used. Their
//!   dates are relative to [`Config::present`]. With [`Names::Hostile`] they have names that clients must be
//!   able to handle: in many scripts, with control characters, 250 characters long, or the text `null`.
//! - Your own keys, projects and credentials, from JSON: [`Data`].
//! - Several organizations, each with its projects, and several credentials, each with its [roles](Role):
//!   [`Config::with_api_key`], [`Config::organizations`], [`Emulator::grant_role`] …
//! - Faults on demand, each a constant, from [`Fault::RESET_IN_BODY`] to [`Fault::DIGEST_NEVER`].
//!   [`Emulator::inject`] switches one on, for all requests or for the next few
//!   (`Fault::RESET_IN_BODY.times(2)`). Other methods change single responses or states: [`Emulator::respond_next`],
//!   [`Emulator::fail_next`], [`Emulator::expire_nonces`], [`Emulator::revoke_tokens`], [`Emulator::withdraw`] …
//!
//! # What it offers to tests
//!
//! - A record of the requests, without credentials: [`Emulator::seen`], and
//!   [`Options::with_log`](server::Options::with_log) for each request of a server.
//! - Its own time: [`Emulator::advance`] and [`Emulator::set_time`] let tokens and nonces expire and buckets refill.
//! - [`Emulator::reset`] returns to the state before the first request.
//! - [`Environment`], with base URL, ids and credentials, as JSON or as variables for a client in another process.
//! - The control interface, with [`Config::control`]: HTTP requests below `/_emulator/` that do all this from any
//!   language. The README describes it.
//! - HTTPS with a certificate authority of its own, with the feature `tls`: `server::Tls`.
//!
//! # Where Atlas's documentation is silent
//!
//! These cases are neither documented nor recorded, so clients must not depend on them. The
//! emulator behaves as follows:
//!
//! - The path and the method are checked first, then the credential, the version, the group or organization, the
//!   role, for one key its id, and the query. Only a request that passes all checks takes a token from the bucket.
//! - A request without a versioned `Accept` gets 406, like a version that does not exist.
//! - If `Accept` names several versions, the one with the highest weight is served; if weights are equal, the first.
//! - `Vary` names `Accept` if the credential was accepted and the route has versions, and `Accept-Encoding` if the body
//!   has more than 220 bytes, compressed or not. So the endpoints for tokens vary with `Accept-Encoding` only.
//! - A malformed group id gets 404 `RESOURCE_NOT_FOUND`, and an unknown one 404 `GROUP_NOT_FOUND`.
//!   An unknown key gets 404 `RESOURCE_NOT_FOUND`. So do ids with capital letters, and paths with a slash at
//!   their end. Percent-encoded letters, digits and `-._~` in a path mean those characters (RFC 3986 §6.2.2.2).
//! - A query parameter with an invalid or empty value gets 400 `VALIDATION_ERROR`; an unknown parameter is
//!   ignored. If a parameter is given several times, the first value counts. `pageNum` is at most 2147483647.
//! - A method other than `GET` and `HEAD` gets 405 `METHOD_NOT_ALLOWED`, also without a credential.
//! - With `envelope=true` an error keeps its HTTP status, and has `status` beside the error's own fields. The 401
//!   that asks for a credential has no envelope, because its challenge is in the headers.
//! - The 401 for an invalid bearer token has no digest challenge, and that for a missing role has no challenge.
//!   The 401 of the token endpoint has a challenge for `Basic`.
//! - A field that a key does not have is absent. Only `lastUsedAt` and `secret` are `null` then, in `2025-03-12`.
//! - `ORG_READ_ONLY` shows all groups of the organization in the list of groups, and their keys in the listing of
//!   the organization, but it does not include the keys of each group ([`Role`]). By default every
//!   credential has this role in every organization, and `GROUP_READ_ONLY` in every group but the last generated
//!   one.
//! - A valid credential without the role gets 401 `USER_UNAUTHORIZED`, also for another organization, which it
//!   can tell from an unknown one (404 `RESOURCE_NOT_FOUND`).
//! - A service account cannot revoke the token of another one: it gets 200, as for an unknown token, and the token
//!   stays valid.
//! - Each group, each organization and the list of groups have a token bucket of their own. With
//!   [`Config::shared_rate_limit`] all groups share one.
//!
//! # What it is not
//!
//! The emulator is not a model of the rest of Atlas. It cannot create, change or delete keys over
//! HTTP. It is not a safe place for real credentials; its own credentials are derived from the seed or
//! chosen by you, and protect nothing.

mod atlas;
mod bucket;
mod calendar;
mod config;
mod credentials;
mod data;
mod digest;
mod emulator;
mod environment;
mod errors;
mod fault;
mod generate;
mod incoming;
mod key;
mod listing;
mod number;
mod oauth;
mod plausible;
mod prng;
mod query;
mod quoted;
mod redaction;
mod render;
mod roles;
mod route;
mod script;
mod seen;
pub mod server;
mod setters;
mod version;
mod world;

pub use bucket::TokenBucket;
pub use config::{Config, Deprecated, Names, TotalCount};
pub use credentials::{AccessToken, ApiKey, CredentialId, CredentialKind, ServiceAccount};
pub use data::{Data, InvalidData};
pub use digest::DigestAlgorithm;
pub use emulator::Emulator;
pub use environment::{
    Environment, EnvironmentCredential, EnvironmentFormat, InvalidFormat, Organization, Project,
};
pub use errors::error_response;
pub use fault::{Area, Delivery, DeliveryStep, Fault, Injection, InvalidFault};
pub use key::Key;
pub use roles::Role;
pub use route::Route;
pub use seen::Seen;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
