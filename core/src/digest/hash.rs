//! The hash functions of Digest, and their results in hexadecimal.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
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
        match self {
            Self::Md5 => hex_of::<Md5>(parts),
            Self::Sha256 => hex_of::<Sha256>(parts),
            Self::Sha512_256 => hex_of::<Sha512_256>(parts),
        }
    }
}

/// Returns the hash of the parts, joined by `:`. The hash crates overwrite their state when it is dropped.
fn hex_of<D: Digest>(parts: &[&[u8]]) -> Hex {
    let mut hash = D::new();
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    Hex::of(&hash.finalize())
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
