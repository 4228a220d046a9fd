use alloc::vec::{self, Vec};
use core::fmt;
use core::iter::FusedIterator;

use crate::decode::{Arena, Decoded, KeySpans, LinkSpans};
use crate::{ApiVersion, Drift, ModelKey, OwnedModelKey};

/// A page of keys: owns the body it was parsed from, and lends [`ModelKey`]s that point into it.
///
/// ```
/// use atlas_model_keys_core::Reply;
///
/// let body = br#"{"results":[{"name":"Production key","status":"ACTIVE"}],"totalCount":1}"#;
/// let page = Reply::from_response(http::Response::new(body.as_slice()))?.into_page()?;
/// assert_eq!(page.len(), 1);
/// for key in &page {
///     assert_eq!(key.name(), Some("Production key"));
///     assert!(key.last_used_at().is_none());
/// }
/// # Ok::<(), atlas_model_keys_core::Error>(())
/// ```
pub struct Page<B> {
    body: B,
    decoded: Decoded,
    version: Option<ApiVersion>,
}

impl<B> Page<B> {
    pub(crate) fn new(body: B, decoded: Decoded, version: Option<ApiVersion>) -> Self {
        Self {
            body,
            decoded,
            version,
        }
    }

    fn spans(&self) -> &[KeySpans] {
        self.decoded.keys.as_deref().unwrap_or_default()
    }

    /// How many keys are on this page.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans().is_empty()
    }

    /// `totalCount`: Atlas's estimate for the whole list, where it gives a sensible one. It may be
    /// 0 beside a full page, and never ends a listing.
    #[must_use]
    pub fn total_count(&self) -> Option<u64> {
        self.decoded.total_count()
    }

    /// The `status` that an envelope adds to the body.
    #[must_use]
    pub fn envelope_status(&self) -> Option<u16> {
        self.decoded.status.and_then(|n| u16::try_from(n).ok())
    }

    /// The version of the resource that answered.
    #[must_use]
    pub fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// The body back, for its buffer to be used again.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }
}

impl<B: AsRef<[u8]>> Page<B> {
    /// The keys, in Atlas's order.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys {
            text: self.text(),
            arena: &self.decoded.arena,
            spans: self.spans().iter(),
        }
    }

    /// `links`, as received. They are not to be followed: hosts in them can be wrong. What comes
    /// next is the same request with the next page number.
    pub fn links(&self) -> impl Iterator<Item = Link<'_>> {
        let (text, arena) = (self.text(), &self.decoded.arena);
        self.decoded
            .links
            .iter()
            .map(move |LinkSpans { rel, href }| Link {
                rel: rel.get(text, arena),
                href: href.get(text, arena),
            })
    }

    /// Whether a link says that there is a page after this one (`rel` is `next`).
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.decoded.says_next
    }

    /// How the page differs from what is documented. Parses the body again.
    #[must_use]
    pub fn drift(&self) -> Drift {
        Drift::read(self.text(), self.version)
    }

    /// Of each key its id, which is text that need not be checked again to be compared.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.decoded.ids(self.body.as_ref())
    }

    pub(crate) fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// The body as text. It was checked when it was parsed; a body whose `as_ref` gives another
    /// slice each time gets no fields, and no panic.
    fn text(&self) -> &str {
        core::str::from_utf8(self.body.as_ref()).unwrap_or_default()
    }
}

/// A link of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link<'a> {
    /// `self`, `next`, `previous` or a URL.
    pub rel: Option<&'a str>,
    /// Where it leads. Not trusted.
    pub href: Option<&'a str>,
}

/// The keys of a [`Page`].
#[derive(Clone)]
pub struct Keys<'a> {
    text: &'a str,
    arena: &'a Arena,
    spans: core::slice::Iter<'a, KeySpans>,
}

impl<'a> Iterator for Keys<'a> {
    type Item = ModelKey<'a>;

    fn next(&mut self) -> Option<ModelKey<'a>> {
        let Self { text, arena, spans } = self;
        spans.next().map(|spans| ModelKey { text, arena, spans })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Keys<'_> {}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a, B: AsRef<[u8]>> IntoIterator for &'a Page<B> {
    type Item = ModelKey<'a>;
    type IntoIter = Keys<'a>;
    fn into_iter(self) -> Keys<'a> {
        self.keys()
    }
}

impl<B: AsRef<[u8]>> IntoIterator for Page<B> {
    type Item = OwnedModelKey;
    type IntoIter = OwnedKeys<B>;
    fn into_iter(self) -> OwnedKeys<B> {
        OwnedKeys::new(self, &[])
    }
}

/// The keys of a page, made owned one at a time; from [`Page::into_iter`] and
/// [`Listing::accept_owned`](crate::Listing::accept_owned).
///
/// A caller that drops each key before it takes the next needs the memory of one.
pub struct OwnedKeys<B = Vec<u8>> {
    body: B,
    arena: Arena,
    spans: vec::IntoIter<KeySpans>,
}

impl<B> OwnedKeys<B> {
    /// The keys of `page` without those at the positions `left_out`, which are in order.
    pub(crate) fn new(page: Page<B>, left_out: &[usize]) -> Self {
        let Decoded { keys, arena, .. } = page.decoded;
        let mut spans = keys.unwrap_or_default();
        if !left_out.is_empty() {
            let (mut positions, mut left_out) = (0.., left_out.iter().peekable());
            spans.retain(|_| {
                let position = positions.next();
                left_out.next_if(|out| Some(**out) == position).is_none()
            });
        }
        Self {
            body: page.body,
            arena,
            spans: spans.into_iter(),
        }
    }

    /// Returns the page's body, so that its buffer can be used again.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }
}

impl<B: AsRef<[u8]>> Iterator for OwnedKeys<B> {
    type Item = OwnedModelKey;

    fn next(&mut self) -> Option<OwnedModelKey> {
        let spans = self.spans.next()?;
        Some(OwnedModelKey::copy(self.body.as_ref(), &self.arena, &spans))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl<B: AsRef<[u8]>> ExactSizeIterator for OwnedKeys<B> {}

impl<B: AsRef<[u8]>> FusedIterator for OwnedKeys<B> {}

impl<B> fmt::Debug for OwnedKeys<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedKeys")
            .field("left", &self.spans.len())
            .finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for Page<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("keys", &self.len())
            .field("total_count", &self.total_count())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
