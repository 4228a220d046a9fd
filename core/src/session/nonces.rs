//! The digest nonces of a session, which exchanges reuse one after the other.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use http::HeaderValue;

use crate::Secret;
use crate::digest::{Answerer, Challenge};
use crate::limits::{COUNTED_NONCES, IDLE_NONCES};

/// An API key, and the nonces that Atlas has issued for it.
///
/// Only one exchange at a time uses a nonce, so that `nc` rises without a race. An exchange that finds no idle
/// nonce sends an unsigned request and gets its own challenge.
pub(super) struct Nonces {
    public: String,
    private: Secret,
    #[expect(clippy::vec_box, reason = "tickets hold them boxed")]
    idle: Vec<Box<Answerer>>,
    /// How often each of the latest nonces was used, the oldest first.
    counts: VecDeque<(Vec<u8>, u32)>,
}

impl Nonces {
    pub(super) fn new(public: String, private: Secret) -> Self {
        Self {
            public,
            private,
            idle: Vec::new(),
            counts: VecDeque::new(),
        }
    }

    /// Takes the idle nonce that was used last, which is the least likely to have expired.
    pub(super) fn check_out(&mut self) -> Option<Box<Answerer>> {
        self.idle.pop()
    }

    pub(super) fn check_in(&mut self, answerer: Box<Answerer>) {
        if self.idle.len() < IDLE_NONCES {
            self.idle.push(answerer);
        }
    }

    pub(super) fn answerer(&self, challenge: Challenge, cnonce: [u8; 16]) -> Box<Answerer> {
        let (public, private) = (&self.public, self.private.expose());
        Box::new(Answerer::new(challenge, public, private, cnonce))
    }

    /// Returns the next value of `Authorization`.
    ///
    /// A server may issue the same nonce twice (some make it from the time) and still expects its count to rise.
    /// So the count is kept here, and not in each answerer.
    pub(super) fn sign(
        &mut self,
        answerer: &mut Answerer,
        method: &str,
        target: &str,
        cnonce: [u8; 16],
    ) -> Option<HeaderValue> {
        let known = self
            .counts
            .iter_mut()
            .find(|(nonce, _)| nonce == answerer.nonce());
        if let Some((_, count)) = known {
            answerer.count_from(*count);
            *count = count.saturating_add(1);
        } else {
            if self.counts.len() >= COUNTED_NONCES {
                self.counts.pop_front();
            }
            let count = answerer.count().saturating_add(1);
            self.counts.push_back((answerer.nonce().into(), count));
        }
        answerer.authorization(method, target, cnonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use alloc::format;
    use http::HeaderMap;
    use http::header::WWW_AUTHENTICATE;

    #[test]
    fn counts_of_the_last_128_nonces_are_remembered() {
        let mut nonces = Nonces::new("public".into(), Secret::new("private"));
        let issued = |nonces: &Nonces, nonce: usize| {
            let mut headers = HeaderMap::new();
            let text = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(&text).unwrap());
            let challenges = headers.get_all(WWW_AUTHENTICATE);
            let challenge = Challenge::strongest(challenges, &Limits::default()).unwrap();
            nonces.answerer(challenge, [0; 16])
        };
        let signed = |nonces: &mut Nonces, answerer: &mut Answerer| {
            let header = nonces.sign(answerer, "GET", "/", [0; 16]).unwrap();
            let text = header.to_str().unwrap();
            let (_, count) = text.split_once("nc=").unwrap();
            u32::from_str_radix(count.get(..8).unwrap(), 16).unwrap()
        };
        let mut kept = issued(&nonces, 999);
        assert_eq!(signed(&mut nonces, &mut kept), 1);
        // Returns the count that is sent after the server has issued this nonce, perhaps again.
        let count = |nonces: &mut Nonces, nonce: usize| {
            let mut answerer = issued(nonces, nonce);
            signed(nonces, &mut answerer)
        };
        for nonce in 0..128 {
            assert_eq!(count(&mut nonces, nonce), 1);
        }
        for nonce in 0..128 {
            assert_eq!(count(&mut nonces, nonce), 2);
        }
        // One nonce more, and the oldest is forgotten.
        assert_eq!(count(&mut nonces, 128), 1);
        assert_eq!(count(&mut nonces, 127), 3);
        assert_eq!(count(&mut nonces, 0), 1);
        // An answerer whose nonce is forgotten continues with its own count.
        assert_eq!(signed(&mut nonces, &mut kept), 2);
        assert_eq!(signed(&mut nonces, &mut kept), 3);
    }
}
