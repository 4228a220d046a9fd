//! Repeatable randomness: the same seed gives the same emulator, byte for byte.

/// splitmix64: enough for texts that must look random and be distinct. Not for secrets that guard
/// anything.
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
    /// One stream per purpose, so that asking one for more does not change what the others give.
    pub(crate) fn stream(seed: u64, purpose: &str) -> Self {
        let mut prng = Self(seed);
        for byte in purpose.bytes() {
            prng.0 ^= u64::from(byte);
            prng.0 = prng.next();
        }
        prng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `bound`; 0 where there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let index = self.below(of.len() as u64);
        usize::try_from(index).ok().and_then(|index| of.get(index))
    }

    pub(crate) fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        // Of the right size at once: a million keys hold ten million of these.
        let mut text = String::with_capacity(length);
        text.extend((0..length).filter_map(|_| self.pick(alphabet).copied().map(char::from)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 1234567, as published with the reference implementation.
        let mut prng = Prng(1_234_567);
        assert_eq!(prng.next(), 6_457_827_717_110_365_317);
        assert_eq!(prng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_are_independent() {
        let text = |purpose| Prng::stream(7, purpose).text(ALPHANUMERIC, 20);
        assert_eq!(text("nonces"), text("nonces"));
        assert_ne!(text("nonces"), text("tokens"));
    }
}
