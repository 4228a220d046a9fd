//! A stream, its limits and its splits.

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::Limits;
use http::Method;

use crate::generators::bytes as input;

/// The methods of the request.
pub const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::CONNECT, Method::DELETE];

/// A stream, its limits and its splits.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) method: Method,
    pub(crate) limits: Limits,
    pub(crate) split_seed: u16,
    pub(crate) stream: input::Bytes<&'a [u8]>,
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let method = METHODS[usize::from(input::byte(u)?) % METHODS.len()].clone();
        let mut limits = Limits::default();
        let (head, body) = match input::byte(u)? % 5 {
            0 => ((limits.head_bytes, limits.headers), (64 << 10, 64 << 10)),
            1 => ((200, 6), (64, 30)),
            2 => ((40, 1), (5, 5)),
            3 => ((200, 6), (20, 0)),
            _ => ((200, 6), (0, 9)),
        };
        (limits.head_bytes, limits.headers) = head;
        (limits.body_bytes, limits.error_body_bytes) = body;
        Ok(Self {
            method,
            limits,
            split_seed: u.arbitrary()?,
            stream: input::Bytes(input::rest(u)?),
        })
    }
}
