//! What `bearer.rs`, `service_account.rs` and `digest.rs` decide. They never send or wait: `exchange.rs` does what they
//! say. They change no more of a ticket than how its request was authenticated.

use alloc::sync::Arc;

use http::HeaderValue;

use crate::{Error, Refused};

/// The decision before an exchange sends its own request.
pub(super) enum Preparation {
    /// Send the request with this value of `Authorization`.
    Header(HeaderValue),
    /// Send the request, and sign it when its target is known. A nonce is taken no earlier, because the exchange may still
    /// have to wait.
    Sign,
    /// Fetch a token first. Other exchanges wait for as long as the `Arc` lives.
    FetchToken(Arc<()>),
    /// Wait for the token request with this number, which another exchange has in flight.
    Follow(u64),
    /// Fail: the token request that the exchange waited for failed.
    Failed(Error),
}

/// The decision after a 401 response to the exchange's own request.
pub(super) enum Unauthorized {
    /// Answer the challenge of the response: send the request again at once.
    Answer,
    /// Prepare the request again, with another token.
    Renew,
    /// The credential was refused.
    Final(Refused),
}
