//! Reads structured inputs from bytes, and writes them.
//!
//! Everything is read from the front: numbers are little-endian, a text is preceded by its length, and a
//! list continues to the end of the input. A truncated value is read as far as it goes, and a missing one
//! is zero. Therefore every input is valid, a small change of the bytes is a small change of the
//! meaning, and seeds can be written by hand (with [`Writer`], as in `examples/seeds/`).

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use arbitrary::{Arbitrary, Unstructured};

static PRINT_PARSED: AtomicBool = AtomicBool::new(false);

/// Makes every target print the inputs that it parses from now on.
pub fn print_parsed() {
    PRINT_PARSED.store(true, Ordering::Relaxed);
}

/// Parses a structured input from bytes. Returns `None` if they cannot be parsed.
pub(crate) fn read<'a, T: Arbitrary<'a> + Debug>(bytes: &'a [u8]) -> Option<T> {
    let input = T::arbitrary_take_rest(Unstructured::new(bytes)).ok()?;
    if PRINT_PARSED.load(Ordering::Relaxed) {
        println!("{input:#?}");
    }
    Some(input)
}

/// Reads one byte.
pub(crate) fn byte(u: &mut Unstructured<'_>) -> arbitrary::Result<u8> {
    u.arbitrary()
}

/// Reads one byte and returns the choice that it selects.
pub(crate) fn pick<T: Copy>(u: &mut Unstructured<'_>, choices: &[T]) -> arbitrary::Result<T> {
    let index = usize::from(byte(u)?) % choices.len();
    Ok(choices[index])
}

/// Reads up to 255 bytes after a length of one byte.
pub(crate) fn short<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(byte(u)?);
    u.bytes(length.min(u.len()))
}

/// Reads up to 65,535 bytes after a length of two bytes.
pub(crate) fn long<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(u.arbitrary::<u16>()?);
    u.bytes(length.min(u.len()))
}

/// Reads all remaining bytes.
pub(crate) fn rest<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    u.bytes(u.len())
}

/// Bytes that [`Debug`] shows as a text with escapes.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<T>(pub(crate) T);

impl<T: AsRef<[u8]>> Debug for Bytes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.as_ref().escape_ascii())
    }
}

impl<T> Deref for Bytes<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Converts bytes to text, and replaces invalid UTF-8.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes the bytes of a structured input.
#[derive(Clone, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Appends one byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Appends a number of two bytes.
    #[must_use]
    pub fn number(mut self, number: u16) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Appends up to 255 bytes after their length.
    ///
    /// # Panics
    /// Panics if there are more.
    #[must_use]
    pub fn short(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0
            .push(u8::try_from(bytes.len()).expect("at most 255 bytes"));
        self.0.extend(bytes);
        self
    }

    /// Appends up to 65,535 bytes after their length.
    ///
    /// # Panics
    /// Panics if there are more.
    #[must_use]
    pub fn long(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let length = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
        self.0.extend(length.to_le_bytes());
        self.0.extend(bytes);
        self
    }

    /// Appends bytes without a length.
    #[must_use]
    pub fn rest(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(bytes.as_ref());
        self
    }
}
