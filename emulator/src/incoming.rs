//! A borrowed view of a request.

use http::header::{AUTHORIZATION, HeaderMap};
use http::{Method, Uri};

/// A borrowed request, without the type parameter of its body.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    /// The path, normalized; see [`normalized`](crate::route::normalized).
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Returns the path with the query.
    pub(crate) fn target(self) -> &'a str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Returns the scheme of the `Authorization` header and the rest of its value. Returns `None` if
    /// there is no such header, or more than one.
    ///
    /// The rest is bytes, because a digest realm may be in any encoding.
    pub(crate) fn authorization(self) -> Option<(&'a [u8], &'a [u8])> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        let value = value.as_bytes();
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = value.split_at_checked(space)?;
        Some((scheme, rest.get(1..)?))
    }
}
