//! Runs a whole listing in a separate process (`drain/`): its task and its measurement.

use std::env;
use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use atlas_model_keys_core::{ItemsPerPage, ListRequest};
use serde::{Deserialize, Serialize};

use crate::atlas::Atlas;
use crate::usage::{self, Process};

/// The number of keys on a page, which is the maximum that Atlas allows.
pub const PER_PAGE: usize = 500;

/// The task of a process that lists all keys.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Task {
    /// The name of the library.
    pub library: String,
    /// The name of the loop.
    pub how: String,
    /// Atlas's base URL.
    pub base: String,
    /// The ids of the groups whose keys are listed. Most loops list those of the first group.
    pub groups: Vec<String>,
    /// How often each group is listed, in loops over groups.
    pub repeat: usize,
    /// The access token.
    pub token: String,
    /// The number of keys on a page.
    pub per_page: usize,
    /// The number of pages, for loops that do not decode pages.
    pub pages: usize,
    /// The maximum number of requests in flight.
    pub in_flight: usize,
    /// The file with the certificate that is trusted, if the server speaks TLS. The variable `SSL_CERT_FILE` names
    /// it, too.
    pub authority: Option<String>,
}

/// The measurement of a process that has listed all keys.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Measurement {
    /// The number of keys, or of pages if they are not decoded.
    pub items: usize,
    /// The CPU time of all threads.
    pub cpu: Duration,
    /// The wall time of the loop.
    pub wall: Duration,
    /// The peak memory of the process, in bytes.
    pub peak: u64,
}

/// The number of keys or pages that a loop has read.
pub type Outcome = Result<usize, Box<dyn Error>>;

/// The name of a loop, and the loop.
pub type Loop = (&'static str, fn(&Task) -> Outcome);

/// Runs the process that [`run`] starts: reads the task, runs the loop that `find` returns for it, and prints the
/// measurement.
///
/// # Errors
/// Returns the error of the loop.
///
/// # Panics
/// Panics if the argument is not a task.
pub fn list(
    task: &str,
    find: impl FnOnce(&Task) -> Option<fn(&Task) -> Outcome>,
) -> Result<(), Box<dyn Error>> {
    let task: Task = serde_json::from_str(task)?;
    let run = find(&task).unwrap();
    let before = usage::measure(Process::Own).cpu;
    let begun = Instant::now();
    let items = run(&task)?;
    let wall = begun.elapsed().as_micros();
    let cpu = usage::measure(Process::Own)
        .cpu
        .saturating_sub(before)
        .as_micros();
    println!("{items} {cpu} {wall} {}", usage::peak());
    Ok(())
}

impl Task {
    /// Returns the task of a library's loop over the first group, one request after the other.
    #[must_use]
    pub fn new(library: &str, how: &str, atlas: &Atlas, per_page: usize, pages: usize) -> Self {
        Self {
            library: library.to_owned(),
            how: how.to_owned(),
            base: atlas.base.clone(),
            groups: atlas.groups.clone(),
            repeat: 1,
            token: atlas.token.clone(),
            per_page,
            pages,
            in_flight: 1,
            authority: atlas.authority.clone(),
        }
    }

    /// Sets the maximum number of requests in flight.
    #[must_use]
    pub fn with_in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// Sets how often each group is listed.
    #[must_use]
    pub fn with_repeat(self, repeat: usize) -> Self {
        Self { repeat, ..self }
    }

    /// Returns the id of the first group.
    ///
    /// # Panics
    /// Panics if there is no group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.groups.first().unwrap()
    }

    /// Returns the groups to list, as often as they are listed.
    pub fn listings(&self) -> impl Iterator<Item = &str> + Clone {
        let all = std::iter::repeat_n(&self.groups, self.repeat);
        all.flatten().map(String::as_str)
    }

    /// Returns the request for the keys of a group.
    ///
    /// # Errors
    /// Returns an error if the id of the group or the size of a page is not valid.
    pub fn request(&self, group: &str) -> Result<ListRequest, Box<dyn Error>> {
        let per_page = ItemsPerPage::new(u32::try_from(self.per_page)?)?;
        Ok(ListRequest::new(group.parse()?).with_items_per_page(per_page))
    }

    /// Returns the URL of a page of the first group.
    #[must_use]
    pub fn url(&self, page: usize) -> String {
        self.url_of(self.group(), page)
    }

    /// Returns the URL of a page of a group, as a reader of Atlas's documentation would write it.
    #[must_use]
    pub fn url_of(&self, group: &str, page: usize) -> String {
        let Self { base, per_page, .. } = self;
        format!(
            "{base}/api/atlas/v2/groups/{group}/aiModelApiKeys?itemsPerPage={per_page}&pageNum={page}"
        )
    }

    /// The value of `Accept`, which names the version.
    pub const ACCEPT: &'static str = "application/vnd.atlas.preview+json";

    /// Returns the value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// Starts this executable again with the argument `list` and a task. Its `main` must pass the task to [`list`].
///
/// # Panics
/// Panics if the process fails.
#[must_use]
pub fn run(task: &Task) -> Measurement {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["list", &serde_json::to_string(task).unwrap()]);
    if let Some(file) = &task.authority {
        process
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR");
    }
    let output = process.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} {}", task.library, task.how);
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let [items, cpu, wall, peak] = numbers.try_into().unwrap();
    Measurement {
        items: usize::try_from(items).unwrap(),
        cpu: Duration::from_micros(cpu),
        wall: Duration::from_micros(wall),
        peak,
    }
}
