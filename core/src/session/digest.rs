//! An API key, and its HTTP Digest nonces (RFC 7616), which exchanges reuse one after the other.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};

use super::ticket::RequestAuth;
use super::verdict::Unauthorized;
use crate::digest::{Answerer, Challenge};
use crate::limits::{COUNTED_NONCES, IDLE_NONCES, MAX_CHALLENGES_ANSWERED};
use crate::{Limits, Refused, Secret};

/// The Atlas API key that authenticates (the public key is the user name, the private key the password), and the nonces
/// that Atlas has issued for it.
///
/// Only one exchange at a time uses a nonce, so that `nc` rises without a race. An exchange that finds no idle
/// nonce sends an unsigned request and gets its own challenge.
pub(super) struct DigestKey {
    public: String,
    private: Secret,
    #[expect(clippy::vec_box, reason = "tickets hold them boxed")]
    idle: Vec<Box<Answerer>>,
    /// The latest nonces, the oldest first, and how often each was used.
    counts: VecDeque<(Vec<u8>, u32)>,
}

impl DigestKey {
    pub(super) fn new(public: String, private: Secret) -> Self {
        Self {
            public,
            private,
            idle: Vec::new(),
            counts: VecDeque::new(),
        }
    }

    /// Returns the `Authorization` of a request with this target, or `None` if there is no nonce for it. It uses the nonce
    /// of the exchange, or else takes an idle one.
    pub(super) fn sign(
        &mut self,
        auth: &mut RequestAuth,
        method: &str,
        target: &str,
        cnonce: [u8; 16],
    ) -> Option<HeaderValue> {
        if !matches!(auth, RequestAuth::Digest { .. }) {
            // The idle nonce that was used last is the least likely to have expired.
            *auth = self
                .idle
                .pop()
                .map_or(RequestAuth::Unsigned, |answerer| RequestAuth::Digest {
                    answerer,
                    answered: 0,
                });
        }
        let RequestAuth::Digest { answerer, .. } = auth else {
            return None;
        };
        let authorization = self.authorization(answerer, method, target, cnonce);
        if authorization.is_none() {
            // The nonce count is used up, which is handled like an expired nonce.
            *auth = RequestAuth::Unsigned;
        }
        authorization
    }

    /// Decides about a 401 and its challenges. A refusal is final only if the nonce was issued to this exchange and is
    /// not stale.
    pub(super) fn on_unauthorized(
        &self,
        auth: &mut RequestAuth,
        headers: &HeaderMap,
        limits: &Limits,
        cnonce: [u8; 16],
    ) -> Unauthorized {
        let answered = match core::mem::replace(auth, RequestAuth::Unset) {
            RequestAuth::Digest { answered, .. } => answered,
            _ => 0,
        };
        match Challenge::strongest(headers.get_all(WWW_AUTHENTICATE), limits) {
            Some(challenge)
                if answered == 0
                    || (challenge.is_stale() && answered < MAX_CHALLENGES_ANSWERED) =>
            {
                *auth = RequestAuth::Digest {
                    answerer: self.answerer(challenge, cnonce),
                    answered: answered + 1,
                };
                Unauthorized::Answer
            }
            None if answered == 0 => Unauthorized::Final(Refused::Challenge),
            Some(challenge) if challenge.is_stale() => Unauthorized::Final(Refused::Nonce),
            _ => Unauthorized::Final(Refused::ApiKey),
        }
    }

    /// Takes back the nonce of an exchange, which the server has accepted. If there are enough idle nonces, it is dropped.
    pub(super) fn check_in(&mut self, auth: RequestAuth) {
        if let RequestAuth::Digest { answerer, .. } = auth
            && self.idle.len() < IDLE_NONCES
        {
            self.idle.push(answerer);
        }
    }

    fn answerer(&self, challenge: Challenge, cnonce: [u8; 16]) -> Box<Answerer> {
        let (public, private) = (&self.public, self.private.expose());
        Box::new(Answerer::new(challenge, public, private, cnonce))
    }

    /// Returns the next value of `Authorization`.
    ///
    /// A server may issue the same nonce twice (some make it from the time) and still expects its count to rise.
    /// So the counts of the latest nonces are kept here, and override the answerer's count.
    fn authorization(
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
            answerer.set_count(*count);
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
    use alloc::format;

    #[test]
    fn counts_of_the_last_128_nonces_are_remembered() {
        let mut nonces = DigestKey::new("public".into(), Secret::new("private"));
        let issued = |nonces: &DigestKey, nonce: usize| {
            let mut headers = HeaderMap::new();
            let text = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(&text).unwrap());
            let challenges = headers.get_all(WWW_AUTHENTICATE);
            let challenge = Challenge::strongest(challenges, &Limits::default()).unwrap();
            nonces.answerer(challenge, [0; 16])
        };
        let signed = |nonces: &mut DigestKey, answerer: &mut Answerer| {
            let header = nonces.authorization(answerer, "GET", "/", [0; 16]).unwrap();
            let text = header.to_str().unwrap();
            let (_, count) = text.split_once("nc=").unwrap();
            u32::from_str_radix(count.get(..8).unwrap(), 16).unwrap()
        };
        let mut kept = issued(&nonces, 999);
        assert_eq!(signed(&mut nonces, &mut kept), 1);
        // Returns the count that is sent after the server has issued this nonce, perhaps again.
        let count = |nonces: &mut DigestKey, nonce: usize| {
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
