//! The structs that people would write by hand, with serde: a page in owned structs, and one in structs that borrow.

use std::borrow::Cow;

use serde::Deserialize;

/// The body of a page.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct PageBody {
    /// The links to other pages.
    pub links: Vec<Link>,
    /// The keys on the page.
    pub results: Vec<Key>,
}

impl PageBody {
    /// Returns the URL of the next page.
    #[must_use]
    pub fn next_url(self) -> Option<String> {
        let mut links = self.links.into_iter();
        links.find(|link| link.rel == "next").map(|link| link.href)
    }
}

/// A link to another page.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// The URL.
    pub href: String,
    /// The relation: `next`, for example.
    pub rel: String,
}

/// A key, with the documented fields.
#[allow(missing_docs)] // The names are Atlas's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Key {
    pub api_key_id: Option<String>,
    pub created_at: Option<String>,
    pub created_by: Option<String>,
    pub group_id: Option<String>,
    pub last_used_at: Option<String>,
    pub masked_secret: Option<String>,
    pub name: Option<String>,
    pub secret: Option<String>,
    pub status: Option<String>,
}

/// A text that is borrowed from the body, unless it has escapes.
///
/// serde borrows a `Cow` only if it is a field itself: the `Cow` in an `Option<Cow<str>>` would always be owned.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The body of a page that borrows its texts.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct BorrowedPage<'a> {
    /// The links to other pages.
    #[serde(borrow)]
    pub links: Vec<BorrowedLink<'a>>,
    /// The keys on the page.
    pub results: Vec<BorrowedKey<'a>>,
}

impl BorrowedPage<'_> {
    /// Returns whether there is a next page.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.links.iter().any(|link| link.rel == "next")
    }
}

/// A link to another page.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct BorrowedLink<'a> {
    /// The URL.
    #[serde(borrow)]
    pub href: Cow<'a, str>,
    /// The relation: `next`, for example.
    #[serde(borrow)]
    pub rel: Cow<'a, str>,
}

/// A key that borrows its texts, with the documented fields.
#[allow(missing_docs)] // The names are Atlas's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BorrowedKey<'a> {
    #[serde(borrow)]
    pub api_key_id: Option<Text<'a>>,
    pub created_at: Option<Text<'a>>,
    pub created_by: Option<Text<'a>>,
    pub group_id: Option<Text<'a>>,
    pub last_used_at: Option<Text<'a>>,
    pub masked_secret: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
    pub secret: Option<Text<'a>>,
    pub status: Option<Text<'a>>,
}
