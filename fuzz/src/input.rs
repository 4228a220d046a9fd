//! How structured inputs are read from bytes, and written.
//!
//! Everything is read from the front: a number is one byte or more, in the order of little-endian; a text
//! has its length before it; a list goes on for as long as there are bytes. What is cut short is
//! read as far as it goes, and what is missing is zero. So every input means something, a small
//! change of the bytes is a small change of the meaning, and a seed can be written by hand (with
//! [`Writer`], as `examples/seeds.rs` does).

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};

use arbitrary::{Arbitrary, Unstructured};

static SHOW: AtomicBool = AtomicBool::new(false);

/// From now on, [`read`] prints what it reads.
pub fn show() {
    SHOW.store(true, Ordering::Relaxed);
}

/// The structured input that the bytes mean; `None` where they mean none.
pub(crate) fn read<'a, T: Arbitrary<'a> + Debug>(bytes: &'a [u8]) -> Option<T> {
    let input = T::arbitrary_take_rest(Unstructured::new(bytes)).ok()?;
    if SHOW.load(Ordering::Relaxed) {
        println!("{input:#?}");
    }
    Some(input)
}

/// One byte, as a choice.
pub(crate) fn byte(u: &mut Unstructured<'_>) -> arbitrary::Result<u8> {
    u.arbitrary()
}

/// One of the choices.
pub(crate) fn pick<T: Copy>(u: &mut Unstructured<'_>, choices: &[T]) -> arbitrary::Result<T> {
    let index = usize::from(byte(u)?) % choices.len();
    Ok(choices[index])
}

/// Up to 255 bytes, with their number before them.
pub(crate) fn short<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(byte(u)?);
    u.bytes(length.min(u.len()))
}

/// Up to 65,535 bytes, with their number before them.
pub(crate) fn long<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(u.arbitrary::<u16>()?);
    u.bytes(length.min(u.len()))
}

/// All that is left.
pub(crate) fn rest<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    u.bytes(u.len())
}

/// Bytes as text, whatever they are.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes the bytes of a structured input.
#[derive(Clone, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A byte, such as a choice.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// A number of two bytes.
    #[must_use]
    pub fn number(mut self, number: u16) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Up to 255 bytes, with their number.
    ///
    /// # Panics
    /// There are more.
    #[must_use]
    pub fn short(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.push(u8::try_from(bytes.len()).expect("it is short"));
        self.0.extend(bytes);
        self
    }

    /// Up to 65,535 bytes, with their number.
    ///
    /// # Panics
    /// There are more.
    #[must_use]
    pub fn long(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let length = u16::try_from(bytes.len()).expect("it is not that long");
        self.0.extend(length.to_le_bytes());
        self.0.extend(bytes);
        self
    }

    /// Bytes as they are.
    #[must_use]
    pub fn rest(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(bytes.as_ref());
        self
    }
}
