//! Reads the keys of all sources: those of one project or organization page by page, those of several projects in a sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use atlas_model_keys_core::{
    Error, Group, GroupId, GroupsRequest, ItemsPerPage, Limits, ListRequest, Listing, ModelKey,
    OrgListRequest, Page, PageNum, Paged, Refused, UnixTime,
};
use atlas_model_keys_ureq::SystemTimeExt as _;

use crate::failure::{Asked, CommandError, Subject};
use crate::progress::Progress;
use crate::service::Service;
use crate::sources::Sources;
use crate::summary::Summary;

/// A receiver of keys.
pub(crate) trait Receiver {
    /// Returns the record of the sources, which the reader keeps.
    fn summary(&mut self) -> &mut Summary;

    /// Takes a page of the current project or organization.
    fn page(&mut self, page: &KeyPage<'_>, progress: &Progress) -> Result<(), CommandError>;
}

/// The keys of a page.
pub(crate) struct KeyPage<'p> {
    pub(crate) keys: &'p [ModelKey<'p>],
    /// Atlas's estimate of the number of keys.
    pub(crate) total: Option<u64>,
    /// The server's time.
    pub(crate) date: Option<UnixTime>,
    pub(crate) asked: &'p Asked,
}

impl KeyPage<'_> {
    /// Returns the server's time, or that of this machine if the server sent none.
    pub(crate) fn time(&self) -> UnixTime {
        self.date
            .unwrap_or_else(|| SystemTime::now().to_unix_time())
    }
}

/// The parameters of the requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parameters {
    pub(crate) items_per_page: Option<ItemsPerPage>,
    /// The only page to read.
    pub(crate) page_num: Option<PageNum>,
    pub(crate) envelope: Option<bool>,
    pub(crate) pretty: Option<bool>,
}

/// A request with all parameters.
pub(crate) trait Parameterized: Sized {
    fn with(self, parameters: Parameters) -> Self;
}

/// Implements the trait. The requests have equal methods, but no trait that has them.
macro_rules! parameterized {
    ($($request:ty),*) => {
        $(impl Parameterized for $request {
            fn with(mut self, parameters: Parameters) -> Self {
                if let Some(items) = parameters.items_per_page {
                    self = self.with_items_per_page(items);
                }
                if let Some(page) = parameters.page_num {
                    self = self.with_page_num(page);
                }
                if let Some(envelope) = parameters.envelope {
                    self = self.with_envelope(envelope);
                }
                if let Some(pretty) = parameters.pretty {
                    self = self.with_pretty(pretty);
                }
                self
            }
        })*
    };
}

parameterized!(ListRequest, OrgListRequest);

impl Parameters {
    /// Sets the parameters of a request.
    pub(crate) fn set<R: Parameterized>(self, request: R) -> R {
        request.with(self)
    }
}

/// A project of a sweep.
struct Project {
    id: GroupId,
    name: Option<String>,
}

/// The number of projects in sequence that may fail because of the network or of Atlas as a whole. The others are not tried
/// then, because each of them would take minutes.
const MAX_OUTAGES: usize = 3;

/// The time for the names of projects. They are useful, but the keys can be listed without them.
const NAMES_DEADLINE: Duration = Duration::from_secs(10);

/// Reads keys.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'r> {
    pub(crate) service: &'r Service,
    pub(crate) parameters: Parameters,
    pub(crate) limits: &'r Limits,
    pub(crate) progress: &'r Progress,
}

impl Reader<'_> {
    /// Reads the keys of all sources. The failure of one of several projects is reported, and the others are read.
    pub(crate) fn read(
        &self,
        sources: &Sources,
        receiver: &mut impl Receiver,
    ) -> Result<(), CommandError> {
        match sources {
            Sources::Organization(organization) => {
                receiver.summary().set_names(self.names());
                receiver.summary().begin(organization.to_string(), None);
                self.pages(OrgListRequest::new(*organization), receiver)
            }
            Sources::Groups(groups) => match groups.as_slice() {
                [group] => {
                    receiver.summary().begin(group.to_string(), None);
                    self.pages(ListRequest::new(*group), receiver)
                }
                groups => {
                    let mut names = self.names();
                    let project = |id: &GroupId| Project {
                        id: *id,
                        name: names.remove(id.as_str()),
                    };
                    self.sweep(groups.iter().map(project).collect(), receiver)
                }
            },
            Sources::AllProjects => {
                let projects = self.projects(receiver)?;
                self.sweep(projects, receiver)
            }
        }
    }

    /// Reads one page after the other, or only the page that was requested.
    fn pages<R>(&self, request: R, receiver: &mut impl Receiver) -> Result<(), CommandError>
    where
        R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>> + Parameterized,
    {
        let asked = &self.service.asked;
        let failed = |error| CommandError::listing(&error, asked);
        let mut listing = Listing::new(self.parameters.set(request), self.limits);
        let mut pages = 0;
        while let Some(request) = listing.request().map_err(failed)? {
            let page = self.service.page(&request, asked, self.progress)?;
            let keys: Vec<_> = listing.accept(&page).collect();
            let page = KeyPage {
                keys: &keys,
                total: page.total_count(),
                date: page.date(),
                asked,
            };
            receiver.page(&page, self.progress)?;
            if self.parameters.page_num.is_some() {
                break;
            }
            pages += 1;
            if matches!(listing.request(), Ok(Some(_))) {
                let (keys, total) = (receiver.summary().received(), listing.total_count());
                self.progress.show(pages, keys, total);
            }
        }
        Ok(())
    }

    /// Returns the projects that the credential may see, each once. A project without a readable id fails.
    fn projects(&self, receiver: &mut impl Receiver) -> Result<Vec<Project>, CommandError> {
        let asked = &self.service.asked;
        let failed = |error| CommandError::listing(&error, asked);
        let (mut projects, mut ids) = (Vec::new(), BTreeSet::new());
        let request = GroupsRequest::new().with_items_per_page(ItemsPerPage::MAX);
        let mut listing = Listing::new(request, self.limits);
        while let Some(request) = listing.request().map_err(failed)? {
            let page = self.service.page(&request, asked, self.progress)?;
            for group in listing.accept(&page) {
                let name = name(group);
                match group.id().map(str::parse::<GroupId>) {
                    Some(Ok(id)) if ids.insert(id.to_string()) => {
                        projects.push(Project { id, name });
                    }
                    Some(Ok(_)) => {}
                    invalid => {
                        let error = match invalid {
                            Some(Err(invalid)) => invalid.to_string(),
                            _ => "Atlas sent no id".to_owned(),
                        };
                        let shown = name.as_deref().unwrap_or("without a name");
                        self.progress
                            .error(&format!("cannot list the keys of project {shown}: {error}"));
                        receiver
                            .summary()
                            .begin(group.id().unwrap_or_default().to_owned(), name);
                        receiver.summary().fail(error);
                    }
                }
            }
        }
        Ok(projects)
    }

    /// Returns the names of the projects that the credential may see, as far as they arrive soon (see
    /// [`NAMES_DEADLINE`]).
    fn names(&self) -> BTreeMap<String, String> {
        let client = self.service.client.with_deadline(NAMES_DEADLINE);
        let request = GroupsRequest::new().with_items_per_page(ItemsPerPage::MAX);
        self.progress.begin("the names of the projects");
        let end = Instant::now() + NAMES_DEADLINE;
        let groups = client.groups(&request).map_while(Result::ok);
        let names = groups
            .take_while(|_| Instant::now() < end)
            .filter_map(|group| Some((group.id()?.to_owned(), name(&group)?)))
            .collect();
        self.progress.arrived();
        names
    }

    fn sweep(
        &self,
        projects: Vec<Project>,
        receiver: &mut impl Receiver,
    ) -> Result<(), CommandError> {
        let service = self.service;
        let count = projects.len();
        let request = |project: &Project| self.parameters.set(ListRequest::new(project.id));
        let requests: Vec<_> = projects.iter().map(request).collect();
        let mut sweep = service.client.sweep(requests);
        receiver.summary().expect(count);
        let (mut outages, mut not_tried) = (0, 0);
        for (done, project) in projects.into_iter().enumerate() {
            self.progress
                .projects(done, count, receiver.summary().received());
            let asked = service.asked.about(Subject::Group(project.id));
            receiver
                .summary()
                .begin(project.id.to_string(), project.name.clone());
            if outages >= MAX_OUTAGES {
                receiver.summary().fail(NOT_TRIED.to_owned());
                not_tried += 1;
                continue;
            }
            loop {
                let awaited = format!("project {} of {count}", done + 1);
                self.progress.begin(&awaited);
                let item = sweep.next();
                self.progress.arrived();
                let Some(item) = item else {
                    receiver
                        .summary()
                        .fail("the listing ended early".to_owned());
                    break;
                };
                match item.page {
                    Ok(page) => {
                        outages = 0;
                        let keys: Vec<_> = page.keys().collect();
                        let page = KeyPage {
                            keys: &keys,
                            total: page.total_count(),
                            date: page.date(),
                            asked: &asked,
                        };
                        receiver.page(&page, self.progress)?;
                    }
                    Err(error) => {
                        let failure = CommandError::listing(&error, &asked);
                        if service.is_interrupted() || failure.is_about_credential() {
                            return Err(failure);
                        }
                        receiver.summary().fail(failure.reason());
                        self.progress
                            .error(&failure.in_one_line(project.name.as_deref()));
                        outages = if is_outage(&error) { outages + 1 } else { 0 };
                    }
                }
                if item.is_last {
                    break;
                }
            }
        }
        if not_tried > 0 {
            let text = format!("{not_tried} projects were {NOT_TRIED}");
            self.progress.error(&text);
        }
        Ok(())
    }
}

/// Why a project was not tried, as it follows "was". The number is [`MAX_OUTAGES`].
const NOT_TRIED: &str = "not tried, because 3 projects in sequence failed";

/// Returns whether other projects will probably fail, too. An access token from the environment that is refused after it has
/// worked may have expired.
fn is_outage(error: &Error) -> bool {
    matches!(
        error,
        Error::Transport { .. }
            | Error::GaveUp { .. }
            | Error::RateLimited { .. }
            | Error::InvalidResponse(_)
            | Error::Authentication {
                refused: Refused::Token,
                ..
            }
    )
}

/// The longest name of a project in bytes. Atlas allows 64 characters.
const MAX_NAME: usize = 1024;

/// Returns the name of a project. A name over [`MAX_NAME`] is left out, because it would be repeated for each key.
fn name(group: &Group) -> Option<String> {
    let name = group.name()?;
    (name.len() <= MAX_NAME).then(|| name.to_owned())
}
