//! The structs that people would write by hand: a page in owned structs, with serde.

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
