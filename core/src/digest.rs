//! The client side of HTTP Digest authentication (RFC 7616), without I/O or randomness.
//!
//! ```
//! use atlas_model_keys_core::digest::{Answerer, Challenge};
//! use atlas_model_keys_core::Limits;
//! use http::HeaderValue;
//!
//! let header = HeaderValue::from_static(
//!     r#"Digest realm="MMS Public API", domain="", nonce="Nfx+VMFO0sY4tpgy1sHRakvvv0NN4S91", algorithm=MD5, qop="auth", stale=false"#);
//! let challenge = Challenge::strongest([&header], &Limits::default()).unwrap();
//! let mut answerer = Answerer::new(challenge, "public-key", "private-key", [7; 16]);
//! let authorization = answerer.authorization("GET", "/api/atlas/v2/groups?pageNum=2", [8; 16]);
//! assert!(authorization.unwrap().to_str().unwrap().starts_with(r#"Digest username="public-key", realm="#));
//! ```
//!
//! A server that requires Digest responds with 401 and a [`Challenge`], which holds the server's *nonce*: a value that
//! the server chose. The [`Answerer`] hashes the credential together with this nonce, a count (`nc`), a random
//! client nonce (`cnonce`) and the request's method and target, so the password itself is never sent.
//!
//! Supported are MD5, SHA-256 and SHA-512-256, also as `-sess`; `qop=auth` (required: without it an
//! answer would not be bound to the client's nonce); `userhash`; and several challenges in one or
//! several headers, of which the strongest known one is used. Unknown algorithms and schemes are
//! skipped. Basic is never answered.
//!
//! The grammar (RFC 9110 §11.6.1) is not always clear, and servers deviate from it:
//!
//! - Spaces and tabs around `=` and commas, and empty list elements, are accepted.
//! - `algorithm`, `stale`, `qop` and `userhash` may be quoted or not, in any letter case.
//! - A quoted string is unescaped before it is hashed, and escaped again when it is sent back.
//! - If a parameter that this module uses, such as `realm`, occurs twice, its challenge is unusable, because it is
//!   unclear which value is meant. Other parameters are ignored, also if they occur twice.
//! - After the first syntax error, the rest of that header is ignored.

mod answer;
mod challenge;
mod hash;
mod parser;

pub use answer::Answerer;
pub use challenge::Challenge;
