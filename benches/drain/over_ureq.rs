//! Loops that list all keys with the blocking client, or with ureq and a loop by hand.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;

use atlas_model_keys_benches::drain::{Loop, Outcome, Task};
use atlas_model_keys_benches::naive::PageBody;
use atlas_model_keys_ureq::{BaseUrl, Client, Credentials, ListRequest};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::tls;

pub(crate) const LOOPS: &[Loop] = &[
    ("replies", replies),
    ("pages", pages),
    ("keys", keys),
    ("sweep", sweep),
    ("callers", callers),
    ("bare", bare),
    ("owned", owned),
    ("read_json", read_json),
    ("owned groups", owned_groups),
];

fn client(task: &Task) -> Result<(Client, ListRequest), Box<dyn Error>> {
    let client = Client::new(
        BaseUrl::new(&task.base)?,
        Credentials::bearer(task.token.as_str())?,
    )?;
    let request = task.request(task.group())?;
    Ok((client, request))
}

fn replies(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut count = 0;
    for reply in client.replies(&request).read_ahead(task.in_flight) {
        black_box(reply?);
        count += 1;
    }
    Ok(count)
}

fn pages(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut count = 0;
    for page in client.pages(&request).read_ahead(task.in_flight) {
        count += black_box(page?).len();
    }
    Ok(count)
}

fn keys(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut count = 0;
    for key in client.keys(&request).read_ahead(task.in_flight) {
        black_box(key?);
        count += 1;
    }
    Ok(count)
}

/// Lists all groups with a sweep.
fn sweep(task: &Task) -> Outcome {
    let (client, _) = client(task)?;
    let requests: Result<Vec<_>, _> = task.listings().map(|group| task.request(group)).collect();
    let mut count = 0;
    for item in client.sweep(requests?).concurrency(task.in_flight) {
        count += black_box(item.page?).len();
    }
    Ok(count)
}

/// Lists all groups with several callers that share a client, each with its part of the groups.
fn callers(task: &Task) -> Outcome {
    let (client, _) = client(task)?;
    in_threads(task, |groups| {
        let mut count = 0;
        for group in groups {
            for page in client.pages(&task.request(group)?) {
                count += black_box(page?).len();
            }
        }
        Ok(count)
    })
}

/// Divides the groups among as many threads as requests may be in flight, and adds the numbers of their keys.
fn in_threads(
    task: &Task,
    count: impl Fn(&mut dyn Iterator<Item = &str>) -> Outcome + Sync,
) -> Outcome {
    let count = &count;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..task.in_flight)
            .map(|thread| {
                scope.spawn(move || {
                    let mut groups = task.listings().skip(thread).step_by(task.in_flight);
                    count(&mut groups).map_err(|error| error.to_string())
                })
            })
            .collect();
        let mut sum = 0;
        for thread in threads {
            sum += thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(sum)
    })
}

/// Makes an agent with ureq's defaults, which trusts the authority of the task.
fn agent(task: &Task) -> Result<Agent, Box<dyn Error>> {
    if task.authority.is_none() {
        return Ok(Agent::new_with_defaults());
    }
    let authority = Certificate::from_der(&tls::authority(task)?).to_owned();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[authority]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Ok(Agent::config_builder().tls_config(tls).build().into())
}

/// Reads only the bytes of the bodies: the minimum for a program that uses ureq.
fn bare(task: &Task) -> Outcome {
    let agent = agent(task)?;
    for page in 1..=task.pages {
        black_box(get(&agent, task, &task.url(page))?.read_to_vec()?);
    }
    Ok(task.pages)
}

fn owned(task: &Task) -> Outcome {
    walk(&agent(task)?, task, task.url(1), in_one_piece)
}

fn read_json(task: &Task) -> Outcome {
    walk(&agent(task)?, task, task.url(1), |mut body| {
        Ok(body.read_json()?)
    })
}

/// Lists all groups, several at the same time.
fn owned_groups(task: &Task) -> Outcome {
    let agent = agent(task)?;
    in_threads(task, |groups| {
        let mut count = 0;
        for group in groups {
            count += walk(&agent, task, task.url_of(group, 1), in_one_piece)?;
        }
        Ok(count)
    })
}

fn in_one_piece(mut body: Body) -> Result<PageBody, Box<dyn Error>> {
    Ok(serde_json::from_slice(&body.read_to_vec()?)?)
}

fn get(agent: &Agent, task: &Task, url: &str) -> Result<Body, ureq::Error> {
    let response = agent
        .get(url)
        .header("accept", Task::ACCEPT)
        .header("authorization", task.authorization())
        .call()?;
    Ok(response.into_body())
}

/// Decodes every page, and follows the links to the next page.
fn walk(
    agent: &Agent,
    task: &Task,
    first: String,
    decode: fn(Body) -> Result<PageBody, Box<dyn Error>>,
) -> Outcome {
    let mut count = 0;
    let mut next = Some(first);
    while let Some(url) = next {
        let page = black_box(decode(get(agent, task, &url)?)?);
        count += page.results.len();
        next = page.next_url();
    }
    Ok(count)
}
