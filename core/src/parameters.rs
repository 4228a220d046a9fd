//! The parameters that several operations have.

/// Defines `with_envelope`, `with_pretty`, their getters and `to_http`. The request must have a field `query`, and
/// implement `Operation`.
macro_rules! body_parameters {
    ($request:ident) => {
        impl $request {
            /// Sets `envelope`: whether Atlas also writes the status into the body, for callers that cannot see the
            /// status of the response.
            pub fn with_envelope(mut self, envelope: bool) -> Self {
                self.query.envelope = Some(envelope);
                self
            }

            /// Sets `pretty`: whether Atlas indents the JSON.
            pub fn with_pretty(mut self, pretty: bool) -> Self {
                self.query.pretty = Some(pretty);
                self
            }

            /// Returns whether an envelope is requested.
            #[must_use]
            pub fn is_enveloped(&self) -> bool {
                self.query.is_enveloped()
            }

            /// Returns whether indented JSON is requested.
            #[must_use]
            pub fn is_pretty(&self) -> bool {
                self.query.pretty == Some(true)
            }

            /// Returns the request as HTTP, without credentials. It cannot fail.
            #[must_use]
            pub fn to_http(
                &self,
                base: &crate::BaseUrl,
                version: &crate::ApiVersion,
            ) -> http::Request<()> {
                crate::Operation::to_http(self, base, version)
            }
        }
    };
}

/// Defines the setters and getters of paging, and makes the request `Paged`. The request must have a field `query`, and
/// implement `Operation`.
macro_rules! paging_parameters {
    ($request:ident, $entry:ty, $entries:literal) => {
        impl $request {
            #[doc = concat!("Sets `itemsPerPage`, the maximum number of ", $entries, " of a page.")]
            pub fn with_items_per_page(mut self, items: crate::ItemsPerPage) -> Self {
                self.query.items_per_page = Some(items);
                self
            }

            /// Sets `pageNum`, the number of the requested page.
            pub fn with_page_num(mut self, page: crate::PageNum) -> Self {
                self.query.page_num = Some(page);
                self
            }

            /// Returns the number of the requested page; 1 if it is not set.
            #[must_use]
            pub fn page_num(&self) -> crate::PageNum {
                self.query.page_num.unwrap_or_default()
            }

            #[doc = concat!("Returns the maximum number of ", $entries, " of a page, or `None` for Atlas's default.")]
            #[must_use]
            pub fn items_per_page(&self) -> Option<crate::ItemsPerPage> {
                self.query.items_per_page
            }

            /// Returns the request for the next page, or `None` after the largest page number.
            #[must_use]
            pub fn next_page(&self) -> Option<Self> {
                Some(self.with_page_num(self.page_num().next()?))
            }
        }

        impl crate::operation::sealed::Listed for $request {
            type Entry = $entry;
        }

        impl crate::Paged for $request {
            fn page_num(&self) -> crate::PageNum {
                Self::page_num(self)
            }

            fn items_per_page(&self) -> Option<crate::ItemsPerPage> {
                Self::items_per_page(self)
            }

            fn next_page(&self) -> Option<Self> {
                Self::next_page(self)
            }
        }
    };
}

/// Makes a request an operation that lists keys in pages. The request must have a field `query`, and implement `Sealed`.
macro_rules! list_of_keys {
    ($request:ident) => {
        crate::parameters::body_parameters!($request);
        crate::parameters::paging_parameters!($request, crate::decode::KeySpans, "keys");

        impl crate::Operation for $request {
            type Answer<B: AsRef<[u8]>> = crate::Page<B>;

            fn read<B: AsRef<[u8]>>(
                reply: crate::Reply<B>,
            ) -> Result<crate::Page<B>, crate::Error> {
                reply.into_page()
            }
        }
    };
}

/// Makes a request an operation that returns one key. The request must have a field `query`, and implement `Sealed`.
macro_rules! one_key {
    ($request:ident) => {
        crate::parameters::body_parameters!($request);

        impl crate::Operation for $request {
            type Answer<B: AsRef<[u8]>> = crate::OwnedModelKey;

            fn read<B: AsRef<[u8]>>(
                reply: crate::Reply<B>,
            ) -> Result<crate::OwnedModelKey, crate::Error> {
                let resource = <Self as crate::operation::sealed::Sealed>::RESOURCE;
                reply.into_key(resource.endpoint)
            }
        }
    };
}

pub(crate) use {body_parameters, list_of_keys, one_key, paging_parameters};
