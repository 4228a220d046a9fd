//! A second implementation of the paging rules, which decides from all pages so far instead of step by step.

/// The facts about a page that paging depends on.
#[derive(Debug)]
pub(crate) struct PageFacts {
    pub(crate) ids: Vec<Option<String>>,
    /// Whether the links announce a next page. `None` if they do not tell.
    pub(crate) announces_next: Option<bool>,
    pub(crate) total: Option<u64>,
    /// The body from the name `results` on. Equal texts mean equal keys.
    pub(crate) text: Vec<u8>,
}

impl PageFacts {
    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn announces_page(&self) -> bool {
        self.announces_next == Some(true)
    }
}

/// The next step of a listing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NextStep {
    /// The page with this number is requested.
    Request(u32),
    /// The listing is complete.
    End,
    /// The listing would never end, because this page and others before it are empty.
    TooManyEmpty(u32),
    /// The listing would never end, because this page repeats the one before.
    Repeated(u32),
    /// The limit of pages is reached.
    TooManyPages,
}

/// The number of empty pages in a row that announce a next page and are an error.
const TOO_MANY_EMPTY: usize = 3;

/// The number of repetitions of a page with a single key that are an error.
const TOO_MANY_REPETITIONS: usize = 3;

/// A listing's first request and its pages so far.
#[derive(Clone)]
pub(crate) struct PagingModel<'a> {
    /// The number of the first page.
    pub(crate) first: u32,
    /// The largest number of keys of a page.
    pub(crate) items: u64,
    /// The largest number of pages.
    pub(crate) limit: u32,
    /// Whether each page is decoded. Otherwise only those are whose links do not tell if there is a next page, and those that
    /// may be a repetition.
    pub(crate) decodes_all: bool,
    pub(crate) seen: Vec<&'a PageFacts>,
}

impl PagingModel<'_> {
    /// Returns the last page with keys before a page.
    fn with_keys_before(&self, n: usize) -> Option<usize> {
        (0..n).rev().find(|n| !self.seen[*n].is_empty())
    }

    /// Returns whether a page has the text of the last page with keys, and the links of both tell if there is a next page.
    fn repeats_text(&self, n: usize) -> bool {
        let facts = self.seen[n];
        let before = self.with_keys_before(n).map(|n| self.seen[n]);
        !facts.is_empty()
            && facts.announces_next.is_some()
            && before.is_some_and(|b| b.announces_next.is_some() && b.text == facts.text)
    }

    fn is_decoded(&self, n: usize) -> bool {
        self.decodes_all || self.seen[n].announces_next.is_none() || self.repeats_text(n)
    }

    /// Returns whether a page has the ids of the last page with keys, and every key has one.
    fn is_repetition(&self, n: usize) -> bool {
        let facts = self.seen[n];
        let has_ids = !facts.is_empty() && facts.ids.iter().all(Option::is_some);
        let has_same_ids = |before: usize| {
            self.repeats_text(n)
                || self.is_decoded(n)
                    && self.is_decoded(before)
                    && self.seen[before].ids == facts.ids
        };
        has_ids && self.with_keys_before(n).is_some_and(has_same_ids)
    }

    /// Returns whether a page is requested again: the page before it announced it, and it is empty.
    fn is_requested_again(&self, n: usize) -> bool {
        let facts = self.seen[n];
        facts.is_empty() && !facts.announces_page() && n > 0 && self.seen[n - 1].announces_page()
    }

    /// Returns the number of the page that is requested after this many pages, or `None` if there is no such number.
    fn number_after(&self, pages: usize) -> Option<u32> {
        let requested = (0..pages).filter(|n| !self.is_requested_again(*n)).count();
        self.first.checked_add(u32::try_from(requested).ok()?)
    }

    /// Returns the number of keys on the decoded pages so far.
    pub(crate) fn keys_read(&self) -> u64 {
        let decoded = (0..self.seen.len()).filter(|n| self.is_decoded(*n));
        decoded.map(|n| self.seen[n].ids.len() as u64).sum()
    }

    /// Returns the last `totalCount` of a decoded page.
    pub(crate) fn total_count(&self) -> Option<u64> {
        let decoded = (0..self.seen.len()).filter(|n| self.is_decoded(*n));
        decoded.rev().find_map(|n| self.seen[n].total)
    }

    /// Returns the next step after all pages so far.
    pub(crate) fn next(&self) -> NextStep {
        let pages = self.seen.len();
        let request_next = || match self.number_after(pages) {
            Some(number) if pages < self.limit as usize => NextStep::Request(number),
            _ => NextStep::TooManyPages,
        };
        let Some(last) = self.seen.last() else {
            return request_next();
        };
        let number = self.number_after(pages - 1).unwrap_or(u32::MAX);
        if last.is_empty() {
            let since = self.seen.iter().rev().take_while(|facts| facts.is_empty());
            let announcing = since.filter(|facts| facts.announces_page()).count();
            return match last.announces_page() {
                true if announcing >= TOO_MANY_EMPTY => NextStep::TooManyEmpty(number),
                true => request_next(),
                false if self.is_requested_again(pages - 1) => request_next(),
                false => NextStep::End,
            };
        }
        let with_keys = (0..pages).rev().filter(|n| !self.seen[*n].is_empty());
        let repetitions = with_keys.take_while(|n| self.is_repetition(*n)).count();
        if repetitions >= TOO_MANY_REPETITIONS || (repetitions > 0 && last.ids.len() > 1) {
            return NextStep::Repeated(number);
        }
        let before = u64::from(self.first - 1) * self.items;
        let goes_on = last.announces_next.unwrap_or_else(|| {
            let read = before + self.keys_read();
            last.ids.len() as u64 >= self.items || last.total.is_some_and(|total| total > read)
        });
        match goes_on {
            true => request_next(),
            false => NextStep::End,
        }
    }

    /// Returns the indices of the keys of the last page that were not on the page before it.
    pub(crate) fn new_keys(&self) -> Vec<usize> {
        let (before, last) = match &self.seen[..] {
            [.., before, last] => (before.ids.as_slice(), *last),
            [last] => (&[][..], *last),
            [] => return Vec::new(),
        };
        let is_new = |id: &Option<String>| id.is_none() || !before.contains(id);
        let ids = last.ids.iter().enumerate();
        ids.filter(|(_, id)| is_new(id)).map(|(n, _)| n).collect()
    }

    /// Returns the numbers of the pages that may be requested at the same time, at most `size` and at least one.
    pub(crate) fn window(&self, size: usize) -> Vec<u32> {
        let NextStep::Request(from) = self.next() else {
            return Vec::new();
        };
        let n = self.seen.len();
        let left = (self.limit as usize - n).min(size.max(1));
        let last = match self.seen.last() {
            Some(facts) if !self.is_requested_again(n - 1) => facts
                .total
                .filter(|_| self.is_decoded(n - 1))
                .and_then(|total| u32::try_from(total.div_ceil(self.items)).ok())
                .filter(|last| *last >= from)
                .unwrap_or(u32::MAX),
            // Before the first page, and for a page that is requested again.
            _ => from,
        };
        (from..=last).take(left).collect()
    }
}
