//! The nonces that were issued, with their age and their highest count.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::prng::{self, Prng};

use super::algorithm::DigestAlgorithm;
use super::challenge::REALM;

/// The maximum number of nonces in memory. A further nonce replaces the oldest one, whose next use
/// gets a new challenge with `stale=true`.
const MAX_NONCES: usize = 10_000;

/// The nonces that were issued and not yet discarded.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    ttl: Duration,
    prng: Prng,
    known: HashMap<String, Nonce>,
    /// From the oldest to the newest.
    order: VecDeque<String>,
}

#[derive(Clone, Debug)]
struct Nonce {
    issued: Duration,
    last_nc: u32,
    /// An algorithm that a fault offered with this nonce, beside the configured ones.
    extra_algorithm: Option<DigestAlgorithm>,
    /// The realm that a fault sent with this nonce instead of [`REALM`].
    realm: Option<&'static [u8]>,
}

impl Nonces {
    pub(crate) fn new(seed: u64, ttl: Duration) -> Self {
        Self {
            ttl,
            prng: Prng::stream(seed, "nonces"),
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn issue(&mut self, now: Duration) -> String {
        if self.order.len() >= MAX_NONCES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let text = self.prng.text(prng::BASE64, 32);
        let nonce = Nonce {
            issued: now,
            last_nc: 0,
            extra_algorithm: None,
            realm: None,
        };
        self.known.insert(text.clone(), nonce);
        self.order.push_back(text.clone());
        text
    }

    /// Records the use of a nonce, and returns whether it is valid with this count. The count must
    /// be higher than all earlier ones, so a replayed request is refused.
    pub(crate) fn accept(&mut self, nonce: &str, nc: u32, now: Duration) -> bool {
        let Some(nonce) = self.known.get_mut(nonce) else {
            return false;
        };
        if now.saturating_sub(nonce.issued) >= self.ttl || nc <= nonce.last_nc {
            return false;
        }
        nonce.last_nc = nc;
        true
    }

    /// Lets no nonce be issued after this time, which is before the present one.
    pub(crate) fn begin_at(&mut self, time: Duration) {
        for nonce in self.known.values_mut() {
            nonce.issued = nonce.issued.min(time);
        }
    }

    /// Never issues a nonce that the other one has issued: a client may still have it.
    pub(crate) fn continue_after(&mut self, other: &Self) {
        self.prng = other.prng.clone();
    }

    /// Allows one more algorithm for this nonce from now on.
    pub(crate) fn allow_algorithm(&mut self, nonce: &str, algorithm: DigestAlgorithm) {
        if let Some(nonce) = self.known.get_mut(nonce) {
            nonce.extra_algorithm = Some(algorithm);
        }
    }

    pub(crate) fn allows_algorithm(&self, nonce: &str, algorithm: DigestAlgorithm) -> bool {
        self.known
            .get(nonce)
            .is_some_and(|nonce| nonce.extra_algorithm == Some(algorithm))
    }

    /// Requires this realm for this nonce from now on.
    pub(crate) fn set_realm(&mut self, nonce: &str, realm: &'static [u8]) {
        if let Some(nonce) = self.known.get_mut(nonce) {
            nonce.realm = Some(realm);
        }
    }

    pub(crate) fn realm(&self, nonce: &str) -> &'static [u8] {
        let realm = self.known.get(nonce).and_then(|nonce| nonce.realm);
        realm.unwrap_or(REALM.as_bytes())
    }

    /// Expires one nonce.
    pub(crate) fn expire(&mut self, nonce: &str) {
        // The entry in `order` stays until it is the oldest; removing it then has no effect.
        self.known.remove(nonce);
    }

    pub(crate) fn expire_all(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonce_is_accepted_with_rising_counts_until_it_expires() {
        let second = Duration::from_secs;
        let mut nonces = Nonces::new(0, second(60));
        let nonce = nonces.issue(second(100));
        assert!(nonces.accept(&nonce, 1, second(100)));
        assert!(!nonces.accept(&nonce, 1, second(100)), "replay");
        assert!(nonces.accept(&nonce, 7, second(159)));
        assert!(!nonces.accept(&nonce, 6, second(159)));
        assert!(!nonces.accept(&nonce, 8, second(160)), "expired");
        assert!(!nonces.accept("unknown", 1, second(100)));
    }

    #[test]
    fn oldest_nonce_is_discarded_at_the_maximum() {
        let mut nonces = Nonces::new(0, Duration::MAX);
        let first = nonces.issue(Duration::ZERO);
        let second = nonces.issue(Duration::ZERO);
        for _ in 2..=MAX_NONCES {
            nonces.issue(Duration::ZERO);
        }
        assert_eq!(nonces.known.len(), MAX_NONCES);
        assert!(!nonces.accept(&first, 1, Duration::ZERO));
        assert!(nonces.accept(&second, 1, Duration::ZERO));
    }
}
