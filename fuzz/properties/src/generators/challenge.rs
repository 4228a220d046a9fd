//! Headers with challenges, and users who answer them.

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::Limits;
use http::HeaderValue;

use crate::generators::bytes as input;

/// The users: names and passwords.
pub const USERS: [(&str, &str); 4] = [
    ("abcdefgh", "01234567-89ab-cdef-0123-456789abcdef"),
    ("Mufasa", "Circle of Life"),
    // RFC 7616 §3.9.2.
    ("J\u{e4}s\u{f8}n Doe", "Secret, or not?"),
    ("quoted \"name\\", "p\u{e4}ss:word"),
];

#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) user: (&'static str, &'static str),
    pub(crate) limits: Limits,
    pub(crate) headers: Vec<HeaderValue>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let user = input::pick(u, &USERS)?;
        let mut limits = Limits::default();
        if input::byte(u)? % 4 == 1 {
            (limits.challenges, limits.challenge_bytes) = (2, 150);
        }
        let lines = input::rest(u)?.split(|byte| *byte == b'\n');
        Ok(Self {
            user,
            limits,
            headers: lines
                .filter_map(|line| HeaderValue::from_bytes(line).ok())
                .collect(),
        })
    }
}
