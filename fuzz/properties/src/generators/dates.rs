//! A time and a text.

use arbitrary::{Arbitrary, Unstructured};

use crate::generators::bytes as input;

#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) time: u64,
    pub(crate) text: input::Bytes<&'a [u8]>,
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            time: u.arbitrary()?,
            text: input::Bytes(input::rest(u)?),
        })
    }
}
