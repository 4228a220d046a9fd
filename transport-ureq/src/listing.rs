//! Listings over several pages, as iterators.

use std::iter::FusedIterator;
use std::vec;

use atlas_model_keys_core::{Error, Listing, ModelKey, OwnedModelKey, Page};

use crate::Client;

/// All pages of a listing, one at a time; made by [`Client::pages`].
#[derive(Debug)]
#[must_use]
pub struct Pages {
    client: Client,
    /// `None` after an error.
    listing: Option<Listing>,
}

impl Pages {
    pub(crate) fn new(client: Client, listing: Listing) -> Self {
        Self {
            client,
            listing: Some(listing),
        }
    }

    fn fetch(&mut self) -> Result<Option<Page<Vec<u8>>>, Error> {
        let Some(listing) = &mut self.listing else {
            return Ok(None);
        };
        let Some(request) = listing.request()? else {
            return Ok(None);
        };
        let page = self.client.list(&request)?;
        listing.advance(&page);
        Ok(Some(page))
    }
}

impl Iterator for Pages {
    type Item = Result<Page<Vec<u8>>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let page = self.fetch();
        if page.is_err() {
            self.listing = None;
        }
        page.transpose()
    }
}

impl FusedIterator for Pages {}

/// All keys of a listing, a page at a time; made by [`Client::keys`].
#[derive(Debug)]
#[must_use]
pub struct Keys {
    client: Client,
    /// `None` after an error.
    listing: Option<Listing>,
    page: vec::IntoIter<OwnedModelKey>,
    /// The body of the page before, for its buffer to be used again.
    buffer: Vec<u8>,
}

impl Keys {
    pub(crate) fn new(client: Client, listing: Listing) -> Self {
        Self {
            client,
            listing: Some(listing),
            page: Vec::new().into_iter(),
            buffer: Vec::new(),
        }
    }

    /// Fetches the next page. `false` at the end.
    fn fetch(&mut self) -> Result<bool, Error> {
        let Some(listing) = &mut self.listing else {
            return Ok(false);
        };
        let Some(request) = listing.request()? else {
            return Ok(false);
        };
        let buffer = std::mem::take(&mut self.buffer);
        let page = self.client.drive(&request, buffer)?.into_page()?;
        let keys: Vec<_> = listing.accept(&page).map(ModelKey::to_owned).collect();
        self.page = keys.into_iter();
        self.buffer = page.into_body();
        Ok(true)
    }
}

impl Iterator for Keys {
    type Item = Result<OwnedModelKey, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.next() {
                return Some(Ok(key));
            }
            match self.fetch() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.listing = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for Keys {}
