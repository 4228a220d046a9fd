//! What people would write by hand: a page in owned structs, with serde.

use serde::Deserialize;

/// A page.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// Where other pages are.
    pub links: Vec<Link>,
    /// What is on it.
    pub results: Vec<Key>,
}

impl Page {
    /// Where the next page is.
    #[must_use]
    pub fn next(self) -> Option<String> {
        let mut links = self.links.into_iter();
        links.find(|link| link.rel == "next").map(|link| link.href)
    }
}

/// Where another page is.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// Its URL.
    pub href: String,
    /// Which.
    pub rel: String,
}

/// A key, with the fields that are documented.
#[allow(missing_docs)] // Atlas's names.
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
