//! Digest: nonces that rest between exchanges.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Secret;
use crate::digest::{Answerer, Challenge};
use crate::limits::IDLE_NONCES;

/// An API key, and the nonces that Atlas has issued to it.
///
/// A nonce is checked out by one exchange at a time, so that `nc` rises without a race; with
/// none idle an exchange goes out without an answer and gets its own.
pub(super) struct Nonces {
    public: String,
    private: Secret,
    idle: Vec<Answerer>,
}

impl Nonces {
    pub(super) fn new(public: String, private: Secret) -> Self {
        Self {
            public,
            private,
            idle: Vec::new(),
        }
    }

    /// The one that was used last: the least likely to have expired.
    pub(super) fn check_out(&mut self) -> Option<Answerer> {
        self.idle.pop()
    }

    pub(super) fn give_back(&mut self, answerer: Answerer) {
        if self.idle.len() < IDLE_NONCES {
            self.idle.push(answerer);
        }
    }

    pub(super) fn answer(&self, challenge: Challenge, cnonce: [u8; 16]) -> Answerer {
        Answerer::new(challenge, &self.public, self.private.expose(), cnonce)
    }

    pub(super) fn private_key(&self) -> &str {
        self.private.expose()
    }
}
