//! The hash functions of Digest, and their results in hexadecimal.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use zeroize::Zeroize;

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

/// Up to 32 bytes in lower-case hexadecimal, without a heap allocation.
pub(super) struct Hex {
    text: [[u8; 2]; 32],
    bytes: usize,
}

impl Hex {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' - 10 + n };
        let mut text = [[0; 2]; 32];
        for (pair, byte) in text.iter_mut().zip(bytes) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        let bytes = bytes.len().min(text.len());
        Self { text, bytes }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text
            .get(..self.bytes)
            .unwrap_or_default()
            .as_flattened()
    }
}

/// For a hash that is a secret.
impl Zeroize for Hex {
    fn zeroize(&mut self) {
        self.text.as_flattened_mut().zeroize();
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
