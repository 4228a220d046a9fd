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
        self.begin(b"").hex(parts)
    }

    /// Returns the state of the hash after the beginning of a text.
    pub(super) fn begin(self, beginning: &[u8]) -> HashState {
        match self {
            Self::Md5 => HashState::Md5(Md5::new_with_prefix(beginning)),
            Self::Sha256 => HashState::Sha256(Sha256::new_with_prefix(beginning)),
            Self::Sha512_256 => HashState::Sha512_256(Sha512_256::new_with_prefix(beginning)),
        }
    }
}

/// The state of a hash after the beginning of a text. It is overwritten when it is dropped.
pub(super) enum HashState {
    Md5(Md5),
    Sha256(Sha256),
    Sha512_256(Sha512_256),
}

impl HashState {
    /// Returns `H` of the beginning and the parts, joined by `:`. The beginning has its `:`, if it needs one.
    pub(super) fn hex(&self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Md5(state) => hex_of(state.clone(), parts),
            Self::Sha256(state) => hex_of(state.clone(), parts),
            Self::Sha512_256(state) => hex_of(state.clone(), parts),
        }
    }
}

/// Adds the parts, joined by `:`, and returns the hash in hexadecimal. The hash crates overwrite their state when it is dropped.
fn hex_of<D: Digest>(mut hash: D, parts: &[&[u8]]) -> Hex {
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
        let mut text = [[0; 2]; 32];
        for (pair, byte) in text.iter_mut().zip(bytes) {
            // Both halves of the byte at once. With 6 more, a half that is written as a letter is above 15.
            let halves = u16::from(byte & 0xf) << 8 | u16::from(byte >> 4);
            let is_letter = ((halves + 0x0606) >> 4) & 0x0101;
            let to_letter = u16::from(b'a' - b'0' - 10);
            *pair = (halves + 0x3030 + is_letter * to_letter).to_le_bytes();
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
    use alloc::format;

    #[test]
    fn every_byte_is_written_as_two_digits() {
        for byte in 0..=u8::MAX {
            assert_eq!(
                Hex::of(&[byte]).as_bytes(),
                format!("{byte:02x}").as_bytes()
            );
        }
    }

    #[test]
    fn hashes_are_overwritten_when_they_are_dropped() {
        // This compiles only with the `zeroize` feature of the hash crates.
        fn is_overwritten<T: zeroize::ZeroizeOnDrop>() {}
        is_overwritten::<Md5>();
        is_overwritten::<Sha256>();
        is_overwritten::<Sha512_256>();
    }
}
