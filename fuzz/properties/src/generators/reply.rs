//! Responses.

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::Limits;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::generators::bytes as input;

/// Names of headers that the core reads, and some that it ignores.
pub const NAMES: [&str; 13] = [
    "retry-after",
    "date",
    "ratelimit-limit",
    "ratelimit-remaining",
    "deprecation",
    "sunset",
    "content-type",
    "x-error-code",
    "x-mongodb-service-version",
    "www-authenticate",
    "location",
    "content-encoding",
    "content-length",
];

/// Limits of a shown text: the default, and small ones.
const DETAIL_BYTES: [usize; 4] = [1 << 10, 0, 1, 9];

/// A response, and the limits that it is read with.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: input::Bytes<&'a [u8]>,
    pub(crate) limits: Limits,
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let status = u.arbitrary::<u16>()?;
        let code = input::byte(u)?;
        let count = code % 8;
        let mut limits = Limits::default();
        limits.detail_bytes = DETAIL_BYTES[usize::from(code >> 3) % DETAIL_BYTES.len()];
        let mut headers = HeaderMap::new();
        for _ in 0..count {
            let name = HeaderName::from_static(input::pick(u, &NAMES)?);
            if let Ok(value) = HeaderValue::from_bytes(input::short(u)?) {
                headers.append(name, value);
            }
        }
        Ok(Self {
            // A valid status is used unchanged, so that seeds are readable.
            status: StatusCode::from_u16(status)
                .or_else(|_| StatusCode::from_u16(100 + status % 900))
                .expect("a status from 100 to 999"),
            headers,
            body: input::Bytes(input::rest(u)?),
            limits,
        })
    }
}
