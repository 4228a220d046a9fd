//! The hash functions of Digest, and their results in hexadecimal.

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};
use zeroize::Zeroizing;

/// The hash functions, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

impl Hash {
    /// Returns `H` (RFC 7616 §3.3) of the parts, joined by `:`.
    pub(super) fn hex(self, parts: &[&[u8]]) -> Hex {
        Hashing::of(self, parts).hex()
    }
}

/// An unfinished hash, which is overwritten when it is dropped.
#[derive(Clone)]
pub(super) enum Hashing {
    Md5(Md5),
    Sha256(Sha256),
    Sha512_256(Sha512_256),
}

impl Hashing {
    /// Starts a hash with the parts, joined by `:`.
    pub(super) fn of(hash: Hash, parts: &[&[u8]]) -> Self {
        let mut hashing = match hash {
            Hash::Md5 => Self::Md5(Md5::new()),
            Hash::Sha256 => Self::Sha256(Sha256::new()),
            Hash::Sha512_256 => Self::Sha512_256(Sha512_256::new()),
        };
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                hashing.update(b":");
            }
            hashing.update(part);
        }
        hashing
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Md5(md5) => md5.update(data),
            Self::Sha256(sha) => sha.update(data),
            Self::Sha512_256(sha) => sha.update(data),
        }
    }

    pub(super) fn hex(self) -> Hex {
        match self {
            Self::Md5(md5) => Hex::of(&md5.finalize()),
            Self::Sha256(sha) => Hex::of(&sha.finalize()),
            Self::Sha512_256(sha) => Hex::of(&sha.finalize()),
        }
    }
}

/// Up to 32 bytes in lower-case hexadecimal, without a heap allocation. It is overwritten when it is dropped.
pub(super) struct Hex(Zeroizing<[u8; 64]>, usize);

impl Hex {
    pub(super) fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new([0; 64]);
        let mut len = 0;
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            for (character, digit) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
                *character = DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0');
                len += 1;
            }
        }
        Self(text, len)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_overwritten_when_they_are_dropped() {
        // This compiles only with the `zeroize` feature of the hash crates.
        fn is_overwritten<T: zeroize::ZeroizeOnDrop>() {}
        is_overwritten::<Md5>();
        is_overwritten::<Sha256>();
        is_overwritten::<Sha512_256>();
    }
}
