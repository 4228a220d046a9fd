//! The pages that a listing takes: pages of keys and pages of groups.

use alloc::vec::Vec;

use crate::decode::Decoded;

/// A page of a list, which a [`Listing`](crate::Listing) takes: a [`Page`](crate::Page) of keys, or [`Groups`](crate::Groups).
///
/// A loop over `&page` borrows the entries, and a loop over `page` takes them. The trait is sealed: only this crate
/// implements it.
pub trait ListPage: sealed::ListPage + IntoIterator {}

/// The properties of a page that decide about the next request.
pub struct PageSummary {
    /// The number of entries, or 0 if they were not counted.
    pub(crate) entries: usize,
    pub(crate) is_empty: bool,
    /// Whether a link announces a next page, or `None` if the links do not tell: there are none, or none has a relation.
    pub(crate) says_next: Option<bool>,
    pub(crate) total_count: Option<u64>,
    /// Whether the page repeats the last page with entries.
    pub(crate) is_repetition: bool,
}

impl PageSummary {
    pub(crate) fn of<E>(decoded: &Decoded<E>, is_repetition: bool) -> Self {
        let entries = decoded.entries.as_ref().map_or(0, Vec::len);
        Self {
            entries,
            is_empty: entries == 0,
            says_next: decoded.has_links.then_some(decoded.says_next),
            total_count: decoded.total_count(),
            is_repetition,
        }
    }
}

/// Removes the entries at these positions, which are sorted.
pub(crate) fn omit<T>(entries: &mut Vec<T>, positions: &[usize]) {
    if !positions.is_empty() {
        let (mut all, mut omitted) = (0.., positions.iter().peekable());
        entries.retain(|_| {
            let position = all.next();
            omitted.next_if(|out| Some(**out) == position).is_none()
        });
    }
}

pub(crate) mod sealed {
    use super::PageSummary;

    /// The methods of [`ListPage`](super::ListPage), which only this crate can implement.
    pub trait ListPage {
        /// Returns the id of each entry, as bytes: comparing ids needs no UTF-8 check.
        fn ids(&self) -> impl Iterator<Item = Option<&[u8]>>;

        fn summary(&self, is_repetition: bool) -> PageSummary;

        /// Removes the entries at these positions, which are sorted.
        fn omit(&mut self, positions: &[usize]);
    }
}
