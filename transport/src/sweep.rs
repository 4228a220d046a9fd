//! Lists the keys of many groups, several groups at the same time.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atlas_model_keys_core::{Error, GroupId, ListRequest, Listing, Operation as _, Page};

use crate::driver::Handle;
use crate::io::Io;
use crate::job::Job;
use crate::listing::MAX_READ_AHEAD;

/// The groups that are listed at the same time, if the caller does not say otherwise.
const CONCURRENCY: usize = 8;

/// An item of a sweep: a page of keys of one group, or the error that ended the listing of that group.
///
/// The items of a group come one after the other. The last one has `is_last`.
#[derive(Debug)]
#[non_exhaustive]
pub struct SweepItem {
    /// The group (project).
    pub group: GroupId,
    /// The page, without those keys that are also on the page directly before, or the error.
    pub page: Result<Page<Vec<u8>>, Error>,
    /// Whether this is the last item of the group.
    pub is_last: bool,
}

/// Fetches the pages of the groups, and returns them group by group.
pub(crate) struct SweepFetcher<I: Io> {
    handle: Handle<I>,
    /// The groups that are not started yet; `None` after the last one.
    requests: Option<Box<dyn Iterator<Item = ListRequest> + Send>>,
    /// The largest number of groups that are listed at the same time.
    concurrency: usize,
    /// The started groups, in order.
    groups: VecDeque<GroupFetch>,
    spawner: I::Spawner,
    /// Tells the requests in flight that they are no longer needed.
    abandoned: Arc<AtomicBool>,
}

/// A started group. Of each group, one page at a time is fetched.
struct GroupFetch {
    group: GroupId,
    listing: Listing,
    page: NextPage,
}

/// The next page of a group.
enum NextPage {
    InFlight(Job<Result<Page<Vec<u8>>, Error>>),
    Fetched(Result<Page<Vec<u8>>, Error>),
    /// The listing ends with this error instead of a next page.
    Failed(Error),
}

impl<I: Io> SweepFetcher<I> {
    pub(crate) fn new(
        handle: Handle<I>,
        requests: Box<dyn Iterator<Item = ListRequest> + Send>,
    ) -> Self {
        Self {
            handle,
            requests: Some(requests),
            concurrency: CONCURRENCY,
            groups: VecDeque::new(),
            spawner: I::Spawner::default(),
            abandoned: Arc::default(),
        }
    }

    pub(crate) fn set_concurrency(&mut self, groups: usize) {
        self.concurrency = groups.clamp(1, MAX_READ_AHEAD);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.requests.is_none() && self.groups.is_empty()
    }

    /// Polls for the next item; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<SweepItem>> {
        self.start_groups();
        self.poll_jobs(cx);
        // Taken out meanwhile, so that a group whose job panicked is not polled again.
        let Some(mut first) = self.groups.pop_front() else {
            return Poll::Ready(None);
        };
        let page = match first.page {
            NextPage::InFlight(_) => {
                self.groups.push_front(first);
                return Poll::Pending;
            }
            NextPage::Fetched(Ok(page)) => Ok(first.listing.accept_page(page)),
            NextPage::Fetched(Err(error)) | NextPage::Failed(error) => Err(error),
        };
        let next = match &page {
            Ok(_) => first.listing.request().transpose(),
            Err(_) => None,
        };
        let (group, is_last) = (first.group, next.is_none());
        if let Some(next) = next {
            // Fetched while the caller uses this page.
            first.page = match next {
                Ok(request) => NextPage::InFlight(self.fetch(request, false)),
                Err(error) => NextPage::Failed(error),
            };
            self.groups.push_front(first);
        } else {
            self.start_groups();
        }
        Poll::Ready(Some(SweepItem {
            group,
            page,
            is_last,
        }))
    }

    fn start_groups(&mut self) {
        while self.groups.len() < self.concurrency
            && let Some(requests) = &mut self.requests
        {
            let Some(request) = requests.next() else {
                self.requests = None;
                return;
            };
            let page = NextPage::InFlight(self.fetch(request, true));
            self.groups.push_back(GroupFetch {
                group: request.group(),
                listing: Listing::new(request, &self.handle.driver.limits),
                page,
            });
        }
    }

    /// Polls all pages in flight, so that the task is woken for each of them.
    fn poll_jobs(&mut self, cx: &mut Context<'_>) {
        for GroupFetch { page, .. } in &mut self.groups {
            let NextPage::InFlight(job) = page else {
                continue;
            };
            if let Poll::Ready(fetched) = Pin::new(job).poll(cx) {
                *page = NextPage::Fetched(fetched.unwrap_or_else(|failure| {
                    let session = &self.handle.driver.session;
                    Err(session.transport_error(failure, 0))
                }));
            }
        }
    }

    /// Starts to fetch a page. The first page of a group waits until no rate limit pauses any group.
    fn fetch(&mut self, request: ListRequest, is_first: bool) -> Job<Result<Page<Vec<u8>>, Error>> {
        let (handle, abandoned) = (self.handle.clone(), Arc::clone(&self.abandoned));
        let work = async move {
            if is_first {
                handle.wait_for_pauses().await?;
            }
            let reply = handle.reply(&request, Vec::new(), Some(abandoned)).await?;
            ListRequest::read(reply)
        };
        let is_in_flight = |group: &&GroupFetch| matches!(group.page, NextPage::InFlight(_));
        let running = self.groups.iter().filter(is_in_flight).count();
        let (io, spawner) = (&self.handle.driver.io, &mut self.spawner);
        Job::spawn(work, |task| io.spawn(spawner, running, task))
    }
}

/// Tells the requests in flight to end, without waiting for them.
impl<I: Io> Drop for SweepFetcher<I> {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

/// Leaves out the pages, because they contain bodies.
impl<I: Io> fmt::Debug for SweepFetcher<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SweepFetcher")
            .field("concurrency", &self.concurrency)
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}
