//! The operations of Atlas's API: what a caller can request.

use alloc::vec::Vec;
use core::fmt;

use crate::call::DEFAULT_USER_AGENT;
use crate::{ApiVersion, BaseUrl, Drift, Error, ItemsPerPage, ListPage, PageNum, Reply};

/// An operation of Atlas's API, with its parameters.
///
/// A [`Session`](crate::Session) can send every operation, because it uses only this trait. The trait is sealed: only this
/// crate implements it.
pub trait Operation: sealed::Sealed + Copy + fmt::Debug + Send + Sync + 'static {
    /// The value that a response with status 200 is read into: a [`Page`](crate::Page) for a list of keys, an
    /// [`OwnedModelKey`](crate::OwnedModelKey) for one key, and [`Groups`](crate::Groups) for a list of groups.
    type Answer<B: AsRef<[u8]>>;

    /// Reads the reply to this operation.
    ///
    /// # Errors
    /// Returns [`Error::InvalidResponse`] if the body is not what the operation returns, and [`Error::Api`] if the body is
    /// Atlas's error object in spite of the status 200.
    fn read<B: AsRef<[u8]>>(reply: Reply<B>) -> Result<Self::Answer<B>, Error>;

    /// Returns how the reply to this operation differs from Atlas's documentation. If the body is not JSON, the result covers
    /// the part before the error.
    #[must_use]
    fn drift<B: AsRef<[u8]>>(reply: &Reply<B>) -> Drift {
        reply.drift(Self::RESOURCE.form)
    }

    /// Returns the request as HTTP, without credentials. It cannot fail.
    #[must_use]
    fn to_http(&self, base: &BaseUrl, version: &ApiVersion) -> http::Request<()> {
        self.call()
            .http_request(base, *version, DEFAULT_USER_AGENT, ())
    }
}

/// An operation that returns a list in pages.
///
/// [`Listing`](crate::Listing) requests its pages one after the other.
pub trait Paged:
    Operation<Answer<Vec<u8>>: ListPage + Send + Unpin + 'static> + sealed::Listed + PartialEq + Unpin
{
    /// Returns the number of the requested page; 1 if it is not set.
    fn page_num(&self) -> PageNum;

    /// Returns the maximum number of entries of a page, or `None` for Atlas's default.
    fn items_per_page(&self) -> Option<ItemsPerPage>;

    /// Returns the request for the next page, or `None` after the largest page number.
    fn next_page(&self) -> Option<Self>;
}

pub(crate) mod sealed {
    use crate::call::{Call, Resource};
    use crate::decode::Entry;

    /// The half of [`Operation`](super::Operation) that only this crate can implement.
    pub trait Sealed {
        /// The facts that all requests of the operation have in common.
        const RESOURCE: &'static Resource;

        /// Returns the facts that a session needs to send this request.
        fn call(&self) -> Call;
    }

    /// The half of [`Paged`](super::Paged) that only this crate can implement.
    pub trait Listed: Sealed {
        /// An entry of the list.
        type Entry: Entry;
    }
}
