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

/// The default number of groups that are listed at the same time.
const CONCURRENCY: usize = 8;

/// The largest number of pages held for each page that may be in flight: those in flight, and those that wait for the groups
/// before them. With only one, a slow group would stop the whole sweep.
const HELD: usize = 4;

/// A page as it was fetched, or the error that ends the listing of its group.
type Fetched = Result<Page<Vec<u8>>, Error>;

/// An item of a sweep: a page of keys of one group, or the error that ended the listing of that group.
///
/// The items of a group come one after the other. `is_last` marks the last one.
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
    /// The largest number of pages in flight.
    concurrency: usize,
    /// The started groups, in order.
    groups: VecDeque<GroupFetch>,
    spawner: I::Spawner,
    /// Tells the requests in flight that they are no longer needed.
    abandoned: Arc<AtomicBool>,
}

/// A started group. Its pages are fetched one at a time.
struct GroupFetch {
    group: GroupId,
    listing: Listing,
    /// The pages that have arrived. An error is the last one.
    arrived: VecDeque<Fetched>,
    next: NextPage,
}

/// The page of a group after those that have arrived.
enum NextPage {
    /// It is not requested yet.
    Wanted(ListRequest),
    InFlight(Job<Fetched>),
    /// The listing has ended.
    None,
}

impl GroupFetch {
    fn is_in_flight(&self) -> bool {
        matches!(self.next, NextPage::InFlight(_))
    }

    /// Takes a page that has arrived, and finds the next one.
    fn accept(&mut self, page: Fetched) {
        self.next = NextPage::None;
        let page = page.map(|page| self.listing.accept_page(page));
        let has_failed = page.is_err();
        self.arrived.push_back(page);
        if has_failed {
            return;
        }
        match self.listing.request() {
            Ok(Some(request)) => self.next = NextPage::Wanted(request),
            Ok(None) => {}
            Err(error) => self.arrived.push_back(Err(error)),
        }
    }

    /// Removes the first page that has arrived. The second value is whether it is the last one of the group.
    fn take_arrived(&mut self) -> Option<(Fetched, bool)> {
        let page = self.arrived.pop_front()?;
        let is_last = self.arrived.is_empty() && matches!(self.next, NextPage::None);
        Some((page, is_last))
    }
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
        self.start();
        // Pages that have arrived make room for others, which have to be polled, too.
        while self.poll_jobs(cx) {
            self.start();
        }
        let Some(first) = self.groups.front_mut() else {
            return Poll::Ready(None);
        };
        let group = first.group;
        let Some((page, is_last)) = first.take_arrived() else {
            return Poll::Pending;
        };
        if is_last {
            self.groups.pop_front();
        }
        // The next pages are fetched while the caller uses this one.
        self.start();
        Poll::Ready(Some(SweepItem {
            group,
            page,
            is_last,
        }))
    }

    /// Requests as many pages as may be in flight and held: first those of the started groups, and then those of further
    /// groups.
    fn start(&mut self) {
        // Both fields are taken, so that the sweep has ended if the caller's iterator panics and the panic is caught.
        let mut requests = self.requests.take();
        let mut groups = std::mem::take(&mut self.groups);
        let mut in_flight = groups.iter().filter(|group| group.is_in_flight()).count();
        let arrived: usize = groups.iter().map(|group| group.arrived.len()).sum();
        let most = self
            .concurrency
            .saturating_mul(HELD)
            .saturating_sub(arrived);
        let most = most.min(self.concurrency);
        for (place, group) in groups.iter_mut().enumerate() {
            // The caller waits for the first group, also if the pages of the other groups leave no room.
            let is_awaited = place == 0 && group.arrived.is_empty();
            if let NextPage::Wanted(request) = group.next
                && (in_flight < most || is_awaited)
            {
                group.next = NextPage::InFlight(self.fetch(request, place > 0, in_flight));
                in_flight += 1;
            }
        }
        while in_flight < most
            && let Some(further) = &mut requests
        {
            let Some(request) = further.next() else {
                requests = None;
                break;
            };
            groups.push_back(GroupFetch {
                group: request.group(),
                listing: Listing::new(request, &self.handle.driver.limits),
                arrived: VecDeque::new(),
                next: NextPage::InFlight(self.fetch(request, true, in_flight)),
            });
            in_flight += 1;
        }
        (self.requests, self.groups) = (requests, groups);
    }

    /// Polls all pages in flight, so that the task is woken for each of them. Returns whether one has arrived.
    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_arrived = false;
        // Both fields are taken, so that the sweep has ended if a job panics and the panic is caught.
        let requests = self.requests.take();
        let mut groups = std::mem::take(&mut self.groups);
        for group in &mut groups {
            let NextPage::InFlight(job) = &mut group.next else {
                continue;
            };
            if let Poll::Ready(fetched) = Pin::new(job).poll(cx) {
                has_arrived = true;
                group.accept(fetched.unwrap_or_else(|failure| {
                    let session = &self.handle.driver.session;
                    Err(session.transport_error(failure, 0))
                }));
            }
        }
        (self.requests, self.groups) = (requests, groups);
        has_arrived
    }

    /// Starts to fetch a page. `in_flight` is the number of other pages in flight. All pages but those of the first group wait
    /// until no rate limit pauses any group.
    fn fetch(
        &mut self,
        request: ListRequest,
        waits_for_pauses: bool,
        in_flight: usize,
    ) -> Job<Fetched> {
        let (handle, abandoned) = (self.handle.clone(), Arc::clone(&self.abandoned));
        let work = async move {
            if waits_for_pauses {
                handle.wait_for_pauses().await?;
            }
            let reply = handle.reply(&request, Vec::new(), Some(abandoned)).await?;
            ListRequest::read(reply)
        };
        let (io, spawner) = (&self.handle.driver.io, &mut self.spawner);
        Job::spawn(work, |task| io.spawn(spawner, in_flight, task))
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
