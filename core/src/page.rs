//! A page of keys, its iterators and its links.

use alloc::vec::{self, Vec};
use core::fmt;
use core::iter::FusedIterator;

use http::HeaderMap;

use crate::date_header::response_date;
use crate::decode::{Arena, Decoded, Form, KeySpans, LinkSpans};
use crate::list_page::{self, PageSummary, sealed};
use crate::{ApiVersion, Drift, ListPage, ModelKey, OwnedModelKey, UnixTime};

/// A page of keys with the body that it was parsed from. It lends [`ModelKey`]s that point into the body.
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
    /// Kept for [`Page::date`], because parsing a date costs more than moving the headers.
    headers: HeaderMap,
}

impl<B> Page<B> {
    pub(crate) fn new(
        body: B,
        decoded: Decoded,
        version: Option<ApiVersion>,
        headers: HeaderMap,
    ) -> Self {
        Self {
            body,
            decoded,
            version,
            headers,
        }
    }

    fn spans(&self) -> &[KeySpans] {
        self.decoded.entries.as_deref().unwrap_or_default()
    }

    /// Returns the number of keys on this page.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans().len()
    }

    /// Returns whether the page has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans().is_empty()
    }

    /// Returns `totalCount`, Atlas's estimate of the number of keys in the whole list.
    ///
    /// Returns `None` if it is absent or not a whole number from 0. Atlas may write 0 on a full page, so a listing does
    /// not use it to find its end.
    #[must_use]
    pub fn total_count(&self) -> Option<u64> {
        self.decoded.total_count()
    }

    /// Returns the `status` that an envelope adds to the body.
    #[must_use]
    pub fn envelope_status(&self) -> Option<u16> {
        self.decoded.envelope_status()
    }

    /// Returns the version of the resource that responded.
    #[must_use]
    pub fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// Returns the server's time when it sent the page (`Date`, RFC 9110 §6.6.1), to whole seconds, or `None` if there is no
    /// valid one. The age of a key is best measured from it, because the local clock may be wrong.
    #[must_use]
    pub fn date(&self) -> Option<UnixTime> {
        response_date(&self.headers)
    }

    /// Returns the body, so that its buffer can be used again.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }
}

impl<B: AsRef<[u8]>> Page<B> {
    /// Returns the keys, in Atlas's order.
    #[must_use]
    pub fn keys(&self) -> PageKeys<'_> {
        PageKeys {
            text: self.text(),
            arena: &self.decoded.arena,
            spans: self.spans().iter(),
        }
    }

    /// Returns `links`, as received.
    ///
    /// Do not follow them: their hosts can be wrong. The next page is the same request with the next page number.
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

    /// Returns whether a link announces a next page (its `rel` is `next`).
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.decoded.says_next
    }

    /// Returns how the page differs from Atlas's documentation. Parses the body again.
    #[must_use]
    pub fn drift(&self) -> Drift {
        Drift::read(self.text(), Form::Keys, self.version)
    }

    /// Returns the body as text, which was checked when it was parsed. A body whose `as_ref` returns different bytes each
    /// time has no fields then, but does not panic.
    fn text(&self) -> &str {
        core::str::from_utf8(self.body.as_ref()).unwrap_or_default()
    }
}

impl<B: AsRef<[u8]>> ListPage for Page<B> {}

impl<B: AsRef<[u8]>> sealed::ListPage for Page<B> {
    fn ids(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.decoded.ids(self.body.as_ref())
    }

    fn summary(&self, is_repetition: bool) -> PageSummary {
        PageSummary::of(&self.decoded, is_repetition)
    }

    fn omit(&mut self, positions: &[usize]) {
        if let Some(keys) = &mut self.decoded.entries {
            list_page::omit(keys, positions);
        }
    }
}

/// A link of a page, as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link<'a> {
    /// The relation: `self`, `next`, `previous` or a URL.
    pub rel: Option<&'a str>,
    /// The target URL. Do not trust it.
    pub href: Option<&'a str>,
}

/// An iterator over the keys of a [`Page`].
#[derive(Clone)]
pub struct PageKeys<'a> {
    text: &'a str,
    arena: &'a Arena,
    spans: core::slice::Iter<'a, KeySpans>,
}

impl<'a> Iterator for PageKeys<'a> {
    type Item = ModelKey<'a>;

    fn next(&mut self) -> Option<ModelKey<'a>> {
        let Self { text, arena, spans } = self;
        spans.next().map(|spans| ModelKey { text, arena, spans })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for PageKeys<'_> {}

impl fmt::Debug for PageKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a, B: AsRef<[u8]>> IntoIterator for &'a Page<B> {
    type Item = ModelKey<'a>;
    type IntoIter = PageKeys<'a>;
    fn into_iter(self) -> PageKeys<'a> {
        self.keys()
    }
}

impl<B: AsRef<[u8]>> IntoIterator for Page<B> {
    type Item = OwnedModelKey;
    type IntoIter = OwnedPageKeys<B>;
    fn into_iter(self) -> OwnedPageKeys<B> {
        let Decoded { entries, arena, .. } = self.decoded;
        OwnedPageKeys {
            body: self.body,
            arena,
            spans: entries.unwrap_or_default().into_iter(),
        }
    }
}

/// An iterator that makes the keys of a page owned, one at a time.
///
/// [`Page::into_iter`] and [`Listing::accept_owned`](crate::Listing::accept_owned) return it. A caller that drops each key
/// before it takes the next one needs the memory of one key only.
pub struct OwnedPageKeys<B = Vec<u8>> {
    body: B,
    arena: Arena,
    spans: vec::IntoIter<KeySpans>,
}

impl<B> OwnedPageKeys<B> {
    /// Returns the page's body, so that its buffer can be used again.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }
}

impl<B: AsRef<[u8]>> Iterator for OwnedPageKeys<B> {
    type Item = OwnedModelKey;

    fn next(&mut self) -> Option<OwnedModelKey> {
        let spans = self.spans.next()?;
        Some(OwnedModelKey::copy(self.body.as_ref(), &self.arena, &spans))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl<B: AsRef<[u8]>> ExactSizeIterator for OwnedPageKeys<B> {}

impl<B: AsRef<[u8]>> FusedIterator for OwnedPageKeys<B> {}

impl<B> fmt::Debug for OwnedPageKeys<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPageKeys")
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
