//! Digest: nonces that rest between exchanges.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use http::HeaderValue;

use crate::Secret;
use crate::digest::{Answerer, Challenge};
use crate::limits::{COUNTED_NONCES, IDLE_NONCES};

/// An API key, and the nonces that Atlas has issued to it.
///
/// A nonce is checked out by one exchange at a time, so that `nc` rises without a race; with
/// none idle an exchange goes out without an answer and gets its own.
pub(super) struct Nonces {
    public: String,
    private: Secret,
    #[expect(clippy::vec_box, reason = "as they go into tickets and come back")]
    idle: Vec<Box<Answerer>>,
    /// How often each of the last nonces was used.
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

    /// The one that was used last: the least likely to have expired.
    pub(super) fn check_out(&mut self) -> Option<Box<Answerer>> {
        self.idle.pop()
    }

    pub(super) fn give_back(&mut self, answerer: Box<Answerer>) {
        if self.idle.len() < IDLE_NONCES {
            self.idle.push(answerer);
        }
    }

    pub(super) fn answer(&self, challenge: Challenge, cnonce: [u8; 16]) -> Box<Answerer> {
        let (public, private) = (&self.public, self.private.expose());
        Box::new(Answerer::new(challenge, public, private, cnonce))
    }

    /// The next answer. A server may issue a nonce twice (some make it of the time), and still wants
    /// to see its count rise, so that it is kept here and not with each answerer.
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
    fn the_last_128_nonces_are_counted() {
        let mut nonces = Nonces::new("public".into(), Secret::new("private"));
        let issued = |nonces: &Nonces, nonce: usize| {
            let mut headers = HeaderMap::new();
            let text = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(&text).unwrap());
            let challenges = headers.get_all(WWW_AUTHENTICATE);
            let challenge = Challenge::strongest(challenges, &Limits::default()).unwrap();
            nonces.answer(challenge, [0; 16])
        };
        let signed = |nonces: &mut Nonces, answerer: &mut Answerer| {
            let header = nonces.sign(answerer, "GET", "/", [0; 16]).unwrap();
            let text = header.to_str().unwrap();
            let (_, count) = text.split_once("nc=").unwrap();
            u32::from_str_radix(count.get(..8).unwrap(), 16).unwrap()
        };
        let mut kept = issued(&nonces, 999);
        assert_eq!(signed(&mut nonces, &mut kept), 1);
        // What is sent with a nonce that the server has just issued, maybe not for the first time.
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
        // One more, and the oldest is forgotten.
        assert_eq!(count(&mut nonces, 128), 1);
        assert_eq!(count(&mut nonces, 127), 3);
        assert_eq!(count(&mut nonces, 0), 1);
        // Whoever still holds a forgotten one goes on with what it counted itself.
        assert_eq!(signed(&mut nonces, &mut kept), 2);
        assert_eq!(signed(&mut nonces, &mut kept), 3);
    }
}
