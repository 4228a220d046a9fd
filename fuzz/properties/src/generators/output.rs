//! A width and texts.

use arbitrary::{Arbitrary, Unstructured};

use crate::generators::bytes as input;

#[derive(Debug)]
pub(crate) struct Input<'a> {
    /// The number of columns of a terminal.
    pub(crate) room: u8,
    /// The byte between two texts.
    pub(crate) separator: u8,
    /// The texts and what separates them.
    pub(crate) bytes: input::Bytes<&'a [u8]>,
}

impl Input<'_> {
    /// Returns the texts, at least one.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.bytes
            .split(|byte| *byte == self.separator)
            .map(input::text)
            .collect()
    }
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            room: input::byte(u)?,
            separator: input::byte(u)?,
            bytes: input::Bytes(input::rest(u)?),
        })
    }
}
