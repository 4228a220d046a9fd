//! A repeatable generator of random numbers: equal seeds give equal emulators, byte for byte.

/// The generator splitmix64. It is good enough for texts that must look random and be distinct, but
/// not for secrets that protect anything.
#[derive(Clone, Debug)]
pub(crate) struct Prng(u64);

pub(crate) const LOWER_ALPHANUMERIC: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
pub(crate) const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
pub(crate) const HEX: &[u8] = b"0123456789abcdef";
pub(crate) const ALPHANUMERIC: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
pub(crate) const BASE64: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub(crate) const BASE64_URL: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Prng {
    /// Creates a stream for one purpose. Taking more from one stream does not change the others.
    pub(crate) fn stream(seed: u64, purpose: &str) -> Self {
        let mut prng = Self(seed);
        for byte in purpose.bytes() {
            prng.0 ^= u64::from(byte);
            prng.0 = prng.next_u64();
        }
        prng
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number less than `bound`, or 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        usize::try_from(index)
            .ok()
            .and_then(|index| items.get(index))
    }

    pub(crate) fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        // Allocated once in the right size: a million keys contain ten million of these texts.
        let mut text = String::with_capacity(length);
        text.extend((0..length).filter_map(|_| self.pick(alphabet).copied().map(char::from)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_that_of_splitmix64() {
        // The first outputs for seed 1234567, as published with the reference implementation.
        let mut prng = Prng(1_234_567);
        assert_eq!(prng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(prng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_with_different_purposes_differ() {
        let text = |purpose| Prng::stream(7, purpose).text(ALPHANUMERIC, 20);
        assert_eq!(text("nonces"), text("nonces"));
        assert_ne!(text("nonces"), text("tokens"));
    }
}
